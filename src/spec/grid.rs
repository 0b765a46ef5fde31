//! Grids: every combination of the values that are named.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use super::{Choice, Form, Kind, Protection, Setting, Spec, Values};
use crate::error::{Error, Result};

/// Most combinations that one table of a sweep, all its tables together, or the options of a run may
/// name, before repetitions and what rules leave out are taken away: more could not be measured in a
/// month, and are a slip.
pub const MOST_COMBINATIONS: u128 = 100_000;

/// Refuses more combinations than [`MOST_COMBINATIONS`], before any is made.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn check_combinations(count: u128) -> Result<()> {
    if count <= MOST_COMBINATIONS {
        return Ok(());
    }
    let value = if count == u128::MAX { "2^128 or more".into() } else { count.to_string() };
    let allowed = format!("up to {MOST_COMBINATIONS}; name fewer values in its lists");
    Err(Error::range("number of combinations", &value, allowed))
}

/// A word under a key, and where it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// Bytes from the start of the file; 0 where there is none.
    pub at: usize,
}

/// The words that a table or a command line names, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(BTreeMap<String, Vec<Word>>);

impl Named {
    /// Names words under a key in place of those that were there.
    pub fn set(&mut self, key: &str, words: Vec<Word>) {
        self.0.insert(key.into(), words);
    }

    /// The same without places.
    #[must_use]
    pub fn with<T: ToString>(mut self, key: &str, words: &[T]) -> Self {
        self.set(key, words.iter().map(|word| Word { text: word.to_string(), at: 0 }).collect());
        self
    }

    /// The words under a key; none where it is not named.
    #[must_use]
    pub fn words(&self, key: &str) -> Option<&[Word]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// `true` if nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words of a choice, or those that stand for them.
    fn of(&self, choice: &Choice) -> Vec<Word> {
        let default = || choice.default.iter().map(|word| Word { text: (*word).into(), at: 0 }).collect();
        self.words(choice.key).filter(|_| !choice.key.is_empty()).map_or_else(default, <[Word]>::to_vec)
    }

    /// Refuses values that are for tests only.
    ///
    /// # Errors
    /// Those of [`Choice::check_toy`].
    pub fn check_toy(&self, kind: &Kind) -> Result<()> {
        kind.choices().try_for_each(|choice| {
            let words = self.words(choice.key).unwrap_or_default();
            words.iter().filter_map(|word| choice.value(&word.text).ok()).try_for_each(|value| (choice.check_toy)(&value))
        })
    }

    /// `true` if a spec has one of the named values under every key.
    pub(crate) fn matches(&self, kind: &Kind, spec: &Spec) -> bool {
        let Some(protection) = kind.protections.iter().find(|protection| protection.path == spec.protection) else { return false };
        let values = spec.values();
        self.0.iter().all(|(key, words)| {
            let choices = kind.in_text(protection).filter(|choice| choice.key == key);
            choices.into_iter().any(|choice| {
                let fits = |word: &Word| choice.value(&word.text).is_ok_and(|value| values.is(choice.field, &value));
                ((choice.applies)(values) || matches!(choice.form, Form::Suffix { .. })) && words.iter().any(fits)
            })
        })
    }
}

/// An error at a place of a table; none where it is about the whole.
#[derive(Debug)]
pub struct Misplaced {
    /// The place.
    pub at: Option<usize>,
    /// The error.
    pub error: Error,
}

/// The values with every repetition taken out; the first stays.
#[must_use]
pub fn once<T: Clone + Eq + Hash>(mut values: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    values.retain(|value| seen.insert(value.clone()));
    values
}

