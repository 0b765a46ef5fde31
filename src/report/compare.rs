//! What changed between two results folders beyond noise.
//!
//! Rows are paired by their spec and number of threads. Facts that do not vary (images, model,
//! accuracy, verification, products, traffic, digests) are compared as they are.
//! Times are compared by the median wall time of the online stages per image. A row is slower or faster when all of these hold:
//!
//! 1. the medians differ by more than the threshold, 5 % unless said otherwise: two runs on one machine may differ by a few percent for reasons that no
//!    number of samples within a run shows (placement in memory, temperature, neighbours of a virtual machine);
//! 2. a permutation test on the medians gives p below 0.05 after Holm's correction over all rows that are compared;
//! 3. the change is large against the spread: Cliff's delta is at least 0.33, and the 95 % bootstrap interval of the ratio stays clear of half the threshold.
//!
//! By the second alone, at most one in twenty comparisons of two runs without any difference
//! reports any change at all, whatever the number of rows, as long as the samples of a run are
//! exchangeable with those of the other; the other two only take changes away. A row beyond the
//! threshold is called undecided, never unchanged, where nobody can tell: with too few samples to
//! ever pass the second, on a machine that was disturbed in either run, or with samples below ten
//! milliseconds, where the waking of threads and whatever else runs decide.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::row::{Row, derive, full_batches, subject};
use crate::description::short;
use crate::record::{Outcome, Phase, Records, Sample};
use crate::statistics::{Sorted, cliffs_delta, holm, least_p, permutation_p, ratio_interval};

/// Difference of medians, as a share, up to which times count as equal.
pub const THRESHOLD: f64 = 0.05;

/// Chance of any false change in a whole comparison.
pub const ERROR_RATE: f64 = 0.05;

/// Least Cliff's delta of a change: a medium effect (Romano et al. 2006).
const LEAST_EFFECT: f64 = 0.33;

/// Samples shorter than this are decided by the waking of threads and by whatever else runs.
const SHORTEST_SAMPLE_NS: f64 = 1e7;

/// Relabellings for one row; more rows need finer p-values.
const LEAST_PERMUTATIONS: usize = 9_999;

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within the noise or within the threshold.
    Unchanged,
    /// Takes longer.
    Slower,
    /// Takes less time.
    Faster,
    /// Differs by more than the threshold, but with too few or too short samples, or on a disturbed machine.
    Undecided,
    /// A fact differs that no noise explains.
    Different,
}

/// Two rows side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The spec of both.
    pub spec: String,
    /// Threads of both.
    pub threads: u32,
    /// What became of it.
    pub verdict: Verdict,
    /// Facts that differ, in words.
    pub differences: Vec<String>,
    /// Median online wall nanoseconds per image in the first and in the second folder.
    pub median_ns: Option<(f64, f64)>,
    /// Samples of both.
    pub samples: (usize, usize),
    /// Second median by the first: above 1 is slower.
    pub ratio: Option<f64>,
    /// 95 % bootstrap interval of that ratio.
    pub interval: Option<(f64, f64)>,
    /// The same ratio of processor time: where it stays at 1, something made the program wait.
    pub cpu_ratio: Option<f64>,
    /// Cliff's delta: how much more often a sample of the second is slower than faster than one of the first, -1 to 1.
    pub effect: Option<f64>,
    /// p-value after Holm's correction; 1 where the threshold alone decided.
    pub p: Option<f64>,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Difference of medians up to which times count as equal.
    pub threshold: f64,
    /// Rows of both, in the order of the first.
    pub pairs: Vec<Pair>,
    /// Specs of the first folder alone.
    pub only_first: Vec<String>,
    /// Specs of the second folder alone.
    pub only_second: Vec<String>,
    /// What else makes the two hard to compare: other processors, disturbed rows.
    pub notes: Vec<String>,
}

impl Comparison {
    /// How many rows have a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.pairs.iter().filter(|pair| pair.verdict == verdict).count()
    }

    /// Whether anything changed beyond noise: a time, a fact, or which rows there are.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        let moved = [Verdict::Slower, Verdict::Faster, Verdict::Different].into_iter().any(|verdict| self.count(verdict) > 0);
        moved || !self.only_first.is_empty() || !self.only_second.is_empty()
    }
}

/// Wall and processor nanoseconds per image of every online sample, in order.
type Times = (Vec<f64>, Vec<f64>);

/// Wall and processor nanoseconds and images of the online samples, by number.
type Sums = BTreeMap<u32, (u64, u64, u32)>;

