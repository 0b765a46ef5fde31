//! Inference: test images through the stages of a scheme, every result checked against the quantised model in the clear.
//!
//! Timed is what each party does with its data, stage by stage; not timed are the check of the results and the bookkeeping. Wrong results give an error and no
//! times.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::estimate::{Estimate, Speeds};
use super::sampling::THREADS;
use super::timing::{DeviceClock, Kept, Sampler, StageTime, passes, thread_pool};
use super::{Bench, Division, Means, Measured, Models, OnProgress, Progress, Sampling, Scenario, Source, Work, Workload};
use crate::backend::{self, Backend, BackendId, Device, DeviceKind};
use crate::control::Control;
use crate::dataset::Images;
use crate::description::Description;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::machine;
use crate::model::{TrainedModel, argmax};
use crate::plan::{Counts, Weights};
use crate::quantise::{IntegerModel, Precision};
use crate::randomness::Tape;
use crate::record::columns::OUTCOMES;
use crate::record::journal::FirstDigest;
use crate::record::{Outcome, Phase, Stage};
use crate::scheme::linear::{About, Ahead, Cost, Facts, Job, Key, LinearScheme, Service, Size, Step};
use crate::scheme::{Inputs, LinearMap, linear};
use crate::spec::{Choice, Form, Kind, Protection, Spec, Values, as_word, number, whole};
use crate::stopwatch::{Elapsed, Stopwatch};
use crate::text::hex;

/// Images for the oracle, and for one image at a time, where no number is named: enough for one set of ciphertexts, and for many repetitions.
const FEW_IMAGES: usize = 100;

/// Precision by the feature map, where none is named.
fn default_precision(values: &Values) -> Result<Precision> {
    values.read("features").map(Precision::default_for)
}

static OUTER: [Choice; 5] = [
    Choice::given("dataset", |word| Ok(word.into()), |_, _, setting| Ok(vec![setting.dataset.clone()])),
    Choice {
        default: &["pixels", "gradients"],
        ..Choice::new(
            "features",
            Form::Segment,
            |word| word.parse::<FeatureMap>().map(|map| map.name().into()),
            "Public feature maps, computed in clear by the image's owner: pixels, gradients [default: both, or that of the model given]",
        )
    },
    Choice {
        value_name: "N",
        default: &["auto"],
        stand_ins: &["auto"],
        expand: |word, values, _| Ok(vec![if word == "auto" { default_precision(values)?.feature_bits.to_string() } else { word.into() }]),
        ..Choice::new(
            "feature_bits",
            Form::Dash,
            |word| number::<1, 12>(word, "auto"),
            "Bits of a feature, 1 to 12 [default: 8 for pixels, 4 for gradients]",
        )
    },
    Choice {
        value_name: "N",
        default: &["auto"],
        stand_ins: &["auto"],
        expand: |word, values, _| Ok(vec![if word == "auto" { default_precision(values)?.weight_bits.to_string() } else { word.into() }]),
        ..Choice::new(
            "weight_bits",
            Form::Dash,
            |word| number::<2, 16>(word, "auto"),
            "Bits of a weight with its sign, 2 to 16 [default: 8 for pixels, 4 for gradients]",
        )
    },
    Choice {
        default: &["offline"],
        decides: true,
        ..Choice::new("scenario", Form::Segment, as_word::<Scenario>, "offline (full batches: throughput) or single (one image at a time: latency)")
    },
];

