//! The journal of a sweep: one file per finished row, so that a sweep killed at any moment, also by a loss of power, goes on where it stopped.
//!
//! A row is written under a temporary name, brought to the disk, renamed to `rows/<row_id>.json`, and the folder is brought to the disk: a row is there whole
//! or not at all, and a row that is there is never measured again. The file's second line is the SHA-256 of its first, so damage is noticed; a damaged row
//! counts as missing. The CSVs of the folder are put together from these files whenever a process ends its part.
//!
//! ```text
//! DIR/rows/<row_id>.json     a finished row, with its samples; failed rows too
//! DIR/runs/<run_id>.toml     where the rows of one process come from
//! DIR/samples.csv, outcomes.csv, run.toml (and curve.csv, operations.csv)      put together from them
//! DIR/.lock, .lock-<shard>   held while a process works
//! ```
//!
//! One process at a time works on a folder, or one for each shard: shards share the folder's lock and each has one of its own. Putting together is done by
//! one process at a time, and each then sees all rows that were there before it began, so the last shard to end leaves complete files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::row::{CurvePoint, Operation, Outcome, Phase, Sample, Stage};
use crate::durable::{RESULTS, entries, lock, open_lock, read_text, remove_temporary, sync_folder, write_whole};
use crate::error::{Error, Result};
use crate::text::hex;

pub(super) const ROWS: &str = "rows";
pub(super) const RUNS: &str = "runs";

/// A finished row: an outcome and the times behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The row of `outcomes.csv`.
    pub outcome: Outcome,
    /// Its rows of `samples.csv`.
    pub samples: Vec<Sample>,
    /// What other rows must agree with.
    pub first_digest: Option<FirstDigest>,
    /// Its rows of `curve.csv`.
    pub curve: Vec<CurvePoint>,
    /// Its rows of `operations.csv`.
    pub operations: Vec<Operation>,
    /// Identity of what was measured, whatever program measured it; empty in journals of earlier
    /// versions.
    pub definition: String,
}

/// Digest of the first set of result ciphertexts, which is the same for every backend and every plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstDigest {
    /// Everything that decides it.
    pub inputs: String,
    /// Images of the set.
    pub images: usize,
    /// The digest.
    pub digest: String,
    /// Backend and plan that gave it.
    pub who: String,
}

/// A row as it is stored: what all samples share is said once.
#[derive(Serialize, Deserialize)]
struct Stored {
    outcome: Outcome,
    cpu: String,
    first_digest: Option<FirstDigest>,
    times: Vec<StoredTime>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    curve: Vec<CurvePoint>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    operations: Vec<Operation>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    definition: String,
}

/// Stage, phase, sample, items, wall, processor and device time.
type StoredTime = (Stage, Phase, u32, u32, u64, u64, Option<u64>);

impl Entry {
    /// Identity of the row.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.outcome.row_id
    }

    fn to_text(&self, path: &Path) -> Result<String> {
        let stored = Stored {
            outcome: self.outcome.clone(),
            cpu: self.samples.first().map_or_else(String::new, |s| s.cpu.clone()),
            first_digest: self.first_digest.clone(),
            times: self.samples.iter().map(|s| (s.stage, s.phase, s.sample, s.items, s.wall_ns, s.cpu_ns, s.device_ns)).collect(),
            curve: self.curve.clone(),
            operations: self.operations.clone(),
            definition: self.definition.clone(),
        };
        let line = serde_json::to_string(&stored).map_err(|e| Error::file(path, "a row that can be written", e.to_string()))?;
        let checksum = checksum(&line);
        Ok(format!("{line}\n{checksum}\n"))
    }

    fn from_text(path: &Path, text: &str) -> Result<Self> {
        let (line, end) = text.split_once('\n').ok_or_else(|| Error::file(path, "two lines", format!("{} bytes without an end", text.len())))?;
        let (expected, actual) = (checksum(line), end.trim_end());
        if expected != actual {
            return Err(Error::file(path, format!("checksum {expected}"), if actual.is_empty() { "none" } else { actual }));
        }
        let stored: Stored = serde_json::from_str(line).map_err(|e| Error::file(path, "a row of this version", e.to_string()))?;
        let samples = stored.times.into_iter().map(|(stage, phase, sample, items, wall_ns, cpu_ns, device_ns)| Sample {
            stage,
            phase,
            sample,
            items,
            wall_ns,
            cpu_ns,
            device_ns,
            ..Sample::blank(&stored.outcome, &stored.cpu)
        });
        Ok(Self {
            samples: samples.collect(),
            first_digest: stored.first_digest,
            curve: stored.curve,
            operations: stored.operations,
            definition: stored.definition,
            outcome: stored.outcome,
        })
    }
}

fn checksum(line: &str) -> String {
    format!("sha256 {}", hex(Sha256::digest(line)))
}

/// A part of a sweep, for job arrays: the `index`-th of `count`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl std::str::FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(Error::range("shard", &text, "I/N with I from 1 to N")),
        }
    }
}

/// Everything that was found in a journal.
#[derive(Debug, Default)]
pub struct Found {
    /// Rows by identity.
    pub entries: HashMap<String, Entry>,
    /// What is wrong with the files that are no rows.
    pub damaged: Vec<Error>,
}

/// The journal of a results folder, locked while it lives.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    _locks: Vec<File>,
}

