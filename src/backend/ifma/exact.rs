//! Exact integers in lanes, for what leaves the lazy ranges: products without a modulus, and residues of two moduli joined.
//!
//! A pass that reduces modulo 1 is an exact product. With N = 1 its quotient is m = -T mod R and its result (T + m)/R, so T = R result - m, and
//! [`kernel::settle`] makes limbs of that.

use zeroize::Zeroize;

use super::kernel::{self, LANES, LIMB_MASK, Line, Reduction, Shared, TILE, Token};
use super::limb52::{MAX_LIMBS, limbs_in_all_lanes, limbs_of, size_of_number, to_limbs};
use crate::integer::Integer;

/// Products of numbers of one length.
pub(super) struct Exact {
    token: Token,
    /// The modulus 1.
    unit: Vec<Shared>,
    zero: Vec<Line>,
}

impl Exact {
    /// For factors of `size` limbs, a multiple of [`TILE`].
    pub(super) fn new(token: Token, size: usize) -> Self {
        let mut unit = vec![[0; TILE]; size / TILE];
        unit[0][0] = 1;
        Self { token, unit, zero: vec![Line::default(); size] }
    }

    fn by(&self) -> Reduction<'_> {
        Reduction { modulus: &self.unit, minus_inverse: LIMB_MASK }
    }

    /// `low` + R `high` = a b + m in eight lanes.
    ///
    /// Input: limbs below 2^52, a b + m < R^2 - R. Output: limbs below 2^52. Time depends on the size only. Proven: T + m < R^2, so
    /// the pass ends below R.
    pub(super) fn product_more(&self, low: &mut [Line], high: &mut [Line], factors: [&[Line]; 2], m: &[Line]) {
        kernel::mul_more(self.token, self.by(), high, low, factors, m);
        kernel::settle(self.token, low, high);
    }

    /// `low` + R `high` = a b + c d in eight lanes. Ranges and time as [`Self::product_more`].
    pub(super) fn cross(&self, low: &mut [Line], high: &mut [Line], factors: [&[Line]; 4]) {
        kernel::cross_more(self.token, self.by(), high, low, factors, &self.zero);
        kernel::settle(self.token, low, high);
    }
}

/// Joins residues x of one modulus m and y of another one m' to x m' + y m, modulo m m'. Its constants may be secret: wiped when dropped.
pub(super) struct Join {
    token: Token,
    exact: Exact,
    size: usize,
    /// m and m' in all lanes, and the limbs of m m'.
    moduli: [Vec<Line>; 2],
    product: Vec<u64>,
}

impl Drop for Join {
    fn drop(&mut self) {
        self.moduli.zeroize();
        self.product.zeroize();
    }
}

impl Join {
    /// None for moduli of more limbs than the columns provably hold.
    pub(super) fn new(token: Token, moduli: [&Integer; 2], product: &Integer) -> Option<Self> {
        let size = moduli.iter().map(|modulus| size_of_number(modulus.significant_bits() + 1)).max().unwrap_or(TILE);
        (size <= MAX_LIMBS).then(|| Self {
            token,
            exact: Exact::new(token, size),
            size,
            moduli: moduli.map(|modulus| limbs_in_all_lanes(modulus, size)),
            product: limbs_of(product, 2 * size),
        })
    }

    /// Limbs of a result.
    pub(super) fn limbs(&self) -> usize {
        2 * self.size
    }

    /// Lines that [`Self::join`] works in.
    pub(super) fn room(&self) -> usize {
        4 * self.size
    }

    /// The joined numbers of up to eight lanes, limb-major in the first [`Self::limbs`] lines of `room`.
    ///
    /// Input: words of x below m and of y below m', lane after lane. Output: below m m'. Time depends on the sizes only. Proven: x m' + y m < 2 m m' < R^2 - R.
    pub(super) fn join<'a>(&self, lanes: impl Iterator<Item = [&'a [u64]; 2]>, room: &mut [Line]) {
        let (sum, factors) = room.split_at_mut(2 * self.size);
        let (x, y) = factors.split_at_mut(self.size);
        for (lane, words) in lanes.enumerate().take(LANES) {
            for (vectors, words) in [&mut *x, &mut *y].into_iter().zip(words) {
                to_limbs(words, vectors.iter_mut().map(|line| &mut line.0[lane]));
            }
        }
        let (low, high) = sum.split_at_mut(self.size);
        let [m, other] = &self.moduli;
        self.exact.cross(low, high, [x, other, y, m]);
        kernel::subtract_once(self.token, sum, &self.product);
    }
}
