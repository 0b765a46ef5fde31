//! Measurement: runs specs, turns what they measured into records, and writes where the numbers come from.

pub mod sweep;

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::backend::{self, BackendId};
use crate::durable::{RESULTS, read_text};
use crate::error::{Error, Result};
use crate::machine;
use crate::record::journal::{Entry, FirstDigest, Journal};
use crate::record::leakage::{self, Experiment, Leak};
use crate::record::{LEAST_KEY_BITS, Outcome, RUN, Records, Sample};
use crate::spec::Spec;
use crate::stopwatch::{Elapsed, Stopwatch, timestamp};
use crate::text::hex;
use crate::workload::{Bench, Measured, OnProgress, Sampling, Source};
pub use sweep::{Benches, Ended, Found, Merged, SweepRun, Watch, merge};

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
/// shards can share a sweep by it.
#[must_use]
pub fn definition(bench: &dyn Bench, spec: &Spec, sampling: Sampling) -> String {
    short_hash(&bench.definition(spec, sampling))
}

/// Identity of a row: its definition, this program, and the number of threads. A row of this identity need not be measured again.
#[must_use]
pub fn row_id(bench: &dyn Bench, spec: &Spec, sampling: Sampling) -> String {
    let lines = bench.definition(spec, sampling);
    let form = lines.first().map_or_else(String::new, |form| form.replace("definition", "row"));
    let threads = spec.values().number("threads").unwrap_or_else(rayon::current_num_threads);
    short_hash(&[form, short_hash(&lines), program(), threads.to_string()])
}

/// The identity of this program: revision, compiler and all that decides its code.
fn program() -> String {
    [REVISION, COMPILER, env!("CIPHERLANE_FLAGS"), PROFILE, env!("CIPHERLANE_TARGET"), env!("CIPHERLANE_RUG")].join("\n")
}

