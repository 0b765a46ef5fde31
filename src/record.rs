//! Records: what a run leaves behind. Facts only; medians, throughput and ratios are derived by `report` and `plot`.
//!
//! A results folder holds `samples.csv` (one row per stage per sample), `outcomes.csv` (one row per spec), `run.toml` (where the numbers come from) and
//! `figures/`; where something was trained also `curve.csv` (one row per point of a training) and `operations.csv` (one row per operation and party). Column names carry their units. An empty cell means "not measured", never zero. [`columns`] says what each column means; [`journal`] keeps
//! the rows of a sweep until its CSVs are put together.

pub mod columns;
pub mod journal;
pub mod leakage;
pub mod table;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::table::Layout;
use crate::durable::{RESULTS, Whole, read_text, write_together};
use crate::error::{Error, Result};

/// File name of the stage times.
pub const SAMPLES: &str = "samples.csv";
/// File name of the results per spec.
pub const OUTCOMES: &str = "outcomes.csv";
/// File name of the courses of trainings.
pub const CURVE: &str = "curve.csv";
/// File name of what the operations between two servers cost.
pub const OPERATIONS: &str = "operations.csv";
/// File name of the provenance.
pub const RUN: &str = "run.toml";
/// Folder of the figures.
pub const FIGURES: &str = "figures";
/// Name of the copy of a sweep file beside its results.
pub const SWEEP: &str = "sweep.toml";
/// Name of the list of all rows of a sweep: the definition and the spec of each in one line.
pub const PLAN: &str = "plan.txt";
/// File name of the rates of a GPU's kernels.
pub const KERNELS: &str = "kernels.csv";

/// Everything that a folder of results may hold: where one of these is, no other results are written.
pub const FILES: [&str; 11] = [SAMPLES, OUTCOMES, CURVE, OPERATIONS, RUN, FIGURES, SWEEP, PLAN, KERNELS, journal::ROWS, journal::RUNS];

/// A step of a workload, in the order the data travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Key generation.
    Keygen,
    /// Tables, plans and whatever else is made once per key and model.
    Prepare,
    /// Cleartext numbers to plaintext integers.
    Encode,
    /// Plaintexts to ciphertexts.
    Encrypt,
    /// Ciphertexts to the device.
    Upload,
    /// The computation on ciphertexts, re-randomisation included.
    Evaluate,
    /// Results from the device.
    Download,
    /// Messages between servers.
    Exchange,
    /// Ciphertexts to plaintexts.
    Decrypt,
    /// Plaintext integers to logits.
    Decode,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 10] = [
        Self::Keygen,
        Self::Prepare,
        Self::Encode,
        Self::Encrypt,
        Self::Upload,
        Self::Evaluate,
        Self::Download,
        Self::Exchange,
        Self::Decrypt,
        Self::Decode,
    ];

    /// The name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keygen => "keygen",
            Self::Prepare => "prepare",
            Self::Encode => "encode",
            Self::Encrypt => "encrypt",
            Self::Upload => "upload",
            Self::Evaluate => "evaluate",
            Self::Download => "download",
            Self::Exchange => "exchange",
            Self::Decrypt => "decrypt",
            Self::Decode => "decode",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a stage happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Once per key or model.
    Setup,
    /// Before the input is known.
    Offline,
    /// From input to answer.
    Online,
}

/// One row of `samples.csv`: the time of one stage on one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The spec in its text form; joins with `outcomes.csv`.
    pub spec: String,
    /// `inference`, `training` or `kernel`.
    pub workload: String,
    /// How the data is protected: `clear`, `paillier`.
    pub scheme: String,
    /// What did the arithmetic.
    pub backend: String,
    /// `mnist` or `digits`.
    pub dataset: String,
    /// Public feature map: `pixels` or `gradients`.
    pub features: String,
    /// Bits of n; empty for `clear`.
    pub key_bits: Option<u32>,
    /// How the encrypted product is planned: `buckets`, `straus`, `naive`.
    pub method: String,
    /// How randomisers are made: `owner`, `djn`, `standard`; `none` in the clear.
    pub encryption: String,
    /// Images per ciphertext.
    pub packing: u32,
    /// `offline` (throughput) or `single` (latency).
    pub scenario: String,
    /// `closed`: every value encrypted with fresh randomness, nothing cached; else `open`.
    pub division: String,
    /// The step.
    pub stage: Stage,
    /// When it happens.
    pub phase: Phase,
    /// Number of the repetition, from 0.
    pub sample: u32,
    /// Images in this repetition.
    pub items: u32,
    /// Wall time in nanoseconds.
    pub wall_ns: u64,
    /// Processor time of all threads in nanoseconds.
    pub cpu_ns: u64,
    /// Time by the device's own clock in nanoseconds, where it has one.
    pub device_ns: Option<u64>,
    /// Identity of the run.
    pub run_id: String,
    /// Source revision, `-dirty` if changed.
    pub revision: String,
    /// Processor model.
    pub cpu: String,
    /// Device that did the arithmetic.
    pub adapter: String,
}

