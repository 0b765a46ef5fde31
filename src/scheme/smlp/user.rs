//! The user's side of an answer: the key of the pads, and answers on their way.

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::wire::{Reader, Writer};
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Tape};
use crate::scheme::private_training::Shape;

/// The key of the pads, which the user and P2 have in common. Never printed, wiped when dropped.
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
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) bits: u32,
    pub(super) digest: [u8; 32],
    pub(super) padded: Vec<u128>,
    pub(super) masks: Vec<u128>,
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

    /// The pads of an answer to the request with this digest, one for each entry.
    pub(super) fn pads(&self, digest: &[u8; 32], count: usize) -> Zeroizing<Vec<u128>> {
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
