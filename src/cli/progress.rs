//! Progress on standard error: a bar with the time left on a terminal, otherwise a plain line at least every ten seconds.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::stop::control;
use super::terminal::note;

/// Longest silence on something that is not a terminal.
const HEARTBEAT: Duration = Duration::from_secs(8);
/// How often a terminal shows where the work is.
const REDRAW: Duration = Duration::from_millis(200);
/// Characters of a bar.
const BAR: u64 = 12;

/// Shows how far one piece of work is; gone when dropped.
pub(super) struct Meter {
    state: Arc<Mutex<State>>,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

struct State {
    title: String,
    step: String,
    done: u64,
    total: u64,
    unit: &'static str,
    /// Operations that were counted when the step began, or since `done` last grew.
    operations: u64,
    start: Instant,
    /// When all work that this is a part of will be done, by an estimate.
    end: Option<Instant>,
}

impl Meter {
    /// Begins to show `title`; `total` counts of `unit`, 0 when unknown.
    pub(super) fn start(title: &str, total: u64, unit: &'static str) -> Self {
        let (title, step, operations) = (title.to_owned(), String::new(), control().done());
        let state = Arc::new(Mutex::new(State { title, step, done: 0, total, unit, operations, start: Instant::now(), end: None }));
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::clone(&state);
        let read = move |show: fn(&State, Instant, u64) -> String| show(&lock(&shared), Instant::now(), control().done());
        let thread = std::thread::spawn(move || {
            let ended = |period| receiver.recv_timeout(period) != Err(RecvTimeoutError::Timeout);
            if !std::io::stderr().is_terminal() {
                while !ended(HEARTBEAT) {
                    note(&read(line));
                }
                return;
            }
            // What is too long for the terminal is cut, so that redrawing finds one line.
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            while !ended(REDRAW) {
                bar.set_message(read(short_line));
                bar.tick();
            }
            bar.finish_and_clear();
        });
        Self { state, shown: Some((sender, thread)) }
    }

    /// What is being done, and how much is done.
    pub(super) fn set(&self, step: &str, done: u64) {
        let mut state = lock(&self.state);
        if state.step != step || state.done != done {
            state.step.clear();
            state.step.push_str(step);
            state.done = done;
            state.operations = control().done();
        }
    }

    /// How long all work that this is a part of will take from now on, by an estimate.
    pub(super) fn set_left(&self, left: Duration) {
        lock(&self.state).end = Instant::now().checked_add(left);
    }

