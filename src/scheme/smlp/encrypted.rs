//! P1: the party with all ciphertexts. It drives, with P2 behind a channel.

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use zeroize::Zeroizing;

use super::Comparison;
use super::powers::Powers;
use super::rounding::Rounding;
use super::server::Operation;
use super::slots::{Dense, KAPPA, Slots};
use super::user::{Sealed, UserKey};
use super::wire::{Reader, Writer};
use crate::backend::{Backend, Resident};
use crate::channel::Channel;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::{Limbs, words_for_bits};
use crate::modulus::wipe;
use crate::randomness::{Purpose, Stream, Tape};
use crate::scheme::paillier::{Ciphertexts, Encryptor, PublicKey, Rerandomisation, Sendable, SoundKey, Tables};
use crate::scheme::private_training::{Arithmetic, Product, Shape, ceil_log2};

/// Bits of a slot for products of magnitudes below 2^`left_bits` and 2^`right_bits` with `inner` terms, taken `scale` times: see the module's derivation.
#[must_use]
pub const fn slot_bits(left_bits: u32, right_bits: u32, inner: usize, scale: u32) -> u32 {
    left_bits + right_bits + ceil_log2(inner as u64) + ceil_log2(scale as u64) + 2 * KAPPA + 5
}

/// Choices of an encrypted run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How signs are compared.
    pub comparison: Comparison,
    /// Bits of a slot, [`slot_bits`] of the largest product.
    pub slot_bits: u32,
    /// How P1 re-randomises what it sends. P2 knows the factors of n, so only P1's own bases or r^n hide masks from it without an assumption.
    pub rerandomisation: Rerandomisation,
    /// Ciphertexts that P1 will send, and most bytes of its tables.
    pub tables: Tables,
}

impl Options {
    /// Own bases, tables for ten thousand ciphertexts.
    #[must_use]
    pub fn new(comparison: Comparison, slot_bits: u32) -> Self {
        Self { comparison, slot_bits, rerandomisation: Rerandomisation::Auto, tables: Tables::default() }
    }
}

/// An encrypted matrix: row after row of ciphertexts with slots along the columns, and on demand column after column with slots along the rows.
#[derive(Clone)]
pub struct EncryptedMatrix {
    pub(super) shape: Shape,
    pub(super) rows: Arc<Resident>,
    columns: Arc<OnceLock<Arc<Resident>>>,
}

/// Encrypted bits, each in a ciphertext of its own, at the slot that the entry has in its matrix.
pub struct EncryptedBits {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) scattered: Resident,
}

/// P1 of one training or classification.
pub struct Encrypted<C> {
    pub(super) public: SoundKey,
    pub(super) slots: Slots,
    pub(super) comparison: Comparison,
    pub(super) powers: Powers,
    pub(super) rounding: Rounding,
    encryptor: Encryptor,
    tape: Tape,
    /// Streams of masks and randomisers used so far.
    streams: u64,
    made: u64,
    /// Encryptions of zero made ahead, and how many of them are used up.
    zeros: Option<(Resident, usize)>,
    channel: C,
    user: Option<UserKey>,
}

impl EncryptedMatrix {
    pub(super) fn new(shape: Shape, rows: Resident) -> Self {
        Self { shape, rows: Arc::new(rows), columns: Arc::default() }
    }
}

impl<C: Channel> Encrypted<C> {
    /// Prepares P1. `tape` must be fresh from the system whenever the party starts: masks are never used twice. `rounding` is the tape of divisions.
    ///
    /// # Errors
    /// When the slots do not fit the key or the backend cannot handle its modulus.
    pub fn new(backend: &dyn Backend, public: &SoundKey, options: Options, rounding: Tape, tape: Tape, channel: C) -> Result<Self> {
        let squares = backend.squares(vec![public.modulus()?])?;
        let one = squares.upload(&Limbs::from_integers(&[Integer::from(1)], squares.modulus().width())?)?;
        Ok(Self {
            slots: Slots::new(public.bits(), options.slot_bits)?,
            comparison: options.comparison,
            powers: Powers::new(squares, one)?,
            encryptor: options.rerandomisation.encryptor(backend, public, options.tables, &tape)?,
            rounding: Rounding::new(rounding),
            public: public.clone(),
            tape,
            streams: 0,
            made: 0,
            zeros: None,
            channel,
            user: None,
        })
    }

