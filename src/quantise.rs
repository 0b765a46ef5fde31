//! Integers for the encrypted side: features, weights and biases as integers, and exact bounds on every result.
//!
//! A collapsed model gives logits `W x + b` of features x in \[0, 1\]. With f bits per feature and F = 2^f - 1, the integers are u = round(F x),
//! W' = round(s W) and b' = round(s F b), so that W' u + b' is about s F (W x + b): the same order of classes. The scale s takes the largest weight,
//! or a share of it beyond which weights are cut, to 2^(w-1) - 1 for w bits per weight, sign included.
//!
//! The integer model is the truth that encrypted inference must reproduce bit for bit. Its worst case over *all* inputs, not over the images at hand,
//! says how wide a slot must be, so a slot can never spill into its neighbour.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::features::{FeatureMap, Features};
use crate::model::{Collapsed, argmax};

/// Most bits of a feature.
pub const MAX_FEATURE_BITS: u32 = 12;
/// Most bits of a weight, sign included.
pub const MAX_WEIGHT_BITS: u32 = 16;

/// Clips that [`choose_clip`] tries.
const CLIPS: [f64; 7] = [1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2];

/// Precision of the integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Precision {
    /// Bits of a feature, 1 to 12.
    pub feature_bits: u32,
    /// Bits of a weight with its sign, 2 to 16.
    pub weight_bits: u32,
}

impl Precision {
    /// The precision that loses next to nothing and keeps slots narrow, by feature map: 8 and 8 bits for pixels (8 bits are the pixels of MNIST
    /// themselves), 4 and 5 for gradients.
    #[must_use]
    pub const fn default_for(features: FeatureMap) -> Self {
        match features {
            FeatureMap::Pixels => Self { feature_bits: 8, weight_bits: 8 },
            FeatureMap::Gradients => Self { feature_bits: 4, weight_bits: 5 },
        }
    }

    /// The share of the largest weight that [`IntegerModel::new`] keeps: cutting a few large weights leaves finer steps to all others, which pays
    /// below 7 bits. What [`choose_clip`] finds on MNIST's training images at the default feature bits.
    #[must_use]
    pub const fn default_clip(self, features: FeatureMap) -> f64 {
        match (features, self.weight_bits) {
            (FeatureMap::Pixels, 6) => 0.65,
            (FeatureMap::Pixels, ..6) => 0.4,
            (FeatureMap::Gradients, ..6) => 0.8,
            _ => 1.0,
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming the number.
    pub fn check(self) -> Result<()> {
        for (what, bits, least, most) in
            [("bits of a feature", self.feature_bits, 1, MAX_FEATURE_BITS), ("bits of a weight", self.weight_bits, 2, MAX_WEIGHT_BITS)]
        {
            if !(least..=most).contains(&bits) {
                return Err(Error::OutOfRange { what, value: bits.to_string(), allowed: format!("{least} to {most}") });
            }
        }
        Ok(())
    }

    /// Largest feature: 2^feature_bits - 1.
    #[must_use]
    pub const fn max_feature(self) -> u16 {
        ((1u32 << self.feature_bits) - 1) as u16
    }

    /// Largest absolute weight: 2^(weight_bits - 1) - 1.
    #[must_use]
    pub const fn max_weight(self) -> i32 {
        (1 << (self.weight_bits - 1)) - 1
    }

    /// Features in \[0, 1\] as integers from 0 to [`max_feature`](Self::max_feature), rounded to nearest, halves up.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the precision or a feature is out of range.
    pub fn features(self, features: &Features) -> Result<IntegerFeatures> {
        self.check()?;
        if let Some(bad) = features.values.par_iter().find_first(|x| !(0.0..=1.0).contains(*x)) {
            return Err(Error::OutOfRange { what: "feature", value: bad.to_string(), allowed: "0 to 1".into() });
        }
        let max = f32::from(self.max_feature());
        let values = features.values.par_iter().map(|x| (x * max).round() as u16).collect();
        Ok(IntegerFeatures { count: features.count, width: features.width, values })
    }
}

/// Integer features of a set of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerFeatures {
    /// Number of images.
    pub count: usize,
    /// Numbers per image.
    pub width: usize,
    /// Numbers, image after image.
    pub values: Vec<u16>,
}

impl IntegerFeatures {
    /// The features of one image.
    #[must_use]
    pub fn row(&self, index: usize) -> &[u16] {
        &self.values[index * self.width..(index + 1) * self.width]
    }
}

/// An affine map of integers: the model that is evaluated on ciphertexts.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegerModel {
    precision: Precision,
    classes: usize,
    width: usize,
    weights: Vec<i32>,
    bias: Vec<i64>,
    scale: f64,
}

