//! Specs: one measurement in one line, and the declarations from which everything that names its
//! options is made.
//!
//! A workload declares its specs by a [`Kind`]: its own [`Choice`]s and the [`Protection`]s that it
//! knows, each with choices of its own. From one declaration of a choice come
//!
//! - the argument of the command line and its help,
//! - the key of a sweep file, and of the rules that leave combinations out,
//! - the place of its value in the text of a [`Spec`], which names a row in records,
//! - the pair `key=value` of the column `parameters`.
//!
//! The text of a spec is `WORKLOAD/PROTECTION/…`, then the values of the protection, those of the
//! workload, and last what is seldom named (`/batch-9`). **It is part of the identity of published
//! rows**: a declared place never changes, and a later choice is a suffix that is left out at its
//! default.

mod choice;
mod grid;
mod values;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

pub use choice::{Choice, Form, Setting, as_word, number, whole};
pub use grid::{MOST_COMBINATIONS, Misplaced, Named, Word, check_combinations, once};
pub use values::Values;

use crate::error::{Error, Result};

/// A way to protect the data of a workload, or none, with the choices that belong to it alone.
#[derive(Debug)]
pub struct Protection {
    /// Scheme and, where it has several, form: the second part of a spec's text, as `clear/float`.
    pub path: &'static str,
    /// The word of the workload's [`Kind::selector`] that asks for it; none for a protection that
    /// takes part wherever each of its choices has a value.
    pub selected_by: Option<&'static str>,
    /// Its choices, in the order of the text.
    pub choices: &'static [Choice],
}

impl Protection {
    /// The scheme as records name it.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.path.split('/').next().unwrap_or(self.path)
    }
}

/// The declaration of a workload's specs.
#[derive(Clone, Debug)]
pub struct Kind {
    /// First word of a spec's text.
    pub workload: &'static str,
    /// Name of its tables in a sweep file.
    pub table: &'static str,
    /// The choice that asks for protections by name, where there is one. It has no place in the
    /// text.
    pub selector: Option<&'static Choice>,
    /// Choices of the workload that protections may depend on, in the order of the text.
    pub outer: &'static [Choice],
    /// The others, after them.
    pub inner: &'static [Choice],
    /// The protections, in the order of rows.
    pub protections: Vec<&'static Protection>,
}

/// One measurement: everything that defines it but the machine. Two specs of one text are one.
#[derive(Clone, Debug)]
pub struct Spec {
    text: String,
    workload: &'static str,
    protection: &'static str,
    values: Values,
}

impl Spec {
    /// Its text, which names it in records.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The workload.
    #[must_use]
    pub fn workload(&self) -> &'static str {
        self.workload
    }

    /// The path of its protection, as `clear/float`.
    #[must_use]
    pub fn protection(&self) -> &'static str {
        self.protection
    }

    /// The chosen values.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Spec {}

impl Hash for Spec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for Spec {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Spec {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Kind {
    /// The choices of a spec under a protection, in the order of the text: first the protection's.
    fn in_text<'a>(&'a self, protection: &'a Protection) -> impl DoubleEndedIterator<Item = &'a Choice> {
        protection.choices.iter().chain(self.outer).chain(self.inner)
    }

    /// The choices whose values are suffixes, in the order of the text: last the protection's.
    fn suffixes<'a>(&'a self, protection: &'a Protection) -> impl DoubleEndedIterator<Item = (&'a Choice, &'static str, &'static str)> {
        let of_suffix = |choice: &'a Choice| if let Form::Suffix { prefix, unsaid } = choice.form { Some((choice, prefix, unsaid)) } else { None };
        self.outer.iter().chain(self.inner).chain(protection.choices).filter_map(of_suffix)
    }

    /// The spec of some values. Output: none where a field of the text is not filled.
    fn spec(&self, protection: &Protection, values: Values) -> Option<Spec> {
        let mut text = format!("{}/{}", self.workload, protection.path);
        let mut fields = Vec::new();
        for choice in self.in_text(protection) {
            let separator = match choice.form {
                Form::Segment => '/',
                Form::Dash => '-',
                Form::Suffix { .. } => continue,
            };
            // Several choices may fill one place.
            if fields.contains(&choice.field) {
                continue;
            }
            fields.push(choice.field);
            text.push(separator);
            text += values.get(choice.field)?;
        }
        for (choice, prefix, unsaid) in self.suffixes(protection) {
            if let Some(value) = values.get(choice.field).filter(|value| *value != unsaid) {
                text += &format!("/{prefix}{value}");
            }
        }
        Some(Spec { text, workload: self.workload, protection: protection.path, values })
    }

