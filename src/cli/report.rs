//! `report`, `plot`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::claims::claim_file;
use super::compare::read_rows;
use super::inputs::warn_quantisation;
use super::paper::REPORT_MARKDOWN;
use super::terminal::{note, out, out_json, shown};
use crate::durable::{RESULTS, WRITTEN_BY_HAND, read_text, write_whole};
use crate::error::{Error, Result};
use crate::plot::{self as figures, Beside, FileKind};
use crate::record::leakage::{self, Experiment};
use crate::record::{OUTCOMES, Records, SAMPLES};
use crate::report::{self, Format, peers, quoted};

/// Forms of a table.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// Aligned columns
    Text,
    /// GitHub Markdown
    Md,
    /// LaTeX with booktabs
    Latex,
    /// Comma-separated
    Csv,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Text => Self::Text,
            FormatArg::Md => Self::Markdown,
            FormatArg::Latex => Self::Latex,
            FormatArg::Csv => Self::Csv,
        }
    }
}

/// Options of `report`.
#[derive(Args, Clone, Debug)]
pub(super) struct ReportArgs {
    /// Results folder
    dir: PathBuf,
    /// Form of the table
    #[arg(long, value_enum, default_value = "text")]
    format: FormatArg,
    /// Spread, processor time, setup and ratios in place of the main table
    #[arg(long)]
    details: bool,
    /// Accuracy, latency and throughput beside published systems, from FILE or from the numbers that come with the program
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with_all = ["details", "legend"])]
    quoted: Option<Option<PathBuf>>,
    /// Explain every column
    #[arg(long)]
    legend: bool,
    /// Put the Markdown table into FILE between <!-- cipherlane:begin NAME --> and <!-- cipherlane:end NAME -->
    #[arg(long, value_name = "FILE")]
    splice: Option<PathBuf>,
    /// NAME of the markers for --splice
    #[arg(long, default_value = "results", value_name = "NAME")]
    name: String,
}

/// Prints the tables of a results folder.
pub(super) fn report(args: &ReportArgs, json: bool) -> Result<bool> {
    if !args.dir.join(OUTCOMES).exists() && !args.dir.join(SAMPLES).exists() {
        return report_leakage(args, json);
    }
    let records = Records::read(&args.dir)?;
    let quoted = args.quoted.as_ref().map(|path| quoted::read(path.as_deref())).transpose()?;
    let tables = |format| match &quoted {
        Some(quoted) => quoted::comparison(&records, quoted, format),
        None if args.details => report::details(&records, format),
        None => report::table(&records, format),
    };
    if let Some(path) = &args.splice {
        let _claim = claim_file(path, &[])?;
        let text = read_text(path, WRITTEN_BY_HAND)?;
        let command = records_command(&args.dir);
        write_whole(path, report::splice(&text, &args.name, &tables(Format::Markdown), &command)?.as_bytes())?;
    } else if json {
        out(&report::json(&records)?);
    } else {
        out(&tables(args.format.into()));
        if args.legend {
            out(&report::legend(args.format.into()));
        }
    }
    warn_quantisation(&records);
    Ok(!records.outcomes.is_empty() && records.outcomes.iter().all(|o| o.verified))
}

/// Prints the tables of a folder of experiments on leakage; says what a folder without any results
/// is.
fn report_leakage(args: &ReportArgs, json: bool) -> Result<bool> {
    let all = Experiment::ALL.into_iter().map(|e| Ok((e, leakage::read(&args.dir, e)?))).collect::<Result<Vec<_>>>()?;
    let there: Vec<(Experiment, Vec<leakage::Leak>)> = all.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
    if there.is_empty() {
        return Err(Error::file(&args.dir, format!("a results folder ({OUTCOMES})"), no_results(&args.dir)?));
    }
    if args.details || args.quoted.is_some() || args.splice.is_some() || args.legend {
        return Err(Error::unsupported(format!("{}, a folder of experiments on leakage,", args.dir.display()), "other tables than its own"));
    }
    if json {
        let tables = there.iter().map(|(experiment, rows)| (experiment.file().to_owned(), serde_json::json!(rows)));
        out_json(&serde_json::Value::Object(tables.collect()));
    } else {
        let tables: Vec<String> = there.iter().map(|(e, rows)| report::leakage::table(*e, rows, args.format.into())).collect();
        out(tables.join("\n").trim_end());
    }
    Ok(true)
}

