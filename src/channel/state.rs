//! What the parties keep on their disks. Every file is written aside, brought to the disk and renamed, with mode 0600, so a kill leaves the old file or the new.
//! A folder has a [`Charter`] and serves no other work than the one that it names; a checkpoint has the charter's digest in its first bytes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::frame::Id;
use super::link::Checkpoint;
use super::session::{Keep, Position};
use crate::durable::{BULK, Charter, lock, read, remove_temporary, write_private};
use crate::error::{Error, Result};
use crate::text::hex;

const MAGIC: &[u8; 24] = b"cipherlane checkpoint v2";
/// Charter, session, position there, step, transcript, batches, complete, length of the work.
const HEAD_BYTES: usize = 24 + 32 + 16 + 1 + 8 + 32 + 8 + 1 + 8;
/// The largest state of a session that P2 reads, in bytes.
const LARGEST_SESSION: u64 = 1 << 20;
/// Unfinished sessions that P2 keeps.
const MOST_SESSIONS: usize = 256;

/// Makes the folder, for this user alone, and locks it for this process, unless it belongs to other work.
fn open(dir: &Path, charter: &Charter) -> Result<File> {
    charter.check(dir, &[])?;
    if !dir.exists() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir).map_err(Error::io("create", dir))?;
    }
    let lock = lock(dir, ".lock", false)?;
    remove_temporary(dir)?;
    charter.claim(dir, &[])?;
    Ok(lock)
}

/// P1's folder: one session, in the file `checkpoint`.
#[derive(Debug)]
pub struct Notes {
    path: PathBuf,
    charter: [u8; 32],
    _lock: File,
}

impl Notes {
    /// Opens the folder, which is made if need be, for this process alone.
    ///
    /// # Errors
    /// [`Error::OtherWork`] when it has another charter, [`Error::Busy`] when another process has it, [`Error::Io`].
    pub fn open(dir: &Path, charter: &Charter) -> Result<Self> {
        Ok(Self { _lock: open(dir, charter)?, path: dir.join("checkpoint"), charter: charter.digest() })
    }

    /// The checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::File`] when it is damaged, [`Error::Io`].
    pub fn read(&self) -> Result<Option<Checkpoint>> {
        let Some(bytes) = there(read(&self.path, BULK))? else { return Ok(None) };
        let damaged = "another version of it, one of other work, or a damaged one";
        decode(&bytes, &self.charter).map(Some).ok_or_else(|| Error::file(&self.path, "a checkpoint of this work with its SHA-256", damaged))
    }

    /// Replaces the checkpoint. When this returns it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        write_private(&self.path, &encode(checkpoint, &self.charter))
    }
}

