use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::testdata::{digits, mnist, noise};
use super::*;
use crate::control::Control;
use crate::features::Features;

fn network(widths: &[usize], seed: u64) -> Network {
    let layer = |(number, pair): (usize, &[usize])| {
        let centred = |count, salt| noise(count, seed + 10 * number as u64 + salt).iter().map(|x| x - 0.5).collect();
        Layer { inputs: pair[0], outputs: pair[1], weights: centred(pair[0] * pair[1], 1), bias: centred(pair[1], 2) }
    };
    Network::new(widths.windows(2).enumerate().map(layer).collect()).unwrap()
}

fn small_model() -> TrainedModel {
    let images = Images { rows: 2, cols: 2, max_pixel: 16, pixels: (0..16).chain(0..16).collect(), labels: vec![0, 1, 2, 3, 0, 1, 2, 9] };
    let recipe = Recipe { hidden: vec![3], epochs: 1, ..Recipe::default_for("digits", FeatureMap::Pixels) };
    train("small", &images, &images, FeatureMap::Pixels, &recipe, &mut |_| {}, &Control::default()).unwrap()
}

/// Layer after layer and all at once must choose the same class.
fn assert_collapse_agrees(network: &Network, features: &Features) {
    let map = network.collapse();
    assert_eq!(network.classify(features).unwrap(), map.classify(features).unwrap());
    for index in 0..features.count.min(100) {
        let (layered, collapsed) = (network.logits(features.row(index)).unwrap(), map.logits(features.row(index)).unwrap());
        let size = collapsed.iter().fold(1f64, |size, y| size.max(y.abs()));
        for (a, b) in layered.iter().zip(&collapsed) {
            assert!((f64::from(*a) - b).abs() < 1e-5 * size, "image {index}: {a} against {b}");
        }
    }
}

#[test]
fn layers_and_their_collapse_agree_on_noise() {
    for widths in [&[19, 7, 11, 10][..], &[5, 3], &[1, 1, 1], &[64, 20, 2]] {
        let features = Features { count: 200, width: widths[0], values: noise(200 * widths[0], 7) };
        assert_collapse_agrees(&network(widths, 3), &features);
    }
}

#[test]
fn collapse_is_the_product_of_the_matrices() {
    let layer = |inputs, outputs, weights: &[f32], bias: &[f32]| Layer { inputs, outputs, weights: weights.into(), bias: bias.into() };
    let chain = Network::new(vec![layer(2, 2, &[1.0, 2.0, 3.0, 4.0], &[1.0, -1.0]), layer(2, 1, &[10.0, 0.5], &[3.0])]).unwrap();
    assert_eq!(chain.collapse(), Collapsed { inputs: 2, outputs: 1, weights: vec![11.5, 22.0], bias: vec![12.5] });
    assert_eq!(chain.logits(&[1.0, 1.0]).unwrap(), [46.0]);
}

#[test]
fn networks_that_do_not_fit_together_are_refused() {
    let layer = |inputs: usize, outputs: usize| Layer { inputs, outputs, weights: vec![0.0; inputs * outputs], bias: vec![0.0; outputs] };
    for layers in [vec![], vec![layer(0, 1)], vec![layer(1, 0)], vec![layer(2, 3), layer(2, 1)], vec![layer(1, 257)]] {
        Network::new(layers).unwrap_err();
    }
    Network::new(vec![Layer { weights: vec![f32::NAN], ..layer(1, 1) }]).unwrap_err();
    Network::new(vec![Layer { weights: vec![], ..layer(1, 1) }]).unwrap_err();
    Network::new(vec![layer(2, 257), layer(257, 256)]).unwrap();
    assert!(network(&[3, 2], 1).logits(&[0.0; 4]).unwrap_err().to_string().contains("expected 3, got 4"));
}

#[test]
fn argmax_takes_the_lowest_of_equals() {
    assert_eq!(argmax(&[1, 3, 3, 2]), 1);
    assert_eq!(argmax(&[-1.0, -2.0]), 0);
    assert_eq!(argmax::<i64>(&[]), 0);
}

