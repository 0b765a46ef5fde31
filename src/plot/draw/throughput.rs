//! Throughput and latency: against the key size where there are several, else by spec; and throughput against threads, images per ciphertext and batch.
//! Logarithmic, so points and no bars: there is no zero to stand on.

use super::axis::{Axis, duration, rate};
use super::lines::{Guide, Line, chart};
use super::palette::{CLEAR, hue, shape};
use super::rows::{HALF, draw_axis, lay_out};
use super::series::{Over, Quantity, condensed, entries, grouped, lines, names, open, with_hidden};
use super::sheet::{Footer, GREY, MARGIN, Sheet};
use crate::report::{Naming, Row};

/// What the bars are.
const BARS: &str = "bars: 95 % bootstrap intervals of the median, where longer than the marker";

/// Throughput, if any spec has online times of full batches.
pub(super) fn throughput(rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
    sheet("throughput", rows, Quantity::Throughput, footer)
}

/// Latency, if any spec classified one image at a time.
pub(super) fn latency(rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
    sheet("latency", rows, Quantity::Latency, footer)
}

/// Throughput against one size, if rows differ in it alone.
pub(super) fn scaling(name: &'static str, rows: &[&Row], over: Over, footer: &Footer) -> Result<Sheet, String> {
    let (lines, _) = lines(rows, over, Quantity::Throughput);
    if lines.is_empty() {
        return Err(format!("no three rows of full batches differ in {} alone", over.name()));
    }
    let unit = rows.first().map_or("image", |r| r.unit());
    // What would be twice as fast on twice as many threads is what the fastest line is compared
    // with.
    let slope = |line: &Line| {
        let (first, last) = (line.dots.first()?, line.dots.last()?);
        let points = vec![(first.x, first.y), (last.x, first.y * last.x / first.x)];
        Some((last.y, Guide { name: "in proportion".into(), colour: GREY, points }))
    };
    let fastest = lines.iter().filter_map(slope).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, guide)| guide);
    let guides: Vec<Guide> = fastest.filter(|_| over == Over::Threads).into_iter().collect();
    Ok(over_size(name, &lines, &guides, (over, Quantity::Throughput), unit, &footer.with(open(rows))))
}

fn sheet(name: &'static str, rows: &[&Row], quantity: Quantity, footer: &Footer) -> Result<Sheet, String> {
    let shown: Vec<&Row> = rows.iter().copied().filter(|r| quantity.of(r).is_some()).collect();
    let Some(first) = shown.first() else {
        return Err(if quantity == Quantity::Throughput { "no row has times of full batches" } else { "no row of scenario single has times" }.into());
    };
    let unit = first.unit();
    let footer = footer.with(open(&shown));
    let (lines, hidden) = lines(&shown, Over::Key, quantity);
    if lines.is_empty() {
        return Ok(by_spec(name, &shown, quantity, unit, &footer));
    }
    let footer = with_hidden(hidden, "of other kinds", &footer);
    // Plaintext one image at a time takes microseconds, of which reading the clocks is a good part.
    let guides: Vec<Guide> = baseline(&shown).filter(|_| quantity == Quantity::Throughput).into_iter().collect();
    Ok(over_size(name, &lines, &guides, (Over::Key, quantity), unit, &footer))
}

fn over_size(name: &'static str, lines: &[Line], guides: &[Guide], (over, quantity): (Over, Quantity), unit: &str, footer: &Footer) -> Sheet {
    let dots = || lines.iter().flat_map(|l| &l.dots);
    let values = || dots().flat_map(|d| d.extent()).chain(guides.iter().flat_map(|g| g.points.iter().map(|(_, y)| *y)));
    let y_name = if quantity == Quantity::Throughput { format!("{unit}s per second") } else { format!("ms per {unit}") };
    let bars = if dots().any(|dot| dot.range.is_some()) { BARS } else { "" };
    let x_axis = |room| {
        let mut axis = Axis::sizes(over.name(), dots().map(|d| d.x), room);
        axis.ticks.iter_mut().filter(|t| over == Over::Key && t.at < 2048.0).for_each(|t| t.below = "toy");
        axis
    };
    chart(name, (&x_axis, &|room| Axis::log(y_name.as_str(), values(), room)), lines, guides, &footer.with(bars))
}

/// The fastest plaintext spec.
fn baseline(rows: &[&Row]) -> Option<Guide> {
    let clear: Vec<&Row> = rows.iter().copied().filter(|r| r.is_clear()).collect();
    let named = clear.iter().zip(names(&clear, Naming::Whole)).filter_map(|(r, name)| Some((Quantity::Throughput.of(r)?.0, name)));
    named.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(y, name)| Guide { name, points: vec![(0.0, y)], colour: CLEAR })
}

fn by_spec(name: &'static str, rows: &[&Row], quantity: Quantity, unit: &str, footer: &Footer) -> Sheet {
    let (rows, hidden) = condensed(rows);
    let mut sheet = Sheet::new(name);
    let value = |row: &Row| quantity.of(row).unwrap_or((f64::NAN, None));
    let words = |row: &Row| if quantity == Quantity::Throughput { rate(value(row).0) } else { duration(value(row).0 * 1e6) };
    let (column, title) = if quantity == Quantity::Throughput {
        (format!("{unit}s/s"), format!("{unit}s per second"))
    } else {
        (format!("per {unit}"), format!("ms per {unit}"))
    };
    let (entries, rows) = entries(grouped(&rows), words);
    let layout = lay_out(&mut sheet, MARGIN, &column, &entries);
    let extents = rows.iter().map(|r| value(r)).flat_map(|(v, range)| [v, range.map_or(v, |r| r.0), range.map_or(v, |r| r.1)]);
    let axis = Axis::log(title, extents, layout.room());
    let scale = layout.scale(&axis);
    let bottom = draw_axis(&mut sheet, &layout, &axis);
    let fastest = baseline(&rows).filter(|_| quantity == Quantity::Throughput);
    for (&y, level) in layout.y.iter().zip(fastest.iter().flat_map(|guide| &guide.points).cycle()) {
        sheet.dashed((scale.at(level.1), y - HALF - 4), (scale.at(level.1), y + HALF + 6), CLEAR);
    }
    let mut bars = "";
    for (row, &y) in rows.iter().zip(&layout.y) {
        let (value, range) = value(row);
        let at = (scale.at(value), y);
        if let Some((low, high)) = range {
            sheet.interval(at, ((scale.at(low), y), (scale.at(high), y)), hue(row));
            bars = BARS;
        }
        sheet.marker(shape(&row.outcome.features), at, hue(row), !row.is_clear());
    }
    let dashes = if fastest.is_some() { "dashed: fastest plaintext" } else { "" };
    sheet.finish(bottom, &with_hidden(hidden, "slower than another of their kind", footer).with(dashes).with(bars))
}
