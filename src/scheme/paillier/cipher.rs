//! Ciphertexts in batches, with what may be done to them in their type.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::key::PublicKey;
use crate::backend::Resident;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::{Limbs, words_for_bits};

/// A batch of ciphertexts on the device of a residues, in the residues's form.
pub struct OnDevice<S: State> {
    pub(super) residues: Resident,
    state: PhantomData<S>,
}

impl<S: State> OnDevice<S> {
    /// For this scheme: residues of whose state the caller is sure.
    pub(super) fn of(residues: Resident) -> Self {
        Self { residues, state: PhantomData }
    }

    /// Number of ciphertexts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.residues.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.residues.is_empty()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Whether a ciphertext may leave its party.
pub trait State: sealed::Sealed {}

/// Carries fresh randomness of the party that holds it: may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sendable {}

/// A product of other ciphertexts: its randomiser is a product of theirs, and the key owner reads the weights from it. It cannot be serialised; adding a fresh
/// encryption makes it [`Sendable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw {}

impl sealed::Sealed for Sendable {}
impl sealed::Sealed for Raw {}
impl State for Sendable {}
impl State for Raw {}

/// A batch of ciphertexts under one key: canonical residues modulo n^2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertexts<S: State> {
    fingerprint: String,
    values: Limbs,
    state: PhantomData<S>,
}

impl<S: State> Ciphertexts<S> {
    /// For this scheme: residues that a residues under `key` made.
    pub(super) fn of(key: &PublicKey, values: Limbs) -> Self {
        Self { fingerprint: key.fingerprint().into(), values, state: PhantomData }
    }

    /// No ciphertexts, to append to.
    pub(super) fn none(key: &PublicKey) -> Self {
        Self::of(key, Limbs::zeros(0, words_for_bits(key.n_squared().significant_bits())))
    }

    /// Number of ciphertexts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The key that they were made for.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The residues.
    #[must_use]
    pub fn values(&self) -> &Limbs {
        &self.values
    }

    /// Ciphertexts `first..first + count` as a batch of their own.
    #[must_use]
    pub fn part(&self, first: usize, count: usize) -> Self {
        Self { fingerprint: self.fingerprint.clone(), values: self.values.part(first, count), state: PhantomData }
    }

    /// Appends ciphertexts of the same key.
    ///
    /// # Errors
    /// [`Error::WrongKey`] for those of another key.
    pub fn append(&mut self, other: &Self) -> Result<()> {
        if self.fingerprint != other.fingerprint {
            let short = |fingerprint: &str| fingerprint.chars().take(16).collect();
            return Err(Error::WrongKey { expected: short(&self.fingerprint), actual: short(&other.fingerprint) });
        }
        self.values.append(&other.values)
    }

    /// Refuses another key than the one that these ciphertexts were made for.
    ///
    /// # Errors
    /// [`Error::WrongKey`] with the first 16 digits of both fingerprints.
    pub fn check_key(&self, key: &PublicKey) -> Result<()> {
        check_fingerprint(&self.fingerprint, key)
    }
}

/// Refuses another key than the one named.
///
/// # Errors
/// [`Error::WrongKey`] with the first 16 digits of both fingerprints.
pub fn check_fingerprint(fingerprint: &str, key: &PublicKey) -> Result<()> {
    if fingerprint != key.fingerprint() {
        return Err(Error::WrongKey { expected: fingerprint.chars().take(16).collect(), actual: key.fingerprint()[..16].into() });
    }
    Ok(())
}

impl Ciphertexts<Sendable> {
    /// Accepts ciphertexts from outside: each must have as many words as n^2, be in 1 to n^2 - 1 and a unit. One gcd serves the
    /// batch; only when it fails is every one looked at. In parallel over ciphertexts.
    ///
    /// # Errors
    /// [`Error::InvalidCiphertext`] naming the first bad one, [`Error::Size`] for another width.
    pub fn import(key: &PublicKey, values: Limbs) -> Result<Self> {
        let width = words_for_bits(key.n_squared().significant_bits());
        if values.width() != width {
            return Err(Error::size("words of a ciphertext", width, values.width()));
        }
        let all = || (0..values.len()).into_par_iter();
        let is_out = |value: &Integer| *value <= 0 || value >= key.n_squared();
        if let Some(index) = all().find_first(|&index| is_out(&values.integer(index))) {
            let bits = values.integer(index).significant_bits();
            return Err(Error::InvalidCiphertext { index, reason: format!("not in 1 to n^2 - 1 ({bits} bits)") });
        }
        let one = || Integer::from(1);
        let times = |product: Integer, value: Integer| product * (value % key.n()) % key.n();
        let product = all().fold(one, |product, index| times(product, values.integer(index))).reduce(one, times);
        if product.gcd(key.n()) != 1 {
            let index = all().find_first(|&index| values.integer(index).gcd(key.n()) != 1).unwrap_or(0);
            return Err(Error::InvalidCiphertext { index, reason: "shares a factor with n".into() });
        }
        Ok(Self::of(key, values))
    }

    /// As [`import`](Self::import), of integers that tests have at hand; one that no file has room for is out of range, too.
    #[cfg(test)]
    pub(crate) fn import_integers(key: &PublicKey, values: &[Integer]) -> Result<Self> {
        let width = words_for_bits(key.n_squared().significant_bits());
        let wide = values.iter().position(|value| value.is_negative() || value.significant_bits() as usize > 64 * width);
        match wide {
            Some(index) => Err(Error::InvalidCiphertext { index, reason: "not in 1 to n^2 - 1 by far".into() }),
            None => Self::import(key, Limbs::from_integers(values, width)?),
        }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_bytes(&self, key: &PublicKey) -> u64 {
        (self.len() * key.ciphertext_bytes()) as u64
    }
}