/// Compares two sets of records; `threshold` is a share above 0.
#[must_use]
pub fn compare(first: &Records, second: &Records, threshold: f64) -> Comparison {
    let (rows_a, rows_b) = (derive(first), derive(second));
    let (times_a, times_b) = (online(first), online(second));
    let matched = matched(&rows_a, &rows_b);
    let times = |row: &Row, times: &HashMap<(String, String), Times>| {
        let own = times.get(&(row.outcome.spec.clone(), row.outcome.run_id.clone()));
        if row.outcome.error.is_some() { None } else { own.cloned() }
    };
    let measured: Vec<Option<(Times, Times)>> = matched.iter().map(|(a, b)| times(a, &times_a).zip(times(b, &times_b))).collect();
    let compared = measured.iter().flatten().count();
    let permutations = LEAST_PERMUTATIONS.max(100 * compared);

    let medians = |(a, b): &(Times, Times)| Some((Sorted::of(a.0.clone())?.median(), Sorted::of(b.0.clone())?.median()));
    let beyond = |a: f64, b: f64| (b / a - 1.0).abs() > threshold && (a / b - 1.0).abs() > threshold;
    // A row within the threshold needs no test; it still counts in the correction.
    let p: Vec<f64> = measured
        .iter()
        .flatten()
        .map(|pair| match medians(pair) {
            Some((a, b)) if beyond(a, b) => permutation_p(&pair.0.0, &pair.1.0, permutations),
            _ => 1.0,
        })
        .collect();
    let mut adjusted = holm(&p).into_iter();

    let pairs = matched.iter().zip(&measured).map(|((a, b), measured)| {
        let differences = differences(a, b);
        let mut pair = Pair {
            spec: a.outcome.spec.clone(),
            threads: a.outcome.threads,
            verdict: if differences.is_empty() { Verdict::Unchanged } else { Verdict::Different },
            differences,
            median_ns: None,
            samples: (0, 0),
            ratio: None,
            interval: None,
            cpu_ratio: None,
            effect: None,
            p: None,
        };
        let Some(measured) = measured else { return pair };
        let p = adjusted.next().unwrap_or(1.0);
        let ((wall_a, cpu_a), (wall_b, cpu_b)) = measured;
        pair.samples = (wall_a.len(), wall_b.len());
        pair.p = Some(p);
        let Some((median_a, median_b)) = medians(measured).filter(|(a, b)| *a > 0.0 && *b > 0.0) else { return pair };
        pair.median_ns = Some((median_a, median_b));
        pair.ratio = Some(median_b / median_a);
        pair.interval = ratio_interval(wall_a, wall_b);
        pair.cpu_ratio = medians(&((cpu_a.clone(), Vec::new()), (cpu_b.clone(), Vec::new()))).map(|(a, b)| b / a).filter(|r| r.is_finite());
        pair.effect = Some(cliffs_delta(wall_a, wall_b));
        if pair.verdict == Verdict::Unchanged && beyond(median_a, median_b) {
            let could_pass = least_p(wall_a.len(), wall_b.len(), permutations) * compared as f64 <= ERROR_RATE;
            let disturbed = !a.disturbances.is_empty() || !b.disturbances.is_empty();
            let short = [(median_a, a), (median_b, b)].into_iter().any(|(ns, row)| ns * batch(row) < SHORTEST_SAMPLE_NS);
            let clear_of = |low: f64, high: f64| low > 1.0 + threshold / 2.0 || high < 1.0 / (1.0 + threshold / 2.0);
            let large = pair.effect.is_some_and(|e| e.abs() >= LEAST_EFFECT) && pair.interval.is_none_or(|(low, high)| clear_of(low, high));
            pair.verdict = match p <= ERROR_RATE && large {
                _ if disturbed || short || !could_pass => Verdict::Undecided,
                false => Verdict::Unchanged,
                true if median_b > median_a => Verdict::Slower,
                true => Verdict::Faster,
            };
        }
        pair
    });
    let pairs = pairs.collect();
    let missing = |rows: &[Row], found: &[&Row]| {
        rows.iter().filter(|row| !found.iter().any(|other| std::ptr::eq(*row, *other))).map(|row| row.outcome.spec.clone()).collect()
    };
    let (found_a, found_b): (Vec<&Row>, Vec<&Row>) = matched.iter().copied().unzip();
    Comparison {
        threshold,
        pairs,
        only_first: missing(&rows_a, &found_a),
        only_second: missing(&rows_b, &found_b),
        notes: notes(first, second, &matched),
    }
}

