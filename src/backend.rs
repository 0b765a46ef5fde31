//! Backends: what does the arithmetic.
//!
//! A [`Backend`] opens a [`Ring`] (arithmetic modulo one odd number); a ring uploads a batch of residues, runs a [`Program`] over all items of the batch, and
//! downloads. In between the residues are in the backend's own form, which callers never see. **Every backend returns the same bits**: the canonical residue
//! in `[0, modulus)`. A verb that a backend lacks is an error, never a quiet fallback to another backend.

mod gmp;
mod gpu;
mod ifma;
mod reference;
mod rings;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;

use rayon::prelude::*;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::{Limbs, words_for_bits};
use crate::modulus::{Modulus, wipe};
use crate::plan::{Counts, Program};
use crate::text::named;

pub use rings::{Lookups, Rings};

named! {
    /// The backends by name.
    pub enum BackendId: "backend" {
        /// Textbook arithmetic in plain Rust, one thread: the oracle.
        Reference => "reference": "textbook arithmetic in plain Rust, one thread: the oracle",
        /// GMP through `rug`, parallel with rayon.
        Gmp => "gmp": "GMP through rug, parallel with rayon",
        /// AVX-512 IFMA, eight numbers at a time, parallel with rayon.
        Ifma => "ifma": "AVX-512 IFMA, eight numbers at a time, parallel with rayon",
        /// Compute shaders on whatever adapter there is.
        Gpu => "gpu": "compute shaders through Vulkan, Metal or DirectX 12",
    }
}

/// Opens a backend.
///
/// # Errors
/// [`Error::BackendUnavailable`] when this machine lacks what it needs.
pub fn open(id: BackendId) -> Result<Box<dyn Backend>> {
    open_under(id, &Control::default())
}

/// Opens a backend whose work `control` can stop: its verbs then end with [`Error::Interrupted`]
/// within a fraction of a second, and they count modular products as they do them.
///
/// # Errors
/// As [`open`].
pub fn open_under(id: BackendId, control: &Control) -> Result<Box<dyn Backend>> {
    match id {
        BackendId::Reference => Ok(Box::new(reference::Reference(control.clone()))),
        BackendId::Gmp => Ok(Box::new(gmp::Gmp(control.clone()))),
        BackendId::Ifma => ifma::open(control),
        BackendId::Gpu => gpu::open(control),
    }
}

/// The backend to use where none is named: the last one of [`BackendId::ALL`] that opens, but for the GPU. `control` as in [`open_under`].
///
/// A GPU is used by name only: it takes seconds to open and to compile kernels, which a short command does not earn back, and whether it is faster depends on the
/// adapter, which may be the processor itself.
///
/// # Errors
/// None: `gmp` opens everywhere.
pub fn fastest(control: &Control) -> Result<Box<dyn Backend>> {
    BackendId::ALL
        .into_iter()
        .rev()
        .filter(|&id| id != BackendId::Gpu)
        .find_map(|id| open_under(id, control).ok())
        .ok_or_else(|| Error::BackendUnavailable { backend: "any", reason: "none opens".into() })
}

/// The backends that a run over all of them takes: those that open here, but no GPU in software, which shows nothing but how well the processor imitates one.
#[must_use]
pub fn all_here() -> Vec<BackendId> {
    let is_here = |&id: &BackendId| open(id).is_ok_and(|backend| backend.device().kind != DeviceKind::Software);
    BackendId::ALL.into_iter().filter(is_here).collect()
}

/// The measured rate of one kernel of the GPU, products modulo n^2 of random data in chains.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelRate {
    /// Bits of n.
    pub key_bits: u32,
    /// Kind of kernel, lanes and limbs.
    pub kernel: String,
    /// Products per second.
    pub products_per_second: f64,
    /// Products per second of the kernels alone, by the device's own clock, where it has one.
    pub device_per_second: Option<f64>,
    /// Products per second that the device's multipliers allow by published figures, where the adapter is known.
    pub bound_per_second: Option<f64>,
    /// Products per second that a loop of products of limbs and nothing else would make of them, measured beside it.
    pub issue_per_second: f64,
    /// Products per second of one thread of GMP's multiplication and remainder, measured beside it.
    pub gmp_per_second: f64,
    /// Whether the backend uses it for this size.
    pub chosen: bool,
}

