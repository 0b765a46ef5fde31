//! Encryption: c = (1 + m n) rho with a fresh n-th residue rho. Three ways to make rho.
//!
//! | name | rho | distribution | who |
//! |---|---|---|---|
//! | `standard` | r^n mod n^2, r uniform among the units modulo n | the textbook's | anybody |
//! | `djn` | (h^n)^a mod n^2 with a table, a uniform of half the key's length | Damgård-Jurik-Nielsen 2010, section 4.2 | anybody |
//! | `owner` | joined from uniform Teichmüller elements mod p^2 and mod q^2, with tables | **the textbook's, exactly** | the key owner |
//!
//! **Why `owner` is exact.** Let w(x) = x^p mod p^2. (x + k p)^p = x^p (mod p^2), so w depends on x mod p only; it is multiplicative and w(x) = x (mod p), hence
//! an isomorphism from Z_p^* onto the subgroup M_p of order p - 1 of (Z/p^2)^*. For a unit r: r^n = w(r)^q = w(r^q) (mod p^2), and as gcd(q, p - 1) = 1 (it
//! divides gcd(n, phi(n)) = 1), r -> r^q permutes Z_p^*. So r uniform modulo p makes r^n uniform on M_p, and the same holds for q. By the Chinese remainder
//! theorem r mod p and r mod q are independent, and each pair (rho mod p^2, rho mod q^2) in M_p x M_q is exactly one n-th residue. Conversely, independent
//! uniform elements of M_p and M_q joined by CRT are a uniform n-th residue. With a generator g of Z_p^*, w(g)^a with a uniform in [0, p - 1) is uniform on M_p.
//! A test runs through all exponents of toy keys.
//!
//! **Own bases, for the server.** The key owner knows p and q, so what hides the server's weights from them must not rest on their choice of h, nor on a hard
//! problem modulo p. The server draws uniform units x_k, one for each of w windows, and takes rho = prod (x_k^n)^(d_k) with digits d_k uniform below 2^8, from a
//! table. Let G be the group of n-th residues and D the difference of two digit vectors, with greatest common divisor g. Over the choice of the bases, the products
//! collide with probability 1/|g G| = |G\[g\]|/|G|. D = 0 has probability 2^(-8 w); g > 1 needs a prime that divides all D_k, which has probability about 2^-w for 2
//! and less for others, while |G\[2\]| = 4 for n = p q. By the leftover hash lemma rho, together with the bases, is within sqrt(4 2^-w + |G| 2^(-8 w)) / 2 < 2^-120
//! of a uniform n-th residue, since 8 w exceeds the bits of n by 256. An n of k prime factors has |G\[2\]| = 2^k; those that pass the tests on import have k <= 102 at
//! 2048 bits, which leaves 2^-90. That a uniform n-th residue hides all but the plaintext needs
//! gcd(n, phi(n)) = 1, so own bases are made for a [`SoundKey`] only: proven by the owner, one's
//! own, or trusted. Under a proven key nothing (no Jacobi symbol, no coset) is left unhidden, at a
//! sixth of the cost of r^n.

use std::sync::Arc;

use rayon::prelude::*;
use zeroize::Zeroize;

use super::cipher::{Ciphertexts, Sendable};
use super::key::{PublicKey, SecretKey, teichmueller};
use super::sound::SoundKey;
use crate::backend::{Backend, Digits, Exponents, Lookup, Resident, Secrecy, SquareResidues};
use crate::error::{Error, Result};
use crate::integer::{Integer, Order};
use crate::limbs::{Limbs, words_for_bits};
use crate::modulus::{Modulus, wipe};
use crate::plan::Program;
use crate::plan::fixed_base::{FixedBase, PARTS};
use crate::randomness::{Purpose, Stream, Tape};
use crate::text::named;

named! {
    /// How randomisers are made; see the module's documentation.
    pub enum Encryption: "encryption" {
        /// The key owner's own fast way with the textbook's distribution.
        Owner => "owner": "by the key owner, with tables modulo p^2 and q^2; exactly the textbook's distribution",
        /// Powers of one base with exponents of half the key's length.
        Djn => "djn": "by anybody, powers of a fixed base with half-length exponents (Damgard-Jurik-Nielsen)",
        /// r^n.
        Standard => "standard": "by anybody, r^n: the textbook",
    }
}

