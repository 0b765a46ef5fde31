//! The charter of a folder in which work goes on after an interruption: everything that decides what
//! comes out of the work, and its digest in the file's first bytes. Whoever comes with other terms is
//! refused before anything is written, so no state is ever continued under terms that it was not
//! begun with.
//!
//! ```text
//! cipherlane charter v1 sha256 <digest of all lines below>
//! smlp p1
//! spec training/smlp/...
//! records <SHA-256>
//! ```

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::bounded::read_text;
use super::folder::{TEMPORARY, entries};
use super::whole::write_whole;
use crate::error::{Error, Result};
use crate::text::hex;

/// The file in the folder.
const FILE: &str = "charter";
const MAGIC: &str = "cipherlane charter v1 sha256 ";
/// Most bytes of the file.
const LARGEST: u64 = 1 << 20;

/// What the work of a folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    lines: Vec<String>,
}

impl Charter {
    /// The charter of a kind of work, without terms so far.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self { lines: vec![one_line(kind)] }
    }

    /// Adds a term: a name without spaces, and its value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.lines.push(format!("{name} {}", one_line(&value.to_string())));
        self
    }

    /// SHA-256 of kind and terms.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.text()).into()
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Refuses a folder of other work, or one without a charter where any of `files` is, which say
    /// nothing of their work; with no `files` named, where anything is. A folder that is empty or not
    /// there is everybody's. True when the folder has this charter.
    ///
    /// # Errors
    /// [`Error::OtherWork`], [`Error::File`] when the file is damaged, [`Error::Io`].
    pub fn check(&self, dir: &Path, files: &[&str]) -> Result<bool> {
        let path = dir.join(FILE);
        let text = match read_text(&path, LARGEST) {
            Ok(text) => text,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return if dir.exists() { self.check_unnamed(dir, files).map(|()| false) } else { Ok(false) };
            }
            Err(error) => return Err(error),
        };
        let there = Self::parse(&text).ok_or_else(|| Error::file(&path, "a charter with its SHA-256", "another version of it, or a damaged one"))?;
        if there == *self { Ok(true) } else { Err(self.differs_from(&there, dir)) }
    }

    fn check_unnamed(&self, dir: &Path, files: &[&str]) -> Result<()> {
        // Locks and torn files say nothing; anything else was put there by work of some kind.
        let silent = |name: &str| name.starts_with(".lock") || name.starts_with(TEMPORARY);
        let counts = |name: &String| if files.is_empty() { !silent(name) } else { files.contains(&name.as_str()) };
        let names = entries(dir)?.into_iter().filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        match names.filter(counts).min() {
            None => Ok(()),
            Some(name) => {
                let there = format!("work that is not named ({name} is there without the file {FILE})");
                Err(Error::OtherWork { path: dir.into(), there, given: self.lines[0].clone() })
            }
        }
    }

    /// Gives a folder this charter, unless it has it. For whoever holds the folder's lock.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn claim(&self, dir: &Path, files: &[&str]) -> Result<()> {
        if self.check(dir, files)? {
            return Ok(());
        }
        let text = self.text();
        let digest = hex(Sha256::digest(&text));
        write_whole(&dir.join(FILE), format!("{MAGIC}{digest}\n{text}").as_bytes())
    }

    fn parse(text: &str) -> Option<Self> {
        let (digest, rest) = text.strip_prefix(MAGIC)?.split_once('\n')?;
        let there = Self { lines: rest.lines().map(str::to_owned).collect() };
        (hex(there.digest()) == digest && there.text() == rest && !there.lines.is_empty()).then_some(there)
    }

    /// The terms that differ, as they are there and as they were given.
    fn differs_from(&self, there: &Self, dir: &Path) -> Error {
        let only = |own: &Self, other: &Self| {
            let lines = own.lines.iter().filter(|line| !other.lines.contains(line)).map(|line| shown(line));
            let lines: Vec<String> = lines.collect();
            if lines.is_empty() { "nothing more".into() } else { lines.join(", ") }
        };
        Error::OtherWork { path: dir.into(), there: only(there, self), given: only(self, there) }
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// A line for people: of a digest the first digits do.
fn shown(line: &str) -> String {
    match line.split_once(' ') {
        Some((name, value)) if value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()) => format!("{name} {}", &value[..12]),
        _ => line.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_refused_to_other_work_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let work = || Charter::new("a test").with("spec", "one").with("records", "ab".repeat(32));
        assert!(!work().check(&dir.path().join("not there"), &[]).unwrap());
        fs::write(dir.path().join(".lock"), "process 1").unwrap();
        assert!(!work().check(dir.path(), &[]).unwrap());
        work().claim(dir.path(), &[]).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(text.starts_with(MAGIC), "{text}");
        assert!(work().check(dir.path(), &[]).unwrap());
        work().claim(dir.path(), &[]).unwrap();

        for (other, words) in [
            (Charter::new("a test").with("spec", "two").with("records", "ab".repeat(32)), ["spec one", "spec two"]),
            (Charter::new("a test").with("spec", "one").with("records", "cd".repeat(32)), ["records abababababab;", "given records cdcdcdcdcdcd:"]),
            (Charter::new("another").with("spec", "one").with("records", "ab".repeat(32)), ["a test", "another"]),
            (work().with("queries", "none"), ["nothing more", "queries none"]),
            (Charter::new("a test").with("spec", "one"), ["records abababababab", "nothing more"]),
        ] {
            for result in [other.check(dir.path(), &[]).map(drop), other.claim(dir.path(), &[])] {
                let message = result.unwrap_err().to_string();
                words.iter().for_each(|word| assert!(message.contains(word), "`{word}` is not in: {message}"));
            }
            assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), text);
        }
        for at in 0..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[at] ^= 1;
            fs::write(dir.path().join(FILE), bad).unwrap();
            assert!(work().check(dir.path(), &[]).is_err(), "{at}");
        }
    }

    #[test]
    fn files_that_do_not_say_their_work_are_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("checkpoint"), "of an earlier version").unwrap();
        let message = Charter::new("a test").claim(dir.path(), &[]).unwrap_err().to_string();
        assert!(message.contains("not named (checkpoint is there"), "{message}");
        assert!(!dir.path().join(FILE).exists());
        // Where only some files matter, others are not in the way.
        let work = Charter::new("a test");
        assert!(work.claim(dir.path(), &["model.bin", "checkpoint"]).is_err());
        work.claim(dir.path(), &["model.bin"]).unwrap();
        assert!(work.check(dir.path(), &["checkpoint"]).unwrap());
    }
}
