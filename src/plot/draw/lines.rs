//! The chart of lines that several figures share: a quantity over another, a line for each kind of row, names at the line ends or below.

use std::collections::BTreeMap;

use plotters::style::RGBColor;

use super::axis::{Axis, Room, Scale};
use super::sheet::{Align, BLACK, Footer, GREY, INSET, LEADING, MARGIN, PALE, Point, RADIUS, Shape, Sheet, WIDTH, clip, text_width, wrap};

/// Height of the data in pixels; more where there are many names beside it.
const HEIGHT: i32 = 520;

/// A point with the ends of its interval, where it has one.
pub(super) struct Dot {
    pub x: f64,
    pub y: f64,
    pub range: Option<(f64, f64)>,
}

impl Dot {
    /// The value and the ends of its interval.
    pub(super) fn extent(&self) -> [f64; 3] {
        let (low, high) = self.range.unwrap_or((self.y, self.y));
        [low, self.y, high]
    }
}

/// Points that belong together, in the order of x. The line goes through all of them; markers stand
/// at every `every`-th.
pub(super) struct Line {
    pub name: String,
    pub colour: RGBColor,
    pub shape: Shape,
    pub filled: bool,
    pub dots: Vec<Dot>,
    pub every: usize,
}

/// What lines are to be compared with, drawn dashed: a level, or a slope through points.
pub(super) struct Guide {
    pub name: String,
    pub colour: RGBColor,
    /// Points of a slope; one alone is a level.
    pub points: Vec<(f64, f64)>,
}

/// What stands in a legend before a name.
#[derive(Clone, Copy)]
enum Swatch {
    Marker(Shape, RGBColor, bool),
    Dashes(RGBColor),
}

impl Swatch {
    fn draw(self, sheet: &mut Sheet, at: Point) {
        match self {
            Self::Marker(shape, colour, filled) => sheet.swatch(shape, at, colour, filled),
            Self::Dashes(colour) => sheet.dashed((at.0 - 19, at.1), (at.0 + 19, at.1), colour),
        }
    }
}

/// How a chart comes by its axes, once their room is known.
pub(super) type Axes<'a> = (&'a dyn Fn(Room) -> Axis, &'a dyn Fn(Room) -> Axis);

/// Draws the chart.
pub(super) fn chart(name: &'static str, (x_axis, y_axis): Axes<'_>, lines: &[Line], guides: &[Guide], footer: &Footer) -> Sheet {
    let mut sheet = Sheet::new(name);
    let names = lines.iter().map(|s| text_width(&s.name)).chain(guides.iter().map(|l| text_width(&l.name))).max().unwrap_or(0);
    // Names stand at the line ends where that leaves the data two thirds of the width, else below.
    let beside = names + 84 <= WIDTH * 3 / 8;
    let count = i32::try_from(lines.len() + guides.len()).unwrap_or(1);
    let height = if beside { HEIGHT.max(count * LEADING) } else { HEIGHT };
    let (top, bottom) = (MARGIN + LEADING / 2, MARGIN + LEADING / 2 + height);
    let y_axis = y_axis(Room::Up(height - 2 * INSET));
    let numbers = y_axis.names().map(text_width).max().unwrap_or(0);
    let left = MARGIN + LEADING + numbers + 16;
    let right = if beside { WIDTH - MARGIN - names - 84 } else { WIDTH - MARGIN - 20 };
    let inside = (left + INSET + 10, right - INSET - 10);
    let x_axis = x_axis(Room::Across(inside.1 - inside.0));
    let (x, y) = (x_axis.scale(inside), y_axis.scale((bottom - INSET, top + INSET)));

    sheet.axis(y_axis.names());
    sheet.axis(x_axis.names());
    for tick in &y_axis.ticks {
        let at = y.at(tick.at);
        if tick.name.is_empty() {
            sheet.line(vec![(left - 5, at), (left, at)], GREY, 2);
        } else {
            sheet.line(vec![(left, at), (right, at)], PALE, 2);
            sheet.text(tick.name.as_str(), (left - 12, at), Align::Right, BLACK);
        }
    }
    sheet.upright(&y_axis.name, (MARGIN + 16, i32::midpoint(top, bottom)), height, BLACK);
    sheet.frame((left, top), (right, bottom));
    for tick in &x_axis.ticks {
        let at = x.at(tick.at);
        sheet.line(vec![(at, bottom), (at, bottom + if tick.name.is_empty() { 5 } else { 8 })], GREY, 2);
        if tick.name.is_empty() {
            continue;
        }
        sheet.text(tick.name.as_str(), (at, bottom + 12 + LEADING / 2), Align::Centre, BLACK);
        if !tick.below.is_empty() {
            sheet.text(tick.below, (at, bottom + 12 + LEADING * 3 / 2), Align::Centre, GREY);
        }
    }
    let words_below = x_axis.ticks.iter().any(|t| !t.name.is_empty() && !t.below.is_empty());
    let mut foot = bottom + 12 + LEADING * 3 / 2 + if words_below { LEADING } else { 0 };
    let words = clip(&x_axis.name, WIDTH - 2 * MARGIN);
    let (half, centre) = (text_width(&words) / 2 + 1, i32::midpoint(left, right));
    sheet.text(words, (centre.clamp(MARGIN + half, (WIDTH - MARGIN - half).max(MARGIN + half)), foot), Align::Centre, BLACK);
    foot += LEADING / 2;

    for guide in guides {
        let points: Vec<Point> = match guide.points.as_slice() {
            [(_, level)] => vec![(left, y.at(*level)), (right, y.at(*level))],
            points => points.iter().map(|(at, value)| (x.at(*at), y.at(*value))).collect(),
        };
        for pair in points.windows(2) {
            sheet.dashed(pair[0], pair[1], guide.colour);
        }
    }
    let of_line = |line: &Line| {
        let last = line.dots.last().map_or((right, bottom), |last| (x.at(last.x), y.at(last.y)));
        (line.name.clone(), last, Swatch::Marker(line.shape, line.colour, line.filled))
    };
    let of_guide = |guide: &Guide| {
        let last = guide.points.last().map_or((right, bottom), |(at, value)| (if guide.points.len() > 1 { x.at(*at) } else { right }, y.at(*value)));
        (guide.name.clone(), last, Swatch::Dashes(guide.colour))
    };
    let mut ends: Vec<(String, Point, Swatch)> = lines.iter().map(of_line).chain(guides.iter().map(of_guide)).collect();
    ends.iter().for_each(|(name, ..)| sheet.label(name));
    // Leaders lie below the data.
    if beside {
        name_ends(&mut sheet, &mut ends, right, (top, bottom));
    } else {
        foot = legend(&mut sheet, foot, &ends);
    }
    draw(&mut sheet, lines, &x, &y);
    sheet.finish(foot, footer)
}

