//! How near the evaluate stage comes to what the hardware's multipliers allow.

use super::axis::Axis;
use super::palette::hue;
use super::rows::{HALF, base, draw_axis, lay_out};
use super::series::{condensed, entries, grouped, open, with_hidden};
use super::sheet::{BLACK, Footer, MARGIN, Sheet};
use crate::report::{Row, digits3};

/// Bars from zero: the products of the plan at the bound, as a share of the stage's time.
pub(super) fn sheet(rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
    let bounded: Vec<&Row> = rows.iter().copied().filter(|r| r.bound_share.is_some()).collect();
    if bounded.is_empty() {
        return Err(
            "no row has a bound: multiplications can be counted where they are ours (ifma), not inside a library that picks its own algorithm (gmp)"
                .into(),
        );
    }
    let (shown, hidden) = condensed(&bounded);
    let mut sheet = Sheet::new("bound");
    let percent = |row: &Row| 100.0 * row.bound_share.unwrap_or(0.0);
    let (entries, shown) = entries(grouped(&shown), |row| format!("{} %", digits3(percent(row))));
    let layout = lay_out(&mut sheet, MARGIN, "of the bound", &entries);
    let axis = Axis::linear("products of the plan, % of the hardware's bound", (0.0, 100.0), layout.room());
    let scale = layout.scale(&axis);
    let bottom = draw_axis(&mut sheet, &layout, &axis);
    base(&mut sheet, &layout);
    for (row, &y) in shown.iter().zip(&layout.y) {
        sheet.bar((scale.at(0.0), y - HALF), (scale.at(percent(row)), y + HALF), hue(row));
        sheet.line(vec![(scale.at(100.0), y - HALF - 4), (scale.at(100.0), y + HALF + 4)], BLACK, 3);
    }
    let words = "bound: the same multiplications, independent, on all threads, measured beside each row; what else the stage does counts against it";
    Ok(sheet.finish(bottom, &with_hidden(hidden, "slower than another of their kind", footer).with(open(&shown)).with(words)))
}
