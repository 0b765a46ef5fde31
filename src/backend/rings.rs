//! Arithmetic modulo several numbers at once, and the way to do it with a ring for each.

use std::sync::Arc;

use rayon::prelude::*;

use super::{BackendId, Digits, Exponents, Lookup, Resident, Ring, Secrecy};
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::Program;

/// A table for each modulus, and each item's digits into them.
#[derive(Clone, Copy)]
pub struct Lookups<'a> {
    /// As [`Lookup::table`], of the same moduli.
    pub table: &'a Resident,
    /// As [`Lookup::digits`], for each modulus.
    pub digits: &'a [Digits],
}

/// Arithmetic modulo several odd numbers at once, as the Chinese remainder theorem asks for: each verb does modulo every one of them what the verb of [`Ring`]
/// with its name does modulo one. A batch holds equally many residues of each modulus, and its length is that number.
pub trait Rings: Send + Sync {
    /// The moduli, one or more.
    fn moduli(&self) -> Vec<&Modulus>;

    /// As [`Ring::batch`].
    fn batch(&self) -> usize;

    /// As [`Ring::is_apart`].
    fn is_apart(&self) -> bool {
        false
    }

    /// Brings residues to the device.
    ///
    /// Input: a batch for each modulus, of its width in words, all of one length, each value below the modulus.
    ///
    /// # Errors
    /// As [`Ring::upload`]; [`Error::Size`] for another number of batches or for batches of several lengths.
    fn upload(&self, values: &[Limbs]) -> Result<Resident>;

    /// 1 + r f v for every value v and every modulus r^2 with its factor f.
    ///
    /// # Errors
    /// As [`Ring::one_plus`]; [`Error::Size`] for another number of factors.
    fn one_plus(&self, values: &Limbs, factors: &[Integer]) -> Result<Resident>;

    /// Runs `program` over all items modulo each of the moduli.
    ///
    /// # Errors
    /// As [`Ring::run`]; [`Error::Size`] for another number of digits.
    fn run(&self, program: &Program, inputs: &Resident, lookups: Option<Lookups<'_>>) -> Result<Resident>;

    /// As [`Ring::table`].
    ///
    /// # Errors
    /// When the device fails.
    fn table(&self, entries: Resident) -> Result<Resident> {
        Ok(entries)
    }

    /// base^exponent for every base, with an exponent for each modulus.
    ///
    /// # Errors
    /// As [`Ring::pow`]; [`Error::Size`] for another number of exponents.
    fn pow(&self, bases: &Resident, exponents: &[Integer], secrecy: Secrecy) -> Result<Resident>;

    /// As [`Ring::gather`], the same picks modulo each of the moduli.
    ///
    /// # Errors
    /// As [`Ring::gather`].
    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident>;

    /// Brings canonical residues back, a batch for each modulus.
    ///
    /// # Errors
    /// When the device fails.
    fn download(&self, values: &Resident) -> Result<Vec<Limbs>>;

    /// As [`Ring::join`], for residues of two moduli.
    ///
    /// # Errors
    /// As [`Ring::join`]; [`Error::Size`] for another number of moduli or batches.
    fn join(&self, parts: &[Limbs]) -> Result<Limbs> {
        let (moduli, [x, y]) = (self.moduli(), two(parts)?);
        let [m, other] = two(&moduli)?;
        super::join([(x, m), (y, other)])
    }
}

/// Both of two.
fn two<T>(all: &[T]) -> Result<&[T; 2]> {
    all.try_into().map_err(|_| Error::Size { what: "moduli to join", expected: 2, actual: all.len() })
}

/// For backends: refuses anything but one of each modulus.
pub(super) fn check_count(what: &'static str, expected: usize, actual: usize) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(Error::Size { what, expected, actual }) }
}

/// For backends: refuses batches of several lengths, or another number of them than of moduli.
pub(super) fn check_batches(moduli: usize, values: &[Limbs]) -> Result<()> {
    check_count("batches of residues", moduli, values.len())?;
    let length = values.first().map_or(0, Limbs::len);
    values.iter().try_for_each(|batch| check_count("residues of a batch", length, batch.len()))
}

/// A ring for each modulus, side by side on the threads that are free.
pub(super) struct Apart {
    id: BackendId,
    rings: Vec<Arc<dyn Ring>>,
}

/// A batch of each ring.
struct Batches(Vec<Resident>);

impl Apart {
    pub(super) fn new(id: BackendId, rings: Vec<Arc<dyn Ring>>) -> Result<Self> {
        if rings.is_empty() {
            return Err(Error::Size { what: "moduli", expected: 1, actual: 0 });
        }
        Ok(Self { id, rings })
    }

