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
use zeroize::{Zeroize, Zeroizing};

use super::Shape;
use super::encrypted::{Encrypted, EncryptedMatrix};
use super::server::{KeyServer, Operation, Request};
use super::wire::{Reader, Writer};
use crate::channel::Channel;
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Tape};

/// What the user and P2 have in common: the key of the pads. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct UserKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for UserKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserKey(not shown)")
    }
}

/// An answer on its way to the user. P1 holds it and cannot read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    rows: usize,
    cols: usize,
    bits: u32,
    digest: [u8; 32],
    padded: Vec<u128>,
    masks: Vec<u128>,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.masks.zeroize();
    }
}

impl UserKey {
    /// A key of the system's randomness.
    ///
    /// # Errors
    /// [`Error::Randomness`] when the system gives none.
    pub fn from_system() -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|e| Error::Randomness { reason: e.to_string() })?;
        Ok(Self(key))
    }

    /// The key of 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The 32 bytes, for the file that the user and P2 share.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn pads(&self, digest: &[u8; 32], count: usize) -> Zeroizing<Vec<u128>> {
        let seed = Sha256::new().chain_update(b"cipherlane smlp pad v1").chain_update(*self.0).chain_update(digest).finalize();
        let mut stream = Tape::from_seed(seed.into()).stream(Purpose::Answer, 0);
        Zeroizing::new((0..count).map(|_| u128::from(stream.word()) << 64 | u128::from(stream.word())).collect())
    }

    /// The entries of an answer, row by row.
    ///
    /// # Errors
    /// [`Error::Decryption`] for an entry outside its magnitude: another key, or a changed answer.
    pub fn open(&self, answer: &Sealed) -> Result<Vec<i64>> {
        let pads = self.pads(&answer.digest, answer.padded.len());
        let entry = |index: usize| {
            let value = answer.padded[index].wrapping_sub(pads[index]).wrapping_sub(answer.masks[index]) as i128;
            i64::try_from(value).ok().filter(|v| v.unsigned_abs() >> answer.bits == 0).ok_or_else(|| Error::Decryption {
                index,
                reason: format!("the answer leaves its {} bits: not this user's, or changed", answer.bits),
            })
        };
        (0..answer.padded.len()).map(entry).collect()
    }
}

impl Sealed {
    /// Rows and columns.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// As bytes for the user.
    ///
    /// # Errors
    /// None for answers that fit messages.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::default().size(self.rows)?.size(self.cols)?.u32(self.bits);
        for half in self.digest.chunks_exact(16) {
            writer = writer.u128(u128::from_le_bytes(half.try_into().unwrap_or_default()));
        }
        Ok(self.padded.iter().chain(&self.masks).fold(writer, |writer, &v| writer.u128(v)).done())
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::OutOfRange`] for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let (rows, cols) = reader.size()?;
        let bits = Shape { rows, cols, bits: reader.u32()? }.check()?.bits;
        let mut digest = [0; 32];
        for half in digest.chunks_exact_mut(16) {
            half.copy_from_slice(&reader.u128()?.to_le_bytes());
        }
        let mut values = || (0..rows * cols).map(|_| reader.u128()).collect::<Result<Vec<_>>>();
        let (padded, masks) = (values()?, values()?);
        reader.end()?;
        Ok(Self { rows, cols, bits, digest, padded, masks })
    }
}

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
