//! Ctrl-C, termination and hangups.

use std::fs;
use std::process::{Child, Stdio};

use super::{Place, QUICK, signal, snapshot, wait, wait_for_end};

/// A process with its standard error in a file outside of its folder.
struct Running {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Running {
    fn start(place: &Place, line: &str, ignored: &str) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let stderr = fs::File::create(log.path()).unwrap();
        let child = place.signalled(line, ignored).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, log }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Waits until a line of its standard error has all `words`.
    #[track_caller]
    fn wait_for(&mut self, words: &[&str]) {
        wait(&words.concat(), || {
            let ended = self.child.try_wait().unwrap();
            let text = self.text();
            let found = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
            assert!(found || ended.is_none(), "{ended:?}: {text}");
            found.then_some(())
        });
    }
}

/// Minutes on every machine, many of them in one step.
const LONG: &str = "run --dataset digits --features gradients --backend gmp --encryption standard --packing 1 --key-bits 4096 --out r";

#[test]
fn long_steps_move_and_hear_both_signals_and_leave_nothing() {
    for name in ["-INT", "-TERM"] {
        let place = Place::new();
        let mut running = Running::start(&place, LONG, "");
        // Within one step, not between two.
        running.wait_for(&["prepare, 0 of ", " operations, "]);
        signal(name, &running.child);
        wait_for_end(&mut running.child, 130);
        let text = running.text();
        assert!(text.contains("press Ctrl-C again") && text.ends_with("interrupted; nothing half-written is left\n"), "{text}");
        assert!(snapshot(place.0.path()).is_empty());
    }
}

#[test]
fn a_search_for_primes_hears_an_interrupt_and_leaves_no_key() {
    let place = Place::new();
    let mut running = Running::start(&place, "keygen --bits 8192 --safe --out k", "");
    running.wait_for(&["two primes of 4096 bits"]);
    signal("-INT", &running.child);
    wait_for_end(&mut running.child, 130);
    assert!(snapshot(place.0.path()).is_empty());
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let place = Place::new();
    let mut running = Running::start(&place, LONG, "");
    running.wait_for(&["[2/3]"]);
    signal("-INT", &running.child);
    // Nobody asks whether it has ended: until then the second signal has a process to go to.
    wait("press Ctrl-C again", || running.text().contains("press Ctrl-C again").then_some(()));
    signal("-INT", &running.child);
    wait_for_end(&mut running.child, 130);
    assert!(snapshot(place.0.path()).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn signals_that_are_ignored_stay_ignored() {
    for name in ["HUP", "INT", "TERM"] {
        let place = Place::new();
        let mut running = Running::start(&place, &format!("run {QUICK} --out r"), name);
        running.wait_for(&["dataset: "]);
        signal(&format!("-{name}"), &running.child);
        wait_for_end(&mut running.child, 0);
        assert!(place.path("r/run.toml").is_file(), "{}", running.text());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn under_nohup_an_interrupt_is_heard() {
    let place = Place::new();
    let mut running = Running::start(&place, LONG, "HUP");
    running.wait_for(&["[2/3]"]);
    signal("-HUP", &running.child);
    signal("-INT", &running.child);
    wait_for_end(&mut running.child, 130);
    assert!(running.text().ends_with("interrupted; nothing half-written is left\n"), "{}", running.text());
    assert!(snapshot(place.0.path()).is_empty());
}
