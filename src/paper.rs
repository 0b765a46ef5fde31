//! A report in the form of a paper, put together from the results of sweeps: its tables, the figures that it wants, and the claims that it makes.
//!
//! [`Part`]s (one folder of results each) come in; [`outline`] says which figures belong into the report, [`report()`] gives it as a [`Document`], which is
//! written as Markdown and as LaTeX. [`claims`] hold sentences against the rows. Nothing here measures, draws or prints.

pub mod cells;
pub mod claims;
mod document;
mod facts;
mod sections;

use std::collections::BTreeMap;

pub use document::{Block, Document};
pub use sections::{Wanted, outline};

use crate::record::Records;
use crate::report::quoted::Quoted;
use crate::report::{derive, quoted};
use cells::Cells;
use claims::{State, Verdict};

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

/// What a report is made of besides its parts.
#[derive(Clone, Copy, Debug)]
pub struct Ingredients<'a> {
    /// The results.
    pub parts: &'a [Part],
    /// What became of the figures that [`outline`] wants.
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

/// All rows of all parts, where one spec counts once.
#[must_use]
pub fn merged(parts: &[Part]) -> Records {
    let mut all = Records::default();
    for part in parts {
        all.samples.extend(part.records.samples.iter().cloned());
        all.outcomes.extend(part.records.outcomes.iter().cloned());
        all.curve.extend(part.records.curve.iter().cloned());
        all.operations.extend(part.records.operations.iter().cloned());
    }
    all
}

/// Claims that a table of one page has room for.
const CLAIMS_OF_A_PAGE: usize = 18;

/// The report.
#[must_use]
pub fn report(from: Ingredients<'_>) -> Document {
    let rows = derive(&merged(from.parts));
    let mut document =
        Document { title: "Neural networks on encrypted data, measured by cipherlane".into(), date: from.date.into(), ..Document::default() };
    document.summary = facts::summary(&from, &rows);
    let blocks = &mut document.blocks;
    blocks.push(Block::heading("What was measured"));
    blocks.extend(facts::method(&rows));
    blocks.push(Block::table("machine", facts::provenance(from.parts), "Machine, program and data, by the provenance of every run.", from.command));
    for part in from.parts {
        sections::section(part, from.figures, blocks);
    }
    blocks.push(Block::heading("Beside published systems"));
    blocks.push(Block::text(format!(
        "Numbers marked {} are quoted from publications and were not measured here: machines, networks, security and batch sizes differ, so a ratio between a quoted row and a \
         measured one says little.",
        quoted::MARK
    )));
    sections::figures("front", from.figures, blocks);
    let caption = "Systems measured here, each by its fastest rows, and published ones as quoted.";
    blocks.push(Block::table("published", quoted::comparison_table(&rows, from.quoted, false), caption, from.command));
    blocks.push(Block::heading("Claims"));
    blocks.push(Block::text(claims_text(from.verdicts)));
    for (at, some) in from.verdicts.chunks(CLAIMS_OF_A_PAGE).enumerate() {
        let name = if at == 0 { "claims".into() } else { format!("claims-{}", at + 1) };
        blocks.push(Block::table(&name, facts::claims(some), "Claims, what is expected and what the rows say.", from.command));
    }
    blocks.push(Block::heading("What these numbers do not say"));
    blocks.extend(facts::limits(&rows));
    blocks.push(Block::heading("To make this again"));
    blocks.extend(facts::commands(&from));
    document
}

/// How the claims came out, in a sentence.
fn claims_text(verdicts: &[Verdict]) -> String {
    let count = |state| verdicts.iter().filter(|v| v.state == state).count();
    let (held, failed, open) = (count(State::Held), count(State::Failed), count(State::NotChecked));
    let failures = if failed > 0 { " A claim that failed is contradicted by the rows of this very report." } else { "" };
    let open_words = if open > 0 { " What was not checked needs something that was not there, and counts as nothing." } else { "" };
    format!("Of {} claims {held} held, {failed} failed and {open} were not checked.{failures}{open_words}", verdicts.len())
}

#[cfg(test)]
mod tests;