/// First 16 hex digits of the SHA-256 of some lines.
fn short_hash(lines: &[String]) -> String {
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
    pub fn row(&mut self, bench: &mut dyn Bench, spec: &Spec, sampling: Sampling, progress: &mut OnProgress<'_>) -> Result<Entry> {
        let planned = self.planned(bench, spec, sampling)?;
        let definition = definition(bench, spec, sampling);
        let entry = self.measure(planned, || bench.run(spec, sampling, progress))?;
        Ok(Entry { definition, ..entry })
    }

    /// Does the work of a row of which `planned` is what was known before, and returns what came of
    /// it, as [`Run::row`].
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn measure(&mut self, planned: Outcome, work: impl FnOnce() -> Result<Measured>) -> Result<Entry> {
        let (result, surroundings) = Surroundings::of(work);
        let result = result.and_then(|measured| {
            self.check_first_digest(measured.first_digest.as_ref())?;
            Ok(measured)
        });
        let measured = match result {
            Ok(measured) => {
                let no_toy = measured.outcome.publishable == Some(true);
                let outcome = Outcome {
                    peak_rss_bytes: machine::peak_rss_bytes(),
                    publishable: Some(no_toy && unpublishable().is_empty()),
                    run_id: planned.run_id,
                    revision: planned.revision,
                    row_id: planned.row_id,
                    compiler: planned.compiler,
                    ..measured.outcome
                };
                Measured { outcome, ..measured }
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => Measured { outcome: Outcome { error: Some(error.to_string()), ..planned }, ..Measured::default() },
        };
        let Measured { mut outcome, times, first_digest, mut curve, mut operations } = measured;
        surroundings.note_in(&mut outcome);
        curve.iter_mut().for_each(|point| (point.run_id, point.revision) = (self.id.clone(), REVISION.into()));
        operations.iter_mut().for_each(|cost| (cost.run_id, cost.revision) = (self.id.clone(), REVISION.into()));
        let blank = Sample::blank(&outcome, &machine::processor());
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
        Ok(Entry { samples: samples.collect(), first_digest, outcome, curve, operations, definition: String::new() })
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
    fn check_first_digest(&mut self, first: Option<&FirstDigest>) -> Result<()> {
        let Some(first) = first else { return Ok(()) };
        if let Some(other) = self.first_digests.iter().find(|d| d.inputs == first.inputs && d.images == first.images)
            && other.digest != first.digest
        {
            return Err(Error::Disagreement {
                what: format!("result ciphertexts of {}", first.who),
                expected: format!("{} ({})", other.digest, other.who),
                actual: first.digest.clone(),
            });
        }
        self.first_digests.push(first.clone());
        Ok(())
    }

    /// The row that a spec will leave, as far as it is known before it runs.
    ///
    /// # Errors
    /// For a spec of another workload.
    pub fn planned(&self, bench: &dyn Bench, spec: &Spec, sampling: Sampling) -> Result<Outcome> {
        Ok(Outcome { row_id: row_id(bench, spec, sampling), ..self.named(bench.planned(spec)?) })
    }

    /// A planned row with the names of this run.
    #[must_use]
    pub fn named(&self, planned: Outcome) -> Outcome {
        let (run_id, revision, compiler) = (self.id.clone(), REVISION.into(), COMPILER.into());
        Outcome { run_id, revision, compiler, publishable: Some(false), ..planned }
    }

    /// The same for a row outside of the registry: its identity is made of `text` and all that
    /// tells this program from others.
    #[must_use]
    pub fn named_by(&self, planned: Outcome, text: &str) -> Outcome {
        let row_id = short_hash(&[text.into(), program(), planned.threads.to_string()]);
        Outcome { row_id, ..self.named(planned) }
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
        because(records.outcomes.iter().any(|o| o.key_bits.is_some_and(|bits| bits < LEAST_KEY_BITS)), "a key is a toy");
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::control::Control;
    use crate::description::Description;
    use crate::workload::registry::Registry;
    use crate::workload::{Means, ModelSource, Models};

    fn source(dataset_sha256: &str) -> Source {
        let data = Description { dataset: "digits".into(), dataset_sha256: dataset_sha256.into(), ..Description::default() };
        Source { data, seed: 1, models: BTreeMap::new() }
    }

    /// The same source with a model for pixels.
    fn with_model(source: &Source, sha256: &str, embedded: bool) -> Source {
        let model = ModelSource { sha256: sha256.into(), embedded, trained_on: "digits".into(), training_sha256: String::new() };
        Source { models: BTreeMap::from([("pixels", model)]), ..source.clone() }
    }

    /// A spec, and the bench of its workload for a source.
    fn bench(text: &str, source: &Source) -> (Spec, Box<dyn Bench>) {
        let registry = Registry::default();
        let spec = registry.parse(text).unwrap();
        let images = crate::dataset::digits::test().unwrap();
        let means = Means { images, models: Models::new(), source: source.clone(), allow_toy: true, control: Control::default() };
        let bench = registry.workload(spec.workload()).unwrap().bench(&means);
        (spec, bench)
    }

    /// Definition and identity of a row that is measured once.
    fn ids(text: &str, source: &Source, sampling: Sampling) -> (String, String) {
        let (spec, bench) = bench(text, source);
        (definition(bench.as_ref(), &spec, sampling), row_id(bench.as_ref(), &spec, sampling))
    }

    #[test]
    fn definitions_of_published_rows_stay_and_a_model_from_a_file_makes_another() {
        let digits = "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96";
        let mnist = "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7";
        let of_digits = "inference/clear/integer/digits/pixels-8-8/offline/10/1";
        let of_mnist = "inference/paillier/gmp/2048/buckets/owner/78/bases/64/mnist/gradients-4-5/offline/10000/1";
        for (text, dataset, published) in [(of_digits, digits, "6612defeabdfe45f"), (of_mnist, mnist, "8b2f3e2305c46843")] {
            let source = source(dataset);
            assert_eq!(ids(text, &source, Sampling::ONCE).0, published);
            assert_eq!(ids(text, &with_model(&source, "aa", true), Sampling::ONCE).0, published);
        }
        let source = source(digits);
        let [own, other] = ["aa", "bb"].map(|sha256| with_model(&source, sha256, false));
        let all = [&source, &own, &other].map(|source| ids(of_digits, source, Sampling::ONCE));
        assert!(all[0] != all[1] && all[0] != all[2] && all[1].0 != all[2].0 && all[1].1 != all[2].1, "{all:?}");
        // A file for another feature map is no part of the row.
        let gradients = of_digits.replace("pixels", "gradients");
        assert_eq!(ids(&gradients, &own, Sampling::ONCE), ids(&gradients, &source, Sampling::ONCE));
    }

    #[test]
    fn the_source_of_a_run_names_data_and_models() {
        let data = Description { rows: 8, cols: 8, white: 16, training_sha256: "cc".into(), ..source("aa").data };
        let source = with_model(&Source { data, ..source("aa") }, "bb", false);
        let run = Run::start(source.clone());
        let text = to_toml(Path::new(RUN), &run.provenance(&Records::default())).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let there = &table["source"];
        assert_eq!(there["dataset"].as_str(), Some("digits"));
        assert_eq!(there["dataset_sha256"].as_str(), Some("aa"));
        assert_eq!((there["rows"].as_integer(), there["white"].as_integer(), there["seed"].as_integer()), (Some(8), Some(16), Some(1)));
        assert_eq!(there["models"]["pixels"]["sha256"].as_str(), Some("bb"));
        let (spec, bench) = bench("inference/clear/integer/digits/pixels-8-8/offline/10/1", &source);
        let outcome = run.planned(bench.as_ref(), &spec, Sampling::ONCE).unwrap();
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
        let text = "inference/clear/integer/digits/pixels-8-8/offline/10/1";
        let (one, other) = (source("aa"), source("bb"));
        let id = |text: &str, sampling, source: &Source| ids(text, source, sampling).1;
        let once = Sampling::ONCE;
        let first = id(text, once, &one);
        assert!(first == id(text, once, &one) && first.len() == 16 && ids(text, &one, once).0 != first);
        let all = [
            first,
            id(&text.replace("/10/", "/11/"), once, &one),
            id(&format!("{text}/threads-1000"), once, &one),
            id(&format!("{text}/batch-5"), once, &one),
            id(text, Sampling { least_samples: 2, ..once }, &one),
            id(text, once, &other),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
