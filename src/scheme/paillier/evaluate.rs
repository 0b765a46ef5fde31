//! The model owner's side: E(y_j) = E(b_j) prod_i E(x_i)^(W_ji) modulo n^2, without any key.

use std::sync::Arc;

use rayon::prelude::*;

use super::cipher::{Ciphertexts, OnDevice, Raw, Sendable, State, check_fingerprint};
use super::encrypt::{Encryptor, Pool, interleaved};
use super::layout::Arrangement;
use super::single::Message;
use super::sound::SoundKey;
use crate::backend::{Backend, Bound, Resident, SquareResidues};
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::plan::matvec::{MatVec, Method, RowOutputs};
use crate::plan::{Counts, Op, Operand, Program};
use crate::randomness::{Purpose, Tape};
use crate::scheme::LinearMap;

/// A linear map ready to be applied to ciphertexts of one key and layout.
pub struct Evaluator {
    public: SoundKey,
    squares: Arc<dyn SquareResidues>,
    method: Method,
    /// Ciphertexts of an item.
    columns: usize,
    /// Independent parts of the product, the results of one after those of the other.
    parts: Arc<[MatVec]>,
    /// Joins P_j and 1/Q_j for all rows of an item.
    finish: Program,
    product: Program,
    one: Resident,
    /// What is added to each result of an item.
    messages: Vec<Message>,
    randomiser: Encryptor,
}

impl Evaluator {
    /// Plans the map. The slots of the layout must hold the map's worst case.
    ///
    /// `randomiser` makes the fresh encryptions of the bias that re-randomise results: the server's own, never one of the key owner's bases.
    ///
    /// # Errors
    /// [`Error::SlotOverflow`] when a result could leave its slot, [`Error::WrongKey`] for a
    /// randomiser of another key.
    pub fn new(
        backend: &dyn Backend,
        public: &SoundKey,
        map: &LinearMap,
        arrangement: impl Into<Arrangement>,
        method: Option<Method>,
        randomiser: Encryptor,
    ) -> Result<Self> {
        check_fingerprint(randomiser.public().fingerprint(), public)?;
        let arrangement = arrangement.into();
        let parts = arrangement.plan(map, method)?;
        let rows: Vec<RowOutputs> = parts.iter().flat_map(|part| &part.rows).copied().collect();
        let squares = backend.squares(vec![public.modulus()?])?;
        Ok(Self {
            one: squares.upload(&Limbs::from_integers(&[Integer::from(1)], squares.modulus().width())?)?,
            squares,
            finish: finish_program(&rows)?,
            product: Program::single_product()?,
            randomiser,
            public: public.clone(),
            method: parts.first().map_or(Method::Buckets, |part| part.method),
            columns: arrangement.ciphertexts(map),
            parts,
            messages: arrangement.messages(map)?,
        })
    }

    /// Arithmetic modulo n^2.
    pub(super) fn squares(&self) -> Arc<dyn SquareResidues> {
        self.squares.clone()
    }

    /// How the product was planned.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Modular products of one application, with those that join the signs and the randomisers.
    #[must_use]
    pub fn products(&self) -> usize {
        self.counts().total()
    }

