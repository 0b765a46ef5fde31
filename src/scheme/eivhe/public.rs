//! The public matrix M = \[S* + E - T A; A\] of the switch from the key I to S = \[I, T\]: c = M (w x)*.
//!
//! Kept is M without S* = (I, 2 I, 4 I, ...), which everybody knows: M (w x)* = (w x, 0) + \[E - T A; A\] (w x)*.

use rayon::prelude::*;
use zeroize::Zeroizing;

use super::key::{Secret, check_messages};
use super::parameters::{Encryption, Parameters};
use super::product::product_modulo;
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Stream, Tape};

/// Messages encrypted between two makings of the tables.
const BATCH: usize = 4096;
/// Rows of the matrix whose tables are there at once: 3 MiB for 784 entries of 8 bits.
const ROWS: usize = 16;
/// Bits of a digit of the tables.
const NIBBLE: u32 = 4;

/// A fixed public matrix. Column `i * digits + b` is that of bit `scale_bits + b` of entry i; lower bits of w x are always 0 and have no columns here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicMatrix {
    parameters: Parameters,
    digits: usize,
    /// m rows of E - T A.
    upper: Vec<i64>,
    /// k rows of A.
    lower: Vec<i64>,
}

impl PublicMatrix {
    /// Draws A and E. `digits` are the columns per entry of a message, none for those that messages meet: the public programs have 100, and whoever attacks can use
    /// them all.
    ///
    /// # Errors
    /// As [`Parameters::check`]; [`Error::OutOfRange`] when there are fewer columns than messages need.
    pub fn generate(secret: &Secret, tape: &Tape, digits: Option<usize>) -> Result<Self> {
        let parameters = secret.parameters();
        let columns = parameters.dimension * digits.unwrap_or(parameters.message_bits() as usize);
        let draw = |rows: usize, first: u64, fill: &(dyn Fn(&mut Stream) -> i64 + Sync)| -> Vec<i64> {
            let row = |row: usize| {
                let mut stream = tape.stream(Purpose::KeySwitch, first + row as u64);
                (0..columns).map(|_| fill(&mut stream)).collect::<Vec<_>>()
            };
            (0..rows).into_par_iter().flat_map_iter(row).collect()
        };
        let lower = draw(parameters.key_columns, 0, &|stream| parameters.mask.sample(parameters.modulus_bits, stream));
        let noise = Zeroizing::new(draw(parameters.dimension, 1 << 32, &|stream| parameters.noise.sample(None, stream)));
        Self::from_parts(secret, lower, &noise, digits)
    }

    /// The matrix of given A, k rows, and E, m rows.
    ///
    /// # Errors
    /// As [`Self::generate`]; [`Error::Size`].
    pub(super) fn from_parts(secret: &Secret, lower: Vec<i64>, noise: &[i64], digits: Option<usize>) -> Result<Self> {
        let parameters = *secret.parameters();
        parameters.encrypted(Encryption::Fixed)?;
        let needed = parameters.message_bits() as usize;
        let digits = digits.unwrap_or(needed);
        if digits < needed || digits > 128 {
            return Err(Error::range("columns per entry", &digits, format!("{needed} to 128")));
        }
        let columns = parameters.dimension * digits;
        for (what, expected, actual) in
            [("entries of A", parameters.key_columns * columns, lower.len()), ("entries of E", parameters.dimension * columns, noise.len())]
        {
            if expected != actual {
                return Err(Error::size(what, expected, actual));
            }
        }
        let mut upper = product_modulo(parameters.modulus_bits, &secret.rows(), parameters.key_columns, &lower, columns);
        upper.par_iter_mut().zip(noise.par_iter()).for_each(|(entry, &e)| *entry = parameters.reduce(e.wrapping_sub(*entry)));
        Ok(Self { parameters, digits, upper, lower })
    }

