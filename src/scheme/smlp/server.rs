//! P2: the party with the secret key. It answers one request at a time, keeps nothing between them, and returns fresh encryptions only.
//!
//! Every answer is made in two steps: the whole request is read and its sizes, with that of the
//! answer, are checked ([`Request::complete`]); then it is decrypted and computed on. So a request
//! that ends in an error for its sizes costs nothing.

use super::slots::{Dense, KAPPA, Slots};
use super::user::UserKey;
use super::wire::{Reader, Sent, Writer, ciphertext_bytes};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::randomness::{Purpose, Tape};
use crate::scheme::paillier::{Decryptor, Encryption, Encryptor, PublicKey, SecretKey, Tables};
use crate::scheme::private_training::MAXIMUM_BITS;
use crate::text::named;

named! {
    /// What P1 asks of P2. The numbers are those of messages.
    #[repr(u16)]
    pub enum Operation {
        /// A matrix packed along its columns in place of its rows.
        Repack = 1 => "repack",
        /// A matrix product with division.
        Product = 2 => "product",
        /// Division by a public number.
        Division = 3 => "division",
        /// A matrix with each entry in a ciphertext of its own.
        Scatter = 4 => "scatter",
        /// Signs of blinded numbers.
        Signs = 5 => "signs",
        /// The bits of masked numbers, each in a ciphertext of its own.
        Bits = 6 => "bits",
        /// Signs from the tests of a bitwise comparison.
        Tests = 7 => "tests",
        /// Entries chosen by masked bits.
        Select = 8 => "select",
        /// Entries for the user.
        Answer = 9 => "answer",
    }
}

impl Operation {
    /// The operation of a message.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a number that names none.
    pub fn from_number(number: u16) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|&operation| operation as u16 == number);
        found.ok_or_else(|| Error::unknown("operation", number.to_string(), "1 to 9"))
    }
}

/// P2 of one training or classification.
pub struct KeyServer {
    public: PublicKey,
    decryptor: Decryptor,
    encryptor: Encryptor,
    tape: Tape,
    made: u64,
    user: UserKey,
}

impl KeyServer {
    /// Prepares decryption and encryption. `tape` must be fresh from the system whenever the party starts: the counter of its streams begins at 0.
    ///
    /// # Errors
    /// When the key is not fit for the encryption or the backend cannot handle its moduli.
    pub fn new(backend: &dyn Backend, secret: &SecretKey, encryption: Encryption, tables: Tables, tape: Tape, user: UserKey) -> Result<Self> {
        Ok(Self {
            public: secret.public().clone(),
            decryptor: Decryptor::new(backend, secret, false)?,
            encryptor: Encryptor::new(backend, encryption, secret, tables, Purpose::Encryption)?,
            tape,
            made: 0,
            user,
        })
    }

    /// The user's key, which pads answers.
    pub(super) fn user(&self) -> &UserKey {
        &self.user
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Ciphertexts of a request, checked and decrypted.
    pub(super) fn decrypt(&self, sent: Sent<'_>) -> Result<Vec<Integer>> {
        self.decryptor.decrypt(&sent.check(&self.public)?)
    }

    /// Fresh encryptions.
    pub(super) fn encrypt(&mut self, messages: &[Integer]) -> Result<Limbs> {
        let fresh = self.encryptor.encrypt(messages, &self.tape, self.made)?;
        self.made += messages.len() as u64;
        Ok(fresh.values().clone())
    }

    /// Fresh encryptions as an answer.
    pub(super) fn encrypted(&mut self, messages: &[Integer]) -> Result<Vec<u8>> {
        Ok(Writer::default().ciphertexts(&self.encrypt(messages)?).done())
    }

    /// The slots that a request names.
    fn slots(&self, request: &mut Reader<'_>) -> Result<Slots> {
        Slots::new(self.public.bits(), request.within("slot bits", self.public.bits())?)
    }

    /// Slots, size and magnitude, with which most requests begin.
    pub(super) fn header(&self, request: &mut Reader<'_>) -> Result<Header> {
        let slots = self.slots(request)?;
        let (rows, cols) = request.size()?;
        Ok(Header { slots, rows, cols, bits: request.within("magnitude", MAXIMUM_BITS)? })
    }

    /// The next `count` ciphertexts of a request.
    pub(super) fn ciphertexts<'a>(&self, request: &mut Reader<'a>, count: usize) -> Result<Sent<'a>> {
        request.sent(&self.public, count)
    }

    /// The next matrix of a request, masked: x + 2^a + U for each entry, which is never 0.
    pub(super) fn masked<'a>(&self, request: &mut Reader<'a>, header: Header) -> Result<Matrix<'a>> {
        Ok(Matrix { least: 1, ..self.dense(request, header, header.bits + KAPPA + 2)? })
    }

    /// The next matrix of a request, with entries below 2^width.
    pub(super) fn dense<'a>(&self, request: &mut Reader<'a>, header: Header, width: u32) -> Result<Matrix<'a>> {
        let dense = Dense::new(header.slots, width)?;
        Ok(Matrix { sent: self.ciphertexts(request, dense.ciphertexts(header.rows, header.cols))?, header, dense, least: 0 })
    }

    /// The entries of a matrix.
    pub(super) fn open(&self, matrix: Matrix<'_>) -> Result<Vec<u128>> {
        let values = matrix.dense.unpack(self.decrypt(matrix.sent)?, matrix.header.rows, matrix.header.cols)?;
        match values.iter().position(|&v| v < matrix.least) {
            None => Ok(values),
            Some(index) => Err(Error::Decryption { index, reason: "entry 0, which no masked number is".into() }),
        }
    }
}

/// A request while it is read, with what its answer may be.
pub(super) struct Request<'a> {
    pub(super) reader: Reader<'a>,
    longest: usize,
    ciphertext_bytes: usize,
}

impl<'a> Request<'a> {
    /// The request of some bytes to this party, whose answer has at most `longest` bytes.
    pub(super) fn new(bytes: &'a [u8], server: &KeyServer, longest: usize) -> Self {
        Self { reader: Reader::new(bytes), longest, ciphertext_bytes: ciphertext_bytes(&server.public) }
    }

    /// The request was read to its end, and its answer has `answer` ciphertexts.
    ///
    /// # Errors
    /// [`Error::Size`] for bytes that are left over, [`Error::OutOfRange`] for a longer answer than
    /// can be sent.
    pub(super) fn complete(&self, answer: usize) -> Result<()> {
        self.complete_with_bytes(answer.saturating_mul(self.ciphertext_bytes))
    }

    /// As [`Self::complete`], for an answer of other things.
    pub(super) fn complete_with_bytes(&self, answer: usize) -> Result<()> {
        self.reader.end()?;
        if answer > self.longest {
            let allowed = format!("{} bytes, as was agreed on", self.longest);
            return Err(Error::range("answer to a request", &format!("{answer} bytes"), allowed));
        }
        Ok(())
    }
}

/// A matrix of a request, still encrypted.
pub(super) struct Matrix<'a> {
    sent: Sent<'a>,
    header: Header,
    dense: Dense,
    /// Least value of an entry.
    least: u128,
}

/// What most requests begin with.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) slots: Slots,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) bits: u32,
}

impl Header {
    /// x - R for a masked entry x + 2^a + U: the masks are two ways to say the same, R = 2^(a+1+kappa) - 1 - U.
    pub(super) fn unshift(self, masked: u128) -> i128 {
        masked as i128 - ((1 << self.bits) + (1 << (self.bits + 1 + KAPPA)) - 1)
    }
}
