//! Integers of any length in plain Rust, for builds without GMP: sign and 64-bit words.
//!
//! The part of `rug::Integer`'s interface that this crate uses, with the same results. Lengths are
//! bounded by memory only; bits are counted in `u32`, so below 2^32 of them. Schoolbook products and
//! Knuth's division: a power modulo 4096 bits takes some 50 ms, about ten times as long as GMP's.
//! **Time depends on all values**, exponents of [`Integer::secure_pow_mod`] included. Words are wiped
//! when an integer is dropped; those that a product or a quotient passed through on the way are not.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Shl, ShlAssign, Shr, ShrAssign, Sub, SubAssign};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use super::words;

/// The order of the digits of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least significant digit first.
    Lsf,
    /// Most significant digit first.
    Msf,
}

/// Unsigned numbers that integers are put together from: bytes and words.
pub trait Digit: Copy + Default + Into<u64> {
    /// Bits of a digit.
    const BITS: u32;
    /// The lowest bits of a word.
    fn low(word: u64) -> Self;
}

impl Digit for u8 {
    const BITS: u32 = 8;
    fn low(word: u64) -> Self {
        word as Self
    }
}

impl Digit for u64 {
    const BITS: u32 = 64;
    fn low(word: u64) -> Self {
        word
    }
}

/// A signed integer of any length.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Integer {
    /// Not set for 0.
    negative: bool,
    /// The absolute value, least significant word first; the last word is not 0.
    words: Vec<u64>,
}

impl Drop for Integer {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

fn signed(negative: bool, mut words: Vec<u64>) -> Integer {
    words.truncate(words.iter().rposition(|&word| word != 0).map_or(0, |top| top + 1));
    Integer { negative: negative && !words.is_empty(), words }
}

impl Integer {
    /// 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { negative: false, words: Vec::new() }
    }

    /// The non-negative integer of these digits.
    #[must_use]
    pub fn from_digits<T: Digit>(digits: &[T], order: Order) -> Self {
        let mut words = vec![0; (digits.len() * T::BITS as usize).div_ceil(64)];
        for (place, &digit) in digits.iter().enumerate() {
            let place = if order == Order::Lsf { place } else { digits.len() - 1 - place };
            let bit = place * T::BITS as usize;
            words[bit / 64] |= digit.into() << (bit % 64);
        }
        signed(false, words)
    }

    /// Takes the value of these digits.
    pub fn assign_digits<T: Digit>(&mut self, digits: &[T], order: Order) {
        *self = Self::from_digits(digits, order);
    }

    /// Digits of the absolute value; none for 0.
    #[must_use]
    pub fn significant_digits<T: Digit>(&self) -> usize {
        self.significant_bits().div_ceil(T::BITS) as usize
    }

    /// The digits of the absolute value.
    #[must_use]
    pub fn to_digits<T: Digit>(&self, order: Order) -> Vec<T> {
        let mut digits = vec![T::default(); self.significant_digits::<T>()];
        self.write_digits(&mut digits, order);
        digits
    }

    /// Writes the digits of the absolute value, zeros above; there must be room for all.
    pub fn write_digits<T: Digit>(&self, digits: &mut [T], order: Order) {
        let count = digits.len();
        for place in 0..count {
            let bit = place * T::BITS as usize;
            let word = self.words.get(bit / 64).map_or(0, |word| word >> (bit % 64));
            digits[if order == Order::Lsf { place } else { count - 1 - place }] = T::low(word);
        }
    }

