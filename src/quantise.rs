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

/// Precision of the integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Precision {
    /// Bits of a feature, 1 to 12.
    pub feature_bits: u32,
    /// Bits of a weight with its sign, 2 to 16.
    pub weight_bits: u32,
}

impl Precision {
    /// By feature map: for pixels 8 and 8 bits, as 8 bits are the pixels of MNIST themselves; for gradients 4 and 4, the cheapest job within 0.15 points of the
    /// best accuracy on MNIST's *training* images (99.18 of 99.31 %, 14-bit slots; `cargo test --lib accuracy_by_precision -- --ignored --nocapture`). By the same
    /// rule pixels would take 3 and 6 bits and slots of 15 bits instead of 22 (93.61 of 93.68 %).
    #[must_use]
    pub const fn default_for(features: FeatureMap) -> Self {
        match features {
            FeatureMap::Pixels => Self { feature_bits: 8, weight_bits: 8 },
            FeatureMap::Gradients => Self { feature_bits: 4, weight_bits: 4 },
        }
    }

    /// The share of the largest weight that [`IntegerModel::new`] keeps: cutting a few large weights leaves finer steps to all others, which pays
    /// below 7 bits; from there on all are kept. Found on MNIST's training images at the default feature bits.
    #[must_use]
    pub const fn default_clip(self, features: FeatureMap) -> f64 {
        match (features, self.weight_bits) {
            (FeatureMap::Pixels, 6) | (FeatureMap::Gradients, 3) => 0.65,
            (FeatureMap::Pixels, 5) => 0.4,
            (FeatureMap::Pixels, 4) | (FeatureMap::Gradients, ..3) => 0.3,
            (FeatureMap::Pixels, ..4) => 0.2,
            (FeatureMap::Gradients, 4..=6) => 0.8,
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
                return Err(Error::range(what, &bits, format!("{least} to {most}")));
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
        if let Some(bad) = features.values.par_chunks(1 << 12).find_map_first(|chunk| chunk.iter().find(|x| !(0.0..=1.0).contains(*x))) {
            return Err(Error::range("feature", &bad, "0 to 1"));
        }
        let max = f32::from(self.max_feature());
        let values = features.values.par_iter().with_min_len(1 << 12).map(|x| (x * max).round() as u16).collect();
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
                return Err(Error::size(what, expected, actual));
            }
        }
        if !(clip > 0.0 && clip <= 1.0) {
            return Err(Error::range("clip of the weights", &clip, "above 0, at most 1"));
        }
        if let Some(bad) = map.weights.iter().chain(&map.bias).find(|w| !w.is_finite()) {
            return Err(Error::range("weight", &bad, "finite numbers"));
        }
        let (max_weight, max_feature) = (precision.max_weight(), f64::from(precision.max_feature()));
        let largest = map.weights.iter().fold(0f64, |largest, w| largest.max(w.abs()));
        let scale = if largest > 0.0 { f64::from(max_weight) / (largest * clip) } else { 1.0 };
        // Far beyond any sensible model: a bias is at most half of what 64 bits hold, and the weighted sum cannot reach the other half.
        let limit = (1u64 << 62) as f64;
        if let Some(bad) = map.bias.iter().map(|b| b * scale * max_feature).find(|b| b.abs() >= limit || b.is_nan()) {
            return Err(Error::range("scaled bias", &format!("{bad:e}"), "less than 2^62 in size"));
        }
        let most = f64::from(max_weight) * max_feature * map.inputs as f64;
        if most >= limit {
            return Err(Error::range("worst weighted sum", &format!("{most:e}"), "less than 2^62"));
        }
        let weights = map.weights.iter().map(|w| ((w * scale).round() as i32).clamp(-max_weight, max_weight)).collect();
        let bias = map.bias.iter().map(|b| (b * scale * max_feature).round() as i64).collect();
        Ok(Self { precision, classes: map.outputs, width: map.inputs, weights, bias })
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

