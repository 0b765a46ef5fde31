//! Layouts: which values share a ciphertext.

use std::sync::Arc;

use rayon::prelude::*;

use super::packing::{Packing, pack_columns, unpack_rows};
use super::single::{Convolution, Message};
use crate::error::Result;
use crate::integer::Integer;
use crate::plan::convolution;
use crate::plan::matvec::{MatVec, Method};
use crate::scheme::{Inputs, LinearMap};

/// What is asked of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The same input of many images in one ciphertext: throughput.
    Batch {
        /// Images in one ciphertext; as many as fit when not given.
        images: Option<usize>,
    },
    /// Several inputs of one image in one ciphertext: latency.
    Single {
        /// Inputs in one ciphertext; as many as cost least when not given.
        inputs_per_ciphertext: Option<usize>,
    },
}

impl Layout {
    /// Places the values of a map under a key.
    ///
    /// # Errors
    /// When the slots do not fit the key.
    pub fn arrange(self, key_bits: u32, map: &LinearMap) -> Result<Arrangement> {
        match self {
            Self::Batch { images } => Packing::new(key_bits, map.result_bits(), images).map(Arrangement::Batch),
            Self::Single { inputs_per_ciphertext } => Convolution::new(key_bits, map, inputs_per_ciphertext).map(Arrangement::Single),
        }
    }
}

/// A layout with all its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// Slot k of a ciphertext belongs to image k.
    Batch(Packing),
    /// The slots of a ciphertext belong to inputs of one image.
    Single(Convolution),
}

impl From<Packing> for Arrangement {
    fn from(packing: Packing) -> Self {
        Self::Batch(packing)
    }
}

impl Arrangement {
    /// Images of one set of ciphertexts.
    #[must_use]
    pub fn images(&self) -> usize {
        match self {
            Self::Batch(packing) => packing.slots(),
            Self::Single(_) => 1,
        }
    }

    /// Inputs of one image in one ciphertext.
    #[must_use]
    pub fn inputs_per_ciphertext(&self) -> usize {
        match self {
            Self::Batch(_) => 1,
            Self::Single(convolution) => convolution.inputs_per_ciphertext(),
        }
    }

    /// Ciphertexts of one set.
    #[must_use]
    pub fn ciphertexts(&self, map: &LinearMap) -> usize {
        match self {
            Self::Batch(_) => map.weights().cols(),
            Self::Single(convolution) => convolution.ciphertexts(),
        }
    }

    /// Result ciphertexts of one set.
    #[must_use]
    pub fn results(&self, map: &LinearMap) -> usize {
        match self {
            Self::Batch(_) => map.weights().rows(),
            Self::Single(convolution) => convolution.results(),
        }
    }

    /// Bits from one slot to the next.
    #[must_use]
    pub fn slot_bits(&self) -> u32 {
        match self {
            Self::Batch(packing) => packing.slot_bits(),
            Self::Single(convolution) => convolution.slot_bits(),
        }
    }

    /// Bits that hold every input and result, sign included.
    #[must_use]
    pub fn result_bits(&self) -> u32 {
        match self {
            Self::Batch(packing) => packing.slot_bits(),
            Self::Single(convolution) => convolution.result_bits(),
        }
    }

    /// Owner: the plaintexts of images, set after set.
    ///
    /// # Errors
    /// When a value does not fit its slot.
    pub fn encode(&self, inputs: &Inputs<'_>) -> Result<Vec<Integer>> {
        match self {
            Self::Batch(packing) => pack_columns(*packing, inputs),
            Self::Single(convolution) => Ok(convolution.pack(inputs)),
        }
    }

    /// Owner: the rows of `images` images from the plaintexts of the results.
    ///
    /// # Errors
    /// When there are too few or too many plaintexts, or one that no honest computation gives.
    pub fn decode(&self, plaintexts: &[Integer], rows: usize, images: usize) -> Result<Vec<i64>> {
        match self {
            Self::Batch(packing) => unpack_rows(*packing, plaintexts, rows, images),
            Self::Single(convolution) => convolution.unpack(plaintexts, images),
        }
    }

    /// Server: the products of a map, in parts that are independent of each other and together give all results of a set in order.
    ///
    /// # Errors
    /// When a result could leave its slot.
    pub(super) fn plan(&self, map: &LinearMap, method: Option<Method>) -> Result<Arc<[MatVec]>> {
        match self {
            Self::Batch(packing) => {
                packing.check_result_bits(map.result_bits())?;
                map.planned((None, method), || Ok(vec![MatVec::plan(map.weights(), method)?]))
            }
            Self::Single(single) => map.planned((Some(single.shape()), method), || {
                single.parts(map)?.par_iter().map(|part| convolution::plan(part, single.shape(), method)).collect()
            }),
        }
    }

    /// Server: what is added to each result of a set.
    ///
    /// # Errors
    /// When a bias does not fit its slot.
    pub(super) fn messages(&self, map: &LinearMap) -> Result<Vec<Message>> {
        match self {
            Self::Batch(packing) => {
                let bias = |&bias: &i64| packing.pack(std::iter::repeat_n(bias, packing.slots())).map(Message::plain);
                map.bias().iter().map(bias).collect()
            }
            Self::Single(convolution) => Ok(convolution.messages(map)),
        }
    }
}
