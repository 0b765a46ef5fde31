//! Labelled grey-scale images.

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

    /// The pixels of one image, row by row.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.rows * self.cols;
        &self.pixels[index * size..(index + 1) * size]
    }
}
