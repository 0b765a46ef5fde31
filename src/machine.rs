//! Facts about this machine: processor, threads, load, memory. Everything may be unknown and then is `None`, never zero.

pub mod energy;

use std::fs;
use std::path::Path;

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

/// Keeps the memory of this process out of core dumps and from debuggers of other processes, for
/// work with secret keys. Without effect where the system cannot do it.
pub fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
        // The limit is for dumps to files; a system that pipes dumps to a program ignores it and
        // asks whether the process may be dumped. Nothing is to be done about a refusal.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
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

/// Memory that this process' control groups allow it, in bytes: the least of the hierarchy, in
/// version 1 and 2. None where there is no such limit.
#[must_use]
pub fn memory_limit_bytes() -> Option<u64> {
    memory_limit(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// Memory that this process can have in bytes: the machine's, or less where its control groups
/// allow less.
#[must_use]
pub fn usable_memory_bytes() -> Option<u64> {
    memory_bytes().into_iter().chain(memory_limit_bytes()).min()
}

/// The least limit of the groups in the text of `/proc/self/cgroup`, whose hierarchies are mounted
/// in `root`. In a container the paths in the text may be those of the host, so that folders are
/// missing; the root of the mount is then the container's own.
fn memory_limit(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (mounts, file): (&[&str], _) = match controllers {
            "" => (&["", "unified"], "memory.max"),
            names if names.split(',').any(|name| name == "memory") => (&["memory"], "memory.limit_in_bytes"),
            _ => return None,
        };
        let path = Path::new(path.trim_start_matches('/'));
        let read = |mount: &str, group: &Path| fs::read_to_string(root.join(mount).join(group).join(file)).ok()?.trim().parse::<u64>().ok();
        mounts.iter().flat_map(|mount| path.ancestors().filter_map(|group| read(mount, group))).min()
    });
    // Version 1 says "no limit" by a number close to 2^63.
    limits.min().filter(|&limit| limit < 1 << 62)
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
    fn the_least_limit_of_the_control_groups_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let two = "0::/user.slice/job";
        assert_eq!(memory_limit(root, two), None);
        write("user.slice/job/memory.max", "max\n");
        assert_eq!(memory_limit(root, two), None);
        write("user.slice/memory.max", "400000000\n");
        write("user.slice/job/memory.max", "500000000\n");
        assert_eq!(memory_limit(root, two), Some(400_000_000));
        write("user.slice/job/memory.max", "300000000\n");
        assert_eq!(memory_limit(root, two), Some(300_000_000));

        let one = "5:cpu,cpuacct:/\n4:memory:/docker/0123\n0::/";
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(memory_limit(root, one), None);
        // Inside a container the named folder is the host's.
        write("memory/memory.limit_in_bytes", "209715200\n");
        assert_eq!(memory_limit(root, one), Some(209_715_200));
        write("memory/docker/0123/memory.limit_in_bytes", "100000000\n");
        assert_eq!(memory_limit(root, one), Some(100_000_000));
        assert_eq!(memory_limit(root, "nonsense"), None);
    }

    #[test]
    fn ticks_are_read_from_the_first_line() {
        let text = "cpu  10 20 30 400 50 6 7 8 90 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(ticks(text), Some(ProcessorTicks { busy: 73, stolen: 8 }));
        assert_eq!(ticks("cpu  1 2 3\n"), None);
        assert_eq!(ticks(""), None);
    }
}
