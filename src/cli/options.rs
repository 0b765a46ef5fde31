//! Readers of options that several commands have.

use crate::error::Result;
use crate::workload::method_choice;

/// Checks the name of a plan while options are read.
pub(super) fn method_name(name: &str) -> Result<String> {
    method_choice(name).map(|_| name.into())
}
