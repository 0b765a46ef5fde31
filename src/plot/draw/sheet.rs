//! A figure as a list of marks in pixels, and its three files.

mod marks;
mod pdf;

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, register_font};
use ttf_parser::{Face, GlyphId};

use crate::error::Result;

pub(super) use marks::{Align, BLACK, GREY, PALE, Point, RADIUS, Shape, WHITE};
use marks::{Mark, SIZE, failed, layers, outline};

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
/// The family as CSS names it, under both names that readers of fonts give it. Arial and Helvetica run as wide as the condensed face, so text keeps its
/// place where the font is not installed.
const FAMILY: &str = "DejaVu Sans Condensed, DejaVu Sans, Arial, Helvetica, sans-serif";

/// Stands where a text was cut.
const ELLIPSIS: char = '\u{2026}';

/// Free pixels between a frame and the data inside it, so that no marker meets the frame.
pub(super) const INSET: i32 = RADIUS * 2;
/// A line of fewer points than this shows no course.
pub(super) const LEAST_POINTS: usize = 3;
/// A text never takes more lines than this; what is left gives way to an ellipsis.
const MOST_LINES: usize = 4;

/// What stands below a figure: remarks for its reader, and where the numbers come from.
///
/// The source takes one line and is cut where it is longer; all of it stands in the metadata of the
/// files.
#[derive(Clone, Debug, Default)]
pub(super) struct Footer {
    notes: Vec<String>,
    short: String,
    source: String,
}

impl Footer {
    /// The source in one line, and in full.
    pub(super) fn new(short: String, source: String) -> Self {
        Self { notes: Vec::new(), short, source }
    }

    /// The same with one more remark; nothing is added by an empty one.
    pub(super) fn with(&self, note: impl Into<String>) -> Self {
        let mut footer = self.clone();
        footer.notes.extend(Some(note.into()).filter(|note| !note.is_empty()));
        footer
    }
}

/// A figure: marks in the order they are drawn.
pub(super) struct Sheet {
    name: &'static str,
    height: i32,
    marks: Vec<Mark>,
    source: String,
    /// Points and bars of the data, without those of the legend.
    values: usize,
    /// The box that the data stands in, where there is one.
    frame: Option<(Point, Point)>,
    /// What each axis names.
    axes: Vec<Vec<String>>,
    /// Names of rows and lines.
    labels: Vec<String>,
    /// Points of each line.
    lines: Vec<usize>,
}

/// The shipped font, once.
fn face() -> Option<&'static Face<'static>> {
    static FACE: OnceLock<Option<Face<'static>>> = OnceLock::new();
    FACE.get_or_init(|| Face::parse(dejavu::sans_condensed::regular(), 0).ok()).as_ref()
}

/// Registers the font that the drawing library then finds by [`FAMILY`].
pub(super) fn load_font() -> Result<()> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let loaded = *LOADED.get_or_init(|| register_font(FAMILY, FontStyle::Normal, dejavu::sans_condensed::regular()).is_ok());
    if loaded { Ok(()) } else { Err(failed("text", "the font is not valid")) }
}

/// Width of a letter in pixels, in the largest of the three files; the drawing library takes its
/// size as the height of a line there.
fn advance(c: char) -> f64 {
    face().map_or(0.0, |face| {
        let glyph = face.glyph_index(c).or_else(|| face.glyph_index('?')).unwrap_or(GlyphId(0));
        let line = f64::from(face.ascender()) - f64::from(face.descender());
        SIZE * f64::from(face.glyph_hor_advance(glyph).unwrap_or(0)) / line
    })
}

/// Width of a text in pixels.
#[expect(clippy::cast_possible_truncation, reason = "saturates far beyond any sheet")]
pub(super) fn text_width(text: &str) -> i32 {
    text.chars().map(advance).sum::<f64>().ceil() as i32
}

/// A text of at most `width` pixels: the end of a longer one gives way to an ellipsis. Reads no
/// more of it than that takes.
pub(super) fn clip(text: &str, width: i32) -> String {
    let (width, dots) = (f64::from(width), advance(ELLIPSIS));
    let (mut used, mut kept) = (0.0, 0);
    for (at, c) in text.char_indices() {
        used += advance(c);
        if used > width {
            return format!("{}{ELLIPSIS}", text[..kept].trim_end());
        }
        if used + dots <= width {
            kept = at + c.len_utf8();
        }
    }
    text.to_owned()
}

/// A space that [`wrap`] does not break at.
const TIED: char = '\u{a0}';

