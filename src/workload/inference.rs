//! Inference: test images through the stages of a scheme, every result checked against the quantised model in the clear.
//!
//! Timed is what each party does with its data, stage by stage; not timed are the check of the results and the bookkeeping. Wrong results give an error and no
//! times.

use std::cell::Cell;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{PackingChoice, PoolChoice, Protection, Sampling, Scenario, Spec};
use crate::backend::{self, Backend, BackendId, Device};
use crate::control::Control;
use crate::dataset::Images;
use crate::description::Description;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::machine::energy;
use crate::model::{TrainedModel, argmax};
use crate::plan::{Counts, Weights};
use crate::quantise::{IntegerModel, Precision};
use crate::randomness::Tape;
use crate::record::{Phase, Stage};
use crate::scheme::clear::Clear;
use crate::scheme::eivhe::Eivhe;
use crate::scheme::paillier::{Encryption, Evaluator, Layout, Options, Paillier, SecretKey};
use crate::scheme::{Inputs, LinearInference, LinearMap};
use crate::stopwatch::{Elapsed, Stopwatch};
use crate::text::hex;

/// A timed stage of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// The step.
    pub stage: Stage,
    /// When it happens.
    pub phase: Phase,
    /// Number of the sample, one for each batch whose times are kept.
    pub batch: u32,
    /// Images of the batch.
    pub images: u32,
    /// How long it took.
    pub elapsed: Elapsed,
    /// Nanoseconds of the device's kernels in that time, by its own clock; none where it has none or ran nothing.
    pub device_ns: Option<u64>,
}

/// Reads a backend's own clock stage by stage, outside of what is timed.
struct DeviceClock<'a> {
    backend: Option<&'a dyn Backend>,
    read: Cell<u64>,
}

impl<'a> DeviceClock<'a> {
    /// A clock that starts now; without a backend, or one without a clock, it tells nothing.
    fn start(backend: Option<&'a dyn Backend>) -> Self {
        Self { backend, read: Cell::new(backend.and_then(Backend::device_ns).unwrap_or(0)) }
    }

    /// Nanoseconds of kernels since the last reading, where there were any.
    fn lap(&self) -> Option<u64> {
        let now = self.backend?.device_ns()?;
        Some(now.saturating_sub(self.read.replace(now))).filter(|&ns| ns > 0)
    }
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
    /// Bytes of what the owner publishes and of the ciphertext of an image, where the spec alone does not tell.
    pub sizes: Option<Sizes>,
    /// What did the arithmetic.
    pub device: Device,
    /// Products of the plan a second that the multipliers of the row's threads allow, where that is known (`bound`).
    pub bound_products_per_second: Option<f64>,
    /// Images of a full batch.
    pub batch: usize,
    /// The kept batches as a whole.
    pub kept: Kept,
}

/// Sums over the batches whose times are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Batches.
    pub samples: u32,
    /// Images of them.
    pub images: usize,
    /// Wall time from the start of the first stage to the end of the last, summed: the stages and what the harness does between them.
    pub wall_ns: u64,
    /// Energy of processor and memory in that time, in microjoules, where the machine counts it.
    pub energy_uj: Option<u64>,
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

/// Bytes of public keys and ciphertexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Everything that the server or the public gets before the first query.
    pub key_bytes: u64,
    /// The ciphertext of one image.
    pub ciphertext_bytes: u64,
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

/// Hears of progress; an error ends the work. It is called from the pool's threads.
pub type Report<'a> = dyn FnMut(Progress) -> Result<()> + Send + 'a;

/// Samples after which no batch is repeated for the sake of time: more would fill files with what microseconds repeat.
const MOST_REPEATED: u32 = 1000;

/// Decides batch by batch what is kept, and when a spec has been measured for long enough. Times of
/// full batches alone are kept: what is left over at the end of a pass is verified like the rest,
/// but fills its ciphertexts badly.
struct Pace {
    sampling: Sampling,
    /// Images of a full batch.
    full: usize,
    energy: Option<energy::Counter>,
    /// Online time of all batches.
    online_ns: u64,
    kept: Kept,
    begun: Option<energy::Reading>,
}

impl Pace {
    fn new(sampling: Sampling, full: usize) -> Self {
        let energy = energy::Counter::open();
        let kept = Kept { energy_uj: energy.is_some().then_some(0), ..Kept::default() };
        Self { sampling, full, energy, online_ns: 0, kept, begun: None }
    }

