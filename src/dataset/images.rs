//! Labelled grey-scale images of one size.

use sha2::{Digest, Sha256};

use crate::text::hex;

/// Magic number of an IDX file of images.
pub(super) const IMAGES_MAGIC: u32 = 0x803;

/// A set of labelled images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Rows of pixels of an image.
    pub rows: usize,
    /// Columns of pixels of an image.
    pub cols: usize,
    /// Largest pixel value of this kind of image: 255 for MNIST, 16 for the digits.
    pub max_pixel: u8,
    /// Pixels, image after image, row by row.
    pub pixels: Vec<u8>,
    /// The class of each image, below 10.
    pub labels: Vec<u8>,
}

impl Images {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The largest pixel where it is below half of the largest possible value: a sign of pixels on
    /// another scale (0 to 1, 0 to 16) than the file's kind has.
    #[must_use]
    pub fn dim(&self) -> Option<u8> {
        self.pixels.iter().copied().max().filter(|&largest| largest < self.max_pixel.div_ceil(2))
    }

    /// The images `first..first + count`, which must be there, as a set of their own.
    #[must_use]
    pub fn part(&self, first: usize, count: usize) -> Self {
        let size = self.rows * self.cols;
        let (pixels, labels) = (self.pixels[first * size..(first + count) * size].to_vec(), self.labels[first..first + count].to_vec());
        Self { rows: self.rows, cols: self.cols, max_pixel: self.max_pixel, pixels, labels }
    }

    /// SHA-256 in lower-case hex of the images as an uncompressed IDX file (big-endian header of
    /// magic number 0x803, count, rows and columns, then the pixels).
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for number in [IMAGES_MAGIC as usize, self.len(), self.rows, self.cols] {
            hash.update((number as u32).to_be_bytes());
        }
        hash.update(&self.pixels);
        hex(hash.finalize())
    }

    /// The images with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        let (rows, cols) = (self.rows, self.cols);
        let turned = |image: &[u8]| (0..cols * rows).map(|i| image[i % rows * cols + i / rows]).collect::<Vec<_>>();
        let pixels = self.pixels.chunks_exact(rows * cols).flat_map(turned).collect();
        Self { rows: cols, cols: rows, pixels, ..self }
    }

    /// The pixels of one image, row by row.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.rows * self.cols;
        &self.pixels[index * size..(index + 1) * size]
    }
}
