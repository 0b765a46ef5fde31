//! Residues in the form that the kernels compute with: Montgomery form, in base n where the modulus is a known square, in limbs of 52 bits.

use zeroize::Zeroize;

use super::exact::Exact;
use super::kernel::{self, Ahead, LANES, LIMB_MASK, Line, RADIX_BITS, Reduction, Shared, TILE, Token};
use super::limb52::{MAX_LIMBS, from_limbs, in_all_lanes, limbs_in_all_lanes, limbs_of, size_of_number, to_limbs};
use crate::error::{Error, Result};
use crate::integer::{Integer, Order};
use crate::modulus::{Modulus, minus_inverse, wipe};

/// Bits above the reduced modulus that the lazy ranges need: R >= 16 N.
const SPARE_BITS: u32 = 4;

/// Most terms of a sum of limbs: 2^10 of them, below 2^52 each, leave a word room.
const MAX_CHAIN: usize = 1 << 10;

/// The constants of one modulus and how its residues are laid out.
pub(super) struct MontgomeryForm {
    token: Token,
    modulus: Modulus,
    /// Limbs of what the kernels reduce by: the root where it is known, the modulus elsewhere.
    limbs: Vec<Shared>,
    minus_inverse: u64,
    /// Numbers of `limbs` length in a residue: 2 in base n, else 1.
    halves: usize,
    /// R mod N as a row.
    one: Vec<Line>,
    /// R^2 and R^3 mod N in all lanes, limb-major.
    r_squared: Vec<Line>,
    r_cubed: Vec<Line>,
    /// Zero, limb-major.
    zero: Vec<Line>,
    /// R - K with K the largest multiple of the root up to R/2: limbs, for [`Self::log_mul`]. Empty without a root.
    complement: Vec<Shared>,
    /// Most table entries that a chain may take up: R/2n of them, at most 1024.
    longest_chain: usize,
    /// What joins digits, in base n.
    canonical: Option<Canonical>,
}

/// Constants of [`MontgomeryForm::leave`] in base n: exact products, n in all lanes, limbs of 2n.
struct Canonical {
    exact: Exact,
    root: Vec<Line>,
    twice_root: Vec<u64>,
}

impl Drop for MontgomeryForm {
    fn drop(&mut self) {
        self.limbs.as_flattened_mut().zeroize();
        self.one.zeroize();
        self.r_squared.zeroize();
        self.r_cubed.zeroize();
        self.complement.as_flattened_mut().zeroize();
        if let Some(Canonical { root, twice_root, .. }) = &mut self.canonical {
            root.zeroize();
            twice_root.zeroize();
        }
    }
}

/// Constants of [`MontgomeryForm::one_plus`] for one factor f, in all lanes: x0, and -f R^2, -f R^3 and x1 R mod n, where x0 - x1 n = R.
pub(super) struct OnePlus([Vec<Line>; 4]);

