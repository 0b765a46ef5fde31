//! The one rule for what tells rows apart: tables have a column for it, labels and legends say it,
//! captions say what all rows share instead.
//!
//! [`DIMENSIONS`] lists everything in which rows can differ, apart from what was measured. [`varying`] picks from it for a set of rows: what somebody chose
//! (key, threads, network) wherever it differs, and what usually follows from such choices (packing, batch, slots) only where rows could not be told apart
//! without it. So [`labels`] are unique by construction, and no longer than that needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::form::{Column, numbers, words};
use super::row::Row;
use super::spec_text::{Training, paillier_part, part, seed};

/// Something in which rows can differ.
#[derive(Debug)]
pub(crate) struct Dimension {
    /// Head of its column.
    pub name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    number: bool,
    /// Somebody chose it: readers want to see that it differs even where something else tells the
    /// rows apart as well.
    chosen: bool,
    /// Its value; none where it has no meaning for the row.
    pub value: fn(&Row) -> Option<String>,
    /// The value inside a label.
    label: &'static str,
    /// The value in a caption, said of all rows; empty where it goes without saying.
    caption: &'static str,
}

impl Dimension {
    /// Its column in a table.
    pub fn column(&self) -> Column {
        if self.number { numbers(self.name, self.unit, 0, self.meaning) } else { words(self.name, self.unit, self.meaning) }
    }

    /// What a caption says where all rows share `value`; nothing where that goes without saying.
    pub fn said(&self, value: &str) -> Option<String> {
        // A toy is a matter of the key, not of its size.
        let said = match value.split_once(' ') {
            Some((bits, "toy")) => format!("toy {}", self.caption.replace("{}", bits)),
            _ => self.caption.replace("{}", value),
        };
        (!self.caption.is_empty() && value != "none").then_some(said)
    }
}

/// A dimension that is listed for its value alone.
const fn dimension(name: &'static str, meaning: &'static str, value: fn(&Row) -> Option<String>) -> Dimension {
    Dimension { name, unit: "", meaning, number: false, chosen: true, value, label: "{}", caption: "{}" }
}

/// Names of dimensions that figures put into headings or on axes.
pub(crate) const KEY: &str = "key";
const PACKING: &str = "img";

