//! Holds the library to its architecture: who may import whom, who may print or read a clock, and numbers that may only fall.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test ends at the first error")]

mod circles;
mod ratchets;
mod rooms;
mod source;

use std::fs;
use std::path::Path;

fn library() -> Vec<source::File> {
    let files = source::library(&source::read_sources());
    assert!(files.len() > 150, "{} files", files.len());
    files
}

#[test]
fn rooms_import_only_what_the_architecture_allows() {
    let table = rooms::table(include_str!("../../src/architecture.md"));
    let faults = rooms::faults(&library(), &table);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_command_line_prints_and_only_the_stopwatch_measures() {
    let faults = rooms::deeds(&library());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn numbers_only_fall() {
    let found = ratchets::found(&library());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/structure/ratchets.txt");
    let (rose, fell) = ratchets::compare(&found, &ratchets::allowed(&fs::read_to_string(&path).unwrap()));
    assert!(rose.is_empty(), "{}", rose.join("\n"));
    if std::env::var_os("RATCHET").is_some_and(|value| value == "lower") {
        fs::write(&path, ratchets::lines(&found)).unwrap();
    } else {
        assert!(fell.is_empty(), "lower tests/structure/ratchets.txt, or let RATCHET=lower do it:\n{}", fell.join("\n"));
    }
}

#[test]
fn notebooks_are_committed_without_outputs_and_name_no_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks");
    let mut count = 0;
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in ["/home/", "/root/", "/Users/", "/tmp/", "/work/", "C:\\", "http://", "localhost"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
        if path.extension().is_none_or(|e| e != "ipynb") {
            continue;
        }
        count += 1;
        let book: serde_json::Value = serde_json::from_str(&text).unwrap();
        for cell in book["cells"].as_array().unwrap().iter().filter(|c| c["cell_type"] == "code") {
            assert!(cell["outputs"].as_array().unwrap().is_empty() && cell["execution_count"].is_null(), "{}: strip the outputs", path.display());
            let code: String = cell["source"].as_array().map_or_else(String::new, |lines| lines.iter().filter_map(|l| l.as_str()).collect());
            // They read results/ by way of notebooks/results.py, which knows no other folder.
            for word in ["open(", "urlopen", "requests", "subprocess", "%pip", "!pip"] {
                assert!(!code.contains(word), "{}: {word}", path.display());
            }
        }
    }
    assert_eq!(count, 4);
}
