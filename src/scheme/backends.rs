//! The choice of a backend, for the schemes that have one.

use std::sync::OnceLock;

use crate::backend::{self, BackendId};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::spec::{Choice, Form};

/// The backend. `all` stands for those of this machine, `none` for no row of the scheme; the fastest
/// comes first.
pub const BACKEND: Choice = Choice {
    default: &["all"],
    stand_ins: &["all", "none"],
    breadth: BackendId::ALL.len(),
    expand: |word, _, _| {
        Ok(match word {
            "all" => all_here().iter().map(ToString::to_string).collect(),
            "none" => Vec::new(),
            id => vec![id.into()],
        })
    },
    last_first: true,
    ..Choice::new(
        "backend",
        Form::Segment,
        read,
        "Backends: all (of this machine, without GPUs in software), none (plaintext only), reference, gmp, ifma, gpu",
    )
};

/// The backends of this machine, looked for once: a GPU takes seconds to open.
fn all_here() -> &'static [BackendId] {
    static HERE: OnceLock<Vec<BackendId>> = OnceLock::new();
    HERE.get_or_init(backend::all_here)
}

/// Reads a name or a stand-in.
///
/// # Errors
/// [`Error::Unknown`].
pub fn read(word: &str) -> Result<String> {
    if ["all", "none"].contains(&word) || word.parse::<BackendId>().is_ok() {
        return Ok(word.into());
    }
    let known = format!("none, all, {}", BackendId::ALL.map(BackendId::name).join(", "));
    Err(Error::unknown("backend", word, known))
}

/// The backend of work that is done once: where none is named the fastest of this machine, never a
/// GPU.
pub const ONE_BACKEND: Choice = Choice {
    default: &["auto"],
    stand_ins: &["all", "auto", "none"],
    expand: |word, values, setting| {
        if word == "auto" { Ok(vec![backend::fastest(&Control::default())?.id().to_string()]) } else { (BACKEND.expand)(word, values, setting) }
    },
    read: |word| if word == "auto" { Ok(word.into()) } else { read(word) },
    help: "What does the arithmetic: auto (ifma where it is, else gmp), reference, gmp, ifma, gpu",
    last_first: false,
    ..BACKEND
};
