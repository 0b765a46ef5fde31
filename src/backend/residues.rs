//! Batches of residues modulo one or more numbers, and the verbs on them.

use std::any::Any;

use zeroize::Zeroize;

use super::{BackendId, Bound};
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::Program;

/// Arithmetic modulo one or more odd numbers at once on one device, as the Chinese remainder
/// theorem asks for.
///
/// A batch holds equally many residues of each modulus, its length is that number, and each verb
/// does the same modulo every one of them. All verbs are complete when they return. Each may end
/// with [`Error::Interrupted`] where the backend was opened under a control
/// ([`super::open_under`]).
pub trait Residues: Send + Sync {
    /// The moduli, one or more.
    fn moduli(&self) -> &[Modulus];

    /// The first modulus, which is the only one of most callers.
    fn modulus(&self) -> &Modulus {
        &self.moduli()[0]
    }

    /// Items of one call that keep the device busy; more bring nothing.
    fn batch(&self) -> usize {
        128
    }

    /// Returns `true` if calls from several threads are serialised, as on a GPU.
    fn is_offloaded(&self) -> bool {
        false
    }

    /// Brings residues to the device.
    ///
    /// Input: a batch for each modulus, of its width in words, all of one length, each value below
    /// the modulus.
    ///
    /// # Errors
    /// [`Error::Size`] for another width, another number of batches or batches of several lengths,
    /// [`Error::OutOfRange`] for a value that is not reduced.
    fn upload_each(&self, values: &[Limbs]) -> Result<Resident>;

    /// Brings residues of the only modulus to the device.
    ///
    /// # Errors
    /// As [`Self::upload_each`].
    fn upload(&self, values: &Limbs) -> Result<Resident> {
        self.upload_each(std::slice::from_ref(values))
    }

    /// Runs `program` over all items: item i reads inputs `i * program.inputs() ..` and its outputs
    /// stand at `i * program.outputs().len() ..`.
    ///
    /// # Errors
    /// [`Error::Size`] when the inputs do not divide into items or digits and table do not fit the
    /// program.
    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident>;

    /// Prepares table entries for [`Lookup`]: a backend may have a form in which products by them
    /// are cheaper. What comes back is good for lookups only.
    ///
    /// # Errors
    /// A failure of the device.
    fn table(&self, entries: Resident) -> Result<Resident> {
        Ok(entries)
    }

    /// base^exponent for every base; 0^0 = 1.
    ///
    /// # Errors
    /// [`Error::Size`] when the exponents do not match the bases or moduli, [`Error::OutOfRange`]
    /// for a negative exponent.
    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident>;

    /// 1/value for every value. Time depends on the values.
    ///
    /// # Errors
    /// [`Error::NotInvertible`] naming the first value that has no inverse, modulo one of the
    /// moduli where several have such values.
    fn invert(&self, values: &Resident) -> Result<Resident>;

    /// A new batch of the residues that `picks` names as (source, index), in that order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a pick that names no residue.
    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident>;

    /// Brings canonical residues back: a batch for each modulus, each value in `[0, modulus)`, of
    /// the modulus' width in words.
    ///
    /// # Errors
    /// A failure of the device.
    fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>>;

    /// Brings canonical residues of the only modulus back.
    ///
    /// # Errors
    /// [`Error::Size`] for several moduli; as [`Self::download_each`].
    fn download(&self, values: &Resident) -> Result<Limbs> {
        check_count("moduli of a download", 1, self.moduli().len())?;
        Ok(self.download_each(values)?.swap_remove(0))
    }

    /// The multipliers that this arithmetic runs on, where the backend knows its multiplications.
    fn bound(&self) -> Option<&dyn Bound> {
        None
    }
}

/// Secrecy of exponents: whether the time and the addresses of a power may show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// The exponent is public: the fastest way.
    Public,
    /// The exponent is secret: time and memory addresses depend on its length only.
    Secret,
}

/// Exponents of a batch of powers: non-negative integers.
#[derive(Clone, Copy)]
pub enum Exponents<'a> {
    /// One for all.
    Shared(&'a Integer),
    /// One for each base, whatever the modulus.
    Each(&'a [Integer]),
    /// One for each modulus, shared by its bases.
    OfModulus(&'a [Integer]),
}

impl<'a> Exponents<'a> {
    /// For backends: refuses negative exponents, and another number of them than of bases or
    /// moduli.
    pub(super) fn check(self, bases: usize, moduli: usize) -> Result<()> {
        match self {
            Self::Shared(_) => {}
            Self::Each(exponents) => check_count("exponents", bases, exponents.len())?,
            Self::OfModulus(exponents) => check_count("exponents", moduli, exponents.len())?,
        }
        if self.all().iter().any(Integer::is_negative) {
            return Err(Error::range("exponent", &"negative", "0 and above"));
        }
        Ok(())
    }

    /// For backends: the different exponents.
    pub(super) fn all(self) -> &'a [Integer] {
        match self {
            Self::Shared(exponent) => std::slice::from_ref(exponent),
            Self::Each(exponents) | Self::OfModulus(exponents) => exponents,
        }
    }

    /// For backends: the exponent of a base modulo one of the moduli.
    pub(super) fn of(self, modulus: usize, base: usize) -> &'a Integer {
        match self {
            Self::Shared(exponent) => exponent,
            Self::Each(exponents) => &exponents[base],
            Self::OfModulus(exponents) => &exponents[modulus],
        }
    }
}

