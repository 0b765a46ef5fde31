//! Workloads: what is computed, and the [`Spec`] that says so in one line.

pub mod inference;
pub mod leakage;
pub mod quadratic;
pub mod training;

use std::fmt;
use std::str::FromStr;

use crate::backend::BackendId;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::plan::matvec::Method;
use crate::quantise::Precision;
use crate::scheme::eivhe::{Route, Setting};
use crate::scheme::paillier::{Encryption, Rerandomisation};

/// Whether many images are worked on at once or one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Full batches: throughput.
    Offline,
    /// One image at a time: latency.
    Single,
}

impl Scenario {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Offline, Self::Single];

    /// The name on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Single => "single",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scenario {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| Error::Unknown {
            what: "scenario",
            value: text.into(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// What a measurement keeps to, so that numbers of one division compare like with like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Division {
    /// Every pixel is encrypted, with fresh randomness for every ciphertext, and nothing is cached between samples.
    Closed,
    /// Anything else: here, features that the owner of the image computes in clear before encryption.
    Open,
    /// Encryption that is known to be broken, or deterministic.
    Unsound,
}

impl Division {
    /// The name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Unsound => "unsound",
        }
    }
}

/// How long a spec is measured: batches are repeated, each with fresh randomness and each checked, until all three have been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// Batches that begin in the first this many milliseconds of online time are checked, but their times are not kept.
    pub warm_up_ms: u32,
    /// Least online time of the kept batches together, in milliseconds; a thousand batches are enough in any case.
    pub least_ms: u32,
    /// Least number of kept batches.
    pub least_samples: u32,
    /// Online time in milliseconds after which no batch is repeated for the sake of the two above. Every image is worked on once in any case.
    pub most_ms: u32,
}

impl Sampling {
    /// Every image once, every batch kept.
    pub const ONCE: Self = Self { warm_up_ms: 0, least_ms: 0, least_samples: 1, most_ms: 0 };

    /// Every image once, and batches under a second again until there are samples enough for an
    /// interval.
    pub const SHORT: Self = Self { least_samples: 6, most_ms: 6000, ..Self::ONCE };
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.warm_up_ms, self.least_ms, self.least_samples, self.most_ms)
    }
}

/// Which values share a ciphertext; its text form is `auto`, `off`, a number of images or `N-inputs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PackingChoice {
    /// Offline as many images as fit, single as many inputs of the image as cost least.
    #[default]
    Auto,
    /// One value of one image.
    Off,
    /// The same input of this many images.
    Images(usize),
    /// This many inputs of the same image.
    Inputs(usize),
}

impl PackingChoice {
    /// The packing that a number of inputs per ciphertext means, one image at a time: `auto`, or a number from 1.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn of_inputs(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "1" => Ok(Self::Off),
            number => format!("{number}-inputs").parse().map_err(|_| Error::Unknown {
                what: "number of inputs per ciphertext",
                value: number.into(),
                known: "auto, or a number from 1".into(),
            }),
        }
    }

    /// The number of images asked for where images share a ciphertext, none for as many as fit.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for inputs of one image.
    pub fn images(self) -> Result<Option<usize>> {
        match self {
            Self::Auto => Ok(None),
            Self::Off => Ok(Some(1)),
            Self::Images(images) => Ok(Some(images)),
            Self::Inputs(_) => Err(Error::Unsupported {
                subject: "a batch of images".into(),
                feature: format!("packing {self}, which is for one image at a time; use auto, off or a number of images"),
            }),
        }
    }
}

/// The plan that a text names; none for `auto`.
///
/// # Errors
/// [`Error::Unknown`].
pub fn method_choice(name: &str) -> Result<Option<Method>> {
    match name {
        "auto" => Ok(None),
        name => name.parse().map(Some).map_err(|_| Error::Unknown {
            what: "method",
            value: name.into(),
            known: format!("auto, {}", Method::ALL.map(Method::name).join(", ")),
        }),
    }
}

impl fmt::Display for PackingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Images(images) => images.fmt(f),
            Self::Inputs(inputs) => write!(f, "{inputs}-inputs"),
        }
    }
}

impl FromStr for PackingChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().filter(|&n: &usize| n > 0);
        let choice = match text {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::Off),
            _ => text.strip_suffix("-inputs").map_or_else(|| number(text).map(Self::Images), |inputs| number(inputs).map(Self::Inputs)),
        };
        choice.ok_or_else(|| Error::Unknown {
            what: "packing",
            value: text.into(),
            known: "auto, off, a number of images per ciphertext, or N-inputs of one image".into(),
        })
    }
}

/// Who makes randomisers ahead of the images, in the offline phase. The ciphertexts are the same, bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolChoice {
    /// Nobody: all work is online.
    #[default]
    None,
    /// The server, for its results.
    Server,
    /// The server, and the owner for the images' ciphertexts.
    Both,
}