    /// With the user in the same process, who opens answers.
    #[must_use]
    pub fn with_user(self, user: UserKey) -> Self {
        Self { user: Some(user), ..self }
    }

    /// Divisions so far: the place on the rounding tape, which a resumed run continues.
    #[must_use]
    pub fn operation(&self) -> u64 {
        self.rounding.operation()
    }

    /// Goes to a place on the rounding tape.
    pub fn seek(&mut self, operation: u64) {
        self.rounding.seek(operation);
    }

    /// The channel to P2.
    #[cfg(test)]
    pub fn channel(&mut self) -> &mut C {
        &mut self.channel
    }

    /// Makes randomisers for the next `count` ciphertexts that will be sent: work that needs no data.
    ///
    /// # Errors
    /// When the backend fails.
    #[cfg(test)]
    pub fn prepare(&mut self, count: usize) -> Result<()> {
        let zeros = self.make_zeros(count)?;
        self.zeros = Some((zeros, 0));
        Ok(())
    }

    /// The ciphertexts of a matrix, row after row of groups of slots: to keep, not to send.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn store(&self, m: &EncryptedMatrix) -> Result<Vec<u8>> {
        let values = self.powers.squares.download(&m.rows)?;
        Ok(Writer::default().size(m.shape.rows)?.size(m.shape.cols)?.u32(m.shape.bits).u32(self.slots.bits).ciphertexts(&values).done())
    }

    /// A matrix from what [`Self::store`] or [`encrypt_matrix`] gave.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Size`] for something else or other slots, [`Error::InvalidCiphertext`].
    pub fn load(&mut self, stored: &[u8]) -> Result<EncryptedMatrix> {
        let mut reader = Reader::new(stored);
        let (rows, cols) = reader.size()?;
        let shape = Shape { rows, cols, bits: reader.u32()? }.check()?;
        let slot_bits = reader.u32()?;
        if slot_bits != self.slots.bits {
            let allowed = self.slots.bits.to_string();
            return Err(Error::range("slot bits of a stored matrix", &slot_bits, allowed));
        }
        let values = reader.ciphertexts(&self.public, rows * self.slots.groups(cols))?;
        reader.end()?;
        Ok(EncryptedMatrix::new(shape, self.powers.squares.upload(values.values())?))
    }

    fn make_zeros(&mut self, count: usize) -> Result<Resident> {
        let zeros = self.encryptor.encrypt(&vec![Integer::new(); count], &self.tape, self.made)?;
        self.made += count as u64;
        self.powers.squares.upload(zeros.values())
    }

    fn take_zeros(&mut self, count: usize) -> Result<Resident> {
        if let Some((zeros, used)) = &mut self.zeros
            && zeros.len() - *used >= count
        {
            let part = self.powers.part(zeros, *used, count)?;
            *used += count;
            return Ok(part);
        }
        self.make_zeros(count)
    }

    /// A stream of masks of its own.
    pub(super) fn stream(&mut self, purpose: Purpose) -> Stream {
        self.streams += 1;
        self.tape.stream(purpose, self.streams)
    }

    /// U for every entry of a matrix of magnitude 2^bits: uniform in [0, 2^(bits+1+kappa)).
    pub(super) fn masks(&mut self, entries: usize, bits: u32) -> Zeroizing<Vec<u128>> {
        let mut stream = self.stream(Purpose::Masking);
        let mask = (1u128 << (bits + 1 + KAPPA)) - 1;
        Zeroizing::new((0..entries).map(|_| (u128::from(stream.word()) << 64 | u128::from(stream.word())) & mask).collect())
    }

    /// Coins.
    pub(super) fn coins(&mut self, count: usize) -> Vec<bool> {
        let mut stream = self.stream(Purpose::Shuffle);
        (0..count).map(|_| stream.word() & 1 == 1).collect()
    }

    /// Deterministic encryptions of public numbers or of what will be masked before it is sent: 1 + m n.
    pub(super) fn constants(&self, messages: &[Integer]) -> Result<Resident> {
        let mut residues = messages.iter().map(|m| self.public.residue(m)).collect::<Result<Vec<_>>>()?;
        let limbs = Limbs::from_integers(&residues, words_for_bits(self.public.bits()));
        residues.iter_mut().for_each(wipe);
        self.powers.squares.one_plus(&limbs?, &[Integer::from(1)])
    }

    /// Ciphertexts plus plaintexts, to keep.
    pub(super) fn plus(&self, values: &Resident, messages: &[Integer]) -> Result<Resident> {
        self.powers.multiply(values, &self.constants(messages)?)
    }

    /// Ciphertexts plus plaintexts with fresh randomness, to send.
    pub(super) fn fresh(&mut self, values: &Resident, messages: &[Integer]) -> Result<Limbs> {
        let zeros = self.take_zeros(messages.len())?;
        self.powers.squares.download(&self.powers.multiply(&self.plus(values, messages)?, &zeros)?)
    }

    /// Ciphertexts of slots with values below 2^width, after `messages` are added, laid into each other, with fresh randomness.
    pub(super) fn dense(&mut self, values: &Resident, messages: &[Integer], width: u32) -> Result<Limbs> {
        let dense = Dense::new(self.slots, width)?;
        let folded = self.powers.fold(values, dense.layers, dense.shift)?;
        self.fresh(&folded, &dense.fold(messages))
    }

    /// A matrix with masks: x + 2^a + U, as P2 reads it.
    pub(super) fn masked(&mut self, m: &EncryptedMatrix, masks: &[u128]) -> Result<Limbs> {
        let shift = 1 << m.shape.bits;
        let offsets: Zeroizing<Vec<u128>> = Zeroizing::new(masks.iter().map(|u| u + shift).collect());
        let messages = self.slots.pack_rows(&offsets, m.shape.cols);
        self.dense(&m.rows, &messages, m.shape.bits + KAPPA + 2)
    }

    /// The beginning of a request about a matrix.
    pub(super) fn header(&self, shape: Shape) -> Result<Writer> {
        Ok(Writer::default().u32(self.slots.bits).size(shape.rows)?.size(shape.cols)?.u32(shape.bits))
    }

    /// One round.
    pub(super) fn ask(&mut self, operation: Operation, request: Writer) -> Result<Vec<u8>> {
        self.channel.exchange(operation as u16, &request.done())
    }

    /// One round whose answer is `count` ciphertexts.
    pub(super) fn ask_ciphertexts(&mut self, operation: Operation, request: Writer, count: usize) -> Result<Resident> {
        let answer = self.ask(operation, request)?;
        let mut reader = Reader::new(&answer);
        let values = reader.ciphertexts(&self.public, count)?;
        reader.end()?;
        self.powers.squares.upload(values.values())
    }

    /// The matrix packed along its columns, from P2 where it is not there yet.
    pub(super) fn columns(&mut self, m: &EncryptedMatrix) -> Result<Arc<Resident>> {
        if let Some(columns) = m.columns.get() {
            return Ok(columns.clone());
        }
        let made = Arc::new(self.repack(m)?);
        Ok(m.columns.get_or_init(|| made).clone())
    }

    /// -m for every ciphertext.
    pub(super) fn negated(&self, values: &Resident) -> Result<Resident> {
        self.powers.squares.invert(values).map_err(|e| match e {
            Error::NotInvertible { index, .. } => Error::InvalidCiphertext { index, reason: "shares a factor with n".into() },
            other => other,
        })
    }

    /// For every ciphertext of rows of a matrix the entries in its slots.
    pub(super) fn members(&self, rows: usize, cols: usize) -> Vec<Vec<usize>> {
        let count = self.slots.count;
        let of_row =
            |row: usize| (0..self.slots.groups(cols)).map(move |g| (g * count..((g + 1) * count).min(cols)).map(|col| row * cols + col).collect());
        (0..rows).flat_map(of_row).collect()
    }

    /// 2^(k S) times a number, at the slot of each entry.
    pub(super) fn placed<T: Copy + Into<Integer>>(&self, values: &[T], cols: usize) -> Vec<Integer> {
        values.iter().enumerate().map(|(e, &v)| self.slots.place(v.into(), e % cols % self.slots.count)).collect()
    }
}

