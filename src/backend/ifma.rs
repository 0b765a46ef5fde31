#![doc = include_str!("ifma/ifma.md")]

use super::Backend;
use crate::control::Control;
use crate::error::{Error, Result};

#[cfg(target_arch = "x86_64")]
mod engine;
#[cfg(target_arch = "x86_64")]
mod exact;
#[cfg(target_arch = "x86_64")]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod limb52;
#[cfg(target_arch = "x86_64")]
mod memory;
#[cfg(target_arch = "x86_64")]
mod montgomery_form;
#[cfg(target_arch = "x86_64")]
mod power;
#[cfg(target_arch = "x86_64")]
mod residues;
#[cfg(target_arch = "x86_64")]
mod runner;
#[cfg(target_arch = "x86_64")]
mod transpose;

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests;

/// Set to anything but `0` or nothing, this environment variable makes the backend unavailable, as on a processor without the instructions.
const DISABLE: &str = "CIPHERLANE_DISABLE_IFMA";

/// The backend, where the processor has the instructions; `control` can stop its work.
///
/// # Errors
/// [`Error::BackendUnavailable`] with the reason.
pub(super) fn open(control: &Control) -> Result<Box<dyn Backend>> {
    let disabled = std::env::var_os(DISABLE).is_some_and(|value| !value.is_empty() && value != "0");
    detect(disabled, control)
}

#[cfg(target_arch = "x86_64")]
fn detect(disabled: bool, control: &Control) -> Result<Box<dyn Backend>> {
    if disabled {
        return Err(unavailable(format!("{DISABLE} is set")));
    }
    match kernel::Token::detect() {
        Some(token) => Ok(Box::new(residues::Ifma::new(token, control.clone()))),
        None => Err(unavailable("this processor lacks AVX-512 IFMA (avx512f, avx512ifma)".into())),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect(_: bool, _: &Control) -> Result<Box<dyn Backend>> {
    Err(unavailable(format!("AVX-512 IFMA exists on x86_64 only, this is {}", std::env::consts::ARCH)))
}

fn unavailable(reason: String) -> Error {
    Error::BackendUnavailable { backend: super::BackendId::Ifma.name(), reason }
}
