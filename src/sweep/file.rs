//! The form of a sweep file. Errors name the file, the line and the key; unknown keys are answered with the known ones.
//!
//! Tables of grids have the name and the keys that their workload declares ([`crate::spec::Kind`]);
//! this file knows none of them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::plan::{Excluded, Plan};
use crate::dataset::DatasetChoice;
use crate::durable::{WRITTEN_BY_HAND, read_text};
use crate::error::{Error, Result, near};
use crate::features::FeatureMap;
use crate::spec::{Choice, Kind, Misplaced, Named, Setting, Word, check_combinations, once};
use crate::toml_file::{self, line_of, mistake};
use crate::workload::Sampling;
use crate::workload::registry::Registry;

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
    /// The length of each row's measurement.
    pub sampling: Sampling,
    /// `true` if `cipherlane paper` runs it.
    pub paper: bool,
    /// `true` if a grid that names more images than there are takes all there are.
    at_most: bool,
    tables: Vec<Table>,
    rules: Vec<Rule>,
    /// `true` if any table is about images of the dataset.
    takes_images: bool,
}

/// A grid.
#[derive(Clone, Debug)]
struct Table {
    workload: &'static str,
    /// The byte at which it begins.
    at: usize,
    named: Named,
}

/// One `[[exclude]]`: leaves out the combinations that have one of the named values under every key of the rule.
#[derive(Clone, Debug)]
struct Rule {
    line: usize,
    reason: String,
    named: Named,
}

/// The entries of a file besides its tables.
#[derive(Deserialize)]
#[serde(default)]
struct Header {
    question: String,
    dataset: Option<String>,
    toy: bool,
    seed: u64,
    paper: bool,
    sampling: SamplingTable,
}

impl Default for Header {
    fn default() -> Self {
        Self { question: String::new(), dataset: None, toy: false, seed: 1, paper: true, sampling: SamplingTable::default() }
    }
}

const HEADER_KEYS: [&str; 6] = ["question", "dataset", "toy", "seed", "paper", "sampling"];
const EXCLUDE: &str = "exclude";

/// The length of a row's measurement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SamplingTable {
    warm_up_seconds: Spanned<f64>,
    min_seconds: Spanned<f64>,
    min_samples: u32,
    max_seconds: Spanned<f64>,
}

impl Default for SamplingTable {
    fn default() -> Self {
        let seconds = |seconds| Spanned::new(0..0, seconds);
        Self { warm_up_seconds: seconds(0.2), min_seconds: seconds(1.0), min_samples: 10, max_seconds: seconds(60.0) }
    }
}