/// The user's part: a matrix encrypted row by row, for [`Encrypted::load`]. Input as [`Arithmetic::upload`].
///
/// # Errors
/// [`Error::Size`], [`Error::OutOfRange`].
pub fn encrypt_matrix(
    public: &PublicKey,
    slot_bits: u32,
    shape: Shape,
    values: &[i64],
    encrypt: impl FnOnce(&[Integer]) -> Result<Ciphertexts<Sendable>>,
) -> Result<Vec<u8>> {
    let shape = shape.check()?;
    let slots = Slots::new(public.bits(), slot_bits)?;
    if values.len() != shape.entries() {
        return Err(Error::size("entries of a matrix", shape.entries(), values.len()));
    }
    if let Some(value) = values.iter().find(|v| v.unsigned_abs() >> shape.bits != 0) {
        return Err(Error::range("entry", &value, format!("magnitude below 2^{}", shape.bits)));
    }
    let mut plaintexts = slots.pack_rows(values, shape.cols);
    let ciphertexts = encrypt(&plaintexts)?;
    plaintexts.iter_mut().for_each(wipe);
    Ok(Writer::default().size(shape.rows)?.size(shape.cols)?.u32(shape.bits).u32(slot_bits).ciphertexts(ciphertexts.values()).done())
}

impl<C: Channel> Arithmetic for Encrypted<C> {
    type Matrix = EncryptedMatrix;
    type Bits = EncryptedBits;
    type Answer = Sealed;