/// Everything in which rows can differ, in the order in which it is said.
pub(crate) static DIMENSIONS: [Dimension; 34] = [
    dimension("workload", "what is computed", |r| Some(r.outcome.workload.clone())),
    dimension("dataset", "what is classified or learnt", |r| Some(r.outcome.dataset.clone())),
    dimension("features", "public feature map", |r| Some(r.outcome.features.clone())),
    dimension("scenario", "offline (full batches) or single (one image at a time)", |r| Some(r.outcome.scenario.clone())),
    Dimension {
        chosen: false,
        ..dimension("division", "closed (all encrypted), open (features in clear) or unsound (known to be broken)", |r| {
            Some(r.outcome.division.clone()).filter(|d| !d.is_empty())
        })
    },
    dimension("scheme", "how the data is protected; clear: not at all", |r| Some(r.outcome.scheme.clone())),
    dimension("backend", "what does the arithmetic; * marks a software adapter", |r| {
        Some(format!("{}{}", r.outcome.backend, if r.software { "*" } else { "" }))
    }),
    dimension("method", "how the encrypted product is planned; of smlp, how signs are compared", |r| {
        Some(r.outcome.method.clone()).filter(|m| !m.is_empty())
    }),
    Dimension {
        caption: "{} encryption",
        ..dimension("encr.", "how the randomisers of ciphertexts are made", |r| {
            Some(r.outcome.encryption.clone()).filter(|e| !r.is_clear() && !e.is_empty() && e != "none")
        })
    },
    Dimension {
        unit: "bits",
        number: true,
        label: "{} bit",
        caption: "{}-bit key",
        ..dimension(KEY, "bits of the modulus n; toy: under 2048, protects nothing", |r| {
            r.outcome.key_bits.map(|bits| if r.toy { format!("{bits} toy") } else { bits.to_string() })
        })
    },
    Dimension { caption: "network {}", ..dimension("network", "widths of the layers", |r| Training::of(&r.outcome).map(|t| t.network.to_owned())) },
    Dimension {
        chosen: false,
        label: "model {}",
        caption: "",
        ..dimension("model", "first digits of the SHA-256 of the model", |r| digits(&r.outcome.model_sha256))
    },
    Dimension {
        chosen: false,
        label: "data {}",
        caption: "",
        ..dimension("data", "first digits of the SHA-256 of the images", |r| digits(&r.outcome.dataset_sha256))
    },
    Dimension {
        unit: "/ct",
        number: true,
        chosen: false,
        label: "{}/ct",
        caption: "{} images per ciphertext",
        ..dimension(PACKING, "images that share a ciphertext, or inputs of one image that do", packing)
    },
    // Of rows that are still to be measured only the choice is known.
    Dimension {
        chosen: false,
        label: "packing {}",
        caption: "",
        ..dimension("packing", "what was asked to share a ciphertext", |r| paillier_part(&r.outcome, 4).map(str::to_owned))
    },
    Dimension {
        chosen: false,
        number: true,
        label: "{}-bit features",
        caption: "",
        ..dimension("x", "bits of a feature", |r| r.outcome.feature_bits.map(|b| b.to_string()))
    },
    Dimension {
        chosen: false,
        number: true,
        label: "{}-bit weights",
        caption: "",
        ..dimension("w", "bits of a weight, sign included", |r| r.outcome.weight_bits.map(|b| b.to_string()))
    },
    Dimension {
        chosen: false,
        number: true,
        label: "{}-bit slots",
        caption: "",
        ..dimension("slot", "bits of a slot, sign included", |r| r.outcome.slot_bits.map(|b| b.to_string()))
    },
    Dimension {
        chosen: false,
        label: "beside {} bits",
        caption: "",
        ..dimension("beside", "bits of features and weights of the integers that a row in f32 stands beside", beside)
    },
    Dimension {
        label: "ahead: {}",
        caption: "randomisers ahead: {}",
        ..dimension("ahead", "who makes randomisers ahead of the images: none, server, both", |r| r.outcome.parameter("pool").map(str::to_owned))
    },
    Dimension {
        label: "{} re-rand.",
        caption: "{} re-randomisation",
        ..dimension("server", "how the server re-randomises results: auto, bases (its own), standard (r^n)", |r| {
            r.outcome.parameter("rerandomisation").map(str::to_owned)
        })
    },
    Dimension {
        number: true,
        label: "{} threads",
        caption: "{} threads",
        ..dimension("threads", "threads of the pool", |r| Some(r.outcome.threads.to_string()))
    },
    Dimension {
        number: true,
        chosen: false,
        label: "batches of {}",
        caption: "",
        ..dimension("batch", "images worked on at once; records of a mini-batch", |r| {
            r.outcome.batch.map(|b| b.to_string()).or_else(|| part(&r.outcome, "batch-"))
        })
    },
    Dimension {
        number: true,
        chosen: false,
        label: "{} images",
        caption: "{} images",
        ..dimension("images", "images classified for the accuracy; of a training the records that it learns from", |r| {
            r.outcome.error.is_none().then(|| r.outcome.images.to_string())
        })
    },
    Dimension {
        number: true,
        chosen: false,
        label: "{} epochs",
        caption: "",
        ..dimension("epochs", "passes over the records", |r| Training::of(&r.outcome).map(|t| t.epochs.to_owned()))
    },
    Dimension {
        number: true,
        chosen: false,
        label: "{} steps",
        caption: "",
        ..dimension("steps", "mini-batches after which a training stops", |r| part(&r.outcome, "steps-"))
    },
    Dimension {
        chosen: false,
        ..dimension("recipe", "step size, momentum and scales of a training", |r| Training::of(&r.outcome).map(|t| t.recipe.to_owned()))
    },
    Dimension {
        number: true,
        chosen: false,
        label: "seed {}",
        caption: "",
        ..dimension("seed", "seed of keys and randomisers", |r| seed(&r.outcome).map(str::to_owned))
    },
    Dimension {
        number: true,
        unit: "MiB",
        chosen: false,
        label: "{} MiB tables",
        caption: "",
        ..dimension("tables", "most memory of the tables of each side", |r| paillier_part(&r.outcome, 6).map(str::to_owned))
    },
    Dimension { chosen: false, caption: "", ..dimension("device", "what did the arithmetic", |r| Some(r.outcome.adapter.clone())) },
    Dimension {
        chosen: false,
        label: "revision {}",
        caption: "",
        ..dimension("revision", "commit of the program", |r| Some(r.outcome.revision.clone()))
    },
    Dimension { chosen: false, label: "run {}", caption: "", ..dimension("run", "the process that measured", |r| Some(r.outcome.run_id.clone())) },
    Dimension { chosen: false, label: "row {}", caption: "", ..dimension("row", "identity of the row", |r| Some(r.outcome.row_id.clone())) },
    Dimension { chosen: false, caption: "", ..dimension("spec", "the spec", |r| Some(r.outcome.spec.clone())) },
];

