//! Figures for papers and READMEs: [`draw`] writes each as SVG and PNG, one column (8.5 cm) wide, no text below 7 pt.
//!
//! Every figure is first laid out as a `Sheet`, a list of lines, boxes, markers and texts in pixels at 300 dpi; both files come from that one list.
//! Colours are those of Okabe and Ito, which colour-blind readers tell apart; shape or text always says the same as colour.

mod accuracy;
mod axis;
mod rows;
mod sheet;
mod stages;
mod throughput;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::record::{Records, write_whole};
use crate::report::{Row, derive};
use sheet::Sheet;

/// Folder of the figures inside a results folder.
pub const FIGURES: &str = "figures";

/// Draws what the records can show into `dir`/figures and returns the files written, in order.
///
/// `stages`: shares of the online stages, one bar per spec. `throughput`: images per second by key size, or by spec when there is one key size only.
/// `accuracy`: accuracy by dataset and feature map with its sampling error. A figure with nothing to show is left out. Files are written whole or not at
/// all.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written, [`Error::Figure`] when the drawing library fails.
pub fn draw(records: &Records, dir: &Path) -> Result<Vec<PathBuf>> {
    sheet::load_font()?;
    let rows = derive(records);
    let sheets = sheets(records, &rows);
    let dir = dir.join(FIGURES);
    let mut written = Vec::new();
    for sheet in &sheets {
        if written.is_empty() {
            fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        }
        for (ending, bytes) in [("svg", sheet.svg()?.into_bytes()), ("png", sheet.png()?)] {
            let path = dir.join(format!("{}.{ending}", sheet.name()));
            write_whole(&path, &bytes)?;
            written.push(path);
        }
    }
    Ok(written)
}

/// All figures that have something to show.
fn sheets(records: &Records, rows: &[Row]) -> Vec<Sheet> {
    // Times per image and per operation do not belong on one axis: inference goes first, other workloads are drawn where they stand alone.
    let workload = rows.iter().map(|r| r.outcome.workload.as_str()).find(|w| *w == "inference").or(rows.first().map(|r| r.outcome.workload.as_str()));
    let shown: Vec<&Row> = rows.iter().filter(|r| Some(r.outcome.workload.as_str()) == workload).collect();
    let footer = footer(records, rows, rows.len() - shown.len());
    [stages::sheet(&shown, &footer), throughput::sheet(&shown, &footer), accuracy::sheet(&shown, &footer)].into_iter().flatten().collect()
}

/// Where the numbers come from, in one line; what is not shown is said too.
fn footer(records: &Records, rows: &[Row], others: usize) -> String {
    let list = |name: &str, values: BTreeSet<&str>| {
        let values: Vec<&str> = values.into_iter().filter(|v| !v.is_empty()).collect();
        if values.is_empty() { String::new() } else { format!("{name}{}", values.join(", ")) }
    };
    let failed = rows.iter().filter(|r| r.outcome.error.is_some()).count();
    let mut parts = vec![
        list("run ", rows.iter().map(|r| r.outcome.run_id.as_str()).collect()),
        list("revision ", rows.iter().map(|r| r.outcome.revision.as_str()).collect()),
        list("", records.samples.iter().map(|s| s.cpu.as_str()).collect()),
        list("", rows.iter().filter(|r| r.outcome.adapter_type != "cpu").map(|r| r.outcome.adapter.as_str()).collect()),
    ];
    if failed > 0 {
        parts.push(format!("{failed} failed {} not shown", if failed == 1 { "spec" } else { "specs" }));
    }
    if others > 0 {
        parts.push(format!("{others} of other workloads not shown"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

#[cfg(test)]
mod tests;
