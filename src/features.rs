//! Public feature maps: what the owner of an image computes in clear before anything is encrypted. No learned parameter, no secret.
//!
//! [`FeatureMap::Pixels`] is the image itself. [`FeatureMap::Gradients`] is a histogram of oriented gradients (after Dalal and Triggs, *Histograms of
//! oriented gradients for human detection*, CVPR 2005; the windows and the normalisation are our own). With it a linear model reads MNIST at 99 %: the
//! honest comparison point for deep networks under encryption, because it shows how much a public preprocessing step buys. It is not a deep network
//! computed on ciphertexts.
//!
//! **Every machine computes the same bits**: only the basic operations and square root of IEEE 754, the arctangent of the pure-Rust `libm`, and one order
//! of summation whatever the number of threads.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataset::Images;
use crate::error::{Error, Result};
use crate::text::named;

/// Signed directions that a gradient is shared between.
const DIRECTIONS: usize = 8;
/// Added to the sum of squares of a position, so that faint noise is not blown up to full strength.
const FLOOR: f32 = 0.5;

named! {
    /// A public map from an image to numbers in \[0, 1\].
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum FeatureMap: "feature map" {
        /// Each pixel divided by the largest pixel value.
        Pixels => "pixels": "the pixels themselves",
        /// Oriented gradients: how much edge of each of 8 directions is around each position of a
        /// grid.
        Gradients => "gradients": "histogram of oriented gradients, nothing learned: 512 numbers for MNIST",
    }
}

impl FeatureMap {
    /// Numbers per image of `rows` by `cols` pixels: 784 and 512 for MNIST, 64 and 200 for 8 by 8 digits.
    #[must_use]
    pub fn width(self, rows: usize, cols: usize) -> usize {
        match self {
            Self::Pixels => rows * cols,
            Self::Gradients => Grid::new(rows, cols).width(),
        }
    }

    /// The features of all images, in parallel over images.
    ///
    /// # Errors
    /// [`Error::Size`] when the number of pixels is not that of the labelled images; [`Error::OutOfRange`] when a pixel is larger than `max_pixel`, or
    /// `max_pixel` is 0.
    pub fn extract(self, images: &Images) -> Result<Features> {
        let size = images.rows * images.cols;
        if images.pixels.len() != images.len() * size {
            return Err(Error::size("pixels", images.len() * size, images.pixels.len()));
        }
        let largest = images.pixels.iter().copied().max().unwrap_or(0);
        if images.max_pixel == 0 || largest > images.max_pixel {
            return Err(Error::range("largest pixel", &largest, format!("1 to {}", images.max_pixel)));
        }
        let width = self.width(images.rows, images.cols);
        let mut values = vec![0f32; images.len() * width];
        if width > 0 {
            let max = f32::from(images.max_pixel);
            let grid = Grid::new(images.rows, images.cols);
            values.par_chunks_mut(width).enumerate().for_each(|(index, out)| match self {
                Self::Pixels => {
                    for (value, &pixel) in out.iter_mut().zip(images.image(index)) {
                        *value = f32::from(pixel) / max;
                    }
                }
                Self::Gradients => grid.gradients(images.image(index), max, out),
            });
        }
        Ok(Features { count: images.len(), width, values })
    }
}

/// Features of a set of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Number of images.
    pub count: usize,
    /// Numbers per image.
    pub width: usize,
    /// Numbers in \[0, 1\], image after image.
    pub values: Vec<f32>,
}

impl Features {
    /// The features of one image.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..(index + 1) * self.width]
    }
}

/// Where the positions of the gradient histogram lie on an image.
///
/// The stride is the even number nearest to a seventh of the shorter side, at least 2: 4 for MNIST, 2 for 8 by 8 digits. Windows are two strides long, so
/// each pixel falls into two per axis; the first one starts half a stride outside the padded image. A side has one position more than it has strides.
#[derive(Clone, Copy, Debug)]
struct Grid {
    rows: usize,
    cols: usize,
    stride: usize,
    /// Positions down and across.
    down: usize,
    across: usize,
}

impl Grid {
    fn new(rows: usize, cols: usize) -> Self {
        let side = rows.min(cols);
        let stride = (2 * ((side + 7) / 14)).max(2);
        let positions = |length: usize| if side == 0 { 0 } else { length.div_ceil(stride) + 1 };
        Self { rows, cols, stride, down: positions(rows), across: positions(cols) }
    }