impl PoolChoice {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::None, Self::Server, Self::Both];

    /// The name on the command line and in specs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Server => "server",
            Self::Both => "both",
        }
    }
}

impl FromStr for PoolChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| Error::Unknown {
            what: "pool",
            value: text.into(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// How the data is protected, with the choices that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// The trained network in f32, layer after layer, in the clear.
    ClearFloat,
    /// The quantised collapsed model in the clear.
    ClearInteger,
    /// Paillier.
    Paillier {
        /// What does the arithmetic.
        backend: BackendId,
        /// Bits of n.
        key_bits: u32,
        /// Plan of the product; the one with the fewest products when not given.
        method: Option<Method>,
        /// How randomisers are made.
        encryption: Encryption,
        /// Which values share a ciphertext.
        packing: PackingChoice,
        /// How the server re-randomises results.
        rerandomisation: Rerandomisation,
        /// Most MiB of the tables of each side.
        table_mib: u32,
    },
    /// Integer-vector encryption.
    Eivhe {
        /// Its parameters.
        setting: Setting,
        /// How the server applies the model.
        route: Route,
    },
}

/// One measurement: everything that defines it but the machine. Its text form names it in records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Name of the dataset.
    pub dataset: String,
    /// Public feature map.
    pub features: FeatureMap,
    /// Precision of the integers.
    pub precision: Precision,
    /// How the data is protected.
    pub protection: Protection,
    /// Throughput or latency.
    pub scenario: Scenario,
    /// Images, from the start of the test set.
    pub images: usize,
    /// Seed of keys and randomisers.
    pub seed: u64,
    /// Images worked on at once; as many as suit the backend when not given. One in the single scenario.
    pub batch: Option<usize>,
    /// Threads of the pool; those of the process when not given.
    pub threads: Option<usize>,
    /// Who makes randomisers ahead. Nobody where nothing is encrypted.
    pub pool: PoolChoice,
}

