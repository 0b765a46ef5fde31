//! Linear inference on Paillier ciphertexts, after the CryptoWiki page *Privacy-preserving neural networks learning*: E(y_j) = E(b_j) prod_i E(x_i)^(W_ji).
//!
//! The page's: Paillier with g = n + 1, the collapsed linear network, the drop of the softmax, the product formula. Ours: packing of many images into one
//! plaintext, the plans of the product, one inversion per row, fast exact encryption by the key owner, re-randomisation of every result.
//!
//! Layouts: [`Layout::Batch`] puts the same input of many images into one ciphertext; [`Layout::Single`] puts several inputs of one image into one and
//! several rows into one result, and masks what else such a result holds.
//!
//! **Protected:** the images and the results, from the server (semi-honest, by the decisional composite residuosity assumption; `djn` also needs its short
//! exponents to look random). **Not protected:** the model from a client with many queries (the client sees exact logits of an affine map: one query per weight
//! column and one for the bias suffice, packed a few batches); anything against a server that does not follow the protocol (ciphertexts are malleable and not
//! authenticated); anything against timing of the server, whose plan shows the weights.
//!
//! What a dishonest owner could gain by an n of bad shape is excluded by a proof that comes with
//! the public key: only a [`SoundKey`] can be computed under.

mod choices;
mod cipher;
mod client;
mod decrypt;
mod encrypt;
mod evaluate;
pub mod files;
mod key;
mod layout;
pub mod linear;
mod packing;
#[cfg(test)]
mod properties;
mod server;
mod single;
mod sound;
#[cfg(test)]
mod vectors;

pub use choices::{PackingChoice, PoolChoice, method_choice};
pub use cipher::{Ciphertexts, OnDevice, Raw, Sendable, State, check_fingerprint};
pub use client::{Client, ClientKey, OnStep, QueryOrigin, check_new_key};
pub use decrypt::Decryptor;
pub use encrypt::{Encryption, Encryptor, Pool, Rerandomisation, Tables};
pub use evaluate::Evaluator;
pub use key::{MAXIMUM_BITS, MINIMUM_BITS, PublicKey, SecretKey, TOY_MINIMUM_BITS, check_bits, security_bits};
pub use layout::{Arrangement, Layout};
pub use packing::{Packing, pack_columns, unpack_rows};
pub use server::Server;
pub use single::{Convolution, MASK_BITS};
pub use sound::{Proof, SoundKey};

use std::sync::Arc;

use super::linear::{About, Ahead, Product};
use super::{Inputs, LinearInference, LinearMap};
use crate::backend::{Backend, BackendId, Bound};
use crate::error::Result;
use crate::integer::Integer;
use crate::plan::Counts;
use crate::plan::matvec::Method;
use crate::randomness::Tape;

/// Owner and server of one inference service in one process, each with its own part.
pub struct Paillier {
    arrangement: Arrangement,
    map: LinearMap,
    client: Client,
    server: Server,
    public: SoundKey,
    ahead: PoolChoice,
    batch: usize,
}

/// Choices of an inference service.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the owner makes randomisers.
    pub encryption: Encryption,
    /// How the product is planned; the plan with the fewest products when not given.
    pub method: Option<Method>,
    /// Which values share a ciphertext.
    pub layout: Layout,
    /// How the server re-randomises results.
    pub rerandomisation: Rerandomisation,
    /// Images that the service is made for: more of them are worth larger tables.
    pub images: usize,
    /// Most bytes of the tables of each side.
    pub table_bytes: u64,
    /// Who makes randomisers ahead.
    pub ahead: PoolChoice,
}

impl Options {
    /// The plan with the fewest products, as many images in a ciphertext as fit, tables of 64 MiB for 10,000 images.
    #[must_use]
    pub fn new(encryption: Encryption) -> Self {
        let tables = Tables::default();
        Self {
            encryption,
            method: None,
            layout: Layout::Batch { images: None },
            rerandomisation: Rerandomisation::Auto,
            images: tables.uses,
            table_bytes: tables.max_bytes,
            ahead: PoolChoice::None,
        }
    }
}

