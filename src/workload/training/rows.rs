//! Trainings and classifications as rows.

use std::collections::BTreeMap;

use super::choices::KIND;
use super::{Classification, Cost, Data, Protection, Spec, Trained, TrainingRunner, slot_bits};
use crate::backend::{BackendId, Device, DeviceKind};
use crate::error::Result;
use crate::machine;
use crate::record::columns::OUTCOMES;
use crate::record::{CurvePoint, Operation, Outcome};
use crate::scheme::paillier::linear::power_seconds;
use crate::scheme::paillier::{MINIMUM_BITS, security_bits};
use crate::scheme::smlp::Comparison;
use crate::spec;
use crate::workload::estimate::{Estimate, Speeds};
use crate::workload::timing::Kept;
use crate::workload::{Bench, Means, Measured, OnProgress, Sampling, Work, Workload};

/// Costs by operation.
type Costs = BTreeMap<&'static str, Cost>;

/// Training of a multilayer perceptron, in the clear or on two servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Training;

impl Workload for Training {
    fn kind(&self) -> &spec::Kind {
        &KIND
    }

    fn takes_images(&self) -> bool {
        false
    }

    fn check(&self, spec: &spec::Spec) -> Result<()> {
        Spec::try_from(spec)?.check()
    }

    fn bench(&self, means: &Means) -> Box<dyn Bench> {
        Box::new(TrainingRunner::new(means.allow_toy, means.control.clone()))
    }
}

impl Bench for TrainingRunner {
    fn planned(&self, spec: &spec::Spec) -> Result<Outcome> {
        let training = Spec::try_from(spec)?;
        Ok(Outcome { parameters: KIND.parameters(spec, &OUTCOMES.map(|column| column.name)), ..planned(&training) })
    }

    fn definition(&self, spec: &spec::Spec, _sampling: Sampling) -> Vec<String> {
        vec!["cipherlane training definition 1".into(), spec.to_string()]
    }

    fn work(&self, spec: &spec::Spec) -> Work {
        Work { total: Spec::try_from(spec).map_or(0, |training| training.total_steps() as u64), unit: "mini-batches" }
    }

    fn backend(&self, spec: &spec::Spec) -> Option<BackendId> {
        spec.values().get("backend")?.parse().ok()
    }

    /// Steps by what masking, decrypting and encrypting the numbers of a mini-batch takes.
    fn estimate(&mut self, spec: &spec::Spec, _sampling: Sampling, speeds: &Speeds, threads: usize, _new_key: bool) -> Estimate {
        let Ok(spec) = Spec::try_from(spec) else { return Estimate::default() };
        let threads = spec.threads.unwrap_or(threads).max(1) as f64;
        let (steps, batch) = (spec.total_steps() as f64, spec.batch as f64);
        let (parameters, widths) = (spec.network.parameters() as f64, spec.network.as_slice());
        let units: f64 = widths.iter().map(|&width| width as f64).sum();
        let hidden: f64 = widths[1..widths.len() - 1].iter().map(|&width| width as f64).sum();
        let products = steps * batch * parameters * 3.0;
        let Protection::Smlp { backend, key_bits, comparison } = spec.protection else {
            return Estimate { seconds: 0.2 + products * 3e-9 / threads, memory_bytes: 500e6, wire_bytes: 0 };
        };
        let Some(measured) = speeds.power_ns(backend) else { return Estimate::default() };
        let power = power_seconds(key_bits, measured);
        // Powers by masks of a tenth of the key, shared by the slots; a comparison needs a ciphertext for each number, an exact one for each bit.
        let slots = (f64::from(key_bits) / 210.0).floor().max(1.0);
        let each = if comparison == Comparison::Exact { 12.0 } else { 1.5 };
        let powers = steps * (3.0 * batch * parameters / slots * 0.06 + 3.0 * (parameters + batch * units) / slots + batch * hidden * each);
        let wire = steps * (4.0 * (parameters + batch * units) / slots + batch * hidden * each * 2.0) * f64::from(2 * key_bits).div_euclid(8.0);
        Estimate { seconds: 2.0 + powers * power / threads + products * 3e-9, memory_bytes: 500e6, wire_bytes: wire as u64 }
    }

    fn run(&mut self, spec: &spec::Spec, _sampling: Sampling, progress: &mut OnProgress<'_>) -> Result<Measured> {
        let (training, planned) = (Spec::try_from(spec)?, self.planned(spec)?);
        let trained = self.train(&training, progress)?;
        let outcome = trained_outcome(&training, &trained, planned);
        let per_epoch = training.steps_per_epoch().max(1) as f64;
        let curve = trained.curve.iter().map(|point| CurvePoint {
            spec: outcome.spec.clone(),
            epoch: point.step as f64 / per_epoch,
            step: point.step as u32,
            loss: point.loss,
            train_accuracy: point.train_accuracy,
            test_accuracy: point.test_accuracy,
            run_id: String::new(),
            revision: String::new(),
        });
        let (curve, operations) = (curve.collect(), operations(&trained.operations, &outcome));
        Ok(Measured { outcome, times: trained.times, curve, operations, first_digest: None })
    }
}

