//! Bars of shares: what the parts of a whole take, one bar per spec, with the whole in words beside
//! it.

use plotters::style::RGBColor;

use super::axis::Axis;
use super::rows::{Entry, HALF, base, draw_axis, lay_out};
use super::sheet::{Align, BLACK, Footer, LEADING, MARGIN, Sheet, WIDTH, text_width};

/// A part that is less than this many percent of every bar is neither drawn nor named, as it could
/// not be seen.
const LEAST: f64 = 0.5;

/// A part of the whole.
pub(super) struct Part {
    pub name: &'static str,
    pub fill: RGBColor,
}

/// The chart of rows whose parts are given in the order of `parts`, in any unit. `column` heads the
/// wholes, which the entries have in words.
pub(super) fn chart(
    name: &'static str,
    parts: &[Part],
    (entries, wholes): (&[Entry], &[Vec<f64>]),
    (column, axis_name): (&str, &str),
    footer: &Footer,
) -> Sheet {
    let percent: Vec<Vec<f64>> =
        wholes.iter().map(|parts| parts.iter().map(|part| 100.0 * part / parts.iter().sum::<f64>().max(1e-9)).collect()).collect();
    let seen = |at: usize| percent.iter().any(|row| row.get(at).is_some_and(|share| *share >= LEAST));
    let (shown, small): (Vec<usize>, Vec<usize>) = (0..parts.len()).filter(|at| wholes.iter().any(|row| row[*at] > 0.0)).partition(|at| seen(*at));

    let mut sheet = Sheet::new(name);
    let top = key(&mut sheet, shown.iter().map(|at| &parts[*at]));
    let layout = lay_out(&mut sheet, top, column, entries);
    let axis = Axis::linear(axis_name, (0.0, 100.0), layout.room());
    let scale = layout.scale(&axis);
    let bottom = draw_axis(&mut sheet, &layout, &axis);
    base(&mut sheet, &layout);
    // Every part from some share on has its number, and no smaller one has.
    let room = |share: f64| scale.at(share) - scale.at(0.0);
    let all = || percent.iter().flat_map(|row| shown.iter().map(|at| row[*at]));
    let fit = |least: &f64| all().filter(|share| *share >= *least).all(|share| text_width(&number(share)) + 8 <= room(share));
    let numbered = [3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0].into_iter().find(fit).unwrap_or(100.0);
    for (row, &y) in percent.iter().zip(&layout.y) {
        let mut before = 0.0;
        for at in &shown {
            let (from, to) = (scale.at(before), scale.at(before + row[*at]));
            before += row[*at];
            if to > from {
                sheet.bar((from, y - HALF), (to, y + HALF), parts[*at].fill);
            }
            if row[*at] >= numbered {
                sheet.text(number(row[*at]), (i32::midpoint(from, to), y), Align::Centre, BLACK);
            }
        }
    }
    let unseen = small.iter().map(|at| parts[*at].name).collect::<Vec<_>>().join(", ");
    let unseen = if unseen.is_empty() { unseen } else { format!("below {LEAST} % everywhere: {unseen}") };
    let numbers = if all().any(|share| share >= LEAST && share < numbered) { format!("numbers from {numbered} % on") } else { String::new() };
    sheet.finish(bottom, &footer.with(numbers).with(unseen))
}

fn number(share: f64) -> String {
    format!("{share:.0}")
}

/// Names the colours in as many lines as they need; returns the lowest pixel used.
fn key<'a>(sheet: &mut Sheet, parts: impl Iterator<Item = &'a Part>) -> i32 {
    let (mut x, mut y) = (MARGIN, MARGIN + LEADING / 2);
    for part in parts {
        let width = 28 + 10 + text_width(part.name);
        if x > MARGIN && x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + LEADING);
        }
        sheet.rect((x, y - 13), (x + 28, y + 13), part.fill);
        sheet.text(part.name, (x + 38, y), Align::Left, BLACK);
        x += width + 28;
    }
    y + LEADING / 2 + 6
}
