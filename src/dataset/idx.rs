//! The IDX format of the MNIST family: a big-endian header (magic number, count, for images rows and columns) and one byte per value. Files may be
//! plain or gzip; the content decides, not the name.
//!
//! A file is taken whole or not at all: a wrong magic number, sizes that contradict the data, a label above 9, a truncated stream and bytes after
//! the end are errors that name the file. No buffer is sized from a header, so a header that lies costs no memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::images::{IMAGES_MAGIC, Images};
use crate::durable;
use crate::error::{Error, Result};
use crate::text::hex;

/// First word of a file of labels: unsigned bytes in one dimension.
pub const LABELS_MAGIC: u32 = 0x0000_0801;
/// Classes of a dataset; labels are below this.
pub const CLASSES: u8 = 10;

/// Most images that a file may declare.
const MAX_COUNT: u32 = 10_000_000;
/// Most rows or columns that a file may declare.
const MAX_SIDE: u32 = 4096;
/// Most bytes that the data of a file may have, 1 GiB.
const MAX_BYTES: u64 = 1 << 30;
/// Most bytes that the uncompressed content of a file may have.
pub const MAX_FILE_BYTES: u64 = MAX_BYTES + 16;

/// A file of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Rows of pixels of an image, 1 to 4096.
    pub rows: usize,
    /// Columns of pixels of an image, 1 to 4096.
    pub cols: usize,
    /// Pixels, image after image, row by row.
    pub pixels: Vec<u8>,
    /// SHA-256 of the uncompressed file, 64 hex digits.
    pub sha256: String,
}

/// A file of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFile {
    /// The class of each image, below [`CLASSES`].
    pub labels: Vec<u8>,
    /// SHA-256 of the uncompressed file, 64 hex digits.
    pub sha256: String,
}

impl ImageFile {
    /// Number of images.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pixels.len() / (self.rows * self.cols)
    }

    /// Joins images with their labels. `max_pixel` is the white of this kind of image.
    ///
    /// # Errors
    /// [`Error::File`] naming `labels_path` when the counts differ, or `images_path` when a pixel exceeds `max_pixel`.
    pub fn with_labels(self, labels: LabelFile, max_pixel: u8, images_path: &Path, labels_path: &Path) -> Result<Images> {
        if labels.labels.len() != self.count() {
            return Err(Error::file(
                labels_path,
                format!("{} labels, one for each image in {}", self.count(), images_path.display()),
                format!("{} labels", labels.labels.len()),
            ));
        }
        if let Some(position) = self.pixels.iter().position(|&p| p > max_pixel) {
            return Err(Error::file(
                images_path,
                format!("pixels of at most {max_pixel}"),
                format!("{} in image {}", self.pixels[position], position / (self.rows * self.cols)),
            ));
        }
        Ok(Images { rows: self.rows, cols: self.cols, max_pixel, pixels: self.pixels, labels: labels.labels })
    }
}

/// Reads a file of images, plain or gzip.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when it is not a whole IDX file of at least one image.
pub fn read_images(path: &Path) -> Result<ImageFile> {
    parse_images(path, open(path)?)
}

/// Reads a file of labels, plain or gzip.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when it is not a whole IDX file of at least one label below [`CLASSES`].
pub fn read_labels(path: &Path) -> Result<LabelFile> {
    parse_labels(path, open(path)?)
}

/// Reads images from `raw`, plain or gzip; `name` stands for it in errors.
///
/// # Errors
/// As [`read_images`].
pub fn parse_images(name: &Path, raw: impl BufRead) -> Result<ImageFile> {
    let mut content = Content::new(name, raw)?;
    let count = content.header(IMAGES_MAGIC)?;
    let (rows, cols) = (content.word()?, content.word()?);
    if rows == 0 || cols == 0 || rows > MAX_SIDE || cols > MAX_SIDE {
        return Err(Error::file(name, format!("images of 1x1 to {MAX_SIDE}x{MAX_SIDE} pixels"), format!("{rows}x{cols}")));
    }
    // At most 2^24 * 2^12 * 2^12: no overflow.
    let bytes = u64::from(count) * u64::from(rows) * u64::from(cols);
    if bytes > MAX_BYTES {
        return Err(Error::file(name, format!("at most {MAX_BYTES} bytes of pixels"), format!("{count} images of {rows}x{cols}, {bytes} bytes")));
    }
    let pixels = content.exactly(bytes, &format!("{count} images of {rows}x{cols}"))?;
    Ok(ImageFile { rows: rows as usize, cols: cols as usize, pixels, sha256: content.finish()? })
}