impl Sample {
    /// A sample of an outcome with its times still to be filled in.
    #[must_use]
    pub fn blank(outcome: &Outcome, cpu: &str) -> Self {
        Self {
            spec: outcome.spec.clone(),
            workload: outcome.workload.clone(),
            scheme: outcome.scheme.clone(),
            backend: outcome.backend.clone(),
            dataset: outcome.dataset.clone(),
            features: outcome.features.clone(),
            key_bits: outcome.key_bits,
            method: outcome.method.clone(),
            encryption: outcome.encryption.clone(),
            packing: outcome.packing,
            scenario: outcome.scenario.clone(),
            division: outcome.division.clone(),
            stage: Stage::Keygen,
            phase: Phase::Setup,
            sample: 0,
            items: 0,
            wall_ns: 0,
            cpu_ns: 0,
            device_ns: None,
            run_id: outcome.run_id.clone(),
            revision: outcome.revision.clone(),
            cpu: cpu.into(),
            adapter: outcome.adapter.clone(),
        }
    }
}

/// One row of `outcomes.csv`: the result of one spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The spec in its text form.
    pub spec: String,
    /// `inference`, `training` or `kernel`.
    pub workload: String,
    /// How the data is protected.
    pub scheme: String,
    /// What did the arithmetic.
    pub backend: String,
    /// `mnist` or `digits`.
    pub dataset: String,
    /// Public feature map.
    pub features: String,
    /// Bits of n; empty for `clear`.
    pub key_bits: Option<u32>,
    /// Plan of the encrypted product.
    pub method: String,
    /// How randomisers are made.
    pub encryption: String,
    /// Images per ciphertext.
    pub packing: u32,
    /// Inputs of one image per ciphertext; empty in records from before this column.
    #[serde(default)]
    pub inputs_per_ciphertext: Option<u32>,
    /// Bits that hold every input and result, sign included: the width of a slot. Empty in f32.
    pub slot_bits: Option<u32>,
    /// Bits of a feature.
    pub feature_bits: Option<u32>,
    /// Bits of a weight, sign included.
    pub weight_bits: Option<u32>,
    /// `offline` or `single`.
    pub scenario: String,
    /// `closed` or `open`.
    pub division: String,
    /// Threads of the pool.
    pub threads: u32,
    /// Images classified.
    pub images: u32,
    /// Share of images classified as labelled.
    pub accuracy: Option<f64>,
    /// Share of predictions equal to those of the quantised plaintext model.
    pub agreement: Option<f64>,
    /// Whether every logit equals the quantised plaintext model's; in f32, whether every class is that of the collapsed map but for rounding.
    pub verified: bool,
    /// Modular products of one encrypted matrix-vector product.
    pub products: Option<u64>,
    /// Bytes sent to the server for all images.
    pub bytes_up: u64,
    /// Bytes sent back for all images.
    pub bytes_down: u64,
    /// Messages to the server and back.
    pub rounds: u32,
    /// Largest resident memory of the process so far, bytes.
    pub peak_rss_bytes: Option<u64>,
    /// Estimated strength of the key by NIST SP 800-57; empty for `clear`.
    pub security_bits: Option<u32>,
    /// First 16 hex digits of the SHA-256 of all result ciphertexts: equal on every backend for equal seeds.
    pub digest: Option<String>,
    /// Device that did the arithmetic.
    pub adapter: String,
    /// `cpu`, `gpu` or `software`.
    pub adapter_type: String,
    /// Why there is no result.
    pub error: Option<String>,
    /// Identity of the run.
    pub run_id: String,
    /// Source revision, `-dirty` if changed.
    pub revision: String,
    // Columns from here on are empty in records of older versions.
    /// Identity of the row: what defines it, the program and the number of threads.
    #[serde(default)]
    pub row_id: String,
    /// The server's way to re-randomise results, in files of earlier versions alone.
    #[serde(default, skip_serializing)]
    pub rerandomisation: String,
    /// Images worked on at once.
    #[serde(default)]
    pub batch: Option<u32>,
    /// Batches whose times were kept.
    #[serde(default)]
    pub samples: Option<u32>,
    /// Images of those batches.
    #[serde(default)]
    pub timed_images: Option<u64>,
    /// Wall time of those batches from the start of the first stage to the end of the last, the harness between stages included.
    #[serde(default)]
    pub batches_ns: Option<u64>,
    /// Energy of processor and memory in that time in microjoules.
    #[serde(default)]
    pub energy_uj: Option<u64>,
    /// Bytes of the modulus n.
    #[serde(default)]
    pub key_bytes: Option<u32>,
    /// Bytes of a ciphertext.
    #[serde(default)]
    pub ciphertext_bytes: Option<u32>,
    /// Wall time of the whole row: setup, warm-up, batches and the checks of their results.
    #[serde(default)]
    pub row_ns: Option<u64>,
    /// Processor time that other processes took meanwhile.
    #[serde(default)]
    pub others_cpu_ns: Option<u64>,
    /// Processor time that the machine's host took away meanwhile.
    #[serde(default)]
    pub stolen_cpu_ns: Option<u64>,
    /// Mean clock frequency of the processors when the row began.
    #[serde(default)]
    pub frequency_start_khz: Option<u64>,
    /// Mean clock frequency of the processors when the row ended.
    #[serde(default)]
    pub frequency_end_khz: Option<u64>,
    /// The compiler.
    #[serde(default)]
    pub compiler: String,
    /// Whether the row may be quoted: known clean revision, known compiler, optimised build, no toy key, verified.
    #[serde(default)]
    pub publishable: Option<bool>,
    /// Products of the plan a second that the multipliers of the row's threads allow, measured beside the row.
    #[serde(default)]
    pub bound_products_per_second: Option<f64>,
    /// SHA-256 of the uncompressed file that the test images are in; empty where it is unknown.
    #[serde(default)]
    pub dataset_sha256: String,
    /// SHA-256 of the model's file; empty where it is unknown, and of a training, which makes its
    /// model.
    #[serde(default)]
    pub model_sha256: String,
    /// Choices of the scheme that have no column of their own: `key=value`, sorted, one space
    /// between.
    #[serde(default)]
    pub parameters: String,
}

