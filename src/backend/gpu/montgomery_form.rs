//! One modulus in one shape: its constants, and the host's part of the conversions.

use zeroize::Zeroize;

use super::shape::{ROOM_BITS, Shape};
use crate::integer::{Integer, Order};
use crate::modulus::{Modulus, minus_inverse};

/// Places of a modulus' constants.
pub(super) const ONE: u32 = 0;
/// The plain 1, which takes a number out of Montgomery form.
pub(super) const PLAIN_ONE: u32 = 1;
/// What takes an integer into Montgomery form: R^2, or, from its two parts, first R and then R^3.
pub(super) const ENTER: u32 = 2;
pub(super) const ENTER_SECOND: u32 = 3;

/// Constants of a modulus. Wiped when dropped: the modulus may be secret.
pub(super) struct MontgomeryForm {
    modulus: Modulus,
    shape: Shape,
    /// The modulus of the digits: the root, or the modulus itself.
    digit_modulus: Integer,
    /// 1/R modulo the modulus.
    r_inverse: Integer,
    minus_inverse: u64,
}

impl Drop for MontgomeryForm {
    fn drop(&mut self) {
        crate::modulus::wipe(&mut self.digit_modulus);
        crate::modulus::wipe(&mut self.r_inverse);
        self.minus_inverse.zeroize();
    }
}

impl MontgomeryForm {
    /// Input: a shape of [`Shape::candidates`] for this modulus, so that R = 2^(W T L) is at least 16 n.
    pub(super) fn new(modulus: Modulus, shape: Shape) -> Self {
        let digit_modulus = modulus.root().unwrap_or_else(|| modulus.value()).clone();
        debug_assert!(digit_modulus.significant_bits() + ROOM_BITS <= shape.bits() * shape.half() as u32);
        // R is a power of two and the modulus odd, so the inverse exists.
        let r_inverse = (Integer::from(1) << (shape.bits() * shape.half() as u32)).invert(modulus.value()).unwrap_or_default();
        let minus_inverse = minus_inverse(digit_modulus.to_u64_wrapping(), shape.bits());
        Self { modulus, shape, digit_modulus, r_inverse, minus_inverse }
    }

    pub(super) fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Appends a digit below R in memory order, as 32-bit words.
    pub(super) fn put_half(&self, value: &Integer, words: &mut Vec<u32>) {
        let (lanes, limbs) = (self.shape.lanes as usize, self.shape.limbs as usize);
        let (bits, limb_words) = (self.shape.bits() as usize, self.shape.variant.arithmetic.limb_words());
        let mut source: Vec<u64> = value.to_digits(Order::Lsf);
        let start = words.len();
        words.resize(start + self.shape.half() * limb_words, 0);
        for limb in 0..self.shape.half() {
            let (at, shift) = (limb * bits / 64, limb * bits % 64);
            let word = |index: usize| u128::from(source.get(index).copied().unwrap_or(0));
            let value = ((word(at) | word(at + 1) << 64) >> shift) as u64 & self.shape.mask();
            let place = start + (limb % limbs * lanes + limb / limbs) * limb_words;
            words[place] = value as u32;
            if limb_words == 2 {
                words[place + 1] = (value >> 32) as u32;
            }
        }
        source.zeroize();
    }

    /// Appends a residue as digits, without Montgomery form.
    pub(super) fn put_plain(&self, value: &Integer, words: &mut Vec<u32>) {
        if self.shape.halves == 1 {
            self.put_half(value, words);
        } else {
            let (high, low) = Integer::from(value).div_rem_floor(self.digit_modulus.clone());
            self.put_half(&low, words);
            self.put_half(&high, words);
        }
    }

    /// Residues among the constants.
    pub(super) fn constant_rows(&self) -> usize {
        self.shape.halves as usize + 2
    }

