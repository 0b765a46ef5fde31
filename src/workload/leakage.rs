//! What integer-vector ciphertexts give away.
mod learn;

pub use learn::{Coordinates, Learner, Scaling};
