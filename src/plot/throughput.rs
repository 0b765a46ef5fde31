//! Images per second: against the key size where there are several, else by spec. Logarithmic, so points and no bars: there is no zero to stand on.

use std::collections::{BTreeMap, BTreeSet};

use plotters::style::RGBColor;

use super::axis::{Scale, decade_name, decades, log_range, rate};
use super::rows::{Entry, HALF, axis, lay_out, names_above};
use super::sheet::{
    Align, BLACK, BLUE, GREEN, GREY, LEADING, MARGIN, ORANGE, PALE, PURPLE, Point, SKY, Shape, Sheet, VERMILION, WIDTH, text_width, wrap,
};
use crate::report::{Naming, Row, labels};

/// Height of the data in the figure by key size, in pixels; more where there are many names beside it.
const HEIGHT: i32 = 560;

/// The figure, if any spec has online times.
pub(super) fn sheet(rows: &[&Row], footer: &str) -> Option<Sheet> {
    let shown: Vec<&Row> = rows.iter().copied().filter(|r| r.images_per_second.is_some()).collect();
    let first = shown.first()?;
    let keys: BTreeSet<u32> = shown.iter().filter(|r| !r.is_clear()).filter_map(|r| r.outcome.key_bits).collect();
    let name = format!("{}s per second", first.unit());
    Some(if keys.len() > 1 { by_key(&shown, &keys, &name, footer) } else { by_spec(&shown, &name, footer) })
}

/// Images per second with the slowest and fastest sample where there are several.
struct Rate {
    value: f64,
    range: Option<(f64, f64)>,
}

fn rate_of(row: &Row) -> Rate {
    let range = row.online_ns.filter(|s| s.count > 1 && s.min > 0.0).map(|s| (1e9 / s.max, 1e9 / s.min));
    Rate { value: row.images_per_second.unwrap_or_default(), range }
}

/// Every number that the axis must hold.
fn extent(rows: &[&Row]) -> (f64, f64) {
    log_range(rows.iter().map(|r| rate_of(r)).flat_map(|r| [r.value, r.range.map_or(r.value, |x| x.0), r.range.map_or(r.value, |x| x.1)]))
}

/// The fastest plaintext spec and its name.
fn baseline(rows: &[&Row]) -> Option<(f64, String)> {
    let clear: Vec<&Row> = rows.iter().copied().filter(|r| r.is_clear()).collect();
    let named = clear.iter().zip(labels(&clear, Naming::Whole)).map(|(r, name)| (rate_of(r).value, name));
    named.max_by(|a, b| a.0.total_cmp(&b.0))
}

fn colour(row: &Row) -> RGBColor {
    match row.outcome.backend.as_str() {
        "reference" => BLACK,
        "gmp" => BLUE,
        "ifma" => VERMILION,
        "gpu" => GREEN,
        _ => PURPLE,
    }
}

fn shape(row: &Row) -> Shape {
    match row.outcome.method.as_str() {
        "buckets" => Shape::Circle,
        "straus" => Shape::Triangle,
        "naive" => Shape::Square,
        "auto" => Shape::Wedge,
        _ => Shape::Diamond,
    }
}

/// Points of one backend and method over the key sizes.
struct Series<'a> {
    name: String,
    colour: RGBColor,
    shape: Shape,
    rows: BTreeMap<u32, &'a Row>,
    filled: bool,
}

fn series<'a>(rows: &[&'a Row]) -> Vec<Series<'a>> {
    let encrypted: Vec<&Row> = rows.iter().copied().filter(|r| !r.is_clear() && r.outcome.key_bits.is_some()).collect();
    let mut names = labels(&encrypted, Naming::OverKeys);
    // The packing usually follows from the key size. Only where one key size has several does it part the lines.
    let packings: [fn(&Row) -> String; 2] = [
        |r| if r.outcome.packing > 1 { "packed".into() } else { "unpacked".into() },
        |r| if r.outcome.packing > 1 { format!("{}/ct", r.outcome.packing) } else { String::new() },
    ];
    for packing in packings {
        let mut count: BTreeMap<(String, Option<u32>), usize> = BTreeMap::new();
        for (name, row) in names.iter().zip(&encrypted) {
            *count.entry((name.clone(), row.outcome.key_bits)).or_default() += 1;
        }
        let split: BTreeSet<String> = count.into_iter().filter(|(_, n)| *n > 1).map(|((name, _), _)| name).collect();
        for (name, row) in names.iter_mut().zip(&encrypted).filter(|(name, _)| split.contains(*name)) {
            *name = format!("{name} {}", packing(row)).trim_end().to_owned();
        }
    }
    let mut all: Vec<Series<'a>> = Vec::new();
    for (name, row) in names.into_iter().zip(&encrypted) {
        let Some(bits) = row.outcome.key_bits else { continue };
        if let Some(series) = all.iter_mut().find(|s| s.name == name) {
            series.rows.insert(bits, row);
            continue;
        }
        all.push(Series { name, colour: colour(row), shape: shape(row), rows: BTreeMap::from([(bits, *row)]), filled: true });
    }
    // Colour says the backend. Where there is one backend and colours enough, it says the line instead.
    let free = [BLUE, VERMILION, GREEN, BLACK, ORANGE, SKY];
    if all.len() <= free.len() && all.iter().all(|s| s.colour == all[0].colour) {
        all.iter_mut().zip(free).for_each(|(s, colour)| s.colour = colour);
    }
    for at in 1..all.len() {
        let (before, rest) = all.split_at_mut(at);
        rest[0].filled = !before.iter().any(|s| s.colour == rest[0].colour && s.shape == rest[0].shape);
    }
    all
}