    /// Appends the modulus of the digits and -1/n modulo 2^W, a limb.
    pub(super) fn put_modulus(&self, words: &mut Vec<u32>) {
        self.put_half(&self.digit_modulus, words);
        let minus_inverse = [self.minus_inverse as u32, (self.minus_inverse >> 32) as u32];
        words.extend(&minus_inverse[..self.shape.variant.arithmetic.limb_words()]);
    }

    /// Appends 1, the plain 1 and what enters.
    pub(super) fn put_constants(&self, words: &mut Vec<u32>) {
        let r = Integer::from(1) << (self.shape.bits() * self.shape.half() as u32);
        let power = |exponent: u32| (0..exponent).fold(Integer::from(1), |product, _| product * &r % self.modulus.value());
        self.put_plain(&power(1), words);
        self.put_plain(&Integer::from(1), words);
        if self.shape.halves == 1 {
            self.put_plain(&power(2), words);
        } else {
            self.put_plain(&power(1), words);
            self.put_plain(&power(3), words);
        }
    }

    /// The integer that a residue in memory order and Montgomery form stands for. Time depends on the value.
    pub(super) fn value(&self, words: &[u32]) -> Integer {
        let limb_words = self.shape.variant.arithmetic.limb_words();
        let mut digits = words.chunks(self.shape.half() * limb_words).map(|half| self.digit(half));
        let low = digits.next().unwrap_or_default();
        let plain = match digits.next() {
            Some(high) => low + high * &self.digit_modulus,
            None => low,
        };
        plain * &self.r_inverse % self.modulus.value()
    }

    /// The integer of one digit in memory order, limbs from -1 (in doubles) to 2^W.
    pub(super) fn digit(&self, words: &[u32]) -> Integer {
        let (lanes, limbs) = (self.shape.lanes as usize, self.shape.limbs as usize);
        let limb_words = self.shape.variant.arithmetic.limb_words();
        let mut value = Integer::new();
        for limb in (0..self.shape.half()).rev() {
            let place = (limb % limbs * lanes + limb / limbs) * limb_words;
            value <<= self.shape.bits();
            value += limb_of(&words[place..place + limb_words]);
        }
        value
    }

    /// The canonical residue of an integer below 4 times the modulus, given as limbs in order, into words; false for a larger integer, which no kernel that
    /// works makes. Time depends on the value.
    #[must_use]
    pub(super) fn canonical(&self, limbs: &[u32], words: &mut [u64]) -> bool {
        let limb_words = self.shape.variant.arithmetic.limb_words();
        let bits = self.shape.bits();
        // Two more bits than the modulus may take one more word.
        let mut value = vec![0u64; words.len() + 1];
        let (mut room, mut filled, mut next) = (0i128, 0u32, 0usize);
        for limb in limbs.chunks_exact(limb_words) {
            room += i128::from(limb_of(limb)) << filled;
            filled += bits;
            if filled >= 64 {
                if let Some(word) = value.get_mut(next) {
                    *word = room as u64;
                }
                next += 1;
                room >>= 64;
                filled -= 64;
            }
        }
        if let Some(word) = value.get_mut(next) {
            *word = room as u64;
        }
        let mut modulus = self.modulus.words();
        modulus.resize(words.len() + 1, 0);
        let is_reduced = |value: &[u64]| value.iter().rev().lt(modulus.iter().rev());
        for _ in 0..3 {
            if is_reduced(&value) {
                break;
            }
            let mut borrow = false;
            for (word, part) in value.iter_mut().zip(&modulus) {
                let (first, under) = word.overflowing_sub(*part);
                let (second, again) = first.overflowing_sub(u64::from(borrow));
                *word = second;
                borrow = under || again;
            }
        }
        let reduced = is_reduced(&value);
        words.copy_from_slice(&value[..words.len()]);
        value.zeroize();
        modulus.zeroize();
        reduced
    }
}

/// A limb from memory. Only two words have a sign.
fn limb_of(words: &[u32]) -> i64 {
    i64::from(words[0]) | words.get(1).map_or(0, |&high| i64::from(high) << 32)
}
