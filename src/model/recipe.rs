//! Recipes: how a model is trained.

use serde::{Deserialize, Serialize};

use crate::features::FeatureMap;

/// Classes of the datasets: the ten digits.
pub const CLASSES: usize = 10;

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Widths of the hidden layers; empty for a linear model.
    pub hidden: Vec<usize>,
    /// Whether the mean of the training features is taken off first (it ends up in the first bias). Helps dense features, costs the sparsity of pixels.
    pub centre: bool,
    /// Passes over the training images.
    pub epochs: u32,
    /// Images per step of Adam.
    pub batch: usize,
    /// Adam's step size at the start; falls to zero along a cosine.
    pub learning_rate: f64,
    /// Times the weight, added to its gradient.
    pub weight_decay: f64,
    /// Largest absolute weight, enforced after each step: keeps narrow quantisation exact.
    pub weight_clip: Option<f64>,
    /// Seed of the initial weights and of the order of the images.
    pub seed: u64,
}

impl Recipe {
    /// The recipe of the embedded model of a dataset (`mnist`, `digits`); other datasets get MNIST's.
    ///
    /// The numbers, the seed among them, are chosen by the accuracy on the last 10,000 training images (300 for the digits) after training on the
    /// others.
    #[must_use]
    pub fn default_for(dataset: &str, features: FeatureMap) -> Self {
        let is_small = dataset == "digits";
        let (epochs, batch) = if is_small { (60, 32) } else { (15, 256) };
        match features {
            FeatureMap::Pixels => Self {
                hidden: vec![128, 64],
                centre: false,
                epochs,
                batch,
                learning_rate: 1e-3,
                weight_decay: if is_small { 3e-3 } else { 2e-5 },
                weight_clip: None,
                seed: 2,
            },
            FeatureMap::Gradients => Self {
                hidden: Vec::new(),
                centre: true,
                epochs: epochs.max(30),
                batch,
                learning_rate: if is_small { 1e-2 } else { 2e-2 },
                weight_decay: if is_small { 1e-3 } else { 2e-5 },
                weight_clip: None,
                seed: 1,
            },
        }
    }
}

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Number of the pass that just ended, from 1.
    pub epoch: u32,
    /// Passes in all.
    pub epochs: u32,
    /// Mean cross-entropy over the pass, in nats, each image seen with the weights of its batch.
    pub loss: f64,
    /// Share of training images classified correctly during the pass, 0 to 1.
    pub accuracy: f64,
}
