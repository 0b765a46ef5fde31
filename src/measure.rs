//! Measurement: runs specs, turns what they measured into records, and writes where the numbers come from.

use std::path::Path;

use serde::Serialize;

use crate::backend::{self, BackendId, DeviceKind};
use crate::error::{Error, Result};
use crate::machine;
use crate::plan::matvec::Method;
use crate::record::{Outcome, RUN, Records, Sample, write_whole};
use crate::scheme::paillier::security_bits;
use crate::stopwatch::timestamp;
use crate::workload::inference::{Bench, Measured, Report};
use crate::workload::{Protection, Spec};

/// Source revision of this program; `-dirty` when the source differed from it.
pub const REVISION: &str = env!("CIPHERLANE_REVISION");

/// One run: a set of specs on one machine.
pub struct Run {
    id: String,
    started: String,
    load_at_start: Option<f64>,
    records: Records,
    /// Digest of the first set of results by everything that determines it but backend and plan.
    first_digests: Vec<(String, usize, String, String)>,
}

impl Run {
    /// Starts a run.
    #[must_use]
    pub fn start() -> Self {
        let started = timestamp();
        // An identity, not a secret: without the system's randomness the time and the process do.
        let id = getrandom::u32().unwrap_or_else(|_| std::process::id());
        let id = format!("{}-{id:08x}", &started[..10]);
        Self { id, started, load_at_start: machine::load_average(), records: Records::default(), first_digests: Vec::new() }
    }

    /// Runs one spec and records what came of it. A failure becomes an error row without times; only [`Error::Interrupted`] is passed on.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn measure(&mut self, bench: &mut Bench, spec: &Spec, report: &mut Report<'_>) -> Result<&Outcome> {
        let result = bench.run(spec, report).and_then(|measured| self.check_first_digest(spec, &measured).map(|()| measured));
        let outcome = match result {
            Ok(measured) => {
                let outcome = self.outcome(spec, &measured);
                let samples = measured.times.iter().map(|time| Sample {
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
                    stage: time.stage,
                    phase: time.phase,
                    sample: time.batch,
                    items: time.images,
                    wall_ns: time.elapsed.wall_ns,
                    cpu_ns: time.elapsed.cpu_ns,
                    device_ns: None,
                    run_id: self.id.clone(),
                    revision: REVISION.into(),
                    cpu: machine::processor(),
                    adapter: outcome.adapter.clone(),
                });
                self.records.samples.extend(samples);
                outcome
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => Outcome { error: Some(error.to_string()), ..self.blank(spec) },
        };
        self.records.outcomes.push(outcome);
        // The row was pushed in the line above.
        self.records.outcomes.last().ok_or(Error::Interrupted)
    }

    /// Equal keys, images and randomness must give equal ciphertexts on every backend and by every plan.
    fn check_first_digest(&mut self, spec: &Spec, measured: &Measured) -> Result<()> {
        let (Some((images, digest)), Protection::Paillier { backend, key_bits, encryption, method, rerandomisation, table_mib, .. }) =
            (&measured.first_digest, spec.protection)
        else {
            return Ok(());
        };
        let (slots, per_ciphertext) = measured.product.map_or((0, 0), |p| (p.slots, p.inputs_per_ciphertext));
        // The number of images decides the widths of tables and so the bases of the server.
        let inputs = format!(
            "{key_bits} {encryption} {slots} {per_ciphertext} {} {table_mib} {} {} {} {:?} {}",
            rerandomisation.name(),
            spec.images,
            spec.dataset,
            spec.features.name(),
            spec.precision,
            spec.seed
        );
        let who = format!("{backend} {}", method.map_or("auto", Method::name));
        if let Some((.., other, other_who)) = self.first_digests.iter().find(|(i, n, ..)| *i == inputs && n == images)
            && other != digest
        {
            return Err(Error::Disagreement {
                what: format!("result ciphertexts of {who}"),
                expected: format!("{other} ({other_who})"),
                actual: digest.clone(),
            });
        }
        self.first_digests.push((inputs, *images, digest.clone(), who));
        Ok(())
    }