    /// Number of the sample that the next batch gives, should it be kept.
    fn sample(&self) -> u32 {
        self.kept.samples
    }

    /// A batch is about to begin.
    fn begin(&mut self) -> Stopwatch {
        self.begun = self.energy.as_ref().and_then(energy::Counter::read);
        Stopwatch::start()
    }

    /// A batch has ended: whether its times are kept.
    fn end(&mut self, watch: Stopwatch, images: usize) -> bool {
        let wall_ns = watch.elapsed().wall_ns;
        let energy_uj = self.energy.as_ref().zip(self.begun.take()).and_then(|(counter, begun)| counter.since(&begun));
        let keep = images == self.full && self.online_ns >= u64::from(self.sampling.warm_up_ms) * 1_000_000;
        self.online_ns += wall_ns;
        if keep {
            self.kept.samples += 1;
            self.kept.images += images;
            self.kept.wall_ns += wall_ns;
            // One reading that fails leaves no sum.
            self.kept.energy_uj = self.kept.energy_uj.zip(energy_uj).map(|(sum, uj)| sum + uj);
        }
        keep
    }

    /// Whether enough was measured, once every image was worked on.
    fn is_enough(&self) -> bool {
        let ns = |ms: u32| u64::from(ms) * 1_000_000;
        let long = self.kept.wall_ns >= ns(self.sampling.least_ms) || self.kept.samples >= MOST_REPEATED;
        let reached = self.kept.samples >= self.sampling.least_samples && long;
        // What is not kept at all is not measured.
        reached || (self.kept.samples > 0 && self.sampling.most_ms > 0 && self.online_ns >= ns(self.sampling.most_ms))
    }
}

/// Test images and models, and the keys made so far: specs of one run share them.
pub struct Bench {
    images: Images,
    models: HashMap<FeatureMap, TrainedModel>,
    maps: HashMap<(FeatureMap, Precision), LinearMap>,
    keys: HashMap<(u32, u64), (SecretKey, Elapsed)>,
    allow_toy: bool,
    control: Control,
}

impl Bench {
    /// `images` is the test set, `models` one trained model for each feature map in use. `control` can stop the work.
    #[must_use]
    pub fn new(images: Images, models: HashMap<FeatureMap, TrainedModel>, allow_toy: bool, control: Control) -> Self {
        Self { images, models, maps: HashMap::new(), keys: HashMap::new(), allow_toy, control }
    }

    /// Images of the test set.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The quantised model of a feature map.
    ///
    /// # Errors
    /// When there is no model, it is for images of another kind, or the precision is out of range.
    pub fn integer_model(&self, features: FeatureMap, precision: Precision) -> Result<IntegerModel> {
        IntegerModel::new(&self.model(features)?.network.collapse(), precision, precision.default_clip(features))
    }

    fn model(&self, features: FeatureMap) -> Result<&TrainedModel> {
        let model = self
            .models
            .get(&features)
            .ok_or_else(|| Error::Unsupported { subject: "this run".into(), feature: format!("{} without a trained model", features.name()) })?;
        let Images { rows, cols, max_pixel: white, .. } = self.images;
        let images = Description { rows, cols, white, ..Description::default() };
        model.origin.data().check_pixels(&format!("the model for {features}"), &images, "the test set")?;
        Ok(model)
    }

    /// Runs one spec.
    ///
    /// # Errors
    /// [`Error::Disagreement`] when a result differs from the quantised model's; whatever the stages report; [`Error::Interrupted`] through `report`.
    pub fn run(&mut self, spec: &Spec, sampling: Sampling, report: &mut Report<'_>) -> Result<Measured> {
        match spec.threads {
            None => self.run_here(spec, sampling, report),
            Some(threads) => thread_pool(threads)?.install(|| self.run_here(spec, sampling, report)),
        }
    }