impl Kind {
    /// The protections that take part, in the order in which they are asked for.
    fn asked_for(&self, named: &Named) -> Vec<&'static Protection> {
        let words: Vec<String> = self.selector.map_or_else(Vec::new, |choice| named.of(choice).into_iter().map(|word| word.text).collect());
        let place = |protection: &&&Protection| match protection.selected_by {
            None => Some(0),
            Some(word) => words.iter().position(|asked| asked == word),
        };
        let mut found: Vec<(usize, &'static Protection)> =
            self.protections.iter().filter_map(|protection| Some((place(&protection)?, *protection))).collect();
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, protection)| protection).collect()
    }

    /// Most specs that [`Kind::specs`] gives; `u128::MAX` for that many and more.
    #[must_use]
    pub fn combinations(&self, named: &Named) -> u128 {
        let count = |start: &Values, choices: &mut dyn Iterator<Item = &Choice>| {
            choices.filter(|choice| !choice.decides && (choice.applies)(start)).fold(1u128, |product, choice| {
                let breadth = |word: &Word| if choice.stand_ins.contains(&word.text.as_str()) { choice.breadth } else { 1 };
                product.saturating_mul(named.of(choice).iter().map(breadth).sum::<usize>() as u128)
            })
        };
        let deciding: Vec<&Choice> = self.outer.iter().filter(|choice| choice.decides).collect();
        let mut starts = vec![Values::default()];
        for choice in deciding {
            let words = named.of(choice);
            starts = starts.iter().flat_map(|start| words.iter().map(|word| start.with(choice.field, word.text.clone()))).collect();
        }
        let protections = self.asked_for(named);
        let of_start = |start: &Values| {
            let shared = count(start, &mut self.outer.iter().chain(self.inner));
            let own = protections.iter().map(|protection| count(start, &mut protection.choices.iter())).fold(0, u128::saturating_add);
            own.saturating_mul(shared)
        };
        starts.iter().map(of_start).fold(0, u128::saturating_add)
    }

    /// Every combination, in a fixed order. Some may be there twice.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for more than [`MOST_COMBINATIONS`]; those of the choices.
    pub fn specs(&self, named: &Named, setting: &Setting) -> std::result::Result<Vec<Spec>, Misplaced> {
        let wrong = |error| Misplaced { at: None, error };
        check_combinations(self.combinations(named)).map_err(wrong)?;
        let protections = self.asked_for(named);
        let mut specs = Vec::new();
        for outer in product(vec![Values::default()], self.outer, named, setting)? {
            for protection in &protections {
                let chosen = product(vec![outer.clone()], protection.choices, named, setting)?;
                for values in product(chosen, self.inner, named, setting)? {
                    let missing = || Error::unsupported(protection.path, format!("a value left open in {values:?}"));
                    specs.push(self.spec(protection, values.clone()).ok_or_else(|| wrong(missing()))?);
                }
            }
        }
        Ok(specs)
    }
}

/// All combinations of values so far with those of some choices.
fn product(mut all: Vec<Values>, choices: &[Choice], named: &Named, setting: &Setting) -> std::result::Result<Vec<Values>, Misplaced> {
    for choice in choices {
        let mut words = named.of(choice);
        if choice.last_first {
            words.reverse();
        }
        let mut next = Vec::new();
        for values in all {
            if !(choice.applies)(&values) {
                next.push(match choice.form {
                    Form::Suffix { unsaid, .. } => values.with(choice.field, unsaid.into()),
                    Form::Segment | Form::Dash => values,
                });
                continue;
            }
            for word in &words {
                // A word of another protection's choice of this key is no value here.
                let Ok(read) = (if choice.key.is_empty() { Ok(String::new()) } else { (choice.read)(&word.text) }) else { continue };
                let expanded = (choice.expand)(&read, &values, setting).map_err(|error| Misplaced { at: Some(word.at), error })?;
                let expanded: Box<dyn Iterator<Item = String>> =
                    if choice.last_first { Box::new(expanded.into_iter().rev()) } else { Box::new(expanded.into_iter()) };
                next.extend(expanded.map(|value| values.with(choice.field, value)));
            }
        }
        all = next;
    }
    Ok(all)
}