/// Sets of ciphertexts in a batch: whole lanes for all threads, but few where a set takes long, so that progress shows and Ctrl-C is heard.
fn sets_per_batch(backend: BackendId, encryption: Encryption) -> usize {
    let threads = rayon::current_num_threads().max(1);
    match (backend, encryption) {
        (BackendId::Reference, _) => 1,
        // A GPU needs many numbers at once, whatever the number of threads beside it: all of MNIST's test images where they share ciphertexts.
        (BackendId::Gpu, _) => 128,
        (BackendId::Gmp, _) | (_, Encryption::Standard) => 2 * threads,
        _ => 8 * threads,
    }
}

impl Paillier {
    /// Prepares both sides: tables, plan, arithmetic.
    ///
    /// # Errors
    /// When the map does not fit the key's slots, the key is not fit for the encryption, or the backend cannot handle its moduli.
    pub fn new(backend: &dyn Backend, secret: &SecretKey, map: LinearMap, options: Options, tape: Tape) -> Result<Self> {
        let public = secret.sound().clone();
        let arrangement = options.layout.arrange(public.bits(), &map)?;
        let sets = options.images.div_ceil(arrangement.images());
        let tables = |per_set: usize| Tables { uses: sets * per_set, max_bytes: options.table_bytes };
        let tape = Arc::new(tape);
        let (ciphertexts, results) = (arrangement.ciphertexts(&map), arrangement.results(&map));
        let rerandomisation = (options.rerandomisation, tables(results));
        Ok(Self {
            server: Server::new(backend, &public, &map, (arrangement, options.method), rerandomisation, Arc::clone(&tape))?,
            client: Client::new(backend, ClientKey::Secret(secret), arrangement, options.encryption, tables(ciphertexts), tape)?,
            arrangement,
            map,
            public,
            ahead: options.ahead,
            batch: arrangement.images() * sets_per_batch(backend.id(), options.encryption),
        })
    }

    /// Which values share a ciphertext.
    #[must_use]
    pub fn arrangement(&self) -> Arrangement {
        self.arrangement
    }

    /// The server's side.
    #[must_use]
    pub fn evaluator(&self) -> &Evaluator {
        self.server.evaluator()
    }
}

impl LinearInference for Paillier {
    type Plaintexts = Vec<Integer>;
    type Query = Ciphertexts<Sendable>;
    type Loaded = OnDevice<Sendable>;
    type Evaluated = OnDevice<Sendable>;
    type Answer = Ciphertexts<Sendable>;
    type Decrypted = Vec<Integer>;

    fn about(&self) -> About {
        let arrangement = self.arrangement;
        About {
            slot_bits: arrangement.result_bits(),
            set: Some(arrangement.images()),
            batch: self.batch,
            product: Some(Product {
                method: self.evaluator().method().name(),
                multiplications: self.evaluator().products(),
                slots: arrangement.images(),
                inputs_per_ciphertext: arrangement.inputs_per_ciphertext(),
            }),
            sizes: None,
        }
    }

