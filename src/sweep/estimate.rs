//! What a row will roughly cost, for plans and for the time left: right within a factor of two or three, and called an estimate wherever it is shown.
//!
//! The measure is the textbook's randomiser r^n, a power with an exponent as long as the key, timed once per backend on a small key. Everything else is a
//! share of it that was read off measured rows (November 2026, two-core Xeon); its time grows with the key size to the power of about 2.75.

use std::collections::HashMap;

use crate::backend::BackendId;
use crate::control::Control;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::model;
use crate::plan::matvec::Method;
use crate::quantise::Precision;
use crate::record::Stage;
use crate::scheme::eivhe::{Route, Setting};
use crate::scheme::paillier::{Encryption, Rerandomisation};
use crate::scheme::smlp::Comparison;
use crate::workload::inference::{Bench, Size};
use crate::workload::{PackingChoice, PoolChoice, Protection, Sampling, Scenario, Spec, training as learning};

/// Bits of the key that speeds are measured with.
const MEASURED_BITS: u32 = 512;

/// How the time of r^n grows with the key size.
const GROWTH: f64 = 2.75;

/// What a row costs, roughly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Wall time in seconds, with setup, warm-up, repetitions and checks.
    pub seconds: f64,
    /// Most memory in bytes.
    pub memory_bytes: f64,
    /// Bytes to the server and back for all images once. Exact where the packing fits the key.
    pub wire_bytes: u64,
}

/// How fast the backends of this machine are: nanoseconds of one thread for r^n modulo n^2 with a small key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speeds(HashMap<BackendId, f64>);

