//! What P2 can tell of magnitudes, measured: counts of what it reads beside what was compared. No encryption: the numbers are drawn as the protocols draw them,
//! and a test finds the same in what P2 decrypts.

use super::Comparison;
use super::comparison::{Factor, blinded_width};
use super::rounding::below;
use super::slots::KAPPA;
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Stream, Tape};
use crate::scheme::private_training::MAXIMUM_BITS;

/// Joint counts of a compared number and of what P2 reads of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// How signs were compared.
    pub comparison: Comparison,
    /// Magnitude of the numbers: |x| < 2^bits.
    pub bits: u32,
    /// `by_length[i][j]`: numbers whose |2x + 1| has i + 1 bits and whose reading has j bits, without its sign.
    pub by_length: Vec<Vec<u64>>,
    /// `by_low[i][j]`: as before, j the length of the `bits` lowest bits of the reading.
    pub by_low: Vec<Vec<u64>>,
    /// `by_sign[i][j]`: i whether x >= 0, j whether the reading's highest free bit (the sign of `blinded`, bit `bits` of `exact`) is 1.
    pub by_sign: [[u64; 2]; 2],
}

impl Leak {
    /// Nothing counted.
    #[must_use]
    pub fn empty(comparison: Comparison, bits: u32) -> Self {
        let lengths = match comparison {
            Comparison::Blinded => blinded_width(bits),
            Comparison::Exact => bits + KAPPA + 2,
        };
        let table = |columns: u32| vec![vec![0; columns as usize + 1]; bits as usize + 1];
        Self { comparison, bits, by_length: table(lengths), by_low: table(bits), by_sign: [[0; 2]; 2] }
    }

    /// Counts one number and what P2 read of it: y of `blinded`, z of `exact`.
    pub fn count(&mut self, x: i64, reading: i128) {
        let magnitude = (2 * i128::from(x) + 1).unsigned_abs();
        let row = (u128::BITS - magnitude.leading_zeros()) as usize - 1;
        let length = |v: u128| (u128::BITS - v.leading_zeros()) as usize;
        let read = reading.unsigned_abs();
        let high = match self.comparison {
            Comparison::Blinded => reading > 0,
            Comparison::Exact => read >> self.bits & 1 == 1,
        };
        if let Some(cell) = self.by_length.get_mut(row).and_then(|r| r.get_mut(length(read))) {
            *cell += 1;
        }
        if let Some(cell) = self.by_low.get_mut(row).and_then(|r| r.get_mut(length(read & ((1 << self.bits) - 1)))) {
            *cell += 1;
        }
        self.by_sign[usize::from(x >= 0)][usize::from(high)] += 1;
    }
}

/// What P2 reads of numbers, one after the other: y of `blinded` with its sign, z of `exact`. Input: |x| < 2^bits.
///
/// # Errors
/// [`Error::OutOfRange`] for bits beyond 40 or a number that leaves them.
pub fn readings(comparison: Comparison, values: &[i64], bits: u32, tape: &Tape) -> Result<Vec<i128>> {
    if bits == 0 || bits > MAXIMUM_BITS {
        return Err(Error::range("magnitude", &format!("{bits} bits"), format!("1 to {MAXIMUM_BITS} bits")));
    }
    if let Some(value) = values.iter().find(|v| v.unsigned_abs() >> bits != 0) {
        return Err(Error::range("number", &value, format!("magnitude below 2^{bits}")));
    }
    let mut stream = tape.stream(Purpose::Masking, 0);
    let top = (1u128 << (bits + 1 + KAPPA)) - 1;
    Ok(values
        .iter()
        .map(|&x| match comparison {
            Comparison::Blinded => Factor::draw(&mut stream).blind(x),
            Comparison::Exact => i128::from(x) + (1 << bits) + ((u128::from(stream.word()) << 64 | u128::from(stream.word())) & top) as i128,
        })
        .collect())
}

/// Joint counts over `samples` numbers whose bit length is uniform from 0 to `bits`, with random signs.
///
/// # Errors
/// As [`readings`].
pub fn leak(comparison: Comparison, bits: u32, samples: usize, tape: &Tape) -> Result<Leak> {
    let mut stream = tape.stream(Purpose::Sample, 0);
    let values: Vec<i64> = (0..samples).map(|_| of_random_length(bits, &mut stream)).collect();
    let mut leak = Leak::empty(comparison, bits);
    values.iter().zip(readings(comparison, &values, bits, tape)?).for_each(|(&x, reading)| leak.count(x, reading));
    Ok(leak)
}

