//! How near the evaluate stage comes to what the hardware's multipliers allow.

use super::axis::Scale;
use super::rows::{Entry, HALF, axis, lay_out, names_above};
use super::series::{colour, condensed, with_hidden};
use super::sheet::{BLACK, MARGIN, PALE, Sheet};
use crate::report::{Naming, Row, digits3, labels};

/// Bars from zero: the products of the plan at the bound, as a share of the stage's time.
pub(super) fn sheet(rows: &[&Row], footer: &str) -> Result<Sheet, String> {
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
    let entries: Vec<Entry> =
        labels(&shown, Naming::Whole).into_iter().zip(&shown).map(|(name, row)| Entry::Row(name, format!("{} %", digits3(percent(row))))).collect();
    let layout = lay_out(&mut sheet, MARGIN, "of the bound", &entries);
    let scale = Scale::linear((0.0, 100.0), layout.x);
    let ticks: Vec<(i32, String)> = [0, 25, 50, 75, 100].into_iter().map(|t| (scale.at(f64::from(t)), t.to_string())).collect();
    let bottom = axis(&mut sheet, &layout, &ticks, "products of the plan, % of the hardware's bound", names_above(&layout, &entries));
    for (row, &y) in shown.iter().zip(&layout.y) {
        sheet.line(vec![(layout.x.0, y), (layout.x.1, y)], PALE, 2);
        sheet.rect((scale.at(0.0), y - HALF), (scale.at(percent(row)), y + HALF), colour(row));
        sheet.line(vec![(scale.at(100.0), y - HALF - 4), (scale.at(100.0), y + HALF + 4)], BLACK, 3);
    }
    let words = "bound: the same multiplications issued independently on all threads, measured beside each row; randomisers and inverses made in the stage count against it";
    Ok(sheet.finish(bottom, &format!("{}; {words}", with_hidden(hidden, "slower than another of their kind", footer))))
}
