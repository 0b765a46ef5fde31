//! The layout that charts with one row per spec share: names at the left, or above where they are long, data in the middle, values at the right.

use super::sheet::{Align, BLACK, GREY, LEADING, MARGIN, PALE, Sheet, WIDTH, text_width, wrap};

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
    pub x: (i32, i32),
    /// Middle of each row, top to bottom; headings have none.
    pub y: Vec<i32>,
    /// Top and bottom of the data.
    pub span: (i32, i32),
}

/// Half the height of a row's bar or marker.
pub(super) const HALF: i32 = 16;

/// Writes names and values below `top` and says where the data belongs. `column` heads the values.
pub(super) fn lay_out(sheet: &mut Sheet, top: i32, column: &str, entries: &[Entry]) -> Layout {
    let rows = || entries.iter().filter_map(|e| if let Entry::Row(name, value) = e { Some((name, value)) } else { None });
    let names = rows().map(|(name, _)| text_width(name)).max().unwrap_or(0);
    let values = rows().map(|(_, value)| text_width(value)).max().unwrap_or(0).max(text_width(column));
    let beside = names <= WIDTH * 9 / 20;
    // The first tick label is centred below the left end of the axis and needs room there.
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
    let mut middles = Vec::new();
    for entry in entries {
        match entry {
            Entry::Heading(text) => {
                for line in wrap(text, WIDTH - 2 * MARGIN - values - 24) {
                    sheet.text(line, (MARGIN, y + LEADING / 2 + 4), Align::Left, GREY);
                    y += LEADING;
                }
                y += 8;
            }
            Entry::Row(name, value) => {
                if beside {
                    sheet.text(name.as_str(), (MARGIN, y + HALF + 6), Align::Left, BLACK);
                } else {
                    y += 6;
                    for line in wrap(name, WIDTH - 2 * MARGIN) {
                        sheet.text(line, (MARGIN, y + LEADING / 2 + 4), Align::Left, BLACK);
                        y += LEADING;
                    }
                }
                sheet.text(value.as_str(), (WIDTH - MARGIN, y + HALF + 6), Align::Right, BLACK);
                middles.push(y + HALF + 6);
                y += 2 * HALF + 12;
            }
        }
    }
    Layout { x: (left, right), y: middles, span: (begin, y) }
}

/// Draws the axis below the data, its grid, and its name; returns the lowest pixel used. Grid lines are drawn, so this comes before the data.
pub(super) fn axis(sheet: &mut Sheet, layout: &Layout, ticks: &[(i32, String)], name: &str, headings: bool) -> i32 {
    let (top, bottom) = layout.span;
    // Where labels would touch, only every second one is written, or every third, and so on.
    let fits = |every: &usize| {
        let ends = ticks.iter().step_by(*every).map(|(x, label)| (x - text_width(label) / 2, x + text_width(label) / 2)).collect::<Vec<_>>();
        ends.windows(2).all(|pair| pair[0].1 + 12 <= pair[1].0)
    };
    let every = (1..ticks.len()).find(fits).unwrap_or(ticks.len().max(1));
    for (at, (x, label)) in ticks.iter().enumerate() {
        // Grid lines would run through headings and through names above the rows, so there they stop at the rows.
        if headings {
            for y in &layout.y {
                sheet.line(vec![(*x, y - HALF - 4), (*x, y + HALF + 4)], PALE, 2);
            }
        } else {
            sheet.line(vec![(*x, top), (*x, bottom)], PALE, 2);
        }
        sheet.line(vec![(*x, bottom), (*x, bottom + 8)], GREY, 2);
        if at % every == 0 {
            sheet.text(label.as_str(), (*x, bottom + 12 + LEADING / 2), Align::Centre, BLACK);
        }
    }
    sheet.line(vec![(layout.x.0, bottom), (layout.x.1, bottom)], GREY, 3);
    let mut y = bottom + 12 + LEADING / 2;
    let centre = (layout.x.0 + layout.x.1) / 2;
    for line in wrap(name, WIDTH - 2 * MARGIN) {
        y += LEADING;
        let half = text_width(&line) / 2;
        sheet.text(line, (centre.clamp(MARGIN + half, WIDTH - MARGIN - half), y), Align::Centre, BLACK);
    }
    y + LEADING / 2
}

/// Whether names stand above their rows, where they would meet grid lines.
pub(super) fn names_above(layout: &Layout, entries: &[Entry]) -> bool {
    layout.x.0 == MARGIN + 24 || entries.iter().any(|e| matches!(e, Entry::Heading(_)))
}