/// Reads labels from `raw`, plain or gzip; `name` stands for it in errors.
///
/// # Errors
/// As [`read_labels`].
pub fn parse_labels(name: &Path, raw: impl BufRead) -> Result<LabelFile> {
    let mut content = Content::new(name, raw)?;
    let count = content.header(LABELS_MAGIC)?;
    let labels = content.exactly(u64::from(count), &format!("{count} labels"))?;
    let sha256 = content.finish()?;
    match labels.iter().position(|&label| label >= CLASSES) {
        Some(index) => Err(Error::file(name, format!("labels below {CLASSES}"), format!("{} at position {index}", labels[index]))),
        None => Ok(LabelFile { labels, sha256 }),
    }
}

/// SHA-256 of the uncompressed content of a file, plain or gzip, and its length in bytes; at most `max_bytes` are read.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when its gzip stream is damaged or the content is longer than `max_bytes`.
pub fn digest(path: &Path, max_bytes: u64) -> Result<(String, u64)> {
    let mut content = Content::new(path, open(path)?)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match content.some(&mut buffer)? {
            0 => return Ok((hex(content.hasher.finalize()), content.taken)),
            _ if content.taken > max_bytes => return Err(Error::file(path, format!("at most {max_bytes} bytes"), "more".to_string())),
            _ => {}
        }
    }
}

/// The uncompressed IDX file of the pixels of `images`.
///
/// # Errors
/// [`Error::OutOfRange`] when a size does not fit 32 bits.
#[cfg(test)]
pub fn encode_images(images: &Images) -> Result<Vec<u8>> {
    let mut bytes = IMAGES_MAGIC.to_be_bytes().to_vec();
    for (what, size) in [("number of images", images.len()), ("rows of an image", images.rows), ("columns of an image", images.cols)] {
        bytes.extend(word(what, size)?);
    }
    bytes.extend(&images.pixels);
    Ok(bytes)
}

/// The uncompressed IDX file of `labels`.
///
/// # Errors
/// [`Error::OutOfRange`] when the count does not fit 32 bits.
#[cfg(test)]
pub fn encode_labels(labels: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = LABELS_MAGIC.to_be_bytes().to_vec();
    bytes.extend(word("number of labels", labels.len())?);
    bytes.extend(labels);
    Ok(bytes)
}

#[cfg(test)]
fn word(what: &'static str, value: usize) -> Result<[u8; 4]> {
    match u32::try_from(value) {
        Ok(v) => Ok(v.to_be_bytes()),
        Err(_) => Err(Error::range(what, &value, "0 to 4294967295")),
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    Ok(BufReader::new(durable::open(path)?))
}

fn magic_name(magic: u32) -> String {
    match magic {
        IMAGES_MAGIC => format!("IDX images (magic 0x{magic:08x})"),
        LABELS_MAGIC => format!("IDX labels (magic 0x{magic:08x})"),
        _ => format!("magic 0x{magic:08x}"),
    }
}

/// The uncompressed content of a file, hashed as it is read.
struct Content<'a> {
    name: &'a Path,
    reader: Box<dyn Read + 'a>,
    gzip: bool,
    taken: u64,
    hasher: Sha256,
}

impl<'a> Content<'a> {
    fn new(name: &'a Path, mut raw: impl BufRead + 'a) -> Result<Self> {
        let mut head = Vec::with_capacity(2);
        raw.by_ref().take(2).read_to_end(&mut head).map_err(Error::io("read", name))?;
        let gzip = head == [0x1f, 0x8b];
        let raw = Cursor::new(head).chain(raw);
        let reader: Box<dyn Read + 'a> = if gzip { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        Ok(Self { name, reader, gzip, taken: 0, hasher: Sha256::new() })
    }

