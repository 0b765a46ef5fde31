//! Layers under training: units that share their weights over the positions of an image, or one position that sees everything.
//!
//! A dense layer is the case of one position whose window is the whole input, so both kinds have one forward pass, one backward pass and one gradient. Every
//! sum has one order: a unit adds its taps in ascending order, a gradient adds the images of the batch in ascending order and within an image the positions
//! row by row, the derivative by an input adds the positions in the same order.

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use rayon::prelude::*;

use super::network::dot;
use crate::error::{Error, Result};

/// Stored rows of weights are padded to a multiple of this many numbers, so that loops over them have no remainder.
pub(super) const PAD: usize = 8;
/// Taps whose gradients a thread takes at a time, of layers with one position and with many. Changes no sum.
const TAPS_PER_TASK: [usize; 2] = [16, 4];
/// Most outputs of a layer at one position.
pub(super) const MAX_WIDTH: usize = 1 << 16;
/// Most numbers that a layer gives for one image.
const MAX_LEN: usize = 1 << 20;

/// What a layer does with its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// Negative sums become zero.
    Relu,
}

/// A hidden layer. The last layer, one affine unit per class, is never listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerShape {
    /// Every unit sees every number.
    Dense {
        /// Units, 1 to 2^16.
        outputs: usize,
        /// What follows the sum.
        activation: Activation,
    },
    /// Windows of `kernel` by `kernel` positions, every `step` positions down and across, inside the image; then ReLU. A step above one is what subsampling
    /// layers do elsewhere.
    Convolution {
        /// Units at each position, a multiple of 8.
        channels: usize,
        /// Side of the window, 1 and more.
        kernel: usize,
        /// Distance of windows, 1 and more.
        step: usize,
    },
}

/// How the numbers of one image lie: row by row, position by position, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Positions down.
    pub rows: usize,
    /// Positions across.
    pub cols: usize,
    /// Numbers at each position.
    pub channels: usize,
}

impl Extent {
    /// Numbers in a list without rows.
    #[must_use]
    pub const fn flat(width: usize) -> Self {
        Self { rows: 1, cols: width, channels: 1 }
    }