/// Pairs of rows of one spec and number of threads, in the order of the first. Where a folder has
/// several, those on the same images by the same model belong together; what is left is paired as
/// it comes, and its differences are told.
fn matched<'a>(rows_a: &'a [Row], rows_b: &'a [Row]) -> Vec<(&'a Row, &'a Row)> {
    let same = |a: &Outcome, b: &Outcome| a.threads == b.threads && a.spec == b.spec;
    let mut partners: Vec<Option<&Row>> = vec![None; rows_a.len()];
    let mut taken = vec![false; rows_b.len()];
    for exactly in [true, false] {
        for (a, partner) in rows_a.iter().zip(&mut partners).filter(|(_, partner)| partner.is_none()) {
            let fits = |b: &Row| same(&a.outcome, &b.outcome) && (!exactly || subject(&a.outcome) == subject(&b.outcome));
            if let Some(at) = (0..rows_b.len()).find(|&at| !taken[at] && fits(&rows_b[at])) {
                (*partner, taken[at]) = (Some(&rows_b[at]), true);
            }
        }
    }
    rows_a.iter().zip(partners).filter_map(|(a, b)| Some((a, b?))).collect()
}

/// Images of a full sample, as far as the records say.
fn batch(row: &Row) -> f64 {
    f64::from(row.outcome.batch.unwrap_or(row.outcome.images).max(1))
}

/// Wall and processor time per image of the online stages of full batches together, by spec and
/// run.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of one sample stay far below 2^53")]
fn online(records: &Records) -> HashMap<(String, String), Times> {
    let mut rows: HashMap<(String, String), Vec<&Sample>> = HashMap::new();
    for s in records.samples.iter().filter(|s| s.phase == Phase::Online) {
        rows.entry((s.spec.clone(), s.run_id.clone())).or_default().push(s);
    }
    let per_image = |ns: u64, items: u32| ns as f64 / f64::from(items.max(1));
    let times = |samples: Vec<&Sample>| -> Times {
        let mut sums = Sums::new();
        for s in full_batches(&samples) {
            let sum = sums.entry(s.sample).or_default();
            *sum = (sum.0 + s.wall_ns, sum.1 + s.cpu_ns, sum.2.max(s.items));
        }
        sums.values().map(|&(wall, cpu, items)| (per_image(wall, items), per_image(cpu, items))).unzip()
    };
    rows.into_iter().map(|(key, samples)| (key, times(samples))).collect()
}

/// Facts that differ although they do not vary from run to run.
fn differences(a: &Row, b: &Row) -> Vec<String> {
    let (a, b) = (&a.outcome, &b.outcome);
    let mut found = Vec::new();
    let mut differs = |name: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{name}: {a} became {b}"));
        }
    };
    // What an older folder does not say is unknown, not different.
    let known = |a: &str, b: &str| !a.is_empty() && !b.is_empty();
    for (name, a, b) in [("test images", &a.dataset_sha256, &b.dataset_sha256), ("model", &a.model_sha256, &b.model_sha256)] {
        if known(a, b) {
            differs(name, format!("SHA-256 {}", short(a)), format!("SHA-256 {}", short(b)));
        }
    }
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".into());
    differs("error", or_none(a.error.clone()), or_none(b.error.clone()));
    differs("verified", a.verified.to_string(), b.verified.to_string());
    if a.error.is_none() && b.error.is_none() {
        differs("accuracy", or_none(a.accuracy.map(|v| v.to_string())), or_none(b.accuracy.map(|v| v.to_string())));
        differs("agreement", or_none(a.agreement.map(|v| v.to_string())), or_none(b.agreement.map(|v| v.to_string())));
        differs("method", a.method.clone(), b.method.clone());
        differs("packing", a.packing.to_string(), b.packing.to_string());
        differs("products", or_none(a.products.map(|v| v.to_string())), or_none(b.products.map(|v| v.to_string())));
        differs("bytes up", a.bytes_up.to_string(), b.bytes_up.to_string());
        differs("bytes down", a.bytes_down.to_string(), b.bytes_down.to_string());
        // The order of batches depends on how many threads share them, and the digest on the order.
        if a.batch == b.batch {
            differs("digest", or_none(a.digest.clone()), or_none(b.digest.clone()));
        }
    }
    found
}