/// Draws lines, then intervals, then markers. Markers that would hide each other stand side by
/// side.
fn draw(sheet: &mut Sheet, lines: &[Line], x: &Scale, y: &Scale) {
    let at = |dot: &Dot| (x.at(dot.x), y.at(dot.y));
    for line in lines {
        sheet.course(line.dots.iter().map(at).collect(), line.colour);
    }
    let marked = || lines.iter().flat_map(|line| line.dots.iter().step_by(line.every.max(1)).map(move |dot| (line, dot)));
    let place = |dot: &Dot| (at(dot).0, at(dot).1 / RADIUS);
    let mut crowd: BTreeMap<(i32, i32), (i32, i32)> = BTreeMap::new();
    marked().for_each(|(_, dot)| crowd.entry(place(dot)).or_default().0 += 1);
    for (line, dot) in marked() {
        let (all, before) = crowd.entry(place(dot)).or_default();
        let beside = (2 * *before - (*all - 1)) * (RADIUS - 2);
        *before += 1;
        let middle = (at(dot).0 + beside, at(dot).1);
        if let Some((low, high)) = dot.range {
            sheet.interval(middle, ((middle.0, y.at(low)), (middle.0, y.at(high))), line.colour);
        }
        sheet.marker(line.shape, middle, line.colour, line.filled);
    }
}

/// Writes names beside the data in the order of the line ends, moved apart where the ends lie closer than text.
fn name_ends(sheet: &mut Sheet, ends: &mut [(String, Point, Swatch)], right: i32, (top, bottom): (i32, i32)) {
    ends.sort_by_key(|(_, at, _)| at.1);
    let mut places: Vec<i32> = ends.iter().map(|(_, at, _)| at.1).collect();
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
    for ((name, at, swatch), place) in ends.iter().zip(places) {
        sheet.line(vec![*at, (right + 6, at.1), (right + 34, place), (right + 42, place)], PALE, 2);
        swatch.draw(sheet, (right + 60, place));
        sheet.text(name.as_str(), (right + 84, place), Align::Left, BLACK);
    }
}

/// Writes names below the figure, two in a line where they are short; returns the lowest pixel
/// used.
fn legend(sheet: &mut Sheet, foot: i32, ends: &[(String, Point, Swatch)]) -> i32 {
    let half = (WIDTH - 2 * MARGIN) / 2;
    let (mut x, mut y) = (MARGIN, foot + LEADING / 2 + 8);
    for (name, _, swatch) in ends {
        let long = 60 + text_width(name) + 16 > half;
        if long && x > MARGIN {
            (x, y) = (MARGIN, y + LEADING);
        }
        swatch.draw(sheet, (x + 22, y));
        for (at, line) in (0..).zip(wrap(name, WIDTH - 2 * MARGIN - 60)) {
            y += if at > 0 { LEADING } else { 0 };
            sheet.text(line, (x + 60, y), Align::Left, BLACK);
        }
        if long || x > MARGIN {
            (x, y) = (MARGIN, y + LEADING);
        } else {
            x += half;
        }
    }
    (if x > MARGIN { y } else { y - LEADING }) + LEADING / 2
}
