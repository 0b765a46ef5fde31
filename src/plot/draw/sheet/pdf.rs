//! A sheet as PDF: vector shapes, and text in a subset of the shipped font that readers can select and search.
//!
//! Written from the sheet's own marks and not from its SVG. A converter brings a second parser, a shaper of text and a search through the system's fonts, and has to
//! be kept from using what it finds; here nothing but the shipped font can be embedded. Files carry no dates, so equal sheets give equal bytes.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use plotters::style::RGBColor;
use subsetter::GlyphRemapper;
use ttf_parser::{Face, GlyphId};

use super::marks::{Align, Mark, Point, SIZE, Shape, WHITE, failed, layers, outline};
use crate::error::Result;

/// Points per pixel at 300 dpi.
const POINT: f32 = 72.0 / 300.0;
/// Pixels of the letters' em, as in the SVG: the drawing library's unit is 1.24 of it.
const EM: f32 = SIZE as f32 / 1.24;
/// Name of the font inside the file.
const FONT: Name<'static> = Name(b"F1");
/// Glyphs are numbered as in the embedded subset.
const SYSTEM: SystemInfo<'static> = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };
/// A circle of radius 1 as four cubic curves has its control points at this distance.
const KAPPA: f32 = 0.552_285;

/// The shipped font and what of it the sheet uses.
struct Type {
    face: Face<'static>,
    used: GlyphRemapper,
    /// What each glyph of the subset says.
    says: BTreeMap<u16, char>,
}

impl Type {
    /// Numbers of the glyphs in the subset, and the width of the whole in shares of the em. What the font lacks becomes a question mark.
    fn set(&mut self, text: &str) -> (Vec<u8>, f32) {
        let (mut glyphs, mut width) = (Vec::new(), 0.0);
        for c in text.chars() {
            let (c, glyph) = self.face.glyph_index(c).map_or_else(|| ('?', self.face.glyph_index('?').unwrap_or(GlyphId(0))), |glyph| (c, glyph));
            let number = self.used.remap(glyph.0);
            self.says.insert(number, c);
            glyphs.extend(number.to_be_bytes());
            width += self.share(self.face.glyph_hor_advance(glyph).unwrap_or(0).into());
        }
        (glyphs, width)
    }

    /// A length of the font in shares of its em.
    fn share(&self, units: f32) -> f32 {
        units / f32::from(self.face.units_per_em())
    }
}

/// Marks on a page of `size` pixels as a PDF, with the name of the figure and where it comes from.
pub(super) fn write((name, source): (&str, &str), size: (u32, u32), marks: &[Mark]) -> Result<Vec<u8>> {
    let data: &'static [u8] = dejavu::sans_condensed::regular();
    let face = Face::parse(data, 0).map_err(|e| failed(name, e))?;
    let mut letters = Type { face, used: GlyphRemapper::new(), says: BTreeMap::new() };
    let content = content(marks, size, &mut letters);

    let mut numbers = 1..;
    let mut next = || Ref::new(numbers.next().unwrap_or(1));
    let (catalog, pages, page, stream, info) = (next(), next(), next(), next(), next());
    let fonts = [next(), next(), next(), next(), next()];
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([page]).count(1);
    pdf.document_info(info).title(TextStr(name)).subject(TextStr(source)).producer(TextStr("cipherlane"));
    let (width, height) = size;
    let mut leaf = pdf.page(page);
    leaf.media_box(Rect::new(0.0, 0.0, width as f32 * POINT, height as f32 * POINT)).parent(pages).contents(stream);
    leaf.resources().fonts().pair(FONT, fonts[0]);
    leaf.finish();
    pdf.stream(stream, &deflate(&content).map_err(|e| failed(name, e))?).filter(Filter::FlateDecode);
    font(&mut pdf, fonts, &letters, data).map_err(|e| failed(name, e))?;
    Ok(pdf.finish())
}

/// The drawing: pixels from the top left corner, as the marks have them.
fn content(marks: &[Mark], (width, height): (u32, u32), letters: &mut Type) -> Vec<u8> {
    let mut out = Content::new();
    out.transform([POINT, 0.0, 0.0, -POINT, 0.0, height as f32 * POINT]);
    fill(&mut out, WHITE);
    out.rect(0.0, 0.0, width as f32, height as f32).fill_nonzero();
    for mark in marks {
        match mark {
            Mark::Line { points, colour, width } => {
                let [r, g, b] = shares(*colour);
                out.set_stroke_rgb(r, g, b).set_line_width(*width as f32);
                path(&mut out, points);
                out.stroke();
            }
            Mark::Box { corners: (from, to), colour } => {
                fill(&mut out, *colour);
                out.rect(from.0 as f32, from.1 as f32, (to.0 - from.0) as f32, (to.1 - from.1) as f32).fill_nonzero();
            }
            Mark::Marker { shape, at, colour, filled } => {
                for (r, colour) in layers(*colour, *filled) {
                    fill(&mut out, colour);
                    if *shape == Shape::Circle {
                        circle(&mut out, *at, r as f32)
                    } else {
                        path(&mut out, &outline(*shape, *at, r))
                    }
                    out.fill_nonzero();
                }
            }
            Mark::Text { text, at, align, colour, upright } => {
                let (glyphs, width) = letters.set(text);
                let along = match align {
                    Align::Left => 0.0,
                    Align::Centre => -width * EM / 2.0,
                    Align::Right => -width * EM,
                };
                // The middle of the capitals comes to lie on the position.
                let down = letters.share(capital_height(&letters.face)) * EM / 2.0;
                let (x, y) = (at.0 as f32, at.1 as f32);
                // Text has its y axis upwards, the page here downwards.
                let matrix = if *upright { [0.0, -1.0, -1.0, 0.0, x + down, y - along] } else { [1.0, 0.0, 0.0, -1.0, x + along, y + down] };
                fill(&mut out, *colour);
                out.begin_text().set_font(FONT, EM).set_text_matrix(matrix).show(Str(&glyphs)).end_text();
            }
        }
    }
    out.finish().into_vec()
}

