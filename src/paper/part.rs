//! Parts: the results that a report is put together from, and the figures that it wants of them.

use std::collections::BTreeMap;

use super::cells::Cells;
use crate::record::Records;

/// The results of one sweep, or of a run.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Name of the sweep, or of the folder where that is not known.
    pub name: String,
    /// `quick` or `full` where the sweep came with the program.
    pub setting: String,
    /// The folder as the user would name it.
    pub folder: String,
    /// The question that it answers; may be empty.
    pub question: String,
    /// What was expected before it was measured; may be empty.
    pub expected: String,
    /// The command that makes the rows again.
    pub command: String,
    /// Rows and samples.
    pub records: Records,
    /// Facts of `run.toml`.
    pub run: toml::Table,
    /// Other CSVs of the folder by file name.
    pub others: BTreeMap<String, Cells>,
}

/// What became of a wanted figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Which.
    pub wanted: Wanted,
    /// Why it could not be drawn.
    pub left_out: Option<String>,
}

/// A figure that a report wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The part whose rows it shows; none for all of them together.
    pub part: Option<String>,
    /// Which figure, by its name in `plot`.
    pub figure: &'static str,
    /// Name of its files.
    pub name: String,
    /// What it shows.
    pub caption: &'static str,
    /// The command that draws it.
    pub command: String,
}