fn by_key(rows: &[&Row], keys: &BTreeSet<u32>, name: &str, footer: &str) -> Sheet {
    let mut sheet = Sheet::new("throughput");
    let all = series(rows);
    let baseline = baseline(rows);
    let (low, high) = extent(rows);
    let names = all.iter().map(|s| text_width(&s.name)).chain(baseline.iter().map(|(_, n)| text_width(n))).max().unwrap_or(0);
    // Names stand at the line ends where that leaves the data more than half of the width, else below.
    let beside = names <= WIDTH * 2 / 5;
    let count = i32::try_from(all.len() + 1).unwrap_or(1);
    let height = if beside { HEIGHT.max(count * LEADING) } else { HEIGHT };
    let numbers = decades(low, high).map(|e| text_width(&decade_name(e))).max().unwrap_or(0);
    let left = MARGIN + LEADING + numbers + 16;
    let right = if beside { WIDTH - MARGIN - names - 84 } else { WIDTH - MARGIN - 20 };
    let (top, bottom) = (MARGIN + LEADING / 2, MARGIN + LEADING / 2 + height);
    let y = Scale::log((low, high), (bottom, top));
    let (least, most) = (f64::from(*keys.first().unwrap_or(&1)), f64::from(*keys.last().unwrap_or(&2)));
    let x = Scale::log((least, most), (left + 45, right - 20));

    let every = if decades(low, high).count() > 11 { 2 } else { 1 };
    for exponent in decades(low, high).step_by(every) {
        let at = y.at(10_f64.powi(exponent));
        sheet.line(vec![(left, at), (right, at)], PALE, 2);
        sheet.text(decade_name(exponent), (left - 12, at), Align::Right, BLACK);
    }
    sheet.upright(name, (MARGIN + 16, i32::midpoint(top, bottom)), BLACK);
    sheet.line(vec![(left, top), (left, bottom), (right, bottom)], GREY, 3);
    let mut free = i32::MIN;
    let toys = keys.iter().any(|bits| *bits < 2048);
    for &bits in keys {
        let at = x.at(f64::from(bits));
        sheet.line(vec![(at, bottom), (at, bottom + 8)], GREY, 2);
        let half = text_width(&bits.to_string()) / 2;
        if at - half < free {
            continue;
        }
        sheet.text(bits.to_string(), (at, bottom + 12 + LEADING / 2), Align::Centre, BLACK);
        if bits < 2048 {
            sheet.text("toy", (at, bottom + 12 + LEADING * 3 / 2), Align::Centre, GREY);
        }
        free = at + half + 12;
    }
    let mut foot = bottom + 12 + LEADING * 3 / 2 + if toys { LEADING } else { 0 };
    sheet.text("key size (bits)", (i32::midpoint(left, right), foot), Align::Centre, BLACK);
    foot += LEADING / 2;

    if let Some((value, _)) = &baseline {
        let at = y.at(*value);
        sheet.dashed((left, at), (right, at), PURPLE);
    }
    let mut ends: Vec<End> = Vec::new();
    for s in &all {
        let points: Vec<Point> = s.rows.iter().map(|(bits, row)| (x.at(f64::from(*bits)), y.at(rate_of(row).value))).collect();
        let Some(&last) = points.last() else { continue };
        ends.push(End { name: &s.name, at: last, colour: s.colour, marker: Some((s.shape, s.filled)) });
        if beside {
            continue;
        }
        foot = listed(&mut sheet, foot, &s.name, |sheet, at| sheet.marker(s.shape, at, s.colour, s.filled));
    }
    if let Some((value, name)) = &baseline {
        ends.push(End { name, at: (right, y.at(*value)), colour: PURPLE, marker: None });
        if !beside {
            foot = listed(&mut sheet, foot, name, |sheet, at| sheet.dashed((at.0 - 19, at.1), (at.0 + 19, at.1), PURPLE));
        }
    }
    // Leaders lie below the data.
    if beside {
        name_ends(&mut sheet, &mut ends, right, (top, bottom));
    }
    for s in &all {
        plot_series(&mut sheet, s, &x, &y);
    }
    sheet.finish(foot, footer)
}