    /// The integer of a text in base `radix`, 2 to 36, with an optional sign.
    ///
    /// # Errors
    /// When there is no digit or another character.
    pub fn from_str_radix(text: &str, radix: u32) -> Result<Self, NoInteger> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let digit = |value: Self, c: char| Some(value * radix + c.to_digit(radix)?);
        let value = Some(Self::new()).filter(|_| !digits.is_empty());
        let value = value.and_then(|zero| digits.chars().try_fold(zero, digit)).ok_or(NoInteger)?;
        Ok(if negative { -value } else { value })
    }

    /// The text in base `radix`, 2 to 36.
    #[must_use]
    pub fn to_string_radix(&self, radix: u32) -> String {
        let mut rest = self.abs_ref();
        let mut digits = Vec::new();
        while digits.is_empty() || !rest.is_zero() {
            digits.extend(char::from_digit(rest.mod_u(radix), radix));
            rest /= radix;
        }
        digits.extend(self.negative.then_some('-'));
        digits.iter().rev().collect()
    }

    /// Bits of the absolute value; none for 0.
    #[must_use]
    pub fn significant_bits(&self) -> u32 {
        self.words.last().map_or(0, |top| 64 * self.words.len() as u32 - top.leading_zeros())
    }

    /// Bit `at` of the two's complement.
    #[must_use]
    pub fn get_bit(&self, at: u32) -> bool {
        if self.negative {
            return !(-self - 1u32).get_bit(at);
        }
        self.words.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Sets or clears bit `at` of the two's complement.
    pub fn set_bit(&mut self, at: u32, to: bool) -> &mut Self {
        match (self.get_bit(at), to) {
            (false, true) => *self += Self::from(1u32) << at,
            (true, false) => *self -= Self::from(1u32) << at,
            _ => {}
        }
        self
    }

    /// The lowest bits of the two's complement: the value modulo 2^`bits`.
    #[must_use]
    pub fn keep_bits(self, bits: u32) -> Self {
        let above = &self >> bits << bits;
        self - above
    }

    /// Whether this is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether 2 divides this.
    #[must_use]
    pub fn is_even(&self) -> bool {
        !self.get_bit(0)
    }

    /// Whether this is below 0.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The absolute value.
    #[must_use]
    pub fn abs(self) -> Self {
        self.abs_ref()
    }

    /// The absolute value.
    #[must_use]
    pub fn abs_ref(&self) -> Self {
        signed(false, self.words.clone())
    }

    /// The value where it fits.
    fn narrow(&self) -> Option<i128> {
        let value = i128::try_from(self.abs_ref().to_u128_wrapping()).ok().filter(|_| self.words.len() <= 2)?;
        Some(if self.negative { -value } else { value })
    }

    /// The value modulo 2^128.
    #[must_use]
    pub fn to_u128_wrapping(&self) -> u128 {
        let word = |at: usize| u128::from(self.words.get(at).copied().unwrap_or(0));
        let value = word(1) << 64 | word(0);
        if self.negative { value.wrapping_neg() } else { value }
    }

    /// The value modulo 2^64.
    #[must_use]
    pub fn to_u64_wrapping(&self) -> u64 {
        self.to_u128_wrapping() as u64
    }

    /// The value modulo 2^64, from -2^63 to 2^63 - 1.
    #[must_use]
    pub fn to_i64_wrapping(&self) -> i64 {
        self.to_u128_wrapping() as i64
    }

    /// The square.
    #[must_use]
    pub fn square(self) -> Self {
        self.square_ref()
    }

    /// The square.
    #[must_use]
    pub fn square_ref(&self) -> Self {
        self * self
    }

    /// This to the power of `exponent`.
    fn power(&self, exponent: u32) -> Self {
        let mut power = Self::from(1u32);
        for bit in (0..u32::BITS - exponent.leading_zeros()).rev() {
            power = power.square();
            if exponent >> bit & 1 == 1 {
                power *= self;
            }
        }
        power
    }

    /// The largest integer whose power by `degree` is at most this, bit by bit. Input: at least 0.
    fn floor_root(&self, degree: u32) -> Self {
        let mut root = Self::new();
        for bit in (0..self.significant_bits().div_ceil(degree)).rev() {
            root.set_bit(bit, true);
            if root.power(degree) > *self {
                root.set_bit(bit, false);
            }
        }
        root
    }

    /// The square root, rounded down. Input: at least 0.
    #[must_use]
    pub fn sqrt_ref(&self) -> Self {
        self.floor_root(2)
    }

    /// Whether this is the square of an integer.
    #[must_use]
    pub fn is_perfect_square(&self) -> bool {
        // Squares modulo a few small numbers first: of others hardly one in a thousand is left.
        let possible = |modulus: u32| (0..modulus).any(|root| root * root % modulus == self.mod_u(modulus));
        !self.negative && [64, 63, 65, 11, 17, 19, 23, 31].into_iter().all(possible) && self.sqrt_ref().square() == *self
    }

    /// Whether this is an integer's power by at least 2. Input: at least 0.
    #[must_use]
    pub fn is_perfect_power(&self) -> bool {
        let prime = |k: u32| (2..=k.isqrt()).all(|divisor| !k.is_multiple_of(divisor));
        (2..=self.significant_bits().max(2)).filter(|&k| prime(k)).any(|k| self.floor_root(k).power(k) == *self)
    }

    /// Quotient and remainder, the quotient rounded towards 0. Input: a divisor that is not 0.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "the interface is that of GMP's")]
    pub fn div_rem(self, divisor: Self) -> (Self, Self) {
        self.div_rem_ref(&divisor)
    }

    /// Quotient and remainder, the quotient rounded towards 0. Input: a divisor that is not 0.
    #[must_use]
    pub fn div_rem_ref(&self, divisor: &Self) -> (Self, Self) {
        let (quotient, rest) = words::divide(self.words.clone(), &divisor.words);
        (signed(self.negative != divisor.negative, quotient), signed(self.negative, rest))
    }

    /// Quotient and remainder, the quotient rounded down. Input: a divisor that is not 0.
    #[must_use]
    pub fn div_rem_floor(self, divisor: Self) -> (Self, Self) {
        let (quotient, rest) = self.div_rem_ref(&divisor);
        if !rest.is_zero() && rest.negative != divisor.negative { (quotient - 1u32, rest + divisor) } else { (quotient, rest) }
    }

    /// The value modulo |divisor|, which is not 0: at least 0.
    #[must_use]
    pub fn modulo(self, divisor: &Self) -> Self {
        let rest = self % divisor;
        if rest.negative { rest + divisor.abs_ref() } else { rest }
    }

    /// The value modulo `divisor`, which is not 0.
    #[must_use]
    pub fn mod_u(&self, divisor: u32) -> u32 {
        let divisor = u128::from(divisor);
        let rest = self.words.iter().rev().fold(0, |rest, &word| (rest << 64 | u128::from(word)) % divisor);
        (if self.negative { (divisor - rest) % divisor } else { rest }) as u32
    }

    /// Whether `divisor`, which is not 0, divides this.
    #[must_use]
    pub fn is_divisible(&self, divisor: &Self) -> bool {
        (self % divisor).is_zero()
    }

    /// The greatest common divisor, at least 0.
    #[must_use]
    pub fn gcd(self, other: &Self) -> Self {
        self.gcd_ref(other)
    }

    /// The greatest common divisor, at least 0, by Euclid's algorithm.
    #[must_use]
    pub fn gcd_ref(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.abs_ref(), other.abs_ref());
        while !b.is_zero() {
            (a, b) = (b.clone(), a % b);
        }
        a
    }

    /// The least common multiple, at least 0.
    #[must_use]
    pub fn lcm(self, other: &Self) -> Self {
        if self.is_zero() || other.is_zero() {
            return Self::new();
        }
        let common = self.gcd_ref(other);
        (self / common * other).abs()
    }

    /// The inverse modulo a number above 0.
    ///
    /// # Errors
    /// The value itself when it has none.
    pub fn invert(self, modulus: &Self) -> Result<Self, Self> {
        self.invert_ref(modulus).ok_or(self)
    }

    /// The inverse modulo a number above 0 where there is one, by the extended Euclidean algorithm.
    #[must_use]
    pub fn invert_ref(&self, modulus: &Self) -> Option<Self> {
        if modulus.is_zero() {
            return None;
        }
        // a = x self and b = y self modulo the modulus.
        let (mut a, mut b) = (modulus.clone(), self.clone().modulo(modulus));
        let (mut x, mut y) = (Self::new(), Self::from(1u32));
        while !b.is_zero() {
            let (quotient, rest) = a.div_rem_ref(&b);
            (a, b) = (b, rest);
            (x, y) = (y.clone(), x - quotient * &y);
        }
        (a == 1u32).then(|| x.modulo(modulus))
    }

    /// The power modulo a number above 0.
    ///
    /// # Errors
    /// The value itself when the exponent is negative and there is no inverse.
    pub fn pow_mod(self, exponent: &Self, modulus: &Self) -> Result<Self, Self> {
        self.pow_mod_ref(exponent, modulus).ok_or(self)
    }

    /// The power modulo a number above 0, by fixed windows of four bits; none when the exponent is
    /// negative and there is no inverse.
    #[must_use]
    pub fn pow_mod_ref(&self, exponent: &Self, modulus: &Self) -> Option<Self> {
        let base = if exponent.negative { self.invert_ref(modulus)? } else { self.clone().modulo(modulus) };
        let mut powers = vec![Self::from(1u32) % modulus];
        for k in 1..16 {
            powers.push(&powers[k - 1] * &base % modulus);
        }
        let mut power = powers[0].clone();
        for window in (0..exponent.significant_bits().div_ceil(4) as usize).rev() {
            for _ in 0..4 {
                power = power.square() % modulus;
            }
            let digit = exponent.words[window / 16] >> (4 * (window % 16)) & 15;
            if digit != 0 {
                power = power * &powers[digit as usize] % modulus;
            }
        }
        Some(power)
    }

    /// The power modulo a number above 0 for an exponent of at least 0. Time depends on both.
    #[must_use]
    pub fn secure_pow_mod(self, exponent: &Self, modulus: &Self) -> Self {
        self.secure_pow_mod_ref(exponent, modulus)
    }

    /// The power modulo a number above 0 for an exponent of at least 0. Time depends on both.
    #[must_use]
    pub fn secure_pow_mod_ref(&self, exponent: &Self, modulus: &Self) -> Self {
        self.pow_mod_ref(exponent, modulus).unwrap_or_default()
    }

    /// The Jacobi symbol (self / n). Input: odd n above 0.
    #[must_use]
    pub fn jacobi(&self, n: &Self) -> i32 {
        let (mut a, mut n) = (self.clone().modulo(n), n.clone());
        let mut symbol = 1;
        while !a.is_zero() {
            let twos = (0..).find(|&bit| a.get_bit(bit)).unwrap_or(0);
            a >>= twos;
            if (twos % 2 == 1 && [3, 5].contains(&n.mod_u(8))) != (a.mod_u(4) == 3 && n.mod_u(4) == 3) {
                symbol = -symbol;
            }
            (a, n) = (n % &a, a);
        }
        if n == 1u32 { symbol } else { 0 }
    }

    /// Whether this is a prime, wrong for a composite number with probability below 4^-`rounds`:
    /// Miller-Rabin with base 2 and `rounds` bases that are hashed from the number, SHA-256 taken for
    /// a random oracle.
    #[must_use]
    pub(super) fn is_prime(&self, rounds: u64) -> bool {
        const TRIAL: u32 = 256;
        if *self < TRIAL {
            let small = self.narrow().unwrap_or(0);
            return small > 1 && (2..small).all(|divisor| small % divisor != 0);
        }
        if (2..TRIAL).any(|divisor| self.mod_u(divisor) == 0) {
            return false;
        }
        let minus_one = self - 1u32;
        let twos = (0..).find(|&bit| minus_one.get_bit(bit)).unwrap_or(0);
        let odd = &minus_one >> twos;
        let passes = |base: Self| {
            let mut power = base.secure_pow_mod(&odd, self);
            power == 1u32
                || (0..twos).any(|_| {
                    let found = power == minus_one;
                    power = power.square_ref() % self;
                    found
                })
        };
        let bytes = self.to_digits::<u8>(Order::Msf);
        let hashed = |round: u64| {
            let block =
                |block: u64| Sha256::new().chain_update(round.to_be_bytes()).chain_update(block.to_be_bytes()).chain_update(&bytes).finalize();
            // 64 bits more than the number has, so that the remainder is as good as uniform.
            let digits: Vec<u8> = (0..u64::from(self.significant_bits() + 64).div_ceil(256)).flat_map(block).collect();
            Self::from_digits(&digits, Order::Msf) % (self - 3u32) + 2u32
        };
        passes(Self::from(2u32)) && (0..rounds).map(hashed).all(passes)
    }

    /// The least prime above this.
    #[must_use]
    pub fn next_prime(mut self) -> Self {
        self += 1u32;
        while !self.is_prime(64) {
            self += 1u32;
        }
        self
    }

    /// The product of all primes up to `limit`.
    #[must_use]
    pub fn primorial(limit: u32) -> Self {
        let mut composite = vec![false; limit as usize + 1];
        let mut factors = Vec::new();
        for p in 2..=limit as usize {
            if !composite[p] {
                factors.push(Self::from(p));
                (p..=limit as usize / p).for_each(|k| composite[p * k] = true);
            }
        }
        while factors.len() > 1 {
            factors = factors.chunks(2).map(|pair| pair.iter().fold(Self::from(1u32), |product, factor| product * factor)).collect();
        }
        factors.pop().unwrap_or_else(|| Self::from(1u32))
    }
}