    fn run_here(&mut self, spec: &Spec, sampling: Sampling, report: &mut Report<'_>) -> Result<Measured> {
        if spec.images == 0 || spec.images > self.images.len() {
            return Err(Error::OutOfRange {
                what: "number of images",
                value: spec.images.to_string(),
                allowed: format!("1 to {}", self.images.len()),
            });
        }
        let model = self.integer_model(spec.features, spec.precision)?;
        match spec.protection {
            Protection::ClearFloat => self.run_float(spec, sampling, &model, report),
            Protection::ClearInteger => {
                let map = self.linear_map(spec, &model)?;
                let batch = batch(spec, spec.images);
                let (times, device) = (Vec::new(), plain_device());
                let job = Job { batch, set: None, slot_bits: map.result_bits(), times, product: None, sizes: None, device, backend: None };
                self.drive(spec, sampling, &model, Clear::new(map), job, report)
            }
            Protection::Eivhe { setting, route } => {
                report(Progress { stage: Stage::Prepare, done: 0, images: spec.images })?;
                let map = self.linear_map(spec, &model)?;
                let slot_bits = map.result_bits();
                let (service, prepare) = Stopwatch::time(|| Eivhe::new(map, setting, route, Tape::replayable(spec.seed)));
                let service = service?;
                let sizes = Sizes { key_bytes: service.key_bytes(), ciphertext_bytes: service.ciphertext_bytes() };
                let inputs_per_ciphertext = service.parameters().dimension;
                let product = Product { method: setting.method(route), multiplications: service.products(), slots: 1, inputs_per_ciphertext };
                let prepare =
                    StageTime { stage: Stage::Prepare, phase: Phase::Setup, batch: 0, images: spec.images as u32, elapsed: prepare, device_ns: None };
                let (batch, times) = (batch(spec, VECTORS_PER_BATCH), vec![prepare]);
                let (product, device) = (Some(product), plain_device());
                let job = Job { batch, set: Some(1), slot_bits, times, product, sizes: Some(sizes), device, backend: None };
                self.drive(spec, sampling, &model, service, job, report)
            }
            Protection::Paillier { backend, key_bits, method, encryption, packing, rerandomisation, table_mib } => {
                let start = Progress { stage: Stage::Keygen, done: 0, images: spec.images };
                report(start)?;
                let (secret, keygen) = self.key(key_bits, spec.seed)?;
                report(Progress { stage: Stage::Prepare, ..start })?;
                let backend = backend::open_under(backend, &self.control)?;
                let map = self.linear_map(spec, &model)?;
                let layout = layout(spec.scenario, packing)?;
                let options = Options { encryption, method, layout, rerandomisation, images: spec.images, table_bytes: u64::from(table_mib) << 20 };
                let clock = DeviceClock::start(Some(backend.as_ref()));
                let (service, prepare) = Stopwatch::time(|| Paillier::new(backend.as_ref(), &secret, map, options, Tape::replayable(spec.seed)));
                let (service, prepare_device) = (service?, clock.lap());
                let setup =
                    |stage, elapsed, device_ns| StageTime { stage, phase: Phase::Setup, batch: 0, images: spec.images as u32, elapsed, device_ns };
                let arrangement = service.arrangement();
                let slots = arrangement.images();
                let product = Product {
                    method: service.evaluator().method().name(),
                    multiplications: service.evaluator().products(),
                    slots,
                    inputs_per_ciphertext: arrangement.inputs_per_ciphertext(),
                };
                let batch = batch(spec, slots * sets_per_batch(backend.id(), encryption));
                let times = vec![setup(Stage::Keygen, keygen, None), setup(Stage::Prepare, prepare, prepare_device)];
                let slot_bits = arrangement.result_bits();
                let (product, device) = (Some(product), backend.device());
                let job = Job { batch, set: Some(slots), slot_bits, times, product, sizes: None, device, backend: Some(backend) };
                let bound = bound(service.evaluator());
                let measured = self.drive(spec, sampling, &model, service, job, report)?;
                Ok(Measured { bound_products_per_second: bound, ..measured })
            }
        }
    }

    /// The map of a spec's model; its plans are made once.
    fn linear_map(&mut self, spec: &Spec, model: &IntegerModel) -> Result<LinearMap> {
        let key = (spec.features, spec.precision);
        if let Some(map) = self.maps.get(&key) {
            return Ok(map.clone());
        }
        let map = linear_map(model)?;
        self.maps.insert(key, map.clone());
        Ok(map)
    }

    fn key(&mut self, bits: u32, seed: u64) -> Result<(SecretKey, Elapsed)> {
        if let Some((secret, elapsed)) = self.keys.get(&(bits, seed)) {
            return Ok((secret.clone(), *elapsed));
        }
        let (secret, elapsed) = Stopwatch::time(|| SecretKey::generate(bits, false, self.allow_toy, &Tape::replayable(seed), &self.control));
        let secret = secret?;
        self.keys.insert((bits, seed), (secret.clone(), elapsed));
        Ok((secret, elapsed))
    }

