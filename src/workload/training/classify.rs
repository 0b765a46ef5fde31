//! Classification of encrypted records by an encrypted perceptron: the servers see neither, the user alone reads the classes.
//!
//! The parameters are those of the training simulated in integers, encrypted for the two servers. Every class must be the one that the simulator gives with the
//! same random tape.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::algorithm::slot_bits;
use super::bench::{Job, TrainingRunner, clear_device};
use super::metered::{Cost, Ledger, Metered};
use super::{Parameters, Perceptron, Protection, Records, Spec};
use crate::backend::Device;
use crate::error::{Error, Result};
use crate::model::count_equal;
use crate::randomness::Tape;
use crate::record::{Phase, Stage};
use crate::scheme::private_training::Arithmetic;
use crate::scheme::smlp::Simulated;
use crate::stopwatch::{Elapsed, Stopwatch};
use crate::workload::timing::{Kept, StageTime, thread_pool};
use crate::workload::{OnProgress, Progress};

/// One classification: a trained network, how it and the records are protected, and how many records. Its text form is that of the training with `inference` in the
/// place of `training` and with records and group size at the end: `.../images-100/group-20`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Classification {
    /// The training that gives the parameters, in the simulator; its protection is that of the classification.
    pub model: Spec,
    /// Records, from the start of the test set.
    pub images: usize,
    /// Records worked on at once.
    pub group: usize,
}

impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.model.to_string();
        write!(f, "inference{}/images-{}/group-{}", text.strip_prefix("training").unwrap_or(&text), self.images, self.group)
    }
}

impl FromStr for Classification {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = "inference/smlp/simulated|BACKEND/KEY_BITS/COMPARISON/..., then as a training, then /images-N/group-N";
        let bad = || Error::unknown("spec", text, known);
        let (rest, group) = text.rsplit_once("/group-").ok_or_else(bad)?;
        let (rest, images) = rest.rsplit_once("/images-").ok_or_else(bad)?;
        let model = format!("training{}", rest.strip_prefix("inference").ok_or_else(bad)?).parse().map_err(|_| bad())?;
        let number = |text: &str| text.parse().ok().filter(|&n: &usize| n > 0).ok_or_else(bad);
        Ok(Self { model, images: number(images)?, group: number(group)? })
    }
}

/// What came of a classification.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// Stage times of each group.
    pub times: Vec<StageTime>,
    /// What the operations cost, all groups together.
    pub operations: BTreeMap<&'static str, Cost>,
    /// The class of each record.
    pub classes: Vec<u8>,
    /// Records classified as labelled.
    pub correct: usize,
    /// What did the arithmetic.
    pub device: Device,
    /// The groups together.
    pub kept: Kept,
}

/// Classes and times of one arithmetic.
struct Driven {
    classes: Vec<u8>,
    times: Vec<StageTime>,
    kept: Kept,
    operations: BTreeMap<&'static str, Cost>,
}

impl TrainingRunner {
    /// Classifies test records.
    ///
    /// # Errors
    /// [`Error::Disagreement`] when a class differs from the simulator's; as [`TrainingRunner::train`].
    pub fn classify(&mut self, what: &Classification, progress: &mut OnProgress<'_>) -> Result<Classified> {
        what.model.check()?;
        match what.model.threads {
            None => self.classify_here(what, progress),
            Some(threads) => thread_pool(threads)?.install(|| self.classify_here(what, progress)),
        }
    }

