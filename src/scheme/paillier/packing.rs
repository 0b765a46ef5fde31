//! Packing: many small signed integers in one plaintext, slot k at bit k S.
//!
//! A packed plaintext is sum v_k 2^(k S) as a signed integer, so sums and integer multiples of plaintexts act on every slot at once as long as no slot leaves
//! [-2^(S-1), 2^(S-1)). Overflow cannot be seen afterwards, except in the top slot, so the worst case is checked before anything is encrypted.

use rayon::prelude::*;
use zeroize::Zeroize;

use crate::error::{Error, Result};
use crate::integer::{Integer, Order};
use crate::limbs::words_for_bits;
use crate::scheme::Inputs;

/// How many slots of how many bits a plaintext holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    slots: usize,
    slot_bits: u32,
}

impl Packing {
    /// As many slots of `slot_bits` as a key of `key_bits` holds, at most `wanted` where that is given. Slots and sign need `slots * slot_bits <= key_bits - 2`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for slots of less than 2 or more than 62 bits, [`Error::PlaintextOverflow`] when not even one slot or not the wanted number fits.
    pub fn new(key_bits: u32, slot_bits: u32, wanted: Option<usize>) -> Result<Self> {
        if !(2..=62).contains(&slot_bits) {
            return Err(Error::range("slot", &format!("{slot_bits} bits"), "2 to 62 bits"));
        }
        let available_bits = key_bits.saturating_sub(2);
        let room = (available_bits / slot_bits) as usize;
        let slots = wanted.unwrap_or(room);
        if slots == 0 || slots > room {
            let needed_bits = u32::try_from(slots.max(1)).unwrap_or(u32::MAX).saturating_mul(slot_bits);
            return Err(Error::PlaintextOverflow { slots: slots.max(1), slot_bits, needed_bits, available_bits });
        }
        Ok(Self { slots, slot_bits })
    }

    /// Slots of a plaintext.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Bits of a slot, sign included.
    #[must_use]
    pub fn slot_bits(&self) -> u32 {
        self.slot_bits
    }

    /// Refuses results that need more bits than a slot has.
    ///
    /// # Errors
    /// [`Error::SlotOverflow`] with both numbers.
    pub fn check_result_bits(&self, needed_bits: u32) -> Result<()> {
        if needed_bits > self.slot_bits {
            return Err(Error::SlotOverflow { needed_bits, slot_bits: self.slot_bits });
        }
        Ok(())
    }

    /// sum v_k 2^(k S). Input: at most `slots` values, each in [-2^(S-1), 2^(S-1)).
    ///
    /// # Errors
    /// [`Error::Size`] for too many values, [`Error::OutOfRange`] for one that does not fit its slot.
    pub fn pack(&self, values: impl ExactSizeIterator<Item = i64>) -> Result<Integer> {
        if values.len() > self.slots {
            return Err(Error::size("values in a plaintext", self.slots, values.len()));
        }
        let half = 1i64 << (self.slot_bits - 1);
        // |v| fits its slot, so positive and negative values are laid side by side without carries and subtracted once.
        let mut signs = [Vec::new(), Vec::new()];
        let words = words_for_bits(self.slot_bits * self.slots as u32) + 1;
        for (slot, value) in values.enumerate() {
            if !(-half..half).contains(&value) {
                return Err(Error::range("value of a slot", &value, format!("{} to {}", -half, half - 1)));
            }
            if value != 0 {
                let side = &mut signs[usize::from(value < 0)];
                side.resize(words, 0u64);
                let at = slot * self.slot_bits as usize;
                let field = u128::from(value.unsigned_abs()) << (at % 64);
                side[at / 64] |= field as u64;
                side[at / 64 + 1] |= (field >> 64) as u64;
            }
        }
        let [positive, negative] = signs.map(|mut side| {
            let sum = Integer::from_digits(&side, Order::Lsf);
            side.zeroize();
            sum
        });
        Ok(positive - negative)
    }

