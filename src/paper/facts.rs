//! What a report says in words: the machine, the rules, the limits, and how to make it again.

use std::collections::BTreeSet;

use super::claims::{State, Verdict};
use super::document::Block;
use super::ingredients::Ingredients;
use super::part::Part;
use crate::report::{Column, Row, Table, digits3, percent, words};

/// What the report comes to, in a few sentences.
pub(super) fn summary(from: &Ingredients<'_>, rows: &[Row]) -> String {
    let encrypted: Vec<&Row> = rows.iter().filter(|r| !r.is_clear()).collect();
    let verified = rows.iter().filter(|r| r.outcome.verified).count();
    let count = |state| from.verdicts.iter().filter(|v| v.state == state).count();
    let mut text = format!(
        "{} rows were measured, {} of them on encrypted images; {verified} were verified: every logit of every batch equals that of the quantised model in the clear. ",
        rows.len(),
        encrypted.len()
    );
    for features in ["pixels", "gradients"] {
        let own = rows.iter().filter(|r| r.outcome.features == features && r.outcome.verified);
        let fast = |r: &&Row| !r.is_clear() && !r.toy && r.outcome.scenario == "offline" && r.images_per_second.is_some();
        let by_speed = |a: &&Row, b: &&Row| a.images_per_second.partial_cmp(&b.images_per_second).unwrap_or(std::cmp::Ordering::Equal);
        let fastest = own.clone().filter(fast).max_by(by_speed);
        // Of the same integers as the fastest row: other precisions have another accuracy.
        let bits = |r: &Row| (r.outcome.feature_bits, r.outcome.weight_bits);
        let is_same = |r: &&Row| r.outcome.method == "integer" && fastest.is_none_or(|fastest| bits(r) == bits(fastest));
        let accuracy = own.filter(is_same).max_by_key(|r| r.outcome.images);
        if let (Some(accuracy), Some(fastest)) = (accuracy.and_then(|r| Some((r.outcome.accuracy?, r.outcome.images))), fastest) {
            let o = &fastest.outcome;
            text += &format!(
                "With {features} of {}, the model is right on {} % of {} images, and the fastest row under a {}-bit key classifies {} encrypted images a second ({}{}, {} threads). ",
                o.dataset,
                percent(accuracy.0, accuracy.1),
                accuracy.1,
                o.key_bits.unwrap_or(0),
                digits3(fastest.images_per_second.unwrap_or(0.0)),
                o.backend,
                if fastest.software { ", a GPU in software" } else { "" },
                o.threads
            );
        }
    }
    text + &format!(
        "Of {} claims {} held, {} failed and {} were not checked.",
        from.verdicts.len(),
        count(State::Held),
        count(State::Failed),
        count(State::NotChecked)
    )
}

/// What is measured and by which rules.
pub(super) fn method(rows: &[Row]) -> Vec<Block> {
    let mut points = vec![
        "A linear classifier (a network with identity activations, collapsed to one matrix and one vector) classifies images that it never sees: the owner of an image encrypts \
         it with Paillier, the owner of the model computes on ciphertexts without any key, and the owner of the image decrypts ten logits."
            .to_owned(),
        "Verify, then time: a row whose results differ anywhere from the quantised model in the clear is an error row without times. Every batch has fresh randomness, and batches of \
         the warm-up leave no times."
            .into(),
        "Times are medians of wall time per image with 95 % bootstrap intervals where there are six samples or more. Throughput (full batches) and latency (one image at a time) are \
         separate rows; key generation, tables and plans are setup and stand apart."
            .into(),
        "Closed division: every pixel encrypted, fresh randomness for every ciphertext, nothing cached between samples. Anything else is open: gradients, a public feature map that \
         the owner of the image computes in clear, is."
            .into(),
        "Keys and randomisers come from a seed, so that ciphertexts can be compared across backends and runs; those keys protect nothing.".into(),
    ];
    let datasets: BTreeSet<&str> = rows.iter().map(|r| r.outcome.dataset.as_str()).collect();
    if datasets.contains("digits") {
        points.push(
            "The digits are the 599 embedded 8x8 test images of UCI's handwritten digits, not MNIST: one image is 0.17 points of accuracy.".into(),
        );
    }
    vec![Block::List(points)]
}

/// A fact of one or several runs.
fn fact(parts: &[Part], key: &str) -> String {
    let text = |value: &toml::Value| match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    };
    let of = |part: &Part| match key.split_once('.') {
        Some((table, key)) => part.run.get(table)?.get(key).map(text),
        None => part.run.get(key).map(text),
    };
    let values: BTreeSet<String> = parts.iter().filter_map(of).filter(|v| !v.is_empty()).collect();
    values.into_iter().collect::<Vec<_>>().join("; ")
}

