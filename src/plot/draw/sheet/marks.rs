//! Marks: what a figure is drawn with, in pixels from its top left corner.

use plotters::style::RGBColor;

use crate::error::Error;

/// Size of all text in the library's unit; the letters come out at 7.1 pt in the SVG and 7.5 pt in the PNG.
pub(in crate::plot) const SIZE: f64 = 36.6;
pub(in crate::plot) const BLACK: RGBColor = RGBColor(0, 0, 0);
pub(in crate::plot) const WHITE: RGBColor = RGBColor(255, 255, 255);
/// Axes and secondary text.
pub(in crate::plot) const GREY: RGBColor = RGBColor(90, 90, 90);
/// Grid lines.
pub(in crate::plot) const PALE: RGBColor = RGBColor(222, 222, 222);

/// Half the width of every marker: no size says anything, so all are equal.
pub(in crate::plot) const RADIUS: i32 = 10;
/// A point in pixels from the top left corner.
pub(in crate::plot) type Point = (i32, i32);

/// Which end of a text its position names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plot) enum Align {
    Left,
    Centre,
    Right,
}

/// Shape of a data point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plot) enum Shape {
    Circle,
    Triangle,
    Square,
    Diamond,
    Wedge,
}

/// One thing on the sheet.
pub(in crate::plot) enum Mark {
    Line { points: Vec<Point>, colour: RGBColor, width: u32 },
    Box { corners: (Point, Point), colour: RGBColor },
    Marker { shape: Shape, at: Point, colour: RGBColor, filled: bool },
    Text { text: String, at: Point, align: Align, colour: RGBColor, upright: bool },
}

/// Corners of a marker; a circle has none.
pub(in crate::plot) fn outline(shape: Shape, (x, y): Point, r: i32) -> Vec<Point> {
    match shape {
        Shape::Circle => Vec::new(),
        Shape::Square => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        Shape::Triangle => vec![(x, y - r * 5 / 4), (x + r * 5 / 4, y + r), (x - r * 5 / 4, y + r)],
        Shape::Wedge => vec![(x, y + r * 5 / 4), (x - r * 5 / 4, y - r), (x + r * 5 / 4, y - r)],
        Shape::Diamond => vec![(x, y - r * 4 / 3), (x + r * 4 / 3, y), (x, y + r * 4 / 3), (x - r * 4 / 3, y)],
    }
}

/// Radius and colour of what a marker is painted of. A white rim parts markers that overlap; a white core makes one hollow.
pub(in crate::plot) fn layers(colour: RGBColor, filled: bool) -> impl Iterator<Item = (i32, RGBColor)> {
    [(RADIUS + 3, WHITE), (RADIUS, colour), (RADIUS - 4, WHITE)].into_iter().take(if filled { 2 } else { 3 })
}

pub(in crate::plot) fn failed(figure: &str, problem: impl std::fmt::Display) -> Error {
    Error::Figure { figure: figure.into(), problem: problem.to_string() }
}
