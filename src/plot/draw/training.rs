//! How trainings went, and what their operations cost.

use std::collections::BTreeMap;

use super::axis::{Axis, duration};
use super::lines::{Dot, Line, chart};
use super::palette::{BLUE_PART, CYAN_PART, GREY_PART, MINT_PART, OLIVE_PART, ORANGE_PART, PEAR_PART, YELLOW_PART, hue};
use super::rows::Entry;
use super::series::{MOST_ROWS, with_hidden};
use super::shares::{self, Part};
use super::sheet::{Footer, LEAST_POINTS, Shape, Sheet};
use crate::record::{CurvePoint, Operation, Records};
use crate::report::Row;

/// The course of a training has at least this many points.
const LEAST_COURSE: usize = 5;

/// Markers of a line, about; more would hide it.
const MOST_MARKERS: usize = 13;

/// A row in a few words. What is simulated says so, and so do toys.
fn name(row: &Row) -> String {
    let o = &row.outcome;
    match (o.scheme.as_str(), o.key_bits) {
        ("smlp", None) => "simulated".into(),
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
        if points.len() >= LEAST_COURSE {
            all += 1;
            groups.entry(experiment(row)).or_default().push((row, points));
        }
    }
    let worth = |group: &Vec<(&Row, Vec<&CurvePoint>)>| (group.iter().any(|(row, _)| row.outcome.key_bits.is_some()), group.len());
    let best = groups.into_values().reduce(|a, b| if worth(&b) > worth(&a) { b } else { a }).unwrap_or_default();
    let hidden = all - best.len();
    (best, hidden)
}

/// Names of trainings that went the same way: words that a name shares with the one before it are
/// said once.
fn joined(names: &[String]) -> String {
    let mut out = String::new();
    let mut last: Vec<&str> = Vec::new();
    for name in names {
        let words: Vec<&str> = name.split(' ').collect();
        let shared = words.iter().zip(&last).take_while(|(a, b)| a == b).count().min(words.len() - 1);
        out += if out.is_empty() { "" } else { ", " };
        out += &words[shared..].join(" ");
        last = words;
    }
    out
}

fn course(
    figure: &'static str,
    (rows, records): (&[&Row], &Records),
    footer: &Footer,
    y_of: impl Fn(&CurvePoint) -> f64,
    y_axis: impl Fn(&mut dyn Iterator<Item = f64>, super::axis::Room) -> Axis,
) -> Result<Sheet, String> {
    let (chosen, hidden) = chosen(rows, records);
    let Some(what) = chosen.first().map(|(row, _)| title(&experiment(row))) else {
        return Err(format!("no training has {LEAST_COURSE} points of its course"));
    };
    // Equal parameters give equal courses, to the bit: they are one line.
    type Course<'a> = (Vec<(f64, f64)>, Vec<&'a Row>);
    let mut courses: Vec<Course<'_>> = Vec::new();
    for (row, points) in chosen {
        let dots: Vec<(f64, f64)> = points.iter().map(|p| (p.epoch, y_of(p))).collect();
        match courses.iter_mut().find(|(known, _)| *known == dots) {
            Some((_, rows)) => rows.push(row),
            None => courses.push((dots, vec![row])),
        }
    }
    let lines: Vec<Line> = courses
        .into_iter()
        .map(|(dots, mut rows)| {
            rows.sort_by_key(|row| row.outcome.key_bits.is_none());
            let of =
                |encrypted: bool| joined(&rows.iter().filter(|r| r.outcome.key_bits.is_some() == encrypted).map(|r| name(r)).collect::<Vec<_>>());
            let name = [of(true), of(false)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" = ");
            // Floats can agree in how many records are right, but not in their parameters.
            let equal = match rows.len() {
                1 => "",
                _ if rows.iter().any(|row| row.is_clear()) => " (equal)",
                _ => " (equal bits)",
            };
            let every = dots.len().div_ceil(MOST_MARKERS);
            let dots = dots.into_iter().map(|(x, y)| Dot { x, y, range: None }).collect();
            Line { name: format!("{name}{equal}"), colour: hue(rows[0]), shape: Shape::Circle, filled: !rows[0].is_clear(), every, dots }
        })
        .collect();
    let dots = || lines.iter().flat_map(|l| &l.dots);
    let most = dots().map(|d| d.x).fold(0.0, f64::max);
    let x_name = format!("passes over the records ({what})");
    let x_axis = |room| Axis::linear(x_name.as_str(), (0.0, most), room);
    let y_axis = |room| y_axis(&mut dots().map(|d| d.y), room);
    let start = y_axis(super::axis::Room::Up(400)).start().filter(|_| figure == "convergence").unwrap_or_default();
    Ok(chart(figure, (&x_axis, &y_axis), &lines, &[], &with_hidden(hidden, "of other trainings", footer).with(start)))
}

/// Test accuracy over the epochs.
pub(super) fn convergence(rows: &[&Row], records: &Records, footer: &Footer) -> Result<Sheet, String> {
    course(
        "convergence",
        (rows, records),
        footer,
        |p| 100.0 * p.test_accuracy,
        |ys, room| {
            let ends = ys.fold((100.0_f64, 0.0_f64), |(low, high), y| (low.min(y), high.max(y)));
            Axis::percent("test records classified right (%)", ends, room)
        },
    )
}

/// Squared error over the epochs.
pub(super) fn loss(rows: &[&Row], records: &Records, footer: &Footer) -> Result<Sheet, String> {
    course("loss", (rows, records), footer, |p| p.loss.max(1e-9), |ys, room| Axis::log("mean squared error", ys, room))
}

