//! Networks without activation functions: layers, forward pass, collapse into one affine map.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::Features;

/// Numbers that a dot product adds side by side: the width of the loop, fixed so that the order of summation is.
const LANES: usize = 8;
/// Most outputs of a network: labels are bytes.
const MAX_CLASSES: usize = 256;

/// One affine layer: `weights * x + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Numbers that come in.
    pub inputs: usize,
    /// Numbers that go out.
    pub outputs: usize,
    /// `outputs` rows of `inputs` weights.
    pub weights: Vec<f32>,
    /// One number per output.
    pub bias: Vec<f32>,
}

/// A chain of affine layers with identity activations.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    layers: Vec<Layer>,
}

impl Network {
    /// Checks and keeps the layers, first one first.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] without layers, with an empty layer or more than 256 classes, or when a number is not finite; [`Error::Size`] when a layer has the wrong number of weights, or does not
    /// take what the one before it gives.
    pub fn new(layers: Vec<Layer>) -> Result<Self> {
        let Some(first) = layers.first() else {
            return Err(Error::range("number of layers", &"0", "1 and more"));
        };
        let mut width = first.inputs;
        let classes = layers.last().map_or(0, |layer| layer.outputs);
        if classes > MAX_CLASSES {
            return Err(Error::range("number of classes", &classes, format!("1 to {MAX_CLASSES}")));
        }
        for layer in &layers {
            if layer.inputs == 0 || layer.outputs == 0 {
                return Err(Error::range("width of a layer", &"0", "1 and more"));
            }
            let sizes = [
                ("inputs of a layer", width, layer.inputs),
                ("weights of a layer", layer.inputs * layer.outputs, layer.weights.len()),
                ("biases of a layer", layer.outputs, layer.bias.len()),
            ];
            for (what, expected, actual) in sizes {
                if expected != actual {
                    return Err(Error::size(what, expected, actual));
                }
            }
            if let Some(bad) = layer.weights.iter().chain(&layer.bias).find(|w| !w.is_finite()) {
                return Err(Error::range("weight", &bad, "finite numbers"));
            }
            width = layer.outputs;
        }
        Ok(Self { layers })
    }

    /// The layers, first one first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Numbers that come in.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs)
    }

    /// Numbers that go out: the classes.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// Widths from input to output, for example 784, 128, 64, 10.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        std::iter::once(self.inputs()).chain(self.layers.iter().map(|layer| layer.outputs)).collect()
    }

    /// The logits of one image, layer after layer.
    ///
    /// # Errors
    /// [`Error::Size`] unless there are [`inputs`](Self::inputs) features.
    pub fn logits(&self, features: &[f32]) -> Result<Vec<f32>> {
        if features.len() != self.inputs() {
            return Err(Error::size("features", self.inputs(), features.len()));
        }
        let mut values = features.to_vec();
        for layer in &self.layers {
            values = layer.weights.chunks_exact(layer.inputs).zip(&layer.bias).map(|(row, bias)| dot(row, &values) + bias).collect();
        }
        Ok(values)
    }

    /// The class of each image, in parallel over images.
    ///
    /// # Errors
    /// [`Error::Size`] unless there are [`inputs`](Self::inputs) features per image.
    pub fn classify(&self, features: &Features) -> Result<Vec<u8>> {
        (0..features.count).into_par_iter().map(|index| Ok(argmax(&self.logits(features.row(index))?))).collect()
    }

    /// The one affine map that the whole chain is: W = W3 W2 W1 and b = W3 (W2 b1 + b2) + b3, accumulated in double precision.
    #[must_use]
    pub fn collapse(&self) -> Collapsed {
        let inputs = self.inputs();
        let mut map = Collapsed { inputs, outputs: inputs, weights: Vec::new(), bias: vec![0.0; inputs] };
        for (number, layer) in self.layers.iter().enumerate() {
            let mut weights = vec![0f64; layer.outputs * inputs];
            let mut bias: Vec<f64> = layer.bias.iter().map(|&b| f64::from(b)).collect();
            for output in 0..layer.outputs {
                let row = &layer.weights[output * layer.inputs..(output + 1) * layer.inputs];
                let out = &mut weights[output * inputs..(output + 1) * inputs];
                if number == 0 {
                    for (w, &value) in out.iter_mut().zip(row) {
                        *w = f64::from(value);
                    }
                    continue;
                }
                for (inner, &factor) in row.iter().enumerate() {
                    let factor = f64::from(factor);
                    bias[output] += factor * map.bias[inner];
                    for (w, value) in out.iter_mut().zip(&map.weights[inner * inputs..(inner + 1) * inputs]) {
                        *w += factor * value;
                    }
                }
            }
            map = Collapsed { inputs, outputs: layer.outputs, weights, bias };
        }
        map
    }
}

/// One affine map in double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Collapsed {
    /// Numbers that come in.
    pub inputs: usize,
    /// Numbers that go out: the classes.
    pub outputs: usize,
    /// `outputs` rows of `inputs` weights.
    pub weights: Vec<f64>,
    /// One number per output.
    pub bias: Vec<f64>,
}

impl Collapsed {
    /// The weights of one class.
    #[must_use]
    pub fn row(&self, class: usize) -> &[f64] {
        &self.weights[class * self.inputs..(class + 1) * self.inputs]
    }

    /// The logits of one image.
    ///
    /// # Errors
    /// [`Error::Size`] unless there are `inputs` features.
    pub fn logits(&self, features: &[f32]) -> Result<Vec<f64>> {
        if features.len() != self.inputs {
            return Err(Error::size("features", self.inputs, features.len()));
        }
        let logit = |class: usize| {
            let mut sum = self.bias[class];
            for (weight, &value) in self.row(class).iter().zip(features) {
                sum += weight * f64::from(value);
            }
            sum
        };
        Ok((0..self.outputs).map(logit).collect())
    }

    /// The class of each image, in parallel over images.
    ///
    /// # Errors
    /// [`Error::Size`] unless there are `inputs` features per image.
    pub fn classify(&self, features: &Features) -> Result<Vec<u8>> {
        (0..features.count).into_par_iter().map(|index| Ok(argmax(&self.logits(features.row(index))?))).collect()
    }
}

/// Index of the largest value; the lowest index wins a tie. 0 for an empty slice. Softmax keeps the order of its inputs, so this is the class.
#[must_use]
pub fn argmax<T: PartialOrd + Copy>(values: &[T]) -> u8 {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best as u8
}

/// How many classes equal the labels.
#[must_use]
pub fn count_equal(classes: &[u8], labels: &[u8]) -> usize {
    classes.iter().zip(labels).filter(|(a, b)| a == b).count()
}

/// Sum of products in one fixed order: [`LANES`] running sums, added pairwise at the end, then the rest. Vectorises without changing a bit.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_blocks.remainder().iter().zip(b_blocks.remainder());
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    rest.fold(((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)), |sum, (a, b)| sum + a * b)
}
