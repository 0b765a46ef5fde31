//! Holds every file to the table of rooms in `src/lib.rs`: who may import whom, who may print, who may read a clock.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test ends at the first error")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that each top-level module may name with `crate::`, besides itself, `error` and `text`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("text", &[]),
    ("durable", &[]),
    ("control", &[]),
    ("description", &[]),
    ("stopwatch", &[]),
    ("machine", &[]),
    ("record", &["durable"]),
    ("randomness", &["integer"]),
    ("toml_file", &[]),
    ("dataset", &["control", "durable", "description"]),
    ("features", &["dataset"]),
    ("model", &["control", "dataset", "durable", "description", "features"]),
    ("quantise", &["dataset", "features", "model"]),
    ("plan", &[]),
    ("integer", &[]),
    ("limbs", &["integer"]),
    ("modulus", &["integer", "limbs"]),
    ("backend", &["control", "plan", "integer", "limbs", "modulus", "machine", "stopwatch"]),
    ("channel", &["control", "durable"]),
    ("scheme", &["control", "plan", "integer", "limbs", "modulus", "backend", "randomness", "channel", "durable", "description"]),
    ("attack", &["control", "scheme", "randomness"]),
    ("conformance", &["control", "plan", "integer", "limbs", "modulus", "backend", "randomness", "scheme"]),
    (
        "workload",
        &[
            "attack",
            "control",
            "dataset",
            "description",
            "durable",
            "features",
            "integer",
            "model",
            "quantise",
            "plan",
            "backend",
            "channel",
            "scheme",
            "randomness",
            "record",
            "stopwatch",
            "machine",
        ],
    ),
    ("sweep", &["control", "workload", "backend", "dataset", "durable", "features", "model", "plan", "quantise", "scheme", "record", "toml_file"]),
    ("measure", &["description", "durable", "workload", "record", "stopwatch", "backend", "machine", "plan", "scheme"]),
    ("statistics", &[]),
    ("report", &["description", "durable", "record", "statistics"]),
    ("plot", &["durable", "record", "report"]),
    ("paper", &["durable", "record", "report", "toml_file"]),
    (
        "cli",
        &[
            "attack",
            "backend",
            "channel",
            "conformance",
            "control",
            "dataset",
            "description",
            "durable",
            "features",
            "integer",
            "machine",
            "measure",
            "model",
            "paper",
            "plan",
            "plot",
            "quantise",
            "randomness",
            "record",
            "report",
            "scheme",
            "statistics",
            "stopwatch",
            "sweep",
            "workload",
        ],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// (module, file, code without tests and comments) of every source file but the two roots.
fn modules() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let module =
        |path: &Path| path.strip_prefix(&root).unwrap().components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
    let is_test = |path: &Path| {
        path.file_stem().is_some_and(|s| ["tests", "synthetic", "vectors", "testdata", "properties", "mirror"].iter().any(|t| s == *t))
            || path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "vectors")
    };
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
    };
    let files = files.into_iter().filter(|p| !is_test(p)).map(|p| (module(&p), code(&p), p)).map(|(m, c, p)| (m, p, c));
    files.filter(|(m, ..)| m != "lib" && m != "main").collect()
}

/// Top-level modules named after `crate::`, in one-line and braced imports.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let word = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            None => drop(found.insert(word(rest))),
            Some(list) => {
                let mut depth = 1;
                let mut item = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || (depth == 1 && c == ',') {
                        found.insert(word(&item));
                        item.clear();
                    } else {
                        item.push(c);
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn modules_import_only_what_the_architecture_allows() {
    let mut wrong = Vec::new();
    for (module, path, code) in modules() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(m, _)| *m == module) else {
            wrong.push(format!("{}: module {module} is not in the table", path.display()));
            continue;
        };
        for name in named(&code) {
            if name != module && name != "error" && name != "text" && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: {module} imports {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_prints_and_only_the_stopwatch_measures() {
    let mut wrong = Vec::new();
    for (module, path, code) in modules() {
        if module != "cli" && ["println!", "print!", "eprintln!", "eprint!", "stdout()", "stderr()"].iter().any(|p| code.contains(p)) {
            wrong.push(format!("{} prints", path.display()));
        }
        // Waiting with a limit is not measuring: downloads, connections and progress lines may.
        let waits = ["dataset/fetch.rs", "cli/progress.rs", "channel/tcp.rs"].iter().any(|waits| path.ends_with(waits));
        if module != "stopwatch" && !waits && ["Instant::now", "SystemTime::now", "ProcessTime"].iter().any(|p| code.contains(p)) {
            wrong.push(format!("{} reads a clock", path.display()));
        }
        if module != "backend" && code.contains("unsafe ") {
            wrong.push(format!("{} is unsafe", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::error::Result;\nuse crate::{machine, plot as figures, scheme::{a, b::{c, d}}};\nfn f() { crate::limbs::g() }";
    assert_eq!(named(code), ["error", "limbs", "machine", "plot", "scheme"].map(String::from).into());
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
