//! Checks that all suites share: how much is tried, operands at the edges, comparison bit for bit.

use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::randomness::Stream;

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Seconds: moduli up to 2048 bits.
    Quick,
    /// Minutes: moduli up to 8192 bits and many more random operands.
    Long,
}

/// One passed check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was compared.
    pub name: String,
    /// Results compared.
    pub cases: usize,
}

/// Compares two batches bit for bit; the number of integers compared.
///
/// # Errors
/// [`Error::Disagreement`] naming the first integer that differs.
pub fn compare(what: &str, expected: &Limbs, actual: &Limbs) -> Result<usize> {
    let disagreement = |at: String, expected: String, actual: String| Error::Disagreement { what: format!("{what}{at}"), expected, actual };
    if (expected.len(), expected.width()) != (actual.len(), actual.width()) {
        let shape = |l: &Limbs| format!("{} integers of {} words", l.len(), l.width());
        return Err(disagreement(String::new(), shape(expected), shape(actual)));
    }
    match expected.iter().zip(actual.iter()).position(|(e, a)| e != a) {
        None => Ok(expected.len()),
        Some(i) => Err(disagreement(format!(", result {i}"), format!("0x{:x}", expected.integer(i)), format!("0x{:x}", actual.integer(i)))),
    }
}

pub(super) fn all_ones(bits: u32) -> Integer {
    (Integer::from(1) << bits) - 1u32
}

/// Residues at the edges, and `random` random ones.
pub(super) fn operands(modulus: &Modulus, random: usize, stream: &mut Stream) -> Vec<Integer> {
    let m = modulus.value();
    let mut values: Vec<Integer> = [0u32, 1, 2, 3].map(Integer::from).to_vec();
    values.extend([1u32, 2, 3].map(|d| Integer::from(m - d)));
    values.extend([
        Integer::from(m >> 1u32),
        Integer::from(m >> 1u32) + 1u32,
        all_ones(m.significant_bits() - 1),
        Integer::from(1) << (m.significant_bits() - 1),
    ]);
    if let Some(n) = modulus.root() {
        // Digits at both ends of base n.
        values.extend([Integer::from(n - 1u32), n.clone(), Integer::from(n + 1u32), Integer::from(n - 1u32) * n, Integer::from(m - n)]);
    }
    values.extend((0..random).map(|_| stream.below(m)));
    values.into_iter().map(|v| v % m).collect()
}
