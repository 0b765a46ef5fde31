//! The only place that reads a clock for measurement.

use std::time::{Instant, SystemTime};

use cpu_time::ProcessTime;

/// A running clock: wall time and the processor time of all threads of this process.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    wall: Instant,
    cpu: ProcessTime,
}

/// A measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elapsed {
    /// Wall time in nanoseconds.
    pub wall_ns: u64,
    /// Processor time of all threads in nanoseconds.
    pub cpu_ns: u64,
}

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { cpu: ProcessTime::now(), wall: Instant::now() }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Elapsed {
        let wall = self.wall.elapsed();
        let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        Elapsed { wall_ns: nanos(wall), cpu_ns: nanos(self.cpu.elapsed()) }
    }

    /// Runs `work` and measures it.
    pub fn time<T>(work: impl FnOnce() -> T) -> (T, Elapsed) {
        let watch = Self::start();
        let result = work();
        (result, watch.elapsed())
    }
}

/// The time of day, RFC 3339 in UTC with whole seconds.
#[must_use]
pub fn timestamp() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run() {
        let (sum, elapsed) = Stopwatch::time(|| (0..20_000_000u64).fold(0, |a, b| std::hint::black_box(a ^ b)));
        assert!(sum > 0 || elapsed.wall_ns > 0);
        assert!(elapsed.wall_ns > 0 && elapsed.cpu_ns > 0, "{elapsed:?}");
        assert!(timestamp().ends_with('Z'));
    }
}
