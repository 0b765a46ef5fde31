//! Inference: test images through the stages of a scheme, every result checked against the quantised model in the clear.
//!
//! Timed is what each party does with its data, stage by stage; not timed are the check of the results and the bookkeeping. Wrong results give an error and no
//! times.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{PackingChoice, Protection, Scenario, Spec};
use crate::backend::{self, BackendId, Device};
use crate::dataset::Images;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::model::{TrainedModel, argmax};
use crate::plan::Weights;
use crate::quantise::{IntegerModel, Precision};
use crate::randomness::Tape;
use crate::record::{Phase, Stage};
use crate::scheme::clear::Clear;
use crate::scheme::paillier::{Encryption, Layout, Options, Paillier, SecretKey};
use crate::scheme::{Inputs, LinearInference, LinearMap};
use crate::stopwatch::{Elapsed, Stopwatch};

/// A timed stage of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// The step.
    pub stage: Stage,
    /// When it happens.
    pub phase: Phase,
    /// Number of the batch.
    pub batch: u32,
    /// Images of the batch.
    pub images: u32,
    /// How long it took.
    pub elapsed: Elapsed,
}

/// What came of a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// All stage times, in order.
    pub times: Vec<StageTime>,
    /// Images whose largest logit is at their label.
    pub correct: usize,
    /// Images whose largest logit is that of the quantised model in the clear.
    pub agreeing: usize,
    /// Images.
    pub images: usize,
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes back.
    pub bytes_down: u64,
    /// Messages to the server and back.
    pub rounds: u32,
    /// SHA-256 of all result ciphertexts; none in the clear.
    pub digest: Option<String>,
    /// SHA-256 of the result ciphertexts of the first batch of images in one set of ciphertexts, and how many images it has.
    pub first_digest: Option<(usize, String)>,
    /// Bits of a slot that holds every input and result; none in f32.
    pub slot_bits: Option<u32>,
    /// What the encrypted product came to.
    pub product: Option<Product>,
    /// What did the arithmetic.
    pub device: Device,
}

/// Facts on an encrypted product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// The plan's name.
    pub method: &'static str,
    /// Modular multiplications for one set of ciphertexts.
    pub multiplications: usize,
    /// Images in one ciphertext.
    pub slots: usize,
    /// Inputs of one image in one ciphertext.
    pub inputs_per_ciphertext: usize,
}

/// How far a spec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The stage that begins.
    pub stage: Stage,
    /// Images done.
    pub done: usize,
    /// Images in all.
    pub images: usize,
}

/// Hears of progress; an error ends the work.
pub type Report<'a> = dyn FnMut(Progress) -> Result<()> + 'a;

/// Test images and models, and the keys made so far: specs of one run share them.
pub struct Bench {
    images: Images,
    models: HashMap<FeatureMap, TrainedModel>,
    keys: HashMap<(u32, u64), (SecretKey, Elapsed)>,
    allow_toy: bool,
    keep_going: fn() -> bool,
}

impl Bench {
    /// `images` is the test set, `models` one trained model for each feature map in use. `keep_going` is asked during key generation.
    #[must_use]
    pub fn new(images: Images, models: HashMap<FeatureMap, TrainedModel>, allow_toy: bool, keep_going: fn() -> bool) -> Self {
        Self { images, models, keys: HashMap::new(), allow_toy, keep_going }
    }

    /// Images of the test set.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The quantised model of a feature map.
    ///
    /// # Errors
    /// When there is no model or the precision is out of range.
    pub fn integer_model(&self, features: FeatureMap, precision: Precision) -> Result<IntegerModel> {
        IntegerModel::new(&self.model(features)?.network.collapse(), precision, precision.default_clip(features))
    }

    fn model(&self, features: FeatureMap) -> Result<&TrainedModel> {
        self.models
            .get(&features)
            .ok_or_else(|| Error::Unsupported { subject: "this run".into(), feature: format!("{} without a trained model", features.name()) })
    }

