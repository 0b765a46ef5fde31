//! P1: trains on a user's encrypted records, batch by batch, over any channel to P2.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::bundle::{Bundle, Kind};
use super::terms::{Task, charter, comparison, slots};
use crate::backend::Backend;
use crate::channel::{Channel, Work};
use crate::description::Description;
use crate::durable::Charter;
use crate::error::{Error, Result};
use crate::randomness::Tape;
use crate::scheme::paillier::{SoundKey, check_fingerprint};
use crate::scheme::private_training::{Arithmetic, Shape};
use crate::scheme::smlp::{Encrypted, EncryptedMatrix, Options};
use crate::workload::training::algorithm::input_bits;
use crate::workload::training::data::order;
use crate::workload::training::{Parameters, Perceptron, Spec};

/// What P1 does: trains on a user's records, then classifies queries where there are some, then seals the parameters for the user where that is wanted.
pub struct Trainer<C: Channel> {
    engine: Encrypted<C>,
    spec: Spec,
    /// What was trained on, and what is classified.
    data: [Description; 2],
    key: String,
    inputs: EncryptedMatrix,
    labels: EncryptedMatrix,
    queries: Option<EncryptedMatrix>,
    release: bool,
    start: Start,
    perceptron: Perceptron<Encrypted<C>>,
    order_of_epoch: Option<(usize, Vec<usize>)>,
    steps: u64,
    answers: Vec<Vec<u8>>,
    parameters: Vec<Vec<u8>>,
}

/// Where the rounding tape comes from.
#[derive(Clone)]
enum Start {
    /// A secret. The tape is made of it and of the charter, so the same seed under other terms gives another tape.
    Seed(Zeroizing<[u8; 32]>),
    /// The spec's seed, which is public.
    Replayable,
}

impl Start {
    fn tape(&self, spec: &Spec, charter: &Charter) -> Tape {
        match self {
            Self::Seed(seed) => {
                let hash = Sha256::new().chain_update(b"cipherlane smlp rounding v1").chain_update(seed.as_slice());
                Tape::from_seed(hash.chain_update(charter.digest()).finalize().into())
            }
            Self::Replayable => Tape::replayable(spec.seed),
        }
    }

    fn bytes(&self) -> Zeroizing<[u8; 33]> {
        let mut bytes = Zeroizing::new([0; 33]);
        if let Self::Seed(seed) = self {
            bytes[0] = 1;
            bytes[1..].copy_from_slice(seed.as_slice());
        }
        bytes
    }
}

/// P1's state before the first batch. `replayable` takes the rounding tape of the simulator, for comparing with it: whoever knows the spec then knows how divisions
/// round, and P2 learns remainders from that.
///
/// # Errors
/// [`Error::Randomness`].
pub fn first_state(replayable: bool) -> Result<Vec<u8>> {
    let start = if replayable {
        Start::Replayable
    } else {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|e| Error::Randomness { reason: e.to_string() })?;
        Start::Seed(seed)
    };
    Ok([start.bytes().as_slice(), &[0; 16], &[0; 12]].concat())
}

/// What is read from a state.
struct State {
    start: Start,
    steps: u64,
    operation: u64,
    /// Parameters, answers, released parameters.
    lists: [Vec<Vec<u8>>; 3],
}

impl State {
    fn read(bytes: &[u8]) -> Result<Self> {
        let bad = || Error::unsupported("this training", "a checkpoint of another one");
        let mut rest = bytes;
        let mut take = |count: usize| {
            let (part, after) = rest.split_at_checked(count).ok_or_else(bad)?;
            rest = after;
            Ok::<_, Error>(part)
        };
        let start = match take(1)? {
            [0] => {
                take(32)?;
                Start::Replayable
            }
            [1] => {
                let mut seed = Zeroizing::new([0; 32]);
                seed.copy_from_slice(take(32)?);
                Start::Seed(seed)
            }
            _ => return Err(bad()),
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        let (steps, operation) = (number(take(8)?), number(take(8)?));
        let mut lists = [const { Vec::new() }; 3];
        for list in &mut lists {
            for _ in 0..number(take(4)?) {
                let length = number(take(8)?);
                list.push(take(usize::try_from(length).unwrap_or(usize::MAX))?.to_vec());
            }
        }
        if rest.is_empty() { Ok(Self { start, steps, operation, lists }) } else { Err(bad()) }
    }
}

impl<C: Channel> Trainer<C> {
    /// Batches in all: mini-batches, then groups of queries, then the parameters.
    #[must_use]
    pub fn batches(&self) -> u64 {
        let queries = self.queries.as_ref().map_or(0, |queries| self.engine.shape(queries).rows.div_ceil(self.spec.batch));
        (self.spec.total_steps() + queries + usize::from(self.release)) as u64
    }

