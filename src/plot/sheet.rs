//! A figure as a list of marks in pixels, and its three files.

mod pdf;

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, register_font};

use crate::error::{Error, Result};

/// Width of every figure: 8.5 cm at 300 dpi.
pub(super) const WIDTH: i32 = 1004;
/// Space that stays free along the edges.
pub(super) const MARGIN: i32 = 10;
/// Distance of lines of text.
pub(super) const LEADING: i32 = 38;

/// Millimetres per pixel at 300 dpi.
const MM: f64 = 25.4 / 300.0;
/// Pixels per metre at 300 dpi.
const PIXELS_PER_METRE: u32 = 11_811;
/// Size of all text in the library's unit; the letters come out at 7.1 pt in the SVG and 7.5 pt in the PNG.
const SIZE: f64 = 36.6;
/// The family as CSS names it, under both names that readers of fonts give it. Arial and Helvetica run as wide as the condensed face, so text keeps its
/// place where the font is not installed.
const FAMILY: &str = "DejaVu Sans Condensed, DejaVu Sans, Arial, Helvetica, sans-serif";

pub(super) const BLACK: RGBColor = RGBColor(0, 0, 0);
pub(super) const WHITE: RGBColor = RGBColor(255, 255, 255);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const YELLOW: RGBColor = RGBColor(240, 228, 66);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);
/// Axes and secondary text.
pub(super) const GREY: RGBColor = RGBColor(90, 90, 90);
/// Grid lines.
pub(super) const PALE: RGBColor = RGBColor(222, 222, 222);

/// A point in pixels from the top left corner.
pub(super) type Point = (i32, i32);

/// Which end of a text its position names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// Shape of a data point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Triangle,
    Square,
    Diamond,
    Wedge,
}

/// One thing on the sheet.
enum Mark {
    Line { points: Vec<Point>, colour: RGBColor, width: u32 },
    Box { corners: (Point, Point), colour: RGBColor },
    Marker { shape: Shape, at: Point, colour: RGBColor, filled: bool, radius: i32 },
    Text { text: String, at: Point, align: Align, colour: RGBColor, upright: bool },
}

/// A figure: marks in the order they are drawn.
pub(super) struct Sheet {
    name: &'static str,
    height: i32,
    marks: Vec<Mark>,
}

/// Registers the font that the drawing library then finds by [`FAMILY`].
pub(super) fn load_font() -> Result<()> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let loaded = *LOADED.get_or_init(|| register_font(FAMILY, FontStyle::Normal, dejavu::sans_condensed::regular()).is_ok());
    if loaded { Ok(()) } else { Err(failed("text", "the font is not valid")) }
}

/// Width of a text in pixels; nothing before [`load_font`].
pub(super) fn text_width(text: &str) -> i32 {
    let size = FontDesc::new(FontFamily::Name(FAMILY), SIZE, FontStyle::Normal).box_size(text);
    size.map_or(0, |(width, _)| i32::try_from(width).unwrap_or(i32::MAX))
}

/// Breaks a text between words into lines of at most `width` pixels; a longer word is cut.
pub(super) fn wrap(text: &str, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        if let Some(last) = lines.last_mut() {
            let longer = format!("{last} {word}");
            if text_width(&longer) <= width {
                *last = longer;
                continue;
            }
        }
        while text_width(&word) > width && word.chars().count() > 1 {
            let fitting = (1..word.chars().count()).rev().find(|&n| text_width(&word.chars().take(n).collect::<String>()) <= width).unwrap_or(1);
            lines.push(word.chars().take(fitting).collect());
            word = word.chars().skip(fitting).collect();
        }
        lines.push(word);
    }
    lines
}

