//! `smlp`: training and classification on two servers.

mod classify;
mod options;
#[cfg_attr(not(feature = "net"), path = "smlp/without_parties.rs")]
mod parties;
mod train;
mod user;

use clap::{Args, Subcommand};
use serde_json::json;

use super::terminal::{out, out_json};
use crate::error::{Error, Result};
use crate::randomness::Tape;
use crate::scheme::smlp::Comparison;
use crate::scheme::smlp::leak::leak;
use crate::statistics::mutual_information;

/// What `smlp` does.
#[derive(Subcommand)]
pub(super) enum SmlpCommand {
    /// Train in floats, in the integer simulator and under encryption, and compare
    Train(Box<train::TrainArgs>),
    /// Classify encrypted records with an encrypted network, each checked against the simulator
    Classify(classify::ClassifyArgs),
    /// What each server learns in each form of the comparison
    Leaks(LeaksArgs),
    /// Each party: make the key that the other party knows it by, and print its fingerprint
    Identity(parties::IdentityArgs),
    /// The party with the secret key: answer P1 over the network
    P2(parties::P2Args),
    /// The party with the ciphertexts: train, classify, with P2 over the network; resumes by itself
    P1(parties::P1Args),
    /// The user, who encrypts records and reads answers
    #[command(subcommand)]
    User(user::UserCommand),
}

impl SmlpCommand {
    /// Whether it is a party's, with keys of its own.
    pub(super) fn holds_secrets(&self) -> bool {
        matches!(self, Self::Identity(_) | Self::P1(_) | Self::P2(_) | Self::User(_))
    }
}

/// Runs one of the commands.
pub(super) fn smlp(command: &SmlpCommand, json: bool) -> Result<bool> {
    match command {
        SmlpCommand::Train(args) => train::train(args, json),
        SmlpCommand::Classify(args) => classify::classify(args, json),
        SmlpCommand::Leaks(args) => leaks(args, json),
        SmlpCommand::Identity(args) => parties::identity(args, json),
        SmlpCommand::P2(args) => parties::p2(args),
        SmlpCommand::P1(args) => parties::p1(args, json),
        SmlpCommand::User(command) => user::user(command, json),
    }
}

/// Options of `smlp leaks`.
#[derive(Args, Clone, Debug)]
pub(super) struct LeaksArgs {
    /// Bits of the magnitude of what is compared
    #[arg(long, default_value_t = 15, value_name = "BITS")]
    bits: u32,
    /// Numbers that the leak is measured on
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    samples: usize,
    /// Seed of numbers and masks
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One line of the table: an operation in one form, and what each server sees of it.
struct Learns {
    operation: &'static str,
    form: &'static str,
    p1: &'static str,
    p2: &'static str,
}

/// What each server learns, by the protocols as they are written here: a reconstruction, not the words of the paper.
const LEARNS: [Learns; 6] = {
    const fn line(operation: &'static str, form: &'static str, p1: &'static str, p2: &'static str) -> Learns {
        Learns { operation, form, p1, p2 }
    }
    const SIZES: &str = "sizes; it holds ciphertexts";
    const MASKED: &str = "sizes; numbers under fresh masks, within 2^-80 of ones that do not depend on the data";
    [
        line("product", "both", SIZES, MASKED),
        line("division", "both", SIZES, "sizes and the public divisor; numbers under fresh masks, within 2^-80 likewise"),
        line("comparison", "blinded", SIZES, "part of the size of every number compared; not its sign, which a coin flips"),
        line("comparison", "exact", SIZES, MASKED),
        line("selection", "both", SIZES, MASKED),
        line("answer", "both", "a padded number that it cannot read", "a masked number; only the user reads the answer"),
    ]
};

/// Bits that P2's readings say about the lengths of numbers and about their signs.
struct Told {
    comparison: Comparison,
    length_bits: f64,
    low_bits: f64,
    sign_bits: f64,
}

fn told(comparison: Comparison, args: &LeaksArgs) -> Result<Told> {
    let counted = leak(comparison, args.bits, args.samples, &Tape::replayable(args.seed))?;
    let signs: Vec<Vec<u64>> = counted.by_sign.iter().map(|row| row.to_vec()).collect();
    Ok(Told {
        comparison,
        length_bits: mutual_information(&counted.by_length),
        low_bits: mutual_information(&counted.by_low),
        sign_bits: mutual_information(&signs),
    })
}

/// Prints the table and the measured leak of both comparisons.
fn leaks(args: &LeaksArgs, json: bool) -> Result<bool> {
    if !(1000..=100_000_000).contains(&args.samples) {
        return Err(Error::range("--samples", &args.samples, "1000 to 100000000"));
    }
    let measured = Comparison::ALL.map(|comparison| told(comparison, args)).into_iter().collect::<Result<Vec<_>>>()?;
    // Lengths are drawn uniformly, 0 and 1 counted as one length each.
    let all = f64::from(args.bits + 1).log2();
    if json {
        let rows: Vec<_> = LEARNS.iter().map(|l| json!({ "operation": l.operation, "form": l.form, "p1": l.p1, "p2": l.p2 })).collect();
        let leaks = measured.iter().map(
            |t| json!({ "comparison": t.comparison.name(), "length_bits": t.length_bits, "low_part_bits": t.low_bits, "sign_bits": t.sign_bits }),
        );
        out_json(
            &json!({ "learns": rows, "magnitude_bits": args.bits, "samples": args.samples, "length_entropy_bits": all, "measured": leaks.collect::<Vec<_>>() }),
        );
        return Ok(true);
    }
    let mut text =
        String::from("What each server learns if both follow the protocol and do not talk to each other; together they learn everything.\n");
    for Learns { operation, form, p1, p2 } in LEARNS {
        text += &format!("  {operation:<11} {form:<8} P1: {p1}\n  {:<20} P2: {p2}\n", "");
    }
    text += &format!(
        "\nMeasured on {} numbers of up to {} bits, every length as likely ({all:.2} bits to know): what one reading of P2 tells, in bits\n  \
         comparison    length  its low part    sign\n",
        args.samples, args.bits
    );
    for Told { comparison, length_bits, low_bits, sign_bits } in &measured {
        let shown = |bits: f64| if bits.abs() < 0.005 { "0.00".into() } else { format!("{bits:.2}") };
        text += &format!("  {:<12} {:>7} {:>13} {:>7}\n", comparison.name(), shown(*length_bits), shown(*low_bits), shown(*sign_bits));
    }
    text +=
        "Estimates; of nothing they come out within a few thousandths of 0. `blinded` is the literature's form, for reproduction; `exact` is ours.";
    out(&text);
    Ok(true)
}