impl TrainingRunner {
    /// The row that a classification by a trained perceptron will leave.
    #[must_use]
    pub fn planned_classification(what: &Classification, dataset_sha256: &str) -> Outcome {
        Outcome {
            spec: what.to_string(),
            workload: "inference".into(),
            images: what.images as u32,
            batch: Some(what.group as u32),
            dataset_sha256: dataset_sha256.into(),
            ..planned(&what.model)
        }
    }

    /// A classification as a row.
    ///
    /// # Errors
    /// As [`TrainingRunner::classify`].
    pub fn classification(&mut self, what: &Classification, planned: Outcome, progress: &mut OnProgress<'_>) -> Result<Measured> {
        let done = self.classify(what, progress)?;
        let share = |count: usize| Some(count as f64 / what.images as f64);
        let outcome = Outcome {
            accuracy: share(done.correct),
            // A class that differs from the simulator's ends a classification with an error.
            agreement: share(done.classes.len()),
            ..measured(&done.operations, done.kept, &done.device, planned)
        };
        let operations = operations(&done.operations, &outcome);
        Ok(Measured { outcome, times: done.times, operations, ..Measured::default() })
    }
}

fn planned(spec: &Spec) -> Outcome {
    let (scheme, backend, method) = spec.protection.names();
    let key_bits = spec.protection.key_bits();
    let slot_bits = slot_bits(&spec.network, &spec.recipe, spec.batch);
    let on_gpu = matches!(spec.protection, Protection::Smlp { backend: BackendId::Gpu, .. });
    Outcome {
        spec: spec.to_string(),
        workload: "training".into(),
        scheme: scheme.into(),
        backend: backend.into(),
        dataset: spec.data.to_string(),
        features: if matches!(spec.data, Data::Parity(_)) { "bits" } else { "pixels" }.into(),
        key_bits,
        method: method.into(),
        encryption: if key_bits.is_some() { "owner" } else { "none" }.into(),
        packing: key_bits.map_or(1, |bits| (bits - 2) / slot_bits),
        slot_bits: key_bits.map(|_| slot_bits),
        feature_bits: key_bits.is_some().then_some(spec.recipe.scale_bits),
        weight_bits: key_bits.is_some().then_some(spec.recipe.scale_bits),
        scenario: "offline".into(),
        division: "closed".into(),
        threads: spec.threads.unwrap_or_else(rayon::current_num_threads) as u32,
        images: spec.records as u32,
        security_bits: key_bits.map(security_bits),
        adapter: if on_gpu { String::new() } else { machine::processor() },
        adapter_type: if on_gpu { "" } else { DeviceKind::Cpu.name() }.into(),
        key_bytes: key_bits.map(|bits| bits.div_ceil(8)),
        ciphertext_bytes: key_bits.map(|bits| (2 * bits).div_ceil(8)),
        publishable: Some(key_bits.is_none_or(|bits| bits >= MINIMUM_BITS)),
        ..Outcome::default()
    }
}

fn trained_outcome(spec: &Spec, trained: &Trained, planned: Outcome) -> Outcome {
    Outcome {
        accuracy: trained.last().map(|point| point.test_accuracy),
        agreement: trained.agreement,
        digest: trained.digest.clone(),
        batch: Some(spec.batch as u32),
        dataset_sha256: trained.dataset_sha256.clone(),
        ..measured(&trained.operations, trained.kept, &trained.device, planned)
    }
}

/// The part that trainings and classifications have in common.
fn measured(costs: &Costs, kept: Kept, device: &Device, planned: Outcome) -> Outcome {
    let sum = |of: fn(&Cost) -> u64| costs.values().map(of).sum::<u64>();
    Outcome {
        // What differs from the simulator ends a row with an error, and so does what leaves its bounds.
        verified: true,
        bytes_up: sum(|cost| cost.bytes_up),
        bytes_down: sum(|cost| cost.bytes_down),
        rounds: sum(|cost| cost.rounds) as u32,
        adapter: device.name.clone(),
        adapter_type: device.kind.name().into(),
        samples: Some(kept.samples),
        timed_images: Some(kept.images as u64),
        batches_ns: Some(kept.wall_ns),
        ..planned
    }
}

/// Two rows for each operation, one a party. Messages are entered once, at the party that begins them.
fn operations(costs: &Costs, outcome: &Outcome) -> Vec<Operation> {
    let both = |(name, cost): (&&'static str, &Cost)| {
        let parties = [("p1", cost.p1(), cost.rounds, cost.bytes_up, cost.bytes_down), ("p2", cost.p2, 0, 0, 0)];
        parties.map(|(party, elapsed, rounds, bytes_up, bytes_down)| Operation {
            spec: outcome.spec.clone(),
            operation: (*name).into(),
            party: party.into(),
            calls: cost.calls,
            values: cost.values,
            rounds,
            bytes_up,
            bytes_down,
            wall_ns: elapsed.wall_ns,
            cpu_ns: elapsed.cpu_ns,
            run_id: String::new(),
            revision: String::new(),
        })
    };
    costs.iter().flat_map(both).collect()
}