    fn run_float(&self, spec: &Spec, sampling: Sampling, model: &IntegerModel, report: &mut Report<'_>) -> Result<Measured> {
        let network = &self.model(spec.features)?.network;
        let collapsed = network.collapse();
        let batch = batch(spec, spec.images);
        let mut result = Measured::empty(plain_device(), batch);
        let mut pace = Pace::new(sampling, batch);
        for (pass, first) in passes(spec.images, batch) {
            if pass > 0 && pace.is_enough() {
                break;
            }
            let images = self.images.part(first, batch.min(spec.images - first));
            report(Progress { stage: Stage::Evaluate, done: if pass == 0 { first } else { spec.images }, images: spec.images })?;
            let whole = pace.begin();
            let (features, encode) = Stopwatch::time(|| spec.features.extract(&images));
            let features = features?;
            let (classes, evaluate) = Stopwatch::time(|| network.classify(&features));
            let sample = pace.sample();
            if pace.end(whole, images.len()) {
                let stage =
                    |stage, elapsed| StageTime { stage, phase: Phase::Online, batch: sample, images: images.len() as u32, elapsed, device_ns: None };
                result.times.extend([stage(Stage::Encode, encode), stage(Stage::Evaluate, evaluate)]);
            }
            let truth = model.classify(&spec.precision.features(&features)?)?;
            for (i, ((class, truth), label)) in classes?.into_iter().zip(truth).zip(&images.labels).enumerate() {
                check_class(class, &collapsed.logits(features.row(i))?, first + i)?;
                if pass == 0 {
                    result.images += 1;
                    result.correct += usize::from(class == *label);
                    result.agreeing += usize::from(class == truth);
                }
            }
        }
        result.kept = pace.kept;
        Ok(result)
    }

