//! What accuracy costs: accuracy against the width of a slot, and against throughput, beside published systems.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::RGBColor;

use super::accuracy::wilson;
use super::axis::{Axis, Room};
use super::lines::{Dot, Guide, Line, chart};
use super::palette::{CLEAR, FOREIGN, hue, shape};
use super::series::{Quantity, mark, open, with_hidden};
use super::sheet::{
    Align, BLACK, Footer, GREY, INSET, LEADING, LEAST_POINTS, MARGIN, PALE, Point, RADIUS, Shape, Sheet, WIDTH, clip, text_width, wrap,
};
use crate::report::quoted::{MARK, Quoted};
use crate::report::{Row, comparable_accuracies};

/// Height of the data of the front, in pixels.
const HEIGHT: i32 = 600;

/// Accuracy against the width of a slot: the best of all precisions that need the width, for each feature map.
pub(super) fn slots(rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
    let verified = |r: &&&Row| r.outcome.error.is_none() && r.outcome.verified && r.outcome.accuracy.is_some() && r.outcome.images > 0;
    let mut maps: Vec<(String, String)> = Vec::new();
    for row in rows.iter().filter(verified) {
        let map = (row.outcome.dataset.clone(), row.outcome.features.clone());
        if !maps.contains(&map) {
            maps.push(map);
        }
    }
    let sets = maps.iter().map(|(dataset, _)| dataset).collect::<BTreeSet<_>>().len();
    let (mut lines, mut guides) = (Vec::new(), Vec::new());
    for (dataset, map) in &maps {
        let name = if sets > 1 { format!("{dataset} {map}") } else { map.clone() };
        let own = || rows.iter().filter(verified).filter(|r| r.outcome.dataset == *dataset && r.outcome.features == *map);
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
        if best.len() < LEAST_POINTS {
            continue;
        }
        let dots = best.into_iter().map(|(bits, accuracy)| Dot { x: f64::from(bits), y: 100.0 * accuracy, range: Some(wilson(accuracy, most)) });
        // Ciphertexts change no accuracy, so no backend is meant.
        let first = lines.iter().all(|line: &Line| line.shape != shape(map));
        lines.push(Line { name: name.clone(), colour: FOREIGN, shape: shape(map), filled: first, dots: dots.collect(), every: 1 });
        guides.extend(float.map(|accuracy| Guide { name: format!("{name}, f32"), points: vec![(0.0, 100.0 * accuracy)], colour: CLEAR }));
    }
    if lines.is_empty() {
        return Err("no feature map has rows with three widths of slots".into());
    }
    let all = || lines.iter().flat_map(|l| &l.dots);
    let ends = |values: &mut dyn Iterator<Item = f64>| values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let wide = ends(&mut all().map(|d| d.x));
    let high = ends(&mut all().flat_map(|d| d.extent()).chain(guides.iter().flat_map(|g| g.points.iter().map(|(_, y)| *y))));
    let y_axis = |room| Axis::percent("accuracy (%)", high, room);
    let footer = footer.with("best of all precisions of each width").with("bars: 95 % Wilson intervals");
    let footer = footer.with(y_axis(Room::Up(HEIGHT)).start().unwrap_or_default());
    Ok(chart("slots", (&|room| Axis::whole("width of a slot (bits)", wide, room), &y_axis), &lines, &guides, &footer))
}

/// A system in the front.
struct Spot {
    /// What stands beside the marker: the bits of a key, or the letter of a quoted system.
    tag: String,
    per_second: f64,
    accuracy: f64,
    colour: RGBColor,
    shape: Shape,
    filled: bool,
}

