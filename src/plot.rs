//! Figures for papers and READMEs: [`draw`] writes each as SVG, PNG and PDF, one column (8.5 cm) wide, no text below 7 pt.
//!
//! Every figure is first laid out as a `Sheet`, a list of lines, boxes, markers and texts in pixels
//! at 300 dpi; all three files come from that one list. A hue is a backend and a shape a feature
//! map in every figure (`palette`); what is computed in the clear, and what is quoted from
//! publications, is hollow, and quoted names carry a dagger. A figure of fewer than three values,
//! or with a line of fewer than three points, is left out, and [`Drawn`] says why. Runs, revisions
//! and machines take one line below a figure, cut where they are many; the metadata of the files
//! names them all.

#[cfg_attr(not(feature = "plots"), path = "plot/without.rs")]
mod draw;

use std::path::PathBuf;

use crate::report::peers::Peer;
use crate::report::quoted::Quoted;

pub use crate::record::FIGURES;
pub use draw::{draw, draw_leakage, draw_one};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Vector graphics for the web.
    Svg,
    /// 300 dots per inch.
    Png,
    /// Vector graphics for papers, with the font inside.
    Pdf,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Svg, Self::Png, Self::Pdf];

    fn ending(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Pdf => "pdf",
        }
    }
}

/// What is shown beside the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Published systems.
    pub quoted: &'a [Quoted],
    /// Other programs on the same jobs.
    pub peers: &'a [Peer],
}

/// What became of the figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Files, in the order of the figures and then of the kinds.
    pub files: Vec<PathBuf>,
    /// How many figures they show.
    pub figures: usize,
    /// Figures that the records cannot fill or that would show too little, with the reason.
    pub left_out: Vec<(&'static str, String)>,
}
