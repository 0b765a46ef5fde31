//! What accuracy costs: accuracy against the width of a slot, and against throughput, beside published systems.

use std::collections::{BTreeMap, BTreeSet};

use super::accuracy::wilson;
use super::axis::{Scale, log_axis, step, ticks};
use super::lines::{Axis, Dot, Level, Line, chart};
use super::series::{colour, with_hidden};
use super::sheet::{Align, BLACK, BLUE, GREEN, GREY, LEADING, MARGIN, ORANGE, PALE, PURPLE, Point, Shape, Sheet, VERMILION, WIDTH, text_width, wrap};
use crate::report::quoted::{MARK, Quoted};
use crate::report::{Naming, Row, comparable_accuracies, labels};

/// Height of the data of the front, in pixels.
const HEIGHT: i32 = 620;

/// Accuracy against the width of a slot: the best of all precisions that need the width, for each feature map.
pub(super) fn slots(rows: &[&Row], footer: &str) -> Result<Sheet, String> {
    let verified = |r: &&&Row| r.outcome.error.is_none() && r.outcome.verified && r.outcome.accuracy.is_some() && r.outcome.images > 0;
    let mut maps: Vec<(String, String)> = Vec::new();
    for row in rows.iter().filter(verified) {
        let map = (row.outcome.dataset.clone(), row.outcome.features.clone());
        if !maps.contains(&map) {
            maps.push(map);
        }
    }
    let sets = maps.iter().map(|(dataset, _)| dataset).collect::<BTreeSet<_>>().len();
    let styles = [(BLUE, Shape::Circle), (VERMILION, Shape::Square), (GREEN, Shape::Triangle), (ORANGE, Shape::Diamond)];
    let (mut lines, mut levels) = (Vec::new(), Vec::new());
    for ((dataset, features), (colour, shape)) in maps.iter().zip(styles.into_iter().cycle()) {
        let name = if sets > 1 { format!("{dataset} {features}") } else { features.clone() };
        let own = || rows.iter().filter(verified).filter(|r| r.outcome.dataset == *dataset && r.outcome.features == *features);
        // Shares of few images and of many do not belong on one line.
        let most = own().map(|r| r.outcome.images).max().unwrap_or(0);
        let mut best: BTreeMap<u32, f64> = BTreeMap::new();
        let mut float: Option<f64> = None;
        for row in own().filter(|r| r.outcome.images == most) {
            let Some(accuracy) = row.outcome.accuracy else { continue };
            match row.outcome.slot_bits {
                Some(bits) => {
                    best.entry(bits).and_modify(|known| *known = known.max(accuracy)).or_insert(accuracy);
                }
                None => float = Some(accuracy).filter(|_| row.is_clear()).or(float),
            }
        }
        if best.len() < 3 {
            continue;
        }
        let dots = best.into_iter().map(|(bits, accuracy)| Dot { x: f64::from(bits), y: 100.0 * accuracy, range: Some(wilson(accuracy, most)) });
        lines.push(Line { name: name.clone(), colour, shape, filled: true, dots: dots.collect(), marks: (1, 0) });
        levels.extend(float.map(|accuracy| Level { name: format!("{name}, f32"), y: 100.0 * accuracy, colour }));
    }
    if lines.is_empty() {
        return Err("no feature map has rows with three widths of slots".into());
    }
    let all = || lines.iter().flat_map(|l| &l.dots);
    let ends = |values: &mut dyn Iterator<Item = f64>| values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let wide = ends(&mut all().map(|d| d.x));
    let (low, high) =
        ends(&mut all().flat_map(|d| [d.y, d.range.map_or(d.y, |r| r.0), d.range.map_or(d.y, |r| r.1)]).chain(levels.iter().map(|l| l.y)));
    let by = step(low, high);
    let (low, high) = ((low / by).floor() * by, ((high / by).ceil() * by).min(100.0));
    let decimals = usize::from(by < 1.0);
    let y = Axis::new("accuracy (%)", (low, high), false, ticks(low, high).into_iter().map(|t| (t, format!("{t:.decimals$}"))).collect());
    let whole = ticks(wide.0, wide.1).into_iter().filter(|t| t.fract() == 0.0);
    let x = Axis::new("width of a slot (bits)", wide, false, whole.map(|t| (t, format!("{t:.0}"))).collect());
    let note = format!("{footer}; best of all precisions of each width; bars: 95 % Wilson intervals; the axis starts at {low:.decimals$} %");
    Ok(chart("slots", (&x, &y), &lines, &levels, &note))
}