    fn width(self) -> usize {
        self.down * self.across * DIRECTIONS
    }

    /// The windows that pixel `at`, counted from one outside the image, falls into along an axis of `length` pixels and `positions` windows, with its
    /// triangular weight in each: (1 2 .. s s .. 2 1) / s for stride s.
    fn windows(self, at: usize, length: usize, positions: usize) -> impl Iterator<Item = (usize, f32)> {
        let offset = (positions * self.stride - length) / 2 + self.stride / 2 - 1;
        let (window, inside) = ((at + offset) / self.stride, (at + offset) % self.stride);
        let weight = |steps: usize| steps as f32 / self.stride as f32;
        let late = window.checked_sub(1).map(|earlier| (earlier, weight(self.stride - inside)));
        late.into_iter().chain(std::iter::once((window, weight(inside + 1)))).filter(move |&(window, _)| window < positions)
    }

    /// Gradients of one image into `out`: positions row by row, directions innermost, counter-clockwise from "brighter to the right" with y downwards.
    ///
    /// `out` holds zeros. Central differences with zeros around the image; the magnitude is shared linearly between the two nearest directions, then
    /// pooled by the windows; each position is divided by the root of its sum of squares plus one half, which leaves numbers in \[0, 1).
    fn gradients(self, image: &[u8], max: f32, out: &mut [f32]) {
        // Coordinates count from one pixel outside the image: differences there still reach into it.
        let pixel = |y: usize, x: usize| {
            let inside = (2..self.rows + 2).contains(&y) && (2..self.cols + 2).contains(&x);
            if inside { i32::from(image[(y - 2) * self.cols + (x - 2)]) } else { 0 }
        };
        for y in 0..self.rows + 2 {
            for x in 0..self.cols + 2 {
                let right = pixel(y + 1, x + 2) - pixel(y + 1, x);
                let below = pixel(y + 2, x + 1) - pixel(y, x + 1);
                if right == 0 && below == 0 {
                    continue;
                }
                let (right, below) = (right as f32 / max, below as f32 / max);
                let magnitude = (right * right + below * below).sqrt();
                let turn = libm::atan2f(below, right) * (DIRECTIONS as f32 / std::f32::consts::TAU);
                let turn = if turn < 0.0 { turn + DIRECTIONS as f32 } else { turn };
                let lower = turn.floor();
                let upper_share = magnitude * (turn - lower);
                let lower = lower as usize % DIRECTIONS;
                let upper = (lower + 1) % DIRECTIONS;
                for (down, weight_down) in self.windows(y, self.rows, self.down) {
                    for (across, weight_across) in self.windows(x, self.cols, self.across) {
                        let at = (down * self.across + across) * DIRECTIONS;
                        let weight = weight_down * weight_across;
                        out[at + lower] += weight * (magnitude - upper_share);
                        out[at + upper] += weight * upper_share;
                    }
                }
            }
        }
        for position in out.chunks_exact_mut(DIRECTIONS) {
            let mut sum = 0f32;
            for value in &*position {
                sum += value * value;
            }
            let norm = (sum + FLOOR).sqrt();
            for value in position {
                *value /= norm;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testdata::{digits, mnist, noise};
    use crate::text::hex;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn image(rows: usize, cols: usize, max_pixel: u8, pixels: Vec<u8>) -> Images {
        Images { rows, cols, max_pixel, pixels, labels: vec![0] }
    }

    fn digest(features: &Features) -> String {
        let mut hash = Sha256::new();
        features.values.iter().for_each(|x| hash.update(x.to_le_bytes()));
        hex(hash.finalize())
    }

    fn first(images: &Images, count: usize) -> Images {
        let size = images.rows * images.cols;
        Images { pixels: images.pixels[..count * size].to_vec(), labels: images.labels[..count].to_vec(), ..images.clone() }
    }

    #[test]
    fn names_are_read_back() {
        for map in FeatureMap::ALL {
            assert_eq!(map.to_string().parse::<FeatureMap>().unwrap(), map);
        }
        assert!("edges".parse::<FeatureMap>().unwrap_err().to_string().contains("pixels, gradients"));
    }

    #[test]
    fn widths_are_the_documented_ones() {
        let width = |rows, cols| FeatureMap::Gradients.width(rows, cols);
        assert_eq!((width(28, 28), width(8, 8), width(0, 0)), (512, 200, 0));
        assert_eq!(width(1, 1), 2 * 2 * 8);
        assert_eq!(FeatureMap::Pixels.width(28, 28), 784);
        assert_eq!(Grid::new(28, 28).stride, 4);
    }

    #[test]
    fn windows_of_mnist_are_the_documented_ones() {
        let grid = Grid::new(28, 28);
        // Counted from one outside the image, which lies at 1 of 32; the first window starts at -2, half outside.
        let at = |x| grid.windows(x, 28, 8).collect::<Vec<_>>();
        assert_eq!(at(0), [(0, 1.0)]);
        assert_eq!(at(1), [(0, 1.0), (1, 0.25)]);
        assert_eq!(at(4), [(0, 0.25), (1, 1.0)]);
        assert_eq!(at(28), [(6, 0.25), (7, 1.0)]);
    }

    #[test]
    fn black_images_have_no_features_and_flat_ones_only_at_the_border() {
        for map in FeatureMap::ALL {
            assert!(map.extract(&image(28, 28, 255, vec![0; 784])).unwrap().values.iter().all(|&x| x == 0.0));
        }
        let flat = FeatureMap::Gradients.extract(&image(28, 28, 255, vec![200; 784])).unwrap();
        for (at, value) in flat.values.iter().enumerate() {
            let (down, across) = (at / 64, at / 8 % 8);
            if (2..6).contains(&down) && (2..6).contains(&across) {
                assert_eq!(*value, 0.0, "position {down}, {across}");
            }
        }
        assert!(flat.values.iter().any(|&x| x > 0.0));
    }

    #[test]
    fn an_edge_points_from_dark_to_bright() {
        // Brighter to the right: direction 0; downwards: direction 2.
        for (direction, pixel) in [(0, (|_, x| x) as fn(usize, usize) -> usize), (2, |y, _| y), (4, |_, x| 27 - x), (6, |y, _| 27 - y)] {
            let pixels = (0..784).map(|at| 9 * pixel(at / 28, at % 28) as u8).collect();
            let features = FeatureMap::Gradients.extract(&image(28, 28, 255, pixels)).unwrap();
            let middle = &features.row(0)[(3 * 8 + 3) * 8..][..8];
            for (at, value) in middle.iter().enumerate() {
                assert_eq!(*value > 0.1, at == direction, "{direction}: {middle:?}");
            }
        }
    }

    #[test]
    fn impossible_images_are_refused() {
        for map in FeatureMap::ALL {
            map.extract(&image(2, 2, 16, vec![17, 0, 0, 0])).unwrap_err();
            map.extract(&image(2, 2, 0, vec![0; 4])).unwrap_err();
            map.extract(&image(2, 2, 16, vec![0; 5])).unwrap_err();
            let none = Images { labels: vec![], ..image(2, 2, 16, vec![]) };
            assert!(map.extract(&none).unwrap().values.is_empty());
        }
    }

    #[test]
    fn features_are_bit_exact_and_independent_of_threads() {
        let (_, test) = digits();
        let some = first(&test, 20);
        assert_eq!(digest(&FeatureMap::Pixels.extract(&some).unwrap()), "bd18b9c5cabe1408a94cd8f29623a515c21b42746ea7bca882447497c0fe0db4");
        assert_eq!(digest(&FeatureMap::Gradients.extract(&some).unwrap()), "80da2eb4ca4455ee4626eb81f59b9878dddfd34323040c9ef36f263aae55eac2");
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let run = |threads| pool(threads).install(|| digest(&FeatureMap::Gradients.extract(&test).unwrap()));
        assert_eq!(run(1), run(3));
        let Some((_, test)) = mnist() else { return };
        assert_eq!(
            digest(&FeatureMap::Gradients.extract(&first(&test, 20)).unwrap()),
            "d072d059955c9d28eaed12d930d27486bc88667d7162e1cd365654e83ff2505c"
        );
    }

    proptest! {
        #[test]
        fn features_are_in_range(rows in 1usize..40, cols in 1usize..40, seed in any::<u64>(), max_pixel in 1u8..) {
            let pixels = noise(rows * cols, seed).iter().map(|x| (x * (f32::from(max_pixel) + 1.0)) as u8).collect();
            let image = image(rows, cols, max_pixel, pixels);
            for map in FeatureMap::ALL {
                let features = map.extract(&image).unwrap();
                prop_assert_eq!(features.row(0).len(), map.width(rows, cols));
                prop_assert!(features.values.iter().all(|x| (0.0..=1.0).contains(x)));
            }
        }
    }
}
