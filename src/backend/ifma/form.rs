//! Residues in the form that the kernels compute with: Montgomery form, in base n where the modulus is a known square, in limbs of 52 bits.

use rug::Integer;
use rug::integer::Order;
use zeroize::Zeroize;

use super::kernel::{self, LANES, LIMB_MASK, Line, RADIX_BITS, Reduction, TILE, Token};
use crate::error::{Error, Result};
use crate::modulus::{Modulus, minus_inverse, wipe};

/// Bits above the reduced modulus that the lazy ranges need: R >= 16 N.
const SPARE_BITS: usize = 4;
/// Limbs of the widest modulus (root) for which the columns provably fit; see `ifma.md`.
const MAX_LIMBS: usize = 320;

/// The constants of one modulus and how its residues are laid out.
pub(super) struct Form {
    token: Token,
    modulus: Modulus,
    /// Limbs of what the kernels reduce by: the root where it is known, the modulus elsewhere.
    limbs: Vec<[u64; TILE]>,
    minus_inverse: u64,
    /// Numbers of `limbs` length in a residue: 2 in base n, else 1.
    halves: usize,
    /// R mod N, R^2 mod N and 1, as rows.
    one: Vec<Line>,
    r_squared: Vec<Line>,
    plain_one: Vec<Line>,
}

impl Drop for Form {
    fn drop(&mut self) {
        self.limbs.as_flattened_mut().zeroize();
        self.one.zeroize();
        self.r_squared.zeroize();
    }
}

/// Memory of one product of eight lanes. Reused between products, wiped when dropped.
pub(super) struct Workspace {
    /// Quotient of the first pass.
    quotient: Vec<Line>,
    /// Quotient of the second pass, needed by nobody.
    spare: Vec<Line>,
    /// Twice the base of a square.
    twice: Vec<Line>,
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.quotient.zeroize();
        self.spare.zeroize();
        self.twice.zeroize();
    }
}

impl Form {
    pub(super) fn new(token: Token, modulus: Modulus) -> Result<Self> {
        let halves = if modulus.root().is_some() { 2 } else { 1 };
        let reduced_by = modulus.root().unwrap_or(modulus.value());
        let size = (reduced_by.significant_bits() as usize + SPARE_BITS).div_ceil(RADIX_BITS).next_multiple_of(TILE);
        if size > MAX_LIMBS {
            return Err(Error::Unsupported {
                subject: "backend ifma".into(),
                feature: format!("arithmetic modulo {} bits (at most {})", reduced_by.significant_bits(), MAX_LIMBS * RADIX_BITS - SPARE_BITS),
            });
        }
        let mut limbs = vec![[0; TILE]; size / TILE];
        let mut words = reduced_by.to_digits(Order::Lsf);
        to_limbs(&words, limbs.as_flattened_mut().iter_mut());
        let minus_inverse = minus_inverse(words[0], RADIX_BITS as u32);
        words.zeroize();
        let mut form = Self { token, modulus, limbs, minus_inverse, halves, one: Vec::new(), r_squared: Vec::new(), plain_one: Vec::new() };
        let mut r = Integer::from(1) << (RADIX_BITS * size) as u32;
        r %= form.modulus.value();
        form.one = form.row(&r);
        r.square_mut();
        r %= form.modulus.value();
        form.r_squared = form.row(&r);
        wipe(&mut r);
        form.plain_one = form.row(&Integer::from(1));
        Ok(form)
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(super) fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    /// R mod N: the number 1 in Montgomery form, as a row.
    pub(super) fn one(&self) -> &[Line] {
        &self.one
    }

    /// R^2 mod N as a row: a product with it brings a plain number to Montgomery form.
    pub(super) fn r_squared(&self) -> &[Line] {
        &self.r_squared
    }

    /// 1 as a row: a product with it brings a number out of Montgomery form.
    pub(super) fn plain_one(&self) -> &[Line] {
        &self.plain_one
    }

    /// Limbs of one half.
    pub(super) fn size(&self) -> usize {
        self.limbs.len() * TILE
    }

    /// Lines of a row: the halves one after the other, filled up with zeros.
    pub(super) fn lines(&self) -> usize {
        (self.halves * self.size()).div_ceil(LANES)
    }

    /// Vectors of eight residues, limb-major: as many limbs as a row has room for.
    pub(super) fn width(&self) -> usize {
        self.lines() * LANES
    }

    /// For measurements: multiply-adds of a product and of a square, eight lanes together.
    #[cfg(test)]
    pub(super) fn multiply_adds(&self) -> [usize; 2] {
        let h = self.size();
        if self.halves == 2 { [10 * h * h, 7 * h * h + h] } else { [4 * h * h, 3 * h * h + h] }
    }

    pub(super) fn workspace(&self) -> Workspace {
        let zeros = || vec![Line::default(); self.size()];
        Workspace { quotient: zeros(), spare: zeros(), twice: zeros() }
    }

    fn reduction(&self) -> Reduction<'_> {
        Reduction { modulus: &self.limbs, minus_inverse: self.minus_inverse }
    }