/// A system in the front.
struct Spot {
    /// Number or letter beside the marker.
    tag: String,
    name: String,
    per_second: f64,
    accuracy: f64,
    colour: plotters::style::RGBColor,
    shape: Shape,
    filled: bool,
}

/// Accuracy against throughput: the fastest row of each kind, and quoted systems as hollow markers.
pub(super) fn front(rows: &[&Row], quoted: &[Quoted], footer: &str) -> Result<Sheet, String> {
    let (ours, of, hidden) = spots(rows);
    if ours.is_empty() {
        return Err("no row has both an accuracy and times of full batches".into());
    }
    let theirs = quoted.iter().filter_map(|q| Some((q, q.accuracy_percent?, q.images_per_second()?))).filter(|(q, ..)| q.accuracy_note.is_empty());
    let theirs = theirs.zip(('a'..='z').chain('A'..='Z')).map(|((q, accuracy, per_second), tag)| Spot {
        tag: tag.to_string(),
        name: format!("{}{MARK}", q.name()),
        per_second,
        accuracy,
        colour: BLACK,
        shape: Shape::Diamond,
        filled: false,
    });
    let theirs: Vec<Spot> = theirs.collect();
    let some_quoted = !theirs.is_empty();
    let all: Vec<Spot> = ours.into_iter().chain(theirs).collect();

    let mut sheet = Sheet::new("front");
    let (extent, named) = log_axis(all.iter().map(|s| s.per_second));
    let (least, most) = all.iter().fold((100.0_f64, 0.0_f64), |(a, b), s| (a.min(s.accuracy), b.max(s.accuracy)));
    let by = step(least, most);
    let (low, high) = ((least / by).floor() * by, ((most / by).ceil() * by).min(100.0));
    let decimals = usize::from(by < 1.0);
    let marks: Vec<(f64, String)> = ticks(low, high).into_iter().map(|t| (t, format!("{t:.decimals$}"))).collect();
    let left = MARGIN + LEADING + marks.iter().map(|(_, name)| text_width(name)).max().unwrap_or(0) + 16;
    let (right, top, bottom) = (WIDTH - MARGIN - 20, MARGIN + LEADING / 2, MARGIN + LEADING / 2 + HEIGHT);
    let (x, y) = (Scale::log(extent, (left + 20, right - 20)), Scale::linear((low, high), (bottom - 24, top + 24)));
    for (at, name) in &marks {
        sheet.line(vec![(left, y.at(*at)), (right, y.at(*at))], PALE, 2);
        sheet.text(name.as_str(), (left - 12, y.at(*at)), Align::Right, BLACK);
    }
    let mut free = i32::MIN;
    for (at, name) in &named {
        let at = x.at(*at);
        sheet.line(vec![(at, top), (at, bottom)], PALE, 2);
        sheet.line(vec![(at, bottom), (at, bottom + 8)], GREY, 2);
        let half = text_width(name) / 2;
        if at - half >= free {
            sheet.text(name.as_str(), (at, bottom + 12 + LEADING / 2), Align::Centre, BLACK);
            free = at + half + 12;
        }
    }
    sheet.upright("accuracy (%)", (MARGIN + 16, i32::midpoint(top, bottom)), BLACK);
    sheet.line(vec![(left, top), (left, bottom), (right, bottom)], GREY, 3);
    sheet.text("images per second", (i32::midpoint(left, right), bottom + 12 + LEADING * 3 / 2), Align::Centre, BLACK);

    let at: Vec<Point> = all.iter().map(|s| (x.at(s.per_second), y.at(s.accuracy))).collect();
    let tags = place(&all, &at, ((left, top), (right, bottom)));
    for (spot, (&from, to)) in all.iter().zip(at.iter().zip(&tags)) {
        let Some(to) = *to else { continue };
        if (to.0 - from.0).abs().max((to.1 - from.1).abs()) > 36 {
            sheet.line(vec![from, to], PALE, 2);
        }
        sheet.text(spot.tag.as_str(), to, Align::Centre, BLACK);
    }
    // Ours on top: they come first in the list and last on the sheet.
    for (spot, &at) in all.iter().zip(&at).rev() {
        sheet.small_marker(spot.shape, at, spot.colour, spot.filled);
    }
    let foot = list(&mut sheet, &all, bottom + 12 + LEADING * 2);
    let quoted = if some_quoted {
        format!("; {MARK} hollow: quoted as published, other machines, networks and batch sizes, not measured here")
    } else {
        String::new()
    };
    let footer = with_hidden(hidden, "on fewer images or another test set", footer);
    Ok(sheet.finish(foot, &format!("{footer}; {of}; the axis starts at {low:.decimals$} %{quoted}")))
}

