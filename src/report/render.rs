//! Rows as tables for people: plain text, Markdown, LaTeX, CSV.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::varies::{DIMENSIONS, Dimension, KEY, Naming, labels, varying};
use super::{Row, derive, digits3, percent};
use crate::record::{Records, Stage};

/// Widest line of a text table, in characters.
const WIDTH: usize = 120;

/// Longest cell of a text table, in characters; the rest of a longer one gives way to an ellipsis.
const LONGEST_CELL: usize = 80;

/// Longest name, in characters, that the second table of that width has room for.
const LONGEST_NAME: usize = 30;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Aligned columns for a terminal, at most 120 characters wide.
    Text,
    /// A GitHub table.
    Markdown,
    /// A `tabular` with booktabs rules.
    Latex,
    /// Comma-separated values with one header line; no captions, no notes.
    Csv,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its head.
    pub name: &'static str,
    /// Unit below the name.
    pub unit: &'static str,
    /// Numbers stand right-aligned, words left-aligned.
    pub number: bool,
    /// May leave a text table that is too wide; the lowest number leaves first. Zero stays.
    pub drop: u8,
    /// What the column says.
    pub meaning: &'static str,
    /// In LaTeX, words wrap within this many percent of the text's width; zero: they do not wrap.
    pub share: u8,
}

/// A table before it has a form.
#[derive(Clone, Debug)]
pub struct Table {
    /// What holds for all rows.
    pub caption: String,
    /// Its columns; every row has as many cells.
    pub columns: Vec<Column>,
    /// A heading and the rows below it.
    pub groups: Vec<(String, Vec<Vec<String>>)>,
    /// What stands below.
    pub notes: Vec<String>,
}

pub(crate) const fn words(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, unit, number: false, drop: 0, meaning, share: 0 }
}

pub(crate) const fn numbers(name: &'static str, unit: &'static str, drop: u8, meaning: &'static str) -> Column {
    Column { name, unit, number: true, drop, meaning, share: 0 }
}

/// The main table: one row per spec.
///
/// What all rows share stands in a caption and takes no column. Failed specs show no numbers; their reasons stand below.
#[must_use]
pub fn table(records: &Records, format: Format) -> String {
    render(main_table(&derive(records), format), format)
}

/// The second table: spread, processor time, setup, and the ratios between specs.
#[must_use]
pub fn details(records: &Records, format: Format) -> String {
    render(details_table(&derive(records), format), format)
}

/// One line per column of [`table`] and [`details`], for readers who ask.
#[must_use]
pub fn legend(format: Format) -> String {
    let mut seen = BTreeSet::new();
    let columns = main_columns().into_iter().chain(details_columns()).filter(|c| seen.insert((c.name, c.unit)));
    let lines = columns.map(|c| (heading(&c), c.meaning));
    let mut out = String::new();
    for (name, meaning) in lines {
        // Writing to a String cannot fail.
        let _ = match format {
            Format::Text => write!(out, "{}", wrap(&format!("{name:<18} {meaning}"))),
            Format::Markdown => writeln!(out, "- **{}**: {}", escape(&name, format), escape(meaning, format)),
            Format::Latex => writeln!(out, "\\textbf{{{}}}: {}.\\\\", escape(&name, format), escape(meaning, format)),
            Format::Csv => writeln!(out, "{},{}", escape(&name, format), escape(meaning, format)),
        };
    }
    out
}

fn heading(column: &Column) -> String {
    if column.unit.is_empty() || column.unit.starts_with('/') {
        format!("{}{}", column.name, column.unit)
    } else {
        format!("{} ({})", column.name, column.unit)
    }
}

/// What headings of groups say; the cells of a row do not repeat it.
const GROUPED: [&str; 5] = ["workload", "dataset", "features", "scenario", "division"];

/// Columns that the main table always has.
const FIXED: [&str; 3] = ["scheme", "backend", "method"];

/// Columns that it has wherever their values differ, even where they follow from others.
const USUAL: [&str; 4] = ["encr.", KEY, "img", "images"];

/// The widths of the integers share one column, which stands where the first of them would.
const BITS: [&str; 3] = ["x", "w", "slot"];

fn bits_column() -> Column {
    Column { drop: 4, ..words("bits", "x/w/slot", "bits of a feature, of a weight and of a slot, sign included") }
}

