//! Facts about this machine: processor, threads, load, memory. Everything may be unknown and then is `None`, never zero.

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
