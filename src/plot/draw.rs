//! What is drawn from which records, and the files that come of it.

mod accuracy;
mod axis;
mod bound;
mod front;
mod leakage;
mod lines;
mod palette;
mod rows;
mod series;
mod shares;
mod sheet;
mod speedup;
mod stages;
mod throughput;
mod training;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::order::{Beside, Drawn, FileKind};
use crate::durable::write_whole;
use crate::error::{Error, Result};
use crate::record::leakage::{Experiment, Leak};
use crate::record::{FIGURES, Records};
use crate::report::{Row, derive};
use series::{Over, subject};
use sheet::{Footer, Sheet};
use training::Growth;

/// A figure, or why there is none.
type Figure = std::result::Result<Sheet, String>;

/// Draws what the records can show into `dir`/figures.
///
/// `stages`: shares of the online stages, one bar per spec. `throughput`, `latency`: by key size
/// where three are there, else by spec, with 95 % bootstrap intervals. `threads`, `packing`,
/// `batch`: throughput against one size. `speedup-naive`, `peers`: how many times faster.
/// `accuracy`: by dataset and feature map with its sampling error. `slots`: accuracy against the
/// width of a slot. `front`: accuracy against throughput. `bound`: share of what the multipliers
/// allow. `convergence`, `loss`: courses of trainings. `operations`: what a mini-batch spends its
/// time on. `growth-key`, `growth-batch`, `growth-width`: its time against one size. Files are
/// written whole or not at all.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written, [`Error::Figure`] when a drawing library fails.
pub fn draw(records: &Records, dir: &Path, kinds: &[FileKind], beside: Beside<'_>) -> Result<Drawn> {
    sheet::load_font()?;
    let rows = derive(records);
    let (sheets, left_out) = sheets(records, &rows, beside);
    write(&sheets, left_out, dir, kinds)
}

/// Draws what experiments on leakage can show into `dir`/figures: `ciphertext-training`, accuracy by network and setting; `leakage-…`, utility and secrecy along one size
/// each.
///
/// # Errors
/// As [`draw`].
pub fn draw_leakage(rows: &[(Experiment, Vec<Leak>)], dir: &Path, kinds: &[FileKind]) -> Result<Drawn> {
    sheet::load_font()?;
    let (sheets, left_out) = leakage_sheets(rows);
    write(&sheets, left_out, dir, kinds)
}

