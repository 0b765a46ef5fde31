//! Measurement: runs specs, turns what they measured into records, and writes where the numbers come from.

mod training;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::backend::{self, BackendId, DeviceKind};
use crate::description::Description;
use crate::durable::{RESULTS, read_text};
use crate::error::{Error, Result};
use crate::machine;
use crate::plan::matvec::Method;
use crate::record::journal::{Entry, FirstDigest, Journal};
use crate::record::leakage::{self, Experiment, Leak};
use crate::record::{Outcome, RUN, Records, Sample};
use crate::scheme::paillier::{MINIMUM_BITS, security_bits};
use crate::stopwatch::{Elapsed, Stopwatch, timestamp};
use crate::text::hex;
use crate::workload::inference::{Bench, Measured, Report};
use crate::workload::{Protection, Sampling, Spec};
pub use training::{training_definition, training_row_id};

/// Source revision of this program; `-dirty` when the source differed from it.
pub const REVISION: &str = env!("CIPHERLANE_REVISION");

const COMPILER: &str = env!("CIPHERLANE_RUSTC");
const PROFILE: &str = env!("CIPHERLANE_PROFILE");

/// Why numbers of this build may not be quoted as results; empty when they may.
#[must_use]
pub fn unpublishable() -> Vec<String> {
    reasons(REVISION, COMPILER, PROFILE, cfg!(debug_assertions))
}

fn reasons(revision: &str, compiler: &str, profile: &str, debug: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut because = |holds: bool, reason: &str| reasons.extend(holds.then(|| reason.to_owned()));
    because(revision == "unknown", "the source revision is unknown");
    because(revision.ends_with("-dirty"), "the source differs from its revision");
    because(compiler == "unknown", "the compiler is unknown");
    because(debug || profile == "unknown" || profile.ends_with("opt-level 0"), "the build is not optimised as a release");
    reasons
}

/// Identity of what is measured, whatever program measures it: the same on every machine, so that
/// shards can share a sweep by it. A spec and its dataset name the model that comes with the
/// program; any other model is part of the identity by its digest.
#[must_use]
pub fn definition(spec: &Spec, sampling: Sampling, source: &Source) -> String {
    let (spec_text, sampling) = (spec.to_string(), sampling.to_string());
    let mut lines = vec!["cipherlane definition 1", &spec_text, &sampling, &source.data.dataset_sha256];
    lines.extend(source.model(spec).filter(|model| !model.embedded).map(|model| model.sha256.as_str()));
    short_hash(&lines)
}

/// Identity of a row: its definition, this program, and the number of threads. A row of this identity need not be measured again.
#[must_use]
pub fn row_id(spec: &Spec, sampling: Sampling, source: &Source) -> String {
    let threads = spec.threads.unwrap_or_else(rayon::current_num_threads).to_string();
    let program = [REVISION, COMPILER, env!("CIPHERLANE_FLAGS"), PROFILE, env!("CIPHERLANE_TARGET"), env!("CIPHERLANE_RUG")].join("\n");
    short_hash(&["cipherlane row 1", &definition(spec, sampling, source), &program, &threads])
}

/// First 16 hex digits of the SHA-256 of some lines.
fn short_hash(lines: &[&str]) -> String {
    hex(&Sha256::digest(lines.join("\n"))[..8])
}

/// One run: specs measured by one process on one machine.
pub struct Run {
    id: String,
    started: String,
    load_at_start: Option<f64>,
    source: Source,
    records: Records,
    /// Digest of the first set of results by everything that determines it but backend and plan.
    first_digests: Vec<FirstDigest>,
}

impl Run {
    /// Starts a run.
    #[must_use]
    pub fn start(source: Source) -> Self {
        let started = timestamp();
        // An identity, not a secret: without the system's randomness the time and the process do.
        let id = getrandom::u32().unwrap_or_else(|_| std::process::id());
        let id = format!("{}-{id:08x}", &started[..10]);
        Self { id, started, load_at_start: machine::load_average(), source, records: Records::default(), first_digests: Vec::new() }
    }