impl Encryption {
    /// The fastest way that a secret key is fit for. Keys of other programs lack the factors of
    /// p - 1 that `owner` needs, and often the base that `djn` needs.
    #[must_use]
    pub fn fastest(secret: &SecretKey) -> Self {
        match (secret.large_factors(), secret.public().djn_base()) {
            ([Some(_), Some(_)], _) => Self::Owner,
            (_, Some(_)) => Self::Djn,
            (_, None) => Self::Standard,
        }
    }
}

/// Bits by which the exponents of own bases exceed the group, twice the statistical security; see the module's documentation.
const STATISTICAL_BITS: u32 = 128;
/// Results for which own bases are prepared; fewer are served by powers.
const WORTH_BASES: usize = 100;
/// Ciphertexts of a chunk come in multiples of this, the lanes of the widest backend.
const LANES: usize = 8;
/// The stream that own bases come from: no ciphertext has this number.
const BASES_STREAM: u64 = (1 << 56) - 1;

named! {
    /// How the server re-randomises results; see the module's documentation.
    pub enum Rerandomisation: "re-randomisation" {
        /// `Bases` for a hundred results and more, `Standard` for fewer: the bases cost a power for
        /// each window before the first result, but none after it.
        Auto => "auto",
        /// Products of powers of the server's own random bases, within 2^-120 of the textbook's
        /// distribution.
        Bases => "bases",
        /// r^n: the textbook.
        Standard => "standard",
    }
}

impl Rerandomisation {
    /// Whether this many results are re-randomised from own bases.
    #[must_use]
    pub const fn takes_bases(self, results: usize) -> bool {
        match self {
            Self::Auto => results >= WORTH_BASES,
            Self::Bases => true,
            Self::Standard => false,
        }
    }

    /// The server's source of fresh encryptions; `tables.uses` is the number of results.
    ///
    /// # Errors
    /// When the backend cannot handle the modulus.
    pub fn encryptor(self, backend: &dyn Backend, public: &SoundKey, tables: Tables, tape: &Tape) -> Result<Encryptor> {
        if self.takes_bases(tables.uses) {
            Encryptor::own_bases(backend, public, tables, Purpose::Rerandomisation, tape)
        } else {
            Encryptor::standard(backend, public, Purpose::Rerandomisation)
        }
    }
}

/// Makes ciphertexts on one backend under one key.
pub struct Encryptor {
    public: PublicKey,
    mode: Mode,
    purpose: Purpose,
}

enum Mode {
    Standard {
        squares: Arc<dyn SquareResidues>,
        product: Program,
    },
    /// One power of a base, or one of each of many bases.
    Table(Box<Table>),
    /// A table modulo p^2 and one modulo q^2.
    Owner {
        table: Box<Table>,
        halves: Box<[OwnerHalf; 2]>,
    },
}

struct OwnerHalf {
    /// The order p - 1 of M_p: exponents are uniform below it.
    order: Integer,
    /// q mod p: 1 + m n = 1 + p (m q mod p) (mod p^2).
    cofactor: Integer,
}

impl Drop for OwnerHalf {
    fn drop(&mut self) {
        [&mut self.order, &mut self.cofactor].into_iter().for_each(wipe);
    }
}

/// Powers of one base, modulo one number or of one for each of several.
struct Table {
    squares: Arc<dyn SquareResidues>,
    plan: FixedBase,
    table: Resident,
    exponent_bits: u32,
}

/// How large tables may be and how much they will be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Ciphertexts that will be made: more of them are worth larger tables.
    pub uses: usize,
    /// Most bytes of all tables together, counted as residues of plain words.
    pub max_bytes: u64,
}

impl Default for Tables {
    /// For thousands of ciphertexts, 64 MiB.
    fn default() -> Self {
        Self { uses: 10_000, max_bytes: 64 << 20 }
    }
}

impl Tables {
    fn share(self, parts: u64) -> Self {
        Self { max_bytes: self.max_bytes / parts, ..self }
    }

    fn window_bits(self, exponent_bits: u32, width: usize) -> u32 {
        FixedBase::best_window_bits(exponent_bits, self.uses, usize::try_from(self.max_bytes).unwrap_or(usize::MAX) / (8 * width))
    }
}

