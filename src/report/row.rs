//! Rows: what is derived from the records of one spec.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::spec_text::Training;
use crate::record::{Outcome, Phase, Records, Sample, Stage};
use crate::statistics::{LEAST_FOR_INTERVAL, Sorted};

/// Keys with fewer bits than this are toys.
const LEAST_KEY_BITS: u32 = 2048;

/// Median with interval and extremes of what several samples measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle value, or the mean of the two middle ones.
    pub median: f64,
    /// Lower end of the median's 95 % bootstrap interval; none of fewer than six values.
    pub low: Option<f64>,
    /// Upper end of that interval.
    pub high: Option<f64>,
    /// Median absolute deviation from the median.
    pub mad: f64,
    /// Values more than 3.5 scaled median deviations from the median. They are counted, not left out.
    pub outliers: usize,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// Number of values.
    pub count: usize,
}

impl Spread {
    /// Of any number of values; nothing of none.
    pub(super) fn of(values: Vec<f64>) -> Option<Self> {
        Sorted::of(values).map(|values| Self::from(&values))
    }

    /// The median deviation as a share of the median, for comparing spreads.
    pub(super) fn relative_mad(&self) -> f64 {
        if self.median > 0.0 { self.mad / self.median } else { 0.0 }
    }
}

impl From<&Sorted> for Spread {
    fn from(values: &Sorted) -> Self {
        let interval = values.median_interval();
        Self {
            median: values.median(),
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            mad: values.mad(),
            outliers: values.outliers(),
            min: values.min(),
            max: values.max(),
            count: values.count(),
        }
    }
}

/// The 90th percentile of the time from image to answer: nine of ten images are answered within it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The nearest rank: the least sample that 90 % of all samples do not exceed. Wall nanoseconds of all online stages.
    pub p90_ns: f64,
    /// Lower end of its 95 % bootstrap interval; none of fewer than six samples.
    pub low: Option<f64>,
    /// Upper end of that interval.
    pub high: Option<f64>,
}

/// What one stage costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// The step.
    pub stage: Stage,
    /// When it happens.
    pub phase: Phase,
    /// Wall time in nanoseconds per image; of the whole stage in the setup phase.
    pub wall_ns: Spread,
    /// Processor time of all threads in nanoseconds per image; of the whole stage in the setup phase.
    pub cpu_ns: Spread,
}

/// How many times faster than another spec, by median wall time per image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speedup {
    /// By the evaluate stage alone.
    pub evaluate: Option<f64>,
    /// By all online stages together.
    pub online: f64,
}

/// Everything derived for one spec.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The stored facts.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The key is shorter than any that protects.
    pub toy: bool,
    /// The adapter imitates a GPU in software.
    pub software: bool,
    /// Costs of the stages, in the order of the phases and then of the data.
    pub stages: Vec<StageTime>,
    /// Wall time of all setup stages together in nanoseconds, medians added.
    pub setup_ns: Option<f64>,
    /// Wall time of all offline stages in nanoseconds per image.
    pub offline_ns: Option<Spread>,
    /// Wall time of all online stages in nanoseconds per image.
    pub online_ns: Option<Spread>,
    /// Processor time of all online stages in nanoseconds per image.
    pub online_cpu_ns: Option<Spread>,
    /// Images of all full batches by the wall time of all their online stages.
    pub images_per_second: Option<f64>,
    /// Bytes to the server per image.
    pub bytes_up_per_image: Option<f64>,
    /// Bytes back per image.
    pub bytes_down_per_image: Option<f64>,
    /// The 90th percentile of the latency, in the single scenario.
    pub latency: Option<Latency>,
    /// Energy of processor and memory in microjoules per image, where it was counted.
    pub energy_uj_per_image: Option<f64>,
    /// The harness' own wall time between the stages as a share of theirs.
    pub harness_share: Option<f64>,
    /// Time that the multiplications of the plan's products alone would take on this hardware, as a share of the evaluate stage's time, median over the samples:
    /// how near the stage comes to the hardware's bound. Randomisers and inverses that are made in the stage count against it.
    pub bound_share: Option<f64>,
    /// Signs that the machine was disturbed while the row ran, in words.
    pub disturbances: Vec<String>,
    /// Over the spec that differs in `method = naive` only.
    pub over_naive: Option<Speedup>,
    /// Over the spec that differs in `backend = reference` only.
    pub over_reference: Option<Speedup>,
    /// How many times slower than the fastest plaintext spec of the same workload, dataset, features and scenario, by online time.
    pub slower_than_clear: Option<f64>,
}

