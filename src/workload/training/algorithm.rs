//! The training algorithm, written once over [`Arithmetic`]: under encryption, in the integer simulator and in f64 it is this code that runs.
//!
//! A is a mini-batch of B records, one a row, with one more column of the constant 1 for the biases; W holds the weights of a layer, one input a row, with the
//! biases as the last row; Q is the scale of all of them. div(x, d) rounds to one of the two neighbours so that its expectation is exact.
//!
//! ```text
//! forward    Z = div(A W, Q);  A' = max(Z, 0), and the bit of each sign is kept;  the output layer is linear
//! error      D = T - Z, of the output
//! backward   D' = kept bits * div(D W^T, Q), without the biases
//! velocity   V = div(a A^T D + m V, Q B / F), at scale Q F: the mean gradient times a/b's numerator, plus the share m of the velocity before
//! update     W = W + div(V, b F d), with the step size a/b and its decay 1/d
//! ```
//!
//! Without momentum velocity and update are one division: W = div(a A^T D + Q B b d W, Q B b d). All divisors and factors are public. Nothing is revealed.

use rand_chacha::rand_core::Rng;

use super::data::{Use, stream};
use super::recipe::Recipe;
use super::{Ratio, Widths};
use crate::error::{Error, Result};
use crate::scheme::private_training::{Arithmetic, Product};
use crate::scheme::smlp;

/// Bits before the point that magnitudes may have, declared for every matrix. A run that leaves them stops with an error in the simulator, which comes first.
mod headroom {
    /// Inputs and labels: from -2 to 2.
    pub const INPUT: u32 = 1;
    /// Weights and biases: from -16 to 16.
    pub const WEIGHT: u32 = 4;
    /// Sums and activations: from -32 to 32.
    pub const ACTIVATION: u32 = 5;
    /// Errors: from -64 to 64.
    pub const ERROR: u32 = 6;
    /// Velocities: from -64 to 64, times the numerator of the step.
    pub const VELOCITY: u32 = 6;
}

/// Parameters as integers at scale Q: per layer `inputs + 1` rows of `outputs` numbers, the last row the biases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    widths: Widths,
    layers: Vec<Vec<i64>>,
}

impl Parameters {
    /// Numbers of a network, layer by layer.
    ///
    /// # Errors
    /// [`Error::Size`] when there are too few or too many.
    pub fn new(widths: &Widths, layers: Vec<Vec<i64>>) -> Result<Self> {
        let pairs = widths.as_slice().windows(2);
        if pairs.len() != layers.len() {
            return Err(Error::size("layers", pairs.len(), layers.len()));
        }
        for (pair, layer) in pairs.zip(&layers) {
            let expected = (pair[0] + 1) * pair[1];
            if layer.len() != expected {
                return Err(Error::size("parameters of a layer", expected, layer.len()));
            }
        }
        Ok(Self { widths: widths.clone(), layers })
    }

    /// Initial parameters: normal with variance 2 / inputs (He, Zhang, Ren and Sun 2015), biases 0, rounded to the nearest integer. The normal numbers are sums of twelve
    /// uniform ones, so that every machine draws the same.
    #[must_use]
    pub fn initial(widths: &Widths, recipe: &Recipe, seed: u64) -> Self {
        let mut rng = stream(seed, Use::Parameters);
        // In units of 2^-32, so exact in f64.
        let mut normal = || (0..12).map(|_| f64::from(rng.next_u32())).sum::<f64>() / 4_294_967_296.0 - 6.0;
        let layers = widths.as_slice().windows(2).map(|pair| {
            let deviation = (2.0 / pair[0] as f64).sqrt() * recipe.scale() as f64;
            let mut layer: Vec<i64> = (0..pair[0] * pair[1]).map(|_| (normal() * deviation).round() as i64).collect();
            layer.resize((pair[0] + 1) * pair[1], 0);
            layer
        });
        Self { widths: widths.clone(), layers: layers.collect() }
    }

    /// The network.
    #[must_use]
    pub fn widths(&self) -> &Widths {
        &self.widths
    }

    /// Numbers of each layer, row by row.
    #[must_use]
    pub fn layers(&self) -> &[Vec<i64>] {
        &self.layers
    }
}

/// A layer under protection.
struct Layer<M> {
    /// `inputs + 1` by `outputs`.
    weights: M,
    /// Of the same shape, from the first step on where the recipe has momentum.
    velocity: Option<M>,
}

