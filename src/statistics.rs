//! Robust statistics of a few or many samples: medians, intervals, spread, outliers, and tests of whether two sets differ.
//!
//! Everything is deterministic. Intervals of a quantile are those of the percentile bootstrap (Efron 1979) with infinitely many resamples: the k-th of n
//! drawn with replacement is at most the j-th of the originals exactly when a Binomial(n, j/n) reaches k, so no resample has to be drawn. Ratios and
//! permutation tests draw from a generator with a fixed seed. On skewed noise such as times have, the intervals enclose the true median in 91 to 97 of a hundred
//! cases (a test holds them to 90).

/// Fewer samples than this carry no 95 % interval: even the least and the greatest of n enclose the median with a chance of 1 - 2^(1-n) only.
pub const LEAST_FOR_INTERVAL: usize = 6;

/// A sample this many scaled median deviations from the median is an outlier (Iglewicz and Hoaglin 1993).
pub const OUTLIER_DEVIATIONS: f64 = 3.5;

/// Scales a median absolute deviation to the standard deviation of a normal distribution.
const NORMAL_MAD: f64 = 1.4826;

/// Tests and resampling of ratios look at this many samples of a side, evenly spaced over the run, where there are more.
const MOST_TESTED: usize = 1000;

/// Resamples of a ratio of medians.
const RESAMPLES: usize = 1000;

/// Finite numbers in ascending order, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Sorted(Vec<f64>);

impl Sorted {
    /// Nothing of no numbers, or where one is not finite.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        (!values.is_empty() && values.iter().all(|v| v.is_finite())).then_some(Self(values))
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The least.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The greatest.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// The middle value, or the mean of the two middle ones.
    #[must_use]
    pub fn median(&self) -> f64 {
        let n = self.0.len();
        f64::midpoint(self.0[(n - 1) / 2], self.0[n / 2])
    }

    /// The nearest rank of a share in `(0, 1]`: the least sample that at least this share of all does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        self.0[self.rank(share) - 1]
    }

    fn rank(&self, share: f64) -> usize {
        ((share * self.0.len() as f64).ceil() as usize).clamp(1, self.0.len())
    }

    /// 95 % bootstrap interval of the median; none of fewer than [`LEAST_FOR_INTERVAL`].
    #[must_use]
    pub fn median_interval(&self) -> Option<(f64, f64)> {
        let n = self.0.len();
        // Between the two middle values of an even number the wider choice on either side.
        self.interval(n.div_ceil(2), n / 2 + 1)
    }

    /// 95 % bootstrap interval of [`Self::quantile`]; none of fewer than [`LEAST_FOR_INTERVAL`].
    #[must_use]
    pub fn quantile_interval(&self, share: f64) -> Option<(f64, f64)> {
        let rank = self.rank(share);
        self.interval(rank, rank)
    }

    fn interval(&self, low_rank: usize, high_rank: usize) -> Option<(f64, f64)> {
        let n = self.0.len();
        if n < LEAST_FOR_INTERVAL {
            return None;
        }
        let first = |rank: usize, chance: f64| {
            // The chance grows with k: the first k that reaches it.
            let (mut below, mut reached) = (0, n);
            while reached - below > 1 {
                let k = usize::midpoint(below, reached);
                if binomial_reaches(n, k as f64 / n as f64, rank) >= chance { reached = k } else { below = k }
            }
            self.0[reached - 1]
        };
        Some((first(low_rank, 0.025), first(high_rank, 0.975)))
    }

    /// Median absolute deviation from the median, not scaled.
    #[must_use]
    pub fn mad(&self) -> f64 {
        let median = self.median();
        Self::of(self.0.iter().map(|v| (v - median).abs()).collect()).map_or(0.0, |deviations| deviations.median())
    }

    /// How many lie more than [`OUTLIER_DEVIATIONS`] scaled median deviations from the median. They are counted, never taken out.
    #[must_use]
    pub fn outliers(&self) -> usize {
        let (median, limit) = (self.median(), OUTLIER_DEVIATIONS * NORMAL_MAD * self.mad());
        if limit > 0.0 { self.0.iter().filter(|v| (**v - median).abs() > limit).count() } else { 0 }
    }
}