/// Digits that pick table entries: `windows` small numbers for each item. Secret in encryption, so
/// they are wiped when dropped.
#[derive(Clone)]
pub struct Digits {
    windows: usize,
    values: Vec<u16>,
}

impl Digits {
    /// `values` item after item, `windows` digits each.
    ///
    /// # Errors
    /// [`Error::Size`] when digits are left over.
    pub fn new(windows: usize, values: Vec<u16>) -> Result<Self> {
        if windows == 0 || !values.len().is_multiple_of(windows) {
            return Err(Error::size("digits", windows, values.len()));
        }
        Ok(Self { windows, values })
    }

    /// Digits of each item.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Items.
    #[must_use]
    pub fn items(&self) -> usize {
        self.values.len() / self.windows
    }

    /// The digits of one item, lowest window first.
    #[must_use]
    pub fn item(&self, item: usize) -> &[u16] {
        &self.values[item * self.windows..(item + 1) * self.windows]
    }

    /// For backends: the digits of all items.
    pub(super) fn values(&self) -> &[u16] {
        &self.values
    }
}

impl Drop for Digits {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

/// A table for each modulus and each item's digits into it, for [`crate::plan::Op::MulTable`].
/// Lookups are by address: their time may depend on the digits.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// `windows * entries` residues, window after window, as they are or from [`Residues::table`].
    pub table: &'a Resident,
    /// Each item's digits, below `entries`, for each modulus.
    pub digits: &'a [Digits],
}

/// A batch of residues on a device, in the form of the arithmetic that made it. Storage is wiped
/// when dropped.
pub struct Resident {
    count: usize,
    storage: Box<dyn Any + Send + Sync>,
}

impl Resident {
    /// For backends: wraps `count` residues of each modulus.
    pub(super) fn new(count: usize, storage: impl Any + Send + Sync) -> Self {
        Self { count, storage: Box::new(storage) }
    }

    /// Number of residues of each modulus.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns `true` if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// For backends: the storage, if this backend made it.
    pub(super) fn storage<T: 'static>(&self, backend: BackendId) -> Result<&T> {
        self.storage.downcast_ref().ok_or_else(|| foreign(backend))
    }

    /// As [`Self::storage`], to change it.
    pub(super) fn storage_mut<T: 'static>(&mut self, backend: BackendId) -> Result<&mut T> {
        self.storage.downcast_mut().ok_or_else(|| foreign(backend))
    }
}

fn foreign(backend: BackendId) -> Error {
    Error::unsupported(backend.name(), "a batch that another backend made")
}

/// For backends: refuses any other number than the expected one.
pub(super) fn check_count(what: &'static str, expected: usize, actual: usize) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(Error::size(what, expected, actual)) }
}

/// For backends: refuses batches of several lengths, or another number of them than of moduli.
pub(super) fn check_lengths(moduli: &[Modulus], values: &[Limbs]) -> Result<()> {
    check_count("batches of residues", moduli.len(), values.len())?;
    let length = values.first().map_or(0, Limbs::len);
    values.iter().try_for_each(|batch| check_count("residues of a batch", length, batch.len()))
}

/// For backends: refuses batches that are no input of [`Residues::upload_each`].
pub(super) fn check_batches(moduli: &[Modulus], values: &[Limbs]) -> Result<()> {
    check_lengths(moduli, values)?;
    values.iter().zip(moduli).try_for_each(|(values, modulus)| check_reduced(values, modulus))
}

/// For backends: refuses a batch of another width or with a value that is not below the modulus.
pub(super) fn check_reduced(values: &Limbs, modulus: &Modulus) -> Result<()> {
    check_count("words of a residue", modulus.width(), values.width())?;
    let limit = modulus.words();
    match values.iter().position(|value| value.iter().rev().ge(limit.iter().rev())) {
        None => Ok(()),
        Some(index) => Err(Error::range("residue", &format!("value {index} of the batch"), "below the modulus")),
    }
}

/// For backends: refuses picks that name no residue.
pub(super) fn check_picks(sources: &[&Resident], picks: &[(usize, usize)]) -> Result<()> {
    match picks.iter().find(|&&(source, index)| sources.get(source).is_none_or(|s| index >= s.len())) {
        None => Ok(()),
        Some((source, index)) => Err(Error::range(
            "pick",
            &format!("residue {index} of batch {source}"),
            format!("{:?} residues", sources.iter().map(|s| s.len()).collect::<Vec<_>>()),
        )),
    }
}

/// For backends: the number of items in a run modulo each of `moduli`, after checking that inputs,
/// table and digits fit the program.
pub(super) fn items_of(program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>, moduli: &[Modulus]) -> Result<usize> {
    let per_item = program.inputs().max(1);
    if !inputs.len().is_multiple_of(per_item) {
        return Err(Error::size("inputs of a program", per_item, inputs.len()));
    }
    let items = inputs.len() / per_item;
    if let Some(lookup) = lookup {
        check_count("digits of all moduli", moduli.len(), lookup.digits.len())?;
    }
    if program.windows() > 0 {
        check_count("table entries of a program", program.windows() * program.entries(), lookup.map_or(0, |lookup| lookup.table.len()))?;
        for digits in lookup.map_or(&[][..], |lookup| lookup.digits) {
            if digits.windows() != program.windows() || digits.items() != items {
                return Err(Error::size("digits of a program", program.windows() * items, digits.values.len()));
            }
            if let Some(bad) = digits.values.iter().find(|&&digit| digit as usize >= program.entries()) {
                return Err(Error::range("digit", &bad, format!("0 to {}", program.entries() - 1)));
            }
        }
    }
    Ok(items)
}