    /// Runs one spec.
    ///
    /// # Errors
    /// [`Error::Disagreement`] when a result differs from the quantised model's; whatever the stages report; [`Error::Interrupted`] through `report`.
    pub fn run(&mut self, spec: &Spec, report: &mut Report<'_>) -> Result<Measured> {
        if spec.images == 0 || spec.images > self.images.len() {
            return Err(Error::OutOfRange {
                what: "number of images",
                value: spec.images.to_string(),
                allowed: format!("1 to {}", self.images.len()),
            });
        }
        let model = self.integer_model(spec.features, spec.precision)?;
        match spec.protection {
            Protection::ClearFloat => self.run_float(spec, &model, report),
            Protection::ClearInteger => {
                let map = linear_map(&model)?;
                let batch = if spec.scenario == Scenario::Single { 1 } else { spec.images };
                let job = Job { batch, set: None, slot_bits: map.result_bits(), times: Vec::new(), product: None, device: clear_device() };
                self.drive(spec, &model, Clear::new(map), job, report)
            }
            Protection::Paillier { backend, key_bits, method, encryption, packing, rerandomisation, table_mib } => {
                let start = Progress { stage: Stage::Keygen, done: 0, images: spec.images };
                report(start)?;
                let (secret, keygen) = self.key(key_bits, spec.seed)?;
                report(Progress { stage: Stage::Prepare, ..start })?;
                let backend = backend::open(backend)?;
                let layout = layout(spec.scenario, packing)?;
                let options = Options { encryption, method, layout, rerandomisation, images: spec.images, table_bytes: u64::from(table_mib) << 20 };
                let (service, prepare) =
                    Stopwatch::time(|| Paillier::new(backend.as_ref(), &secret, linear_map(&model)?, options, Tape::replayable(spec.seed)));
                let service = service?;
                let setup = |stage, elapsed| StageTime { stage, phase: Phase::Setup, batch: 0, images: spec.images as u32, elapsed };
                let arrangement = service.arrangement();
                let slots = arrangement.images();
                let product = Product {
                    method: service.evaluator().method().name(),
                    multiplications: service.evaluator().products(),
                    slots,
                    inputs_per_ciphertext: arrangement.inputs_per_ciphertext(),
                };
                let batch = if spec.scenario == Scenario::Single { 1 } else { slots * sets_per_batch(backend.id(), encryption) };
                let times = vec![setup(Stage::Keygen, keygen), setup(Stage::Prepare, prepare)];
                let slot_bits = arrangement.result_bits();
                let job = Job { batch, set: Some(slots), slot_bits, times, product: Some(product), device: backend.device() };
                self.drive(spec, &model, service, job, report)
            }
        }
    }

    fn key(&mut self, bits: u32, seed: u64) -> Result<(SecretKey, Elapsed)> {
        if let Some((secret, elapsed)) = self.keys.get(&(bits, seed)) {
            return Ok((secret.clone(), *elapsed));
        }
        let (secret, elapsed) = Stopwatch::time(|| SecretKey::generate(bits, false, self.allow_toy, &Tape::replayable(seed), &self.keep_going));
        let secret = secret?;
        self.keys.insert((bits, seed), (secret.clone(), elapsed));
        Ok((secret, elapsed))
    }

    /// Images `first..first + count` as a set of their own.
    fn slice(&self, first: usize, count: usize) -> Images {
        let size = self.images.rows * self.images.cols;
        Images {
            pixels: self.images.pixels[first * size..(first + count) * size].to_vec(),
            labels: self.images.labels[first..first + count].to_vec(),
            ..Images { pixels: Vec::new(), labels: Vec::new(), ..self.images }
        }
    }

