//! Facts about this machine: processor, threads, load, memory. Everything may be unknown and then is `None`, never zero.

pub mod energy;

use std::fs;

/// Processor model as the system names it.
#[must_use]
pub fn processor() -> String {
    let named = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split_once(':')).map(|(_, name)| name.trim().to_owned()))
    });
    named.unwrap_or_else(|| format!("{} ({})", std::env::consts::ARCH, std::env::consts::OS))
}

/// Instruction sets that matter here and that this processor has.
#[must_use]
pub fn processor_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let mut found = Vec::new();
        for (name, present) in [
            ("adx", is_x86_feature_detected!("adx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512ifma", is_x86_feature_detected!("avx512ifma")),
            ("bmi2", is_x86_feature_detected!("bmi2")),
        ] {
            if present {
                found.push(name);
            }
        }
        found
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// Hardware threads that this process may use.
#[must_use]
pub fn hardware_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Binds the calling thread to the processor with number `index` among those that it may use. Without effect where there is none or the system cannot do it.
pub fn keep_processor(index: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let Ok(allowed) = sched_getaffinity(None) else { return };
        if let Some(processor) = (0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).nth(index) {
            let mut own = CpuSet::new();
            own.set(processor);
            // A refusal leaves the thread where it was.
            let _ = sched_setaffinity(None, &own);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = index;
}

/// Load average of the last minute.
#[must_use]
pub fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Lets [`peak_rss_bytes`] begin anew; without effect where the system does not allow it.
pub fn reset_peak_rss() {
    // Documented in proc(5): 5 resets the peak. Where it fails the peak stays that of the whole process, an upper bound.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Mean clock frequency of the hardware threads now, in kilohertz, where the system tells.
#[must_use]
pub fn frequency_khz() -> Option<u64> {
    let cpus = fs::read_dir("/sys/devices/system/cpu").ok()?.flatten().map(|entry| entry.path().join("cpufreq/scaling_cur_freq"));
    let readings: Vec<u64> = cpus.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).collect();
    (!readings.is_empty()).then(|| readings.iter().sum::<u64>() / readings.len() as u64)
}

/// What all processors of the machine have done since it was started, in clock ticks of 10 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorTicks {
    /// Work of all processes and of the system.
    pub busy: u64,
    /// Taken away by the machine's host.
    pub stolen: u64,
}

/// Nanoseconds of a tick: 100 a second, as Linux reports to programs whatever its own clock.
pub const TICK_NS: u64 = 10_000_000;

/// The ticks so far, where the system counts them.
#[must_use]
pub fn processor_ticks() -> Option<ProcessorTicks> {
    ticks(&fs::read_to_string("/proc/stat").ok()?)
}

/// Reads the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are part of user.
fn ticks(text: &str) -> Option<ProcessorTicks> {
    let numbers: Vec<u64> = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = numbers[..] else { return None };
    Some(ProcessorTicks { busy: user + nice + system + irq + softirq, stolen })
}

/// Largest resident memory of this process so far, in bytes.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    status_kib("VmHWM:").map(|kib| kib * 1024)
}

/// Memory of the machine in bytes.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    kib_line("/proc/meminfo", "MemTotal:").map(|kib| kib * 1024)
}

fn status_kib(name: &str) -> Option<u64> {
    kib_line("/proc/self/status", name)
}

fn kib_line(file: &str, name: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_from_the_first_line() {
        let text = "cpu  10 20 30 400 50 6 7 8 90 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(ticks(text), Some(ProcessorTicks { busy: 73, stolen: 8 }));
        assert_eq!(ticks("cpu  1 2 3\n"), None);
        assert_eq!(ticks(""), None);
    }
}
