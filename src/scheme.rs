//! Schemes: how the data is protected. A scheme sees integers only, reads no clock and knows its backend only through [`crate::backend`].

pub mod clear;
pub mod eivhe;
pub mod paillier;
pub mod private_training;
pub mod smlp;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::plan::Weights;
use crate::plan::convolution::Shape;
use crate::plan::matvec::{MatVec, Method};

/// The schemes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemeId {
    /// No protection: the same integers in the clear.
    Clear,
    /// Additively homomorphic encryption.
    Paillier,
    /// Two servers over Paillier.
    Smlp,
    /// Integer-vector encryption.
    Eivhe,
}

impl SchemeId {
    /// All schemes.
    pub const ALL: [Self; 4] = [Self::Clear, Self::Paillier, Self::Smlp, Self::Eivhe];

    /// The name on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Paillier => "paillier",
            Self::Smlp => "smlp",
            Self::Eivhe => "eivhe",
        }
    }

    /// One line on what it is.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Clear => "no protection: the plaintext baseline, in f32 and in the same integers",
            Self::Paillier => "Paillier encryption; the owner of the image decrypts, the model stays with the server",
            Self::Smlp => "a perceptron trained and asked on two servers that do not collude; data and parameters stay encrypted (`cipherlane smlp`)",
            Self::Eivhe => "integer-vector encryption, a reconstruction: broken over the integers as published, learning with errors modulo q",
        }
    }
}

impl fmt::Display for SchemeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SchemeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| Error::Unknown {
            what: "scheme",
            value: text.into(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Non-negative integer inputs, image after image.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    values: &'a [u16],
    width: usize,
}

impl<'a> Inputs<'a> {
    /// `values` of `width` per image.
    ///
    /// # Errors
    /// [`Error::Size`] when values are left over.
    pub fn new(values: &'a [u16], width: usize) -> Result<Self> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::Size { what: "values of an image", expected: width, actual: values.len() });
        }
        Ok(Self { values, width })
    }

    /// Images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values of an image.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values of one image.
    #[must_use]
    pub fn image(&self, index: usize) -> &'a [u16] {
        &self.values[index * self.width..(index + 1) * self.width]
    }
}

/// y = W x + b over the integers, with inputs bounded by `input_max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearMap {
    weights: Weights,
    bias: Vec<i64>,
    input_max: u16,
    result_bits: u32,
    plans: Plans,
}

/// Which products: for one-image ciphertexts of a shape or for one input a ciphertext; and how planned.
type PlanKey = (Option<Shape>, Option<Method>);

/// Plans of a map's products made so far. They depend on the map alone, so clones share them and comparisons pass them by.
#[derive(Clone, Debug, Default)]
struct Plans(Arc<Mutex<HashMap<PlanKey, Arc<[MatVec]>>>>);

impl PartialEq for Plans {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Plans {}

impl LinearMap {
    /// Checks the shape and finds the worst case over all inputs in `0..=input_max`.
    ///
    /// # Errors
    /// [`Error::Size`] unless there is one bias per row, [`Error::OutOfRange`] when a result could leave 62 bits.
    pub fn new(weights: Weights, bias: Vec<i64>, input_max: u16) -> Result<Self> {
        if bias.len() != weights.rows() {
            return Err(Error::Size { what: "biases", expected: weights.rows(), actual: bias.len() });
        }
        let mut result_bits = 1;
        for (j, &bias) in bias.iter().enumerate() {
            let sum = |negative: bool| -> i128 {
                let part = weights.row(j).iter().filter(|&&w| (w < 0) == negative).map(|&w| i128::from(w)).sum::<i128>();
                part * i128::from(input_max)
            };
            for extreme in [i128::from(bias), i128::from(bias) + sum(false), i128::from(bias) + sum(true)] {
                // Signed bits of x: those of x or of -x-1, and the sign.
                let magnitude = if extreme < 0 { -extreme - 1 } else { extreme };
                result_bits = result_bits.max(i128::BITS - magnitude.leading_zeros() + 1);
            }
        }
        if result_bits > 62 {
            return Err(Error::OutOfRange { what: "worst-case result", value: format!("{result_bits} bits"), allowed: "62 bits and below".into() });
        }
        // A slot also carries the inputs themselves and never has fewer than 2 bits.
        let input_bits = u16::BITS - input_max.leading_zeros() + 1;
        Ok(Self { weights, bias, input_max, result_bits: result_bits.max(input_bits).max(2), plans: Plans::default() })
    }

    /// W.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// b.
    #[must_use]
    pub fn bias(&self) -> &[i64] {
        &self.bias
    }

    /// Largest input.
    #[must_use]
    pub fn input_max(&self) -> u16 {
        self.input_max
    }

    /// Bits, sign included, that hold every input and every result for inputs in `0..=input_max`.
    #[must_use]
    pub fn result_bits(&self) -> u32 {
        self.result_bits
    }

    /// The plans of a key, made by `plan` where they are not there yet.
    fn planned(&self, key: PlanKey, plan: impl FnOnce() -> Result<Vec<MatVec>>) -> Result<Arc<[MatVec]>> {
        let mut plans = self.plans.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = plans.get(&key) {
            return Ok(made.clone());
        }
        let made: Arc<[MatVec]> = plan()?.into();
        plans.insert(key, made.clone());
        Ok(made)
    }

