//! `compare`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::terminal::{out, out_json};
use crate::error::{Error, Result};
use crate::record::{OUTCOMES, Records};
use crate::report::compare::{Comparison, Pair, THRESHOLD, Verdict, compare as compare_records};

/// Options of `compare`.
#[derive(Args, Clone, Debug)]
pub(super) struct CompareArgs {
    /// Results folder before
    first: PathBuf,
    /// Results folder after
    second: PathBuf,
    /// Differences of medians up to this many percent count as equal
    #[arg(long, default_value_t = 100.0 * THRESHOLD, value_name = "PERCENT")]
    threshold: f64,
}

/// Exit status of `compare` when something changed.
const CHANGED: u8 = 3;

/// The records of a folder that has some.
pub(super) fn read_rows(dir: &Path) -> Result<Records> {
    let records = Records::read(dir)?;
    if records.outcomes.is_empty() { Err(Error::file(&dir.join(OUTCOMES), "rows of results", "none")) } else { Ok(records) }
}

/// Says what changed between two results folders beyond noise.
pub(super) fn compare(args: &CompareArgs, json: bool) -> Result<ExitCode> {
    if !(0.0..=1000.0).contains(&args.threshold) {
        return Err(Error::range("--threshold", &args.threshold, "0 to 1000 percent"));
    }
    let comparison = compare_records(&read_rows(&args.first)?, &read_rows(&args.second)?, args.threshold / 100.0);
    if json {
        out_json(&serde_json::to_value(&comparison).map_err(|e| Error::unsupported("JSON", e.to_string()))?);
    } else {
        out(&comparison_text(&comparison));
    }
    Ok(if comparison.is_changed() { ExitCode::from(CHANGED) } else { ExitCode::SUCCESS })
}

fn comparison_text(comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut section = |verdict: Verdict, title: &str| {
        let pairs: Vec<&Pair> = comparison.pairs.iter().filter(|pair| pair.verdict == verdict).collect();
        if !pairs.is_empty() {
            text += &format!("{title}:\n");
            pairs.iter().for_each(|pair| text += &format!("  {}\n", pair_text(pair)));
        }
    };
    section(Verdict::Different, "different results");
    section(Verdict::Slower, "slower");
    section(Verdict::Faster, "faster");
    section(Verdict::Undecided, "undecided: too few or too short samples, or a disturbed machine");
    for (title, specs) in [("only in the first", &comparison.only_first), ("only in the second", &comparison.only_second)] {
        if !specs.is_empty() {
            text += &format!("{title}:\n");
            specs.iter().for_each(|spec| text += &format!("  {spec}\n"));
        }
    }
    comparison.notes.iter().for_each(|line| text += &format!("note: {line}\n"));
    let changed = if comparison.is_changed() { "changed" } else { "no change beyond noise" };
    text += &format!(
        "{changed}: {} rows compared, {} slower, {} faster, {} different, {} undecided, {} unchanged (threshold {:.3} %, 5 % chance of any false change)\n",
        comparison.pairs.len(),
        comparison.count(Verdict::Slower),
        comparison.count(Verdict::Faster),
        comparison.count(Verdict::Different),
        comparison.count(Verdict::Undecided),
        comparison.count(Verdict::Unchanged),
        100.0 * comparison.threshold
    );
    text
}

fn pair_text(pair: &Pair) -> String {
    let mut parts = vec![pair.spec.clone()];
    parts.extend(pair.differences.iter().cloned());
    if let (Some((a, b)), Some(ratio)) = (pair.median_ns, pair.ratio) {
        let interval =
            pair.interval.map_or_else(String::new, |(low, high)| format!(", 95 % {:+.1} to {:+.1} %", 100.0 * (low - 1.0), 100.0 * (high - 1.0)));
        parts.push(format!("{:.4} to {:.4} ms per image, {:+.1} %{interval}", a / 1e6, b / 1e6, 100.0 * (ratio - 1.0)));
        parts.extend(pair.cpu_ratio.map(|ratio| format!("processor time {:+.1} %", 100.0 * (ratio - 1.0))));
        parts.extend(pair.p.zip(pair.effect).map(|(p, effect)| format!("p {p:.4}, effect {effect:+.2}")));
        parts.push(format!("{} and {} samples", pair.samples.0, pair.samples.1));
    }
    parts.join("; ")
}