/// Operations in the order of a mini-batch; the last needs no message.
const OPERATIONS: [Part; 8] = [
    Part { name: "forward product", fill: BLUE_PART },
    Part { name: "comparison", fill: ORANGE_PART },
    Part { name: "argmax", fill: PEAR_PART },
    Part { name: "backward product", fill: CYAN_PART },
    Part { name: "selection", fill: YELLOW_PART },
    Part { name: "gradient product", fill: MINT_PART },
    Part { name: "division", fill: OLIVE_PART },
    Part { name: "local", fill: GREY_PART },
];

/// Shares of the operations in the time of a mini-batch, one bar per encrypted training, with the whole in words beside it.
pub(super) fn operations(rows: &[&Row], records: &Records, footer: &Footer) -> Result<Sheet, String> {
    let of = |row: &Row| -> Vec<&Operation> {
        records.operations.iter().filter(|o| o.spec == row.outcome.spec && o.run_id == row.outcome.run_id).collect()
    };
    let mut shown: Vec<(&Row, Vec<&Operation>)> = rows.iter().map(|&row| (row, of(row))).filter(|(_, o)| o.iter().any(|o| o.wall_ns > 0)).collect();
    if shown.is_empty() {
        return Err("no row has costs of operations".into());
    }
    let hidden = shown.len().saturating_sub(MOST_ROWS);
    shown.truncate(MOST_ROWS);
    let steps = |row: &Row| f64::from(row.outcome.samples.unwrap_or(1).max(1));
    let heading = |row: &Row| (title(&experiment(row)), row.outcome.batch.unwrap_or(0));
    shown.sort_by_key(|(row, _)| (heading(row), row.outcome.key_bits));
    let (mut entries, mut wholes) = (Vec::new(), Vec::new());
    for group in shown.chunk_by(|(a, _), (b, _)| heading(a) == heading(b)) {
        let (title, batch) = heading(group[0].0);
        entries.push(Entry::Heading(format!("{title}, mini-batches of {batch}")));
        for (row, operations) in group {
            let ns = |part: &Part| operations.iter().filter(|o| o.operation == part.name).map(|o| o.wall_ns as f64).sum::<f64>();
            let parts: Vec<f64> = OPERATIONS.iter().map(ns).collect();
            let name = name(row).replacen("encrypted ", "", 1);
            entries.push(Entry::Row(name, duration(parts.iter().sum::<f64>() / steps(row))));
            wholes.push(parts);
        }
    }
    let words = ("per batch", "share of the time of a mini-batch (%)");
    Ok(shares::chart("operations", &OPERATIONS, (&entries, &wholes), words, &with_hidden(hidden, "beyond sixteen", footer)))
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
pub(super) fn growth(over: Growth, rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
    let (figure, axis_name) = over.figure();
    let mut groups: BTreeMap<String, BTreeMap<u32, &Row>> = BTreeMap::new();
    let mut candidates = 0;
    for &row in rows.iter().filter(|r| r.outcome.key_bits.is_some() && r.online_ns.is_some()) {
        let Some(size) = over.of(row) else { continue };
        candidates += 1;
        groups.entry(over.neutral(row)).or_default().insert(size, row);
    }
    groups.retain(|_, sizes| sizes.len() >= LEAST_POINTS);
    if groups.is_empty() {
        return Err(format!("no three encrypted trainings differ in {axis_name} alone"));
    }
    let seconds = |row: &Row| row.online_ns.map(|s| (s, f64::from(row.outcome.batch.unwrap_or(1)) * 1e-9));
    let mut twins: BTreeMap<&str, usize> = BTreeMap::new();
    let lines: Vec<Line> = groups
        .values()
        .filter_map(|sizes| sizes.values().next().map(|first| (*first, sizes)))
        .map(|(first, sizes)| {
            let dots = sizes.iter().filter_map(|(&size, row)| {
                let (spread, factor) = seconds(row)?;
                let range = spread.low.zip(spread.high).map(|(low, high)| (low * factor, high * factor));
                Some(Dot { x: f64::from(size), y: spread.median * factor, range })
            });
            let o = &first.outcome;
            let key =
                if over == Growth::Key { String::new() } else { format!(" {}{}", o.key_bits.unwrap_or(0), if first.toy { " toy" } else { "" }) };
            let name = format!("{}{key} {} {}", experiment(first).split('/').next().unwrap_or_default(), o.backend, o.method);
            // Hue says the backend; lines of one backend take turns in shape and filling.
            let twin = twins.entry(o.backend.as_str()).or_default();
            let shapes = [Shape::Circle, Shape::Diamond, Shape::Wedge];
            let (shape, filled) = (shapes[*twin / 2 % shapes.len()], twin.is_multiple_of(2));
            *twin += 1;
            Line { name, colour: hue(first), shape, filled, dots: dots.collect(), every: 1 }
        })
        .collect();
    let dots = || lines.iter().flat_map(|l| &l.dots);
    let x_axis = |room| {
        let mut axis = Axis::sizes(axis_name, dots().map(|d| d.x), room);
        axis.ticks.iter_mut().filter(|t| over == Growth::Key && t.at < 2048.0).for_each(|t| t.below = "toy");
        axis
    };
    let y_axis = |room| Axis::log("seconds per mini-batch", dots().flat_map(Dot::extent), room);
    let shown: usize = groups.values().map(BTreeMap::len).sum();
    Ok(chart(figure, (&x_axis, &y_axis), &lines, &[], &with_hidden(candidates - shown, "alone at their size", footer)))
}