    /// Reads what is at hand into `buffer`; 0 only at the end, where the checksum of a gzip stream has been checked.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Ok(count) => {
                    self.hasher.update(&buffer[..count]);
                    self.taken += count as u64;
                    return Ok(count);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failure(e)),
            }
        }
    }

    fn failure(&self, e: std::io::Error) -> Error {
        match e.kind() {
            ErrorKind::UnexpectedEof if self.gzip => {
                Error::file(self.name, "a whole gzip stream", format!("its end is missing, {} bytes could be unpacked", self.taken))
            }
            ErrorKind::InvalidInput | ErrorKind::InvalidData if self.gzip => {
                Error::file(self.name, "a gzip stream and nothing after it", format!("damage after {} unpacked bytes: {e}", self.taken))
            }
            _ => Error::io("read", self.name)(e),
        }
    }

    /// The next `bytes` bytes, which hold `what`.
    fn exactly(&mut self, bytes: u64, what: &str) -> Result<Vec<u8>> {
        let start = self.taken;
        let mut data = Vec::new();
        let mut buffer = vec![0; bytes.clamp(1, 1 << 16) as usize];
        while self.taken - start < bytes {
            let want = (bytes - (self.taken - start)).min(buffer.len() as u64) as usize;
            let count = self.some(&mut buffer[..want])?;
            if count == 0 {
                return Err(Error::file(self.name, format!("{what}, {} bytes in all", start + bytes), format!("{} bytes", self.taken)));
            }
            data.extend(&buffer[..count]);
        }
        Ok(data)
    }

    fn word(&mut self) -> Result<u32> {
        let bytes = self.exactly(4, "an IDX header")?;
        Ok(bytes.iter().fold(0, |word, &b| word << 8 | u32::from(b)))
    }

    /// Reads the magic number and the count, 1 to [`MAX_COUNT`].
    fn header(&mut self, magic: u32) -> Result<u32> {
        let found = self.word()?;
        if found != magic {
            return Err(Error::file(self.name, magic_name(magic), magic_name(found)));
        }
        match self.word()? {
            count @ 1..=MAX_COUNT => Ok(count),
            count => Err(Error::file(self.name, format!("a count of 1 to {MAX_COUNT}"), count.to_string())),
        }
    }

    /// Checks that nothing is left; returns the SHA-256 of everything.
    fn finish(mut self) -> Result<String> {
        let end = self.taken;
        match self.some(&mut [0])? {
            0 => Ok(hex(self.hasher.finalize())),
            _ => Err(Error::file(self.name, format!("the end after {end} bytes, as its header says"), "more data".to_string())),
        }
    }
}

/// Folders in which files are looked for below the one that is named: torchvision's, and that of
/// EMNIST's archive.
const LAYOUTS: [&str; 5] = ["", "raw", "gzip", "MNIST/raw", "EMNIST/raw"];

