//! A workload: the sum of the numbers up to a bound, in the clear. It shows how a workload is added.

use cipherlane::backend::BackendId;
use cipherlane::error::{Error, Result};
use cipherlane::record::{Outcome, Phase, Stage};
use cipherlane::spec::{Choice, Form, Kind, Protection, Spec, whole};
use cipherlane::stopwatch::Stopwatch;
use cipherlane::workload::estimate::{Estimate, Speeds};
use cipherlane::workload::timing::StageTime;
use cipherlane::workload::{Bench, Means, Measured, OnProgress, Progress, Sampling, Work, Workload};

static CHOICES: [Choice; 1] = [Choice { default: &["100"], ..Choice::new("upto", Form::Segment, whole::<1, 1_000_000>, "Largest number") }];
static CLEAR: Protection = Protection { path: "clear", selected_by: None, choices: &[] };

/// The workload.
pub struct Counting(Kind);

impl Default for Counting {
    fn default() -> Self {
        Self(Kind { workload: "counting", table: "counting", selector: None, outer: &CHOICES, inner: &[], protections: vec![&CLEAR] })
    }
}

impl Workload for Counting {
    fn kind(&self) -> &Kind {
        &self.0
    }

    fn takes_images(&self) -> bool {
        false
    }

    fn bench(&self, _means: &Means) -> Box<dyn Bench> {
        Box::new(Counter)
    }
}

struct Counter;

fn bound(spec: &Spec) -> u64 {
    spec.values().number("upto").unwrap_or(0) as u64
}

impl Bench for Counter {
    fn planned(&self, spec: &Spec) -> Result<Outcome> {
        let text = |text: &str| text.to_owned();
        Ok(Outcome {
            spec: spec.to_string(),
            workload: text("counting"),
            scheme: text("clear"),
            backend: text("native"),
            method: text("sum"),
            encryption: text("none"),
            scenario: text("offline"),
            division: text("closed"),
            packing: 1,
            images: bound(spec) as u32,
            threads: 1,
            publishable: Some(true),
            ..Outcome::default()
        })
    }

    fn definition(&self, spec: &Spec, _sampling: Sampling) -> Vec<String> {
        vec!["cipherlane counting definition 1".into(), spec.to_string()]
    }

    fn work(&self, spec: &Spec) -> Work {
        Work { total: bound(spec), unit: "numbers" }
    }

    fn backend(&self, _spec: &Spec) -> Option<BackendId> {
        None
    }

    fn estimate(&mut self, spec: &Spec, _sampling: Sampling, _speeds: &Speeds, _threads: usize, _new_key: bool) -> Estimate {
        Estimate { seconds: bound(spec) as f64 * 1e-9, ..Estimate::default() }
    }

    fn run(&mut self, spec: &Spec, _sampling: Sampling, progress: &mut OnProgress<'_>) -> Result<Measured> {
        let upto = bound(spec);
        progress(Progress { what: "summing", done: 0, total: upto })?;
        let (sum, elapsed) = Stopwatch::time(|| (1..=upto).sum::<u64>());
        let expected = upto * (upto + 1) / 2;
        if sum != expected {
            return Err(Error::Disagreement { what: "sum".into(), expected: expected.to_string(), actual: sum.to_string() });
        }
        let time = StageTime { stage: Stage::Evaluate, phase: Phase::Online, batch: 0, images: upto as u32, elapsed, device_ns: None };
        let outcome = Outcome { verified: true, samples: Some(1), timed_images: Some(upto), ..self.planned(spec)? };
        Ok(Measured { outcome, times: vec![time], ..Measured::default() })
    }
}