    /// y of one image. Input: `weights.cols()` values.
    #[must_use]
    pub fn apply(&self, input: &[u16]) -> Vec<i64> {
        let row = |j: usize| self.weights.row(j).iter().zip(input).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum::<i64>();
        (0..self.weights.rows()).map(|j| self.bias[j] + row(j)).collect()
    }

    /// Refuses images of another width and values above `input_max`.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::OutOfRange`].
    pub fn check_inputs(&self, inputs: &Inputs<'_>) -> Result<()> {
        if inputs.width() != self.weights.cols() {
            return Err(Error::Size { what: "values of an image", expected: self.weights.cols(), actual: inputs.width() });
        }
        match inputs.values.iter().find(|&&x| x > self.input_max) {
            None => Ok(()),
            Some(x) => Err(Error::OutOfRange { what: "input", value: x.to_string(), allowed: format!("0 to {}", self.input_max) }),
        }
    }
}

/// Linear inference under a scheme, cut into the stages that the harness times, in the order the data travels.
pub trait LinearInference {
    /// Encoded inputs, on the owner's side.
    type Plaintexts;
    /// What travels to the server.
    type Query;
    /// The query on the server's device.
    type Loaded;
    /// The result on the server's device.
    type Evaluated;
    /// What travels back.
    type Answer;
    /// Decrypted results, on the owner's side.
    type Decrypted;

    /// Owner: what the encryption of the next `images` images needs and their values do not change. Nothing unless a scheme says otherwise.
    ///
    /// # Errors
    /// When the backend fails.
    fn prepare_query(&mut self, _images: usize) -> Result<()> {
        Ok(())
    }
    /// Server: what the next answer, for `images` images, needs and the query does not change. Nothing unless a scheme says otherwise.
    ///
    /// # Errors
    /// When the backend fails.
    fn prepare_answer(&mut self, _images: usize) -> Result<()> {
        Ok(())
    }
    /// Owner: inputs to plaintexts.
    ///
    /// # Errors
    /// When the inputs do not fit the map.
    fn encode(&self, inputs: &Inputs<'_>) -> Result<Self::Plaintexts>;
    /// Owner: plaintexts to ciphertexts with fresh randomness.
    ///
    /// # Errors
    /// When the backend fails.
    fn encrypt(&mut self, plaintexts: Self::Plaintexts) -> Result<Self::Query>;
    /// Server: ciphertexts to the device.
    ///
    /// # Errors
    /// When the query does not belong to this key and map.
    fn upload(&self, query: Self::Query) -> Result<Self::Loaded>;
    /// Server: the map on ciphertexts, re-randomisation included.
    ///
    /// # Errors
    /// When a ciphertext is invalid or the backend fails.
    fn evaluate(&mut self, loaded: Self::Loaded) -> Result<Self::Evaluated>;
    /// Server: results from the device.
    ///
    /// # Errors
    /// When the backend fails.
    fn download(&self, evaluated: Self::Evaluated) -> Result<Self::Answer>;
    /// Owner: ciphertexts to plaintexts.
    ///
    /// # Errors
    /// When a result does not decrypt.
    fn decrypt(&self, answer: Self::Answer) -> Result<Self::Decrypted>;
    /// Owner: plaintexts to results, image after image, row after row; `images` as many as were encoded.
    ///
    /// # Errors
    /// When a result does not decode.
    fn decode(&self, decrypted: Self::Decrypted, images: usize) -> Result<Vec<i64>>;
    /// Bytes that travel to the server.
    fn query_bytes(&self, query: &Self::Query) -> u64;
    /// Bytes that travel back.
    fn answer_bytes(&self, answer: &Self::Answer) -> u64;
    /// The words of the answer, for a digest that is equal on every backend for equal randomness.
    fn answer_words<'a>(&self, answer: &'a Self::Answer) -> &'a [u64];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_worst_case_is_exact() {
        let map = |weights: Vec<i32>, bias: i64, max| {
            LinearMap::new(Weights::new(1, weights.len(), weights).unwrap(), vec![bias], max).map(|m| m.result_bits())
        };
        assert_eq!(map(vec![1, 1], 0, 255).unwrap(), 10); // 510
        assert_eq!(map(vec![1, 1], 1, 255).unwrap(), 10); // 511
        assert_eq!(map(vec![1, 1], 2, 255).unwrap(), 11); // 512
        assert_eq!(map(vec![-1, -1], -2, 255).unwrap(), 10); // -512
        assert_eq!(map(vec![-1, -1], -3, 255).unwrap(), 11); // -513
        assert_eq!(map(vec![0], 0, 255).unwrap(), 9); // the input itself
        assert!(map(vec![i32::MAX; 100_000], 0, u16::MAX).is_err());
    }

    proptest! {
        #[test]
        fn no_input_leaves_the_worst_case(weights in proptest::collection::vec(-127i32..=127, 12), bias in -10_000i64..10_000, inputs in proptest::collection::vec(0u16..=255, 12)) {
            let map = LinearMap::new(Weights::new(1, 12, weights).unwrap(), vec![bias], 255).unwrap();
            let y = map.apply(&inputs)[0];
            let half = 1i64 << (map.result_bits() - 1);
            prop_assert!((-half..half).contains(&y));
        }
    }
}