static INNER: [Choice; 4] = [
    Choice {
        value_name: "N",
        default: &["all"],
        stand_ins: &["all"],
        expand: |word, values, setting| {
            let there = setting.images;
            let few = values.is("scenario", "single") || values.is("backend", BackendId::Reference.name());
            let images = match word.parse() {
                Err(_) => {
                    if few {
                        there.min(FEW_IMAGES)
                    } else {
                        there
                    }
                }
                Ok(asked) if asked > there && !setting.at_most => {
                    let allowed = format!("1 to {there}, the images of the test set");
                    return Err(Error::range("number of images", &word, allowed));
                }
                Ok(asked) => there.min(asked),
            };
            Ok(vec![images.to_string()])
        },
        ..Choice::new(
            "images",
            Form::Segment,
            |word| number::<1, { u32::MAX as u64 }>(word, "all"),
            "Images from the start of the test set [default: all; the reference backend gets at most 100]",
        )
    },
    Choice::given("seed", whole::<0, { u64::MAX }>, |_, _, setting| Ok(vec![setting.seed.to_string()])),
    Choice {
        value_name: "N",
        default: &["auto"],
        applies: |values| values.is("scenario", "offline"),
        ..Choice::new(
            "batch",
            Form::Suffix { prefix: "batch-", unsaid: "auto" },
            |word| number::<1, { u32::MAX as u64 }>(word, "auto"),
            "Images worked on at once, offline: auto (as many as suit the backend), or a number",
        )
    },
    THREADS,
];

/// Plaintext rows come with the others unless a table does without.
static PLAINTEXT: Choice = Choice {
    default: &["true"],
    is_switch: true,
    is_argument: false,
    ..Choice::new(
        "plaintext",
        Form::Segment,
        |word| match word {
            "true" | "false" => Ok(word.into()),
            _ => Err(Error::unknown("switch", word, "true, false")),
        },
        "Whether each combination of what an unencrypted model knows is also run in the clear, in f32 and in integers",
    )
};

/// The trained network in f32, layer after layer, in the clear.
static FLOAT: Protection = Protection { path: "clear/float", selected_by: Some("true"), choices: &[] };

/// Inference by a collapsed network under one of some schemes.
pub struct Inference {
    schemes: Vec<&'static dyn LinearScheme>,
    kind: Kind,
}

impl Inference {
    /// Under these schemes, after the plaintext baseline in f32.
    #[must_use]
    pub fn new(schemes: Vec<&'static dyn LinearScheme>) -> Self {
        let protections = std::iter::once(&FLOAT).chain(schemes.iter().map(|scheme| scheme.protection())).collect();
        let kind = Kind { workload: "inference", table: "grid", selector: Some(&PLAINTEXT), outer: &OUTER, inner: &INNER, protections };
        Self { schemes, kind }
    }

    /// The scheme of a spec; none for the baseline in f32.
    fn scheme(&self, spec: &Spec) -> Option<&'static dyn LinearScheme> {
        scheme_of(&self.schemes, spec)
    }

    /// The size of a spec for a map, without running it.
    ///
    /// # Errors
    /// When the map does not fit the spec's choices.
    pub fn size(&self, spec: &Spec, map: &LinearMap) -> Result<Size> {
        size_of(&self.schemes, spec, map)
    }
}

