//! Files that survive: written whole or not at all, read within bounds, and folders locked by the
//! process that works on them.
//!
//! A file is written under a temporary name beside its own, brought to the disk, renamed, and the
//! folder is brought to the disk. So neither a kill nor a full disk nor a loss of power leaves a file
//! half there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// Names of temporary files begin so; one that is left behind belongs to a process that was killed.
pub const TEMPORARY: &str = ".cipherlane-";

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

/// Waits until nobody writes. From then on nobody begins to, for the rest of this process: for whoever
/// ends it from another thread.
pub fn stop_writing() {
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
    write_with_mode(path, bytes, 0o644)
}

/// As [`write_whole`], for what only this user may read: at no time has the file another mode than 0600.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with_mode(path, bytes, 0o600)
}

fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let _writing = writing();
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(Error::io("create a file in", dir))?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    persist(file, path, mode)?;
    sync_folder(dir)
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

/// Moves a finished temporary file, which only this user may read, to its name; its mode is set first.
fn persist(file: tempfile::NamedTempFile, path: &Path, mode: u32) -> Result<()> {
    #[cfg(not(unix))]
    let _ = mode;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))?;
    }
    file.persist(path).map_err(|e| Error::io("create", path)(e.error))?;
    Ok(())
}

/// Removes what a process that was killed had not finished writing in a folder. For whoever holds the folder's lock.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read or written.
pub fn remove_temporary(dir: &Path) -> Result<()> {
    for path in entries(dir)? {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY)) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
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
    let path = dir.join(name);
    let mut file = open_lock(&path)?;
    match if shared { file.try_lock_shared() } else { file.try_lock() } {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is helps, but is not needed.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
            return Err(Error::Busy { path: dir.into(), holder });
        }
        Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path)(e)),
    }
    // The text is for people: a full disk must not keep a sweep from ending with its own error.
    let _ = file.set_len(0).and_then(|()| if shared { Ok(()) } else { writeln!(file, "process {}", std::process::id()) });
    Ok(file)
}
