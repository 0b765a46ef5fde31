//! `run`.

use std::path::PathBuf;

use clap::Args;

use super::choices::{ChoiceArgs, OfInference, registry};
use super::claims::claim_results;
use super::inputs::{models_for, open_dataset, warn_quantisation, warn_unsound};
use super::progress::Meter;
use super::stop::{check_stop, control};
use super::sweep::{ending, names, warn_disturbed};
use super::terminal::{note, out};
use crate::backend::BackendId;
use crate::dataset::DatasetChoice;
use crate::durable::Claim;
use crate::error::Result;
use crate::features::FeatureMap;
use crate::machine;
use crate::measure::{Benches, Run, busy_warning};
use crate::model::TrainedModel;
use crate::plot::{self as figures, Beside, FileKind};
use crate::report::{self, Format};
use crate::spec::Setting;
use crate::workload::{Means, Sampling, Source};

/// Options of `run`. Lists are separated by commas; every combination is run.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// auto (MNIST if it is here or quickly fetched, else digits), mnist, digits, or a folder with IDX files
    #[arg(long, default_value = "auto")]
    dataset: DatasetChoice,
    /// A trained model file in place of the embedded models; needed for other datasets than mnist and digits
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    choices: ChoiceArgs<OfInference>,
    /// Repeat batches until this many were timed, each with fresh randomness [default: 6 for
    /// batches under about a second, else 1]
    #[arg(long, value_name = "N")]
    min_samples: Option<u32>,
    /// Repeat batches until their online time is this long
    #[arg(long, default_value_t = 0, value_name = "MS")]
    min_time: u32,
    /// Do not keep the times of batches that begin in the first this many milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    warm_up: u32,
    /// Seed of keys and randomisers: equal seeds give equal ciphertexts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Results folder [default: results/DATE-TIME-local]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
    /// Do not use the network
    #[arg(long)]
    offline: bool,
}

impl Default for RunArgs {
    fn default() -> Self {
        Self {
            dataset: DatasetChoice::Auto,
            model: None,
            choices: ChoiceArgs::default(),
            min_samples: None,
            min_time: 0,
            warm_up: 0,
            seed: 1,
            out: None,
            toy: false,
            offline: false,
        }
    }
}

impl RunArgs {
    /// The main job on the GPU: a few times once its clock is up, or in software once.
    pub(super) fn on_gpu(software: bool) -> Self {
        let (warm_up, min_samples) = if software { (0, 1) } else { (2000, 5) };
        let choices = ChoiceArgs::default().or("backend", &[BackendId::Gpu]);
        Self { choices, warm_up, min_samples: Some(min_samples), ..Self::default() }
    }

    fn sampling(&self) -> Sampling {
        let asked = Sampling { warm_up_ms: self.warm_up, least_ms: self.min_time, ..Sampling::ONCE };
        match self.min_samples {
            Some(least_samples) => Sampling { least_samples, ..asked },
            None if self.min_time > 0 => asked,
            None => {
                let (least_samples, most_ms) = (Sampling::SHORT.least_samples, Sampling::SHORT.most_ms.saturating_add(self.warm_up));
                Sampling { least_samples, most_ms, ..asked }
            }
        }
    }
}

/// Runs all specs, prints the table and writes the results folder.
pub(super) fn run(args: &RunArgs, json: bool) -> Result<bool> {
    run_in(&claim_results(args.out.as_deref(), "local")?, args, json)
}

/// The same into a folder that is taken already.
pub(super) fn run_in(claim: &Claim, args: &RunArgs, json: bool) -> Result<bool> {
    let out_dir = claim.path();
    // What is wrong or not here is refused before anything is fetched.
    args.choices.open_backends()?;
    args.choices.check_toy(args.toy)?;
    // The feature maps that were asked for, else those that there are models of.
    let choices = match &args.model {
        Some(path) if args.choices.words("features").is_empty() => {
            args.choices.clone().or("features", &[TrainedModel::read(path)?.origin.features.name()])
        }
        _ => args.choices.clone(),
    };
    choices.check_combinations()?;
    let dataset = open_dataset(&args.dataset, args.offline)?;
    let setting = Setting { dataset: dataset.id.to_string(), images: dataset.test.len(), seed: args.seed, at_most: false };
    let specs = choices.specs(&setting)?;
    let named: Vec<&str> = choices.words("features");
    let features: Vec<FeatureMap> = FeatureMap::ALL.into_iter().filter(|map| named.is_empty() || named.contains(&map.name())).collect();
    let data = dataset.description();
    let models = models_for(&data, &features, args.model.as_ref())?;
    if let Some(warning) = busy_warning(machine::load_average()) {
        note(&format!("warning: {warning}"));
    }
    warn_unsound(specs.iter());
    let source = Source::new(data, &models, args.seed);
    let means = Means { images: dataset.test, models, source: source.clone(), allow_toy: args.toy, control: control().clone() };
    let mut benches = Benches::new(registry(), means);
    let mut run = Run::start(source);
    let sampling = args.sampling();
    let mut planned = Vec::new();
    for spec in &specs {
        planned.push(run.planned(benches.of(registry(), spec)?, spec, sampling)?);
    }
    let mut failed = 0;
    for (number, (spec, name)) in specs.iter().zip(names(planned)).enumerate() {
        check_stop()?;
        let name = format!("[{}/{}] {name}", number + 1, specs.len());
        let bench = benches.of(registry(), spec)?;
        let work = bench.work(spec);
        let meter = Meter::start(&name, work.total, work.unit);
        let entry = run.row(bench, spec, sampling, &mut |progress| {
            meter.set(progress.what, progress.done);
            check_stop()
        })?;
        drop(meter);
        failed += usize::from(entry.outcome.error.is_some());
        note(&format!("{name}: {}", ending(&entry)));
        run.add(entry);
    }
    run.write(out_dir)?;
    let drawn = figures::draw(run.records(), out_dir, &FileKind::ALL, Beside::default())?;
    warn_disturbed(run.records(), out_dir);
    warn_quantisation(run.records());
    if json {
        out(&report::json(run.records())?);
    } else {
        out(&format!("\n{}", report::table(run.records(), Format::Text)));
        out(
            "accuracy: share of images classified as labelled. agreement: share classified as the quantised plaintext model does; every logit of the integer and encrypted rows was compared.",
        );
        out(&format!(
            "\n{}: samples.csv, outcomes.csv, run.toml and {} figures. `cipherlane report {} --details` shows spread and ratios.",
            out_dir.display(),
            drawn.figures,
            out_dir.display()
        ));
    }
    Ok(failed == 0)
}
