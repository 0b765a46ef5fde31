//! The harness as a library: sweeps without the command line, in parts that are merged, with
//! schemes and workloads of others.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test ends at the first error")]

#[path = "../examples/additions/counting.rs"]
mod counting;
#[path = "../examples/additions/pad.rs"]
mod pad;

use std::path::{Path, PathBuf};
use std::process::Command;

use cipherlane::control::Control;
use cipherlane::dataset::Dataset;
use cipherlane::features::FeatureMap;
use cipherlane::measure::{Benches, Ended, Merged, SweepRun, merge};
use cipherlane::model;
use cipherlane::record::{Outcome, Records};
use cipherlane::sweep::Sweep;
use cipherlane::workload::registry::Registry;
use cipherlane::workload::{Means, Models, Source};

/// What is run everywhere: toy keys, few images, plaintext, two plans.
const SWEEP: &str = r#"
dataset = "digits"
toy = true
[sampling]
warm_up_seconds = 0
min_seconds = 0
min_samples = 1
[[grid]]
backend = ["gmp"]
key_bits = [256, 512]
features = ["pixels"]
method = ["buckets", "straus"]
images = [3]
"#;

fn run(registry: &Registry, text: &str, dir: &Path, shard: Option<&str>) -> cipherlane::error::Result<Ended> {
    let sweep = Sweep::parse(registry, Path::new("small.toml"), text.into())?;
    let dataset = Dataset::digits("embedded".into()).unwrap();
    let models = Models::from([(FeatureMap::Pixels, model::embedded("digits", FeatureMap::Pixels).unwrap())]);
    let source = Source::new(dataset.description(), &models, sweep.seed);
    let means = Means { images: dataset.test.clone(), models, source, allow_toy: true, control: Control::default() };
    let mut benches = Benches::new(registry, means);
    let shard = shard.map(|shard| shard.parse().unwrap());
    SweepRun::new(registry, sweep, dir.into(), &dataset, &mut benches, shard)?.run(&mut benches, false, &mut ())
}

/// What of a row is the same whoever measured it and when.
fn timeless(outcomes: &[Outcome]) -> Vec<Outcome> {
    let same = |row: &Outcome| Outcome {
        run_id: String::new(),
        peak_rss_bytes: None,
        batches_ns: None,
        energy_uj: None,
        row_ns: None,
        others_cpu_ns: None,
        stolen_cpu_ns: None,
        frequency_start_khz: None,
        frequency_end_khz: None,
        bound_products_per_second: None,
        ..row.clone()
    };
    outcomes.iter().map(same).collect()
}

#[test]
fn command_line_library_and_merged_parts_give_the_same_rows() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    let registry = Registry::default();
    let whole = run(&registry, SWEEP, &at("library"), None).unwrap();
    assert!(whole.verified && whole.missing == 0 && whole.records.outcomes.len() == 6);

    std::fs::write(at("small.toml"), SWEEP).unwrap();
    let threads = rayon::current_num_threads().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cipherlane"));
    command.args(["--threads", &threads, "sweep", "--offline", "--out"]).arg(at("command")).arg(at("small.toml"));
    assert!(command.output().unwrap().status.success());
    let by_command = Records::read(&at("command")).unwrap();
    assert_eq!(timeless(&by_command.outcomes), timeless(&whole.records.outcomes));

    let parts: Vec<PathBuf> = (1..=3).map(|part| at(&format!("part-{part}"))).collect();
    for (number, dir) in parts.iter().enumerate() {
        let part = run(&registry, SWEEP, dir, Some(&format!("{}/3", number + 1))).unwrap();
        assert!(part.verified && !part.records.outcomes.is_empty() && part.missing > 0, "{number}");
    }
    // What is not there is named, and nothing is measured.
    let Merged { records, missing, .. } = merge(&parts[..2], &at("two"), None).unwrap();
    assert_eq!(records.outcomes.len() + missing.len(), 6);
    assert!(!missing.is_empty());
    let merged = merge(&parts, &at("merged"), None).unwrap();
    assert!(merged.missing.is_empty() && merged.others.is_empty());
    assert_eq!(timeless(&merged.records.outcomes), timeless(&whole.records.outcomes));
    assert_eq!(timeless(&Records::read(&at("merged")).unwrap().outcomes), timeless(&whole.records.outcomes));
    // The merged folder is a sweep's: nothing is left to do in it.
    let again = run(&registry, SWEEP, &at("merged"), None).unwrap();
    assert_eq!(again.records.outcomes, merged.records.outcomes);

    // Another sweep is no part of this one.
    run(&registry, &SWEEP.replace("images = [3]", "images = [2]"), &at("other"), None).unwrap();
    let error = merge(&[parts[0].clone(), at("other")], &at("mixed"), None).unwrap_err().to_string();
    assert!(error.contains("other: expected the sweep of") && !at("mixed").exists(), "{error}");
}

