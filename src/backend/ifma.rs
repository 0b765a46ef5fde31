#![doc = include_str!("ifma/ifma.md")]

use super::Backend;
use crate::control::Control;
use crate::error::{Error, Result};

mod engine;
mod exact;
mod kernel;
mod limb52;
mod memory;
mod montgomery_form;
mod power;
mod residues;
mod runner;
mod transpose;

#[cfg(test)]
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

fn detect(disabled: bool, control: &Control) -> Result<Box<dyn Backend>> {
    if disabled {
        return Err(unavailable(format!("{DISABLE} is set")));
    }
    match kernel::Token::detect() {
        Some(token) => Ok(Box::new(residues::Ifma::new(token, control.clone()))),
        None => Err(unavailable("this processor lacks AVX-512 IFMA (avx512f, avx512ifma)".into())),
    }
}

fn unavailable(reason: String) -> Error {
    Error::BackendUnavailable { backend: super::BackendId::Ifma.name(), reason }
}
