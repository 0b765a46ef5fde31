//! A choice, declared once.

use std::fmt::Display;
use std::str::FromStr;

use super::values::Values;
use crate::error::{Error, Result};

/// The place of a value in the text of a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/value`.
    Segment,
    /// `-value`, in the segment of the choice before.
    Dash,
    /// `/prefixvalue` at the end, left out for one value.
    Suffix {
        /// The mark of the value.
        prefix: &'static str,
        /// The value that is left out.
        unsaid: &'static str,
    },
}

/// Facts that values depend on besides each other.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Name of the dataset.
    pub dataset: String,
    /// Images of its test set.
    pub images: usize,
    /// `true` if a table that names more images than there are takes all there are.
    pub at_most: bool,
    /// Seed of keys and randomisers.
    pub seed: u64,
}

/// The declaration of a choice. [`Choice::new`] and the methods after it are its notation.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Key of sweep files; with dashes for lines the argument of the command line. Empty where the
    /// value comes from the [`Setting`].
    pub key: &'static str,
    /// The field that it fills; two choices that never apply together may fill one.
    pub field: &'static str,
    /// Its place in the text.
    pub form: Form,
    /// One line on it, without a full stop.
    pub help: &'static str,
    /// Name of a value in help; empty for the argument's own.
    pub value_name: &'static str,
    /// Words where none is named; none of them leaves the protection out.
    pub default: &'static [&'static str],
    /// Words that stand for values that are found later, and are none themselves.
    pub stand_ins: &'static [&'static str],
    /// Most values that a stand-in becomes.
    pub breadth: usize,
    /// Reads a word; gives it in the one form that it has in texts.
    pub read: fn(&str) -> Result<String>,
    /// Refuses values that are for tests only.
    pub check_toy: fn(&str) -> Result<()>,
    /// The values of a word beside those that were chosen before.
    pub expand: fn(&str, &Values, &Setting) -> Result<Vec<String>>,
    /// `true` if there is anything to choose beside the values that were chosen before.
    pub applies: fn(&Values) -> bool,
    /// `true` if others apply by its value.
    pub decides: bool,
    /// `true` if rows begin with the last value.
    pub last_first: bool,
    /// `true` if its value may stand without a list, as `true` and `false`.
    pub is_switch: bool,
    /// `true` if a table must name it.
    pub is_needed: bool,
    /// `true` if `run` has it as an argument.
    pub is_argument: bool,
}

impl Choice {
    /// A choice of a key that is its field, too.
    #[must_use]
    pub const fn new(key: &'static str, form: Form, read: fn(&str) -> Result<String>, help: &'static str) -> Self {
        Self {
            key,
            field: key,
            form,
            help,
            value_name: "",
            default: &[],
            stand_ins: &[],
            breadth: 1,
            read,
            check_toy: |_| Ok(()),
            expand: |word, _, _| Ok(vec![word.into()]),
            applies: |_| true,
            decides: false,
            last_first: false,
            is_switch: false,
            is_needed: false,
            is_argument: true,
        }
    }

    /// A value that comes from the setting.
    #[must_use]
    pub const fn given(field: &'static str, read: fn(&str) -> Result<String>, value: fn(&str, &Values, &Setting) -> Result<Vec<String>>) -> Self {
        Self { key: "", expand: value, default: &[""], is_argument: false, ..Self::new(field, Form::Segment, read, "") }
    }

    /// The value that a word is, if it is one.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a stand-in; those of the reader.
    pub fn value(&self, word: &str) -> Result<String> {
        let value = (self.read)(word)?;
        if self.stand_ins.contains(&value.as_str()) {
            return Err(Error::unknown(self.field, value, "a value, not a word that stands for some"));
        }
        Ok(value)
    }

    /// The same, without the reason why not.
    pub(super) fn value_of(&self, word: &str) -> Option<String> {
        self.value(word).ok()
    }

    /// The name of its argument, without dashes before.
    #[must_use]
    pub fn argument(&self) -> String {
        self.key.replace('_', "-")
    }
}

/// Reads a word of a type with one text form.
///
/// # Errors
/// Those of the type.
pub fn as_word<T: FromStr<Err = Error> + Display>(word: &str) -> Result<String> {
    word.parse::<T>().map(|value| value.to_string())
}

/// Reads a whole number in a range.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn whole<const LEAST: u64, const MOST: u64>(word: &str) -> Result<String> {
    let number = word.parse().ok().filter(|n: &u64| (LEAST..=MOST).contains(n));
    number.map(|n| n.to_string()).ok_or_else(|| {
        Error::range(
            "number",
            &format!("`{word}`"),
            if MOST == u64::MAX { format!("whole numbers from {LEAST}") } else { format!("{LEAST} to {MOST}") },
        )
    })
}

/// Reads a whole number in a range, or one word that leaves it open.
///
/// # Errors
/// [`Error::OutOfRange`].
pub fn number<const LEAST: u64, const MOST: u64>(text: &str, word: &str) -> Result<String> {
    if text == word {
        return Ok(word.into());
    }
    whole::<LEAST, MOST>(text).map_err(|error| match error {
        Error::OutOfRange { what, value, allowed } => Error::range(what, &value, format!("{allowed}, or \"{word}\"")),
        error => error,
    })
}
