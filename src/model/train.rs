//! Training: softmax cross-entropy, mini-batches, Adam. The same bits on every machine and with any number of threads.
//!
//! The loops are our own and plain, not a BLAS: a BLAS picks its kernel, its blocking and fused multiply-add by the processor, and each choice rounds
//! differently. Here every sum has one order: a unit adds its inputs in ascending order, a gradient adds the images of the batch in ascending order, and
//! threads share out units or images, never the terms of a sum. Only vector lanes that never meet run side by side, so wider vectors change no bit.
//!
//! Inputs that are zero are skipped: four fifths of the pixels of a digit are.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use super::network::{Layer, Network, dot};
use super::{Progress, Recipe};
use crate::error::{Error, Result};
use crate::features::Features;

/// Stored rows of weights are padded to a multiple of this many numbers, so that loops over them have no remainder.
const PAD: usize = 8;
/// Images that a thread takes at a time. Changes no sum.
const IMAGES_PER_TASK: usize = 8;
/// Inputs whose gradients a thread takes at a time. Changes no sum.
const INPUTS_PER_TASK: usize = 16;
/// Widest hidden layer.
const MAX_WIDTH: usize = 1 << 16;
/// Adam's decay of the mean gradient and of the mean square (Kingma and Ba, *Adam: a method for stochastic optimization*, ICLR 2015).
const BETA: [f32; 2] = [0.9, 0.999];
/// Adam's guard against division by zero.
const EPSILON: f32 = 1e-8;

/// Trains a network of the recipe's shape on labelled features.
///
/// # Errors
/// [`Error::OutOfRange`] when the recipe asks for nothing or a label is no class; [`Error::Size`] unless there is one label per image;
/// [`Error::Interrupted`] when `stop` says so, which is asked before each batch.
pub(super) fn fit(
    features: &Features,
    labels: &[u8],
    classes: usize,
    recipe: &Recipe,
    progress: &mut dyn FnMut(Progress),
    stop: &dyn Fn() -> bool,
) -> Result<Network> {
    check(features, labels, classes, recipe)?;
    let mut rng = ChaCha12Rng::from_seed(seed_bytes(recipe.seed));
    let widths: Vec<usize> = std::iter::once(features.width).chain(recipe.hidden.iter().copied()).chain([classes]).collect();
    let mut trainer = Trainer::new(&widths, recipe, &mut rng);
    let mean = if recipe.centre { column_means(features) } else { vec![0.0; features.width] };
    let batches = features.count.div_ceil(recipe.batch);
    let steps = batches * recipe.epochs as usize;
    let mut order: Vec<usize> = (0..features.count).collect();
    let mut step = 0;
    for epoch in 1..=recipe.epochs {
        shuffle(&mut order, &mut rng);
        let (mut loss, mut correct) = (0f64, 0usize);
        for indices in order.chunks(recipe.batch) {
            if stop() {
                return Err(Error::Interrupted);
            }
            trainer.load(features, labels, &mean, indices);
            let (batch_loss, batch_correct) = trainer.gradients();
            loss += batch_loss;
            correct += batch_correct;
            let cosine = 0.5 * (1.0 + libm::cos(std::f64::consts::PI * step as f64 / steps as f64));
            trainer.adam(recipe.learning_rate * cosine);
            step += 1;
        }
        let count = features.count as f64;
        progress(Progress { epoch, epochs: recipe.epochs, loss: loss / count, accuracy: correct as f64 / count });
    }
    trainer.network(&mean)
}