/// Accuracy against throughput: the fastest row of each kind, and quoted systems as hollow markers.
///
/// All of ours are on one test set. The accuracy is that of the model, from the row that classified most images: ciphertexts do not change it.
pub(super) fn front(rows: &[&Row], quoted: &[Quoted], footer: &Footer) -> Result<Sheet, String> {
    let (ours, images, hidden) = fastest(rows);
    if ours.is_empty() {
        return Err("no row has both an accuracy and times of full batches".into());
    }
    let theirs = quoted.iter().filter_map(|q| Some((q, q.accuracy_percent?, q.images_per_second()?))).filter(|(q, ..)| q.accuracy_note.is_empty());
    let theirs: Vec<(String, Spot)> = theirs
        .zip(('a'..='z').chain('A'..='Z'))
        .map(|((q, accuracy, per_second), tag)| {
            let spot = Spot { tag: tag.to_string(), per_second, accuracy, colour: BLACK, shape: Shape::Diamond, filled: false };
            (format!("{tag} {}{MARK}", q.name()), spot)
        })
        .collect();
    let spots = || ours.iter().map(|(_, spot)| spot).chain(theirs.iter().map(|(_, spot)| spot));

    let range = spots().fold((100.0_f64, 0.0_f64), |(a, b), s| (a.min(s.accuracy), b.max(s.accuracy)));
    if range.1 - range.0 < 1e-9 {
        return Err("all rows have one accuracy".into());
    }

    let mut sheet = Sheet::new("front");
    let (top, bottom) = (MARGIN + LEADING / 2, MARGIN + LEADING / 2 + HEIGHT);
    let y_axis = Axis::percent("accuracy (%)", range, Room::Up(HEIGHT - 2 * INSET));
    let left = MARGIN + LEADING + y_axis.names().map(text_width).max().unwrap_or(0) + 16;
    let right = WIDTH - MARGIN - 20;
    let inside = (left + INSET + 10, right - INSET - 10);
    let x_axis = Axis::log("images per second", spots().map(|s| s.per_second), Room::Across(inside.1 - inside.0));
    let (x, y) = (x_axis.scale(inside), y_axis.scale((bottom - INSET, top + INSET)));
    sheet.axis(y_axis.names());
    sheet.axis(x_axis.names());
    for tick in &y_axis.ticks {
        sheet.line(vec![(left, y.at(tick.at)), (right, y.at(tick.at))], PALE, 2);
        sheet.text(tick.name.as_str(), (left - 12, y.at(tick.at)), Align::Right, BLACK);
    }
    for tick in &x_axis.ticks {
        let at = x.at(tick.at);
        if tick.name.is_empty() {
            sheet.line(vec![(at, bottom), (at, bottom + 5)], GREY, 2);
        } else {
            sheet.line(vec![(at, top), (at, bottom)], PALE, 2);
            sheet.line(vec![(at, bottom), (at, bottom + 8)], GREY, 2);
            sheet.text(tick.name.as_str(), (at, bottom + 12 + LEADING / 2), Align::Centre, BLACK);
        }
    }
    sheet.upright(&y_axis.name, (MARGIN + 16, i32::midpoint(top, bottom)), HEIGHT, BLACK);
    sheet.frame((left, top), (right, bottom));
    sheet.text(x_axis.name.as_str(), (i32::midpoint(left, right), bottom + 12 + LEADING * 3 / 2), Align::Centre, BLACK);

    let all: Vec<&Spot> = spots().collect();
    let at: Vec<Point> = all.iter().map(|s| (x.at(s.per_second), y.at(s.accuracy))).collect();
    let tags = place(&all, &at, ((left, top), (right, bottom)));
    for (spot, (&from, to)) in all.iter().zip(at.iter().zip(&tags)) {
        let Some(to) = *to else { continue };
        // A tag that found no room beside its marker is led there.
        if (to.0 - from.0).abs() > text_width(&spot.tag) / 2 + 2 * RADIUS || (to.1 - from.1).abs() > 17 + 2 * RADIUS {
            sheet.line(vec![from, to], GREY, 2);
        }
        sheet.text(spot.tag.as_str(), to, Align::Centre, BLACK);
    }
    // Ours on top: they come first in the list and last on the sheet.
    for (spot, &at) in all.iter().zip(&at).rev() {
        sheet.marker(spot.shape, at, spot.colour, spot.filled);
    }
    for (name, _) in ours.iter().map(|(row, spot)| (format!("{} {} {}", row.outcome.backend, row.outcome.features, spot.tag), spot)) {
        sheet.label(name);
    }
    let foot = key(&mut sheet, &ours, bottom + 12 + LEADING * 2);
    let foot = list(&mut sheet, theirs.iter().map(|(name, _)| name.as_str()), foot);
    let keys = match ours.iter().find(|(row, _)| row.outcome.key_bits.is_some()) {
        Some(_) if ours.iter().any(|(_, spot)| spot.tag.contains('/')) => "numbers: bits of the key, of features and weights",
        Some(_) => "numbers: bits of the key",
        None => "",
    };
    let quoted =
        if theirs.is_empty() { String::new() } else { format!("{MARK} quoted: other machines, networks and batch sizes, not measured here") };
    let shown: Vec<&Row> = ours.iter().map(|(row, _)| *row).collect();
    let footer = with_hidden(hidden, "on fewer images or other test sets", footer)
        .with(images)
        .with(keys)
        .with(open(&shown))
        .with(y_axis.start().unwrap_or_default());
    Ok(sheet.finish(foot, &footer.with(quoted)))
}