/// What a folder without results of its own is: a report, or a folder of results folders.
fn no_results(dir: &std::path::Path) -> Result<String> {
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    let has_results = |path: &PathBuf| path.join(OUTCOMES).exists() || Experiment::ALL.into_iter().any(|e| path.join(e.file()).exists());
    let mut below: Vec<String> = entries.flatten().map(|e| e.path()).filter(has_results).map(|path| shown(&path)).collect();
    below.sort();
    let list = if below.is_empty() { String::new() } else { format!("results are in {}", below.join(", ")) };
    let report = dir.join(REPORT_MARKDOWN);
    Ok(match (report.exists(), below.is_empty()) {
        (true, _) => format!("a report of `cipherlane paper`; read {}; {list}", report.display()),
        (false, false) => format!("a folder of folders; {list}"),
        (false, true) => "none here nor in the folders below".into(),
    })
}

/// The command that made a results folder, by its run.toml.
fn records_command(dir: &std::path::Path) -> String {
    let command = read_text(&dir.join(crate::record::RUN), RESULTS).ok().and_then(|text| {
        let table: toml::Table = text.parse().ok()?;
        let command = table.get("command")?.as_str()?;
        let arguments = command.split_once(' ').map_or("", |(_, arguments)| arguments);
        Some(format!("cargo run --release -- {arguments}"))
    });
    command.unwrap_or_else(|| format!("cipherlane report {}", dir.display()))
}

/// Kinds of figure files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileKindArg {
    /// For the web
    Svg,
    /// 300 dots per inch
    Png,
    /// For papers, with the font inside
    Pdf,
}

impl From<FileKindArg> for FileKind {
    fn from(kind: FileKindArg) -> Self {
        match kind {
            FileKindArg::Svg => Self::Svg,
            FileKindArg::Png => Self::Png,
            FileKindArg::Pdf => Self::Pdf,
        }
    }
}

/// Options of `plot`.
#[derive(Args, Clone, Debug)]
pub(super) struct PlotArgs {
    /// Results folder, of `run`, of `sweep`, of `eivhe` or of benches/peers/run.py
    dir: PathBuf,
    /// Kinds of files
    #[arg(long, value_enum, value_delimiter = ',', default_value = "svg,png,pdf")]
    format: Vec<FileKindArg>,
    /// Show published systems beside ours, from FILE or from the numbers that come with the program
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    quoted: Option<Option<PathBuf>>,
    /// Results of benches/peers/run.py [default: those in DIR or DIR/peers, where there are]
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
}

/// Draws the figures of a results folder again.
pub(super) fn plot(args: &PlotArgs, json: bool) -> Result<bool> {
    let found = match &args.peers {
        Some(dir) => Some(peers::find(dir).ok_or_else(|| Error::file(dir, "samples.csv of benches/peers/run.py", "no such file"))?),
        None => peers::find(&args.dir),
    };
    let peers = found.as_deref().map(peers::read).transpose()?.unwrap_or_default();
    let quoted = args.quoted.as_ref().map(|path| quoted::read(path.as_deref())).transpose()?.unwrap_or_default();
    let leaks = Experiment::ALL.into_iter().map(|e| Ok((e, leakage::read(&args.dir, e)?))).collect::<Result<Vec<_>>>()?;
    let leaks = if leaks.iter().all(|(_, rows)| rows.is_empty()) { Vec::new() } else { leaks };
    // A folder of peers or of experiments on leakage has no rows in the form of `run`.
    let alone =
        found.as_ref().is_some_and(|path| path.parent() == Some(args.dir.as_path())) || (!leaks.is_empty() && !args.dir.join(SAMPLES).exists());
    let records = if alone { Records::default() } else { read_rows(&args.dir)? };
    let mut kinds: Vec<FileKind> = Vec::new();
    for kind in args.format.iter().map(|kind| FileKind::from(*kind)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut drawn = figures::draw_leakage(&leaks, &args.dir, &kinds)?;
    if leaks.is_empty() || !alone {
        let usual = figures::draw(&records, &args.dir, &kinds, Beside { quoted: &quoted, peers: &peers })?;
        drawn.files.extend(usual.files);
        drawn.left_out.extend(usual.left_out);
    }
    if json {
        let left_out: serde_json::Map<String, serde_json::Value> =
            drawn.left_out.iter().map(|(name, reason)| ((*name).to_owned(), reason.as_str().into())).collect();
        out_json(&serde_json::json!({ "files": drawn.files.iter().map(|path| shown(path)).collect::<Vec<_>>(), "left_out": left_out }));
    } else {
        drawn.files.iter().for_each(|path| out(&path.display().to_string()));
        drawn.left_out.iter().for_each(|(name, reason)| note(&format!("no figure {name}: {reason}")));
    }
    Ok(!drawn.files.is_empty())
}
