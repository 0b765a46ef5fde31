//! The command line: the only place that prints.
//!
//! Results go to standard output, everything else (progress, notes, warnings, errors) to standard error. Exit status: 0 when everything was done and verified,
//! 1 when not, 2 for wrong usage, 130 after Ctrl-C. `compare` ends with 0 when nothing changed and with 3 when something did.

mod data;
mod eivhe;
mod facts;
mod inference;
mod paper;
mod pipeline;
mod progress;
mod smlp;
mod stop;
mod sweep;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::durable::Claim;
use crate::error::{Error, Result};
use crate::machine;
use crate::record;
use crate::stopwatch::timestamp;
use crate::workload::method_choice;
use stop::{check_stop, control};

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
    Run(Box<inference::RunArgs>),
    /// Run the grid of a sweep file; resumes by itself after any interruption
    Sweep(sweep::SweepArgs),
    /// Run the sweeps of a setting and write a report with all tables, figures and checked claims
    Paper(paper::PaperArgs),
    /// Say what changed between two results folders beyond noise; exit status 3 when something did
    Compare(sweep::CompareArgs),
    /// Print the tables of a results folder
    Report(inference::ReportArgs),
    /// Draw the figures of a results folder again
    Plot(inference::PlotArgs),
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
    Keygen(pipeline::KeygenArgs),
    /// Data owner: encrypt test images into a query file
    Encrypt(pipeline::EncryptArgs),
    /// Model owner: apply a model to a query file, without any secret key
    Evaluate(pipeline::EvaluateArgs),
    /// Key owner: decrypt an answer file into classes
    Decrypt(pipeline::DecryptArgs),
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
            note(&format!("error: {error}").replace(char::is_control, "\u{fffd}"));
            ExitCode::FAILURE
        }
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
        return Err(Error::OutOfRange { what: "--threads", value: threads.to_string(), allowed: "1 to 1024".into() });
    }
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    // Threads that take every processor keep one each. Else a system may wake two of them on one processor and leave another idle for milliseconds.
    if threads == available {
        pool = pool.start_handler(machine::keep_processor);
    }
    pool.build_global().map_err(|e| Error::Unsupported { subject: "this system".into(), feature: format!("a pool of {threads} threads: {e}") })?;
    let json = cli.json;
    let done = match cli.command.unwrap_or_else(|| Command::Run(Box::default())) {
        Command::Compare(args) => return sweep::compare(&args, json),
        Command::Sweep(args) => sweep::sweep(&args, json),
        Command::Paper(args) => paper::paper(&args, json),
        Command::Run(args) => inference::run(&args, json),
        Command::Report(args) => inference::report(&args, json),
        Command::Plot(args) => inference::plot(&args, json),
        Command::Verify(args) => facts::verify(&args, json),
        Command::Doctor(args) => facts::doctor(&args, json),
        Command::List => facts::list(json),
        Command::Fetch(args) => data::fetch(&args, json),
        Command::Train(args) => data::train(&args, json),
        Command::Keygen(args) => pipeline::keygen(&args, json),
        Command::Encrypt(args) => pipeline::encrypt(&args, json),
        Command::Evaluate(args) => pipeline::evaluate(&args, json),
        Command::Decrypt(args) => pipeline::decrypt(&args, json),
        Command::Smlp(command) => smlp::smlp(&command, json),
        Command::Eivhe(args) => eivhe::eivhe(&args, json),
    }?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes a file that is to be written, before any work is done for it, or refuses one that could not be. What is there is replaced, so only a file may be, and
/// none of `inputs`.
fn claim_file(path: &Path, inputs: &[&Path]) -> Result<Claim> {
    if let Ok(there) = std::fs::symlink_metadata(path).map(|m| m.file_type()).as_ref()
        && !there.is_file()
    {
        let kind = if there.is_dir() {
            "a folder"
        } else if there.is_symlink() {
            "a symbolic link"
        } else {
            "a device or a pipe"
        };
        return Err(Error::file(path, "a file or nothing", kind));
    }
    if let Ok(target) = path.canonicalize()
        && inputs.iter().any(|input| input.canonicalize().is_ok_and(|input| input == target))
    {
        return Err(Error::file(path, "another file than those that are read", "one of them"));
    }
    check_folder(path.parent().unwrap_or(path), false)?;
    Claim::file(path)
}

/// Takes the results folder that was asked for, or makes one that is named by the time: `results/DATE-TIME-KIND`. No file may be there that a run writes.
fn claim_results(asked: Option<&Path>, kind: &str) -> Result<Claim> {
    match asked {
        Some(dir) => Claim::folder(dir, &record::FILES),
        None => Claim::new_folder(Path::new("results"), &format!("{}-{kind}", timestamp().trim_end_matches('Z').replace(':', "").replace('T', "-"))),
    }
}

/// Refuses a folder that no file can be made in; with `create`, one that could not be made either.
fn check_folder(dir: &Path, create: bool) -> Result<()> {
    let present = |dir: &&Path| !create || dir.as_os_str().is_empty() || std::fs::symlink_metadata(dir).is_ok();
    let dir = dir.ancestors().find(present).filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = std::fs::metadata(dir).map_err(Error::io("write to", dir))?;
    if !there.is_dir() {
        return Err(Error::file(dir, "a folder", "a file"));
    }
    tempfile::tempfile_in(dir).map(drop).map_err(Error::io("create a file in", dir))
}

/// Checks the name of a plan while options are read.
fn method_name(name: &str) -> Result<String> {
    method_choice(name).map(|_| name.into())
}

/// A path as text, for JSON.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A result: one text with its line end to standard output. That a reader has gone away is its own affair and changes nothing else.
fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            note(&format!("error: cannot write to standard output: {e}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// A note: one line to standard error, where it must not matter whether anybody reads it.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A result as JSON.
fn out_json(value: &serde_json::Value) {
    out(&format!("{value:#}"));
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
