//! Workloads: what is computed, and how it is asked for.
//!
//! A [`Workload`] declares its specs ([`crate::spec`]) and opens a [`Bench`], which runs them and
//! turns what it measured into the facts of records. [`registry`] lists those that come with the
//! program.

pub mod estimate;
pub mod inference;
pub mod leakage;
pub mod registry;
mod sampling;
pub mod timing;
pub mod training;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::backend::BackendId;
use crate::control::Control;
use crate::dataset::Images;
use crate::description::Description;
use crate::error::Result;
use crate::features::FeatureMap;
use crate::model::{self, TrainedModel};
use crate::record::journal::FirstDigest;
use crate::record::{CurvePoint, Operation, Outcome};
use crate::spec::{Kind, Spec};
use estimate::{Estimate, Speeds};
pub use sampling::{Division, Sampling, Scenario};
use timing::StageTime;

/// The progress of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step that begins.
    pub what: &'static str,
    /// Units done, of those that [`Bench::work`] counts.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}

/// Hears of progress; an error ends the work. It is called from the pool's threads.
pub type OnProgress<'a> = dyn FnMut(Progress) -> Result<()> + Send + 'a;

/// One model for each feature map.
pub type Models = HashMap<FeatureMap, TrainedModel>;

/// Origins of the data and the models of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The images.
    #[serde(flatten)]
    pub data: Description,
    /// Seed of keys and randomisers.
    pub seed: u64,
    /// The model of each feature map, by its name. None for trainings and for experiments without a
    /// model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<&'static str, ModelSource>,
}

/// Origin of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelSource {
    /// SHA-256 of its file, 64 hex digits.
    pub sha256: String,
    /// `true` if it is the one that comes with the program for the dataset and the feature map.
    pub embedded: bool,
    /// Name of the dataset that it was trained on.
    pub trained_on: String,
    /// SHA-256 of the training images.
    pub training_sha256: String,
}

impl Source {
    /// Images and the models that are run on them.
    #[must_use]
    pub fn new(data: Description, models: &Models, seed: u64) -> Self {
        let of = |model: &TrainedModel| ModelSource {
            sha256: model.sha256.clone(),
            embedded: is_embedded(model, &data.dataset),
            trained_on: model.origin.dataset.clone(),
            training_sha256: model.origin.dataset_sha256.clone(),
        };
        let models = models.iter().map(|(features, model)| (features.name(), of(model))).collect();
        Self { data, seed, models }
    }
}

/// `true` if a model is the one that comes with the program for a dataset.
#[must_use]
pub fn is_embedded(model: &TrainedModel, dataset: &str) -> bool {
    model::embedded(dataset, model.origin.features).is_ok_and(|embedded| embedded.sha256 == model.sha256)
}

/// Everything that the benches of a run share.
pub struct Means {
    /// The test set.
    pub images: Images,
    /// One trained model for each feature map in use.
    pub models: Models,
    /// Origins of both.
    pub source: Source,
    /// `true` if keys may be toys.
    pub allow_toy: bool,
    /// Can stop the work.
    pub control: Control,
}

/// The result of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The row as far as the workload knows it: [`Bench::planned`] and what was measured.
    pub outcome: Outcome,
    /// All stage times, in order.
    pub times: Vec<StageTime>,
    /// The digest that rows of equal keys, images and randomness must agree with.
    pub first_digest: Option<FirstDigest>,
    /// The course of a training.
    pub curve: Vec<CurvePoint>,
    /// Costs of the operations between parties.
    pub operations: Vec<Operation>,
}

/// The amount of work in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Units in all.
    pub total: u64,
    /// Their name, in the plural.
    pub unit: &'static str,
}

/// A kind of computation: one entry of the registry.
pub trait Workload: Send + Sync {
    /// The declaration of its specs.
    fn kind(&self) -> &Kind;

    /// `true` if it computes on the images of a sweep's dataset. Others bring their own data.
    fn takes_images(&self) -> bool;

    /// Refuses what is well-formed and cannot be.
    ///
    /// # Errors
    /// [`Error::Size`](crate::error::Error::Size),
    /// [`Error::OutOfRange`](crate::error::Error::OutOfRange).
    fn check(&self, _spec: &Spec) -> Result<()> {
        Ok(())
    }

    /// The warning for everybody who uses a spec's protection; none for a sound one.
    fn warning(&self, _spec: &Spec) -> Option<String> {
        None
    }

    /// Something that runs its specs; those of one run share keys and whatever else is made once.
    fn bench(&self, means: &Means) -> Box<dyn Bench>;
}

/// Runs the specs of a workload.
pub trait Bench: Send {
    /// The row that a spec will leave, as far as it is known before it runs.
    ///
    /// # Errors
    /// For a spec of another workload.
    fn planned(&self, spec: &Spec) -> Result<Outcome>;

    /// Lines that define a row besides its spec, whatever program runs it. The first names the form
    /// of this list. `sampling` is among them where the workload repeats its work.
    fn definition(&self, spec: &Spec, sampling: Sampling) -> Vec<String>;

    /// The amount of work in a row.
    fn work(&self, spec: &Spec) -> Work;

    /// The backend that decides how long a row takes.
    fn backend(&self, spec: &Spec) -> Option<BackendId>;

    /// The cost of a row on `threads` threads, where its own number is not given. `new_key` is
    /// whether its key is still to be made.
    fn estimate(&mut self, spec: &Spec, sampling: Sampling, speeds: &Speeds, threads: usize, new_key: bool) -> Estimate;

    /// Runs one spec and checks its results before any time is kept.
    ///
    /// # Errors
    /// [`Error::Disagreement`](crate::error::Error::Disagreement) when a result is not what it must
    /// be; whatever the stages report;
    /// [`Error::Interrupted`](crate::error::Error::Interrupted) through `progress`.
    fn run(&mut self, spec: &Spec, sampling: Sampling, progress: &mut OnProgress<'_>) -> Result<Measured>;
}