/// The facts of `run.toml`.
pub(super) fn provenance(parts: &[Part]) -> Table {
    let ends = |key: &str, last: bool| {
        let values: BTreeSet<String> = parts.iter().filter_map(|p| p.run.get(key).map(|v| v.to_string().trim_matches('"').to_owned())).collect();
        let end = if last { values.last() } else { values.first() };
        end.cloned().unwrap_or_default()
    };
    let span = |key: &str| {
        let loads = parts.iter().filter_map(|p| p.run.get(key)).filter_map(|v| v.as_float().or_else(|| v.as_integer().map(|n| n as f64)));
        let (low, high) = loads.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high { String::new() } else { format!("{low} to {high}") }
    };
    let gib = |key: &str| {
        let sizes = fact(parts, key);
        let sizes = sizes.split("; ").filter_map(|bytes| bytes.parse::<f64>().ok());
        sizes.map(|b| format!("{:.1} GiB", b / f64::from(1u32 << 30))).collect::<Vec<_>>().join("; ")
    };
    let memory = match (gib("memory_bytes"), gib("memory_limit_bytes")) {
        (machine, limit) if limit.is_empty() => machine,
        (machine, limit) => format!("{machine}, limited to {limit}"),
    };
    let adapters = |kind: &str| {
        let rows = parts.iter().flat_map(|p| &p.records.outcomes).filter(|o| o.adapter_type == kind).map(|o| o.adapter.clone());
        rows.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
    };
    let publishable = match fact(parts, "publishable").as_str() {
        "true" => "yes".into(),
        _ => match fact(parts, "not_publishable_because") {
            reasons if reasons.is_empty() => "not said".into(),
            reasons => format!("no: {reasons}"),
        },
    };
    let rows: Vec<Vec<String>> = [
        ("processor", fact(parts, "cpu")),
        ("instruction sets", fact(parts, "cpu_features")),
        ("hardware threads", fact(parts, "hardware_threads")),
        ("threads of the pool", fact(parts, "threads")),
        ("memory", memory),
        ("GPU", adapters("gpu")),
        ("GPU in software", adapters("software")),
        ("program", format!("cipherlane {}, revision {}", fact(parts, "version"), fact(parts, "revision"))),
        ("compiler", format!("{}, {}", fact(parts, "compiler"), fact(parts, "build_profile"))),
        ("compiler flags", fact(parts, "compiler_flags")),
        ("target", fact(parts, "target")),
        ("big integers", format!("{}; rug {}", fact(parts, "gmp"), fact(parts, "rug"))),
        ("dataset", fact(parts, "source.dataset")),
        ("SHA-256 of its test images", fact(parts, "source.dataset_sha256")),
        ("seed", fact(parts, "source.seed")),
        ("measured", format!("{} to {}", ends("started", false), ends("finished", true))),
        ("load when sweeps began", span("load_at_start")),
        ("load when they ended", span("load_at_end")),
        ("energy", fact(parts, "energy")),
        ("publishable", publishable),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| vec![name.into(), value])
    .collect();
    Table {
        caption: String::new(),
        columns: vec![words("fact", "", ""), Column { share: 75, ..words("value", "", "") }],
        groups: vec![(String::new(), rows)],
        notes: Vec::new(),
    }
}

/// Every claim in a row.
pub(super) fn claims(verdicts: &[Verdict]) -> Table {
    // Why a claim is open stands in claims.csv at length; here it must fit a page.
    let found = |v: &Verdict| match v.state {
        State::NotChecked => v.actual.split(": ").next().unwrap_or_default().to_owned(),
        State::Held | State::Failed => v.actual.clone(),
    };
    let rows = verdicts.iter().map(|v| vec![v.text.clone(), v.expected.clone(), found(v), v.state.name().to_owned()]);
    Table {
        caption: String::new(),
        columns: vec![
            Column { share: 42, ..words("claim", "", "") },
            Column { share: 20, ..words("expected", "", "") },
            Column { share: 22, ..words("found", "", "") },
            words("state", "", ""),
        ],
        groups: vec![(String::new(), rows.collect())],
        notes: Vec::new(),
    }
}

/// What a reader must not overlook.
pub(super) fn limits(rows: &[Row]) -> Vec<Block> {
    let disturbed = rows.iter().filter(|r| !r.disturbances.is_empty()).count();
    let mut points = vec![
        format!(
            "One machine. {disturbed} of {} rows were disturbed by other processes, the host or the clock; shared or throttled processors move absolute times, ratios within one run travel better.",
            rows.len()
        ),
        "The GMP that comes with the program is a generic one that picks its code by the processor; one built for the processor can be faster.".into(),
        "Naive rows share inversions between weights, which published programs do not: the true baseline is slower.".into(),
        "The linear model was chosen because its encrypted evaluation is exact and non-interactive. A comparison with deep networks compares systems, not models.".into(),
        "The model is not hidden from a client with enough queries, and nothing holds against parties that do not follow the protocol.".into(),
        "2048-bit keys have about 112 bits of security, 3072-bit keys 128 (NIST SP 800-57); none of them resists quantum computers.".into(),
    ];
    if rows.iter().any(|r| r.toy) {
        points.push("Rows marked toy have keys that protect nothing.".into());
    }
    if rows.iter().any(|r| r.software) {
        points.push("Rows marked as software ran a GPU's interface on the processor: they say nothing about GPUs.".into());
    }
    vec![Block::List(points)]
}

/// How to make the report again.
pub(super) fn commands(from: &Ingredients<'_>) -> Vec<Block> {
    let mut lines: Vec<String> = from.parts.iter().map(|part| part.command.clone()).filter(|c| !c.is_empty()).collect();
    lines.dedup();
    vec![
        Block::text("One command makes all of it; each sweep can be run by itself, and the report put together from any results."),
        Block::Commands(std::iter::once(from.command.to_owned()).chain(lines).collect()),
    ]
}
