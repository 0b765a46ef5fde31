//! Files and folders that a command writes, taken before any work is done for them.

use std::path::Path;

use crate::durable::Claim;
use crate::error::{Error, Result};
use crate::record;
use crate::stopwatch::timestamp;

/// Takes a file that is to be written, before any work is done for it, or refuses one that could not be. What is there is replaced, so only a file may be, and
/// none of `inputs`.
pub(super) fn claim_file(path: &Path, inputs: &[&Path]) -> Result<Claim> {
    if let Ok(there) = std::fs::symlink_metadata(path).map(|m| m.file_type()).as_ref()
        && !there.is_file()
    {
        let kind = if there.is_dir() {
            "a folder"
        } else if there.is_symlink() {
            "a symbolic link"
        } else {
            "a device or a pipe"
        };
        return Err(Error::file(path, "a file or nothing", kind));
    }
    if let Ok(target) = path.canonicalize()
        && inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == target))
    {
        return Err(Error::file(path, "another file than those that are read", "one of them"));
    }
    check_folder(path.parent().unwrap_or(path), false)?;
    Claim::file(path)
}

/// Takes the results folder that was asked for, or makes one that is named by the time: `results/DATE-TIME-KIND`. No file may be there that a run writes.
pub(super) fn claim_results(asked: Option<&Path>, kind: &str) -> Result<Claim> {
    match asked {
        Some(dir) => Claim::folder(dir, &record::FILES),
        None => Claim::new_folder(Path::new("results"), &format!("{}-{kind}", timestamp().trim_end_matches('Z').replace(':', "").replace('T', "-"))),
    }
}

/// Refuses a folder that no file can be made in; with `create`, one that could not be made either.
pub(super) fn check_folder(dir: &Path, create: bool) -> Result<()> {
    let present = |dir: &&Path| !create || dir.as_os_str().is_empty() || std::fs::symlink_metadata(dir).is_ok();
    let dir = dir.ancestors().find(present).filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = std::fs::metadata(dir).map_err(Error::io("write to", dir))?;
    if !there.is_dir() {
        return Err(Error::file(dir, "a folder", "a file"));
    }
    tempfile::tempfile_in(dir).map(drop).map_err(Error::io("create a file in", dir))
}
