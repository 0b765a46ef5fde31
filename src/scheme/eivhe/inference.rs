//! Linear inference: the owner encrypts inputs, the server applies W and adds b, the owner decrypts.

use std::fmt;
use std::str::FromStr;

use super::key::{Encryptor, Secret};
use super::parameters::{Encryption, Parameters, Published, Range};
use super::public::PublicMatrix;
use super::switch::{Direct, KeySwitch};
use crate::error::{Error, Result};
use crate::randomness::Tape;
use crate::scheme::linear::{About, Product, Sizes};
use crate::scheme::{Inputs, LinearInference, LinearMap};
use crate::text::named;

/// Images worked on at once: enough to read a key-switching matrix seldom, few enough that progress
/// shows and Ctrl-C is heard.
pub(super) const VECTORS_PER_BATCH: usize = 500;

/// Key columns of the services over the integers, ours: the programs leave the number to the user, but for one column of Trask's.
const KEY_COLUMNS: usize = 16;

/// A choice of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Over the integers with published bounds. Unsound: see [`crate::attack::eivhe`].
    Integers(Published),
    /// Modulo q with fresh uniform randomness: [`Parameters::lwe`].
    Lwe,
}

impl Setting {
    /// All settings.
    pub const ALL: [Self; 4] =
        [Self::Integers(Published::Payor), Self::Integers(Published::Secureldata), Self::Integers(Published::Trask), Self::Lwe];

