//! The form of a sweep file. Errors name the file, the line and the key; unknown keys are answered with the known ones.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use super::training::TrainingTable;
use super::{Excluded, Grid, Plan, check_combinations, once};
use crate::backend::{self, BackendId};
use crate::dataset::DatasetChoice;
use crate::durable::{WRITTEN_BY_HAND, read_text};
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::plan::matvec::Method;
use crate::quantise::Precision;
use crate::scheme::eivhe::{Route, Setting};
use crate::scheme::paillier::{Encryption, Rerandomisation, check_bits};
use crate::toml_file::{self, line_of, mistake};
use crate::workload::{PackingChoice, PoolChoice, Protection, Sampling, Scenario, Spec, method_choice};

/// A sweep as its file says it.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// The question that it answers; may be empty.
    pub question: String,
    /// Which images.
    pub dataset: DatasetChoice,
    /// Keys under 2048 bits are allowed.
    pub toy: bool,
    /// Seed of keys and randomisers.
    pub seed: u64,
    /// How long each row is measured.
    pub sampling: Sampling,
    /// Whether `cipherlane paper` runs it.
    pub paper: bool,
    /// Whether a grid that names more images than there are takes all there are.
    at_most: bool,
    grids: Vec<Spanned<GridTable>>,
    trainings: Vec<TrainingTable>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    question: String,
    #[serde(default)]
    dataset: Option<Word<DatasetChoice>>,
    #[serde(default)]
    toy: bool,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default = "yes")]
    paper: bool,
    #[serde(default)]
    sampling: SamplingTable,
    #[serde(default)]
    grid: Vec<Spanned<GridTable>>,
    #[serde(default)]
    training: Vec<TrainingTable>,
    #[serde(default)]
    exclude: Vec<Spanned<RuleTable>>,
}

fn one() -> u64 {
    1
}

fn yes() -> bool {
    true
}

/// How long a row is measured.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SamplingTable {
    warm_up_seconds: Word<Milliseconds>,
    min_seconds: Word<Milliseconds>,
    min_samples: u32,
    max_seconds: Word<Milliseconds>,
}

impl Default for SamplingTable {
    fn default() -> Self {
        let ms = |ms| Word(Milliseconds(ms));
        Self { warm_up_seconds: ms(200), min_seconds: ms(1000), min_samples: 10, max_seconds: ms(60_000) }
    }
}

/// A list of choices under one key; empty when the key is not there.
pub(super) type List<T> = Option<Vec<Word<T>>>;

/// One `[[grid]]`. What is not named has the default of `cipherlane run`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GridTable {
    backend: List<BackendChoice>,
    key_bits: Option<Vec<Spanned<Word<KeyBits>>>>,
    method: List<MethodChoice>,
    encryption: List<Encryption>,
    packing: List<PackingChoice>,
    inputs_per_ciphertext: List<Inputs>,
    rerandomise: List<Rerandomisation>,
    table_mib: List<Count>,
    features: List<FeatureMap>,
    feature_bits: List<FeatureBits>,
    weight_bits: List<WeightBits>,
    scenario: List<Scenario>,
    images: Option<Vec<Spanned<Word<OrWord<All>>>>>,
    batch: List<OrWord<Auto>>,
    threads: List<Threads>,
    pool: List<PoolChoice>,
    eivhe: List<Setting>,
    eivhe_route: List<Route>,
    plaintext: Option<bool>,
}

/// One `[[exclude]]`: leaves out the combinations that have one of the named values under every key of the rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    reason: String,
    backend: List<BackendId>,
    key_bits: List<KeyBits>,
    method: List<MethodChoice>,
    encryption: List<Encryption>,
    packing: List<PackingChoice>,
    inputs_per_ciphertext: List<Inputs>,
    rerandomise: List<Rerandomisation>,
    table_mib: List<Count>,
    features: List<FeatureMap>,
    feature_bits: List<FeatureBits>,
    weight_bits: List<WeightBits>,
    scenario: List<Scenario>,
    images: List<OrWord<All>>,
    batch: List<OrWord<Auto>>,
    threads: List<Threads>,
    pool: List<PoolChoice>,
    eivhe: List<Setting>,
    eivhe_route: List<Route>,
}

