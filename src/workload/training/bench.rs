//! Runs trainings and checks them.
//!
//! An encrypted training is run in the integer simulator first, which stops at the first number that leaves its bounds. Then it is run under encryption, without
//! looking into it. Only when it has ended does this harness, which holds both sides, decrypt the parameters that it kept on the way, and compares them with the
//! simulator's: every one must be equal. Loss and accuracies are those of parameters, worked out here in f64 without rounding.
//!
//! Timed is what the servers do with a mini-batch; not timed are the simulator, decryption for the comparison, and the evaluation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::data::{Loaded, order};
use super::metered::{Cost, Ledger, Metered};
use super::{Data, Float, Parameters, Perceptron, Protection, Records, Spec};
use crate::backend::{Device, DeviceKind};
use crate::control::Control;
use crate::error::Result;
use crate::model::argmax;
use crate::randomness::Tape;
use crate::record::{Phase, Stage};
use crate::scheme::paillier::SecretKey;
use crate::scheme::private_training::Arithmetic;
use crate::scheme::smlp::{Simulated, SimulatedMatrix};
use crate::stopwatch::{Elapsed, Stopwatch};
use crate::text::hex;
use crate::workload::timing::{Kept, StageTime, thread_pool};
use crate::workload::{OnProgress, Progress};

/// Training records that a point of a curve is evaluated on, from the start, and test records likewise.
const EVALUATED: usize = 10_000;
/// Points of a curve of binary records, about; images have one for each epoch.
const POINTS: usize = 50;

/// How good the parameters were at one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Mini-batches so far.
    pub step: usize,
    /// Mean over the training records of the squared error, summed over the outputs.
    pub loss: f64,
    /// Share of training records classified as labelled.
    pub train_accuracy: f64,
    /// Share of test records classified as labelled.
    pub test_accuracy: f64,
}

/// What came of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Stage times: of each mini-batch under encryption, else of each epoch.
    pub times: Vec<StageTime>,
    /// The course, from the initial to the final parameters.
    pub curve: Vec<Point>,
    /// What the operations of all mini-batches cost, under encryption.
    pub operations: BTreeMap<&'static str, Cost>,
    /// Final parameters at scale Q, layer by layer, row by row with the biases last.
    pub parameters: Vec<Vec<f64>>,
    /// SHA-256 of the final parameters as integers, 16 hex digits; none in f64. Equal under encryption and in the simulator.
    pub digest: Option<String>,
    /// Share of test records that get the class that the simulator's parameters give them; none where there is no simulator to compare with.
    pub agreement: Option<f64>,
    /// What did the arithmetic.
    pub device: Device,
    /// The timed mini-batches together.
    pub kept: Kept,
    /// SHA-256 of the dataset's file; empty for binary records.
    pub dataset_sha256: String,
}

impl Trained {
    /// The last point of the course.
    #[must_use]
    pub fn last(&self) -> Option<Point> {
        self.curve.last().copied()
    }
}

/// Parameters at a point: mini-batches so far, and the numbers layer by layer.
type Snapshot = (usize, Vec<Vec<f64>>);

/// Runs specs; those of one run share what was loaded and simulated.
pub struct TrainingRunner {
    loaded: HashMap<(Data, u64), Arc<Loaded>>,
    simulated: HashMap<Spec, Arc<Vec<Snapshot>>>,
    pub(super) keys: HashMap<(u32, u64), (SecretKey, Elapsed)>,
    pub(super) allow_toy: bool,
    pub(super) control: Control,
}

/// What [`TrainingRunner::drive`] brings back.
pub(super) struct Driven<M> {
    pub points: Vec<(usize, Vec<M>)>,
    pub times: Vec<StageTime>,
    pub kept: Kept,
}

impl TrainingRunner {
    /// `control` can stop the work.
    #[must_use]
    pub fn new(allow_toy: bool, control: Control) -> Self {
        Self { loaded: HashMap::new(), simulated: HashMap::new(), keys: HashMap::new(), allow_toy, control }
    }

