//! Trainings as records.

use std::collections::BTreeMap;

use super::{COMPILER, PROFILE, REVISION, Run, Surroundings, short_hash, unpublishable};
use crate::backend::{BackendId, Device, DeviceKind};
use crate::error::{Error, Result};
use crate::machine;
use crate::record::journal::Entry;
use crate::record::{CurvePoint, Operation, Outcome, Sample};
use crate::scheme::paillier::{MINIMUM_BITS, security_bits};
use crate::workload::inference::{Kept, StageTime};
use crate::workload::training::{Bench, Classification, Cost, Data, Protection, Report, Spec, Trained, slot_bits};

/// Costs by operation.
type Costs = BTreeMap<&'static str, Cost>;

/// Identity of a training, whatever program runs it, for the shards of a sweep.
#[must_use]
pub fn training_definition(spec: &Spec) -> String {
    short_hash(&["cipherlane training definition 1", &spec.to_string()])
}

/// Identity of a training's row: its definition, this program, and the number of threads.
#[must_use]
pub fn training_row_id(spec: &Spec) -> String {
    let threads = spec.threads.unwrap_or_else(rayon::current_num_threads).to_string();
    let program = [REVISION, COMPILER, env!("CIPHERLANE_FLAGS"), PROFILE, env!("CIPHERLANE_TARGET"), env!("CIPHERLANE_RUG")].join("\n");
    short_hash(&["cipherlane training row 1", &training_definition(spec), &program, &threads])
}

impl Run {
    /// Runs one training and records what came of it. A failure becomes an error row without times; only [`Error::Interrupted`] is passed on.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn train(&mut self, bench: &mut Bench, spec: &Spec, report: &mut Report<'_>) -> Result<&Outcome> {
        let entry = self.training_row(bench, spec, report)?;
        self.records.add(entry);
        // The row was pushed in the line above.
        self.records.outcomes.last().ok_or(Error::Interrupted)
    }

    /// Runs one training and returns what came of it, as [`Self::train`] does, for a journal.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn training_row(&mut self, bench: &mut Bench, spec: &Spec, report: &mut Report<'_>) -> Result<Entry> {
        let (result, surroundings) = Surroundings::of(|| bench.run(spec, report));
        let blank = self.blank_training(spec);
        let mut outcome = match &result {
            Ok(trained) => trained_outcome(spec, trained, blank),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => Outcome { error: Some(error.to_string()), ..blank },
        };
        surroundings.note_in(&mut outcome);
        let Ok(trained) = result else {
            return Ok(Entry { samples: Vec::new(), first_digest: None, curve: Vec::new(), operations: Vec::new(), outcome });
        };
        let samples = samples(&trained.times, &outcome);
        let per_epoch = spec.steps_per_epoch().max(1) as f64;
        let operations = operations(&trained.operations, &outcome);
        let curve = trained.curve.iter().map(|point| CurvePoint {
            spec: outcome.spec.clone(),
            epoch: point.step as f64 / per_epoch,
            step: point.step as u32,
            loss: point.loss,
            train_accuracy: point.train_accuracy,
            test_accuracy: point.test_accuracy,
            run_id: outcome.run_id.clone(),
            revision: outcome.revision.clone(),
        });
        Ok(Entry { samples, first_digest: None, curve: curve.collect(), operations, outcome: outcome.clone() })
    }

    /// Runs one classification by a trained perceptron and records what came of it, as [`Self::train`] does.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn classify(&mut self, bench: &mut Bench, what: &Classification, report: &mut Report<'_>) -> Result<&Outcome> {
        let (result, surroundings) = Surroundings::of(|| bench.classify(what, report));
        let text = what.to_string();
        let row_id = short_hash(&["cipherlane classification row 1", &text, &training_row_id(&what.model)]);
        let blank = self.blank_training(&what.model);
        let blank = Outcome {
            spec: text,
            workload: "inference".into(),
            images: what.images as u32,
            batch: Some(what.group as u32),
            row_id,
            dataset_sha256: self.source.data.dataset_sha256.clone(),
            ..blank
        };
        let (mut outcome, times, costs) = match result {
            Ok(done) => {
                let share = |count: usize| Some(count as f64 / what.images as f64);
                let outcome = Outcome {
                    accuracy: share(done.correct),
                    // A class that differs from the simulator's ends a classification with an error.
                    agreement: share(done.classes.len()),
                    ..measured(&done.operations, done.kept, &done.device, blank)
                };
                (outcome, done.times, done.operations)
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => (Outcome { error: Some(error.to_string()), ..blank }, Vec::new(), BTreeMap::new()),
        };
        surroundings.note_in(&mut outcome);
        let (samples, operations) = (samples(&times, &outcome), operations(&costs, &outcome));
        self.records.add(Entry { samples, first_digest: None, curve: Vec::new(), operations, outcome });
        // The row was pushed in the line above.
        self.records.outcomes.last().ok_or(Error::Interrupted)
    }

    /// The row that a training will leave, as far as it is known before it runs.
    #[must_use]
    pub fn planned_training(&self, spec: &Spec) -> Outcome {
        self.blank_training(spec)
    }

    fn blank_training(&self, spec: &Spec) -> Outcome {
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
            run_id: self.id.clone(),
            revision: REVISION.into(),
            row_id: training_row_id(spec),
            rerandomisation: if key_bits.is_some() { "auto" } else { "none" }.into(),
            key_bytes: key_bits.map(|bits| bits.div_ceil(8)),
            ciphertext_bytes: key_bits.map(|bits| (2 * bits).div_ceil(8)),
            compiler: COMPILER.into(),
            publishable: Some(false),
            ..Outcome::default()
        }
    }
}

