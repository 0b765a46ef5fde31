//! Ingredients: everything that a report is made of.

use super::claims::Verdict;
use super::part::{Figure, Part};
use crate::report::quoted::Quoted;

/// What a report is made of besides its parts.
#[derive(Clone, Copy, Debug)]
pub struct Ingredients<'a> {
    /// The results.
    pub parts: &'a [Part],
    /// What became of the figures that [`outline`](super::outline) wants.
    pub figures: &'a [Figure],
    /// What became of the claims.
    pub verdicts: &'a [Verdict],
    /// Published numbers.
    pub quoted: &'a [Quoted],
    /// The command that makes the report again.
    pub command: &'a str,
    /// When it was put together.
    pub date: &'a str,
}