/// Measures every kernel that the GPU can run, for n of each size; `report` hears of each and may end it by an error, and so may `control`. Output: the facts that
/// choices rest on, as text of one line each.
///
/// # Errors
/// [`Error::BackendUnavailable`] without an adapter; when the device fails.
pub fn kernel_rates(key_bits: &[u32], control: &Control, report: &mut dyn FnMut(&KernelRate) -> Result<()>) -> Result<String> {
    gpu::rates(key_bits, control, report)
}

/// What a record says of the device that did the arithmetic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Processor or adapter name.
    pub name: String,
    /// What kind of device it is.
    pub kind: DeviceKind,
    /// Library and version, instruction set, driver.
    pub detail: String,
}

named! {
    /// Kinds of devices. A software adapter is a GPU interface run by the processor, and is never called a GPU.
    pub enum DeviceKind {
        /// The processor.
        Cpu => "cpu",
        /// A GPU.
        Gpu => "gpu",
        /// A GPU's interface run by the processor.
        Software => "software",
    }
}

/// A device that can do batched modular arithmetic.
pub trait Backend: Send + Sync {
    /// Its name.
    fn id(&self) -> BackendId;

    /// What it runs on.
    fn device(&self) -> Device;

    /// Prepares arithmetic modulo one number.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a modulus that the backend cannot handle.
    fn ring(&self, modulus: Modulus) -> Result<Arc<dyn Ring>>;

    /// Prepares arithmetic modulo several numbers at once. A backend that has no way of its own to do so has a ring for each.
    ///
    /// # Errors
    /// [`Error::Size`] for none, [`Error::Unsupported`] for moduli that the backend cannot handle together.
    fn rings(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn Rings>> {
        let rings = moduli.into_iter().map(|modulus| self.ring(modulus)).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(rings::Apart::new(self.id(), rings)?))
    }

    /// Nanoseconds that the device's kernels have run since it was opened, by its own clock; work that overlaps counts once. None where it has no clock.
    fn device_ns(&self) -> Option<u64> {
        None
    }
}

/// Whether an exponent may show in the time and the addresses of a power.
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
    /// One for each base.
    Each(&'a [Integer]),
}

impl<'a> Exponents<'a> {
    /// For backends: one exponent for each of `bases` bases, none negative.
    fn check(self, bases: usize) -> Result<()> {
        let negative = match self {
            Self::Shared(exponent) => exponent.is_negative(),
            Self::Each(exponents) if exponents.len() != bases => {
                return Err(Error::Size { what: "exponents", expected: bases, actual: exponents.len() });
            }
            Self::Each(exponents) => exponents.iter().any(Integer::is_negative),
        };
        if negative {
            return Err(Error::OutOfRange { what: "exponent", value: "negative".into(), allowed: "0 and above".into() });
        }
        Ok(())
    }

    /// For backends: the exponent of base `index`.
    fn of(self, index: usize) -> &'a Integer {
        match self {
            Self::Shared(exponent) => exponent,
            Self::Each(exponents) => &exponents[index],
        }
    }
}

/// Digits that pick table entries: `windows` small numbers for each item. Secret in encryption, so they are wiped when dropped.
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
            return Err(Error::Size { what: "digits", expected: windows, actual: values.len() });
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
}

impl Drop for Digits {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.values);
    }
}

/// A shared table and each item's digits into it, for [`crate::plan::Op::MulTable`]. Lookups are by address: their time may depend on the digits.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// `windows * entries` residues, window after window, as they are or from [`Ring::table`].
    pub table: &'a Resident,
    /// Each item's digits, below `entries`.
    pub digits: &'a Digits,
}

