//! Wide slots: where the entries of a matrix are in its ciphertexts.
//!
//! A plaintext is sum v_k 2^(k S). Slots are wide enough for a product of two masked numbers and its mask, so numbers that travel with one mask only would waste
//! most of them: [`Dense`] lays several ciphertexts into each other, c_0 c_1^(2^s) c_2^(2^2s)..., which costs s squarings each and saves a decryption each.

use crate::error::{Error, Result};
use crate::integer::Integer;

/// Statistical security: a mask is this many bits longer than what it hides, so each masked number is within 2^-80 of a number that depends on nothing.
pub const KAPPA: u32 = 80;

/// `count` slots of `bits` bits below n/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) count: usize,
    pub(super) bits: u32,
}

impl Slots {
    /// As many slots of `bits` as a key of `key_bits` holds.
    pub(super) fn new(key_bits: u32, bits: u32) -> Result<Self> {
        let available_bits = key_bits.saturating_sub(2);
        if bits == 0 || bits > available_bits {
            return Err(Error::PlaintextOverflow { slots: 1, slot_bits: bits, needed_bits: bits.max(1), available_bits });
        }
        Ok(Self { count: (available_bits / bits) as usize, bits })
    }

    /// Refuses numbers that need more bits than a slot has.
    pub(super) fn check(self, needed_bits: u32) -> Result<()> {
        if needed_bits > self.bits {
            return Err(Error::SlotOverflow { needed_bits, slot_bits: self.bits });
        }
        Ok(())
    }

    /// Ciphertexts that `values` side by side need.
    pub(super) fn groups(self, values: usize) -> usize {
        values.div_ceil(self.count)
    }

    /// v 2^(k S).
    pub(super) fn place(self, value: Integer, slot: usize) -> Integer {
        value << (self.bits * slot as u32)
    }

    /// sum v_k 2^(k S). Input: signed numbers, at most `count`.
    pub(super) fn pack<I: Into<Integer>>(self, values: impl DoubleEndedIterator<Item = I>) -> Integer {
        values.rev().fold(Integer::new(), |sum, value| (sum << self.bits) + value.into())
    }

    /// One plaintext for each `count` values of each row. Input: `cols` values a row.
    pub(super) fn pack_rows<T: Clone + Into<Integer>>(self, values: &[T], cols: usize) -> Vec<Integer> {
        values.chunks_exact(cols).flat_map(|row| row.chunks(self.count)).map(|part| self.pack(part.iter().cloned())).collect()
    }

    /// The first `values` slots, each below 2^width. `index` names the ciphertext in errors.
    ///
    /// # Errors
    /// [`Error::Decryption`] for a negative plaintext, a slot that reaches 2^width, or anything beyond the slots.
    pub(super) fn unpack(self, mut packed: Integer, values: usize, width: u32, index: usize) -> Result<Vec<Integer>> {
        let refused = |reason: String| Error::Decryption { index, reason };
        if packed.is_negative() {
            return Err(refused("negative, which no masked number is".into()));
        }
        let mut slots = Vec::with_capacity(values);
        for slot in 0..values {
            let value = packed.clone().keep_bits(self.bits);
            packed >>= self.bits;
            if value.significant_bits() > width {
                return Err(refused(format!("slot {slot} has {} bits where masked numbers have {width}", value.significant_bits())));
            }
            slots.push(value);
        }
        if packed != 0 {
            return Err(refused(format!("something beyond slot {values}")));
        }
        Ok(slots)
    }
}

/// Several ciphertexts laid into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dense {
    pub(super) slots: Slots,
    /// Ciphertexts in one.
    pub(super) layers: usize,
    /// Bits from one to the next.
    pub(super) shift: u32,
    /// Bits of a value.
    width: u32,
}

impl Dense {
    /// For values of `width` bits.
    ///
    /// # Errors
    /// [`Error::SlotOverflow`] when not even one fits a slot.
    pub(super) fn new(slots: Slots, width: u32) -> Result<Self> {
        slots.check(width)?;
        let layers = (slots.bits / width).max(1);
        Ok(Self { slots, layers: layers as usize, shift: slots.bits / layers, width })
    }

