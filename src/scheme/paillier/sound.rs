//! Keys that one may compute under: those with gcd(n, phi(n)) = 1.
//!
//! **Why it matters.** (Z/n^2)^* has n phi(n) elements. With gcd(n, phi(n)) = 1 the map
//! (m, r) -> (1 + n)^m r^n is a bijection from Z/n x (Z/n)^* onto it (Paillier 1999, lemma 1, for
//! g = n + 1): every unit c is an encryption of exactly one m, and c times a uniform n-th residue
//! is a uniform encryption of that m. So the plaintext is all that the key owner can read from a
//! re-randomised result, whatever the query was. Without it, n-th residues are too few: for
//! n = p^2 q a query can mark its ciphertexts by cosets that no n-th residue moves, and one answer
//! gives the weights away.
//!
//! **The proof.** The owner publishes n-th roots modulo n of [`ROOTS`] units that are hashed from
//! n. If a prime l divides n and phi(n), then (Z/n)^* has an element of order l, its n-th power is
//! 1, and at most one unit in l has an n-th root. Trial division on import leaves l > 2^20. So an
//! n that breaks the rule has roots of all 7 challenges with probability below 2^-140, and a cheat
//! who tries 2^t of them succeeds with 2^(t-140), SHA-256 taken for a random oracle. Roots of
//! random units are random units, which anybody can make with their n-th powers: they tell nothing
//! about the factors.
//!
//! Source: S. Goldberg, L. Reyzin, O. Sagga, F. Baldimtsi, *Efficient Noninteractive Certification
//! of RSA Moduli and Beyond*, ASIACRYPT 2019 (ePrint 2018/057), section 3.2: ceil(128 / log2 B)
//! roots after trial division by all primes up to B; here B = 2^20.
//!
//! **Not proven:** that n has two factors, that they are large, or that nobody else knows them
//! (what is encrypted is the owner's own affair); anything about hs, which no server uses; who
//! made the key. A proof is public and can be copied with its n.
//!
//! **A challenge.** Number i of n: SHA-256 of the domain, the length of n in bytes, n, i, a counter
//! of attempts and a counter of blocks (numbers of 8 bytes, big-endian), as many blocks as n needs,
//! read as one big-endian integer of which the lowest bits are kept, as many as n has. The first
//! attempt that is below n and coprime to it counts, so challenges are uniform among the units.

use std::ops::Deref;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::key::{PublicKey, SecretKey, TRIAL_DIVISION_LIMIT, invalid};
use crate::error::{Error, Result};
use crate::integer::{Integer, Order};
use crate::modulus::wipe;

/// Bits of soundness that are asked for.
const SOUNDNESS_BITS: u32 = 128;
/// Roots of a proof.
pub(super) const ROOTS: usize = SOUNDNESS_BITS.div_ceil(TRIAL_DIVISION_LIMIT.ilog2()) as usize;
const DOMAIN: &[u8] = b"cipherlane paillier n-th root challenge v1";

/// Challenge `number` of n: a unit modulo n.
fn challenge(n: &Integer, number: u64) -> Integer {
    let digits = n.to_digits::<u8>(Order::Msf);
    let bits = n.significant_bits();
    let start = Sha256::new().chain_update(DOMAIN).chain_update((digits.len() as u64).to_be_bytes()).chain_update(digits);
    let start = start.chain_update(number.to_be_bytes());
    let attempt = |attempt: u64| {
        let start = start.clone().chain_update(attempt.to_be_bytes());
        let block = |block: u64| start.clone().chain_update(block.to_be_bytes()).finalize();
        let bytes: Vec<u8> = (0..u64::from(bits.div_ceil(256))).flat_map(block).collect();
        Integer::from_digits(&bytes, Order::Msf).keep_bits(bits)
    };
    (0..).map(attempt).find(|c| c < n && Integer::from(c.gcd_ref(n)) == 1).unwrap_or_default()
}

/// The owner's proof that gcd(n, phi(n)) = 1; see the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    roots: Vec<Integer>,
}

