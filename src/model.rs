//! Models: networks with identity activations in f32, their training, their collapse into one affine map, and their files; classifiers with activations and
//! convolutions, which are trained the same way and never evaluated under encryption.
//!
//! Without activation functions a chain of layers is one affine map, and softmax keeps the order of its inputs: the server needs neither, which is what
//! makes inference under an additive scheme possible (after Perekos, *Privacy-preserving neural networks learning*, CryptoWiki 2019; sizes and
//! training are our own). [`Network::collapse`] is that step.
//!
//! Training gives **the same bits on every machine**, so the model files in this repository are reproducible from their recipe; [`train`] says how.

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::dataset::Images;
use crate::description::Description;
use crate::error::{Error, Result};
use crate::features::FeatureMap;

mod classifier;
mod file;
mod network;
mod recipe;
#[cfg(test)]
pub(crate) mod testdata;
#[cfg(test)]
mod tests;
mod train;
mod units;

pub use classifier::Classifier;
pub use file::embedded;
pub use network::{Collapsed, Layer, Network, argmax, count_equal};
pub use recipe::{CLASSES, Progress, Recipe};
pub use units::{Activation, Extent, LayerShape};

/// A network and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedModel {
    /// The layers.
    pub network: Network,
    /// What it is and how it came about.
    pub origin: Origin,
    /// SHA-256 of its file, 64 hex digits: what it is known by.
    pub sha256: String,
}

/// Everything about a trained model but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the dataset.
    pub dataset: String,
    /// SHA-256 in hex of the training images as an uncompressed IDX file: see [`Images::sha256`].
    pub dataset_sha256: String,
    /// Rows of pixels of an image.
    pub rows: usize,
    /// Columns of pixels of an image.
    pub cols: usize,
    /// Largest pixel value.
    pub max_pixel: u8,
    /// What the network takes.
    pub features: FeatureMap,
    /// How it was trained.
    pub recipe: Recipe,
    /// Images it was tested on after training.
    pub test_images: usize,
    /// How many of them it classified correctly, in f32 and layer after layer.
    pub test_correct: usize,
}

impl Origin {
    /// The images that the model is for. Their test set is not known.
    #[must_use]
    pub fn data(&self) -> Description {
        Description {
            dataset: self.dataset.clone(),
            dataset_sha256: String::new(),
            training_sha256: self.dataset_sha256.clone(),
            rows: self.rows,
            cols: self.cols,
            white: self.max_pixel,
        }
    }
}

impl TrainedModel {
    /// Share of test images classified correctly after training, 0 to 1; 0 without test images.
    #[must_use]
    pub fn test_accuracy(&self) -> f64 {
        self.origin.test_correct as f64 / self.origin.test_images.max(1) as f64
    }
}

/// Trains a model and tests it. Equal arguments give equal bytes on every machine, whatever its processor and number of threads.
///
/// `progress` hears of each pass over the images; `control` is looked at before each batch.
///
/// # Errors
/// [`Error::Interrupted`] when `control` was stopped; [`Error::Size`] when training and test images differ in shape or labels are missing;
/// [`Error::OutOfRange`] when there are no images, a label is 10 or more, or a pixel or a number of
/// the recipe is out of range; as [`TrainedModel::to_bytes`].
pub fn train(
    dataset: &str,
    images: &Images,
    test: &Images,
    features: FeatureMap,
    recipe: &Recipe,
    progress: &mut dyn FnMut(Progress),
    control: &Control,
) -> Result<TrainedModel> {
    for (what, expected, actual) in [
        ("rows of a test image", images.rows, test.rows),
        ("columns of a test image", images.cols, test.cols),
        ("largest pixel value of the test images", images.max_pixel.into(), test.max_pixel.into()),
    ] {
        if expected != actual {
            return Err(Error::size(what, expected, actual));
        }
    }
    let network = train::fit(&features.extract(images)?, &images.labels, CLASSES, recipe, progress, control)?;
    let classes = network.classify(&features.extract(test)?)?;
    let origin = Origin {
        dataset: dataset.into(),
        dataset_sha256: images.sha256(),
        rows: images.rows,
        cols: images.cols,
        max_pixel: images.max_pixel,
        features,
        recipe: recipe.clone(),
        test_images: test.len(),
        test_correct: count_equal(&classes, &test.labels),
    };
    TrainedModel::new(network, origin)
}
