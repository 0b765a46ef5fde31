//! Runs and their reports.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Done, OUTCOMES, Place, QUICK, SAMPLES};

#[test]
fn a_run_writes_what_it_documents() {
    let place = Place::new();
    let run = place.does("run --dataset digits --images 20 --backend reference,gmp --toy --key-bits 512 --out r");
    for word in ["scheme", "-- pixels", "-- gradients", "gmp", "reference", "toy: a key under 2048 bits protects nothing"] {
        assert!(run.out.contains(word), "{word}\n{}", run.out);
    }
    assert!(fs::read_to_string(place.path("r/samples.csv")).unwrap().starts_with(&format!("{SAMPLES}\n")));
    assert!(fs::read_to_string(place.path("r/outcomes.csv")).unwrap().starts_with(&format!("{OUTCOMES}\n")));
    let rows = place.outcomes("r");
    assert_eq!(rows.len(), 8);
    for row in &rows {
        assert_eq!((&*row["images"], &*row["verified"], &*row["agreement"], &*row["error"]), ("20", "true", "1.0", ""), "{row:?}");
    }
    // Short batches are repeated, so that there is an interval.
    assert!(rows.iter().all(|row| row["samples"].parse::<u32>().unwrap() > 1 && row["timed_images"] == (20 * row["samples"].parse::<u32>().unwrap()).to_string()));
    assert!(run.err.contains("[1/8] plaintext float pixels: verified, ") && run.err.contains("ms per image"), "{}", run.err);
    for features in ["pixels", "gradients"] {
        let digests: Vec<_> = rows.iter().filter(|r| r["features"] == features && r["scheme"] == "paillier").map(|r| &r["digest"]).collect();
        assert!(digests.len() == 2 && digests[0] == digests[1] && digests[0].len() == 16, "{digests:?}");
    }
    let facts: toml::Table = fs::read_to_string(place.path("r/run.toml")).unwrap().parse().unwrap();
    for key in ["revision", "cpu", "command", "compiler", "started", "finished", "threads", "disturbed_rows"] {
        assert!(facts.get(key).is_some_and(|v| !v.to_string().is_empty()), "{key}");
    }
    assert_eq!(facts["source"]["dataset"].as_str(), Some("digits"));
    assert_eq!(facts["source"]["dataset_sha256"].as_str().map(str::len), Some(64));
    for name in ["accuracy", "stages", "throughput"] {
        assert!(fs::read(place.path(&format!("r/figures/{name}.png"))).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
        assert!(fs::read_to_string(place.path(&format!("r/figures/{name}.svg"))).unwrap().contains("<svg"));
    }
    place.refuses("run --dataset digits --images 2 --out r", &["r: ", "samples.csv", "choose another --out"]);
}

#[test]
fn seeds_decide_the_digest() {
    let place = Place::new();
    let digest = |seed: u32, out: &str| {
        let rows = place.json(&format!("run {QUICK} --seed {seed} --out {out}"));
        assert_eq!(rows.as_array().map(Vec::len), Some(3), "{rows}");
        place.outcomes(out)[2]["digest"].clone()
    };
    let first = digest(1, "a");
    assert_eq!(first, digest(1, "b"));
    assert_ne!(first, digest(2, "c"));
}

#[test]
fn lists_run_every_combination_once() {
    let place = Place::new();
    place.does(
        "run --dataset digits --toy --key-bits 256,320 --backend gmp,gmp --images 3 --features gradients --method auto,naive,straus,buckets,auto \
         --encryption owner,djn,standard --scenario offline,single --out r",
    );
    let rows = place.outcomes("r");
    assert_eq!(rows.len(), 2 * (2 + 2 * 4 * 3));
    assert!(rows.iter().all(|r| r["verified"] == "true"));
    let mut digests = BTreeMap::new();
    for row in rows.iter().filter(|r| r["scheme"] == "paillier") {
        let inputs = (row["key_bits"].clone(), row["encryption"].clone(), row["scenario"].clone());
        assert_eq!(digests.entry(inputs).or_insert_with(|| row["digest"].clone()), &row["digest"], "{row:?}");
    }
    assert_eq!(digests.len(), 2 * 3 * 2);
}

#[test]
fn reports_have_every_form() {
    let place = Place::new();
    place.does(&format!("run {QUICK} --out r"));
    for details in ["", "--details"] {
        for (format, word) in [("text", "scheme"), ("md", "| ---"), ("latex", "\\toprule"), ("csv", "scheme,")] {
            let word = if details.is_empty() { word } else { word.trim_start_matches("scheme,").trim_start_matches("scheme") };
            let plain = place.does(&format!("report r {details} --format {format}")).out;
            assert!(plain.contains(word) && plain.contains("gmp"), "{plain}");
            let explained = place.does(&format!("report r {details} --format {format} --legend")).out;
            assert!(explained.starts_with(&plain) && explained.len() > plain.len(), "{explained}");
        }
    }
    place.json("report r");

    let readme = |name: &str| format!("# é\n<!-- cipherlane:begin {name} -->\nold\n<!-- cipherlane:end {name} -->\nend");
    fs::write(place.path("README.md"), readme("results")).unwrap();
    place.does("report r --splice README.md");
    let text = fs::read_to_string(place.path("README.md")).unwrap();
    assert!(text.starts_with("# é\n<!-- cipherlane:begin results -->\n") && text.ends_with("<!-- cipherlane:end results -->\nend"), "{text}");
    assert!(text.contains("| paillier") && text.contains("cargo run --release -- run --dataset digits") && !text.contains("old"), "{text}");
    place.refuses("report r --splice README.md --name other", &["begin other", "begin results"]);
    fs::write(place.path("README.md"), readme("results").replace("end results", "end")).unwrap();
    place.refuses("report r --splice README.md", &["end results"]);
    place.refuses("report r --splice nowhere.md", &["nowhere.md"]);

    fs::remove_dir_all(place.path("r/figures")).unwrap();
    let drawn = place.does("plot r");
    assert_eq!(drawn.out.lines().count(), 9, "{}", drawn.out);
    for figure in ["latency", "bound", "front"] {
        assert!(drawn.err.contains(&format!("no figure {figure}: ")), "{}", drawn.err);
    }
    let json = place.json("plot r --format pdf --quoted");
    assert_eq!(json["files"].as_array().map(Vec::len), Some(4), "{json}");
    assert!(json["left_out"]["peers"].as_str().unwrap().contains("--peers"), "{json}");
    assert!(fs::read(place.path("r/figures/front.pdf")).unwrap().starts_with(b"%PDF-"));
    assert!(place.path("r/figures/stages.svg").is_file());
    place.refuses("plot r --peers r", &["samples.csv", "benches/peers/run.py"]);

    let latex = place.does("report r --quoted --format latex").out;
    assert!(latex.contains("\\toprule") && latex.contains("CryptoNets 2016\\textsuperscript{\\dag}") && latex.contains("quoted [1]"), "{latex}");
    place.refuses("report r --quoted=nowhere.csv", &["nowhere.csv"]);

    place.refuses("report nowhere", &["nowhere"]);
    place.refuses("plot nowhere", &["nowhere"]);
    fs::write(place.path("r/outcomes.csv"), OUTCOMES).unwrap();
    place.refuses("report r", &["outcomes.csv: expected a row for all that is in samples.csv"]);
    fs::write(place.path("r/samples.csv"), SAMPLES).unwrap();
    assert!(place.ends("report r", 1).out.contains("no results"));
    fs::write(place.path("r/outcomes.csv"), format!("{OUTCOMES}\n1,2,3\n")).unwrap();
    place.refuses("report r", &["outcomes.csv", "3 fields"]);

    fs::create_dir(place.path("many")).unwrap();
    place.refuses("report many", &["many: expected a results folder", "none here"]);
    fs::rename(place.path("r"), place.path("many/r")).unwrap();
    place.refuses("report many", &["a folder of folders; results are in many/r"]);
}

#[test]
fn a_failed_row_is_in_the_records_and_in_the_exit_status() {
    let place = Place::new();
    let run = place.ends(&format!("run {QUICK} --packing 500 --out r"), 1);
    assert!(run.err.contains("500 slots"), "{}", run.err);
    let rows = place.outcomes("r");
    assert!(rows[2]["verified"] == "false" && rows[2]["error"].contains("500 slots") && rows[2]["digest"].is_empty(), "{:?}", rows[2]);
    assert!(!fs::read_to_string(place.path("r/samples.csv")).unwrap().contains("paillier"));
    assert!(place.ends("report r", 1).out.contains("500 slots"));

    // A reader that has gone away changes neither the exit status nor what is written.
    for (line, code) in [("report r".into(), 1), ("list".into(), 0), (format!("run {QUICK} --packing 500 --out s"), 1)] {
        let mut child = place.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        Done::from(&line, &child.wait_with_output().unwrap(), code);
    }
    assert!(place.path("s/run.toml").is_file());
}

#[test]
fn mnist_is_verified_where_it_is() {
    let named = std::env::var_os("CIPHERLANE_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
    let dir = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/mnist"));
    if !dir.is_dir() {
        eprintln!("skipped: no MNIST");
        return;
    }
    let place = Place::new();
    let mut command = place.command("run --images 200 --backend gmp --features gradients --out r --dataset");
    Done::from("run", &command.arg(dir.canonicalize().unwrap()).output().unwrap(), 0);
    let rows = place.outcomes("r");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|r| r["dataset"] == "mnist" && r["verified"] == "true" && r["images"] == "200"), "{rows:?}");
}
