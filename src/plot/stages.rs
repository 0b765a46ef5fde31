//! Where the time goes: shares of the online stages, one bar per spec, with the whole in words beside it.
//!
//! Specs lie up to six orders of magnitude apart, so bars of time would show the slowest alone, and stacked bars on a logarithmic axis have no meaning.
//! Shares compare; the total in words keeps the size.

use plotters::style::RGBColor;

use super::axis::{Scale, duration};
use super::rows::{Entry, HALF, axis, lay_out, names_above};
use super::series::{condensed, with_hidden};
use super::sheet::{Align, BLACK, BLUE, GREEN, GREY, LEADING, MARGIN, ORANGE, PURPLE, SKY, Sheet, VERMILION, WHITE, WIDTH, YELLOW, text_width};
use crate::record::Stage;
use crate::report::{Naming, Row, labels};

/// Colour of a stage and the colour of text on it.
const fn colours(stage: Stage) -> (RGBColor, RGBColor) {
    match stage {
        Stage::Encode => (YELLOW, BLACK),
        Stage::Encrypt => (BLUE, WHITE),
        Stage::Upload => (PURPLE, BLACK),
        Stage::Evaluate => (ORANGE, BLACK),
        Stage::Download => (GREY, WHITE),
        Stage::Exchange => (VERMILION, WHITE),
        Stage::Decrypt => (GREEN, WHITE),
        Stage::Decode => (SKY, BLACK),
        Stage::Keygen | Stage::Prepare => (BLACK, WHITE),
    }
}

/// The figure, if any spec has online times.
pub(super) fn sheet(rows: &[&Row], footer: &str) -> Option<Sheet> {
    let timed: Vec<&Row> = rows.iter().copied().filter(|r| r.online_ns.is_some_and(|s| s.median > 0.0)).collect();
    let (mut shown, hidden) = condensed(&timed);
    let unit = shown.first()?.unit();
    let times = |row: &Row| -> Vec<(Stage, f64)> { Stage::ALL.into_iter().filter_map(|s| Some((s, row.online_stage_ns(s)?))).collect() };
    let present: Vec<Stage> = Stage::ALL.into_iter().filter(|s| shown.iter().any(|r| r.online_stage_ns(*s).is_some())).collect();

    let mut sheet = Sheet::new("stages");
    let top = key(&mut sheet, &present);
    let total = |row: &Row| row.online_ns.map_or_else(String::new, |s| duration(s.median));
    let mut keys: Vec<Option<u32>> = shown.iter().map(|r| r.outcome.key_bits).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut entries = Vec::new();
    if keys.iter().flatten().count() > 1 {
        // Many rows read more easily in a group per key size, with shorter names. The sort is stable: within a group the order stays.
        shown.sort_by_key(|r| r.outcome.key_bits);
        for group in shown.chunk_by(|a, b| a.outcome.key_bits == b.outcome.key_bits) {
            let toy = if group[0].toy { ", toy" } else { "" };
            entries.push(Entry::Heading(group[0].outcome.key_bits.map_or_else(|| "no key".into(), |bits| format!("{bits}-bit key{toy}"))));
            entries.extend(labels(group, Naming::WithinKey).into_iter().zip(group).map(|(name, row)| Entry::Row(name, total(row))));
        }
    } else {
        entries.extend(labels(&shown, Naming::Whole).into_iter().zip(&shown).map(|(name, row)| Entry::Row(name, total(row))));
    }
    let layout = lay_out(&mut sheet, top, &format!("per {}", unit), &entries);
    let scale = Scale::linear((0.0, 100.0), layout.x);
    let ticks: Vec<(i32, String)> = [0, 25, 50, 75, 100].into_iter().map(|t| (scale.at(f64::from(t)), t.to_string())).collect();
    let bottom = axis(&mut sheet, &layout, &ticks, "share of online time (%)", names_above(&layout, &entries));
    for (row, &y) in shown.iter().zip(&layout.y) {
        let times = times(row);
        // The medians of the stages need not add up to the median of the sums; shares are of their own sum.
        let sum: f64 = times.iter().map(|(_, ns)| ns).sum();
        let mut before = 0.0;
        for (stage, ns) in times {
            let share = 100.0 * ns / sum;
            let (from, to) = (scale.at(before), scale.at(before + share));
            before += share;
            let (fill, ink) = colours(stage);
            if to > from {
                sheet.rect((from, y - HALF), (to, y + HALF), fill);
            }
            let label = format!("{share:.0}");
            if text_width(&label) + 10 <= to - from {
                sheet.text(label, (i32::midpoint(from, to), y), Align::Centre, ink);
            }
        }
    }
    Some(sheet.finish(bottom, &with_hidden(hidden, "slower than another of their kind", footer)))
}

/// Names the colours in as many lines as they need; returns the lowest pixel used.
fn key(sheet: &mut Sheet, stages: &[Stage]) -> i32 {
    let (mut x, mut y) = (MARGIN, MARGIN + LEADING / 2);
    for stage in stages {
        let width = 28 + 10 + text_width(stage.name());
        if x > MARGIN && x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + LEADING);
        }
        sheet.rect((x, y - 13), (x + 28, y + 13), colours(*stage).0);
        sheet.text(stage.name(), (x + 38, y), Align::Left, BLACK);
        x += width + 28;
    }
    y + LEADING / 2 + 6
}
