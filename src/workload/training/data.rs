//! What is learnt: records as fixed-point inputs and one-hot labels, as their owner encodes them before encryption.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::control::Control;
use crate::dataset::{Dataset, DatasetChoice, Images};
use crate::description::Description;
use crate::error::{Error, Result};

/// Records of the binary databases.
const BINARY_RECORDS: usize = 1000;
/// Most bits of a parity.
const MOST_BITS: u32 = 6;

/// A set of records to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Data {
    /// Random vectors of this many bits with the parity of their ones: the binary database. Two bits are XOR, the paper's experiment. The test set is every
    /// vector once.
    Parity(u32),
    /// The embedded digits of 8 by 8 pixels.
    Digits,
    /// MNIST. Our extension: the paper has no such experiment.
    Mnist,
    /// MNIST's training set without its last 10,000 images, which are the test set: what recipes are chosen by.
    MnistHeldOut,
}

impl Data {
    /// XOR of two bits.
    pub const XOR: Self = Self::Parity(2);

    /// Images kept back for the choice of recipes.
    const HELD_OUT: usize = 10_000;

    /// Numbers per record.
    #[must_use]
    pub const fn inputs(self) -> usize {
        match self {
            Self::Parity(bits) => bits as usize,
            Self::Digits => 64,
            Self::Mnist | Self::MnistHeldOut => 784,
        }
    }

    /// Classes.
    #[must_use]
    pub const fn outputs(self) -> usize {
        match self {
            Self::Parity(_) => 2,
            Self::Digits | Self::Mnist | Self::MnistHeldOut => 10,
        }
    }

    /// Records of the training set.
    #[must_use]
    pub const fn records(self) -> usize {
        match self {
            Self::Parity(_) => BINARY_RECORDS,
            Self::Digits => 1198,
            Self::Mnist => 60_000,
            Self::MnistHeldOut => 60_000 - Self::HELD_OUT,
        }
    }

    /// Reads or makes the records. `seed` decides binary records; images are what they are.
    ///
    /// # Errors
    /// As [`DatasetChoice::open`] and [`Dataset::training`].
    pub fn load(self, seed: u64) -> Result<Loaded> {
        match self {
            Self::Parity(bits) => {
                let mut rng = stream(seed, Use::Data);
                let training = (0..BINARY_RECORDS).map(|_| rng.next_u32() & ((1 << bits) - 1)).collect::<Vec<_>>();
                let every: Vec<u32> = (0..1 << bits).collect();
                let data = Description { dataset: self.to_string(), rows: 1, cols: bits as usize, white: 1, ..Description::default() };
                Ok(Loaded { training: binary(bits, &training), test: binary(bits, &every), data })
            }
            Self::Digits => self.images(&DatasetChoice::Digits, 0),
            Self::Mnist => self.images(&DatasetChoice::Mnist, 0),
            Self::MnistHeldOut => self.images(&DatasetChoice::Mnist, Self::HELD_OUT),
        }
    }

    fn images(self, choice: &DatasetChoice, held_out: usize) -> Result<Loaded> {
        let dataset: Dataset = choice.open(true, &|_| {}, &Control::default())?;
        let images = dataset.training()?;
        let whole = dataset.description();
        // Images that are held out come from the training file.
        let dataset_sha256 = if held_out == 0 { whole.dataset_sha256 } else { whole.training_sha256.clone() };
        let data = Description { dataset: self.to_string(), dataset_sha256, ..whole };
        let raw = |images: &Images, from: usize, to: usize| Raw {
            width: images.rows * images.cols,
            largest: images.max_pixel,
            values: images.pixels[from * images.rows * images.cols..to * images.rows * images.cols].to_vec(),
            labels: images.labels[from..to].to_vec(),
        };
        let kept = images.len().saturating_sub(held_out);
        let test = if held_out == 0 { raw(&dataset.test, 0, dataset.test.len()) } else { raw(&images, kept, images.len()) };
        Ok(Loaded { training: raw(&images, 0, kept), test, data })
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parity(2) => f.write_str("xor"),
            Self::Parity(bits) => write!(f, "parity-{bits}"),
            Self::Digits => f.write_str("digits"),
            Self::Mnist => f.write_str("mnist"),
            Self::MnistHeldOut => f.write_str("mnist-heldout"),
        }
    }
}

