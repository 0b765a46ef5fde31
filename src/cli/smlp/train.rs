//! `smlp train`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::choices::{ChoiceArgs, OfTraining};
use crate::cli::claims::claim_results;
use crate::cli::progress::Meter;
use crate::cli::stop::{check_stop, control};
use crate::cli::terminal::{note, out, out_json};
use crate::error::{Error, Result};
use crate::machine;
use crate::measure::{Run, busy_warning};
use crate::plot::{self as figures, Beside, FileKind};
use crate::record::{CURVE, CurvePoint, OPERATIONS, OUTCOMES, Operation, Outcome, RUN, Records, SAMPLES, Sample, Stage};
use crate::scheme::paillier::MINIMUM_BITS;
use crate::spec;
use crate::workload::training::{Protection, Spec, TrainingRunner};
use crate::workload::{Sampling, Source};

/// Options of `smlp train`. Lists are separated by commas.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct TrainArgs {
    #[command(flatten)]
    choices: ChoiceArgs<OfTraining>,
    /// Seed of binary records, initial parameters, order, keys and masks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
    /// Results folder [default: results/DATE-TIME-smlp-local]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Choices of which one table shows one value.
const ONE_VALUE: [&str; 7] = ["data", "network", "recipe", "epochs", "batch", "records", "steps"];

/// Ending of the name of a results folder of an `smlp` command.
pub(super) const KIND: &str = "smlp-local";

fn specs(args: &TrainArgs) -> Result<Vec<spec::Spec>> {
    if let Some(key) = ONE_VALUE.into_iter().find(|key| args.choices.words(key).len() > 1) {
        let feature = format!("several values of `{key}` in one table; a sweep measures each");
        return Err(Error::unsupported("smlp train", feature));
    }
    args.choices.check_toy(args.toy)?;
    args.choices.open_backends()?;
    args.choices.specs(&spec::Setting { seed: args.seed, ..spec::Setting::default() })
}

/// Trains, prints the tables and writes the results folder.
pub(in crate::cli) fn train(args: &TrainArgs, json: bool) -> Result<bool> {
    let asked = specs(args)?;
    let specs = asked.iter().map(Spec::try_from).collect::<Result<Vec<_>>>()?;
    let claim = claim_results(args.out.as_deref(), KIND)?;
    let out_dir = claim.path();
    if let Some(warning) = busy_warning(machine::load_average()) {
        note(&format!("warning: {warning}"));
    }
    let mut bench = TrainingRunner::new(args.toy, control().clone());
    let data = specs.first().map(|spec| bench.load(spec.data, spec.seed)).transpose()?.map(|loaded| loaded.data.clone());
    let mut run = Run::start(Source { data: data.unwrap_or_default(), seed: args.seed, models: BTreeMap::new() });
    let mut failed = 0;
    for (number, (asked, spec)) in asked.iter().zip(&specs).enumerate() {
        check_stop()?;
        let name = format!("[{}/{}] {}", number + 1, specs.len(), short(spec.protection));
        let meter = Meter::start(&name, spec.total_steps() as u64, "mini-batches");
        let entry = run.row(&mut bench, asked, Sampling::ONCE, &mut |progress| {
            meter.set(progress.what, progress.done);
            check_stop()
        })?;
        let error = entry.outcome.error.clone();
        run.add(entry);
        drop(meter);
        failed += usize::from(error.is_some());
        note(&format!(
            "{name}: {}",
            error.as_deref().unwrap_or(if spec.protection.key_bits().is_some() { "equal to the simulator" } else { "done" })
        ));
    }
    run.write(out_dir)?;
    let drawn = figures::draw(run.records(), out_dir, &FileKind::ALL, Beside::default())?;
    let trainings: Vec<Training<'_>> =
        specs.iter().zip(&run.records().outcomes).map(|(spec, outcome)| Training::new(spec, outcome, run.records())).collect();
    if json {
        out_json(&json!({
            "folder": out_dir.display().to_string(),
            "rows": trainings.iter().map(Training::json).collect::<Result<Vec<_>>>()?,
        }));
    } else {
        out(&table(&trainings));
        trainings.iter().for_each(|training| out(&training.details()));
        let files: Vec<&str> = [SAMPLES, OUTCOMES, CURVE, OPERATIONS, RUN].into_iter().filter(|name| out_dir.join(name).is_file()).collect();
        out(&format!("\n{}: {} and {} figures.", out_dir.display(), files.join(", "), drawn.figures));
    }
    Ok(failed == 0)
}

