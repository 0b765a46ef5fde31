//! Rows about what ciphertexts give away: what a classifier learns from them, what an attack recovers. One file for each kind of experiment.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::durable::{Whole, write_together};
use crate::error::{Error, Result};
use crate::record::columns::{LEAKAGE, LEAKAGE_LAYOUT};
use crate::record::{RUN, table};

/// Which experiment a row belongs to, and so which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Experiment {
    /// Networks trained on ciphertexts beside the same networks trained on plaintext.
    Training,
    /// Keys recovered for a table of sizes and bounds.
    Attack,
    /// Both, along one size that is varied.
    Leakage,
}

impl Experiment {
    /// Every experiment.
    pub const ALL: [Self; 3] = [Self::Training, Self::Attack, Self::Leakage];

    /// The file of its rows in a results folder.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Training => "eivhe-training.csv",
            Self::Attack => "eivhe-attack.csv",
            Self::Leakage => "eivhe-leakage.csv",
        }
    }
}

/// One row: a setting of the scheme, and what became of its secrets. Shares are 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// What is varied along rows that belong together.
    pub sweep: String,
    /// How the images are protected: `clear`, `integers-fixed`, `integers-fresh`, `absolute`, `lwe`, ….
    pub setting: String,
    /// `mnist` or `digits`; empty where no image is involved.
    pub dataset: String,
    /// What learns; empty where nothing does.
    pub network: String,
    /// Seed of key, encryption and training.
    pub seed: u64,
    /// Numbers of a plaintext.
    pub dimension: u32,
    /// Numbers of a ciphertext beyond those of the plaintext.
    pub key_columns: Option<u32>,
    /// Entries of A are below this; in `lwe` they fill the modulus.
    pub a_bound: Option<u64>,
    /// Size of the noise E.
    pub e_bound: Option<u64>,
    /// Entries of the key T are below this.
    pub t_bound: Option<u64>,
    /// Bits of the factor w of the plaintext.
    pub w_bits: Option<u32>,
    /// Bits of the modulus; empty over the integers.
    pub q_bits: Option<u32>,
    /// Images learnt from.
    pub training_images: Option<u32>,
    /// Images classified, or decrypted by the attack.
    pub test_images: Option<u32>,
    /// Passes over the training images.
    pub epochs: Option<u32>,
    /// Coordinates of a ciphertext that the network sees.
    pub inputs: Option<u32>,
    /// Share of training images classified as labelled, during the last pass.
    pub training_accuracy: Option<f64>,
    /// Share of test images classified as labelled.
    pub accuracy: Option<f64>,
    /// Share of test images that the owner of the key decrypts exactly.
    pub owner_decrypts: Option<f64>,
    /// Entries of the key.
    pub key_entries: Option<u64>,
    /// Share of them that are exact as least squares rounds them.
    pub key_rounded: Option<f64>,
    /// Share of them that are exact after the attack's corrections.
    pub key_recovered: Option<f64>,
    /// Share of rows of the key whose residuals all lie in the range of the noise.
    pub key_consistent: Option<f64>,
    /// Share of test images that the attack decrypts exactly.
    pub images_recovered: Option<f64>,
    /// Share of test images read off the ciphertexts exactly, with the published bounds alone.
    pub images_without_key: Option<f64>,
    /// Columns of the public matrix that the attack looks at.
    pub attack_samples: Option<u32>,
    /// Wall time of key generation.
    pub keygen_ns: Option<u64>,
    /// Wall time of the encryption of all images.
    pub encrypt_ns: Option<u64>,
    /// Wall time of scaling and training.
    pub train_ns: Option<u64>,
    /// Wall time of the attack, up to the key.
    pub attack_ns: Option<u64>,
    /// Bytes of one ciphertext, each coordinate in the fewest whole bytes.
    pub ciphertext_bytes: Option<u64>,
    /// Why the setting is no protection; empty where nothing is known against it.
    pub unsound: String,
    /// Threads of the pool.
    pub threads: u32,
    /// Processor model.
    pub cpu: String,
    /// Identity of the run.
    pub run_id: String,
    /// Source revision, `-dirty` if changed.
    pub revision: String,
    /// SHA-256 of the uncompressed file that the test images are in; empty where no image is
    /// involved or it is unknown.
    #[serde(default)]
    pub dataset_sha256: String,
}

/// Writes the rows of an experiment into `dir` together with a file of where they come from: both or none.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written.
pub fn write(dir: &Path, experiment: Experiment, rows: &[Leak], run: &str) -> Result<()> {
    let (path, run_path) = (dir.join(experiment.file()), dir.join(RUN));
    let bytes = table::text_of(&path, &LEAKAGE, rows)?;
    let files = [Whole { path: &path, bytes: &bytes, private: false }, Whole { path: &run_path, bytes: run.as_bytes(), private: false }];
    write_together(&files, true)
}

/// Reads the rows of an experiment from `dir`; none where it has no such file.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] when the file has no rows or something else than rows.
pub fn read(dir: &Path, experiment: Experiment) -> Result<Vec<Leak>> {
    let path = dir.join(experiment.file());
    match table::read(&path, &LEAKAGE_LAYOUT) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Ok(rows) if rows.is_empty() => Err(Error::file(&path, "rows of the experiment", "none")),
        rows => rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back_and_nothing_is_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let row = Leak { sweep: "bound of A".into(), accuracy: Some(0.5), key_columns: Some(16), seed: 3, ..Leak::default() };
        let rows = [row.clone(), Leak { accuracy: None, q_bits: Some(40), ..row }];
        write(dir.path(), Experiment::Leakage, &rows, "").unwrap();
        assert_eq!(read(dir.path(), Experiment::Leakage).unwrap(), rows);
        assert!(read(dir.path(), Experiment::Attack).unwrap().is_empty());
        std::fs::write(dir.path().join(Experiment::Attack.file()), "sweep\nx\n").unwrap();
        assert!(read(dir.path(), Experiment::Attack).unwrap_err().to_string().contains("eivhe-attack.csv"));
        write(dir.path(), Experiment::Leakage, &[], "").unwrap();
        assert!(read(dir.path(), Experiment::Leakage).unwrap_err().to_string().contains("expected rows of the experiment, found none"));
    }
}