/// The fastest row of each protection, backend, feature map, precision and key size, with the accuracy of its model; of plaintext the most accurate. Also on how
/// many images of which dataset, and how many rows were not measured on those.
fn spots(rows: &[&Row]) -> (Vec<Spot>, String, usize) {
    let rate = |r: &Row| super::series::Quantity::Throughput.of(r).map(|(v, _)| v);
    let kind = |r: &Row| {
        let o = &r.outcome;
        let own = (!r.is_clear()).then(|| (o.backend.clone(), o.feature_bits, o.weight_bits));
        (o.scheme.clone(), own, o.features.clone(), o.key_bits)
    };
    let good: Vec<&Row> = rows.iter().copied().filter(|r| r.outcome.accuracy.is_some() && r.outcome.verified).collect();
    let (dataset, images, accuracies) = comparable_accuracies(&good);
    let hidden = accuracies.iter().filter(|accuracy| accuracy.is_none()).count();
    let mut kept: Vec<(&Row, f64, f64)> = Vec::new();
    for (row, accuracy) in good.iter().zip(accuracies) {
        let (Some(rate), Some(accuracy)) = (rate(row), accuracy) else { continue };
        match kept.iter_mut().find(|(known, ..)| kind(known) == kind(row)) {
            Some(known) if (accuracy, rate) > (known.2, known.1) => *known = (row, rate, accuracy),
            Some(_) => {}
            None => kept.push((row, rate, accuracy)),
        }
    }
    let names = labels(&kept.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), Naming::Whole);
    let spots = kept.iter().zip(names).enumerate().map(|(at, ((row, per_second, accuracy), name))| Spot {
        tag: (at + 1).to_string(),
        name,
        per_second: *per_second,
        accuracy: 100.0 * accuracy,
        colour: if row.is_clear() { PURPLE } else { colour(row) },
        shape: if row.is_clear() { Shape::Square } else { Shape::Circle },
        filled: true,
    });
    (spots.collect(), format!("accuracy of {images} images of {dataset}"), hidden)
}

/// Finds a place for every tag that meets no marker and no other tag; none where there is no room.
fn place(all: &[Spot], at: &[Point], ((left, top), (right, bottom)): (Point, Point)) -> Vec<Option<Point>> {
    let mut taken: Vec<(Point, Point)> = at.iter().map(|(x, y)| ((x - 11, y - 11), (x + 11, y + 11))).collect();
    let mut places = Vec::new();
    for (spot, &(x, y)) in all.iter().zip(at) {
        let half = (text_width(&spot.tag) / 2 + 3, 17);
        let near = [24, 34, 48, 66, 90, 120, 160].into_iter().flat_map(|r| {
            let slant = r * 3 / 4;
            [(r, 0), (-r, 0), (0, -r), (0, r), (slant, -slant), (-slant, -slant), (slant, slant), (-slant, slant)]
        });
        let found = near.map(|(dx, dy)| (x + dx, y + dy)).find(|&(x, y)| {
            let (from, to) = ((x - half.0, y - half.1), (x + half.0, y + half.1));
            let inside = from.0 > left && to.0 < right && from.1 > top && to.1 < bottom;
            inside && taken.iter().all(|(a, b)| to.0 <= a.0 || b.0 <= from.0 || to.1 <= a.1 || b.1 <= from.1)
        });
        if let Some((x, y)) = found {
            taken.push(((x - half.0, y - half.1), (x + half.0, y + half.1)));
        }
        places.push(found);
    }
    places
}

/// Writes what the tags stand for in two columns; returns the lowest pixel used.
fn list(sheet: &mut Sheet, all: &[Spot], top: i32) -> i32 {
    let half = (WIDTH - 2 * MARGIN) / 2;
    let (mut x, mut y) = (MARGIN, top);
    for spot in all {
        let width = 78 + text_width(&spot.name) + 12;
        // A name too long for a column takes the whole line.
        if x > MARGIN && width > half {
            (x, y) = (MARGIN, y + LEADING);
        }
        sheet.small_marker(spot.shape, (x + 12, y + LEADING / 2), spot.colour, spot.filled);
        sheet.text(spot.tag.as_str(), (x + 48, y + LEADING / 2), Align::Centre, BLACK);
        for (at, line) in (0..).zip(wrap(&spot.name, WIDTH - 2 * MARGIN - 78)) {
            y += if at > 0 { LEADING } else { 0 };
            sheet.text(line, (x + 78, y + LEADING / 2), Align::Left, BLACK);
        }
        if x > MARGIN || width > half {
            (x, y) = (MARGIN, y + LEADING);
        } else {
            x += half;
        }
    }
    if x > MARGIN { y + LEADING } else { y }
}