/// A number of a uniform bit length from 0 to `bits` and a random sign.
pub(super) fn of_random_length(bits: u32, stream: &mut Stream) -> i64 {
    let length = below(u64::from(bits) + 1, stream) as u32;
    let word = stream.word();
    let magnitude = if length == 0 { 0 } else { (1i64 << (length - 1)) | (word >> 1 & ((1 << (length - 1)) - 1)) as i64 };
    if word & 1 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Plug-in estimate of the mutual information in bits, its bias in the first order taken away (Miller and Madow), and that bias.
    pub(in super::super) fn information(table: &[Vec<u64>]) -> (f64, f64) {
        let total = table.iter().flatten().sum::<u64>() as f64;
        let rows: Vec<f64> = table.iter().map(|r| r.iter().sum::<u64>() as f64).collect();
        let cols: Vec<f64> = (0..table[0].len()).map(|c| table.iter().map(|r| r[c]).sum::<u64>() as f64).collect();
        let plug_in: f64 = table
            .iter()
            .zip(&rows)
            .flat_map(|(line, row)| line.iter().zip(&cols).map(move |(&n, col)| (n as f64, row, col)))
            .filter(|(n, ..)| *n > 0.0)
            .map(|(n, row, col)| n / total * (n * total / (row * col)).log2())
            .sum();
        let used = |sums: &[f64]| sums.iter().filter(|&&s| s > 0.0).count() as f64;
        let cells = table.iter().flatten().filter(|&&n| n > 0).count() as f64;
        let bias = (cells - used(&rows) - used(&cols) + 1.0) / (2.0 * total * 2f64.ln());
        (plug_in - bias, bias.abs())
    }

    #[test]
    fn the_estimator_finds_what_is_there() {
        // Equal: the entropy of four equal lengths. Independent: nothing.
        let equal: Vec<Vec<u64>> = (0..4).map(|i| (0..4).map(|j| if i == j { 1000 } else { 0 }).collect()).collect();
        assert!((information(&equal).0 - 2.0).abs() < 0.01);
        assert!(information(&vec![vec![250; 4]; 4]).0.abs() < 0.01);
    }

    #[test]
    fn blinding_by_a_factor_leaks_magnitudes_and_the_exact_comparison_does_not() {
        // The literature's estimate for uniform factors of any length: 2.61 of the 4.75 bits of 27 equally likely lengths. Here 27 bits and 0: 28 lengths, 4.8 bits.
        let samples = 200_000;
        let blinded = leak(Comparison::Blinded, 27, samples, &Tape::replayable(1)).unwrap();
        let (bits, _) = information(&blinded.by_length);
        assert!((2.4..2.9).contains(&bits), "{bits}");
        let exact = leak(Comparison::Exact, 27, samples, &Tape::replayable(1)).unwrap();
        // 28 x 28 cells: the plug-in estimate of nothing is about 729 / (2 samples ln 2) = 0.0026 bits with a deviation of sqrt(2 729) / (2 samples ln 2) = 0.00014.
        for table in [&exact.by_length, &exact.by_low] {
            let (bits, _) = information(table);
            assert!(bits.abs() < 0.001, "{bits}");
        }
        for leak in [&blinded, &exact] {
            let sign: Vec<Vec<u64>> = leak.by_sign.iter().map(|r| r.to_vec()).collect();
            assert!(information(&sign).0.abs() < 0.0001, "{:?}", leak.by_sign);
            assert_eq!(leak.by_length.iter().flatten().sum::<u64>(), samples as u64);
            assert_eq!(leak.by_low.iter().flatten().sum::<u64>(), samples as u64);
        }
    }

    #[test]
    fn a_mask_that_is_too_short_is_found() {
        // The planted fault: a mask of 18 bits for numbers of 20. What the exact comparison would show then is what this test finds.
        let mut stream = Tape::replayable(2).stream(Purpose::Sample, 0);
        let mut leak = Leak::empty(Comparison::Exact, 20);
        for _ in 0..50_000 {
            let x = of_random_length(20, &mut stream);
            leak.count(x, i128::from(x) + (1 << 20) + i128::from(stream.word() & ((1 << 18) - 1)));
        }
        let (bits, _) = information(&leak.by_length);
        assert!(bits > 0.05, "{bits}");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let tape = Tape::replayable(3);
        assert!(readings(Comparison::Exact, &[256], 8, &tape).is_err() && readings(Comparison::Exact, &[1], 41, &tape).is_err());
        assert_eq!(readings(Comparison::Blinded, &[255, -255], 8, &tape).unwrap().len(), 2);
    }
}
