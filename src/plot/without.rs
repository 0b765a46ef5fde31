//! Figures in builds without the feature `plots`: none, and the reason.

use std::path::{Path, PathBuf};

use super::order::{Beside, Drawn, FileKind};
use crate::error::Result;
use crate::record::Records;
use crate::record::leakage::{Experiment, Leak};

const REASON: &str = "this build draws none; build with the Cargo feature `plots`";

fn none() -> Drawn {
    Drawn { left_out: vec![("at all", REASON.into())], ..Drawn::default() }
}

/// Draws nothing and says why.
///
/// # Errors
/// None.
pub fn draw(_: &Records, _: &Path, _: &[FileKind], _: Beside<'_>) -> Result<Drawn> {
    Ok(none())
}

/// Draws nothing and says why.
///
/// # Errors
/// None.
pub fn draw_leakage(rows: &[(Experiment, Vec<Leak>)], _: &Path, _: &[FileKind]) -> Result<Drawn> {
    Ok(if rows.is_empty() { Drawn::default() } else { none() })
}

/// Draws nothing and says why.
///
/// # Errors
/// None.
pub fn draw_one(_: &Records, _: &Path, _: (&str, &str), _: &[FileKind], _: Beside<'_>) -> Result<std::result::Result<Vec<PathBuf>, String>> {
    Ok(Err(REASON.into()))
}
