//! Ctrl-C and hangups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Place, QUICK, snapshot};

/// Waits until the file that gets a child's standard error has `word`.
fn wait_for(word: &str, log: &Path) {
    let start = Instant::now();
    while !fs::read_to_string(log).unwrap_or_default().contains(word) {
        assert!(start.elapsed() < Duration::from_secs(60), "`{word}` did not come: {:?}", fs::read_to_string(log));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
}

/// Starts a run of minutes with its standard error in `log`.
fn long_run(place: &Place, options: &str) -> (Child, PathBuf) {
    let log = TempDir::new().unwrap().keep().join("log");
    let line = format!("run --dataset digits --features gradients --backend gmp --encryption standard --out r {options}");
    let child = place.command(&line).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    wait_for("[2/3]", &log);
    (child, log)
}

#[test]
fn an_interrupt_stops_soon_and_leaves_nothing() {
    let place = Place::new();
    let (mut child, log) = long_run(&place, "--packing 4");
    let start = Instant::now();
    signal("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Far less on a quiet machine.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("press Ctrl-C again") && text.ends_with("interrupted; nothing half-written is left\n"), "{text}");
    assert!(snapshot(place.0.path()).is_empty());
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let place = Place::new();
    let (mut child, log) = long_run(&place, "--key-bits 8192");
    signal("-INT", &child);
    wait_for("press Ctrl-C again", &log);
    let start = Instant::now();
    signal("-INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(snapshot(place.0.path()).is_empty());
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let place = Place::new();
    let inner = place.command(&format!("run {QUICK} --out r"));
    let words: Vec<String> = inner.get_args().map(|a| a.to_string_lossy().into()).collect();
    let status = "grep SigIgn /proc/self/status >&2";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("trap '' HUP; {status}; exec \"$0\" \"$@\"")).arg(inner.get_program()).args(words);
    let log = place.path("log");
    shell.current_dir(place.0.path()).env("CIPHERLANE_OFFLINE", "1").stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut child = shell.spawn().unwrap();
    wait_for("dataset: ", &log);
    signal("-HUP", &child);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{:?}", fs::read_to_string(&log));
    assert!(place.path("r/run.toml").is_file());
}