    fn run_float(&self, spec: &Spec, model: &IntegerModel, report: &mut Report<'_>) -> Result<Measured> {
        let network = &self.model(spec.features)?.network;
        let collapsed = network.collapse();
        let batch = if spec.scenario == Scenario::Single { 1 } else { spec.images };
        let mut result = Measured::empty(clear_device());
        for (number, first) in (0..spec.images).step_by(batch).enumerate() {
            let images = self.slice(first, batch.min(spec.images - first));
            let mut stage = |stage, elapsed| {
                result.times.push(StageTime { stage, phase: Phase::Online, batch: number as u32, images: images.len() as u32, elapsed })
            };
            report(Progress { stage: Stage::Evaluate, done: first, images: spec.images })?;
            let (features, elapsed) = Stopwatch::time(|| spec.features.extract(&images));
            let features = features?;
            stage(Stage::Encode, elapsed);
            let (classes, elapsed) = Stopwatch::time(|| network.classify(&features));
            stage(Stage::Evaluate, elapsed);
            let truth = model.classify(&spec.precision.features(&features)?)?;
            for (i, ((class, truth), label)) in classes?.into_iter().zip(truth).zip(&images.labels).enumerate() {
                check_class(class, &collapsed.logits(features.row(i))?, first + i)?;
                result.images += 1;
                result.correct += usize::from(class == *label);
                result.agreeing += usize::from(class == truth);
            }
        }
        Ok(result)
    }

    fn drive<S: LinearInference>(&self, spec: &Spec, model: &IntegerModel, mut service: S, job: Job, report: &mut Report<'_>) -> Result<Measured> {
        let mut result = Measured { times: job.times, product: job.product, slot_bits: Some(job.slot_bits), ..Measured::empty(job.device) };
        let mut digest = Sha256::new();
        let mut first_digest = None;
        let (mut bytes_up, mut bytes_down) = (0, 0);
        let classes = model.classes();
        for (number, first) in (0..spec.images).step_by(job.batch).enumerate() {
            let images = self.slice(first, job.batch.min(spec.images - first));
            let count = images.len();
            let times = &mut result.times;
            let step = |stage: Stage, report: &mut Report<'_>| -> Result<Stopwatch> {
                report(Progress { stage, done: first, images: spec.images })?;
                Ok(Stopwatch::start())
            };
            let mut done = |stage: Stage, watch: Stopwatch| {
                let elapsed = watch.elapsed();
                times.push(StageTime { stage, phase: Phase::Online, batch: number as u32, images: count as u32, elapsed });
            };
            let watch = step(Stage::Encode, report)?;
            let features = spec.precision.features(&spec.features.extract(&images)?)?;
            let plaintexts = service.encode(&Inputs::new(&features.values, features.width)?)?;
            done(Stage::Encode, watch);
            let watch = step(Stage::Encrypt, report)?;
            let query = service.encrypt(plaintexts)?;
            done(Stage::Encrypt, watch);
            bytes_up += service.query_bytes(&query);
            let watch = step(Stage::Upload, report)?;
            let loaded = service.upload(query)?;
            done(Stage::Upload, watch);
            let watch = step(Stage::Evaluate, report)?;
            let evaluated = service.evaluate(loaded)?;
            done(Stage::Evaluate, watch);
            let watch = step(Stage::Download, report)?;
            let answer = service.download(evaluated)?;
            done(Stage::Download, watch);
            bytes_down += service.answer_bytes(&answer);
            if let Some(set) = job.set {
                let words = service.answer_words(&answer);
                words.iter().for_each(|word| digest.update(word.to_le_bytes()));
                if number == 0 {
                    let mut first_set = Sha256::new();
                    words[..words.len() / count.div_ceil(set)].iter().for_each(|word| first_set.update(word.to_le_bytes()));
                    first_digest = Some((set.min(count), short_hex(first_set)));
                }
            }
            let watch = step(Stage::Decrypt, report)?;
            let decrypted = service.decrypt(answer)?;
            done(Stage::Decrypt, watch);
            let watch = step(Stage::Decode, report)?;
            let logits = service.decode(decrypted, count)?;
            done(Stage::Decode, watch);
            result.rounds += 1;

            for (i, (label, logits)) in images.labels.iter().zip(logits.chunks_exact(classes)).enumerate() {
                let expected = model.logits(features.row(i))?;
                if logits != expected {
                    return Err(Error::Disagreement {
                        what: format!("logits of image {}", first + i),
                        expected: format!("{expected:?}"),
                        actual: format!("{logits:?}"),
                    });
                }
                result.images += 1;
                result.correct += usize::from(argmax(logits) == *label);
                result.agreeing += usize::from(argmax(logits) == argmax(&expected));
            }
        }
        result.bytes_up = bytes_up;
        result.bytes_down = bytes_down;
        result.first_digest = first_digest;
        result.digest = job.set.map(|_| short_hex(digest));
        Ok(result)
    }
}