fn check(features: &Features, labels: &[u8], classes: usize, recipe: &Recipe) -> Result<()> {
    if labels.len() != features.count {
        return Err(Error::Size { what: "labels", expected: features.count, actual: labels.len() });
    }
    for (what, value) in [
        ("number of images", features.count),
        ("numbers per image", features.width),
        ("epochs", recipe.epochs as usize),
        ("batch size", recipe.batch),
    ] {
        if value == 0 {
            return Err(Error::OutOfRange { what, value: "0".into(), allowed: "1 and more".into() });
        }
    }
    if let Some(&width) = recipe.hidden.iter().find(|width| !(1..=MAX_WIDTH).contains(*width)) {
        return Err(Error::OutOfRange { what: "width of a hidden layer", value: width.to_string(), allowed: format!("1 to {MAX_WIDTH}") });
    }
    let least = f64::from(f32::MIN_POSITIVE);
    for (what, value, least) in [
        ("learning rate", recipe.learning_rate, least),
        ("weight decay", recipe.weight_decay, 0.0),
        ("weight clip", recipe.weight_clip.unwrap_or(1.0), least),
    ] {
        if !(least..=1e3).contains(&value) {
            return Err(Error::OutOfRange { what, value: value.to_string(), allowed: format!("{least:e} to 1000") });
        }
    }
    let top = labels.iter().copied().max().unwrap_or(0);
    if usize::from(top) >= classes {
        return Err(Error::OutOfRange { what: "label", value: top.to_string(), allowed: format!("0 to {}", classes.saturating_sub(1)) });
    }
    Ok(())
}

fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// Fisher and Yates' shuffle; the bias of the scaled 32-bit draw is below 2^-16 for any set that fits here.
fn shuffle(order: &mut [usize], rng: &mut ChaCha12Rng) {
    for last in (1..order.len()).rev() {
        let pick = (u64::from(rng.next_u32()) * (last as u64 + 1)) >> 32;
        order.swap(last, pick as usize);
    }
}

/// Mean of each feature over all images, added in double precision in the order of the images.
fn column_means(features: &Features) -> Vec<f32> {
    let mut sums = vec![0f64; features.width];
    for row in features.values.chunks_exact(features.width) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    sums.iter().map(|sum| (sum / features.count as f64) as f32).collect()
}

/// A layer under training. Weights lie input by input (transposed), each row padded to `stride` outputs; padding holds zeros and stays zero.
struct Dense {
    inputs: usize,
    outputs: usize,
    stride: usize,
    /// `inputs` rows of weights, then one row of biases.
    values: Vec<f32>,
    gradient: Vec<f32>,
    /// Adam's running mean of the gradient and of its square.
    moments: [Vec<f32>; 2],
}