#[test]
fn rows_of_another_number_of_threads_are_named_and_not_measured_again() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    let registry = Registry::default();
    let on = |threads: usize, dir: &Path, shard: Option<&str>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&registry, SWEEP, dir, shard))
    };
    on(1, &at("one"), Some("1/2")).unwrap();
    on(3, &at("three"), Some("2/2")).unwrap();
    let rows = |dir: &str| std::fs::read_dir(at(dir).join("rows")).unwrap().count();
    let (before, of_three) = (rows("one"), rows("three"));
    let error = on(3, &at("one"), None).err().unwrap().to_string();
    assert!(error.contains(&format!("{before} of 6 rows measured with 1; the same number of threads goes on with them")), "{error}");
    assert_eq!(rows("one"), before);
    let merged = merge(&[at("one"), at("three")], &at("merged"), Some(3)).unwrap();
    assert_eq!(
        (merged.records.outcomes.len(), merged.missing.len(), merged.others.into_iter().collect::<Vec<_>>()),
        (of_three, before, vec![(1, before)])
    );
}

/// A scheme, an option and a workload of others: a folder and a line each, one declaration.
#[test]
fn schemes_options_and_workloads_are_added_by_a_line_each() {
    let temp = tempfile::tempdir().unwrap();
    let registry = Registry::with_schemes(&[&pad::Pad]).with_workload(counting::Counting::default());
    let text = r#"
        dataset = "digits"
        [[grid]]
        backend = []
        features = ["pixels"]
        images = [20]
        pad_bits = [40, 50, 62]
        [[counting]]
        upto = [10, 1000]
        [[exclude]]
        reason = "one of three"
        pad_bits = [50]
    "#;
    let ended = run(&registry, text, &temp.path().join("out"), None).unwrap();
    assert!(ended.verified, "{:?}", ended.records.outcomes);
    let specs: Vec<(&str, &str)> = ended.records.outcomes.iter().map(|o| (o.spec.as_str(), o.parameters.as_str())).collect();
    assert_eq!(
        specs,
        [
            ("inference/clear/float/digits/pixels-8-8/offline/20/1", ""),
            ("inference/clear/integer/digits/pixels-8-8/offline/20/1", ""),
            ("inference/pad/40/digits/pixels-8-8/offline/20/1", "pad_bits=40"),
            ("inference/pad/62/digits/pixels-8-8/offline/20/1", "pad_bits=62"),
            ("counting/clear/10", ""),
            ("counting/clear/1000", ""),
        ]
    );
    assert_eq!(registry.parse(specs[2].0).unwrap().values().get("pad_bits"), Some("40"));
    let error = Sweep::parse(&registry, Path::new("x.toml"), "[[grid]]\npad_bits = [63]".into()).unwrap_err().to_string();
    assert!(error.starts_with("x.toml:2: ") && error.contains("grid.pad_bits") && error.contains("8 to 62"), "{error}");
    // Without the line nobody knows them.
    let plain = Registry::default();
    assert!(plain.parse(specs[2].0).is_err() && plain.parse(specs[4].0).is_err());
    assert!(Sweep::parse(&plain, Path::new("x.toml"), text.into()).is_err());
}
