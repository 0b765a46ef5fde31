//! The layout that charts with one row per spec share: names at the left, or above where they are long, data in the middle, values at the right.

use super::axis::{Axis, Room, Scale};
use super::sheet::{Align, BLACK, GREY, LEADING, MARGIN, PALE, Sheet, WIDTH, clip, text_width, wrap};

/// A line of the chart.
pub(super) enum Entry {
    /// Words above the rows that follow.
    Heading(String),
    /// A spec: its name and its value in words.
    Row(String, String),
}

/// Where the chart ended up.
pub(super) struct Layout {
    /// First and last pixel of the data, left to right.
    x: (i32, i32),
    /// Middle of each row, top to bottom; headings have none.
    pub y: Vec<i32>,
    /// Top and bottom of the data.
    pub span: (i32, i32),
    /// Headings or names stand above rows, where they would meet grid lines.
    words_above: bool,
}

impl Layout {
    /// The room for the numbers of the axis below.
    pub(super) fn room(&self) -> Room {
        Room::Across(self.x.1 - self.x.0)
    }

    /// Numbers to pixels.
    pub(super) fn scale(&self, axis: &Axis) -> Scale {
        axis.scale(self.x)
    }
}

/// Half the height of a row's bar or marker.
pub(super) const HALF: i32 = 16;

/// Writes names and values below `top` and says where the data belongs. `column` heads the values.
pub(super) fn lay_out(sheet: &mut Sheet, top: i32, column: &str, entries: &[Entry]) -> Layout {
    let rows = || entries.iter().filter_map(|e| if let Entry::Row(name, value) = e { Some((name, value)) } else { None });
    let names = rows().map(|(name, _)| text_width(name)).max().unwrap_or(0);
    let values = rows().map(|(_, value)| text_width(value)).max().unwrap_or(0).max(text_width(column)).min(WIDTH / 3);
    // Beside the data where that leaves it a third of the width.
    let beside = names + values <= WIDTH * 64 / 100;
    // The first number of the axis is centred below its left end and needs room there.
    let left = if beside { MARGIN + names + 24 } else { MARGIN + 24 };
    let right = WIDTH - MARGIN - values - 24;
    let mut y = top;
    // A heading that comes first shares its line with the head of the values.
    let shared = matches!(entries.first(), Some(Entry::Heading(_)));
    sheet.text(column, (WIDTH - MARGIN, y + LEADING / 2 + if shared { 4 } else { 0 }), Align::Right, GREY);
    if !shared {
        y += LEADING + 4;
    }
    let begin = y;
    let (mut middles, mut heading) = (Vec::new(), "");
    for entry in entries {
        match entry {
            Entry::Heading(text) => {
                heading = text;
                for line in wrap(text, WIDTH - 2 * MARGIN - values - 24) {
                    sheet.text(line, (MARGIN, y + LEADING / 2 + 4), Align::Left, GREY);
                    y += LEADING;
                }
                y += 8;
            }
            Entry::Row(name, value) => {
                sheet.label(format!("{heading} {name}"));
                if beside {
                    sheet.text(name.as_str(), (MARGIN, y + HALF + 6), Align::Left, BLACK);
                } else {
                    y += 4;
                    for line in wrap(name, WIDTH - MARGIN - left) {
                        sheet.text(line, (left, y + LEADING / 2 + 4), Align::Left, BLACK);
                        y += LEADING;
                    }
                    // Letters that reach below their line do not touch the bar.
                    y += 8;
                }
                sheet.text(clip(value, values), (WIDTH - MARGIN, y + HALF + 6), Align::Right, BLACK);
                middles.push(y + HALF + 6);
                y += 2 * HALF + 12;
            }
        }
    }
    let words_above = !beside || entries.iter().any(|e| matches!(e, Entry::Heading(_)));
    Layout { x: (left, right), y: middles, span: (begin, y), words_above }
}

/// Draws the axis below the data, its grid, and its name; returns the lowest pixel used. Grid lines are drawn, so this comes before the data.
pub(super) fn draw_axis(sheet: &mut Sheet, layout: &Layout, axis: &Axis) -> i32 {
    let (top, bottom) = layout.span;
    let scale = layout.scale(axis);
    sheet.axis(axis.names());
    for tick in &axis.ticks {
        let x = scale.at(tick.at);
        if tick.name.is_empty() {
            sheet.line(vec![(x, bottom), (x, bottom + 5)], GREY, 2);
            continue;
        }
        // Grid lines would run through headings and through names above the rows, so there they stop at the rows.
        if layout.words_above {
            for y in &layout.y {
                sheet.line(vec![(x, y - HALF - 4), (x, y + HALF + 4)], PALE, 2);
            }
        } else {
            sheet.line(vec![(x, top), (x, bottom)], PALE, 2);
        }
        sheet.line(vec![(x, bottom), (x, bottom + 8)], GREY, 2);
        sheet.text(tick.name.as_str(), (x, bottom + 12 + LEADING / 2), Align::Centre, BLACK);
    }
    sheet.line(vec![(layout.x.0, bottom), (layout.x.1, bottom)], GREY, 3);
    for y in &layout.y {
        sheet.line(vec![(layout.x.0, *y), (layout.x.1, *y)], PALE, 2);
    }
    let y = bottom + 12 + LEADING * 3 / 2;
    let name = clip(&axis.name, WIDTH - 2 * MARGIN);
    let (half, centre) = (text_width(&name) / 2 + 1, i32::midpoint(layout.x.0, layout.x.1));
    sheet.text(name, (centre.clamp(MARGIN + half, (WIDTH - MARGIN - half).max(MARGIN + half)), y), Align::Centre, BLACK);
    y + LEADING / 2
}

/// Draws what bars stand on.
pub(super) fn base(sheet: &mut Sheet, layout: &Layout) {
    for y in &layout.y {
        sheet.line(vec![(layout.x.0, y - HALF - 4), (layout.x.0, y + HALF + 4)], GREY, 3);
    }
}