impl Dense {
    /// Uniform within sqrt(6 / (inputs + outputs)) (Glorot and Bengio, AISTATS 2010), biases zero.
    fn new(inputs: usize, outputs: usize, rng: &mut ChaCha12Rng) -> Self {
        let stride = outputs.next_multiple_of(PAD);
        let len = (inputs + 1) * stride;
        let limit = (6.0 / (inputs + outputs) as f32).sqrt();
        let mut values = vec![0f32; len];
        for row in values.chunks_exact_mut(stride).take(inputs) {
            for value in &mut row[..outputs] {
                // 24 random bits are exact in f32, so the draw is uniform on a grid in [-1, 1).
                let draw = (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
                *value = draw * limit;
            }
        }
        Self { inputs, outputs, stride, values, gradient: vec![0.0; len], moments: [vec![0.0; len], vec![0.0; len]] }
    }

    fn bias(&self) -> &[f32] {
        &self.values[self.inputs * self.stride..]
    }

    fn row(&self, input: usize) -> &[f32] {
        &self.values[input * self.stride..(input + 1) * self.stride]
    }

    fn forward(&self, input: &[f32], output: &mut [f32]) {
        output.copy_from_slice(self.bias());
        for (number, &factor) in input[..self.inputs].iter().enumerate() {
            if factor != 0.0 {
                add_scaled(output, factor, self.row(number));
            }
        }
    }
}

/// `sums += factor * values`; both have the same length, a multiple of [`PAD`].
fn add_scaled(sums: &mut [f32], factor: f32, values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

/// The layers and the numbers of one batch.
struct Trainer {
    layers: Vec<Dense>,
    /// Inputs of the batch, image after image.
    inputs: Vec<f32>,
    labels: Vec<u8>,
    /// Per image: the outputs of each layer, then the derivative of the loss by each of them.
    work: Vec<f32>,
    decay: f32,
    clip: Option<f32>,
    /// Powers of [`BETA`] so far.
    powers: [f64; 2],
}

impl Trainer {
    fn new(widths: &[usize], recipe: &Recipe, rng: &mut ChaCha12Rng) -> Self {
        Self {
            layers: widths.windows(2).map(|pair| Dense::new(pair[0], pair[1], rng)).collect(),
            inputs: Vec::new(),
            labels: Vec::new(),
            work: Vec::new(),
            decay: recipe.weight_decay as f32,
            clip: recipe.weight_clip.map(|clip| clip as f32),
            powers: [1.0; 2],
        }
    }

    /// Numbers of all layers' outputs for one image.
    fn outputs_len(&self) -> usize {
        self.layers.iter().map(|layer| layer.stride).sum()
    }

    /// Brings in a batch: the features of `indices` less the mean.
    fn load(&mut self, features: &Features, labels: &[u8], mean: &[f32], indices: &[usize]) {
        self.inputs.clear();
        self.labels.clear();
        for &index in indices {
            self.inputs.extend(features.row(index).iter().zip(mean).map(|(value, mean)| value - mean));
            self.labels.push(labels[index]);
        }
        self.work.clear();
        self.work.resize(indices.len() * 2 * self.outputs_len(), 0.0);
    }

    /// Mean gradient of the loss over the batch into each layer. Returns the sum of the losses and the number of correct classes.
    fn gradients(&mut self) -> (f64, usize) {
        let count = self.labels.len();
        let (outputs_len, inputs_len) = (self.outputs_len(), self.inputs.len() / count);
        let layers = &self.layers;
        let mut results = vec![(0f32, false); count];
        self.work
            .par_chunks_mut(2 * outputs_len)
            .zip(self.inputs.par_chunks(inputs_len))
            .zip(&self.labels)
            .zip(&mut results)
            .with_min_len(IMAGES_PER_TASK)
            .for_each(|(((work, input), &label), result)| {
                let (outputs, deltas) = work.split_at_mut(outputs_len);
                *result = back_propagate(layers, input, label, 1.0 / count as f32, outputs, deltas);
            });
        let mut start = 0;
        for number in 0..self.layers.len() {
            // The layer's input: the batch, or what the layer before gave.
            let (source, step, offset) = match number.checked_sub(1) {
                None => (&self.inputs, inputs_len, 0),
                Some(before) => (&self.work, 2 * outputs_len, start - self.layers[before].stride),
            };
            let (layer, work) = (&mut self.layers[number], &self.work);
            let (inputs, stride) = (layer.inputs, layer.stride);
            layer.gradient.par_chunks_mut(INPUTS_PER_TASK * stride).enumerate().for_each(|(task, rows)| {
                rows.fill(0.0);
                for image in 0..count {
                    let delta = &work[image * 2 * outputs_len + outputs_len + start..][..stride];
                    let input = &source[image * step + offset..];
                    for (row, sums) in rows.chunks_exact_mut(stride).enumerate() {
                        let at = task * INPUTS_PER_TASK + row;
                        // The row after the last input is the bias, whose input is one.
                        let factor = if at < inputs { input[at] } else { 1.0 };
                        if factor != 0.0 {
                            add_scaled(sums, factor, delta);
                        }
                    }
                }
            });
            start += stride;
        }
        let loss = results.iter().map(|&(loss, _)| f64::from(loss)).sum();
        (loss, results.iter().filter(|&&(_, correct)| correct).count())
    }

    /// One step of Adam with weight decay as part of the gradient (biases do not decay), then the clip.
    fn adam(&mut self, rate: f64) {
        for (power, beta) in self.powers.iter_mut().zip(BETA) {
            *power *= f64::from(beta);
        }
        let rate = (rate / (1.0 - self.powers[0])) as f32;
        let correction = (1.0 / (1.0 - self.powers[1])) as f32;
        let clip = self.clip.unwrap_or(f32::INFINITY);
        for layer in &mut self.layers {
            let len = INPUTS_PER_TASK * layer.stride;
            let weights = layer.inputs * layer.stride;
            let [means, squares] = &mut layer.moments;
            let tasks =
                layer.values.par_chunks_mut(len).zip(layer.gradient.par_chunks(len)).zip(means.par_chunks_mut(len)).zip(squares.par_chunks_mut(len));
            tasks.enumerate().for_each(|(task, (((values, gradient), means), squares))| {
                let weights = weights.saturating_sub(task * len).min(values.len());
                for (part, decay, clip) in [(0..weights, self.decay, clip), (weights..values.len(), 0.0, f32::INFINITY)] {
                    let state = means[part.clone()].iter_mut().zip(&mut squares[part.clone()]);
                    for ((value, gradient), (mean, square)) in values[part.clone()].iter_mut().zip(&gradient[part]).zip(state) {
                        let slope = gradient + decay * *value;
                        *mean = BETA[0] * *mean + (1.0 - BETA[0]) * slope;
                        *square = BETA[1] * *square + (1.0 - BETA[1]) * slope * slope;
                        let next = *value - rate * *mean / ((*square * correction).sqrt() + EPSILON);
                        *value = next.clamp(-clip, clip);
                    }
                }
            });
        }
    }

    /// The network in its own layout, the mean of the inputs folded into the first bias.
    fn network(&self, mean: &[f32]) -> Result<Network> {
        let unpack = |(number, layer): (usize, &Dense)| {
            let mut weights = vec![0f32; layer.inputs * layer.outputs];
            let mut bias = layer.bias()[..layer.outputs].to_vec();
            for output in 0..layer.outputs {
                let mut folded = f64::from(bias[output]);
                for input in 0..layer.inputs {
                    let weight = layer.row(input)[output];
                    weights[output * layer.inputs + input] = weight;
                    if number == 0 {
                        folded -= f64::from(weight) * f64::from(mean[input]);
                    }
                }
                bias[output] = folded as f32;
            }
            Layer { inputs: layer.inputs, outputs: layer.outputs, weights, bias }
        };
        Network::new(self.layers.iter().enumerate().map(unpack).collect())
    }
}

/// Outputs of each layer and derivatives of `scale` times the loss by them, for one image. Returns the loss and whether the class is right.
fn back_propagate(layers: &[Dense], input: &[f32], label: u8, scale: f32, outputs: &mut [f32], deltas: &mut [f32]) -> (f32, bool) {
    let mut end = 0;
    for layer in layers {
        let (before, rest) = outputs.split_at_mut(end);
        let source = if end == 0 { input } else { &before[end - layer.inputs.next_multiple_of(PAD)..] };
        layer.forward(source, &mut rest[..layer.stride]);
        end += layer.stride;
    }
    let Some(last) = layers.last() else { return (0.0, false) };
    end -= last.stride;
    let logits = &outputs[end..end + last.outputs];
    let label = usize::from(label);
    let correct = usize::from(super::network::argmax(logits)) == label;
    let loss = softmax(logits, label, &mut deltas[end..end + last.outputs]);
    for delta in &mut deltas[end..end + last.outputs] {
        *delta *= scale;
    }
    for (number, layer) in layers.iter().enumerate().skip(1).rev() {
        let (before, rest) = deltas.split_at_mut(end);
        let start = end - layers[number - 1].stride;
        for (input, delta) in before[start..start + layer.inputs].iter_mut().enumerate() {
            *delta = dot(layer.row(input), &rest[..layer.stride]);
        }
        end = start;
    }
    (loss, correct)
}

/// Cross-entropy of the softmax of `logits` with the label, and its derivative by each logit.
fn softmax(logits: &[f32], label: usize, derivative: &mut [f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    let mut sum = 0f32;
    for (out, &logit) in derivative.iter_mut().zip(logits) {
        *out = libm::expf(logit - largest);
        sum += *out;
    }
    for out in &mut *derivative {
        *out /= sum;
    }
    derivative[label] -= 1.0;
    libm::logf(sum) - (logits[label] - largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testdata::noise;

    const WIDTHS: [usize; 4] = [5, 9, 4, 3];

    fn trainer() -> (Trainer, Features, Vec<u8>) {
        let recipe = Recipe { hidden: vec![9, 4], ..Recipe::default_for("digits", crate::features::FeatureMap::Pixels) };
        let features = Features { count: 6, width: 5, values: noise(30, 1).iter().map(|x| if *x < 0.3 { 0.0 } else { *x }).collect() };
        let mut trainer = Trainer::new(&WIDTHS, &recipe, &mut ChaCha12Rng::from_seed(seed_bytes(9)));
        let labels = vec![0, 1, 2, 1, 0, 2];
        trainer.load(&features, &labels, &[0.1, 0.0, 0.2, 0.0, 0.0], &[0, 1, 2, 3, 4, 5]);
        (trainer, features, labels)
    }

    /// The mean loss in double precision, by the definition.
    fn loss(trainer: &Trainer, features: &Features, labels: &[u8]) -> f64 {
        let one = |index: usize| {
            let mut values: Vec<f64> = features.row(index).iter().zip([0.1f32, 0.0, 0.2, 0.0, 0.0]).map(|(x, m)| f64::from(x - m)).collect();
            for layer in &trainer.layers {
                let unit = |output: usize| {
                    let terms = values.iter().enumerate().map(|(input, x)| x * f64::from(layer.row(input)[output]));
                    terms.sum::<f64>() + f64::from(layer.bias()[output])
                };
                values = (0..layer.outputs).map(unit).collect();
            }
            values.iter().map(|y| y.exp()).sum::<f64>().ln() - values[usize::from(labels[index])]
        };
        (0..labels.len()).map(one).sum::<f64>() / labels.len() as f64
    }

    #[test]
    fn back_propagation_matches_finite_differences() {
        let (mut trainer, features, labels) = trainer();
        let (sum, _) = trainer.gradients();
        assert!((sum / 6.0 - loss(&trainer, &features, &labels)).abs() < 1e-6);
        for number in 0..3 {
            for at in 0..trainer.layers[number].values.len() {
                let (value, stride, outputs) = (trainer.layers[number].values[at], trainer.layers[number].stride, trainer.layers[number].outputs);
                let step = 1.0 / 256.0;
                trainer.layers[number].values[at] = value + step;
                let above = loss(&trainer, &features, &labels);
                trainer.layers[number].values[at] = value - step;
                let below = loss(&trainer, &features, &labels);
                trainer.layers[number].values[at] = value;
                let slope = f64::from(trainer.layers[number].gradient[at]);
                let expected = if at % stride < outputs { (above - below) / (2.0 * f64::from(step)) } else { 0.0 };
                assert!((slope - expected).abs() < 2e-5, "layer {number}, value {at}: {slope} against {expected}");
            }
        }
    }

    #[test]
    fn the_first_step_of_adam_is_the_rate_against_the_slope() {
        let (mut trainer, ..) = trainer();
        trainer.decay = 0.0;
        trainer.gradients();
        let before: Vec<Vec<f32>> = trainer.layers.iter().map(|layer| layer.values.clone()).collect();
        trainer.adam(0.01);
        for (layer, before) in trainer.layers.iter().zip(&before) {
            for ((new, old), slope) in layer.values.iter().zip(before).zip(&layer.gradient) {
                let expected = if slope.abs() > 1e-4 { -0.01 * slope.signum() } else { new - old };
                assert!((new - old - expected).abs() < 1e-5, "{old} to {new} at slope {slope}");
            }
        }
    }

    #[test]
    fn the_mean_is_folded_into_the_bias() {
        let (mut trainer, features, _) = trainer();
        trainer.gradients();
        let network = trainer.network(&[0.1, 0.0, 0.2, 0.0, 0.0]).unwrap();
        let outputs_len = trainer.outputs_len();
        for index in 0..6 {
            let at = index * 2 * outputs_len + outputs_len - trainer.layers[2].stride;
            for (a, b) in network.logits(features.row(index)).unwrap().iter().zip(&trainer.work[at..at + 3]) {
                assert!((a - b).abs() < 1e-5, "{a} against {b}");
            }
        }
    }

    #[test]
    fn softmax_survives_large_logits() {
        let mut derivative = [0.0; 3];
        assert_eq!(softmax(&[1e30, -1e30, 0.0], 0, &mut derivative), 0.0);
        assert_eq!(derivative, [0.0, 0.0, 0.0]);
        assert!((softmax(&[0.0, 0.0, 0.0], 1, &mut derivative) - 3f32.ln()).abs() < 1e-6);
    }
}
