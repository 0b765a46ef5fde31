//! Rows as lines over one of their sizes, and the choice of rows where there are more than a figure can hold.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::RGBColor;

use super::lines::{Dot, Line};
use super::sheet::{BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, Shape, VERMILION};
use crate::report::{Naming, Row, labels, pool};

/// More lines than this cannot be told apart.
const MOST_LINES: usize = 12;

/// A list longer than this is no figure any more.
pub(super) const MOST_ROWS: usize = 16;

/// The size along the horizontal axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Key,
    Threads,
    Packing,
    Batch,
}

impl Over {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key size (bits)",
            Self::Threads => "threads",
            Self::Packing => "images per ciphertext",
            Self::Batch => "images per batch",
        }
    }

    fn of(self, row: &Row) -> Option<u32> {
        match self {
            Self::Key => row.outcome.key_bits,
            Self::Threads => Some(row.outcome.threads),
            Self::Packing => Some(row.outcome.packing),
            Self::Batch => row.outcome.batch,
        }
        .filter(|size| *size > 0)
    }

    /// The row without this size and without those that follow from it.
    fn neutral(self, row: &Row) -> Row {
        let mut row = row.clone();
        let o = &mut row.outcome;
        (o.batch, o.images, o.slot_bits) = (None, 0, None);
        match self {
            // The packing usually follows from the key size; none at all is another thing.
            Self::Key => {
                (o.key_bits, o.packing) = (Some(2048), o.packing.min(2));
                o.inputs_per_ciphertext = o.inputs_per_ciphertext.map(|inputs| inputs.min(2));
            }
            Self::Threads => o.threads = 0,
            Self::Packing => o.packing = 1,
            Self::Batch => {}
        }
        row.toy &= self != Self::Key;
        row
    }
}

/// The size along the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Items per second by the median batch, of full batches.
    Throughput,
    /// Milliseconds of the median image, one at a time.
    Latency,
}

impl Quantity {
    /// Value and 95 % interval, of rows in the scenario that it belongs to.
    pub(super) fn of(self, row: &Row) -> Option<(f64, Option<(f64, f64)>)> {
        let single = row.outcome.scenario == "single";
        let spread = row.online_ns.filter(|s| s.median > 0.0 && s.low.is_none_or(|low| low > 0.0) && single == (self == Self::Latency))?;
        let map = |ns: f64| if single { ns * 1e-6 } else { 1e9 / ns };
        let range = spread.low.zip(spread.high).map(|(low, high)| (map(low), map(high)));
        Some((map(spread.median), range))
    }

    /// Whether the first is the better value.
    pub(super) fn better(self, a: f64, b: f64) -> bool {
        if self == Self::Throughput { a > b } else { a < b }
    }
}

/// Lines over a size: one for all rows that differ in nothing else. Where several rows share a point, the fastest is drawn. Lines of one point only are left
/// out; the number counts rows that are not drawn.
pub(super) fn lines(rows: &[&Row], over: Over, quantity: Quantity) -> (Vec<Line>, usize) {
    let mut groups: Vec<(String, Row, BTreeMap<u32, &Row>)> = Vec::new();
    let mut candidates = 0;
    for &row in rows.iter().filter(|r| !r.is_clear() && r.outcome.key_bits.is_some()) {
        let (Some(size), Some((value, _))) = (over.of(row), quantity.of(row)) else { continue };
        candidates += 1;
        let neutral = over.neutral(row);
        let o = &neutral.outcome;
        let identity = format!(
            "{:?}",
            (
                (&o.workload, &o.scheme, &o.backend, neutral.software, &o.dataset, &o.features, &o.method, &o.encryption, o.key_bits),
                (
                    &o.division,
                    (o.packing, o.inputs_per_ciphertext),
                    o.feature_bits,
                    o.weight_bits,
                    o.threads,
                    &o.rerandomisation,
                    pool(&row.outcome),
                    o.verified
                ),
            )
        );
        let at = groups.iter().position(|(known, ..)| *known == identity).unwrap_or_else(|| {
            groups.push((identity, neutral, BTreeMap::new()));
            groups.len() - 1
        });
        let dots = &mut groups[at].2;
        if dots.get(&size).and_then(|known| quantity.of(known)).is_none_or(|(old, _)| quantity.better(value, old)) {
            dots.insert(size, row);
        }
    }
    groups.retain(|(.., dots)| dots.len() > 1);
    let best = |dots: &BTreeMap<u32, &Row>| {
        dots.values().filter_map(|row| quantity.of(row)).map(|(v, _)| v).fold(f64::NAN, |a, b| if quantity.better(a, b) { a } else { b })
    };
    while groups.len() > MOST_LINES {
        let worst = groups.iter().enumerate().reduce(|a, b| if quantity.better(best(&b.1.2), best(&a.1.2)) { a } else { b }).map(|(at, _)| at);
        groups.remove(worst.unwrap_or(0));
    }
    let shown: usize = groups.iter().map(|(.., dots)| dots.len()).sum();
    (styled(&groups, over, quantity), candidates - shown)
}