/// The reason why a text is no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoInteger;

/// Conversions from and to the numbers of the language; comparison with them.
macro_rules! primitive {
    ($($number:ty),*) => {$(
        impl From<$number> for Integer {
            fn from(value: $number) -> Self {
                // Extended to 128 bits by its own sign.
                let wide = value as i128;
                #[allow(unused_comparisons, reason = "for types without sign")]
                let negative = value < 0;
                let size = if negative { wide.unsigned_abs() } else { wide as u128 };
                signed(negative, vec![size as u64, (size >> 64) as u64])
            }
        }
        impl From<&$number> for Integer {
            fn from(value: &$number) -> Self {
                Self::from(*value)
            }
        }
        impl PartialEq<$number> for Integer {
            #[allow(clippy::cmp_owned, reason = "a comparison of integers is the one that is tested")]
            fn eq(&self, other: &$number) -> bool {
                *self == Self::from(*other)
            }
        }
        impl PartialOrd<$number> for Integer {
            fn partial_cmp(&self, other: &$number) -> Option<Ordering> {
                Some(self.cmp(&Self::from(*other)))
            }
        }
    )*};
}
primitive!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

macro_rules! narrow {
    ($($name:ident: $number:ty),*) => {
        impl Integer {$(
            /// The value where it fits.
            #[must_use]
            pub fn $name(&self) -> Option<$number> {
                self.narrow()?.try_into().ok()
            }
        )*}
    };
}
narrow!(to_i32: i32, to_i64: i64, to_u16: u16, to_u32: u32, to_u64: u64, to_usize: usize);

