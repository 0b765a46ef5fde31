#![doc = include_str!("gpu/gpu.md")]

use super::{Backend, BackendId};
use crate::control::Control;
use crate::error::{Error, Result};

#[cfg(feature = "gpu")]
mod adapter;
#[cfg(feature = "gpu")]
mod bytecode;
#[cfg(feature = "gpu")]
mod clock;
#[cfg(feature = "gpu")]
mod device;
#[cfg(feature = "gpu")]
mod engine;
#[cfg(feature = "gpu")]
mod fma_selftest;
#[cfg(feature = "gpu")]
mod generate;
#[cfg(feature = "gpu")]
mod limb_rate;
#[cfg(feature = "gpu")]
mod montgomery_form;
#[cfg(feature = "gpu")]
mod multipliers;
#[cfg(feature = "gpu")]
mod residues;
#[cfg(feature = "gpu")]
mod shape;
#[cfg(feature = "gpu")]
mod spot_check;
#[cfg(feature = "gpu")]
mod steady_rate;

#[cfg(all(test, feature = "gpu"))]
mod mirror;
#[cfg(all(test, feature = "gpu"))]
mod tests;

/// The backend, where there is an adapter that can run one of its kernels; `control` can stop its work.
///
/// # Errors
/// [`Error::BackendUnavailable`] with the reason.
#[cfg(feature = "gpu")]
pub(super) fn open(control: &Control) -> Result<Box<dyn Backend>> {
    adapter::open(control)
}

/// A build without the feature has no GPU.
///
/// # Errors
/// [`Error::BackendUnavailable`].
#[cfg(not(feature = "gpu"))]
pub(super) fn open(_: &Control) -> Result<Box<dyn Backend>> {
    Err(unavailable("this build has no GPU support; build with the Cargo feature `gpu`".into()))
}

/// Measures the kernels; see [`super::KernelRate`].
///
/// # Errors
/// As [`open`]; when the device fails.
#[cfg(feature = "gpu")]
pub(super) fn rates(key_bits: &[u32], control: &Control, report: &mut dyn FnMut(&super::KernelRate) -> Result<()>) -> Result<String> {
    adapter::rates(key_bits, control, report)
}

/// A build without the feature has no kernels.
///
/// # Errors
/// [`Error::BackendUnavailable`].
#[cfg(not(feature = "gpu"))]
pub(super) fn rates(_: &[u32], control: &Control, _: &mut dyn FnMut(&super::KernelRate) -> Result<()>) -> Result<String> {
    open(control).map(|_| String::new())
}

fn unavailable(reason: String) -> Error {
    Error::BackendUnavailable { backend: BackendId::Gpu.name(), reason }
}
