//! The command line: the only place that prints.
//!
//! Results go to standard output, everything else (progress, notes, warnings, errors) to standard error. Exit status: 0 when everything was done and verified,
//! 1 when not, 2 for wrong usage, 130 after Ctrl-C. `compare` ends with 0 when nothing changed and with 3 when something did.

mod choices;
mod claims;
mod compare;
mod data;
mod eivhe;
mod facts;
mod inputs;
mod paillier;
mod paper;
mod progress;
mod report;
mod run;
mod smlp;
mod stop;
mod sweep;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use crate::machine;
use paillier::{DecryptArgs, EncryptArgs, EvaluateArgs, KeygenArgs, decrypt, encrypt, evaluate, keygen};
use terminal::note;

/// Neural networks on encrypted data: run, measure, compare.
#[derive(Parser)]
#[command(name = "cipherlane", version, about, long_about = LONG_ABOUT, max_term_width = 100, arg_required_else_help = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads of the pool [default: all that this process may use]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Machine-readable output in place of tables
    #[arg(long, global = true)]
    json: bool,
}

const LONG_ABOUT: &str = "Neural networks on encrypted data: run, measure, compare.\n\n\
    Without a command: encrypted inference against the plaintext baseline, on every backend of this machine, with defaults (`cipherlane run`).";

#[derive(Subcommand)]
enum Command {
    /// Encrypted inference against the plaintext baseline; writes CSVs and figures
    Run(Box<run::RunArgs>),
    /// Run the grid of a sweep file; resumes by itself after any interruption
    Sweep(sweep::SweepArgs),
    /// Put the parts of a sweep together; measures nothing
    Merge(sweep::MergeArgs),
    /// Run the sweeps of a setting and write a report with all tables, figures and checked claims
    Paper(paper::PaperArgs),
    /// Say what changed between two results folders beyond noise; exit status 3 when something did
    Compare(compare::CompareArgs),
    /// Print the tables of a results folder
    Report(report::ReportArgs),
    /// Draw the figures of a results folder again
    Plot(report::PlotArgs),
    /// Check every backend against the oracle, bit for bit
    Verify(facts::VerifyArgs),
    /// What this machine has, and what it lacks; with --rates, how fast the kernels of its GPU are
    Doctor(facts::DoctorArgs),
    /// Names that options take: backends, schemes, methods, encryptions, features, models
    List,
    /// Download MNIST and check it
    Fetch(data::FetchArgs),
    /// Train a model; reproduces the embedded ones bit for bit
    Train(data::TrainArgs),
    /// Key owner: make a key pair
    Keygen(KeygenArgs),
    /// Data owner: encrypt test images into a query file
    Encrypt(EncryptArgs),
    /// Model owner: apply a model to a query file, without any secret key
    Evaluate(EvaluateArgs),
    /// Key owner: decrypt an answer file into classes
    Decrypt(DecryptArgs),
    /// Train and classify on two servers that see neither data nor parameters
    #[command(subcommand)]
    Smlp(smlp::SmlpCommand),
    /// Integer vectors (EIVHE): train on ciphertexts, recover keys, and see how both depend on sizes
    Eivhe(eivhe::EivheArgs),
}

impl Command {
    /// Whether it reads or makes keys that must stay secret, or reads what they protect.
    fn holds_secrets(&self) -> bool {
        match self {
            Self::Keygen(_) | Self::Encrypt(_) | Self::Decrypt(_) => true,
            Self::Smlp(command) => command.holds_secrets(),
            _ => false,
        }
    }
}

/// Runs the program with the process' own arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    #[cfg(all(target_os = "linux", feature = "gpu"))]
    leave_desktop_out();
    stop::listen();
    match dispatch(cli) {
        Ok(status) => status,
        Err(Error::Interrupted) => {
            stop::note_interrupted();
            ExitCode::from(stop::INTERRUPTED)
        }
        Err(error) => {
            // Names of files may hold anything; the message stays one line.
            note(&format!("error: {error}{}", hint(&error)).replace(char::is_control, "\u{fffd}"));
            ExitCode::FAILURE
        }
    }
}

/// What the command line offers against an error, to stand after its text.
fn hint(error: &Error) -> &'static str {
    match error {
        Error::Busy { .. } => "; wait for it, or choose another --out or --state",
        Error::Taken { .. } => "; choose another --out or remove it",
        Error::KeyTooSmall { .. } => ", or --toy for tests",
        Error::UnprovenKey { .. } => "; its owner adds one with `cipherlane keygen --from SECRET`, or pass --trust",
        Error::DatasetMissing { dataset, .. } if dataset == "MNIST" => ", or run `cipherlane fetch`, or pass --dataset DIR",
        _ => "",
    }
}

