//! Records: what a run leaves behind. Facts only; medians, throughput and ratios are derived by `report` and `plot`.
//!
//! A results folder holds `samples.csv` (one row per stage per sample), `outcomes.csv` (one row per spec), `run.toml` (where the numbers come from) and
//! `figures/`; where something was trained also `curve.csv` (one row per point of a training) and `operations.csv` (one row per operation and party). Column names carry their units. An empty cell means "not measured", never zero. [`columns`] says what each column means; [`journal`] keeps
//! the rows of a sweep until its CSVs are put together.

pub mod columns;
pub mod journal;
pub mod leakage;
mod row;
pub mod table;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::de::DeserializeOwned;

pub use self::row::{CurvePoint, LEAST_KEY_BITS, Operation, Outcome, Phase, Sample, Stage};
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
