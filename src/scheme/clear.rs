//! No protection: the same integers in the clear, on the processor. The baseline that encrypted rows are compared with, stage by stage.

use rayon::prelude::*;

use super::linear::{About, Cost, Facts, Job, LinearScheme, Means, Service, Size, Staged};
use super::{Inputs, LinearInference, LinearMap};
use crate::backend::BackendId;
use crate::error::Result;
use crate::spec::{Protection, Values};

/// The map applied to plain integers.
pub struct Clear {
    map: LinearMap,
    images: usize,
}

impl Clear {
    /// Nothing to prepare; `images` are worked on at once.
    #[must_use]
    pub fn new(map: LinearMap, images: usize) -> Self {
        Self { map, images }
    }
}

impl LinearInference for Clear {
    type Plaintexts = Vec<u16>;
    type Query = Vec<u16>;
    type Loaded = Vec<u16>;
    type Evaluated = Vec<i64>;
    type Answer = Vec<i64>;
    type Decrypted = Vec<i64>;

    fn about(&self) -> About {
        About { slot_bits: self.map.result_bits(), set: None, batch: self.images, product: None, sizes: None }
    }

    fn encode(&self, inputs: &Inputs<'_>) -> Result<Vec<u16>> {
        self.map.check_inputs(inputs)?;
        Ok(inputs.values.to_vec())
    }

    fn encrypt(&mut self, plaintexts: Vec<u16>) -> Result<Vec<u16>> {
        Ok(plaintexts)
    }

    fn upload(&self, query: Vec<u16>) -> Result<Vec<u16>> {
        Ok(query)
    }

    fn evaluate(&mut self, loaded: Vec<u16>) -> Result<Vec<i64>> {
        Ok(loaded.par_chunks_exact(self.map.weights().cols()).flat_map_iter(|image| self.map.apply(image)).collect())
    }

    fn download(&self, evaluated: Vec<i64>) -> Result<Vec<i64>> {
        Ok(evaluated)
    }

    fn decrypt(&self, answer: Vec<i64>) -> Result<Vec<i64>> {
        Ok(answer)
    }

    fn decode(&self, decrypted: Vec<i64>, _images: usize) -> Result<Vec<i64>> {
        Ok(decrypted)
    }

    fn query_bytes(&self, query: &Vec<u16>) -> u64 {
        // One byte a value where that is enough.
        (query.len() * if self.map.input_max() < 256 { 1 } else { 2 }) as u64
    }

    fn answer_bytes(&self, answer: &Vec<i64>) -> u64 {
        (answer.len() * (self.map.result_bits() as usize).div_ceil(8)) as u64
    }

    fn answer_words<'a>(&self, _answer: &'a Vec<i64>) -> &'a [u64] {
        &[]
    }
}

/// The quantised model in the clear.
pub struct Integers;

static PROTECTION: Protection = Protection { path: "clear/integer", selected_by: Some("true"), choices: &[] };

impl LinearScheme for Integers {
    fn protection(&self) -> &'static Protection {
        &PROTECTION
    }

    fn summary(&self) -> &'static str {
        "no protection: the plaintext baseline, in f32 and in the same integers"
    }

    fn facts(&self, _values: &Values) -> Result<Facts> {
        let method = "integer".into();
        let encryption = "none".into();
        Ok(Facts { backend: None, method, key_bits: None, encryption, security_bits: None, unsound: None, is_toy: false, decides_bits: None })
    }

    fn size(&self, _values: &Values, job: Job, map: &LinearMap) -> Result<Size> {
        Ok(Size { inputs: map.weights().cols(), ciphertexts: 0, results: 0, set: 1, batch: job.images })
    }

    fn cost(&self, _values: &Values, job: Job, size: Size, threads: f64, _power_ns: &dyn Fn(BackendId) -> Option<f64>) -> Result<Option<Cost>> {
        let images = job.images as f64;
        Ok(Some(Cost {
            pass_seconds: images * 2e-5 / threads,
            setup_seconds: 0.05,
            memory_bytes: 50e6,
            wire_bytes: images * size.inputs as f64,
            ..Cost::default()
        }))
    }

    fn prepares(&self) -> bool {
        false
    }

    fn service(&self, _values: &Values, job: Job, map: LinearMap, _means: Means<'_>) -> Result<Box<dyn Service>> {
        Ok(Box::new(Staged::new(Clear::new(map, job.images))))
    }
}
