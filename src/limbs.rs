//! Batches of non-negative integers as 64-bit words, least significant word first.
//!
//! [`Limbs`] is what crosses the border of a backend: plain words of one width, item after item. A backend repacks them into its own radix.

use zeroize::Zeroize;

use crate::error::{Error, Result};
use crate::integer::{Integer, Order};

/// Number of 64-bit words that hold `bits` bits.
#[must_use]
pub const fn words_for_bits(bits: u32) -> usize {
    (bits as usize).div_ceil(64)
}

/// A batch of integers of `width` words each, radix 2^64, least significant word first. Wiped when dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limbs {
    words: Vec<u64>,
    width: usize,
}

impl Limbs {
    /// `count` zeros of `width` words; `width` is at least 1.
    #[must_use]
    pub fn zeros(count: usize, width: usize) -> Self {
        let width = width.max(1);
        Self { words: vec![0; count * width], width }
    }

    /// Integers laid out one after the other; the number of words must be a multiple of `width`.
    ///
    /// # Errors
    /// [`Error::Size`] when words are left over.
    pub fn from_words(words: Vec<u64>, width: usize) -> Result<Self> {
        if width == 0 || !words.len().is_multiple_of(width) {
            return Err(Error::size("words in a batch", words.len() / width.max(1) * width, words.len()));
        }
        Ok(Self { words, width })
    }

    /// Copies integers that fit `width` words.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a negative integer or one that does not fit.
    pub fn from_integers<'a>(values: impl IntoIterator<Item = &'a Integer>, width: usize) -> Result<Self> {
        let mut batch = Self { words: Vec::new(), width: width.max(1) };
        for value in values {
            if value.is_negative() || value.significant_bits() as usize > 64 * batch.width {
                return Err(Error::range(
                    "integer in a batch",
                    &format!("{} bits{}", value.significant_bits(), if value.is_negative() { ", negative" } else { "" }),
                    format!("0 to 2^{} - 1", 64 * batch.width),
                ));
            }
            let start = batch.words.len();
            batch.words.resize(start + batch.width, 0);
            value.write_digits(&mut batch.words[start..start + value.significant_digits::<u64>()], Order::Lsf);
        }
        Ok(batch)
    }

    /// Number of integers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len() / self.width
    }

    /// Whether the batch holds no integer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Words of each integer.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The words of integer `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u64] {
        &self.words[index * self.width..(index + 1) * self.width]
    }

    /// All words, integer after integer.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// All words, for writing.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The words of each integer in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.words.chunks_exact(self.width)
    }

    /// Integer `index` as a big integer.
    #[must_use]
    pub fn integer(&self, index: usize) -> Integer {
        Integer::from_digits(self.get(index), Order::Lsf)
    }

    /// All integers as big integers.
    #[must_use]
    pub fn to_integers(&self) -> Vec<Integer> {
        self.iter().map(|words| Integer::from_digits(words, Order::Lsf)).collect()
    }

    /// Integers `first..first + count` as a batch of their own.
    #[must_use]
    pub fn part(&self, first: usize, count: usize) -> Self {
        Self { words: self.words[first * self.width..(first + count) * self.width].to_vec(), width: self.width }
    }

    /// Appends the integers of another batch of the same width.
    ///
    /// # Errors
    /// [`Error::Size`] when the widths differ.
    pub fn append(&mut self, other: &Self) -> Result<()> {
        if self.width != other.width {
            return Err(Error::size("words of an integer", self.width, other.width));
        }
        self.words.extend_from_slice(&other.words);
        Ok(())
    }
}

impl Zeroize for Limbs {
    fn zeroize(&mut self) {
        self.words.zeroize();
    }
}

impl Drop for Limbs {
    fn drop(&mut self) {
        self.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_the_round_trip() {
        let values: Vec<Integer> = [0u32, 1, 63, 64, 65, 127, 128].iter().map(|&b| (Integer::from(1) << b) - 1u32).collect();
        let batch = Limbs::from_integers(&values, 2).unwrap();
        assert_eq!(batch.len(), values.len());
        assert_eq!(batch.to_integers(), values);
        assert_eq!(batch.integer(3), Integer::from(u64::MAX));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let wide = [Integer::from(1) << 64u32];
        assert!(matches!(Limbs::from_integers(&wide, 1), Err(Error::OutOfRange { .. })));
        assert!(matches!(Limbs::from_integers(&[Integer::from(-1)], 1), Err(Error::OutOfRange { .. })));
        assert!(matches!(Limbs::from_words(vec![0; 3], 2), Err(Error::Size { .. })));
    }
}