    fn drive<S: LinearInference>(
        &self,
        spec: &Spec,
        sampling: Sampling,
        model: &IntegerModel,
        mut service: S,
        job: Job,
        report: &mut Report<'_>,
    ) -> Result<Measured> {
        let mut result = Measured {
            times: job.times,
            product: job.product,
            sizes: job.sizes,
            slot_bits: Some(job.slot_bits),
            ..Measured::empty(job.device, job.batch)
        };
        let mut digest = Sha256::new();
        let classes = model.classes();
        let clock = DeviceClock::start(job.backend.as_deref());
        let mut pace = Pace::new(sampling, job.batch);
        for (number, (pass, first)) in passes(spec.images, job.batch).enumerate() {
            if pass > 0 && pace.is_enough() {
                break;
            }
            let images = self.images.part(first, job.batch.min(spec.images - first));
            let count = images.len();
            let sample = pace.sample();
            let (mut times, mut ahead) = (Vec::new(), Vec::new());
            let step = |stage: Stage, report: &mut Report<'_>| -> Result<Stopwatch> {
                report(Progress { stage, done: if pass == 0 { first } else { spec.images }, images: spec.images })?;
                Ok(Stopwatch::start())
            };
            let mut done = |stage: Stage, watch: Stopwatch| {
                let elapsed = watch.elapsed();
                times.push(StageTime { stage, phase: Phase::Online, batch: sample, images: count as u32, elapsed, device_ns: clock.lap() });
            };
            // Ahead of the images, each party what it can: fresh randomisers for this batch alone.
            if spec.pool == PoolChoice::Both {
                let watch = step(Stage::Encrypt, report)?;
                service.prepare_query(count)?;
                ahead.push((Stage::Encrypt, watch.elapsed(), clock.lap()));
            }
            if spec.pool != PoolChoice::None {
                let watch = step(Stage::Evaluate, report)?;
                service.prepare_answer(count)?;
                ahead.push((Stage::Evaluate, watch.elapsed(), clock.lap()));
            }
            let whole = pace.begin();
            let watch = step(Stage::Encode, report)?;
            let features = spec.precision.features(&spec.features.extract(&images)?)?;
            let plaintexts = service.encode(&Inputs::new(&features.values, features.width)?)?;
            done(Stage::Encode, watch);
            let watch = step(Stage::Encrypt, report)?;
            let query = service.encrypt(plaintexts)?;
            done(Stage::Encrypt, watch);
            let query_bytes = service.query_bytes(&query);
            let watch = step(Stage::Upload, report)?;
            let loaded = service.upload(query)?;
            done(Stage::Upload, watch);
            let watch = step(Stage::Evaluate, report)?;
            let evaluated = service.evaluate(loaded)?;
            done(Stage::Evaluate, watch);
            let watch = step(Stage::Download, report)?;
            let answer = service.download(evaluated)?;
            done(Stage::Download, watch);
            let answer_bytes = service.answer_bytes(&answer);
            // The first pass alone is the same on every backend, however many follow.
            if let (Some(set), 0) = (job.set, pass) {
                let words = service.answer_words(&answer);
                words.iter().for_each(|word| digest.update(word.to_le_bytes()));
                if number == 0 {
                    let mut first_set = Sha256::new();
                    words[..words.len() / count.div_ceil(set)].iter().for_each(|word| first_set.update(word.to_le_bytes()));
                    result.first_digest = Some((set.min(count), short_hex(first_set)));
                }
            }
            let watch = step(Stage::Decrypt, report)?;
            let decrypted = service.decrypt(answer)?;
            done(Stage::Decrypt, watch);
            let watch = step(Stage::Decode, report)?;
            let logits = service.decode(decrypted, count)?;
            done(Stage::Decode, watch);
            if pace.end(whole, count) {
                let offline =
                    |(stage, elapsed, device_ns)| StageTime { stage, phase: Phase::Offline, batch: sample, images: count as u32, elapsed, device_ns };
                result.times.extend(ahead.into_iter().map(offline));
                result.times.append(&mut times);
            }

            if pass == 0 {
                result.bytes_up += query_bytes;
                result.bytes_down += answer_bytes;
                result.rounds += 1;
            }
            for (i, (label, logits)) in images.labels.iter().zip(logits.chunks_exact(classes)).enumerate() {
                let expected = model.logits(features.row(i))?;
                if logits != expected {
                    return Err(Error::Disagreement {
                        what: format!("logits of image {}", first + i),
                        expected: format!("{expected:?}"),
                        actual: format!("{logits:?}"),
                    });
                }
                if pass == 0 {
                    result.images += 1;
                    result.correct += usize::from(argmax(logits) == *label);
                    result.agreeing += usize::from(argmax(logits) == argmax(&expected));
                }
            }
        }
        result.kept = pace.kept;
        result.digest = job.set.map(|_| short_hex(digest));
        Ok(result)
    }

    /// What a spec sends and needs, without running it.
    ///
    /// # Errors
    /// When the model or the packing does not fit.
    pub fn size(&self, spec: &Spec) -> Result<Size> {
        let map = linear_map(&self.integer_model(spec.features, spec.precision)?)?;
        let inputs = map.weights().cols();
        let (backend, key_bits, encryption, packing) = match spec.protection {
            Protection::Paillier { backend, key_bits, encryption, packing, .. } => (backend, key_bits, encryption, packing),
            Protection::Eivhe { .. } => return Ok(Size { inputs, ciphertexts: 1, results: 1, set: 1, batch: batch(spec, VECTORS_PER_BATCH) }),
            Protection::ClearFloat | Protection::ClearInteger => {
                return Ok(Size { inputs, ciphertexts: 0, results: 0, set: 1, batch: batch(spec, spec.images) });
            }
        };
        let arrangement = layout(spec.scenario, packing)?.arrange(key_bits, &map)?;
        let set = arrangement.images();
        let batch = batch(spec, set * sets_per_batch(backend, encryption));
        Ok(Size { inputs, ciphertexts: arrangement.ciphertexts(&map), results: arrangement.results(&map), set, batch })
    }
}

/// Images of integer-vector ciphertexts worked on at once: enough to read a key-switching matrix seldom, few enough that progress shows and Ctrl-C is heard.
const VECTORS_PER_BATCH: usize = 500;

/// How large a spec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Inputs of the model.
    pub inputs: usize,
    /// Ciphertexts of a set to the server.
    pub ciphertexts: usize,
    /// Ciphertexts of a set back.
    pub results: usize,
    /// Images of a set.
    pub set: usize,
    /// Images worked on at once.
    pub batch: usize,
}

/// Products whose multiplications are issued at once to find the bound: about a millisecond.
const ISSUED_PRODUCTS: usize = 4000;

