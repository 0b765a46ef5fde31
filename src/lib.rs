//! cipherlane: benchmarking and research harness for neural networks on encrypted data.

pub mod backend;
pub mod dataset;
pub mod error;
pub mod features;
pub mod limbs;
pub mod model;
pub mod modulus;
pub mod plan;
pub mod quantise;
pub mod record;
