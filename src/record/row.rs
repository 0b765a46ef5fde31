//! Rows of results: their fields and what can be said of one alone.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    pub(super) fn renewed(mut self) -> Self {
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