/// Bits of a key under which it is a toy.
pub const LEAST_KEY_BITS: u32 = 2048;

/// Rows shorter than this are not judged by the system's clock ticks of 10 ms.
const SHORTEST_JUDGED_NS: u64 = 500_000_000;

impl Outcome {
    /// A choice of the row's scheme that has no column of its own.
    #[must_use]
    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.split(' ').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The same row as this version writes it: what had a column of its own is a parameter.
    fn renewed(mut self) -> Self {
        let way = std::mem::take(&mut self.rerandomisation);
        if self.parameters.is_empty() && !way.is_empty() && way != "none" {
            let ahead = self.spec.rsplit_once("/pool-").map_or("none", |(_, who)| who);
            self.parameters = format!("pool={ahead} rerandomisation={way}");
        }
        self
    }

    /// Signs that the row was not alone on an even machine, in words; each rule says its limit.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds and kilohertz of one row stay far below 2^53")]
    pub fn disturbances(&self) -> Vec<String> {
        let mut signs = Vec::new();
        let of_row = |ns: Option<u64>| ns.zip(self.row_ns).filter(|(_, row)| *row >= SHORTEST_JUDGED_NS).map(|(ns, row)| ns as f64 / row as f64);
        if let Some(share) = of_row(self.others_cpu_ns).filter(|share| *share > 0.2) {
            signs.push(format!("other processes kept {share:.1} processors busy (limit 0.2)"));
        }
        if let Some(share) = of_row(self.stolen_cpu_ns).filter(|share| *share > 0.05) {
            signs.push(format!("the host took {share:.2} processors away (limit 0.05)"));
        }
        if let (Some(start), Some(end)) = (self.frequency_start_khz, self.frequency_end_khz)
            && (start as f64 - end as f64).abs() > 0.1 * start as f64
        {
            signs.push(format!("the clock went from {} to {} MHz (limit 10 %)", start / 1000, end / 1000));
        }
        signs
    }
}