impl Proof {
    /// Makes the proof. It is checked before it is returned, because a root that a fault has
    /// changed modulo one prime would give the factors away.
    ///
    /// Time: the powers, whose exponents are secret, are GMP's of constant time; reductions, the
    /// inverses and the join are not, as in decryption.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] when a fault kept a root from being right.
    pub fn new(secret: &SecretKey) -> Result<Self> {
        let n = secret.public().n();
        let halves = secret.halves();
        let mut exponents = Vec::with_capacity(halves.len());
        for half in &halves {
            // n^-1 mod p - 1.
            let order = Integer::from(half.prime - 1u32);
            exponents.push(Integer::from(n % &order).invert(&order).map_err(|_| invalid("gcd(n, phi(n)) is not 1"))?);
        }
        let root = |number: usize| {
            let c = challenge(n, number as u64);
            let power = |which: usize| {
                let prime = halves[which].prime;
                Integer::from(&c % prime).secure_pow_mod(&exponents[which], prime)
            };
            let mut parts = [power(0), power(1)];
            let root = secret.join_plaintext(&parts[0], &parts[1]);
            parts.iter_mut().for_each(wipe);
            root
        };
        let roots = (0..ROOTS).into_par_iter().map(root).collect();
        exponents.iter_mut().for_each(wipe);
        let proof = Self { roots };
        proof.check(n)?;
        Ok(proof)
    }

    /// What a file gives, to be checked.
    pub(super) fn from_roots(roots: Vec<Integer>) -> Self {
        Self { roots }
    }

    /// The roots, for a file.
    pub(super) fn roots(&self) -> &[Integer] {
        &self.roots
    }

    /// Refuses a proof that is not one for this n, which must have passed [`PublicKey::new`].
    ///
    /// # Errors
    /// [`Error::InvalidKey`] naming the first wrong root.
    fn check(&self, n: &Integer) -> Result<()> {
        if self.roots.len() != ROOTS {
            return Err(invalid(format!("its proof has {} roots, {ROOTS} are needed", self.roots.len())));
        }
        let is_root = |number: usize| {
            let root = &self.roots[number];
            *root > 0 && root < n && root.clone().pow_mod(n, n).is_ok_and(|power| power == challenge(n, number as u64))
        };
        let right: Vec<bool> = (0..ROOTS).into_par_iter().map(is_root).collect();
        match right.iter().position(|right| !right) {
            None => Ok(()),
            Some(wrong) => Err(invalid(format!(
                "root {wrong} of its proof is wrong, so gcd(n, phi(n)) may be more than 1 and its owner could read the model from an answer"
            ))),
        }
    }
}

/// A public key that one may compute under: proven, one's own, or trusted. Whatever re-randomises
/// results or sends masked ciphertexts takes this, not a [`PublicKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundKey(PublicKey);

impl SoundKey {
    /// A foreign key with its owner's proof. Checking takes a power modulo n for each root.
    ///
    /// # Errors
    /// [`Error::UnprovenKey`] without a proof, [`Error::InvalidKey`] with a wrong one.
    pub fn proven(key: PublicKey, proof: Option<&Proof>) -> Result<Self> {
        proof.ok_or_else(|| Error::UnprovenKey { fingerprint: key.fingerprint()[..16].into() })?.check(key.n())?;
        Ok(Self(key))
    }

    /// A foreign key without proof, for a user who says so. If gcd(n, phi(n)) is not 1, the key
    /// owner can read from an answer more than its plaintexts.
    #[must_use]
    pub fn trusted(key: PublicKey) -> Self {
        Self(key)
    }

    /// A key whose gcd(n, phi(n)) was computed from its factors.
    pub(super) fn owned(key: PublicKey) -> Self {
        Self(key)
    }
}

impl Deref for SoundKey {
    type Target = PublicKey;

    fn deref(&self) -> &PublicKey {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::Tape;

    fn toy(bits: u32, number: u64) -> SecretKey {
        SecretKey::generate(bits, false, true, &Tape::replayable(number), &crate::control::Control::default()).unwrap()
    }

    #[test]
    fn challenges_are_the_documented_hashes_and_units() {
        let n = (Integer::from(1) << 300u32) + 157u32;
        assert_eq!(challenge(&n, 0).to_string_radix(16), CHALLENGES[0]);
        assert_eq!(challenge(&n, 6).to_string_radix(16), CHALLENGES[1]);
        // Of a small n with small factors most attempts are none: 3 5 7 11 13 has 5760 units.
        let small = Integer::from(15015);
        let mut seen: Vec<Integer> = (0..2000).map(|number| challenge(&small, number)).collect();
        assert!(seen.iter().all(|c| *c > 0 && *c < small && Integer::from(c.gcd_ref(&small)) == 1));
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 1500, "{}", seen.len());
    }

