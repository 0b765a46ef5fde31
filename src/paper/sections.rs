//! What each question of the sweeps gets: its figures, and a table with the columns that answer it.

use std::collections::BTreeSet;

use super::document::{Block, Exhibit};
use super::part::{Figure, Part, Wanted};
use crate::record::Stage;
use crate::report::{Column, DIMENSIONS, Row, Table, UNEVEN, derive, digits3, numbers, percent, varying, words};

/// A question that is known: the sweep's name, a title, figures with captions, columns of the table.
struct Known {
    sweep: &'static str,
    title: &'static str,
    figures: &'static [(&'static str, &'static str)],
    columns: &'static [&'static str],
}

/// The questions in the order of the report.
const KNOWN: [Known; 9] = [
    Known {
        sweep: "main",
        title: "The main job",
        figures: &[("stages", "Where the online time goes, stage by stage.")],
        columns: &["system", "key", "img", "acc", "agree", "encrypt", "evaluate", "decrypt", "total", "95 %", "img/s", "up", "down", "ok"],
    },
    Known {
        sweep: "key-sizes",
        title: "Key sizes and backends",
        figures: &[("throughput", "Throughput of full batches against the size of the key.")],
        columns: &["system", "key", "img", "images", "agree", "encrypt", "evaluate", "decrypt", "total", "95 %", "img/s", "up", "down", "ok"],
    },
    Known {
        sweep: "methods",
        title: "Plans of the encrypted product",
        figures: &[
            ("speedup-naive", "Speed-up over one power per weight, for the encrypted product alone and for the whole."),
            ("bound", "How near the encrypted product comes to the hardware's bound."),
        ],
        columns: &["system", "method", "ahead", "key", "products", "evaluate", "total", "95 %", "vs naive:evaluate", "vs naive:all", "bound", "ok"],
    },
    Known {
        sweep: "encryption",
        title: "Ways to make randomisers",
        figures: &[],
        columns: &["system", "key", "encr.", "server", "encrypt", "evaluate", "decrypt", "total", "95 %", "img/s", "setup", "ok"],
    },
    Known {
        sweep: "latency",
        title: "One image at a time",
        figures: &[("latency", "Time from image to class, one image at a time.")],
        columns: &["system", "key", "img", "encrypt", "evaluate", "decrypt", "total", "95 %", "p90", "up", "down", "ok"],
    },
    Known {
        sweep: "packing",
        title: "Images that share a ciphertext",
        figures: &[("packing", "Throughput against the number of images that share a ciphertext.")],
        columns: &["system", "key", "img", "encrypt", "evaluate", "decrypt", "total", "img/s", "up", "down", "ok"],
    },
    Known {
        sweep: "threads",
        title: "Threads",
        figures: &[("threads", "Throughput against the number of threads.")],
        columns: &["system", "key", "threads", "encrypt", "evaluate", "decrypt", "total", "95 %", "img/s", "ok"],
    },
    Known {
        sweep: "batch",
        title: "Images worked on at once",
        figures: &[("batch", "Throughput against the number of images worked on at once.")],
        columns: &["system", "key", "batch", "encrypt", "evaluate", "decrypt", "total", "img/s", "ok"],
    },
    Known {
        sweep: "accuracy",
        title: "Accuracy and the width of a slot",
        figures: &[("slots", "Accuracy against the width of a slot: what a given number of images per ciphertext costs.")],
        columns: &["slot", "features", "weights", "acc", "loss", "ok"],
    },
];

/// What a sweep gets that is not among them.
const OTHER: Known = Known {
    sweep: "",
    title: "",
    figures: &[("stages", "Where the online time goes, stage by stage.")],
    columns: &[
        "system", "method", "key", "img", "threads", "acc", "agree", "encrypt", "evaluate", "decrypt", "total", "95 %", "img/s", "up", "down", "ok",
    ],
};

fn known(part: &Part) -> &'static Known {
    KNOWN.iter().find(|known| known.sweep == part.name).unwrap_or(&OTHER)
}

/// Sorts parts into the order of the report, the unknown ones last by name, and says which figures are wanted.
#[must_use]
pub fn outline(parts: &mut [Part]) -> Vec<Wanted> {
    parts.sort_by_key(|part| (KNOWN.iter().position(|known| known.sweep == part.name).unwrap_or(KNOWN.len()), part.name.clone()));
    let mut wanted: Vec<Wanted> = Vec::new();
    for part in parts.iter() {
        for (figure, caption) in known(part).figures {
            let name = if wanted.iter().any(|w| w.name == *figure) || known(part).sweep.is_empty() {
                format!("{}-{figure}", part.name)
            } else {
                (*figure).into()
            };
            wanted.push(Wanted { part: Some(part.name.clone()), figure, name, caption, command: format!("cipherlane plot {}", part.folder) });
        }
    }
    let caption = "Accuracy against throughput, measured here and as published.";
    wanted.push(Wanted { part: None, figure: "front", name: "front".into(), caption, command: String::new() });
    wanted
}