/// A text under its path, to say where in it something is wrong.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn wrong(&self, at: usize, problem: impl Into<String>) -> Error {
        mistake(self.path, self.text, at, problem.into())
    }

    fn unknown_key(&self, at: usize, key: &str, known: &[&str]) -> Error {
        self.wrong(at, format!("unknown key `{key}`, known: {}{}", known.join(", "), near(key, known)))
    }

    /// A value as the word that it is written as.
    fn word(&self, value: &Spanned<DeValue<'_>>) -> Result<Word> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.as_str().replace('_', ""),
            DeValue::Float(number) => number.as_str().into(),
            DeValue::Boolean(truth) => truth.to_string(),
            other => return Err(self.wrong(value.span().start, format!("expected a name or a number, found {}", other.type_str()))),
        };
        Ok(Word { text, at: value.span().start })
    }

    /// The words of a list; of a switch one word without a list.
    fn words(&self, value: &Spanned<DeValue<'_>>, is_switch: bool) -> Result<Vec<Word>> {
        match value.get_ref() {
            DeValue::Array(values) => values.iter().map(|value| self.word(value)).collect(),
            _ if is_switch => Ok(vec![self.word(value)?]),
            other => Err(self.wrong(value.span().start, format!("expected a sequence, as [VALUE, ...], found {}", other.type_str()))),
        }
    }

    /// The words of a key, each of which one of the key's choices knows.
    fn checked(&self, value: &Spanned<DeValue<'_>>, choices: &[&Choice], toy: bool) -> Result<Vec<Word>> {
        let words = self.words(value, choices.iter().any(|choice| choice.is_switch))?;
        for word in &words {
            let wrong = |error: Error| match error {
                Error::KeyTooSmall { bits, minimum } => {
                    self.wrong(word.at, format!("a {bits}-bit key is a toy: at least {minimum} bits are needed, or `toy = true` for tests"))
                }
                error => self.wrong(word.at, error.to_string()),
            };
            let mut read = choices.iter().map(|choice| {
                let value = (choice.read)(&word.text)?;
                if !toy && !choice.stand_ins.contains(&value.as_str()) { (choice.check_toy)(&value) } else { Ok(()) }
            });
            let first = read.next().unwrap_or(Ok(()));
            if first.is_err() && !read.any(|other| other.is_ok()) {
                return first.map(|()| words.clone()).map_err(wrong);
            }
        }
        Ok(words)
    }

    /// The named values of a table of a workload.
    fn table(&self, kind: &Kind, table: &Spanned<DeValue<'_>>, toy: bool) -> Result<Table> {
        let at = table.span().start;
        let DeValue::Table(entries) = table.get_ref() else { return Err(self.wrong(at, "expected a table")) };
        let mut named = Named::default();
        for (key, value) in entries {
            let choices: Vec<&Choice> = kind.choices().filter(|choice| choice.key == key.get_ref().as_ref()).collect();
            if choices.is_empty() {
                return Err(self.unknown_key(key.span().start, key.get_ref(), &kind.keys()));
            }
            named.set(key.get_ref(), self.checked(value, &choices, toy)?);
        }
        if let Some(missing) = kind.choices().find(|choice| choice.is_needed && named.words(choice.key).is_none()) {
            return Err(self.wrong(at, format!("`{}` is missing", missing.key)));
        }
        Ok(Table { workload: kind.workload, at, named })
    }

    /// A rule about grids of a workload.
    fn rule(&self, kind: &Kind, table: &Spanned<DeValue<'_>>) -> Result<Rule> {
        let at = table.span().start;
        let DeValue::Table(entries) = table.get_ref() else { return Err(self.wrong(at, "expected a table")) };
        let is_selector = |key: &str| kind.selector.is_some_and(|selector| selector.key == key);
        let known: Vec<&str> = std::iter::once("reason").chain(kind.keys().into_iter().filter(|key| !is_selector(key))).collect();
        let (mut named, mut reason) = (Named::default(), None);
        for (key, value) in entries {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                return Err(self.unknown_key(key.span().start, name, &known));
            }
            if name == "reason" {
                reason = Some(self.word(value)?.text);
                continue;
            }
            let choices: Vec<&Choice> = kind.choices().filter(|choice| choice.key == name).collect();
            named.set(name, self.checked(value, &choices, true)?);
        }
        let reason = reason.ok_or_else(|| self.wrong(at, "`reason` is missing"))?;
        if named.is_empty() {
            return Err(self.wrong(at, "a rule needs at least one key beside its reason, or it would leave out everything"));
        }
        Ok(Rule { line: line_of(self.text, at), reason, named })
    }
}

/// The tables of one name.
fn tables<'a, 'i>(document: &'a DeTable<'i>, name: &str) -> &'a [Spanned<DeValue<'i>>] {
    document.iter().find(|(key, _)| key.get_ref() == name).and_then(|(_, value)| value.get_ref().as_array()).map_or(&[], |tables| tables)
}

impl Sweep {
    /// Reads a sweep file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::SweepFile`] with line and key.
    pub fn read(registry: &Registry, path: &Path) -> Result<Self> {
        let text = read_text(path, WRITTEN_BY_HAND)?;
        Self::parse(registry, path, text)
    }

