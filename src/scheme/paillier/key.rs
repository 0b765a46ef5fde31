//! Paillier keys: n = p q, g = n + 1.
//!
//! Source: P. Paillier, *Public-Key Cryptosystems Based on Composite Degree Residuosity Classes*, EUROCRYPT '99, scheme 1 with g = n + 1 and the CRT decryption
//! of section 7; I. Damgård, M. Jurik, J. B. Nielsen, *A generalization of Paillier's public-key system with applications to electronic voting*, 2010, for h.

use std::fmt;
use std::sync::{LazyLock, OnceLock};

use sha2::{Digest, Sha256};

use super::sound::SoundKey;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::integer::{Integer, Order, is_prime};
use crate::modulus::{Modulus, wipe};
use crate::randomness::{Purpose, Tape};
use crate::text::hex;

/// Least size of n that is not a toy, in bits.
pub const MINIMUM_BITS: u32 = 2048;
/// Largest size of n, in bits.
pub const MAXIMUM_BITS: u32 = 8192;
/// Least size of a toy, in bits.
pub const TOY_MINIMUM_BITS: u32 = 256;

/// Every foreign n is divided by all primes below this.
pub(super) const TRIAL_DIVISION_LIMIT: u32 = 1 << 20;
/// The product of those primes, 190 kB.
static SMALL_PRIMES: LazyLock<Integer> = LazyLock::new(|| Integer::from(Integer::primorial(TRIAL_DIVISION_LIMIT)));
/// Odd numbers that a search for primes sieves at once.
const SIEVE_WINDOW: usize = 1 << 12;
/// A search for primes divides by all primes below this first.
const SIEVE_LIMIT: usize = 1 << 16;
/// Cofactors k of p = 2 k p' + 1 stay below this, so that they factor at once.
const COFACTOR_LIMIT: u32 = 1 << 22;

/// Pollard's p - 1 method is tried with this bound on the primes of a secret key.
const SMOOTH_ORDER_LIMIT: u32 = 1 << 17;
/// Steps of Fermat's method on every n.
const FERMAT_STEPS: u32 = 10_000;
/// A base of DJN randomisers whose order modulo p or q divides lcm(1..=this) is refused.
const SMALL_ORDER_LIMIT: u32 = 1 << 10;

pub(super) fn invalid(reason: impl Into<String>) -> Error {
    Error::InvalidKey { reason: reason.into() }
}

/// lcm(1..=bound).
fn smooth_exponent(bound: u32) -> Integer {
    let mut exponent = Integer::from(Integer::primorial(bound));
    for l in (2..=bound.isqrt()).filter(|&l| is_prime(&Integer::from(l))) {
        exponent *= l.pow(bound.ilog(l) - 1);
    }
    exponent
}

/// Estimated strength of an n of `bits` bits, as that of the largest tabulated size that is not larger. 1024, 2048, 3072, 7680: NIST SP 800-57 part 1 rev. 5,
/// table 2; the others: the formula of NIST SP 800-56B rev. 2, appendix D, rounded down to a multiple of 4. Below 1024 bits nothing is claimed: 0.
#[must_use]
pub fn security_bits(bits: u32) -> u32 {
    [(8192, 200), (7680, 192), (6144, 176), (4096, 148), (3072, 128), (2048, 112), (1024, 80)]
        .into_iter()
        .find(|&(size, _)| bits >= size)
        .map_or(0, |(_, strength)| strength)
}

/// Refuses sizes that no key has, and toys unless they are allowed.
///
/// # Errors
/// [`Error::KeyTooSmall`] for a toy without consent, [`Error::OutOfRange`] for sizes that are odd, too small even for a toy, or too large.
pub fn check_bits(bits: u32, allow_toy: bool) -> Result<()> {
    if bits < MINIMUM_BITS && !allow_toy {
        return Err(Error::KeyTooSmall { bits, minimum: MINIMUM_BITS });
    }
    if !(TOY_MINIMUM_BITS..=MAXIMUM_BITS).contains(&bits) || !bits.is_multiple_of(2) {
        return Err(Error::range("key size", &format!("{bits} bits"), format!("even, {TOY_MINIMUM_BITS} to {MAXIMUM_BITS} bits")));
    }
    Ok(())
}

/// What everybody may know: n, and the base h^n of DJN randomisers where the owner gives one.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    n: Integer,
    n_squared: Integer,
    djn_base: Option<Integer>,
    fingerprint: String,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits, {})", self.bits(), &self.fingerprint[..16])
    }
}

