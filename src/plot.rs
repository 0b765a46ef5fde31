//! Figures for papers and READMEs: [`draw`] writes each as SVG, PNG and PDF, one column (8.5 cm) wide, no text below 7 pt.
//!
//! Every figure is first laid out as a `Sheet`, a list of lines, boxes, markers and texts in pixels
//! at 300 dpi; all three files come from that one list. A hue is a backend and a shape a feature
//! map in every figure (`palette`); what is computed in the clear, and what is quoted from
//! publications, is hollow, and quoted names carry a dagger. A figure of fewer than three values,
//! or with a line of fewer than three points, is left out, and [`order::Drawn`] says why. Runs, revisions
//! and machines take one line below a figure, cut where they are many; the metadata of the files
//! names them all.

#[cfg_attr(not(feature = "plots"), path = "plot/without.rs")]
mod draw;
mod order;

pub use draw::{draw, draw_leakage, draw_one};
pub use order::{Beside, FileKind};
