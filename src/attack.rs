//! Attacks: what breaks a scheme, and how much of its secrets an attack recovers. A folder for each scheme.

pub mod eivhe;
