//! cipherlane: benchmarking and research harness for neural networks on encrypted data.

pub mod backend;
pub mod conformance;
pub mod dataset;
pub mod error;
pub mod limbs;
pub mod machine;
pub mod modulus;
pub mod plan;
pub mod randomness;
pub mod record;
pub mod scheme;
pub mod stopwatch;