    /// The records of a spec.
    ///
    /// # Errors
    /// As [`Data::load`].
    pub fn load(&mut self, data: Data, seed: u64) -> Result<Arc<Loaded>> {
        // Images do not depend on the seed.
        let key = (data, if matches!(data, Data::Parity(_)) { seed } else { 0 });
        if let Some(loaded) = self.loaded.get(&key) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(data.load(seed)?);
        self.loaded.insert(key, Arc::clone(&loaded));
        Ok(loaded)
    }

    /// Runs one spec.
    ///
    /// # Errors
    /// [`Error::Disagreement`](crate::error::Error::Disagreement) when a parameter differs from the simulator's; [`Error::Magnitude`](crate::error::Error::Magnitude) when a number leaves its bounds; whatever the operations report;
    /// [`Error::Interrupted`](crate::error::Error::Interrupted) through `progress`.
    pub fn train(&mut self, spec: &Spec, progress: &mut OnProgress<'_>) -> Result<Trained> {
        spec.check()?;
        match spec.threads {
            None => self.run_here(spec, progress),
            Some(threads) => thread_pool(threads)?.install(|| self.run_here(spec, progress)),
        }
    }

    fn run_here(&mut self, spec: &Spec, progress: &mut OnProgress<'_>) -> Result<Trained> {
        let loaded = self.load(spec.data, spec.seed)?;
        let (training, test) = Records::encode(&loaded, spec.recipe.scale(), spec.recipe.centred);
        let training = training.first(spec.records);
        let job = Job { spec, training: &training, test: &test };
        let mut trained = match spec.protection {
            Protection::Float => {
                let mut twin = Metered::new(Float, Ledger::default());
                let driven = job.drive(&mut twin, "float", progress)?;
                let snapshots = driven.points.iter().map(|(step, weights)| (*step, weights.iter().map(|m| m.values().to_vec()).collect())).collect();
                job.trained(snapshots, driven.times, driven.kept, clear_device("f64 in the clear"))
            }
            Protection::Simulated => {
                let (snapshots, times, kept) = self.simulate(&job, progress)?;
                let mut trained = job.trained(snapshots.to_vec(), times, kept, clear_device("integers in the clear, simulated"));
                trained.digest = Some(digest(&trained.parameters));
                trained
            }
            Protection::Smlp { .. } => self.run_encrypted(&job, progress)?,
        };
        trained.dataset_sha256 = loaded.data.dataset_sha256.clone();
        Ok(trained)
    }

    /// The simulator's parameters at the points of a job's curve; remembered for the encrypted run.
    pub(super) fn simulate(&mut self, job: &Job<'_>, progress: &mut OnProgress<'_>) -> Result<(Arc<Vec<Snapshot>>, Vec<StageTime>, Kept)> {
        let key = Spec { protection: Protection::Simulated, threads: None, ..job.spec.clone() };
        if !matches!(job.spec.protection, Protection::Simulated)
            && let Some(snapshots) = self.simulated.get(&key)
        {
            return Ok((Arc::clone(snapshots), Vec::new(), Kept::default()));
        }
        let mut simulator = Metered::new(Simulated::new(Tape::replayable(job.spec.seed)), Ledger::default());
        let driven = job.drive(&mut simulator, "simulated", progress)?;
        let numbers = |weights: &[_]| weights.iter().map(|m: &SimulatedMatrix| as_floats(m.values())).collect();
        let snapshots = Arc::new(driven.points.iter().map(|(step, weights)| (*step, numbers(weights))).collect::<Vec<Snapshot>>());
        self.simulated.insert(key, Arc::clone(&snapshots));
        Ok((snapshots, driven.times, driven.kept))
    }
}

/// Integers of at most 53 bits.
pub(super) fn as_floats(values: &[i64]) -> Vec<f64> {
    values.iter().map(|&value| value as f64).collect()
}

/// A spec and its records.
pub(super) struct Job<'a> {
    pub spec: &'a Spec,
    pub training: &'a Records,
    pub test: &'a Records,
}

