//! Training with each party in a process of its own: what the user hands to P1, and what P1 does, batch by batch, over any channel to P2.
//!
//! ```text
//! user   encrypts records into a data file ──→ P1   trains, classifies ←─ channel ─→ P2   has the secret key
//! user   opens answers with the pad key   ←── P1   answers, sealed for the user      P2   has the pad key, too
//! ```
//!
//! P1's state between two batches is the place on its rounding tape and the encrypted parameters, nothing else; masks are fresh from the system whenever P1 starts.
//! So an interrupted training ends with the same integers in its parameters as one that was never interrupted. What a repeated batch shows P2: the same numbers under other
//! masks, which is nothing in the form `exact`; in `blinded` one more reading of each number that was compared before the interruption.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::algorithm::{input_bits, slot_bits};
use super::bench::{as_floats, digest};
use super::data::order;
use super::{Parameters, Perceptron, Protection, Records, Spec};
use crate::backend::Backend;
use crate::channel::{Channel, Work};
use crate::description::Description;
use crate::durable::{BULK, Charter, read, write_private, write_whole};
use crate::error::{Error, Result};
use crate::randomness::Tape;
use crate::scheme::paillier::{Ciphertexts, PublicKey, Sendable, SoundKey, check_fingerprint};
use crate::scheme::smlp::{self, Arithmetic, Comparison, Encrypted, EncryptedMatrix, Options, Sealed, encrypt_matrix};

const MAGIC: &str = "cipherlane smlp v2\n";
/// Longest header line, in bytes.
const LONGEST_HEADER: usize = 4096;

/// What a file of the user or for the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Encrypted records with their encrypted labels, for training.
    Training,
    /// Encrypted records to classify.
    Queries,
    /// Encrypted parameters: P1's, and no use to anybody without P2.
    Model,
    /// Classes, sealed for the user.
    Answers,
    /// Parameters, sealed for the user.
    Parameters,
}

/// A file of the user or for the user: what is public of it, and encrypted or sealed matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What it is.
    pub kind: Kind,
    /// The training that it belongs to.
    pub spec: Spec,
    /// The records that it is made from; of answers, those that they answer.
    pub data: Description,
    /// Fingerprint of the Paillier key.
    pub key: String,
    /// The matrices.
    pub parts: Vec<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: Kind,
    spec: String,
    data: Description,
    key: String,
    parts: Vec<u64>,
}

impl Bundle {
    /// Writes the file, whole or not at all. Answers and parameters can be read by this user only:
    /// they hold P1's masks, with which P2 would open them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let header = Header {
            kind: self.kind,
            spec: self.spec.to_string(),
            data: self.data.clone(),
            key: self.key.clone(),
            parts: self.parts.iter().map(|part| part.len() as u64).collect(),
        };
        let line = serde_json::to_string(&header).map_err(|e| Error::file(path, "a header that can be written", e.to_string()))?;
        let mut bytes = [MAGIC.as_bytes(), line.as_bytes(), b"\n"].concat();
        self.parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        match self.kind {
            Kind::Answers | Kind::Parameters => write_private(path, &bytes),
            Kind::Training | Kind::Queries | Kind::Model => write_whole(path, &bytes),
        }
    }

    /// SHA-256 of everything in it.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let data = serde_json::to_string(&self.data).unwrap_or_default();
        let texts = [format!("{:?}", self.kind), self.spec.to_string(), data, self.key.clone()];
        for part in texts.iter().map(String::as_bytes).chain(self.parts.iter().map(Vec::as_slice)) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads a file of one kind.
    ///
    /// # Errors
    /// [`Error::File`] for another kind or form, or damage; [`Error::Io`].
    pub fn read(path: &Path, kind: Kind) -> Result<Self> {
        let bytes = read(path, BULK)?;
        let bad = |expected: &str, found: String| Error::file(path, expected, found);
        let family = MAGIC.len() - 2;
        let found =
            if bytes.get(..family) == MAGIC.as_bytes().get(..family) { "another version of it; make the file again" } else { "another kind of file" };
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or_else(|| bad(MAGIC.trim_end(), found.into()))?;
        let end = rest.iter().take(LONGEST_HEADER).position(|&byte| byte == b'\n').ok_or_else(|| bad("a header line", "none".into()))?;
        let header: Header = serde_json::from_slice(&rest[..end]).map_err(|e| bad("a header line", e.to_string()))?;
        let (content, digest) = bytes.split_last_chunk::<32>().ok_or_else(|| bad("a SHA-256", "none".into()))?;
        if Sha256::digest(content).as_slice() != digest {
            return Err(bad("content that fits its SHA-256", "other content: tampered or damaged".into()));
        }
        if header.kind != kind {
            return Err(bad(&format!("{kind:?}").to_lowercase(), format!("{:?}", header.kind).to_lowercase()));
        }
        let mut rest = &content[MAGIC.len() + end + 1..];
        let mut parts = Vec::new();
        for length in header.parts {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (part, after) =
                rest.split_at_checked(length).ok_or_else(|| bad("matrices of the lengths in the header", format!("{} bytes", rest.len())))?;
            parts.push(part.to_vec());
            rest = after;
        }
        if !rest.is_empty() {
            return Err(bad("matrices of the lengths in the header", format!("{} bytes more", rest.len())));
        }
        header.data.check()?;
        Ok(Self { kind, spec: header.spec.parse()?, data: header.data, key: header.key, parts })
    }
}

