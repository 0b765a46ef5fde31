//! Rows as tables for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::form::{Column, Format, Table, escape, heading, numbers, one_line, remove, render, words, wrap};
use super::numbers::{digits3, percent};
use super::row::{Row, derive};
use super::varies::{DIMENSIONS, Dimension, KEY, Naming, labels, varying};
use crate::record::{Records, Stage};

/// Longest name, in characters, that the second table of that width has room for.
const LONGEST_NAME: usize = 30;

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