/// The size of a row of a map under its scheme, in the batches that the spec asks for.
fn size_of(schemes: &[&'static dyn LinearScheme], spec: &Spec, map: &LinearMap) -> Result<Size> {
    let asked = Asked::of(spec)?;
    let size = match scheme_of(schemes, spec) {
        Some(scheme) => scheme.size(spec.values(), asked.job(), map)?,
        None => Size { inputs: map.weights().cols(), ciphertexts: 0, results: 0, set: 1, batch: asked.images },
    };
    Ok(Size { batch: asked.batch(size.batch), ..size })
}

fn scheme_of(schemes: &[&'static dyn LinearScheme], spec: &Spec) -> Option<&'static dyn LinearScheme> {
    schemes.iter().copied().find(|scheme| scheme.protection().path == spec.protection())
}

impl Workload for Inference {
    fn kind(&self) -> &Kind {
        &self.kind
    }

    fn takes_images(&self) -> bool {
        true
    }

    fn warning(&self, spec: &Spec) -> Option<String> {
        let warning = self.scheme(spec)?.facts(spec.values()).ok()?.unsound?;
        Some(format!("{}: {warning}", spec.values().get("setting").unwrap_or(spec.protection())))
    }

    fn bench(&self, means: &Means) -> Box<dyn Bench> {
        Box::new(InferenceBench {
            kind: self.kind.clone(),
            schemes: self.schemes.clone(),
            images: means.images.clone(),
            models: means.models.clone(),
            source: means.source.clone(),
            maps: HashMap::new(),
            keys: HashMap::new(),
            sizes: HashMap::new(),
            allow_toy: means.allow_toy,
            control: means.control.clone(),
        })
    }
}

/// The workload's own choices of a spec.
#[derive(Clone, Copy, Debug)]
struct Asked {
    features: FeatureMap,
    precision: Precision,
    scenario: Scenario,
    images: usize,
    seed: u64,
    batch: Option<usize>,
    threads: Option<usize>,
}

impl Asked {
    fn of(spec: &Spec) -> Result<Self> {
        let values = spec.values();
        Ok(Self {
            features: values.read("features")?,
            precision: Precision { feature_bits: values.read("feature_bits")?, weight_bits: values.read("weight_bits")? },
            scenario: values.read("scenario")?,
            images: values.read("images")?,
            seed: values.read("seed")?,
            batch: values.number("batch"),
            threads: values.number("threads"),
        })
    }

    fn job(&self) -> Job {
        Job { images: self.images, single: self.scenario == Scenario::Single }
    }

    /// Images worked on at once: what the spec says, else `default`.
    fn batch(&self, default: usize) -> usize {
        match self.scenario {
            Scenario::Single => 1,
            Scenario::Offline => self.batch.unwrap_or(default).clamp(1, self.images.max(1)),
        }
    }
}

/// Test images and models, and the keys made so far: specs of one run share them.
struct InferenceBench {
    kind: Kind,
    schemes: Vec<&'static dyn LinearScheme>,
    images: Images,
    models: Models,
    source: Source,
    maps: HashMap<(FeatureMap, Precision), LinearMap>,
    keys: HashMap<(&'static str, Option<u32>, u64), (Key, Elapsed)>,
    /// Many rows share a layout, and finding one is not free.
    sizes: HashMap<String, Option<Size>>,
    allow_toy: bool,
    control: Control,
}

/// The facts of the baseline in f32.
fn float_facts() -> Facts {
    let (method, encryption) = ("float".into(), "none".into());
    Facts { backend: None, method, key_bits: None, encryption, security_bits: None, unsound: None, is_toy: false, decides_bits: None }
}

impl InferenceBench {
    fn scheme(&self, spec: &Spec) -> Option<&'static dyn LinearScheme> {
        scheme_of(&self.schemes, spec)
    }

    fn facts(&self, spec: &Spec) -> Result<Facts> {
        self.scheme(spec).map_or_else(|| Ok(float_facts()), |scheme| scheme.facts(spec.values()))
    }

    /// The quantised model of a feature map.
    fn integer_model(&self, features: FeatureMap, precision: Precision) -> Result<IntegerModel> {
        IntegerModel::new(&self.model(features)?.network.collapse(), precision, precision.default_clip(features))
    }

    fn model(&self, features: FeatureMap) -> Result<&TrainedModel> {
        let model =
            self.models.get(&features).ok_or_else(|| Error::unsupported("this run", format!("{} without a trained model", features.name())))?;
        let Images { rows, cols, max_pixel: white, .. } = self.images;
        let images = Description { rows, cols, white, ..Description::default() };
        model.origin.data().check_pixels(&format!("the model for {features}"), &images, "the test set")?;
        Ok(model)
    }

    /// The map of a spec's model; its plans are made once.
    fn linear_map(&mut self, asked: &Asked, model: &IntegerModel) -> Result<LinearMap> {
        let key = (asked.features, asked.precision);
        if let Some(map) = self.maps.get(&key) {
            return Ok(map.clone());
        }
        let map = linear_map(model)?;
        self.maps.insert(key, map.clone());
        Ok(map)
    }

    /// The key of a row, and how long it took to make, where its scheme makes one apart.
    fn key(&mut self, scheme: &dyn LinearScheme, spec: &Spec, key_bits: Option<u32>, seed: u64) -> Result<Option<(Key, Elapsed)>> {
        let name = (scheme.protection().path, key_bits, seed);
        if let Some(made) = self.keys.get(&name) {
            return Ok(Some(made.clone()));
        }
        let tape = Tape::replayable(seed);
        let (key, elapsed) = Stopwatch::time(|| scheme.keygen(spec.values(), self.allow_toy, &tape, &self.control));
        let Some(key) = key.transpose()? else { return Ok(None) };
        self.keys.insert(name, (key.clone(), elapsed));
        Ok(Some((key, elapsed)))
    }

    fn run_here(&mut self, spec: &Spec, asked: &Asked, sampling: Sampling, progress: &mut OnProgress<'_>) -> Result<Measured> {
        if asked.images == 0 || asked.images > self.images.len() {
            let allowed = format!("1 to {}", self.images.len());
            return Err(Error::range("number of images", &asked.images, allowed));
        }
        let planned = self.planned(spec)?;
        let model = self.integer_model(asked.features, asked.precision)?;
        let Some(scheme) = self.scheme(spec) else {
            return self.run_float(asked, sampling, &model, planned, progress);
        };
        let facts = self.facts(spec)?;
        let mut begin = |stage: Stage| progress(Progress { what: stage.name(), done: 0, total: asked.images as u64 });
        if facts.key_bits.is_some() {
            begin(Stage::Keygen)?;
        }
        let key = self.key(scheme, spec, facts.key_bits, asked.seed)?;
        if scheme.prepares() {
            begin(Stage::Prepare)?;
        }
        let backend = facts.backend.map(|id| backend::open_under(id, &self.control)).transpose()?;
        let map = self.linear_map(asked, &model)?;
        let clock = DeviceClock::start(backend.as_deref());
        let means = linear::Means { key: key.as_ref().map(|(key, _)| key), backend: backend.as_deref(), tape: Tape::replayable(asked.seed) };
        let (service, prepare) = Stopwatch::time(|| scheme.service(spec.values(), asked.job(), map, means));
        let (service, device_ns) = (service?, clock.lap());
        let setup = |stage, elapsed, device_ns| StageTime { stage, phase: Phase::Setup, batch: 0, images: asked.images as u32, elapsed, device_ns };
        let mut times: Vec<StageTime> = key.iter().map(|(_, keygen)| setup(Stage::Keygen, *keygen, None)).collect();
        times.extend(scheme.prepares().then(|| setup(Stage::Prepare, prepare, device_ns)));
        let bound = bound(service.as_ref());
        let device = backend.as_ref().map_or_else(plain_device, |backend| backend.device());
        let mut driver = Driver::new(asked.batch(service.about().batch), times, sampling, backend.as_deref());
        let about = service.about();
        let digests = driver.drive(&self.images, asked, &model, service, progress)?;
        let mut outcome = driver.outcome(planned, &about, &device);
        outcome.bound_products_per_second = bound;
        outcome.digest = digests.all;
        let first_digest = digests.first.zip(facts.decides_bits).map(|((images, digest), decides)| {
            let (slots, per_ciphertext) = about.product.map_or((0, 0), |p| (p.slots, p.inputs_per_ciphertext));
            let Asked { features, precision, seed, .. } = asked;
            // The number of images decides the widths of tables and so the bases of the server.
            let inputs = format!(
                "{decides} {slots} {per_ciphertext} {} {} {} {precision:?} {seed} {}",
                asked.images,
                outcome.dataset,
                features.name(),
                outcome.model_sha256
            );
            FirstDigest { inputs, images, digest, who: format!("{} {}", outcome.backend, facts.method) }
        });
        Ok(Measured { outcome, times: driver.times, first_digest, ..Measured::default() })
    }

    fn run_float(
        &self,
        asked: &Asked,
        sampling: Sampling,
        model: &IntegerModel,
        planned: Outcome,
        progress: &mut OnProgress<'_>,
    ) -> Result<Measured> {
        let network = &self.model(asked.features)?.network;
        let collapsed = network.collapse();
        let mut driver = Driver::new(asked.batch(asked.images), Vec::new(), sampling, None);
        for (pass, first) in passes(asked.images, driver.batch) {
            if pass > 0 && driver.sampler.is_enough() {
                break;
            }
            let images = self.images.part(first, driver.batch.min(asked.images - first));
            let done = if pass == 0 { first } else { asked.images } as u64;
            progress(Progress { what: Stage::Evaluate.name(), done, total: asked.images as u64 })?;
            let whole = driver.sampler.begin();
            let (features, encode) = Stopwatch::time(|| asked.features.extract(&images));
            let features = features?;
            let (classes, evaluate) = Stopwatch::time(|| network.classify(&features));
            let sample = driver.sampler.sample();
            if driver.sampler.end(whole, images.len()) {
                let stage =
                    |stage, elapsed| StageTime { stage, phase: Phase::Online, batch: sample, images: images.len() as u32, elapsed, device_ns: None };
                driver.times.extend([stage(Stage::Encode, encode), stage(Stage::Evaluate, evaluate)]);
            }
            let truth = model.classify(&asked.precision.features(&features)?)?;
            for (i, ((class, truth), label)) in classes?.into_iter().zip(truth).zip(&images.labels).enumerate() {
                check_class(class, &collapsed.logits(features.row(i))?, first + i)?;
                if pass == 0 {
                    driver.count(class == *label, class == truth);
                }
            }
        }
        let about = About { slot_bits: 0, set: None, batch: driver.batch, product: None, sizes: None };
        let outcome = Outcome { slot_bits: None, ..driver.outcome(planned, &about, &plain_device()) };
        Ok(Measured { outcome, times: driver.times, ..Measured::default() })
    }
}

impl Bench for InferenceBench {
    fn planned(&self, spec: &Spec) -> Result<Outcome> {
        let (asked, facts) = (Asked::of(spec)?, self.facts(spec)?);
        let float = self.scheme(spec).is_none();
        let on_gpu = facts.backend == Some(BackendId::Gpu);
        let division = match (facts.unsound, asked.features) {
            (Some(_), _) => Division::Unsound,
            (None, FeatureMap::Pixels) => Division::Closed,
            (None, FeatureMap::Gradients) => Division::Open,
        };
        let parameters = self.kind.parameters(spec, &OUTCOMES.map(|column| column.name));
        Ok(Outcome {
            spec: spec.to_string(),
            workload: self.kind.workload.into(),
            scheme: spec.protection().split('/').next().unwrap_or_default().into(),
            backend: facts.backend.map_or("native", BackendId::name).into(),
            dataset: spec.values().get("dataset").unwrap_or_default().into(),
            features: asked.features.name().into(),
            key_bits: facts.key_bits,
            method: facts.method,
            encryption: facts.encryption,
            packing: 1,
            feature_bits: (!float).then_some(asked.precision.feature_bits),
            weight_bits: (!float).then_some(asked.precision.weight_bits),
            scenario: asked.scenario.name().into(),
            division: division.name().into(),
            threads: asked.threads.unwrap_or_else(rayon::current_num_threads) as u32,
            images: asked.images as u32,
            security_bits: facts.security_bits,
            // What a row on another device would have run on is not known before it is opened.
            adapter: if on_gpu { String::new() } else { machine::processor() },
            adapter_type: if on_gpu { "" } else { DeviceKind::Cpu.name() }.into(),
            key_bytes: facts.key_bits.map(|bits| bits.div_ceil(8)),
            ciphertext_bytes: facts.key_bits.map(|bits| (2 * bits).div_ceil(8)),
            publishable: Some(!facts.is_toy),
            dataset_sha256: self.source.data.dataset_sha256.clone(),
            model_sha256: self.source.models.get(asked.features.name()).map(|model| model.sha256.clone()).unwrap_or_default(),
            parameters,
            ..Outcome::default()
        })
    }

    /// A spec and its dataset name the model that comes with the program; any other model is part
    /// of the identity by its digest.
    fn definition(&self, spec: &Spec, sampling: Sampling) -> Vec<String> {
        let mut lines = vec!["cipherlane definition 1".into(), spec.to_string(), sampling.to_string(), self.source.data.dataset_sha256.clone()];
        let model = spec.values().get("features").and_then(|features| self.source.models.get(features));
        lines.extend(model.filter(|model| !model.embedded).map(|model| model.sha256.clone()));
        lines
    }

    fn work(&self, spec: &Spec) -> Work {
        Work { total: spec.values().number("images").unwrap_or(0) as u64, unit: "images" }
    }

    fn backend(&self, spec: &Spec) -> Option<BackendId> {
        self.facts(spec).ok()?.backend
    }

    fn estimate(&mut self, spec: &Spec, sampling: Sampling, speeds: &Speeds, threads: usize, new_key: bool) -> Estimate {
        let Ok(asked) = Asked::of(spec) else { return Estimate::default() };
        let layout = spec.values().without("threads");
        let size = match self.sizes.get(&layout) {
            Some(size) => *size,
            None => {
                let map = self.integer_model(asked.features, asked.precision).and_then(|model| linear_map(&model));
                let size = map.and_then(|map| size_of(&self.schemes, spec, &map)).ok();
                self.sizes.insert(layout, size);
                size
            }
        };
        let threads = asked.threads.unwrap_or(threads).max(1) as f64;
        let Some(size) = size else { return Estimate::default() };
        let cost = match self.scheme(spec) {
            Some(scheme) => scheme.cost(spec.values(), asked.job(), size, threads, &|id| speeds.power_ns(id)).ok().flatten(),
            None => Some(Cost {
                pass_seconds: asked.images as f64 * 2e-5 / threads,
                setup_seconds: 0.05,
                memory_bytes: 50e6,
                wire_bytes: (asked.images * size.inputs) as f64,
                ..Cost::default()
            }),
        };
        cost.map_or_else(Estimate::default, |cost| Estimate::of(cost, (asked.images as f64 / size.batch as f64).ceil(), sampling, new_key))
    }

    fn run(&mut self, spec: &Spec, sampling: Sampling, progress: &mut OnProgress<'_>) -> Result<Measured> {
        let asked = Asked::of(spec)?;
        match asked.threads {
            None => self.run_here(spec, &asked, sampling, progress),
            Some(threads) => thread_pool(threads)?.install(|| self.run_here(spec, &asked, sampling, progress)),
        }
    }
}

/// Digests of result ciphertexts.
struct Digests {
    /// Of all; none in the clear.
    all: Option<String>,
    /// Of the first set, and how many images it has.
    first: Option<(usize, String)>,
}

/// A row in the making.
struct Driver<'a> {
    batch: usize,
    times: Vec<StageTime>,
    sampler: Sampler,
    clock: DeviceClock<'a>,
    images: usize,
    correct: usize,
    agreeing: usize,
    bytes_up: u64,
    bytes_down: u64,
    rounds: u32,
}

impl<'a> Driver<'a> {
    fn new(batch: usize, times: Vec<StageTime>, sampling: Sampling, backend: Option<&'a dyn Backend>) -> Self {
        let (sampler, clock) = (Sampler::new(sampling, batch), DeviceClock::start(backend));
        Self { batch, times, sampler, clock, images: 0, correct: 0, agreeing: 0, bytes_up: 0, bytes_down: 0, rounds: 0 }
    }

    /// An image of the first pass.
    fn count(&mut self, correct: bool, agreeing: bool) {
        self.images += 1;
        self.correct += usize::from(correct);
        self.agreeing += usize::from(agreeing);
    }

    /// Takes images through all stages, pass after pass, until enough was measured.
    fn drive(
        &mut self,
        images: &Images,
        asked: &Asked,
        model: &IntegerModel,
        mut service: Box<dyn Service>,
        progress: &mut OnProgress<'_>,
    ) -> Result<Digests> {
        let set = service.about().set;
        let (mut all, mut first_set) = (Sha256::new(), None);
        for (number, (pass, first)) in passes(asked.images, self.batch).enumerate() {
            if pass > 0 && self.sampler.is_enough() {
                break;
            }
            let part = images.part(first, self.batch.min(asked.images - first));
            let done = if pass == 0 { first } else { asked.images } as u64;
            let mut step = |what: Stage| progress(Progress { what: what.name(), done, total: asked.images as u64 });
            let (answer, features) = self.one_batch(&part, asked, service.as_mut(), &mut step, &mut |words| {
                // The first pass alone is the same on every backend, however many follow.
                let Some(set) = set.filter(|_| pass == 0) else { return };
                words.iter().for_each(|word| all.update(word.to_le_bytes()));
                if number == 0 {
                    let mut hash = Sha256::new();
                    words[..words.len() / part.len().div_ceil(set)].iter().for_each(|word| hash.update(word.to_le_bytes()));
                    first_set = Some((set.min(part.len()), short_hex(hash)));
                }
            })?;
            if pass == 0 {
                self.bytes_up += answer.bytes_up;
                self.bytes_down += answer.bytes_down;
                self.rounds += 1;
            }
            for (i, (label, logits)) in part.labels.iter().zip(answer.logits.chunks_exact(model.classes())).enumerate() {
                let expected = model.logits(features.row(i))?;
                if logits != expected {
                    return Err(Error::Disagreement {
                        what: format!("logits of image {}", first + i),
                        expected: format!("{expected:?}"),
                        actual: format!("{logits:?}"),
                    });
                }
                if pass == 0 {
                    self.count(argmax(logits) == *label, argmax(logits) == argmax(&expected));
                }
            }
        }
        Ok(Digests { all: set.map(|_| short_hex(all)), first: first_set })
    }

    /// One batch through all stages. Its times are kept where the sampler says so.
    fn one_batch(
        &mut self,
        images: &Images,
        asked: &Asked,
        service: &mut dyn Service,
        begin: &mut dyn FnMut(Stage) -> Result<()>,
        digest: &mut dyn FnMut(&[u64]),
    ) -> Result<(Answer, crate::quantise::IntegerFeatures)> {
        let count = images.len();
        let (sample, clock) = (self.sampler.sample(), &self.clock);
        let time = |stage, phase, elapsed| StageTime { stage, phase, batch: sample, images: count as u32, elapsed, device_ns: clock.lap() };
        // Ahead of the images, each party what it can: fresh randomisers for this batch alone.
        let mut ahead = Vec::new();
        for what in service.ahead() {
            let stage = if *what == Ahead::Query { Stage::Encrypt } else { Stage::Evaluate };
            begin(stage)?;
            let watch = Stopwatch::start();
            service.make_ahead(*what, count)?;
            ahead.push(time(stage, Phase::Offline, watch.elapsed()));
        }
        let whole = self.sampler.begin();
        begin(Stage::Encode)?;
        let watch = Stopwatch::start();
        let features = asked.precision.features(&asked.features.extract(images)?)?;
        service.advance(Step::Encode(&Inputs::new(&features.values, features.width)?))?;
        let mut times = vec![time(Stage::Encode, Phase::Online, watch.elapsed())];
        let (mut bytes_up, mut bytes_down) = (0, 0);
        for (stage, step) in [
            (Stage::Encrypt, Step::Encrypt),
            (Stage::Upload, Step::Upload),
            (Stage::Evaluate, Step::Evaluate),
            (Stage::Download, Step::Download),
            (Stage::Decrypt, Step::Decrypt),
        ] {
            begin(stage)?;
            let watch = Stopwatch::start();
            service.advance(step)?;
            times.push(time(stage, Phase::Online, watch.elapsed()));
            match stage {
                Stage::Encrypt => bytes_up = service.bytes(),
                Stage::Download => {
                    bytes_down = service.bytes();
                    digest(service.answer_words());
                }
                _ => {}
            }
        }
        begin(Stage::Decode)?;
        let watch = Stopwatch::start();
        let logits = service.decode(count)?;
        times.push(time(Stage::Decode, Phase::Online, watch.elapsed()));
        if self.sampler.end(whole, count) {
            self.times.append(&mut ahead);
            self.times.append(&mut times);
        }
        Ok((Answer { logits, bytes_up, bytes_down }, features))
    }

    /// The row, complete.
    fn outcome(&self, planned: Outcome, about: &About, device: &Device) -> Outcome {
        let share = |count: usize| Some(count as f64 / self.images as f64);
        let product = about.product;
        let small = |bytes: u64| Some(u32::try_from(bytes).unwrap_or(u32::MAX));
        let Kept { samples, images, wall_ns, energy_uj } = self.sampler.kept;
        Outcome {
            method: product.map_or(planned.method, |p| p.method.into()),
            packing: product.map_or(1, |p| p.slots as u32),
            inputs_per_ciphertext: product.map(|p| p.inputs_per_ciphertext as u32),
            slot_bits: Some(about.slot_bits),
            accuracy: share(self.correct),
            agreement: share(self.agreeing),
            // What differs ends a spec with an error: logits from the integers', classes of the f32 layers from those of the collapsed map.
            verified: true,
            products: product.map(|p| p.multiplications as u64),
            key_bytes: about.sizes.map_or(planned.key_bytes, |s| small(s.key_bytes)),
            ciphertext_bytes: about.sizes.map_or(planned.ciphertext_bytes, |s| small(s.ciphertext_bytes)),
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            rounds: self.rounds,
            adapter: device.name.clone(),
            adapter_type: device.kind.name().into(),
            batch: Some(self.batch as u32),
            samples: Some(samples),
            timed_images: Some(images as u64),
            batches_ns: Some(wall_ns),
            energy_uj,
            ..planned
        }
    }
}

/// The results of a batch.
struct Answer {
    logits: Vec<i64>,
    bytes_up: u64,
    bytes_down: u64,
}

/// Products whose multiplications are issued at once to find the bound: about a millisecond.
const ISSUED_PRODUCTS: usize = 4000;

/// Times that they are issued; the fastest counts, because whatever disturbs makes a bound too low.
const ISSUED_TIMES: usize = 7;

/// The hardware's bound for the plan of a service: how many of its products a second the multipliers of all threads of the pool could do if they did nothing
/// else. The multiplications that the backend's own algorithm takes for the plan's mix of products and squares are issued, independent of each other, on all
/// threads at once ([`crate::backend::Bound`]). None where a backend does not know its multiplications.
///
/// Making randomisers, inverses and moving data are work of the evaluate stage, too, and not in it.
fn bound(service: &dyn Service) -> Option<f64> {
    let all = service.counts();
    let parts = all.total().div_ceil(ISSUED_PRODUCTS).max(1);
    let counts = Counts { products: all.products / parts, squares: all.squares / parts, lookups: all.lookups / parts };
    let multipliers = service.bound().filter(|_| counts.total() > 0)?;
    let times = (0..ISSUED_TIMES).map(|_| Stopwatch::time(|| rayon::broadcast(|_| multipliers.saturate_multipliers(counts))).1.wall_ns);
    let least = times.min().filter(|&ns| ns > 0)?;
    Some((rayon::current_num_threads() * counts.total()) as f64 * 1e9 / least as f64)
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

fn plain_device() -> Device {
    Device { name: machine::processor(), kind: DeviceKind::Cpu, detail: "plain Rust".into() }
}

fn short_hex(hash: Sha256) -> String {
    hex(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_for_other_images_is_refused() {
        let registry = crate::workload::registry::Registry::default();
        let features = FeatureMap::Pixels;
        let models = HashMap::from([(features, crate::model::embedded("digits", features).unwrap())]);
        let digits = crate::dataset::digits::test().unwrap();
        let spec = registry.parse("inference/clear/integer/digits/pixels-8-8/offline/10/1").unwrap();
        for (images, fits) in [(digits.clone(), true), (Images { max_pixel: 255, ..digits }, false)] {
            let means = Means { images, models: models.clone(), source: Source::default(), allow_toy: true, control: Control::default() };
            let mut bench = registry.workload("inference").unwrap().bench(&means);
            let measured = bench.run(&spec, Sampling::ONCE, &mut |_| Ok(()));
            assert_eq!(measured.is_ok(), fits);
            assert!(fits || matches!(measured, Err(Error::OtherData { .. })));
        }
    }

    #[test]
    fn a_wrong_class_of_the_float_network_is_caught() {
        assert!(check_class(1, &[0.0, 2.0, 1.9999], 0).is_ok());
        assert!(check_class(2, &[0.0, 2.0, 1.9999], 0).is_ok());
        assert!(matches!(check_class(0, &[0.0, 2.0, 1.9999], 0), Err(Error::Disagreement { .. })));
        assert!(check_class(3, &[0.0, 2.0, 1.9999], 0).is_err());
        assert!(check_class(0, &[f64::NAN, f64::NAN], 0).is_err());
    }
}