    /// Reads the text of a sweep file; `path` names it in errors.
    ///
    /// # Errors
    /// [`Error::SweepFile`] with line and key.
    pub fn parse(registry: &Registry, path: &Path, text: String) -> Result<Self> {
        let place = Place { path, text: &text };
        let header: Header = toml_file::parse(path, &text)?;
        let document = DeTable::parse(&text).map_err(|e| place.wrong(e.span().map_or(0, |span| span.start), e.message()))?.into_inner();
        let names: Vec<&str> = registry.workloads().map(|workload| workload.kind().table).collect();
        let known: Vec<&str> = HEADER_KEYS.into_iter().chain(names.iter().copied()).chain([EXCLUDE]).collect();
        if let Some((key, _)) = document.iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            return Err(place.unknown_key(key.span().start, key.get_ref(), &known));
        }
        let (mut found, mut takes_images) = (Vec::new(), false);
        for workload in registry.workloads() {
            let kind = workload.kind();
            for table in tables(&document, kind.table) {
                let table = place.table(kind, table, header.toy)?;
                if !workload.takes_images() {
                    // Data of their own: what cannot be is found at once.
                    let needed = kind.choices().find(|choice| choice.is_needed).and_then(|choice| table.named.words(choice.key)?.first());
                    let at = needed.map_or(table.at, |word| word.at);
                    let wrong = |found: Misplaced| place.wrong(found.at.filter(|at| *at > 0).unwrap_or(at), found.error.to_string());
                    let specs = kind.specs(&table.named, &Setting { seed: header.seed, ..Setting::default() }).map_err(wrong)?;
                    specs.iter().try_for_each(|spec| workload.check(spec)).map_err(|e| place.wrong(at, e.to_string()))?;
                }
                takes_images |= workload.takes_images();
                found.push(table);
            }
        }
        if found.is_empty() {
            let problem = format!("there is neither a [[{}]]", names.join("]] nor a [["));
            return Err(Error::SweepFile { path: path.into(), line: 1, key: names.first().copied().unwrap_or_default().into(), problem });
        }
        let images = registry.workloads().find(|workload| workload.takes_images());
        let rules = match images {
            Some(workload) => tables(&document, EXCLUDE).iter().map(|rule| place.rule(workload.kind(), rule)).collect::<Result<_>>()?,
            None => Vec::new(),
        };
        let dataset = header.dataset.as_deref().map(|name| {
            let at = document.iter().find(|(key, _)| key.get_ref() == "dataset").map_or(0, |(key, _)| key.span().start);
            name.parse().map_err(|e: Error| place.wrong(at, e.to_string()))
        });
        let ms = |seconds: &Spanned<f64>| {
            let fits = (0.0..=86_400.0).contains(seconds.get_ref());
            let wrong = || place.wrong(seconds.span().start, format!("`{}` is no number of seconds from 0 to 86400", seconds.get_ref()));
            if fits { Ok((seconds.get_ref() * 1000.0).round() as u32) } else { Err(wrong()) }
        };
        let SamplingTable { warm_up_seconds, min_seconds, min_samples, max_seconds } = &header.sampling;
        let sampling =
            Sampling { warm_up_ms: ms(warm_up_seconds)?, least_ms: ms(min_seconds)?, least_samples: *min_samples, most_ms: ms(max_seconds)? };
        Ok(Self {
            question: header.question,
            dataset: dataset.transpose()?.unwrap_or(DatasetChoice::Auto),
            toy: header.toy,
            seed: header.seed,
            sampling,
            paper: header.paper,
            at_most: false,
            tables: found,
            rules,
            takes_images,
            path: path.into(),
            text,
        })
    }

    /// The name of the file without its ending.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_stem().map_or_else(|| "sweep".into(), |name| name.to_string_lossy().into_owned())
    }

    /// The expectation of the file, by the comment that begins with `# Expected:`; nothing where there is none.
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

    /// `true` if any table is about images of the dataset; others bring their own data.
    #[must_use]
    pub fn takes_images(&self) -> bool {
        self.takes_images
    }

    /// The feature maps that the tables may name.
    #[must_use]
    pub fn features(&self) -> Vec<FeatureMap> {
        let names =
            |table: &Table, map: FeatureMap| table.named.words("features").is_none_or(|words| words.iter().any(|word| word.text == map.name()));
        FeatureMap::ALL.into_iter().filter(|map| self.tables.iter().any(|table| names(table, *map))).collect()
    }

    /// The rows of the sweep on this machine for a dataset of `available` test images. A combination
    /// that several rules leave out counts for the first.
    ///
    /// # Errors
    /// [`Error::SweepFile`] when a grid names more images than there are.
    pub fn plan(&self, registry: &Registry, dataset: &str, available: usize) -> Result<Plan> {
        let setting = Setting { dataset: dataset.into(), images: available, at_most: self.at_most, seed: self.seed };
        let place = Place { path: &self.path, text: &self.text };
        let mut specs = Vec::new();
        let mut combinations = 0u128;
        for table in &self.tables {
            let kind = registry.workload(table.workload)?.kind();
            combinations = combinations.saturating_add(kind.combinations(&table.named));
            check_combinations(combinations).map_err(|e| place.wrong(table.at, e.to_string()))?;
            let wrong = |Misplaced { at, error }| place.wrong(at.filter(|at| *at > 0).unwrap_or(table.at), error.to_string());
            specs.extend(kind.specs(&table.named, &setting).map_err(wrong)?);
        }
        let all = specs.len();
        let specs = once(specs);
        let repeated = all - specs.len();
        let mut excluded: Vec<Excluded> = self.rules.iter().map(|rule| Excluded { line: rule.line, reason: rule.reason.clone(), count: 0 }).collect();
        let mut kept = Vec::new();
        for spec in specs {
            let workload = registry.workload(spec.workload())?;
            match self.rules.iter().position(|rule| workload.takes_images() && rule.named.matches(workload.kind(), &spec)) {
                Some(rule) => excluded[rule].count += 1,
                None => kept.push(spec),
            }
        }
        Ok(Plan { specs: kept, excluded, repeated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Sweep> {
        Sweep::parse(&Registry::default(), Path::new("x.toml"), text.into())
    }

    #[track_caller]
    fn refused(text: &str, line: usize, words: &[&str]) {
        let message = parse(text).and_then(|s| s.plan(&Registry::default(), "digits", 599)).unwrap_err().to_string();
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
        let registry = Registry::default();
        let kind = registry.workload("inference").unwrap().kind();
        let setting = Setting { dataset: "digits".into(), images: 599, ..Setting::default() };
        let named = &small.tables[0].named;
        assert_eq!(kind.combinations(named), kind.specs(named, &setting).unwrap().len() as u128);
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
        let plan = sweep.plan(&Registry::default(), "digits", 599).unwrap();
        // Two in the clear and two backends by two keys by two plans, each by two numbers of images and of threads.
        let grid = (2 + 2 * 2 * 2) * 4;
        let excluded: Vec<usize> = plan.excluded.iter().map(|e| e.count).collect();
        assert_eq!(excluded, [2 * 2 * 2, 0, 2 * 2 * 2]);
        assert_eq!((plan.specs.len(), plan.repeated), (grid - 16, 16 + 1));
        assert_eq!(plan.excluded[0].reason, "the oracle is slow");
        // The oracle gets a hundred images where all are meant.
        let counts = |backend: &str| {
            let of = plan.specs.iter().filter(|spec| spec.values().is("backend", backend));
            of.filter_map(|spec| spec.values().number("images")).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(counts("reference"), [100].into());
        assert_eq!(counts("gmp"), [5, 599].into());
        assert_eq!(plan.specs, sweep.plan(&Registry::default(), "digits", 599).unwrap().specs);
        assert_eq!(sweep.features(), [FeatureMap::Pixels]);
    }

    #[test]
    fn another_dataset_takes_what_it_has() {
        let text = "dataset = \"mnist\"\n[[grid]]\nbackend = []\nimages = [5, 700]";
        refused(text, 4, &["700", "599"]);
        let sweep = parse(text).unwrap().on(DatasetChoice::Digits);
        let images: Vec<_> =
            sweep.plan(&Registry::default(), "digits", 599).unwrap().specs.iter().filter_map(|spec| spec.values().number("images")).collect();
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
        let plan = parse(text).unwrap().plan(&Registry::default(), "digits", 599).unwrap();
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
        let plan = parse(text).unwrap().plan(&Registry::default(), "none", 0).unwrap();
        // In the clear twice, and two comparisons by two keys, each with two batches, of two datasets.
        assert_eq!((plan.specs.len(), plan.repeated), (2 * (2 + 4) * 2, 1));
        assert!(plan.specs.iter().all(|spec| spec.workload() == "training" && spec.values().is("seed", "7")));
    }

    #[test]
    fn the_sweep_files_of_this_repository_are_good() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sweeps");
        let mut count = 0;
        let files = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        for path in files(&dir).into_iter().chain(files(&dir.join("quick"))).filter(|path| path.is_file()) {
            let sweep = Sweep::read(&Registry::default(), &path).unwrap();
            let plan = sweep.plan(&Registry::default(), "mnist", 10_000).unwrap();
            assert!(plan.specs.len() >= 2 && plan.excluded.iter().all(|rule| rule.count > 0), "{}: {plan:?}", path.display());
            assert!(sweep.text.starts_with("# Question: ") && !sweep.expected().is_empty() && !sweep.question.is_empty(), "{}", path.display());
            count += 1;
        }
        assert!(count >= 10, "{count}");
    }
}