#[test]
fn training_does_not_depend_on_threads() {
    let (images, test) = digits();
    let recipe = Recipe { epochs: 2, batch: 50, ..Recipe::default_for("digits", FeatureMap::Pixels) };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train("digits", &images, &test, FeatureMap::Pixels, &recipe, &mut |_| {}, &Control::default()).unwrap().to_bytes().unwrap())
    };
    let one = run(1);
    assert!(run(2) == one && run(5) == one);
}

#[test]
fn the_embedded_digits_models_are_what_their_recipes_give() {
    let (images, test) = digits();
    for features in FeatureMap::ALL {
        let recipe = Recipe::default_for("digits", features);
        let mut epochs = Vec::new();
        let model = train("digits", &images, &test, features, &recipe, &mut |p| epochs.push(p), &Control::default()).unwrap();
        assert_eq!(epochs.len(), recipe.epochs as usize);
        assert!(epochs.iter().map(|p| p.epoch).eq(1..=recipe.epochs) && epochs[0].loss > 4.0 * epochs[59].loss);
        let embedded = embedded("digits", features).unwrap();
        println!("digits {features}: f32 {:.2} %", 100.0 * model.test_accuracy());
        assert!(model.to_bytes().unwrap() == embedded.to_bytes().unwrap(), "{features}: retraining gives other bytes");
        assert_collapse_agrees(&embedded.network, &features.extract(&test).unwrap());
    }
}

#[test]
#[ignore = "half a minute of training"]
fn the_embedded_mnist_models_are_what_their_recipes_give() {
    let Some((images, test)) = mnist() else { return };
    for features in FeatureMap::ALL {
        let recipe = Recipe::default_for("mnist", features);
        let model = train("mnist", &images, &test, features, &recipe, &mut |_| {}, &Control::default()).unwrap();
        assert!(model.to_bytes().unwrap() == embedded("mnist", features).unwrap().to_bytes().unwrap(), "{features}: retraining gives other bytes");
    }
}

#[test]
fn the_embedded_mnist_models_are_as_accurate_as_they_say() {
    for features in FeatureMap::ALL {
        let model = embedded("mnist", features).unwrap();
        assert_eq!(model.origin.dataset_sha256, crate::dataset::fetch::TRAINING_IMAGES.sha256);
        assert_eq!(model.origin.recipe, Recipe::default_for("mnist", features));
    }
    let Some((_, test)) = mnist() else { return };
    for features in FeatureMap::ALL {
        let model = embedded("mnist", features).unwrap();
        let values = features.extract(&test).unwrap();
        assert_collapse_agrees(&model.network, &values);
        assert_eq!(count_equal(&model.network.classify(&values).unwrap(), &test.labels), model.origin.test_correct);
        println!("mnist {features}: f32 {:.2} %, layers and collapse agree on all {} images", 100.0 * model.test_accuracy(), test.len());
    }
}

#[test]
fn training_stops_when_asked_and_refuses_what_makes_no_sense() {
    let (images, test) = digits();
    let recipe = Recipe { epochs: 1, ..Recipe::default_for("digits", FeatureMap::Pixels) };
    let run = |images: &Images, test: &Images, recipe: &Recipe| {
        train("digits", images, test, FeatureMap::Pixels, recipe, &mut |_| {}, &Control::stopping_at(4)).unwrap_err()
    };
    assert!(matches!(run(&images, &test, &recipe), Error::Interrupted));
    assert!(matches!(run(&images, &Images { rows: 4, cols: 16, ..test.clone() }, &recipe), Error::Size { .. }));
    assert!(matches!(run(&Images { labels: vec![10; images.len()], ..images.clone() }, &test, &recipe), Error::OutOfRange { what: "label", .. }));
    for wrong in [
        Recipe { batch: 0, ..recipe.clone() },
        Recipe { epochs: 0, ..recipe.clone() },
        Recipe { hidden: vec![0], ..recipe.clone() },
        Recipe { hidden: vec![1 << 40], ..recipe.clone() },
        Recipe { learning_rate: f64::NAN, ..recipe.clone() },
        Recipe { learning_rate: 0.0, ..recipe.clone() },
        Recipe { weight_decay: -1.0, ..recipe.clone() },
        Recipe { weight_clip: Some(-1.0), ..recipe },
    ] {
        assert!(matches!(run(&images, &test, &wrong), Error::OutOfRange { .. }), "{wrong:?}");
    }
    let recipe = Recipe::default_for("digits", FeatureMap::Pixels);
    assert!(matches!(run(&Images { pixels: vec![], labels: vec![], ..images }, &test, &recipe), Error::OutOfRange { .. }));
}