impl IntegerModel {
    /// Quantises a collapsed model. Everything is checked to fit before the first number is made.
    ///
    /// Weights beyond the share `clip` of the largest absolute weight are cut to it; 1 keeps all. A map of zeros stays one. See
    /// [`Precision::default_clip`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the precision is out of range, `clip` is not above 0 and at most 1, or a weight or bias is not finite or too large
    /// for 64-bit logits; [`Error::Size`] when the map has the wrong number of weights.
    pub fn new(map: &Collapsed, precision: Precision, clip: f64) -> Result<Self> {
        precision.check()?;
        for (what, expected, actual) in
            [("weights of the map", map.inputs * map.outputs, map.weights.len()), ("biases of the map", map.outputs, map.bias.len())]
        {
            if expected != actual {
                return Err(Error::Size { what, expected, actual });
            }
        }
        if !(clip > 0.0 && clip <= 1.0) {
            return Err(Error::OutOfRange { what: "clip of the weights", value: clip.to_string(), allowed: "above 0, at most 1".into() });
        }
        if let Some(bad) = map.weights.iter().chain(&map.bias).find(|w| !w.is_finite()) {
            return Err(Error::OutOfRange { what: "weight", value: bad.to_string(), allowed: "finite numbers".into() });
        }
        let (max_weight, max_feature) = (precision.max_weight(), f64::from(precision.max_feature()));
        let largest = map.weights.iter().fold(0f64, |largest, w| largest.max(w.abs()));
        let scale = if largest > 0.0 { f64::from(max_weight) / (largest * clip) } else { 1.0 };
        // Far beyond any sensible model: a bias is at most half of what 64 bits hold, and the weighted sum cannot reach the other half.
        let limit = (1u64 << 62) as f64;
        if let Some(bad) = map.bias.iter().map(|b| b * scale * max_feature).find(|b| b.abs() >= limit || b.is_nan()) {
            return Err(Error::OutOfRange { what: "scaled bias", value: format!("{bad:e}"), allowed: "less than 2^62 in size".into() });
        }
        let most = f64::from(max_weight) * max_feature * map.inputs as f64;
        if most >= limit {
            return Err(Error::OutOfRange { what: "worst weighted sum", value: format!("{most:e}"), allowed: "less than 2^62".into() });
        }
        let weights = map.weights.iter().map(|w| ((w * scale).round() as i32).clamp(-max_weight, max_weight)).collect();
        let bias = map.bias.iter().map(|b| (b * scale * max_feature).round() as i64).collect();
        Ok(Self { precision, classes: map.outputs, width: map.inputs, weights, bias, scale })
    }

    /// Bits of features and weights.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Features of an image.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Weights of all classes, class after class, each at most [`Precision::max_weight`] in size.
    #[must_use]
    pub fn weights(&self) -> &[i32] {
        &self.weights
    }

    /// The weights of one class.
    #[must_use]
    pub fn row(&self, class: usize) -> &[i32] {
        &self.weights[class * self.width..(class + 1) * self.width]
    }

    /// One bias per class, on the scale of the logits.
    #[must_use]
    pub fn bias(&self) -> &[i64] {
        &self.bias
    }