/// A figure that belongs to all parts, or a word on why it is not there.
pub(super) fn figures(name: &str, figures: &[Figure], blocks: &mut Vec<Block>) {
    figures.iter().filter(|f| f.wanted.name == name).for_each(|figure| blocks.push(shown(figure)));
}

fn shown(Figure { wanted, left_out }: &Figure) -> Block {
    match left_out {
        None => Block::Figure(Exhibit { name: wanted.name.clone(), caption: wanted.caption.into(), command: wanted.command.clone() }),
        Some(reason) => Block::text(format!("The figure {} is left out: {reason}.", wanted.name)),
    }
}

/// The section of a part.
pub(super) fn section(part: &Part, figures: &[Figure], blocks: &mut Vec<Block>) {
    let known = known(part);
    let rows = derive(&part.records);
    blocks.push(Block::heading(if known.title.is_empty() { part.name.clone() } else { known.title.into() }));
    let mut text = part.question.clone();
    if !part.expected.is_empty() {
        text += &format!(" Expected before measuring, on the machine that the sweep was written for: {}", part.expected);
    }
    let failed = rows.iter().filter(|r| r.outcome.error.is_some()).count();
    let disturbed = rows.iter().filter(|r| !r.disturbances.is_empty()).count();
    text += &format!(" Measured: {} rows, {failed} of them failed; {disturbed} on a disturbed machine, whose times may be too long.", rows.len());
    blocks.push(Block::text(text.trim()));
    figures.iter().filter(|f| f.wanted.part.as_ref() == Some(&part.name)).for_each(|figure| blocks.push(shown(figure)));
    let table = if known.sweep == "accuracy" { slots(&rows) } else { table(&rows, known.columns) };
    let caption = if known.title.is_empty() { part.name.clone() } else { known.title.to_owned() };
    blocks.push(Block::table(&part.name, table, &format!("{caption}."), &part.command));
}

/// A column with what it says of a row. Where all rows that have a value have the same, `said` puts it into the caption in place of the column.
struct Shown {
    key: &'static str,
    column: Column,
    cell: fn(&Row) -> String,
    said: Option<&'static str>,
}

const fn shown_words(name: &'static str, unit: &'static str, cell: fn(&Row) -> String, said: Option<&'static str>) -> Shown {
    Shown { key: name, column: words(name, unit, ""), cell, said }
}

const fn shown_number(name: &'static str, unit: &'static str, cell: fn(&Row) -> String, said: Option<&'static str>) -> Shown {
    Shown { key: name, column: numbers(name, unit, 0, ""), cell, said }
}

const fn keyed(key: &'static str, shown: Shown) -> Shown {
    Shown { key, ..shown }
}

fn number(value: Option<f64>, scale: f64) -> String {
    value.map_or_else(String::new, |v| digits3(v * scale))
}

fn stage(row: &Row, stage: Stage) -> String {
    if row.is_clear() && stage != Stage::Evaluate { String::new() } else { number(row.online_stage_ns(stage), 1e-6) }
}

/// Every column that a table may have beside the dimensions of the rows.
const COLUMNS: [Shown; 19] = [
    shown_words("system", "", system, None),
    shown_number("acc", "%", |r| share(r, r.outcome.accuracy), None),
    shown_number("agree", "%", |r| share(r, r.outcome.agreement), Some("agreement with the quantised plaintext {} %")),
    shown_number("products", "", |r| r.outcome.products.map_or_else(String::new, |p| p.to_string()), None),
    shown_number("offline", "ms", |r| number(r.offline_ns.map(|s| s.median), 1e-6), None),
    shown_number("encrypt", "ms", |r| stage(r, Stage::Encrypt), None),
    shown_number("evaluate", "ms", |r| stage(r, Stage::Evaluate), None),
    shown_number("decrypt", "ms", |r| stage(r, Stage::Decrypt), None),
    shown_number("total", "ms", |r| number(r.online_ns.map(|s| s.median), 1e-6), None),
    shown_number("95 %", "ms", interval, None),
    shown_number("p90", "ms", |r| number(r.latency.map(|l| l.p90_ns), 1e-6), None),
    shown_number("img/s", "", |r| number(r.images_per_second, 1.0) + if r.is_uneven() { "!" } else { "" }, None),
    shown_number("up", "kB", |r| if r.is_clear() { String::new() } else { number(r.bytes_up_per_image, 1e-3) }, None),
    shown_number("down", "kB", |r| if r.is_clear() { String::new() } else { number(r.bytes_down_per_image, 1e-3) }, None),
    keyed("vs naive:evaluate", shown_number("vs naive", "evaluate", |r| number(r.over_naive.and_then(|s| s.evaluate), 1.0), None)),
    keyed("vs naive:all", shown_number("vs naive", "all", |r| number(r.over_naive.map(|s| s.online), 1.0), None)),
    shown_number("bound", "%", |r| number(r.bound_share, 100.0), None),
    shown_number("setup", "s", |r| number(r.setup_ns, 1e-9), None),
    shown_words("ok", "", |r| if r.outcome.verified { "yes".into() } else { "no".into() }, Some("every row verified")),
];