impl PublicKey {
    /// Accepts a foreign key after the cheap tests that need no secret: size, oddness, compositeness, no perfect power, no
    /// prime factor below 2^20, no two factors so close that Fermat's method finds them, and
    /// `djn_base` a unit of Jacobi symbol 1 and of no small order modulo any factor of n. That is
    /// enough to encrypt to the key. Computing on ciphertexts under it takes a
    /// [`SoundKey`](super::SoundKey).
    ///
    /// # Errors
    /// [`Error::InvalidKey`] with the rule that is broken, [`Error::KeyTooSmall`] for a toy without consent.
    pub fn new(n: Integer, djn_base: Option<Integer>, allow_toy: bool) -> Result<Self> {
        if n.is_even() || n.is_negative() {
            return Err(invalid("n is even or negative"));
        }
        check_bits(n.significant_bits(), allow_toy)?;
        if n.is_perfect_power() {
            return Err(invalid("n is a perfect power"));
        }
        if is_prime(&n) {
            return Err(invalid("n is prime"));
        }
        if has_close_factors(&n) {
            return Err(invalid("|p - q| is small: Fermat's method factors n"));
        }
        let small = Integer::from(SMALL_PRIMES.gcd_ref(&n));
        if small != 1 {
            return Err(invalid(format!("n has a prime factor below {TRIAL_DIVISION_LIMIT}")));
        }
        let n_squared = Integer::from(n.square_ref());
        if let Some(base) = &djn_base {
            check_djn_base(base, &n, &n_squared)?;
        }
        Ok(Self::assemble(n, djn_base))
    }

    fn assemble(n: Integer, djn_base: Option<Integer>) -> Self {
        Self { n_squared: Integer::from(n.square_ref()), fingerprint: fingerprint_of(&n), n, djn_base }
    }

    /// n.
    #[must_use]
    pub fn n(&self) -> &Integer {
        &self.n
    }

    /// n^2.
    #[must_use]
    pub fn n_squared(&self) -> &Integer {
        &self.n_squared
    }

    /// h^n mod n^2 with h = -x^2 mod n, for DJN encryption.
    #[must_use]
    pub fn djn_base(&self) -> Option<&Integer> {
        self.djn_base.as_ref()
    }

    /// Bits of n.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.n.significant_bits()
    }

    /// Bytes of a ciphertext.
    #[must_use]
    pub fn ciphertext_bytes(&self) -> usize {
        (2 * self.bits() as usize).div_ceil(8)
    }

    /// Estimated strength; see [`security_bits`].
    #[must_use]
    pub fn security_bits(&self) -> u32 {
        security_bits(self.bits())
    }

    /// SHA-256 of n, 64 hex digits: names the key in every file.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The modulus n^2 with its root known.
    ///
    /// # Errors
    /// None for a key that [`PublicKey::new`] accepted.
    pub fn modulus(&self) -> Result<Modulus> {
        Modulus::square(self.n.clone())
    }

    /// The plaintext of a signed integer: m mod n. Input: |m| < n/2.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a larger m.
    pub fn residue(&self, message: &Integer) -> Result<Integer> {
        if message.significant_bits() >= self.bits() - 1 && Integer::from(message.abs_ref()) * 2u32 >= self.n {
            return Err(Error::range("plaintext", &format!("{} bits", message.significant_bits()), "-n/2 to n/2"));
        }
        Ok(if message.is_negative() { Integer::from(message + &self.n) } else { message.clone() })
    }

    /// The signed integer of a plaintext: the representative in (-n/2, n/2). Input: below n.
    #[must_use]
    pub fn lift(&self, plaintext: Integer) -> Integer {
        if Integer::from(&plaintext * 2u32) > self.n { plaintext - &self.n } else { plaintext }
    }
}

/// Fermat's method: whether a^2 - n is a square for one of the first a above the root of n.
fn has_close_factors(n: &Integer) -> bool {
    let mut a = Integer::from(n.sqrt_ref()) + 1u32;
    (0..FERMAT_STEPS).any(|_| {
        let square = Integer::from(a.square_ref()) - n;
        a += 1u32;
        square.is_perfect_square()
    })
}

/// SHA-256 of n, 64 hex digits.
pub(super) fn fingerprint_of(n: &Integer) -> String {
    hex(Sha256::new().chain_update(b"cipherlane paillier n v1").chain_update(n.to_digits::<u8>(Order::Msf)).finalize())
}