fn notes(first: &Records, second: &Records, matched: &[(&Row, &Row)]) -> Vec<String> {
    let mut notes = Vec::new();
    let cpus = |records: &Records| records.samples.iter().map(|s| s.cpu.clone()).collect::<BTreeSet<_>>();
    let names = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(", ");
    let (a, b) = (cpus(first), cpus(second));
    if a != b {
        notes.push(format!("other processors: {} and {}", names(a), names(b)));
    }
    let revisions = |records: &Records| records.outcomes.iter().map(|o| o.revision.clone()).collect::<BTreeSet<_>>();
    let (a, b) = (revisions(first), revisions(second));
    if a != b {
        notes.push(format!("revisions: {} and {}", names(a), names(b)));
    }
    let disturbed = |row: &Row| !row.disturbances.is_empty();
    let count = matched.iter().filter(|(a, b)| disturbed(a) || disturbed(b)).count();
    if count > 0 {
        notes.push(format!("{count} of {} rows were measured on a disturbed machine (see `report --details`)", matched.len()));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{Case, records};
    use super::*;

    /// Uniform in [0, 1).
    struct Noise(u64);

    impl Noise {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        /// 1 with a standard deviation of `spread`, and sometimes far above, as times are.
        fn factor(&mut self, spread: f64) -> f64 {
            let normal = (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0;
            let tail = if self.uniform() > 0.95 { 5.0 * self.uniform() } else { 0.0 };
            1.0 + spread * (normal + tail)
        }
    }

    /// One run of many rows with noise of 4 %; the rows that `slower` names take that much longer.
    fn run(noise: &mut Noise, samples: u32, slower: &dyn Fn(usize) -> f64) -> Records {
        let cases: Vec<Case> = (0..20).map(|i| Case { samples, ..Case::paillier("gmp", "naive", 2048 + 64 * i, 30.0) }).collect();
        let mut records = records(&cases);
        let mut factors = HashMap::new();
        for s in &mut records.samples {
            let row = cases.iter().position(|c| c.key_bits == s.key_bits).unwrap();
            let factor = *factors.entry((row, s.sample)).or_insert_with(|| noise.factor(0.04) * slower(row));
            // The made-up samples are spread evenly already; times begin anew from one value.
            s.wall_ns = (1e7 * factor) as u64;
            s.cpu_ns = s.wall_ns;
        }
        records
    }

    #[test]
    fn pure_noise_is_no_change_at_the_stated_rate() {
        let mut noise = Noise(1);
        let mut false_changes = [0; 2];
        let comparisons = 100;
        for _ in 0..comparisons {
            let (a, b) = (run(&mut noise, 12, &|_| 1.0), run(&mut noise, 15, &|_| 1.0));
            // Without any threshold the test alone must keep to its rate.
            for (count, threshold) in false_changes.iter_mut().zip([1e-9, THRESHOLD]) {
                *count += usize::from(compare(&a, &b, threshold).is_changed());
            }
        }
        // 5 % of 100 comparisons of 20 rows each; 11 is beyond the 99 % point of Binomial(100, 0.05). Measured: 3 without the threshold, 2 with it.
        assert!(false_changes[0] <= 11 && false_changes[1] <= false_changes[0], "{false_changes:?} of {comparisons}");
    }

    #[test]
    fn a_planted_slowdown_of_a_tenth_is_found_and_nothing_else() {
        let mut noise = Noise(2);
        let (mut found, mut others) = (0, 0);
        for _ in 0..20 {
            let (a, b) = (run(&mut noise, 20, &|_| 1.0), run(&mut noise, 20, &|row| if row == 7 { 1.1 } else { 1.0 }));
            let comparison = compare(&a, &b, THRESHOLD);
            found += usize::from(comparison.pairs[7].verdict == Verdict::Slower);
            others += comparison.pairs.iter().enumerate().filter(|(row, p)| *row != 7 && p.verdict != Verdict::Unchanged).count();
            let back = compare(&b, &a, THRESHOLD);
            assert_eq!(back.pairs[7].verdict == Verdict::Faster, comparison.pairs[7].verdict == Verdict::Slower);
            let pair = &comparison.pairs[7];
            assert!(pair.interval.is_some_and(|(low, high)| low < pair.ratio.unwrap() && pair.ratio.unwrap() < high), "{pair:?}");
        }
        assert!(found >= 19 && others <= 1, "{found} of 20, {others} others");
    }

    #[test]
    fn equal_folders_are_equal_and_facts_are_told() {
        let mut noise = Noise(3);
        let a = run(&mut noise, 8, &|_| 1.0);
        let same = compare(&a, &a, THRESHOLD);
        assert!(!same.is_changed() && same.count(Verdict::Unchanged) == 20 && same.notes.is_empty());
        let mut b = a.clone();
        b.outcomes[3].accuracy = Some(0.5);
        b.outcomes[4].error = Some("broke".into());
        b.outcomes.remove(0);
        b.samples.iter_mut().for_each(|s| s.cpu = "another".into());
        let changed = compare(&a, &b, THRESHOLD);
        assert!(changed.is_changed() && changed.count(Verdict::Different) == 2 && changed.only_first.len() == 1 && changed.only_second.is_empty());
        assert!(changed.pairs[2].differences[0].contains("accuracy: 0.9208 became 0.5"), "{:?}", changed.pairs[2]);
        assert!(changed.pairs[3].differences[0].contains("broke"));
        assert!(changed.notes[0].contains("another"));
    }

    #[test]
    fn other_models_and_images_are_told_and_what_is_unknown_is_not() {
        let mut noise = Noise(6);
        let old = run(&mut noise, 8, &|_| 1.0);
        let of = |model: &str, images: &str| {
            let mut records = old.clone();
            records.outcomes.iter_mut().for_each(|o| (o.model_sha256, o.dataset_sha256) = (model.repeat(64), images.repeat(64)));
            records
        };
        let first = of("a", "1");
        for (second, name) in [(of("b", "1"), "model"), (of("a", "2"), "test images")] {
            let comparison = compare(&first, &second, THRESHOLD);
            assert_eq!(comparison.count(Verdict::Different), 20);
            let told = &comparison.pairs[0].differences;
            assert!(told.len() == 1 && told[0].starts_with(&format!("{name}: SHA-256 ")), "{told:?}");
        }
        for (a, b) in [(&old, &first), (&first, &old), (&first, &first)] {
            assert!(!compare(a, b, THRESHOLD).is_changed());
        }

        // Two models in one folder stay two rows, and each finds its own.
        let both = |parts: [&Records; 2]| {
            let mut all = Records::default();
            for (number, part) in parts.into_iter().enumerate() {
                let named = |run_id: &mut String| *run_id = format!("run {number}");
                let mut part = part.clone();
                part.outcomes.iter_mut().for_each(|o| named(&mut o.run_id));
                part.samples.iter_mut().for_each(|s| named(&mut s.run_id));
                all.samples.extend(part.samples);
                all.outcomes.extend(part.outcomes);
            }
            all
        };
        let other = of("b", "1");
        let (ab, ba) = (both([&first, &other]), both([&other, &first]));
        assert_eq!(derive(&ab).len(), 40);
        let comparison = compare(&ab, &ba, THRESHOLD);
        assert!(comparison.pairs.len() == 40 && !comparison.is_changed());
        let comparison = compare(&ab, &first, THRESHOLD);
        assert!(comparison.pairs.len() == 20 && comparison.only_first.len() == 20 && comparison.only_second.is_empty());
    }

    #[test]
    fn time_that_others_took_is_undecided() {
        let mut noise = Noise(5);
        let slower = |row| if row == 7 { 1.5 } else { 1.0 };
        let (a, mut b) = (run(&mut noise, 20, &|_| 1.0), run(&mut noise, 20, &slower));
        assert_eq!(compare(&a, &b, THRESHOLD).pairs[7].verdict, Verdict::Slower);
        (b.outcomes[7].row_ns, b.outcomes[7].others_cpu_ns) = (Some(1_000_000_000), Some(900_000_000));
        let comparison = compare(&a, &b, THRESHOLD);
        assert!(comparison.pairs[7].verdict == Verdict::Undecided && comparison.notes[0].contains("1 of 20 rows"), "{:?}", comparison.pairs[7]);
    }

    #[test]
    fn batches_of_milliseconds_are_undecided() {
        let mut noise = Noise(6);
        let slower = |row| if row == 7 { 2.0 } else { 1.0 };
        let (a, b) = (run(&mut noise, 20, &|_| 1.0), run(&mut noise, 20, &slower));
        // Five stages of 10 ms each, then of half a millisecond: 50 and 2.5 ms a batch, twice that
        // where it is slower.
        let scaled = |records: &Records, by: u64| {
            let mut records = records.clone();
            records.outcomes.iter_mut().for_each(|o| o.batch = Some(100));
            records.samples.iter_mut().for_each(|s| s.wall_ns /= by);
            records
        };
        let verdict = |by: u64| compare(&scaled(&a, by), &scaled(&b, by), THRESHOLD).pairs[7].verdict;
        assert_eq!((verdict(1), verdict(20)), (Verdict::Slower, Verdict::Undecided));
    }

    #[test]
    fn too_few_samples_leave_it_undecided() {
        let mut noise = Noise(4);
        let (a, b) = (run(&mut noise, 3, &|_| 1.0), run(&mut noise, 3, &|row| if row == 7 { 2.0 } else { 1.0 }));
        let comparison = compare(&a, &b, THRESHOLD);
        assert!(comparison.pairs[7].verdict == Verdict::Undecided && !comparison.is_changed(), "{:?}", comparison.pairs[7]);
    }
}
