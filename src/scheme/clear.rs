//! No protection: the same integers in the clear, on the processor. The baseline that encrypted rows are compared with, stage by stage.

use rayon::prelude::*;

use super::{Inputs, LinearInference, LinearMap};
use crate::error::Result;

/// The map applied to plain integers.
pub struct Clear {
    map: LinearMap,
}

impl Clear {
    /// Nothing to prepare.
    #[must_use]
    pub fn new(map: LinearMap) -> Self {
        Self { map }
    }
}

impl LinearInference for Clear {
    type Plaintexts = Vec<u16>;
    type Query = Vec<u16>;
    type Loaded = Vec<u16>;
    type Evaluated = Vec<i64>;
    type Answer = Vec<i64>;
    type Decrypted = Vec<i64>;

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
