//! The declaration of trainings, and what a spec says of one.

use std::sync::LazyLock;

use super::recipe::{Course, course};
use super::{Data, Protection, Recipe, Spec, Widths};
use crate::error::Result;
use crate::scheme::backends::ONE_BACKEND;
use crate::scheme::paillier::linear::KEY_BITS;
use crate::scheme::smlp::Comparison;
use crate::spec::{self, Choice, Form, Kind, Values, as_word, number, whole};
use crate::text::named;
use crate::workload::sampling::THREADS;

/// The course of a dataset where nothing else is named.
fn default_course(values: &Values) -> Result<Course> {
    let network = values.get("network").map(str::parse::<Widths>).transpose()?;
    Ok(course(values.read("data")?, network.as_ref()))
}

/// A value of the default course in place of `auto`.
fn or_default(word: &str, values: &Values, of: fn(Course) -> String) -> Result<Vec<String>> {
    Ok(vec![if word == "auto" { of(default_course(values)?) } else { word.into() }])
}

static OUTER: [Choice; 2] = [
    Choice {
        default: &["xor"],
        is_needed: true,
        ..Choice::new(
            "data",
            Form::Segment,
            as_word::<Data>,
            "What is learnt: xor, parity-K (K from 2 to 6), digits, mnist, mnist-heldout (the last 10,000 training images as test set)",
        )
    },
    Choice {
        value_name: "WIDTHS",
        default: &["auto"],
        stand_ins: &["auto"],
        expand: |word, values, _| or_default(word, values, |course| course.network.to_string()),
        ..Choice::new(
            "network",
            Form::Segment,
            |word| if word == "auto" { Ok(word.into()) } else { as_word::<Widths>(word) },
            "Widths from input to output, as 2-10-2 [default: that of the data]",
        )
    },
];

static INNER: [Choice; 7] = [
    Choice {
        default: &["auto"],
        stand_ins: &["auto"],
        expand: |word, values, _| or_default(word, values, |course| course.recipe.to_string()),
        ..Choice::new(
            "recipe",
            Form::Segment,
            |word| if word == "auto" { Ok(word.into()) } else { as_word::<Recipe>(word) },
            "How the network learns, as q10-f4-step1:8-mu1:2-centred [default: that of the data]",
        )
    },
    Choice {
        value_name: "N",
        default: &["auto"],
        stand_ins: &["auto"],
        expand: |word, values, _| or_default(word, values, |course| course.epochs.to_string()),
        ..Choice::new("epochs", Form::Segment, read_count, "Passes over the records [default: those of the data]")
    },
    Choice {
        value_name: "N",
        default: &["auto"],
        stand_ins: &["auto"],
        expand: |word, values, _| or_default(word, values, |course| course.batch.to_string()),
        ..Choice::new("batch", Form::Segment, read_count, "Records of a mini-batch [default: those of the data]")
    },
    Choice {
        value_name: "N",
        default: &["auto"],
        stand_ins: &["auto"],
        expand: |word, values, _| Ok(vec![if word == "auto" { values.read::<Data>("data")?.records().to_string() } else { word.into() }]),
        ..Choice::new("records", Form::Segment, read_count, "Records from the start of the training set [default: all]")
    },
    Choice::given("seed", whole::<0, { u64::MAX }>, |_, _, setting| Ok(vec![setting.seed.to_string()])),
    Choice {
        value_name: "N",
        default: &["all"],
        ..Choice::new(
            "steps",
            Form::Suffix { prefix: "steps-", unsaid: "all" },
            |word| number::<1, { 1 << 20 }>(word, "all"),
            "Stop after this many mini-batches",
        )
    },
    THREADS,
];

fn read_count(word: &str) -> Result<String> {
    number::<1, { 1 << 20 }>(word, "auto")
}

static RUN: Choice = Choice {
    default: &["float", "simulated", "encrypted"],
    ..Choice::new(
        "run",
        Form::Segment,
        as_word::<Run>,
        "What to run: float (f64 in the clear, without rounding), simulated (the integers of the encrypted run in the clear), encrypted (two servers over Paillier)",
    )
};

named! {
    /// Words for the three ways to run a training.
    enum Run: "run" {
        Float => "float",
        Simulated => "simulated",
        Encrypted => "encrypted",
    }
}

static FLOAT: spec::Protection = spec::Protection { path: "clear/float", selected_by: Some(Run::Float.name()), choices: &[] };
static SIMULATED: spec::Protection = spec::Protection { path: "smlp/simulated", selected_by: Some(Run::Simulated.name()), choices: &[] };
static ENCRYPTED: spec::Protection = spec::Protection {
    path: "smlp",
    selected_by: Some(Run::Encrypted.name()),
    choices: &[
        ONE_BACKEND,
        KEY_BITS,
        Choice {
            default: &["blinded"],
            ..Choice::new(
                "comparison",
                Form::Segment,
                |word| word.parse::<Comparison>().map(|comparison| comparison.name().into()),
                "How signs are compared under encryption: blinded (leaks magnitudes to P2), exact",
            )
        },
    ],
};

/// The declaration of trainings.
pub(super) static KIND: LazyLock<Kind> = LazyLock::new(|| Kind {
    workload: "training",
    table: "training",
    selector: Some(&RUN),
    outer: &OUTER,
    inner: &INNER,
    protections: vec![&FLOAT, &SIMULATED, &ENCRYPTED],
});

impl TryFrom<&spec::Spec> for Spec {
    type Error = crate::error::Error;

    fn try_from(spec: &spec::Spec) -> Result<Self> {
        let values = spec.values();
        let protection = match spec.protection() {
            path if path == FLOAT.path => Protection::Float,
            path if path == SIMULATED.path => Protection::Simulated,
            _ => Protection::Smlp { backend: values.read("backend")?, key_bits: values.read("key_bits")?, comparison: values.read("comparison")? },
        };
        Ok(Self {
            data: values.read("data")?,
            network: values.read("network")?,
            protection,
            recipe: values.read("recipe")?,
            epochs: values.read("epochs")?,
            batch: values.read("batch")?,
            records: values.read("records")?,
            seed: values.read("seed")?,
            steps: values.number("steps"),
            threads: values.number("threads"),
        })
    }
}

impl std::str::FromStr for Spec {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self> {
        KIND.parse(text).and_then(|spec| Self::try_from(&spec))
    }
}