/// Times that they are issued; the fastest counts, because whatever disturbs makes a bound too low.
const ISSUED_TIMES: usize = 7;

/// The hardware's bound for the plan of an evaluator: how many of its products a second the multipliers of all threads of the pool could do if they did nothing
/// else. The multiplications that the backend's own algorithm takes for the plan's mix of products and squares are issued, independent of each other, on all
/// threads at once ([`crate::backend::Bound`]). None where a backend does not know its multiplications.
///
/// Making randomisers, inverses and moving data are work of the evaluate stage, too, and not in it.
fn bound(evaluator: &Evaluator) -> Option<f64> {
    let all = evaluator.counts();
    let parts = all.total().div_ceil(ISSUED_PRODUCTS).max(1);
    let counts = Counts { products: all.products / parts, squares: all.squares / parts, lookups: all.lookups / parts };
    let multipliers = evaluator.bound().filter(|_| counts.total() > 0)?;
    let times = (0..ISSUED_TIMES).map(|_| Stopwatch::time(|| rayon::broadcast(|_| multipliers.saturate_multipliers(counts))).1.wall_ns);
    let least = times.min().filter(|&ns| ns > 0)?;
    Some((rayon::current_num_threads() * counts.total()) as f64 * 1e9 / least as f64)
}

/// The first images of all batches, pass after pass without an end. The first pass alone has what
/// is left over where images are no multiple of a batch.
fn passes(images: usize, batch: usize) -> impl Iterator<Item = (usize, usize)> {
    let batch = batch.clamp(1, images.max(1));
    let end = move |pass: usize| if pass == 0 { images } else { images - images % batch };
    (0..).flat_map(move |pass| (0..end(pass)).step_by(batch).map(move |first| (pass, first)))
}

/// Images worked on at once: what the spec says, else `default`.
fn batch(spec: &Spec, default: usize) -> usize {
    match spec.scenario {
        Scenario::Single => 1,
        Scenario::Offline => spec.batch.unwrap_or(default).clamp(1, spec.images),
    }
}

/// A pool of its own for a spec that names its number of threads.
pub(super) fn thread_pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::Unsupported { subject: "this system".into(), feature: format!("a pool of {threads} threads: {e}") })
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
    sizes: Option<Sizes>,
    device: Device,
    /// What did the arithmetic and may have a clock of its own.
    backend: Option<Box<dyn Backend>>,
}

impl Measured {
    fn empty(device: Device, batch: usize) -> Self {
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
            sizes: None,
            device,
            bound_products_per_second: None,
            batch,
            kept: Kept::default(),
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
        // A GPU needs many numbers at once, whatever the number of threads beside it: all of MNIST's test images where they share ciphertexts.
        (BackendId::Gpu, _) => 128,
        (BackendId::Gmp, _) | (_, Encryption::Standard) => 2 * threads,
        _ => 8 * threads,
    }
}

fn plain_device() -> Device {
    Device { name: crate::machine::processor(), kind: backend::DeviceKind::Cpu, detail: "plain Rust".into() }
}

fn short_hex(hash: Sha256) -> String {
    hex(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_left_over_are_worked_on_once_and_leave_no_time() {
        let batches: Vec<(usize, usize)> = passes(408, 372).take(4).collect();
        assert_eq!(batches, [(0, 0), (0, 372), (1, 0), (2, 0)]);
        assert_eq!(passes(5, 9).take(2).collect::<Vec<_>>(), [(0, 0), (1, 0)]);
        let mut pace = Pace::new(Sampling::ONCE, 372);
        for (images, kept) in [(372, true), (36, false), (372, true)] {
            let watch = pace.begin();
            assert_eq!(pace.end(watch, images), kept);
        }
        assert_eq!((pace.kept.samples, pace.kept.images), (2, 744));
    }

    #[test]
    fn a_model_for_other_images_is_refused() {
        let features = FeatureMap::Pixels;
        let models = HashMap::from([(features, crate::model::embedded("digits", features).unwrap())]);
        let digits = crate::dataset::digits::test().unwrap();
        for (images, fits) in [(digits.clone(), true), (Images { max_pixel: 255, ..digits }, false)] {
            let bench = Bench::new(images, models.clone(), true, Control::default());
            let model = bench.integer_model(features, Precision::default_for(features));
            assert_eq!(model.is_ok(), fits);
            assert!(fits || matches!(model, Err(Error::OtherData { .. })));
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
