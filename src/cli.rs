//! The command line: the only place that prints.
//!
//! Results go to standard output, everything else (progress, notes, warnings, errors) to standard error. Exit status: 0 when everything was done and verified,
//! 1 when not, 2 for wrong usage, 130 after Ctrl-C.

mod data;
mod facts;
mod inference;
mod pipeline;
mod progress;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

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
    Run(inference::RunArgs),
    /// Print the tables of a results folder
    Report(inference::ReportArgs),
    /// Draw the figures of a results folder again
    Plot(inference::PlotArgs),
    /// Check every backend against the oracle, bit for bit
    Verify(facts::VerifyArgs),
    /// What this machine has, and what it lacks
    Doctor,
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
}

/// Runs the program with the process' own arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let stop = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        note("stopping after this step; press Ctrl-C again to stop at once");
    });
    if let Err(e) = stop {
        note(&format!("Ctrl-C will stop the program at once: {e}"));
    }
    match dispatch(cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Error::Interrupted) => {
            note("interrupted; nothing was written");
            ExitCode::from(130)
        }
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether everything asked for was done and verified.
fn dispatch(cli: Cli) -> Result<bool> {
    if let Some(threads) = cli.threads {
        if threads == 0 || threads > 1024 {
            return Err(Error::OutOfRange { what: "--threads", value: threads.to_string(), allowed: "1 to 1024".into() });
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Error::Unsupported { subject: "this system".into(), feature: format!("a pool of {threads} threads: {e}") })?;
    }
    let json = cli.json;
    match cli.command.unwrap_or_else(|| Command::Run(inference::RunArgs::default())) {
        Command::Run(args) => inference::run(&args, json),
        Command::Report(args) => inference::report(&args, json),
        Command::Plot(args) => inference::plot(&args, json),
        Command::Verify(args) => facts::verify(&args, json),
        Command::Doctor => facts::doctor(json),
        Command::List => facts::list(json),
        Command::Fetch(args) => data::fetch(&args, json),
        Command::Train(args) => data::train(&args, json),
        Command::Keygen(args) => pipeline::keygen(&args, json),
        Command::Encrypt(args) => pipeline::encrypt(&args, json),
        Command::Evaluate(args) => pipeline::evaluate(&args, json),
        Command::Decrypt(args) => pipeline::decrypt(&args, json),
    }
}

/// Whether the user asked to stop.
fn should_stop() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// [`Error::Interrupted`] once the user asked to stop.
fn check_stop() -> Result<()> {
    if should_stop() { Err(Error::Interrupted) } else { Ok(()) }
}

/// A result: one text with its line end to standard output. A reader that has gone away ends the program quietly.
fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(e) = writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush()) {
        std::process::exit(if e.kind() == ErrorKind::BrokenPipe { 0 } else { 1 });
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