impl From<&Self> for Integer {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

impl Ord for Integer {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = || self.words.len().cmp(&other.words.len()).then_with(|| words::compare(&self.words, &other.words));
        match (self.negative, other.negative) {
            (false, false) => size(),
            (true, true) => size().reverse(),
            (negative, _) => other.negative.cmp(&negative),
        }
    }
}

impl PartialOrd for Integer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// a + b, with b's sign turned when `minus`.
fn sum(a: &Integer, b: &Integer, minus: bool) -> Integer {
    let negative = b.negative != minus;
    let (large, small) = if a.words.len() < b.words.len() { (b, a) } else { (a, b) };
    let mut words = Vec::with_capacity(large.words.len() + 1);
    words.extend(&large.words);
    words.push(0);
    let mut other = small.words.clone();
    other.resize(words.len(), 0);
    if a.negative == negative {
        words::add(&mut words, &other);
        return signed(negative, words);
    }
    // |large| - |small|, and the other way round where that borrows.
    let turned = words::compare(&words, &other) == Ordering::Less;
    if turned {
        std::mem::swap(&mut words, &mut other);
    }
    words::subtract(&mut words, &other);
    other.zeroize();
    signed(if std::ptr::eq(large, a) != turned { a.negative } else { negative }, words)
}

macro_rules! operators {
    ($($operator:ident $verb:ident $assign:ident $verb_assign:ident $work:expr;)*) => {$(
        impl<T: Into<Integer>> $operator<T> for &Integer {
            type Output = Integer;
            fn $verb(self, other: T) -> Integer {
                let work: fn(&Integer, &Integer) -> Integer = $work;
                work(self, &other.into())
            }
        }
        impl<T: Into<Integer>> $operator<T> for Integer {
            type Output = Self;
            fn $verb(self, other: T) -> Self {
                (&self).$verb(other)
            }
        }
        impl<T: Into<Integer>> $assign<T> for Integer {
            fn $verb_assign(&mut self, other: T) {
                *self = (&*self).$verb(other);
            }
        }
    )*};
}
operators! {
    Add add AddAssign add_assign |a, b| sum(a, b, false);
    Sub sub SubAssign sub_assign |a, b| sum(a, b, true);
    Mul mul MulAssign mul_assign |a, b| signed(a.negative != b.negative, words::product(&a.words, &b.words));
    Div div DivAssign div_assign |a, b| a.div_rem_ref(b).0;
    Rem rem RemAssign rem_assign |a, b| a.div_rem_ref(b).1;
}

