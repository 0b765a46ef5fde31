//! `smlp`: training and classification on two servers.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{out, out_json};
use crate::error::Result;

/// What `smlp` does.
#[derive(Subcommand)]
pub(super) enum SmlpCommand {
    /// What each server learns in each form of the comparison
    Leaks(LeaksArgs),
}

/// Runs one of the commands.
pub(super) fn smlp(command: &SmlpCommand, json: bool) -> Result<bool> {
    match command {
        SmlpCommand::Leaks(args) => leaks(args, json),
    }
}

/// Options of `smlp leaks`.
#[derive(Args, Clone, Debug)]
pub(super) struct LeaksArgs {}

/// One line of the table: an operation in one form, and what each server sees of it.
struct Learns {
    operation: &'static str,
    form: &'static str,
    p1: &'static str,
    p2: &'static str,
}

/// What each server learns, by the protocols as they are written here: a reconstruction, not the words of the paper.
const LEARNS: [Learns; 6] = [
    Learns {
        operation: "product",
        form: "both",
        p1: "sizes only: it holds ciphertexts",
        p2: "sizes; every entry under a fresh mask, 2^-80 from uniform",
    },
    Learns {
        operation: "division",
        form: "both",
        p1: "sizes only",
        p2: "sizes and the public divisor; every entry under a fresh mask, 2^-80 from uniform",
    },
    Learns {
        operation: "comparison",
        form: "blinded",
        p1: "sizes only",
        p2: "no sign (a coin flips it), but part of the size of every pre-activation, and which are zero",
    },
    Learns { operation: "comparison", form: "exact", p1: "sizes only", p2: "sizes; values under fresh masks, 2^-80 from uniform" },
    Learns { operation: "selection", form: "both", p1: "sizes only", p2: "sizes; values under fresh masks, 2^-80 from uniform" },
    Learns { operation: "answer", form: "both", p1: "sizes only", p2: "sizes; only the user reads the class" },
];

/// Prints the table.
fn leaks(_: &LeaksArgs, json: bool) -> Result<bool> {
    if json {
        let rows: Vec<_> = LEARNS.iter().map(|l| json!({ "operation": l.operation, "form": l.form, "p1": l.p1, "p2": l.p2 })).collect();
        out_json(&json!({ "learns": rows }));
        return Ok(true);
    }
    let mut text =
        String::from("What each server learns if both follow the protocol and do not talk to each other; together they learn everything.\n");
    for Learns { operation, form, p1, p2 } in LEARNS {
        text += &format!("  {operation:<11} {form:<8} P1: {p1}\n  {:<20} P2: {p2}\n", "");
    }
    out(&text);
    Ok(true)
}