impl Table {
    /// `factors` times powers of one base each, for exponents of `exponent_bits`: a factor and a base for each modulus.
    fn new(squares: Arc<dyn SquareResidues>, bases: &[Integer], factors: &[Integer], exponent_bits: u32, tables: Tables) -> Result<Self> {
        let moduli = squares.moduli();
        let width = moduli.iter().map(|modulus| modulus.width()).max().unwrap_or(1);
        let plan = FixedBase::plan(exponent_bits, tables.window_bits(exponent_bits, width))?;
        let one = Integer::from(1);
        let inputs =
            bases.iter().zip(factors).zip(moduli).map(|((base, factor), modulus)| Limbs::from_integers([base, &one, factor], modulus.width()));
        let inputs = squares.upload_each(&inputs.collect::<Result<Vec<_>>>()?)?;
        let table = squares.table(squares.run(plan.build(), &inputs, None)?)?;
        Ok(Self { squares, plan, table, exponent_bits })
    }

    /// Powers of uniform n-th residues, one for each window; the exponents together have `exponent_bits` or a little more. `squares`: modulo n^2 alone.
    fn of_random_bases(squares: Arc<dyn SquareResidues>, n: &Integer, exponent_bits: u32, tables: Tables, stream: &mut Stream) -> Result<Self> {
        let width = squares.modulus().width();
        let window_bits = tables.window_bits(exponent_bits, width).min(8);
        let plan = FixedBase::plan_bases((exponent_bits.div_ceil(window_bits) as usize).next_multiple_of(PARTS), window_bits)?;
        let units: Vec<Integer> = (0..plan.windows()).map(|_| stream.unit(n)).collect();
        let upload = |values: &[Integer]| squares.upload(&Limbs::from_integers(values, width)?);
        let residues = squares.pow(&upload(&units)?, Exponents::Shared(n), Secrecy::Public)?;
        let one = upload(&[Integer::from(1)])?;
        let picks: Vec<(usize, usize)> = (0..plan.windows()).map(|k| (0, k)).chain([(1, 0), (1, 0)]).collect();
        let table = squares.table(squares.run(plan.build(), &squares.gather(&[&residues, &one], &picks)?, None)?)?;
        Ok(Self { squares, exponent_bits: plan.windows() as u32 * window_bits, plan, table })
    }

    /// start_i times the entries that item i's exponents pick, one for each modulus. Input: exponents below 2^exponent_bits.
    fn times_power(&self, starts: &Resident, exponents: &[Drawn]) -> Result<Resident> {
        let moduli = self.squares.moduli().len();
        let digits = (0..moduli).map(|which| self.digits(exponents.iter().map(|drawn| &drawn.0[which]))).collect::<Result<Vec<_>>>()?;
        let Some(parts) = self.plan.parts().filter(|_| starts.len() <= LANES) else {
            return self.squares.run(self.plan.apply(), starts, Some(Lookup { table: &self.table, digits: &digits }));
        };
        // Few powers fill the lanes in parts. Part 0 begins with the start, the others with 1.
        let one = self.squares.one_plus(&Limbs::zeros(1, 1), &vec![Integer::new(); moduli])?;
        let picks: Vec<(usize, usize)> =
            (0..starts.len()).flat_map(|i| std::iter::once((0, i)).chain(std::iter::repeat_n((1, 0), PARTS - 1))).collect();
        let inputs = self.squares.gather(&[starts, &one], &picks)?;
        let bits = self.plan.window_bits();
        let of_parts = |digits: &Digits| {
            let part =
                |power: usize, part: usize| digits.item(power).iter().skip(part).step_by(PARTS).map(move |&digit| ((part as u16) << bits) + digit);
            Digits::new(self.plan.windows() / PARTS, (0..starts.len() * PARTS).flat_map(|item| part(item / PARTS, item % PARTS)).collect())
        };
        let part_digits = digits.iter().map(of_parts).collect::<Result<Vec<_>>>()?;
        let products = self.squares.run(&parts.apply, &inputs, Some(Lookup { table: &self.table, digits: &part_digits }))?;
        self.squares.run(&parts.join, &products, None)
    }