impl Drop for OnePlus {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
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

impl MontgomeryForm {
    pub(super) fn new(token: Token, modulus: Modulus) -> Result<Self> {
        let halves = if modulus.root().is_some() { 2 } else { 1 };
        let reduced_by = modulus.root().unwrap_or(modulus.value());
        let size = size_of_number(reduced_by.significant_bits() + SPARE_BITS);
        if size > MAX_LIMBS {
            return Err(Error::unsupported(
                "backend ifma",
                format!("arithmetic modulo {} bits (at most {})", reduced_by.significant_bits(), MAX_LIMBS * RADIX_BITS - SPARE_BITS as usize),
            ));
        }
        let mut limbs = vec![[0; TILE]; size / TILE];
        let mut words = reduced_by.to_digits(Order::Lsf);
        to_limbs(&words, limbs.as_flattened_mut().iter_mut());
        let minus_inverse = minus_inverse(words[0], RADIX_BITS as u32);
        words.zeroize();
        let empty = Vec::new;
        let whole = Integer::from(1) << (RADIX_BITS * size) as u32;
        let mut form = Self {
            token,
            limbs,
            minus_inverse,
            halves,
            one: empty(),
            r_squared: empty(),
            r_cubed: empty(),
            zero: empty(),
            complement: Vec::new(),
            longest_chain: 0,
            canonical: None,
            modulus,
        };
        if let Some(root) = form.modulus.root() {
            let half = Integer::from(&whole >> 1u32);
            form.longest_chain = Integer::from(&half / root).to_usize().unwrap_or(usize::MAX).min(MAX_CHAIN);
            let mut rest = Integer::from(&half % root);
            let mut complement = half + &rest;
            let mut words = complement.to_digits(Order::Lsf);
            form.complement = vec![[0; TILE]; size / TILE];
            to_limbs(&words, form.complement.as_flattened_mut().iter_mut());
            words.zeroize();
            wipe(&mut complement);
            wipe(&mut rest);
            let mut twice = Integer::from(root << 1u32);
            let twice_root = limbs_of(&twice, size);
            wipe(&mut twice);
            form.canonical = Some(Canonical { exact: Exact::new(token, size), root: limbs_in_all_lanes(root, size), twice_root });
        }
        let mut r = whole % form.modulus.value();
        let mut power = Integer::from(r.square_ref()) % form.modulus.value();
        form.one = form.row(&r);
        form.r_squared = form.lanes(&power);
        power *= &r;
        power %= form.modulus.value();
        form.r_cubed = form.lanes(&power);
        form.zero = vec![Line::default(); size];
        wipe(&mut r);
        wipe(&mut power);
        Ok(form)
    }

