//! The model owner's side of linear inference: evaluates a map on ciphertexts.

use std::path::Path;
use std::sync::Arc;

use super::cipher::{Ciphertexts, OnDevice, Sendable};
use super::client::OnStep;
use super::encrypt::{Pool, Rerandomisation, Tables};
use super::evaluate::Evaluator;
use super::files::{Header, Kind, decode, encode};
use super::layout::Arrangement;
use super::sound::SoundKey;
use crate::backend::{Backend, SquareResidues};
use crate::error::{Error, Result};
use crate::plan::matvec::Method;
use crate::randomness::Tape;
use crate::scheme::LinearMap;

/// The server, with bytes from a client and bytes for it. It holds no secret key.
pub struct Server {
    public: SoundKey,
    evaluator: Evaluator,
    /// Values of an image, and results.
    sizes: [usize; 2],
    tape: Arc<Tape>,
    /// Results made so far: every one takes randomness of its own.
    made: u64,
    /// Randomisers made ahead for the next answer.
    pool: Option<Pool>,
    /// Name and digest of the model, for the headers of answers.
    model: [String; 2],
}

impl Server {
    /// Plans the map in a layout and prepares fresh randomness for about `tables.uses` results.
    /// `tape` must be fresh from the system wherever the model is to be protected.
    ///
    /// # Errors
    /// [`Error::SlotOverflow`] for a map that does not fit the slots; when the backend cannot
    /// handle the modulus.
    pub fn new(
        backend: &dyn Backend,
        public: &SoundKey,
        map: &LinearMap,
        (arrangement, method): (Arrangement, Option<Method>),
        (rerandomisation, tables): (Rerandomisation, Tables),
        tape: impl Into<Arc<Tape>>,
    ) -> Result<Self> {
        let tape = tape.into();
        let randomiser = rerandomisation.encryptor(backend, public, tables, &tape)?;
        Ok(Self {
            evaluator: Evaluator::new(backend, public, map, arrangement, method, randomiser)?,
            public: public.clone(),
            sizes: [map.weights().cols(), map.weights().rows()],
            tape,
            made: 0,
            pool: None,
            model: Default::default(),
        })
    }

    /// Names the model in answers: a name of at most 64 characters and the SHA-256 of its file.
    #[must_use]
    pub fn with_model(self, name: &str, sha256: String) -> Self {
        Self { model: [name.chars().filter(|c| c.is_ascii() && !c.is_control()).take(64).collect(), sha256], ..self }
    }

    /// The plan and what carries it out.
    #[must_use]
    pub fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// Arithmetic modulo n^2.
    pub(super) fn squares(&self) -> Arc<dyn SquareResidues> {
        self.evaluator.squares()
    }

    /// Makes the randomisers of the next `count` results.
    pub(super) fn prepare(&mut self, count: usize) -> Result<()> {
        self.pool = Some(self.evaluator.pool(count, &self.tape, self.made)?);
        Ok(())
    }

    /// The results of ciphertexts on the device, with fresh randomness.
    pub(super) fn apply(&mut self, loaded: &OnDevice<Sendable>) -> Result<OnDevice<Sendable>> {
        let raw = self.evaluator.multiply(loaded)?;
        let results = self.evaluator.add_bias(&raw, &self.tape, self.made, self.pool.take())?;
        self.made += raw.len() as u64;
        Ok(results)
    }

    /// The encrypted results of a query, as many sets at a time as there are threads.
    ///
    /// # Errors
    /// [`Error::Size`] for images of another width, [`Error::WrongKey`],
    /// [`Error::InvalidCiphertext`]; when the backend fails; what `on_step` says.
    pub fn answer(&mut self, header: Header, query: &Ciphertexts<Sendable>, on_step: OnStep<'_>) -> Result<(Header, Ciphertexts<Sendable>)> {
        let [width, results] = self.sizes;
        if header.width != width {
            return Err(Error::size("values of an image in the query", width, header.width));
        }
        let sets = query.len() / width;
        let step = rayon::current_num_threads().max(1);
        let mut answer = Ciphertexts::none(&self.public);
        for first in (0..sets).step_by(step) {
            on_step(first * width)?;
            let loaded = self.evaluator.upload(&query.part(first * width, step.min(sets - first) * width))?;
            let evaluated = self.apply(&loaded)?;
            answer.append(&self.evaluator.download(&evaluated)?)?;
        }
        let [model, model_sha256] = self.model.clone();
        Ok((Header { width: results, model, model_sha256, ..header }, answer))
    }

    /// The bytes of the answer to the bytes of a query of [`super::Client::encrypt`].
    ///
    /// # Errors
    /// [`Error::File`] for other bytes; as [`Self::answer`].
    pub fn evaluate(&mut self, query: &[u8]) -> Result<Vec<u8>> {
        let (header, query) = decode(query, query.len() as u64, Path::new("query"), Kind::Query, &self.public)?;
        let (header, answer) = self.answer(header, &query, &mut |_| Ok(()))?;
        encode(Kind::Answer, &header, &answer, &self.public)
    }
}
