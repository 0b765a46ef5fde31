//! Parameters, and the rule that they must meet before anything is encrypted: noise stays below w/2 and every sum within its integers.

use crate::error::{Error, Result};
use crate::randomness::Stream;
use crate::text::named;

/// Most bits of q: sums modulo q are taken modulo 2^64 first.
pub const MAX_MODULUS_BITS: u32 = 62;

/// How the entries of a matrix are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Draw {
    /// Uniform in `0..bound`, as in the public programs. The bound is above 0.
    Below(u32),
    /// Uniform modulo q; needs a modulus.
    Modulus,
    /// Centred binomial: the difference of two sums of this many fair bits, 1 to 32. Of variance half of that number.
    Centred(u32),
}

impl Draw {
    /// Largest magnitude of an entry, without the modulus.
    pub(super) fn most(self) -> u128 {
        match self {
            Self::Below(bound) => u128::from(bound.max(1)) - 1,
            Self::Centred(bits) => u128::from(bits),
            Self::Modulus => 1 << (MAX_MODULUS_BITS - 1),
        }
    }

    /// An entry. Modulo q in `-q/2..q/2`.
    pub(super) fn sample(self, modulus_bits: Option<u32>, stream: &mut Stream) -> i64 {
        match self {
            Self::Below(bound) => stream.word_below(u64::from(bound)) as i64,
            Self::Modulus => stream.word() as i64 >> (64 - modulus_bits.unwrap_or(MAX_MODULUS_BITS)),
            Self::Centred(bits) => {
                let word = stream.word();
                let mask = (1u64 << bits) - 1;
                i64::from((word & mask).count_ones()) - i64::from((word >> 32 & mask).count_ones())
            }
        }
    }

    fn check(self, what: &'static str, modulus: bool) -> Result<()> {
        let allowed = match self {
            Self::Below(0) => "a bound from 1",
            Self::Centred(0 | 33..) => "1 to 32 bits of a centred binomial",
            Self::Modulus if !modulus => "uniform modulo q only where there is a q",
            _ => return Ok(()),
        };
        Err(Error::range(what, &format!("{self:?}"), allowed))
    }
}

named! {
    /// A way to encrypt messages.
    pub enum Encryption {
        /// With one public matrix for all: anybody can encrypt, and equal messages give equal
        /// ciphertexts.
        Fixed => "fixed",
        /// With randomness of its own for every message, by the owner of the key.
        Fresh => "fresh",
    }
}

/// Parameters of a key and of what is encrypted under it. Public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// Entries of a message, m.
    pub dimension: usize,
    /// Columns of T, k. A ciphertext has m + k entries.
    pub key_columns: usize,
    /// Largest magnitude of an entry of a message.
    pub message_bound: u64,
    /// Bits of the scale w, a power of two; from 1.
    pub scale_bits: u32,
    /// Entries of the key T.
    pub key: Draw,
    /// Entries of A.
    pub mask: Draw,
    /// Entries of E.
    pub noise: Draw,
    /// Bits of the modulus q, a power of two; none for arithmetic over the integers.
    pub modulus_bits: Option<u32>,
}

named! {
    /// Parameter sets of the public programs, all over the integers. [`Published::parameters`]
    /// gives them a size.
    pub enum Published {
        /// J. Payor's C++ program (github.com/jamespayor/vector-homomorphic-encryption): w = 2^40,
        /// all bounds 1000.
        Payor => "payor",
        /// The Python program
        /// github.com/secureldata/Efficient-Integer-Vector-Homomorphic-Encryption, and yilisita's
        /// in Go: w = 2^45, bounds 100, noise below 1000.
        Secureldata => "secureldata",
        /// A. Trask's blog post of 17 March 2017: w = 2^25, all bounds 10, one column of key.
        Trask => "trask",
    }
}

impl Published {
    /// The set for messages of `dimension` entries up to `message_bound` and a key of `key_columns` columns.
    #[must_use]
    pub const fn parameters(self, dimension: usize, key_columns: usize, message_bound: u64) -> Parameters {
        let (scale_bits, key, mask, noise) = match self {
            Self::Payor => (40, 1000, 1000, 1000),
            Self::Secureldata => (45, 100, 100, 1000),
            Self::Trask => (25, 10, 10, 10),
        };
        let (key, mask, noise) = (Draw::Below(key), Draw::Below(mask), Draw::Below(noise));
        Parameters { dimension, key_columns, message_bound, scale_bits, key, mask, noise, modulus_bits: None }
    }
}

