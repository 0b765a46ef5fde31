//! What a result is of: models and data are known by their digests, and what does not belong
//! together is refused or said.

use std::fs;

use sha2::{Digest, Sha256};

use super::Place;

/// Bright bars on 8x8 pixels: class k has the k-th tenth of the pixels at `bright`, the others at
/// 0.
fn bars(bright: u8, images: usize) -> Vec<Vec<u8>> {
    (0..images).map(|image| (0..64).map(|pixel| if pixel * 10 / 64 == image % 10 { bright } else { 0 }).collect()).collect()
}

/// A folder of IDX files with these images for testing and training.
fn dataset(place: &Place, name: &str, images: &[Vec<u8>]) {
    let word = |number: usize| (number as u32).to_be_bytes();
    let pixels = [&[0, 0, 8, 3], &word(images.len())[..], &word(8), &word(8), &images.concat()].concat();
    let labels: Vec<u8> = (0..images.len()).map(|image| (image % 10) as u8).collect();
    let labels = [&[0, 0, 8, 1], &word(images.len())[..], &labels].concat();
    fs::create_dir_all(place.path(name)).unwrap();
    for part in ["t10k", "train"] {
        fs::write(place.path(&format!("{name}/{part}-images-idx3-ubyte")), &pixels).unwrap();
        fs::write(place.path(&format!("{name}/{part}-labels-idx1-ubyte")), &labels).unwrap();
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A linear model that finds the bars, or with `sign` -1 never does. It says that it was trained on
/// the dataset `trained_on`, on a digest of that name.
fn model(place: &Place, name: &str, sign: f32, (rows, white): (usize, u8), trained_on: &str) -> String {
    let pixels = rows * 8;
    let recipe = r#"{"hidden":[],"centre":false,"epochs":1,"batch":1,"learning_rate":0.001,"weight_decay":0.0,"weight_clip":null,"seed":1}"#;
    let origin = format!(
        r#"{{"dataset":"{trained_on}","dataset_sha256":"{}","rows":{rows},"cols":8,"max_pixel":{white},"features":"pixels","recipe":{recipe},"test_images":100,"test_correct":50}}"#,
        sha256(trained_on.as_bytes())
    );
    let mut bytes = format!("cipherlane model 1\n{{\"widths\":[{pixels},10],\"origin\":{origin}}}\n").into_bytes();
    for class in 0..10 {
        (0..pixels).for_each(|pixel| bytes.extend((if pixel * 10 / pixels == class { sign } else { -0.1 * sign }).to_le_bytes()));
    }
    bytes.extend([0; 40]);
    bytes.extend(Sha256::digest(&bytes));
    fs::write(place.path(name), &bytes).unwrap();
    sha256(&bytes)
}

#[test]
fn rows_of_two_models_are_two_rows_and_compare_tells_them_apart() {
    let place = Place::new();
    dataset(&place, "bars", &bars(255, 40));
    let digests = [("right", 1.0), ("opposite", -1.0)].map(|(name, sign)| model(&place, &format!("{name}.model"), sign, (8, 255), "other:bars"));
    let mut rows = Vec::new();
    for (name, digest) in ["right", "opposite"].iter().zip(&digests) {
        // The model's own features are the default.
        let done = place.does(&format!("run --dataset bars --model {name}.model --backend none --out {name}"));
        assert!(done.err.contains(&format!("warning: {name}.model was trained on other:bars (training images ")), "{}", done.err);
        let facts: toml::Table = fs::read_to_string(place.path(&format!("{name}/run.toml"))).unwrap().parse().unwrap();
        let source = &facts["source"];
        assert_eq!(source["models"]["pixels"]["sha256"].as_str(), Some(digest.as_str()));
        assert_eq!((source["rows"].as_integer(), source["cols"].as_integer(), source["white"].as_integer()), (Some(8), Some(8), Some(255)));
        let outcomes = place.outcomes(name);
        assert_eq!(outcomes.len(), 2);
        for row in &outcomes {
            assert_eq!((&row["model_sha256"], &*row["dataset_sha256"]), (digest, source["dataset_sha256"].as_str().unwrap()));
        }
        rows.push(outcomes);
    }
    assert_eq!((&*rows[0][0]["accuracy"], &*rows[1][0]["accuracy"]), ("1.0", "0.0"));
    assert!(rows[0][0]["spec"] == rows[1][0]["spec"] && rows[0][0]["row_id"] != rows[1][0]["row_id"]);
    let compared = place.ends("compare right opposite", 3);
    let words = format!("model: SHA-256 {} became SHA-256 {}", &digests[0][..16], &digests[1][..16]);
    assert!(compared.out.contains(&words), "{}", compared.out);

    // The same spec on other images of the same name.
    fs::rename(place.path("bars"), place.path("away")).unwrap();
    dataset(&place, "bars", &bars(200, 40));
    place.does("run --dataset bars --model right.model --backend none --out again");
    let again = place.outcomes("again");
    assert!(again[0]["spec"] == rows[0][0]["spec"] && again[0]["row_id"] != rows[0][0]["row_id"]);
    assert!(place.ends("compare right again", 3).out.contains("test images: SHA-256 "));

    // Folders of before these columns say nothing about them.
    for name in ["right", "opposite"] {
        let text = fs::read_to_string(place.path(&format!("{name}/outcomes.csv"))).unwrap();
        let older: Vec<&str> = text.lines().map(|line| line.rsplitn(3, ',').last().unwrap()).collect();
        fs::write(place.path(&format!("{name}/outcomes.csv")), older.join("\n") + "\n").unwrap();
    }
    let older = place.ends("compare right opposite", 3).out;
    assert!(older.contains("accuracy: 1 became 0") && !older.contains("SHA-256"), "{older}");
}

#[test]
fn a_model_is_refused_on_pixels_of_another_kind() {
    let place = Place::new();
    dataset(&place, "dark", &bars(16, 40));
    model(&place, "sixteen.model", 1.0, (8, 16), "other:dark");
    model(&place, "large.model", 1.0, (16, 255), "other:bars");
    let both = ["images of 8x8 pixels from 0 to 16", "other:dark has images of 8x8 pixels from 0 to 255"];
    place.refuses("run --dataset dark --model sixteen.model --backend none --out r", &both);
    place.refuses("run --dataset dark --model large.model --backend none --out r", &["16x8 pixels from 0 to 255", "8x8 pixels from 0 to 255"]);
    place.refuses("run --dataset digits --model large.model --backend none --out r", &["16x8 pixels from 0 to 255", "8x8 pixels from 0 to 16"]);

    place.does("keygen --bits 512 --toy --out k");
    let encrypted = place.does("encrypt --toy --secret k.secret.json --dataset dark --images 3 --slot-bits 20 --out q");
    assert!(encrypted.err.contains("warning: the largest pixel of the test images is 16, white is 255"), "{}", encrypted.err);
    place.refuses("evaluate --toy --public k.public.json --query q --model sixteen.model --out a", &both);
}

#[test]
fn answers_are_compared_with_the_labels_of_their_own_images_only() {
    let place = Place::new();
    dataset(&place, "bars", &bars(255, 40));
    let digest = model(&place, "own.model", 1.0, (8, 255), "other:bars");
    place.does("keygen --bits 512 --toy --out k");
    place.does("encrypt --toy --secret k.secret.json --dataset bars --first 5 --images 3 --slot-bits 20 --out q");
    let evaluated = place.json("evaluate --toy --public k.public.json --query q --model own.model --out a");
    assert_eq!(evaluated["model_sha256"].as_str(), Some(digest.as_str()));
    let decrypt = "decrypt --toy --secret k.secret.json --answer a";
    let answer = place.json(&format!("{decrypt} --dataset bars"));
    assert_eq!((answer["correct"].as_u64(), answer["first"].as_u64()), (Some(3), Some(5)));
    assert_eq!((answer["model"].as_str(), answer["model_sha256"].as_str()), (Some("own"), Some(digest.as_str())));
    assert!(place.does(decrypt).out.contains("\n7,7,"));
    place.refuses(&format!("{decrypt} --dataset bars --first 4"), &["first image", "expected 4, got 5"]);
    place.refuses(&format!("{decrypt} --dataset digits"), &["a is for images of 8x8 pixels from 0 to 255", "--dataset digits has", "from 0 to 16"]);
    dataset(&place, "bars", &bars(254, 40));
    place.refuses(&format!("{decrypt} --dataset bars"), &["a is for other:bars (SHA-256 ", "--dataset bars has other:bars (SHA-256 "]);
}

#[test]
fn costly_quantisation_is_said() {
    let place = Place::new();
    // One of 255 steps is nothing in one bit, and all that there is in floats.
    dataset(&place, "faint", &bars(1, 40));
    model(&place, "m.model", 1.0, (8, 255), "other:faint");
    let line =
        "warning: quantisation costs 90.0 points: integers (1-bit pixels, 8-bit weights) classify 10.00 % of 40 images as labelled, floats 100.00 %";
    let done = place.does("run --dataset faint --model m.model --backend none --feature-bits 1 --out r");
    assert!(done.err.contains(line), "{}", done.err);
    assert!(done.err.contains("warning: the largest pixel of the test images is 1, white is 255"), "{}", done.err);
    assert!(place.does("report r").err.contains(line));
    let done = place.does("run --dataset faint --model m.model --backend none --feature-bits 8 --out s");
    assert!(!done.err.contains("quantisation"), "{}", done.err);

    // A fresh model, and an answer by the program's own model, whose floats the program has.
    let words = "classify 10.00 % of 40 images as labelled, floats ";
    assert!(place.does("train --dataset faint --features gradients --out g.model").err.contains(words));
    place.does("keygen --bits 512 --toy --out k");
    for (bits, is_costly) in [(1, true), (8, false)] {
        place.does(&format!("encrypt --toy --secret k.secret.json --dataset digits --images 100 --feature-bits {bits} --out q"));
        place.does("evaluate --toy --public k.public.json --query q --out a");
        let done = place.does("decrypt --toy --secret k.secret.json --answer a --dataset digits");
        assert_eq!(done.err.contains("warning: quantisation costs "), is_costly, "{}", done.err);
    }
}