/// The files in `dir` that are called `name`, in every spelling and layout; the spelling that
/// downloads get is the first.
pub(super) fn candidates(dir: &Path, name: &str) -> Vec<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    let spellings = [format!("{name}.gz"), name.to_string(), format!("{dotted}.gz"), dotted];
    let in_folder = |dir: PathBuf| spellings.iter().map(move |spelling| dir.join(spelling));
    // Archives of one file are unpacked into folders of its name.
    let or_inside = |path: PathBuf| if path.is_dir() { in_folder(path).collect() } else { vec![path] };
    LAYOUTS.iter().flat_map(|layout| in_folder(dir.join(layout))).flat_map(or_inside).filter(|path| path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn tiny() -> Images {
        Images { rows: 2, cols: 3, max_pixel: 255, pixels: (0..12).map(|i| i * 20).collect(), labels: vec![9, 0] }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn images(bytes: &[u8]) -> Result<ImageFile> {
        parse_images(Path::new("tiny-images"), bytes)
    }

    fn labels(bytes: &[u8]) -> Result<LabelFile> {
        parse_labels(Path::new("tiny-labels"), bytes)
    }

    fn join(image_bytes: &[u8], label_bytes: &[u8]) -> Result<Images> {
        images(image_bytes)?.with_labels(labels(label_bytes)?, 255, Path::new("tiny-images"), Path::new("tiny-labels"))
    }

    #[track_caller]
    fn says<T: std::fmt::Debug>(result: Result<T>, words: &[&str]) {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("tiny-"), "{message}");
        assert!(!message.contains('\n'), "{message}");
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
    }

    /// A header of images with the given sizes and no data.
    fn header(count: u32, rows: u32, cols: u32) -> Vec<u8> {
        [IMAGES_MAGIC, count, rows, cols].iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    #[test]
    fn what_is_written_is_read_plain_and_gzip() {
        let (i, l) = (encode_images(&tiny()).unwrap(), encode_labels(&tiny().labels).unwrap());
        assert_eq!(join(&i, &l).unwrap(), tiny());
        assert_eq!(join(&gzip(&i), &gzip(&l)).unwrap(), tiny());
        assert_eq!(images(&i).unwrap().sha256, images(&gzip(&i)).unwrap().sha256);
        assert_eq!(images(&i).unwrap().sha256, hex(Sha256::digest(&i)));
        // A gzip file may have several members.
        assert_eq!(images(&[gzip(&i[..20]), gzip(&i[20..])].concat()).unwrap().pixels, tiny().pixels);
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let (i, l) = (encode_images(&tiny()).unwrap(), encode_labels(&tiny().labels).unwrap());
        for whole in [&i, &gzip(&i)] {
            (0..whole.len()).for_each(|end| says(images(&whole[..end]), &["expected"]));
        }
        for whole in [&l, &gzip(&l)] {
            (0..whole.len()).for_each(|end| says(labels(&whole[..end]), &["expected"]));
        }
        says(images(&i[..i.len() - 1]), &["2 images of 2x3, 28 bytes in all", "found 27 bytes"]);
        let packed = gzip(&i);
        says(images(&packed[..packed.len() - 1]), &["a whole gzip stream", "28 bytes could be unpacked"]);
    }

    #[test]
    fn bytes_after_the_end_are_an_error() {
        let (i, l) = (encode_images(&tiny()).unwrap(), encode_labels(&tiny().labels).unwrap());
        says(images(&[&i[..], &[0]].concat()), &["the end after 28 bytes", "more data"]);
        says(labels(&gzip(&[&l[..], &[0]].concat())), &["the end after 10 bytes", "more data"]);
        says(images(&[&gzip(&i)[..], &[7]].concat()), &["gzip"]);
        says(images(&[&gzip(&i)[..], &[7; 40]].concat()), &["gzip"]);
    }

    #[test]
    fn a_flipped_bit_in_a_gzip_stream_never_passes_as_the_original() {
        let packed = gzip(&encode_images(&tiny()).unwrap());
        for bit in 0..packed.len() * 8 {
            let mut bad = packed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // Some bits mean nothing: the time in the header, the padding after the last code. A flip that changes the content is found.
            if let Ok(read) = images(&bad) {
                assert_eq!(read.pixels, tiny().pixels, "bit {bit}");
            }
        }
    }

    #[test]
    fn wrong_headers_are_named() {
        let (i, l) = (encode_images(&tiny()).unwrap(), encode_labels(&tiny().labels).unwrap());
        says(images(&l), &["expected IDX images (magic 0x00000803)", "found IDX labels (magic 0x00000801)"]);
        says(labels(&i), &["expected IDX labels", "found IDX images"]);
        says(images(b"<html>no such file</html>"), &["found magic 0x3c68746d"]);
        says(images(b""), &["found 0 bytes"]);
        says(images(&header(0, 28, 28)), &["a count of 1 to 10000000", "found 0"]);
        says(labels(&[LABELS_MAGIC.to_be_bytes(), [0; 4]].concat()), &["found 0"]);
        says(images(&header(u32::MAX, 28, 28)), &["found 4294967295"]);
        says(images(&header(1, 0, 28)), &["found 0x28"]);
        says(images(&header(1, 28, u32::MAX)), &["found 28x4294967295"]);
        says(images(&header(10_000_000, 4096, 4096)), &["167772160000000 bytes"]);
    }

    #[test]
    fn labels_must_fit_the_images() {
        let i = encode_images(&tiny()).unwrap();
        says(join(&i, &encode_labels(&[1, 2, 3]).unwrap()), &["tiny-labels", "2 labels, one for each image in tiny-images", "3 labels"]);
        says(labels(&encode_labels(&[9, 10]).unwrap()), &["labels below 10", "10 at position 1"]);
        let dim = images(&i).unwrap().with_labels(labels(&encode_labels(&[1, 2]).unwrap()).unwrap(), 100, Path::new("tiny-images"), Path::new("l"));
        says(dim, &["at most 100", "120 in image 1"]);
    }

    #[test]
    fn digests_stop_at_their_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zeros.gz");
        std::fs::write(&path, gzip(&[0; 100_000])).unwrap();
        assert_eq!(digest(&path, 100_000).unwrap(), (hex(Sha256::digest([0; 100_000])), 100_000));
        assert!(digest(&path, 99_999).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4) {
            let bytes = match kind {
                0 => bytes,
                1 => [&IMAGES_MAGIC.to_be_bytes()[..], &bytes].concat(),
                2 => [&LABELS_MAGIC.to_be_bytes()[..], &bytes].concat(),
                _ => [&[0x1f, 0x8b, 8][..], &bytes].concat(),
            };
            let _ = images(&bytes);
            let _ = labels(&bytes);
        }

        #[test]
        fn any_images_survive(rows in 1_usize..6, cols in 1_usize..6, labels in prop::collection::vec(0_u8..10, 1..9), seed in any::<u8>()) {
            let pixels = (0..rows * cols * labels.len()).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            let set = Images { rows, cols, max_pixel: 255, pixels, labels };
            prop_assert_eq!(join(&encode_images(&set).unwrap(), &gzip(&encode_labels(&set.labels).unwrap())).unwrap(), set);
        }
    }
}