fn check_djn_base(base: &Integer, n: &Integer, n_squared: &Integer) -> Result<()> {
    if *base <= 1 || base >= n_squared {
        return Err(invalid("hs is not in 2 to n^2 - 1"));
    }
    let reduced = Integer::from(base % n);
    if Integer::from(reduced.gcd_ref(n)) != 1 {
        return Err(invalid("hs is not a unit modulo n"));
    }
    if reduced == 1 || reduced == Integer::from(n - 1u32) {
        return Err(invalid("hs is 1 or -1 modulo n, so it randomises nothing"));
    }
    if reduced.jacobi(n) != 1 {
        return Err(invalid("hs has Jacobi symbol -1, so ciphertexts would show a bit of their exponent"));
    }
    let power = reduced.pow_mod(&smooth_exponent(SMALL_ORDER_LIMIT), n).map_err(|_| invalid("hs has no power modulo n"))?;
    if Integer::from(&power - 1u32).gcd(n) != 1 {
        return Err(invalid("hs has a small order modulo a factor of n, so there are few randomisers"));
    }
    Ok(())
}

/// What else the key owner has to know about a prime p: p - 1 = 2 k p' with p' prime and k small, which gives a generator of known order.
#[derive(Clone, PartialEq, Eq)]
struct Factor {
    prime: Integer,
    squared: Integer,
    /// p', where it is known.
    large: Option<Integer>,
    /// L(g^(p-1) mod p^2)^-1 mod p.
    mu: Integer,
}

impl Factor {
    fn new(prime: Integer, other: &Integer, large: Option<Integer>) -> Result<Self> {
        // (1 + n)^(p-1) = 1 + (p-1) q p (mod p^2), so L of it is (p-1) q = -q (mod p).
        let minus_q = &prime - Integer::from(other % &prime);
        let mu = minus_q.invert(&prime).map_err(|_| invalid("gcd(n, phi(n)) is not 1"))?;
        Ok(Self { squared: Integer::from(prime.square_ref()), prime, large, mu })
    }

    /// A generator of Z_p^*, or none when p' is not known: the least x >= 2 with x^((p-1)/l) != 1 for every prime l of p - 1.
    fn generator(&self) -> Result<Option<Integer>> {
        let Some(large) = &self.large else { return Ok(None) };
        let order = Integer::from(&self.prime - 1u32);
        let wrong = || invalid("the factor given for p - 1 is not a large prime factor of it");
        if !is_prime(large) {
            return Err(wrong());
        }
        let (cofactor, rest) = order.clone().div_rem(large.clone());
        let cofactor = cofactor.to_u32().filter(|&k| rest == 0 && k < 2 * COFACTOR_LIMIT && k.is_multiple_of(2)).ok_or_else(wrong)?;
        let mut factors: Vec<Integer> = prime_factors(cofactor).into_iter().map(Integer::from).collect();
        factors.push(large.clone());
        let exponents: Vec<Integer> = factors.iter().map(|l| Integer::from(&order / l)).collect();
        let full_order = |x: &Integer| exponents.iter().all(|e| x.clone().pow_mod(e, &self.prime).is_ok_and(|y| y != 1));
        Ok((2u32..1000).map(Integer::from).find(full_order))
    }
}

impl Drop for Factor {
    fn drop(&mut self) {
        for secret in [&mut self.prime, &mut self.squared, &mut self.mu].into_iter().chain(&mut self.large) {
            wipe(secret);
        }
    }
}

fn prime_factors(mut value: u32) -> Vec<u32> {
    let mut factors = Vec::new();
    let mut d = 2;
    while d * d <= value {
        if value.is_multiple_of(d) {
            factors.push(d);
            while value.is_multiple_of(d) {
                value /= d;
            }
        }
        d += 1;
    }
    if value > 1 {
        factors.push(value);
    }
    factors
}

/// The owner's key. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey {
    public: SoundKey,
    halves: [Factor; 2],
    /// (p^2)^-1 mod q^2, for joining residues of ciphertexts.
    p_squared_inverse: Integer,
    /// p^-1 mod q, for joining residues of plaintexts.
    p_inverse: Integer,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({} bits, {}, secret not shown)", self.public.bits(), &self.public.fingerprint[..16])
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        wipe(&mut self.p_squared_inverse);
        wipe(&mut self.p_inverse);
    }
}

/// One prime of a secret key with what goes with it, for the halves of CRT arithmetic.
pub(super) struct Half<'a> {
    pub(super) prime: &'a Integer,
    pub(super) squared: &'a Integer,
    pub(super) mu: &'a Integer,
}