    /// The name on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integers(published) => published.name(),
            Self::Lwe => "lwe",
        }
    }

    /// How messages are encrypted: with a fixed public matrix over the integers, as that is what makes the scheme a public-key one; fresh modulo q.
    #[must_use]
    pub const fn encryption(self) -> Encryption {
        match self {
            Self::Integers(_) => Encryption::Fixed,
            Self::Lwe => Encryption::Fresh,
        }
    }

    /// Estimated strength in bits, by the rule of [`Parameters::lwe`].
    #[must_use]
    pub const fn security_bits(self) -> u32 {
        match self {
            Self::Integers(_) => 0,
            Self::Lwe => super::LWE_SECURITY_BITS,
        }
    }

    /// One line on what it is.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Integers(Published::Payor) => "J. Payor's program: w = 2^40, all bounds 1000",
            Self::Integers(Published::Secureldata) => "secureldata's program: w = 2^45, bounds 100, noise below 1000",
            Self::Integers(Published::Trask) => "A. Trask's program: w = 2^25, all bounds 10, one column of key",
            Self::Lwe => "learning with errors modulo q",
        }
    }

    /// What everybody who uses an unsound setting must be told; none for the sound one.
    #[must_use]
    pub const fn warning(self) -> Option<&'static str> {
        match self {
            Self::Integers(_) => Some(
                "integer-vector encryption over the integers is broken and protects nothing: least squares on the public matrix gives the key, and with published bounds a ciphertext shows the message without any key",
            ),
            Self::Lwe => None,
        }
    }

    /// The name of a setting with a route, where records have one word for both.
    #[must_use]
    pub const fn method(self, route: Route) -> &'static str {
        match (self, route) {
            (Self::Integers(Published::Payor), Route::Switch) => "payor-switch",
            (Self::Integers(Published::Payor), Route::Direct) => "payor-direct",
            (Self::Integers(Published::Secureldata), Route::Switch) => "secureldata-switch",
            (Self::Integers(Published::Secureldata), Route::Direct) => "secureldata-direct",
            (Self::Integers(Published::Trask), Route::Switch) => "trask-switch",
            (Self::Integers(Published::Trask), Route::Direct) => "trask-direct",
            (Self::Lwe, Route::Switch) => "lwe-switch",
            (Self::Lwe, Route::Direct) => "lwe-direct",
        }
    }

    fn parameters(self, dimension: usize, message_bound: u64, result_bound: u64) -> Result<Parameters> {
        match self {
            Self::Integers(published) => {
                let key_columns = if published == Published::Trask { 1 } else { KEY_COLUMNS };
                Ok(published.parameters(dimension, key_columns, message_bound))
            }
            Self::Lwe => Parameters::lwe(dimension, message_bound, result_bound),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Setting {
    type Err = Error;

    /// `integers` stands for `payor`.
    fn from_str(text: &str) -> Result<Self> {
        if text == "integers" {
            return Ok(Self::Integers(Published::Payor));
        }
        let known = || format!("integers, {}", Self::ALL.map(Self::name).join(", "));
        let found = Self::ALL.into_iter().find(|setting| setting.name() == text);
        found.ok_or_else(|| Error::unknown("setting of integer-vector encryption", text, known()))
    }
}

named! {
    /// How the server applies W.
    #[derive(Default)]
    pub enum Route: "route of a linear map" {
        /// By the key-switching matrix that the client sends, as in the papers.
        #[default]
        Switch => "switch",
        /// On the first m entries of a ciphertext, without any matrix: [`Direct`].
        Direct => "direct",
    }
}

/// Owner and server of one inference service in one process, each with its own part.
pub struct Eivhe {
    map: LinearMap,
    setting: Setting,
    secret: Secret,
    public: Option<PublicMatrix>,
    operation: Operation,
    /// The key of the results.
    results: Secret,
    /// Ranges of queries and answers.
    ranges: [Range; 2],
    tape: Tape,
    /// Messages encrypted so far: each takes randomness of its own.
    encrypted: u64,
}

enum Operation {
    Switch(KeySwitch),
    Direct(Direct),
}

impl Eivhe {
    /// Makes both keys and what the two sides need.
    ///
    /// # Errors
    /// [`Error::Noise`] and [`Error::OutOfRange`] when the map's results would not decrypt for every input.
    pub fn new(map: LinearMap, setting: Setting, route: Route, tape: Tape) -> Result<Self> {
        let (rows, inputs) = (map.weights().rows(), map.weights().cols());
        // Signed results of b bits are at most 2^(b - 1) in magnitude.
        let result_bound = 1u64 << (map.result_bits() - 1);
        let parameters = setting.parameters(inputs, u64::from(map.input_max()), result_bound)?;
        let range = parameters.encrypted(setting.encryption())?;
        let secret = Secret::generate(parameters, &tape, 0)?;
        let weights: Vec<i64> = (0..rows).flat_map(|row| map.weights().row(row)).map(|&w| i64::from(w)).collect();
        let message = Some(u128::from(result_bound));
        let (operation, results) = match route {
            Route::Switch => {
                let results = Secret::draw(Parameters { dimension: rows, ..parameters }, &tape, 1);
                // Bits over the integers, as published; modulo q the fewest digits that decrypt.
                let digit_bits = parameters.modulus_bits.is_none().then_some(1);
                let switch = KeySwitch::linear(&secret, &results, &weights, range, message, digit_bits, &tape, 0)?;
                (Operation::Switch(switch), results)
            }
            Route::Direct => {
                let (direct, results) = Direct::new(&secret, weights, rows, range, message)?;
                (Operation::Direct(direct), results)
            }
        };
        let answers = match &operation {
            Operation::Switch(switch) => switch.range(),
            Operation::Direct(direct) => direct.range(),
        };
        let public = match setting.encryption() {
            Encryption::Fixed => Some(PublicMatrix::generate(&secret, &tape, None)?),
            Encryption::Fresh => None,
        };
        Ok(Self { map, setting, secret, public, operation, results, ranges: [range, answers], tape, encrypted: 0 })
    }

    /// What queries are encrypted with.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        self.secret.parameters()
    }

    /// Bytes of what the owner publishes or sends before the first query: the public matrix and the key-switching matrix.
    #[must_use]
    pub fn key_bytes(&self) -> u64 {
        let word = u64::from(self.parameters().modulus_bits.unwrap_or(64).div_ceil(8));
        let public = self.public.as_ref().map_or(0, |public| (public.columns() * self.parameters().width()) as u64 * word);
        public + if let Operation::Switch(switch) = &self.operation { switch.bytes() } else { 0 }
    }

    /// Bytes of the ciphertext of one input vector.
    #[must_use]
    pub fn ciphertext_bytes(&self) -> u64 {
        bytes(self.parameters(), self.ranges[0])
    }

    /// Products of an entry of a matrix and a digit, or of a weight and an entry of a ciphertext, for one image.
    #[must_use]
    pub fn products(&self) -> usize {
        match &self.operation {
            Operation::Switch(switch) => switch.columns() * self.results.parameters().width(),
            Operation::Direct(_) => self.map.weights().rows() * self.map.weights().cols(),
        }
    }
}

/// Bytes of a ciphertext: every entry in as many whole bytes as its range needs.
fn bytes(parameters: &Parameters, range: Range) -> u64 {
    // Modulo q the entries are those of -q/2..q/2.
    let entry = |most: u128| match parameters.modulus_bits {
        Some(bits) => u64::from(bits.div_ceil(8)),
        None => u64::from((128 - most.leading_zeros() + 1).div_ceil(8)),
    };
    parameters.dimension as u64 * entry(range.upper) + parameters.key_columns as u64 * entry(range.lower)
}

impl LinearInference for Eivhe {
    type Plaintexts = Vec<i64>;
    type Query = Vec<i64>;
    type Loaded = Vec<i64>;
    type Evaluated = Vec<i64>;
    type Answer = Vec<i64>;
    type Decrypted = Vec<i64>;

    fn about(&self) -> About {
        let route = if matches!(self.operation, Operation::Switch(_)) { Route::Switch } else { Route::Direct };
        About {
            slot_bits: self.map.result_bits(),
            set: Some(1),
            batch: VECTORS_PER_BATCH,
            product: Some(Product {
                method: self.setting.method(route),
                multiplications: self.products(),
                slots: 1,
                inputs_per_ciphertext: self.parameters().dimension,
            }),
            sizes: Some(Sizes { key_bytes: self.key_bytes(), ciphertext_bytes: self.ciphertext_bytes() }),
        }
    }

    fn encode(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        self.map.check_inputs(inputs)?;
        Ok((0..inputs.images()).flat_map(|i| inputs.image(i)).map(|&x| i64::from(x)).collect())
    }

    fn encrypt(&mut self, plaintexts: Vec<i64>) -> Result<Vec<i64>> {
        let first = self.encrypted;
        self.encrypted += (plaintexts.len() / self.parameters().dimension) as u64;
        match &self.public {
            Some(public) => public.encrypt(&plaintexts),
            None => Encryptor::new(&self.secret)?.encrypt(&plaintexts, &self.tape, first),
        }
    }

    fn upload(&self, query: Vec<i64>) -> Result<Vec<i64>> {
        Parameters::count("entries of ciphertexts", &query, self.parameters().width())?;
        Ok(query)
    }

    fn evaluate(&mut self, loaded: Vec<i64>) -> Result<Vec<i64>> {
        let parameters = self.results.parameters();
        let mut results = match &self.operation {
            Operation::Switch(switch) => switch.apply(&loaded)?,
            Operation::Direct(direct) => direct.apply(&loaded)?,
        };
        for result in results.chunks_exact_mut(parameters.width()) {
            for (entry, &b) in result.iter_mut().zip(self.map.bias()) {
                *entry = parameters.reduce(entry.wrapping_add(b.wrapping_mul(parameters.scale())));
            }
        }
        Ok(results)
    }

    fn download(&self, evaluated: Vec<i64>) -> Result<Vec<i64>> {
        Ok(evaluated)
    }

    fn decrypt(&self, answer: Vec<i64>) -> Result<Vec<i64>> {
        self.results.decrypt(&answer)
    }

    fn decode(&self, decrypted: Vec<i64>, images: usize) -> Result<Vec<i64>> {
        let expected = images * self.map.weights().rows();
        if decrypted.len() != expected {
            return Err(Error::size("results", expected, decrypted.len()));
        }
        Ok(decrypted)
    }

    fn query_bytes(&self, query: &Vec<i64>) -> u64 {
        (query.len() / self.parameters().width()) as u64 * self.ciphertext_bytes()
    }

    fn answer_bytes(&self, answer: &Vec<i64>) -> u64 {
        let parameters = self.results.parameters();
        (answer.len() / parameters.width()) as u64 * bytes(parameters, self.ranges[1])
    }

    fn answer_words<'a>(&self, answer: &'a Vec<i64>) -> &'a [u64] {
        bytemuck::cast_slice(answer)
    }
}

impl fmt::Debug for Eivhe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eivhe").field("setting", &self.setting).field("parameters", self.parameters()).finish_non_exhaustive()
    }
}
