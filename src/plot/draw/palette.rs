//! The identities of figures: a hue for what does the arithmetic, a shape for the features. Both
//! are fixed, so no figure gives a colour another meaning.
//!
//! Lines and points take the hues of Okabe and Ito, which colour-blind readers tell apart. Parts of
//! bars take the light scheme of Tol, made for areas with words on them, so that no part looks like
//! a backend.

use plotters::style::RGBColor;

use super::sheet::{BLACK, GREY, Shape};
use crate::record::Stage;
use crate::report::Row;

const ORANGE: RGBColor = RGBColor(230, 159, 0);
const SKY: RGBColor = RGBColor(86, 180, 233);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const PURPLE: RGBColor = RGBColor(204, 121, 167);

/// What is computed in the clear.
pub(super) const CLEAR: RGBColor = PURPLE;
/// What no backend alone stands for.
pub(super) const FOREIGN: RGBColor = GREY;
/// What was learnt from ciphertexts, and what an attack recovers of the key: no backend is meant.
pub(super) const LEARNT: RGBColor = SKY;
pub(super) const KEY: RGBColor = ORANGE;

/// The hue of a backend.
pub(super) fn backend(name: &str) -> RGBColor {
    match name {
        "reference" => BLACK,
        "gmp" => BLUE,
        "ifma" => VERMILION,
        "gpu" => GREEN,
        _ => GREY,
    }
}

/// The hue of a row: that of its backend, or of plaintext.
pub(super) fn hue(row: &Row) -> RGBColor {
    if row.is_clear() || row.outcome.backend == "simulated" { CLEAR } else { backend(&row.outcome.backend) }
}

/// The shape of a feature map.
pub(super) fn shape(features: &str) -> Shape {
    match features {
        "pixels" | "bits" => Shape::Circle,
        "gradients" => Shape::Square,
        _ => Shape::Triangle,
    }
}

/// A part of a bar; black words are read on all of these.
pub(super) const BLUE_PART: RGBColor = RGBColor(119, 170, 221);
pub(super) const ORANGE_PART: RGBColor = RGBColor(238, 136, 102);
pub(super) const YELLOW_PART: RGBColor = RGBColor(238, 221, 136);
pub(super) const PINK_PART: RGBColor = RGBColor(255, 170, 187);
pub(super) const CYAN_PART: RGBColor = RGBColor(153, 221, 255);
pub(super) const MINT_PART: RGBColor = RGBColor(68, 187, 153);
pub(super) const PEAR_PART: RGBColor = RGBColor(187, 204, 51);
pub(super) const OLIVE_PART: RGBColor = RGBColor(170, 170, 0);
pub(super) const GREY_PART: RGBColor = RGBColor(205, 205, 205);

/// The area of a stage. Neighbours in a bar differ in hue.
pub(super) const fn stage(stage: Stage) -> RGBColor {
    match stage {
        Stage::Encode => PEAR_PART,
        Stage::Encrypt => BLUE_PART,
        Stage::Upload => GREY_PART,
        Stage::Evaluate => ORANGE_PART,
        Stage::Exchange => OLIVE_PART,
        Stage::Download => CYAN_PART,
        Stage::Decrypt => MINT_PART,
        Stage::Decode => YELLOW_PART,
        Stage::Keygen | Stage::Prepare => PINK_PART,
    }
}