/// A batch of residues on a device, in the form of the ring that made it. Storage is wiped when dropped.
pub struct Resident {
    count: usize,
    storage: Box<dyn Any + Send + Sync>,
}

impl Resident {
    /// For backends: wraps `count` residues.
    fn new(count: usize, storage: impl Any + Send + Sync) -> Self {
        Self { count, storage: Box::new(storage) }
    }

    /// Number of residues.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// For backends: the storage, if this backend made it.
    fn storage<T: 'static>(&self, backend: BackendId) -> Result<&T> {
        self.storage
            .downcast_ref()
            .ok_or_else(|| Error::Unsupported { subject: backend.name().into(), feature: "a batch that another backend made".into() })
    }

    /// As [`Self::storage`], to change it.
    fn storage_mut<T: 'static>(&mut self, backend: BackendId) -> Result<&mut T> {
        self.storage
            .downcast_mut()
            .ok_or_else(|| Error::Unsupported { subject: backend.name().into(), feature: "a batch that another backend made".into() })
    }
}

/// Arithmetic modulo one odd number on one device. All verbs work on batches and are complete when they return. Each may end with [`Error::Interrupted`] where the
/// backend was opened under a control ([`open_under`]).
pub trait Ring: Send + Sync {
    /// The modulus.
    fn modulus(&self) -> &Modulus;

    /// Items of one call that keep the device busy; more bring nothing.
    fn batch(&self) -> usize {
        128
    }

    /// Whether calls from several threads only wait for each other, as the device is none of the processor's.
    fn is_apart(&self) -> bool {
        false
    }

    /// Brings residues to the device.
    ///
    /// Input: integers of the modulus' width in words, each below the modulus.
    ///
    /// # Errors
    /// [`Error::Size`] for another width, [`Error::OutOfRange`] for a value that is not reduced.
    fn upload(&self, values: &Limbs) -> Result<Resident>;

    /// 1 + r f v for every value v, where the modulus is r^2: the message part of Paillier ciphertexts, (1 + r)^(f v).
    ///
    /// Input: numbers of any width below 64 r^2; f >= 0.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a modulus without a root, [`Error::OutOfRange`] for values that are too large for the backend.
    fn one_plus(&self, values: &Limbs, factor: &Integer) -> Result<Resident> {
        self.upload(&one_plus(self.modulus(), values, factor)?)
    }

    /// Runs `program` over all items: item i reads inputs `i * program.inputs() ..` and its outputs stand at `i * program.outputs().len() ..`.
    ///
    /// # Errors
    /// [`Error::Size`] when the inputs do not divide into items or digits and table do not fit the program.
    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident>;

    /// Prepares table entries for [`Lookup`]: a backend may have a form in which products by them are cheaper. What comes back is good for lookups only.
    ///
    /// # Errors
    /// When the device fails.
    fn table(&self, entries: Resident) -> Result<Resident> {
        Ok(entries)
    }

    /// base^exponent for every base; 0^0 = 1.
    ///
    /// # Errors
    /// [`Error::Size`] when the exponents do not match the bases, [`Error::OutOfRange`] for a negative exponent.
    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident>;

    /// 1/value for every value. Time depends on the values.
    ///
    /// # Errors
    /// [`Error::NotInvertible`] naming the first value that has no inverse.
    fn invert(&self, values: &Resident) -> Result<Resident>;

    /// A new batch of the residues that `picks` names as (source, index), in that order.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a pick that names no residue.
    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident>;

    /// Issues as many of the device's multiplications as `counts` costs in this ring, independent of each other, and nothing else: the hardware's bound, to be
    /// timed beside the work. False, and nothing done, where that is not known.
    fn issue(&self, _counts: Counts) -> bool {
        false
    }

    /// Brings canonical residues back, each in `[0, modulus)`, of the modulus' width in words.
    ///
    /// # Errors
    /// When the device fails.
    fn download(&self, values: &Resident) -> Result<Limbs>;