/// The chance that Binomial(n, p) is at least k.
fn binomial_reaches(n: usize, p: f64, k: usize) -> f64 {
    if p >= 1.0 || k == 0 {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    let ln_choose = |i: usize| {
        let ln_factorial = |x: usize| libm::lgamma(x as f64 + 1.0);
        ln_factorial(n) - ln_factorial(i) - ln_factorial(n - i)
    };
    let (ln_p, ln_q) = (p.ln(), (-p).ln_1p());
    (k..=n).map(|i| (ln_choose(i) + i as f64 * ln_p + (n - i) as f64 * ln_q).exp()).sum::<f64>().min(1.0)
}

/// SplitMix64 (Steele, Lea and Flood 2014): enough for resampling, and the same on every machine.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `[0, limit)`; the bias is below limit / 2^64.
    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}

fn median_of(values: &mut [f64]) -> f64 {
    let n = values.len();
    let (_, upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let upper = *upper;
    if n % 2 == 1 {
        return upper;
    }
    let lower = values[..n / 2].iter().copied().fold(f64::NEG_INFINITY, f64::max);
    f64::midpoint(lower, upper)
}

/// At most [`MOST_TESTED`] values, evenly spaced over all.
fn thinned(values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let kept = n.min(MOST_TESTED);
    (0..kept).map(|i| values[i * n / kept]).collect()
}

/// 95 % bootstrap interval of median(b) / median(a) of positive numbers, by a thousand resamples with a fixed seed; none where either side has fewer than
/// [`LEAST_FOR_INTERVAL`].
#[must_use]
pub fn ratio_interval(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    if a.len().min(b.len()) < LEAST_FOR_INTERVAL {
        return None;
    }
    let (a, b) = (thinned(a), thinned(b));
    let mut draws = Draws(1);
    let mut resample = |values: &[f64]| median_of(&mut (0..values.len()).map(|_| values[draws.below(values.len())]).collect::<Vec<_>>());
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| resample(&b) / resample(&a)).collect();
    ratios.sort_by(f64::total_cmp);
    Some((ratios[RESAMPLES / 40], ratios[RESAMPLES - 1 - RESAMPLES / 40]))
}

/// The least p-value that [`permutation_p`] can give for two sides of these sizes with `most` permutations.
#[must_use]
pub fn least_p(a: usize, b: usize, most: usize) -> f64 {
    // Both the split at hand and its mirror are as extreme.
    let ln_splits = libm::lgamma((a + b) as f64 + 1.0) - libm::lgamma(a as f64 + 1.0) - libm::lgamma(b as f64 + 1.0);
    (2.0 / ln_splits.exp()).max(1.0 / (most as f64 + 1.0)).min(1.0)
}

/// Two-sided permutation test of whether the medians of two sets of positive numbers differ: the share of random relabellings whose medians lie as far
/// apart as the real ones by ratio, the real labelling counted (Phipson and Smyth 2010). At most `most` relabellings with a fixed seed; fewer where the answer is
/// plainly no (Besag and Clifford 1991).
#[must_use]
pub fn permutation_p(a: &[f64], b: &[f64], most: usize) -> f64 {
    /// As extreme relabellings after which more would not change the answer.
    const PLAINLY: usize = 50;
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let (a, b) = (thinned(a), thinned(b));
    let mut all: Vec<f64> = a.iter().chain(&b).copied().collect();
    let mut scratch = all.clone();
    let mut distance = |all: &[f64]| {
        scratch.copy_from_slice(all);
        let (left, right) = scratch.split_at_mut(a.len());
        (median_of(left) / median_of(right)).ln().abs()
    };
    // Sums of the same numbers in another order differ in the last bits.
    let real = distance(&all) * (1.0 - 1e-12);
    let mut draws = Draws(2);
    let mut extreme = 0;
    for done in 1..=most {
        for at in 0..a.len() {
            let other = at + draws.below(all.len() - at);
            all.swap(at, other);
        }
        extreme += usize::from(distance(&all) >= real);
        if extreme == PLAINLY {
            return (extreme as f64 + 1.0) / (done as f64 + 1.0);
        }
    }
    (extreme as f64 + 1.0) / (most as f64 + 1.0)
}