impl Job<'_> {
    /// Mini-batches after which parameters are kept for the curve: the first point is 0, the last the end.
    fn is_point(&self, step: usize) -> bool {
        let total = self.spec.total_steps();
        let every = match self.spec.data {
            Data::Parity(_) => total.div_ceil(POINTS),
            Data::Digits | Data::Mnist | Data::MnistHeldOut => self.spec.steps_per_epoch(),
        };
        step == total || step.is_multiple_of(every)
    }

    /// Trains with an arithmetic.
    pub fn drive<A: Arithmetic>(&self, arithmetic: &mut Metered<A>, what: &'static str, progress: &mut OnProgress<'_>) -> Result<Driven<A::Matrix>> {
        let Spec { recipe, batch, seed, .. } = self.spec;
        let (per_epoch, total) = (self.spec.steps_per_epoch(), self.spec.total_steps());
        progress(Progress { what, done: 0, total: total as u64 })?;
        // Records that no mini-batch takes need not be encrypted.
        let mut used: Vec<usize> = (0..total.div_ceil(per_epoch))
            .flat_map(|epoch| {
                let steps = (total - epoch * per_epoch).min(per_epoch);
                order(*seed, epoch as u32, self.training.len()).into_iter().take(steps * batch)
            })
            .collect();
        used.sort_unstable();
        used.dedup();
        let classes = self.spec.network.outputs();
        let (values, labels) = self.training.gather(&used, classes, recipe.scale());
        let watch = Stopwatch::start();
        let inputs = Perceptron::upload(arithmetic, recipe, &values, self.training.width)?;
        let labels = Perceptron::upload(arithmetic, recipe, &labels, classes)?;
        let mut perceptron = Perceptron::new(arithmetic, &Parameters::initial(&self.spec.network, recipe, *seed), recipe)?;
        let mut times = vec![StageTime {
            stage: Stage::Encrypt,
            phase: Phase::Setup,
            batch: 0,
            images: used.len() as u32,
            elapsed: watch.elapsed(),
            device_ns: None,
        }];
        // What was spent so far is no mini-batch's.
        arithmetic.ledger().clear();
        let encrypted = self.spec.protection.key_bits().is_some();
        let mut points = vec![(0, perceptron.weights())];
        let mut kept = Kept::default();
        let mut spent = Spent::default();
        let mut order_of_epoch = Vec::new();
        for step in 0..total {
            progress(Progress { what, done: step as u64, total: total as u64 })?;
            let epoch = step / per_epoch;
            if step.is_multiple_of(per_epoch) {
                order_of_epoch = order(*seed, epoch as u32, self.training.len());
            }
            let first = step % per_epoch * batch;
            let rows: Vec<usize> = order_of_epoch[first..first + batch].iter().map(|index| used.partition_point(|u| u < index)).collect();
            let before = arithmetic.ledger().total();
            let watch = Stopwatch::start();
            let x = arithmetic.rows(&inputs, &rows)?;
            let t = arithmetic.rows(&labels, &rows)?;
            perceptron.step(arithmetic, &x, &t, recipe.decayed(epoch as u32, self.spec.epochs))?;
            spent.add(watch.elapsed(), before, arithmetic.ledger().total());
            kept.images += batch;
            if encrypted || (step + 1).is_multiple_of(per_epoch) || step + 1 == total {
                let images = if encrypted { *batch } else { (step % per_epoch + 1) * batch };
                spent.into_times(&mut times, kept.samples, images as u32, encrypted);
                kept.wall_ns += spent.whole.wall_ns;
                kept.samples += 1;
                spent = Spent::default();
            }
            if self.is_point(step + 1) {
                points.push((step + 1, perceptron.weights()));
            }
        }
        progress(Progress { what, done: total as u64, total: total as u64 })?;
        Ok(Driven { points, times, kept })
    }

    /// Evaluates the points of a curve.
    pub fn trained(&self, snapshots: Vec<Snapshot>, times: Vec<StageTime>, kept: Kept, device: Device) -> Trained {
        let (training, test) = (self.training.first(EVALUATED), self.test.first(EVALUATED));
        let q = self.spec.recipe.scale() as f64;
        let point = |(step, layers): &Snapshot| {
            let (loss, correct) = evaluate(self.spec, layers, &training, q);
            let (_, tested) = evaluate(self.spec, layers, &test, q);
            let share = |classes: &[u8], records: &Records| crate::model::count_equal(classes, &records.labels) as f64 / records.len().max(1) as f64;
            Point { step: *step, loss, train_accuracy: share(&correct, &training), test_accuracy: share(&tested, &test) }
        };
        let curve = snapshots.iter().map(point).collect();
        let parameters = snapshots.into_iter().next_back().map_or_else(Vec::new, |(_, layers)| layers);
        Trained { times, curve, operations: BTreeMap::new(), parameters, digest: None, agreement: None, device, kept, dataset_sha256: String::new() }
    }

    /// The classes that parameters give to the test records.
    pub fn classes(&self, layers: &[Vec<f64>]) -> Vec<u8> {
        evaluate(self.spec, layers, self.test, self.spec.recipe.scale() as f64).1
    }
}