    /// The digits of exponents, lowest window first.
    fn digits<'a>(&self, exponents: impl ExactSizeIterator<Item = &'a Integer>) -> Result<Digits> {
        let bits = self.plan.window_bits();
        let mut values = Vec::with_capacity(exponents.len() * self.plan.windows());
        let mut words = vec![0u64; words_for_bits(self.plan.windows() as u32 * bits) + 1];
        for exponent in exponents {
            words.fill(0);
            exponent.write_digits(&mut words[..exponent.significant_digits::<u64>()], Order::Lsf);
            values.extend((0..self.plan.windows()).map(|k| {
                let (word, shift) = (k * bits as usize / 64, k as u32 * bits % 64);
                let pair = u128::from(words[word]) | u128::from(words.get(word + 1).copied().unwrap_or(0)) << 64;
                (pair >> shift) as u16 & ((1u32 << bits) - 1) as u16
            }));
        }
        words.zeroize();
        Digits::new(self.plan.windows(), values)
    }
}

impl Encryptor {
    /// `standard` encryption for anybody who has the public key. `purpose` keeps the randomness of the owner and of the server apart.
    ///
    /// # Errors
    /// When the backend cannot handle the modulus.
    pub fn standard(backend: &dyn Backend, public: &PublicKey, purpose: Purpose) -> Result<Self> {
        let mode = Mode::Standard { squares: backend.squares(vec![public.modulus()?])?, product: Program::single_product()? };
        Ok(Self { public: public.clone(), mode, purpose })
    }

    /// `djn` encryption for anybody who has the public key with its base; builds the table.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a key without a base; when the backend cannot handle the modulus.
    pub fn djn(backend: &dyn Backend, public: &PublicKey, tables: Tables, purpose: Purpose) -> Result<Self> {
        Self::djn_of_length(backend, public, tables, purpose, public.bits() / 2)
    }

    /// `djn` with exponents of another length.
    pub(super) fn djn_of_length(backend: &dyn Backend, public: &PublicKey, tables: Tables, purpose: Purpose, exponent_bits: u32) -> Result<Self> {
        let base = public.djn_base().ok_or_else(|| Error::unsupported("a public key without hs", "djn encryption; use standard"))?;
        let squares = backend.squares(vec![public.modulus()?])?;
        let table = Table::new(squares, std::slice::from_ref(base), &[Integer::from(1)], exponent_bits, tables)?;
        Ok(Self { public: public.clone(), mode: Mode::Table(Box::new(table)), purpose })
    }

    /// Randomisers from the caller's own random bases, for the server: see the module's documentation. `tape` gives the bases.
    ///
    /// # Errors
    /// When the backend cannot handle the modulus.
    pub fn own_bases(backend: &dyn Backend, public: &SoundKey, tables: Tables, purpose: Purpose, tape: &Tape) -> Result<Self> {
        let squares = backend.squares(vec![public.modulus()?])?;
        let mut stream = tape.stream(purpose, BASES_STREAM);
        let table = Table::of_random_bases(squares, public.n(), public.bits() + 2 * STATISTICAL_BITS, tables, &mut stream)?;
        Ok(Self { public: PublicKey::clone(public), mode: Mode::Table(Box::new(table)), purpose })
    }

    /// `owner` encryption for the key owner; builds the tables, which are secret.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a key whose factors of p - 1 are unknown; when the backend cannot handle the moduli.
    pub fn owner(backend: &dyn Backend, secret: &SecretKey, tables: Tables, purpose: Purpose) -> Result<Self> {
        let halves = secret.halves();
        let moduli = secret.primes().into_iter().map(|prime| Modulus::square(prime.clone())).collect::<Result<_>>()?;
        let bases = secret.generators()?.iter().zip(&halves).map(|(generator, half)| teichmueller(generator, half)).collect::<Result<Vec<_>>>()?;
        let owned = halves.each_ref().map(|half| OwnerHalf {
            order: Integer::from(half.prime - 1u32),
            cofactor: Integer::from(secret.public().n() / half.prime) % half.prime,
        });
        let exponent_bits = owned.iter().map(|half| half.order.significant_bits()).max().unwrap_or(0);
        let table = Table::new(backend.squares(moduli)?, &bases, &secret.crt_factors()?, exponent_bits, tables.share(2))?;
        let mode = Mode::Owner { table: Box::new(table), halves: Box::new(owned) };
        Ok(Self { public: secret.public().clone(), mode, purpose })
    }