    /// What [`Self::products`] counts, by kind.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let programs = self.parts.iter().map(|part| &part.program).chain([&self.finish]);
        let joins = Counts { products: self.messages.len(), ..Counts::default() };
        programs.map(Program::counts).fold(joins, |sum, counts| Counts {
            products: sum.products + counts.products,
            squares: sum.squares + counts.squares,
            lookups: sum.lookups + counts.lookups,
        })
    }

    /// The multipliers of the backend, for its arithmetic modulo n^2, where it knows its multiplications.
    #[must_use]
    pub fn bound(&self) -> Option<&dyn Bound> {
        self.squares.bound()
    }

    /// Brings ciphertexts to the device: whole items: one ciphertext for each input of the plan.
    ///
    /// # Errors
    /// [`Error::WrongKey`], [`Error::Size`] when the ciphertexts do not divide into items.
    pub fn upload(&self, query: &Ciphertexts<Sendable>) -> Result<OnDevice<Sendable>> {
        query.check_key(&self.public)?;
        if !query.len().is_multiple_of(self.columns) {
            return Err(Error::size("ciphertexts of a query", query.len().next_multiple_of(self.columns), query.len()));
        }
        Ok(OnDevice::of(self.squares.upload(query.values())?))
    }

    /// prod_i c_i^(W_ji) for every item and row, without bias, masks and randomiser. Output: item after item, row after row (result after result where several
    /// rows share one).
    ///
    /// # Errors
    /// [`Error::InvalidCiphertext`] when a ciphertext is no unit.
    pub fn multiply(&self, query: &OnDevice<Sendable>) -> Result<OnDevice<Raw>> {
        let items = query.len() / self.columns;
        let products = self.parts.par_iter().map(|part| self.squares.run(&part.program, &query.residues, None)).collect::<Result<Vec<_>>>()?;
        // Sources of what follows: the products of each part, the inverses, 1.
        let mut sources: Vec<&Resident> = products.iter().collect();
        let picks_of = |item: usize, output: fn(&RowOutputs) -> Option<usize>| {
            let of_part = move |(number, part): (usize, &MatVec)| -> Vec<(usize, usize)> {
                let first = item * part.program.outputs().len();
                part.rows.iter().filter_map(output).map(|o| (number, first + o)).collect()
            };
            self.parts.iter().enumerate().flat_map(of_part)
        };
        let negatives: Vec<(usize, usize)> = (0..items).flat_map(|item| picks_of(item, |row| row.negative)).collect();
        let inverses = self.squares.invert(&self.squares.gather(&sources, &negatives)?).map_err(|e| match e {
            Error::NotInvertible { index, .. } => {
                Error::InvalidCiphertext { index, reason: "a result shares a factor with n, so some ciphertext does".into() }
            }
            other => other,
        })?;
        // An item of the last step: 1, the positive products, the inverses.
        let parts = self.parts.len();
        let negative_rows = negatives.len() / items.max(1);
        let picks: Vec<(usize, usize)> = (0..items)
            .flat_map(|item| {
                let inverses = (0..negative_rows).map(move |k| (parts, item * negative_rows + k));
                std::iter::once((parts + 1, 0)).chain(picks_of(item, |row| row.positive)).chain(inverses)
            })
            .collect();
        sources.extend([&inverses, &self.one]);
        Ok(OnDevice::of(self.squares.run(&self.finish, &self.squares.gather(&sources, &picks)?, None)?))
    }

    /// Multiplies fresh encryptions of the bias, with masks where slots hold more than rows, into raw results: result i takes randomness `first + i`. Only what
    /// comes out of here may be sent. A `pool` made for the same `first` takes the place of making the randomisers now.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn add_bias(&self, raw: &OnDevice<Raw>, tape: &Tape, first: u64, pool: Option<Pool>) -> Result<OnDevice<Sendable>> {
        let streams = (first..).map(|index| tape.stream(Purpose::Masking, index));
        let messages: Vec<Integer> =
            self.messages.iter().cycle().zip(streams).take(raw.len()).map(|(message, mut stream)| message.draw(&mut stream)).collect();
        let fresh = match pool {
            Some(pool) => pool.encrypt_on_device(&messages)?,
            None => self.squares.upload(self.randomiser.encrypt(&messages, tape, first)?.values())?,
        };
        let pairs = self.squares.gather(&[&raw.residues, &fresh], &interleaved(raw.len()))?;
        Ok(OnDevice::of(self.squares.run(&self.product, &pairs, None)?))
    }

    /// The randomisers of `count` results, `first` and on, ahead of the query: for [`Self::add_bias`] with the same `first`.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn pool(&self, count: usize, tape: &Tape, first: u64) -> Result<Pool> {
        self.randomiser.pool(self.squares.clone(), count, tape, first)
    }

    /// Brings results back from the device.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn download<S: State>(&self, results: &OnDevice<S>) -> Result<Ciphertexts<S>> {
        Ok(Ciphertexts::of(&self.public, self.squares.download(&results.residues)?))
    }
}

/// Inputs: 1, then the positive products of the rows that have one, then the inverses of the negative ones. Outputs: one per row.
fn finish_program(rows: &[RowOutputs]) -> Result<Program> {
    let positives = rows.iter().filter(|r| r.positive.is_some()).count();
    let negatives = rows.iter().filter(|r| r.negative.is_some()).count();
    let inputs = 1 + positives + negatives;
    let (mut next_positive, mut next_negative) = (1, 1 + positives);
    let take = |present: bool, next: &mut usize| {
        present.then(|| {
            *next += 1;
            (*next - 1) as Operand
        })
    };
    let mut ops = Vec::new();
    let mut outputs = Vec::new();
    for row in rows {
        let positive = take(row.positive.is_some(), &mut next_positive);
        let negative = take(row.negative.is_some(), &mut next_negative);
        outputs.push(match (positive, negative) {
            (Some(a), Some(b)) => {
                let dst = (inputs + ops.len()) as Operand;
                ops.push(Op::Mul { dst, a, b });
                dst
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => 0,
        });
    }
    let level = if ops.is_empty() { Vec::new() } else { vec![ops.len()] };
    Program::new(inputs, ops, level, outputs, 0, 0)
}