    /// Numbers in all.
    #[must_use]
    pub const fn len(self) -> usize {
        self.rows * self.cols * self.channels
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A layer under training. Weights lie tap by tap (transposed), each row padded to `stride` outputs; padding holds zeros and stays zero.
#[derive(Clone, Debug)]
pub(super) struct Units {
    /// Numbers that a unit sees.
    pub taps: usize,
    /// Units at each position.
    pub outputs: usize,
    pub stride: usize,
    /// Where the window of each position begins in the input.
    corners: Vec<usize>,
    /// Where each tap lies from the corner of its window.
    offsets: Vec<usize>,
    pub activation: Activation,
    /// `taps` rows of weights, then one row of biases.
    pub values: Vec<f32>,
    pub gradient: Vec<f32>,
    /// Adam's running mean of the gradient and of its square.
    pub moments: [Vec<f32>; 2],
}

impl Units {
    /// One position that sees everything. Without an activation uniform within sqrt(6 / (inputs + outputs)) (Glorot and Bengio, AISTATS 2010), before ReLU
    /// within sqrt(6 / inputs) (He et al., ICCV 2015); biases zero.
    pub(super) fn dense(inputs: usize, outputs: usize, activation: Activation, rng: &mut ChaCha12Rng) -> Self {
        Self::new(vec![0], (0..inputs).collect(), outputs, activation, rng)
    }

    fn new(corners: Vec<usize>, offsets: Vec<usize>, outputs: usize, activation: Activation, rng: &mut ChaCha12Rng) -> Self {
        let taps = offsets.len();
        let stride = outputs.next_multiple_of(PAD);
        let len = (taps + 1) * stride;
        let fans = match activation {
            Activation::Identity => taps + outputs,
            Activation::Relu => taps,
        };
        let limit = (6.0 / fans as f32).sqrt();
        let mut values = vec![0f32; len];
        for row in values.chunks_exact_mut(stride).take(taps) {
            for value in &mut row[..outputs] {
                // 24 random bits are exact in f32, so the draw is uniform on a grid in [-1, 1).
                let draw = (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0;
                *value = draw * limit;
            }
        }
        let moments = [vec![0.0; len], vec![0.0; len]];
        Self { taps, outputs, stride, corners, offsets, activation, values, gradient: vec![0.0; len], moments }
    }

    /// A hidden layer on an input of some extent, and the extent of what it gives.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the layer is empty, too large, or its window larger than the input.
    pub(super) fn hidden(shape: LayerShape, input: Extent, rng: &mut ChaCha12Rng) -> Result<(Self, Extent)> {
        let refuse = |what, value: usize, allowed: String| Err(Error::range(what, &value, allowed));
        match shape {
            LayerShape::Dense { outputs, activation } => {
                if !(1..=MAX_WIDTH).contains(&outputs) {
                    return refuse("width of a hidden layer", outputs, format!("1 to {MAX_WIDTH}"));
                }
                Ok((Self::dense(input.len(), outputs, activation, rng), Extent::flat(outputs)))
            }
            LayerShape::Convolution { channels, kernel, step } => {
                if channels == 0 || channels > MAX_WIDTH || !channels.is_multiple_of(PAD) {
                    return refuse("number of channels", channels, format!("multiples of {PAD} up to {MAX_WIDTH}"));
                }
                if kernel == 0 || kernel > input.rows.min(input.cols) {
                    return refuse("side of a window", kernel, format!("1 to {}, the side of the image", input.rows.min(input.cols)));
                }
                if step == 0 {
                    return refuse("distance of windows", step, "1 and more".into());
                }
                let places = |length: usize| (length - kernel) / step + 1;
                let output = Extent { rows: places(input.rows), cols: places(input.cols), channels };
                if output.rows.saturating_mul(output.cols).saturating_mul(channels) > MAX_LEN {
                    return refuse("outputs of a layer", output.rows.saturating_mul(output.cols).saturating_mul(channels), format!("1 to {MAX_LEN}"));
                }
                let at = |row: usize, col: usize| (row * input.cols + col) * input.channels;
                let corners = (0..output.rows).flat_map(|row| (0..output.cols).map(move |col| at(row * step, col * step))).collect();
                // A row of a window lies in one piece.
                let offsets = (0..kernel).flat_map(|row| at(row, 0)..at(row, 0) + kernel * input.channels).collect();
                Ok((Self::new(corners, offsets, channels, Activation::Relu, rng), output))
            }
        }
    }

    /// Numbers that it gives for one image, padding included.
    pub(super) fn len(&self) -> usize {
        self.corners.len() * self.stride
    }

    pub(super) fn bias(&self) -> &[f32] {
        &self.values[self.taps * self.stride..]
    }

    pub(super) fn row(&self, tap: usize) -> &[f32] {
        &self.values[tap * self.stride..(tap + 1) * self.stride]
    }

    /// Outputs of one image.
    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) {
        match self.stride {
            8 => self.forward_narrow::<8>(input, output),
            16 => self.forward_narrow::<16>(input, output),
            stride => {
                for (corner, output) in self.corners.iter().zip(output.chunks_exact_mut(stride)) {
                    output.copy_from_slice(self.bias());
                    for (tap, offset) in self.offsets.iter().enumerate() {
                        let factor = input[corner + offset];
                        if factor != 0.0 {
                            add_scaled(output, factor, self.row(tap));
                        }
                    }
                }
            }
        }
        if self.activation == Activation::Relu {
            for value in output {
                *value = if *value > 0.0 { *value } else { 0.0 };
            }
        }
    }

    /// The sums of [`forward`](Self::forward) in the same order, held in registers.
    fn forward_narrow<const STRIDE: usize>(&self, input: &[f32], output: &mut [f32]) {
        let (rows, bias) = (self.values.as_chunks::<STRIDE>().0, self.bias());
        for (&corner, output) in self.corners.iter().zip(output.as_chunks_mut::<STRIDE>().0) {
            let mut sums = [0f32; STRIDE];
            sums.copy_from_slice(bias);
            let window = &input[corner..];
            for (&offset, row) in self.offsets.iter().zip(rows) {
                let factor = window[offset];
                if factor != 0.0 {
                    for lane in 0..STRIDE {
                        sums[lane] += factor * row[lane];
                    }
                }
            }
            *output = sums;
        }
    }

    /// Derivatives by the inputs of one image, from those by the sums.
    pub(super) fn backward(&self, delta: &[f32], inputs: &mut [f32]) {
        if let [0] = self.corners[..] {
            for (tap, input) in inputs.iter_mut().take(self.taps).enumerate() {
                *input = dot(self.row(tap), delta);
            }
            return;
        }
        inputs.fill(0.0);
        for (corner, delta) in self.corners.iter().zip(delta.chunks_exact(self.stride)) {
            for (tap, offset) in self.offsets.iter().enumerate() {
                inputs[corner + offset] += dot(self.row(tap), delta);
            }
        }
    }

    /// Gradients of a batch from the inputs of each image and the derivatives by its sums.
    pub(super) fn add_up<'a>(&mut self, count: usize, inputs: impl Fn(usize) -> &'a [f32] + Sync, deltas: impl Fn(usize) -> &'a [f32] + Sync) {
        let (taps, stride, corners, offsets) = (self.taps, self.stride, &self.corners, &self.offsets);
        let per_task = TAPS_PER_TASK[usize::from(corners.len() > 1)];
        self.gradient.par_chunks_mut(per_task * stride).enumerate().for_each(|(task, rows)| {
            rows.fill(0.0);
            for image in 0..count {
                let input = inputs(image);
                for (corner, delta) in corners.iter().zip(deltas(image).chunks_exact(stride)) {
                    for (row, sums) in rows.chunks_exact_mut(stride).enumerate() {
                        let tap = task * per_task + row;
                        // The row after the last tap is the bias, whose input is one.
                        let factor = if tap < taps { input[corner + offsets[tap]] } else { 1.0 };
                        if factor != 0.0 {
                            add_scaled(sums, factor, delta);
                        }
                    }
                }
            }
        });
    }

    /// The weights alone, for use after training.
    pub(super) fn trained(&self) -> Self {
        Self { gradient: Vec::new(), moments: [Vec::new(), Vec::new()], ..self.clone() }
    }
}

/// `sums += factor * values`; both have the same length, a multiple of [`PAD`].
fn add_scaled(sums: &mut [f32], factor: f32, values: &[f32]) {
    for (sums, values) in sums.as_chunks_mut::<PAD>().0.iter_mut().zip(values.as_chunks::<PAD>().0) {
        for lane in 0..PAD {
            sums[lane] += factor * values[lane];
        }
    }
}