/// A protection in a few words.
pub(super) fn short(protection: Protection) -> String {
    match protection {
        Protection::Float => "float (clear)".into(),
        Protection::Simulated => "simulated (clear)".into(),
        Protection::Smlp { backend, key_bits, comparison } => {
            let toy = if key_bits < MINIMUM_BITS { " toy" } else { "" };
            format!("encrypted {key_bits}{toy} {backend} {comparison}")
        }
    }
}

/// A spec with its records.
struct Training<'a> {
    spec: &'a Spec,
    outcome: &'a Outcome,
    curve: Vec<&'a CurvePoint>,
    operations: Vec<&'a Operation>,
    samples: Vec<&'a Sample>,
}

impl<'a> Training<'a> {
    fn new(spec: &'a Spec, outcome: &'a Outcome, records: &'a Records) -> Self {
        Self {
            spec,
            outcome,
            curve: records.curve.iter().filter(|point| point.spec == outcome.spec).collect(),
            operations: records.operations.iter().filter(|operation| operation.spec == outcome.spec).collect(),
            samples: records.samples.iter().filter(|sample| sample.spec == outcome.spec).collect(),
        }
    }

    fn steps(&self) -> usize {
        self.spec.total_steps()
    }

    /// Seconds of a mini-batch, the mean over all.
    fn batch_seconds(&self) -> f64 {
        self.outcome.batches_ns.unwrap_or(0) as f64 / 1e9 / self.steps().max(1) as f64
    }

    /// The first mini-batch from which on every test record is classified as labelled.
    fn learnt_at(&self) -> Option<u32> {
        let wrong = self.curve.iter().rposition(|point| point.test_accuracy < 1.0);
        self.curve.get(wrong.map_or(0, |at| at + 1)).map(|point| point.step)
    }

    /// Seconds for every epoch of the spec, where it was stopped before.
    fn projected_seconds(&self) -> f64 {
        self.batch_seconds() * self.spec.steps_per_epoch() as f64
    }

    fn json(&self) -> Result<serde_json::Value> {
        let value = |row: &dyn Fn() -> serde_json::Result<serde_json::Value>| row().map_err(|e| Error::unsupported("JSON", e.to_string()));
        Ok(json!({
            "outcome": value(&|| serde_json::to_value(self.outcome))?,
            "curve": value(&|| serde_json::to_value(&self.curve))?,
            "operations": value(&|| serde_json::to_value(&self.operations))?,
            "simulated": self.spec.protection == Protection::Simulated,
            "toy": self.outcome.key_bits.is_some_and(|bits| bits < MINIMUM_BITS),
            "mini_batches": self.steps(), "mini_batches_per_epoch": self.spec.steps_per_epoch(), "all_correct_from": self.learnt_at(),
            "seconds_per_mini_batch": self.batch_seconds(), "projected_seconds_per_epoch": self.projected_seconds(),
        }))
    }

    /// What the operations cost, and the projection: nothing for a run in the clear.
    fn details(&self) -> String {
        if self.operations.is_empty() {
            return String::new();
        }
        let steps = self.steps().max(1) as f64;
        let mut text = format!(
            "\n{}, per mini-batch of {} records:\n  operation         calls   values  rounds        up      down       P1       P2\n",
            short(self.spec.protection),
            self.spec.batch
        );
        let mut sums = [0.0; 7];
        for p1 in self.operations.iter().filter(|o| o.party == "p1") {
            let p2 = self.operations.iter().find(|o| o.party == "p2" && o.operation == p1.operation).map_or(0, |o| o.wall_ns);
            let numbers = [p1.calls, p1.values, p1.rounds, p1.bytes_up, p1.bytes_down, p1.wall_ns, p2].map(|number| number as f64 / steps);
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
            text += &line(&p1.operation, numbers);
        }
        text += &line("all", sums);
        let cpu_ns: u64 = self.operations.iter().map(|o| o.cpu_ns).sum();
        text += &format!("  processor time of a mini-batch, all threads of both: {}\n", duration(cpu_ns as f64 / 1e9 / steps));
        let setup: Vec<String> = self
            .samples
            .iter()
            .filter(|s| [Stage::Keygen, Stage::Prepare, Stage::Encrypt].contains(&s.stage))
            .map(|s| format!("{} {}", s.stage, duration(s.wall_ns as f64 / 1e9)))
            .collect();
        text += &format!("  before training: {}\n", setup.join(", "));
        let (measured, per_epoch) = (self.steps(), self.spec.steps_per_epoch());
        text += &format!(
            "  a whole epoch of {per_epoch} mini-batches: {}, {} up, {} down, {:.0} rounds, {} from {measured} measured mini-batches",
            duration(self.projected_seconds()),
            bytes(sums[3] * per_epoch as f64),
            bytes(sums[4] * per_epoch as f64),
            sums[2] * per_epoch as f64,
            if measured >= per_epoch { "the mean" } else { "projected" }
        );
        text
    }
}