    /// How much there is to do, once it is known.
    pub(super) fn set_total(&self, total: u64) {
        lock(&self.state).total = total;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.shown.take() {
            drop(sender);
            // The thread only prints; that it ended badly matters to nobody.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Operations within the step, time so far and time left: only one estimate, and none before there is something to rest it on.
    fn times(&self, now: Instant, operations: u64, number: fn(u64) -> String) -> String {
        let elapsed = now.saturating_duration_since(self.start).as_secs_f64();
        let mut text = match operations.saturating_sub(self.operations) {
            0 => String::new(),
            count => format!("{} operations, ", number(count)),
        };
        text += &format!("{elapsed:.0} s");
        if let Some(end) = self.end {
            text += &format!(", about {} left in all", minutes(end.saturating_duration_since(now)));
        } else if self.done > 0 && self.done < self.total {
            text += &format!(", about {:.0} s left", elapsed / self.done as f64 * (self.total - self.done) as f64);
        }
        text
    }
}

/// One line of a log.
fn line(state: &State, now: Instant, operations: u64) -> String {
    let State { title, step, done, total, unit, .. } = state;
    let step = if step.is_empty() { String::new() } else { format!("{step}, ") };
    let count = if *total == 0 { String::new() } else { format!("{done} of {total} {unit}, ") };
    format!("{title}: {step}{count}{}", state.times(now, operations, thousands))
}

/// One line of a terminal, what matters least last.
fn short_line(state: &State, now: Instant, operations: u64) -> String {
    let State { title, step, done, total, .. } = state;
    let step = if step.is_empty() { String::new() } else { format!("{step}, ") };
    let bar = match (done * BAR).checked_div(*total) {
        None => String::new(),
        Some(full) => format!("[{:<width$}] {done}/{total} ", "=".repeat(full.min(BAR) as usize), width = BAR as usize),
    };
    format!("{bar}{step}{}  {title}", state.times(now, operations, rounded))
}

/// A number with commas.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A number of at most four digits and a unit, rounded down.
fn rounded(number: u64) -> String {
    match number {
        0..=9_999 => number.to_string(),
        10_000..=9_999_999 => format!("{}k", number / 1_000),
        10_000_000..=9_999_999_999 => format!("{}M", number / 1_000_000),
        _ => format!("{}G", number / 1_000_000_000),
    }
}

/// Seconds, or whole minutes where there are many.
fn minutes(time: Duration) -> String {
    match time.as_secs() {
        s @ 0..=299 => format!("{s} s"),
        s @ 300..=17_999 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(done: u64, total: u64) -> State {
        State { title: "gmp".into(), step: "encrypt".into(), done, total, unit: "images", operations: 100, start: Instant::now(), end: None }
    }

    fn after(state: &State, seconds: u64) -> Instant {
        state.start + Duration::from_secs(seconds)
    }

    #[test]
    fn lines_say_how_much_is_left() {
        let line = |state: State, seconds, operations| line(&state, after(&state, seconds), operations);
        assert_eq!(line(state(25, 100), 10, 100), "gmp: encrypt, 25 of 100 images, 10 s, about 30 s left");
        assert_eq!(line(state(0, 100), 10, 100), "gmp: encrypt, 0 of 100 images, 10 s");
        assert_eq!(line(state(0, 0), 1, 100), "gmp: encrypt, 1 s");
        assert_eq!(line(State { step: String::new(), ..state(0, 0) }, 1, 100), "gmp: 1 s");
        // A long step moves within itself.
        assert_eq!(line(state(0, 100), 60, 1_234_667), "gmp: encrypt, 0 of 100 images, 1,234,567 operations, 60 s");
        // One estimate only.
        let part = state(25, 100);
        let part = State { end: Some(after(&part, 7210)), ..part };
        assert_eq!(line(part, 10, 100), "gmp: encrypt, 25 of 100 images, 10 s, about 120 min left in all");
        assert_eq!([20, 299, 300, 20_000].map(|s| minutes(Duration::from_secs(s))), ["20 s", "299 s", "5 min", "5 h 33 min"]);
        assert_eq!([0, 999, 1000, 1_002_003].map(thousands), ["0", "999", "1,000", "1,002,003"]);
        assert_eq!([7, 9_999, 10_999, 10_000_000, 10_000_000_000].map(rounded), ["7", "9999", "10k", "10M", "10G"]);
    }

    #[test]
    fn lines_of_a_terminal_keep_what_matters_within_80_columns() {
        let line = |state: State, seconds, operations| short_line(&state, after(&state, seconds), operations);
        assert_eq!(line(state(0, 100), 10, 100), "[            ] 0/100 encrypt, 10 s  gmp");
        assert_eq!(line(state(100, 100), 10, 100), "[============] 100/100 encrypt, 10 s  gmp");
        assert_eq!(line(state(0, 0), 10, 350), "encrypt, 250 operations, 10 s  gmp");
        let title = "[117/140] paillier 4096 ifma pairs owner, gradients, 8 threads, 1 image at a time";
        let long = line(State { title: title.into(), ..state(2500, 10_000) }, 1000, 123_456_789_112);
        let end = long.find(title).unwrap();
        assert!(end <= 80 && long[..end].ends_with(" encrypt, 123G operations, 1000 s, about 3000 s left  "), "{long}");
    }
}
