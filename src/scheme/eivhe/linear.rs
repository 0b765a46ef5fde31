//! Integer-vector encryption as the harness knows it.

use super::inference::VECTORS_PER_BATCH;
use super::{Eivhe, Route, Setting};
use crate::backend::BackendId;
use crate::error::Result;
use crate::scheme::LinearMap;
use crate::scheme::linear::{Cost, Facts, Job, LinearScheme, Means, Service, Size, Staged};
use crate::spec::{Choice, Form, Protection, Values, as_word};

/// Integer-vector encryption for linear inference.
pub struct IntegerVectors;

static PROTECTION: Protection = Protection {
    path: "eivhe",
    selected_by: None,
    choices: &[
        Choice {
            field: "setting",
            value_name: "SETTING",
            ..Choice::new(
                "eivhe",
                Form::Segment,
                as_word::<Setting>,
                "Integer-vector encryption: integers (payor), secureldata, trask (as published, broken), lwe (modulo q, sound) [default: none]",
            )
        },
        Choice {
            field: "route",
            value_name: "ROUTE",
            default: &["switch"],
            ..Choice::new(
                "eivhe_route",
                Form::Segment,
                as_word::<Route>,
                "How integer-vector encryption applies the model: switch (by a matrix of the client, as in the papers), direct (without)",
            )
        },
    ],
};

fn chosen(values: &Values) -> Result<(Setting, Route)> {
    Ok((values.read("setting")?, values.read("route")?))
}

impl LinearScheme for IntegerVectors {
    fn protection(&self) -> &'static Protection {
        &PROTECTION
    }

    fn summary(&self) -> &'static str {
        "integer-vector encryption, a reconstruction: broken over the integers as published, learning with errors modulo q"
    }

    fn facts(&self, values: &Values) -> Result<Facts> {
        let (setting, route) = chosen(values)?;
        Ok(Facts {
            backend: None,
            method: setting.method(route).into(),
            key_bits: None,
            encryption: setting.encryption().name().into(),
            security_bits: Some(setting.security_bits()),
            unsound: setting.warning(),
            is_toy: false,
            decides_bits: None,
        })
    }

    fn size(&self, _values: &Values, _job: Job, map: &LinearMap) -> Result<Size> {
        Ok(Size { inputs: map.weights().cols(), ciphertexts: 1, results: 1, set: 1, batch: VECTORS_PER_BATCH })
    }

    /// Roughly 10^9 steps a second of a thread: a switch over the integers or modulo q, or none;
    /// encryption by tables or by k columns of key.
    fn cost(&self, values: &Values, job: Job, _size: Size, threads: f64, _power_ns: &dyn Fn(BackendId) -> Option<f64>) -> Result<Option<Cost>> {
        let (setting, route) = chosen(values)?;
        let (encrypt, switch, memory_bytes, bytes) = match setting {
            Setting::Integers(_) => (2e-4, 2e-3, 2e8, 6e3),
            Setting::Lwe => (2e-3, 3e-2, 6e8, 4e4),
        };
        let images = job.images as f64;
        let pass_seconds = images * (encrypt + if route == Route::Switch { switch } else { 0.0 }) / threads;
        Ok(Some(Cost { pass_seconds, setup_seconds: 2.0, memory_bytes, wire_bytes: images * bytes, ..Cost::default() }))
    }

    fn service(&self, values: &Values, _job: Job, map: LinearMap, means: Means<'_>) -> Result<Box<dyn Service>> {
        let (setting, route) = chosen(values)?;
        Ok(Box::new(Staged::new(Eivhe::new(map, setting, route, means.tape)?)))
    }
}
