//! Answers that only the user reads.
//!
//! | | |
//! |---|---|
//! | source | ours: whether the paper re-encrypts or re-shares could not be read |
//! | rounds | 1, and one message to the user |
//! | bytes | up: the matrix dense; down: 16 for each entry and 32 |
//! | P1 learns | nothing: it relays x + mask + pad without the pad |
//! | P2 learns | x + mask, within 2^-80 of independent of x |
//! | the user learns | x |
//!
//! P1 masks the entries, P2 adds a pad modulo 2^128, P1 hands the sum and its masks to the user, who has the key of the pads in common with P2. The pad is a stream of a key made
//! from the user's key and the digest of the request, so no pad serves two requests.

use sha2::{Digest, Sha256};

use super::encrypted::{Encrypted, EncryptedMatrix};
use super::server::{KeyServer, Operation, Request};
use super::user::Sealed;
use super::wire::{Reader, Writer};
use crate::channel::Channel;
use crate::error::Result;

impl<C: Channel> Encrypted<C> {
    /// See the module's documentation.
    pub(super) fn seal(&mut self, m: &EncryptedMatrix) -> Result<Sealed> {
        let masks = self.masks(m.shape.entries(), m.shape.bits);
        let request = self.header(m.shape)?.ciphertexts(&self.masked(m, &masks)?);
        let answer = self.ask(Operation::Answer, request)?;
        let mut reader = Reader::new(&answer);
        let mut digest = [0; 32];
        for half in digest.chunks_exact_mut(16) {
            half.copy_from_slice(&reader.u128()?.to_le_bytes());
        }
        let padded = (0..masks.len()).map(|_| reader.u128()).collect::<Result<Vec<_>>>()?;
        reader.end()?;
        let offset = 1u128 << m.shape.bits;
        Ok(Sealed { rows: m.shape.rows, cols: m.shape.cols, bits: m.shape.bits, digest, padded, masks: masks.iter().map(|u| u + offset).collect() })
    }
}

pub(super) fn respond(server: &mut KeyServer, request: &mut Request<'_>, bytes: &[u8]) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete_with_bytes(32 + 16 * header.rows * header.cols)?;
    let values = server.open(masked)?;
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let pads = server.user().pads(&digest, values.len());
    let mut writer = Writer::default();
    for half in digest.chunks_exact(16) {
        writer = writer.u128(u128::from_le_bytes(half.try_into().unwrap_or_default()));
    }
    Ok(values.iter().zip(pads.iter()).fold(writer, |writer, (v, pad)| writer.u128(v.wrapping_add(*pad))).done())
}
