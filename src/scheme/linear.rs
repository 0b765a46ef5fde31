//! Linear inference: y = W x + b on protected inputs, and what a scheme for it is to the harness.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{Backend, BackendId, Bound};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::plan::convolution::Shape;
use crate::plan::matvec::{MatVec, Method};
use crate::plan::{Counts, Weights};
use crate::randomness::Tape;
use crate::spec::{Protection, Values};

/// Non-negative integer inputs, image after image.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub(super) values: &'a [u16],
    width: usize,
}

impl<'a> Inputs<'a> {
    /// `values` of `width` per image.
    ///
    /// # Errors
    /// [`Error::Size`] when values are left over.
    pub fn new(values: &'a [u16], width: usize) -> Result<Self> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::size("values of an image", width, values.len()));
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
            return Err(Error::size("biases", weights.rows(), bias.len()));
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
            return Err(Error::range("worst-case result", &format!("{result_bits} bits"), "62 bits and below"));
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
    pub(super) fn planned(&self, key: PlanKey, plan: impl FnOnce() -> Result<Vec<MatVec>>) -> Result<Arc<[MatVec]>> {
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
            return Err(Error::size("values of an image", self.weights.cols(), inputs.width()));
        }
        match inputs.values.iter().find(|&&x| x > self.input_max) {
            None => Ok(()),
            Some(x) => Err(Error::range("input", &x, format!("0 to {}", self.input_max))),
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

    /// Sizes and facts that rows tell.
    fn about(&self) -> About;
    /// The work that is done ahead of the images, in this order.
    fn ahead(&self) -> &'static [Ahead] {
        &[]
    }
    /// Makes ahead what the query or the answer for the next `images` images needs and their
    /// values do not change.
    ///
    /// # Errors
    /// When the backend fails.
    fn make_ahead(&mut self, _what: Ahead, _images: usize) -> Result<()> {
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
    /// Products of the plan for one set of ciphertexts.
    fn counts(&self) -> Counts {
        Counts::default()
    }
    /// The multipliers that these products run on; none where the backend does not know them.
    fn bound(&self) -> Option<&dyn Bound> {
        None
    }
}

/// Work ahead of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// The owner: for the query.
    Query,
    /// The server: for the answer.
    Answer,
}

/// Facts on a service that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Bits of a slot that holds every input and result.
    pub slot_bits: u32,
    /// Images of a set of ciphertexts; none where nothing is encrypted.
    pub set: Option<usize>,
    /// Images worked on at once where nobody says how many.
    pub batch: usize,
    /// The encrypted product.
    pub product: Option<Product>,
    /// Bytes of what the owner publishes and of the ciphertext of an image, where the choices
    /// alone do not tell.
    pub sizes: Option<Sizes>,
}

/// Facts on an encrypted product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// The plan's name.
    pub method: &'static str,
    /// Modular multiplications for one set of ciphertexts.
    pub multiplications: usize,
    /// Images in one ciphertext.
    pub slots: usize,
    /// Inputs of one image in one ciphertext.
    pub inputs_per_ciphertext: usize,
}

/// Bytes of public keys and ciphertexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Everything that the server or the public gets before the first query.
    pub key_bytes: u64,
    /// The ciphertext of one image.
    pub ciphertext_bytes: u64,
}

/// Facts of a row before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The backend that is opened for it; none for a scheme with arithmetic of its own.
    pub backend: Option<BackendId>,
    /// Plan of the product, as records name it.
    pub method: String,
    /// Bits of the key, where the scheme's keys have a length.
    pub key_bits: Option<u32>,
    /// The owner's way to encrypt; `none` in the clear.
    pub encryption: String,
    /// Estimated strength in bits; none in the clear.
    pub security_bits: Option<u32>,
    /// The break of it, for everybody who uses it; none where none is known.
    pub unsound: Option<&'static str>,
    /// `true` if the key is one for tests.
    pub is_toy: bool,
    /// Everything besides images, model, layout and seed that decides the bits of the results:
    /// equal on every backend. None where nothing is compared.
    pub decides_bits: Option<String>,
}