    /// Runs one spec and returns what came of it. A failure becomes an error row without times;
    /// only [`Error::Interrupted`] is passed on.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn row(&mut self, bench: &mut Bench, spec: &Spec, sampling: Sampling, report: &mut Report<'_>) -> Result<Entry> {
        let (result, surroundings) = Surroundings::of(|| bench.run(spec, sampling, report));
        let mut first_digest = None;
        let result = result.and_then(|measured| {
            first_digest = self.check_first_digest(spec, &measured)?;
            Ok(measured)
        });
        let mut outcome = match &result {
            Ok(measured) => self.outcome(spec, sampling, measured),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => Outcome { error: Some(error.to_string()), ..self.blank(spec, sampling) },
        };
        surroundings.note_in(&mut outcome);
        let blank = Sample::blank(&outcome, &machine::processor());
        let times = result.map(|measured| measured.times).unwrap_or_default();
        let samples = times.iter().map(|time| Sample {
            stage: time.stage,
            phase: time.phase,
            sample: time.batch,
            items: time.images,
            wall_ns: time.elapsed.wall_ns,
            cpu_ns: time.elapsed.cpu_ns,
            device_ns: time.device_ns,
            ..blank.clone()
        });
        Ok(Entry { samples: samples.collect(), first_digest, outcome, curve: Vec::new(), operations: Vec::new() })
    }

    /// Keeps a row among the records of this run.
    pub fn add(&mut self, row: Entry) {
        self.records.add(row);
    }

    /// Remembers a row of an earlier process, so that later rows are compared with it.
    pub fn recall(&mut self, entry: &Entry) {
        self.first_digests.extend(entry.first_digest.clone());
    }

    /// Equal keys, images and randomness must give equal ciphertexts on every backend and by every plan.
    fn check_first_digest(&mut self, spec: &Spec, measured: &Measured) -> Result<Option<FirstDigest>> {
        let (Some((images, digest)), Protection::Paillier { backend, key_bits, encryption, method, rerandomisation, table_mib, .. }) =
            (measured.first_digest.clone(), spec.protection)
        else {
            return Ok(None);
        };
        let (slots, per_ciphertext) = measured.product.map_or((0, 0), |p| (p.slots, p.inputs_per_ciphertext));
        // The number of images decides the widths of tables and so the bases of the server.
        let inputs = format!(
            "{key_bits} {encryption} {slots} {per_ciphertext} {} {table_mib} {} {} {} {:?} {} {}",
            rerandomisation.name(),
            spec.images,
            spec.dataset,
            spec.features.name(),
            spec.precision,
            spec.seed,
            self.source.model(spec).map_or("", |model| &model.sha256)
        );
        let who = format!("{backend} {}", method.map_or("auto", Method::name));
        if let Some(other) = self.first_digests.iter().find(|d| d.inputs == inputs && d.images == images)
            && other.digest != digest
        {
            return Err(Error::Disagreement {
                what: format!("result ciphertexts of {who}"),
                expected: format!("{} ({})", other.digest, other.who),
                actual: digest,
            });
        }
        let first = FirstDigest { inputs, images, digest, who };
        self.first_digests.push(first.clone());
        Ok(Some(first))
    }

    /// The row that a spec will leave, as far as it is known before it runs.
    #[must_use]
    pub fn planned(&self, spec: &Spec, sampling: Sampling) -> Outcome {
        self.blank(spec, sampling)
    }

    fn blank(&self, spec: &Spec, sampling: Sampling) -> Outcome {
        let (scheme, backend, method, key_bits, encryption, rerandomisation) = match spec.protection {
            Protection::ClearFloat => ("clear", "native", "float", None, "none", "none"),
            Protection::ClearInteger => ("clear", "native", "integer", None, "none", "none"),
            Protection::Paillier { backend, key_bits, method, encryption, rerandomisation, .. } => {
                let method = method.map_or("auto", Method::name);
                ("paillier", backend.name(), method, Some(key_bits), encryption.name(), rerandomisation.name())
            }
            Protection::Eivhe { setting, route } => ("eivhe", "native", setting.method(route), None, setting.encryption().name(), "none"),
        };
        let float = spec.protection == Protection::ClearFloat;
        let on_gpu = matches!(spec.protection, Protection::Paillier { backend: BackendId::Gpu, .. });
        Outcome {
            spec: spec.to_string(),
            workload: "inference".into(),
            scheme: scheme.into(),
            backend: backend.into(),
            dataset: spec.dataset.clone(),
            features: spec.features.name().into(),
            key_bits,
            method: method.into(),
            encryption: encryption.into(),
            packing: 1,
            feature_bits: (!float).then_some(spec.precision.feature_bits),
            weight_bits: (!float).then_some(spec.precision.weight_bits),
            scenario: spec.scenario.name().into(),
            division: spec.division().name().into(),
            threads: spec.threads.unwrap_or_else(rayon::current_num_threads) as u32,
            images: spec.images as u32,
            security_bits: match spec.protection {
                Protection::Eivhe { setting, .. } => Some(setting.security_bits()),
                _ => key_bits.map(security_bits),
            },
            // What a row on another device would have run on is not known before it is opened.
            adapter: if on_gpu { String::new() } else { machine::processor() },
            adapter_type: if on_gpu { "" } else { DeviceKind::Cpu.name() }.into(),
            run_id: self.id.clone(),
            revision: REVISION.into(),
            row_id: row_id(spec, sampling, &self.source),
            rerandomisation: rerandomisation.into(),
            key_bytes: key_bits.map(|bits| bits.div_ceil(8)),
            ciphertext_bytes: key_bits.map(|bits| (2 * bits).div_ceil(8)),
            compiler: COMPILER.into(),
            publishable: Some(false),
            dataset_sha256: self.source.data.dataset_sha256.clone(),
            model_sha256: self.source.model(spec).map(|model| model.sha256.clone()).unwrap_or_default(),
            ..Outcome::default()
        }
    }

    fn outcome(&self, spec: &Spec, sampling: Sampling, measured: &Measured) -> Outcome {
        let share = |count: usize| Some(count as f64 / measured.images as f64);
        let blank = self.blank(spec, sampling);
        let product = measured.product;
        let toy = blank.key_bits.is_some_and(|bits| bits < MINIMUM_BITS);
        Outcome {
            method: product.map_or(blank.method, |p| p.method.into()),
            packing: product.map_or(1, |p| p.slots as u32),
            inputs_per_ciphertext: product.map(|p| p.inputs_per_ciphertext as u32),
            slot_bits: measured.slot_bits,
            accuracy: share(measured.correct),
            agreement: share(measured.agreeing),
            // What differs ends a spec with an error: logits from the integers', classes of the f32 layers from those of the collapsed map.
            verified: true,
            products: product.map(|p| p.multiplications as u64),
            key_bytes: measured.sizes.map_or(blank.key_bytes, |s| Some(u32::try_from(s.key_bytes).unwrap_or(u32::MAX))),
            ciphertext_bytes: measured.sizes.map_or(blank.ciphertext_bytes, |s| Some(u32::try_from(s.ciphertext_bytes).unwrap_or(u32::MAX))),
            bytes_up: measured.bytes_up,
            bytes_down: measured.bytes_down,
            rounds: measured.rounds,
            peak_rss_bytes: machine::peak_rss_bytes(),
            digest: measured.digest.clone(),
            adapter: measured.device.name.clone(),
            adapter_type: measured.device.kind.name().into(),
            batch: Some(measured.batch as u32),
            samples: Some(measured.kept.samples),
            timed_images: Some(measured.kept.images as u64),
            batches_ns: Some(measured.kept.wall_ns),
            energy_uj: measured.kept.energy_uj,
            bound_products_per_second: measured.bound_products_per_second,
            publishable: Some(!toy && unpublishable().is_empty()),
            ..blank
        }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its data comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What was measured so far.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Writes records and provenance into `dir`, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let provenance = Provenance { finished: Some(timestamp()), ..self.provenance(&self.records) };
        self.records.write(dir, &to_toml(&dir.join(RUN), &provenance)?)
    }

    /// Names of this run that rows of experiments carry: identity, revision, processor and threads.
    #[must_use]
    pub fn leak(&self) -> Leak {
        Leak {
            threads: rayon::current_num_threads() as u32,
            cpu: machine::processor(),
            run_id: self.id.clone(),
            revision: REVISION.into(),
            ..Leak::default()
        }
    }

    /// Writes the rows of an experiment on leakage into `dir`, which is made if need be, and where they come from. Other experiments may share the folder: its
    /// run.toml then names their runs as earlier ones.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_leakage(&self, dir: &Path, experiment: Experiment, rows: &[Leak]) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let path = dir.join(RUN);
        let mut earlier = Vec::new();
        if path.exists() {
            let there = read_text(&path, RESULTS)?.parse();
            let mut there: toml::Table =
                there.map_err(|e: toml::de::Error| Error::file(&path, "where the other experiments come from", e.message()))?;
            if let Some(toml::Value::Array(runs)) = there.remove("earlier") {
                earlier.extend(runs.into_iter().filter_map(|run| if let toml::Value::Table(run) = run { Some(run) } else { None }));
            }
            earlier.push(there);
        }
        let provenance = Provenance { finished: Some(timestamp()), earlier, ..self.provenance(&Records::default()) };
        leakage::write(dir, experiment, rows, &to_toml(&path, &provenance)?)
    }

    /// Stores in a journal where the rows of this run come from; again at its end, with the time.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn note_in(&self, journal: &Journal, finished: bool) -> Result<()> {
        let provenance = Provenance { finished: finished.then(timestamp), ..self.provenance(&Records::default()) };
        journal.add_run(&self.id, &to_toml(Path::new(RUN), &provenance)?)
    }

    /// Writes the records of a journal's rows into `dir`, with where they come from: this run, and before it all others that left rows or were stopped.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn assemble(&self, journal: &Journal, dir: &Path, records: &Records) -> Result<()> {
        let path = dir.join(RUN);
        // Where nothing was left to do, the file of the process that did the work stays.
        let there = read_text(&path, RESULTS).unwrap_or_default();
        if records.outcomes.iter().all(|o| o.run_id != self.id && there.contains(&o.run_id)) && !there.is_empty() {
            return records.write(dir, &there);
        }
        let mut earlier: Vec<toml::Table> = journal.runs()?.iter().filter_map(|text| text.parse().ok()).collect();
        earlier.retain(|run: &toml::Table| run.get("run_id").and_then(toml::Value::as_str).is_some_and(|id| id != self.id));
        let time = |run: &toml::Table| run.get("started").map(ToString::to_string);
        earlier.sort_by_key(time);
        let provenance = Provenance { finished: Some(timestamp()), earlier, ..self.provenance(records) };
        records.write(dir, &to_toml(&path, &provenance)?)
    }

    fn provenance(&self, records: &Records) -> Provenance<'_> {
        let gmp = backend::open(BackendId::Gmp).map(|b| b.device().detail).unwrap_or_default();
        let mut reasons = unpublishable();
        let mut because = |holds: bool, reason: &str| reasons.extend(holds.then(|| reason.to_owned()));
        because(records.outcomes.iter().any(|o| o.key_bits.is_some_and(|bits| bits < MINIMUM_BITS)), "a key is a toy");
        because(records.outcomes.iter().any(|o| !o.verified), "a row failed");
        because(records.outcomes.iter().any(|o| o.revision != REVISION), "rows come from several revisions");
        Provenance {
            run_id: self.id.clone(),
            publishable: reasons.is_empty(),
            not_publishable_because: reasons,
            disturbed_rows: records.outcomes.iter().filter(|o| !o.disturbances().is_empty()).count(),
            command: std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "),
            revision: REVISION.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            compiler: COMPILER.into(),
            compiler_flags: env!("CIPHERLANE_FLAGS").into(),
            build_profile: PROFILE.into(),
            target: env!("CIPHERLANE_TARGET").into(),
            gmp,
            rug: env!("CIPHERLANE_RUG").into(),
            started: self.started.clone(),
            finished: None,
            cpu: machine::processor(),
            cpu_features: machine::processor_features(),
            hardware_threads: machine::hardware_threads(),
            threads: rayon::current_num_threads(),
            memory_bytes: machine::memory_bytes(),
            memory_limit_bytes: machine::memory_limit_bytes(),
            load_at_start: self.load_at_start,
            load_at_end: machine::load_average(),
            energy: if machine::energy::Counter::open().is_some() { "packages and memory, RAPL" } else { "cannot be read" },
            randomness: "replayable: keys and randomisers come from the seed, so that ciphertexts can be compared; they protect nothing",
            source: &self.source,
            earlier: Vec::new(),
        }
    }
}

