//! What the parties keep on their disks. Every file is written aside, brought to the disk and renamed, with mode 0600, so a kill leaves the old file or the new.
//! A folder has a [`Charter`] and serves no other work than the one that it names; a checkpoint has the charter's digest in its first bytes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::frame::Id;
use super::link::Checkpoint;
use super::session::{Keep, Position};
use crate::container::{FileForm, Packed, pack};
use crate::durable::{BULK, Charter, lock, read, remove_temporary, write_private};
use crate::error::{Error, Result};
use crate::text::{hex, unhex_array};

const FORM: FileForm = FileForm { family: "cipherlane checkpoint", version: Some("v3"), plain: None };

/// The head of a checkpoint; its one part is the work. Numbers of the channel are hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointHead {
    charter: String,
    session: String,
    /// Step and transcript.
    position: Option<(u64, String)>,
    batches: u64,
    complete: bool,
}

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
        let found = if bytes.starts_with(old::MAGIC) { old::decode(&bytes, &self.charter) } else { decode(&bytes, &self.charter) };
        let damaged = "another version of it, one of other work, or a damaged one";
        found.map(Some).ok_or_else(|| Error::file(&self.path, "a checkpoint of this work with its SHA-256", damaged))
    }

    /// Replaces the checkpoint. When this returns it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        write_private(&self.path, &encode(checkpoint, &self.charter)?)
    }
}

/// What was read, unless the file is not there.
fn there(read: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match read {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn encode(checkpoint: &Checkpoint, charter: &[u8; 32]) -> Result<Vec<u8>> {
    let head = CheckpointHead {
        charter: hex(charter),
        session: hex(checkpoint.session),
        position: checkpoint.position.map(|position| (position.step, hex(position.transcript))),
        batches: checkpoint.batches,
        complete: checkpoint.complete,
    };
    pack(FORM, &head, &[checkpoint.work.len()], |bytes| bytes.extend_from_slice(&checkpoint.work))
}

fn decode(bytes: &[u8], charter: &[u8; 32]) -> Option<Checkpoint> {
    let packed = Packed::open(FORM, bytes, bytes.len() as u64, Path::new("checkpoint")).ok()?;
    let head: CheckpointHead = packed.head().ok()?;
    let position = match head.position {
        None => None,
        Some((step, transcript)) => Some(Position { step, transcript: unhex_array(&transcript)? }),
    };
    let [work] = packed.read_parts(None).ok()?.try_into().ok()?;
    let session = unhex_array(&head.session)?;
    (head.charter == hex(charter)).then_some(Checkpoint { session, position, batches: head.batches, complete: head.complete, work })
}

/// Checkpoints of version 2: the same in binary, with one digest at the end.
mod old {
    use sha2::{Digest, Sha256};

    use super::{Checkpoint, Position};

    pub(super) const MAGIC: &[u8] = b"cipherlane checkpoint v2";

    pub(super) fn decode(bytes: &[u8], charter: &[u8; 32]) -> Option<Checkpoint> {
        let (content, digest) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(content).as_slice() != digest {
            return None;
        }
        let mut rest = content.strip_prefix(MAGIC)?.strip_prefix(charter.as_slice())?;
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
            return Err(Error::range(
                "unfinished sessions in the folder",
                &(MOST_SESSIONS + 1),
                format!("{MOST_SESSIONS}; remove what nobody will go on with"),
            ));
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
    use sha2::Digest as _;

    use super::*;

    fn checkpoint(position: Option<Position>) -> Checkpoint {
        Checkpoint { session: [3; 16], position, batches: 7, complete: false, work: b"weights".to_vec() }
    }

    /// The checkpoint before the first batch as version 2 wrote it.
    fn version_2(charter: &Charter) -> Vec<u8> {
        let fields: [&[u8]; 8] = [old::MAGIC, &charter.digest(), &[3; 16], &[0; 41], &7u64.to_be_bytes(), &[0], &7u64.to_be_bytes(), b"weights"];
        let bytes = fields.concat();
        [&bytes[..], &sha2::Sha256::digest(&bytes)].concat()
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
        assert_eq!(fs::write(&notes.path, version_2(&charter)).map(|()| notes.read().unwrap()).unwrap(), Some(checkpoint(None)));
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