/// Starts the program again in its own place where there is no desktop, with Mesa told to look for
/// none.
///
/// Else Mesa's layer that orders devices tells standard error of an error, twice, in every process
/// that opens Vulkan. It listens to the environment only, which cannot be changed safely from
/// inside.
#[cfg(all(target_os = "linux", feature = "gpu"))]
fn leave_desktop_out() {
    use std::env::{args_os, current_exe, var_os};
    use std::os::unix::{ffi::OsStrExt, process::CommandExt};
    const NO_LAYER: &str = "NODEVICE_SELECT";
    let is_desktop = var_os("XDG_RUNTIME_DIR").is_some_and(|dir| dir.as_bytes().starts_with(b"/"));
    if is_desktop || [NO_LAYER, "MESA_VK_DEVICE_SELECT"].into_iter().any(|name| var_os(name).is_some()) {
        return;
    }
    let mut arguments = args_os();
    if let (Ok(program), Some(name)) = (current_exe(), arguments.next()) {
        // Comes back only where it failed: then the program goes on as it is, with Mesa's words.
        let _ = std::process::Command::new(program).arg0(name).args(arguments).env(NO_LAYER, "1").exec();
    }
}

/// The exit status: of most commands, whether everything asked for was done and verified.
fn dispatch(cli: Cli) -> Result<ExitCode> {
    if cli.command.as_ref().is_some_and(Command::holds_secrets) {
        machine::forbid_core_dumps();
    }
    let available = machine::hardware_threads();
    let threads = cli.threads.unwrap_or(available);
    if threads == 0 || threads > 1024 {
        return Err(Error::range("--threads", &threads, "1 to 1024"));
    }
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    // Threads that take every processor keep one each. Else a system may wake two of them on one processor and leave another idle for milliseconds.
    if threads == available {
        pool = pool.start_handler(machine::keep_processor);
    }
    pool.build_global().map_err(|e| Error::unsupported("this system", format!("a pool of {threads} threads: {e}")))?;
    let json = cli.json;
    let done = match cli.command.unwrap_or_else(|| Command::Run(Box::default())) {
        Command::Compare(args) => return compare::compare(&args, json),
        Command::Sweep(args) => sweep::sweep(&args, json),
        Command::Merge(args) => sweep::merge(&args, json),
        Command::Paper(args) => paper::paper(&args, json),
        Command::Run(args) => run::run(&args, json),
        Command::Report(args) => report::report(&args, json),
        Command::Plot(args) => report::plot(&args, json),
        Command::Verify(args) => facts::verify(&args, json),
        Command::Doctor(args) => facts::doctor(&args, json),
        Command::List => facts::list(json),
        Command::Fetch(args) => data::fetch(&args, json),
        Command::Train(args) => data::train(&args, json),
        Command::Keygen(args) => keygen(&args, json),
        Command::Encrypt(args) => encrypt(&args, json),
        Command::Evaluate(args) => evaluate(&args, json),
        Command::Decrypt(args) => decrypt(&args, json),
        Command::Smlp(command) => smlp::smlp(&command, json),
        Command::Eivhe(args) => eivhe::eivhe(&args, json),
    }?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::features::FeatureMap;
    use crate::quantise::Precision;

    /// Checks the help of a command and of those below it; counts what it has found.
    fn check_defaults(command: &clap::Command) -> usize {
        let [pixels, gradients] = [FeatureMap::Pixels, FeatureMap::Gradients].map(Precision::default_for);
        let said = |argument: &clap::Arg| {
            let (of_pixels, of_gradients) = match argument.get_long()? {
                "feature-bits" => (pixels.feature_bits, gradients.feature_bits),
                "weight-bits" => (pixels.weight_bits, gradients.weight_bits),
                _ => return None,
            };
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let expected = format!("[default: {of_pixels} for pixels, {of_gradients} for gradients]");
            assert!(help.ends_with(&expected), "{} --{:?}: {help}", command.get_name(), argument.get_long());
            Some(())
        };
        command.get_arguments().filter_map(said).count() + command.get_subcommands().map(check_defaults).sum::<usize>()
    }

    #[test]
    fn help_names_the_default_widths_of_features_and_weights() {
        Cli::command().debug_assert();
        assert!(check_defaults(&Cli::command()) >= 4);
    }
}
