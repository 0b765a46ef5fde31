#![doc = include_str!("gpu/gpu.md")]

use super::Backend;
use crate::control::Control;
use crate::error::Result;

mod adapter;
mod bytecode;
mod clock;
mod device;
mod engine;
mod fma_selftest;
mod generate;
mod limb_rate;
mod montgomery_form;
mod multipliers;
mod residues;
mod shape;
mod spot_check;
mod steady_rate;

#[cfg(test)]
mod mirror;
#[cfg(test)]
mod tests;

/// The backend, where there is an adapter that can run one of its kernels; `control` can stop its work.
///
/// # Errors
/// [`Error::BackendUnavailable`] with the reason.
pub(super) fn open(control: &Control) -> Result<Box<dyn Backend>> {
    adapter::open(control)
}