impl Row {
    /// Median wall time of an online stage in nanoseconds per image.
    #[must_use]
    pub fn online_stage_ns(&self, stage: Stage) -> Option<f64> {
        self.stages.iter().find(|s| s.phase == Phase::Online && s.stage == stage).map(|s| s.wall_ns.median)
    }

    /// The data is not protected.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.outcome.scheme == "clear"
    }

    /// The throughput of all full batches together is not that of the median one, within a tenth.
    #[must_use]
    pub fn is_uneven(&self) -> bool {
        let median = self.online_ns.filter(|s| s.median > 0.0).map(|s| 1e9 / s.median);
        self.images_per_second.zip(median).is_some_and(|(all, median)| (all / median - 1.0).abs() > 0.1)
    }

    /// What an item of this workload is called.
    pub(crate) fn unit(&self) -> &'static str {
        match self.outcome.workload.as_str() {
            "kernel" => "operation",
            "training" => "record",
            _ => "image",
        }
    }
}

/// What an outcome is of: its spec, the images and the model.
pub(super) fn subject(outcome: &Outcome) -> (&str, &str, &str) {
    (&outcome.spec, &outcome.dataset_sha256, &outcome.model_sha256)
}

/// Derives one row per spec, images and model, in the order of the outcomes.
#[must_use]
pub fn derive(records: &Records) -> Vec<Row> {
    let mut samples: HashMap<(&str, &str), Vec<&Sample>> = HashMap::new();
    for sample in &records.samples {
        samples.entry((&sample.spec, &sample.run_id)).or_default().push(sample);
    }
    let last: HashMap<_, usize> = records.outcomes.iter().enumerate().map(|(at, o)| (subject(o), at)).collect();
    let latest = records.outcomes.iter().enumerate().filter(|(at, o)| last.get(&subject(o)) == Some(at));
    let mut rows: Vec<Row> = latest
        .map(|(_, outcome)| {
            // A spec that failed has no times, even if stages ran before the failure.
            let own = if outcome.error.is_some() { None } else { samples.get(&(outcome.spec.as_str(), outcome.run_id.as_str())) };
            row(outcome, own.map_or(&[], Vec::as_slice))
        })
        .collect();
    compare(&mut rows);
    rows
}

/// Times of one stage in one sample.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
    items: u32,
}

impl Cost {
    /// Rounds of one stage may come as several rows about the same items.
    fn add(&mut self, wall: f64, cpu: f64, items: u32) {
        self.wall += wall;
        self.cpu += cpu;
        self.items = self.items.max(items);
    }

    fn per_item(self, ns: f64) -> f64 {
        ns / f64::from(self.items.max(1))
    }
}