/// A multilayer perceptron with rectifiers between its layers, under protection.
pub struct Perceptron<A: Arithmetic> {
    layers: Vec<Layer<A::Matrix>>,
    recipe: Recipe,
}

/// What the update of a batch divides and multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Factors {
    /// Times the sum of the gradients.
    gradient: u32,
    /// Times what was there before.
    before: u32,
    /// What their sum is divided by.
    divisor: u64,
}

impl<A: Arithmetic> Perceptron<A> {
    /// Brings initial parameters under protection.
    ///
    /// # Errors
    /// As [`Arithmetic::upload`].
    pub fn new(arithmetic: &mut A, parameters: &Parameters, recipe: &Recipe) -> Result<Self> {
        let bits = recipe.scale_bits + headroom::WEIGHT;
        let pairs = parameters.widths.as_slice().windows(2).zip(&parameters.layers);
        let layers = pairs.map(|(pair, values)| Ok(Layer { weights: arithmetic.upload(values, pair[0] + 1, pair[1], bits)?, velocity: None }));
        Ok(Self { layers: layers.collect::<Result<_>>()?, recipe: recipe.clone() })
    }

    /// Goes on where [`Self::state`] was taken.
    ///
    /// # Errors
    /// [`Error::Size`] for a state of another form.
    pub fn resume(state: Vec<A::Matrix>, recipe: &Recipe, layers: usize) -> Result<Self> {
        let velocities = match state.len() {
            n if n == layers => false,
            n if n == 2 * layers => true,
            actual => return Err(Error::size("matrices of a state", layers, actual)),
        };
        let mut state = state.into_iter();
        let weights: Vec<_> = state.by_ref().take(layers).collect();
        let layer = |weights| Layer { weights, velocity: if velocities { state.next() } else { None } };
        Ok(Self { layers: weights.into_iter().map(layer).collect(), recipe: recipe.clone() })
    }

    /// Everything that the next step needs: the weights of all layers, then, once there are some, their velocities.
    #[must_use]
    pub fn state(&self) -> Vec<A::Matrix> {
        let velocities = self.layers.iter().filter_map(|layer| layer.velocity.clone());
        self.layers.iter().map(|layer| layer.weights.clone()).chain(velocities).collect()
    }

    /// The weights of all layers.
    #[must_use]
    pub fn weights(&self) -> Vec<A::Matrix> {
        self.layers.iter().map(|layer| layer.weights.clone()).collect()
    }

    /// Records of a user: inputs, row by row, at scale Q.
    ///
    /// # Errors
    /// As [`Arithmetic::upload`].
    pub fn upload(arithmetic: &mut A, recipe: &Recipe, values: &[i64], width: usize) -> Result<A::Matrix> {
        arithmetic.upload(values, values.len() / width.max(1), width, input_bits(recipe))
    }

    /// Outputs of a batch at scale Q.
    ///
    /// # Errors
    /// As the operations.
    pub fn forward(&self, arithmetic: &mut A, inputs: &A::Matrix) -> Result<A::Matrix> {
        Ok(self.propagate(arithmetic, inputs)?.0)
    }

    /// The class of each record of a batch, for the user's eyes.
    ///
    /// # Errors
    /// As the operations.
    pub fn classify(&self, arithmetic: &mut A, inputs: &A::Matrix) -> Result<A::Answer> {
        let outputs = self.forward(arithmetic, inputs)?;
        arithmetic.argmax(&outputs)
    }

    /// Outputs, and what the backward pass needs of each layer: its inputs with the constant column, and the kept bits of the layer before.
    fn propagate(&self, arithmetic: &mut A, inputs: &A::Matrix) -> Result<Passed<A>> {
        let (q, bits) = (self.recipe.scale(), self.recipe.scale_bits + headroom::ACTIVATION);
        let mut passed = Vec::with_capacity(self.layers.len());
        let (mut activations, mut kept) = (inputs.clone(), None);
        for (number, layer) in self.layers.iter().enumerate() {
            let with_one = arithmetic.with_constant_column(&activations, q)?;
            let sums = arithmetic.product(&Product::new(&with_one, &layer.weights, q as u64, bits))?;
            passed.push((with_one, kept.take()));
            if number + 1 == self.layers.len() {
                return Ok((sums, passed));
            }
            let (positive, signs) = arithmetic.relu(&sums)?;
            (activations, kept) = (positive, Some(signs));
        }
        Err(Error::size("layers", 1, 0))
    }