impl SecretKey {
    /// Checks and assembles a key from its primes. `large` are the large prime factors of p - 1 and q - 1 where they are known; they allow `owner` encryption.
    ///
    /// Checked: both primes (Baillie-PSW and 40 Miller-Rabin rounds; without GMP, 65 rounds), equal length, n of even length, |p - q| > 2^(bits/2 - 100), gcd(n, phi(n)) = 1, no
    /// smooth p - 1 (Pollard's method with bound 2^17), everything that [`PublicKey::new`] checks, the large factors. gcd(p-1, q-1) may be more than 2 without
    /// `djn_base`; with it, p = q = 3 (mod 4), gcd(p-1, q-1) = 2, and the base must be (-x^2)^n for some x.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] with the rule that is broken, [`Error::KeyTooSmall`] for a toy without consent.
    pub fn new(p: Integer, q: Integer, large: [Option<Integer>; 2], djn_base: Option<Integer>, allow_toy: bool) -> Result<Self> {
        if p <= 2 || q <= 2 {
            return Err(invalid("a factor of n is trivial"));
        }
        let public = PublicKey::new(Integer::from(&p * &q), djn_base, allow_toy)?;
        let half_bits = public.bits() / 2;
        if p.significant_bits() != half_bits || q.significant_bits() != half_bits {
            return Err(invalid(format!("the factors have {} and {} bits, both need {half_bits}", p.significant_bits(), q.significant_bits())));
        }
        for prime in [&p, &q] {
            if !is_prime(prime) {
                return Err(invalid("a factor of n is not prime"));
            }
            if has_smooth_order(prime) {
                return Err(invalid("p - 1 is smooth: Pollard's p - 1 method factors n"));
            }
        }
        let distance = Integer::from(&p - &q).abs().significant_bits();
        // The bound of FIPS 186-4, B.3.3; toys are too short for it and get a tenth of their length.
        let least = if half_bits > 200 { half_bits - 100 } else { half_bits / 10 };
        if distance <= least {
            return Err(invalid(format!("|p - q| has {distance} bits, more than {least} are needed")));
        }
        let key = Self::assemble(public, p, q, large)?;
        if let Some(base) = &key.public.djn_base {
            key.check_djn_base(base)?;
        }
        for half in &key.halves {
            half.generator()?;
        }
        Ok(key)
    }

    fn assemble(public: PublicKey, mut p: Integer, mut q: Integer, [p_large, q_large]: [Option<Integer>; 2]) -> Result<Self> {
        let mut phi = Integer::from(&p - 1u32) * Integer::from(&q - 1u32);
        if Integer::from(phi.gcd_ref(&public.n)) != 1 {
            return Err(invalid("gcd(n, phi(n)) is not 1"));
        }
        let halves = [Factor::new(p.clone(), &q, p_large)?, Factor::new(q.clone(), &p, q_large)?];
        let inverse = |a: &Integer, m: &Integer| a.invert_ref(m).map(Integer::from).ok_or_else(|| invalid("p and q are not coprime"));
        let p_inverse = inverse(&p, &q)?;
        let p_squared_inverse = inverse(&halves[0].squared, &halves[1].squared)?;
        [&mut p, &mut q, &mut phi].into_iter().for_each(wipe);
        Ok(Self { public: SoundKey::owned(public), halves, p_squared_inverse, p_inverse })
    }

    /// A key of any size without any check, for tests that run through all randomness.
    #[cfg(test)]
    pub(super) fn unchecked(p: u32, q: u32, large: [u32; 2]) -> Result<Self> {
        let public = PublicKey::assemble(Integer::from(p) * q, None);
        Self::assemble(public, Integer::from(p), Integer::from(q), large.map(|l| Some(Integer::from(l))))
    }

    /// What only the owner can see of a DJN base: it must be the n-th power of -x^2, which is a non-residue modulo both primes.
    fn check_djn_base(&self, base: &Integer) -> Result<()> {
        let [p, q] = self.primes();
        if p.mod_u(4) != 3 || q.mod_u(4) != 3 || Integer::from(p - 1u32).gcd(&Integer::from(q - 1u32)) != 2 {
            return Err(invalid("hs needs p = q = 3 (mod 4) and gcd(p-1, q-1) = 2"));
        }
        for half in self.halves() {
            let order = Integer::from(half.prime - 1u32);
            if base.clone().pow_mod(&order, half.squared).ok() != Some(Integer::from(1)) {
                return Err(invalid("hs is no n-th residue, so it would change plaintexts"));
            }
            if base.jacobi(half.prime) != -1 {
                return Err(invalid("hs is a square, not of the form (-x^2)^n"));
            }
        }
        Ok(())
    }