/// Cliff's delta: how much more often a value of `b` is above one of `a` than below, from -1 to 1.
#[must_use]
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> f64 {
    let (Some(a), b) = (Sorted::of(thinned(a)), thinned(b)) else { return 0.0 };
    let score: i64 = b.iter().map(|v| a.0.partition_point(|x| x < v) as i64 - (a.count() - a.0.partition_point(|x| x <= v)) as i64).sum();
    if b.is_empty() { 0.0 } else { score as f64 / (a.count() * b.len()) as f64 }
}

/// Mutual information of two classifications in bits, from joint counts: rows by columns. The plug-in estimate, with its bias in the first order taken away (Miller 1955), so that
/// nothing in common comes out near 0, on either side.
#[must_use]
pub fn mutual_information(counts: &[Vec<u64>]) -> f64 {
    let total = counts.iter().flatten().sum::<u64>() as f64;
    if total == 0.0 {
        return 0.0;
    }
    let rows: Vec<f64> = counts.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let width = counts.iter().map(Vec::len).max().unwrap_or(0);
    let columns: Vec<f64> = (0..width).map(|at| counts.iter().filter_map(|row| row.get(at)).sum::<u64>() as f64).collect();
    let term = |count: u64, row: f64, column: f64| {
        let count = count as f64;
        if count > 0.0 { count / total * (count * total / (row * column)).log2() } else { 0.0 }
    };
    let plug_in: f64 =
        counts.iter().zip(&rows).flat_map(|(line, &row)| line.iter().zip(&columns).map(move |(&count, &column)| term(count, row, column))).sum();
    let used = |sums: &[f64]| sums.iter().filter(|&&sum| sum > 0.0).count() as f64;
    let cells = counts.iter().flatten().filter(|&&count| count > 0).count() as f64;
    plug_in - (cells - used(&rows) - used(&columns) + 1.0) / (2.0 * total * std::f64::consts::LN_2)
}

