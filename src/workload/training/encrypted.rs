//! The encrypted run of a training: both servers in one process, joined by a metered channel, and the comparison with the simulator.

use super::Protection;
use super::algorithm::slot_bits;
use super::bench::{Job, Trained, TrainingRunner, as_floats, digest};
use super::metered::{Ledger, Metered, MeteredChannel};
use crate::backend::{self, BackendId, Device};
use crate::channel::Local;
use crate::error::{Error, Result};
use crate::model::count_equal;
use crate::randomness::Tape;
use crate::record::{Phase, Stage};
use crate::scheme::paillier::{Encryption, SecretKey, Tables};
use crate::scheme::private_training::Arithmetic;
use crate::scheme::smlp::{Comparison, Encrypted, KeyServer, Options, UserKey};
use crate::stopwatch::{Elapsed, Stopwatch};
use crate::workload::timing::StageTime;
use crate::workload::{OnProgress, Progress};

/// P1 with P2 in the same process.
pub(super) type Pair = Metered<Encrypted<MeteredChannel<Local<KeyServer>>>>;

/// Two servers and what setting them up cost.
pub(super) struct Setup {
    pub pair: Pair,
    pub device: Device,
    keygen: Elapsed,
    prepare: Elapsed,
}

impl Setup {
    /// Times of the setup stages.
    pub fn times(&self, records: usize) -> [StageTime; 2] {
        let setup = |stage, elapsed| StageTime { stage, phase: Phase::Setup, batch: 0, images: records as u32, elapsed, device_ns: None };
        [setup(Stage::Keygen, self.keygen), setup(Stage::Prepare, self.prepare)]
    }
}

impl TrainingRunner {
    fn key(&mut self, bits: u32, seed: u64) -> Result<(SecretKey, Elapsed)> {
        if let Some((secret, elapsed)) = self.keys.get(&(bits, seed)) {
            return Ok((secret.clone(), *elapsed));
        }
        let (secret, elapsed) = Stopwatch::time(|| SecretKey::generate(bits, false, self.allow_toy, &Tape::replayable(seed), &self.control));
        let secret = secret?;
        self.keys.insert((bits, seed), (secret.clone(), elapsed));
        Ok((secret, elapsed))
    }

    /// Both servers. All randomness comes from the seed, so that runs can be repeated; it protects nothing.
    pub(super) fn set_up(&mut self, (backend, key_bits, comparison): (BackendId, u32, Comparison), slot_bits: u32, seed: u64) -> Result<Setup> {
        let (secret, keygen) = self.key(key_bits, seed)?;
        let backend = backend::open_under(backend, &self.control)?;
        let ledger = Ledger::default();
        let (pair, prepare) = Stopwatch::time(|| {
            // Each party has a tape of its own; the tape of the roundings is the simulator's, too.
            let tape = |party: u64| Tape::replayable(seed ^ party << 56);
            let user = UserKey::from_bytes([u8::try_from(seed & 0xff).unwrap_or(0); 32]);
            let server = KeyServer::new(backend.as_ref(), &secret, Encryption::Owner, Tables::default(), tape(2), user.clone())?;
            let channel = MeteredChannel::new(Local(server), ledger.clone());
            let options = Options::new(comparison, slot_bits);
            let p1 = Encrypted::new(backend.as_ref(), secret.sound(), options, Tape::replayable(seed), tape(1), channel)?;
            Ok::<_, Error>(Metered::new(p1.with_user(user), ledger))
        });
        Ok(Setup { pair: pair?, device: backend.device(), keygen, prepare })
    }

    pub(super) fn run_encrypted(&mut self, job: &Job<'_>, progress: &mut OnProgress<'_>) -> Result<Trained> {
        let Protection::Smlp { backend, key_bits, comparison } = job.spec.protection else {
            return Err(Error::unsupported(job.spec.protection.to_string(), "two servers"));
        };
        let steps = job.spec.total_steps();
        let (simulated, ..) = self.simulate(job, progress)?;
        progress(Progress { what: "keygen", done: 0, total: steps as u64 })?;
        let mut setup =
            self.set_up((backend, key_bits, comparison), slot_bits(&job.spec.network, &job.spec.recipe, job.spec.batch), job.spec.seed)?;
        let driven = job.drive(&mut setup.pair, "encrypted", progress)?;
        let operations = setup.pair.ledger().costs();

        // Training has ended: now the user, who is in this process for the comparison, reads what was kept.
        progress(Progress { what: "comparing", done: steps as u64, total: steps as u64 })?;
        let mut snapshots = Vec::with_capacity(driven.points.len());
        for ((step, weights), (expected_step, expected)) in driven.points.iter().zip(simulated.iter()) {
            let p1 = setup.pair.inner();
            let layers = weights.iter().map(|m| p1.answer(m).and_then(|answer| p1.open(&answer)).map(|values| as_floats(&values)));
            let layers = layers.collect::<Result<Vec<_>>>()?;
            compare((*step, &layers), (*expected_step, expected))?;
            snapshots.push((*step, layers));
        }
        if snapshots.len() != simulated.len() {
            return Err(Error::size("points of the course", simulated.len(), snapshots.len()));
        }
        let times = setup.times(job.spec.records).into_iter().chain(driven.times).collect();
        let mut trained = job.trained(snapshots, times, driven.kept, setup.device);
        trained.operations = operations;
        trained.digest = Some(digest(&trained.parameters));
        let expected = simulated.last().map_or_else(Vec::new, |(_, layers)| job.classes(layers));
        trained.agreement = Some(count_equal(&job.classes(&trained.parameters), &expected) as f64 / expected.len().max(1) as f64);
        Ok(trained)
    }
}

/// Every parameter must be the simulator's.
pub(super) fn compare((step, layers): (usize, &[Vec<f64>]), (expected_step, expected): (usize, &[Vec<f64>])) -> Result<()> {
    let differs = || {
        if step != expected_step || layers.len() != expected.len() {
            return Some((0, 0));
        }
        let layer = |(number, (a, b)): (usize, (&Vec<f64>, &Vec<f64>))| {
            let at = if a.len() == b.len() { a.iter().zip(b).position(|(a, b)| a != b) } else { Some(a.len().min(b.len())) };
            at.map(|at| (number, at))
        };
        layers.iter().zip(expected).enumerate().find_map(layer)
    };
    let Some((layer, at)) = differs() else { return Ok(()) };
    let number = |layers: &[Vec<f64>]| layers.get(layer).and_then(|l| l.get(at)).map_or_else(|| "none".into(), |value| format!("{value:.0}"));
    Err(Error::Disagreement {
        what: format!("parameter {at} of layer {layer} after {step} mini-batches"),
        expected: format!("{} (simulator, after {expected_step})", number(expected)),
        actual: number(layers),
    })
}
