//! How trainings went, and what their operations cost.

use std::collections::BTreeMap;

use plotters::style::RGBColor;

use super::axis::{Scale, duration, log_axis, ticks};
use super::lines::{Axis, Dot, Line, chart};
use super::rows::{Entry, HALF, axis, lay_out, names_above};
use super::series::{MOST_ROWS, with_hidden};
use super::sheet::{
    Align, BLACK, BLUE, GREEN, GREY, LEADING, MARGIN, ORANGE, PURPLE, SKY, Shape, Sheet, VERMILION, WHITE, WIDTH, YELLOW, text_width,
};
use crate::record::{CurvePoint, Operation, Records};
use crate::report::Row;

/// Markers of a line, about; more would hide it.
const MOST_MARKERS: usize = 13;

/// A row in a few words. What is simulated says so, and so do toys.
fn name(row: &Row) -> String {
    let o = &row.outcome;
    match (o.scheme.as_str(), o.key_bits) {
        ("smlp", None) => "simulated (clear)".into(),
        ("smlp", Some(bits)) => format!("encrypted {bits}{} {} {}", if row.toy { " toy" } else { "" }, o.backend, o.method),
        _ => format!("{} (clear)", o.method),
    }
}

/// What a training learns and how, without its protection: rows of equal experiments belong on one figure.
fn experiment(row: &Row) -> String {
    let parts: Vec<&str> = row.outcome.spec.split('/').collect();
    let protection = match parts.get(1..3) {
        Some(["smlp", "simulated"] | ["clear", "float"]) => 3,
        _ => 5,
    };
    parts.get(protection..).unwrap_or_default().iter().filter(|part| !part.starts_with("threads-")).copied().collect::<Vec<_>>().join("/")
}

/// Data and network of an experiment, for people.
fn title(experiment: &str) -> String {
    let mut parts = experiment.split('/');
    format!("{}, network {}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Rows of the experiment that has most of them, encrypted ones first, with their points; and how many rows with points are not among them.
fn chosen<'a>(rows: &[&'a Row], records: &'a Records) -> (Vec<(&'a Row, Vec<&'a CurvePoint>)>, usize) {
    let mut groups: BTreeMap<String, Vec<(&Row, Vec<&CurvePoint>)>> = BTreeMap::new();
    let mut all = 0;
    for &row in rows {
        let points: Vec<&CurvePoint> = records.curve.iter().filter(|p| p.spec == row.outcome.spec && p.run_id == row.outcome.run_id).collect();
        if points.len() > 1 {
            all += 1;
            groups.entry(experiment(row)).or_default().push((row, points));
        }
    }
    let worth = |group: &Vec<(&Row, Vec<&CurvePoint>)>| (group.iter().any(|(row, _)| row.outcome.key_bits.is_some()), group.len());
    let best = groups.into_values().reduce(|a, b| if worth(&b) > worth(&a) { b } else { a }).unwrap_or_default();
    let hidden = all - best.len();
    (best, hidden)
}

/// Colour, shape and filling of a line.
fn look(row: &Row, encrypted: usize) -> (RGBColor, Shape, bool) {
    match (row.outcome.scheme.as_str(), row.outcome.key_bits) {
        ("smlp", None) => (ORANGE, Shape::Square, true),
        // Hollow, so that the simulated line that they lie on shows through.
        ("smlp", Some(_)) => ([BLUE, VERMILION, GREEN, PURPLE][encrypted % 4], [Shape::Circle, Shape::Diamond, Shape::Wedge][encrypted % 3], false),
        _ => (BLACK, Shape::Triangle, true),
    }
}

