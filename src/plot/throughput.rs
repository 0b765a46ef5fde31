//! Throughput and latency: against the key size where there are several, else by spec; and throughput against threads, images per ciphertext and batch.
//! Logarithmic, so points and no bars: there is no zero to stand on.

use super::axis::{Scale, duration, log_axis, rate};
use super::lines::{Axis, Level, Tick, chart};
use super::rows::{Entry, HALF, axis, lay_out, names_above};
use super::series::{Over, Quantity, colour, condensed, lines, with_hidden};
use super::sheet::{MARGIN, PALE, PURPLE, Shape, Sheet};
use crate::report::{Naming, Row, labels};

/// Says what the bars are, where there are any.
fn with_bars(rows: &[&Row], quantity: Quantity, footer: &str) -> String {
    let any = rows.iter().any(|row| quantity.of(row).is_some_and(|(_, range)| range.is_some()));
    let words = "; bars: 95 % bootstrap intervals of the median (from six samples on), where wider than the marker";
    format!("{footer}{}", if any { words } else { "" })
}

/// Throughput, if any spec has online times of full batches.
pub(super) fn throughput(rows: &[&Row], footer: &str) -> Result<Sheet, String> {
    sheet("throughput", rows, Quantity::Throughput, footer)
}

/// Latency, if any spec classified one image at a time.
pub(super) fn latency(rows: &[&Row], footer: &str) -> Result<Sheet, String> {
    sheet("latency", rows, Quantity::Latency, footer)
}

/// Throughput against one size, if rows differ in it alone.
pub(super) fn scaling(name: &'static str, rows: &[&Row], over: Over, footer: &str) -> Result<Sheet, String> {
    let (lines, _) = lines(rows, over, Quantity::Throughput);
    if lines.is_empty() {
        return Err(format!("no two verified rows of full batches differ in {} alone", over.name()));
    }
    let unit = rows.first().map_or("image", |r| r.unit());
    Ok(over_size(name, &lines, &[], (over, Quantity::Throughput), unit, &with_bars(rows, Quantity::Throughput, footer)))
}

fn sheet(name: &'static str, rows: &[&Row], quantity: Quantity, footer: &str) -> Result<Sheet, String> {
    let shown: Vec<&Row> = rows.iter().copied().filter(|r| quantity.of(r).is_some()).collect();
    let Some(first) = shown.first() else {
        return Err(if quantity == Quantity::Throughput { "no row has times of full batches" } else { "no row of scenario single has times" }.into());
    };
    let unit = first.unit();
    let (lines, hidden) = lines(&shown, Over::Key, quantity);
    if lines.is_empty() {
        return Ok(by_spec(name, &shown, quantity, unit, footer));
    }
    let footer = with_hidden(hidden, "of other kinds", footer);
    // Plaintext one image at a time takes microseconds, of which reading the clocks is a good part.
    let levels: Vec<Level> = if quantity == Quantity::Throughput { baseline(&shown).into_iter().collect() } else { Vec::new() };
    Ok(over_size(name, &lines, &levels, (Over::Key, quantity), unit, &with_bars(&shown, quantity, &footer)))
}

fn over_size(
    name: &'static str,
    lines: &[super::lines::Line],
    levels: &[Level],
    (over, quantity): (Over, Quantity),
    unit: &str,
    footer: &str,
) -> Sheet {
    let values = lines.iter().flat_map(|l| &l.dots).flat_map(|d| [d.y, d.range.map_or(d.y, |r| r.0), d.range.map_or(d.y, |r| r.1)]);
    let (range, ticks) = log_axis(values.chain(levels.iter().map(|l| l.y)));
    let y_name = if quantity == Quantity::Throughput { format!("{unit}s per second") } else { format!("ms per {unit}") };
    let mut sizes: Vec<f64> = lines.iter().flat_map(|l| l.dots.iter().map(|d| d.x)).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let ends = (sizes.first().copied().unwrap_or(1.0), sizes.last().copied().unwrap_or(2.0));
    let toy = |bits: f64| if over == Over::Key && bits < 2048.0 { "toy" } else { "" };
    let ticks_x = sizes.iter().map(|&at| Tick { at, name: format!("{at:.0}"), below: toy(at) }).collect();
    let x_axis = Axis { range: ends, log: true, ticks: ticks_x, name: over.name().into() };
    chart(name, (&x_axis, &Axis::new(y_name, range, true, ticks)), lines, levels, footer)
}

/// The fastest plaintext spec.
fn baseline(rows: &[&Row]) -> Option<Level> {
    let clear: Vec<&Row> = rows.iter().copied().filter(|r| r.is_clear()).collect();
    let named = clear.iter().zip(labels(&clear, Naming::Whole)).filter_map(|(r, name)| Some((Quantity::Throughput.of(r)?.0, name)));
    named.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(y, name)| Level { name, y, colour: PURPLE })
}

fn by_spec(name: &'static str, rows: &[&Row], quantity: Quantity, unit: &str, footer: &str) -> Sheet {
    let (rows, hidden) = condensed(rows);
    let mut sheet = Sheet::new(name);
    let value = |row: &Row| quantity.of(row).map_or((f64::NAN, None), |v| v);
    let words = |v: f64| if quantity == Quantity::Throughput { rate(v) } else { duration(v * 1e6) };
    let entries: Vec<Entry> = labels(&rows, Naming::Whole).into_iter().zip(&rows).map(|(name, row)| Entry::Row(name, words(value(row).0))).collect();
    let (column, title) = if quantity == Quantity::Throughput {
        (format!("{unit}s/s"), format!("{unit}s per second"))
    } else {
        (format!("per {unit}"), format!("ms per {unit}"))
    };
    let layout = lay_out(&mut sheet, MARGIN, &column, &entries);
    let (extent, named) = log_axis(rows.iter().map(|r| value(r)).flat_map(|(v, range)| [v, range.map_or(v, |r| r.0), range.map_or(v, |r| r.1)]));
    let scale = Scale::log(extent, layout.x);
    let ticks: Vec<(i32, String)> = named.into_iter().map(|(at, name)| (scale.at(at), name)).collect();
    let baseline = if quantity == Quantity::Throughput { baseline(&rows) } else { None };
    let title = if baseline.is_some() { format!("{title} (dashed: fastest plaintext)") } else { title };
    let bottom = axis(&mut sheet, &layout, &ticks, &title, names_above(&layout, &entries));
    for &y in &layout.y {
        sheet.line(vec![(layout.x.0, y), (layout.x.1, y)], PALE, 2);
        if let Some(level) = &baseline {
            sheet.dashed((scale.at(level.y), y - HALF - 4), (scale.at(level.y), y + HALF + 6), PURPLE);
        }
    }
    for (row, &y) in rows.iter().zip(&layout.y) {
        let (value, range) = value(row);
        let colour = if row.is_clear() { PURPLE } else { colour(row) };
        if let Some((low, high)) = range {
            let (low, high) = (scale.at(low), scale.at(high));
            sheet.line(vec![(low, y), (high, y)], colour, 3);
            for end in [low, high] {
                sheet.line(vec![(end, y - 9), (end, y + 9)], colour, 3);
            }
        }
        sheet.marker(if row.is_clear() { Shape::Diamond } else { Shape::Circle }, (scale.at(value), y), colour, !row.is_clear());
    }
    sheet.finish(bottom, &with_bars(&rows, quantity, &with_hidden(hidden, "slower than another of their kind", footer)))
}
