//! `eivhe`: training on ciphertexts, attacks and sweeps, on the digits.

use std::collections::BTreeMap;
use std::fs;

use super::{Place, snapshot};

fn rows(place: &Place, file: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(place.path(file)).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn experiments_share_a_folder_warn_and_can_be_drawn_again() {
    let place = Place::new();
    let done = place.does("eivhe train --dataset digits --setting integers-fixed,lwe --network softmax --seeds 1,2 --epochs 8 --out r");
    assert!(done.err.contains("warning: integers-fixed protects nothing") && done.err.contains("least squares gives the key"), "{}", done.err);
    assert!(!done.err.contains("warning: lwe"), "{}", done.err);
    assert!(done.out.contains("minus plaintext") && done.out.contains("eivhe-training.csv"), "{}", done.out);
    let trained = rows(&place, "r/eivhe-training.csv");
    assert_eq!(trained.len(), 6);
    for row in &trained {
        let accuracy: f64 = row["accuracy"].parse().unwrap();
        let sound = row["setting"] == "lwe";
        assert!(if sound { accuracy < 0.16 } else { accuracy > 0.85 }, "{row:?}");
        assert_eq!(row["unsound"].is_empty(), row["setting"] != "integers-fixed");
        assert_eq!(row["owner_decrypts"], if row["setting"] == "clear" { "" } else { "1.0" });
    }

    let done = place.does("eivhe attack --dataset digits --setting integers-fixed,integers-fresh --known 1000 --a-bound 1000 --out r");
    assert!(done.out.contains("599 of 599"), "{}", done.out);
    let recovered: Vec<f64> = rows(&place, "r/eivhe-attack.csv").iter().map(|row| row["key_recovered"].parse().unwrap()).collect();
    assert!(recovered.len() == 2 && recovered.iter().all(|&share| share >= 0.999), "{recovered:?}");

    let json = place.json("eivhe leakage --dataset digits --sweep q-bits --images 400 --test-images 100 --epochs 6 --out r");
    assert_eq!(json["rows"].as_array().unwrap().len(), 11);
    let run: toml::Table = fs::read_to_string(place.path("r/run.toml")).unwrap().parse().unwrap();
    assert_eq!(run["earlier"].as_array().unwrap().len(), 2);

    let tables = place.does("report r").out;
    for word in ["minus plaintext", "599 of 599", "q-bits"] {
        assert!(tables.contains(word), "{word}\n{tables}");
    }
    assert!(place.does("report r --format latex").out.matches("\\toprule").count() == 3);
    assert_eq!(place.json("report r")["eivhe-attack.csv"].as_array().map(Vec::len), Some(2));
    place.refuses("report r --details", &["r, a folder of experiments on leakage"]);

    // Rows of the same experiment are never written over; figures are drawn from the rows alone.
    place.refuses("eivhe train --dataset digits --out r", &["r: expected", "eivhe-training.csv of another run"]);
    let figures = snapshot(&place.path("r/figures"));
    assert_eq!(figures.len(), 6, "{:?}", figures.keys());
    fs::remove_dir_all(place.path("r/figures")).unwrap();
    place.does("plot r");
    assert!(snapshot(&place.path("r/figures")) == figures);
}

#[test]
fn a_matrix_of_any_dimension_is_attacked_and_nothing_is_written_unasked() {
    let place = Place::new();
    let json = place.json("eivhe attack --dataset digits --dimension 10 --key-columns 10 --a-bound 1000 --t-bound 1000 --digits 100");
    let row = &json["rows"][0];
    assert_eq!((row["key_entries"].as_u64(), row["attack_samples"].as_u64()), (Some(100), Some(1000)));
    assert!(row["key_recovered"].as_f64().unwrap() >= 0.99, "{row}");
    assert!(snapshot(place.0.path()).is_empty());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    for (line, words) in [
        ("train --setting integers", &["integers-fixed", "lwe"][..]),
        ("train --network lenet", &["softmax", "mlp", "conv"]),
        ("train --seeds 1,,2", &["--seeds"]),
        ("train --seeds -1", &["-1"]),
        ("train --epochs 1.5", &["--epochs"]),
        ("attack --key-columns x", &["--key-columns"]),
        ("attack --a-bound 4294967296", &["4294967295"]),
        ("leakage --sweep everything", &["a-bound", "key-columns"]),
        ("break", &["unrecognized subcommand"]),
        ("", &["Usage"]),
    ] {
        if line.is_empty() {
            place.ends("eivhe", 2);
        } else {
            place.misuses(&format!("eivhe {line}"), words);
        }
    }
    for (line, words) in [
        ("train --images 0", &["--images is 0", "1 to 1198"][..]),
        ("train --images 1199", &["--images is 1199"]),
        ("train --test-images 600", &["1 to 599"]),
        ("train --epochs 0", &["epochs is 0"]),
        ("train --w-bits 12", &["w = 2^12"]),
        ("train --key-columns 0", &["key columns"]),
        ("train --a-bound 0", &["entries of A"]),
        ("train --setting modular-fresh --q-bits 5", &["bits of w"]),
        ("attack --setting clear", &["clear", "no key decrypts"]),
        ("attack --setting lwe,absolute", &["absolute"]),
        ("attack --dimension 10 --setting lwe", &["lwe", "10 numbers"]),
        ("attack --dimension 0", &["entries of a message"]),
        ("attack --setting lwe --known 0", &["--known is 0"]),
        ("leakage --images 5000", &["1 to 1198"]),
    ] {
        place.refuses(&format!("eivhe {line} --dataset digits --out r"), words);
    }
    place.refuses("eivhe train --dataset mnist --out r", &["MNIST", "cipherlane fetch"]);
    fs::write(place.path("f"), "").unwrap();
    place.refuses("eivhe leakage --dataset digits --out f", &["f: expected a folder"]);
}
