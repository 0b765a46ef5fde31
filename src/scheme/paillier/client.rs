//! The data owner's side of linear inference: encrypts inputs, decrypts results.

use std::path::Path;
use std::sync::Arc;

use super::cipher::{Ciphertexts, Sendable};
use super::decrypt::Decryptor;
use super::encrypt::{Encryption, Encryptor, Pool, Tables};
use super::files::{Header, Kind, decode, encode};
use super::key::{PublicKey, SecretKey};
use super::layout::Arrangement;
use super::packing::unpack_rows;
use crate::backend::{Backend, SquareResidues};
use crate::description::Description;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::randomness::{Purpose, Tape};
use crate::scheme::Inputs;

/// Ciphertexts of a step: after each the caller is told how many are done, and may stop.
const STEP: usize = 256;

/// Told how many ciphertexts are done; ends the work by an error.
pub type OnStep<'a> = &'a mut dyn FnMut(usize) -> Result<()>;

/// The key that a client encrypts with.
#[derive(Clone, Copy)]
pub enum ClientKey<'a> {
    /// The owner's: encrypts fastest, and decrypts.
    Secret(&'a SecretKey),
    /// Anybody's.
    Public(&'a PublicKey),
}

impl ClientKey<'_> {
    /// The public part.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        match self {
            Self::Secret(secret) => secret.public(),
            Self::Public(public) => public,
        }
    }

    /// The fastest encryption that the key is fit for.
    #[must_use]
    pub fn fastest(&self) -> Encryption {
        match self {
            Self::Secret(secret) => Encryption::fastest(secret),
            Self::Public(public) if public.djn_base().is_some() => Encryption::Djn,
            Self::Public(_) => Encryption::Standard,
        }
    }

    fn encryptor(&self, backend: &dyn Backend, encryption: Encryption, tables: Tables) -> Result<Encryptor> {
        match (self, encryption) {
            (Self::Secret(secret), _) => Encryptor::new(backend, encryption, secret, tables, Purpose::Encryption),
            (Self::Public(public), Encryption::Djn) => Encryptor::djn(backend, public, tables, Purpose::Encryption),
            (Self::Public(public), Encryption::Standard) => Encryptor::standard(backend, public, Purpose::Encryption),
            (Self::Public(_), Encryption::Owner) => Err(Error::unsupported("a public key", "owner encryption; it takes the secret key")),
        }
    }
}

/// The origin of images, as a query states it beside their encryption. Not authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryOrigin {
    /// Bits of a feature.
    pub feature_bits: u32,
    /// Name of the public feature map.
    pub features: String,
    /// The dataset of the images.
    pub data: Description,
    /// Number of the first image in the test set, from 0; the others follow it.
    pub first: usize,
}

/// The data owner, with bytes for the server and bytes from it. Values stay integers.
pub struct Client {
    public: PublicKey,
    encryptor: Encryptor,
    arrangement: Arrangement,
    decryptor: Option<Decryptor>,
    tape: Arc<Tape>,
    /// Ciphertexts made so far: every one takes randomness of its own.
    made: u64,
    /// Randomisers made ahead for the next query.
    pool: Option<Pool>,
}

impl Client {
    /// Prepares encryption in a layout, for about `tables.uses` ciphertexts, and decryption where
    /// the key is secret. `tape` must be fresh from the system wherever the key protects anything.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a key that is not fit for the encryption, or when the backend
    /// cannot handle its moduli.
    pub fn new(
        backend: &dyn Backend,
        key: ClientKey<'_>,
        arrangement: impl Into<Arrangement>,
        encryption: Encryption,
        tables: Tables,
        tape: impl Into<Arc<Tape>>,
    ) -> Result<Self> {
        let decryptor = match key {
            ClientKey::Secret(secret) => Some(Decryptor::new(backend, secret, false)?),
            ClientKey::Public(_) => None,
        };
        Ok(Self {
            public: key.public().clone(),
            encryptor: key.encryptor(backend, encryption, tables)?,
            arrangement: arrangement.into(),
            decryptor,
            tape: tape.into(),
            made: 0,
            pool: None,
        })
    }

    /// Makes the randomisers of the next `count` ciphertexts, for arithmetic modulo n^2.
    pub(super) fn prepare(&mut self, squares: Arc<dyn SquareResidues>, count: usize) -> Result<()> {
        self.pool = Some(self.encryptor.pool(squares, count, &self.tape, self.made)?);
        Ok(())
    }

