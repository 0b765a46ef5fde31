//! The commands of the parties in builds without the feature `net`, which say so.

use clap::Args;

use crate::error::{Error, Result};

/// Arguments that nobody reads.
#[derive(Args)]
pub(in crate::cli) struct Unread {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _given: Vec<String>,
}

pub(in crate::cli) type IdentityArgs = Unread;
pub(in crate::cli) type P1Args = Unread;
pub(in crate::cli) type P2Args = Unread;

pub(in crate::cli) fn identity(_: &Unread, _: bool) -> Result<bool> {
    Err(Error::unsupported("a build without the Cargo feature `net`", "parties over the network"))
}

pub(in crate::cli) fn p1(args: &Unread, json: bool) -> Result<bool> {
    identity(args, json)
}

pub(in crate::cli) fn p2(args: &Unread) -> Result<bool> {
    identity(args, false)
}