/// The fastest row of each protection, backend, feature map, precision and key size with the accuracy
/// of its model; on which images; and how many rows were not measured on those.
fn fastest<'a>(rows: &[&'a Row]) -> (Vec<(&'a Row, Spot)>, String, usize) {
    let rate = |r: &Row| Quantity::Throughput.of(r).map(|(v, _)| v);
    let kind = |r: &Row| {
        let o = &r.outcome;
        let own = (!r.is_clear()).then(|| (o.backend.clone(), r.software, o.feature_bits, o.weight_bits));
        (o.scheme.clone(), own, o.features.clone(), o.key_bits)
    };
    let good: Vec<&Row> = rows.iter().copied().filter(|r| r.outcome.accuracy.is_some() && r.outcome.verified && r.outcome.error.is_none()).collect();
    let (dataset, images, accuracies) = comparable_accuracies(&good);
    let mut hidden = 0;
    let mut kept: Vec<(&Row, f64, f64)> = Vec::new();
    for (row, accuracy) in good.into_iter().zip(accuracies) {
        let Some(rate) = rate(row) else { continue };
        let Some(accuracy) = accuracy else {
            hidden += 1;
            continue;
        };
        match kept.iter_mut().find(|(known, ..)| kind(known) == kind(row)) {
            // In the clear the most accurate precision stands for all: the fastest is the coarsest.
            Some(known) if row.is_clear() && (accuracy, rate) > (known.2, known.1) || !row.is_clear() && rate > known.1 => {
                *known = (row, rate, accuracy)
            }
            Some(_) => {}
            None => kept.push((row, rate, accuracy)),
        }
    }
    // Where a system stands there in several precisions, its tags say which.
    let system = |r: &Row| (r.outcome.scheme.clone(), r.outcome.backend.clone(), r.software, r.outcome.features.clone(), r.outcome.key_bits);
    let precise: Vec<bool> = kept.iter().map(|(row, ..)| kept.iter().filter(|(other, ..)| system(other) == system(row)).count() > 1).collect();
    let spot = |((row, per_second, accuracy), precise): ((&'a Row, f64, f64), bool)| {
        let o = &row.outcome;
        let key = o.key_bits.map_or_else(|| o.method.clone(), |bits| format!("{bits}{}", if row.toy { " toy" } else { "" }));
        let bits = |bits: Option<u32>| bits.map_or_else(|| "?".into(), |bits| bits.to_string());
        let precision = if precise { format!(" {}/{}", bits(o.feature_bits), bits(o.weight_bits)) } else { String::new() };
        let tag = if row.is_clear() { String::new() } else { key + &precision };
        (row, Spot { tag, per_second, accuracy: 100.0 * accuracy, colour: hue(row), shape: shape(&o.features), filled: !row.is_clear() })
    };
    (kept.into_iter().zip(precise).map(spot).collect(), format!("accuracy on {images} images of {dataset}"), hidden)
}

/// Finds a place for every tag that meets no marker and no other tag; none where there is no room, and for tags without words.
fn place(all: &[&Spot], at: &[Point], ((left, top), (right, bottom)): (Point, Point)) -> Vec<Option<Point>> {
    let reach = RADIUS * 4 / 3 + 1;
    let mut taken: Vec<(Point, Point)> = at.iter().map(|(x, y)| ((x - reach, y - reach), (x + reach, y + reach))).collect();
    let mut places = Vec::new();
    for (spot, &(x, y)) in all.iter().zip(at) {
        let half = (text_width(&spot.tag) / 2 + 3, 17);
        let near = [0, 8, 20, 36, 56, 80, 120, 170, 230].into_iter().flat_map(|r| {
            let (across, down) = (half.0 + reach + r, half.1 + reach + r);
            let slant = (across * 3 / 4, down * 3 / 4);
            [(across, 0), (-across, 0), (0, -down), (0, down), (slant.0, -slant.1), (-slant.0, -slant.1), (slant.0, slant.1), (-slant.0, slant.1)]
        });
        let found = near.map(|(dx, dy)| (x + dx, y + dy)).filter(|_| !spot.tag.is_empty()).find(|&(x, y)| {
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

/// Names what hue, shape and filling of our markers say, one marker for each; returns the lowest pixel used.
fn key(sheet: &mut Sheet, ours: &[(&Row, Spot)], top: i32) -> i32 {
    let mut known: Vec<String> = Vec::new();
    let (mut x, mut y) = (MARGIN, top);
    for (row, spot) in ours {
        let software = if row.software { " (software)" } else { "" };
        let system = if row.is_clear() { "plaintext".to_owned() } else { format!("{}{software}", row.outcome.backend) };
        let name = format!("{system}, {}", row.outcome.features) + mark(row);
        let name = clip(&name, WIDTH - 2 * MARGIN - 44);
        if known.contains(&name) {
            continue;
        }
        let width = 44 + text_width(&name) + 24;
        if x > MARGIN && x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + LEADING);
        }
        sheet.swatch(spot.shape, (x + 14, y + LEADING / 2), spot.colour, spot.filled);
        sheet.text(name.as_str(), (x + 38, y + LEADING / 2), Align::Left, BLACK);
        x += width;
        known.push(name);
    }
    y + LEADING
}

/// Writes what the letters stand for in three columns; returns the lowest pixel used.
fn list<'a>(sheet: &mut Sheet, names: impl Iterator<Item = &'a str>, top: i32) -> i32 {
    const COLUMNS: i32 = 3;
    let column = (WIDTH - 2 * MARGIN) / COLUMNS;
    let (mut x, mut y) = (MARGIN, top);
    for name in names {
        let width = text_width(name) + 12;
        // A name too long for a column takes more of them.
        let columns = (width + column - 1) / column;
        if x > MARGIN && x + columns * column > WIDTH - MARGIN + COLUMNS {
            (x, y) = (MARGIN, y + LEADING);
        }
        for (at, line) in (0..).zip(wrap(name, WIDTH - MARGIN - x)) {
            y += if at > 0 { LEADING } else { 0 };
            sheet.text(line, (x, y + LEADING / 2), Align::Left, BLACK);
        }
        x += columns * column;
        if x + column > WIDTH - MARGIN + COLUMNS {
            (x, y) = (MARGIN, y + LEADING);
        }
    }
    if x > MARGIN { y + LEADING } else { y }
}