/// The figures of each experiment that has rows, and why others have none.
fn leakage_sheets(rows: &[(Experiment, Vec<Leak>)]) -> (Vec<Sheet>, Vec<(&'static str, String)>) {
    let (mut sheets, mut left_out) = (Vec::new(), Vec::new());
    for (experiment, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        let footer = source(rows.iter().map(|r| r.run_id.as_str()), rows.iter().map(|r| r.revision.as_str()), rows.iter().map(|r| r.cpu.as_str()));
        let all = match experiment {
            Experiment::Training => vec![("ciphertext-training", leakage::training(rows, &footer))],
            Experiment::Leakage => leakage::sweeps(rows, &footer),
            // A table says more than a figure would.
            Experiment::Attack => Vec::new(),
        };
        sort_out(all, &mut sheets, &mut left_out);
    }
    (sheets, left_out)
}

/// Keeps the figures that are worth drawing, and the reasons why others are not.
fn sort_out(all: impl IntoIterator<Item = (&'static str, Figure)>, sheets: &mut Vec<Sheet>, left_out: &mut Vec<(&'static str, String)>) {
    for (name, figure) in all {
        match figure.and_then(Sheet::worth_drawing) {
            Ok(sheet) => sheets.push(sheet),
            Err(reason) => left_out.push((name, reason)),
        }
    }
}

/// Writes sheets into `dir`/figures, each in every kind.
fn write(sheets: &[Sheet], left_out: Vec<(&'static str, String)>, dir: &Path, kinds: &[FileKind]) -> Result<Drawn> {
    let dir = dir.join(FIGURES);
    let mut drawn = Drawn { files: Vec::new(), figures: sheets.len(), left_out };
    for sheet in sheets {
        drawn.files.extend(write_one(sheet, &dir, sheet.name(), kinds)?);
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
    let known = || sheets.iter().map(Sheet::name).chain(left_out.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ");
    let sheet = sheets.iter().find(|sheet| sheet.name() == figure).ok_or_else(|| Error::unknown("figure", figure, known()))?;
    write_one(sheet, &dir.join(FIGURES), name, kinds).map(Ok)
}

/// Writes the files of a figure, each whole or not at all.
fn write_one(sheet: &Sheet, dir: &Path, name: &str, kinds: &[FileKind]) -> Result<Vec<PathBuf>> {
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
    let footer = footer(records, rows, rows.len() - shown.len()).with(subject(&shown));
    // Trainings have figures of their own beside whatever else there is.
    let trainings: Vec<&Row> = rows.iter().filter(|r| r.outcome.workload == "training").collect();
    let costly: Vec<&Row> = rows.iter().filter(|r| r.outcome.scheme == "smlp").collect();
    let training_footer = self::footer(records, rows, rows.len() - trainings.len()).with(subject(&trainings));
    let none = |reason: &str| Err(reason.to_owned());
    let per_image = |sheet: Figure| if workload == Some("training") { none("trainings have figures of their own") } else { sheet };
    let all: [(&'static str, Figure); 18] = [
        ("stages", per_image(stages::sheet(&shown, &footer))),
        ("throughput", per_image(throughput::throughput(&shown, &footer))),
        ("latency", per_image(throughput::latency(&shown, &footer))),
        ("threads", per_image(throughput::scaling("threads", &shown, Over::Threads, &footer))),
        ("packing", per_image(throughput::scaling("packing", &shown, Over::Packing, &footer))),
        ("batch", per_image(throughput::scaling("batch", &shown, Over::Batch, &footer))),
        ("speedup-naive", per_image(speedup::over_naive(&shown, &footer))),
        ("peers", speedup::peers(beside.peers)),
        ("accuracy", per_image(accuracy::sheet(&shown, &footer))),
        ("slots", per_image(front::slots(&shown, &footer))),
        ("front", per_image(front::front(&shown, beside.quoted, &footer))),
        ("bound", per_image(bound::sheet(&shown, &footer))),
        ("convergence", training::convergence(&trainings, records, &training_footer)),
        ("loss", training::loss(&trainings, records, &training_footer)),
        ("operations", training::operations(&costly, records, &training_footer)),
        ("growth-key", training::growth(Growth::Key, &trainings, &training_footer)),
        ("growth-batch", training::growth(Growth::Batch, &trainings, &training_footer)),
        ("growth-width", training::growth(Growth::Width, &trainings, &training_footer)),
    ];
    let (mut sheets, mut left_out) = (Vec::new(), Vec::new());
    sort_out(all, &mut sheets, &mut left_out);
    (sheets, left_out)
}

/// Where the numbers come from, and what is not shown of them.
fn footer(records: &Records, rows: &[Row], others: usize) -> Footer {
    let failed = rows.iter().filter(|r| r.outcome.error.is_some()).count();
    let adapters = rows.iter().filter(|r| r.outcome.adapter_type != "cpu").map(|r| r.outcome.adapter.as_str());
    let machines = records.samples.iter().map(|s| s.cpu.as_str()).chain(adapters);
    let footer = source(rows.iter().map(|r| r.outcome.run_id.as_str()), rows.iter().map(|r| r.outcome.revision.as_str()), machines);
    let failed = match failed {
        0 => String::new(),
        1 => "1 failed spec not shown".into(),
        n => format!("{n} failed specs not shown"),
    };
    footer.with(failed).with(if others > 0 { format!("{others} of other workloads not shown") } else { String::new() })
}

/// A footer that names machines, runs and revisions: the first of each in its line, all of them in
/// the metadata.
fn source<'a>(runs: impl Iterator<Item = &'a str>, revisions: impl Iterator<Item = &'a str>, machines: impl Iterator<Item = &'a str>) -> Footer {
    let distinct = |values: &mut dyn Iterator<Item = &'a str>| -> Vec<&'a str> {
        let mut seen = BTreeSet::new();
        values.filter(|v| !v.is_empty() && seen.insert(*v)).collect()
    };
    let parts = [("", distinct(&mut { machines })), ("run ", distinct(&mut { runs })), ("revision ", distinct(&mut { revisions }))];
    let written = |whole: bool| -> String {
        let part = |(name, values): &(&str, Vec<&str>)| {
            // A processor and a GPU make one machine.
            let most = if whole { values.len() } else { 1 + usize::from(name.is_empty()) };
            let more = values.len().saturating_sub(most);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{name}{}{more}", values.iter().take(most).copied().collect::<Vec<_>>().join(", "))
        };
        parts.iter().filter(|(_, values)| !values.is_empty()).map(part).collect::<Vec<_>>().join("; ")
    };
    // What makers add to the names of processors tells nobody anything.
    let short = ["(R)", "(TM)", " Processor", " CPU"].into_iter().fold(written(false), |line, word| line.replace(word, ""));
    Footer::new(short, written(true))
}

#[cfg(test)]
mod tests;
