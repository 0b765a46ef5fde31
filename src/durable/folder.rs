//! Folders: what is in them, and locks that end with their process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Names of temporary files begin so; one that is left behind belongs to a process that was killed.
pub const TEMPORARY: &str = ".cipherlane-";

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Brings the names in a folder to the disk.
///
/// # Errors
/// [`Error::Io`] when the system refuses.
pub fn sync_folder(dir: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
        // Some file systems know no such thing for folders, and one may be allowed to write to a folder but not to read it.
        match File::open(dir).and_then(|folder| folder.sync_all()) {
            Err(e) if ![InvalidInput, PermissionDenied, Unsupported].contains(&e.kind()) => return Err(Error::io("write", dir)(e)),
            _ => {}
        }
    }
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Everything in a folder, in no particular order.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(Error::io("read", dir))?;
    entries.map(|entry| entry.map(|e| e.path()).map_err(Error::io("read", dir))).collect()
}

/// Removes the temporary files of processes that have ended. Those of living ones are locked and
/// stay.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read or written.
pub fn remove_temporary(dir: &Path) -> Result<()> {
    for path in entries(dir)? {
        let is_ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY));
        if !is_ours || !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            continue;
        }
        // What cannot be opened belongs to another user.
        let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
        if file.try_lock().is_ok() && is_at(&file, &path) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io("remove", &path)(e)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether an open file is still the one at a path: another process may have removed or replaced
/// what it opened a moment ago. Where the system does not tell, it is.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let there = fs::symlink_metadata(path).map(identity);
        file.metadata().map(identity).is_ok_and(|own| there.is_ok_and(|there| there == own))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        true
    }
}

/// Opens a lock file, which is made if need be, without taking the lock.
///
/// # Errors
/// [`Error::Io`] when it cannot be made.
pub fn open_lock(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io("create", path))
}

/// Takes a lock in a folder that ends with the process, however it ends. The file says who holds it, for people.
///
/// # Errors
/// [`Error::Busy`] when another process holds it, [`Error::Io`] when the file cannot be made.
pub fn lock(dir: &Path, name: &str, shared: bool) -> Result<File> {
    take_lock(&dir.join(name), dir, shared)
}

/// Takes the lock at `path`, which protects `what`.
pub(super) fn take_lock(path: &Path, what: &Path, shared: bool) -> Result<File> {
    loop {
        let mut file = open_lock(path)?;
        match if shared { file.try_lock_shared() } else { file.try_lock() } {
            // Whoever held it has removed it since it was opened.
            Ok(()) if !is_at(&file, path) => continue,
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is helps, but is not needed.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
                return Err(Error::Busy { path: what.into(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", path)(e)),
        }
        // The text is for people: a full disk must not keep a sweep from ending with its own error.
        let _ = file.set_len(0).and_then(|()| if shared { Ok(()) } else { writeln!(file, "process {}", std::process::id()) });
        return Ok(file);
    }
}