/// Breaks a text between words into lines of at most `width` pixels. A word that is longer, and
/// what follows the last line, is cut.
pub(super) fn wrap(text: &str, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() && c != TIED).filter(|word| !word.is_empty()) {
        if let Some(last) = lines.last_mut() {
            let longer = format!("{last} {word}");
            let clipped = clip(&longer, width);
            if clipped == longer {
                *last = longer;
                continue;
            }
        }
        if lines.len() == MOST_LINES {
            if let Some(last) = lines.last_mut() {
                *last = clip(&format!("{last} {ELLIPSIS}"), width);
            }
            break;
        }
        lines.push(clip(word, width));
    }
    lines
}

impl Sheet {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            height: 0,
            marks: Vec::new(),
            source: String::new(),
            values: 0,
            frame: None,
            axes: Vec::new(),
            labels: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The file name without its ending.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn line(&mut self, points: Vec<Point>, colour: RGBColor, width: u32) {
        self.marks.push(Mark::Line { points, colour, width });
    }

    /// A dashed line.
    #[expect(clippy::cast_possible_truncation, reason = "pixels of a figure")]
    pub(super) fn dashed(&mut self, from: Point, to: Point, colour: RGBColor) {
        let (dash, period) = (14.0, 24.0);
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = dx.hypot(dy);
        let point = |d: f64| (from.0 + (dx * d / length).round() as i32, from.1 + (dy * d / length).round() as i32);
        let mut start = 0.0;
        while start < length {
            self.line(vec![point(start), point((start + dash).min(length))], colour, 4);
            start += period;
        }
    }

    /// A filled box that belongs to no data.
    pub(super) fn rect(&mut self, from: Point, to: Point, colour: RGBColor) {
        self.marks.push(Mark::Box { corners: (from, to), colour });
    }

    /// A bar of the data, or a part of one.
    pub(super) fn bar(&mut self, from: Point, to: Point, colour: RGBColor) {
        self.values += 1;
        self.rect(from, to, colour);
    }

    /// A point of the data.
    pub(super) fn marker(&mut self, shape: Shape, at: Point, colour: RGBColor, filled: bool) {
        self.values += 1;
        self.swatch(shape, at, colour, filled);
    }

    /// The same marker in a legend.
    pub(super) fn swatch(&mut self, shape: Shape, at: Point, colour: RGBColor, filled: bool) {
        self.marks.push(Mark::Marker { shape, at, colour, filled });
    }

    /// The interval of the value at a marker, level or plumb. An end that the marker would hide has
    /// no cap.
    pub(super) fn interval(&mut self, at: Point, (from, to): (Point, Point), colour: RGBColor) {
        self.line(vec![from, to], colour, 3);
        for end in [from, to] {
            let (dx, dy) = ((end.0 - at.0).abs(), (end.1 - at.1).abs());
            if dx.max(dy) > RADIUS + 6 {
                let cap = if from.1 == to.1 { [(end.0, end.1 - 9), (end.0, end.1 + 9)] } else { [(end.0 - 9, end.1), (end.0 + 9, end.1)] };
                self.line(cap.to_vec(), colour, 3);
            }
        }
    }

    /// The axes at the left and at the bottom of a box that the data stands in.
    pub(super) fn frame(&mut self, (left, top): Point, (right, bottom): Point) {
        self.frame = Some(((left, top), (right, bottom)));
        self.line(vec![(left, top), (left, bottom), (right, bottom)], GREY, 3);
    }