fn plot_series(sheet: &mut Sheet, series: &Series<'_>, x: &Scale, y: &Scale) {
    let points: Vec<(Point, &Row)> = series.rows.iter().map(|(bits, row)| ((x.at(f64::from(*bits)), y.at(rate_of(row).value)), *row)).collect();
    if points.len() > 1 {
        sheet.line(points.iter().map(|(at, _)| *at).collect(), series.colour, 4);
    }
    for (at, row) in points {
        if let Some((low, high)) = rate_of(row).range {
            let (low, high) = (y.at(low), y.at(high));
            sheet.line(vec![(at.0, low), (at.0, high)], series.colour, 3);
            for end in [low, high] {
                sheet.line(vec![(at.0 - 9, end), (at.0 + 9, end)], series.colour, 3);
            }
        }
        sheet.marker(series.shape, at, series.colour, series.filled);
    }
}

/// A line's last point and the name that belongs there.
struct End<'a> {
    name: &'a str,
    at: Point,
    colour: RGBColor,
    /// Shape and filling of the line's markers; a line without markers has none here either.
    marker: Option<(Shape, bool)>,
}

/// Writes names beside the data in the order of the line ends, moved apart where the ends lie closer than text.
fn name_ends(sheet: &mut Sheet, ends: &mut [End<'_>], right: i32, (top, bottom): (i32, i32)) {
    ends.sort_by_key(|end| end.at.1);
    let mut places: Vec<i32> = ends.iter().map(|end| end.at.1).collect();
    let mut free = top;
    for place in &mut places {
        *place = (*place).max(free);
        free = *place + LEADING;
    }
    let mut free = bottom;
    for place in places.iter_mut().rev() {
        *place = (*place).min(free);
        free = *place - LEADING;
    }
    for (end, place) in ends.iter().zip(places) {
        // Without a marker the leader runs on to the name, in the line's own colour.
        let (to, colour) = if end.marker.is_some() { (right + 42, PALE) } else { (right + 74, end.colour) };
        sheet.line(vec![end.at, (right + 6, end.at.1), (right + 42, place), (to, place)], colour, if end.marker.is_some() { 2 } else { 3 });
        if let Some((shape, filled)) = end.marker {
            sheet.marker(shape, (right + 60, place), end.colour, filled);
        }
        sheet.text(end.name, (right + 82, place), Align::Left, BLACK);
    }
}

/// Writes one line of a key below the figure; returns the lowest pixel used.
fn listed(sheet: &mut Sheet, foot: i32, name: &str, mark: impl Fn(&mut Sheet, Point)) -> i32 {
    let mut foot = foot;
    mark(sheet, (MARGIN + 22, foot + LEADING / 2 + 8));
    for line in wrap(name, WIDTH - 2 * MARGIN - 60) {
        sheet.text(line, (MARGIN + 60, foot + LEADING / 2 + 8), Align::Left, BLACK);
        foot += LEADING;
    }
    foot
}

fn by_spec(rows: &[&Row], name: &str, footer: &str) -> Sheet {
    let mut sheet = Sheet::new("throughput");
    let entries: Vec<Entry> =
        labels(rows, Naming::Whole).into_iter().zip(rows).map(|(name, row)| Entry::Row(name, rate(rate_of(row).value))).collect();
    let layout = lay_out(&mut sheet, MARGIN, &name.replace(" per second", "/s"), &entries);
    let (low, high) = extent(rows);
    let scale = Scale::log((low, high), layout.x);
    let ticks: Vec<(i32, String)> = decades(low, high).map(|e| (scale.at(10_f64.powi(e)), decade_name(e))).collect();
    let baseline = baseline(rows);
    let name = if baseline.is_some() { format!("{name} (dashed: fastest plaintext)") } else { name.to_owned() };
    let bottom = axis(&mut sheet, &layout, &ticks, &name, names_above(&layout, &entries));
    for &y in &layout.y {
        sheet.line(vec![(layout.x.0, y), (layout.x.1, y)], PALE, 2);
        if let Some((value, _)) = &baseline {
            sheet.dashed((scale.at(*value), y - HALF - 4), (scale.at(*value), y + HALF + 6), PURPLE);
        }
    }
    for (row, &y) in rows.iter().zip(&layout.y) {
        let rate = rate_of(row);
        let colour = if row.is_clear() { PURPLE } else { colour(row) };
        if let Some((low, high)) = rate.range {
            let (low, high) = (scale.at(low), scale.at(high));
            sheet.line(vec![(low, y), (high, y)], colour, 3);
            for end in [low, high] {
                sheet.line(vec![(end, y - 9), (end, y + 9)], colour, 3);
            }
        }
        sheet.marker(if row.is_clear() { Shape::Diamond } else { shape(row) }, (scale.at(rate.value), y), colour, !row.is_clear());
    }
    sheet.finish(bottom, footer)
}