fn course(
    figure: &'static str,
    rows: &[&Row],
    records: &Records,
    footer: &str,
    y_of: impl Fn(&CurvePoint) -> f64,
    y_axis: impl Fn(&[f64]) -> Axis,
) -> Result<Sheet, String> {
    let (chosen, hidden) = chosen(rows, records);
    let Some(what) = chosen.first().map(|(row, _)| title(&experiment(row))) else { return Err("no row has the course of a training".into()) };
    let mut encrypted = 0;
    let mut lines: Vec<Line> = chosen
        .iter()
        .map(|(row, points)| {
            let (colour, shape, filled) = look(row, encrypted);
            encrypted += usize::from(row.outcome.key_bits.is_some());
            let dots = points.iter().map(|p| Dot { x: p.epoch, y: y_of(p), range: None }).collect();
            Line { name: name(row), colour, shape, filled, marked: points.len().div_ceil(MOST_MARKERS), dots }
        })
        .collect();
    // What lies on another line is drawn over it.
    lines.sort_by_key(|line| !line.filled);
    let most = lines.iter().flat_map(|l| l.dots.iter().map(|d| d.x)).fold(0.0, f64::max);
    let ys: Vec<f64> = lines.iter().flat_map(|l| l.dots.iter().map(|d| d.y)).collect();
    let decimals = if most <= 4.0 { 1 } else { 0 };
    let x = Axis::new(
        format!("passes over the records ({what})"),
        (0.0, most),
        false,
        ticks(0.0, most).into_iter().map(|t| (t, format!("{t:.decimals$}"))).collect(),
    );
    Ok(chart(figure, (&x, &y_axis(&ys)), &lines, &[], &with_hidden(hidden, "of other trainings", footer)))
}

/// Test accuracy over the epochs.
pub(super) fn convergence(rows: &[&Row], records: &Records, footer: &str) -> Result<Sheet, String> {
    course(
        "convergence",
        rows,
        records,
        footer,
        |p| 100.0 * p.test_accuracy,
        |ys| {
            let low = ys.iter().copied().fold(100.0, f64::min);
            let low = (low - 0.05 * (100.0 - low)).max(0.0);
            let named: Vec<(f64, String)> = ticks(low, 100.0).into_iter().map(|t| (t, format!("{t:.0}"))).collect();
            Axis::new("test records classified right (%)", (low, 100.0 + 0.02 * (100.0 - low)), false, named)
        },
    )
}

/// Squared error over the epochs.
pub(super) fn loss(rows: &[&Row], records: &Records, footer: &str) -> Result<Sheet, String> {
    course(
        "loss",
        rows,
        records,
        footer,
        |p| p.loss.max(1e-9),
        |ys| {
            let (range, named) = log_axis(ys.iter().copied());
            Axis::new("mean squared error", range, true, named)
        },
    )
}

/// Operations in the order of a mini-batch, with their colours and the colour of text on them.
const OPERATIONS: [(&str, RGBColor, RGBColor); 7] = [
    ("forward product", BLUE, WHITE),
    ("comparison", VERMILION, WHITE),
    ("argmax", PURPLE, BLACK),
    ("backward product", SKY, BLACK),
    ("selection", YELLOW, BLACK),
    ("gradient product", GREEN, WHITE),
    ("division", ORANGE, BLACK),
];

/// The rest: what needs no message.
const LOCAL: (&str, RGBColor, RGBColor) = ("local", GREY, WHITE);