/// Key columns of [`Parameters::lwe`] where anything is computed.
pub const LWE_DIMENSION: usize = 2048;
/// Bits of q of [`Parameters::lwe`] where anything is computed.
pub const LWE_MODULUS_BITS: u32 = 54;
/// Dimensions of keys and the bits of q that they bear: rows of the table of the Homomorphic Encryption Standard for 128 bits, its strictest kind of key.
const LWE_TABLE: [(usize, u32); 2] = [(1024, 27), (LWE_DIMENSION, LWE_MODULUS_BITS)];
/// Fair bits on each side of the noise of [`Parameters::lwe`]: standard deviation 3.24.
pub const LWE_NOISE: u32 = 21;
/// Estimated strength of [`Parameters::lwe`] with [`Encryption::Fresh`].
pub const LWE_SECURITY_BITS: u32 = 128;

impl Parameters {
    /// The sound variant: A and T uniform modulo q, noise centred, and to be used with [`Encryption::Fresh`]; a fixed public matrix is deterministic and unsound
    /// modulo q, too.
    ///
    /// A ciphertext is m samples of learning with errors in dimension k that share their A (Peikert, Vaikuntanathan, Waters 2008). The rule for its
    /// strength is the table of the Homomorphic Encryption Standard (Albrecht et al., 21 November 2018): 128 bits against classical attacks for noise of standard deviation
    /// 3.2 and dimension 2048 with log2 q up to 54, or 1024 with up to 27, the strictest of its three kinds of keys. An estimate, not a proof, and for ring samples; plain samples, as here, have
    /// less structure.
    ///
    /// `result_bound` is the largest magnitude of anything computed on the messages; w is the largest power of two that leaves room for it. The smaller key is taken where
    /// messages of 8 bits are encrypted for storage or training alone.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the results leave no room for noise.
    pub fn lwe(dimension: usize, message_bound: u64, result_bound: u64) -> Result<Self> {
        let result_bits = 64 - result_bound.max(message_bound).leading_zeros();
        if result_bits + 8 > LWE_MODULUS_BITS {
            return Err(Error::range("bits of a result", &result_bits, format!("{} and fewer modulo 2^{LWE_MODULUS_BITS}", LWE_MODULUS_BITS - 8)));
        }
        // The noise of a fixed matrix, at most 21 * 8 bits * 784, needs w = 2^19; fresh noise alone is far below.
        let (key_columns, modulus_bits) = if result_bits <= 8 { LWE_TABLE[0] } else { LWE_TABLE[1] };
        Ok(Self {
            dimension,
            key_columns,
            message_bound,
            // |w y + e| < w (2^result_bits - 1) + w/2 < q/2.
            scale_bits: modulus_bits - 1 - result_bits,
            key: Draw::Modulus,
            mask: Draw::Modulus,
            noise: Draw::Centred(LWE_NOISE),
            modulus_bits: Some(modulus_bits),
        })
    }

