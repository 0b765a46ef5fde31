#![doc = include_str!("smlp/smlp.md")]

pub mod answer;
pub mod argmax;
pub mod comparison;
pub mod division;
mod encrypted;
pub mod leak;
mod powers;
pub mod product;
pub mod relu;
pub mod repack;
mod respond;
mod rounding;
mod server;
mod simulated;
mod slots;
#[cfg(test)]
mod tests;
mod user;
mod wire;

pub use encrypted::{Encrypted, EncryptedBits, EncryptedMatrix, Options, encrypt_matrix, slot_bits};
pub use rounding::Rounding;
pub use server::{KeyServer, Operation};
pub use simulated::{Simulated, SimulatedBits, SimulatedMatrix};
pub use slots::KAPPA;
pub use user::{Sealed, UserKey};

use crate::text::named;

/// One line on the scheme.
pub const SUMMARY: &str = "a perceptron trained and asked on two servers that do not collude; data and parameters stay encrypted (`cipherlane smlp`)";

named! {
    /// A way to compare signs.
    pub enum Comparison: "comparison" {
        /// Multiplicative blinding with a coin for the sign, as in the literature. **Leaks the
        /// magnitude** of what is compared to the key holder.
        Blinded => "blinded": "multiplicative blinding of the literature, for reproduction: the key holder learns magnitudes",
        /// Additive blinding at distance 2^-80 and a bitwise comparison.
        Exact => "exact": "bitwise comparison after additive blinding: the key holder learns nothing but with probability 2^-80",
    }
}