    fn lanes(&self, value: &Integer) -> Vec<Line> {
        let mut row = self.row(value);
        let lanes = in_all_lanes(bytemuck::cast_slice(&row));
        row.zeroize();
        lanes
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

    /// Limbs of one half.
    pub(super) fn size(&self) -> usize {
        self.limbs.len() * TILE
    }

    /// Limbs of a residue.
    pub(super) fn limbs(&self) -> usize {
        self.halves * self.size()
    }

    /// Lines of a row: the halves one after the other, filled up with zeros.
    pub(super) fn lines(&self) -> usize {
        (self.halves * self.size()).div_ceil(LANES)
    }

    /// Vectors of eight residues, limb-major: as many limbs as a row has room for.
    pub(super) fn width(&self) -> usize {
        self.lines() * LANES
    }

    /// Multiply-adds of a product and of a square, eight lanes together.
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
        kernel::mul(token, by, &mut out[..h], &mut work.quotient, &a[..h], &b[..h], &mut Ahead::default());
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

    /// Most entries of a chain of log-form products; see [`Self::log_end`]. At least 8; 0 without a root.
    pub(super) fn longest_chain(&self) -> usize {
        self.longest_chain
    }

    /// From digits to log form (`ifma.md`): `out` = (x0, x1 R mod n).
    ///
    /// Input: the range of [`Self::mul`]. Output: x0 < 3n, the other below 3n. Time depends on the size only. Proven.
    pub(super) fn log_start(&self, out: &mut [Line], x: &[Line], work: &mut Workspace) {
        let h = self.size();
        out[..h].copy_from_slice(&x[..h]);
        let (token, by) = (self.token, self.reduction());
        kernel::mul(token, by, &mut out[h..2 * h], &mut work.spare, &x[h..2 * h], &self.r_squared[..h], &mut Ahead::default());
    }

    /// The product of two table entries without their logs, in log form: (t u / R, quotient).
    ///
    /// Input: t, u < 3n. Output: below 1.57 n and below R. Time depends on the size only. Source: quotient as second digit, `ifma.md`; proven.
    pub(super) fn log_pair(&self, out: &mut [Line], t: &[Line], u: &[Line], ahead: &mut Ahead<'_>) {
        let h = self.size();
        let (low, high) = out[..2 * h].split_at_mut(h);
        kernel::mul(self.token, self.reduction(), low, high, &t[..h], &u[..h], ahead);
    }

    /// `out` = x y / R, all in log form; `meanwhile` runs between the two passes.
    ///
    /// Input: x0, y0 < 3n, xh, yh < R. Output: below 1.57 n and below R. Time depends on the size only. Source: `ifma.md`; proven.
    pub(super) fn log_mul(
        &self,
        out: &mut [Line],
        x: &[Line],
        y: &[Line],
        work: &mut Workspace,
        ahead: &mut Ahead<'_>,
        meanwhile: impl FnOnce(&mut Ahead<'_>),
    ) {
        let h = self.size();
        let (token, by) = (self.token, self.reduction());
        let (low, high) = out[..2 * h].split_at_mut(h);
        let ((x0, xh), (y0, yh)) = (x[..2 * h].split_at(h), y[..2 * h].split_at(h));
        kernel::mul(token, by, low, &mut work.quotient, x0, y0, ahead);
        meanwhile(ahead);
        kernel::cross_above(token, by, high, &mut work.spare, [x0, yh, xh, y0], (&work.quotient, &self.complement), ahead);
    }

    /// From log form to digits, with the sum of the logs that were left out: `out` = x (1 - n g/R). `logs` are column sums of limbs, which this normalises.
    ///
    /// Input: x0 < 1.57 n, xh < R, g the sum of at most [`Self::longest_chain`] numbers below 1.57 n. Output: the range of [`Self::mul`]. Time depends on the size
    /// only. Proven: g < R, and x0 g <= 1.24 n R.
    pub(super) fn log_end(&self, out: &mut [Line], x: &[Line], logs: &mut [Line], work: &mut Workspace) {
        let h = self.size();
        let mut carry = [0; LANES];
        for line in &mut *logs {
            for (limb, carry) in line.0.iter_mut().zip(&mut carry) {
                let sum = *limb + *carry;
                (*limb, *carry) = (sum & LIMB_MASK, sum >> RADIX_BITS);
            }
        }
        out[..h].copy_from_slice(&x[..h]);
        kernel::mul_more(self.token, self.reduction(), &mut out[h..2 * h], &mut work.spare, [&x[..h], &logs[..h]], &x[h..2 * h]);
    }

    /// A number given by its words to lane `lane`, cut at limb h: what [`Self::enter`] takes. Time depends on the lengths only.
    pub(super) fn put(&self, words: &[u64], lane: usize, vectors: &mut [Line]) {
        to_limbs(words, vectors[..self.halves * self.size()].iter_mut().map(|line| &mut line.0[lane]));
    }

    /// To Montgomery form: `out` = X R mod N for eight numbers from [`Self::put`].
    ///
    /// In base n, X = low + high R with halves of h limbs, so X R = (low R^2 + high R^3)/R, and the digits of R^2 and R^3 are constants: no division by n.
    /// Input: X below the modulus. Output: the range of [`Self::mul`], as low < R and high <= n/16. Time depends on the size only. Tested; range proven.
    pub(super) fn enter(&self, out: &mut [Line], plain: &[Line], work: &mut Workspace) {
        let h = self.size();
        let (token, by) = (self.token, self.reduction());
        if self.halves == 1 {
            return kernel::mul(token, by, &mut out[..h], &mut work.quotient, &plain[..h], &self.r_squared[..h], &mut Ahead::default());
        }
        let (low, high) = plain[..2 * h].split_at(h);
        let [(low_squared, high_squared), (low_cubed, high_cubed)] = [&self.r_squared, &self.r_cubed].map(|power| power[..2 * h].split_at(h));
        kernel::cross_more(token, by, &mut out[..h], &mut work.quotient, [low, low_squared, high, low_cubed], &self.zero);
        kernel::cross_more(token, by, &mut out[h..2 * h], &mut work.spare, [low, high_squared, high, high_cubed], &work.quotient);
    }

    /// What [`Self::one_plus`] needs. Time depends on the factor.
    pub(super) fn one_plus_constants(&self, root: &Integer, factor: &Integer) -> OnePlus {
        let h = self.size();
        let shift = (RADIX_BITS * h) as u32;
        let constant = |value: &mut Integer| {
            *value <<= shift;
            *value %= root;
            limbs_in_all_lanes(value, h)
        };
        let mut one: Vec<u64> = self.one.iter().flat_map(|line| line.0).take(2 * h).collect();
        let low = in_all_lanes(&one[..h]);
        let mut words = vec![0; (h * RADIX_BITS).div_ceil(64)];
        from_limbs(|i| one[h..].get(i).copied().unwrap_or(0), &mut words);
        one.zeroize();
        let mut high = Integer::from_digits(&words, Order::Lsf);
        words.zeroize();
        let mut power = (root - Integer::from(factor % root)) << shift;
        power %= root;
        let constants = OnePlus([low, constant(&mut power), constant(&mut power), constant(&mut high)]);
        wipe(&mut power);
        wipe(&mut high);
        constants
    }

    /// `out` = (1 + n f v) R mod n^2 in eight lanes, for v from [`Self::put`] and f of the constants.
    ///
    /// n n = 0, so that is R + n (f v R mod n), and f v R = (low f R^2 + high f R^3)/R where v = low + high R. Input: low < R, high < R/4. Output: the range of
    /// [`Self::mul`], as (R n + R n/4 + n)/R + n < 3n. Time depends on the size only. Tested; range proven.
    pub(super) fn one_plus(&self, out: &mut [Line], plain: &[Line], OnePlus([x0, squared, cubed, x1]): &OnePlus, work: &mut Workspace) {
        let h = self.size();
        out[..h].copy_from_slice(x0);
        let factors = [&plain[..h], &squared[..], &plain[h..2 * h], &cubed[..]];
        kernel::cross_more(self.token, self.reduction(), &mut out[h..2 * h], &mut work.spare, factors, x1);
    }

    /// Out of Montgomery form: `out` = X / R mod N, canonical, cut into limbs; the reverse of [`Self::enter`].
    ///
    /// In base n the digits r = REDC(x0) and z = REDC(x1 + m) are at most n + 1, as there with y0 = 1 and y1 = 0. Where r >= n, n moves to the other digit:
    /// X = r - z n = r' + d n with r' < n and d = 2n - z (+ 1), less n until it is below. Input: the range of [`Self::mul`]. Output: limbs below 2^52 of a number
    /// below N (n^2). Time depends on the size only. Tested; range proven.
    pub(super) fn leave(&self, out: &mut [Line], a: &[Line], work: &mut Workspace) {
        let h = self.size();
        let (token, by, limbs) = (self.token, self.reduction(), self.limbs.as_flattened());
        kernel::reduce(token, by, &mut out[..h], &mut work.quotient, &a[..h]);
        let moved = kernel::subtract_once(token, &mut out[..h], limbs);
        if let Some(Canonical { exact, root, twice_root }) = &self.canonical {
            for ((sum, high), quotient) in work.twice.iter_mut().zip(&a[h..2 * h]).zip(&work.quotient) {
                *sum = Line(std::array::from_fn(|lane| high.0[lane] + quotient.0[lane]));
            }
            let (low, high) = out[..2 * h].split_at_mut(h);
            kernel::reduce(token, by, high, &mut work.spare, &work.twice);
            kernel::subtract_from(token, twice_root, high, moved);
            kernel::subtract_once(token, high, limbs);
            kernel::subtract_once(token, high, limbs);
            exact.product_more(&mut work.spare, &mut work.twice, [high, root], low);
            low.copy_from_slice(&work.spare);
            high.copy_from_slice(&work.twice);
        }
    }

    /// The digits of a number below the modulus as a row, not in Montgomery form. Time depends on the number.
    pub(super) fn row(&self, value: &Integer) -> Vec<Line> {
        let mut row = vec![Line::default(); self.lines()];
        let mut limbs = row.iter_mut().flat_map(|line| &mut line.0);
        let mut put = |half: &Integer| {
            let mut words = half.to_digits(Order::Lsf);
            to_limbs(&words, limbs.by_ref().take(self.size()));
            words.zeroize();
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
        row
    }
}
