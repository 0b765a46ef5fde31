//! The chart of lines that several figures share: a quantity over another, a line for each kind of row, names at the line ends or below.

use plotters::style::RGBColor;

use super::axis::Scale;
use super::sheet::{Align, BLACK, GREY, LEADING, MARGIN, PALE, Point, Shape, Sheet, WIDTH, text_width, wrap};

/// Height of the data in pixels; more where there are many names beside it.
const HEIGHT: i32 = 560;

/// A point with the ends of its interval, where it has one.
pub(super) struct Dot {
    pub x: f64,
    pub y: f64,
    pub range: Option<(f64, f64)>,
}

/// Points that belong together, in the order of x. The line goes through all of them; every `marked`-th has a marker, and the last.
pub(super) struct Line {
    pub name: String,
    pub colour: RGBColor,
    pub shape: Shape,
    pub filled: bool,
    pub dots: Vec<Dot>,
    pub marked: usize,
}

/// A level that lines are to be compared with.
pub(super) struct Level {
    pub name: String,
    pub y: f64,
    pub colour: RGBColor,
}

/// A number that an axis names, and a word below it.
pub(super) struct Tick {
    pub at: f64,
    pub name: String,
    pub below: &'static str,
}

/// An axis: range, whether it is logarithmic, what it names, and its own name.
pub(super) struct Axis {
    pub range: (f64, f64),
    pub log: bool,
    pub ticks: Vec<Tick>,
    pub name: String,
}

impl Axis {
    /// Without words below the numbers.
    pub(super) fn new(name: impl Into<String>, range: (f64, f64), log: bool, ticks: Vec<(f64, String)>) -> Self {
        Self { range, log, ticks: ticks.into_iter().map(|(at, name)| Tick { at, name, below: "" }).collect(), name: name.into() }
    }

    fn scale(&self, pixels: (i32, i32)) -> Scale {
        if self.log { Scale::log(self.range, pixels) } else { Scale::linear(self.range, pixels) }
    }
}

/// Draws the chart.
pub(super) fn chart(name: &'static str, (x_axis, y_axis): (&Axis, &Axis), lines: &[Line], levels: &[Level], footer: &str) -> Sheet {
    let mut sheet = Sheet::new(name);
    let names = lines.iter().map(|s| text_width(&s.name)).chain(levels.iter().map(|l| text_width(&l.name))).max().unwrap_or(0);
    // Names stand at the line ends where that leaves the data more than half of the width, else below.
    let beside = names <= WIDTH * 2 / 5;
    let count = i32::try_from(lines.len() + levels.len()).unwrap_or(1);
    let height = if beside { HEIGHT.max(count * LEADING) } else { HEIGHT };
    let numbers = y_axis.ticks.iter().map(|t| text_width(&t.name)).max().unwrap_or(0);
    let left = MARGIN + LEADING + numbers + 16;
    let right = if beside { WIDTH - MARGIN - names - 84 } else { WIDTH - MARGIN - 20 };
    let (top, bottom) = (MARGIN + LEADING / 2, MARGIN + LEADING / 2 + height);
    let y = y_axis.scale((bottom, top));
    let x = x_axis.scale((left + 45, right - 20));

    for tick in &y_axis.ticks {
        let at = y.at(tick.at);
        sheet.line(vec![(left, at), (right, at)], PALE, 2);
        sheet.text(tick.name.as_str(), (left - 12, at), Align::Right, BLACK);
    }
    sheet.upright(y_axis.name.as_str(), (MARGIN + 16, i32::midpoint(top, bottom)), BLACK);
    sheet.line(vec![(left, top), (left, bottom), (right, bottom)], GREY, 3);
    let mut free = i32::MIN;
    for tick in &x_axis.ticks {
        let at = x.at(tick.at);
        sheet.line(vec![(at, bottom), (at, bottom + 8)], GREY, 2);
        let half = text_width(&tick.name).max(text_width(tick.below)) / 2;
        if at - half < free {
            continue;
        }
        sheet.text(tick.name.as_str(), (at, bottom + 12 + LEADING / 2), Align::Centre, BLACK);
        if !tick.below.is_empty() {
            sheet.text(tick.below, (at, bottom + 12 + LEADING * 3 / 2), Align::Centre, GREY);
        }
        free = at + half + 12;
    }
    let words_below = x_axis.ticks.iter().any(|t| !t.below.is_empty());
    let mut foot = bottom + 12 + LEADING * 3 / 2 + if words_below { LEADING } else { 0 };
    let (half, centre) = (text_width(&x_axis.name) / 2, i32::midpoint(left, right));
    sheet.text(x_axis.name.as_str(), (centre.clamp(MARGIN + half, (WIDTH - MARGIN - half).max(MARGIN + half)), foot), Align::Centre, BLACK);
    foot += LEADING / 2;

    for level in levels {
        let at = y.at(level.y);
        sheet.dashed((left, at), (right, at), level.colour);
    }
    let mut ends: Vec<End<'_>> = Vec::new();
    for line in lines {
        let Some(last) = line.dots.last() else { continue };
        ends.push(End { name: &line.name, at: (x.at(last.x), y.at(last.y)), colour: line.colour, marker: Some((line.shape, line.filled)) });
        if !beside {
            foot = listed(&mut sheet, foot, &line.name, |sheet, at| sheet.marker(line.shape, at, line.colour, line.filled));
        }
    }
    for level in levels {
        ends.push(End { name: &level.name, at: (right, y.at(level.y)), colour: level.colour, marker: None });
        if !beside {
            foot = listed(&mut sheet, foot, &level.name, |sheet, at| sheet.dashed((at.0 - 19, at.1), (at.0 + 19, at.1), level.colour));
        }
    }
    // Leaders lie below the data.
    if beside {
        name_ends(&mut sheet, &mut ends, right, (top, bottom));
    }
    for line in lines {
        draw_line(&mut sheet, line, &x, &y);
    }
    sheet.finish(foot, footer)
}

fn draw_line(sheet: &mut Sheet, line: &Line, x: &Scale, y: &Scale) {
    if line.dots.len() > 1 {
        sheet.line(line.dots.iter().map(|dot| (x.at(dot.x), y.at(dot.y))).collect(), line.colour, 4);
    }
    let last = line.dots.len().saturating_sub(1);
    for (_, dot) in line.dots.iter().enumerate().filter(|(at, _)| at.is_multiple_of(line.marked.max(1)) || *at == last) {
        let at = (x.at(dot.x), y.at(dot.y));
        if let Some((low, high)) = dot.range {
            let (low, high) = (y.at(low), y.at(high));
            sheet.line(vec![(at.0, low), (at.0, high)], line.colour, 3);
            for end in [low, high] {
                sheet.line(vec![(at.0 - 9, end), (at.0 + 9, end)], line.colour, 3);
            }
        }
        // A smaller one leaves short intervals in sight.
        if dot.range.is_some() {
            sheet.small_marker(line.shape, at, line.colour, line.filled);
        } else {
            sheet.marker(line.shape, at, line.colour, line.filled);
        }
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
pub(super) fn listed(sheet: &mut Sheet, foot: i32, name: &str, mark: impl Fn(&mut Sheet, Point)) -> i32 {
    let mut foot = foot;
    mark(sheet, (MARGIN + 22, foot + LEADING / 2 + 8));
    for line in wrap(name, WIDTH - 2 * MARGIN - 60) {
        sheet.text(line, (MARGIN + 60, foot + LEADING / 2 + 8), Align::Left, BLACK);
        foot += LEADING;
    }
    foot
}
