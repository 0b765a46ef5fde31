//! Where the time goes: shares of the online stages, one bar per spec, with the whole in words beside it.
//!
//! Specs lie up to six orders of magnitude apart, so bars of time would show the slowest alone, and stacked bars on a logarithmic axis have no meaning.
//! Shares compare; the total in words keeps the size.

use super::axis::duration;
use super::palette;
use super::series::{condensed, entries, grouped, open, with_hidden};
use super::shares::{Part, chart};
use super::sheet::{Footer, Sheet};
use crate::record::Stage;
use crate::report::Row;

/// The figure, if any spec has online times.
pub(super) fn sheet(rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
    let timed: Vec<&Row> = rows.iter().copied().filter(|r| r.online_ns.is_some_and(|s| s.median > 0.0)).collect();
    let (shown, hidden) = condensed(&timed);
    let Some(unit) = shown.first().map(|row| row.unit()) else { return Err("no row has online times".into()) };
    let parts = Stage::ALL.map(|stage| Part { name: stage.name(), fill: palette::stage(stage) });
    let (entries, ordered) = entries(grouped(&shown), |row| row.online_ns.map_or_else(String::new, |s| duration(s.median)));
    // The medians of the stages need not add up to the median of the sums; shares are of their own
    // sum.
    let wholes: Vec<Vec<f64>> = ordered.iter().map(|row| Stage::ALL.map(|stage| row.online_stage_ns(stage).unwrap_or(0.0)).to_vec()).collect();
    let footer = with_hidden(hidden, "slower than another of their kind", footer).with(open(&shown));
    Ok(chart("stages", &parts, (&entries, &wholes), (&format!("per {unit}"), "share of online time (%)"), &footer))
}
