//! Ctrl-C, SIGTERM and SIGHUP: all work of the process is asked to stop, and what cannot hear is ended.

use std::process;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use super::note;
use crate::control::Control;
use crate::durable;
use crate::error::Result;

/// Exit status after a signal.
pub(super) const INTERRUPTED: u8 = 130;

/// How long work has to end by itself. Few steps need more: a driver that compiles a kernel, one power
/// of a very long number on a busy machine.
const GRACE: Duration = Duration::from_millis(1500);

/// What all work of this process is under.
static CONTROL: LazyLock<Control> = LazyLock::new(Control::default);

/// What all work of this process is under.
pub(super) fn control() -> &'static Control {
    &CONTROL
}

/// Goes on, unless the user asked to stop.
///
/// # Errors
/// [`crate::error::Error::Interrupted`].
pub(super) fn check_stop() -> Result<()> {
    CONTROL.check()
}

/// Says that nothing is left behind, in one place for all ends.
pub(super) fn note_interrupted() {
    note("interrupted; nothing half-written is left");
}

/// Stops all work at the first signal, and ends the process at the second one, or when the work does
/// not end soon. A signal that was ignored when the process began stays ignored, as `nohup` and
/// background jobs of scripts ask for.
pub(super) fn listen() {
    if let Err(problem) = on_signals(stop) {
        note(&format!("Ctrl-C will stop the program at once: {problem}"));
    }
}

fn stop() {
    if CONTROL.stop() {
        durable::give_up_claims();
        process::exit(INTERRUPTED.into());
    }
    note("stopping; press Ctrl-C again to stop at once");
    let end = || {
        thread::sleep(GRACE);
        durable::stop_writing();
        note_interrupted();
        process::exit(INTERRUPTED.into());
    };
    if thread::Builder::new().spawn(end).is_err() {
        note("what is being done ends first");
    }
}

#[cfg(unix)]
fn on_signals(stop: fn()) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    thread::Builder::new().spawn(move || signals.forever().for_each(|_| stop()))?;
    Ok(())
}

#[cfg(not(unix))]
fn on_signals(stop: fn()) -> std::io::Result<()> {
    ctrlc::set_handler(stop).map_err(std::io::Error::other)
}

/// The signals that a process ignores, signal n as bit n - 1, by the text of its status; none where
/// the system has no such text.
#[cfg(unix)]
fn ignored(status: &str) -> u64 {
    status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert_eq!(ignored("Name:\tsh\nSigBlk:\t00000001\nSigIgn:\t0000000000001003\nSigCgt:\t4003\n"), 0x1003);
        assert_eq!(ignored(""), 0);
        assert_eq!(ignored("SigIgn:\tnothing"), 0);
    }
}