    /// Generates a key of exactly `bits` bits.
    ///
    /// `safe` asks for safe primes p = 2 p' + 1; otherwise p = 2 k p' + 1 with a small odd k, which takes about as long as two ordinary prime searches. In
    /// both cases p = q = 3 (mod 4), gcd(p-1, q-1) = 2 and the factors of p - 1 are known, so the key is fit for DJN and for owner encryption. The top two bits
    /// of both primes are set. `control` is looked at between candidates.
    ///
    /// # Errors
    /// [`Error::KeyTooSmall`], [`Error::OutOfRange`] for the size, [`Error::Interrupted`] when `control` was stopped.
    pub fn generate(bits: u32, safe: bool, allow_toy: bool, tape: &Tape, control: &Control) -> Result<Self> {
        check_bits(bits, allow_toy)?;
        for attempt in 0u64.. {
            let prime = |which: u64| generate_prime(bits / 2, safe, tape, 4 * attempt + which, control);
            let (p, q) = rayon::join(|| prime(0), || prime(1));
            let ((p, p_large), (q, q_large)) = (p?, q?);
            let common = Integer::from(&p - 1u32).gcd(&Integer::from(&q - 1u32));
            if common != 2 {
                continue;
            }
            let n = Integer::from(&p * &q);
            let n_squared = Integer::from(n.square_ref());
            let x = tape.stream(Purpose::Key, 4 * attempt + 2).unit(&n);
            let h = &n - x.square() % &n;
            let Ok(djn_base) = h.pow_mod(&n, &n_squared) else { continue };
            match Self::new(p, q, [Some(p_large), Some(q_large)], Some(djn_base), allow_toy) {
                Err(Error::InvalidKey { .. }) => {}
                other => return other,
            }
        }
        Err(Error::Interrupted)
    }

    /// The public part.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public part, to compute under: gcd(n, phi(n)) = 1 was seen.
    #[must_use]
    pub fn sound(&self) -> &SoundKey {
        &self.public
    }

    /// p and q with their constants.
    pub(super) fn halves(&self) -> [Half<'_>; 2] {
        [0, 1].map(|i| Half { prime: &self.halves[i].prime, squared: &self.halves[i].squared, mu: &self.halves[i].mu })
    }

    /// p and q.
    pub(super) fn primes(&self) -> [&Integer; 2] {
        [&self.halves[0].prime, &self.halves[1].prime]
    }

    /// The large prime factors of p - 1 and q - 1, where they are known.
    pub(super) fn large_factors(&self) -> [Option<&Integer>; 2] {
        [self.halves[0].large.as_ref(), self.halves[1].large.as_ref()]
    }

    /// Generators of Z_p^* and Z_q^*, for `owner` encryption.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a key whose p - 1 has unknown factors, [`Error::InvalidKey`] for wrong factors.
    pub(super) fn generators(&self) -> Result<[Integer; 2]> {
        let [Some(p), Some(q)] = [self.halves[0].generator()?, self.halves[1].generator()?] else {
            return Err(Error::unsupported(
                "a key whose factors of p - 1 are unknown",
                "owner encryption; use standard or djn, or a key that this program made",
            ));
        };
        Ok([p, q])
    }

    /// The x mod n with the given residues mod p and q. Input: below p and q. Garner's formula.
    pub(super) fn join_plaintext(&self, x_p: &Integer, x_q: &Integer) -> Integer {
        let [p, q] = self.primes();
        let mut factor = Integer::from(x_q - x_p) * &self.p_inverse;
        factor = factor.modulo(q);
        factor * p + x_p
    }

    /// (q^2)^-1 mod p^2 and (p^2)^-1 mod q^2.
    pub(super) fn crt_factors(&self) -> Result<[Integer; 2]> {
        let [p, q] = [0, 1].map(|i| &self.halves[i].squared);
        let inverse = q.invert_ref(p).map(Integer::from).ok_or_else(|| invalid("p and q are not coprime"))?;
        Ok([inverse, self.p_squared_inverse.clone()])
    }
}

/// Pollard's p - 1: whether the order of 2 modulo `prime` divides prod l^e over the prime powers below the bound.
fn has_smooth_order(prime: &Integer) -> bool {
    Integer::from(2).pow_mod(&smooth_exponent(SMOOTH_ORDER_LIMIT), prime).is_ok_and(|power| power == 1)
}