fn trained_outcome(spec: &Spec, trained: &Trained, blank: Outcome) -> Outcome {
    Outcome {
        accuracy: trained.last().map(|point| point.test_accuracy),
        agreement: trained.agreement,
        digest: trained.digest.clone(),
        batch: Some(spec.batch as u32),
        dataset_sha256: trained.dataset_sha256.clone(),
        ..measured(&trained.operations, trained.kept, &trained.device, blank)
    }
}

/// What trainings and classifications have in common.
fn measured(costs: &Costs, kept: Kept, device: &Device, blank: Outcome) -> Outcome {
    let sum = |of: fn(&Cost) -> u64| costs.values().map(of).sum::<u64>();
    let toy = blank.key_bits.is_some_and(|bits| bits < MINIMUM_BITS);
    Outcome {
        // What differs from the simulator ends a row with an error, and so does what leaves its bounds.
        verified: true,
        bytes_up: sum(|cost| cost.bytes_up),
        bytes_down: sum(|cost| cost.bytes_down),
        rounds: sum(|cost| cost.rounds) as u32,
        peak_rss_bytes: machine::peak_rss_bytes(),
        adapter: device.name.clone(),
        adapter_type: device.kind.name().into(),
        samples: Some(kept.samples),
        timed_images: Some(kept.images as u64),
        batches_ns: Some(kept.wall_ns),
        publishable: Some(!toy && unpublishable().is_empty()),
        ..blank
    }
}

fn samples(times: &[StageTime], outcome: &Outcome) -> Vec<Sample> {
    let blank = Sample::blank(outcome, &machine::processor());
    let sample = |time: &StageTime| Sample {
        stage: time.stage,
        phase: time.phase,
        sample: time.batch,
        items: time.images,
        wall_ns: time.elapsed.wall_ns,
        cpu_ns: time.elapsed.cpu_ns,
        ..blank.clone()
    };
    times.iter().map(sample).collect()
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
            run_id: outcome.run_id.clone(),
            revision: outcome.revision.clone(),
        })
    };
    costs.iter().flat_map(both).collect()
}