/// The form of the comparison of an encrypted spec.
fn comparison(spec: &Spec) -> Result<Comparison> {
    match spec.protection {
        Protection::Smlp { comparison, .. } => Ok(comparison),
        other => Err(Error::Unsupported { subject: format!("a training under {other}"), feature: "two parties; name an encrypted one".into() }),
    }
}

/// Bits of a slot of a spec.
fn slots(spec: &Spec) -> u32 {
    slot_bits(&spec.network, &spec.recipe, spec.batch)
}

/// The user's part: encrypts the records of a spec, in their order, with their labels for training and without them as queries.
///
/// # Errors
/// As [`Spec::check`] and [`encrypt_matrix`].
pub fn encrypt_records(
    spec: &Spec,
    public: &PublicKey,
    (data, records): (&Description, &Records),
    kind: Kind,
    mut encrypt: impl FnMut(&[rug::Integer]) -> Result<Ciphertexts<Sendable>>,
) -> Result<Bundle> {
    spec.check()?;
    comparison(spec)?;
    let indices: Vec<usize> = (0..records.len()).collect();
    let classes = spec.network.outputs();
    let (inputs, labels) = records.gather(&indices, classes, spec.recipe.scale());
    let mut matrices = vec![(inputs, records.width)];
    if kind == Kind::Training {
        matrices.push((labels, classes));
    }
    let mut parts = Vec::new();
    for (values, cols) in matrices {
        let shape = smlp::Shape { rows: records.len(), cols, bits: input_bits(&spec.recipe) };
        parts.push(encrypt_matrix(public, slots(spec), shape, &values, &mut encrypt)?);
    }
    Ok(Bundle { kind, spec: spec.clone(), data: data.clone(), key: public.fingerprint().into(), parts })
}

/// Largest message that two parties agree on, in bytes.
const LONGEST: u64 = 1 << 28;

/// What the parties of a session must agree on beside their identities: the program, the key, the training, the records.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreed {
    program: String,
    key: String,
    spec: String,
    /// SHA-256 of the encrypted records: a session does not go on with others.
    records: String,
}

const PROGRAM: &str = "cipherlane smlp v1";

/// The terms that P1 offers for a task, and the longest message that it needs, with some room, in bytes.
///
/// # Errors
/// None for specs that can be written.
pub fn terms(task: &Task<'_>, public: &PublicKey) -> Result<(Vec<u8>, u32)> {
    let spec = &task.training.spec;
    let mut records = Sha256::new();
    for bundle in std::iter::once(task.training).chain(task.queries) {
        bundle.parts.iter().for_each(|part| records.update(Sha256::digest(part)));
    }
    let agreed = Agreed {
        program: PROGRAM.into(),
        key: public.fingerprint().into(),
        spec: spec.to_string(),
        records: records.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let terms = serde_json::to_vec(&agreed).map_err(|e| Error::Unsupported { subject: "a session".into(), feature: e.to_string() })?;
    // At most: all parameters, or every number of a batch bit by bit.
    let numbers = spec.network.parameters() + 64 * spec.batch * spec.network.as_slice().iter().sum::<usize>();
    let bytes = (numbers * public.ciphertext_bytes()) as u64 + (1 << 20);
    Ok((terms, bytes.min(LONGEST) as u32))
}

/// What decides P1's results, for the charter of its folder and for its rounding tape: nothing of a state is of use under anything else.
#[must_use]
pub fn charter(task: &Task<'_>, public: &PublicKey, replayable: bool) -> Charter {
    Charter::new("smlp p1")
        .with("program", PROGRAM)
        .with("spec", &task.training.spec)
        .with("key", public.fingerprint())
        .with("records", task.training.digest())
        .with("queries", task.queries.map_or_else(|| "none".into(), Bundle::digest))
        .with("release", task.release)
        .with("replayable", replayable)
}

/// What decides P2's answers, for the charter of its folder: a session that is continued with another pad key would give answers that nobody can read.
#[must_use]
pub fn server_charter(public: &PublicKey, user: &smlp::UserKey) -> Charter {
    let pad: [u8; 32] = Sha256::new().chain_update(b"cipherlane smlp pad key v1").chain_update(user.bytes()).finalize().into();
    let pad: String = pad.iter().map(|byte| format!("{byte:02x}")).collect();
    Charter::new("smlp p2").with("program", PROGRAM).with("key", public.fingerprint()).with("pad-key", pad)
}

/// P2's part: accepts terms for its own key, and gives the training that they name.
///
/// # Errors
/// [`Error::WrongKey`] for another key, [`Error::Refused`] for another program.
pub fn accept(terms: &[u8], public: &PublicKey) -> Result<Spec> {
    let other = || Error::Refused { reason: format!("another program than {PROGRAM}") };
    let agreed: Agreed = serde_json::from_slice(terms).map_err(|_| other())?;
    if agreed.program != PROGRAM {
        return Err(other());
    }
    check_fingerprint(&agreed.key, public)?;
    agreed.spec.parse().map_err(|_| other())
}

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
        let bad = || Error::Unsupported { subject: "this training".into(), feature: "a checkpoint of another one".into() };
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

/// What P1 works on.
pub struct Task<'a> {
    /// Records to train on.
    pub training: &'a Bundle,
    /// Records to classify afterwards.
    pub queries: Option<&'a Bundle>,
    /// Whether the user gets the parameters.
    pub release: bool,
}