/// The samples that count: setup, and of the batches those that are full. What is left over at the
/// end of a pass fills its ciphertexts badly and says nothing of the row's own size. Where the
/// harness kept no full batch, the largest stand for it.
pub(super) fn full_batches<'a>(samples: &[&'a Sample]) -> Vec<&'a Sample> {
    let most = samples.iter().filter(|s| s.phase == Phase::Online).map(|s| s.items).max();
    samples.iter().copied().filter(|s| s.phase == Phase::Setup || Some(s.items) == most).collect()
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds and bytes of one run stay far below 2^53")]
fn row(outcome: &Outcome, all: &[&Sample]) -> Row {
    let samples = &full_batches(all)[..];
    let mut stages: BTreeMap<(Phase, Stage), BTreeMap<u32, Cost>> = BTreeMap::new();
    let mut phases: BTreeMap<Phase, BTreeMap<u32, Cost>> = BTreeMap::new();
    for s in samples {
        let (wall, cpu) = (s.wall_ns as f64, s.cpu_ns as f64);
        stages.entry((s.phase, s.stage)).or_default().entry(s.sample).or_default().add(wall, cpu, s.items);
        phases.entry(s.phase).or_default().entry(s.sample).or_default().add(wall, cpu, s.items);
    }
    let stages: Vec<StageTime> = stages
        .into_iter()
        .filter_map(|((phase, stage), costs)| {
            // Setup is paid once and shared by all images.
            let share = |c: &Cost, ns| if phase == Phase::Setup { ns } else { c.per_item(ns) };
            let wall_ns = Spread::of(costs.values().map(|c| share(c, c.wall)).collect())?;
            let cpu_ns = Spread::of(costs.values().map(|c| share(c, c.cpu)).collect())?;
            Some(StageTime { stage, phase, wall_ns, cpu_ns })
        })
        .collect();
    let sorted = |phase: Phase, ns: fn(&Cost) -> f64| Sorted::of(phases.get(&phase)?.values().map(|c| c.per_item(ns(c))).collect());
    let per_item = |phase: Phase, ns: fn(&Cost) -> f64| sorted(phase, ns).map(|values| Spread::from(&values));
    let (online_ns, online_cpu_ns) = (per_item(Phase::Online, |c| c.wall), per_item(Phase::Online, |c| c.cpu));
    let latency = sorted(Phase::Online, |c| c.wall).filter(|_| outcome.scenario == "single").map(|values| {
        let interval = values.quantile_interval(0.9);
        Latency { p90_ns: values.quantile(0.9), low: interval.map(|(low, _)| low), high: interval.map(|(_, high)| high) }
    });
    let online_wall: f64 = phases.get(&Phase::Online).map_or(0.0, |online| online.values().map(|c| c.wall).sum());
    // The harness was timed over every batch whose times were kept.
    let timed_wall: f64 = all.iter().filter(|s| s.phase == Phase::Online).map(|s| s.wall_ns as f64).sum();
    let setup: Vec<f64> = stages.iter().filter(|s| s.phase == Phase::Setup).map(|s| s.wall_ns.median).collect();
    let images_per_second = phases.get(&Phase::Online).and_then(|online| {
        let items: f64 = online.values().map(|c| f64::from(c.items)).sum();
        (online_wall > 0.0).then(|| items * 1e9 / online_wall)
    });
    let traffic = |bytes: u64| (outcome.images > 0 && outcome.error.is_none()).then(|| bytes as f64 / f64::from(outcome.images));
    Row {
        toy: outcome.key_bits.is_some_and(|bits| bits < LEAST_KEY_BITS),
        software: outcome.adapter_type == "software",
        setup_ns: (!setup.is_empty()).then(|| setup.iter().sum()),
        offline_ns: per_item(Phase::Offline, |c| c.wall),
        disturbances: disturbances(outcome, online_ns, online_cpu_ns),
        online_ns,
        online_cpu_ns,
        latency,
        energy_uj_per_image: outcome
            .energy_uj
            .zip(outcome.timed_images)
            .filter(|(_, images)| *images > 0)
            .map(|(uj, images)| uj as f64 / images as f64),
        harness_share: outcome.batches_ns.filter(|_| timed_wall > 0.0).map(|whole| (whole as f64 / timed_wall - 1.0).max(0.0)),
        bound_share: bound_share(outcome, samples),
        images_per_second,
        bytes_up_per_image: traffic(outcome.bytes_up),
        bytes_down_per_image: traffic(outcome.bytes_down),
        over_naive: None,
        over_reference: None,
        slower_than_clear: None,
        outcome: outcome.clone(),
        stages,
    }
}

/// Median share of the hardware's bound that the evaluate stage reaches.
#[expect(clippy::cast_precision_loss, reason = "products of one plan stay far below 2^53")]
fn bound_share(outcome: &Outcome, samples: &[&Sample]) -> Option<f64> {
    let bound = outcome.bound_products_per_second.filter(|bound| *bound > 0.0)?;
    let products = outcome.products? as f64;
    let evaluated = samples.iter().filter(|s| s.stage == Stage::Evaluate && s.phase == Phase::Online && s.wall_ns > 0);
    // A set of ciphertexts takes as many products however full it is.
    let share = |s: &&Sample| products * f64::from(s.items.div_ceil(outcome.packing.max(1))) * 1e9 / (bound * s.wall_ns as f64);
    Sorted::of(evaluated.map(share).collect()).map(|shares| shares.median())
}

/// Signs that a row was not alone on an even machine: those of its record, and what its samples
/// show.
fn disturbances(outcome: &Outcome, wall: Option<Spread>, cpu: Option<Spread>) -> Vec<String> {
    let mut signs = outcome.disturbances();
    if let (Some(wall), Some(cpu)) = (wall, cpu)
        && wall.count >= LEAST_FOR_INTERVAL
        && wall.relative_mad() > 0.05
        && wall.relative_mad() > 3.0 * cpu.relative_mad()
    {
        let percent = |s: Spread| 100.0 * s.relative_mad();
        signs.push(format!("wall time spreads by {:.0} %, processor time by {:.1} % (limits 5 % and a third)", percent(wall), percent(cpu)));
    }
    signs
}