macro_rules! shifts {
    ($($operator:ident $verb:ident $assign:ident $verb_assign:ident $work:expr;)*) => {$(
        impl $operator<u32> for &Integer {
            type Output = Integer;
            fn $verb(self, bits: u32) -> Integer {
                let work: fn(&Integer, u32) -> Integer = $work;
                work(self, bits)
            }
        }
        impl $operator<u32> for Integer {
            type Output = Self;
            fn $verb(self, bits: u32) -> Self {
                (&self).$verb(bits)
            }
        }
        impl $assign<u32> for Integer {
            fn $verb_assign(&mut self, bits: u32) {
                *self = (&*self).$verb(bits);
            }
        }
    )*};
}
shifts! {
    Shl shl ShlAssign shl_assign |value, bits| {
        let mut words = vec![0; (bits / 64) as usize];
        words.extend(words::product(&value.words, &[1 << (bits % 64)]));
        signed(value.negative, words)
    };
    // Rounded down, as if in two's complement.
    Shr shr ShrAssign shr_assign |value, bits| {
        if value.negative {
            return -((-value - 1u32) >> bits) - 1u32;
        }
        let above = value.words.get((bits / 64) as usize..).unwrap_or_default();
        let word = |at: usize| above.get(at).map_or(0, |&word| u128::from(word));
        signed(false, (0..above.len()).map(|at| ((word(at + 1) << 64 | word(at)) >> (bits % 64)) as u64).collect())
    };
}

impl Neg for &Integer {
    type Output = Integer;

    fn neg(self) -> Integer {
        signed(!self.negative, self.words.clone())
    }
}

impl Neg for Integer {
    type Output = Self;

    fn neg(self) -> Self {
        -&self
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_radix(10))
    }
}

impl fmt::LowerHex for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_radix(16))
    }
}

impl fmt::Debug for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