impl Sheet {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, height: 0, marks: Vec::new() }
    }

    /// The file name without its ending.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn line(&mut self, points: Vec<Point>, colour: RGBColor, width: u32) {
        self.marks.push(Mark::Line { points, colour, width });
    }

    /// A dashed line, level or plumb.
    pub(super) fn dashed(&mut self, from: Point, to: Point, colour: RGBColor) {
        let (dash, period) = (14, 24);
        let length = (to.0 - from.0).abs().max((to.1 - from.1).abs());
        let step = |d: i32| (from.0 + (to.0 - from.0).signum() * d, from.1 + (to.1 - from.1).signum() * d);
        for start in (0..length).step_by(period) {
            self.line(vec![step(start), step((start + dash).min(length))], colour, 4);
        }
    }

    pub(super) fn rect(&mut self, from: Point, to: Point, colour: RGBColor) {
        self.marks.push(Mark::Box { corners: (from, to), colour });
    }

    pub(super) fn marker(&mut self, shape: Shape, at: Point, colour: RGBColor, filled: bool) {
        self.marks.push(Mark::Marker { shape, at, colour, filled, radius: 12 });
    }

    /// A marker that leaves short error bars in sight.
    pub(super) fn small_marker(&mut self, shape: Shape, at: Point, colour: RGBColor, filled: bool) {
        self.marks.push(Mark::Marker { shape, at, colour, filled, radius: 8 });
    }

    /// A line of text whose capitals have their middle at `at`.
    pub(super) fn text(&mut self, text: impl Into<String>, at: Point, align: Align, colour: RGBColor) {
        self.marks.push(Mark::Text { text: text.into(), at, align, colour, upright: false });
    }

    /// A line of text that reads upwards, centred at `at`.
    pub(super) fn upright(&mut self, text: impl Into<String>, at: Point, colour: RGBColor) {
        self.marks.push(Mark::Text { text: text.into(), at, align: Align::Centre, colour, upright: true });
    }

    /// Ends the sheet: the footer below `bottom`, and the height that follows.
    pub(super) fn finish(mut self, bottom: i32, footer: &str) -> Self {
        let mut y = bottom;
        for line in wrap(footer, WIDTH - 2 * MARGIN) {
            y += LEADING;
            self.text(line, (MARGIN, y), Align::Left, GREY);
        }
        self.height = y + LEADING / 2 + MARGIN;
        self
    }

    /// The figure as SVG, 8.5 cm wide.
    pub(super) fn svg(&self) -> Result<String> {
        let mut out = String::new();
        self.paint(SVGBackend::with_string(&mut out, self.size()), |at, upright| shift(at, upright, 0.074))?;
        let (width, height) = self.size();
        // The library states the size in pixels; papers want it in millimetres.
        let pixels = format!("width=\"{width}\" height=\"{height}\"");
        let paper = format!("width=\"{:.1}mm\" height=\"{:.1}mm\" font-stretch=\"condensed\"", f64::from(width) * MM, f64::from(height) * MM);
        Ok(out.replacen(&pixels, &paper, 1))
    }

    /// The figure as PNG at 300 dpi.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let (width, height) = self.size();
        let mut pixels = vec![u8::MAX; width as usize * height as usize * 3];
        self.paint(BitMapBackend::with_buffer(&mut pixels, (width, height)), |at, upright| shift(at, upright, 0.216))?;
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: PIXELS_PER_METRE, yppu: PIXELS_PER_METRE, unit: png::Unit::Meter }));
        let mut writer = encoder.write_header().map_err(|e| failed(self.name, e))?;
        writer.write_image_data(&pixels).map_err(|e| failed(self.name, e))?;
        writer.finish().map_err(|e| failed(self.name, e))?;
        Ok(out)
    }

    /// The figure as PDF, 8.5 cm wide, with the font inside.
    pub(super) fn pdf(&self) -> Result<Vec<u8>> {
        pdf::write(self)
    }

    fn size(&self) -> (u32, u32) {
        (WIDTH.unsigned_abs(), self.height.unsigned_abs())
    }

    /// Hands all marks to the drawing library. `place` moves text so that the middle of its capitals is at its position: the two outputs centre
    /// different things.
    fn paint<B: DrawingBackend>(&self, backend: B, place: impl Fn(Point, bool) -> Point) -> Result<()> {
        let area: DrawingArea<B, Shift> = backend.into_drawing_area();
        let failed = |e: DrawingAreaErrorKind<B::ErrorType>| failed(self.name, e);
        area.fill(&WHITE).map_err(failed)?;
        for mark in &self.marks {
            match mark {
                Mark::Line { points, colour, width } => area.draw(&PathElement::new(points.clone(), colour.stroke_width(*width))),
                Mark::Box { corners: (from, to), colour } => area.draw(&Rectangle::new([*from, *to], colour.filled())),
                Mark::Marker { shape, at, colour, filled, radius } => {
                    Self::layers(*radius, *colour, *filled).try_for_each(|(r, colour)| draw_marker(&area, *shape, *at, r, colour))
                }
                Mark::Text { text, at, align, colour, upright } => {
                    let h = match align {
                        Align::Left => HPos::Left,
                        Align::Centre => HPos::Center,
                        Align::Right => HPos::Right,
                    };
                    let font = FontDesc::new(FontFamily::Name(FAMILY), SIZE, FontStyle::Normal);
                    let font = if *upright { font.transform(FontTransform::Rotate270) } else { font };
                    let style = TextStyle::from(font).color(colour).pos(Pos::new(h, VPos::Center));
                    area.draw(&Text::new(text.as_str(), place(*at, *upright), style))
                }
            }
            .map_err(failed)?;
        }
        area.present().map_err(failed)
    }

    /// Radius and colour of what a marker is painted of. A white rim parts markers that overlap; a white core makes one hollow.
    fn layers(radius: i32, colour: RGBColor, filled: bool) -> impl Iterator<Item = (i32, RGBColor)> {
        [(radius + 3, WHITE), (radius, colour), (radius - 4, WHITE)].into_iter().take(if filled { 2 } else { 3 })
    }

    /// Boxes of all texts, for tests that look for overlaps.
    #[cfg(test)]
    pub(super) fn text_boxes(&self) -> Vec<(String, Point, Point)> {
        let boxes = self.marks.iter().filter_map(|mark| {
            let Mark::Text { text, at: (x, y), align, upright, .. } = mark else { return None };
            let (width, half) = (text_width(text), 15);
            if *upright {
                return Some((text.clone(), (x - half, y - width / 2), (x + half, y + width / 2)));
            }
            let left = match align {
                Align::Left => *x,
                Align::Centre => x - width / 2,
                Align::Right => x - width,
            };
            Some((text.clone(), (left, y - half), (left + width, y + half)))
        });
        boxes.collect()
    }

    /// Height in pixels.
    #[cfg(test)]
    pub(super) fn height(&self) -> i32 {
        self.height
    }
}

