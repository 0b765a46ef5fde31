//! Training of a multilayer perceptron on two servers (SMLP), its integer simulator and its float twin: what is trained, and the [`Spec`] that says so in one
//! line.
//!
//! The system is that of Bellafqira, Coatrieux, Genin and Cozic, *Secure multilayer perceptron based on homomorphic encryption* (IWDW 2018). The paper's:
//! data, labels and parameters under Paillier encryption throughout, two servers that do not collude, rectifiers without approximation, squared error, mini-batches,
//! a binary database. **Reconstruction**, as only the abstract could be read: everything else, above all the recipe (momentum, centred inputs, step decay)
//! and the data beside XOR. MNIST is our extension.
//!
//! | file | what is in it |
//! |---|---|
//! | `recipe` | step sizes, momentum, scales: everything that decides the parameters beside data and seed |
//! | `data` | XOR, parities, images as fixed-point inputs and one-hot labels |
//! | `algorithm` | forward, backward, update: written once, for every arithmetic |
//! | `float` | the arithmetic in f64, with divisions that do not round: the float twin |
//! | `metered` | an arithmetic that times and counts what another does |
//! | `bench`, `encrypted` | run a spec and check it |
//! | `classify` | encrypted records, classified by an encrypted network |
//! | `smlp` | the same with each party in a process of its own |

mod algorithm;
mod bench;
mod choices;
mod classify;
mod data;
mod encrypted;
mod float;
mod metered;
mod recipe;
mod rows;
pub mod smlp;
mod widths;

use std::fmt;

use crate::backend::BackendId;
use crate::error::{Error, Result};
use crate::scheme::smlp::Comparison;

pub use algorithm::{Parameters, Perceptron, slot_bits};
pub use bench::{Point, Trained, TrainingRunner};
pub use classify::{Classification, Classified};
pub use data::{Data, Loaded, Records};
pub use float::Float;
pub use metered::{Cost, Ledger, Metered, MeteredChannel};
pub use recipe::{Decay, Ratio, Recipe};
pub use rows::Training;
pub use widths::Widths;

/// How data and parameters are protected while the network learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Not at all: f64 in the clear, the same algorithm without rounding.
    Float,
    /// Not at all: the integers of the encrypted training with the same random tape, in the clear. Simulated is not encrypted.
    Simulated,
    /// Two servers over Paillier.
    Smlp {
        /// What does the arithmetic.
        backend: BackendId,
        /// Bits of n.
        key_bits: u32,
        /// How signs are found.
        comparison: Comparison,
    },
}

impl Protection {
    /// Scheme, backend and method as records name them.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Float => ("clear", "native", "float"),
            Self::Simulated => ("smlp", "simulated", "simulated"),
            Self::Smlp { backend, comparison, .. } => ("smlp", backend.name(), comparison.name()),
        }
    }

    /// Bits of n, where something is encrypted.
    #[must_use]
    pub const fn key_bits(self) -> Option<u32> {
        match self {
            Self::Float | Self::Simulated => None,
            Self::Smlp { key_bits, .. } => Some(key_bits),
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float => f.write_str("clear/float"),
            Self::Simulated => f.write_str("smlp/simulated"),
            Self::Smlp { backend, key_bits, comparison } => write!(f, "smlp/{backend}/{key_bits}/{}", comparison.name()),
        }
    }
}

/// One training: everything that defines it but the machine. Its text form names it in records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// What is learnt.
    pub data: Data,
    /// The network.
    pub network: Widths,
    /// How data and parameters are protected.
    pub protection: Protection,
    /// How it learns.
    pub recipe: Recipe,
    /// Passes over the records.
    pub epochs: u32,
    /// Records of a mini-batch. Records that fill no whole one are left out of their epoch.
    pub batch: usize,
    /// Records, from the start of the training set.
    pub records: usize,
    /// Seed of data, initial weights, order, keys and all masks.
    pub seed: u64,
    /// Mini-batches after which training stops, where that is before the end.
    pub steps: Option<usize>,
    /// Threads of the pool; those of the process when not given.
    pub threads: Option<usize>,
}

impl Spec {
    /// The spec that a dataset has by default: network, recipe, epochs, batch and records with which it is learnt.
    #[must_use]
    pub fn default_for(data: Data, protection: Protection) -> Self {
        let recipe::Course { network, recipe, epochs, batch } = recipe::course(data, None);
        Self { data, network, protection, recipe, epochs, batch, records: data.records(), seed: 1, steps: None, threads: None }
    }

    /// The same for a network of other widths.
    #[must_use]
    pub fn default_for_network(data: Data, network: Widths, protection: Protection) -> Self {
        let recipe::Course { recipe, epochs, batch, .. } = recipe::course(data, Some(&network));
        Self { network, recipe, epochs, batch, ..Self::default_for(data, protection) }
    }

    /// Mini-batches of an epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> usize {
        self.records / self.batch.max(1)
    }

    /// Mini-batches that are worked on.
    #[must_use]
    pub fn total_steps(&self) -> usize {
        let all = self.steps_per_epoch() * self.epochs as usize;
        self.steps.map_or(all, |steps| steps.min(all))
    }

    /// Refuses what cannot be trained.
    ///
    /// # Errors
    /// [`Error::Size`] when network and data do not fit each other; [`Error::OutOfRange`] for a number that is.
    pub fn check(&self) -> Result<()> {
        for (what, expected, actual) in [
            ("inputs of the network", self.data.inputs(), self.network.inputs()),
            ("outputs of the network", self.data.outputs(), self.network.outputs()),
        ] {
            if expected != actual {
                return Err(Error::size(what, expected, actual));
            }
        }
        for (what, value, least, most) in [
            ("number of records", self.records, 1, self.data.records()),
            ("batch size", self.batch, 1, self.records),
            ("number of epochs", self.epochs as usize, 1, 10_000),
            ("number of steps", self.steps.unwrap_or(1), 1, usize::MAX),
        ] {
            if !(least..=most).contains(&value) {
                let allowed = if most == usize::MAX { format!("{least} and more") } else { format!("{least} to {most}") };
                return Err(Error::range(what, &value, allowed));
            }
        }
        self.recipe.check(self.batch)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, network, protection, recipe, epochs, batch, records, seed, steps, threads } = self;
        write!(f, "training/{protection}/{data}/{network}/{recipe}/{epochs}/{batch}/{records}/{seed}")?;
        steps.map_or(Ok(()), |steps| write!(f, "/steps-{steps}"))?;
        threads.map_or(Ok(()), |threads| write!(f, "/threads-{threads}"))
    }
}

#[cfg(test)]
mod tests;