    /// The values of all slots, lowest first. `index` names the ciphertext in errors.
    ///
    /// # Errors
    /// [`Error::Decryption`] when something is left above the top slot: an overflow of the top slot, a wrong key or a forged result.
    pub fn unpack(&self, packed: &Integer, index: usize) -> Result<Vec<i64>> {
        // Balanced digits: add 2^(S-1) to every slot, so that all digits are non-negative and no borrow runs.
        let half = Integer::from(1) << (self.slot_bits - 1);
        let offset = (Integer::from(1) << (self.slot_bits * self.slots as u32)) - 1u32;
        let offset = offset / ((Integer::from(1) << self.slot_bits) - 1u32) * &half;
        let shifted = Integer::from(packed + &offset);
        if shifted.is_negative() || shifted.significant_bits() > self.slot_bits * self.slots as u32 {
            return Err(Error::Decryption {
                index,
                reason: format!(
                    "{} bits where {} slots of {} bits end at {}",
                    packed.significant_bits(),
                    self.slots,
                    self.slot_bits,
                    self.slot_bits * self.slots as u32
                ),
            });
        }
        let half = half.to_i64_wrapping();
        let slot = |k: usize| {
            let digit = Integer::from(&shifted >> (self.slot_bits * k as u32)).keep_bits(self.slot_bits);
            digit.to_i64_wrapping() - half
        };
        Ok((0..self.slots).map(slot).collect())
    }
}

/// The plaintexts of a batch of images: for each group of `slots` images one plaintext per column, slot k for the k-th image of the group.
///
/// # Errors
/// When a value does not fit its slot.
pub fn pack_columns(packing: Packing, inputs: &Inputs<'_>) -> Result<Vec<Integer>> {
    let groups = inputs.images().div_ceil(packing.slots());
    let plaintext = |at: usize| {
        let (first, column) = (at / inputs.width() * packing.slots(), at % inputs.width());
        let group = first..(first + packing.slots()).min(inputs.images());
        packing.pack(group.map(|image| i64::from(inputs.image(image)[column])))
    };
    (0..groups * inputs.width()).into_par_iter().with_min_len(16).map(plaintext).collect()
}

/// Results of `images` images, image after image, from one plaintext per group and row.
///
/// # Errors
/// [`Error::Size`] unless there is one plaintext for every group and row, [`Error::Decryption`] when something is left above the top slot.
pub fn unpack_rows(packing: Packing, plaintexts: &[Integer], rows: usize, images: usize) -> Result<Vec<i64>> {
    let expected = images.div_ceil(packing.slots()) * rows;
    if plaintexts.len() != expected {
        return Err(Error::size("plaintexts of the results", expected, plaintexts.len()));
    }
    let mut results = vec![0; images * rows];
    for (index, plaintext) in plaintexts.iter().enumerate() {
        let (group, row) = (index / rows, index % rows);
        for (slot, value) in packing.unpack(plaintext, index)?.into_iter().enumerate() {
            let image = group * packing.slots() + slot;
            if image < images {
                results[image * rows + row] = value;
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_many_slots_as_fit_and_not_one_more() {
        assert_eq!(Packing::new(2048, 26, None).unwrap().slots(), 78);
        assert_eq!(Packing::new(2048, 27, None).unwrap().slots(), 75);
        assert!(Packing::new(2048, 31, Some(66)).is_ok());
        assert!(matches!(Packing::new(2048, 31, Some(67)), Err(Error::PlaintextOverflow { needed_bits: 2077, available_bits: 2046, .. })));
        assert!(Packing::new(2048, 1, None).is_err() && Packing::new(2048, 63, None).is_err() && Packing::new(2048, 26, Some(0)).is_err());
    }

    #[test]
    fn values_past_the_slot_are_refused() {
        let packing = Packing::new(256, 8, Some(3)).unwrap();
        assert!(packing.pack([127i64, -128, 0].into_iter()).is_ok());
        assert!(packing.pack([128i64].into_iter()).is_err());
        assert!(packing.pack([-129i64].into_iter()).is_err());
        assert!(packing.pack([0i64; 4].into_iter()).is_err());
        assert!(packing.check_result_bits(8).is_ok() && packing.check_result_bits(9).is_err());
    }

    #[test]
    fn overflow_of_the_top_slot_is_seen() {
        let packing = Packing::new(256, 8, Some(3)).unwrap();
        let top = packing.pack([0i64, 0, 127].into_iter()).unwrap();
        assert!(packing.unpack(&(top + (1 << 16)), 0).is_err());
        let bottom = packing.pack([-128i64, -128, -128].into_iter()).unwrap();
        assert!(packing.unpack(&(bottom - 1), 0).is_err());
    }

    proptest! {
        #[test]
        fn slots_survive_the_round_trip(slot_bits in 2u32..62, seed in proptest::collection::vec(any::<i64>(), 1..20)) {
            let packing = Packing::new(2048, slot_bits, Some(seed.len())).unwrap();
            let values: Vec<i64> = seed.iter().map(|v| v >> (64 - slot_bits)).collect();
            let packed = packing.pack(values.iter().copied()).unwrap();
            prop_assert_eq!(packing.unpack(&packed, 0).unwrap(), values);
        }
    }
}
