//! `[[training]]` tables of sweep files: grids of trainings on two servers.

use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::file::{BackendChoice, Count, KeyBits, List, Threads, Word, all};
use super::{check_combinations, product};
use crate::backend::{self, BackendId};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::scheme::smlp::Comparison;
use crate::workload::training::{Data, Protection, Recipe, Spec, Widths};

/// What is run of each combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunKind {
    Float,
    Simulated,
    Encrypted,
}

impl FromStr for RunKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "float" => Ok(Self::Float),
            "simulated" => Ok(Self::Simulated),
            "encrypted" => Ok(Self::Encrypted),
            _ => Err(Error::Unknown { what: "run", value: text.into(), known: "float, simulated, encrypted".into() }),
        }
    }
}

/// One `[[training]]`. What is not named has the default of the data, as in `cipherlane smlp train`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrainingTable {
    data: Spanned<Vec<Word<Data>>>,
    network: Option<Vec<Word<Widths>>>,
    run: List<RunKind>,
    comparison: List<Comparison>,
    pub(super) key_bits: Option<Vec<Spanned<Word<KeyBits>>>>,
    backend: List<BackendChoice>,
    recipe: Option<Vec<Word<Recipe>>>,
    epochs: List<Count>,
    batch: List<Count>,
    records: List<Count>,
    steps: List<Count>,
    threads: List<Threads>,
}

/// The values of a list, or one default.
fn or_default<T: Clone>(list: Option<&Vec<Word<T>>>) -> Vec<Option<T>> {
    list.map_or_else(|| vec![None], |list| list.iter().map(|word| Some(word.0.clone())).collect())
}

fn counts(list: &List<Count>) -> Vec<Option<usize>> {
    all(list, vec![None], |count| Some(count.0 as usize))
}

impl TrainingTable {
    /// Where the table names its data, for errors.
    pub(super) fn place(&self) -> usize {
        self.data.span().start
    }

    fn protections(&self) -> Vec<Protection> {
        let mut backends = Vec::new();
        let fastest = backend::fastest(&Control::default()).map_or(BackendId::Gmp, |backend| backend.id());
        for choice in all(&self.backend, vec![BackendChoice::One(fastest)], |backend| backend) {
            match choice {
                BackendChoice::All => backends.extend(backend::all_here()),
                BackendChoice::One(id) => backends.push(id),
            }
        }
        let keys: Vec<u32> = self.key_bits.as_ref().map_or_else(|| vec![2048], |list| list.iter().map(|bits| bits.get_ref().0.0).collect());
        let comparisons = all(&self.comparison, vec![Comparison::Blinded], |c| c);
        let mut found = Vec::new();
        for run in all(&self.run, vec![RunKind::Float, RunKind::Simulated, RunKind::Encrypted], |run| run) {
            match run {
                RunKind::Float => found.push(Protection::Float),
                RunKind::Simulated => found.push(Protection::Simulated),
                RunKind::Encrypted => {
                    for &backend in &backends {
                        for &key_bits in &keys {
                            found.extend(comparisons.iter().map(|&comparison| Protection::Smlp { backend, key_bits, comparison }));
                        }
                    }
                }
            }
        }
        found
    }

    /// How many specs [`TrainingTable::specs`] gives at most; `u128::MAX` for that many and more.
    pub(super) fn combinations(&self) -> u128 {
        fn length<T>(list: Option<&Vec<T>>) -> usize {
            list.map_or(1, Vec::len)
        }
        // A word may stand for all backends, and each run that is not encrypted is one.
        let protections = product([BackendId::ALL.len() * length(self.backend.as_ref()), length(self.key_bits.as_ref())])
            .saturating_mul(length(self.comparison.as_ref()) as u128);
        product([
            self.data.get_ref().len(),
            length(self.network.as_ref()),
            length(self.recipe.as_ref()),
            length(self.epochs.as_ref()),
            length(self.batch.as_ref()),
            length(self.records.as_ref()),
            length(self.steps.as_ref()),
            length(self.threads.as_ref()),
            self.run.as_ref().map_or(3, Vec::len),
        ])
        .saturating_mul(protections)
    }

    /// Every combination, in a fixed order. Some may be there twice.
    ///
    /// # Errors
    /// As [`Spec::check`]; [`Error::OutOfRange`] for more than [`super::MOST_COMBINATIONS`].
    pub(super) fn specs(&self, seed: u64) -> Result<Vec<Spec>> {
        check_combinations(self.combinations())?;
        let mut specs = Vec::new();
        let (networks, recipes) = (or_default(self.network.as_ref()), or_default(self.recipe.as_ref()));
        let (epochs, batches, records, steps) = (counts(&self.epochs), counts(&self.batch), counts(&self.records), counts(&self.steps));
        let threads = all(&self.threads, vec![None], |n| n.0);
        for data in self.data.get_ref() {
            for network in &networks {
                for protection in self.protections() {
                    let default = match network {
                        None => Spec::default_for(data.0, protection),
                        Some(network) => Spec::default_for_network(data.0, network.clone(), protection),
                    };
                    for recipe in &recipes {
                        for &epochs in &epochs {
                            for &batch in &batches {
                                for &records in &records {
                                    for &steps in &steps {
                                        for &threads in &threads {
                                            let spec = Spec {
                                                recipe: recipe.clone().unwrap_or_else(|| default.recipe.clone()),
                                                epochs: epochs.map_or(default.epochs, |n| n as u32),
                                                batch: batch.unwrap_or(default.batch),
                                                records: records.unwrap_or(default.records),
                                                seed,
                                                steps,
                                                threads,
                                                ..default.clone()
                                            };
                                            spec.check()?;
                                            specs.push(spec);
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(specs)
    }
}
