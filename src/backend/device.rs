//! Backends as their callers hold them: a device that prepares arithmetic.

use std::sync::Arc;

use super::{BackendId, KernelRate, Residues, SquareResidues, squares};
use crate::error::{Error, Result};
use crate::modulus::Modulus;
use crate::text::named;

/// The device that did the arithmetic, as records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Processor or adapter name.
    pub name: String,
    /// The kind of device.
    pub kind: DeviceKind,
    /// Library and version, instruction set, driver.
    pub detail: String,
}

named! {
    /// Kinds of devices. A software adapter is a GPU interface run by the processor, and is never
    /// called a GPU.
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

    /// The device it runs on.
    fn device(&self) -> Device;

    /// For backends: prepares arithmetic modulo one or more numbers, which callers hold as
    /// [`Self::residues`] or [`Self::squares`].
    ///
    /// # Errors
    /// [`Error::Size`] for no modulus, [`Error::Unsupported`] for moduli that the backend cannot
    /// handle, or not together.
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
    /// [`Error::Unsupported`] for a modulus that is no square of a known root; as
    /// [`Self::prepare`].
    fn squares(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
        moduli.iter().try_for_each(|modulus| squares::root_of(modulus).map(drop))?;
        self.prepare(moduli)
    }

    /// Nanoseconds that the device's kernels have run since it was opened, by its own clock; work
    /// that overlaps counts once. None where it has no clock.
    fn device_ns(&self) -> Option<u64> {
        None
    }

    /// Measures every kernel that the device can run, for n of each size; `report` hears of each
    /// and may end it by an error. Output: the facts that choices rest on, as text of one line
    /// each.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a backend whose kernels are not measured one by one; when the
    /// device fails.
    fn kernel_rates(&self, _key_bits: &[u32], _report: &mut dyn FnMut(&KernelRate) -> Result<()>) -> Result<String> {
        Err(Error::unsupported(self.id().name(), "rates of single kernels"))
    }
}