    /// By a Python program of the same documentation.
    const CHALLENGES: [&str; 2] = [
        "57d991cd582097fe40b2c9284ebae6733cf664099cdfb79a6b773c71d6220d62f2d6a522845",
        "f56c2a741199193501398a91e11e208ee9fc4e2a65851095b38e51c5186b4660b1039afa740",
    ];

    #[test]
    fn the_owner_proves_and_every_change_is_refused() {
        for (bits, number) in [(256, 1), (512, 2), (1024, 3)] {
            let key = toy(bits, number);
            let proof = Proof::new(&key).unwrap();
            let accepted = |roots: Vec<Integer>| SoundKey::proven(key.public().clone(), Some(&Proof::from_roots(roots)));
            let roots = proof.roots().to_vec();
            assert_eq!(accepted(roots.clone()).unwrap(), *key.sound());
            let refused = |roots: Vec<Integer>, reason: &str| {
                let error = accepted(roots).unwrap_err().to_string();
                assert!(error.contains(reason), "{error}");
            };
            for index in 0..ROOTS {
                let with = |value: Integer| {
                    let mut changed = roots.clone();
                    changed[index] = value;
                    changed
                };
                let wrong = format!("root {index} of its proof is wrong");
                for value in [
                    Integer::from(&roots[index] + 1u32),
                    Integer::from(key.public().n() - &roots[index]),
                    Integer::from(&roots[index] + key.public().n()),
                    Integer::from(-&roots[index]),
                    Integer::new(),
                    Integer::from(1),
                ] {
                    refused(with(value), &wrong);
                }
            }
            let mut swapped = roots.clone();
            swapped.swap(2, 5);
            refused(swapped, "root 2 of its proof is wrong");
            refused(roots[..ROOTS - 1].to_vec(), "has 6 roots, 7 are needed");
            refused(roots.iter().chain(&roots[..1]).cloned().collect(), "has 8 roots, 7 are needed");
            refused(Vec::new(), "has 0 roots");
            // Another key's proof, and none.
            refused(Proof::new(&toy(bits, number + 10)).unwrap().roots, "root 0 of its proof is wrong");
            assert!(matches!(SoundKey::proven(key.public().clone(), None), Err(Error::UnprovenKey { .. })));
            assert_eq!(SoundKey::trusted(key.public().clone()), *key.sound());
        }
    }

    #[test]
    fn who_knows_the_factors_of_a_bad_modulus_has_no_proof() {
        let key = toy(256, 4);
        let [p, q] = key.primes();
        // The largest prime of trial division: no PublicKey, so no proof is looked at.
        let small = Integer::from(1_048_573) * (Integer::from(3) << 234u32).next_prime();
        assert!(PublicKey::new(small, None, true).unwrap_err().to_string().contains("prime factor below 1048576"));
        // p^2 q: units without a root are 1 - 1/p of all.
        let coset = Integer::from(p.square_ref()) * q;
        // p r with p dividing r - 1: likewise.
        let r = (1u32..).map(|k| Integer::from(p * (2 * k)) + 1u32).find(crate::integer::is_prime).unwrap();
        let divides = Integer::from(p * &r);
        for (n, phi) in
            [(&coset, Integer::from(p - 1u32) * p * Integer::from(q - 1u32)), (&divides, Integer::from(p - 1u32) * Integer::from(&r - 1u32))]
        {
            // A unit c has a root only if c^(phi / p) = 1 in the part of order p.
            let part = Integer::from(&phi / p);
            for number in 0..ROOTS as u64 {
                assert!(challenge(n, number).pow_mod(&part, n).unwrap() != 1);
            }
            // The best that its owner can do: the root that would do if p were no factor of phi.
            let exponent = n.clone().invert(&part).unwrap();
            let roots = (0..ROOTS as u64).map(|number| challenge(n, number).pow_mod(&exponent, n).unwrap()).collect();
            assert!(Proof::from_roots(roots).check(n).is_err());
        }
    }
}
