//! Arguments made from the declarations of choices ([`crate::spec::Choice`]).

use std::marker::PhantomData;
use std::sync::LazyLock;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::backend::{self, BackendId};
use crate::error::Result;
use crate::spec::{Choice, Kind, Named, Setting, Spec, check_combinations, once};
use crate::workload::registry::Registry;

/// The workloads and schemes of this program.
pub(super) fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::default);
    &REGISTRY
}

/// The workload whose choices a command takes.
pub(super) trait Of {
    /// Its name.
    const WORKLOAD: &'static str;
}

/// Choices of inference.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfInference;

impl Of for OfInference {
    const WORKLOAD: &'static str = "inference";
}

/// Choices of training.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfTraining;

impl Of for OfTraining {
    const WORKLOAD: &'static str = "training";
}

/// Choices of the command line. Lists are separated by commas; every combination is meant.
#[derive(Clone, Debug)]
pub(super) struct ChoiceArgs<W> {
    pub(super) named: Named,
    of: PhantomData<W>,
}

impl<W> Default for ChoiceArgs<W> {
    fn default() -> Self {
        Self { named: Named::default(), of: PhantomData }
    }
}

/// The choices of a workload that are arguments, of each key the first.
fn arguments<W: Of>() -> Vec<&'static Choice> {
    let Ok(workload) = registry().workload(W::WORKLOAD) else { return Vec::new() };
    let mut found: Vec<&Choice> = Vec::new();
    for choice in workload.kind().choices() {
        if choice.is_argument && !found.iter().any(|known| known.key == choice.key) {
            found.push(choice);
        }
    }
    found
}

/// One declaration as an argument.
fn argument<W: Of>(choice: &'static Choice) -> Arg {
    // A word that one of several choices of this key knows is good.
    let known = move |word: &str| -> Result<String> {
        let kind = registry().workload(W::WORKLOAD)?.kind();
        let mut read = kind.choices().filter(|other| other.key == choice.key).map(|other| (other.read)(word));
        let first = read.next().unwrap_or_else(|| Ok(String::new()));
        if first.is_ok() || read.any(|other| other.is_ok()) { Ok(word.into()) } else { first }
    };
    // Arguments are made once in a process and last as long as it.
    let name = if choice.value_name.is_empty() { choice.key.to_uppercase().leak() } else { choice.value_name };
    let argument = Arg::new(choice.key)
        .long(&*choice.argument().leak())
        .help(choice.help)
        .value_name(name)
        .value_delimiter(',')
        .action(ArgAction::Append)
        .value_parser(ValueParser::new(known));
    if choice.help.contains("[default:") || choice.default.is_empty() { argument } else { argument.default_values(choice.default) }
}

impl<W: Of> clap::Args for ChoiceArgs<W> {
    fn augment_args(command: Command) -> Command {
        command.args(arguments::<W>().into_iter().map(argument::<W>))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<W: Of> FromArgMatches for ChoiceArgs<W> {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut named = Named::default();
        for choice in arguments::<W>() {
            if matches.value_source(choice.key) == Some(ValueSource::CommandLine) {
                let words: Vec<&String> = matches.get_many(choice.key).into_iter().flatten().collect();
                named = named.with(choice.key, &words);
            }
        }
        Ok(Self { named, of: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<W: Of> ChoiceArgs<W> {
    /// The same with words under a key where none were named.
    pub(super) fn or<T: ToString>(mut self, key: &str, words: &[T]) -> Self {
        if self.named.words(key).is_none() {
            self.named = self.named.with(key, words);
        }
        self
    }

    fn kind(&self) -> Result<&'static Kind> {
        registry().workload(W::WORKLOAD).map(crate::workload::Workload::kind)
    }

    /// The words under a key.
    pub(super) fn words(&self, key: &str) -> Vec<&str> {
        self.named.words(key).unwrap_or_default().iter().map(|word| word.text.as_str()).collect()
    }

    /// Refuses values that are for tests only, unless they are allowed.
    pub(super) fn check_toy(&self, allowed: bool) -> Result<()> {
        if allowed {
            return Ok(());
        }
        let kind = self.kind()?;
        self.named.check_toy(kind)
    }

    /// Opens the backends that are named, so that what is not here is refused before any work.
    pub(super) fn open_backends(&self) -> Result<()> {
        let named = self.words("backend").into_iter().filter_map(|word| word.parse::<BackendId>().ok());
        named.into_iter().try_for_each(|id| backend::open(id).map(drop))
    }

    /// Refuses more combinations than can be meant, before anything is opened.
    pub(super) fn check_combinations(&self) -> Result<()> {
        check_combinations(self.kind()?.combinations(&self.named))
    }

    /// Every combination, each once, checked.
    pub(super) fn specs(&self, setting: &Setting) -> Result<Vec<Spec>> {
        let workload = registry().workload(W::WORKLOAD)?;
        let specs = once(workload.kind().specs(&self.named, setting).map_err(|misplaced| misplaced.error)?);
        specs.iter().try_for_each(|spec| workload.check(spec))?;
        Ok(specs)
    }
}