    /// Integer weight per unit of real weight. A logit divided by this and by the largest feature approximates the real one.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Lowest and highest logit of a class over all inputs; both are reached.
    #[must_use]
    pub fn range(&self, class: usize) -> (i64, i64) {
        let max = i64::from(self.precision.max_feature());
        let bias = self.bias[class];
        self.row(class).iter().fold((bias, bias), |(low, high), &w| {
            let most = i64::from(w) * max;
            (low + most.min(0), high + most.max(0))
        })
    }

    /// Largest absolute logit over all classes and inputs. Below 2^63.
    #[must_use]
    pub fn worst_case(&self) -> u64 {
        (0..self.classes).map(|class| self.range(class)).map(|(low, high)| low.unsigned_abs().max(high.unsigned_abs())).max().unwrap_or(0)
    }

    /// Bits that hold every logit with its sign: the narrowest slot.
    #[must_use]
    pub fn signed_bits(&self) -> u32 {
        u64::BITS - self.worst_case().leading_zeros() + 1
    }

    /// Refuses a slot that some input could overflow.
    ///
    /// # Errors
    /// [`Error::SlotOverflow`] with both widths.
    pub fn check_slot(&self, slot_bits: u32) -> Result<()> {
        let needed_bits = self.signed_bits();
        if needed_bits > slot_bits { Err(Error::SlotOverflow { needed_bits, slot_bits }) } else { Ok(()) }
    }

    /// The exact logits of one image.
    ///
    /// # Errors
    /// [`Error::Size`] unless there are [`width`](Self::width) features; [`Error::OutOfRange`] when one is larger than [`Precision::max_feature`].
    pub fn logits(&self, features: &[u16]) -> Result<Vec<i64>> {
        if features.len() != self.width {
            return Err(Error::Size { what: "features", expected: self.width, actual: features.len() });
        }
        let max = self.precision.max_feature();
        if let Some(bad) = features.iter().find(|&&x| x > max) {
            return Err(Error::OutOfRange { what: "feature", value: bad.to_string(), allowed: format!("0 to {max}") });
        }
        let logit = |class: usize| self.row(class).iter().zip(features).fold(self.bias[class], |sum, (&w, &x)| sum + i64::from(w) * i64::from(x));
        Ok((0..self.classes).map(logit).collect())
    }

    /// The class of each image: the largest logit, the lowest class among equals. In parallel over images.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn classify(&self, features: &IntegerFeatures) -> Result<Vec<u8>> {
        (0..features.count).into_par_iter().map(|index| Ok(argmax(&self.logits(features.row(index))?))).collect()
    }
}

/// The clip for [`IntegerModel::new`] that classifies the most images correctly; the largest of equals. To be asked with training images only: picked on
/// the test set it would flatter the accuracy.
///
/// # Errors
/// As [`IntegerModel::new`] and [`IntegerModel::classify`]; [`Error::Size`] unless there is one label per image.
pub fn choose_clip(map: &Collapsed, precision: Precision, features: &IntegerFeatures, labels: &[u8]) -> Result<f64> {
    let (mut chosen, mut most) = (CLIPS[0], -1.0);
    for clip in CLIPS {
        let share = share_equal(&IntegerModel::new(map, precision, clip)?.classify(features)?, labels)?;
        if share > most {
            (chosen, most) = (clip, share);
        }
    }
    Ok(chosen)
}

/// Share of equal classes, 0 to 1: accuracy against labels, agreement against another model. 0 for no images.
///
/// # Errors
/// [`Error::Size`] when the numbers of images differ.
pub fn share_equal(classes: &[u8], others: &[u8]) -> Result<f64> {
    if classes.len() != others.len() {
        return Err(Error::Size { what: "classes", expected: others.len(), actual: classes.len() });
    }
    Ok(crate::model::count_equal(classes, others) as f64 / classes.len().max(1) as f64)
}
