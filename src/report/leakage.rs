//! Tables of experiments on leakage: what was learnt from ciphertexts, what an attack recovered.

use std::collections::BTreeSet;

use super::form::{Column, Format, Table, numbers, render, words};
use crate::record::leakage::{Experiment, Leak};

/// The rows of an experiment as a table.
#[must_use]
pub fn table(experiment: Experiment, rows: &[Leak], format: Format) -> String {
    render(
        match experiment {
            Experiment::Training => training(rows),
            Experiment::Attack => each(rows, &ATTACK),
            Experiment::Leakage => each(rows, &LEAKAGE),
        },
        format,
    )
}

/// A column with its cell.
struct Shown {
    column: Column,
    cell: fn(&Leak) -> String,
}

const fn word(name: &'static str, cell: fn(&Leak) -> String) -> Shown {
    Shown { column: words(name, "", ""), cell }
}

const fn count(name: &'static str, unit: &'static str, cell: fn(&Leak) -> String) -> Shown {
    Shown { column: numbers(name, unit, 0, ""), cell }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.2}", 100.0 * share))
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

fn seconds(ns: Option<f64>) -> String {
    ns.map_or_else(|| "-".into(), |ns| format!("{:.1}", ns / 1e9))
}

/// Images of the attack that were read to the last pixel.
fn images(share: Option<f64>, row: &Leak) -> String {
    number(share.zip(row.test_images).map(|(share, of)| format!("{:.0} of {of}", share * f64::from(of))))
}

/// Bounds that nobody sets are those of the modulus; in the clear there are none.
fn bound(value: Option<u64>, row: &Leak) -> String {
    value.map_or_else(|| if row.setting == "clear" { "-" } else { "q" }.into(), |b| b.to_string())
}

/// Sizes of the scheme, which both tables show.
const SETTING: Shown = word("setting", |r| r.setting.clone());
const KEY_COLUMNS: Shown = count("k", "", |r| number(r.key_columns));
const A_BOUND: Shown = count("A <", "", |r| bound(r.a_bound, r));
const E_BOUND: Shown = count("E <", "", |r| number(r.e_bound));
const T_BOUND: Shown = count("T <", "", |r| bound(r.t_bound, r));
const MODULUS: Shown = count("q", "bits", |r| number(r.q_bits));

static ATTACK: [Shown; 16] = [
    word("case", |r| r.sweep.clone()),
    SETTING,
    count("numbers", "", |r| r.dimension.to_string()),
    KEY_COLUMNS,
    A_BOUND,
    E_BOUND,
    T_BOUND,
    MODULUS,
    count("samples", "", |r| number(r.attack_samples)),
    count("key", "entries", |r| number(r.key_entries)),
    count("rounded", "%", |r| percent(r.key_rounded)),
    count("recovered", "%", |r| percent(r.key_recovered)),
    count("consistent", "%", |r| percent(r.key_consistent)),
    count("decrypted", "images", |r| images(r.images_recovered, r)),
    count("without key", "images", |r| images(r.images_without_key, r)),
    count("attack", "s", |r| seconds(r.attack_ns.map(|ns| ns as f64))),
];

static LEAKAGE: [Shown; 12] = [
    word("sweep", |r| r.sweep.clone()),
    SETTING,
    KEY_COLUMNS,
    A_BOUND,
    E_BOUND,
    T_BOUND,
    count("w", "bits", |r| number(r.w_bits)),
    MODULUS,
    count("accuracy", "%", |r| percent(r.accuracy)),
    count("key found", "%", |r| percent(r.key_recovered)),
    count("decrypted", "% of images", |r| percent(r.images_recovered)),
    count("by owner", "% of images", |r| percent(r.owner_decrypts)),
];

/// One line per row; columns that no row fills are left out.
fn each(rows: &[Leak], shown: &[Shown]) -> Table {
    let is_filled = |s: &&Shown| rows.iter().any(|row| !["", "-"].contains(&(s.cell)(row).as_str()));
    let shown: Vec<&Shown> = shown.iter().filter(is_filled).collect();
    let filled = |cell: String| if cell.is_empty() { "-".into() } else { cell };
    Table {
        caption: datasets(rows),
        columns: shown.iter().map(|s| s.column.clone()).collect(),
        groups: vec![(String::new(), rows.iter().map(|row| shown.iter().map(|s| filled((s.cell)(row))).collect()).collect())],
        notes: Vec::new(),
    }
}