fn system(row: &Row) -> String {
    let o = &row.outcome;
    if row.is_clear() {
        return format!("plaintext {}", o.method);
    }
    let scheme = if o.scheme == "paillier" { String::new() } else { format!("{} ", o.scheme) };
    format!("{scheme}{}{}", o.backend, if row.software { "*" } else { "" })
}

fn share(row: &Row, share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| percent(share, row.outcome.images) + &few(row))
}

/// How many images stand behind a share, where they are few.
fn few(row: &Row) -> String {
    if row.outcome.images < 1000 { format!(" (n={})", row.outcome.images) } else { String::new() }
}

fn interval(row: &Row) -> String {
    row.online_ns.and_then(|s| s.low.zip(s.high)).map_or_else(String::new, |(low, high)| format!("{}..{}", digits3(low * 1e-6), digits3(high * 1e-6)))
}

/// What headings of groups say.
const GROUPED: [&str; 4] = ["dataset", "features", "scenario", "division"];

/// The columns that are named, and where rows differ in something else, a column for it before
/// those that were measured.
fn columns(rows: &[Row], names: &[&'static str]) -> Vec<&'static str> {
    let rows: Vec<&Row> = rows.iter().collect();
    let encrypted: Vec<&Row> = rows.iter().copied().filter(|r| !r.is_clear()).collect();
    // The system is scheme and backend, and in the clear the method.
    let methods = varying(&encrypted, &[]).iter().any(|v| v.dimension.name == "method");
    let is_said = |name: &str| match name {
        "scheme" | "backend" => names.contains(&"system"),
        "method" => names.contains(&"system") && !methods,
        name => GROUPED.contains(&name),
    };
    let more: Vec<&str> = varying(&rows, &[]).iter().map(|v| v.dimension.name).filter(|name| !names.contains(name) && !is_said(name)).collect();
    let measured = names.iter().position(|name| *name != "system" && DIMENSIONS.iter().all(|d| d.name != *name)).unwrap_or(names.len());
    [&names[..measured], &more, &names[measured..]].concat()
}

/// The table of some rows: a group for each feature map and scenario, what all rows share in the caption, failed rows with their reasons below.
pub(super) fn table(rows: &[Row], names: &[&'static str]) -> Table {
    type Cell = Box<dyn Fn(&Row) -> String>;
    type Said = Box<dyn Fn(&str) -> Option<String>>;
    let column = |name: &&str| -> Option<(&'static str, Column, Cell, Said)> {
        if let Some(d) = DIMENSIONS.iter().find(|d| d.name == *name) {
            return Some((d.name, d.column(), Box::new(|row| (d.value)(row).unwrap_or_default()), Box::new(|value| d.said(value))));
        }
        let shown = COLUMNS.iter().find(|c| c.key == *name)?;
        Some((shown.key, shown.column.clone(), Box::new(shown.cell), Box::new(|value| shown.said.map(|said| said.replace("{}", value)))))
    };
    let mut shown: Vec<_> = columns(rows, names).iter().filter_map(column).collect();
    let group = |row: &Row| [&row.outcome.dataset, &row.outcome.features, &row.outcome.scenario, &row.outcome.division].map(String::clone);
    let first = rows.first().map(group).unwrap_or_default();
    let common: Vec<bool> = (0..first.len()).map(|at| rows.iter().all(|row| group(row)[at] == first[at])).collect();
    let title = |row: &Row, shared: bool| {
        let parts = group(row).into_iter().zip(&common).filter(|(_, common)| **common == shared).map(|(part, _)| part);
        parts.collect::<Vec<_>>().join(", ")
    };
    let mut caption: Vec<String> = rows.first().map(|row| title(row, true)).into_iter().filter(|t| !t.is_empty()).collect();
    let good = || rows.iter().filter(|row| row.outcome.error.is_none());
    // Only what is said in words may leave: a number that happens to be equal is still a result.
    shown.retain(|(key, _, cell, said)| {
        let distinct: BTreeSet<String> = good().map(cell).filter(|cell| !cell.is_empty()).collect();
        let shared = distinct.first().filter(|_| distinct.len() == 1 && rows.len() > 1);
        let Some(said) = shared.and_then(|value| said(value)) else { return !distinct.is_empty() || *key == "ok" };
        // A failure needs its column.
        if *key == "ok" && rows.iter().any(|row| !row.outcome.verified || row.outcome.error.is_some()) {
            return true;
        }
        caption.push(said);
        false
    });
    let mut notes = Vec::new();
    let mut failures: Vec<(String, usize)> = Vec::new();
    let mut groups: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    for row in rows {
        let mut cells: Vec<String> = shown.iter().map(|(_, _, cell, _)| cell(row)).map(|c| if c.is_empty() { "-".into() } else { c }).collect();
        if let Some(error) = &row.outcome.error {
            let at = failures.iter().position(|(known, _)| known == error).unwrap_or_else(|| {
                failures.push((error.clone(), 0));
                failures.len() - 1
            });
            failures[at].1 += 1;
            if let Some(last) = cells.last_mut() {
                *last = format!("[{}]", at + 1);
            }
        }
        let title = title(row, false);
        match groups.iter_mut().find(|(known, _)| *known == title) {
            Some((_, rows)) => rows.push(cells),
            None => groups.push((title, vec![cells])),
        }
    }
    notes.extend(failures.iter().enumerate().map(|(at, (error, count))| format!("[{}] {count} failed: {error}", at + 1)));
    if rows.iter().any(|r| r.toy) {
        notes.push("toy: a key under 2048 bits protects nothing; its numbers serve tests and comparisons only".into());
    }
    if rows.iter().any(|r| r.software) {
        notes.push("* a GPU's interface run by the processor in software, not a GPU".into());
    }
    notes.extend(rows.iter().any(Row::is_uneven).then(|| UNEVEN.into()));
    Table { caption: caption.join(", "), columns: shown.into_iter().map(|(_, column, ..)| column).collect(), groups, notes }
}

/// The most accurate precision of each width of a slot, by feature map, beside the same network in f32.
fn slots(rows: &[Row]) -> Table {
    let columns = vec![
        numbers("slot", "bits", 0, ""),
        numbers("features", "bits", 0, ""),
        numbers("weights", "bits", 0, ""),
        numbers("acc", "%", 0, ""),
        numbers("loss", "points", 0, ""),
    ];
    let mut groups: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    let maps: BTreeSet<(&str, &str)> = rows.iter().map(|r| (r.outcome.dataset.as_str(), r.outcome.features.as_str())).collect();
    for (dataset, features) in maps {
        let own = || rows.iter().filter(move |r| r.outcome.dataset == dataset && r.outcome.features == features && r.outcome.verified);
        let float = own().find(|r| r.outcome.method == "float").and_then(|r| r.outcome.accuracy);
        let mut best: Vec<&Row> = Vec::new();
        for row in own().filter(|r| r.outcome.slot_bits.is_some() && r.outcome.method == "integer") {
            match best.iter_mut().find(|b| b.outcome.slot_bits == row.outcome.slot_bits) {
                Some(known) if row.outcome.accuracy > known.outcome.accuracy => *known = row,
                Some(_) => {}
                None => best.push(row),
            }
        }
        best.sort_by_key(|r| r.outcome.slot_bits);
        let cells = best.into_iter().map(|row| {
            let o = &row.outcome;
            let bits = [o.slot_bits, o.feature_bits, o.weight_bits].map(|b| b.map_or_else(|| "-".into(), |b| b.to_string()));
            let loss = float.zip(o.accuracy).map_or_else(|| "-".into(), |(float, own)| format!("{:.2}", 100.0 * (float - own)));
            bits.into_iter().chain([share(row, o.accuracy), loss]).collect()
        });
        let name = float.map_or_else(String::new, |float| format!(", {:.2} % in f32", 100.0 * float));
        groups.push((format!("{dataset}, {features}{name}"), cells.collect()));
    }
    groups.retain(|(_, rows): &(String, Vec<Vec<String>>)| !rows.is_empty());
    Table {
        caption: "the most accurate precision of each width, nothing encrypted: encrypted rows give the same integers".into(),
        columns,
        groups,
        notes: Vec::new(),
    }
}
