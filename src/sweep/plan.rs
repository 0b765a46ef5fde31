//! The rows that a sweep comes to.

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