/// Fills in the ratios between rows.
fn compare(rows: &mut [Row]) {
    // Everything of a spec but its method and its backend.
    let rest = |o: &Outcome| {
        let names = [&o.workload, &o.scheme, &o.dataset, &o.features, &o.encryption, &o.scenario, &o.division, &o.dataset_sha256, &o.model_sha256];
        let names = names.map(Clone::clone);
        (
            names,
            o.key_bits,
            o.packing,
            o.inputs_per_ciphertext,
            o.slot_bits,
            (o.feature_bits, o.weight_bits),
            o.threads,
            [o.parameter("rerandomisation"), o.parameter("pool")].map(|value| value.map(str::to_owned)),
        )
    };
    let times: Vec<_> = rows.iter().map(|r| (r.online_ns.map(|s| s.median), r.online_stage_ns(Stage::Evaluate))).collect();
    let keys: Vec<_> = rows.iter().map(|r| rest(&r.outcome)).collect();
    let names: Vec<_> = rows.iter().map(|r| (r.outcome.backend.clone(), r.outcome.method.clone())).collect();
    let speedup = |base: usize, of: usize| -> Option<Speedup> {
        let ((base_online, base_evaluate), (online, evaluate)) = (times[base], times[of]);
        Some(Speedup { evaluate: ratio(base_evaluate, evaluate), online: ratio(base_online, online)? })
    };
    let partner =
        |of: usize, backend: &str, method: &str| (0..keys.len()).find(|&i| names[i].0 == backend && names[i].1 == method && keys[i] == keys[of]);
    let mut baselines: HashMap<[String; 6], f64> = HashMap::new();
    let group = |o: &Outcome| [&o.workload, &o.dataset, &o.features, &o.scenario, &o.dataset_sha256, &o.model_sha256].map(Clone::clone);
    for (row, (online, _)) in rows.iter().zip(&times) {
        if let (true, Some(online)) = (row.is_clear(), *online) {
            baselines.entry(group(&row.outcome)).and_modify(|least| *least = least.min(online)).or_insert(online);
        }
    }
    for (at, row) in rows.iter_mut().enumerate().filter(|(_, row)| !row.is_clear()) {
        let (backend, method) = (&names[at].0, &names[at].1);
        row.over_naive = if method == "naive" { None } else { partner(at, backend, "naive").and_then(|base| speedup(base, at)) };
        row.over_reference = if backend == "reference" { None } else { partner(at, "reference", method).and_then(|base| speedup(base, at)) };
        row.slower_than_clear = ratio(times[at].0, baselines.get(&group(&row.outcome)).copied());
    }
}

/// What decides the classes of a row: the images, the public features, and the numbers that the
/// model computes with.
fn model(o: &Outcome) -> impl PartialEq + use<'_> {
    let training = Training::of(o).map(|t| (t.network, t.recipe));
    (&o.workload, &o.dataset, &o.features, o.method == "float", o.feature_bits, o.weight_bits, training, &o.dataset_sha256, &o.model_sha256)
}

/// The accuracy of a row's model and of how many images it is: of all rows with this model that of
/// the most images, for they agree wherever they are verified.
pub(crate) fn accuracy(rows: &[&Row], of: &Row) -> Option<(f64, u32)> {
    let same = rows.iter().filter(|r| r.outcome.verified && model(&r.outcome) == model(&of.outcome));
    same.filter_map(|r| Some((r.outcome.accuracy?, r.outcome.images))).max_by_key(|(_, images)| *images)
}

/// The accuracies of rows that may stand on one axis, all of one test set: the most images that any
/// row classified. None of models that were not measured on them.
pub(crate) fn comparable_accuracies(rows: &[&Row]) -> (String, u32, Vec<Option<f64>>) {
    let all: Vec<Option<(f64, u32)>> = rows.iter().map(|row| accuracy(rows, row)).collect();
    let counts = rows.iter().zip(&all).filter_map(|(row, of)| Some((row.outcome.dataset.clone(), (*of)?.1)));
    let (dataset, images) = counts.reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap_or_default();
    let is_of = |row: &Row, of: u32| row.outcome.dataset == dataset && of == images;
    let accuracies = rows.iter().zip(&all).map(|(row, of)| of.filter(|(_, of)| is_of(row, *of)).map(|(accuracy, _)| accuracy)).collect();
    (dataset, images, accuracies)
}

fn ratio(over: Option<f64>, under: Option<f64>) -> Option<f64> {
    let (over, under) = (over?, under?);
    (over > 0.0 && under > 0.0).then(|| over / under)
}
