//! Backends: what does the arithmetic.
//!
//! A [`Backend`] prepares [`Residues`] (arithmetic modulo one or more odd numbers); they upload a batch, run a [`Program`](crate::plan::Program) over all items
//! of the batch, and download. In between the residues are in the backend's own form, which callers never see. **Every backend returns the same bits**: the
//! canonical residue in `[0, modulus)`. A verb that a backend lacks is an error, never a quiet fallback to another backend.

mod bound;
mod gmp;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod reference;
mod registry;
mod residues;
mod side_by_side;
mod squares;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::modulus::Modulus;
use crate::text::named;

pub use bound::{Bound, KernelRate};
pub use registry::BackendId;
pub use residues::{Digits, Exponents, Lookup, Resident, Residues, Secrecy};
pub use squares::SquareResidues;

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
    id.open(control)
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

    /// For backends: prepares arithmetic modulo one or more numbers, which callers hold as [`Self::residues`] or [`Self::squares`].
    ///
    /// # Errors
    /// [`Error::Size`] for no modulus, [`Error::Unsupported`] for moduli that the backend cannot handle, or not together.
    fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>>;

    /// Prepares arithmetic modulo one or more odd numbers.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    fn residues(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn Residues>> {
        Ok(self.prepare(moduli)?)
    }

    /// Prepares arithmetic modulo one or more squares.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a modulus that is no square of a known root; as [`Self::prepare`].
    fn squares(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
        moduli.iter().try_for_each(|modulus| squares::root_of(modulus).map(drop))?;
        self.prepare(moduli)
    }

    /// Nanoseconds that the device's kernels have run since it was opened, by its own clock; work that overlaps counts once. None where it has no clock.
    fn device_ns(&self) -> Option<u64> {
        None
    }

    /// Measures every kernel that the device can run, for n of each size; `report` hears of each and may end it by an error. Output: the facts that choices
    /// rest on, as text of one line each.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a backend whose kernels are not measured one by one; when the device fails.
    fn kernel_rates(&self, _key_bits: &[u32], _report: &mut dyn FnMut(&KernelRate) -> Result<()>) -> Result<String> {
        Err(Error::Unsupported { subject: self.id().name().into(), feature: "rates of single kernels".into() })
    }
}
