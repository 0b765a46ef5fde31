//! Files that travel or are kept: one form for ciphertexts, bundles, checkpoints and sessions.
//!
//! | bytes | content |
//! |---|---|
//! | up to 64 | first line: family, a space, version, `\n` |
//! | up to 2^20 | head: one line of JSON as its writer spells it, then `\n` |
//! | 4 | number of parts, 0 to 2^20 |
//! | 8 each | length of each part in bytes; the sum has at most 64 bits |
//! | 32 each | leaves: digests of the blocks of 2^20 bytes of the payload, the last one shorter |
//! | 32 | root: the digest of everything before it |
//! | | payload: the parts, one after the other, up to the end of the file |
//!
//! Numbers are big-endian. A leaf is SHA-256 of `cipherlane leaf 1\n`, the block's number from 0
//! in 8 bytes and the block; the root is SHA-256 of `cipherlane root 1\n` and what it is of. As
//! these words differ and are of one length, no leaf is a root, whatever a block holds. The root
//! binds the head, all lengths and all leaves, a leaf binds its block and the block's place. So
//! once the root is checked, each block can be checked by itself: on all threads, and before the
//! next one is read.
//!
//! A file's own length decides whether the sizes in it are believed, before anything is allocated.
//!
//! The form before this one had no list of parts and no leaves, but SHA-256 of everything before it
//! as its last 32 bytes. It is read where a `FileForm` says so, whole before any of it is used.
//! Models are written in it still, because results name them by the digest of their bytes.
//!
//! Digests find damage, not malice: whoever changes a file can also give it new ones.

use std::fmt;
use std::io::{BufRead, Read as _};
use std::mem::take;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// Longest first line, in bytes.
const LONGEST_LINE: usize = 64;
/// Longest head with its end of line, in bytes.
const LONGEST_HEAD: usize = 1 << 20;
/// Most parts.
const MOST_PARTS: usize = 1 << 20;
/// Bytes of a block.
const BLOCK: usize = 1 << 20;
/// Blocks that are read at once for each thread.
const BLOCKS_OF_A_THREAD: usize = 2;

/// A SHA-256.
type Digest = [u8; 32];
const DIGEST_BYTES: u64 = 32;

/// A kind of file, by the words of its first line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileForm {
    /// The first words.
    pub family: &'static str,
    /// The version with parts and leaves.
    pub version: Option<&'static str>,
    /// The version that ends with its digest.
    pub plain: Option<&'static str>,
}

impl fmt::Display for FileForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.version.or(self.plain).unwrap_or_default())
    }
}

fn leaf(number: usize, block: &[u8]) -> Digest {
    Sha256::new().chain_update(b"cipherlane leaf 1\n").chain_update((number as u64).to_be_bytes()).chain_update(block).finalize().into()
}

fn root(before: &[u8]) -> Digest {
    Sha256::new().chain_update(b"cipherlane root 1\n").chain_update(before).finalize().into()
}

/// The bytes of a file whose parts have the lengths `parts`, in one allocation; `fill` appends all
/// parts.
///
/// # Errors
/// [`Error::OutOfRange`] for a head or a number of parts that no reader takes, [`Error::Size`] when
/// `fill` appends another number of bytes, [`Error::Unsupported`] for a head that is no JSON.
pub(crate) fn pack(form: FileForm, head: &impl Serialize, parts: &[usize], fill: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>> {
    let head = serde_json::to_string(head).map_err(|e| Error::unsupported(format!("a file `{form}`"), e.to_string()))?;
    for (what, value, most) in [("bytes of a head", head.len(), LONGEST_HEAD - 1), ("parts of a file", parts.len(), MOST_PARTS)] {
        if value > most {
            return Err(Error::range(what, &value, format!("0 to {most}")));
        }
    }
    let payload: usize = parts.iter().sum();
    let mut bytes = format!("{form}\n{head}\n").into_bytes();
    let leaves = bytes.len() + 4 + 8 * parts.len();
    let root_at = leaves + size_of::<Digest>() * payload.div_ceil(BLOCK);
    let front = root_at + size_of::<Digest>();
    bytes.reserve_exact(front + payload - bytes.len());
    bytes.extend_from_slice(&(parts.len() as u32).to_be_bytes());
    parts.iter().for_each(|&part| bytes.extend_from_slice(&(part as u64).to_be_bytes()));
    bytes.resize(front, 0);
    fill(&mut bytes);
    if bytes.len() != front + payload {
        return Err(Error::size("bytes of all parts", payload, bytes.len().saturating_sub(front)));
    }
    let (before, content) = bytes.split_at_mut(front);
    let places = before[leaves..root_at].par_chunks_exact_mut(size_of::<Digest>());
    places.zip(content.par_chunks(BLOCK)).enumerate().for_each(|(number, (place, block))| place.copy_from_slice(&leaf(number, block)));
    let root = root(&before[..root_at]);
    before[root_at..].copy_from_slice(&root);
    Ok(bytes)
}

/// A file that is being read: sizes and head are checked, the payload is still to come.
pub(crate) struct Packed<'a, R> {
    reader: R,
    path: &'a Path,
    /// Everything before the payload, and where the head is in it.
    front: Vec<u8>,
    head: Range<usize>,
    /// Whether the file ends with its digest, in place of parts and leaves.
    plain: bool,
    parts: Vec<u64>,
    payload: u64,
    leaves: Vec<Digest>,
}