    /// One mini-batch of gradient descent on the squared error. `decay` divides the step size.
    ///
    /// # Errors
    /// As the operations; [`Error::OutOfRange`] when a factor leaves 32 bits.
    pub fn step(&mut self, arithmetic: &mut A, inputs: &A::Matrix, labels: &A::Matrix, decay: i64) -> Result<()> {
        let (q, scale_bits) = (self.recipe.scale() as u64, self.recipe.scale_bits);
        let error_bits = scale_bits + headroom::ERROR;
        let batch = arithmetic.shape(inputs).rows as u64;
        let (outputs, passed) = self.propagate(arithmetic, inputs)?;
        let mut errors = arithmetic.subtract(labels, &outputs, error_bits)?;
        let mut gradients = Vec::with_capacity(self.layers.len());
        for (layer, (with_one, kept)) in self.layers.iter().zip(passed).rev() {
            let before = match kept {
                None => None,
                Some(kept) => {
                    let weights = arithmetic.without_last_row(&layer.weights)?;
                    let all = arithmetic.product(&Product::new(&errors, &weights, q, error_bits).transpose_right())?;
                    Some(arithmetic.select(&kept, &all)?)
                }
            };
            gradients.push((with_one, errors.clone()));
            if let Some(before) = before {
                errors = before;
            }
        }
        // Every layer's errors come from the weights before the step.
        for (layer, (inputs, errors)) in self.layers.iter_mut().rev().zip(gradients) {
            layer.descend(arithmetic, &self.recipe, (&inputs, &errors), batch, decay)?;
        }
        Ok(())
    }
}

/// Outputs, and per layer its inputs and the bits of the layer before.
type Passed<A> = (<A as Arithmetic>::Matrix, Vec<(<A as Arithmetic>::Matrix, Option<<A as Arithmetic>::Bits>)>);

impl<M: Clone> Layer<M> {
    fn descend<A: Arithmetic<Matrix = M>>(
        &mut self,
        arithmetic: &mut A,
        recipe: &Recipe,
        (inputs, errors): (&M, &M),
        batch: u64,
        decay: i64,
    ) -> Result<()> {
        let weight_bits = recipe.scale_bits + headroom::WEIGHT;
        let gradient = |divisor, bits| Product::new(inputs, errors, divisor, bits).transpose_left();
        let Some(momentum) = recipe.momentum else {
            let Factors { gradient: scale, before, divisor } = plain(recipe, batch, decay)?;
            self.weights = arithmetic.product(&gradient(divisor, weight_bits).scaled(scale).plus(&self.weights, before))?;
            return Ok(());
        };
        let numerator_bits = u32::BITS - recipe.step.numerator.saturating_sub(1).leading_zeros();
        let velocity_bits = recipe.scale_bits + recipe.velocity_bits + headroom::VELOCITY + numerator_bits;
        let Factors { gradient: scale, before, divisor } = heavy_ball(recipe, momentum, batch)?;
        let product = gradient(divisor, velocity_bits).scaled(scale);
        let velocity = match &self.velocity {
            None => arithmetic.product(&product)?,
            Some(velocity) => arithmetic.product(&product.plus(velocity, before))?,
        };
        let divisor = u64::from(recipe.step.denominator) * decay as u64;
        let change = arithmetic.divide(&velocity, divisor << recipe.velocity_bits, weight_bits)?;
        self.weights = arithmetic.add(&self.weights, &change, weight_bits)?;
        self.velocity = Some(velocity);
        Ok(())
    }
}

fn narrow(what: &'static str, value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::range(what, &value, format!("up to {}", u32::MAX)))
}

/// Declared bits of inputs and labels.
pub(super) const fn input_bits(recipe: &Recipe) -> u32 {
    recipe.scale_bits + headroom::INPUT
}

