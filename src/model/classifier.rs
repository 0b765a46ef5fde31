//! Networks with activations and convolutions, in the clear: what learns from numbers, whatever they are.
//!
//! They are trained by the same loops as the networks without activations (softmax cross-entropy, mini-batches, Adam with a cosine), and like those to the same
//! bits on every machine and with any number of threads.

use rayon::prelude::*;

use super::network::argmax;
use super::train::{descend, propagate};
use super::units::{Extent, LayerShape, Units};
use super::{CLASSES, Progress, Recipe};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::features::Features;

/// A trained network.
#[derive(Clone, Debug)]
pub struct Classifier {
    layers: Vec<Units>,
    /// Taken off the features.
    mean: Vec<f32>,
}

impl Classifier {
    /// Trains hidden layers, and one affine unit per class after them, on labelled features that lie in `extent`. The widths in the recipe are not used.
    /// `progress` hears of each pass over the images; `control` is looked at before each batch.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when `control` was stopped; [`Error::Size`] when labels are missing or the features have another extent;
    /// [`Error::OutOfRange`] when a layer does not fit its input, a label is 10 or more, or a number of the recipe is out of range.
    pub fn train(
        features: &Features,
        labels: &[u8],
        (extent, hidden): (Extent, &[LayerShape]),
        recipe: &Recipe,
        progress: &mut dyn FnMut(Progress),
        control: &Control,
    ) -> Result<Self> {
        let recipe = Recipe { hidden: Vec::new(), ..recipe.clone() };
        let (trainer, mean) = descend(features, labels, CLASSES, (extent, hidden), &recipe, progress, control)?;
        Ok(Self { layers: trainer.layers.iter().map(Units::trained).collect(), mean })
    }

    /// The class of each image, in parallel over images.
    ///
    /// # Errors
    /// [`Error::Size`] when there are more or fewer features per image than in training.
    pub fn classify(&self, features: &Features) -> Result<Vec<u8>> {
        if features.width != self.mean.len() {
            return Err(Error::size("features", self.mean.len(), features.width));
        }
        let len = self.layers.iter().map(Units::len).sum();
        let buffers = || (vec![0f32; features.width], vec![0f32; len]);
        let classify = |(input, outputs): &mut (Vec<f32>, Vec<f32>), index: usize| {
            input.iter_mut().zip(features.row(index)).zip(&self.mean).for_each(|((input, value), mean)| *input = value - mean);
            let begin = propagate(&self.layers, input, outputs);
            argmax(&outputs[begin..begin + self.layers.last().map_or(0, |layer| layer.outputs)])
        };
        Ok((0..features.count).into_par_iter().map_init(buffers, classify).collect())
    }
}
