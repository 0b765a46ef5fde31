//! Downloads the MNIST files from public mirrors and checks them.
//!
//! A body goes to a temporary file in the target folder. Only when the SHA-256 of its uncompressed content is the published one does the file get
//! its name, so a file of that name is whole and right; on any error, and when the user asks to stop, the temporary file is removed. A mirror that
//! fails is followed by the next one.

#[cfg_attr(not(feature = "net"), path = "fetch/without.rs")]
mod download;
mod published;

use std::path::Path;

use crate::control::Control;
use crate::error::Result;
pub use published::{Fetched, Limits, Part, Progress, Published, TEST_IMAGES, TEST_LABELS, TRAINING_IMAGES, TRAINING_LABELS};

/// Makes the files of `part` present and right in `dir`, which is created if needed. Files that are right are kept, others are replaced.
/// `progress` is called as bytes arrive; `control` is looked at several times a second.
///
/// # Errors
/// [`Error::Interrupted`](crate::error::Error::Interrupted) once `control` was stopped,
/// [`Error::Download`](crate::error::Error::Download) with every mirror's reason when none gave the
/// right file in time,
/// [`Error::Io`](crate::error::Error::Io) when `dir` cannot be written.
pub fn fetch(dir: &Path, part: Part, limits: Limits, progress: &dyn Fn(Progress<'_>), control: &Control) -> Result<Vec<Fetched>> {
    download::fetch(dir, part.files(), limits, progress, control)
}