/// One row of `curve.csv`: how good the parameters of a training were at one of its points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The spec in its text form; joins with `outcomes.csv`.
    pub spec: String,
    /// Passes over the records so far, with a fraction.
    pub epoch: f64,
    /// Mini-batches so far.
    pub step: u32,
    /// Mean squared error over the training records, summed over the outputs.
    pub loss: f64,
    /// Share of training records classified as labelled.
    pub train_accuracy: f64,
    /// Share of test records classified as labelled.
    pub test_accuracy: f64,
    /// Identity of the run.
    pub run_id: String,
    /// Source revision, `-dirty` if changed.
    pub revision: String,
}

/// One row of `operations.csv`: what one operation cost one party over all mini-batches of a training, or all images of a classification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The spec in its text form; joins with `outcomes.csv`.
    pub spec: String,
    /// The protocol: `product`, `divide`, `relu` and so on.
    pub operation: String,
    /// `p1` (ciphertexts, public key), `p2` (secret key), or `both` where only the sum is known.
    pub party: String,
    /// How often it ran.
    pub calls: u64,
    /// Numbers that came out of it.
    pub values: u64,
    /// Messages to P2 and back.
    pub rounds: u64,
    /// Bytes from P1 to P2.
    pub bytes_up: u64,
    /// Bytes from P2 to P1.
    pub bytes_down: u64,
    /// Wall time in nanoseconds.
    pub wall_ns: u64,
    /// Processor time of all threads in nanoseconds.
    pub cpu_ns: u64,
    /// Identity of the run.
    pub run_id: String,
    /// Source revision, `-dirty` if changed.
    pub revision: String,
}

/// Everything that one run measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// Rows of `samples.csv`.
    pub samples: Vec<Sample>,
    /// Rows of `outcomes.csv`.
    pub outcomes: Vec<Outcome>,
    /// Rows of `curve.csv`; without any there is no such file.
    pub curve: Vec<CurvePoint>,
    /// Rows of `operations.csv`; without any there is no such file.
    pub operations: Vec<Operation>,
}

