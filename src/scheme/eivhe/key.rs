//! The secret key S = \[I, T\], encryption with it and decryption.

use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::parameters::{Draw, Encryption, Parameters};
use super::product::{product, product_modulo};
use super::sums::Sums;
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Tape};

/// Messages that share a product.
const BATCH: usize = 1024;

/// T of a key S = \[I, T\], and the parameters that it is for. Wiped when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    #[zeroize(skip)]
    parameters: Parameters,
    /// T transposed: k rows of m.
    transposed: Vec<i64>,
}

impl Secret {
    /// Draws T. `number` tells keys of one tape apart.
    ///
    /// # Errors
    /// As [`Parameters::check`] where not even fresh ciphertexts decrypt.
    pub fn generate(parameters: Parameters, tape: &Tape, number: u64) -> Result<Self> {
        parameters.encrypted(Encryption::Fresh)?;
        Ok(Self::draw(parameters, tape, number))
    }

    /// Draws T for results of operations, whose ranges are checked by the operations themselves.
    pub(super) fn draw(parameters: Parameters, tape: &Tape, number: u64) -> Self {
        let mut stream = tape.stream(Purpose::Key, number);
        let count = parameters.dimension * parameters.key_columns;
        Self { parameters, transposed: (0..count).map(|_| parameters.key.sample(parameters.modulus_bits, &mut stream)).collect() }
    }

    /// A key from T, m rows of k: of another party, or one that was recovered. Entries may be any integers.
    ///
    /// # Errors
    /// [`Error::Size`]; as [`Parameters::check`].
    pub fn from_rows(parameters: Parameters, rows: &[i64]) -> Result<Self> {
        parameters.encrypted(Encryption::Fresh)?;
        let Parameters { dimension, key_columns, .. } = parameters;
        if rows.len() != dimension * key_columns {
            return Err(Error::size("entries of T", dimension * key_columns, rows.len()));
        }
        let entry = |at: usize| rows[at % dimension * key_columns + at / dimension];
        Ok(Self { parameters, transposed: (0..rows.len()).map(entry).collect() })
    }

    /// The key \[I, G T\] of ciphertexts whose first m entries were multiplied by G, `rows` x m: see [`super::Direct`].
    pub(super) fn mapped(&self, map: &[i64], rows: usize) -> Self {
        let t = self.rows();
        let mapped = Zeroizing::new(product(map, self.parameters.dimension, &t, self.parameters.key_columns));
        let k = self.parameters.key_columns;
        let entry = |at: usize| self.parameters.reduce(mapped[at % rows * k + at / rows]);
        Self { parameters: Parameters { dimension: rows, ..self.parameters }, transposed: (0..rows * k).map(entry).collect() }
    }

    /// What it is for.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// T, m rows of k, for comparison with a recovered one.
    #[must_use]
    pub fn rows(&self) -> Zeroizing<Vec<i64>> {
        let Parameters { dimension, key_columns, .. } = self.parameters;
        Zeroizing::new((0..self.transposed.len()).map(|at| self.transposed[at % key_columns * dimension + at / key_columns]).collect())
    }

    /// S c = w x + e of some ciphertexts, one after the other: m numbers each. Input: any integers below the checked range; output in i64, or modulo q. Running time
    /// depends on sizes and widths alone.
    ///
    /// # Errors
    /// [`Error::Size`] when ciphertexts are cut.
    pub fn phase(&self, ciphertexts: &[i64]) -> Result<Vec<i64>> {
        let Parameters { dimension, key_columns, .. } = self.parameters;
        let count = Parameters::count("entries of ciphertexts", ciphertexts, self.parameters.width())?;
        let mut phases = Vec::with_capacity(count * dimension);
        for batch in ciphertexts.chunks(BATCH * self.parameters.width()) {
            let lower: Vec<i64> = batch.chunks_exact(self.parameters.width()).flat_map(|c| &c[dimension..]).copied().collect();
            let mut sums = product_modulo(self.parameters.modulus_bits, &lower, key_columns, &self.transposed, dimension);
            sums.par_chunks_exact_mut(dimension).zip(batch.par_chunks_exact(self.parameters.width())).for_each(|(sums, ciphertext)| {
                sums.iter_mut().zip(ciphertext).for_each(|(sum, &upper)| *sum = self.parameters.reduce(sum.wrapping_add(upper)));
            });
            phases.append(&mut sums);
        }
        Ok(phases)
    }

