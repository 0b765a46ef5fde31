//! Rows as lines over one of their sizes, and the choice of rows where there are more than a figure can hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::lines::{Dot, Line};
use super::palette::{hue, shape};
use super::rows::Entry;
use super::sheet::{Footer, LEAST_POINTS, Shape, WIDTH, text_width};
use crate::report::{DIMENSIONS, Naming, Row, labels};
use crate::text::named;

/// More lines than this cannot be told apart.
const MOST_LINES: usize = 12;

/// A list longer than this is no figure any more.
pub(super) const MOST_ROWS: usize = 16;

named! {
    /// The size along the horizontal axis.
    pub(super) enum Over {
        Key => "key size (bits)",
        Threads => "threads",
        Packing => "images per ciphertext",
        Batch => "images per batch",
    }
}

impl Over {
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
        (o.batch, o.images, o.slot_bits, o.inputs_per_ciphertext) = (None, 0, None, None);
        match self {
            // The packing usually follows from the key size; none at all is another thing.
            Self::Key => (o.key_bits, o.packing) = (Some(2048), o.packing.min(2)),
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

/// Lines over a size: one for all rows that differ in nothing else. Where several rows share a
/// point, the fastest is drawn. Lines of fewer than three points are left out; the number counts
/// rows that are not drawn.
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
                (&o.division, o.packing, o.feature_bits, o.weight_bits, o.threads, o.parameter("rerandomisation"), o.parameter("pool"), o.verified),
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
    groups.retain(|(.., dots)| dots.len() >= LEAST_POINTS);
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
    let names = names(&rows, if over == Over::Key { Naming::OverKeys } else { Naming::Whole });
    // Hue says the backend, shape the features. Lines that agree in both are hollow in turn, then
    // take shapes that no features have.
    let mut twins: HashMap<(&str, &str), usize> = HashMap::new();
    let all = groups.iter().zip(&rows).zip(names).map(|(((.., dots), row), name)| {
        let twin = twins.entry((row.outcome.backend.as_str(), row.outcome.features.as_str())).or_default();
        let shapes = [shape(&row.outcome.features), Shape::Diamond, Shape::Wedge];
        let (shape, filled) = (shapes[*twin / 2 % shapes.len()], twin.is_multiple_of(2));
        *twin += 1;
        let dots = dots.iter().filter_map(|(size, row)| quantity.of(row).map(|(y, range)| Dot { x: f64::from(*size), y, range }));
        Line { name, colour: hue(row), shape, filled, dots: dots.collect(), every: 1 }
    });
    all.collect()
}

/// Marks rows whose features are computed before anything is encrypted.
const OPEN: &str = "\u{2021}";

/// Names for rows of a figure: the labels that tables have, with a mark where the division is open.
/// [`open`] explains it.
pub(super) fn names(rows: &[&Row], naming: Naming) -> Vec<String> {
    unmarked(rows, naming).into_iter().zip(rows).map(|(name, row)| format!("{name}{}", mark(row))).collect()
}

/// The same without the mark, which a heading has.
fn unmarked(rows: &[&Row], naming: Naming) -> Vec<String> {
    let mut rows: Vec<Row> = rows.iter().map(|row| (*row).clone()).collect();
    rows.iter_mut().filter(|row| row.outcome.division == "open").for_each(|row| row.outcome.division = "closed".into());
    labels(&rows.iter().collect::<Vec<_>>(), naming)
}

/// The mark of a row, if it has one.
pub(super) fn mark(row: &Row) -> &'static str {
    if row.outcome.division == "open" && !row.is_clear() { OPEN } else { "" }
}

/// What the mark of open rows means, where there are some.
pub(super) fn open(rows: &[&Row]) -> String {
    if rows.iter().any(|row| !mark(row).is_empty()) { format!("{OPEN} open: features computed in clear, then encrypted") } else { String::new() }
}

/// What all rows of a figure share of what somebody chose, in the words of captions.
pub(super) fn subject(rows: &[&Row]) -> String {
    let said = DIMENSIONS.iter().filter(|d| ["dataset", "features", "encr.", "key", "network", "threads"].contains(&d.name)).filter_map(|d| {
        let values: BTreeSet<String> = rows.iter().filter_map(|row| (d.value)(row)).collect();
        values.first().filter(|_| values.len() == 1).and_then(|value| d.said(value))
    });
    said.collect::<Vec<_>>().join(", ")
}