    /// `out` = a b / R mod N in eight lanes.
    ///
    /// Input: limb-major, halves below 3N (3n in base n) with limbs below 2^52. Output: the same range. Time depends on the size only. Source: base n, `ifma.md`;
    /// proven.
    pub(super) fn mul(&self, out: &mut [Line], a: &[Line], b: &[Line], work: &mut Workspace) {
        let h = self.size();
        let (token, by) = (self.token, self.reduction());
        kernel::mul(token, by, &mut out[..h], &mut work.quotient, &a[..h], &b[..h]);
        if self.halves == 2 {
            let factors = [&a[..h], &b[h..2 * h], &a[h..2 * h], &b[..h]];
            kernel::cross_more(token, by, &mut out[h..2 * h], &mut work.spare, factors, &work.quotient);
        }
    }

    /// `out` = a a / R mod N in eight lanes. Ranges, time and source as [`Self::mul`].
    pub(super) fn sqr(&self, out: &mut [Line], a: &[Line], work: &mut Workspace) {
        let h = self.size();
        let (token, by) = (self.token, self.reduction());
        kernel::sqr(token, by, &mut out[..h], &mut work.quotient, &a[..h], &mut work.twice);
        if self.halves == 2 {
            kernel::mul_more(token, by, &mut out[h..2 * h], &mut work.spare, [&work.twice, &a[h..2 * h]], &work.quotient);
        }
    }

    /// The digits of a number below the modulus as a row, not in Montgomery form. Time depends on the number.
    pub(super) fn row(&self, value: &Integer) -> Vec<Line> {
        let mut row = vec![Line::default(); self.lines()];
        self.write_row(value, &mut row);
        row
    }

    /// As [`Self::row`], into a row at hand.
    pub(super) fn write_row(&self, value: &Integer, row: &mut [Line]) {
        row.fill(Line::default());
        let mut words = row.iter_mut().flat_map(|line| &mut line.0);
        let mut put = |half: &Integer| {
            let mut digits = half.to_digits(Order::Lsf);
            to_limbs(&digits, words.by_ref().take(self.size()));
            digits.zeroize();
        };
        match self.modulus.root() {
            Some(root) => {
                let (mut high, mut low) = <(Integer, Integer)>::from(value.div_rem_ref(root));
                high = root - high;
                put(&low);
                put(&high);
                wipe(&mut low);
                wipe(&mut high);
            }
            None => put(value),
        }
    }

    /// The canonical residue of a row that is not in Montgomery form, in `[0, modulus)`. Time depends on the number.
    ///
    /// Input: halves below 3N with limbs below 2^52.
    pub(super) fn read_row(&self, row: &[Line]) -> Integer {
        let limbs: Vec<u64> = row.iter().flat_map(|line| line.0).collect();
        let mut limbs = zeroize::Zeroizing::new(limbs);
        let (low, high) = limbs[..].split_at_mut(self.size());
        let mut value = from_limbs(low);
        if let Some(root) = self.modulus.root() {
            let mut high = from_limbs(&high[..self.size()]);
            // The digit is below 3n; turn its sign.
            high = Integer::from(root * 3u32) - high;
            value += &high * root;
            wipe(&mut high);
        }
        while value >= *self.modulus.value() {
            value -= self.modulus.value();
        }
        value
    }
}

/// Cuts words of 64 bits into limbs of 52; limbs past the last word are zero.
fn to_limbs<'a>(words: &[u64], limbs: impl Iterator<Item = &'a mut u64>) {
    let word = |i: usize| words.get(i).copied().unwrap_or(0);
    for (i, limb) in limbs.enumerate() {
        let (at, shift) = (i * RADIX_BITS / 64, i * RADIX_BITS % 64);
        let high = if shift == 0 { 0 } else { word(at + 1) << (64 - shift) };
        *limb = (word(at) >> shift | high) & LIMB_MASK;
    }
}

/// The number that limbs of 52 bits stand for.
fn from_limbs(limbs: &[u64]) -> Integer {
    let mut words = zeroize::Zeroizing::new(vec![0u64; (limbs.len() * RADIX_BITS).div_ceil(64) + 1]);
    for (i, limb) in limbs.iter().enumerate() {
        let (at, shift) = (i * RADIX_BITS / 64, i * RADIX_BITS % 64);
        words[at] |= limb << shift;
        if shift > 64 - RADIX_BITS {
            words[at + 1] |= limb >> (64 - shift);
        }
    }
    Integer::from_digits(&words, Order::Lsf)
}