/// The size of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Inputs of the model.
    pub inputs: usize,
    /// Ciphertexts of a set to the server.
    pub ciphertexts: usize,
    /// Ciphertexts of a set back.
    pub results: usize,
    /// Images of a set.
    pub set: usize,
    /// Images worked on at once.
    pub batch: usize,
}

/// The rough cost of a row by its scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Seconds for all images once, with the check of each.
    pub pass_seconds: f64,
    /// Seconds before that, but for the key.
    pub setup_seconds: f64,
    /// Seconds for a key.
    pub key_seconds: f64,
    /// Most memory in bytes.
    pub memory_bytes: f64,
    /// Bytes to the server and back for all images once.
    pub wire_bytes: f64,
}

/// Everything that is asked of a scheme besides its choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Images in all: more of them are worth larger tables.
    pub images: usize,
    /// `true` if they come one at a time: latency, not throughput.
    pub single: bool,
}

/// A key of a scheme, which rows share.
pub type Key = Arc<dyn Any + Send + Sync>;

/// A scheme for linear inference: all that the harness knows of it.
pub trait LinearScheme: Send + Sync {
    /// Its path and choices.
    fn protection(&self) -> &'static Protection;
    /// One line on it.
    fn summary(&self) -> &'static str;
    /// Facts of a row before it runs.
    ///
    /// # Errors
    /// For values that are none of its choices'.
    fn facts(&self, values: &Values) -> Result<Facts>;
    /// The size of a row, by threads of the pool where a batch depends on them.
    ///
    /// # Errors
    /// When the map does not fit the choices.
    fn size(&self, values: &Values, job: Job, map: &LinearMap) -> Result<Size>;
    /// The cost of a row on `threads` threads. `power_ns` is the time of one thread for a power
    /// modulo a number of 1024 bits with an exponent of 512 on a backend; none where it is not
    /// here.
    ///
    /// # Errors
    /// For values that are none of its choices'.
    fn cost(&self, values: &Values, job: Job, size: Size, threads: f64, power_ns: &dyn Fn(BackendId) -> Option<f64>) -> Result<Option<Cost>>;
    /// `true` if the service takes time to prepare.
    fn prepares(&self) -> bool {
        true
    }
    /// Makes the key of a row from its tape. Rows of equal [`Facts::key_bits`] and seed share it.
    /// None where there is none to make apart.
    ///
    /// # Errors
    /// For a length that is not allowed; [`Error::Interrupted`].
    fn keygen(&self, _values: &Values, _allow_toy: bool, _tape: &Tape, _control: &Control) -> Option<Result<Key>> {
        None
    }
    /// Both sides, ready for images.
    ///
    /// # Errors
    /// When the map does not fit the choices, or the backend fails.
    fn service(&self, values: &Values, job: Job, map: LinearMap, means: Means<'_>) -> Result<Box<dyn Service>>;
}

/// Key, backend and randomness of a service.
pub struct Means<'a> {
    /// The key of [`LinearScheme::keygen`].
    pub key: Option<&'a Key>,
    /// The backend of [`Facts::backend`].
    pub backend: Option<&'a dyn Backend>,
    /// All randomness of both sides.
    pub tape: Tape,
}

impl<'a> Means<'a> {
    /// Key and backend of a scheme that asked for both.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where one is missing or the key is another scheme's.
    pub fn of<K: 'static>(&self, scheme: &'static str) -> Result<(&'a K, &'a dyn Backend)> {
        let key = self.key.and_then(|key| key.downcast_ref());
        key.zip(self.backend).ok_or_else(|| Error::unsupported(scheme, "a service without its key and backend"))
    }
}