/// What [`Bench::drive`] needs besides the service.
struct Job {
    /// Images of a batch.
    batch: usize,
    /// Images of a set of ciphertexts; none in the clear.
    set: Option<usize>,
    slot_bits: u32,
    times: Vec<StageTime>,
    product: Option<Product>,
    device: Device,
}

impl Measured {
    fn empty(device: Device) -> Self {
        Self {
            times: Vec::new(),
            correct: 0,
            agreeing: 0,
            images: 0,
            bytes_up: 0,
            bytes_down: 0,
            rounds: 0,
            digest: None,
            first_digest: None,
            slot_bits: None,
            product: None,
            device,
        }
    }
}

/// The class that the layers chose in f32 must be the largest of the collapsed map's f64 logits, but for the rounding of f32: a thousandth of the largest logit.
fn check_class(class: u8, logits: &[f64], image: usize) -> Result<()> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let chosen = logits.get(usize::from(class)).copied().unwrap_or(f64::NEG_INFINITY);
    if chosen >= largest - 1e-3 * (1.0 + largest.abs()) {
        return Ok(());
    }
    Err(Error::Disagreement {
        what: format!("class of image {image} by the layers in f32"),
        expected: argmax(logits).to_string(),
        actual: class.to_string(),
    })
}

/// The map of a quantised model, for a scheme.
///
/// # Errors
/// When a result could leave 62 bits.
pub fn linear_map(model: &IntegerModel) -> Result<LinearMap> {
    let weights = Weights::new(model.classes(), model.width(), model.weights().to_vec())?;
    LinearMap::new(weights, model.bias().to_vec(), model.precision().max_feature())
}

/// The layout that a scenario and a packing ask for.
fn layout(scenario: Scenario, packing: PackingChoice) -> Result<Layout> {
    Ok(match (scenario, packing) {
        (Scenario::Offline, _) => Layout::Batch { images: packing.images()? },
        (Scenario::Single, PackingChoice::Off) => Layout::Batch { images: Some(1) },
        (Scenario::Single, PackingChoice::Auto) => Layout::Single { inputs_per_ciphertext: None },
        (Scenario::Single, PackingChoice::Inputs(inputs)) => Layout::Single { inputs_per_ciphertext: Some(inputs) },
        (Scenario::Single, PackingChoice::Images(_)) => {
            return Err(Error::Unsupported {
                subject: "one image at a time".into(),
                feature: format!("packing {packing} of many images; use auto, off or N-inputs"),
            });
        }
    })
}

/// Sets of ciphertexts in a batch: whole lanes for all threads, but few where a set takes long, so that progress shows and Ctrl-C is heard.
fn sets_per_batch(backend: BackendId, encryption: Encryption) -> usize {
    let threads = rayon::current_num_threads().max(1);
    match (backend, encryption) {
        (BackendId::Reference, _) => 1,
        // A GPU needs many numbers at once, whatever the number of threads beside it.
        (BackendId::Gpu, _) => 64,
        (BackendId::Gmp, _) | (_, Encryption::Standard) => 2 * threads,
        _ => 8 * threads,
    }
}

fn clear_device() -> Device {
    Device { name: crate::machine::processor(), kind: backend::DeviceKind::Cpu, detail: "plain Rust".into() }
}

fn short_hex(hash: Sha256) -> String {
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_class_of_the_float_network_is_caught() {
        assert!(check_class(1, &[0.0, 2.0, 1.9999], 0).is_ok());
        assert!(check_class(2, &[0.0, 2.0, 1.9999], 0).is_ok());
        assert!(matches!(check_class(0, &[0.0, 2.0, 1.9999], 0), Err(Error::Disagreement { .. })));
        assert!(check_class(3, &[0.0, 2.0, 1.9999], 0).is_err());
        assert!(check_class(0, &[f64::NAN, f64::NAN], 0).is_err());
    }
}
