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

use super::network::{Layer, Network, argmax};
use super::units::{Activation, Extent, LayerShape, MAX_WIDTH, Units};
use super::{Progress, Recipe};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::features::Features;

/// Images that a thread takes at a time. Changes no sum.
const IMAGES_PER_TASK: usize = 8;
/// Rows of weights that a thread updates at a time.
const ROWS_PER_TASK: usize = 16;
/// Adam's decay of the mean gradient and of the mean square (Kingma and Ba, *Adam: a method for stochastic optimization*, ICLR 2015).
const BETA: [f32; 2] = [0.9, 0.999];
/// Adam's guard against division by zero.
const EPSILON: f32 = 1e-8;

/// Trains a network of the recipe's shape, without activations, on labelled features.
///
/// # Errors
/// [`Error::OutOfRange`] when the recipe asks for nothing or a label is no class; [`Error::Size`] unless there is one label per image;
/// [`Error::Interrupted`] when `control` was stopped, which is looked at before each batch.
pub(super) fn fit(
    features: &Features,
    labels: &[u8],
    classes: usize,
    recipe: &Recipe,
    progress: &mut dyn FnMut(Progress),
    control: &Control,
) -> Result<Network> {
    let hidden: Vec<LayerShape> = recipe.hidden.iter().map(|&outputs| LayerShape::Dense { outputs, activation: Activation::Identity }).collect();
    let (trainer, mean) = descend(features, labels, classes, (Extent::flat(features.width), &hidden), recipe, progress, control)?;
    trainer.network(&mean)
}

