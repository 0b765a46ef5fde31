//! Integers cut into limbs of 52 bits, and joined again.

use zeroize::Zeroize;

use super::kernel::{LANES, LIMB_MASK, Line, RADIX_BITS, TILE};
use crate::integer::{Integer, Order};

/// Limbs of the widest modulus (root) for which the columns provably fit; see `ifma.md`.
pub(super) const MAX_LIMBS: usize = 320;

/// Cuts words of 64 bits into limbs of 52; limbs past the last word are zero.
pub(super) fn to_limbs<'a>(words: &[u64], limbs: impl Iterator<Item = &'a mut u64>) {
    let word = |i: usize| words.get(i).copied().unwrap_or(0);
    for (i, limb) in limbs.enumerate() {
        let (at, shift) = (i * RADIX_BITS / 64, i * RADIX_BITS % 64);
        let high = if shift == 0 { 0 } else { word(at + 1) << (64 - shift) };
        *limb = (word(at) >> shift | high) & LIMB_MASK;
    }
}

/// Joins limbs of 52 bits into words of 64. Limbs that reach past the last word are cut off.
pub(super) fn from_limbs(limb: impl Fn(usize) -> u64, words: &mut [u64]) {
    for (i, word) in words.iter_mut().enumerate() {
        let (at, shift) = (i * 64 / RADIX_BITS, i * 64 % RADIX_BITS);
        *word = limb(at) >> shift | limb(at + 1) << (RADIX_BITS - shift);
        if 2 * RADIX_BITS - shift < 64 {
            *word |= limb(at + 2) << (2 * RADIX_BITS - shift);
        }
    }
}

/// Limbs, a multiple of [`TILE`], that hold a number of `bits` bits.
pub(super) fn size_of_number(bits: u32) -> usize {
    (bits as usize).div_ceil(RADIX_BITS).next_multiple_of(TILE)
}

/// The limbs of a number that fits `size` of them.
pub(super) fn limbs_of(value: &Integer, size: usize) -> Vec<u64> {
    let mut limbs = vec![0; size];
    let mut words = value.to_digits(Order::Lsf);
    to_limbs(&words, limbs.iter_mut());
    words.zeroize();
    limbs
}

/// The limbs of a number that fits `size` of them, in every lane.
pub(super) fn limbs_in_all_lanes(value: &Integer, size: usize) -> Vec<Line> {
    let mut limbs = limbs_of(value, size);
    let lanes = in_all_lanes(&limbs);
    limbs.zeroize();
    lanes
}

/// The same limbs in every lane.
pub(super) fn in_all_lanes(limbs: &[u64]) -> Vec<Line> {
    limbs.iter().map(|&limb| Line([limb; LANES])).collect()
}