#[derive(Clone, Debug)]
struct Rule {
    line: usize,
    table: RuleTable,
}

/// A value with one text form, written as a string or as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

impl<'de, T: FromStr> Deserialize<'de> for Word<T>
where
    T::Err: fmt::Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: FromStr> Visitor<'_> for Text<T>
        where
            T::Err: fmt::Display,
        {
            type Value = Word<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Word<T>, E> {
                text.parse().map(Word).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> std::result::Result<Word<T>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Word<T>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> std::result::Result<Word<T>, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Text(PhantomData))
    }
}

fn whole(text: &str, least: u32, most: u32, what: &str) -> std::result::Result<u32, String> {
    text.parse().ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| format!("`{text}` is no {what} from {least} to {most}"))
}

/// Declares a number in a range.
macro_rules! number {
    ($name:ident, $least:expr, $most:expr, $what:literal) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct $name(pub(super) u32);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> std::result::Result<Self, String> {
                whole(text, $least, $most, $what).map(Self)
            }
        }
    };
}

number!(KeyBits, 0, u32::MAX, "number of bits");
number!(FeatureBits, 1, 12, "number of bits of a feature");
number!(WeightBits, 2, 16, "number of bits of a weight");
number!(Count, 1, 1 << 20, "number");

/// Seconds with a fraction, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Milliseconds(u32);

impl FromStr for Milliseconds {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let seconds = text.parse().ok().filter(|s: &f64| (0.0..=86_400.0).contains(s));
        seconds.map(|s| Self((s * 1000.0).round() as u32)).ok_or_else(|| format!("`{text}` is no number of seconds from 0 to 86400"))
    }
}

/// A backend, or all of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackendChoice {
    All,
    One(BackendId),
}

impl FromStr for BackendChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Self::All),
            name => name.parse().map(Self::One).map_err(|_| Error::Unknown {
                what: "backend",
                value: name.into(),
                known: format!("all, {}", BackendId::ALL.map(BackendId::name).join(", ")),
            }),
        }
    }
}

/// A plan, or the one with the fewest products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MethodChoice(Option<Method>);

impl FromStr for MethodChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        method_choice(text).map(Self)
    }
}

/// Inputs of one image in a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inputs(PackingChoice);

impl FromStr for Inputs {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        PackingChoice::of_inputs(text).map(Self)
    }
}

/// Threads of the pool, or those of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Threads(pub(super) Option<usize>);

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "all" => Ok(Self(None)),
            number => whole(number, 1, 1024, "number of threads, nor \"all\",").map(|n| Self(Some(n as usize))),
        }
    }
}

/// A word that stands for a number that is found out later.
trait Standing: Copy + fmt::Debug {
    const WORD: &'static str;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct All;

impl Standing for All {
    const WORD: &'static str = "all";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Auto;

impl Standing for Auto {
    const WORD: &'static str = "auto";
}

/// A number from 1, or the word of `W`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OrWord<W>(Option<usize>, PhantomData<W>);

impl<W: Standing> FromStr for OrWord<W> {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == W::WORD {
            return Ok(Self(None, PhantomData));
        }
        let number = text.parse().ok().filter(|&n: &usize| n > 0);
        number.map(|n| Self(Some(n), PhantomData)).ok_or_else(|| format!("`{text}` is neither a number from 1 nor \"{}\"", W::WORD))
    }
}

impl Sweep {
    /// Reads a sweep file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::SweepFile`] with line and key.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, WRITTEN_BY_HAND)?;
        Self::parse(path, text)
    }

