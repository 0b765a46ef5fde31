//! An order of figures, and what came of it.

use std::path::PathBuf;

use crate::report::peers::Peer;
use crate::report::quoted::Quoted;

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

    pub(super) fn ending(self) -> &'static str {
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