    /// Entries of a ciphertext.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.dimension + self.key_columns
    }

    /// The scale w.
    #[must_use]
    pub const fn scale(&self) -> i64 {
        1 << self.scale_bits
    }

    /// Estimated strength in bits: 0 over the integers, and with a fixed public matrix; 128 for [`Self::lwe`] with fresh randomness; none where there is no
    /// estimate.
    #[must_use]
    pub fn security_bits(&self, encryption: Encryption) -> Option<u32> {
        if self.modulus_bits.is_none() || encryption == Encryption::Fixed || self.mask != Draw::Modulus {
            return Some(0);
        }
        let bits = self.modulus_bits.unwrap_or(u32::MAX);
        let estimated = self.key == Draw::Modulus
            && LWE_TABLE.iter().any(|&(dimension, modulus_bits)| self.key_columns >= dimension && bits <= modulus_bits)
            && matches!(self.noise, Draw::Centred(LWE_NOISE..));
        estimated.then_some(LWE_SECURITY_BITS)
    }

    /// Significant bits of an entry of a message: the columns of the public matrix per entry. Of the l = 100 columns of the public programs all others meet
    /// digits that are 0 for every message, as w is a power of two.
    #[must_use]
    pub const fn message_bits(&self) -> u32 {
        u64::BITS - self.message_bound.leading_zeros()
    }

    /// Checks everything that needs no operation: ranges, and that every ciphertext of every message decrypts.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::Noise`] saying by how much the noise is too large.
    pub fn check(&self) -> Result<Range> {
        self.encrypted(Encryption::Fresh)?;
        self.encrypted(Encryption::Fixed)
    }

    /// The range of fresh ciphertexts, checked. With c* the signed binary digits of w x, noise is E c*: at most the largest entry of E times the digits that can
    /// be set at once. Modulo q, fresh randomness has one column of A and E for a whole message.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn encrypted(&self, encryption: Encryption) -> Result<Range> {
        let between = |what, value: u128, least: u128, most: u128| {
            let allowed = format!("{least} to {most}");
            if (least..=most).contains(&value) { Ok(()) } else { Err(Error::range(what, &value, allowed)) }
        };
        between("entries of a message", self.dimension as u128, 1, 1 << 20)?;
        between("key columns", self.key_columns as u128, 1, 1 << 16)?;
        between("bits of w", u128::from(self.scale_bits), 1, 62)?;
        between("message bound", u128::from(self.message_bound), 1, 1 << 62)?;
        between("bits of q", u128::from(self.modulus_bits.unwrap_or(2)), 2, u128::from(MAX_MODULUS_BITS))?;
        let modulus = self.modulus_bits.is_some();
        self.key.check("key entries", modulus)?;
        self.mask.check("entries of A", modulus)?;
        self.noise.check("entries of E", false)?;
        let digits = match (encryption, modulus) {
            (Encryption::Fresh, true) => 1,
            _ => self.dimension as u128 * digit_sum(u128::from(self.message_bound), 1),
        };
        self.range("a ciphertext", u128::from(self.message_bound), digits.saturating_mul(self.noise.most()), digits)
    }

    /// The range of ciphertexts c' = M c* whose digits c* have magnitudes of at most `digits` in sum, checked. `noise` is all of it.
    pub(super) fn range(&self, what: &'static str, message: u128, noise: u128, digits: u128) -> Result<Range> {
        if let Some(bits) = self.modulus_bits {
            return self.checked(what, Range { message, noise, upper: 1 << (bits - 1), lower: 1 << (bits - 1) });
        }
        let lower = digits.saturating_mul(self.mask.most());
        let keyed = lower.saturating_mul(self.key.most()).saturating_mul(self.key_columns as u128);
        let upper = message.saturating_mul(1 << self.scale_bits).saturating_add(noise).saturating_add(keyed);
        self.checked(what, Range { message, noise, upper, lower })
    }

    /// A range, where every ciphertext in it decrypts and every sum on the way fits.
    pub(super) fn checked(&self, what: &'static str, range: Range) -> Result<Range> {
        let half = 1u128 << (self.scale_bits - 1);
        if range.noise >= half {
            let needed_bits = 128 - range.noise.leading_zeros() + 1;
            return Err(Error::Noise { what, noise: range.noise, limit: half - 1, scale_bits: self.scale_bits, needed_bits });
        }
        // Modulo q the sum itself stays below q/2 and is rounded after the reduction; over the integers rounding adds half of w within i64.
        let sum = range.message.saturating_mul(1 << self.scale_bits).saturating_add(range.noise);
        let (sum, coordinate, most) = match self.modulus_bits {
            Some(bits) => (sum, 0, bits - 1),
            None => (sum.saturating_add(half), range.upper.max(range.lower), 63),
        };
        for (what, value) in [("bits of w x + e", sum), ("bits of an entry of a ciphertext", coordinate)] {
            let bits = 128 - value.leading_zeros();
            if bits > most {
                let allowed = format!("{most} and fewer, those {}", if self.modulus_bits.is_some() { "below q/2" } else { "of i64" });
                return Err(Error::range(what, &bits, allowed));
            }
        }
        Ok(range)
    }

    /// The range of sums of ciphertexts of two ranges, checked.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn sum(&self, a: Range, b: Range) -> Result<Range> {
        let coordinate = |a: u128, b: u128| if self.modulus_bits.is_some() { a } else { a.saturating_add(b) };
        let (upper, lower) = (coordinate(a.upper, b.upper), coordinate(a.lower, b.lower));
        self.checked("a sum", Range { message: a.message.saturating_add(b.message), noise: a.noise.saturating_add(b.noise), upper, lower })
    }

    /// A value modulo q in `-q/2..q/2`; over the integers itself. Sums modulo 2^64 are right as q divides 2^64, and over the integers as the checked range of the
    /// result lies within i64.
    #[must_use]
    pub const fn reduce(&self, value: i64) -> i64 {
        match self.modulus_bits {
            None => value,
            Some(bits) => value << (64 - bits) >> (64 - bits),
        }
    }

    /// The integer next to v / w, for v = w x + e.
    #[must_use]
    pub const fn round(&self, value: i64) -> i64 {
        (value + (1 << (self.scale_bits - 1))) >> self.scale_bits
    }

    /// Values per message or ciphertext, for batches laid out one after the other.
    pub(super) fn count(what: &'static str, values: &[i64], width: usize) -> Result<usize> {
        if !values.len().is_multiple_of(width) {
            return Err(Error::size(what, values.len().div_ceil(width) * width, values.len()));
        }
        Ok(values.len() / width)
    }
}

