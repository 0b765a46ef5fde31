//! Files written whole: one alone, or several together.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::folder::{TEMPORARY, folder_of, is_at, sync_folder};
use crate::error::{Error, Result};

/// How many are writing.
static WRITERS: Mutex<usize> = Mutex::new(0);
/// Tells when one ends.
static ENDED: Condvar = Condvar::new();

fn writers() -> MutexGuard<'static, usize> {
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Files are being written that belong together, until this is dropped.
pub struct Writing(());

/// Begins to write files that belong together: [`stop_writing`] waits for the last of them.
#[must_use]
pub fn writing() -> Writing {
    *writers() += 1;
    Writing(())
}

impl Drop for Writing {
    fn drop(&mut self) {
        *writers() -= 1;
        ENDED.notify_all();
    }
}

/// Waits until nobody writes. From then on nobody begins to write, for the rest of this process.
pub(super) fn stop() {
    let mut count = writers();
    while *count > 0 {
        count = ENDED.wait(count).unwrap_or_else(PoisonError::into_inner);
    }
    std::mem::forget(count);
}

/// Writes `bytes` to `path` by way of a temporary file beside it, so that the file is never half there. When this returns, the file is on the disk under its
/// name, also after a loss of power.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[Whole { path, bytes, private: false }], true)
}

/// As [`write_whole`], for what only this user may read: at no time has the file another mode than 0600.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_together(&[Whole { path, bytes, private: true }], true)
}

/// A file to be written.
#[derive(Clone, Copy)]
pub struct Whole<'a> {
    /// Where.
    pub path: &'a Path,
    /// What it holds.
    pub bytes: &'a [u8],
    /// Whether only this user may read it.
    pub private: bool,
}

/// Writes files that belong together, each whole: all of them or, when one cannot be written, none.
/// Files that are there are replaced only where `replace` says so.
///
/// # Errors
/// [`Error::Io`] when a folder cannot be written, or a file is there that is not to be replaced.
pub fn write_together(files: &[Whole<'_>], replace: bool) -> Result<()> {
    let _writing = writing();
    // All that needs room on the disk comes before the first name changes.
    let ready = files.iter().map(|file| Ok((file.path, prepare(file)?))).collect::<Result<Vec<_>>>()?;
    let mut placed = Vec::new();
    for (path, temporary) in ready {
        match place(path, temporary, replace, files.len() > 1) {
            Ok(way_back) => placed.push(way_back),
            Err(error) => {
                placed.into_iter().rev().for_each(WayBack::go);
                return Err(error);
            }
        }
    }
    files.iter().try_for_each(|file| sync_folder(folder_of(file.path)))
}

/// A new temporary file, locked for as long as it is open: see [`remove_temporary`]. With `private`
/// it has mode 0600, else what the user's mask leaves of 0666.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written.
pub fn temporary(dir: &Path, private: bool) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(if private { 0o600 } else { 0o666 }));
    }
    #[cfg(not(unix))]
    let _ = private;
    loop {
        let file = builder.tempfile_in(dir).map_err(Error::io("create a file in", dir))?;
        // Without locks on this file system nobody takes it for left behind either.
        if file.as_file().lock().is_err() || is_at(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
}

/// Writes a file under a temporary name and brings it to the disk.
fn prepare(file: &Whole<'_>) -> Result<NamedTempFile> {
    let path = file.path;
    let mut temporary = temporary(folder_of(path), file.private)?;
    temporary.write_all(file.bytes).map_err(Error::io("write", path))?;
    temporary.as_file().sync_all().map_err(Error::io("write", path))?;
    Ok(temporary)
}

/// What was at a path before a file came there.
struct WayBack {
    path: PathBuf,
    /// Another name of the file that was there; removed when it is dropped.
    before: Option<NamedTempFile<()>>,
    was_there: bool,
}

impl WayBack {
    fn go(self) {
        // The error that leads here is the one to tell.
        let _ = match self.before {
            Some(before) => before.persist(&self.path).map(drop).map_err(|e| e.error),
            None if self.was_there => Ok(()),
            None => fs::remove_file(&self.path),
        };
    }
}

/// Moves a finished temporary file to its name; `with_others` keeps what was there at hand.
fn place(path: &Path, temporary: NamedTempFile, replace: bool, with_others: bool) -> Result<WayBack> {
    let was_there = path.symlink_metadata().is_ok();
    // A file system without links has no way back.
    let link = || tempfile::Builder::new().prefix(TEMPORARY).make_in(folder_of(path), |name| fs::hard_link(path, name)).ok();
    let before = if replace && was_there && with_others { link() } else { None };
    let placed = if replace { temporary.persist(path) } else { temporary.persist_noclobber(path) };
    match placed {
        Ok(_) => Ok(WayBack { path: path.into(), before, was_there }),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::file(path, "no file of this name", "one, which is replaced only on request"))
        }
        Err(e) => Err(Error::io("create", path)(e.error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::folder::entries;
    use super::*;

    #[test]
    fn files_that_belong_together_are_all_there_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        let files = [Whole { path: &first, bytes: b"new", private: true }, Whole { path: &second, bytes: b"new", private: false }];
        // The second name cannot be taken: a folder with something in it is there.
        fs::create_dir_all(second.join("full")).unwrap();
        for replace in [false, true] {
            assert!(write_together(&files, replace).is_err());
            assert_eq!(entries(dir.path()).unwrap(), std::slice::from_ref(&second), "{replace}");
        }
        fs::write(&first, "old").unwrap();
        assert!(write_together(&files, true).is_err());
        assert_eq!(fs::read(&first).unwrap(), b"old");
        // Its folder is not there: nothing is moved at all.
        let far = [files[0], Whole { path: &dir.path().join("none/file"), ..files[1] }];
        assert!(write_together(&far, true).is_err());
        assert_eq!((fs::read(&first).unwrap().as_slice(), entries(dir.path()).unwrap().len()), (&b"old"[..], 2));

        fs::remove_dir_all(&second).unwrap();
        assert!(write_together(&files, false).unwrap_err().to_string().contains("replaced only on request"));
        assert!(!second.exists());
        write_together(&files, true).unwrap();
        assert_eq!((fs::read(&first).unwrap(), fs::read(&second).unwrap()), (b"new".to_vec(), b"new".to_vec()));
        assert_eq!(entries(dir.path()).unwrap().len(), 2, "nothing else is left");
    }
}