fn line(name: &str, [calls, values, rounds, up, down, p1, p2]: [f64; 7]) -> String {
    format!(
        "  {name:<16} {calls:>6.1} {values:>8.0} {rounds:>7.1} {:>9} {:>9} {:>8} {:>8}\n",
        bytes(up),
        bytes(down),
        duration(p1 / 1e9),
        duration(p2 / 1e9)
    )
}

/// Bytes with the prefix of their thousand.
pub(super) fn bytes(bytes: f64) -> String {
    match bytes {
        b if b >= 1e9 => format!("{:.1} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e3 => format!("{:.1} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

/// Seconds in a unit that keeps them short.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 36_000.0 => format!("{:.0} h", s / 3600.0),
        s if s >= 600.0 => format!("{:.0} min", s / 60.0),
        s if s >= 0.1 => format!("{s:.1} s"),
        s if s >= 1e-4 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} us", s * 1e6),
    }
}

fn table(trainings: &[Training<'_>]) -> String {
    let Some(first) = trainings.first() else { return String::new() };
    let Spec { data, network, recipe, epochs, batch, records, .. } = first.spec;
    let mut text = format!(
        "{data}, network {network}, {records} records, {epochs} epochs of {} mini-batches of {batch}, recipe {recipe}\n\
         squared error on two servers after SMLP (IWDW 2018); recipe and protocols are a reconstruction\n\n  \
         {:<34} {:>9} {:>9} {:>9}  {:>9}  {:>9}  {:>7}  {:>9}  equal\n",
        first.spec.steps_per_epoch(),
        "run",
        "test",
        "training",
        "loss",
        "100 % at",
        "batch",
        "rounds",
        "bytes"
    );
    for training in trainings {
        let name = short(training.spec.protection);
        if let Some(error) = &training.outcome.error {
            text += &format!("  {name:<34} failed: {error}\n");
            continue;
        }
        let last = training.curve.last();
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        let per_batch = |total: u64| total as f64 / training.steps().max(1) as f64;
        let encrypted = training.spec.protection.key_bits().is_some();
        text += &format!(
            "  {name:<34} {:>9} {:>9} {:>9.5}  {:>9}  {:>9}  {:>7}  {:>9}  {}\n",
            last.map_or_else(String::new, |point| percent(point.test_accuracy)),
            last.map_or_else(String::new, |point| percent(point.train_accuracy)),
            last.map_or(0.0, |point| point.loss),
            training.learnt_at().map_or_else(|| "-".into(), |step| step.to_string()),
            duration(training.batch_seconds()),
            if encrypted { format!("{:.0}", per_batch(u64::from(training.outcome.rounds))) } else { "-".into() },
            if encrypted { bytes(per_batch(training.outcome.bytes_up + training.outcome.bytes_down)) } else { "-".into() },
            if encrypted { "yes, every parameter" } else { "-" },
        );
    }
    text += "\n100 % at: mini-batch from which on every test record is right. batch: time of a mini-batch. equal: parameters are the simulator's, bit for bit.";
    if trainings.iter().any(|t| t.outcome.key_bits.is_some_and(|bits| bits < MINIMUM_BITS)) {
        text += "\ntoy: a key under 2048 bits protects nothing; its numbers serve tests only.";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([2e-5, 0.012, 5.0, 600.0, 72_000.0].map(duration), ["20 us", "12.0 ms", "5.0 s", "10 min", "20 h"]);
        assert_eq!([12.0, 1234.0, 5.6e6, 7.8e9].map(bytes), ["12 B", "1.2 kB", "5.6 MB", "7.8 GB"]);
    }
}