/// A prime p = 2 k p' + 1 of exactly `bits` bits with its top two bits set, and p'; k = 1 for safe primes, otherwise small and odd.
fn generate_prime(bits: u32, safe: bool, tape: &Tape, index: u64, control: &Control) -> Result<(Integer, Integer)> {
    let mut stream = tape.stream(Purpose::Key, index);
    let lowest = Integer::from(3) << (bits - 2);
    let highest = (Integer::from(1) << bits) - 1u32;
    loop {
        control.advance(1)?;
        if safe {
            let large = (lowest.clone() + stream.bits(bits - 2)) / 2u32;
            // p' = 5 (mod 6): both p' and p escape 2 and 3.
            let large = Integer::from(&large - large.mod_u(6)) + 5u32;
            let p = Integer::from(&large * 2u32) + 1u32;
            if p <= highest && p >= lowest && survives_trial_division(&large) && survives_trial_division(&p) && is_prime(&large) && is_prime(&p) {
                return Ok((p, large));
            }
            continue;
        }
        // Toys have short primes: their cofactor is short, too.
        let cofactor_bits = (bits / 8).min(20);
        let large = (Integer::from(1) << (bits - cofactor_bits - 2)) + stream.bits(bits - cofactor_bits - 2);
        let large = next_prime(&large, control)?;
        let unit = Integer::from(&large * 2u32);
        let first = Integer::from(&lowest / &unit) + 1u32;
        let count = Integer::from(&highest / &unit) - &first;
        // A random start, then upwards: p' is random already, k need not be uniform.
        let Some(mut k) = (first + stream.below(&(count + 1u32))).to_u32() else { continue };
        k |= 1;
        for k in (k..k.saturating_add(8 * bits)).step_by(2) {
            let p = Integer::from(&unit * k) + 1u32;
            if p > highest || k >= COFACTOR_LIMIT {
                break;
            }
            control.advance(1)?;
            if survives_trial_division(&p) && is_prime(&p) {
                return Ok((p, large));
            }
        }
    }
}

/// The least prime above x. GMP's own search cannot be stopped, and takes seconds at 4096 bits.
fn next_prime(x: &Integer, control: &Control) -> Result<Integer> {
    let mut first = Integer::from(x + 1u32);
    first.set_bit(0, true);
    let window = SIEVE_WINDOW as u32;
    loop {
        // Whether first + 2 i has a small factor.
        let mut composite = [false; SIEVE_WINDOW];
        for &p in sieve_primes().iter().filter(|&&p| first > p) {
            let missing = (p - first.mod_u(p)) % p;
            let start = if missing.is_multiple_of(2) { missing / 2 } else { (missing + p) / 2 };
            (start..window).step_by(p as usize).for_each(|i| composite[i as usize] = true);
        }
        for i in (0..window).filter(|&i| !composite[i as usize]) {
            control.advance(1)?;
            let candidate = Integer::from(&first + 2 * i);
            if is_prime(&candidate) {
                return Ok(candidate);
            }
        }
        first += 2 * window;
    }
}

/// The odd primes by which a search for primes divides first.
fn sieve_primes() -> &'static [u32] {
    static PRIMES: OnceLock<Vec<u32>> = OnceLock::new();
    PRIMES.get_or_init(|| {
        let mut composite = vec![false; SIEVE_LIMIT];
        let mut primes = Vec::new();
        for p in (3..SIEVE_LIMIT).step_by(2) {
            if !composite[p] {
                primes.push(p as u32);
                (p * p..SIEVE_LIMIT).step_by(2 * p).for_each(|multiple| composite[multiple] = true);
            }
        }
        primes
    })
}

/// Whether no prime below 1000 divides x, unless it is x.
fn survives_trial_division(x: &Integer) -> bool {
    // Product of the odd primes below 1000.
    thread_local!(static PRODUCT: Integer = Integer::from(Integer::primorial(1000)) / 2u32);
    PRODUCT.with(|product| Integer::from(x.gcd_ref(product)) == 1)
}

/// The Teichmüller element x^p mod p^2: depends on x mod p only, is multiplicative and is x modulo p.
pub(super) fn teichmueller(x: &Integer, half: &Half<'_>) -> Result<Integer> {
    x.clone().pow_mod(half.prime, half.squared).map_err(|_| invalid("no Teichmüller element"))
}