/// As much of a digest as tells a few apart; nothing of one that is not known.
fn digits(digest: &str) -> Option<String> {
    digest.get(..8).map(str::to_owned)
}

/// Values that share a ciphertext.
fn packing(row: &Row) -> Option<String> {
    match row.outcome.inputs_per_ciphertext {
        _ if row.is_clear() || row.outcome.key_bits.is_none() && row.outcome.scheme == "smlp" => None,
        Some(inputs) if inputs > 1 => Some(format!("{inputs} inputs")),
        _ => Some(row.outcome.packing.to_string()),
    }
}

/// The precision in the spec of a row in f32, which has no use for it.
fn beside(row: &Row) -> Option<String> {
    let o = &row.outcome;
    let bits = o.spec.split('/').find_map(|part| part.strip_prefix(o.features.as_str())?.strip_prefix('-'));
    bits.filter(|_| o.method == "float").map(str::to_owned)
}

/// A dimension that tells rows apart, and of which rows it must be said.
pub(crate) struct Varying {
    /// Which.
    pub dimension: &'static Dimension,
    /// Of each row: whether its name needs it.
    needed: Vec<bool>,
}

/// What tells these rows apart, in the order of [`DIMENSIONS`]; `except` is said elsewhere.
pub(crate) fn varying(rows: &[&Row], except: &[&str]) -> Vec<Varying> {
    // Rows of one class cannot be told apart by what was taken so far.
    let mut classes = vec![0; rows.len()];
    let mut taken: Vec<(usize, Varying)> = Vec::new();
    let all = || DIMENSIONS.iter().enumerate().filter(|(_, d)| !except.contains(&d.name));
    // Choices first: what follows from them then has nothing left to tell.
    for (at, dimension) in all().filter(|(_, d)| d.chosen).chain(all().filter(|(_, d)| !d.chosen)) {
        let values: Vec<Option<String>> = rows.iter().map(|row| (dimension.value)(row)).collect();
        let mut within: BTreeMap<usize, BTreeSet<&Option<String>>> = BTreeMap::new();
        classes.iter().zip(&values).for_each(|(class, value)| _ = within.entry(*class).or_default().insert(value));
        let differs = values.iter().flatten().collect::<BTreeSet<_>>().len() > 1;
        let splits = |class: &usize| within.get(class).is_some_and(|values| values.len() > 1);
        let needed: Vec<bool> = classes.iter().map(|class| if dimension.chosen { differs } else { splits(class) }).collect();
        if needed.contains(&true) {
            let mut known: BTreeMap<(usize, &Option<String>), usize> = BTreeMap::new();
            for (class, value) in classes.iter_mut().zip(&values) {
                let next = known.len();
                *class = *known.entry((*class, value)).or_insert(next);
            }
            taken.push((at, Varying { dimension, needed }));
        }
    }
    taken.sort_by_key(|(at, _)| *at);
    taken.into_iter().map(|(_, varying)| varying).collect()
}

