//! A scheme, an option of it and a workload that the library does not have, added without a change
//! to it: each is declared in a file of its own and named once in `registry`.
//!
//! `cargo run --release --example additions -- DIR` measures both into the folder DIR.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod counting;
mod pad;

use std::path::{Path, PathBuf};

use cipherlane::control::Control;
use cipherlane::dataset::Dataset;
use cipherlane::error::Result;
use cipherlane::features::FeatureMap;
use cipherlane::measure::{Benches, SweepRun};
use cipherlane::model;
use cipherlane::report::{self, Format};
use cipherlane::sweep::Sweep;
use cipherlane::workload::registry::Registry;
use cipherlane::workload::{Means, Models, Source};

/// The one line for each.
fn registry() -> Registry {
    Registry::with_schemes(&[&pad::Pad]).with_workload(counting::Counting::default())
}

const SWEEP: &str = r#"
question = "What do an owner's pads cost beside plaintext?"
dataset = "digits"

[sampling]
warm_up_seconds = 0
min_seconds = 0
min_samples = 3

[[grid]]
backend = []
features = ["pixels"]
pad_bits = [40, 62]

[[counting]]
upto = [10, 1000]
"#;

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).map_or_else(|| PathBuf::from("results/additions-local"), PathBuf::from);
    let registry = registry();
    let sweep = Sweep::parse(&registry, Path::new("additions.toml"), SWEEP.into())?;
    let dataset = Dataset::digits("embedded".into())?;
    let models = Models::from([(FeatureMap::Pixels, model::embedded("digits", FeatureMap::Pixels)?)]);
    let source = Source::new(dataset.description(), &models, sweep.seed);
    let means = Means { images: dataset.test.clone(), models, source, allow_toy: sweep.toy, control: Control::default() };
    let mut benches = Benches::new(&registry, means);
    let run = SweepRun::new(&registry, sweep, dir, &dataset, &mut benches, None)?;
    let ended = run.run(&mut benches, false, &mut ())?;
    println!("{}", report::table(&ended.records, Format::Text));
    Ok(())
}
