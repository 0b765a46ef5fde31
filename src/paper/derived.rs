//! Columns that are derived from rows, beside those of `outcomes.csv`, and all tables that claims may read.

use std::collections::BTreeMap;
use std::path::Path;

use super::cells::Cells;
use super::part::Part;
use crate::error::Result;
use crate::record::columns;
use crate::record::table::text_of;
use crate::record::{OUTCOMES, Stage};
use crate::report::{Row, derive};

/// A column that claims may name beside those of `outcomes.csv`.
pub struct Derived {
    /// Its name.
    pub name: &'static str,
    /// What it says, with its unit.
    #[allow(dead_code, reason = "a test holds the table of these columns to it")]
    pub meaning: &'static str,
    value: fn(&Row, &Part) -> Option<String>,
}

const fn derived(name: &'static str, meaning: &'static str, value: fn(&Row, &Part) -> Option<String>) -> Derived {
    Derived { name, meaning, value }
}

fn number(value: Option<f64>) -> Option<String> {
    value.filter(|v| v.is_finite()).map(|v| v.to_string())
}

fn stage(row: &Row, stage: Stage) -> Option<String> {
    number(row.online_stage_ns(stage))
}

/// What is derived from a row: medians over its samples, per image.
pub const DERIVED: [Derived; 24] = [
    derived("sweep", "name of the sweep file, or of the folder where that is not known", |_, part| Some(part.name.clone())),
    derived("setting", "quick or full where the sweep came with the program", |_, part| Some(part.setting.clone())),
    derived("pool", "who makes randomisers ahead: none, server, both", |row, _| Some(row.outcome.parameter("pool").unwrap_or("none").into())),
    derived("rerandomisation", "how the server re-randomises results: auto, bases, standard; none where nothing is encrypted", |row, _| {
        Some(row.outcome.parameter("rerandomisation").unwrap_or("none").into())
    }),
    derived("toy", "true for a key under 2048 bits", |row, _| Some(row.toy.to_string())),
    derived("disturbed", "true where other processes, the host or the clock disturbed the row", |row, _| {
        Some((!row.disturbances.is_empty()).to_string())
    }),
    derived("encode_ns", "median wall time per image of the stage, ns", |row, _| stage(row, Stage::Encode)),
    derived("encrypt_ns", "the same", |row, _| stage(row, Stage::Encrypt)),
    derived("upload_ns", "the same", |row, _| stage(row, Stage::Upload)),
    derived("evaluate_ns", "the same", |row, _| stage(row, Stage::Evaluate)),
    derived("download_ns", "the same", |row, _| stage(row, Stage::Download)),
    derived("exchange_ns", "the same", |row, _| stage(row, Stage::Exchange)),
    derived("decrypt_ns", "the same", |row, _| stage(row, Stage::Decrypt)),
    derived("decode_ns", "the same", |row, _| stage(row, Stage::Decode)),
    derived("online_ns", "median wall time per image of all online stages, ns", |row, _| number(row.online_ns.map(|s| s.median))),
    derived("online_cpu_ns", "the same in processor time of all threads, ns", |row, _| number(row.online_cpu_ns.map(|s| s.median))),
    derived("offline_ns", "the same of the offline stages", |row, _| number(row.offline_ns.map(|s| s.median))),
    derived("setup_ns", "wall time of the setup, once, ns", |row, _| number(row.setup_ns)),
    derived("p90_ns", "90th percentile of the latency in scenario single, ns", |row, _| number(row.latency.map(|l| l.p90_ns))),
    derived("images_per_second", "images of full batches by the wall time of all their online stages", |row, _| number(row.images_per_second)),
    derived("bytes_up_per_image", "bytes to the server per image", |row, _| number(row.bytes_up_per_image)),
    derived("bytes_down_per_image", "bytes back per image", |row, _| number(row.bytes_down_per_image)),
    derived("harness_share", "the harness' own time between stages, as a share of theirs", |row, _| number(row.harness_share)),
    derived("bound_share", "products of the plan at the hardware's bound, as a share of the evaluate stage's time", |row, _| number(row.bound_share)),
];

/// Whether `outcomes.csv` with its derived columns has one of this name.
pub(super) fn knows(column: &str) -> bool {
    known().any(|name| name == column)
}

/// The columns of `outcomes.csv` and those derived from it.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    columns::OUTCOMES.iter().map(|c| c.name).chain(DERIVED.iter().map(|d| d.name))
}

/// The rows of `outcomes.csv` of a part with what is derived from them.
///
/// # Errors
/// [`Error::File`] when a row cannot be written as text.
fn of_outcomes(part: &Part) -> Result<Cells> {
    let rows = derive(&part.records);
    let path = Path::new(OUTCOMES);
    let bytes = text_of(path, &columns::OUTCOMES, rows.iter().map(|row| &row.outcome))?;
    let mut cells = Cells::parse(path, &String::from_utf8_lossy(&bytes))?;
    cells.columns.extend(DERIVED.iter().map(|d| d.name.to_owned()));
    for (cells, row) in cells.rows.iter_mut().zip(&rows) {
        cells.extend(DERIVED.iter().map(|d| (d.value)(row, part).unwrap_or_default()));
    }
    Ok(cells)
}

/// All tables that claims may read, by file name: `outcomes.csv` with its derived columns, and every other CSV of the folders with the column `sweep` before its
/// own.
///
/// # Errors
/// [`Error::File`] when a row cannot be written as text.
pub fn tables(parts: &[Part]) -> Result<BTreeMap<String, Cells>> {
    let mut all: BTreeMap<String, Cells> = BTreeMap::new();
    for part in parts {
        all.entry(OUTCOMES.into()).or_default().append(&of_outcomes(part)?);
        for (name, cells) in &part.others {
            let mut named = Cells { columns: vec!["sweep".into()], rows: Vec::new() };
            named.columns.extend(cells.columns.iter().cloned());
            named.rows.extend(cells.rows.iter().map(|row| std::iter::once(part.name.clone()).chain(row.iter().cloned()).collect()));
            all.entry(name.clone()).or_default().append(&named);
        }
    }
    Ok(all)
}
