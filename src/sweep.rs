//! Sweeps: files that name grids of specs, what to leave out of them, and how long to measure.
//!
//! A [`Plan`] is the list of specs that a file comes to on this machine, each once, in a fixed
//! order. What is left out is counted by rule, never silently; what cannot work and is not left out
//! stays in the plan and becomes an error row.

mod file;
mod shipped;

pub use file::Sweep;
pub use shipped::{Extent, all_shipped, find, setting_of, shipped};

use crate::spec::Spec;

/// The rows of a sweep on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The rows to measure, each once.
    pub specs: Vec<Spec>,
    /// Combinations that the rules of the file left out.
    pub excluded: Vec<Excluded>,
    /// Combinations that several tables name.
    pub repeated: usize,
}

/// Combinations that one rule left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// The line of the rule.
    pub line: usize,
    /// Why, as the file says.
    pub reason: String,
    /// Their number. A rule that leaves out none may be misspelt.
    pub count: usize,
}