impl Journal {
    /// Opens the journal of a folder, which is made if need be, for the whole sweep or for one part.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process works on it, [`Error::Io`] when it cannot be written.
    pub fn open(dir: &Path, shard: Option<Shard>) -> Result<Self> {
        for folder in [dir.to_path_buf(), dir.join(ROWS), dir.join(RUNS)] {
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        }
        // A row that is on the disk in a folder that is not would be lost with the power.
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        [dir, parent.unwrap_or_else(|| Path::new("."))].into_iter().try_for_each(sync_folder)?;
        let locks = match shard {
            None => vec![lock(dir, ".lock", false)?],
            Some(shard) => vec![lock(dir, ".lock", true)?, lock(dir, &format!(".lock-{}-of-{}", shard.index, shard.count), false)?],
        };
        [dir.to_path_buf(), dir.join(ROWS), dir.join(RUNS)].iter().try_for_each(|folder| remove_temporary(folder))?;
        Ok(Self { dir: dir.into(), _locks: locks })
    }

    /// The journal of a folder, to be read only. Another process may be adding rows.
    ///
    /// # Errors
    /// [`Error::File`] where there is none.
    pub fn reading(dir: &Path) -> Result<Self> {
        if Self::is_in(dir) { Ok(Self { dir: dir.into(), _locks: Vec::new() }) } else { Err(Error::file(dir, "the rows of a sweep", "none")) }
    }

    /// Whether a folder has a journal.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        dir.join(ROWS).is_dir()
    }

    /// All rows that are there.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn read(&self) -> Result<Found> {
        let mut found = Found::default();
        for path in entries(&self.dir.join(ROWS))?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "json")) {
            match read_text(&path, RESULTS).and_then(|text| Entry::from_text(&path, &text)) {
                Ok(entry) if path.file_stem().is_some_and(|stem| stem == entry.id()) => drop(found.entries.insert(entry.id().to_owned(), entry)),
                Ok(entry) => found.damaged.push(Error::file(&path, "the row of its name", entry.id())),
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => found.damaged.push(error),
            }
        }
        Ok(found)
    }

    /// Adds a finished row, or replaces one of the same identity. When this returns the row is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written.
    pub fn add(&self, entry: &Entry) -> Result<()> {
        let path = self.dir.join(ROWS).join(format!("{}.json", entry.id()));
        write_whole(&path, entry.to_text(&path)?.as_bytes())
    }

    /// Stores where the rows of one process come from.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written.
    pub fn add_run(&self, run_id: &str, provenance: &str) -> Result<()> {
        write_whole(&self.dir.join(RUNS).join(format!("{run_id}.toml")), provenance.as_bytes())
    }

    /// What [`Self::add_run`] stored, in the order of the names.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<String>> {
        let mut paths = entries(&self.dir.join(RUNS))?;
        paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
        paths.sort();
        paths.iter().map(|path| read_text(path, RESULTS)).collect()
    }

    /// Runs `work`, which puts the files of the folder together, while no other process does.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Io`] when the lock cannot be had.
    pub fn assemble<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.dir.join(".lock-assembly");
        let file = open_lock(&path)?;
        file.lock().map_err(Error::io("lock", &path))?;
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        let outcome = Outcome { row_id: id.into(), spec: format!("spec of {id}"), images: 3, accuracy: Some(0.1 + 0.2), ..Outcome::default() };
        let blank = Sample::blank(&outcome, "a processor");
        let samples = (0..3).map(|sample| Sample { sample, wall_ns: u64::MAX - 1, items: 7, stage: Stage::Evaluate, ..blank.clone() }).collect();
        let curve = vec![CurvePoint {
            spec: outcome.spec.clone(),
            epoch: 0.1 + 0.2,
            step: 3,
            loss: 1e-9 / 3.0,
            train_accuracy: 2.0 / 3.0,
            test_accuracy: 1.0,
            run_id: "a run".into(),
            revision: "a revision".into(),
        }];
        Entry { outcome, samples, first_digest: None, curve, operations: Vec::new(), definition: "d".into() }
    }

    #[test]
    fn rows_survive_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), None).unwrap();
        let entries = [entry("00000000000000aa"), entry("00000000000000bb")];
        entries.iter().for_each(|e| journal.add(e).unwrap());
        journal.add(&entries[0]).unwrap();
        let found = journal.read().unwrap();
        assert!(found.damaged.is_empty() && found.entries.len() == 2);
        entries.iter().for_each(|e| assert_eq!(&found.entries[e.id()], e));

        let path = dir.path().join("rows/00000000000000aa.json");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            let found = journal.read().unwrap();
            assert_eq!((found.entries.len(), found.damaged.len()), (1, 1), "{length}");
            assert!(found.damaged[0].to_string().contains("00000000000000aa.json"));
        }
        for at in (0..whole.len() - 1).step_by(7) {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            assert_eq!(journal.read().unwrap().damaged.len(), 1, "{at}");
        }
        fs::write(&path, &whole).unwrap();
        fs::copy(&path, dir.path().join("rows/copy.json")).unwrap();
        assert_eq!(journal.read().unwrap().damaged.len(), 1);
    }

    #[test]
    fn one_process_or_one_for_each_shard() {
        let dir = tempfile::tempdir().unwrap();
        let shard = |text: &str| Some(text.parse::<Shard>().unwrap());
        let whole = Journal::open(dir.path(), None).unwrap();
        let busy = |shard| matches!(Journal::open(dir.path(), shard), Err(Error::Busy { .. }));
        assert!(busy(None) && busy(shard("1/2")));
        let message = Journal::open(dir.path(), None).unwrap_err().to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        drop(whole);
        fs::write(dir.path().join("rows/.cipherlane-left"), "torn").unwrap();
        let first = Journal::open(dir.path(), shard("1/2")).unwrap();
        assert!(busy(None) && busy(shard("1/2")));
        let second = Journal::open(dir.path(), shard("2/2")).unwrap();
        drop((first, second));
        assert!(!dir.path().join("rows/.cipherlane-left").exists());
    }

    #[test]
    fn shards_are_written_as_i_of_n() {
        for bad in ["", "1", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
        assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
    }
}