impl Speeds {
    /// Times every backend among `specs` and `trainings` once, each in less than a second. A backend that is not there has no speed; its rows fail at once.
    ///
    /// # Errors
    /// When the embedded digits cannot be read; [`Error::Interrupted`] when `control` was stopped.
    pub fn measure(specs: &[Spec], trainings: &[learning::Spec], control: &Control) -> Result<Self> {
        let of_training = |spec: &learning::Spec| match spec.protection {
            learning::Protection::Smlp { backend, .. } => Some(backend),
            learning::Protection::Float | learning::Protection::Simulated => None,
        };
        let mut wanted: Vec<BackendId> = specs.iter().filter_map(backend_of).chain(trainings.iter().filter_map(of_training)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let features = FeatureMap::Pixels;
        let models = HashMap::from([(features, model::embedded("digits", features)?)]);
        let mut bench = Bench::new(Dataset::digits("for estimates".into())?.test, models, true, control.clone());
        let mut speeds = HashMap::new();
        for backend in wanted {
            let protection = Protection::Paillier {
                backend,
                key_bits: MEASURED_BITS,
                method: Some(Method::Buckets),
                encryption: Encryption::Standard,
                packing: PackingChoice::Off,
                rerandomisation: Rerandomisation::Standard,
                table_mib: 1,
            };
            let spec = Spec {
                dataset: "digits".into(),
                features,
                precision: Precision::default_for(features),
                protection,
                scenario: Scenario::Offline,
                images: 1,
                seed: 1,
                batch: None,
                threads: Some(1),
                pool: PoolChoice::None,
            };
            let measured = match bench.run(&spec, Sampling::ONCE, &mut |_| Ok(())) {
                Ok(measured) => measured,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(_) => continue,
            };
            let encrypt: u64 = measured.times.iter().filter(|t| t.stage == Stage::Encrypt).map(|t| t.elapsed.wall_ns).sum();
            let ciphertexts = bench.size(&spec)?.ciphertexts;
            speeds.insert(backend, encrypt as f64 / ciphertexts.max(1) as f64);
        }
        Ok(Self(speeds))
    }

    /// What a row costs on `threads` threads, where its own number is not given. `size` is none when the row cannot be laid out; `new_key` whether its key
    /// is still to be made.
    #[must_use]
    pub fn estimate(&self, spec: &Spec, sampling: Sampling, size: Option<Size>, threads: usize, new_key: bool) -> Estimate {
        let Some(size) = size else { return Estimate::default() };
        let threads = spec.threads.unwrap_or(threads).max(1) as f64;
        let seconds = |ms: u32| f64::from(ms) / 1e3;
        let images = spec.images as f64;
        let batches = (images / size.batch as f64).ceil();
        // A pass over all images, what comes before it, and the check of each image, in seconds.
        let (pass, setup, memory, wire) = match spec.protection {
            Protection::ClearFloat | Protection::ClearInteger => (images * 2e-5 / threads, 0.05, 50e6, images * size.inputs as f64),
            // Roughly 10^9 steps a second of a thread: a switch over the integers or modulo q, or none; encryption by tables or by k columns of key.
            Protection::Eivhe { setting, route } => {
                let (encrypt, switch, memory, bytes) = match setting {
                    Setting::Integers(_) => (2e-4, 2e-3, 2e8, 6e3),
                    Setting::Lwe => (2e-3, 3e-2, 6e8, 4e4),
                };
                (images * (encrypt + if route == Route::Switch { switch } else { 0.0 }) / threads, 2.0, memory, images * bytes)
            }
            Protection::Paillier { backend, key_bits, method, encryption, rerandomisation, table_mib, .. } => {
                let Some(measured) = self.0.get(&backend) else { return Estimate::default() };
                let scale = f64::from(key_bits) / f64::from(MEASURED_BITS);
                let power = measured * 1e-9 * scale.powf(GROWTH);
                let product = power / (1.25 * f64::from(key_bits));
                let sets = (images / size.set as f64).ceil();
                let (ciphertexts, results) = (sets * size.ciphertexts as f64, sets * size.results as f64);
                let tables = if ciphertexts > 10_000.0 { 0.5 } else { 1.0 };
                let encrypt = ciphertexts
                    * power
                    * match encryption {
                        Encryption::Owner => 0.05 * tables,
                        Encryption::Djn => 0.08 * tables,
                        Encryption::Standard => 1.0,
                    };
                let per_weight = match method {
                    Some(Method::Naive) => 7.0,
                    Some(Method::Straus) => 2.1,
                    Some(Method::Buckets) => 1.6,
                    _ => 1.0,
                };
                let weights = (size.inputs * 10) as f64;
                let bases = rerandomisation.takes_bases(results as usize);
                let evaluate = sets * weights * per_weight * product + results * power * if bases { 0.1 } else { 1.0 };
                let decrypt = results * power * 0.5;
                // The oracle has one thread; a single set keeps others less than busy.
                let parallel = if backend == BackendId::Reference { 1.0 } else { threads.min(1.0 + size.batch as f64) };
                let check = images * 2e-5;
                let keygen = if new_key { 0.4 * (f64::from(key_bits) / 2048.0).powf(2.4) } else { 0.0 };
                // Tables of the owner, and those of the server's own bases.
                let setup = keygen + 0.1 + power / parallel * if bases { 460.0 } else { 60.0 };
                let bytes = |count: f64| count * f64::from(2 * key_bits).div_euclid(8.0);
                let batch_sets = (size.batch as f64 / size.set as f64).ceil();
                let memory = 120e6 + 2.0 * f64::from(table_mib) * 1_048_576.0 + 4.0 * batch_sets * bytes((size.ciphertexts + size.results) as f64);
                ((encrypt + evaluate + decrypt) / parallel + check, setup, memory, bytes(ciphertexts + results))
            }
        };
        let batch = pass / batches;
        let wanted = seconds(sampling.least_ms).max(f64::from(sampling.least_samples) * batch) + seconds(sampling.warm_up_ms) + batch;
        let limited = if sampling.most_ms > 0 { wanted.min(seconds(sampling.most_ms) + batch) } else { wanted };
        Estimate { seconds: setup + pass.max(limited), memory_bytes: memory, wire_bytes: wire as u64 }
    }
}

impl Speeds {
    /// What a training costs: steps by what masking, decrypting and encrypting the numbers of a mini-batch takes.
    #[must_use]
    pub fn estimate_training(&self, spec: &learning::Spec, threads: usize) -> Estimate {
        let threads = spec.threads.unwrap_or(threads).max(1) as f64;
        let (steps, batch) = (spec.total_steps() as f64, spec.batch as f64);
        let (parameters, widths) = (spec.network.parameters() as f64, spec.network.as_slice());
        let units: f64 = widths.iter().map(|&width| width as f64).sum();
        let hidden: f64 = widths[1..widths.len() - 1].iter().map(|&width| width as f64).sum();
        let products = steps * batch * parameters * 3.0;
        let learning::Protection::Smlp { backend, key_bits, comparison } = spec.protection else {
            return Estimate { seconds: 0.2 + products * 3e-9 / threads, memory_bytes: 500e6, wire_bytes: 0 };
        };
        let Some(measured) = self.0.get(&backend) else { return Estimate::default() };
        let power = measured * 1e-9 * (f64::from(key_bits) / f64::from(MEASURED_BITS)).powf(GROWTH);
        // Powers by masks of a tenth of the key, shared by the slots; a comparison needs a ciphertext for each number, an exact one for each bit.
        let slots = (f64::from(key_bits) / 210.0).floor().max(1.0);
        let each = if comparison == Comparison::Exact { 12.0 } else { 1.5 };
        let powers = steps * (3.0 * batch * parameters / slots * 0.06 + 3.0 * (parameters + batch * units) / slots + batch * hidden * each);
        let wire = steps * (4.0 * (parameters + batch * units) / slots + batch * hidden * each * 2.0) * f64::from(2 * key_bits).div_euclid(8.0);
        Estimate { seconds: 2.0 + powers * power / threads + products * 3e-9, memory_bytes: 500e6, wire_bytes: wire as u64 }
    }
}

fn backend_of(spec: &Spec) -> Option<BackendId> {
    match spec.protection {
        Protection::Paillier { backend, .. } => Some(backend),
        Protection::ClearFloat | Protection::ClearInteger | Protection::Eivhe { .. } => None,
    }
}
