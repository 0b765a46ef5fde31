//! Schemes: how the data is protected. A scheme sees integers only, reads no clock and knows its backend only through [`crate::backend`].
//!
//! What the harness asks of a scheme for inference is [`linear::LinearScheme`]; [`registry`] lists
//! them.

pub mod backends;
pub mod clear;
pub mod eivhe;
pub mod linear;
pub mod paillier;
pub mod private_training;
pub mod registry;
pub mod smlp;

pub use linear::{Inputs, LinearInference, LinearMap};
