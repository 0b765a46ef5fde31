//! Decryption by the Chinese remainder theorem: m = L(c^(p-1) mod p^2) mu_p mod p, the same for q, joined modulo n.

use std::sync::Arc;

use rayon::prelude::*;

use super::cipher::{Ciphertexts, State};
use super::key::{Half, SecretKey};
use crate::backend::{Backend, Exponents, Residues, Secrecy};
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::{Limbs, words_for_bits};
use crate::modulus::{Modulus, wipe};

/// Decrypts on one backend.
pub struct Decryptor {
    secret: SecretKey,
    /// Modulo p^2 and q^2.
    halves: Arc<dyn Residues>,
    verify: Option<Arc<dyn Residues>>,
}

impl Decryptor {
    /// Prepares decryption. With `verify`, every plaintext is checked by a second decryption without CRT, at about four times the cost.
    ///
    /// # Errors
    /// When the backend cannot handle the moduli.
    pub fn new(backend: &dyn Backend, secret: &SecretKey, verify: bool) -> Result<Self> {
        let moduli = secret.primes().into_iter().map(|prime| Modulus::square(prime.clone())).collect::<Result<_>>()?;
        let verify = if verify { Some(backend.residues(vec![secret.public().modulus()?])?) } else { None };
        Ok(Self { secret: secret.clone(), halves: backend.residues(moduli)?, verify })
    }

    /// The signed plaintexts, in (-n/2, n/2).
    ///
    /// Checked for free: c^(p-1) must be 1 mod p, which a fault in the power or a c that is no unit breaks. A fault elsewhere in one half changes the plaintext
    /// modulo one prime only, so a wrong plaintext that gets out gives n away (gcd(m' - m, n) = q): callers check slot ranges, or use `verify`.
    ///
    /// Time: the powers take secret exponents in constant time where the backend offers it; the reductions, L and the join are GMP's and are not.
    ///
    /// # Errors
    /// [`Error::WrongKey`], [`Error::Decryption`] naming the ciphertext.
    pub fn decrypt<S: State>(&self, ciphertexts: &Ciphertexts<S>) -> Result<Vec<Integer>> {
        ciphertexts.check_key(self.secret.public())?;
        let values = ciphertexts.values().to_integers();
        let halves = self.secret.halves();
        let reduced = |half: &Half<'_>| -> Result<Limbs> {
            let reduced: Vec<Integer> = values.par_iter().map(|c| Integer::from(c % half.squared)).collect();
            Limbs::from_integers(&reduced, words_for_bits(half.squared.significant_bits()))
        };
        let mut exponents = halves.each_ref().map(|half| Integer::from(half.prime - 1u32));
        // Both primes at once: a few ciphertexts fill the lanes of one thread, and few fill a GPU.
        let bases = self.halves.upload_each(&halves.iter().map(reduced).collect::<Result<Vec<_>>>()?)?;
        let powers = self.halves.pow(&bases, Exponents::OfModulus(&exponents), Secrecy::Secret).and_then(|powers| self.halves.download_each(&powers));
        exponents.iter_mut().for_each(wipe);
        let powers = powers?;
        let message = |(half, powers): (&Half<'_>, &Limbs)| -> Result<Vec<Integer>> {
            (0..values.len())
                .into_par_iter()
                .map(|index| {
                    let (quotient, rest) = (powers.integer(index) - 1u32).div_rem_floor(half.prime.clone());
                    if rest != 0 {
                        return Err(Error::Decryption {
                            index,
                            reason: "the power is not 1 modulo the prime: no unit, or a fault in the computation".into(),
                        });
                    }
                    Ok(quotient * half.mu % half.prime)
                })
                .collect()
        };
        let parts = halves.iter().zip(&powers).map(message).collect::<Result<Vec<_>>>()?;
        let (m_p, m_q) = (&parts[0], &parts[1]);
        let public = self.secret.public();
        let plain: Vec<Integer> = (0..values.len()).into_par_iter().map(|i| public.lift(self.secret.join_plaintext(&m_p[i], &m_q[i]))).collect();
        if let Some(whole) = &self.verify {
            self.verify(whole.as_ref(), &values, &plain)?;
        }
        Ok(plain)
    }

    /// c (1 - m n) is an n-th residue exactly if m is right: its power by lambda = lcm(p-1, q-1) modulo n^2 must be 1.
    fn verify(&self, whole: &dyn Residues, values: &[Integer], plain: &[Integer]) -> Result<()> {
        let public = self.secret.public();
        let [p, q] = self.secret.primes();
        let lambda = Integer::from(p - 1u32).lcm(&Integer::from(q - 1u32));
        let residues = values
            .par_iter()
            .zip(plain)
            .map(|(c, m)| {
                let g_to_minus_m = (Integer::from(1) - Integer::from(m * public.n())).modulo(public.n_squared());
                c * g_to_minus_m % public.n_squared()
            })
            .collect::<Vec<_>>();
        let bases = whole.upload(&Limbs::from_integers(&residues, whole.modulus().width())?)?;
        let powers = whole.download(&whole.pow(&bases, Exponents::Shared(&lambda), Secrecy::Secret)?)?;
        match powers.iter().position(|power| power[0] != 1 || power[1..].iter().any(|&w| w != 0)) {
            None => Ok(()),
            Some(index) => Err(Error::Decryption { index, reason: "the check without CRT does not confirm the plaintext".into() }),
        }
    }
}