    fn blank(&self, spec: &Spec) -> Outcome {
        let (scheme, backend, method, key_bits, encryption) = match spec.protection {
            Protection::ClearFloat => ("clear", "native", "float", None, ""),
            Protection::ClearInteger => ("clear", "native", "integer", None, ""),
            Protection::Paillier { backend, key_bits, method, encryption, .. } => {
                ("paillier", backend.name(), method.map_or("auto", Method::name), Some(key_bits), encryption.name())
            }
        };
        let float = spec.protection == Protection::ClearFloat;
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
            inputs_per_ciphertext: None,
            slot_bits: None,
            feature_bits: (!float).then_some(spec.precision.feature_bits),
            weight_bits: (!float).then_some(spec.precision.weight_bits),
            scenario: spec.scenario.name().into(),
            division: "closed".into(),
            threads: rayon::current_num_threads() as u32,
            images: spec.images as u32,
            accuracy: None,
            agreement: None,
            verified: false,
            products: None,
            bytes_up: 0,
            bytes_down: 0,
            rounds: 0,
            peak_rss_bytes: None,
            security_bits: key_bits.map(security_bits),
            digest: None,
            adapter: machine::processor(),
            adapter_type: DeviceKind::Cpu.name().into(),
            error: None,
            run_id: self.id.clone(),
            revision: REVISION.into(),
        }
    }

    fn outcome(&self, spec: &Spec, measured: &Measured) -> Outcome {
        let share = |count: usize| Some(count as f64 / measured.images as f64);
        let blank = self.blank(spec);
        let product = measured.product;
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
            bytes_up: measured.bytes_up,
            bytes_down: measured.bytes_down,
            rounds: measured.rounds,
            peak_rss_bytes: machine::peak_rss_bytes(),
            digest: measured.digest.clone(),
            adapter: measured.device.name.clone(),
            adapter_type: measured.device.kind.name().into(),
            ..blank
        }
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
    pub fn write(&self, dir: &Path, provenance: Source) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        self.records.write(dir)?;
        let path = dir.join(RUN);
        let text =
            toml::to_string(&self.provenance(provenance)).map_err(|e| Error::file(&path, "a provenance that can be written", e.to_string()))?;
        write_whole(&path, text.as_bytes())
    }

    fn provenance(&self, source: Source) -> Provenance {
        let gmp = backend::open(BackendId::Gmp).map(|b| b.device().detail).unwrap_or_default();
        Provenance {
            run_id: self.id.clone(),
            command: std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "),
            revision: REVISION.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            compiler: env!("CIPHERLANE_RUSTC").into(),
            compiler_flags: env!("CIPHERLANE_FLAGS").into(),
            build_profile: env!("CIPHERLANE_PROFILE").into(),
            target: env!("CIPHERLANE_TARGET").into(),
            gmp,
            rug: env!("CIPHERLANE_RUG").into(),
            started: self.started.clone(),
            finished: timestamp(),
            cpu: machine::processor(),
            cpu_features: machine::processor_features(),
            hardware_threads: machine::hardware_threads(),
            threads: rayon::current_num_threads(),
            memory_bytes: machine::memory_bytes(),
            load_at_start: self.load_at_start,
            load_at_end: machine::load_average(),
            randomness: "replayable: keys and randomisers come from the seed, so that ciphertexts can be compared; they protect nothing",
            source,
        }
    }
}

/// Where the data of a run comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Source {
    /// Name of the dataset.
    pub dataset: String,
    /// SHA-256 of its uncompressed test images.
    pub dataset_sha256: String,
    /// Seed of keys and randomisers.
    pub seed: u64,
}

#[derive(Serialize)]
struct Provenance {
    run_id: String,
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
    finished: String,
    cpu: String,
    cpu_features: Vec<&'static str>,
    hardware_threads: usize,
    threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_at_start: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_at_end: Option<f64>,
    randomness: &'static str,
    source: Source,
}

/// Warns when this machine is too busy for times to be trusted: the load at the start of the run was above half a thread.
#[must_use]
pub fn busy_warning(load: Option<f64>) -> Option<String> {
    load.filter(|&load| load > 0.5).map(|load| format!("load {load:.2} over the last minute (a build counts, too): times may be too long"))
}
