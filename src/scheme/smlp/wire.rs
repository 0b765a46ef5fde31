//! Requests and answers as bytes: numbers little-endian, ciphertexts as the words of their residues. Nothing that comes from the other side is trusted to have a
//! length or a range.

use crate::error::{Error, Result};
use crate::limbs::{Limbs, words_for_bits};
use crate::scheme::paillier::{Ciphertexts, PublicKey, Sendable};

/// Writes a message.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn u128(mut self, value: u128) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Sizes and counts, each below 2^32.
    pub(super) fn size(self, value: usize) -> Result<Self> {
        let value = u32::try_from(value).map_err(|_| Error::range("size in a message", &value, "below 2^32"))?;
        Ok(self.u32(value))
    }

    pub(super) fn ciphertexts(mut self, values: &Limbs) -> Self {
        self.0.reserve(values.words().len() * 8);
        values.words().iter().for_each(|word| self.0.extend(word.to_le_bytes()));
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a message.
pub(super) struct Reader<'a>(&'a [u8]);

/// Ciphertexts of a message whose number is right; nothing else of them is checked yet.
pub(super) struct Sent<'a>(&'a [u8]);

/// Bytes of a ciphertext.
pub(super) fn ciphertext_bytes(key: &PublicKey) -> usize {
    8 * words_for_bits(key.n_squared().significant_bits())
}

impl Sent<'_> {
    /// The ciphertexts, each checked.
    pub(super) fn check(self, key: &PublicKey) -> Result<Ciphertexts<Sendable>> {
        let words = self.0.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)).collect();
        Ciphertexts::import(key, Limbs::from_words(words, ciphertext_bytes(key) / 8)?)
    }
}

/// Most entries of a matrix in a message.
const MAXIMUM_ENTRIES: usize = 1 << 26;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Error::size("bytes left in a message", count, self.0.len()))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A number from 1 to `limit`.
    pub(super) fn within(&mut self, what: &'static str, limit: u32) -> Result<u32> {
        let value = self.u32()?;
        if value == 0 || value > limit {
            return Err(Error::range(what, &value, format!("1 to {limit}")));
        }
        Ok(value)
    }

    /// Rows and columns.
    pub(super) fn size(&mut self) -> Result<(usize, usize)> {
        let (rows, cols) = (self.u32()? as usize, self.u32()? as usize);
        let entries = rows.saturating_mul(cols);
        if entries == 0 || entries > MAXIMUM_ENTRIES {
            return Err(Error::range("matrix in a message", &format!("{rows} x {cols}"), format!("1 to {MAXIMUM_ENTRIES} entries")));
        }
        Ok((rows, cols))
    }

    /// Exactly `count` ciphertexts, each checked.
    pub(super) fn ciphertexts(&mut self, key: &PublicKey, count: usize) -> Result<Ciphertexts<Sendable>> {
        self.sent(key, count)?.check(key)
    }

    /// Exactly `count` ciphertexts, to be checked when the rest of the message has its length, too.
    pub(super) fn sent(&mut self, key: &PublicKey, count: usize) -> Result<Sent<'a>> {
        let bytes = ciphertext_bytes(key);
        let wanted = count.checked_mul(bytes).ok_or(Error::size("ciphertexts in a message", count, self.0.len() / bytes))?;
        self.take(wanted).map(Sent)
    }

    /// Refuses bytes that are left over.
    pub(super) fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::size("bytes after a message", 0, self.0.len())) }
    }
}