    /// The spec that a text names.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the form of all texts, or as the choice that a value belongs to.
    pub fn parse(&self, text: &str) -> Result<Spec> {
        let bad = || Error::unknown("spec", text, self.usage());
        let parts: Vec<&str> = text.split('/').collect();
        let rest_of = |protection: &Protection| {
            let path: Vec<&str> = std::iter::once(self.workload).chain(protection.path.split('/')).collect();
            parts.strip_prefix(path.as_slice()).map(|rest| (path.len(), rest.to_vec()))
        };
        // The longest path counts: one protection's may begin another's.
        let found = self.protections.iter().filter_map(|protection| Some((protection, rest_of(protection)?)));
        let (protection, (_, mut rest)) = found.max_by_key(|(_, (length, _))| *length).ok_or_else(bad)?;
        let mut values = Values::default();
        let mut suffixes = Vec::new();
        for (choice, prefix, unsaid) in self.suffixes(protection).rev() {
            let value = match rest.last().and_then(|last| last.strip_prefix(prefix)) {
                None => unsaid.to_owned(),
                Some(value) => {
                    rest.pop();
                    choice.value_of(value).filter(|value| value != unsaid).ok_or_else(bad)?
                }
            };
            suffixes.push((choice.field, value));
        }
        let mut rest = rest.into_iter();
        let mut dashed: Option<std::str::Split<'_, char>> = None;
        let mut choices = self.in_text(protection).filter(|choice| !matches!(choice.form, Form::Suffix { .. })).peekable();
        while let Some(choice) = choices.next() {
            let is_first_of_dashes = choices.peek().is_some_and(|next| next.form == Form::Dash);
            let part = match choice.form {
                Form::Dash => dashed.as_mut().and_then(Iterator::next),
                _ => {
                    if dashed.take().is_some_and(|mut left| left.next().is_some()) {
                        return Err(bad());
                    }
                    let part = rest.next();
                    match part.filter(|_| is_first_of_dashes) {
                        None => part,
                        Some(part) => dashed.insert(part.split('-')).next(),
                    }
                }
            };
            let part = part.ok_or_else(bad)?;
            // Of several choices for one place the first that knows the value.
            let mut alternatives = vec![choice];
            while let Some(other) = choices.next_if(|next| next.field == choice.field) {
                alternatives.push(other);
            }
            let read: Vec<Result<String>> = alternatives.iter().map(|choice| choice.value(part)).collect();
            let value = read.iter().find_map(|value| value.as_ref().ok().cloned());
            match value {
                Some(value) => values.set(choice.field, value),
                None => return Err(read.into_iter().find_map(Result::err).unwrap_or_else(bad)),
            }
        }
        if rest.next().is_some() || dashed.is_some_and(|mut left| left.next().is_some()) {
            return Err(bad());
        }
        suffixes.into_iter().rev().for_each(|(field, value)| values.set(field, value));
        self.spec(protection, values).filter(|spec| spec.text == text).ok_or_else(bad)
    }

    /// The form of its texts, in words.
    fn usage(&self) -> String {
        let place = |choice: &Choice| {
            let name = choice.field.to_uppercase();
            match choice.form {
                Form::Segment => format!("/{name}"),
                Form::Dash => format!("-{name}"),
                Form::Suffix { prefix, .. } => format!("[/{prefix}{name}]"),
            }
        };
        let mut own: Vec<String> = Vec::new();
        for protection in &self.protections {
            let places: String = protection.choices.iter().filter(|c| !matches!(c.form, Form::Suffix { .. })).map(place).collect();
            own.push(format!("{}/{}{places}/...", self.workload, protection.path));
        }
        let shared: String = self.outer.iter().chain(self.inner).map(place).collect();
        format!("{}, then {}", own.join(" or "), shared.trim_start_matches('/'))
    }

    /// The declared choices of all tables' keys: of one key, its choices under all protections.
    pub fn choices(&self) -> impl Iterator<Item = &Choice> {
        let own = self.protections.iter().flat_map(|protection| protection.choices);
        self.outer.iter().chain(self.inner).chain(self.selector).chain(own).filter(|choice| !choice.key.is_empty())
    }

    /// Every key, once.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        for choice in self.choices() {
            if !keys.contains(&choice.key) {
                keys.push(choice.key);
            }
        }
        keys
    }

    /// The choices of a protection that take part in records as `key=value`: those that fill none
    /// of `columns`.
    #[must_use]
    pub fn parameters(&self, spec: &Spec, columns: &[&str]) -> String {
        let Some(protection) = self.protections.iter().find(|protection| protection.path == spec.protection) else { return String::new() };
        let mut fields: Vec<&str> = protection.choices.iter().map(|choice| choice.field).filter(|field| !columns.contains(field)).collect();
        fields.sort_unstable();
        fields.dedup();
        let pairs = fields.into_iter().filter_map(|field| Some(format!("{field}={}", spec.values.get(field)?)));
        pairs.collect::<Vec<_>>().join(" ")
    }
}