    /// The exact logits of one image.
    ///
    /// # Errors
    /// [`Error::Size`] unless there are [`width`](Self::width) features; [`Error::OutOfRange`] when one is larger than [`Precision::max_feature`].
    pub fn logits(&self, features: &[u16]) -> Result<Vec<i64>> {
        if features.len() != self.width {
            return Err(Error::size("features", self.width, features.len()));
        }
        let max = self.precision.max_feature();
        if let Some(bad) = features.iter().find(|&&x| x > max) {
            return Err(Error::range("feature", &bad, format!("0 to {max}")));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::embedded;
    use crate::model::testdata::{digits, mnist, noise};
    use proptest::prelude::*;

    /// Clips that [`choose_clip`] tries.
    const CLIPS: [f64; 7] = [1.0, 0.8, 0.65, 0.5, 0.4, 0.3, 0.2];

    /// The clip for [`IntegerModel::new`] that classifies the most images correctly; the largest of equals. To be asked with training images only: picked on
    /// the test set it would flatter the accuracy.
    fn choose_clip(map: &Collapsed, precision: Precision, features: &IntegerFeatures, labels: &[u8]) -> Result<f64> {
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
    fn share_equal(classes: &[u8], others: &[u8]) -> Result<f64> {
        if classes.len() != others.len() {
            return Err(Error::size("classes", others.len(), classes.len()));
        }
        Ok(crate::model::count_equal(classes, others) as f64 / classes.len().max(1) as f64)
    }

    impl IntegerModel {
        /// Lowest and highest logit of a class over all inputs; both are reached.
        fn range(&self, class: usize) -> (i64, i64) {
            let max = i64::from(self.precision.max_feature());
            let bias = self.bias[class];
            self.row(class).iter().fold((bias, bias), |(low, high), &w| {
                let most = i64::from(w) * max;
                (low + most.min(0), high + most.max(0))
            })
        }

        /// Largest absolute logit over all classes and inputs. Below 2^63.
        fn worst_case(&self) -> u64 {
            (0..self.classes).map(|class| self.range(class)).map(|(low, high)| low.unsigned_abs().max(high.unsigned_abs())).max().unwrap_or(0)
        }

        /// Bits that hold every logit with its sign: the narrowest slot.
        fn signed_bits(&self) -> u32 {
            u64::BITS - self.worst_case().leading_zeros() + 1
        }
    }

    fn map(inputs: usize, outputs: usize, seed: u64) -> Collapsed {
        let numbers = |count, seed| noise(count, seed).into_iter().map(|x| f64::from(x) - 0.5).collect();
        Collapsed { inputs, outputs, weights: numbers(inputs * outputs, seed), bias: numbers(outputs, seed ^ 1) }
    }

    fn precision(feature_bits: u32, weight_bits: u32) -> Precision {
        Precision { feature_bits, weight_bits }
    }

    fn default_model(dataset: &str, features: FeatureMap) -> IntegerModel {
        let precision = Precision::default_for(features);
        IntegerModel::new(&embedded(dataset, features).unwrap().network.collapse(), precision, precision.default_clip(features)).unwrap()
    }

    #[test]
    fn bytes_stay_the_pixels_they_were() {
        let features = Features { count: 1, width: 256, values: (0..=255u8).map(|p| f32::from(p) / 255.0).collect() };
        assert_eq!(precision(8, 8).features(&features).unwrap().row(0), (0..256).collect::<Vec<u16>>());
        let digits = Features { count: 1, width: 17, values: (0..=16u8).map(|p| f32::from(p) / 16.0).collect() };
        assert_eq!(precision(4, 8).features(&digits).unwrap().values, [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn a_small_map_by_hand() {
        let map = Collapsed { inputs: 2, outputs: 2, weights: vec![1.0, -0.5, 0.25, 0.0], bias: vec![0.1, -2.0] };
        let model = IntegerModel::new(&map, precision(2, 3), 1.0).unwrap();
        assert_eq!((model.weights(), model.bias()), (&[3, -2, 1, 0][..], &[1, -18][..]));
        assert_eq!((model.range(0), model.range(1)), ((-5, 10), (-18, -15)));
        assert_eq!((model.worst_case(), model.signed_bits()), (18, 6));
        assert_eq!(model.logits(&[3, 0]).unwrap(), [10, -15]);
        assert_eq!(model.logits(&[0, 3]).unwrap(), [-5, -18]);
        let clipped = IntegerModel::new(&map, precision(2, 3), 0.5).unwrap();
        assert_eq!(clipped.weights(), [3, -3, 2, 0]);
    }

    #[test]
    fn a_map_of_zeros_is_one_of_zeros() {
        let model = IntegerModel::new(&Collapsed { inputs: 3, outputs: 2, weights: vec![0.0; 6], bias: vec![0.0; 2] }, precision(8, 8), 1.0).unwrap();
        assert_eq!((model.worst_case(), model.signed_bits()), (0, 1));
        assert_eq!(model.logits(&[255; 3]).unwrap(), [0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let good = map(4, 2, 1);
        for (feature_bits, weight_bits) in [(0, 8), (13, 8), (8, 1), (8, 17), (u32::MAX, 8)] {
            let error = IntegerModel::new(&good, precision(feature_bits, weight_bits), 1.0).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { .. }));
            precision(feature_bits, weight_bits).features(&Features { count: 0, width: 4, values: vec![] }).unwrap_err();
        }
        for clip in [0.0, -1.0, 1.5, f64::NAN] {
            IntegerModel::new(&good, precision(8, 8), clip).unwrap_err();
        }
        for (weight, bias) in [(f64::NAN, 0.0), (1.0, f64::INFINITY), (1e-300, 1e10), (1.0, 1e15), (5e-324, 1.0)] {
            let bad = Collapsed { inputs: 1, outputs: 1, weights: vec![weight], bias: vec![bias] };
            IntegerModel::new(&bad, precision(12, 16), 1.0).unwrap_err();
        }
        IntegerModel::new(&Collapsed { bias: vec![], ..good.clone() }, precision(8, 8), 1.0).unwrap_err();
        let model = IntegerModel::new(&good, precision(3, 8), 1.0).unwrap();
        assert!(model.logits(&[0; 5]).unwrap_err().to_string().contains("expected 4, got 5"));
        assert_eq!(model.logits(&[0, 0, 8, 0]).unwrap_err().to_string(), "feature is 8, allowed is 0 to 7");
        for x in [-0.1, 1.1, f32::NAN] {
            precision(8, 8).features(&Features { count: 1, width: 1, values: vec![x] }).unwrap_err();
        }
        share_equal(&[1], &[1, 2]).unwrap_err();
    }

    #[test]
    fn the_embedded_models_stay_accurate_as_integers() {
        let (_, test) = digits();
        let sets = [("digits", Some((digits().0, test)), [0.92, 0.96]), ("mnist", mnist(), [0.926, 0.9895])];
        for (dataset, images, least) in sets {
            for (features, least) in FeatureMap::ALL.into_iter().zip(least) {
                let model = default_model(dataset, features);
                let Some((_, test)) = &images else { continue };
                let values = features.extract(test).unwrap();
                let classes = model.classify(&model.precision().features(&values).unwrap()).unwrap();
                let real = embedded(dataset, features).unwrap().network.classify(&values).unwrap();
                let (accuracy, agreement) = (share_equal(&classes, &test.labels).unwrap(), share_equal(&classes, &real).unwrap());
                println!(
                    "{dataset} {features}: {} feature bits, {} weight bits, {:.2} % of {} images, {:.2} % as f32, logits of {} bits",
                    model.precision().feature_bits,
                    model.precision().weight_bits,
                    100.0 * accuracy,
                    test.len(),
                    100.0 * agreement,
                    model.signed_bits()
                );
                assert!(accuracy >= least && agreement > 0.98, "{dataset} {features}: {accuracy}, {agreement}");
            }
        }
    }

    #[test]
    fn widths_of_the_default_slots() {
        let bits = |dataset| FeatureMap::ALL.map(|features| default_model(dataset, features).signed_bits());
        assert_eq!((bits("mnist"), bits("digits")), ([22, 14], [19, 13]));
    }

    #[test]
    fn the_default_clips_are_chosen_on_training_images() {
        let Some((training, _)) = mnist() else { return };
        let points = [(FeatureMap::Gradients, [5, 4]), (FeatureMap::Pixels, [6, 5])];
        for (features, weight_bits) in points.into_iter().flat_map(|(features, bits)| bits.map(|bits| (features, bits))) {
            let precision = Precision { weight_bits, ..Precision::default_for(features) };
            let integers = precision.features(&features.extract(&training).unwrap()).unwrap();
            let map = embedded("mnist", features).unwrap().network.collapse();
            assert_eq!(
                choose_clip(&map, precision, &integers, &training.labels).unwrap(),
                precision.default_clip(features),
                "{features}, {precision:?}"
            );
        }
    }

    #[test]
    #[ignore = "a measurement"]
    fn accuracy_by_precision_on_training_images() {
        let Some((training, test)) = mnist() else { return };
        for features in FeatureMap::ALL {
            let (values, seen) = (features.extract(&training).unwrap(), features.extract(&test).unwrap());
            let map = embedded("mnist", features).unwrap().network.collapse();
            for (f, w) in [(2, 4), (3, 3), (3, 4), (3, 5), (3, 6), (4, 3), (4, 4), (4, 5), (4, 6), (4, 8), (5, 5), (6, 6), (8, 6), (8, 7), (8, 8)] {
                let precision = Precision { feature_bits: f, weight_bits: w };
                let integers = precision.features(&values).unwrap();
                let model = IntegerModel::new(&map, precision, precision.default_clip(features)).unwrap();
                let share = |values, labels: &[u8]| 100.0 * share_equal(&model.classify(values).unwrap(), labels).unwrap();
                let training = share(&integers, &training.labels);
                let unseen = share(&precision.features(&seen).unwrap(), &test.labels);
                println!("{features} {f} {w}: slots of {} bits, training {training:.3} %, test {unseen:.3} %", model.signed_bits());
            }
        }
    }

    proptest! {
        #[test]
        fn bounds_are_reached_and_never_passed(inputs in 1usize..20, seed in any::<u64>(), f in 1u32..=12, w in 2u32..=16, clip in 0.1f64..=1.0) {
            let map = map(inputs, 3, seed);
            let model = IntegerModel::new(&map, precision(f, w), clip).unwrap();
            let (max, top) = (model.precision().max_feature(), model.precision().max_weight());
            prop_assert!(model.weights().iter().all(|w| (-top..=top).contains(w)));
            prop_assert_eq!(model.weights().iter().map(|w| w.abs()).max(), Some(top));
            for class in 0..3 {
                let (low, high) = model.range(class);
                let extreme = |sign: i32| model.row(class).iter().map(|w| if w * sign > 0 { max } else { 0 }).collect::<Vec<u16>>();
                prop_assert_eq!(model.logits(&extreme(1)).unwrap()[class], high);
                prop_assert_eq!(model.logits(&extreme(-1)).unwrap()[class], low);
                let some: Vec<u16> = noise(inputs, seed ^ 7).iter().map(|x| (x * f32::from(max)).round() as u16).collect();
                prop_assert!((low..=high).contains(&model.logits(&some).unwrap()[class]));
                let half = 1i64 << (model.signed_bits() - 1);
                prop_assert!(-half < low && high < half);
            }
            prop_assert!(model.signed_bits() == 1 || model.worst_case() >= 1 << (model.signed_bits() - 2));
        }

        #[test]
        fn integers_approximate_the_map(inputs in 1usize..20, seed in any::<u64>(), f in 1u32..=12, w in 2u32..=16) {
            let map = map(inputs, 2, seed);
            let model = IntegerModel::new(&map, precision(f, w), 1.0).unwrap();
            let features = Features { count: 1, width: inputs, values: noise(inputs, seed ^ 3) };
            let integers = model.precision().features(&features).unwrap();
            let max = f64::from(model.precision().max_feature());
            // Integer weight per unit of real weight: the largest weight becomes the largest integer.
            let scale = f64::from(model.precision().max_weight()) / map.weights.iter().fold(0f64, |most, w| most.max(w.abs()));
            let (real, exact) = (map.logits(features.row(0)).unwrap(), model.logits(integers.row(0)).unwrap());
            for (real, exact) in real.iter().zip(exact) {
                // Half a step of each weight, half a step of each feature (and of f32's rounding), half a step of the bias.
                let slack = inputs as f64 * (0.5 / scale + 0.501 / max) + 1.0 / (scale * max);
                prop_assert!((exact as f64 / (scale * max) - real).abs() <= slack);
            }
        }
    }
}