impl FromStr for Data {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let data = match text {
            "xor" => Some(Self::XOR),
            "digits" => Some(Self::Digits),
            "mnist" => Some(Self::Mnist),
            "mnist-heldout" => Some(Self::MnistHeldOut),
            _ => text.strip_prefix("parity-").and_then(|bits| bits.parse().ok()).filter(|bits| (2..=MOST_BITS).contains(bits)).map(Self::Parity),
        };
        let known = || format!("xor, parity-K with K from 2 to {MOST_BITS}, digits, mnist, mnist-heldout");
        data.ok_or_else(|| Error::unknown("data", text, known()))
    }
}

/// Records as they are: small non-negative numbers and classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    width: usize,
    largest: u8,
    values: Vec<u8>,
    labels: Vec<u8>,
}

impl Raw {
    /// Records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// A training set and a test set as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What is learnt.
    pub training: Raw,
    /// What it is tested on.
    pub test: Raw,
    /// What they are known by; binary records have no digest.
    pub data: Description,
}

fn binary(bits: u32, vectors: &[u32]) -> Raw {
    let values = vectors.iter().flat_map(|vector| (0..bits).map(move |bit| (vector >> bit & 1) as u8)).collect();
    let labels = vectors.iter().map(|vector| (vector.count_ones() & 1) as u8).collect();
    Raw { width: bits as usize, largest: 1, values, labels }
}

/// Records as a network takes them: fixed-point integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// Numbers per record.
    pub width: usize,
    /// Inputs at scale Q, record after record.
    pub inputs: Vec<i64>,
    /// Class of each record.
    pub labels: Vec<u8>,
}

impl Records {
    /// Training and test records at scale `q`. Centred inputs have the rounded mean of the training set taken off; bits become -1 and 1. The mean of the
    /// images is public with the encoding; that of the bits is 1/2, whatever the records.
    #[must_use]
    pub fn encode(loaded: &Loaded, q: i64, centred: bool) -> (Self, Self) {
        let training = &loaded.training;
        let (count, largest) = (training.len().max(1) as i64, i64::from(training.largest));
        let bits = largest == 1;
        let mut sums = vec![0i64; training.width];
        if centred && !bits {
            for record in training.values.chunks_exact(training.width) {
                sums.iter_mut().zip(record).for_each(|(sum, &value)| *sum += i64::from(value));
            }
        }
        let encode = |raw: &Raw| {
            let inputs = raw.values.iter().enumerate().map(|(at, &value)| match (centred, bits) {
                (true, true) => q * (2 * i64::from(value) - 1),
                // round(q (value - sum / count) / largest), exactly.
                _ => round_div(q * (i64::from(value) * count - sums[at % raw.width]), largest * count),
            });
            Self { width: raw.width, inputs: inputs.collect(), labels: raw.labels.clone() }
        };
        (encode(training), encode(&loaded.test))
    }

    /// Records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The inputs of one record.
    #[must_use]
    pub fn record(&self, index: usize) -> &[i64] {
        &self.inputs[index * self.width..(index + 1) * self.width]
    }

    /// Inputs and one-hot labels of some records, each row after row.
    #[must_use]
    pub fn gather(&self, indices: &[usize], classes: usize, q: i64) -> (Vec<i64>, Vec<i64>) {
        let inputs = indices.iter().flat_map(|&index| self.record(index).iter().copied()).collect();
        let labels = indices.iter().flat_map(|&index| (0..classes).map(move |class| if class == usize::from(self.labels[index]) { q } else { 0 }));
        (inputs, labels.collect())
    }

    /// The first records alone.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        Self { width: self.width, inputs: self.inputs[..count * self.width].to_vec(), labels: self.labels[..count].to_vec() }
    }
}

/// a / b to the nearest integer, halves up; b is above 0.
fn round_div(a: i64, b: i64) -> i64 {
    (2 * a + b).div_euclid(2 * b)
}

/// What public randomness is drawn for. No two uses share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Use {
    /// Binary records.
    Data = 1,
    /// Initial parameters.
    Parameters = 2,
    /// The order of the records.
    Order = 3,
}

/// A stream of a seed.
pub(super) fn stream(seed: u64, purpose: Use) -> ChaCha12Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha12Rng::from_seed(bytes);
    rng.set_stream(purpose as u64);
    rng
}

/// The order of `count` records in an epoch: Fisher and Yates' shuffle of the epoch's own stream.
pub(super) fn order(seed: u64, epoch: u32, count: usize) -> Vec<usize> {
    let mut rng = stream(seed, Use::Order);
    rng.set_stream(Use::Order as u64 | u64::from(epoch) << 8);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        // The bias of the scaled 32-bit draw is below 2^-16 for any set that fits here.
        let pick = (u64::from(rng.next_u32()) * (last as u64 + 1)) >> 32;
        order.swap(last, pick as usize);
    }
    order
}