/// Rows under a heading, each with its name inside it.
pub(super) type Group<'a> = (String, Vec<(String, &'a Row)>);

/// Rows in groups of equal features, of equal keys, or of both where these differ: what a heading
/// says leaves the names, so that they stand beside their row. The order stays but for that. Groups
/// that few rows share make no heading.
pub(super) fn grouped<'a>(rows: &[&'a Row]) -> Vec<Group<'a>> {
    let ways = [(true, false), (false, true), (true, true)].into_iter().filter_map(|way| groups(rows, way));
    let all: Vec<Vec<Group<'a>>> = ways.collect();
    let longest = |groups: &Vec<Group<'a>>| groups.iter().flat_map(|(_, rows)| rows).map(|(name, _)| text_width(name)).max().unwrap_or(0);
    let plain = || vec![(String::new(), names(rows, Naming::Whole).into_iter().zip(rows.iter().copied()).collect())];
    let short = all.iter().position(|groups| longest(groups) <= WIDTH / 3).or_else(|| (0..all.len()).min_by_key(|at| longest(&all[*at])));
    short.map_or_else(plain, |at| all.into_iter().nth(at).unwrap_or_else(plain))
}

/// The groups of one way: by features, by key; none where rows do not differ in it or most would
/// stand alone.
fn groups<'a>(rows: &[&'a Row], (by_features, by_key): (bool, bool)) -> Option<Vec<Group<'a>>> {
    let features = |row: &Row| by_features.then(|| (row.outcome.dataset.clone(), row.outcome.features.clone()));
    let key = |row: &Row| by_key.then_some(row.outcome.key_bits).flatten();
    let differ = |part: &dyn Fn(&Row) -> String| rows.iter().map(|row| part(row)).filter(|part| !part.is_empty()).collect::<BTreeSet<_>>().len() > 1;
    let sets = differ(&|row| row.outcome.dataset.clone());
    let fits = (!by_features || differ(&|row| format!("{:?}", features(row))))
        && (!by_key || differ(&|row| key(row).map_or_else(String::new, |k| k.to_string())));
    let mut sorted = rows.to_vec();
    // Features stay in the order in which they come.
    let first = |row: &Row| rows.iter().position(|other| features(other) == features(row));
    sorted.sort_by_key(|row| (first(row), key(row)));
    let chunks: Vec<&[&Row]> = sorted.chunk_by(|a, b| (features(a), key(a)) == (features(b), key(b))).collect();
    if !fits || 2 * chunks.len() > rows.len() {
        return None;
    }
    let group = |rows: &[&'a Row]| {
        let o = &rows[0].outcome;
        let mut parts = Vec::new();
        if by_features {
            let open = rows.iter().find(|row| !mark(row).is_empty()).map_or("", |row| mark(row));
            parts.push(format!("{}{}{open}", if sets { format!("{} ", o.dataset) } else { String::new() }, o.features));
        }
        if by_key {
            parts.push(o.key_bits.map_or_else(|| "no key".into(), |bits| format!("{bits}-bit key{}", if rows[0].toy { ", toy" } else { "" })));
        }
        let naming = if by_key { Naming::WithinKey } else { Naming::Whole };
        let names = if by_features { unmarked(rows, naming) } else { names(rows, naming) };
        (parts.join(", "), names.into_iter().zip(rows.iter().copied()).collect())
    };
    Some(chunks.into_iter().map(group).collect())
}

/// Groups as lines of a chart with one row per spec, and the rows in that order.
pub(super) fn entries<'a>(groups: Vec<Group<'a>>, value: impl Fn(&Row) -> String) -> (Vec<Entry>, Vec<&'a Row>) {
    let (mut entries, mut shown) = (Vec::new(), Vec::new());
    for (heading, rows) in groups {
        entries.extend(Some(heading).filter(|heading| !heading.is_empty()).map(Entry::Heading));
        for (name, row) in rows {
            entries.push(Entry::Row(name, value(row)));
            shown.push(row);
        }
    }
    (entries, shown)
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

/// Says in the footer how many rows are not shown.
pub(super) fn with_hidden(hidden: usize, why: &str, footer: &Footer) -> Footer {
    match hidden {
        0 => footer.clone(),
        1 => footer.with(format!("1 row {why} not shown")),
        n => footer.with(format!("{n} rows {why} not shown")),
    }
}
