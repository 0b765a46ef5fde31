//! Figures for papers and READMEs: [`draw`] writes each as SVG, PNG and PDF, one column (8.5 cm) wide, no text below 7 pt.
//!
//! Every figure is first laid out as a `Sheet`, a list of lines, boxes, markers and texts in pixels at 300 dpi; all three files come from that one list.
//! Colours are those of Okabe and Ito, which colour-blind readers tell apart; shape or text always says the same as colour. What is quoted from publications
//! is hollow and carries a dagger. A figure that the records cannot fill is left out, and [`Drawn`] says why.

mod accuracy;
mod axis;
mod bound;
mod front;
mod lines;
mod rows;
mod series;
mod sheet;
mod speedup;
mod stages;
mod throughput;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::record::{Records, write_whole};
use crate::report::peers::Peer;
use crate::report::quoted::Quoted;
use crate::report::{Row, derive};
use series::Over;
use sheet::Sheet;

/// Folder of the figures inside a results folder.
pub const FIGURES: &str = "figures";

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Vector graphics for the web.
    Svg,
    /// 300 dots per inch.
    Png,
    /// Vector graphics for papers, with the font inside.
    Pdf,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Svg, Self::Png, Self::Pdf];

    fn ending(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Pdf => "pdf",
        }
    }
}

/// What is shown beside the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Published systems.
    pub quoted: &'a [Quoted],
    /// Other programs on the same jobs.
    pub peers: &'a [Peer],
}

/// What became of the figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Files, in the order of the figures and then of the kinds.
    pub files: Vec<PathBuf>,
    /// How many figures they show.
    pub figures: usize,
    /// Figures that the records cannot fill, with the reason.
    pub left_out: Vec<(&'static str, String)>,
}

/// Draws what the records can show into `dir`/figures.
///
/// `stages`: shares of the online stages, one bar per spec. `throughput`, `latency`: by key size, or by spec where there is one key size only, with 95 % bootstrap
/// intervals. `threads`, `packing`, `batch`: throughput against one size. `speedup-naive`, `peers`: how many times faster. `accuracy`: by dataset and feature map
/// with its sampling error. `slots`: accuracy against the width of a slot. `front`: accuracy against throughput. `bound`: share of what the multipliers allow. Files are written whole or not at all.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written, [`Error::Figure`] when a drawing library fails.
pub fn draw(records: &Records, dir: &Path, kinds: &[FileKind], beside: Beside<'_>) -> Result<Drawn> {
    sheet::load_font()?;
    let rows = derive(records);
    let (sheets, left_out) = sheets(records, &rows, beside);
    let dir = dir.join(FIGURES);
    let mut drawn = Drawn { files: Vec::new(), figures: sheets.len(), left_out };
    for sheet in &sheets {
        drawn.files.extend(write(sheet, &dir, sheet.name(), kinds)?);
    }
    Ok(drawn)
}

/// Draws one figure into `dir`/figures under a name of its own; gives its files, or why the records cannot fill it.
///
/// # Errors
/// As [`draw`]; [`Error::Unknown`] for a figure that there is not.
pub fn draw_one(
    records: &Records,
    dir: &Path,
    (figure, name): (&str, &str),
    kinds: &[FileKind],
    beside: Beside<'_>,
) -> Result<std::result::Result<Vec<PathBuf>, String>> {
    sheet::load_font()?;
    let (sheets, left_out) = sheets(records, &derive(records), beside);
    if let Some((_, reason)) = left_out.iter().find(|(known, _)| *known == figure) {
        return Ok(Err(reason.clone()));
    }
    let sheet = sheets.iter().find(|sheet| sheet.name() == figure).ok_or_else(|| Error::Unknown {
        what: "figure",
        value: figure.into(),
        known: sheets.iter().map(Sheet::name).chain(left_out.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", "),
    })?;
    write(sheet, &dir.join(FIGURES), name, kinds).map(Ok)
}

/// Writes the files of a figure, each whole or not at all.
fn write(sheet: &Sheet, dir: &Path, name: &str, kinds: &[FileKind]) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let files = kinds.iter().map(|kind| {
        let bytes = match kind {
            FileKind::Svg => sheet.svg()?.into_bytes(),
            FileKind::Png => sheet.png()?,
            FileKind::Pdf => sheet.pdf()?,
        };
        let path = dir.join(format!("{name}.{}", kind.ending()));
        write_whole(&path, &bytes)?;
        Ok(path)
    });
    files.collect()
}

/// All figures that have something to show, and why the others have not.
fn sheets(records: &Records, rows: &[Row], beside: Beside<'_>) -> (Vec<Sheet>, Vec<(&'static str, String)>) {
    // Times per image and per operation do not belong on one axis: inference goes first, other workloads are drawn where they stand alone.
    let workload = rows.iter().map(|r| r.outcome.workload.as_str()).find(|w| *w == "inference").or(rows.first().map(|r| r.outcome.workload.as_str()));
    let shown: Vec<&Row> = rows.iter().filter(|r| Some(r.outcome.workload.as_str()) == workload).collect();
    let footer = footer(records, rows, rows.len() - shown.len());
    let none = |reason: &str| Err(reason.to_owned());
    let all: [(&'static str, std::result::Result<Sheet, String>); 12] = [
        ("stages", stages::sheet(&shown, &footer).map_or_else(|| none("no row has online times"), Ok)),
        ("throughput", throughput::throughput(&shown, &footer)),
        ("latency", throughput::latency(&shown, &footer)),
        ("threads", throughput::scaling("threads", &shown, Over::Threads, &footer)),
        ("packing", throughput::scaling("packing", &shown, Over::Packing, &footer)),
        ("batch", throughput::scaling("batch", &shown, Over::Batch, &footer)),
        ("speedup-naive", speedup::over_naive(&shown, &footer)),
        ("peers", speedup::peers(beside.peers)),
        ("accuracy", accuracy::sheet(&shown, &footer).map_or_else(|| none("no row has an accuracy"), Ok)),
        ("slots", front::slots(&shown, &footer)),
        ("front", front::front(&shown, beside.quoted, &footer)),
        ("bound", bound::sheet(&shown, &footer)),
    ];
    let (mut sheets, mut left_out) = (Vec::new(), Vec::new());
    for (name, result) in all {
        match result {
            Ok(sheet) => sheets.push(sheet),
            Err(reason) => left_out.push((name, reason)),
        }
    }
    (sheets, left_out)
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