/// The text of a row in a column; nothing where there is none.
type Cell = Box<dyn Fn(&Row) -> Option<String>>;

/// A measured column of the main table with its cell; nothing where it was not measured.
struct Measure {
    column: Column,
    cell: fn(&Row) -> Option<String>,
}

/// The measured columns of the main table, in order.
fn measures() -> Vec<Measure> {
    let measure = |column: Column, cell: fn(&Row) -> Option<String>| Measure { column, cell };
    vec![
        measure(numbers("acc", "%", 0, "share of images classified as labelled"), |r| {
            r.outcome.accuracy.filter(|_| r.outcome.error.is_none()).map(|share| percent(share, r.outcome.images))
        }),
        measure(numbers("agree", "%", 2, "share of predictions equal to those of the quantised plaintext model"), |r| {
            r.outcome.agreement.filter(|_| r.outcome.error.is_none()).map(|share| percent(share, r.outcome.images))
        }),
        measure(numbers("offline", "ms", 3, "wall time per image before the input is known, median; not in the total"), |r| {
            r.offline_ns.map(|s| digits3(s.median * 1e-6))
        }),
        measure(numbers("encrypt", "ms", 0, "wall time per image of online encryption, median"), |r| protected(r, Stage::Encrypt)),
        measure(numbers("evaluate", "ms", 0, "wall time per image of the computation on ciphertexts, median"), |r| stage(r, Stage::Evaluate)),
        measure(numbers("decrypt", "ms", 0, "wall time per image of decryption, median"), |r| protected(r, Stage::Decrypt)),
        measure(
            numbers(
                "total",
                "ms",
                0,
                "wall time per image (kernels: per operation) of all online stages, encode, transfers and decode included, median",
            ),
            |r| r.online_ns.map(|s| digits3(s.median * 1e-6)),
        ),
        measure(
            numbers("img/s", "", 0, "images of all full batches by the wall time of their online stages; ! where it is not 1000 / total within 10 %"),
            |r| r.images_per_second.map(|rate| format!("{}{}", digits3(rate), if r.is_uneven() { "!" } else { "" })),
        ),
        measure(numbers("up", "kB", 0, "kilobytes (1000 bytes) per image to the server"), |r| r.bytes_up_per_image.map(|b| digits3(b * 1e-3))),
        measure(numbers("down", "kB", 0, "kilobytes per image from the server"), |r| r.bytes_down_per_image.map(|b| digits3(b * 1e-3))),
        measure(
            words(
                "ok",
                "",
                "yes: every result equals the quantised plaintext model's (float: every class is the collapsed map's); a number points to the reason of a failure",
            ),
            |r| Some(if r.outcome.verified { "yes" } else { "no" }.into()),
        ),
    ]
}

fn stage(row: &Row, stage: Stage) -> Option<String> {
    row.online_stage_ns(stage).map(|ns| digits3(ns * 1e-6))
}

/// In the clear nothing is encrypted: the time of passing numbers on says nothing.
fn protected(row: &Row, of: Stage) -> Option<String> {
    if row.is_clear() { None } else { stage(row, of) }
}

/// All columns that the main table can have, in order.
fn main_columns() -> Vec<Column> {
    let dimensions = DIMENSIONS.iter().filter(|d| !GROUPED.contains(&d.name)).filter_map(|d| match BITS.iter().position(|name| *name == d.name) {
        None => Some(d.column()),
        Some(0) => Some(bits_column()),
        Some(_) => None,
    });
    dimensions.chain(measures().into_iter().map(|m| m.column)).collect()
}