/// Moves a text position by a share of the text size, down or, for upright text, to the right.
#[expect(clippy::cast_possible_truncation, reason = "a few pixels")]
fn shift((x, y): Point, upright: bool, share: f64) -> Point {
    let by = (share * SIZE).round() as i32;
    if upright { (x + by, y) } else { (x, y + by) }
}

fn draw_marker<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    shape: Shape,
    at: Point,
    r: i32,
    colour: RGBColor,
) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    match shape {
        Shape::Circle => area.draw(&Circle::new(at, r, colour.filled())),
        _ => area.draw(&Polygon::new(outline(shape, at, r), colour.filled())),
    }
}

/// Corners of a marker; a circle has none.
fn outline(shape: Shape, (x, y): Point, r: i32) -> Vec<Point> {
    match shape {
        Shape::Circle => Vec::new(),
        Shape::Square => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        Shape::Triangle => vec![(x, y - r * 5 / 4), (x + r * 5 / 4, y + r), (x - r * 5 / 4, y + r)],
        Shape::Wedge => vec![(x, y + r * 5 / 4), (x - r * 5 / 4, y - r), (x + r * 5 / 4, y - r)],
        Shape::Diamond => vec![(x, y - r * 4 / 3), (x + r * 4 / 3, y), (x, y + r * 4 / 3), (x - r * 4 / 3, y)],
    }
}

fn failed(figure: &str, problem: impl std::fmt::Display) -> Error {
    Error::Figure { figure: figure.into(), problem: problem.to_string() }
}