    /// Reads the text of a sweep file; `path` names it in errors.
    ///
    /// # Errors
    /// [`Error::SweepFile`] with line and key.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        let document: Document = toml_file::parse(path, &text)?;
        let wrong = |at: usize, problem: String| mistake(path, &text, at, problem);
        let keys = document.grid.iter().map(|grid| &grid.get_ref().key_bits).chain(document.training.iter().map(|training| &training.key_bits));
        for key_bits in keys {
            for bits in key_bits.iter().flatten() {
                check_bits(bits.get_ref().0.0, document.toy).map_err(|e| match e {
                    Error::KeyTooSmall { bits: key, minimum } => {
                        wrong(bits.span().start, format!("a {key}-bit key is a toy: at least {minimum} bits are needed, or `toy = true` for tests"))
                    }
                    e => wrong(bits.span().start, e.to_string()),
                })?;
            }
        }
        if document.grid.is_empty() && document.training.is_empty() {
            let problem = "there is neither a [[grid]] nor a [[training]]".into();
            return Err(Error::SweepFile { path: path.into(), line: 1, key: "grid".into(), problem });
        }
        for training in &document.training {
            training.specs(document.seed).map_err(|e| wrong(training.place(), e.to_string()))?;
        }
        let rules = document.exclude.into_iter().map(|rule| (rule.span().start, rule.into_inner()));
        let rules = rules.map(|(at, table)| {
            if table.is_empty() {
                return Err(wrong(at, "a rule needs at least one key beside its reason, or it would leave out everything".into()));
            }
            Ok(Rule { line: line_of(&text, at), table })
        });
        let rules = rules.collect::<Result<_>>()?;
        let SamplingTable { warm_up_seconds, min_seconds, min_samples, max_seconds } = document.sampling;
        let sampling = Sampling { warm_up_ms: warm_up_seconds.0.0, least_ms: min_seconds.0.0, least_samples: min_samples, most_ms: max_seconds.0.0 };
        Ok(Self {
            question: document.question,
            dataset: document.dataset.map_or(DatasetChoice::Auto, |word| word.0),
            toy: document.toy,
            seed: document.seed,
            sampling,
            paper: document.paper,
            at_most: false,
            grids: document.grid,
            trainings: document.training,
            rules,
            path: path.into(),
            text,
        })
    }

    fn wrong(&self, at: usize, problem: String) -> Error {
        mistake(&self.path, &self.text, at, problem)
    }

    /// The name of the file without its ending.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_stem().map_or_else(|| "sweep".into(), |name| name.to_string_lossy().into_owned())
    }

    /// What the file expects to see, by the comment that begins with `# Expected:`; nothing where there is none.
    #[must_use]
    pub fn expected(&self) -> String {
        let mut lines = self.text.lines().map(str::trim_start).skip_while(|line| !line.starts_with("# Expected:"));
        let first = lines.next().and_then(|line| line.strip_prefix("# Expected:")).unwrap_or_default();
        let rest = lines.map_while(|line| line.strip_prefix("# ").filter(|rest| !rest.trim().is_empty()));
        std::iter::once(first).chain(rest).map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    /// The same sweep on another dataset. Grids that name more images than it has take all it has.
    #[must_use]
    pub fn on(self, dataset: DatasetChoice) -> Self {
        Self { dataset, at_most: true, ..self }
    }

    /// Whether any table is about images of the dataset; trainings name their own data.
    #[must_use]
    pub fn has_grids(&self) -> bool {
        !self.grids.is_empty()
    }

    /// The feature maps that any grid names.
    #[must_use]
    pub fn features(&self) -> Vec<FeatureMap> {
        let named = |features: &FeatureMap| self.grids.iter().any(|grid| grid.get_ref().to_grid().features.contains(features));
        FeatureMap::ALL.into_iter().filter(named).collect()
    }

    /// The rows of the sweep on this machine for a dataset of `available` test images. A combination that several rules leave out counts for the first.
    ///
    /// # Errors
    /// [`Error::SweepFile`] when a grid names more images than there are.
    pub fn plan(&self, dataset: &str, available: usize) -> Result<Plan> {
        let mut specs = Vec::new();
        let mut combinations = 0u128;
        for spanned in &self.grids {
            let table = spanned.get_ref();
            let too_many = |images: &&Spanned<Word<OrWord<All>>>| images.get_ref().0.0.is_some_and(|n| n > available);
            if let Some(images) = table.images.iter().flatten().find(too_many).filter(|_| !self.at_most) {
                let count = images.get_ref().0.0.unwrap_or(0);
                return Err(self.wrong(images.span().start, format!("{count} images are asked for, the test set has {available}")));
            }
            let mut grid = table.to_grid();
            grid.images.iter_mut().flatten().for_each(|images| *images = (*images).min(available));
            combinations = combinations.saturating_add(grid.combinations());
            let made = check_combinations(combinations).and_then(|()| grid.specs(dataset, available, self.seed));
            specs.extend(made.map_err(|e| self.wrong(spanned.span().start, e.to_string()))?);
        }
        let mut trainings = Vec::new();
        for table in &self.trainings {
            combinations = combinations.saturating_add(table.combinations());
            let made = check_combinations(combinations).and_then(|()| table.specs(self.seed));
            trainings.extend(made.map_err(|e| self.wrong(table.place(), e.to_string()))?);
        }
        let all = specs.len() + trainings.len();
        let (specs, trainings) = (once(specs), once(trainings));
        let repeated = all - specs.len() - trainings.len();
        let mut excluded: Vec<Excluded> =
            self.rules.iter().map(|rule| Excluded { line: rule.line, reason: rule.table.reason.clone(), count: 0 }).collect();
        let mut kept = Vec::new();
        for spec in specs {
            match self.rules.iter().position(|rule| rule.table.matches(&spec)) {
                Some(rule) => excluded[rule].count += 1,
                None => kept.push(spec),
            }
        }
        Ok(Plan { specs: kept, trainings, excluded, repeated })
    }
}