pub(super) fn main_table(rows: &[Row], format: Format) -> Table {
    let all: Vec<&Row> = rows.iter().collect();
    let varying = varying(&all, &[]);
    let varies = |name: &str| varying.iter().any(|v| v.dimension.name == name);
    let values = |d: &Dimension| rows.iter().filter_map(|row| (d.value)(row)).collect::<BTreeSet<String>>();
    // With one row nothing is shared, it is just said: the usual columns stay.
    let is_shown = |d: &Dimension| FIXED.contains(&d.name) || varies(d.name) || USUAL.contains(&d.name) && (rows.len() == 1 || values(d).len() > 1);
    let is_heading = |d: &&Dimension| GROUPED.contains(&d.name);
    // Also what follows from another heading, as the division from the features: a caption that said
    // it would say it of all rows.
    let differs = |d: &Dimension| values(d).len() > 1;
    let mut columns = Vec::new();
    let mut cells: Vec<Cell> = Vec::new();
    for d in DIMENSIONS.iter().filter(|d| !is_heading(d)) {
        if BITS.contains(&d.name) {
            if d.name == BITS[0] && BITS.into_iter().any(varies) {
                columns.push(bits_column());
                cells.push(Box::new(bits_cell));
            }
        } else if is_shown(d) {
            columns.push(d.column());
            cells.push(Box::new(d.value));
        }
    }
    for measure in measures() {
        if measure.column.name != "offline" || rows.iter().any(|r| r.offline_ns.is_some()) {
            columns.push(measure.column);
            cells.push(Box::new(measure.cell));
        }
    }
    let title = |row: &Row| {
        let headings = DIMENSIONS.iter().filter(|d| is_heading(d) && differs(d));
        let parts = headings.filter_map(|d| (d.value)(row)).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(", ")
    };
    let mut notes = Vec::new();
    let mut groups: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    let mut failures = 0;
    for row in rows {
        let nothing = || String::from(if format == Format::Csv { "" } else { "-" });
        let mut cells: Vec<String> = cells.iter().map(|cell| cell(row).filter(|c| !c.is_empty()).unwrap_or_else(nothing)).collect();
        if let Some(error) = &row.outcome.error {
            failures += 1;
            cells.pop();
            cells.push(format!("[{failures}]"));
            notes.push(format!("[{failures}] {}", one_line(error)));
        }
        let title = title(row);
        match groups.iter_mut().find(|(t, _)| *t == title) {
            Some((_, rows)) => rows.push(cells),
            None => groups.push((title, vec![cells])),
        }
    }
    let said = DIMENSIONS.iter().filter(|d| if is_heading(d) { !differs(d) } else { rows.len() > 1 && !is_shown(d) });
    let caption: Vec<String> = said
        .filter_map(|d| {
            let values = values(d);
            if is_heading(&d) { values.into_iter().next() } else { values.first().filter(|_| values.len() == 1).and_then(|value| d.said(value)) }
        })
        .filter(|part| !part.is_empty())
        .collect();
    if rows.iter().any(|r| r.toy) {
        notes.push("toy: a key under 2048 bits protects nothing; its numbers serve tests only".into());
    }
    let software: BTreeSet<&str> = rows.iter().filter(|r| r.software).map(|r| r.outcome.adapter.as_str()).collect();
    if !software.is_empty() {
        notes.push(format!("* software adapter, not a GPU: {}", software.into_iter().collect::<Vec<_>>().join(", ")));
    }
    notes.extend(rows.iter().any(Row::is_uneven).then(|| UNEVEN.into()));
    Table { caption: caption.join(", "), columns, groups, notes }
}

/// What an exclamation mark behind a throughput says.
pub(crate) const UNEVEN: &str = "! img/s and 1000 / total differ by more than 10 %: some batches took far longer than the median one";

/// Takes one column out of all rows.
fn remove(columns: &mut Vec<Column>, groups: &mut [(String, Vec<Vec<String>>)], name: &str) {
    if let Some(at) = columns.iter().position(|c| c.name == name) {
        columns.remove(at);
        for row in groups.iter_mut().flat_map(|(_, rows)| rows) {
            row.remove(at);
        }
    }
}

fn bits_cell(row: &Row) -> Option<String> {
    let bits = [row.outcome.feature_bits, row.outcome.weight_bits, row.outcome.slot_bits].map(|b| b.map_or_else(|| "-".into(), |b| b.to_string()));
    row.outcome.feature_bits.map(|_| bits.join("/"))
}

