//! Progress on standard error: a bar with the time left on a terminal, otherwise a plain line at least every ten seconds.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::note;

/// Longest silence on something that is not a terminal.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// Shows how far one piece of work is; gone when dropped.
pub(super) struct Meter {
    bar: ProgressBar,
    state: Arc<Mutex<State>>,
    heartbeat: Option<(Sender<()>, JoinHandle<()>)>,
}

struct State {
    title: String,
    step: String,
    done: u64,
    total: u64,
    unit: &'static str,
    /// Time left at the start for all work that this is a part of.
    left: Option<Duration>,
}

impl Meter {
    /// Begins to show `title`; `total` counts of `unit`, 0 when unknown.
    pub(super) fn start(title: &str, total: u64, unit: &'static str) -> Self {
        let state = Arc::new(Mutex::new(State { title: title.into(), step: String::new(), done: 0, total, unit, left: None }));
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total);
            let template =
                if total > 0 { "{prefix} {bar:24} {pos}/{len} {elapsed} (left: {eta})  {msg}" } else { "{prefix} {spinner} {elapsed}  {msg}" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            return Self { bar, state, heartbeat: None };
        }
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::clone(&state);
        let start = Instant::now();
        let thread = std::thread::spawn(move || {
            while receiver.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                note(&line(&shared.lock().unwrap_or_else(PoisonError::into_inner), start.elapsed()));
            }
        });
        Self { bar: ProgressBar::hidden(), state, heartbeat: Some((sender, thread)) }
    }

    /// What is being done, and how much is done.
    pub(super) fn set(&self, step: &str, done: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.step.clear();
        state.step.push_str(step);
        state.done = done;
        drop(state);
        self.bar.set_message(step.to_owned());
        self.bar.set_position(done);
    }

    /// How long all work that this is a part of will take from now on, by an estimate.
    pub(super) fn set_left(&self, left: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.left = Some(left);
        self.bar.set_prefix(format!("{} (all: {} left)", state.title, minutes(left)));
    }

    /// How much there is to do, once it is known.
    pub(super) fn set_total(&self, total: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).total = total;
        self.bar.set_length(total);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if let Some((sender, thread)) = self.heartbeat.take() {
            drop(sender);
            // The thread only prints; that it ended badly matters to nobody.
            let _ = thread.join();
        }
    }
}

fn line(state: &State, elapsed: Duration) -> String {
    let State { title, step, done, total, unit, left } = state;
    let seconds = elapsed.as_secs_f64();
    let mut text = format!("{title}: ");
    if !step.is_empty() {
        text += &format!("{step}, ");
    }
    if *total > 0 {
        text += &format!("{done} of {total} {unit}, ");
    }
    text += &format!("{seconds:.0} s");
    if *done > 0 && done < total {
        text += &format!(", about {:.0} s left", seconds / *done as f64 * (total - done) as f64);
    }
    if let Some(left) = left {
        text += &format!(", about {} left in all", minutes(left.saturating_sub(elapsed)));
    }
    text
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

    #[test]
    fn lines_say_how_much_is_left() {
        let state = |done, total| State { title: "gmp".into(), step: "encrypt".into(), done, total, unit: "images", left: None };
        assert_eq!(line(&state(25, 100), Duration::from_secs(10)), "gmp: encrypt, 25 of 100 images, 10 s, about 30 s left");
        assert_eq!(line(&state(0, 100), Duration::from_secs(10)), "gmp: encrypt, 0 of 100 images, 10 s");
        assert_eq!(line(&state(0, 0), Duration::from_secs(1)), "gmp: encrypt, 1 s");
        let part = State { left: Some(Duration::from_secs(7210)), ..state(25, 100) };
        assert_eq!(line(&part, Duration::from_secs(10)), "gmp: encrypt, 25 of 100 images, 10 s, about 30 s left, about 120 min left in all");
        assert_eq!([20, 299, 300, 20_000].map(|s| minutes(Duration::from_secs(s))), ["20 s", "299 s", "5 min", "5 h 33 min"]);
        assert_eq!(line(&State { step: String::new(), ..state(0, 0) }, Duration::from_secs(1)), "gmp: 1 s");
    }
}