/// Worst-case magnitudes of a ciphertext: S c = w x + e with S = \[I, T\]. A fact on all ciphertexts that an operation can give, so it is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Of an entry of x.
    pub message: u128,
    /// Of an entry of e.
    pub noise: u128,
    /// Of the first m entries of c.
    pub upper: u128,
    /// Of the last k entries of c.
    pub lower: u128,
}

/// Digits of magnitudes up to `bound` in base 2^`digit_bits`.
pub(super) fn digit_count(bound: u128, digit_bits: u32) -> u32 {
    (128 - bound.leading_zeros()).div_ceil(digit_bits)
}

/// Largest sum of digits in base 2^`digit_bits` among the numbers up to `bound`: that of the bound, or of a number that has one digit less by one and below it the
/// largest digits.
pub(super) fn digit_sum(bound: u128, digit_bits: u32) -> u128 {
    let largest = (1u128 << digit_bits) - 1;
    let (mut best, mut above) = (0, 0);
    for position in (0..digit_count(bound, digit_bits)).rev() {
        let digit = bound >> (position * digit_bits) & largest;
        if digit > 0 {
            best = best.max(above + digit - 1 + u128::from(position) * largest);
        }
        above += digit;
    }
    best.max(above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::{Purpose, Tape};

    #[test]
    fn the_largest_sum_of_digits_is_that_of_a_search() {
        for digit_bits in 1..5 {
            let sum = |mut v: u128| {
                let mut sum = 0;
                while v > 0 {
                    sum += v & ((1 << digit_bits) - 1);
                    v >>= digit_bits;
                }
                sum
            };
            let mut largest = 0;
            for bound in 0..3000 {
                largest = largest.max(sum(bound));
                assert_eq!(digit_sum(bound, digit_bits), largest, "{bound} {digit_bits}");
            }
        }
    }

    #[test]
    fn one_step_past_the_bound_is_refused_and_says_by_how_much() {
        // 784 pixels of 8 bits and entries of E up to 999: 784 * 8 * 999 = 6,265,728, below 2^23 and above 2^22.
        let at = |scale_bits| Parameters { scale_bits, ..Published::Payor.parameters(784, 16, 255) };
        assert_eq!(at(24).check().unwrap().noise, 6_265_728);
        match at(23).check().unwrap_err() {
            Error::Noise { noise: 6_265_728, limit: 4_194_303, scale_bits: 23, needed_bits: 24, .. } => {}
            other => panic!("{other}"),
        }
        let message = at(23).check().unwrap_err().to_string();
        assert!(message.contains("2071425 above the 4194303") && message.contains("w = 2^24"), "{message}");
        // To the unit: 3 digits of magnitude 1 and entries of E up to 85 are 255, the limit of w = 2^9; up to 86 are 258.
        let small = |noise| Parameters { scale_bits: 9, noise: Draw::Below(noise), ..Published::Payor.parameters(3, 1, 1) };
        assert_eq!(small(86).check().unwrap().noise, 255);
        assert!(matches!(small(87).check(), Err(Error::Noise { noise: 258, limit: 255, scale_bits: 9, needed_bits: 10, .. })));
    }

    #[test]
    fn what_could_overflow_is_refused() {
        let wide = |message_bound| Published::Secureldata.parameters(10, 10, message_bound).check();
        assert!(wide((1 << 18) - 1).is_ok());
        assert!(matches!(wide(1 << 18), Err(Error::OutOfRange { .. })));
        assert!(wide(1 << 62).is_err());
        let heavy = Parameters { key: Draw::Below(u32::MAX), mask: Draw::Below(u32::MAX), ..Published::Payor.parameters(784, 16, 255) };
        assert!(heavy.check().is_err());
        let lwe = Parameters::lwe(784, 255, 1 << 20).unwrap();
        assert_eq!((lwe.scale_bits, lwe.check().unwrap().noise), (32, 784 * 8 * 21));
        assert_eq!(lwe.encrypted(Encryption::Fresh).unwrap().noise, 21);
        assert!(Parameters { message_bound: 1 << 21, ..lwe }.check().is_err());
        assert!(Parameters { modulus_bits: None, ..lwe }.check().is_err());
        assert!(Parameters { modulus_bits: Some(63), ..lwe }.check().is_err());
        assert!(Parameters { noise: Draw::Modulus, ..lwe }.check().is_err());
        assert!(Parameters::lwe(784, 255, u64::MAX).is_err());
    }

    #[test]
    fn strength_is_claimed_for_fresh_samples_of_the_table_only() {
        let lwe = Parameters::lwe(784, 255, 1 << 20).unwrap();
        assert_eq!(lwe.security_bits(Encryption::Fresh), Some(128));
        assert_eq!(lwe.security_bits(Encryption::Fixed), Some(0));
        let small = Parameters::lwe(784, 255, 255).unwrap();
        assert_eq!(
            (small.key_columns, small.modulus_bits, small.scale_bits, small.security_bits(Encryption::Fresh)),
            (1024, Some(27), 18, Some(128))
        );
        assert!(small.encrypted(Encryption::Fresh).is_ok());
        assert_eq!(Parameters { key_columns: 1024, ..lwe }.security_bits(Encryption::Fresh), None);
        assert_eq!(Parameters { modulus_bits: Some(28), ..small }.security_bits(Encryption::Fresh), None);
        assert_eq!(Parameters { mask: Draw::Below(1000), ..lwe }.security_bits(Encryption::Fresh), Some(0));
        for set in Published::ALL {
            assert_eq!(set.parameters(784, 784, 255).security_bits(Encryption::Fresh), Some(0));
        }
    }

    #[test]
    fn draws_keep_their_ranges_and_moments() {
        let mut stream = Tape::replayable(5).stream(Purpose::Sample, 0);
        let mut moments = |draw: Draw, bits| {
            let n = 100_000;
            let values: Vec<f64> = (0..n).map(|_| draw.sample(bits, &mut stream) as f64).collect();
            let mean = values.iter().sum::<f64>() / f64::from(n);
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
            let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), &v| (l.min(v), m.max(v)));
            (mean, variance, least, most)
        };
        let (mean, variance, least, most) = moments(Draw::Below(10), None);
        assert!((mean - 4.5).abs() < 0.05 && (variance - 8.25).abs() < 0.15 && least == 0.0 && most == 9.0);
        let (mean, variance, least, most) = moments(Draw::Centred(21), None);
        assert!(mean.abs() < 0.06 && (variance - 10.5).abs() < 0.25 && least >= -21.0 && most <= 21.0);
        let (mean, variance, least, most) = moments(Draw::Modulus, Some(4));
        assert!((mean + 0.5).abs() < 0.1 && (variance - 21.25).abs() < 0.3 && least == -8.0 && most == 7.0);
    }
}
