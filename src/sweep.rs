//! Sweeps: grids of specs. A [`Grid`] is every combination of some choices; a sweep file names grids, what to leave out of them, and how long to measure.
//!
//! A [`Plan`] is the list of specs that comes of it, each once, in a fixed order. What is left out is counted by rule, never silently; what cannot work and is
//! not left out stays in the plan and becomes an error row.

mod estimate;
mod file;
mod shipped;
mod training;

use std::collections::HashSet;
use std::hash::Hash;

pub use estimate::{Estimate, Speeds};
pub use file::Sweep;
pub use shipped::{Extent, all_shipped, find, setting_of, shipped};

use crate::backend::BackendId;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::plan::matvec::Method;
use crate::quantise::Precision;
use crate::scheme::eivhe::{Route, Setting};
use crate::scheme::paillier::{Encryption, Rerandomisation};
use crate::workload::{PackingChoice, PoolChoice, Protection, Scenario, Spec, training as learning};

/// Images for the oracle, and for one image at a time, where no number is named: enough for one set of ciphertexts, and for many repetitions.
const FEW_IMAGES: usize = 100;

/// Most combinations that one table of a sweep, all its tables together, or the options of a run may
/// name, before repetitions and what rules leave out are taken away: more could not be measured in a
/// month, and are a slip.
pub const MOST_COMBINATIONS: u128 = 100_000;

/// How many combinations lists of these lengths have.
fn product(lengths: impl IntoIterator<Item = usize>) -> u128 {
    lengths.into_iter().fold(1, |product, length| product.saturating_mul(length as u128))
}

/// Refuses more combinations than [`MOST_COMBINATIONS`], before any is made.
fn check_combinations(count: u128) -> Result<()> {
    if count <= MOST_COMBINATIONS {
        return Ok(());
    }
    let value = if count == u128::MAX { "2^128 or more".into() } else { count.to_string() };
    let allowed = format!("up to {MOST_COMBINATIONS}; name fewer values in its lists");
    Err(Error::OutOfRange { what: "number of combinations", value, allowed })
}

/// Choices of which every combination is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Feature maps.
    pub features: Vec<FeatureMap>,
    /// Bits of a feature; the feature map's own where none is named.
    pub feature_bits: Vec<u32>,
    /// Bits of a weight; the feature map's own where none is named.
    pub weight_bits: Vec<u32>,
    /// Throughput, latency.
    pub scenarios: Vec<Scenario>,
    /// Whether each combination of what an unencrypted model knows is also run in the clear, in f32 and in integers.
    pub plaintext: bool,
    /// What does the arithmetic; none for plaintext alone.
    pub backends: Vec<BackendId>,
    /// Bits of n.
    pub key_bits: Vec<u32>,
    /// Plans; none for the one with the fewest products.
    pub methods: Vec<Option<Method>>,
    /// How randomisers are made.
    pub encryptions: Vec<Encryption>,
    /// Which values share a ciphertext, many images at once.
    pub packings: Vec<PackingChoice>,
    /// Which values share a ciphertext, one image at a time.
    pub single_packings: Vec<PackingChoice>,
    /// How the server re-randomises results.
    pub rerandomisations: Vec<Rerandomisation>,
    /// Most MiB of the tables of each side.
    pub table_mib: Vec<u32>,
    /// Images; none for all of the test set, or the first hundred for the oracle and for one image at a time.
    pub images: Vec<Option<usize>>,
    /// Images worked on at once; none for as many as suit the backend. Without effect on one image at a time.
    pub batches: Vec<Option<usize>>,
    /// Threads; none for those of the process.
    pub threads: Vec<Option<usize>>,
    /// Who makes randomisers ahead.
    pub pools: Vec<PoolChoice>,
    /// Settings of integer-vector encryption; none to leave it out.
    pub eivhe: Vec<Setting>,
    /// How it applies the model.
    pub eivhe_routes: Vec<Route>,
}

impl Default for Grid {
    /// Both feature maps in full batches under a 2048-bit key, in the clear and on no backend.
    fn default() -> Self {
        Self {
            features: FeatureMap::ALL.to_vec(),
            feature_bits: Vec::new(),
            weight_bits: Vec::new(),
            scenarios: vec![Scenario::Offline],
            plaintext: true,
            backends: Vec::new(),
            key_bits: vec![2048],
            methods: vec![None],
            encryptions: vec![Encryption::Owner],
            packings: vec![PackingChoice::Auto],
            single_packings: vec![PackingChoice::Auto],
            rerandomisations: vec![Rerandomisation::Auto],
            table_mib: vec![128],
            images: vec![None],
            batches: vec![None],
            threads: vec![None],
            pools: vec![PoolChoice::None],
            eivhe: Vec::new(),
            eivhe_routes: vec![Route::Switch],
        }
    }
}