impl Spec {
    /// The division that its numbers belong to. Plaintext rows share it with the encrypted rows of the same features.
    #[must_use]
    pub const fn division(&self) -> Division {
        match (self.protection, self.features) {
            (Protection::Eivhe { setting: Setting::Integers(_), .. }, _) => Division::Unsound,
            (_, FeatureMap::Pixels) => Division::Closed,
            (_, FeatureMap::Gradients) => Division::Open,
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protection {
            Protection::ClearFloat => f.write_str("inference/clear/float")?,
            Protection::ClearInteger => f.write_str("inference/clear/integer")?,
            Protection::Paillier { backend, key_bits, method, encryption, packing, rerandomisation, table_mib } => {
                let (method, rerandomisation) = (method.map_or("auto", Method::name), rerandomisation.name());
                write!(f, "inference/paillier/{backend}/{key_bits}/{method}/{encryption}/{packing}/{rerandomisation}/{table_mib}")?;
            }
            Protection::Eivhe { setting, route } => write!(f, "inference/eivhe/{setting}/{route}")?,
        }
        let Precision { feature_bits, weight_bits } = self.precision;
        write!(f, "/{}/{}-{feature_bits}-{weight_bits}/{}/{}/{}", self.dataset, self.features.name(), self.scenario, self.images, self.seed)?;
        self.batch.map_or(Ok(()), |batch| write!(f, "/batch-{batch}"))?;
        self.threads.map_or(Ok(()), |threads| write!(f, "/threads-{threads}"))?;
        if self.pool == PoolChoice::None { Ok(()) } else { write!(f, "/pool-{}", self.pool.name()) }
    }
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::Unknown {
            what: "spec",
            value: text.into(),
            known: "inference/clear/float|integer/..., inference/eivhe/SETTING/ROUTE/... or inference/paillier/BACKEND/KEY_BITS/METHOD/ENCRYPTION/PACKING/RERANDOMISATION/TABLE_MIB/..., then \
                    DATASET/FEATURES-BITS-BITS/SCENARIO/IMAGES/SEED[/batch-N][/threads-N][/pool-WHO]"
                .into(),
        }
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (protection, rest) = match parts.as_slice() {
            ["inference", "clear", "float", rest @ ..] => (Protection::ClearFloat, rest),
            ["inference", "clear", "integer", rest @ ..] => (Protection::ClearInteger, rest),
            ["inference", "eivhe", setting, route, rest @ ..] => (Protection::Eivhe { setting: setting.parse()?, route: route.parse()? }, rest),
            ["inference", "paillier", backend, key_bits, method, encryption, packing, rerandomisation, table_mib, rest @ ..] => {
                let protection = Protection::Paillier {
                    backend: backend.parse()?,
                    key_bits: key_bits.parse().map_err(|_| bad())?,
                    method: if *method == "auto" { None } else { Some(method.parse()?) },
                    encryption: encryption.parse()?,
                    packing: packing.parse()?,
                    rerandomisation: rerandomisation.parse()?,
                    table_mib: table_mib.parse().map_err(|_| bad())?,
                };
                (protection, rest)
            }
            _ => return Err(bad()),
        };
        let number = |text: &str| text.parse().ok().filter(|&n: &usize| n > 0);
        let mut rest = rest.to_vec();
        let pool = match rest.last().and_then(|last| last.strip_prefix("pool-")) {
            Some(who) => {
                rest.pop();
                who.parse()?
            }
            None => PoolChoice::None,
        };
        let mut choice = |name: &str| {
            let value = rest.last().and_then(|last| last.strip_prefix(name)).map(|text| number(text).ok_or_else(bad)).transpose()?;
            rest.truncate(rest.len() - usize::from(value.is_some()));
            Ok::<_, Error>(value)
        };
        let threads = choice("threads-")?;
        let batch = choice("batch-")?;
        let [dataset, features, scenario, images, seed] = rest[..] else { return Err(bad()) };
        let [map, feature_bits, weight_bits] = features.split('-').collect::<Vec<_>>()[..] else { return Err(bad()) };
        let number = |text: &str| text.parse().map_err(|_| bad());
        Ok(Self {
            dataset: dataset.into(),
            features: map.parse()?,
            precision: Precision { feature_bits: number(feature_bits)?, weight_bits: number(weight_bits)? },
            protection,
            scenario: scenario.parse()?,
            images: images.parse().map_err(|_| bad())?,
            seed: seed.parse().map_err(|_| bad())?,
            batch,
            threads,
            pool,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_survives_the_round_trip() {
        let spec = Spec {
            dataset: "mnist".into(),
            features: FeatureMap::Gradients,
            precision: Precision { feature_bits: 4, weight_bits: 5 },
            protection: Protection::Paillier {
                backend: BackendId::Gmp,
                key_bits: 2048,
                method: Some(Method::Buckets),
                encryption: Encryption::Owner,
                packing: PackingChoice::Images(78),
                rerandomisation: Rerandomisation::Bases,
                table_mib: 64,
            },
            scenario: Scenario::Offline,
            images: 10_000,
            seed: 1,
            batch: None,
            threads: None,
            pool: PoolChoice::None,
        };
        let text = "inference/paillier/gmp/2048/buckets/owner/78/bases/64/mnist/gradients-4-5/offline/10000/1";
        assert_eq!(spec.to_string(), text);
        assert_eq!(text.parse::<Spec>().unwrap(), spec);
        for protection in [Protection::ClearFloat, Protection::ClearInteger] {
            let clear = Spec { protection, ..spec.clone() };
            assert_eq!(clear.to_string().parse::<Spec>().unwrap(), clear);
        }
        for setting in Setting::ALL {
            for route in Route::ALL {
                let vectors = Spec { protection: Protection::Eivhe { setting, route }, features: FeatureMap::Pixels, ..spec.clone() };
                assert!(vectors.to_string().starts_with(&format!("inference/eivhe/{setting}/{route}/mnist/pixels-4-5/")));
                assert_eq!(vectors.to_string().parse::<Spec>().unwrap(), vectors);
                assert_eq!(vectors.division(), if setting == Setting::Lwe { Division::Closed } else { Division::Unsound });
            }
        }
        assert!("inference/eivhe/nobody/switch/mnist/pixels-8-8/offline/1/1".parse::<Spec>().is_err());
        for (batch, threads, end) in [(Some(9), None, "/batch-9"), (None, Some(2), "/threads-2"), (Some(9), Some(2), "/batch-9/threads-2")] {
            let more = Spec { batch, threads, ..spec.clone() };
            assert_eq!(more.to_string(), format!("{text}{end}"));
            assert_eq!(more.to_string().parse::<Spec>().unwrap(), more);
        }
        let pooled = Spec { threads: Some(2), pool: PoolChoice::Both, ..spec };
        assert_eq!(pooled.to_string(), format!("{text}/threads-2/pool-both"));
        assert_eq!(pooled.to_string().parse::<Spec>().unwrap(), pooled);
        assert!(format!("{text}/pool-nobody").parse::<Spec>().is_err());
        for packing in ["auto", "off", "1", "8-inputs"] {
            assert_eq!(packing.parse::<PackingChoice>().unwrap().to_string(), packing);
        }
        for bad in ["0", "0-inputs", "-inputs", "x-inputs", "-1"] {
            assert!(bad.parse::<PackingChoice>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "inference",
            "training/x",
            &text.replace("owner", "nobody"),
            &text.replace("/1", ""),
            &text.replace("-4-5", "-4"),
            &format!("{text}/batch-0"),
            &format!("{text}/threads-2/batch-9"),
        ] {
            assert!(bad.parse::<Spec>().is_err(), "{bad}");
        }
    }
}
