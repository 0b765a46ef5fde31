//! Rows about what ciphertexts give away. A file for each scheme, as their sizes differ.

mod eivhe;

pub use eivhe::{Experiment, Leak, read, write};