/// Holm's step-down correction (1979): p-values so adjusted that all below `alpha` hold together with an error rate of `alpha`.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 0.0_f64;
    for (step, &at) in order.iter().enumerate() {
        least = least.max(p[at] * (p.len() - step) as f64).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skewed positive noise around `centre`, as times have: normal with a heavy right tail.
    fn noise(draws: &mut Draws, centre: f64, spread: f64, count: usize) -> Vec<f64> {
        let mut uniform = move || (draws.next() >> 11) as f64 / (1u64 << 53) as f64;
        (0..count)
            .map(|_| {
                let normal = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
                let tail = if uniform() > 0.95 { 5.0 * uniform() } else { 0.0 };
                centre * (1.0 + spread * (normal + tail))
            })
            .collect()
    }

    #[test]
    fn simple_values_by_hand() {
        let s = Sorted::of(vec![5.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((s.count(), s.min(), s.max(), s.median(), s.mad()), (4, 1.0, 5.0, 2.5, 1.0));
        assert_eq!((s.quantile(0.9), s.quantile(0.5), s.quantile(1.0), s.quantile(1e-9)), (5.0, 2.0, 5.0, 1.0));
        assert_eq!(s.median_interval(), None);
        assert!(Sorted::of(vec![]).is_none() && Sorted::of(vec![f64::NAN]).is_none());
        let hundred = Sorted::of((1..=100).map(f64::from).collect()).unwrap();
        assert_eq!(hundred.quantile(0.9), 90.0);
        let outlying = Sorted::of((1..=100).map(f64::from).chain([1000.0, -900.0]).collect()).unwrap();
        assert_eq!((hundred.outliers(), outlying.outliers()), (0, 2));
        assert_eq!(Sorted::of(vec![7.0; 9]).unwrap().median_interval(), Some((7.0, 7.0)));
        assert!((binomial_reaches(4, 0.5, 2) - 11.0 / 16.0).abs() < 1e-12);
        assert_eq!(cliffs_delta(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(cliffs_delta(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        // Four equal classes that say all of each other, and that say nothing.
        let equal: Vec<Vec<u64>> = (0..4).map(|i| (0..4).map(|j| if i == j { 1000 } else { 0 }).collect()).collect();
        assert!((mutual_information(&equal) - 2.0).abs() < 0.01);
        assert!(mutual_information(&vec![vec![250; 4]; 4]).abs() < 0.002);
        assert_eq!(mutual_information(&[]), 0.0);
    }

    #[test]
    fn the_interval_is_that_of_many_resamples() {
        let mut draws = Draws(3);
        for count in [7, 20, 51] {
            let values = noise(&mut draws, 100.0, 0.1, count);
            let (low, high) = Sorted::of(values.clone()).unwrap().median_interval().unwrap();
            let mut medians: Vec<f64> =
                (0..20_000).map(|_| median_of(&mut (0..count).map(|_| values[draws.below(count)]).collect::<Vec<_>>())).collect();
            medians.sort_by(f64::total_cmp);
            let share = |limit: f64| medians.iter().filter(|m| **m <= limit).count() as f64 / 20_000.0;
            let below = medians.iter().filter(|m| **m < low).count() as f64 / 20_000.0;
            assert!(below <= 0.03 && share(high) >= 0.97, "{count}: {below} {}", share(high));
        }
    }

    #[test]
    fn intervals_enclose_the_true_median_about_as_often_as_they_say() {
        let mut draws = Draws(4);
        // The true median of the noise, by brute force.
        let truth = median_of(&mut noise(&mut draws, 100.0, 0.1, 400_000));
        for count in [6, 10, 31, 100] {
            let hits = (0..1000)
                .filter(|_| {
                    let (low, high) = Sorted::of(noise(&mut draws, 100.0, 0.1, count)).unwrap().median_interval().unwrap();
                    (low..=high).contains(&truth)
                })
                .count();
            assert!((900..=995).contains(&hits), "{count}: {hits} of 1000");
        }
    }

    #[test]
    fn permutation_tests_are_fair_and_find_what_is_there() {
        let mut draws = Draws(5);
        let low = (0..1000).filter(|_| permutation_p(&noise(&mut draws, 1.0, 0.05, 12), &noise(&mut draws, 1.0, 0.05, 15), 999) <= 0.05).count();
        assert!((20..=75).contains(&low), "{low} of 1000 at 5 %");
        let found = (0..200).filter(|_| permutation_p(&noise(&mut draws, 1.0, 0.03, 20), &noise(&mut draws, 1.1, 0.03, 20), 9999) <= 0.001).count();
        assert_eq!(found, 200);
        assert!((least_p(5, 5, 9999) - 2.0 / 252.0).abs() < 1e-9);
        assert!((least_p(50, 50, 9999) - 1e-4).abs() < 1e-9);
        let (low, high) = ratio_interval(&noise(&mut draws, 1.0, 0.03, 40), &noise(&mut draws, 1.1, 0.03, 40)).unwrap();
        assert!(low < 1.1 && high > 1.1 && high - low < 0.08, "{low} {high}");
        assert_eq!(ratio_interval(&[1.0; 5], &[1.0; 50]), None);
    }
}