/// What was read, unless the file is not there.
fn there(read: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match read {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn encode(checkpoint: &Checkpoint, charter: &[u8; 32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + checkpoint.work.len() + 32);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(charter);
    bytes.extend_from_slice(&checkpoint.session);
    bytes.push(u8::from(checkpoint.position.is_some()));
    let position = checkpoint.position.unwrap_or(Position { step: 0, transcript: [0; 32] });
    bytes.extend_from_slice(&position.step.to_be_bytes());
    bytes.extend_from_slice(&position.transcript);
    bytes.extend_from_slice(&checkpoint.batches.to_be_bytes());
    bytes.push(u8::from(checkpoint.complete));
    bytes.extend_from_slice(&(checkpoint.work.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&checkpoint.work);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

fn decode(bytes: &[u8], charter: &[u8; 32]) -> Option<Checkpoint> {
    let (content, digest) = bytes.split_last_chunk::<32>()?;
    if Sha256::digest(content).as_slice() != digest {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC.as_slice())?.strip_prefix(charter.as_slice())?;
    let mut take = |count: usize| {
        let (part, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(part)
    };
    let session = take(16)?.try_into().ok()?;
    let is_there = take(1)? == [1];
    let step = u64::from_be_bytes(take(8)?.try_into().ok()?);
    let transcript = take(32)?.try_into().ok()?;
    let batches = u64::from_be_bytes(take(8)?.try_into().ok()?);
    let complete = take(1)? == [1];
    let length = u64::from_be_bytes(take(8)?.try_into().ok()?);
    let position = is_there.then_some(Position { step, transcript });
    (rest.len() as u64 == length).then(|| Checkpoint { session, position, batches, complete, work: rest.to_vec() })
}

/// P2's folder: a file for each session that is not finished.
#[derive(Debug)]
pub struct Sessions {
    dir: PathBuf,
    _lock: File,
}

impl Sessions {
    /// Opens the folder, which is made if need be, for this process alone.
    ///
    /// # Errors
    /// [`Error::OtherWork`] when it has another charter, [`Error::Busy`] when another process has it, [`Error::Io`].
    pub fn open(dir: &Path, charter: &Charter) -> Result<Self> {
        Ok(Self { _lock: open(dir, charter)?, dir: dir.into() })
    }

    fn path(&self, session: &Id) -> PathBuf {
        self.dir.join(format!("{}.session", hex(session)))
    }

    fn count(&self) -> Result<usize> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io("read", &self.dir))?;
        Ok(entries.filter_map(std::result::Result::ok).filter(|e| e.path().extension().is_some_and(|e| e == "session")).count())
    }
}

impl Keep for Sessions {
    fn load(&self, session: &Id) -> Result<Option<Vec<u8>>> {
        there(read(&self.path(session), LARGEST_SESSION))
    }

    fn save(&mut self, session: &Id, state: &[u8]) -> Result<()> {
        let path = self.path(session);
        if !path.exists() && self.count()? >= MOST_SESSIONS {
            return Err(Error::OutOfRange {
                what: "unfinished sessions in the folder",
                value: (MOST_SESSIONS + 1).to_string(),
                allowed: format!("{MOST_SESSIONS}; remove what nobody will go on with"),
            });
        }
        write_private(&path, state)
    }

    fn remove(&mut self, session: &Id) -> Result<()> {
        let path = self.path(session);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(position: Option<Position>) -> Checkpoint {
        Checkpoint { session: [3; 16], position, batches: 7, complete: false, work: b"weights".to_vec() }
    }

    #[test]
    fn checkpoints_survive_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let charter = Charter::new("a test").with("records", "some");
        let notes = Notes::open(&dir.path().join("new/state"), &charter).unwrap();
        assert_eq!(notes.read().unwrap(), None);
        for position in [None, Some(Position { step: 1 << 40, transcript: [9; 32] })] {
            notes.write(&checkpoint(position)).unwrap();
            assert_eq!(notes.read().unwrap(), Some(checkpoint(position)));
        }
        assert!(matches!(Notes::open(&dir.path().join("new/state"), &charter), Err(Error::Busy { .. })));
        let other = Charter::new("a test").with("records", "others");
        assert!(matches!(Notes::open(&dir.path().join("new/state"), &other), Err(Error::OtherWork { .. })));
        assert_eq!(decode(&fs::read(&notes.path).unwrap(), &other.digest()), None, "a checkpoint that was carried into another folder");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&notes.path), mode(notes.path.parent().unwrap())), (0o600, 0o700));
        }
        let whole = fs::read(&notes.path).unwrap();
        for length in 0..whole.len() {
            fs::write(&notes.path, &whole[..length]).unwrap();
            assert!(matches!(notes.read(), Err(Error::File { .. })), "{length}");
        }
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&notes.path, bad).unwrap();
            assert!(matches!(notes.read(), Err(Error::File { .. })), "{at}");
        }
    }

    #[test]
    fn sessions_are_kept_up_to_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut sessions = Sessions::open(dir.path(), &Charter::new("a test")).unwrap();
        let id = |n: usize| [(n % 256) as u8, (n / 256) as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for n in 0..MOST_SESSIONS {
            fs::write(sessions.path(&id(n)), "kept").unwrap();
        }
        assert!(matches!(sessions.save(&id(MOST_SESSIONS), b"one more"), Err(Error::OutOfRange { .. })));
        sessions.save(&id(5), b"again").unwrap();
        assert_eq!(sessions.load(&id(5)).unwrap().as_deref(), Some(b"again".as_slice()));
        sessions.remove(&id(5)).and_then(|()| sessions.remove(&id(5))).unwrap();
        assert_eq!(sessions.load(&id(5)).unwrap(), None);
        sessions.save(&id(MOST_SESSIONS), b"one more").unwrap();
    }
}