/// What the machine did while a row ran.
struct Surroundings {
    elapsed: Elapsed,
    frequency_khz: [Option<u64>; 2],
    busy_ns: Option<u64>,
    stolen_ns: Option<u64>,
}

impl Surroundings {
    fn of<T>(work: impl FnOnce() -> T) -> (T, Self) {
        machine::reset_peak_rss();
        let (start, ticks) = (machine::frequency_khz(), machine::processor_ticks());
        let (result, elapsed) = Stopwatch::time(work);
        let ticks = ticks.zip(machine::processor_ticks());
        let busy_ns = ticks.map(|(before, after)| after.busy.saturating_sub(before.busy) * machine::TICK_NS);
        let stolen_ns = ticks.map(|(before, after)| after.stolen.saturating_sub(before.stolen) * machine::TICK_NS);
        (result, Self { elapsed, frequency_khz: [start, machine::frequency_khz()], busy_ns, stolen_ns })
    }

    fn note_in(self, outcome: &mut Outcome) {
        outcome.row_ns = Some(self.elapsed.wall_ns);
        [outcome.frequency_start_khz, outcome.frequency_end_khz] = self.frequency_khz;
        // Ticks are coarse: the process' own finer time may come out a little above the machine's.
        outcome.others_cpu_ns = self.busy_ns.map(|busy| busy.saturating_sub(self.elapsed.cpu_ns));
        outcome.stolen_cpu_ns = self.stolen_ns;
    }
}