impl Records {
    /// Writes the files into `dir`, all of them or, when one cannot be written, none, together with a file of where they come from. Samples under a key come
    /// first: programs that guess the kind of a column look at the first rows, and plaintext samples have no key.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written.
    pub fn write(&self, dir: &Path, run: &str) -> Result<()> {
        let (keyed, plain): (Vec<&Sample>, Vec<&Sample>) = self.samples.iter().partition(|s| s.key_bits.is_some());
        let path = |name: &str| dir.join(name);
        let mut files = vec![
            (path(SAMPLES), table::text_of(&path(SAMPLES), &columns::SAMPLES, keyed.into_iter().chain(plain))?),
            (path(OUTCOMES), table::text_of(&path(OUTCOMES), &columns::OUTCOMES, &self.outcomes)?),
            (path(RUN), run.into()),
        ];
        // Without rows there is no such file: one of an earlier writing goes.
        let mut gone = Vec::new();
        match &self.curve[..] {
            [] => gone.push(path(CURVE)),
            rows => files.push((path(CURVE), table::text_of(&path(CURVE), &columns::CURVE, rows)?)),
        }
        match &self.operations[..] {
            [] => gone.push(path(OPERATIONS)),
            rows => files.push((path(OPERATIONS), table::text_of(&path(OPERATIONS), &columns::OPERATIONS, rows)?)),
        }
        let whole: Vec<Whole<'_>> = files.iter().map(|(path, bytes)| Whole { path, bytes, private: false }).collect();
        write_together(&whole, true)?;
        gone.iter().try_for_each(|path| match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
            _ => Ok(()),
        })
    }

    /// Reads the files from `dir` and checks that they belong together.
    ///
    /// # Errors
    /// [`Error::Io`] when one of the first two is missing or any cannot be read, [`Error::File`] naming line, column and value of what is malformed, or the row
    /// whose times are missing.
    pub fn read(dir: &Path) -> Result<Self> {
        let records = Self {
            samples: read_or_empty(&dir.join(SAMPLES), &columns::SAMPLES_LAYOUT)?,
            outcomes: read_or_empty(&dir.join(OUTCOMES), &columns::OUTCOMES_LAYOUT)?.into_iter().map(Outcome::renewed).collect(),
            curve: table::read_if_there(&dir.join(CURVE), &columns::CURVE_LAYOUT)?,
            operations: table::read_if_there(&dir.join(OPERATIONS), &columns::OPERATIONS_LAYOUT)?,
        };
        match records.mistake() {
            None => Ok(records),
            Some((name, expected, actual)) => Err(Error::file(&dir.join(name), expected, actual)),
        }
    }

    /// What is missing, with the file that should hold it: every verified row has as many samples as it says, a training a curve, an encrypted one the costs of
    /// its operations, and there is nothing of rows that are not there.
    fn mistake(&self) -> Option<(&'static str, String, String)> {
        type Row<'a> = (&'a str, &'a str);
        let rows: HashSet<Row<'_>> = self.outcomes.iter().map(|o| (o.spec.as_str(), o.run_id.as_str())).collect();
        let mut batches: HashMap<Row<'_>, HashSet<u32>> = HashMap::new();
        for sample in &self.samples {
            let known = batches.entry((&sample.spec, &sample.run_id)).or_default();
            if sample.phase == Phase::Online {
                known.insert(sample.sample);
            }
        }
        let curves: HashSet<Row<'_>> = self.curve.iter().map(|point| (point.spec.as_str(), point.run_id.as_str())).collect();
        let costs: HashSet<Row<'_>> = self.operations.iter().map(|cost| (cost.spec.as_str(), cost.run_id.as_str())).collect();
        let of = |(spec, run_id): Row<'_>| format!("{spec} of run {run_id}");
        for outcome in self.outcomes.iter().filter(|outcome| outcome.verified) {
            let row = (outcome.spec.as_str(), outcome.run_id.as_str());
            let (wanted, there) = (outcome.samples.unwrap_or(1) as usize, batches.get(&row).map_or(0, HashSet::len));
            if there < wanted {
                return Some((SAMPLES, format!("{wanted} samples of {}", of(row)), there.to_string()));
            }
            if outcome.workload == "training" && !curves.contains(&row) {
                return Some((CURVE, format!("points of {}", of(row)), "none".into()));
            }
            if outcome.scheme == "smlp" && outcome.key_bits.is_some() && !costs.contains(&row) {
                return Some((OPERATIONS, format!("operations of {}", of(row)), "none".into()));
            }
        }
        let known = [(SAMPLES, batches.keys().copied().collect()), (CURVE, curves), (OPERATIONS, costs)];
        known.into_iter().find_map(|(name, of_file)| {
            let stray = of_file.into_iter().filter(|row| !rows.contains(row)).min()?;
            Some((OUTCOMES, format!("a row for all that is in {name}"), format!("none of {}", of(stray))))
        })
    }

    /// Adds what a row left behind.
    pub fn add(&mut self, entry: journal::Entry) {
        self.samples.extend(entry.samples);
        self.outcomes.push(entry.outcome);
        self.curve.extend(entry.curve);
        self.operations.extend(entry.operations);
    }
}