/// All columns of the second table, in order.
fn details_columns() -> Vec<Column> {
    vec![
        words("spec", "", "what tells the spec apart from the others"),
        numbers("samples", "", 0, "repetitions of the online stages"),
        numbers("total", "ms", 0, "wall time per image (kernels: per operation) of all online stages, encode, transfers and decode included, median"),
        numbers("95 %", "ms", 0, "bootstrap interval of that median; - for fewer than six samples"),
        numbers("p90", "ms", 0, "90th percentile of the latency (single scenario): nine of ten images are answered within it"),
        numbers("MAD", "%", 4, "median absolute deviation from the median, as a share of it"),
        numbers("outl.", "", 3, "samples more than 3.5 scaled median deviations from the median; they are counted, not left out"),
        numbers("min", "ms", 1, "the fastest sample"),
        numbers("max", "ms", 2, "the slowest sample"),
        numbers("cpu", "ms", 7, "processor time of all threads per image, online stages, median"),
        numbers("energy", "mJ", 6, "energy of processor and memory per image; - where it cannot be read"),
        numbers(
            "bound",
            "%",
            8,
            "products of the plan alone at the hardware's bound, as a share of the evaluate stage's time; - where no bound is known",
        ),
        numbers("harness", "%", 5, "the harness' own wall time between stages, as a share of theirs"),
        numbers("setup", "s", 0, "wall time of key generation, tables and plans, once per key or model"),
        numbers("vs naive", "evaluate", 0, "times faster than method naive on the same backend, evaluate stage"),
        numbers("vs naive", "all", 0, "the same, all online stages"),
        numbers("vs ref.", "evaluate", 0, "times faster than backend reference with the same method, evaluate stage"),
        numbers("vs ref.", "all", 0, "the same, all online stages"),
        numbers("vs clear", "slower", 0, "times slower than the fastest plaintext spec, all online stages"),
    ]
}

fn details_table(rows: &[Row], format: Format) -> Table {
    let timed: Vec<&Row> = rows.iter().filter(|r| r.online_ns.is_some()).collect();
    let number = |value: Option<f64>, scale: f64| value.map_or_else(|| "-".into(), |v| digits3(v * scale));
    let cells = |(row, label): (&&Row, String)| {
        let total = row.online_ns;
        vec![
            label,
            total.map_or_else(|| "-".into(), |s| s.count.to_string()),
            number(total.map(|s| s.median), 1e-6),
            total
                .and_then(|s| s.low.zip(s.high))
                .map_or_else(|| "-".into(), |(low, high)| format!("{}..{}", digits3(low * 1e-6), digits3(high * 1e-6))),
            number(row.latency.map(|l| l.p90_ns), 1e-6),
            total.map_or_else(|| "-".into(), |s| format!("{:.1}", 100.0 * s.relative_mad())),
            total.map_or_else(|| "-".into(), |s| s.outliers.to_string()),
            number(total.map(|s| s.min), 1e-6),
            number(total.map(|s| s.max), 1e-6),
            number(row.online_cpu_ns.map(|s| s.median), 1e-6),
            number(row.energy_uj_per_image, 1e-3),
            row.bound_share.map_or_else(|| "-".into(), |share| digits3(100.0 * share)),
            row.harness_share.map_or_else(|| "-".into(), |share| digits3(100.0 * share)),
            number(row.setup_ns, 1e-9),
            number(row.over_naive.and_then(|s| s.evaluate), 1.0),
            number(row.over_naive.map(|s| s.online), 1.0),
            number(row.over_reference.and_then(|s| s.evaluate), 1.0),
            number(row.over_reference.map(|s| s.online), 1.0),
            number(row.slower_than_clear, 1.0),
        ]
    };
    let mut names = labels(&timed, Naming::Whole);
    let mut notes = Vec::new();
    // Long names would push the numbers off a terminal; they move below the table.
    if format == Format::Text && names.iter().any(|name| name.chars().count() > LONGEST_NAME) {
        for (at, name) in names.iter_mut().enumerate() {
            notes.push(format!("({}) {name}", at + 1));
            *name = format!("({})", at + 1);
        }
    }
    let disturbed = timed.iter().zip(&names).filter(|(row, _)| !row.disturbances.is_empty());
    notes.extend(disturbed.map(|(row, name)| format!("disturbed: {name}: {}", row.disturbances.join("; "))));
    let body: Vec<Vec<String>> = timed.iter().zip(names).map(cells).collect();
    let (mut columns, mut groups) = (details_columns(), vec![(String::new(), body)]);
    // What this machine or these scenarios do not give takes no room.
    for name in ["95 %", "p90", "energy", "bound", "harness"] {
        let at = columns.iter().position(|c| c.name == name);
        if at.is_some_and(|at| groups.iter().flat_map(|(_, rows)| rows).all(|row| row.get(at).is_some_and(|cell| cell == "-"))) {
            remove(&mut columns, &mut groups, name);
        }
    }
    Table { caption: String::new(), columns, groups, notes }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The table in its form.
pub(crate) fn render(mut table: Table, format: Format) -> String {
    if table.groups.iter().all(|(_, rows)| rows.is_empty()) {
        return if format == Format::Csv { String::new() } else { "no results\n".into() };
    }
    match format {
        Format::Text => text(&mut table),
        Format::Markdown => markdown(&table),
        Format::Latex => latex(&table),
        Format::Csv => csv(&table),
    }
}

fn text(table: &mut Table) -> String {
    for cell in table.groups.iter_mut().flat_map(|(_, rows)| rows).flatten() {
        clip(cell, LONGEST_CELL);
    }
    let fits = |widths: &[usize], gap: usize| widths.iter().sum::<usize>() + gap * (widths.len() - 1) <= WIDTH;
    let mut dropped = Vec::new();
    let (widths, gap) = loop {
        let widths = widths(table);
        if fits(&widths, 2) {
            break (widths, 2);
        }
        if fits(&widths, 1) {
            break (widths, 1);
        }
        let Some(next) = table.columns.iter().filter(|c| c.drop > 0).min_by_key(|c| c.drop).map(|c| c.name) else { break (widths, 1) };
        remove(&mut table.columns, &mut table.groups, next);
        dropped.push(next);
    };
    let mut out = String::new();
    let line = |out: &mut String, cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).zip(&table.columns).map(|((cell, &width), column)| pad(cell, width, column.number));
        let joined = padded.collect::<Vec<_>>().join(&" ".repeat(gap));
        out.push_str(joined.trim_end());
        out.push('\n');
    };
    if !table.caption.is_empty() {
        out.push_str(&wrap(&table.caption));
    }
    line(&mut out, &mut table.columns.iter().map(|c| c.name));
    line(&mut out, &mut table.columns.iter().map(|c| c.unit));
    for (heading, rows) in &table.groups {
        if !heading.is_empty() {
            out.push_str(&wrap(&format!("-- {heading}")));
        }
        for row in rows {
            line(&mut out, &mut row.iter().map(String::as_str));
        }
    }
    for note in &table.notes {
        out.push_str(&wrap(note));
    }
    if !dropped.is_empty() {
        out.push_str(&wrap(&format!("left out for width: {}", dropped.join(", "))));
    }
    out
}

