//! A scheme: the owner of the image, who also knows the map, hides every input under a pad of her
//! own and takes the pad's image off the result. It shows how a scheme is added; it is not one to
//! use, since who knows the map needs no server.

use cipherlane::backend::BackendId;
use cipherlane::error::Result;
use cipherlane::randomness::{Purpose, Tape};
use cipherlane::scheme::linear::{About, Cost, Facts, Job, LinearScheme, Means, Service, Size, Staged};
use cipherlane::scheme::{Inputs, LinearInference, LinearMap};
use cipherlane::spec::{Choice, Form, Protection, Values, whole};

/// The scheme.
pub struct Pad;

/// Its one option: argument, key of sweep files, place in the text of specs and pair of the column
/// `parameters` come from this.
static PROTECTION: Protection = Protection {
    path: "pad",
    selected_by: None,
    choices: &[Choice { value_name: "BITS", default: &["62"], ..Choice::new("pad_bits", Form::Segment, whole::<8, 62>, "Bits of a pad") }],
};

/// Words of an image under its pads, or of a result.
type Words = Vec<i64>;

/// Both parties.
struct Parties {
    map: LinearMap,
    bits: u32,
    tape: Tape,
    images: u64,
    pads: Words,
}

impl Parties {
    /// W x, modulo 2^64, of each image in `values`.
    fn product(&self, values: &[i64]) -> Words {
        let weights = self.map.weights();
        let row =
            |image: &[i64], j: usize| weights.row(j).iter().zip(image).fold(0i64, |sum, (&w, &x)| sum.wrapping_add(i64::from(w).wrapping_mul(x)));
        values.chunks_exact(weights.cols()).flat_map(|image| (0..weights.rows()).map(move |j| row(image, j))).collect()
    }
}

impl LinearInference for Parties {
    type Plaintexts = Words;
    type Query = Words;
    type Loaded = Words;
    type Evaluated = Words;
    type Answer = Words;
    type Decrypted = Words;

    fn about(&self) -> About {
        About { slot_bits: 64, set: Some(1), batch: 200, product: None, sizes: None }
    }

    fn encode(&self, inputs: &Inputs<'_>) -> Result<Words> {
        self.map.check_inputs(inputs)?;
        Ok((0..inputs.images()).flat_map(|i| inputs.image(i)).map(|&x| i64::from(x)).collect())
    }

    fn encrypt(&mut self, plaintexts: Words) -> Result<Words> {
        let mut stream = self.tape.stream(Purpose::Sample, self.images);
        self.images += 1;
        self.pads = plaintexts.iter().map(|_| (stream.word() >> (64 - self.bits)) as i64).collect();
        Ok(plaintexts.iter().zip(&self.pads).map(|(x, pad)| x.wrapping_add(*pad)).collect())
    }

    fn upload(&self, query: Words) -> Result<Words> {
        Ok(query)
    }

    fn evaluate(&mut self, loaded: Words) -> Result<Words> {
        let mut results = self.product(&loaded);
        for result in results.chunks_exact_mut(self.map.weights().rows()) {
            result.iter_mut().zip(self.map.bias()).for_each(|(y, b)| *y = y.wrapping_add(*b));
        }
        Ok(results)
    }

    fn download(&self, evaluated: Words) -> Result<Words> {
        Ok(evaluated)
    }

    fn decrypt(&self, answer: Words) -> Result<Words> {
        Ok(answer.iter().zip(self.product(&self.pads)).map(|(y, pad)| y.wrapping_sub(pad)).collect())
    }

    fn decode(&self, decrypted: Words, _images: usize) -> Result<Vec<i64>> {
        Ok(decrypted)
    }

    fn query_bytes(&self, query: &Words) -> u64 {
        8 * query.len() as u64
    }

    fn answer_bytes(&self, answer: &Words) -> u64 {
        8 * answer.len() as u64
    }

    fn answer_words<'a>(&self, _answer: &'a Words) -> &'a [u64] {
        &[]
    }
}

impl LinearScheme for Pad {
    fn protection(&self) -> &'static Protection {
        &PROTECTION
    }

    fn summary(&self) -> &'static str {
        "pads of an owner who knows the map; an example"
    }

    fn facts(&self, _values: &Values) -> Result<Facts> {
        let (method, encryption) = ("pad".into(), "pad".into());
        let unsound = Some("an example; who knows the map needs no server");
        Ok(Facts { backend: None, method, key_bits: None, encryption, security_bits: None, unsound, is_toy: false, decides_bits: None })
    }

    fn size(&self, _values: &Values, _job: Job, map: &LinearMap) -> Result<Size> {
        Ok(Size { inputs: map.weights().cols(), ciphertexts: 1, results: 1, set: 1, batch: 200 })
    }

    fn cost(&self, _values: &Values, job: Job, size: Size, threads: f64, _power_ns: &dyn Fn(BackendId) -> Option<f64>) -> Result<Option<Cost>> {
        let images = job.images as f64;
        let wire_bytes = 8.0 * images * (size.inputs + 10) as f64;
        Ok(Some(Cost { pass_seconds: images * 4e-5 / threads, setup_seconds: 0.01, memory_bytes: 50e6, wire_bytes, ..Cost::default() }))
    }

    fn service(&self, values: &Values, _job: Job, map: LinearMap, means: Means<'_>) -> Result<Box<dyn Service>> {
        let bits = values.read("pad_bits")?;
        Ok(Box::new(Staged::new(Parties { map, bits, tape: means.tape, images: 0, pads: Vec::new() })))
    }
}