    /// x m' + y m modulo m m', with m the modulus of this ring, x from `own` and y from `others`: the Chinese remainder theorem for residues that carry the
    /// factors 1/m' modulo m and 1/m modulo m'. All on the processor.
    ///
    /// # Errors
    /// [`Error::Size`] for batches of different lengths, [`Error::OutOfRange`] for a value that is not reduced.
    fn join(&self, own: &Limbs, other: &Modulus, others: &Limbs) -> Result<Limbs> {
        join([(own, self.modulus()), (others, other)])
    }
}

/// For backends: [`Ring::join`] by GMP.
fn join(parts: [(&Limbs, &Modulus); 2]) -> Result<Limbs> {
    check_parts(parts)?;
    let [(x, m), (y, other)] = parts;
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

/// For backends: refuses batches that [`Ring::join`] cannot join.
fn check_parts(parts: [(&Limbs, &Modulus); 2]) -> Result<()> {
    let [(x, _), (y, _)] = parts;
    if x.len() != y.len() {
        return Err(Error::Size { what: "residues to join", expected: x.len(), actual: y.len() });
    }
    parts.into_iter().try_for_each(|(values, modulus)| check_reduced(values, modulus))
}

/// For backends: the residues of [`Ring::one_plus`], by GMP.
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
fn root_of(modulus: &Modulus) -> Result<&Integer> {
    modulus.root().ok_or_else(|| Error::Unsupported { subject: "a modulus that is no known square".into(), feature: "messages as 1 + r v".into() })
}

/// For backends: refuses picks that name no residue.
fn check_picks(sources: &[&Resident], picks: &[(usize, usize)]) -> Result<()> {
    match picks.iter().find(|&&(source, index)| sources.get(source).is_none_or(|s| index >= s.len())) {
        None => Ok(()),
        Some((source, index)) => Err(Error::OutOfRange {
            what: "pick",
            value: format!("residue {index} of batch {source}"),
            allowed: format!("{:?} residues", sources.iter().map(|s| s.len()).collect::<Vec<_>>()),
        }),
    }
}

/// For backends: refuses a batch of another width or with a value that is not below the modulus.
fn check_reduced(values: &Limbs, modulus: &Modulus) -> Result<()> {
    if values.width() != modulus.width() {
        return Err(Error::Size { what: "words of a residue", expected: modulus.width(), actual: values.width() });
    }
    let limit = modulus.words();
    match values.iter().position(|value| value.iter().rev().ge(limit.iter().rev())) {
        None => Ok(()),
        Some(index) => Err(Error::OutOfRange { what: "residue", value: format!("value {index} of the batch"), allowed: "below the modulus".into() }),
    }
}

/// For backends: the number of items in a run, after checking that inputs, table and digits fit the program.
fn items_of(program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<usize> {
    let per_item = program.inputs().max(1);
    if !inputs.len().is_multiple_of(per_item) {
        return Err(Error::Size { what: "inputs of a program", expected: per_item, actual: inputs.len() });
    }
    let items = inputs.len() / per_item;
    if program.windows() > 0 {
        let Some(Lookup { table, digits }) = lookup else {
            return Err(Error::Size { what: "table entries of a program", expected: program.windows() * program.entries(), actual: 0 });
        };
        if table.len() != program.windows() * program.entries() {
            return Err(Error::Size { what: "table entries of a program", expected: program.windows() * program.entries(), actual: table.len() });
        }
        if digits.windows() != program.windows() || digits.items() != items {
            return Err(Error::Size { what: "digits of a program", expected: program.windows() * items, actual: digits.values.len() });
        }
        if let Some(bad) = digits.values.iter().find(|&&digit| digit as usize >= program.entries()) {
            return Err(Error::OutOfRange { what: "digit", value: bad.to_string(), allowed: format!("0 to {}", program.entries() - 1) });
        }
    }
    Ok(items)
}
