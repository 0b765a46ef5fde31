//! Specs keep their texts and their identities: what was published means today what it meant then.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test ends at the first error")]

use std::collections::HashMap;
use std::path::Path;

use cipherlane::control::Control;
use cipherlane::dataset::digits;
use cipherlane::description::Description;
use cipherlane::measure::{Benches, definition};
use cipherlane::sweep::all_shipped;
use cipherlane::workload::registry::Registry;
use cipherlane::workload::{Means, Models, Sampling, Source};

const SAMPLING: Sampling = Sampling { warm_up_ms: 200, least_ms: 1000, least_samples: 10, most_ms: 60_000 };
const MNIST: &str = "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7";

fn vectors(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)).unwrap()
}

/// The texts and definitions of before, made by the program of before.
#[test]
fn published_specs_keep_their_texts_and_definitions() {
    let registry = Registry::default();
    let data = Description { dataset: "mnist".into(), dataset_sha256: MNIST.into(), ..Description::default() };
    let source = Source { data, seed: 1, ..Source::default() };
    let means = Means { images: digits::test().unwrap(), models: Models::new(), source, allow_toy: true, control: Control::default() };
    let mut benches = Benches::new(&registry, means);
    let text = vectors("specs.txt");
    let mut count = 0;
    for (expected, text) in text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' ')) {
        let spec = registry.parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(spec.to_string(), text);
        assert_eq!(definition(benches.of(&registry, &spec).unwrap(), &spec, SAMPLING), expected, "{text}");
        count += 1;
    }
    assert!(count > 400, "{count}");
}

#[derive(serde::Deserialize)]
struct Plan {
    rows: Vec<String>,
    excluded: Vec<usize>,
    repeated: usize,
}

/// The rows of the sweeps that come with the program, in their order. On another machine more
/// backends may be there.
#[test]
fn shipped_sweeps_keep_their_rows_and_their_order() {
    let registry = Registry::default();
    let plans: HashMap<String, Plan> = serde_json::from_str(&vectors("plans.json")).unwrap();
    let sweeps = all_shipped(&registry).unwrap();
    assert_eq!(sweeps.len(), plans.len());
    for (name, sweep) in sweeps {
        let images = if sweep.dataset.to_string() == "digits" { 599 } else { 10_000 };
        let dataset = if images == 599 { "digits" } else { "mnist" };
        let plan = sweep.plan(&registry, dataset, images).unwrap();
        let everywhere = |text: &&String| !text.contains("paillier/ifma/") && !text.contains("paillier/gpu/");
        let rows: Vec<String> = plan.specs.iter().map(|spec| spec.to_string().replace("smlp/ifma/", "smlp/gmp/")).collect();
        let Plan { rows: expected, excluded, repeated } = &plans[name];
        assert_eq!(rows.iter().filter(everywhere).collect::<Vec<_>>(), expected.iter().filter(everywhere).collect::<Vec<_>>(), "{name}");
        if rows.len() == expected.len() {
            assert_eq!(plan.excluded.iter().map(|rule| rule.count).collect::<Vec<_>>(), *excluded, "{name}");
            assert_eq!(plan.repeated, *repeated, "{name}");
        }
    }
}

#[test]
fn texts_that_are_no_specs_are_refused() {
    let registry = Registry::default();
    let text = "inference/paillier/gmp/2048/buckets/owner/78/bases/64/mnist/gradients-4-5/offline/10000/1";
    assert_eq!(registry.parse(text).unwrap().values().get("packing"), Some("78"));
    for good in [format!("{text}/batch-9"), format!("{text}/threads-2/pool-both"), format!("{text}/batch-9/threads-2")] {
        assert_eq!(registry.parse(&good).unwrap().to_string(), good);
    }
    for bad in [
        "",
        "inference",
        "training/x",
        "nothing/clear/float/mnist/pixels-8-8/offline/1/1",
        "inference/eivhe/nobody/switch/mnist/pixels-8-8/offline/1/1",
        &text.replace("owner", "nobody"),
        &text.replace("/1", ""),
        &text.replace("-4-5", "-4"),
        &text.replace("-4-5", "-4-5-6"),
        &text.replace("gmp", "all"),
        &text.replace("10000", "all"),
        &format!("{text}/batch-0"),
        &format!("{text}/batch-auto"),
        &format!("{text}/threads-2/batch-9"),
        &format!("{text}/pool-nobody"),
        &format!("{text}/pool-none"),
    ] {
        assert!(registry.parse(bad).is_err(), "{bad}");
    }
}
