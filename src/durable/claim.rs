//! Claims: folders and files that one process alone may write.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::charter::Charter;
use super::folder::{TEMPORARY, folder_of, remove_temporary, take_lock};
use super::whole;
use crate::error::{Error, Result};

/// Name of the lock of a folder.
const LOCK: &str = ".lock";
/// Times that a folder may be taken away while it is being taken.
const MOST_TRIES: usize = 100;

/// A folder or a file that this process alone may write, taken before any work is done for it. When
/// it is dropped, the lock goes, and so do folders that were made for it and are still empty.
#[derive(Debug)]
#[must_use = "it holds for as long as it lives"]
pub struct Claim {
    path: PathBuf,
    lock: PathBuf,
    _locked: File,
}

/// What a claim leaves behind if nobody removes it.
struct Trace {
    lock: PathBuf,
    /// Folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
}

impl Trace {
    fn remove(&self) {
        // While it is still locked: see `take_lock`. Nobody is left to hear of an error.
        let _ = fs::remove_file(&self.lock);
        remove_empty(&self.made);
    }
}

/// The traces of all claims of this process.
fn traces() -> MutexGuard<'static, Vec<Trace>> {
    static TRACES: Mutex<Vec<Trace>> = Mutex::new(Vec::new());
    TRACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives up all claims of this process, for whoever ends it from another thread.
pub fn give_up_claims() {
    std::mem::take(&mut *traces()).iter().for_each(Trace::remove);
}

/// Waits until nobody writes, and gives up all claims. From then on nobody begins to write, for the
/// rest of this process: for whoever ends it from another thread.
pub fn stop_writing() {
    whole::stop();
    give_up_claims();
}

impl Claim {
    /// Takes a folder, which is made if need be, for results that are in none of `files` yet.
    ///
    /// # Errors
    /// [`Error::Taken`] when one of them is there, [`Error::File`] when the folder is none,
    /// [`Error::Busy`] when another process has it, [`Error::Io`].
    pub fn folder(dir: &Path, files: &[&str]) -> Result<Self> {
        Self::checked(dir, &|dir| check_free(dir, files))
    }

    /// Takes a folder whose `files` may be there already if they come from the work of `charter`, which
    /// the folder is given when they are written.
    ///
    /// # Errors
    /// As [`Self::folder`], and [`Error::OtherWork`].
    pub fn resumed(dir: &Path, files: &[&str], charter: &Charter) -> Result<Self> {
        Self::checked(dir, &|dir| charter.check(dir, files).map(drop))
    }

    /// Makes and takes a new folder: `name` in `parent`, or the first of `name`-2, `name`-3, ... that
    /// is not there.
    ///
    /// # Errors
    /// As [`Self::folder`].
    pub fn new_folder(parent: &Path, name: &str) -> Result<Self> {
        let mut made = make(parent)?;
        let mut dir = parent.join(name);
        for number in 2u64.. {
            match fs::create_dir(&dir) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => dir = parent.join(format!("{name}-{number}")),
                created => {
                    created.map_err(Error::io("create", &dir))?;
                    break;
                }
            }
        }
        made.push(dir.clone());
        Self::locked(&dir, dir.join(LOCK), made)
    }

    /// Takes a file that is going to be written, whether or not one of its name is there.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process is at it, [`Error::Io`].
    pub fn file(path: &Path) -> Result<Self> {
        let dir = folder_of(path);
        clean(dir);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::locked(path, dir.join(format!("{TEMPORARY}{name}.lock")), Vec::new())
    }

    fn checked(dir: &Path, check: &dyn Fn(&Path) -> Result<()>) -> Result<Self> {
        missing(dir)?;
        // What is refused is not even locked; once more under the lock, for whoever was faster.
        check(dir)?;
        let mut claim = Self::locked(dir, dir.join(LOCK), make(dir)?);
        for _ in 0..MOST_TRIES {
            match claim {
                // Another process gave the folder up, and took it away, just before it was locked.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => claim = Self::locked(dir, dir.join(LOCK), make(dir)?),
                _ => break,
            }
        }
        let claim = claim?;
        check(dir)?;
        clean(dir);
        Ok(claim)
    }

    fn locked(path: &Path, lock_path: PathBuf, made: Vec<PathBuf>) -> Result<Self> {
        let locked = take_lock(&lock_path, path, false).inspect_err(|_| remove_empty(&made))?;
        traces().push(Trace { lock: lock_path.clone(), made });
        Ok(Self { path: path.into(), lock: lock_path, _locked: locked })
    }

    /// What was taken.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut traces = traces();
        if let Some(at) = traces.iter().position(|trace| trace.lock == self.lock) {
            traces.swap_remove(at).remove();
        }
    }
}

/// Removes what processes that have ended left behind, as far as that goes: a folder that may be
/// written need not be one that may be read.
fn clean(dir: &Path) {
    let _ = remove_temporary(dir);
}

/// Refuses a folder in which one of some files is.
///
/// # Errors
/// [`Error::Taken`] that names the first of them.
pub fn check_free(dir: &Path, files: &[&str]) -> Result<()> {
    match files.iter().find(|name| dir.join(name).symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(name) => Err(Error::Taken { path: dir.into(), name: (*name).into() }),
    }
}