    /// What it is for.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.parameters.dimension * self.digits
    }

    /// The m rows of M - S*, which is E - T A.
    #[must_use]
    pub fn upper(&self) -> &[i64] {
        &self.upper
    }

    /// The k rows of A.
    #[must_use]
    pub fn lower(&self) -> &[i64] {
        &self.lower
    }

    /// The matrix of the absolute values of the entries of M, as in a follow-up of EIVHE (jisys-2022-0281). What it encrypts does not decrypt any more.
    #[must_use]
    pub fn absolute(&self) -> Self {
        let columns = self.columns();
        let mut absolute = self.clone();
        absolute.lower.par_iter_mut().for_each(|entry| *entry = entry.wrapping_abs());
        absolute.upper.par_chunks_exact_mut(columns).enumerate().for_each(|(row, entries)| {
            for (column, entry) in entries.iter_mut().enumerate() {
                let bit = self.parameters.scale_bits as usize + column % self.digits;
                // Beyond i64 the entry of S* outweighs all others, so the sum is positive as it is.
                let power = if column / self.digits != row {
                    0
                } else if bit < 62 {
                    1 << bit
                } else {
                    continue;
                };
                *entry = entry.wrapping_add(power).wrapping_abs().wrapping_sub(power);
            }
        });
        absolute
    }

    /// Ciphertexts M (w x)* of messages of m entries, one after the other, each of m + k entries. Deterministic: equal messages, equal ciphertexts.
    ///
    /// The product with the bits of w x is taken four bits at a time from tables of sums of columns, for some rows at once, so exactly M (w x)*. Messages are not secret
    /// from the running time: zeros are skipped.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::OutOfRange`] for messages beyond the bound.
    pub fn encrypt(&self, messages: &[i64]) -> Result<Vec<i64>> {
        let parameters = &self.parameters;
        check_messages(parameters, messages)?;
        let (m, width) = (parameters.dimension, parameters.width());
        let nibbles = parameters.message_bits().div_ceil(NIBBLE) as usize;
        let mut ciphertexts = vec![0; messages.len() / m * width];
        let mut table = vec![[0i64; ROWS]; (m * nibbles) << NIBBLE];
        for (messages, ciphertexts) in messages.chunks(BATCH * m).zip(ciphertexts.chunks_mut(BATCH * width)) {
            let picks: Vec<Picks> = messages.par_chunks_exact(m).map(|message| Picks::new(message, nibbles)).collect();
            for first in (0..width).step_by(ROWS) {
                table.par_chunks_exact_mut(nibbles << NIBBLE).enumerate().for_each(|(entry, table)| self.fill(table, entry, first));
                ciphertexts.par_chunks_exact_mut(width).zip(&picks).for_each(|(ciphertext, picks)| {
                    let sums = picks.sum(&table);
                    let end = width.min(first + ROWS);
                    ciphertext[first..end].copy_from_slice(&sums[..end - first]);
                });
            }
            ciphertexts.par_chunks_exact_mut(width).zip(messages.par_chunks_exact(m)).for_each(|(ciphertext, message)| {
                ciphertext.iter_mut().zip(message).for_each(|(entry, &x)| *entry = entry.wrapping_add(x << parameters.scale_bits));
                ciphertext.iter_mut().for_each(|entry| *entry = parameters.reduce(*entry));
            });
        }
        Ok(ciphertexts)
    }

    /// The sums of columns of one entry of a message, for rows from `first` on: place `(nibble << 4) + v` has the columns of the bits of v.
    fn fill(&self, table: &mut [[i64; ROWS]], entry: usize, first: usize) {
        let (m, bits, columns) = (self.parameters.dimension, self.parameters.message_bits(), self.columns());
        for (nibble, sums) in table.chunks_exact_mut(1 << NIBBLE).enumerate() {
            for v in 1usize..1 << NIBBLE {
                let bit = nibble as u32 * NIBBLE + v.ilog2();
                let without = sums[v ^ (1 << v.ilog2())];
                sums[v] = without;
                if bit >= bits {
                    continue;
                }
                let column = entry * self.digits + bit as usize;
                for (row, sum) in (first..self.parameters.width().min(first + ROWS)).zip(&mut sums[v]) {
                    let value = if row < m { self.upper[row * columns + column] } else { self.lower[(row - m) * columns + column] };
                    *sum = sum.wrapping_add(value);
                }
            }
        }
    }
}

/// Places of the table that a message takes: those to add, and those to subtract.
struct Picks {
    plus: Vec<u32>,
    minus: Vec<u32>,
}

impl Picks {
    fn new(message: &[i64], nibbles: usize) -> Self {
        let mut picks = Self { plus: Vec::new(), minus: Vec::new() };
        for (entry, &x) in message.iter().enumerate() {
            let signed = if x < 0 { &mut picks.minus } else { &mut picks.plus };
            let magnitude = x.unsigned_abs();
            for nibble in 0..nibbles {
                let v = magnitude >> (nibble as u32 * NIBBLE) & ((1 << NIBBLE) - 1);
                if v > 0 {
                    signed.push((((entry * nibbles + nibble) << NIBBLE) + v as usize) as u32);
                }
            }
        }
        picks
    }

    fn sum(&self, table: &[[i64; ROWS]]) -> [i64; ROWS] {
        let all = |picks: &[u32]| {
            let mut sums = [0i64; ROWS];
            for &pick in picks {
                sums.iter_mut().zip(&table[pick as usize]).for_each(|(sum, &value)| *sum = sum.wrapping_add(value));
            }
            sums
        };
        let (mut sums, minus) = (all(&self.plus), if self.minus.is_empty() { [0; ROWS] } else { all(&self.minus) });
        sums.iter_mut().zip(minus).for_each(|(sum, value)| *sum = sum.wrapping_sub(value));
        sums
    }
}
