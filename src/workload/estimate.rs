//! Rough costs of rows, for plans and for the time left: right within a factor of two or three, and called an estimate wherever it is shown.
//!
//! The measure is a power modulo a number of 1024 bits with an exponent of 512, which is the
//! textbook's randomiser r^n under a small key, timed once per backend. Everything else is a share
//! of it that schemes read off measured rows.

use std::collections::HashMap;

use super::sampling::Sampling;
use crate::backend::{self, BackendId, Exponents, Secrecy};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::randomness::{Purpose, Tape};
use crate::scheme::linear::Cost;
use crate::stopwatch::Stopwatch;

/// Bits of the modulus of the timed powers; their exponents have half of them.
const MODULUS_BITS: u32 = 1024;
/// Powers that are timed at once: enough for all lanes of a processor.
const POWERS: usize = 64;

/// The rough cost of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Wall time in seconds, with setup, warm-up, repetitions and checks.
    pub seconds: f64,
    /// Most memory in bytes.
    pub memory_bytes: f64,
    /// Bytes to the server and back for all images once. Exact where the packing fits the key.
    pub wire_bytes: u64,
}

impl Estimate {
    /// A row whose pass over all images has `batches` batches, repeated as `sampling` asks.
    #[must_use]
    pub fn of(cost: Cost, batches: f64, sampling: Sampling, new_key: bool) -> Self {
        let seconds = |ms: u32| f64::from(ms) / 1e3;
        let batch = cost.pass_seconds / batches;
        let wanted = seconds(sampling.least_ms).max(f64::from(sampling.least_samples) * batch) + seconds(sampling.warm_up_ms) + batch;
        let limited = if sampling.most_ms > 0 { wanted.min(seconds(sampling.most_ms) + batch) } else { wanted };
        let setup = cost.setup_seconds + if new_key { cost.key_seconds } else { 0.0 };
        Self { seconds: setup + cost.pass_seconds.max(limited), memory_bytes: cost.memory_bytes, wire_bytes: cost.wire_bytes as u64 }
    }
}

/// Nanoseconds of one thread for the timed power, by backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speeds(HashMap<BackendId, f64>);

impl Speeds {
    /// Times every backend once, each in less than a second. A backend that is not here has no
    /// speed; its rows fail at once.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when `control` was stopped.
    pub fn measure(backends: impl IntoIterator<Item = BackendId>, control: &Control) -> Result<Self> {
        let mut speeds = HashMap::new();
        for id in backends {
            if speeds.contains_key(&id) {
                continue;
            }
            match power_ns(id, control) {
                Ok(ns) => drop(speeds.insert(id, ns)),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(_) => {}
            }
        }
        Ok(Self(speeds))
    }

    /// Round numbers that are the same on every machine, to cut a sweep into parts of equal work.
    #[must_use]
    pub fn nominal() -> Self {
        let all = [(BackendId::Reference, 5e6), (BackendId::Gmp, 2.5e5), (BackendId::Ifma, 2e4), (BackendId::Gpu, 5e3)];
        Self(all.into())
    }

    /// The time of a backend.
    #[must_use]
    pub fn power_ns(&self, backend: BackendId) -> Option<f64> {
        self.0.get(&backend).copied()
    }
}

fn power_ns(id: BackendId, control: &Control) -> Result<f64> {
    let mut stream = Tape::replayable(1).stream(Purpose::Sample, 0);
    let mut modulus = stream.bits(MODULUS_BITS);
    modulus.set_bit(0, true).set_bit(MODULUS_BITS - 1, true);
    let modulus = Modulus::new(modulus)?;
    let powers = if id == BackendId::Reference { 1 } else { POWERS };
    let bases: Vec<_> = (0..powers).map(|_| stream.bits(MODULUS_BITS - 1)).collect();
    let mut exponent = stream.bits(MODULUS_BITS / 2);
    exponent.set_bit(MODULUS_BITS / 2 - 1, true);
    let work = || {
        let backend = backend::open_under(id, control)?;
        let residues = backend.residues(vec![modulus.clone()])?;
        let bases = residues.upload(&Limbs::from_integers(&bases, modulus.width())?)?;
        let (powers, elapsed) = Stopwatch::time(|| residues.pow(&bases, Exponents::Shared(&exponent), Secrecy::Public));
        powers.map(|_| elapsed.wall_ns as f64)
    };
    let pool = super::timing::thread_pool(1)?;
    pool.install(work).map(|ns| ns / powers as f64)
}