/// Trains layers of any kind on labelled features of an extent. Returns them with the mean that was taken off the features.
///
/// # Errors
/// As [`fit`]; [`Error::Size`] when the features have another extent.
pub(super) fn descend(
    features: &Features,
    labels: &[u8],
    classes: usize,
    (extent, hidden): (Extent, &[LayerShape]),
    recipe: &Recipe,
    progress: &mut dyn FnMut(Progress),
    control: &Control,
) -> Result<(Trainer, Vec<f32>)> {
    check(features, labels, classes, recipe)?;
    if extent.len() != features.width {
        return Err(Error::size("numbers per image", extent.len(), features.width));
    }
    let mut rng = ChaCha12Rng::from_seed(seed_bytes(recipe.seed));
    let mut trainer = Trainer::new(layers(extent, hidden, classes, &mut rng)?, recipe);
    let mean = if recipe.centre { column_means(features) } else { vec![0.0; features.width] };
    let batches = features.count.div_ceil(recipe.batch);
    let steps = batches * recipe.epochs as usize;
    let mut order: Vec<usize> = (0..features.count).collect();
    let mut step = 0;
    for epoch in 1..=recipe.epochs {
        shuffle(&mut order, &mut rng);
        let (mut loss, mut correct) = (0f64, 0usize);
        for indices in order.chunks(recipe.batch) {
            control.check()?;
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
    Ok((trainer, mean))
}

/// The hidden layers, and one affine unit per class after them.
fn layers(extent: Extent, hidden: &[LayerShape], classes: usize, rng: &mut ChaCha12Rng) -> Result<Vec<Units>> {
    let (mut layers, mut extent) = (Vec::new(), extent);
    for &shape in hidden {
        let (layer, output) = Units::hidden(shape, extent, rng)?;
        layers.push(layer);
        extent = output;
    }
    layers.push(Units::dense(extent.len(), classes, Activation::Identity, rng));
    Ok(layers)
}

fn check(features: &Features, labels: &[u8], classes: usize, recipe: &Recipe) -> Result<()> {
    if labels.len() != features.count {
        return Err(Error::size("labels", features.count, labels.len()));
    }
    for (what, value) in [
        ("number of images", features.count),
        ("numbers per image", features.width),
        ("epochs", recipe.epochs as usize),
        ("batch size", recipe.batch),
    ] {
        if value == 0 {
            return Err(Error::range(what, &"0", "1 and more"));
        }
    }
    if let Some(&width) = recipe.hidden.iter().find(|width| !(1..=MAX_WIDTH).contains(*width)) {
        return Err(Error::range("width of a hidden layer", &width, format!("1 to {MAX_WIDTH}")));
    }
    let least = f64::from(f32::MIN_POSITIVE);
    for (what, value, least) in [
        ("learning rate", recipe.learning_rate, least),
        ("weight decay", recipe.weight_decay, 0.0),
        ("weight clip", recipe.weight_clip.unwrap_or(1.0), least),
    ] {
        if !(least..=1e3).contains(&value) {
            return Err(Error::range(what, &value, format!("{least:e} to 1000")));
        }
    }
    let top = labels.iter().copied().max().unwrap_or(0);
    if usize::from(top) >= classes {
        return Err(Error::range("label", &top, format!("0 to {}", classes.saturating_sub(1))));
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

/// The layers and the numbers of one batch.
pub(super) struct Trainer {
    pub layers: Vec<Units>,
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
    fn new(layers: Vec<Units>, recipe: &Recipe) -> Self {
        Self {
            layers,
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
        self.layers.iter().map(Units::len).sum()
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
                Some(before) => (&self.work, 2 * outputs_len, start - self.layers[before].len()),
            };
            let (layer, work) = (&mut self.layers[number], &self.work);
            let len = layer.len();
            let delta = |image: usize| &work[image * 2 * outputs_len + outputs_len + start..][..len];
            layer.add_up(count, |image| &source[image * step + offset..], delta);
            start += len;
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
            let len = ROWS_PER_TASK * layer.stride;
            let weights = layer.taps * layer.stride;
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

    /// The network in its own layout, the mean of the inputs folded into the first bias. All layers are dense and without activation.
    fn network(&self, mean: &[f32]) -> Result<Network> {
        let unpack = |(number, layer): (usize, &Units)| {
            let mut weights = vec![0f32; layer.taps * layer.outputs];
            let mut bias = layer.bias()[..layer.outputs].to_vec();
            for output in 0..layer.outputs {
                let mut folded = f64::from(bias[output]);
                for input in 0..layer.taps {
                    let weight = layer.row(input)[output];
                    weights[output * layer.taps + input] = weight;
                    if number == 0 {
                        folded -= f64::from(weight) * f64::from(mean[input]);
                    }
                }
                bias[output] = folded as f32;
            }
            Layer { inputs: layer.taps, outputs: layer.outputs, weights, bias }
        };
        Network::new(self.layers.iter().enumerate().map(unpack).collect())
    }
}

/// Outputs of all layers for one image, layer after layer; returns where the last layer's begin.
pub(super) fn propagate(layers: &[Units], input: &[f32], outputs: &mut [f32]) -> usize {
    let (mut begin, mut end) = (0, 0);
    for (number, layer) in layers.iter().enumerate() {
        let (before, rest) = outputs.split_at_mut(end);
        let source = if number == 0 { input } else { &before[begin..] };
        layer.forward(source, &mut rest[..layer.len()]);
        (begin, end) = (end, end + layer.len());
    }
    begin
}

/// Outputs of each layer and derivatives of `scale` times the loss by their sums, for one image. Returns the loss and whether the class is right.
fn back_propagate(layers: &[Units], input: &[f32], label: u8, scale: f32, outputs: &mut [f32], deltas: &mut [f32]) -> (f32, bool) {
    let mut end = propagate(layers, input, outputs);
    let Some(last) = layers.last() else { return (0.0, false) };
    let logits = &outputs[end..end + last.outputs];
    let label = usize::from(label);
    let correct = usize::from(argmax(logits)) == label;
    let loss = softmax(logits, label, &mut deltas[end..end + last.outputs]);
    for delta in &mut deltas[end..end + last.outputs] {
        *delta *= scale;
    }
    for (number, layer) in layers.iter().enumerate().skip(1).rev() {
        let (before, rest) = deltas.split_at_mut(end);
        let start = end - layers[number - 1].len();
        layer.backward(&rest[..layer.len()], &mut before[start..]);
        if layers[number - 1].activation == Activation::Relu {
            for (delta, &output) in before[start..].iter_mut().zip(&outputs[start..end]) {
                // At zero itself the derivative is taken as zero.
                if output <= 0.0 {
                    *delta = 0.0;
                }
            }
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

    const MEAN: [f32; 5] = [0.1, 0.0, 0.2, 0.0, 0.0];
    const LABELS: [u8; 6] = [0, 1, 2, 1, 0, 2];

    fn recipe() -> Recipe {
        Recipe { hidden: Vec::new(), ..Recipe::default_for("digits", crate::features::FeatureMap::Pixels) }
    }

    /// Six images of an extent, a third of their numbers zero, loaded into the layers.
    fn loaded(extent: Extent, hidden: &[LayerShape], mean: &[f32]) -> (Trainer, Features) {
        let width = extent.len();
        let values = noise(6 * width, 1).iter().map(|x| if *x < 0.3 { 0.0 } else { *x }).collect();
        let features = Features { count: 6, width, values };
        let layers = layers(extent, hidden, 3, &mut ChaCha12Rng::from_seed(seed_bytes(9))).unwrap();
        let mut trainer = Trainer::new(layers, &recipe());
        trainer.load(&features, &LABELS, mean, &[0, 1, 2, 3, 4, 5]);
        (trainer, features)
    }

    fn trainer() -> (Trainer, Features) {
        let dense = |outputs| LayerShape::Dense { outputs, activation: Activation::Identity };
        loaded(Extent::flat(5), &[dense(9), dense(4)], &MEAN)
    }

    /// Networks with every kind of layer in every place, and the names of what they are to catch.
    fn networks() -> Vec<(&'static str, Extent, Vec<LayerShape>)> {
        let dense = |outputs, activation| LayerShape::Dense { outputs, activation };
        let window = |channels, kernel, step| LayerShape::Convolution { channels, kernel, step };
        vec![
            ("linear", Extent::flat(5), vec![]),
            ("identity", Extent::flat(5), vec![dense(9, Activation::Identity), dense(4, Activation::Identity)]),
            ("relu", Extent::flat(5), vec![dense(19, Activation::Relu), dense(17, Activation::Relu)]),
            ("narrow", Extent::flat(5), vec![dense(8, Activation::Relu), dense(16, Activation::Relu)]),
            ("convolution", Extent { rows: 6, cols: 5, channels: 1 }, vec![window(8, 3, 1)]),
            ("wide convolution", Extent { rows: 4, cols: 5, channels: 1 }, vec![window(24, 3, 2)]),
            ("colours", Extent { rows: 4, cols: 3, channels: 2 }, vec![window(8, 2, 1), dense(7, Activation::Relu)]),
            ("deep", Extent { rows: 7, cols: 8, channels: 1 }, vec![window(8, 3, 2), window(16, 2, 1), dense(12, Activation::Relu)]),
        ]
    }

    /// One image through one layer in double precision by the definition, from the layer's shape and not from its wiring.
    fn definition(shape: LayerShape, extent: Extent, layer: &Units, values: &[f64]) -> (Vec<f64>, Extent) {
        let relu = |x: f64| x.max(0.0);
        let weight = |tap: usize, unit: usize| f64::from(layer.values[tap * layer.stride + unit]);
        match shape {
            LayerShape::Dense { outputs, activation } => {
                let unit = |unit: usize| {
                    let sum: f64 = values.iter().enumerate().map(|(tap, x)| x * weight(tap, unit)).sum::<f64>() + f64::from(layer.bias()[unit]);
                    if activation == Activation::Relu { relu(sum) } else { sum }
                };
                ((0..outputs).map(unit).collect(), Extent::flat(outputs))
            }
            LayerShape::Convolution { channels, kernel, step } => {
                let (rows, cols) = ((extent.rows - kernel) / step + 1, (extent.cols - kernel) / step + 1);
                let mut out = Vec::new();
                for (row, col, unit) in (0..rows).flat_map(|r| (0..cols).flat_map(move |c| (0..channels).map(move |u| (r, c, u)))) {
                    let mut sum = f64::from(layer.bias()[unit]);
                    for (down, right, from) in (0..kernel).flat_map(|d| (0..kernel).flat_map(move |r| (0..extent.channels).map(move |f| (d, r, f)))) {
                        let at = ((row * step + down) * extent.cols + col * step + right) * extent.channels + from;
                        sum += values[at] * weight((down * kernel + right) * extent.channels + from, unit);
                    }
                    out.push(relu(sum));
                }
                (out, Extent { rows, cols, channels })
            }
        }
    }

    /// The mean loss in double precision, by the definition.
    fn loss(trainer: &Trainer, features: &Features, (extent, hidden): (Extent, &[LayerShape]), mean: &[f32]) -> f64 {
        let one = |index: usize| {
            let mut values: Vec<f64> = features.row(index).iter().zip(mean).map(|(x, m)| f64::from(x - m)).collect();
            let mut extent = extent;
            let last = LayerShape::Dense { outputs: 3, activation: Activation::Identity };
            for (layer, &shape) in trainer.layers.iter().zip(hidden.iter().chain([&last])) {
                (values, extent) = definition(shape, extent, layer, &values);
            }
            values.iter().map(|y| y.exp()).sum::<f64>().ln() - values[usize::from(LABELS[index])]
        };
        (0..LABELS.len()).map(one).sum::<f64>() / LABELS.len() as f64
    }

    #[test]
    fn back_propagation_matches_finite_differences() {
        for (name, extent, hidden) in networks() {
            let mean: Vec<f32> = (0..extent.len()).map(|at| if at % 3 == 0 { 0.125 } else { 0.0 }).collect();
            let (mut trainer, features) = loaded(extent, &hidden, &mean);
            let (sum, _) = trainer.gradients();
            let own = loss(&trainer, &features, (extent, &hidden), &mean);
            assert!((sum / 6.0 - own).abs() < 1e-5, "{name}: {} against {own}", sum / 6.0);
            let (mut compared, mut kinks) = (0, 0);
            for number in 0..trainer.layers.len() {
                for at in 0..trainer.layers[number].values.len() {
                    let (value, stride, outputs) = (trainer.layers[number].values[at], trainer.layers[number].stride, trainer.layers[number].outputs);
                    let mut slopes = [1.0 / 256.0, 1.0 / 4096.0].map(|step: f32| {
                        let mut at_value = |changed: f32| {
                            trainer.layers[number].values[at] = changed;
                            let loss = loss(&trainer, &features, (extent, &hidden), &mean);
                            trainer.layers[number].values[at] = value;
                            loss
                        };
                        let (above, below) = (value + step, value - step);
                        (at_value(above) - at_value(below)) / f64::from(above - below)
                    });
                    if at % stride >= outputs {
                        slopes = [0.0; 2];
                    }
                    // Across the kink of a ReLU the difference is no derivative: two steps disagree there.
                    if (slopes[0] - slopes[1]).abs() > 1e-4 {
                        kinks += 1;
                        continue;
                    }
                    compared += 1;
                    let slope = f64::from(trainer.layers[number].gradient[at]);
                    assert!((slope - slopes[1]).abs() < 2e-4, "{name}, layer {number}, value {at}: {slope} against {slopes:?}");
                }
            }
            assert!(kinks * 4 < compared, "{name}: {kinks} kinks beside {compared}");
        }
    }

    #[test]
    fn hidden_layers_that_make_no_sense_are_refused() {
        let mut rng = ChaCha12Rng::from_seed(seed_bytes(1));
        let extent = Extent { rows: 6, cols: 5, channels: 1 };
        let dense = |outputs| LayerShape::Dense { outputs, activation: Activation::Relu };
        let window = |channels, kernel, step| LayerShape::Convolution { channels, kernel, step };
        for shape in [dense(0), dense(MAX_WIDTH + 1), window(0, 3, 1), window(6, 3, 1), window(8, 0, 1), window(8, 6, 1), window(8, 3, 0)] {
            assert!(matches!(layers(extent, &[shape], 3, &mut rng), Err(Error::OutOfRange { .. })), "{shape:?}");
        }
        let large = Extent { rows: 2000, cols: 2000, channels: 1 };
        assert!(matches!(layers(large, &[window(8, 1, 1)], 3, &mut rng), Err(Error::OutOfRange { .. })));
        assert_eq!(layers(extent, &[window(8, 5, 9), window(16, 1, 1)], 3, &mut rng).unwrap()[1].len(), 16);
    }

    #[test]
    fn the_first_step_of_adam_is_the_rate_against_the_slope() {
        let (mut trainer, _) = trainer();
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
        let (mut trainer, features) = trainer();
        trainer.gradients();
        let network = trainer.network(&MEAN).unwrap();
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
