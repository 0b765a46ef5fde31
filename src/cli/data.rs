//! `fetch`, `train`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::claims::claim_file;
use super::inputs::{open_dataset, training_of};
use super::progress::Meter;
use super::stop::control;
use super::terminal::{note, out, out_json, shown};
use crate::dataset::fetch::{self, Limits, Part};
use crate::dataset::{DatasetChoice, Images, cache_dir};
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::model::{self, Recipe, TrainedModel, count_equal};
use crate::quantise::{IntegerModel, Precision};
use crate::report::quantisation;

/// Options of `fetch`.
#[derive(Args, Clone, Debug)]
pub(super) struct FetchArgs {
    /// Folder for the files [default: the user's cache]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Downloads MNIST.
pub(super) fn fetch(args: &FetchArgs, json: bool) -> Result<bool> {
    let dir = args.out.clone().or_else(cache_dir).ok_or_else(|| Error::unsupported("this system", "a cache folder; pass --out DIR"))?;
    let meter = Meter::start("fetch", 0, "bytes");
    let files = fetch::fetch(
        &dir,
        Part::All,
        Limits::PATIENT,
        &|p| {
            meter.set_total(p.total_bytes.unwrap_or(0));
            meter.set(p.url, p.bytes);
        },
        control(),
    )?;
    drop(meter);
    if json {
        out_json(&json!(files.iter().map(|f| json!({ "path": shown(&f.path), "downloaded": f.downloaded })).collect::<Vec<_>>()));
    } else {
        files
            .iter()
            .for_each(|f| out(&format!("{} ({})", f.path.display(), if f.downloaded { "downloaded, checked" } else { "was there, checked" })));
    }
    Ok(true)
}

/// Options of `train`.
#[derive(Args, Clone, Debug)]
pub(super) struct TrainArgs {
    /// auto, mnist, digits, or a folder with IDX files, the training set included
    #[arg(long, default_value = "auto")]
    dataset: DatasetChoice,
    /// Public feature map: pixels or gradients
    #[arg(long, default_value = "pixels")]
    features: FeatureMap,
    /// Model file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed of the initial weights and of the order of the images
    #[arg(long)]
    seed: Option<u64>,
    /// Passes over the training images
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Widths of the hidden layers, for example 128,64; `none` for a linear model
    #[arg(long, value_name = "WIDTHS")]
    hidden: Option<String>,
}

/// Trains a model and writes it.
pub(super) fn train(args: &TrainArgs, json: bool) -> Result<bool> {
    let _claim = claim_file(&args.out, &[])?;
    let dataset = open_dataset(&args.dataset, true)?;
    let name = dataset.id.to_string();
    let training = training_of(&dataset)?;
    let mut recipe = Recipe::default_for(&name, args.features);
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    recipe.epochs = args.epochs.unwrap_or(recipe.epochs);
    if let Some(hidden) = &args.hidden {
        let bad = || Error::unknown("--hidden", hidden, "widths such as 128,64, or none");
        recipe.hidden = match hidden.as_str() {
            "none" => Vec::new(),
            widths => widths.split(',').map(|w| w.parse().ok().filter(|w| (1..=4096).contains(w)).ok_or_else(bad)).collect::<Result<_>>()?,
        };
    }
    let meter = Meter::start("train", u64::from(recipe.epochs), "epochs");
    let trained = model::train(
        &name,
        &training,
        &dataset.test,
        args.features,
        &recipe,
        &mut |p| meter.set(&format!("loss {:.4}, training accuracy {:.2} %", p.loss, 100.0 * p.accuracy), u64::from(p.epoch)),
        control(),
    )?;
    drop(meter);
    trained.write(&args.out)?;
    let embedded = model::embedded(&name, args.features).ok().map(|m| m == trained);
    if json {
        out_json(
            &json!({ "path": shown(&args.out), "test_accuracy": trained.test_accuracy(), "sha256": trained.sha256, "equals_embedded": embedded }),
        );
    } else {
        let (path, accuracy) = (args.out.display(), 100.0 * trained.test_accuracy());
        out(&format!("{path}: {accuracy:.2} % of {} test images; SHA-256 {}", dataset.test.len(), trained.sha256));
        match embedded {
            Some(true) => note("equal to the embedded model, bit for bit"),
            Some(false) => note("not the embedded model"),
            None => {}
        }
    }
    match integer_correct(&trained, &dataset.test) {
        Ok((precision, correct)) => {
            let integers = format!("{}-bit {}, {}-bit weights", precision.feature_bits, args.features, precision.weight_bits);
            let line = quantisation::cost(trained.origin.test_correct, correct, dataset.test.len(), &integers);
            line.into_iter().for_each(|line| note(&format!("warning: {line}")));
        }
        Err(error) => note(&format!("warning: integers of the usual widths do not do for this model: {error}")),
    }
    Ok(true)
}

/// How many images the integers of a model classify right in the default precision of its features.
fn integer_correct(model: &TrainedModel, images: &Images) -> Result<(Precision, usize)> {
    let features = model.origin.features;
    let precision = Precision::default_for(features);
    let integers = IntegerModel::new(&model.network.collapse(), precision, precision.default_clip(features))?;
    let classes = integers.classify(&precision.features(&features.extract(images)?)?)?;
    Ok((precision, count_equal(&classes, &images.labels)))
}