    fn upload(&mut self, values: &[i64], rows: usize, cols: usize, bits: u32) -> Result<EncryptedMatrix> {
        let (encryptor, tape, first) = (&self.encryptor, &self.tape, self.made);
        let shape = Shape { rows, cols, bits };
        let stored = encrypt_matrix(&self.public, self.slots.bits, shape, values, |m| encryptor.encrypt(m, tape, first))?;
        self.made += (rows * self.slots.groups(cols)) as u64;
        self.load(&stored)
    }

    fn shape(&self, m: &EncryptedMatrix) -> Shape {
        m.shape
    }

    fn rows(&mut self, m: &EncryptedMatrix, indices: &[usize]) -> Result<EncryptedMatrix> {
        let shape = m.shape.of_rows(indices)?;
        let groups = self.slots.groups(shape.cols);
        let picks: Vec<(usize, usize)> = indices.iter().flat_map(|row| (0..groups).map(move |g| (0, row * groups + g))).collect();
        Ok(EncryptedMatrix::new(shape, self.powers.squares.gather(&[&m.rows], &picks)?))
    }

    fn add(&mut self, a: &EncryptedMatrix, b: &EncryptedMatrix, bits: u32) -> Result<EncryptedMatrix> {
        let shape = a.shape.same_size(b.shape, bits)?;
        Ok(EncryptedMatrix::new(shape, self.powers.multiply(&a.rows, &b.rows)?))
    }

    fn subtract(&mut self, a: &EncryptedMatrix, b: &EncryptedMatrix, bits: u32) -> Result<EncryptedMatrix> {
        let shape = a.shape.same_size(b.shape, bits)?;
        Ok(EncryptedMatrix::new(shape, self.powers.multiply(&a.rows, &self.negated(&b.rows)?)?))
    }