/// Earlier versions wrote an empty file where there were no rows.
fn read_or_empty<T: DeserializeOwned>(path: &Path, layout: &Layout) -> Result<Vec<T>> {
    match &*read_text(path, RESULTS)? {
        "" => Ok(Vec::new()),
        text => table::parse(path, text, layout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            spec: "a/b, \"c\"".into(),
            workload: "inference".into(),
            scheme: "paillier".into(),
            backend: "gmp".into(),
            dataset: "digits".into(),
            features: "pixels".into(),
            key_bits: Some(2048),
            method: "buckets".into(),
            encryption: "djn".into(),
            packing: 78,
            scenario: "offline".into(),
            division: "closed".into(),
            stage: Stage::Evaluate,
            phase: Phase::Online,
            sample: 0,
            items: 78,
            wall_ns: 1,
            cpu_ns: 2,
            device_ns: None,
            run_id: "r".into(),
            revision: "v".into(),
            cpu: "c".into(),
            adapter: "d".into(),
        }
    }

    fn outcome() -> Outcome {
        Outcome { spec: sample().spec, run_id: sample().run_id, workload: "inference".into(), samples: Some(1), verified: true, ..Outcome::default() }
    }

    #[test]
    fn what_is_missing_is_an_error_and_never_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let read = |records: &Records| {
            records.write(dir.path(), "run").unwrap();
            Records::read(dir.path()).map_err(|e| e.to_string())
        };
        let stray = |what: &str, error: &str| assert!(error.contains(what), "`{what}` is not in: {error}");
        let good = Records { samples: vec![sample()], outcomes: vec![outcome()], ..Records::default() };
        assert_eq!(read(&good).unwrap(), good);
        let two = Records { outcomes: vec![Outcome { samples: Some(2), ..outcome() }], ..good.clone() };
        stray("samples.csv: expected 2 samples of a/b", &read(&two).unwrap_err());
        let setup = Records { samples: vec![Sample { phase: Phase::Setup, ..sample() }], ..good.clone() };
        stray("samples.csv: expected 1 samples of a/b, \"c\" of run r, found 0", &read(&setup).unwrap_err());
        stray("outcomes.csv: expected a row for all that is in samples.csv", &read(&Records { outcomes: vec![], ..good.clone() }).unwrap_err());
        let failed = Records { samples: vec![], outcomes: vec![Outcome { verified: false, ..outcome() }], ..Records::default() };
        assert_eq!(read(&failed).unwrap(), failed);
        let training = Outcome { workload: "training".into(), scheme: "smlp".into(), key_bits: Some(2048), ..outcome() };
        stray("curve.csv: expected points of a/b", &read(&Records { outcomes: vec![training.clone()], ..good.clone() }).unwrap_err());
        let classified = Outcome { workload: "inference".into(), ..training };
        stray("operations.csv: expected operations of a/b", &read(&Records { outcomes: vec![classified], ..good.clone() }).unwrap_err());
        let (spec, run_id, revision) = (String::from("another"), String::from("r"), String::new());
        let point = CurvePoint { spec, epoch: 0.0, step: 0, loss: 0.0, train_accuracy: 0.0, test_accuracy: 0.0, run_id, revision };
        stray("a row for all that is in curve.csv, found none of another", &read(&Records { curve: vec![point], ..good }).unwrap_err());
        // What an earlier version wrote where every row failed.
        failed.write(dir.path(), "run").unwrap();
        std::fs::write(dir.path().join(SAMPLES), "").unwrap();
        assert_eq!(Records::read(dir.path()).unwrap(), failed);
        std::fs::remove_file(dir.path().join(SAMPLES)).unwrap();
        std::fs::create_dir(dir.path().join(SAMPLES)).unwrap();
        stray("samples.csv: expected a file, found a folder", &Records::read(dir.path()).unwrap_err().to_string());
    }

    fn folders(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
        for path in crate::durable::entries(dir).unwrap().into_iter().filter(|path| path.is_dir()) {
            folders(&path, found);
            found.push(path);
        }
    }

    #[test]
    fn every_folder_of_earlier_versions_is_read() {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        let mut all = Vec::new();
        folders(&results, &mut all);
        let mut rows = 0;
        let is_packed = all.is_empty();
        for dir in all {
            if dir.join(OUTCOMES).exists() {
                rows += Records::read(&dir).unwrap().outcomes.len();
            }
            for experiment in leakage::Experiment::ALL {
                rows += leakage::read(&dir, experiment).unwrap().len();
            }
        }
        assert!(is_packed || rows > 100, "{rows}");
    }

    #[test]
    fn rows_survive_the_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records {
            samples: vec![sample(), Sample { sample: 1, key_bits: None, device_ns: Some(7), ..sample() }],
            outcomes: vec![outcome()],
            ..Records::default()
        };
        records.write(dir.path(), "run").unwrap();
        assert_eq!(Records::read(dir.path()).unwrap(), records);
        let reversed = Records { samples: records.samples.iter().rev().cloned().collect(), outcomes: vec![outcome()], ..Records::default() };
        reversed.write(dir.path(), "run").unwrap();
        assert_eq!(Records::read(dir.path()).unwrap(), records, "samples under a key come first");
    }

    #[test]
    fn a_torn_row_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        Records { samples: vec![sample()], outcomes: vec![outcome()], ..Records::default() }.write(dir.path(), "run").unwrap();
        let path = dir.path().join(SAMPLES);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 20]).unwrap();
        assert!(Records::read(dir.path()).unwrap_err().to_string().contains(SAMPLES));
    }
}