/// Shares of the operations in the time of a mini-batch, one bar per encrypted training, with the whole in words beside it.
pub(super) fn operations(rows: &[&Row], records: &Records, footer: &str) -> Result<Sheet, String> {
    let of = |row: &Row| -> Vec<&Operation> {
        records.operations.iter().filter(|o| o.spec == row.outcome.spec && o.run_id == row.outcome.run_id).collect()
    };
    let mut shown: Vec<(&Row, Vec<&Operation>)> = rows.iter().map(|&row| (row, of(row))).filter(|(_, o)| o.iter().any(|o| o.wall_ns > 0)).collect();
    if shown.is_empty() {
        return Err("no row has costs of operations".into());
    }
    let hidden = shown.len().saturating_sub(MOST_ROWS);
    shown.truncate(MOST_ROWS);
    let mut sheet = Sheet::new("operations");
    let kinds: Vec<(&str, RGBColor, RGBColor)> = OPERATIONS
        .into_iter()
        .chain([LOCAL])
        .filter(|(name, ..)| shown.iter().any(|(_, o)| o.iter().any(|o| o.operation == *name && o.wall_ns > 0)))
        .collect();
    let top = key(&mut sheet, &kinds);
    let steps = |row: &Row| f64::from(row.outcome.samples.unwrap_or(1).max(1));
    let mut entries = Vec::new();
    let mut last = String::new();
    shown.sort_by_key(|(row, _)| title(&experiment(row)));
    for (row, operations) in &shown {
        let sum: u64 = operations.iter().map(|o| o.wall_ns).sum();
        let batch = row.outcome.batch.unwrap_or(0);
        let heading = format!("{}, mini-batches of {batch}", title(&experiment(row)));
        if heading != last {
            entries.push(Entry::Heading(heading.clone()));
            last = heading;
        }
        entries.push(Entry::Row(name(row), duration(sum as f64 / steps(row))));
    }
    let layout = lay_out(&mut sheet, top, "per mini-batch", &entries);
    let scale = Scale::linear((0.0, 100.0), layout.x);
    let marks: Vec<(i32, String)> = [0, 25, 50, 75, 100].into_iter().map(|t| (scale.at(f64::from(t)), t.to_string())).collect();
    let bottom = axis(&mut sheet, &layout, &marks, "share of the time of a mini-batch (%)", names_above(&layout, &entries));
    for ((_, operations), &y) in shown.iter().zip(&layout.y) {
        let sum: u64 = operations.iter().map(|o| o.wall_ns).sum();
        let mut before = 0.0;
        for (operation, fill, ink) in &kinds {
            let ns: u64 = operations.iter().filter(|o| o.operation == *operation).map(|o| o.wall_ns).sum();
            let share = 100.0 * ns as f64 / sum.max(1) as f64;
            let (from, to) = (scale.at(before), scale.at(before + share));
            before += share;
            if to > from {
                sheet.rect((from, y - HALF), (to, y + HALF), *fill);
            }
            let label = format!("{share:.0}");
            if text_width(&label) + 10 <= to - from {
                sheet.text(label, (i32::midpoint(from, to), y), Align::Centre, *ink);
            }
        }
    }
    Ok(sheet.finish(bottom, &with_hidden(hidden, "beyond sixteen", footer)))
}

/// Names the colours in as many lines as they need; returns the lowest pixel used.
fn key(sheet: &mut Sheet, kinds: &[(&str, RGBColor, RGBColor)]) -> i32 {
    let (mut x, mut y) = (MARGIN, MARGIN + LEADING / 2);
    for (name, colour, _) in kinds {
        let width = 28 + 10 + text_width(name);
        if x > MARGIN && x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + LEADING);
        }
        sheet.rect((x, y - 13), (x + 28, y + 13), *colour);
        sheet.text(*name, (x + 38, y), Align::Left, BLACK);
        x += width + 28;
    }
    y + LEADING / 2 + 6
}

/// What a mini-batch costs over one size of the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Key,
    Batch,
    Width,
}

impl Growth {
    const fn figure(self) -> (&'static str, &'static str) {
        match self {
            Self::Key => ("growth-key", "key size (bits)"),
            Self::Batch => ("growth-batch", "records of a mini-batch"),
            Self::Width => ("growth-width", "hidden units"),
        }
    }

    fn of(self, row: &Row) -> Option<u32> {
        match self {
            Self::Key => row.outcome.key_bits,
            Self::Batch => row.outcome.batch,
            Self::Width => experiment(row).split('/').nth(1).and_then(|network| network.split('-').nth(1)?.parse().ok()),
        }
    }