fn styled(groups: &[(String, Row, BTreeMap<u32, &Row>)], over: Over, quantity: Quantity) -> Vec<Line> {
    let rows: Vec<&Row> = groups.iter().map(|(_, row, _)| row).collect();
    let names = labels(&rows, if over == Over::Key { Naming::OverKeys } else { Naming::Whole });
    // Colour says the backend, shape the rest. Where there is one backend and colours enough, colour says the line.
    let rest: Vec<String> = names.iter().zip(&rows).map(|(name, row)| name.replacen(&row.outcome.backend, "", 1)).collect();
    let mut kinds: Vec<&str> = Vec::new();
    let backends: BTreeSet<&str> = rows.iter().map(|r| r.outcome.backend.as_str()).collect();
    let free = [BLUE, VERMILION, GREEN, BLACK, ORANGE, SKY];
    let all = groups.iter().zip(&rest).zip(names.iter()).enumerate().map(|(at, (((_, row, dots), rest), name))| {
        let kind = kinds.iter().position(|k| *k == rest.as_str()).unwrap_or_else(|| {
            kinds.push(rest);
            kinds.len() - 1
        });
        let dots = dots.iter().filter_map(|(size, row)| quantity.of(row).map(|(y, range)| Dot { x: f64::from(*size), y, range }));
        let own = if backends.len() == 1 && groups.len() <= free.len() { free[at] } else { colour(row) };
        Line { name: name.clone(), colour: own, shape: SHAPES[kind % SHAPES.len()], filled: kind < SHAPES.len(), dots: dots.collect(), marks: (1, 0) }
    });
    all.collect()
}

const SHAPES: [Shape; 5] = [Shape::Circle, Shape::Square, Shape::Triangle, Shape::Diamond, Shape::Wedge];

/// The colour of a row's backend.
pub(super) fn colour(row: &Row) -> RGBColor {
    match row.outcome.backend.as_str() {
        "reference" => BLACK,
        "gmp" => BLUE,
        "ifma" => VERMILION,
        "gpu" => GREEN,
        _ => PURPLE,
    }
}

/// All rows, or where there are too many the fastest of each protection, backend, dataset, feature map, key size and scenario; and how many are not among them.
pub(super) fn condensed<'a>(rows: &[&'a Row]) -> (Vec<&'a Row>, usize) {
    if rows.len() <= MOST_ROWS {
        return (rows.to_vec(), 0);
    }
    let kind = |r: &Row| {
        let o = &r.outcome;
        (
            o.scheme.clone(),
            o.backend.clone(),
            r.is_clear().then(|| o.method.clone()),
            o.dataset.clone(),
            o.features.clone(),
            o.key_bits,
            o.scenario.clone(),
        )
    };
    let time = |r: &Row| r.online_ns.map_or(f64::INFINITY, |s| s.median);
    let mut kept: Vec<&Row> = Vec::new();
    for &row in rows {
        match kept.iter_mut().find(|k| kind(k) == kind(row)) {
            Some(known) if time(row) < time(known) => *known = row,
            Some(_) => {}
            None => kept.push(row),
        }
    }
    let hidden = rows.len() - kept.len();
    (kept, hidden)
}

/// Adds to the footer how many rows are not shown.
pub(super) fn with_hidden(hidden: usize, why: &str, footer: &str) -> String {
    match hidden {
        0 => footer.into(),
        1 => format!("{footer}; 1 row {why} not shown"),
        n => format!("{footer}; {n} rows {why} not shown"),
    }
}