    /// Encrypts plaintexts, each with fresh randomness.
    pub(super) fn encrypt_plaintexts(&mut self, plaintexts: &[Integer]) -> Result<Ciphertexts<Sendable>> {
        let query = match self.pool.take() {
            Some(pool) => pool.encrypt(plaintexts)?,
            None => self.encryptor.encrypt(plaintexts, &self.tape, self.made)?,
        };
        self.made += plaintexts.len() as u64;
        Ok(query)
    }

    /// Encrypts images of which many share a ciphertext, with what the server has to know.
    ///
    /// # Errors
    /// [`Error::Size`] for no images, [`Error::Unsupported`] in the layout of one image; when a
    /// value does not fit its slot or the backend fails; what `on_step` says.
    pub fn query(&mut self, inputs: &Inputs<'_>, origin: QueryOrigin, on_step: OnStep<'_>) -> Result<(Header, Ciphertexts<Sendable>)> {
        let Arrangement::Batch(packing) = self.arrangement else {
            return Err(Error::unsupported("the form of queries", "the layout of one image"));
        };
        let plaintexts = self.arrangement.encode(inputs)?;
        let mut query = Ciphertexts::none(&self.public);
        for step in plaintexts.chunks(STEP) {
            on_step(query.len())?;
            query.append(&self.encrypt_plaintexts(step)?)?;
        }
        let QueryOrigin { feature_bits, features, data, first } = origin;
        let (images, width) = (inputs.images(), inputs.width());
        Ok((Header { images, width, packing, feature_bits, features, data, first, model: String::new(), model_sha256: String::new() }, query))
    }

    /// The bytes of a query: what [`super::Server::evaluate`] takes.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn encrypt(&mut self, inputs: &Inputs<'_>, origin: QueryOrigin) -> Result<Vec<u8>> {
        let (header, query) = self.query(inputs, origin, &mut |_| Ok(()))?;
        encode(Kind::Query, &header, &query, &self.public)
    }

    /// The results in the bytes of an answer, image after image, row after row, and what the
    /// answer says of itself.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with a public key; [`Error::File`] for other bytes; as
    /// [`Decryptor::results`].
    pub fn decrypt(&self, answer: &[u8]) -> Result<(Header, Vec<i64>)> {
        let decryptor = self.decryptor()?;
        let (header, answer) = decode(answer, answer.len() as u64, Path::new("answer"), Kind::Answer, &self.public)?;
        let results = decryptor.results(&header, &answer, &mut |_| Ok(()))?;
        Ok((header, results))
    }

    /// The part that decrypts, of the owner of the secret key.
    pub(super) fn decryptor(&self) -> Result<&Decryptor> {
        let public = || Error::unsupported("a client with a public key", "decryption");
        self.decryptor.as_ref().ok_or_else(public)
    }
}

impl Decryptor {
    /// The results in an answer, image after image, row after row.
    ///
    /// # Errors
    /// As [`Self::decrypt`]; [`Error::Decryption`] for a result that no honest computation gives;
    /// what `on_step` says.
    pub fn results(&self, header: &Header, answer: &Ciphertexts<Sendable>, on_step: OnStep<'_>) -> Result<Vec<i64>> {
        let mut plaintexts = Vec::with_capacity(answer.len());
        for first in (0..answer.len()).step_by(STEP) {
            on_step(first)?;
            plaintexts.extend(self.decrypt(&answer.part(first, STEP.min(answer.len() - first)))?);
        }
        unpack_rows(header.packing, &plaintexts, header.width, header.images)
    }
}