/// Height of the capitals in units of the font, by the letter H: the font's own table does not state it.
fn capital_height(face: &Face<'_>) -> f32 {
    face.glyph_index('H').and_then(|h| face.glyph_bounding_box(h)).map_or(0.0, |bounds| bounds.y_max.into())
}

fn shares(colour: RGBColor) -> [f32; 3] {
    [colour.0, colour.1, colour.2].map(|part| f32::from(part) / 255.0)
}

fn fill(out: &mut Content, colour: RGBColor) {
    let [r, g, b] = shares(colour);
    out.set_fill_rgb(r, g, b);
}

fn path(out: &mut Content, points: &[Point]) {
    let mut points = points.iter().map(|(x, y)| (*x as f32, *y as f32));
    if let Some((x, y)) = points.next() {
        out.move_to(x, y);
    }
    for (x, y) in points {
        out.line_to(x, y);
    }
}

fn circle(out: &mut Content, (x, y): Point, r: f32) {
    let (x, y, k) = (x as f32, y as f32, KAPPA * r);
    out.move_to(x + r, y);
    out.cubic_to(x + r, y + k, x + k, y + r, x, y + r);
    out.cubic_to(x - k, y + r, x - r, y + k, x - r, y);
    out.cubic_to(x - r, y - k, x - k, y - r, x, y - r);
    out.cubic_to(x + k, y - r, x + r, y - k, x + r, y);
}

fn deflate(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Embeds the glyphs in use, with their widths and what they say.
fn font(pdf: &mut Pdf, [type0, cid, descriptor, unicode, file]: [Ref; 5], letters: &Type, data: &[u8]) -> std::io::Result<()> {
    let subset = subsetter::subset(data, 0, &letters.used).map_err(std::io::Error::other)?;
    // Programs that join PDFs tell subsets apart by six letters.
    let hash = letters.says.values().fold(0xcbf2_9ce4_8422_2325_u64, |hash, c| (hash ^ u64::from(u32::from(*c))).wrapping_mul(0x100_0000_01b3));
    let tag: String = (0..6).map(|at| char::from(b'A' + ((hash >> (8 * at)) % 26) as u8)).collect();
    let name = format!("{tag}+DejaVuSansCondensed");
    let name = Name(name.as_bytes());
    let (face, per_mille) = (&letters.face, |units: f32| 1000.0 * letters.share(units));

    pdf.type0_font(type0).base_font(name).encoding_predefined(Name(b"Identity-H")).descendant_font(cid).to_unicode(unicode);
    let mut written = pdf.cid_font(cid);
    written.subtype(CidFontType::Type2).base_font(name).system_info(SYSTEM).font_descriptor(descriptor).default_width(0.0);
    written.cid_to_gid_map_predefined(Name(b"Identity"));
    let widths = letters.used.remapped_gids().map(|glyph| per_mille(face.glyph_hor_advance(GlyphId(glyph)).unwrap_or(0).into()));
    written.widths().consecutive(0, widths);
    written.finish();

    let bounds = face.global_bounding_box();
    let [left, bottom, right, top] = [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max].map(|v| per_mille(v.into()));
    let mut written = pdf.font_descriptor(descriptor);
    written.name(name).flags(FontFlags::SYMBOLIC).bbox(Rect::new(left, bottom, right, top)).italic_angle(0.0);
    written.ascent(per_mille(face.ascender().into())).descent(per_mille(face.descender().into()));
    written.cap_height(per_mille(capital_height(face))).stem_v(80.0).font_file2(file);
    written.finish();

    let mut says = UnicodeCmap::new(Name(b"Custom"), SYSTEM);
    letters.says.iter().for_each(|(glyph, c)| says.pair(*glyph, *c));
    let says = says.finish();
    pdf.cmap(unicode, &says);
    let packed = deflate(&subset)?;
    let mut written = pdf.stream(file, &packed);
    written.filter(Filter::FlateDecode);
    written.pair(Name(b"Length1"), i32::try_from(subset.len()).map_err(std::io::Error::other)?);
    written.finish();
    Ok(())
}