    /// The way that `encryption` names, by the key owner.
    ///
    /// # Errors
    /// As the way's own function.
    pub fn new(backend: &dyn Backend, encryption: Encryption, secret: &SecretKey, tables: Tables, purpose: Purpose) -> Result<Self> {
        match encryption {
            Encryption::Owner => Self::owner(backend, secret, tables, purpose),
            Encryption::Djn => Self::djn(backend, secret.public(), tables, purpose),
            Encryption::Standard => Self::standard(backend, secret.public(), purpose),
        }
    }

    /// The key that ciphertexts are made for.
    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Bytes of tables, as residues of plain words.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        match &self.mode {
            Mode::Standard { .. } => 0,
            Mode::Table(table) | Mode::Owner { table, .. } => {
                table.squares.moduli().iter().map(|modulus| (table.table.len() * modulus.width() * 8) as u64).sum()
            }
        }
    }

    /// Encrypts signed integers, each with fresh randomness: ciphertext i takes stream `first + i` of the tape. Output: canonical residues modulo n^2.
    ///
    /// Time: the randomiser's table addresses (`djn`, `owner`) depend on secrets, and so do GMP's divisions on other backends than `ifma`; `standard` takes no secret but r.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for |m| >= n/2.
    pub fn encrypt(&self, messages: &[Integer], tape: &Tape, first: u64) -> Result<Ciphertexts<Sendable>> {
        let (batch, apart) = self.batch();
        // Chunks keep all threads at work where the device is the processor; what is drawn does not depend on them.
        let share = if apart { batch } else { messages.len().div_ceil(rayon::current_num_threads().max(1)) };
        let size = share.next_multiple_of(LANES).clamp(LANES, batch.max(LANES));
        let chunk = |(number, messages): (usize, &[Integer])| {
            let first = first + (number * size) as u64;
            let draw = |i: usize| self.draw(&mut tape.stream(self.purpose, first + i as u64));
            let draws: Vec<Drawn> = (0..messages.len()).into_par_iter().with_min_len(LANES).map(draw).collect();
            self.encrypt_drawn(messages, &draws)
        };
        let chunks = messages.par_chunks(size).enumerate().map(chunk).collect::<Result<Vec<_>>>()?;
        let mut all = Ciphertexts::none(&self.public);
        chunks.iter().try_for_each(|part| all.append(part))?;
        Ok(all)
    }

    /// Makes the randomisers of `count` ciphertexts ahead, for a squares modulo n^2: those of streams `first..` of the tape, which then must not be used again.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn pool(&self, squares: Arc<dyn SquareResidues>, count: usize, tape: &Tape, first: u64) -> Result<Pool> {
        let zeros = self.encrypt(&vec![Integer::new(); count], tape, first)?;
        Ok(Pool { public: self.public.clone(), product: Program::single_product()?, zeros: squares.upload(zeros.values())?, squares })
    }

    /// Ciphertexts of one call that keep the device busy, and whether it is none of the processor's.
    fn batch(&self) -> (usize, bool) {
        match &self.mode {
            Mode::Standard { squares, .. } => (squares.batch(), squares.is_offloaded()),
            Mode::Table(table) | Mode::Owner { table, .. } => (table.squares.batch(), table.squares.is_offloaded()),
        }
    }

    /// The randomness of one ciphertext. `standard`: r; `djn`: the exponent of the base; `owner`: the exponents modulo p - 1 and q - 1.
    fn draw(&self, stream: &mut Stream) -> Drawn {
        Drawn(match &self.mode {
            Mode::Standard { .. } => vec![stream.unit(self.public.n())],
            Mode::Table(table) => vec![stream.bits(table.exponent_bits)],
            Mode::Owner { halves, .. } => halves.iter().map(|half| stream.below(&half.order)).collect(),
        })
    }

    /// Encrypts with randomness that the caller knows, as known answers need. Only tests are built with it: whoever knows the randomness reads the message.
    #[cfg(test)]
    pub(super) fn encrypt_given(&self, messages: &[Integer], given: Vec<Vec<Integer>>) -> Result<Ciphertexts<Sendable>> {
        let limits = match &self.mode {
            Mode::Standard { .. } => vec![self.public.n().clone()],
            Mode::Table(table) => vec![Integer::from(1) << table.exponent_bits],
            Mode::Owner { halves, .. } => halves.iter().map(|half| half.order.clone()).collect(),
        };
        for (drawn, limit) in given.iter().flat_map(|g| g.iter().zip(&limits)) {
            let unit = !matches!(self.mode, Mode::Standard { .. }) || Integer::from(drawn.gcd_ref(limit)) == 1;
            if drawn.is_negative() || drawn >= limit || !unit {
                return Err(Error::range("randomness", &format!("{} bits", drawn.significant_bits()), "a unit"));
            }
        }
        self.encrypt_drawn(messages, &given.into_iter().map(Drawn).collect::<Vec<_>>())
    }

    fn encrypt_drawn(&self, messages: &[Integer], draws: &[Drawn]) -> Result<Ciphertexts<Sendable>> {
        let public = &self.public;
        let messages = residues(public, messages)?;
        let one = [Integer::from(1)];
        let values = match &self.mode {
            Mode::Standard { squares, product } => {
                let width = squares.modulus().width();
                let r = squares.upload(&Limbs::from_integers(draws.iter().map(|drawn| &drawn.0[0]), width)?)?;
                let randomisers = squares.pow(&r, Exponents::Shared(public.n()), Secrecy::Public)?;
                let starts = squares.one_plus(&messages, &one)?;
                let pairs = squares.gather(&[&starts, &randomisers], &interleaved(messages.len()))?;
                squares.download(&squares.run(product, &pairs, None)?)?
            }
            Mode::Table(table) => {
                let starts = table.squares.one_plus(&messages, &one)?;
                table.squares.download(&table.times_power(&starts, draws)?)?
            }
            Mode::Owner { table, halves } => {
                let mut cofactors = halves.each_ref().map(|half| half.cofactor.clone());
                let starts = table.squares.one_plus(&messages, &cofactors);
                cofactors.iter_mut().for_each(wipe);
                table.squares.join(&table.squares.download_each(&table.times_power(&starts?, draws)?)?)?
            }
        };
        Ok(Ciphertexts::of(public, values))
    }
}