fn widths(table: &Table) -> Vec<usize> {
    let cells = |at: usize| table.groups.iter().flat_map(|(_, rows)| rows).filter_map(move |row| row.get(at));
    let width = |(at, c): (usize, &Column)| cells(at).map(|t| t.chars().count()).max().unwrap_or(0).max(c.name.len()).max(c.unit.len());
    table.columns.iter().enumerate().map(width).collect()
}

/// Cuts a text to at most `most` characters, the last of which is then an ellipsis.
fn clip(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        let kept = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
        text.truncate(kept);
        text.push('\u{2026}');
    }
}

/// A text among as many spaces as make it `width` characters wide; a wider one as it is. The width
/// that `format!` takes ends at 65,535 with a panic.
pub(super) fn pad(text: &str, width: usize, right: bool) -> String {
    let spaces = " ".repeat(width.saturating_sub(text.chars().count()));
    if right { spaces + text } else { format!("{text}{spaces}") }
}

/// Breaks a line between words so that it fits; what follows the first line is indented.
fn wrap(text: &str) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > WIDTH {
            out.push_str("\n    ");
            used = 4;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
    out
}

fn markdown(table: &Table) -> String {
    let mut out = String::new();
    let join = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |text: &str| escape(text, Format::Markdown);
    if !table.caption.is_empty() {
        let _ = writeln!(out, "{}.\n", escaped(&table.caption));
    }
    for (heading_text, rows) in &table.groups {
        if !heading_text.is_empty() {
            let _ = writeln!(out, "**{}**\n", escaped(heading_text));
        }
        out.push_str(&join(table.columns.iter().map(|c| escaped(&heading(c))).collect()));
        out.push_str(&join(table.columns.iter().map(|c| if c.number { "---:" } else { ":---" }.into()).collect()));
        for row in rows {
            out.push_str(&join(row.iter().map(|cell| escaped(cell)).collect()));
        }
        out.push('\n');
    }
    for note in &table.notes {
        let _ = writeln!(out, "{}  ", escaped(note));
    }
    format!("{}\n", out.trim_end())
}

