//! Backends: what does the arithmetic.
//!
//! A [`Backend`] prepares [`Residues`] (arithmetic modulo one or more odd numbers); they upload a
//! batch, run a [`Program`](crate::plan::Program) over all items of the batch, and download. In
//! between the residues are in the backend's own form, which callers never see. **Every backend
//! returns the same bits**: the canonical residue in `[0, modulus)`. A verb that a backend lacks is
//! an error, never a quiet fallback to another backend.

mod bound;
mod device;
#[cfg(feature = "gmp")]
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

use crate::control::Control;
use crate::error::{Error, Result};

pub use bound::{Bound, KernelRate};
pub use device::{Backend, Device, DeviceKind};
pub use registry::BackendId;
pub use residues::{Digits, Exponents, Lookup, Resident, Residues, Secrecy};
pub use squares::SquareResidues;

/// Opens the backend named, from the lines of the registry.
macro_rules! open_by {
    ($wanted:expr, $control:expr; $($id:ident = $name:literal, $summary:literal, $module:ident $(if $built:meta else $why:expr)?;)+) => {
        match $wanted {
            $(BackendId::$id => open_by!(@built $module, $name, $control $(, $built, $why)?),)+
        }
    };
    (@built $module:ident, $name:literal, $control:expr) => {
        $module::open($control)
    };
    (@built $module:ident, $name:literal, $control:expr, $built:meta, $why:expr) => {{
        #[cfg($built)]
        let opened = $module::open($control);
        #[cfg(not($built))]
        let opened = Err(Error::BackendUnavailable { backend: $name, reason: $why.into() });
        opened
    }};
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
    registry::backends!(open_by id, control)
}

/// The backend to use where none is named: the last one of [`BackendId::ALL`] that opens, but for
/// the GPU. `control` as in [`open_under`].
///
/// A GPU is used by name only: it takes seconds to open and to compile kernels, which a short
/// command does not earn back, and whether it is faster depends on the adapter, which may be the
/// processor itself.
///
/// # Errors
/// None: `reference` opens everywhere, and `gmp` in builds with it.
pub fn fastest(control: &Control) -> Result<Box<dyn Backend>> {
    BackendId::ALL
        .into_iter()
        .rev()
        .filter(|&id| id != BackendId::Gpu)
        .find_map(|id| open_under(id, control).ok())
        .ok_or_else(|| Error::BackendUnavailable { backend: "any", reason: "none opens".into() })
}

/// The backends that a run over all of them takes: those that open here, but no GPU in software,
/// which shows nothing but how well the processor imitates one.
#[must_use]
pub fn all_here() -> Vec<BackendId> {
    let is_here = |&id: &BackendId| open(id).is_ok_and(|backend| backend.device().kind != DeviceKind::Software);
    BackendId::ALL.into_iter().filter(is_here).collect()
}
