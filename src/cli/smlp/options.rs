//! Options that several `smlp` commands have.

use clap::Args;

use crate::backend::{self, BackendId};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::workload::training::{Data, Protection, Recipe, Spec, Widths};

/// What is learnt, and how.
#[derive(Args, Clone, Debug)]
pub(super) struct TrainingOptions {
    /// Records: xor, parity-K (K from 2 to 6), digits, mnist, mnist-heldout (the last 10,000 training images as test set)
    #[arg(long, default_value = "xor")]
    pub(super) data: Data,
    /// Widths from input to output, as 2-10-2 [default: that of the data]
    #[arg(long, value_name = "WIDTHS")]
    network: Option<Widths>,
    /// How the network learns, as q10-f4-step1:8-mu1:2-centred [default: that of the data]
    #[arg(long)]
    recipe: Option<Recipe>,
    /// Passes over the records [default: those of the data]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Records of a mini-batch [default: that of the data]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Records, from the start of the training set [default: all]
    #[arg(long, value_name = "N")]
    records: Option<usize>,
    /// Stop after this many mini-batches
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Seed of binary records, initial parameters and order; of keys and masks, too, where both servers are in this process
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    pub(super) toy: bool,
}

impl TrainingOptions {
    /// The training that the options name, under some protection.
    ///
    /// # Errors
    /// As [`Spec::check`].
    pub(super) fn spec(&self, protection: Protection) -> Result<Spec> {
        let default = match &self.network {
            None => Spec::default_for(self.data, protection),
            Some(network) => Spec::default_for_network(self.data, network.clone(), protection),
        };
        let spec = Spec {
            recipe: self.recipe.clone().unwrap_or(default.recipe),
            epochs: self.epochs.unwrap_or(default.epochs),
            batch: self.batch.unwrap_or(default.batch),
            records: self.records.unwrap_or(default.records),
            seed: self.seed,
            steps: self.steps,
            ..default
        };
        spec.check().map(|()| spec)
    }
}

/// A backend, or the fastest processor backend of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackendChoice {
    Auto,
    One(BackendId),
}

impl BackendChoice {
    /// Opens it, so that what is not here is refused before any work is done.
    pub(super) fn open(self) -> Result<BackendId> {
        match self {
            Self::Auto => backend::fastest(&Control::default()).map(|backend| backend.id()),
            Self::One(id) => backend::open(id).map(|_| id),
        }
    }
}

impl std::str::FromStr for BackendChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            name => name
                .parse()
                .map(Self::One)
                .map_err(|_| Error::unknown("backend", name, format!("auto, {}", BackendId::ALL.map(BackendId::name).join(", ")))),
        }
    }
}