fn latex(table: &Table) -> String {
    let mut out = String::from("% \\usepackage{booktabs}\n");
    if !table.caption.is_empty() {
        let _ = writeln!(out, "% {}", one_line(&table.caption));
    }
    out.push_str(&tabular(table));
    // Below the table and not in it: a note as wide as a page would widen the columns.
    for note in &table.notes {
        let _ = writeln!(out, "\\par{{\\footnotesize\\raggedright {}\\par}}", escape(note, Format::Latex));
    }
    out
}

/// The table alone in LaTeX, without its notes.
pub(crate) fn tabular(table: &Table) -> String {
    let escaped = |text: &str| escape(text, Format::Latex);
    let row = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let mut out = String::new();
    let shape = table.columns.iter().map(|c| match c.share {
        0 => if c.number { "r" } else { "l" }.to_owned(),
        share => format!(">{{\\raggedright\\arraybackslash}}p{{.{share:02}\\textwidth}}"),
    });
    let shape = shape.collect::<String>();
    let _ = writeln!(out, "\\begin{{tabular}}{{@{{}}{shape}@{{}}}}\n\\toprule");
    out.push_str(&row(table.columns.iter().map(|c| escaped(c.name)).collect()));
    out.push_str(&row(table.columns.iter().map(|c| escaped(c.unit)).collect()));
    for (heading, rows) in &table.groups {
        out.push_str("\\midrule\n");
        if !heading.is_empty() {
            let _ = writeln!(out, "\\multicolumn{{{}}}{{@{{}}l}}{{\\emph{{{}}}}} \\\\", table.columns.len(), escaped(heading));
        }
        for cells in rows {
            // A bracket after `\\` would be read as its argument, so every row starts with an empty group.
            out.push_str("{}");
            out.push_str(&row(cells.iter().map(|cell| escaped(cell)).collect()));
        }
    }
    out.push_str("\\bottomrule\n\\end{tabular}\n");
    out
}

fn csv(table: &Table) -> String {
    let escaped = |text: &str| escape(text, Format::Csv);
    let titled = table.groups.iter().any(|(heading, _)| !heading.is_empty());
    let mut header: Vec<String> = table.columns.iter().map(|c| escaped(&heading(c))).collect();
    if titled {
        header.insert(0, "group".into());
    }
    let mut out = format!("{}\n", header.join(","));
    for (heading, rows) in &table.groups {
        for row in rows {
            let group = titled.then(|| escaped(heading));
            let cells: Vec<String> = group.into_iter().chain(row.iter().map(|cell| escaped(cell))).collect();
            let _ = writeln!(out, "{}", cells.join(","));
        }
    }
    out
}

/// `text` with what the format would read as its own marks made harmless.
pub(crate) fn escape(text: &str, format: Format) -> String {
    match format {
        Format::Text => text.into(),
        Format::Csv if text.contains([',', '"', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Format::Csv => text.into(),
        Format::Markdown => text.chars().fold(String::new(), |mut out, c| {
            match c {
                '|' | '*' | '_' | '`' | '\\' | '<' | '[' | ']' | '~' => out.extend(['\\', c]),
                '\n' | '\r' => out.push(' '),
                _ => out.push(c),
            }
            out
        }),
        Format::Latex => text.chars().fold(String::new(), |mut out, c| {
            match c {
                '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
                '~' => out.push_str("\\textasciitilde{}"),
                '^' => out.push_str("\\textasciicircum{}"),
                '\\' => out.push_str("\\textbackslash{}"),
                '<' => out.push_str("\\textless{}"),
                '>' => out.push_str("\\textgreater{}"),
                '|' => out.push_str("\\textbar{}"),
                // `\textquotedbl` exists in some font encodings only.
                '"' => out.push_str("''"),
                '`' => out.push_str("\\textasciigrave{}"),
                '\u{2020}' => out.push_str("\\textsuperscript{\\dag}"),
                'µ' => out.push_str("\\textmu{}"),
                '\u{d7}' => out.push_str("\\ensuremath{\\times}"),
                '\u{b1}' => out.push_str("\\ensuremath{\\pm}"),
                '\n' | '\r' => out.push(' '),
                _ => out.push(c),
            }
            out
        }),
    }
}
