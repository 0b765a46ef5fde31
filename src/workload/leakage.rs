//! Leakage: what ciphertexts give away to a learner and to an attack. A folder for each scheme;
//! the learner is the same for all of them.

pub mod eivhe;
mod learn;

pub use learn::{Coordinates, Learner, Scaling};