impl<'a, R: BufRead> Packed<'a, R> {
    /// Reads what stands before the payload of a file of `length` bytes; errors name it `path`.
    ///
    /// # Errors
    /// [`Error::File`] for another kind of file, another version, another length or damage;
    /// [`Error::Io`].
    pub(crate) fn open(form: FileForm, mut reader: R, length: u64, path: &'a Path) -> Result<Self> {
        if usize::try_from(length).is_err() {
            return Err(Error::file(path, "a length that fits memory", format!("{length} bytes")));
        }
        let mut front = Vec::new();
        let plain = read_version(form, &mut reader, &mut front, path)?;
        let start = front.len();
        if !read_line(&mut reader, LONGEST_HEAD, &mut front, path)? {
            return Err(Error::file(path, format!("a header line of at most {LONGEST_HEAD} bytes"), "none"));
        }
        let head = start..front.len() - 1;
        if plain {
            let payload = length.checked_sub(front.len() as u64 + DIGEST_BYTES);
            let payload = payload.ok_or_else(|| Error::file(path, "a SHA-256", "none"))?;
            return Ok(Self { reader, path, front, head, plain, parts: Vec::new(), payload, leaves: Vec::new() });
        }
        let count = u32::from_be_bytes(more(&mut reader, &mut front, path)?);
        if count as usize > MOST_PARTS || 8 * u64::from(count) > length {
            return Err(Error::file(path, format!("at most {MOST_PARTS} parts that fit its length"), format!("{count} parts")));
        }
        let parts = (0..count).map(|_| more(&mut reader, &mut front, path).map(u64::from_be_bytes)).collect::<Result<Vec<_>>>()?;
        let sizes = sum(&parts).and_then(|payload| {
            let blocks = payload.div_ceil(BLOCK as u64);
            let before = front.len() as u64 + DIGEST_BYTES * (blocks + 1);
            (before.checked_add(payload)? == length).then_some((payload, blocks))
        });
        let (payload, blocks) = sizes.ok_or_else(|| Error::file(path, "parts that fill its length", format!("{length} bytes")))?;
        let leaves = (0..blocks).map(|_| more(&mut reader, &mut front, path)).collect::<Result<Vec<Digest>>>()?;
        let expected = root(&front);
        if more::<32>(&mut reader, &mut front, path)? != expected {
            return Err(damaged(path));
        }
        Ok(Self { reader, path, front, head, plain, parts, payload, leaves })
    }

    /// The head as it stands in the file.
    pub(crate) fn head_line(&self) -> &[u8] {
        &self.front[self.head.clone()]
    }