/// Checks a new key by encrypting and decrypting edge messages in both ways that others may use.
///
/// # Errors
/// [`Error::Disagreement`]; as encryption and decryption.
pub fn check_new_key(backend: &dyn Backend, secret: &SecretKey) -> Result<()> {
    let messages = [Integer::from(0), Integer::from(-1), Integer::from(1) << (secret.public().bits() - 3)];
    for encryption in [Encryption::Djn, Encryption::Standard] {
        let encryptor = Encryptor::new(backend, encryption, secret, Tables { uses: 3, ..Tables::default() }, Purpose::Encryption)?;
        let decrypted = Decryptor::new(backend, secret, true)?.decrypt(&encryptor.encrypt(&messages, &Tape::from_system()?, 0)?)?;
        if decrypted != messages {
            return Err(Error::Disagreement { what: "decryption with the new key".into(), expected: "the message".into(), actual: "another".into() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Packing, Rerandomisation, Server};
    use super::*;
    use crate::backend::{self, BackendId};
    use crate::control::Control;
    use crate::plan::Weights;
    use crate::scheme::LinearMap;

    fn toy(tape: u64) -> SecretKey {
        SecretKey::generate(512, false, true, &Tape::replayable(tape), &Control::default()).unwrap()
    }

    fn origin() -> QueryOrigin {
        let data = Description { dataset: "digits".into(), rows: 8, cols: 8, white: 16, ..Description::default() };
        QueryOrigin { feature_bits: 8, features: "pixels".into(), data, first: 7 }
    }

    #[test]
    fn bytes_travel_from_client_to_server_and_back() {
        let secret = toy(5);
        let gmp = backend::open(BackendId::Gmp).unwrap();
        let map = LinearMap::new(Weights::new(2, 3, vec![1, -2, 3, 0, 127, -128]).unwrap(), vec![-5, 1000], 255).unwrap();
        let packing = Packing::new(512, map.result_bits(), Some(4)).unwrap();
        // More images than a ciphertext holds, and more ciphertexts than a step.
        let values: Vec<u16> = (0..3 * 350).map(|i| (i * 77 % 256) as u16).collect();
        let inputs = Inputs::new(&values, 3).unwrap();
        let tables = Tables { uses: 300, ..Tables::default() };
        let rerandomisation = (Rerandomisation::Auto, tables);
        let server = Server::new(gmp.as_ref(), secret.sound(), &map, (packing.into(), None), rerandomisation, Tape::replayable(2)).unwrap();
        let mut server = server.with_model("small\n", "ab".repeat(32));
        let client = |key: ClientKey<'_>| Client::new(gmp.as_ref(), key, packing, key.fastest(), tables, Tape::replayable(3)).unwrap();
        let owner = client(ClientKey::Secret(&secret));
        let expected: Vec<i64> = values.chunks(3).flat_map(|image| map.apply(image)).collect();
        for mut client in [client(ClientKey::Secret(&secret)), client(ClientKey::Public(secret.public()))] {
            let query = client.encrypt(&inputs, origin()).unwrap();
            assert_ne!(client.encrypt(&inputs, origin()).unwrap(), query, "randomness is never used twice");
            let answer = server.evaluate(&query).unwrap();
            let (header, results) = owner.decrypt(&answer).unwrap();
            assert_eq!((results, header.images, header.first, header.model.as_str()), (expected.clone(), 350, 7, "small"));

            let mut damaged = query.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(matches!(server.evaluate(&damaged), Err(Error::File { .. })));
            assert!(server.evaluate(&answer).is_err() && owner.decrypt(&query).is_err(), "each takes its own kind");
            let other = Client::new(gmp.as_ref(), ClientKey::Secret(&toy(6)), packing, Encryption::Owner, tables, Tape::replayable(3)).unwrap();
            assert!(matches!(other.decrypt(&answer), Err(Error::WrongKey { .. })));
        }
        assert!(matches!(client(ClientKey::Public(secret.public())).decrypt(&[]), Err(Error::Unsupported { .. })));
        let narrow = Inputs::new(&values, 2).unwrap();
        let query = client(ClientKey::Secret(&secret)).encrypt(&narrow, origin()).unwrap();
        assert!(matches!(server.evaluate(&query), Err(Error::Size { expected: 3, actual: 2, .. })));
    }

    #[test]
    fn what_is_told_of_a_step_can_stop_the_work() {
        let secret = toy(5);
        let gmp = backend::open(BackendId::Gmp).unwrap();
        let packing = Packing::new(512, 20, Some(1)).unwrap();
        let tables = Tables { uses: 600, ..Tables::default() };
        let mut client = Client::new(gmp.as_ref(), ClientKey::Secret(&secret), packing, Encryption::Owner, tables, Tape::replayable(3)).unwrap();
        let mut told = Vec::new();
        let stopped = client.query(&Inputs::new(&[1; 600], 2).unwrap(), origin(), &mut |done| {
            told.push(done);
            if done >= STEP { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Error::Interrupted)));
        assert_eq!(told, [0, STEP]);
    }
}