    /// Ciphertexts that carry those of `rows * cols` values.
    pub(super) fn ciphertexts(self, rows: usize, cols: usize) -> usize {
        (rows * self.slots.groups(cols)).div_ceil(self.layers)
    }

    /// Plaintexts of slots, laid into each other.
    pub(super) fn fold(self, plaintexts: &[Integer]) -> Vec<Integer> {
        plaintexts.chunks(self.layers).map(|layers| layers.iter().rev().fold(Integer::new(), |sum, layer| (sum << self.shift) + layer)).collect()
    }

    /// `rows * cols` values, row by row. Input: as many plaintexts as [`Self::ciphertexts`] says.
    ///
    /// # Errors
    /// [`Error::Decryption`] for a value that reaches 2^width or anything where nothing belongs.
    pub(super) fn unpack(self, plaintexts: Vec<Integer>, rows: usize, cols: usize) -> Result<Vec<u128>> {
        let groups = self.slots.groups(cols);
        let mut values = vec![0u128; rows * cols];
        for (index, plaintext) in plaintexts.into_iter().enumerate() {
            let first = index * self.layers;
            for (slot, wide) in self.slots.unpack(plaintext, self.slots.count, self.slots.bits, index)?.into_iter().enumerate() {
                let mut rest = wide;
                for layer in 0..self.layers {
                    let value = if layer + 1 == self.layers { std::mem::take(&mut rest) } else { rest.clone().keep_bits(self.shift) };
                    rest >>= self.shift;
                    let (row, col) = ((first + layer) / groups, (first + layer) % groups * self.slots.count + slot);
                    let belongs = row < rows && col < cols;
                    if value.significant_bits() > if belongs { self.width } else { 0 } {
                        let allowed = if belongs { self.width } else { 0 };
                        let reason = format!("slot {slot} has {} bits where masked numbers have {allowed}", value.significant_bits());
                        return Err(Error::Decryption { index, reason });
                    }
                    if belongs {
                        values[row * cols + col] = value.to_u128_wrapping();
                    }
                }
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_values_survive_the_round_trip_and_strays_are_seen() {
        let slots = Slots::new(512, 100).unwrap();
        assert_eq!(slots.count, 5);
        for (width, layers) in [(99, 1), (50, 2), (33, 3), (7, 14)] {
            let dense = Dense::new(slots, width).unwrap();
            assert_eq!(dense.layers, layers);
            for (rows, cols) in [(1, 1), (3, 5), (4, 7), (2, 11)] {
                let top = (1u128 << width) - 1;
                let values: Vec<u128> = (0..rows * cols).map(|i| [0, top, top >> 1, 1][i % 4]).collect();
                let folded = dense.fold(&slots.pack_rows(&values, cols));
                assert_eq!(folded.len(), dense.ciphertexts(rows, cols));
                assert_eq!(dense.unpack(folded.clone(), rows, cols).unwrap(), values);
                let mut stray = folded.clone();
                stray[0] += slots.place(Integer::from(top) + 1u32, 0);
                assert!(dense.unpack(stray, rows, cols).is_err() || layers > 1);
                let mut negative = folded.clone();
                negative[0] -= Integer::from(1) << 500;
                assert!(dense.unpack(negative, rows, cols).is_err());
                let mut beyond = folded;
                beyond[0] += Integer::from(1) << 505;
                assert!(dense.unpack(beyond, rows, cols).is_err());
            }
        }
        // One column: the other slots must be empty.
        let dense = Dense::new(slots, 50).unwrap();
        assert!(dense.unpack(vec![slots.place(Integer::from(1), 1)], 1, 1).is_err());
        assert!(Dense::new(slots, 101).is_err() && Slots::new(64, 63).is_err());
    }

    #[test]
    fn signed_slots_are_a_sum() {
        let slots = Slots { count: 3, bits: 10 };
        assert_eq!(slots.pack([1i64, -2, 3].into_iter()), 1 - (2 << 10) + (3 << 20));
        assert!(slots.unpack(Integer::from(1 << 9), 1, 9, 0).is_err());
        assert_eq!(slots.unpack(Integer::from((1 << 9) - 1), 1, 9, 0).unwrap(), [511]);
    }
}