/// Bits of a slot that holds every product of a training with its masks.
#[must_use]
pub fn slot_bits(widths: &Widths, recipe: &Recipe, batch: usize) -> u32 {
    let (bits, largest) = (recipe.scale_bits, widths.as_slice().iter().copied().max().unwrap_or(1));
    let scale = recipe.momentum.and_then(|momentum| heavy_ball(recipe, momentum, batch as u64).ok()).map_or(recipe.step.numerator, |f| f.gradient);
    let (activation, weight, error) = (bits + headroom::ACTIVATION, bits + headroom::WEIGHT, bits + headroom::ERROR);
    [
        smlp::slot_bits(activation, weight, largest + 1, 1),
        smlp::slot_bits(error, weight, largest, 1),
        // What was there before is added: one bit more.
        smlp::slot_bits(activation, error, batch, scale) + 1,
    ]
    .into_iter()
    .fold(0, u32::max)
}

/// W + a G / (Q B b d) = (a G + Q B b d W) / (Q B b d), where G is the sum of the gradients at scale Q^2.
fn plain(recipe: &Recipe, batch: u64, decay: i64) -> Result<Factors> {
    let divisor = recipe.scale() as u64 * batch * u64::from(recipe.step.denominator) * decay as u64;
    Ok(Factors { gradient: recipe.step.numerator, before: narrow("Q times batch times denominator of the step", divisor)?, divisor })
}

/// a G F / (Q B) + m V = (k a G + m k (Q B / F) V) / (k Q B / F), with the least k that makes m k Q B / F whole.
fn heavy_ball(recipe: &Recipe, momentum: Ratio, batch: u64) -> Result<Factors> {
    let unit = (recipe.scale() as u64 * batch) >> recipe.velocity_bits;
    let (numerator, denominator) = (u64::from(momentum.numerator), u64::from(momentum.denominator));
    let least = denominator / gcd(unit * numerator, denominator);
    Ok(Factors {
        gradient: narrow("scale of the gradients", least * u64::from(recipe.step.numerator))?,
        before: narrow("share of the velocity", least * unit * numerator / denominator)?,
        divisor: least * unit,
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Recipe {
        text.parse().unwrap()
    }

    #[test]
    fn factors_are_whole_and_exact() {
        assert_eq!(plain(&recipe("q10-step1:8"), 20, 1).unwrap(), Factors { gradient: 1, before: 1024 * 160, divisor: 1024 * 160 });
        assert_eq!(plain(&recipe("q10-step3:8"), 20, 4).unwrap(), Factors { gradient: 3, before: 1024 * 640, divisor: 1024 * 640 });
        for (text, batch) in [("q10-f4-step1:8-mu1:2", 20), ("q14-f4-step1:12-mu9:10", 50), ("q12-f6-step2:7-mu9:10", 3), ("q4-step1:1-mu2:3", 1)] {
            let recipe = recipe(text);
            let momentum = recipe.momentum.unwrap();
            let Factors { gradient, before, divisor } = heavy_ball(&recipe, momentum, batch).unwrap();
            let unit = (recipe.scale() as u64 * batch) >> recipe.velocity_bits;
            assert_eq!(u64::from(before) * u64::from(momentum.denominator), divisor * u64::from(momentum.numerator), "{text}");
            assert_eq!(u64::from(gradient) * unit, divisor * u64::from(recipe.step.numerator), "{text}");
        }
        assert!(plain(&recipe("q20-step1:4096"), 100, 256).is_err());
    }

    #[test]
    fn initial_parameters_have_their_variance_and_no_biases() {
        let widths: Widths = "200-300-2".parse().unwrap();
        let recipe = recipe("q14-step1:8");
        let parameters = Parameters::initial(&widths, &recipe, 5);
        assert_eq!(parameters, Parameters::initial(&widths, &recipe, 5));
        assert_ne!(parameters, Parameters::initial(&widths, &recipe, 6));
        let first = &parameters.layers()[0];
        assert!(first.len() == 201 * 300 && first[200 * 300..].iter().all(|&bias| bias == 0));
        let variance = first[..60_000].iter().map(|&w| (w as f64 / 16_384.0).powi(2)).sum::<f64>() / 60_000.0;
        // Five deviations of the variance of 60,000 normal numbers: 5 sqrt(2 / 60,000) = 3 %.
        assert!((variance / 0.01 - 1.0).abs() < 0.03, "{variance}");
        assert!(Parameters::new(&widths, vec![vec![0; 3]]).is_err());
        assert!(Parameters::new(&widths, vec![vec![0; 3], vec![0; 602]]).is_err());
    }
}