/// A service of any scheme, stage by stage: what one stage leaves, the next takes.
pub trait Service: Send + Sync {
    /// As [`LinearInference::about`].
    fn about(&self) -> About;
    /// As [`LinearInference::ahead`].
    fn ahead(&self) -> &'static [Ahead];
    /// As [`LinearInference::make_ahead`].
    ///
    /// # Errors
    /// When the backend fails.
    fn make_ahead(&mut self, what: Ahead, images: usize) -> Result<()>;
    /// Does one stage.
    ///
    /// # Errors
    /// Those of the stage; [`Error::Unsupported`] where the stage before it was not done.
    fn advance(&mut self, step: Step<'_>) -> Result<()>;
    /// The last stage: plaintexts to results.
    ///
    /// # Errors
    /// As [`LinearInference::decode`].
    fn decode(&mut self, images: usize) -> Result<Vec<i64>>;
    /// Bytes of the query or the answer that is there; 0 elsewhere.
    fn bytes(&self) -> u64;
    /// The words of the answer that is there.
    fn answer_words(&self) -> &[u64];
    /// As [`LinearInference::counts`].
    fn counts(&self) -> Counts;
    /// As [`LinearInference::bound`].
    fn bound(&self) -> Option<&dyn Bound>;
}

/// A stage of a service but the last.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Owner: inputs to plaintexts.
    Encode(&'a Inputs<'a>),
    /// Owner: plaintexts to ciphertexts.
    Encrypt,
    /// Server: ciphertexts to the device.
    Upload,
    /// Server: the map on ciphertexts.
    Evaluate,
    /// Server: results from the device.
    Download,
    /// Owner: ciphertexts to plaintexts.
    Decrypt,
}

/// The output of a stage.
enum Left<S: LinearInference> {
    Nothing,
    Plaintexts(S::Plaintexts),
    Query(S::Query),
    Loaded(S::Loaded),
    Evaluated(S::Evaluated),
    Answer(S::Answer),
    Decrypted(S::Decrypted),
}

/// A scheme's own service as a [`Service`].
pub struct Staged<S: LinearInference> {
    service: S,
    left: Left<S>,
}

impl<S: LinearInference> Staged<S> {
    /// A service at its first stage.
    #[must_use]
    pub fn new(service: S) -> Self {
        Self { service, left: Left::Nothing }
    }
}

impl<S> Service for Staged<S>
where
    S: LinearInference + Send + Sync,
    S::Plaintexts: Send + Sync,
    S::Query: Send + Sync,
    S::Loaded: Send + Sync,
    S::Evaluated: Send + Sync,
    S::Answer: Send + Sync,
    S::Decrypted: Send + Sync,
{
    fn about(&self) -> About {
        self.service.about()
    }

    fn ahead(&self) -> &'static [Ahead] {
        self.service.ahead()
    }

    fn make_ahead(&mut self, what: Ahead, images: usize) -> Result<()> {
        self.service.make_ahead(what, images)
    }

    fn advance(&mut self, step: Step<'_>) -> Result<()> {
        self.left = match (step, std::mem::replace(&mut self.left, Left::Nothing)) {
            (Step::Encode(inputs), _) => Left::Plaintexts(self.service.encode(inputs)?),
            (Step::Encrypt, Left::Plaintexts(plaintexts)) => Left::Query(self.service.encrypt(plaintexts)?),
            (Step::Upload, Left::Query(query)) => Left::Loaded(self.service.upload(query)?),
            (Step::Evaluate, Left::Loaded(loaded)) => Left::Evaluated(self.service.evaluate(loaded)?),
            (Step::Download, Left::Evaluated(evaluated)) => Left::Answer(self.service.download(evaluated)?),
            (Step::Decrypt, Left::Answer(answer)) => Left::Decrypted(self.service.decrypt(answer)?),
            (step, _) => return Err(out_of_order(&format!("{step:?}"))),
        };
        Ok(())
    }

    fn decode(&mut self, images: usize) -> Result<Vec<i64>> {
        match std::mem::replace(&mut self.left, Left::Nothing) {
            Left::Decrypted(decrypted) => self.service.decode(decrypted, images),
            _ => Err(out_of_order("Decode")),
        }
    }

    fn bytes(&self) -> u64 {
        match &self.left {
            Left::Query(query) => self.service.query_bytes(query),
            Left::Answer(answer) => self.service.answer_bytes(answer),
            _ => 0,
        }
    }

    fn answer_words(&self) -> &[u64] {
        if let Left::Answer(answer) = &self.left { self.service.answer_words(answer) } else { &[] }
    }

    fn counts(&self) -> Counts {
        self.service.counts()
    }

    fn bound(&self) -> Option<&dyn Bound> {
        self.service.bound()
    }
}

fn out_of_order(step: &str) -> Error {
    Error::unsupported(format!("the stage {step}"), "a place other than after the stage before it")
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
