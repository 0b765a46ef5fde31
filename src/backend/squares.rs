//! Residues modulo squares: the verbs that Paillier's ciphertexts need beside those of all
//! residues.

use rayon::prelude::*;

use super::Residues;
use super::residues::{check_count, check_reduced};
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::{Limbs, words_for_bits};
use crate::modulus::{Modulus, wipe};

/// Arithmetic modulo one or more squares of known odd roots, in one batch.
pub trait SquareResidues: Residues {
    /// 1 + r f v for every value v and every modulus r^2 with its factor f: the message part of
    /// Paillier ciphertexts, (1 + r)^(f v).
    ///
    /// Input: numbers of any width below 64 r^2; a factor for each modulus, f >= 0.
    ///
    /// # Errors
    /// [`Error::Size`] for another number of factors, [`Error::Unsupported`] for a modulus without
    /// a root, [`Error::OutOfRange`] for values that are too large for the backend.
    fn one_plus(&self, values: &Limbs, factors: &[Integer]) -> Result<super::Resident> {
        check_count("factors", self.moduli().len(), factors.len())?;
        let residues = self.moduli().iter().zip(factors).map(|(modulus, factor)| one_plus(modulus, values, factor));
        self.upload_each(&residues.collect::<Result<Vec<_>>>()?)
    }

    /// x m' + y m modulo m m' for two moduli m and m', with x from the first of `parts` and y from
    /// the second: the Chinese remainder theorem for residues that carry the factors 1/m' modulo m
    /// and 1/m modulo m'. All on the processor.
    ///
    /// # Errors
    /// [`Error::Size`] for another number of moduli or parts and for parts of different lengths,
    /// [`Error::OutOfRange`] for a value that is not reduced.
    fn join(&self, parts: &[Limbs]) -> Result<Limbs> {
        join(self.moduli(), parts)
    }
}

/// Returns the two moduli and their parts of [`SquareResidues::join`]; refuses what it cannot join.
pub(super) fn check_parts<'a>(moduli: &'a [Modulus], parts: &'a [Limbs]) -> Result<[(&'a Limbs, &'a Modulus); 2]> {
    let ([m, other], [x, y]) = (moduli, parts) else {
        let actual = if moduli.len() == 2 { parts.len() } else { moduli.len() };
        return Err(Error::size("moduli to join", 2, actual));
    };
    check_count("residues to join", x.len(), y.len())?;
    check_reduced(x, m)?;
    check_reduced(y, other)?;
    Ok([(x, m), (y, other)])
}

/// For backends: [`SquareResidues::join`] by GMP.
pub(super) fn join(moduli: &[Modulus], parts: &[Limbs]) -> Result<Limbs> {
    let [(x, m), (y, other)] = check_parts(moduli, parts)?;
    let mut product = Integer::from(m.value() * other.value());
    let joined = |i: usize| {
        let mut sum = x.integer(i) * other.value();
        sum += y.integer(i) * m.value();
        if sum >= product {
            sum -= &product;
        }
        sum
    };
    let values: Vec<Integer> = (0..x.len()).into_par_iter().with_min_len(8).map(joined).collect();
    let limbs = Limbs::from_integers(&values, words_for_bits(product.significant_bits()));
    wipe(&mut product);
    limbs
}

/// The residues of [`SquareResidues::one_plus`] modulo one number, by GMP.
fn one_plus(modulus: &Modulus, values: &Limbs, factor: &Integer) -> Result<Limbs> {
    let root = root_of(modulus)?;
    let residue = |value: Integer| value * factor % root * root + 1u32;
    // Below that the threads cost more than they save.
    let mut residues: Vec<Integer> = values.to_integers().into_par_iter().with_min_len(32).map(residue).collect();
    let limbs = Limbs::from_integers(&residues, modulus.width());
    residues.iter_mut().for_each(wipe);
    limbs
}

/// For backends: the root of a modulus that must be a square.
pub(super) fn root_of(modulus: &Modulus) -> Result<&Integer> {
    modulus.root().ok_or_else(|| Error::unsupported("a modulus that is no known square", "messages as 1 + r v"))
}