/// What of the key belongs to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Key and packing.
    Whole,
    /// The packing: a heading says the key.
    WithinKey,
    /// Neither: an axis shows the key, and the packing usually follows from it.
    OverKeys,
}

/// Names for rows that stand side by side, no two of them equal: what they share is left out, what
/// tells them apart is said.
///
/// What a reader must not overlook (toy key, software adapter, open division, failed verification)
/// is always part of the name, unless `naming` says that the key stands elsewhere.
pub(crate) fn labels(rows: &[&Row], naming: Naming) -> Vec<String> {
    let except: &[&str] = if naming == Naming::Whole { &[] } else { &[KEY] };
    let varying = varying(rows, except);
    let varies = |name: &str| varying.iter().any(|v| v.dimension.name == name);
    // Of plaintext the backend is said only where there are several.
    let schemes = rows.iter().filter(|r| !r.is_clear()).map(|r| r.outcome.scheme.as_str()).collect::<BTreeSet<_>>().len() > 1;
    let clear = rows.iter().filter(|r| r.is_clear()).map(|r| r.outcome.backend.as_str()).collect::<BTreeSet<_>>().len() > 1;
    let mut labels: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let o = &row.outcome;
            let mut parts: Vec<String> = Vec::new();
            if row.is_clear() {
                parts.push("plaintext".into());
                parts.extend(clear.then(|| o.backend.clone()));
                parts.push(o.method.clone());
            } else {
                parts.extend(schemes.then(|| o.scheme.clone()));
                parts.push(o.backend.clone());
                parts.extend(row.software.then(|| "(software)".into()));
                parts.extend((o.method != o.backend).then(|| o.method.clone()));
            }
            // The system has been said; key and packing follow it, then the rest.
            let order = |d: &Dimension| !["encr.", KEY, PACKING].contains(&d.name);
            let is_said = |name: &str| ["scheme", "backend", "method", "division"].contains(&name);
            let needed = varying.iter().filter(|v| v.needed.get(at) == Some(&true)).map(|v| v.dimension);
            let mut more: Vec<&Dimension> = needed.filter(|d| !is_said(d.name)).collect();
            more.sort_by_key(|d| order(d));
            for d in more {
                let Some(value) = (d.value)(row) else { continue };
                parts.push(match (d.name, value.split_once(' ')) {
                    (PACKING, _) if naming == Naming::OverKeys => if value == "1" { "unpacked" } else { "packed" }.into(),
                    (KEY, Some((bits, toy))) => format!("{} {toy}", d.label.replace("{}", bits)),
                    _ if d.number && value == "1" => d.label.replace("{}", &value).trim_end_matches('s').to_owned(),
                    _ => d.label.replace("{}", &value),
                });
            }
            if naming == Naming::Whole && row.toy && !varies(KEY) {
                parts.push(format!("{} bit toy", o.key_bits.unwrap_or(0)));
            }
            parts.extend((o.division != "closed" && !row.is_clear()).then(|| o.division.clone()));
            parts.extend((!o.verified && o.error.is_none()).then(|| "unverified".into()));
            parts.retain(|part| !part.is_empty());
            parts.join(" ")
        })
        .collect();
    // Two rows that agree in every dimension are one row twice; a figure may still show both.
    let mut seen: HashMap<String, usize> = HashMap::new();
    for label in &mut labels {
        let count = seen.entry(label.clone()).or_default();
        *count += 1;
        if *count > 1 {
            *label = format!("{label} #{count}");
        }
    }
    labels
}