    /// x = round(S c / w) of some ciphertexts, message after message. Input: ciphertexts within a checked range; what is not gives some integers.
    ///
    /// # Errors
    /// [`Error::Size`] when ciphertexts are cut.
    pub fn decrypt(&self, ciphertexts: &[i64]) -> Result<Vec<i64>> {
        let mut values = self.phase(ciphertexts)?;
        values.par_iter_mut().for_each(|value| *value = self.parameters.round(*value));
        Ok(values)
    }
}

/// Encrypts with randomness of its own for every message, which takes the secret key: what the public programs call `encrypt`.
pub struct Encryptor<'a> {
    secret: &'a Secret,
    mask: Sums,
    noise: Sums,
}

impl<'a> Encryptor<'a> {
    /// Tables of the sums.
    ///
    /// # Errors
    /// As [`Parameters::check`].
    pub fn new(secret: &'a Secret) -> Result<Self> {
        let parameters = secret.parameters;
        parameters.encrypted(Encryption::Fresh)?;
        let sums = |draw: Draw| Sums::new(draw, parameters.modulus_bits);
        Ok(Self { secret, mask: sums(parameters.mask), noise: sums(parameters.noise) })
    }

    /// Ciphertexts of messages of m entries, one after the other, each of m + k entries: w x + E c* - T A c* and then A c*, A and E new for every message. Message i
    /// takes stream `first + i` of the tape, so `first` never stands twice for other messages.
    ///
    /// Over the integers c* are the signed binary digits of w x, and a message of zeros is a ciphertext of zeros, as in the public programs. Modulo q a message takes
    /// one column of A and E whatever its digits, so that a message of zeros is like any other.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::OutOfRange`] for messages beyond the bound.
    pub fn encrypt(&self, messages: &[i64], tape: &Tape, first: u64) -> Result<Vec<i64>> {
        let parameters = &self.secret.parameters;
        check_messages(parameters, messages)?;
        let (m, k) = (parameters.dimension, parameters.key_columns);
        let mut ciphertexts = Vec::with_capacity(messages.len() / m * (m + k));
        for (number, batch) in messages.chunks(BATCH * m).enumerate() {
            let count = batch.len() / m;
            let (mut lower, mut upper) = (vec![0; count * k], vec![0; count * m]);
            lower.par_chunks_exact_mut(k).zip(upper.par_chunks_exact_mut(m)).zip(batch.par_chunks_exact(m)).enumerate().for_each(
                |(at, ((lower, upper), message))| {
                    let mut stream = tape.stream(Purpose::Encryption, first + (number * BATCH + at) as u64);
                    let ones = |sign: i64| message.iter().filter(|x| x.signum() == sign).map(|x| x.unsigned_abs().count_ones() as usize).sum();
                    let (plus, minus): (usize, usize) = if parameters.modulus_bits.is_some() { (1, 0) } else { (ones(1), ones(-1)) };
                    let mut draw = |sums: &Sums| sums.sample(plus, &mut stream) - sums.sample(minus, &mut stream);
                    lower.iter_mut().for_each(|entry| *entry = draw(&self.mask));
                    upper.iter_mut().zip(message).for_each(|(entry, &x)| *entry = (x << parameters.scale_bits) + draw(&self.noise));
                },
            );
            let keyed = Zeroizing::new(product_modulo(parameters.modulus_bits, &lower, k, &self.secret.transposed, m));
            upper.par_iter_mut().zip(keyed.par_iter()).for_each(|(upper, &keyed)| *upper = parameters.reduce(upper.wrapping_sub(keyed)));
            for (upper, lower) in upper.chunks_exact(m).zip(lower.chunks_exact(k)) {
                ciphertexts.extend_from_slice(upper);
                ciphertexts.extend_from_slice(lower);
            }
        }
        Ok(ciphertexts)
    }
}

/// Refuses messages that are cut or beyond the bound.
pub(super) fn check_messages(parameters: &Parameters, messages: &[i64]) -> Result<()> {
    Parameters::count("entries of messages", messages, parameters.dimension)?;
    match messages.iter().find(|x| x.unsigned_abs() > parameters.message_bound) {
        None => Ok(()),
        Some(x) => {
            let bound = parameters.message_bound;
            Err(Error::range("entry of a message", &x, format!("-{bound} to {bound}")))
        }
    }
}
