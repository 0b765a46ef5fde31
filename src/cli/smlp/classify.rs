//! `smlp classify`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::options::{BackendChoice, TrainingOptions};
use super::train::{KIND, bytes, duration, short};
use crate::cli::claims::claim_results;
use crate::cli::progress::Meter;
use crate::cli::stop::{check_stop, control};
use crate::cli::terminal::{note, out, out_json};
use crate::error::{Error, Result};
use crate::measure::Run;
use crate::record::{Records, Stage};
use crate::scheme::paillier::check_bits;
use crate::scheme::smlp::Comparison;
use crate::workload::Source;
use crate::workload::training::{Classification, Protection, TrainingRunner};

/// Options of `smlp classify`. Training is simulated first.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("data", |data| data.default_value("mnist")))]
pub(in crate::cli) struct ClassifyArgs {
    #[command(flatten)]
    training: TrainingOptions,
    /// Records from the start of the test set
    #[arg(long, default_value_t = 100, value_name = "N")]
    images: usize,
    /// Records worked on at once
    #[arg(long, default_value_t = 20, value_name = "N")]
    group: usize,
    /// How signs and classes are compared: blinded (leaks magnitudes to P2), exact
    #[arg(long, value_delimiter = ',', default_value = "exact")]
    comparison: Vec<Comparison>,
    /// Bits of the Paillier modulus n
    #[arg(long, default_value_t = 2048, value_name = "BITS")]
    key_bits: u32,
    /// What does the arithmetic: auto (ifma where it is, else gmp), reference, gmp, ifma, gpu
    #[arg(long, default_value = "auto")]
    backend: BackendChoice,
    /// Results folder [default: results/DATE-TIME-smlp-local]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Classifies, prints a table and writes the results folder.
pub(in crate::cli) fn classify(args: &ClassifyArgs, json: bool) -> Result<bool> {
    check_bits(args.key_bits, args.training.toy)?;
    let backend = args.backend.open()?;
    if args.group == 0 {
        return Err(Error::range("--group", &"0", "1 and more"));
    }
    let classifications = args.comparison.iter().map(|&comparison| {
        let protection = Protection::Smlp { backend, key_bits: args.key_bits, comparison };
        let model = args.training.spec(protection)?;
        Ok(Classification { model, images: args.images, group: args.group })
    });
    let classifications = classifications.collect::<Result<Vec<_>>>()?;
    let claim = claim_results(args.out.as_deref(), KIND)?;
    let out_dir = claim.path();
    let mut bench = TrainingRunner::new(args.training.toy, control().clone());
    let loaded = bench.load(args.training.data, args.training.seed)?;
    if args.images == 0 || args.images > loaded.test.len() {
        return Err(Error::range("--images", &args.images, format!("1 to {}", loaded.test.len())));
    }
    let mut run = Run::start(Source { data: loaded.data.clone(), seed: args.training.seed, models: BTreeMap::new() });
    for what in &classifications {
        check_stop()?;
        let name = short(what.model.protection);
        let meter = Meter::start(&name, 0, "");
        let planned = TrainingRunner::planned_classification(what, &loaded.data.dataset_sha256);
        let planned = run.named_by(planned, &format!("cipherlane classification row 1\n{what}"));
        let entry = run.measure(planned.clone(), || {
            bench.classification(what, planned, &mut |progress| {
                meter.set_total(progress.total);
                meter.set(progress.what, progress.done);
                check_stop()
            })
        })?;
        let error = entry.outcome.error.clone();
        run.add(entry);
        drop(meter);
        note(&format!("{name}: {}", error.as_deref().unwrap_or("every class is the simulator's")));
    }
    run.write(out_dir)?;
    let records = run.records();
    if json {
        let value = |outcome| serde_json::to_value(outcome).map_err(|e| Error::unsupported("JSON", e.to_string()));
        let rows = records.outcomes.iter().map(value).collect::<Result<Vec<_>>>()?;
        let operations = serde_json::to_value(&records.operations).map_err(|e| Error::unsupported("JSON", e.to_string()))?;
        out_json(&json!({ "folder": out_dir.display().to_string(), "rows": rows, "operations": operations }));
    } else {
        let text = table(args, &classifications, records);
        out(&format!("{text}\n{}: samples.csv, outcomes.csv, operations.csv, run.toml.", out_dir.display()));
    }
    Ok(records.outcomes.iter().all(|o| o.verified))
}

/// A line for each classification: how many are right, and what a record costs.
fn table(args: &ClassifyArgs, classifications: &[Classification], records: &Records) -> String {
    let mut text = format!("{}, network {}, {} encrypted test records\n", args.training.data, classifications[0].model.network, args.images);
    for (what, outcome) in classifications.iter().zip(&records.outcomes) {
        let name = short(what.model.protection);
        if let Some(error) = &outcome.error {
            text += &format!("  {name}: failed: {error}\n");
            continue;
        }
        let stage = |stage: Stage| {
            let of = records.samples.iter().filter(|s| s.spec == outcome.spec && s.stage == stage);
            duration(of.map(|s| s.wall_ns as f64 / 1e9).sum::<f64>() / args.images as f64)
        };
        let per_image = |total: u64| bytes(total as f64 / args.images as f64);
        text += &format!(
            "  {name}: {:.2} % as labelled, every class the simulator's; per record: encrypt {}, P1 {}, P2 {}, user {}; {} up, {} down; {} rounds in all\n",
            100.0 * outcome.accuracy.unwrap_or(0.0),
            stage(Stage::Encrypt),
            stage(Stage::Evaluate),
            stage(Stage::Exchange),
            stage(Stage::Decrypt),
            per_image(outcome.bytes_up),
            per_image(outcome.bytes_down),
            outcome.rounds
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    #[test]
    fn options_of_a_training_hold_here_too_with_mnist_as_the_data() {
        let parsed = |words: &str| {
            let matches = ClassifyArgs::augment_args(Command::new("classify")).get_matches_from(words.split(' '));
            ClassifyArgs::from_arg_matches(&matches).unwrap().training.spec(Protection::Simulated).unwrap().to_string()
        };
        assert!(parsed("classify").starts_with("training/smlp/simulated/mnist/784-"), "{}", parsed("classify"));
        assert!(parsed("classify --data xor --epochs 2 --steps 3 --seed 4").ends_with("/4/steps-3"));
    }
}
