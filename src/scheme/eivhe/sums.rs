//! Sums of many draws by few: with randomness of its own for every message, c depends on A and E only by A c* and E c*, and each of their entries is a sum of as
//! many independent draws as c* has digits 1, less one of as many as it has digits -1.
//!
//! The sum of 1, 2, 4, ... draws below a bound has a table each (alias method, Walker 1977, in integers), so that a sum of n draws takes n/64 of them and a few more
//! in place of n. Probabilities are rounded to 2^-64 of their table: no observer tells the difference.

use super::parameters::Draw;
use crate::randomness::Stream;

/// Most entries of a table.
const MOST: usize = 1 << 16;
/// Most draws that one of a table stands for.
const MOST_DRAWS: usize = 64;
/// Fraction bits of probabilities while tables are made.
const FRACTION: u32 = 96;

/// Draws sums of a [`Draw`].
pub(super) struct Sums {
    draw: Draw,
    modulus_bits: Option<u32>,
    /// The table at place i is of sums of 2^i draws.
    tables: Vec<Table>,
}

impl Sums {
    /// Tables where the draw is below a bound. About 20 ms.
    pub(super) fn new(draw: Draw, modulus_bits: Option<u32>) -> Self {
        let mut tables = Vec::new();
        if let Draw::Below(bound) = draw
            && bound as usize * 2 <= MOST
            && bound > 1
        {
            let bound = bound as usize;
            let mut chances = vec![(1u128 << FRACTION) / bound as u128; bound];
            let mut draws = 1;
            tables.push(Table::new(&chances));
            while draws < MOST_DRAWS && draws * 2 * (bound - 1) < MOST {
                for _ in 0..draws {
                    chances = one_more(&chances, bound);
                }
                draws *= 2;
                tables.push(Table::new(&chances));
            }
        }
        Self { draw, modulus_bits, tables }
    }

    /// The sum of `count` draws. Running time depends on the count, which the digits of the message give: not constant.
    pub(super) fn sample(&self, mut count: usize, stream: &mut Stream) -> i64 {
        match self.draw {
            Draw::Below(1) => 0,
            Draw::Below(_) if !self.tables.is_empty() => {
                let mut sum = 0;
                for (place, table) in self.tables.iter().enumerate().rev() {
                    while count >= 1 << place {
                        sum += table.sample(stream);
                        count -= 1 << place;
                    }
                }
                sum
            }
            // Any sum of uniform draws modulo q is one.
            Draw::Modulus => self.draw.sample(self.modulus_bits, stream) * i64::from(count > 0),
            _ => (0..count).map(|_| self.draw.sample(self.modulus_bits, stream)).sum(),
        }
    }
}

/// Chances of sums with one more draw: the mean of the last `bound` chances.
fn one_more(chances: &[u128], bound: usize) -> Vec<u128> {
    let mut window = 0;
    (0..chances.len() + bound - 1)
        .map(|sum| {
            window += chances.get(sum).copied().unwrap_or(0);
            window -= sum.checked_sub(bound).and_then(|left| chances.get(left)).copied().unwrap_or(0);
            window / bound as u128
        })
        .collect()
}

/// A table of the alias method: entry i stands for itself below its threshold and for another value from there on.
struct Table(Vec<(u64, u32)>);

impl Table {
    /// `chances` sum to about 2^[`FRACTION`].
    fn new(chances: &[u128]) -> Self {
        let count = chances.len() as u128;
        // Shares of a column of height 2^64; together they fill all columns to the last unit.
        let mut shares: Vec<u128> = chances.iter().map(|c| (c * count) >> (FRACTION - 64)).collect();
        let all = count << 64;
        let highest = (0..shares.len()).max_by_key(|&i| shares[i]).unwrap_or(0);
        let others: u128 = shares.iter().sum::<u128>() - shares[highest];
        shares[highest] = all - others;
        let mut entries: Vec<(u64, u32)> = (0..shares.len()).map(|i| (u64::MAX, i as u32)).collect();
        let (mut low, mut high): (Vec<usize>, Vec<usize>) = (0..shares.len()).partition(|&i| shares[i] < 1 << 64);
        while let (Some(&from), Some(to)) = (high.last(), low.pop()) {
            entries[to] = (shares[to] as u64, from as u32);
            shares[from] -= (1 << 64) - shares[to];
            if shares[from] < 1 << 64 {
                high.pop();
                low.push(from);
            }
        }
        Self(entries)
    }

    fn sample(&self, stream: &mut Stream) -> i64 {
        let product = u128::from(stream.word()) * self.0.len() as u128;
        let column = (product >> 64) as usize;
        let (threshold, other) = self.0[column];
        if (product as u64) < threshold { column as i64 } else { i64::from(other) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::{Purpose, Tape};

    #[test]
    fn sums_have_the_distribution_of_their_draws() {
        // Sums of 3 draws below 4: 0 to 9 in 1, 3, 6, 10, 12, 12, 10, 6, 3, 1 of 64 cases. Chi-square, 9 degrees of freedom: 27.9 is the 0.1 % point.
        let cases = [1.0, 3.0, 6.0, 10.0, 12.0, 12.0, 10.0, 6.0, 3.0, 1.0];
        let draws = 64_000;
        let chi = |sums: &Sums, count: usize| {
            let mut stream = Tape::replayable(1).stream(Purpose::Sample, 0);
            let mut found = [0u32; 10];
            (0..draws).for_each(|_| found[sums.sample(count, &mut stream).clamp(0, 9) as usize] += 1);
            found.iter().zip(cases).map(|(&f, c)| (f64::from(f) - c * 1000.0).powi(2) / (c * 1000.0)).sum::<f64>()
        };
        let right = chi(&Sums::new(Draw::Below(4), None), 3);
        assert!(right < 27.9, "{right}");
        // Planted: another bound, and tables with a wrong value.
        assert!(chi(&Sums::new(Draw::Below(5), None), 3) > 1000.0);
        let mut wrong = Sums::new(Draw::Below(4), None);
        wrong.tables[1].0[3] = (u64::MAX, 3);
        assert!(chi(&wrong, 3) > 100.0);
    }

    #[test]
    fn long_sums_have_their_mean_and_variance() {
        for (bound, count) in [(1000u32, 1), (1000, 63), (1000, 700), (10, 700), (100_000, 20), (1, 9), (2, 64)] {
            let sums = Sums::new(Draw::Below(bound), None);
            let mut stream = Tape::replayable(2).stream(Purpose::Sample, u64::from(bound));
            let n = 20_000;
            let values: Vec<f64> = (0..n).map(|_| sums.sample(count, &mut stream) as f64).collect();
            let (mean, variance) = (count as f64 * f64::from(bound - 1) / 2.0, count as f64 * (f64::from(bound).powi(2) - 1.0) / 12.0);
            let found = values.iter().sum::<f64>() / f64::from(n);
            let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
            assert!((found - mean).abs() <= 5.0 * (variance / f64::from(n)).sqrt(), "{bound} {count}: {found} {mean}");
            assert!((spread - variance).abs() <= 0.05 * variance, "{bound} {count}: {spread} {variance}");
            assert!(values.iter().all(|&v| v >= 0.0 && v <= 2.0 * mean));
        }
    }
}