/// Fresh encryptions of zero made ahead of their messages. Each serves one ciphertext: the pool is used up as a whole, by value.
pub struct Pool {
    public: PublicKey,
    squares: Arc<dyn SquareResidues>,
    product: Program,
    zeros: Resident,
}

impl Pool {
    /// Ciphertexts that it is good for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.zeros.len()
    }

    /// Whether it is good for none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zeros.is_empty()
    }

    /// Encrypts as many messages as the pool is good for, with one product each. The ciphertexts are the same, bit for bit, that the encryptor would have made.
    ///
    /// # Errors
    /// [`Error::Size`] for another number of messages, [`Error::OutOfRange`] for |m| >= n/2.
    pub fn encrypt(self, messages: &[Integer]) -> Result<Ciphertexts<Sendable>> {
        let public = self.public.clone();
        Ok(Ciphertexts::of(&public, self.squares.clone().download(&self.encrypt_on_device(messages)?)?))
    }

    /// As [`Self::encrypt`], leaving the ciphertexts with the backend.
    pub(super) fn encrypt_on_device(self, messages: &[Integer]) -> Result<Resident> {
        if messages.len() != self.len() {
            return Err(Error::size("messages for a pool of randomisers", self.len(), messages.len()));
        }
        let values = self.squares.one_plus(&residues(&self.public, messages)?, &[Integer::from(1)])?;
        let pairs = self.squares.gather(&[&values, &self.zeros], &interleaved(self.len()))?;
        self.squares.run(&self.product, &pairs, None)
    }
}

/// Messages modulo n.
fn residues(public: &PublicKey, messages: &[Integer]) -> Result<Limbs> {
    let mut residues = messages.iter().map(|m| public.residue(m)).collect::<Result<Vec<_>>>()?;
    let limbs = Limbs::from_integers(&residues, words_for_bits(public.bits()));
    residues.iter_mut().for_each(wipe);
    limbs
}

/// Randomness of one ciphertext; wiped when dropped.
struct Drawn(Vec<Integer>);

impl Drop for Drawn {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(wipe);
    }
}

/// Picks that put two batches of one length side by side: 0 of the first, 0 of the second, 1 of the first...
pub(super) fn interleaved(count: usize) -> Vec<(usize, usize)> {
    (0..count).flat_map(|i| [(0, i), (1, i)]).collect()
}
