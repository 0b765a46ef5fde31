//! The only place that reads a clock for measurement.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(not(target_family = "wasm"))]
use cpu_time::ProcessTime;

/// The processor time of a system that counts none.
#[cfg(target_family = "wasm")]
#[derive(Clone, Copy, Debug)]
struct ProcessTime;

#[cfg(target_family = "wasm")]
impl ProcessTime {
    fn now() -> Self {
        Self
    }

    fn elapsed(self) -> Duration {
        Duration::ZERO
    }
}

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
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        Elapsed { wall_ns: nanos(wall), cpu_ns: nanos(self.cpu.elapsed()) }
    }

    /// Runs `work` and measures it.
    pub fn time<T>(work: impl FnOnce() -> T) -> (T, Elapsed) {
        let watch = Self::start();
        let result = work();
        (result, watch.elapsed())
    }
}

/// Seconds from 1970 to the end of the year 9999, the last that RFC 3339 has.
const LAST_SECOND: u64 = 253_402_300_799;

/// The time of day, RFC 3339 in UTC with whole seconds. A clock that is set before 1970 or after 9999
/// gives the nearest time in between.
#[must_use]
pub fn timestamp() -> String {
    shown(SystemTime::now())
}

fn shown(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    humantime::format_rfc3339_seconds(time.clamp(UNIX_EPOCH, last)).to_string()
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

    #[test]
    fn clocks_set_to_any_year_give_a_time() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(shown(at(0)), "1970-01-01T00:00:00Z");
        assert_eq!(shown(UNIX_EPOCH - Duration::from_secs(60)), "1970-01-01T00:00:00Z");
        assert_eq!(shown(UNIX_EPOCH - Duration::from_secs(1 << 40)), "1970-01-01T00:00:00Z");
        assert_eq!(shown(at(LAST_SECOND)), "9999-12-31T23:59:59Z");
        assert_eq!(shown(at(LAST_SECOND + 1)), "9999-12-31T23:59:59Z");
    }
}
