//! The learner: ciphertext coordinates as numbers, scaled by what anybody can compute who has the ciphertexts, into a small network.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::Features;
use crate::model::{Activation, Extent, LayerShape, Recipe};
use crate::text::named;

/// Rows whose sums a thread adds before they are added to the others', in the order of the rows. Fixed, so that the order of summation is.
const ROWS_PER_SUM: usize = 512;
/// Share of the mean spread of all coordinates that is added to each: a coordinate that is constant but for noise must not be blown up to full strength.
const FLOOR: f64 = 0.2;

/// Numbers of a set of ciphertexts, or of plaintexts that stand beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordinates {
    /// Number of images.
    pub count: usize,
    /// Numbers per image.
    pub width: usize,
    /// Numbers, image after image.
    pub values: Vec<i64>,
}

impl Coordinates {
    /// The numbers of one image.
    #[must_use]
    pub fn row(&self, index: usize) -> &[i64] {
        &self.values[index * self.width..(index + 1) * self.width]
    }
}

/// Centre and spread of each coordinate over a set of ciphertexts: public statistics that no key is needed for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    mean: Vec<f64>,
    factor: Vec<f64>,
}

impl Scaling {
    /// Mean and standard deviation of the coordinates, in double precision and in one order of summation.
    #[must_use]
    pub fn of(coordinates: &Coordinates) -> Self {
        let count = coordinates.count.max(1) as f64;
        let sums = |term: &(dyn Fn(usize, f64) -> f64 + Sync)| {
            let parts: Vec<Vec<f64>> = coordinates
                .values
                .par_chunks(ROWS_PER_SUM * coordinates.width.max(1))
                .map(|rows| {
                    let mut sums = vec![0f64; coordinates.width];
                    for row in rows.chunks_exact(coordinates.width) {
                        for (at, (sum, &value)) in sums.iter_mut().zip(row).enumerate() {
                            *sum += term(at, value as f64);
                        }
                    }
                    sums
                })
                .collect();
            let mut total = vec![0f64; coordinates.width];
            for part in parts {
                total.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
            }
            total
        };
        let mean: Vec<f64> = sums(&|_, value| value).iter().map(|sum| sum / count).collect();
        let deviation: Vec<f64> = sums(&|at, value| (value - mean[at]) * (value - mean[at])).iter().map(|sum| (sum / count).sqrt()).collect();
        let floor = FLOOR * deviation.iter().sum::<f64>() / deviation.len().max(1) as f64;
        let factor = deviation.iter().map(|deviation| if deviation + floor > 0.0 { 1.0 / (deviation + floor) } else { 0.0 }).collect();
        Self { mean, factor }
    }

    /// The coordinates from the first to `width`, centred and scaled.
    ///
    /// # Errors
    /// [`Error::Size`] when they are of another width than those that the scaling is of.
    pub fn apply(&self, coordinates: &Coordinates, width: usize) -> Result<Features> {
        if coordinates.width != self.mean.len() || width > coordinates.width {
            return Err(Error::size("coordinates of a ciphertext", self.mean.len(), coordinates.width));
        }
        let mut values = vec![0f32; coordinates.count * width];
        if width > 0 {
            values.par_chunks_mut(width).enumerate().for_each(|(index, out)| {
                for (((out, &value), mean), factor) in out.iter_mut().zip(coordinates.row(index)).zip(&self.mean).zip(&self.factor) {
                    *out = ((value as f64 - mean) * factor) as f32;
                }
            });
        }
        Ok(Features { count: coordinates.count, width, values })
    }
}

named! {
    /// A network that learns from coordinates.
    pub enum Learner: "network" {
        /// One affine map and softmax, on all coordinates.
        Softmax => "softmax": "softmax regression on all coordinates",
        /// A hidden layer of 128 with ReLU, on all coordinates.
        Mlp => "mlp": "multilayer perceptron, 128 units with ReLU, on all coordinates",
        /// Two convolutions, a dense layer of 64 and ReLU after each, on the first coordinates as
        /// if they were the pixels.
        Conv => "conv": "convolutional: 8 and 16 channels with a step of 2 in place of pooling, 64 units, on the coordinates as an image",
    }
}

impl Learner {
    /// Coordinates that it sees of ciphertexts of `width` numbers whose first are those of an image.
    #[must_use]
    pub const fn inputs(self, (rows, cols): (usize, usize), width: usize) -> usize {
        match self {
            Self::Softmax | Self::Mlp => width,
            Self::Conv => rows * cols,
        }
    }

    /// How its inputs lie, and its hidden layers.
    #[must_use]
    pub fn layers(self, (rows, cols): (usize, usize), width: usize) -> (Extent, Vec<LayerShape>) {
        let dense = |outputs| LayerShape::Dense { outputs, activation: Activation::Relu };
        match self {
            Self::Softmax => (Extent::flat(width), Vec::new()),
            Self::Mlp => (Extent::flat(width), vec![dense(128)]),
            Self::Conv => {
                // Windows of 5 by 5 on MNIST, as LeNet has; the digits of 8 by 8 are too small for two of them.
                let (kernel, step) = if rows.min(cols) >= 20 { (5, 2) } else { (3, 1) };
                let window = |channels, step| LayerShape::Convolution { channels, kernel, step };
                (Extent { rows, cols, channels: 1 }, vec![window(8, step), window(16, 2), dense(64)])
            }
        }
    }

    /// How it is trained on `images` images.
    #[must_use]
    pub fn recipe(self, images: usize, epochs: Option<u32>, seed: u64) -> Recipe {
        let few = images < 10_000;
        let (batch, learning_rate) = match self {
            Self::Softmax => (100, 3e-3),
            Self::Mlp => (100, 1e-3),
            Self::Conv => (50, 2e-3),
        };
        Recipe {
            hidden: Vec::new(),
            centre: false,
            epochs: epochs.unwrap_or(match self {
                _ if images < 3000 => 40,
                _ if few => 8,
                Self::Softmax => 4,
                Self::Mlp | Self::Conv => 3,
            }),
            batch: if images < 3000 { 32 } else { batch },
            learning_rate,
            weight_decay: 1e-4,
            weight_clip: None,
            seed,
        }
    }
}