    fn with_constant_column(&mut self, m: &EncryptedMatrix, value: i64) -> Result<EncryptedMatrix> {
        if value.unsigned_abs() >> m.shape.bits != 0 {
            let allowed = format!("magnitude below 2^{}", m.shape.bits);
            return Err(Error::range("constant column", &value, allowed));
        }
        let shape = Shape { cols: m.shape.cols + 1, ..m.shape };
        let (before, groups, slot) = (self.slots.groups(m.shape.cols), self.slots.groups(shape.cols), m.shape.cols % self.slots.count);
        let constant = self.constants(&[self.slots.place(Integer::from(value), slot)])?;
        let rows = 0..m.shape.rows;
        // The constant goes to a free slot of the last ciphertext of each row, or to one of its own.
        let rows = if groups == before {
            let last = self.powers.squares.gather(&[&m.rows], &rows.clone().map(|row| (0, (row + 1) * groups - 1)).collect::<Vec<_>>())?;
            let last = self.powers.multiply(&last, &self.powers.squares.gather(&[&constant], &vec![(0, 0); m.shape.rows])?)?;
            let picks: Vec<(usize, usize)> =
                rows.flat_map(|row| (0..groups).map(move |g| if g + 1 == groups { (1, row) } else { (0, row * groups + g) })).collect();
            self.powers.squares.gather(&[&m.rows, &last], &picks)?
        } else {
            let picks: Vec<(usize, usize)> = rows.flat_map(|row| (0..before).map(move |g| (0, row * before + g)).chain([(1, 0)])).collect();
            self.powers.squares.gather(&[&m.rows, &constant], &picks)?
        };
        Ok(EncryptedMatrix::new(shape, rows))
    }

    fn without_last_row(&mut self, m: &EncryptedMatrix) -> Result<EncryptedMatrix> {
        let shape = Shape { rows: m.shape.rows - 1, ..m.shape }.check()?;
        Ok(EncryptedMatrix::new(shape, self.powers.part(&m.rows, 0, shape.rows * self.slots.groups(shape.cols))?))
    }

    fn product(&mut self, product: &Product<'_, EncryptedMatrix>) -> Result<EncryptedMatrix> {
        self.multiply(product)
    }

    fn divide(&mut self, m: &EncryptedMatrix, divisor: u64, bits: u32) -> Result<EncryptedMatrix> {
        self.quotient(m, divisor, bits)
    }

    fn relu(&mut self, m: &EncryptedMatrix) -> Result<(EncryptedMatrix, EncryptedBits)> {
        self.rectified(m)
    }

    fn select(&mut self, bits: &EncryptedBits, m: &EncryptedMatrix) -> Result<EncryptedMatrix> {
        self.selected(bits, m)
    }

    fn argmax(&mut self, m: &EncryptedMatrix) -> Result<Sealed> {
        let largest = self.largest(m)?;
        self.seal(&largest)
    }

    fn answer(&mut self, m: &EncryptedMatrix) -> Result<Sealed> {
        self.seal(m)
    }

    fn open(&mut self, answer: &Sealed) -> Result<Vec<i64>> {
        let user = self.user.as_ref().ok_or_else(|| Error::unsupported("P1 without the user", "reading answers"))?;
        user.open(answer)
    }
}

/// Row by row, transposed.
pub(super) fn transposed<T: Clone>(values: &[T], cols: usize) -> Vec<T> {
    let rows = values.len() / cols;
    (0..values.len()).map(|i| values[i % rows * cols + i / rows].clone()).collect()
}

/// left right over big integers. Input: left row by row, right **column by column**, `inner` each.
pub(super) fn matrix_product(left: &[Integer], right: &[Integer], inner: usize) -> Vec<Integer> {
    let entry = |i: usize, j: usize| {
        left[i * inner..(i + 1) * inner].iter().zip(&right[j * inner..(j + 1) * inner]).fold(Integer::new(), |s, (a, b)| s + a * b)
    };
    let cols = right.len() / inner;
    (0..left.len() / inner * cols).into_par_iter().map(|at| entry(at / cols, at % cols)).collect()
}