pub(super) fn all<T: Copy, U>(list: &List<T>, default: Vec<U>, convert: impl Fn(T) -> U) -> Vec<U> {
    list.as_ref().map_or(default, |list| list.iter().map(|word| convert(word.0)).collect())
}

impl GridTable {
    fn to_grid(&self) -> Grid {
        let default = Grid::default();
        let mut backends = Vec::new();
        for choice in all(&self.backend, vec![BackendChoice::All], |b| b) {
            match choice {
                BackendChoice::All => backends.extend(backend::all_here()),
                BackendChoice::One(id) => backends.push(id),
            }
        }
        Grid {
            features: all(&self.features, default.features, |f| f),
            feature_bits: all(&self.feature_bits, Vec::new(), |b| b.0),
            weight_bits: all(&self.weight_bits, Vec::new(), |b| b.0),
            scenarios: all(&self.scenario, default.scenarios, |s| s),
            plaintext: self.plaintext.unwrap_or(true),
            backends,
            key_bits: self.key_bits.as_ref().map_or(default.key_bits, |list| list.iter().map(|bits| bits.get_ref().0.0).collect()),
            methods: all(&self.method, default.methods, |m| m.0),
            encryptions: all(&self.encryption, default.encryptions, |e| e),
            packings: all(&self.packing, default.packings, |p| p),
            single_packings: all(&self.inputs_per_ciphertext, default.single_packings, |i| i.0),
            rerandomisations: all(&self.rerandomise, default.rerandomisations, |r| r),
            table_mib: all(&self.table_mib, default.table_mib, |m| m.0),
            images: self.images.as_ref().map_or(default.images, |list| list.iter().map(|images| images.get_ref().0.0).collect()),
            batches: all(&self.batch, default.batches, |n| n.0),
            threads: all(&self.threads, default.threads, |n| n.0),
            pools: all(&self.pool, default.pools, |p| p),
            eivhe: all(&self.eivhe, default.eivhe, |s| s),
            eivhe_routes: all(&self.eivhe_route, default.eivhe_routes, |r| r),
        }
    }
}