/// Time since the last sample.
#[derive(Clone, Copy, Default)]
struct Spent {
    whole: Elapsed,
    p2: Elapsed,
}

impl Spent {
    fn add(&mut self, whole: Elapsed, before: Cost, after: Cost) {
        self.whole.wall_ns += whole.wall_ns;
        self.whole.cpu_ns += whole.cpu_ns;
        self.p2.wall_ns += after.p2.wall_ns - before.p2.wall_ns;
        self.p2.cpu_ns += after.p2.cpu_ns - before.p2.cpu_ns;
    }

    /// Under encryption P1's work and what it waited for P2, else one stage.
    fn into_times(self, times: &mut Vec<StageTime>, sample: u32, images: u32, encrypted: bool) {
        let mut push = |stage, elapsed| times.push(StageTime { stage, phase: Phase::Online, batch: sample, images, elapsed, device_ns: None });
        let own = Elapsed { wall_ns: self.whole.wall_ns.saturating_sub(self.p2.wall_ns), cpu_ns: self.whole.cpu_ns.saturating_sub(self.p2.cpu_ns) };
        push(Stage::Evaluate, own);
        if encrypted {
            push(Stage::Exchange, self.p2);
        }
    }
}

/// Mean squared error and classes of records by parameters at scale `q`, in f64 without rounding. The same bits with any number of threads.
fn evaluate(spec: &Spec, layers: &[Vec<f64>], records: &Records, q: f64) -> (f64, Vec<u8>) {
    let widths = spec.network.as_slice();
    let one = |index: usize| {
        let mut values: Vec<f64> = records.record(index).iter().map(|&value| value as f64 / q).collect();
        for (number, weights) in layers.iter().enumerate() {
            let outputs = widths[number + 1];
            let (rows, biases) = weights.split_at(values.len() * outputs);
            let mut sums = biases.to_vec();
            for (value, row) in values.iter().zip(rows.chunks_exact(outputs)) {
                sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += value * weight);
            }
            let last = number + 1 == layers.len();
            values = sums.into_iter().map(|sum| if last { sum / q } else { (sum / q).max(0.0) }).collect();
        }
        let label = usize::from(records.labels[index]);
        let loss: f64 = values.iter().enumerate().map(|(class, value)| (value - f64::from(u8::from(class == label))).powi(2)).sum();
        (loss, argmax(&values))
    };
    let results: Vec<(f64, u8)> = (0..records.len()).into_par_iter().map(one).collect();
    let loss = results.iter().map(|(loss, _)| loss).sum::<f64>() / records.len().max(1) as f64;
    (loss, results.into_iter().map(|(_, class)| class).collect())
}

/// SHA-256 of integer parameters as little-endian 64-bit numbers, 16 hex digits.
pub(super) fn digest(layers: &[Vec<f64>]) -> String {
    let mut hash = Sha256::new();
    layers.iter().flatten().for_each(|&value| hash.update((value as i64).to_le_bytes()));
    hex(&hash.finalize()[..8])
}

pub(super) fn clear_device(detail: &str) -> Device {
    Device { name: crate::machine::processor(), kind: DeviceKind::Cpu, detail: detail.into() }
}