/// What was learnt from or attacked.
fn datasets(rows: &[Leak]) -> String {
    let names: BTreeSet<&str> = rows.iter().map(|r| r.dataset.as_str()).filter(|name| !name.is_empty()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// One line per setting and network: mean over the seeds, spread, and distance to plaintext.
fn training(rows: &[Leak]) -> Table {
    let mut lines = Vec::new();
    let same = |a: &Leak, b: &Leak| a.dataset == b.dataset && a.setting == b.setting && a.network == b.network;
    for (at, row) in rows.iter().enumerate().filter(|(at, row)| !rows[..*at].iter().any(|other| same(other, row))) {
        let group: Vec<&Leak> = rows[at..].iter().filter(|other| same(other, row)).collect();
        let mean = |value: &dyn Fn(&Leak) -> Option<f64>| {
            let values: Vec<f64> = group.iter().filter_map(|row| value(row)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let ends = group.iter().filter_map(|row| row.accuracy).fold((1f64, 0f64), |(low, high), a| (low.min(a), high.max(a)));
        let plain =
            |own: &Leak| rows.iter().find(|r| r.setting == "clear" && r.network == own.network && r.seed == own.seed).and_then(|r| r.accuracy);
        let distance = mean(&|row| Some(100.0 * (row.accuracy? - plain(row)?)));
        lines.push(vec![
            row.setting.clone(),
            row.network.clone(),
            group.len().to_string(),
            percent(mean(&|row| row.accuracy)),
            percent(Some(ends.0)),
            percent(Some(ends.1)),
            distance.filter(|_| row.setting != "clear").map_or_else(|| "-".into(), |d| format!("{d:+.2}")),
            percent(mean(&|row| row.owner_decrypts)),
            seconds(mean(&|row| row.encrypt_ns.map(|ns| ns as f64))),
            seconds(mean(&|row| row.train_ns.map(|ns| ns as f64))),
        ]);
    }
    Table {
        caption: datasets(rows),
        columns: vec![
            words("setting", "", ""),
            words("network", "", ""),
            numbers("seeds", "", 0, ""),
            numbers("accuracy", "%", 0, ""),
            numbers("least", "%", 0, ""),
            numbers("most", "%", 0, ""),
            numbers("minus plaintext", "points", 0, ""),
            numbers("by owner", "% of images", 0, ""),
            numbers("encrypt", "s", 0, ""),
            numbers("train", "s", 0, ""),
        ],
        groups: vec![(String::new(), lines)],
        notes: vec![
            "accuracy: share of test images classified as labelled by a network that saw ciphertexts only and no key. What it exceeds guessing (10 %) by is leaked."
                .into(),
            "by owner: share of test images that the owner of the key decrypts to the last pixel.".into(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_taken_over_seeds_and_images_are_counted() {
        let base = |setting: &str, seed, accuracy| Leak {
            setting: setting.into(),
            network: "softmax".into(),
            seed,
            accuracy: Some(accuracy),
            ..Leak::default()
        };
        let rows = [base("clear", 1, 0.9), base("absolute", 1, 0.8), base("clear", 2, 0.92), base("absolute", 2, 0.85)];
        let text = table(Experiment::Training, &rows, Format::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("91.00") && lines[2].contains("90.00") && lines[2].contains("92.00"), "{text}");
        assert!(lines[3].contains("82.50") && lines[3].contains("-8.50"), "{text}");
        let attacked = Leak { images_recovered: Some(0.5), test_images: Some(10), key_recovered: Some(1.0), ..base("lwe", 1, 0.1) };
        assert!(table(Experiment::Attack, std::slice::from_ref(&attacked), Format::Text).contains("5 of 10"));
        assert!(table(Experiment::Leakage, &[attacked], Format::Csv).contains("50.00"));
    }
}