    fn classify_here(&mut self, what: &Classification, progress: &mut OnProgress<'_>) -> Result<Classified> {
        let spec = &what.model;
        let loaded = self.load(spec.data, spec.seed)?;
        let (training, test) = Records::encode(&loaded, spec.recipe.scale(), spec.recipe.centred);
        if what.images == 0 || what.images > test.len() {
            let allowed = format!("1 to {}", test.len());
            return Err(Error::range("number of images", &what.images, allowed));
        }
        let training = training.first(spec.records);
        let (snapshots, ..) = self.simulate(&Job { spec, training: &training, test: &test }, progress)?;
        let layers = snapshots.last().map_or_else(Vec::new, |(_, layers)| layers.clone());
        let parameters = Parameters::new(&spec.network, layers.iter().map(|layer| layer.iter().map(|&value| value as i64).collect()).collect())?;
        let test = test.first(what.images);

        let mut simulator = Metered::new(Simulated::new(Tape::replayable(spec.seed)), Ledger::default());
        let expected = drive(what, &parameters, &test, &mut simulator, "simulated", progress)?;
        let (driven, device, setup) = match spec.protection {
            Protection::Simulated => (expected, clear_device("integers in the clear, simulated"), Vec::new()),
            Protection::Float => {
                return Err(Error::unsupported("classification by smlp", "floats; use simulated or encrypted"));
            }
            Protection::Smlp { backend, key_bits, comparison } => {
                progress(Progress { what: "keygen", done: 0, total: what.images as u64 })?;
                let mut setup = self.set_up((backend, key_bits, comparison), slot_bits(&spec.network, &spec.recipe, spec.batch), spec.seed)?;
                let driven = drive(what, &parameters, &test, &mut setup.pair, "encrypted", progress)?;
                if let Some(at) = driven.classes.iter().zip(&expected.classes).position(|(a, b)| a != b) {
                    return Err(Error::Disagreement {
                        what: format!("class of record {at}"),
                        expected: format!("{} (simulator)", expected.classes[at]),
                        actual: driven.classes[at].to_string(),
                    });
                }
                let times = setup.times(what.images).to_vec();
                (driven, setup.device, times)
            }
        };
        Ok(Classified {
            times: setup.into_iter().chain(driven.times).collect(),
            operations: driven.operations,
            correct: count_equal(&driven.classes, &test.labels),
            classes: driven.classes,
            device,
            kept: driven.kept,
        })
    }
}

/// Classifies all records with one arithmetic.
fn drive<A: Arithmetic>(
    what: &Classification,
    parameters: &Parameters,
    test: &Records,
    arithmetic: &mut Metered<A>,
    name: &'static str,
    progress: &mut OnProgress<'_>,
) -> Result<Driven> {
    let recipe = &what.model.recipe;
    let perceptron = Perceptron::new(arithmetic, parameters, recipe)?;
    arithmetic.ledger().clear();
    let mut driven = Driven { classes: Vec::new(), times: Vec::new(), kept: Kept::default(), operations: BTreeMap::new() };
    for inputs in test.inputs.chunks(what.group.max(1) * test.width) {
        progress(Progress { what: name, done: driven.classes.len() as u64, total: test.len() as u64 })?;
        let (sample, images) = (driven.kept.samples, inputs.len() / test.width);
        let mut push = |stage, elapsed: Elapsed| {
            driven.times.push(StageTime { stage, phase: Phase::Online, batch: sample, images: images as u32, elapsed, device_ns: None });
            driven.kept.wall_ns += elapsed.wall_ns;
        };
        let (records, encrypt) = Stopwatch::time(|| Perceptron::upload(arithmetic, recipe, inputs, test.width));
        let records = records?;
        push(Stage::Encrypt, encrypt);
        let before = arithmetic.ledger().total().p2;
        let (answer, whole) = Stopwatch::time(|| perceptron.classify(arithmetic, &records));
        let after = arithmetic.ledger().total().p2;
        let p2 = Elapsed { wall_ns: after.wall_ns - before.wall_ns, cpu_ns: after.cpu_ns - before.cpu_ns };
        push(Stage::Evaluate, Elapsed { wall_ns: whole.wall_ns.saturating_sub(p2.wall_ns), cpu_ns: whole.cpu_ns.saturating_sub(p2.cpu_ns) });
        push(Stage::Exchange, p2);
        let answer = answer?;
        let (classes, decrypt) = Stopwatch::time(|| arithmetic.open(&answer));
        push(Stage::Decrypt, decrypt);
        for class in classes? {
            driven.classes.push(
                u8::try_from(class).map_err(|_| Error::range("class", &class, format!("0 to {}", what.model.network.outputs().saturating_sub(1))))?,
            );
        }
        driven.kept.samples += 1;
        driven.kept.images += images;
    }
    progress(Progress { what: name, done: test.len() as u64, total: test.len() as u64 })?;
    driven.operations = arithmetic.ledger().costs();
    Ok(driven)
}