    /// The head, refused unless it is spelled as [`pack`] spells it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn head<H: Serialize + DeserializeOwned>(&self) -> Result<H> {
        let bad = |found: String| Error::file(self.path, "a header line", found);
        let head: H = serde_json::from_slice(self.head_line()).map_err(|e| bad(e.to_string()))?;
        let own = serde_json::to_vec(&head).map_err(|e| bad(e.to_string()))?;
        if own == self.head_line() { Ok(head) } else { Err(bad("another spelling than this program's".into())) }
    }

    /// Bytes of all parts.
    pub(crate) fn payload(&self) -> u64 {
        self.payload
    }

    /// Reads the payload and gives it to `take` piece after piece, each as soon as its digests are
    /// checked.
    ///
    /// # Errors
    /// [`Error::File`] for damage, [`Error::Io`], and what `take` says.
    pub(crate) fn read(mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.plain {
            return take(&self.read_plain()?);
        }
        let at_once = BLOCKS_OF_A_THREAD * rayon::current_num_threads();
        let mut buffer = vec![0; self.payload.min((at_once * BLOCK) as u64) as usize];
        let mut left = self.payload;
        for (turn, leaves) in self.leaves.chunks(at_once).enumerate() {
            let bytes = left.min((leaves.len() * BLOCK) as u64);
            left -= bytes;
            let bytes = &mut buffer[..bytes as usize];
            self.reader.read_exact(bytes).map_err(Error::io("read", self.path))?;
            let blocks = bytes.par_chunks(BLOCK).zip(leaves).enumerate();
            if !blocks.all(|(number, (block, expected))| leaf(turn * at_once + number, block) == *expected) {
                return Err(damaged(self.path));
            }
            take(bytes)?;
        }
        Ok(())
    }

    /// The payload of a file that ends with its digest.
    fn read_plain(&mut self) -> Result<Vec<u8>> {
        let mut payload = vec![0; self.payload as usize];
        self.reader.read_exact(&mut payload).map_err(Error::io("read", self.path))?;
        let digest = Sha256::new().chain_update(&self.front).chain_update(&payload).finalize();
        if more::<32>(&mut self.reader, &mut self.front, self.path)? == *digest { Ok(payload) } else { Err(damaged(self.path)) }
    }

    /// Reads all parts. Of a file that ends with its digest the head says where they end, in
    /// `in_head`, which is none for any other.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`Error::File`] for lengths that are not those of the file.
    pub(crate) fn read_parts(mut self, in_head: Option<Vec<u64>>) -> Result<Vec<Vec<u8>>> {
        let lengths = if self.plain { in_head } else { in_head.is_none().then(|| take(&mut self.parts)) };
        let lengths = lengths.filter(|lengths| sum(lengths) == Some(self.payload));
        let lengths = lengths.ok_or_else(|| Error::file(self.path, "lengths of its parts", format!("others, for {} bytes", self.payload)))?;
        let mut parts = lengths.iter().map(|&length| Vec::with_capacity(length as usize)).collect::<Vec<Vec<u8>>>();
        let mut at = 0;
        self.read(|mut bytes| {
            while !bytes.is_empty() {
                let room = lengths[at] as usize - parts[at].len();
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                parts[at].extend_from_slice(now);
                bytes = later;
                at += usize::from(parts[at].len() == lengths[at] as usize);
            }
            Ok(())
        })?;
        Ok(parts)
    }
}

fn sum(lengths: &[u64]) -> Option<u64> {
    lengths.iter().try_fold(0u64, |sum, &length| sum.checked_add(length))
}

/// The next `N` bytes, which are appended to `front`.
fn more<const N: usize>(reader: &mut impl BufRead, front: &mut Vec<u8>, path: &Path) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(|_| Error::file(path, "more bytes", "the end of the file"))?;
    front.extend_from_slice(&bytes);
    Ok(bytes)
}

/// Appends a line of at most `most` bytes with its end to `front`; false where it does not end.
fn read_line(reader: &mut impl BufRead, most: usize, front: &mut Vec<u8>, path: &Path) -> Result<bool> {
    let start = front.len();
    reader.take(most as u64).read_until(b'\n', front).map_err(Error::io("read", path))?;
    Ok(front[start..].ends_with(b"\n"))
}

/// Reads the first line; true for the version that ends with its digest.
fn read_version(form: FileForm, reader: &mut impl BufRead, front: &mut Vec<u8>, path: &Path) -> Result<bool> {
    read_line(reader, LONGEST_LINE, front, path)?;
    let line = front.strip_prefix(form.family.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
    let version = line.and_then(|rest| rest.strip_suffix(b"\n"));
    let is = |known: Option<&str>| known.is_some() && version == known.map(str::as_bytes);
    if is(form.version) || is(form.plain) {
        return Ok(is(form.plain));
    }
    let found = if line.is_some() { "another version of it; make the file again" } else { "another kind of file" };
    Err(Error::file(path, format!("`{form}`"), found))
}

fn damaged(path: &Path) -> Error {
    Error::file(path, "content that fits its SHA-256", "other content: tampered or damaged")
}

#[cfg(test)]
mod tests;
