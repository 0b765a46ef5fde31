//! Residues modulo several numbers from arithmetic modulo each of them.

use std::sync::Arc;

use rayon::prelude::*;

use super::residues::{check_count, check_lengths};
use super::{BackendId, Exponents, Lookup, Resident, Residues, Secrecy, SquareResidues};
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::Program;

/// The join of arithmetics modulo one number each: [`SquareResidues::join`] of them
/// together.
pub(super) type Joiner<T> = fn(&[T], &[Modulus], &[Limbs]) -> Result<Limbs>;

/// Arithmetic modulo one number each, side by side on the threads that are free.
struct SideBySide<T> {
    id: BackendId,
    moduli: Vec<Modulus>,
    each: Vec<T>,
    join: Joiner<T>,
}

/// A batch modulo each of the numbers.
struct Batches(Vec<Resident>);

/// For backends that compute modulo one number at a time: what `open` makes of the only modulus, or
/// of each of several.
pub(super) fn prepare<T: SquareResidues + 'static>(
    id: BackendId,
    moduli: Vec<Modulus>,
    join: Joiner<T>,
    open: impl Fn(Modulus) -> Result<T>,
) -> Result<Arc<dyn SquareResidues>> {
    let mut each = moduli.iter().cloned().map(open).collect::<Result<Vec<_>>>()?;
    match each.len() {
        0 => Err(Error::size("moduli", 1, 0)),
        1 => Ok(Arc::new(each.swap_remove(0))),
        _ => Ok(Arc::new(SideBySide { id, moduli, each, join })),
    }
}

impl<T: SquareResidues> SideBySide<T> {
    fn of<'a>(&self, values: &'a Resident) -> Result<&'a [Resident]> {
        let batches = &values.storage::<Batches>(self.id)?.0;
        check_count("moduli of a batch", self.each.len(), batches.len())?;
        Ok(batches)
    }

    /// `work` modulo every number.
    fn each(&self, work: impl Fn(usize, &T) -> Result<Resident> + Sync) -> Result<Resident> {
        let batches = self.each.par_iter().enumerate().map(|(number, residues)| work(number, residues)).collect::<Result<Vec<_>>>()?;
        Ok(Resident::new(batches.first().map_or(0, Resident::len), Batches(batches)))
    }
}

impl<T: SquareResidues> Residues for SideBySide<T> {
    fn moduli(&self) -> &[Modulus] {
        &self.moduli
    }

    fn batch(&self) -> usize {
        self.each.iter().map(|residues| residues.batch()).max().unwrap_or(1)
    }

    fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
        check_lengths(&self.moduli, values)?;
        self.each(|number, residues| residues.upload(&values[number]))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let inputs = self.of(inputs)?;
        let tables = lookup.map(|lookup| self.of(lookup.table)).transpose()?;
        if let Some(lookup) = lookup {
            check_count("digits of all moduli", self.each.len(), lookup.digits.len())?;
        }
        self.each(|number, residues| {
            let lookup = lookup.zip(tables).map(|(lookup, tables)| Lookup { table: &tables[number], digits: &lookup.digits[number..=number] });
            residues.run(program, &inputs[number], lookup)
        })
    }

    fn table(&self, mut entries: Resident) -> Result<Resident> {
        let count = entries.len();
        let batches = std::mem::take(&mut entries.storage_mut::<Batches>(self.id)?.0);
        check_count("moduli of a batch", self.each.len(), batches.len())?;
        let tables = self.each.par_iter().zip(batches).map(|(residues, batch)| residues.table(batch)).collect::<Result<Vec<_>>>()?;
        Ok(Resident::new(count, Batches(tables)))
    }

    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        let batches = self.of(bases)?;
        exponents.check(bases.len(), self.each.len())?;
        self.each(|number, residues| {
            let exponents = match exponents {
                Exponents::OfModulus(exponents) => Exponents::Shared(&exponents[number]),
                others => others,
            };
            residues.pow(&batches[number], exponents, secrecy)
        })
    }

    fn invert(&self, values: &Resident) -> Result<Resident> {
        let values = self.of(values)?;
        self.each(|number, residues| residues.invert(&values[number]))
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        let sources = sources.iter().map(|source| self.of(source)).collect::<Result<Vec<_>>>()?;
        self.each(|number, residues| residues.gather(&sources.iter().map(|batches| &batches[number]).collect::<Vec<_>>(), picks))
    }

    fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>> {
        self.each.par_iter().zip(self.of(values)?).map(|(residues, batch)| residues.download(batch)).collect()
    }
}

impl<T: SquareResidues> SquareResidues for SideBySide<T> {
    fn one_plus(&self, values: &Limbs, factors: &[Integer]) -> Result<Resident> {
        check_count("factors", self.each.len(), factors.len())?;
        self.each(|number, residues| residues.one_plus(values, &factors[number..=number]))
    }

    fn join(&self, parts: &[Limbs]) -> Result<Limbs> {
        (self.join)(&self.each, &self.moduli, parts)
    }
}