fn to_toml(path: &Path, provenance: &Provenance<'_>) -> Result<String> {
    toml::to_string(provenance).map_err(|e| Error::file(path, "a provenance that can be written", e.to_string()))
}

/// Where the data and the models of a run come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The images.
    #[serde(flatten)]
    pub data: Description,
    /// Seed of keys and randomisers.
    pub seed: u64,
    /// The model of each feature map, by its name. None for trainings and for experiments without a
    /// model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<&'static str, ModelSource>,
}

impl Source {
    /// The model that a spec is run with.
    fn model(&self, spec: &Spec) -> Option<&ModelSource> {
        self.models.get(spec.features.name())
    }
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelSource {
    /// SHA-256 of its file, 64 hex digits.
    pub sha256: String,
    /// Whether it is the one that comes with the program for the dataset and the feature map.
    pub embedded: bool,
    /// Name of the dataset that it was trained on.
    pub trained_on: String,
    /// SHA-256 of the training images.
    pub training_sha256: String,
}

#[derive(Serialize)]
struct Provenance<'a> {
    run_id: String,
    publishable: bool,
    not_publishable_because: Vec<String>,
    /// Rows whose times something else on the machine may have made longer: `publishable` is about
    /// provenance alone.
    disturbed_rows: usize,
    command: String,
    revision: String,
    version: String,
    compiler: String,
    compiler_flags: String,
    build_profile: String,
    target: String,
    gmp: String,
    rug: String,
    started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<String>,
    cpu: String,
    cpu_features: Vec<&'static str>,
    hardware_threads: usize,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// What control groups allow this process of it, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_at_start: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_at_end: Option<f64>,
    energy: &'static str,
    randomness: &'static str,
    source: &'a Source,
    /// Other processes that worked on the same folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<toml::Table>,
}

