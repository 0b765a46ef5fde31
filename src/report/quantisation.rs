//! What rounding features and weights to integers costs in accuracy, where it costs much.

use std::collections::BTreeSet;

use crate::record::{Outcome, Records};

/// Points of accuracy below the float model's that are not worth a line.
const USUAL_POINTS: f64 = 1.0;

/// A line on a model whose integers classify fewer of the same images right than its floats do, by
/// more than one percentage point; `integers` says which.
#[must_use]
pub fn cost(float_correct: usize, integer_correct: usize, images: usize, integers: &str) -> Option<String> {
    let percent = |correct: usize| 100.0 * correct as f64 / images.max(1) as f64;
    let (float, integer) = (percent(float_correct), percent(integer_correct));
    let points = float - integer;
    // Counts are exact; the shares of them are not.
    (points > USUAL_POINTS + 1e-9).then(|| {
        format!(
            "quantisation costs {points:.1} points: integers ({integers}) classify {integer:.2} % of {images} images as labelled, floats {float:.2} %; \
             look at the contrast of the images, or try more --feature-bits and --weight-bits"
        )
    })
}

/// A line for each quantised model of some records that stands beside its float model on the same
/// images and costs more than one point.
#[must_use]
pub fn costs(records: &Records) -> Vec<String> {
    let subject =
        |o: &Outcome| (o.workload.clone(), o.dataset.clone(), o.dataset_sha256.clone(), o.model_sha256.clone(), o.features.clone(), o.images);
    let correct = |o: &Outcome| o.accuracy.map(|share| (share * f64::from(o.images)).round() as usize);
    let told = |o: &&Outcome| o.workload == "inference" && o.verified;
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for integer in records.outcomes.iter().filter(told) {
        let (Some(feature_bits), Some(weight_bits)) = (integer.feature_bits, integer.weight_bits) else { continue };
        let is_float = |o: &&Outcome| o.feature_bits.is_none() && subject(o) == subject(integer);
        let Some(float) = records.outcomes.iter().filter(told).find(is_float) else { continue };
        if let (Some(by_float), Some(by_integer)) = (correct(float), correct(integer))
            && seen.insert((subject(integer), feature_bits, weight_bits))
        {
            let integers = format!("{feature_bits}-bit {}, {weight_bits}-bit weights", integer.features);
            lines.extend(cost(by_float, by_integer, integer.images as usize, &integers));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_point_is_told() {
        assert_eq!(cost(500, 490, 1000, "x"), None);
        assert_eq!(cost(490, 500, 1000, "x"), None);
        assert_eq!(cost(0, 0, 0, "x"), None);
        let line = cost(788, 282, 1000, "4-bit gradients, 4-bit weights").unwrap();
        assert!(line.contains("costs 50.6 points") && line.contains("28.20 % of 1000") && line.contains("floats 78.80 %"), "{line}");
    }

    #[test]
    fn rows_of_one_model_on_the_same_images_are_compared() {
        let row = |bits: Option<u32>, images, accuracy, model: &str| Outcome {
            workload: "inference".into(),
            features: "gradients".into(),
            feature_bits: bits,
            weight_bits: bits,
            images,
            accuracy: Some(accuracy),
            model_sha256: model.into(),
            verified: true,
            ..Outcome::default()
        };
        let records = |outcomes: Vec<Outcome>| Records { outcomes, ..Records::default() };
        let float = row(None, 100, 0.9, "a");
        let lines = costs(&records(vec![float.clone(), row(Some(4), 100, 0.5, "a"), row(Some(4), 100, 0.5, "a"), row(Some(8), 100, 0.9, "a")]));
        assert!(lines.len() == 1 && lines[0].contains("4-bit gradients"), "{lines:?}");
        for other in [row(Some(4), 50, 0.5, "a"), row(Some(4), 100, 0.5, "b"), Outcome { verified: false, ..row(Some(4), 100, 0.5, "a") }] {
            assert!(costs(&records(vec![float.clone(), other])).is_empty());
        }
    }
}