impl Task<'_> {
    /// Refuses queries whose numbers mean something else than those that are trained on: other
    /// data, another scale, another centre.
    ///
    /// # Errors
    /// [`Error::OtherData`] with both.
    pub fn check(&self) -> Result<()> {
        let (training, Some(queries)) = (self.training, self.queries) else { return Ok(()) };
        let (subject, other) = ("the training file", "the file of queries");
        training.data.check_images(subject, &queries.data, other)?;
        let centred = |bundle: &Bundle| if bundle.spec.recipe.centred { ", centred" } else { "" };
        let encoding = |bundle: &Bundle| format!("numbers at scale {}{}", bundle.spec.recipe.scale(), centred(bundle));
        if encoding(training) == encoding(queries) {
            return Ok(());
        }
        Err(Error::OtherData { subject: subject.into(), expected: encoding(training), other: other.into(), actual: encoding(queries) })
    }
}

impl<C: Channel> Trainer<C> {
    /// Batches in all: mini-batches, then groups of queries, then the parameters.
    #[must_use]
    pub fn batches(&self) -> u64 {
        let queries = self.queries.as_ref().map_or(0, |queries| self.engine.shape(queries).rows.div_ceil(self.spec.batch));
        (self.spec.total_steps() + queries + usize::from(self.release)) as u64
    }
}

impl<C: Channel> Trainer<C> {
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
            return Err(Error::Size { what: "matrices of a training set", expected: 2, actual: task.training.parts.len() });
        };
        let mut load = |bytes: &Vec<u8>, cols: usize, rows: Option<usize>| {
            let matrix = engine.load(bytes)?;
            let shape = engine.shape(&matrix);
            let expected = smlp::Shape { rows: rows.unwrap_or(shape.rows), cols, bits: input_bits(&spec.recipe) };
            if shape == expected {
                Ok(matrix)
            } else {
                Err(Error::Unsupported { subject: format!("{spec}"), feature: format!("records of {shape:?}") })
            }
        };
        let inputs = load(inputs, spec.network.inputs(), Some(spec.records))?;
        let labels = load(labels, spec.network.outputs(), Some(spec.records))?;
        let queries = match task.queries {
            None => None,
            Some(queries) => {
                check_fingerprint(&queries.key, public)?;
                let [matrix] = queries.parts.as_slice() else {
                    return Err(Error::Size { what: "matrices of queries", expected: 1, actual: queries.parts.len() });
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

/// The digest of parameters that `smlp train` prints, for comparing.
#[must_use]
pub fn parameter_digest(layers: &[Vec<i64>]) -> String {
    digest(&layers.iter().map(|layer| as_floats(layer)).collect::<Vec<_>>())
}

/// The user's part: reads what was sealed, each matrix row by row.
///
/// # Errors
/// [`Error::Decryption`] with another pad key; as [`Sealed::from_bytes`].
pub fn open_sealed(bundle: &Bundle, user: &smlp::UserKey) -> Result<Vec<Vec<i64>>> {
    bundle.parts.iter().map(|part| user.open(&Sealed::from_bytes(part)?)).collect()
}