impl Grid {
    /// All precisions of a feature map.
    #[must_use]
    pub fn precisions(&self, features: FeatureMap) -> Vec<Precision> {
        let default = Precision::default_for(features);
        let or = |asked: &[u32], default| if asked.is_empty() { vec![default] } else { asked.to_vec() };
        let (feature_bits, weight_bits) = (or(&self.feature_bits, default.feature_bits), or(&self.weight_bits, default.weight_bits));
        feature_bits.iter().flat_map(|&feature_bits| weight_bits.iter().map(move |&weight_bits| Precision { feature_bits, weight_bits })).collect()
    }

    /// How many specs [`Grid::specs`] gives; `u128::MAX` for that many and more.
    #[must_use]
    pub fn combinations(&self) -> u128 {
        let shared =
            product([self.features.len(), self.feature_bits.len().max(1), self.weight_bits.len().max(1), self.images.len(), self.threads.len()]);
        let encrypted = |packings: usize| {
            product([
                self.backends.len(),
                self.key_bits.len(),
                self.methods.len(),
                self.encryptions.len(),
                packings,
                self.rerandomisations.len(),
                self.table_mib.len(),
                self.pools.len(),
            ])
        };
        let others = product([self.eivhe.len(), self.eivhe_routes.len()]).saturating_add(if self.plaintext { 2 } else { 0 });
        let of_scenario = |&scenario: &Scenario| {
            let (packings, batches) = match scenario {
                Scenario::Single => (&self.single_packings, 1),
                Scenario::Offline => (&self.packings, self.batches.len()),
            };
            others.saturating_add(encrypted(packings.len())).saturating_mul(batches as u128)
        };
        self.scenarios.iter().map(of_scenario).fold(0, u128::saturating_add).saturating_mul(shared)
    }

    /// Every combination, in a fixed order: plaintext first, then the fastest backend. Some may be there twice.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for more than [`MOST_COMBINATIONS`].
    pub fn specs(&self, dataset: &str, available: usize, seed: u64) -> Result<Vec<Spec>> {
        check_combinations(self.combinations())?;
        let mut specs = Vec::new();
        for &features in &self.features {
            for precision in self.precisions(features) {
                for &scenario in &self.scenarios {
                    let mut push = |protection, few: bool, pool: PoolChoice| {
                        for &images in &self.images {
                            for &batch in if scenario == Scenario::Single { &[None][..] } else { &self.batches } {
                                for &threads in &self.threads {
                                    let most = if few { available.min(FEW_IMAGES) } else { available };
                                    let images = images.unwrap_or(most);
                                    let dataset = dataset.into();
                                    specs.push(Spec { dataset, features, precision, protection, scenario, images, seed, batch, threads, pool });
                                }
                            }
                        }
                    };
                    if self.plaintext {
                        push(Protection::ClearFloat, false, PoolChoice::None);
                        push(Protection::ClearInteger, false, PoolChoice::None);
                    }
                    for &setting in &self.eivhe {
                        for &route in &self.eivhe_routes {
                            push(Protection::Eivhe { setting, route }, scenario == Scenario::Single, PoolChoice::None);
                        }
                    }
                    for protection in self.encrypted(scenario) {
                        let oracle = matches!(protection, Protection::Paillier { backend: BackendId::Reference, .. });
                        for &pool in &self.pools {
                            push(protection, oracle || scenario == Scenario::Single, pool);
                        }
                    }
                }
            }
        }
        Ok(specs)
    }

    fn encrypted(&self, scenario: Scenario) -> Vec<Protection> {
        let packings = if scenario == Scenario::Single { &self.single_packings } else { &self.packings };
        let mut found = Vec::new();
        for &backend in self.backends.iter().rev() {
            for &key_bits in &self.key_bits {
                for &method in &self.methods {
                    for &encryption in &self.encryptions {
                        for &packing in packings {
                            for &rerandomisation in &self.rerandomisations {
                                for &table_mib in &self.table_mib {
                                    found.push(Protection::Paillier { backend, key_bits, method, encryption, packing, rerandomisation, table_mib });
                                }
                            }
                        }
                    }
                }
            }
        }
        found
    }
}

/// The specs with every repetition taken out; the first stays.
#[must_use]
pub fn once<T: Clone + Eq + Hash>(mut specs: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    specs.retain(|spec| seen.insert(spec.clone()));
    specs
}

/// What a sweep comes to on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The rows to measure, each once.
    pub specs: Vec<Spec>,
    /// The trainings to run, each once, after the rows. Rules are for grids and leave none of them out.
    pub trainings: Vec<learning::Spec>,
    /// What the rules of the file left out.
    pub excluded: Vec<Excluded>,
    /// Combinations that several grids name.
    pub repeated: usize,
}

/// What one rule left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// The line of the rule.
    pub line: usize,
    /// Why, as the file says.
    pub reason: String,
    /// How many combinations. A rule that leaves out none may be misspelt.
    pub count: usize,
}