    /// Notes what an axis names.
    pub(super) fn axis<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.axes.push(names.map(str::to_owned).collect());
    }

    /// A line of the data through its points.
    pub(super) fn course(&mut self, points: Vec<Point>, colour: RGBColor) {
        self.lines.push(points.len());
        self.line(points, colour, 4);
    }

    /// Notes the name of a row or a line.
    pub(super) fn label(&mut self, name: impl Into<String>) {
        self.labels.push(name.into());
    }

    /// A line of text whose capitals have their middle at `at`; one wider than the sheet is cut.
    pub(super) fn text(&mut self, text: impl Into<String>, at: Point, align: Align, colour: RGBColor) {
        self.marks.push(Mark::Text { text: clip(&text.into(), WIDTH - 2 * MARGIN), at, align, colour, upright: false });
    }

    /// A line of text that reads upwards, centred at `at`, and cut where it is longer than `room`
    /// pixels.
    pub(super) fn upright(&mut self, text: &str, at: Point, room: i32, colour: RGBColor) {
        self.marks.push(Mark::Text { text: clip(text, room), at, align: Align::Centre, colour, upright: true });
    }

    /// Ends the sheet: the footer below `bottom`, and the height that follows.
    pub(super) fn finish(mut self, bottom: i32, footer: &Footer) -> Self {
        let width = WIDTH - 2 * MARGIN;
        let mut y = bottom + 6;
        for line in wrap(&footer.notes.join("; ").replace(" %", &format!("{TIED}%")), width)
            .into_iter()
            .chain(Some(clip(&footer.short, width)).filter(|line| !line.is_empty()))
        {
            y += LEADING;
            self.text(line, (MARGIN, y), Align::Left, GREY);
        }
        self.height = y + LEADING / 2 + MARGIN;
        self.source.clone_from(&footer.source);
        self
    }

    /// The sheet, or why a table says as much as it would.
    pub(super) fn worth_drawing(self) -> std::result::Result<Self, String> {
        match (self.values, self.axes.iter().find(|names| names.len() < 2)) {
            (values @ 0..3, _) => {
                Err(format!("{values} value{} make{} no figure", if values == 1 { "" } else { "s" }, if values == 1 { "s" } else { "" }))
            }
            _ if self.lines.iter().any(|points| *points < LEAST_POINTS) => Err("two points make no line".into()),
            (_, Some(_)) => Err("the values are equal: an axis would have one number".into()),
            _ => Ok(self),
        }
    }

    /// The figure as SVG, 8.5 cm wide.
    pub(super) fn svg(&self) -> Result<String> {
        let mut out = String::new();
        self.paint(SVGBackend::with_string(&mut out, self.size()), |at, upright| shift(at, upright, 0.074))?;
        let (width, height) = self.size();
        // The library states the size in pixels; papers want it in millimetres.
        let pixels = format!("width=\"{width}\" height=\"{height}\"");
        let paper = format!("width=\"{:.1}mm\" height=\"{:.1}mm\" font-stretch=\"condensed\"", f64::from(width) * MM, f64::from(height) * MM);
        let out = out.replacen(&pixels, &paper, 1);
        let head = out.find(">\n").map_or(0, |at| at + 2);
        let xml = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        Ok(format!("{}<title>{}</title>\n<desc>{}</desc>\n{}", &out[..head], xml(self.name), xml(&self.source), &out[head..]))
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
        for (keyword, text) in [("Title", self.name), ("Source", &self.source), ("Software", "cipherlane")] {
            encoder.add_itxt_chunk(keyword.into(), text.to_owned()).map_err(|e| failed(self.name, e))?;
        }
        let mut writer = encoder.write_header().map_err(|e| failed(self.name, e))?;
        writer.write_image_data(&pixels).map_err(|e| failed(self.name, e))?;
        writer.finish().map_err(|e| failed(self.name, e))?;
        Ok(out)
    }

    /// The figure as PDF, 8.5 cm wide, with the font inside.
    pub(super) fn pdf(&self) -> Result<Vec<u8>> {
        pdf::write((self.name, &self.source), self.size(), &self.marks)
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
                Mark::Marker { shape, at, colour, filled } => {
                    layers(*colour, *filled).try_for_each(|(r, colour)| draw_marker(&area, *shape, *at, r, colour))
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

    /// Names of rows and lines, and what each axis names.
    #[cfg(test)]
    pub(super) fn words(&self) -> (&[String], &[Vec<String>]) {
        (&self.labels, &self.axes)
    }

    /// Colours of the markers.
    #[cfg(test)]
    pub(super) fn hues(&self) -> Vec<(u8, u8, u8)> {
        let hues =
            self.marks.iter().filter_map(|mark| if let Mark::Marker { colour, .. } = mark { Some((colour.0, colour.1, colour.2)) } else { None });
        hues.collect()
    }

    /// Number of points of each line.
    #[cfg(test)]
    pub(super) fn lines(&self) -> &[usize] {
        &self.lines
    }

    /// Number of points and bars of the data.
    #[cfg(test)]
    pub(super) fn values(&self) -> usize {
        self.values
    }

    /// Middles of the markers that the frame cuts, for tests.
    #[cfg(test)]
    pub(super) fn cut(&self) -> Vec<Point> {
        let Some(((left, top), (right, bottom))) = self.frame else { return Vec::new() };
        let middles = self.marks.iter().filter_map(|mark| if let Mark::Marker { at, .. } = mark { Some(*at) } else { None });
        let crosses = |&(x, y): &Point| {
            let within = |r: i32| x - r >= left && x + r <= right && y - r >= top && y + r <= bottom;
            let beyond = |r: i32| x + r <= left || x - r >= right || y + r <= top || y - r >= bottom;
            !within(RADIUS * 4 / 3) && !beyond(RADIUS * 4 / 3)
        };
        middles.filter(crosses).collect()
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