    /// The row without this size: rows that agree in it are one line.
    fn neutral(self, row: &Row) -> String {
        let experiment = experiment(row);
        let mut parts: Vec<&str> = experiment.split('/').collect();
        let key = row.outcome.key_bits.filter(|_| self != Self::Key);
        let network: Vec<&str> = parts.get(1).map_or_else(Vec::new, |network| network.split('-').collect());
        let (ends, whole) = ([network.first(), network.last()].map(|w| w.copied().unwrap_or_default()).join("-"), network.join("-"));
        if parts.len() > 4 {
            parts[1] = if self == Self::Width { &ends } else { &whole };
            // Epochs, and records that depend on the batch, change no mini-batch.
            parts[3] = "";
            parts[4] = if self == Self::Batch { "" } else { parts[4] };
        }
        parts.truncate(5);
        format!("{:?} {key:?} {} {} {}", parts, row.outcome.backend, row.outcome.method, row.outcome.threads)
    }
}

/// Time of a mini-batch over a size, a line for all rows that differ in nothing else.
pub(super) fn growth(over: Growth, rows: &[&Row], footer: &str) -> Result<Sheet, String> {
    let (figure, axis_name) = over.figure();
    let mut groups: BTreeMap<String, BTreeMap<u32, &Row>> = BTreeMap::new();
    let mut candidates = 0;
    for &row in rows.iter().filter(|r| r.outcome.key_bits.is_some() && r.online_ns.is_some()) {
        let Some(size) = over.of(row) else { continue };
        candidates += 1;
        groups.entry(over.neutral(row)).or_default().insert(size, row);
    }
    groups.retain(|_, sizes| sizes.len() > 1);
    if groups.is_empty() {
        return Err(format!("no two encrypted trainings differ in {axis_name} alone"));
    }
    let seconds = |row: &Row| row.online_ns.map(|s| (s, f64::from(row.outcome.batch.unwrap_or(1)) * 1e-9));
    let colours = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK];
    let shapes = [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Diamond, Shape::Wedge];
    let lines: Vec<Line> = groups
        .values()
        .enumerate()
        .map(|(at, sizes)| {
            let dots = sizes.iter().filter_map(|(&size, row)| {
                let (spread, factor) = seconds(row)?;
                let range = spread.low.zip(spread.high).map(|(low, high)| (low * factor, high * factor));
                Some(Dot { x: f64::from(size), y: spread.median * factor, range })
            });
            let row = sizes.values().next();
            let label = row.map_or_else(String::new, |row| {
                let o = &row.outcome;
                let key =
                    if over == Growth::Key { String::new() } else { format!(" {}{}", o.key_bits.unwrap_or(0), if row.toy { " toy" } else { "" }) };
                format!("{}{key} {} {}", experiment(row).split('/').next().unwrap_or_default(), o.backend, o.method)
            });
            Line { name: label, colour: colours[at % colours.len()], shape: shapes[at % shapes.len()], filled: true, dots: dots.collect(), marked: 1 }
        })
        .collect();
    let values = lines.iter().flat_map(|l| l.dots.iter().flat_map(|d| [d.y, d.range.map_or(d.y, |r| r.0), d.range.map_or(d.y, |r| r.1)]));
    let (y_range, y_ticks) = log_axis(values);
    let mut sizes: Vec<f64> = lines.iter().flat_map(|l| l.dots.iter().map(|d| d.x)).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let x_range = (sizes.first().copied().unwrap_or(1.0), sizes.last().copied().unwrap_or(2.0));
    let mut x = Axis::new(axis_name, x_range, true, sizes.iter().map(|s| (*s, format!("{s:.0}"))).collect());
    if over == Growth::Key {
        x.ticks.iter_mut().filter(|t| t.at < 2048.0).for_each(|t| t.below = "toy");
    }
    let shown: usize = groups.values().map(BTreeMap::len).sum();
    Ok(chart(
        figure,
        (&x, &Axis::new("seconds per mini-batch", y_range, true, y_ticks)),
        &lines,
        &[],
        &with_hidden(candidates - shown, "alone at their size", footer),
    ))
}
