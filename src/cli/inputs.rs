//! Datasets and models of commands, opened with what a user should know of them.

use std::collections::HashMap;
use std::path::PathBuf;

use super::choices::registry;
use super::progress::Meter;
use super::stop::control;
use super::terminal::note;
use crate::dataset::{Dataset, DatasetChoice, Images};
use crate::description::Description;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::model::{self, TrainedModel};
use crate::record::Records;
use crate::report::quantisation;
use crate::spec::Spec;
use crate::workload::Models;

/// Opens a dataset, with progress when it has to be fetched, and says which it is.
pub(super) fn open_dataset(choice: &DatasetChoice, offline: bool) -> Result<Dataset> {
    let meter = Meter::start("fetching MNIST", 0, "bytes");
    let dataset = choice.open(
        offline,
        &|p| {
            meter.set_total(p.total_bytes.unwrap_or(0));
            meter.set(p.url, p.bytes);
        },
        control(),
    )?;
    drop(meter);
    note(&format!("dataset: {}{}", dataset.origin, if dataset.note.is_empty() { String::new() } else { format!(" ({})", dataset.note) }));
    warn_dim("test", &dataset.test);
    Ok(dataset)
}

/// The training set of a dataset. That its pixels alone are on another scale is said, too.
pub(super) fn training_of(dataset: &Dataset) -> Result<Images> {
    let training = dataset.training()?;
    if dataset.test.dim().is_none() {
        warn_dim("training", &training);
    }
    Ok(training)
}

/// Says when pixels lie far below the white that they are divided by.
fn warn_dim(part: &str, images: &Images) {
    if let Some(largest) = images.dim() {
        let white = images.max_pixel;
        note(&format!(
            "warning: the largest pixel of the {part} images is {largest}, white is {white}: they are taken as dark; scale pixels to 0 to {white}"
        ));
    }
}

/// The model for a dataset and feature map: the file where one is given, else the embedded one.
pub(super) fn model_for(dataset: &str, features: FeatureMap, file: Option<&PathBuf>) -> Result<TrainedModel> {
    match file {
        Some(path) => TrainedModel::read(path),
        None => model::embedded(dataset, features).map_err(|error| match error {
            Error::Unknown { what, value, known } => {
                Error::unknown(what, value, format!("{known}; others need --model, or --slot-bits for `encrypt`"))
            }
            error => error,
        }),
    }
}

/// The models of some feature maps for certain images.
pub(super) fn models_for(data: &Description, features: &[FeatureMap], file: Option<&PathBuf>) -> Result<Models> {
    let mut models = HashMap::new();
    for &features in features {
        if models.contains_key(&features) {
            continue;
        }
        let model = model_for(&data.dataset, features, file)?;
        if model.origin.features != features {
            return Err(Error::unsupported(
                format!("a model for {}", model.origin.features.name()),
                format!("{}; pass --features {}", features.name(), model.origin.features.name()),
            ));
        }
        if let Some(path) = file {
            note(&format!("model: {}, SHA-256 {}", path.display(), model.sha256));
        }
        check_model(&model, file, data)?;
        models.insert(features, model);
    }
    Ok(models)
}

/// Refuses images that a model is not for, and says when it was trained on another set than theirs.
pub(super) fn check_model(model: &TrainedModel, file: Option<&PathBuf>, data: &Description) -> Result<()> {
    let name = file.map_or_else(|| "the embedded model".into(), |path| path.display().to_string());
    let own = model.origin.data();
    own.check_pixels(&name, data, &data.dataset)?;
    if let Some(words) = own.other_training(data) {
        note(&format!("warning: {name} {words}"));
    }
    Ok(())
}

/// Says where integers classify far fewer images right than the floats that they stand for.
pub(super) fn warn_quantisation(records: &Records) {
    quantisation::costs(records).iter().for_each(|line| note(&format!("warning: {line}")));
}

/// Names the break of every unsound protection among some specs.
pub(super) fn warn_unsound<'a>(specs: impl Iterator<Item = &'a Spec>) {
    let mut said = Vec::new();
    for spec in specs {
        let warning = registry().workload(spec.workload()).ok().and_then(|workload| workload.warning(spec));
        if let Some(warning) = warning.filter(|warning| !said.contains(warning)) {
            note(&format!("warning: {warning}"));
            said.push(warning);
        }
    }
}