    fn ahead(&self) -> &'static [Ahead] {
        match self.ahead {
            PoolChoice::None => &[],
            PoolChoice::Server => &[Ahead::Answer],
            PoolChoice::Both => &[Ahead::Query, Ahead::Answer],
        }
    }

    fn make_ahead(&mut self, what: Ahead, images: usize) -> Result<()> {
        let sets = images.div_ceil(self.arrangement.images());
        match what {
            Ahead::Query => self.client.prepare(self.server.squares(), sets * self.arrangement.ciphertexts(&self.map)),
            Ahead::Answer => self.server.prepare(sets * self.arrangement.results(&self.map)),
        }
    }

    fn encode(&self, inputs: &Inputs<'_>) -> Result<Vec<Integer>> {
        self.map.check_inputs(inputs)?;
        self.arrangement.encode(inputs)
    }

    fn encrypt(&mut self, plaintexts: Vec<Integer>) -> Result<Ciphertexts<Sendable>> {
        self.client.encrypt_plaintexts(&plaintexts)
    }

    fn upload(&self, query: Ciphertexts<Sendable>) -> Result<OnDevice<Sendable>> {
        self.evaluator().upload(&query)
    }

    fn evaluate(&mut self, loaded: OnDevice<Sendable>) -> Result<OnDevice<Sendable>> {
        self.server.apply(&loaded)
    }

    fn download(&self, evaluated: OnDevice<Sendable>) -> Result<Ciphertexts<Sendable>> {
        self.evaluator().download(&evaluated)
    }

    fn decrypt(&self, answer: Ciphertexts<Sendable>) -> Result<Vec<Integer>> {
        self.client.decryptor()?.decrypt(&answer)
    }

    fn decode(&self, decrypted: Vec<Integer>, images: usize) -> Result<Vec<i64>> {
        self.arrangement.decode(&decrypted, self.map.weights().rows(), images)
    }

    fn query_bytes(&self, query: &Ciphertexts<Sendable>) -> u64 {
        query.wire_bytes(&self.public)
    }

    fn answer_bytes(&self, answer: &Ciphertexts<Sendable>) -> u64 {
        answer.wire_bytes(&self.public)
    }

    fn answer_words<'a>(&self, answer: &'a Ciphertexts<Sendable>) -> &'a [u64] {
        answer.values().words()
    }

    fn counts(&self) -> Counts {
        self.evaluator().counts()
    }

    fn bound(&self) -> Option<&dyn Bound> {
        self.evaluator().bound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{self, BackendId};
    use crate::control::Control;
    use crate::plan::Weights;

    fn toy(bits: u32) -> SecretKey {
        SecretKey::generate(bits, false, true, &Tape::replayable(5), &Control::default()).unwrap()
    }

    /// All stages; returns the answer's words and the results.
    fn infer(id: BackendId, secret: &SecretKey, map: &LinearMap, options: Options, pools: bool, values: &[u16]) -> (Vec<u64>, Vec<i64>) {
        let backend = backend::open(id).unwrap();
        let mut service = Paillier::new(backend.as_ref(), secret, map.clone(), options, Tape::replayable(9)).unwrap();
        let inputs = Inputs::new(values, map.weights().cols()).unwrap();
        if pools {
            [Ahead::Query, Ahead::Answer].into_iter().for_each(|what| service.make_ahead(what, inputs.images()).unwrap());
        }
        let query = service.encode(&inputs).and_then(|p| service.encrypt(p)).unwrap();
        let evaluated = service.upload(query).and_then(|l| service.evaluate(l)).unwrap();
        let answer = service.download(evaluated).unwrap();
        let words = service.answer_words(&answer).to_vec();
        (words, service.decode(service.decrypt(answer).unwrap(), inputs.images()).unwrap())
    }

    #[test]
    fn every_way_through_gives_the_same_results_and_every_plan_and_backend_the_same_bits() {
        let secret = toy(512);
        // Edge rows: zero, unit, all -1, all extremes.
        let mut weights = vec![0; 6];
        weights.extend([0, 1, 0, 0, 0, 0]);
        weights.extend([-1; 6]);
        weights.extend([-127; 6]);
        weights.extend([127; 6]);
        weights.extend([3, -128, 0, 77, -1, 126]);
        let map = LinearMap::new(Weights::new(6, 6, weights).unwrap(), vec![0, -5, 1 << 20, 0, -(1 << 20), 17], 255).unwrap();
        let values: Vec<u16> = (0..6 * 45).map(|i| [0, 255, 128, 1][i % 4].min((i * 37 % 256) as u16 + (i % 3) as u16 * 100).min(255)).collect();
        let expected: Vec<i64> = values.chunks(6).flat_map(|image| map.apply(image)).collect();
        let single = [None, Some(1), Some(2), Some(3)].map(|inputs_per_ciphertext| Layout::Single { inputs_per_ciphertext });
        for layout in [None, Some(1), Some(3)].map(|images| Layout::Batch { images }).into_iter().chain(single) {
            for encryption in Encryption::ALL {
                let mut bits = None;
                for id in BackendId::ALL.into_iter().filter(|&id| backend::open(id).is_ok()) {
                    for method in std::iter::once(None).chain(Method::ALL.map(Some)) {
                        // A software adapter takes long for many small batches; the other plans are compared by the conformance suite.
                        if id == BackendId::Gpu && method.is_some() {
                            continue;
                        }
                        let options = Options { method, layout, images: 45, ..Options::new(encryption) };
                        // Randomisers made ahead are the same randomisers.
                        for pools in [false, true].into_iter().take(if method.is_none() && id != BackendId::Gpu { 2 } else { 1 }) {
                            let (words, results) = infer(id, &secret, &map, options, pools, &values);
                            assert_eq!(results, expected, "{id} {encryption} {layout:?} {method:?} {pools}");
                            assert_eq!(*bits.get_or_insert(words.clone()), words, "{id} {encryption} {layout:?} {method:?} {pools}");
                        }
                    }
                }
            }
        }
    }
}
