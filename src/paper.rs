//! A report in the form of a paper, put together from the results of sweeps: its tables, the figures that it wants, and the claims that it makes.
//!
//! [`Part`]s (one folder of results each) come in; [`outline`] says which figures belong into the report, [`report()`] gives it as a [`Document`], which is
//! written as Markdown and as LaTeX. [`claims`] hold sentences against the rows. Nothing here measures, draws or prints.

pub mod cells;
pub mod claims;
pub mod derived;
mod document;
mod facts;
mod ingredients;
mod part;
mod sections;

pub use document::{Block, Document};
pub use ingredients::Ingredients;
pub use part::{Figure, Part};
pub use sections::outline;

use crate::record::Records;
use crate::report::{derive, quoted};
use claims::{State, Verdict};

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