/// Warns when this machine is too busy for times to be trusted: the load at the start of the run was above half a thread.
#[must_use]
pub fn busy_warning(load: Option<f64>) -> Option<String> {
    load.filter(|&load| load > 0.5).map(|load| format!("load {load:.2} over the last minute (a build counts, too): times may be too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureMap;
    use crate::quantise::Precision;
    use crate::workload::PoolChoice;
    use crate::workload::Scenario;

    fn source(dataset_sha256: &str) -> Source {
        let data = Description { dataset: "digits".into(), dataset_sha256: dataset_sha256.into(), ..Description::default() };
        Source { data, seed: 1, models: BTreeMap::new() }
    }

    /// The same source with a model for pixels.
    fn with_model(source: &Source, sha256: &str, embedded: bool) -> Source {
        let model = ModelSource { sha256: sha256.into(), embedded, trained_on: "digits".into(), training_sha256: String::new() };
        Source { models: BTreeMap::from([("pixels", model)]), ..source.clone() }
    }

    #[test]
    fn definitions_of_published_rows_stay_and_a_model_from_a_file_makes_another() {
        let digits = "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96";
        let mnist = "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7";
        let of_digits = "inference/clear/integer/digits/pixels-8-8/offline/10/1";
        let of_mnist = "inference/paillier/gmp/2048/buckets/owner/78/bases/64/mnist/gradients-4-5/offline/10000/1";
        for (text, dataset, published) in [(of_digits, digits, "6612defeabdfe45f"), (of_mnist, mnist, "8b2f3e2305c46843")] {
            let (spec, source) = (text.parse::<Spec>().unwrap(), source(dataset));
            assert_eq!(definition(&spec, Sampling::ONCE, &source), published);
            assert_eq!(definition(&spec, Sampling::ONCE, &with_model(&source, "aa", true)), published);
        }
        let (spec, source) = (of_digits.parse::<Spec>().unwrap(), source(digits));
        let [own, other] = ["aa", "bb"].map(|sha256| with_model(&source, sha256, false));
        let ids = [&source, &own, &other].map(|source| (definition(&spec, Sampling::ONCE, source), row_id(&spec, Sampling::ONCE, source)));
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1].0 != ids[2].0 && ids[1].1 != ids[2].1, "{ids:?}");
        // A file for another feature map is no part of the row.
        let gradients = Spec { features: FeatureMap::Gradients, ..spec };
        assert_eq!(definition(&gradients, Sampling::ONCE, &own), definition(&gradients, Sampling::ONCE, &source));
    }

    #[test]
    fn the_source_of_a_run_names_data_and_models() {
        let data = Description { rows: 8, cols: 8, white: 16, training_sha256: "cc".into(), ..source("aa").data };
        let run = Run::start(with_model(&Source { data, ..source("aa") }, "bb", false));
        let text = to_toml(Path::new(RUN), &run.provenance(&Records::default())).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let source = &table["source"];
        assert_eq!(source["dataset"].as_str(), Some("digits"));
        assert_eq!(source["dataset_sha256"].as_str(), Some("aa"));
        assert_eq!((source["rows"].as_integer(), source["white"].as_integer(), source["seed"].as_integer()), (Some(8), Some(16), Some(1)));
        assert_eq!(source["models"]["pixels"]["sha256"].as_str(), Some("bb"));
        let spec: Spec = "inference/clear/integer/digits/pixels-8-8/offline/10/1".parse().unwrap();
        let outcome = run.blank(&spec, Sampling::ONCE);
        assert_eq!((outcome.dataset_sha256.as_str(), outcome.model_sha256.as_str()), ("aa", "bb"));
    }

    #[test]
    fn what_nobody_can_trace_is_not_publishable() {
        let good = ["0123456789ab", "rustc 1.95.0", "release, opt-level 3"];
        let words = |revision, compiler, profile, debug| reasons(revision, compiler, profile, debug).join("; ");
        assert_eq!(words(good[0], good[1], good[2], false), "");
        assert!(words("unknown", good[1], good[2], false).contains("revision is unknown"));
        assert!(words("0123456789ab-dirty", good[1], good[2], false).contains("differs"));
        assert!(words(good[0], "unknown", good[2], false).contains("compiler"));
        assert!(words(good[0], good[1], good[2], true).contains("optimised"));
        assert!(words(good[0], good[1], "debug, opt-level 0", false).contains("optimised"));
    }

    #[test]
    fn experiments_share_a_folder_and_its_provenance() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new");
        let source = source("aa");
        let runs: Vec<Run> = Experiment::ALL.iter().map(|_| Run::start(source.clone())).collect();
        for (run, experiment) in runs.iter().zip(Experiment::ALL) {
            run.write_leakage(&folder, experiment, &[Leak { seed: 7, ..run.leak() }]).unwrap();
        }
        let table: toml::Table = std::fs::read_to_string(folder.join(RUN)).unwrap().parse().unwrap();
        let id = |table: &toml::Table| table["run_id"].as_str().unwrap().to_owned();
        let earlier = table["earlier"].as_array().unwrap().iter().map(|run| id(run.as_table().unwrap()));
        assert!(earlier.chain([id(&table)]).eq(runs.iter().map(|run| run.id().to_owned())));
        for (run, experiment) in runs.iter().zip(Experiment::ALL) {
            assert_eq!(leakage::read(&folder, experiment).unwrap()[0].run_id, run.id());
        }
    }

    #[test]
    fn identities_depend_on_everything_that_defines_a_row() {
        let spec = Spec {
            dataset: "digits".into(),
            features: FeatureMap::Pixels,
            precision: Precision { feature_bits: 8, weight_bits: 8 },
            protection: Protection::ClearInteger,
            scenario: Scenario::Offline,
            images: 10,
            seed: 1,
            batch: None,
            threads: None,
            pool: PoolChoice::None,
        };
        let source = source("aa");
        let sampling = Sampling::ONCE;
        let mut ids = vec![row_id(&spec, sampling, &source)];
        assert_eq!(ids[0], row_id(&spec, sampling, &source));
        assert!(ids[0].len() == 16 && definition(&spec, sampling, &source) != ids[0]);
        let source2 = Source { data: Description { dataset_sha256: "bb".into(), ..source.data.clone() }, ..source.clone() };
        ids.extend([
            row_id(&Spec { images: 11, ..spec.clone() }, sampling, &source),
            row_id(&Spec { threads: Some(1000), ..spec.clone() }, sampling, &source),
            row_id(&Spec { batch: Some(5), ..spec.clone() }, sampling, &source),
            row_id(&spec, Sampling { least_samples: 2, ..sampling }, &source),
            row_id(&spec, sampling, &source2),
        ]);
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