/// Folders that are to be made for a folder, itself among them, the innermost first.
fn missing(dir: &Path) -> Result<Vec<&Path>> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    match dir.ancestors().nth(missing.len()).filter(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()) {
        Some(around) => Err(Error::file(around, "a folder", "a file")),
        None => Ok(missing),
    }
}

/// Makes a folder with those above it; gives those that were not there, the outermost first.
fn make(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for dir in missing(dir)?.into_iter().rev() {
        match fs::create_dir(dir) {
            Ok(()) => made.push(dir.to_path_buf()),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => {
                remove_empty(&made);
                return Err(Error::io("create", dir)(e));
            }
        }
    }
    Ok(made)
}

fn remove_empty(made: &[PathBuf]) {
    // The first that is not empty keeps those around it.
    let _ = made.iter().rev().try_for_each(fs::remove_dir);
}

#[cfg(test)]
mod tests {
    use super::super::folder::{entries, is_at, lock};
    use super::super::whole::temporary;
    use super::*;

    #[test]
    fn temporary_files_of_the_dead_go_and_those_of_the_living_stay() {
        let dir = tempfile::tempdir().unwrap();
        let living = temporary(dir.path(), false).unwrap();
        let dead = dir.path().join(format!("{TEMPORARY}dead"));
        fs::write(&dead, "torn").unwrap();
        fs::create_dir(dir.path().join(format!("{TEMPORARY}folder"))).unwrap();
        remove_temporary(dir.path()).unwrap();
        assert!(living.path().is_file() && !dead.exists());
        assert_eq!(entries(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_claim_is_one_process_alone_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let names = || entries(dir.path()).unwrap().len();
        let out = dir.path().join("new/results");
        let claim = Claim::folder(&out, &["samples.csv"]).unwrap();
        assert!(matches!(Claim::folder(&out, &["samples.csv"]), Err(Error::Busy { .. })));
        drop(claim);
        assert_eq!(names(), 0, "no work was done, and no folder is left");

        let claim = Claim::folder(&out, &["samples.csv"]).unwrap();
        fs::write(out.join("samples.csv"), "").unwrap();
        drop(claim);
        assert_eq!(entries(&out).unwrap(), [out.join("samples.csv")]);
        let message = Claim::folder(&out, &["outcomes.csv", "samples.csv"]).unwrap_err().to_string();
        assert!(message.contains("found samples.csv of another run"), "{message}");
        let _ = Claim::folder(&out, &["outcomes.csv"]).unwrap();
        assert!(Claim::folder(&out.join("samples.csv"), &[]).unwrap_err().to_string().contains("expected a folder, found a file"));

        let charter = Charter::new("a test").with("records", "some");
        assert!(matches!(Claim::resumed(&out, &["samples.csv"], &charter), Err(Error::OtherWork { .. })));
        let model = dir.path().join("models");
        drop(Claim::resumed(&model, &["model.bin"], &charter).unwrap());
        assert!(!model.exists());
        let claim = Claim::resumed(&model, &["model.bin"], &charter).unwrap();
        charter.claim(claim.path(), &["model.bin"]).unwrap();
        fs::write(model.join("model.bin"), "").unwrap();
        drop(claim);
        let _ = Claim::resumed(&model, &["model.bin"], &charter).unwrap();
        assert!(matches!(Claim::resumed(&model, &["model.bin"], &Charter::new("a test")), Err(Error::OtherWork { .. })));
    }

    #[test]
    fn new_folders_get_names_of_their_own_however_many_come_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("results");
        let claims: Vec<Claim> = std::thread::scope(|scope| {
            let each: Vec<_> = (0..8).map(|_| scope.spawn(|| Claim::new_folder(&parent, "today").unwrap())).collect();
            each.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut names: Vec<_> = claims.iter().map(|claim| claim.path().file_name().unwrap().to_owned()).collect();
        names.sort();
        names.dedup();
        assert!(names.len() == 8 && names[0] == "today" && names[1] == "today-2", "{names:?}");
        drop(claims);
        assert!(entries(&parent).unwrap_or_default().is_empty());
    }

    #[test]
    fn one_process_at_a_time_writes_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        let claim = Claim::file(&path).unwrap();
        assert!(matches!(Claim::file(&path), Err(Error::Busy { path: busy, .. }) if busy == path));
        let _ = Claim::file(&dir.path().join("other")).unwrap();
        remove_temporary(dir.path()).unwrap();
        assert!(matches!(Claim::file(&path), Err(Error::Busy { .. })));
        drop(claim);
        assert!(entries(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_lock_that_was_removed_locks_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path(), ".lock", false).unwrap();
        assert!(matches!(lock(dir.path(), ".lock", false), Err(Error::Busy { .. })));
        fs::remove_file(dir.path().join(".lock")).unwrap();
        let second = lock(dir.path(), ".lock", false).unwrap();
        assert!(!is_at(&first, &dir.path().join(".lock")) && is_at(&second, &dir.path().join(".lock")));
    }
}
