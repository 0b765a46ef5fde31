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

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rayon::prelude::*;
use rug::Integer;

use super::cipher::{Ciphertexts, Sendable};
use super::key::{PublicKey, SecretKey, teichmueller};
use crate::backend::{Backend, Digits, Exponents, Lookup, Resident, Ring, Secrecy};
use crate::error::{Error, Result};
use crate::limbs::Limbs;
use crate::modulus::{Modulus, wipe};
use crate::plan::Program;
use crate::plan::fixed_base::FixedBase;
use crate::randomness::{Purpose, Stream, Tape};

/// How randomisers are made; see the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// The key owner's own fast way with the textbook's distribution.
    Owner,
    /// Powers of one base with exponents of half the key's length.
    Djn,
    /// r^n.
    Standard,
}

impl Encryption {
    /// All ways, the fastest first.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Djn, Self::Standard];

    /// The name on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Djn => "djn",
            Self::Standard => "standard",
        }
    }

    /// One line on what it is.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Owner => "by the key owner, with tables modulo p^2 and q^2; exactly the textbook's distribution",
            Self::Djn => "by anybody, powers of a fixed base with half-length exponents (Damgard-Jurik-Nielsen)",
            Self::Standard => "by anybody, r^n: the textbook",
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encryption {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|e| e.name() == text).ok_or_else(|| Error::Unknown {
            what: "encryption",
            value: text.into(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Bits of a table's digit. 8 bits: 128 products for 1024 random bits, 8 MB of table modulo p^2 at a 2048-bit key.
const WINDOW_BITS: u32 = 8;

/// Makes ciphertexts on one backend under one key.
pub struct Encryptor {
    public: PublicKey,
    mode: Mode,
    purpose: Purpose,
}

enum Mode {
    Standard { ring: Arc<dyn Ring>, product: Program },
    Djn(Table),
    Owner { halves: Box<[OwnerHalf; 2]>, secret: Box<SecretKey> },
}

struct OwnerHalf {
    table: Table,
    /// The order p - 1 of M_p: exponents are uniform below it.
    order: Integer,
    /// n mod p^2, for 1 + m n.
    n: Integer,
}

/// Powers of one base on a backend.
struct Table {
    ring: Arc<dyn Ring>,
    plan: FixedBase,
    table: Resident,
    exponent_bits: u32,
}

impl Table {
    fn new(ring: Arc<dyn Ring>, base: Integer, exponent_bits: u32) -> Result<Self> {
        let plan = FixedBase::plan(exponent_bits, WINDOW_BITS.min(exponent_bits))?;
        let inputs = ring.upload(&Limbs::from_integers(&[base, Integer::from(1)], ring.modulus().width())?)?;
        let table = ring.run(plan.build(), &inputs, None)?;
        Ok(Self { ring, plan, table, exponent_bits })
    }

    /// start_i * base^(e_i) for every i. Input: starts below the modulus, exponents below 2^exponent_bits.
    fn times_power<'a>(&self, starts: &[Integer], exponents: impl Iterator<Item = &'a Integer>) -> Result<Resident> {
        let bits = self.plan.window_bits();
        let digit = |e: &Integer, k: usize| (0..bits).fold(0u16, |d, b| d | u16::from(e.get_bit(k as u32 * bits + b)) << b);
        let values = exponents.flat_map(|e| (0..self.plan.windows()).map(move |k| digit(e, k))).collect();
        let digits = Digits::new(self.plan.windows(), values)?;
        let starts = self.ring.upload(&Limbs::from_integers(starts, self.ring.modulus().width())?)?;
        self.ring.run(self.plan.apply(), &starts, Some(Lookup { table: &self.table, digits: &digits }))
    }
}

impl Encryptor {
    /// `standard` encryption for anybody who has the public key. `purpose` keeps the randomness of the owner and of the server apart.
    ///
    /// # Errors
    /// When the backend cannot handle the modulus.
    pub fn standard(backend: &dyn Backend, public: &PublicKey, purpose: Purpose) -> Result<Self> {
        let mode = Mode::Standard { ring: backend.ring(public.modulus()?)?, product: Program::single_product()? };
        Ok(Self { public: public.clone(), mode, purpose })
    }

    /// `djn` encryption for anybody who has the public key with its base; builds the table.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a key without a base; when the backend cannot handle the modulus.
    pub fn djn(backend: &dyn Backend, public: &PublicKey, purpose: Purpose) -> Result<Self> {
        Self::djn_of_length(backend, public, purpose, public.bits() / 2)
    }

    /// `djn` with exponents of another length.
    pub(super) fn djn_of_length(backend: &dyn Backend, public: &PublicKey, purpose: Purpose, exponent_bits: u32) -> Result<Self> {
        let base = public.djn_base().ok_or_else(|| Error::Unsupported {
            subject: "a public key without hs".into(),
            feature: "djn encryption; use --encryption standard".into(),
        })?;
        let table = Table::new(backend.ring(public.modulus()?)?, base.clone(), exponent_bits)?;
        Ok(Self { public: public.clone(), mode: Mode::Djn(table), purpose })
    }

    /// `owner` encryption for the key owner; builds the tables, which are secret.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a key whose factors of p - 1 are unknown; when the backend cannot handle the moduli.
    pub fn owner(backend: &dyn Backend, secret: &SecretKey, purpose: Purpose) -> Result<Self> {
        let generators = secret.generators()?;
        let build = |which: usize| -> Result<OwnerHalf> {
            let half = &secret.halves()[which];
            let ring = backend.ring(Modulus::square(half.prime.clone())?)?;
            let base = teichmueller(&generators[which], half)?;
            let order = Integer::from(half.prime - 1u32);
            Ok(OwnerHalf { table: Table::new(ring, base, order.significant_bits())?, order, n: Integer::from(secret.public().n() % half.squared) })
        };
        let halves = Box::new([build(0)?, build(1)?]);
        Ok(Self { public: secret.public().clone(), mode: Mode::Owner { halves, secret: Box::new(secret.clone()) }, purpose })
    }

    /// The way that `encryption` names, by the key owner.
    ///
    /// # Errors
    /// As the way's own function.
    pub fn new(backend: &dyn Backend, encryption: Encryption, secret: &SecretKey, purpose: Purpose) -> Result<Self> {
        match encryption {
            Encryption::Owner => Self::owner(backend, secret, purpose),
            Encryption::Djn => Self::djn(backend, secret.public(), purpose),
            Encryption::Standard => Self::standard(backend, secret.public(), purpose),
        }
    }

    /// Bytes of tables, as residues of plain words.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        let of = |t: &Table| (t.table.len() * t.ring.modulus().width() * 8) as u64;
        match &self.mode {
            Mode::Standard { .. } => 0,
            Mode::Djn(table) => of(table),
            Mode::Owner { halves, .. } => halves.iter().map(|h| of(&h.table)).sum(),
        }
    }

    /// Encrypts signed integers, each with fresh randomness: ciphertext i takes stream `first + i` of the tape. Output: canonical residues modulo n^2.
    ///
    /// Time: the randomiser's table addresses (`djn`, `owner`) and GMP's divisions depend on secrets; `standard` takes no secret but r.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for |m| >= n/2.
    pub fn encrypt(&self, messages: &[Integer], tape: &Tape, first: u64) -> Result<Ciphertexts<Sendable>> {
        let draws = (0..messages.len()).into_par_iter().map(|i| self.draw(&mut tape.stream(self.purpose, first + i as u64))).collect::<Vec<_>>();
        self.encrypt_drawn(messages, &draws)
    }

    /// The randomness of one ciphertext. `standard`: r; `djn`: the exponent of the base; `owner`: the exponents modulo p - 1 and q - 1.
    fn draw(&self, stream: &mut Stream) -> Drawn {
        Drawn(match &self.mode {
            Mode::Standard { .. } => vec![stream.unit(self.public.n())],
            Mode::Djn(table) => vec![stream.bits(table.exponent_bits)],
            Mode::Owner { halves, .. } => halves.iter().map(|half| stream.below(&half.order)).collect(),
        })
    }

    /// Encrypts with randomness that the caller knows, as known answers need. Only tests are built with it: whoever knows the randomness reads the message.
    #[cfg(test)]
    pub(super) fn encrypt_given(&self, messages: &[Integer], given: Vec<Vec<Integer>>) -> Result<Ciphertexts<Sendable>> {
        let limits = match &self.mode {
            Mode::Standard { .. } => vec![self.public.n().clone()],
            Mode::Djn(table) => vec![Integer::from(1) << table.exponent_bits],
            Mode::Owner { halves, .. } => halves.iter().map(|half| half.order.clone()).collect(),
        };
        for (drawn, limit) in given.iter().flat_map(|g| g.iter().zip(&limits)) {
            let unit = !matches!(self.mode, Mode::Standard { .. }) || Integer::from(drawn.gcd_ref(limit)) == 1;
            if drawn.is_negative() || drawn >= limit || !unit {
                return Err(Error::OutOfRange { what: "randomness", value: format!("{} bits", drawn.significant_bits()), allowed: "a unit".into() });
            }
        }
        self.encrypt_drawn(messages, &given.into_iter().map(Drawn).collect::<Vec<_>>())
    }

    fn encrypt_drawn(&self, messages: &[Integer], draws: &[Drawn]) -> Result<Ciphertexts<Sendable>> {
        let public = &self.public;
        let residues = messages.iter().map(|m| public.residue(m)).collect::<Result<Vec<_>>>()?;
        let part = |which: usize| draws.iter().map(move |drawn: &Drawn| &drawn.0[which]);
        let with_message =
            |n: &Integer, modulus: &Integer| -> Vec<Integer> { residues.par_iter().map(|m| (Integer::from(m * n) + 1u32) % modulus).collect() };
        let values = match &self.mode {
            Mode::Standard { ring, product } => {
                let width = ring.modulus().width();
                let r = ring.upload(&Limbs::from_integers(part(0), width)?)?;
                let randomisers = ring.pow(&r, Exponents::Shared(public.n()), Secrecy::Public)?;
                let messages = ring.upload(&Limbs::from_integers(&with_message(public.n(), public.n_squared()), width)?)?;
                let pairs = ring.gather(&[&messages, &randomisers], &interleaved(messages.len()))?;
                ring.download(&ring.run(product, &pairs, None)?)?
            }
            Mode::Djn(table) => table.ring.download(&table.times_power(&with_message(public.n(), public.n_squared()), part(0))?)?,
            Mode::Owner { halves, secret } => {
                let residue = |which: usize| -> Result<Limbs> {
                    let half = &halves[which];
                    let starts = with_message(&half.n, half.table.ring.modulus().value());
                    half.table.ring.download(&half.table.times_power(&starts, part(which))?)
                };
                let (x_p, x_q) = (residue(0)?, residue(1)?);
                let joined: Vec<Integer> =
                    (0..messages.len()).into_par_iter().map(|i| secret.join_ciphertext(&x_p.integer(i), &x_q.integer(i))).collect();
                Limbs::from_integers(&joined, crate::limbs::words_for_bits(public.n_squared().significant_bits()))?
            }
        };
        Ok(Ciphertexts::of(public, values))
    }
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