/// Whether a list is not there or has the value.
fn allows<T: Copy, U: PartialEq>(list: &List<T>, value: Option<&U>, convert: impl Fn(T) -> U) -> bool {
    list.as_ref().is_none_or(|list| value.is_some_and(|value| list.iter().any(|word| convert(word.0) == *value)))
}

impl RuleTable {
    fn is_empty(&self) -> bool {
        let lists = [
            self.backend.is_none(),
            self.key_bits.is_none(),
            self.method.is_none(),
            self.encryption.is_none(),
            self.packing.is_none(),
            self.inputs_per_ciphertext.is_none(),
            self.rerandomise.is_none(),
            self.table_mib.is_none(),
            self.features.is_none(),
            self.feature_bits.is_none(),
            self.weight_bits.is_none(),
            self.scenario.is_none(),
            self.images.is_none(),
            self.batch.is_none(),
            self.threads.is_none(),
            self.pool.is_none(),
            self.eivhe.is_none(),
            self.eivhe_route.is_none(),
        ];
        lists.into_iter().all(|none| none)
    }

    fn matches(&self, spec: &Spec) -> bool {
        let Precision { feature_bits, weight_bits } = spec.precision;
        let single = spec.scenario == Scenario::Single;
        let (setting, route) = match spec.protection {
            Protection::Eivhe { setting, route } => (Some(setting), Some(route)),
            _ => (None, None),
        };
        // In the clear there is no key, no backend and so on: a rule that names one of them leaves plaintext rows alone.
        let encrypted = match spec.protection {
            Protection::ClearFloat | Protection::ClearInteger | Protection::Eivhe { .. } => {
                allows(&self.backend, None, |b| b)
                    && allows(&self.key_bits, None, |b| b.0)
                    && allows(&self.method, None, |m| m.0)
                    && allows(&self.encryption, None, |e| e)
                    && allows(&self.packing, None, |p| p)
                    && allows(&self.inputs_per_ciphertext, None, |i| i.0)
                    && allows(&self.rerandomise, None, |r| r)
                    && allows(&self.table_mib, None, |m| m.0)
            }
            Protection::Paillier { backend, key_bits, method, encryption, packing, rerandomisation, table_mib } => {
                allows(&self.backend, Some(&backend), |b| b)
                    && allows(&self.key_bits, Some(&key_bits), |b| b.0)
                    && allows(&self.method, Some(&method), |m| m.0)
                    && allows(&self.encryption, Some(&encryption), |e| e)
                    && allows(&self.packing, Some(&packing).filter(|_| !single), |p| p)
                    && allows(&self.inputs_per_ciphertext, Some(&packing).filter(|_| single), |i| i.0)
                    && allows(&self.rerandomise, Some(&rerandomisation), |r| r)
                    && allows(&self.table_mib, Some(&table_mib), |m| m.0)
            }
        };
        encrypted
            && allows(&self.eivhe, setting.as_ref(), |s| s)
            && allows(&self.eivhe_route, route.as_ref(), |r| r)
            && allows(&self.features, Some(&spec.features), |f| f)
            && allows(&self.feature_bits, Some(&feature_bits), |b| b.0)
            && allows(&self.weight_bits, Some(&weight_bits), |b| b.0)
            && allows(&self.scenario, Some(&spec.scenario), |s| s)
            && allows(&self.images, Some(&Some(spec.images)), |n| n.0)
            && allows(&self.batch, Some(&spec.batch), |n| n.0)
            && allows(&self.threads, Some(&spec.threads), |n| n.0)
            && allows(&self.pool, Some(&spec.pool), |p| p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Sweep> {
        Sweep::parse(Path::new("x.toml"), text.into())
    }

    #[track_caller]
    fn refused(text: &str, line: usize, words: &[&str]) {
        let message = parse(text).and_then(|s| s.plan("digits", 599)).unwrap_err().to_string();
        assert!(message.starts_with(&format!("x.toml:{line}: ")) && message.lines().count() == 1, "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "`{word}` is not in: {message}"));
    }

    #[test]
    fn errors_name_line_and_key() {
        refused("", 1, &["grid"]);
        refused("grid = []", 1, &["[[grid]]", "[[training]]"]);
        refused("[[training]]\nkey_bits = [2048]", 1, &["training", "data"]);
        refused("[[training]]\ndata = [\"xor\"]\nkey_bits = [1024]", 3, &["training.key_bits", "1024-bit key is a toy"]);
        refused("[[training]]\ndata = [\"xnor\"]", 2, &["training.data", "xnor", "parity-K"]);
        refused("[[training]]\ndata = [\"xor\"]\nnetwork = [\"3-4-2\"]", 2, &["training.data", "expected 2, got 3"]);
        refused("[[training]]\ndata = [\"xor\"]\nsteps = [0]", 3, &["training.steps", "`0`"]);
        refused("[[training]]\ndata = [\"xor\"]\nbach = [1]", 3, &["training.bach", "did you mean `batch`?"]);
        refused("[[grid]]\nkey_bitz = [2048]", 2, &["grid.key_bitz", "unknown key `key_bitz`", "key_bits, method", "did you mean `key_bits`?"]);
        refused("qestion = \"\"\n[[grid]]", 1, &["qestion", "did you mean `question`?"]);
        refused("[sampling]\nmin_sample = 3\n[[grid]]", 2, &["sampling.min_sample", "did you mean `min_samples`?"]);
        refused("# a comment\n[[grid]]\n\nbackend = [\"gpm\"]", 4, &["grid.backend", "gpm", "all, reference, gmp"]);
        refused("[[grid]]\nkey_bits = [\n  2048,\n  1024,\n]", 4, &["grid.key_bits", "1024-bit key is a toy", "toy = true"]);
        refused("toy = true\n[[grid]]\nkey_bits = [257]", 3, &["grid.key_bits", "257", "256 to 8192"]);
        refused("[[grid]]\nkey_bits = 2048", 2, &["grid.key_bits", "expected a sequence"]);
        refused("[[grid]]\nmethod = [\"nave\"]", 2, &["grid.method", "nave", "auto, ", "naive"]);
        refused("[[grid]]\nimages = [0]", 2, &["grid.images", "`0`", "all"]);
        refused("[[grid]]\nimages = [600]", 2, &["grid.images", "600", "599"]);
        refused("[[grid]]\nbatch = [\"all\"]", 2, &["grid.batch", "auto"]);
        refused("[[grid]]\nthreads = [0]", 2, &["grid.threads", "`0`", "1 to 1024", "all"]);
        refused("[[grid]]\nfeature_bits = [13]", 2, &["grid.feature_bits", "13", "1 to 12"]);
        refused("[[grid]]\nfeatures = [\"pixels\"\nscenario = []", 3, &["grid.scenario"]);
        refused("[sampling]\nwarm_up_seconds = -1\n[[grid]]", 2, &["sampling.warm_up_seconds", "-1", "86400"]);
        refused("[[grid]]\n[[exclude]]\nbackend = [\"gmp\"]", 2, &["exclude", "reason"]);
        refused("[[grid]]\n[[exclude]]\nreason = \"all\"", 2, &["exclude", "at least one key"]);
        refused("[[grid]]\n[[exclude]]\nreason = \"x\"\nbackends = []", 4, &["exclude.backends", "did you mean `backend`?"]);
    }

    /// A list of the numbers from 1 to `last`.
    fn up_to(last: usize) -> String {
        format!("{:?}", (1..=last).collect::<Vec<_>>())
    }

    #[test]
    fn too_many_combinations_are_refused_before_any_is_made() {
        let hundred = up_to(100);
        let lists = |names: &[&str]| names.iter().map(|name| format!("{name} = {hundred}\n")).collect::<String>();
        let grid = |names: &[&str]| format!("backend = [\"gmp\"]\nplaintext = false\nfeatures = [\"pixels\"]\n{}", lists(names));
        // 100^4, then as many twice as fit once, then a product beyond 128 bits.
        let long = format!("[[grid]]\n{}", grid(&["images", "table_mib", "batch", "threads"]));
        refused(&long, 1, &["grid", "100000000", "up to 100000"]);
        let twice = format!("[[grid]]\n{0}[[grid]]\n{0}", format!("{}threads = {}\n", grid(&["images", "table_mib"]), up_to(6)));
        refused(&twice, 8, &["grid", "120000", "up to 100000"]);
        let endless = |(name, value): (&str, &str)| format!("{name} = [{}]\n", format!("{value}, ").repeat(1 << 14));
        let each = [
            ("features", "\"pixels\""),
            ("key_bits", "2048"),
            ("method", "\"auto\""),
            ("encryption", "\"owner\""),
            ("packing", "\"auto\""),
            ("rerandomise", "\"auto\""),
            ("table_mib", "7"),
            ("batch", "7"),
            ("pool", "\"both\""),
            ("threads", "7"),
        ];
        refused(&format!("[[grid]]\n{}", each.map(endless).concat()), 1, &["grid", "2^128 or more", "up to 100000"]);
        let training = format!("[[training]]\ndata = [\"xor\"]\n{}", lists(&["epochs", "batch", "records", "steps", "threads"]));
        refused(&training, 2, &["training.data", "up to 100000"]);
        // The count is that of what is made.
        let small =
            parse("[[grid]]\neivhe = [\"lwe\", \"payor\"]\nbackend = [\"gmp\"]\nscenario = [\"single\", \"offline\"]\nbatch = [1, 2, 3]").unwrap();
        let grid = small.grids[0].get_ref().to_grid();
        assert_eq!(grid.combinations(), grid.specs("digits", 599, 1).unwrap().len() as u128);
    }

    #[test]
    fn grids_are_every_combination_once() {
        let text = "
            toy = true
            [sampling]
            warm_up_seconds = 0.25
            min_samples = 7
            [[grid]]
            backend = [\"gmp\", \"reference\", \"gmp\"]
            key_bits = [256, 512]
            method = [\"auto\", \"naive\"]
            features = [\"pixels\"]
            images = [5, \"all\"]
            threads = [1, \"all\"]
            [[grid]]
            backend = [\"gmp\"]
            key_bits = [256]
            features = [\"pixels\"]
            images = [5]
            plaintext = false
            [[exclude]]
            reason = \"the oracle is slow\"
            backend = [\"reference\"]
            images = [5]
            [[exclude]]
            reason = \"matches nothing\"
            weight_bits = [16]
            [[exclude]]
            reason = \"one thread in the clear only\"
            threads = [1]
            backend = [\"gmp\"]
        ";
        let sweep = parse(text).unwrap();
        assert_eq!(sweep.sampling, Sampling { warm_up_ms: 250, least_ms: 1000, least_samples: 7, most_ms: 60_000 });
        let plan = sweep.plan("digits", 599).unwrap();
        // Two in the clear and two backends by two keys by two plans, each by two numbers of images and of threads.
        let grid = (2 + 2 * 2 * 2) * 4;
        let excluded: Vec<usize> = plan.excluded.iter().map(|e| e.count).collect();
        assert_eq!(excluded, [2 * 2 * 2, 0, 2 * 2 * 2]);
        assert_eq!((plan.specs.len(), plan.repeated), (grid - 16, 16 + 1));
        assert_eq!(plan.excluded[0].reason, "the oracle is slow");
        // The oracle gets a hundred images where all are meant.
        let counts = |backend| {
            let of = plan.specs.iter().filter(|s| matches!(s.protection, Protection::Paillier { backend: b, .. } if b == backend));
            of.map(|s| s.images).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(counts(BackendId::Reference), [100].into());
        assert_eq!(counts(BackendId::Gmp), [5, 599].into());
        assert_eq!(plan.specs, sweep.plan("digits", 599).unwrap().specs);
        assert_eq!(sweep.features(), [FeatureMap::Pixels]);
    }

    #[test]
    fn another_dataset_takes_what_it_has() {
        let text = "dataset = \"mnist\"\n[[grid]]\nbackend = []\nimages = [5, 700]";
        refused(text, 4, &["700", "599"]);
        let sweep = parse(text).unwrap().on(DatasetChoice::Digits);
        let images: Vec<_> = sweep.plan("digits", 599).unwrap().specs.iter().map(|s| s.images).collect();
        assert!(sweep.dataset == DatasetChoice::Digits && images.contains(&5) && images.contains(&599) && !images.contains(&700), "{images:?}");
    }

    #[test]
    fn the_expectation_is_the_comment() {
        let sweep = parse("# Question: what?\n# Expected: this\n# and that.\n#\n# cipherlane sweep x\n[[grid]]").unwrap();
        assert_eq!(sweep.expected(), "this and that.");
        assert_eq!(parse("[[grid]]").unwrap().expected(), "");
        assert!(sweep.paper && !parse("paper = false\n[[grid]]").unwrap().paper && sweep.name() == "x");
    }

    #[test]
    fn settings_of_integer_vectors_are_rows_of_their_own() {
        let text = "
            [[grid]]
            backend = []
            features = [\"pixels\"]
            images = [5]
            eivhe = [\"integers\", \"lwe\", \"payor\"]
            eivhe_route = [\"switch\", \"direct\"]
            [[exclude]]
            reason = \"its matrix is large\"
            eivhe = [\"lwe\"]
            eivhe_route = [\"switch\"]
        ";
        let plan = parse(text).unwrap().plan("digits", 599).unwrap();
        // Two in the clear, two settings by two routes but one; `integers` is another word for `payor`.
        assert_eq!((plan.specs.len(), plan.excluded[0].count, plan.repeated), (2 + 3, 1, 2));
        refused("[[grid]]\neivhe = [\"fast\"]", 2, &["grid.eivhe", "fast", "integers, payor, secureldata, trask, lwe"]);
    }

    #[test]
    fn trainings_are_every_combination_once() {
        let text = "
            toy = true
            seed = 7
            [[training]]
            data = [\"xor\", \"parity-3\"]
            comparison = [\"blinded\", \"exact\"]
            key_bits = [512, 2048]
            batch = [10, 20]
            [[training]]
            data = [\"xor\"]
            run = [\"float\"]
            batch = [10]
        ";
        let plan = parse(text).unwrap().plan("none", 0).unwrap();
        // In the clear twice, and two comparisons by two keys, each with two batches, of two datasets.
        assert_eq!((plan.specs.len(), plan.trainings.len(), plan.repeated), (0, 2 * (2 + 4) * 2, 1));
        assert!(plan.trainings.iter().all(|spec| spec.seed == 7));
    }

    #[test]
    fn the_sweep_files_of_this_repository_are_good() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sweeps");
        let mut count = 0;
        let files = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        for path in files(&dir).into_iter().chain(files(&dir.join("quick"))).filter(|path| path.is_file()) {
            let sweep = Sweep::read(&path).unwrap();
            let plan = sweep.plan("mnist", 10_000).unwrap();
            assert!(plan.specs.len() + plan.trainings.len() >= 2 && plan.excluded.iter().all(|rule| rule.count > 0), "{}: {plan:?}", path.display());
            assert!(sweep.text.starts_with("# Question: ") && !sweep.expected().is_empty() && !sweep.question.is_empty(), "{}", path.display());
            count += 1;
        }
        assert!(count >= 10, "{count}");
    }
}