#[test]
fn a_clip_bounds_the_weights() {
    let (images, test) = digits();
    let recipe = Recipe { epochs: 2, weight_clip: Some(0.25), ..Recipe::default_for("digits", FeatureMap::Gradients) };
    let model = train("digits", &images, &test, FeatureMap::Gradients, &recipe, &mut |_| {}, &Control::default()).unwrap();
    let largest = model.network.layers()[0].weights.iter().fold(0f32, |largest, w| largest.max(w.abs()));
    assert_eq!(largest, 0.25);
}

#[test]
fn files_survive_the_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.model");
    let model = small_model();
    model.write(&path).unwrap();
    assert_eq!(TrainedModel::read(&path).unwrap(), model);
    assert!(TrainedModel::read(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
}

#[test]
fn every_changed_lost_or_added_byte_is_refused() {
    let path = Path::new("a.model");
    let bytes = small_model().to_bytes().unwrap();
    TrainedModel::from_bytes(path, &bytes).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let error = TrainedModel::from_bytes(path, &changed).unwrap_err().to_string();
        assert!(error.starts_with("a.model: expected ") && !error.contains('\n'), "{error}");
        TrainedModel::from_bytes(path, &bytes[..at]).unwrap_err();
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(TrainedModel::from_bytes(path, &longer).unwrap_err().to_string().contains("bytes after the header"));
}

#[test]
fn a_header_that_lies_is_refused_even_with_a_right_digest() {
    let good = String::from_utf8_lossy(&small_model().to_bytes().unwrap()).into_owned();
    let header = good.lines().nth(1).unwrap().to_string();
    let forge = |from: &str, to: &str| {
        assert!(header.contains(from));
        let model = small_model().to_bytes().unwrap();
        let payload = &model["cipherlane model 1\n".len() + header.len() + 1..model.len() - 32];
        let mut bytes = format!("cipherlane model 1\n{}\n", header.replace(from, to)).into_bytes();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&Sha256::digest(&bytes));
        TrainedModel::from_bytes(Path::new("a.model"), &bytes)
    };
    forge("small", "other").unwrap();
    for (from, to) in [
        ("[4,3,10]", "[4,10,3]"),
        ("[4,3,10]", "[]"),
        ("[4,3,10]", "[57]"),
        ("[4,3,10]", "[0,3,10]"),
        ("[4,3,10]", "[4,18446744073709551615,10]"),
        ("\"rows\":2", "\"rows\":3"),
        ("\"rows\":2", "\"rows\":18446744073709551615"),
        ("\"pixels\"", "\"gradients\""),
        ("\"cols\"", "\"columns\""),
        ("\"test_correct\":", "\"test_correct\":99"),
        ("\"max_pixel\":16", "\"max_pixel\":0"),
    ] {
        forge(from, to).unwrap_err();
    }
}

#[test]
fn other_datasets_have_no_embedded_model() {
    assert!(embedded("other", FeatureMap::Pixels).unwrap_err().to_string().contains("known: mnist, digits"));
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), keep in 0usize..40) {
        let start = &b"cipherlane model 1\n{\"widths\":[4,3]}\n"[..keep.min(36)];
        let _ = TrainedModel::from_bytes(Path::new("a.model"), &[start, &bytes].concat());
    }
}
