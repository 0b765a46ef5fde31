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

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// How signs are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Multiplicative blinding with a coin for the sign, as in the literature. **Leaks the magnitude** of what is compared to the key holder.
    Blinded,
    /// Additive blinding at distance 2^-80 and a bitwise comparison.
    Exact,
}

impl Comparison {
    /// Both, the reproduction first.
    pub const ALL: [Self; 2] = [Self::Blinded, Self::Exact];

    /// The name on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blinded => "blinded",
            Self::Exact => "exact",
        }
    }

    /// One line on what it is.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Blinded => "multiplicative blinding of the literature, for reproduction: the key holder learns magnitudes",
            Self::Exact => "bitwise comparison after additive blinding: the key holder learns nothing but with probability 2^-80",
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Comparison {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|c| c.name() == text).ok_or_else(|| Error::Unknown {
            what: "comparison",
            value: text.into(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}
