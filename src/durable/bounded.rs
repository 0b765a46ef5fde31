//! Reading within bounds. A file that a user names may be a device without an end or a pipe that
//! nobody writes to: only regular files are opened, and of these no more than a limit is read.

use std::fs::{self, File, FileType};
use std::io::{BufReader, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Most bytes of a text that a person writes: a sweep file, claims, quoted numbers.
pub const WRITTEN_BY_HAND: u64 = 4 << 20;
/// Most bytes of a table or of a row of results.
pub const RESULTS: u64 = 2 << 30;
/// Most bytes of encrypted records, of a state, or of any other file that travels.
pub const BULK: u64 = 64 << 30;

/// Opens a regular file for reading.
///
/// # Errors
/// [`Error::Io`] when it cannot be opened, [`Error::File`] when it is a folder, a pipe or a device.
pub fn open(path: &Path) -> Result<File> {
    let io = || Error::io("read", path);
    // Before it is opened: opening a pipe waits for somebody to write to it.
    check_kind(path, fs::metadata(path).map_err(io())?.file_type())?;
    let file = File::open(path).map_err(io())?;
    check_kind(path, file.metadata().map_err(io())?.file_type())?;
    Ok(file)
}

fn check_kind(path: &Path, kind: FileType) -> Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    Err(Error::file(path, "a file", if kind.is_dir() { "a folder" } else { "a device or a pipe" }))
}

/// The whole of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and [`Error::File`] when the file is longer.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(path, most, &mut bytes)?;
    Ok(bytes)
}

/// As [`read`], as text, without the byte order mark that some editors put before it.
///
/// # Errors
/// As [`read`], and [`Error::File`] when it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let bytes = read(path, most)?;
    if let Some(encoding) = foreign_encoding(&bytes) {
        return Err(Error::file(path, "text in UTF-8", encoding));
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let actual = format!("another byte at offset {}", e.utf8_error().valid_up_to());
        Error::file(path, "text in UTF-8", actual)
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

/// What marks a text as Unicode where it is put first.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The encoding of a text that begins with ASCII and is not UTF-8: it shows by its byte order mark,
/// or by zeros beside letters.
#[must_use]
pub fn foreign_encoding(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(4)];
    let zeros = start.iter().filter(|&&byte| byte == 0).count();
    let marked = [[0xff, 0xfe], [0xfe, 0xff]].iter().any(|mark| bytes.starts_with(mark));
    (marked || zeros > 0 && zeros < start.len()).then_some("text in UTF-16 or UTF-32; save it as UTF-8")
}

/// As [`read`], of a secret: `most` bytes are allocated at once, so that no copy is left behind.
///
/// # Errors
/// As [`read`].
pub fn read_secret(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    read_into(path, most as u64, &mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file of at most `most` bytes for reading. Output: the file and its length.
///
/// # Errors
/// As [`open`], and [`Error::File`] when the file is longer.
pub fn open_within(path: &Path, most: u64) -> Result<(BufReader<File>, u64)> {
    let file = open(path)?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length > most { Err(longer(path, most, &length.to_string())) } else { Ok((BufReader::new(file), length)) }
}

fn longer(path: &Path, most: u64, length: &str) -> Error {
    Error::file(path, format!("at most {most} bytes"), length)
}

fn read_into(path: &Path, most: u64, bytes: &mut Vec<u8>) -> Result<()> {
    let (file, _) = open_within(path, most)?;
    // Files of the system say that they are empty, and a file may grow while it is read.
    file.into_inner().take(most + 1).read_to_end(bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > most { Err(longer(path, most, "more")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_no_more_than_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!((read_text(&path, 9).unwrap().as_str(), &**read_secret(&path, 4).unwrap()), ("four", &b"four"[..]));
        let message = |result: Result<Vec<u8>>| result.unwrap_err().to_string();
        assert!(message(read(&path, 3)).contains("expected at most 3 bytes, found 4"));
        assert!(message(read(dir.path(), 3)).contains("expected a file, found a folder"));
        fs::write(&path, b"a\xff").unwrap();
        assert!(read_text(&path, 9).unwrap_err().to_string().contains("UTF-8, found another byte at offset 1"));
        assert!(matches!(read(&dir.path().join("none"), 9), Err(Error::Io { .. })));
        fs::write(&path, "\u{feff}a").unwrap();
        assert_eq!(read_text(&path, 9).unwrap(), "a");
        for wide in [&b"\xff\xfea\0b\0"[..], b"\xfe\xff\0a", b"a\0b\0", b"\0a\0b", b"a\0\0\0", b"\0\0\0a"] {
            fs::write(&path, wide).unwrap();
            assert!(read_text(&path, 9).unwrap_err().to_string().contains("found text in UTF-16"));
        }
        assert!([&b""[..], b"a", b"ab\xff\xfe", b"\0\0\0\0"].iter().all(|bytes| foreign_encoding(bytes).is_none()));
        #[cfg(unix)]
        {
            assert!(message(read(Path::new("/dev/zero"), 9)).contains("found a device or a pipe"));
            let pipe = dir.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            if made.is_ok_and(|status| status.success()) {
                assert!(message(read(&pipe, 9)).contains("found a device or a pipe"));
            }
        }
    }
}