    fn of<'a>(&self, values: &'a Resident) -> Result<&'a [Resident]> {
        let batches = &values.storage::<Batches>(self.id)?.0;
        check_count("moduli of a batch", self.rings.len(), batches.len())?;
        Ok(batches)
    }

    /// `work` in every ring.
    fn each(&self, work: impl Fn(usize, &dyn Ring) -> Result<Resident> + Sync) -> Result<Resident> {
        let batches = self.rings.par_iter().enumerate().map(|(number, ring)| work(number, ring.as_ref())).collect::<Result<Vec<_>>>()?;
        Ok(Resident::new(batches.first().map_or(0, Resident::len), Batches(batches)))
    }
}

impl Rings for Apart {
    fn moduli(&self) -> Vec<&Modulus> {
        self.rings.iter().map(|ring| ring.modulus()).collect()
    }

    fn batch(&self) -> usize {
        self.rings.iter().map(|ring| ring.batch()).max().unwrap_or(1)
    }

    fn upload(&self, values: &[Limbs]) -> Result<Resident> {
        check_batches(self.rings.len(), values)?;
        self.each(|number, ring| ring.upload(&values[number]))
    }

    fn one_plus(&self, values: &Limbs, factors: &[Integer]) -> Result<Resident> {
        check_count("factors", self.rings.len(), factors.len())?;
        self.each(|number, ring| ring.one_plus(values, &factors[number]))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookups: Option<Lookups<'_>>) -> Result<Resident> {
        let inputs = self.of(inputs)?;
        let tables = lookups.map(|lookups| self.of(lookups.table)).transpose()?;
        if let Some(lookups) = lookups {
            check_count("digits of all moduli", self.rings.len(), lookups.digits.len())?;
        }
        self.each(|number, ring| {
            let lookup = lookups.zip(tables).map(|(lookups, tables)| Lookup { table: &tables[number], digits: &lookups.digits[number] });
            ring.run(program, &inputs[number], lookup)
        })
    }

    fn table(&self, mut entries: Resident) -> Result<Resident> {
        let count = entries.len();
        let batches = std::mem::take(&mut entries.storage_mut::<Batches>(self.id)?.0);
        check_count("moduli of a batch", self.rings.len(), batches.len())?;
        let tables = self.rings.par_iter().zip(batches).map(|(ring, batch)| ring.table(batch)).collect::<Result<Vec<_>>>()?;
        Ok(Resident::new(count, Batches(tables)))
    }

    fn pow(&self, bases: &Resident, exponents: &[Integer], secrecy: Secrecy) -> Result<Resident> {
        let bases = self.of(bases)?;
        check_count("exponents", self.rings.len(), exponents.len())?;
        self.each(|number, ring| ring.pow(&bases[number], Exponents::Shared(&exponents[number]), secrecy))
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        let sources = sources.iter().map(|source| self.of(source)).collect::<Result<Vec<_>>>()?;
        self.each(|number, ring| ring.gather(&sources.iter().map(|batches| &batches[number]).collect::<Vec<_>>(), picks))
    }

    fn download(&self, values: &Resident) -> Result<Vec<Limbs>> {
        self.rings.par_iter().zip(self.of(values)?).map(|(ring, batch)| ring.download(batch)).collect()
    }

    fn join(&self, parts: &[Limbs]) -> Result<Limbs> {
        let ([own, others], [ring, other]) = (two(parts)?, two(&self.rings)?);
        ring.join(own, other.modulus(), others)
    }
}
