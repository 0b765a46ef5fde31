//! Values of choices.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Values by the fields that they fill, in the order in which they were chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(Vec<(&'static str, String)>);

impl Values {
    /// The text of a value; none where the field is not filled.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, value)| value.as_str())
    }

    /// `true` if a field has a value.
    #[must_use]
    pub fn is(&self, field: &str, value: &str) -> bool {
        self.get(field) == Some(value)
    }

    /// A value of a type that has a text form.
    ///
    /// # Errors
    /// [`Error::Unknown`] where the field is not filled or has another form: never for a field
    /// that the spec's declaration fills with such values.
    pub fn read<T: FromStr>(&self, field: &'static str) -> Result<T> {
        let text = self.get(field).unwrap_or_default();
        text.parse().map_err(|_| Error::unknown(field, text, "a value of its type"))
    }

    /// A number that may be left open by a word.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<usize> {
        self.get(field).and_then(|text| text.parse().ok())
    }

    /// Fills a field, anew where it is filled already.
    pub fn set(&mut self, field: &'static str, value: impl Into<String>) {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| *name == field) {
            Some((_, there)) => *there = value,
            None => self.0.push((field, value)),
        }
    }

    /// All values but one, in one line: what specs share that differ in it alone.
    #[must_use]
    pub fn without(&self, field: &str) -> String {
        self.0.iter().filter(|(name, _)| *name != field).map(|(name, value)| format!("{name}={value} ")).collect()
    }

    pub(super) fn with(&self, field: &'static str, value: String) -> Self {
        let mut values = self.clone();
        values.set(field, value);
        values
    }
}