    /// Prepares P1 to go on from a state; [`Work::load`] brings it there.
    ///
    /// # Errors
    /// [`Error::WrongKey`] for records under another key, [`Error::Unsupported`] for records of
    /// other sizes; as [`Task::check`] and [`Encrypted::new`].
    pub fn new(backend: &dyn Backend, public: &SoundKey, task: &Task<'_>, state: &[u8], channel: C) -> Result<Self> {
        let spec = task.training.spec.clone();
        spec.check()?;
        check_fingerprint(&task.training.key, public)?;
        task.check()?;
        let options = Options::new(comparison(&spec)?, slots(&spec));
        let start = State::read(state)?.start;
        let rounding = start.tape(&spec, &charter(task, public, matches!(start, Start::Replayable)));
        let mut engine = Encrypted::new(backend, public, options, rounding, Tape::from_system()?, channel)?;
        let [inputs, labels] = task.training.parts.as_slice() else {
            return Err(Error::size("matrices of a training set", 2, task.training.parts.len()));
        };
        let mut load = |bytes: &Vec<u8>, cols: usize, rows: Option<usize>| {
            let matrix = engine.load(bytes)?;
            let shape = engine.shape(&matrix);
            let expected = Shape { rows: rows.unwrap_or(shape.rows), cols, bits: input_bits(&spec.recipe) };
            if shape == expected { Ok(matrix) } else { Err(Error::unsupported(format!("{spec}"), format!("records of {shape:?}"))) }
        };
        let inputs = load(inputs, spec.network.inputs(), Some(spec.records))?;
        let labels = load(labels, spec.network.outputs(), Some(spec.records))?;
        let queries = match task.queries {
            None => None,
            Some(queries) => {
                check_fingerprint(&queries.key, public)?;
                let [matrix] = queries.parts.as_slice() else {
                    return Err(Error::size("matrices of queries", 1, queries.parts.len()));
                };
                Some(load(matrix, spec.network.inputs(), None)?)
            }
        };
        let perceptron = Perceptron::resume(Vec::new(), &spec.recipe, 0)?;
        Ok(Self {
            engine,
            data: [task.training, task.queries.unwrap_or(task.training)].map(|bundle| bundle.data.clone()),
            key: public.fingerprint().into(),
            inputs,
            labels,
            queries,
            release: task.release,
            start,
            perceptron,
            order_of_epoch: None,
            steps: 0,
            answers: Vec::new(),
            parameters: Vec::new(),
            spec,
        })
    }

    /// The encrypted parameters, the sealed answers, and the sealed parameters where they were wanted.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn results(&self) -> Result<Vec<Bundle>> {
        let [trained_on, classified] = &self.data;
        let bundle = |kind, parts| {
            let data = if kind == Kind::Answers { classified } else { trained_on };
            Bundle { kind, spec: self.spec.clone(), data: data.clone(), key: self.key.clone(), parts }
        };
        let model = self.perceptron.weights().iter().map(|m| self.engine.store(m)).collect::<Result<_>>()?;
        let mut bundles = vec![bundle(Kind::Model, model)];
        if self.queries.is_some() {
            bundles.push(bundle(Kind::Answers, self.answers.clone()));
        }
        if self.release {
            bundles.push(bundle(Kind::Parameters, self.parameters.clone()));
        }
        Ok(bundles)
    }

    fn train(&mut self) -> Result<()> {
        let Spec { batch, seed, records, .. } = self.spec;
        let step = self.steps as usize;
        let (per_epoch, epoch) = (self.spec.steps_per_epoch(), step / self.spec.steps_per_epoch());
        let order = match self.order_of_epoch.take() {
            Some((of, order)) if of == epoch => order,
            _ => order(seed, epoch as u32, records),
        };
        let first = step % per_epoch * batch;
        let rows = order[first..first + batch].to_vec();
        self.order_of_epoch = Some((epoch, order));
        let inputs = self.engine.rows(&self.inputs, &rows)?;
        let labels = self.engine.rows(&self.labels, &rows)?;
        let decay = self.spec.recipe.decayed(epoch as u32, self.spec.epochs);
        self.perceptron.step(&mut self.engine, &inputs, &labels, decay)?;
        self.steps += 1;
        Ok(())
    }
}

impl<C: Channel> Work for Trainer<C> {
    fn save(&self) -> Result<Vec<u8>> {
        let mut bytes = self.start.bytes().to_vec();
        bytes.extend_from_slice(&self.steps.to_be_bytes());
        bytes.extend_from_slice(&self.engine.operation().to_be_bytes());
        let parameters = self.perceptron.state().iter().map(|m| self.engine.store(m)).collect::<Result<Vec<_>>>()?;
        for list in [&parameters, &self.answers, &self.parameters] {
            bytes.extend_from_slice(&(list.len() as u32).to_be_bytes());
            for part in list {
                bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
                bytes.extend_from_slice(part);
            }
        }
        Ok(bytes)
    }

    fn load(&mut self, state: &[u8]) -> Result<()> {
        let State { steps, operation, lists: [parameters, answers, released], .. } = State::read(state)?;
        let (recipe, layers) = (&self.spec.recipe, self.spec.network.as_slice().len() - 1);
        self.perceptron = if parameters.is_empty() {
            Perceptron::new(&mut self.engine, &Parameters::initial(&self.spec.network, recipe, self.spec.seed), recipe)?
        } else {
            let matrices = parameters.iter().map(|part| self.engine.load(part)).collect::<Result<_>>()?;
            Perceptron::resume(matrices, recipe, layers)?
        };
        (self.steps, self.answers, self.parameters) = (steps, answers, released);
        self.engine.seek(operation);
        Ok(())
    }

    fn batch(&mut self) -> Result<bool> {
        if self.steps < self.spec.total_steps() as u64 {
            return self.train().map(|()| true);
        }
        if let Some(queries) = &self.queries {
            let (count, done) = (self.engine.shape(queries).rows, self.answers.len() * self.spec.batch);
            if done < count {
                let rows: Vec<usize> = (done..count.min(done + self.spec.batch)).collect();
                let inputs = self.engine.rows(queries, &rows)?;
                let answer = self.perceptron.classify(&mut self.engine, &inputs)?;
                self.answers.push(answer.to_bytes()?);
                return Ok(true);
            }
        }
        if self.release && self.parameters.is_empty() {
            let mut sealed = Vec::new();
            for weights in self.perceptron.weights() {
                sealed.push(self.engine.answer(&weights)?.to_bytes()?);
            }
            self.parameters = sealed;
            return Ok(true);
        }
        Ok(false)
    }
}
