//! The dataset that is always there: 1,797 handwritten digits of 8x8 pixels, embedded in the program.
//!
//! The test images of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
//! <https://doi.org/10.24432/C50P49>), licensed under CC BY 4.0, in the order of scikit-learn's `load_digits`, as written by
//! `scripts/digits_to_idx.py`. A pixel counts the black dots of a 4x4 block and is 0 to 16.
//!
//! The split is contiguous: the first 1,198 images are for training, the last 599 for testing.

use std::ops::Range;
use std::path::Path;

use super::{Images, idx};
use crate::error::{Error, Result};

/// Images for training, the first ones.
pub const TRAINING: usize = 1198;
/// Images for testing, the last ones.
pub const TEST: usize = 599;
/// Largest value of a pixel.
pub const MAX_PIXEL: u8 = 16;
/// SHA-256 of the uncompressed file of all 1,797 images.
pub const SHA256: &str = "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96";

/// SHA-256 of the uncompressed file of the training images alone.
pub const TRAINING_SHA256: &str = "26c8a21b678962b6dc9b0843b39ca3cc992325d68e35a22a45d2a89051695c01";

static IMAGES: &[u8] = include_bytes!("digits/digits-images-idx3-ubyte.gz");
static LABELS: &[u8] = include_bytes!("digits/digits-labels-idx1-ubyte.gz");

/// The 1,198 images for training.
///
/// # Errors
/// None for the embedded files; [`Error::File`] or [`Error::Size`] in a build that embeds others.
pub fn training() -> Result<Images> {
    part(0..TRAINING)
}

/// The 599 images for testing.
///
/// # Errors
/// As [`training`].
pub fn test() -> Result<Images> {
    part(TRAINING..TRAINING + TEST)
}

fn all() -> Result<Images> {
    let (images, labels) = (Path::new("embedded digits (images)"), Path::new("embedded digits (labels)"));
    let all = idx::parse_images(images, IMAGES)?.with_labels(idx::parse_labels(labels, LABELS)?, MAX_PIXEL, images, labels)?;
    match all.len() {
        count if count == TRAINING + TEST => Ok(all),
        actual => Err(Error::size("embedded digits", TRAINING + TEST, actual)),
    }
}

fn part(range: Range<usize>) -> Result<Images> {
    let all = all()?;
    let size = all.rows * all.cols;
    Ok(Images { pixels: all.pixels[range.start * size..range.end * size].to_vec(), labels: all.labels[range].to_vec(), ..all })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(images: &Images) -> [usize; 10] {
        images.labels.iter().fold([0; 10], |mut counts, &label| {
            counts[usize::from(label)] += 1;
            counts
        })
    }

    #[test]
    fn the_embedded_files_are_the_published_ones() {
        let all = all().unwrap();
        assert_eq!((all.len(), all.rows, all.cols), (TRAINING + TEST, 8, 8));
        assert_eq!(histogram(&all), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(all.pixels.iter().max(), Some(&MAX_PIXEL));
        assert_eq!(idx::parse_images(Path::new("images"), IMAGES).unwrap().sha256, SHA256);
        let labels = idx::parse_labels(Path::new("labels"), LABELS).unwrap();
        assert_eq!(labels.sha256, "ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad");
        let training = idx::encode_images(&training().unwrap()).unwrap();
        assert_eq!(idx::parse_images(Path::new("training images"), &training[..]).unwrap().sha256, TRAINING_SHA256);
        // What this crate writes is what the script wrote.
        let again = idx::parse_images(Path::new("images"), &idx::encode_images(&all).unwrap()[..]).unwrap();
        assert_eq!(again.sha256, SHA256);
        assert_eq!(idx::parse_labels(Path::new("labels"), &idx::encode_labels(&all.labels).unwrap()[..]).unwrap(), labels);
    }

    #[test]
    fn the_split_is_contiguous_and_whole() {
        let (all, training, test) = (all().unwrap(), training().unwrap(), test().unwrap());
        assert_eq!((training.len(), test.len()), (TRAINING, TEST));
        assert_eq!([training.pixels, test.pixels].concat(), all.pixels);
        assert_eq!([&training.labels[..], &test.labels].concat(), all.labels);
        assert_eq!(histogram(&super::test().unwrap()), [59, 62, 60, 62, 62, 59, 61, 61, 55, 58]);
    }
}
