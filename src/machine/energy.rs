//! Energy by the processor's own counters (RAPL), where the system shows them under `/sys/class/powercap` and lets this process read them.
//!
//! Counted are the packages and the memory beside them (`dram`), together: all that runs on the machine, not this process alone. The counters are refreshed
//! about every millisecond, so sums over short spans are coarse. Virtual machines seldom have any, and reading them usually takes a privilege.

use std::fs;
use std::path::{Path, PathBuf};

const POWERCAP: &str = "/sys/class/powercap";

/// The counters of all packages.
#[derive(Clone, Debug)]
pub struct Counter(Vec<Zone>);

/// A counter that starts again at 0 above `range_uj`.
#[derive(Clone, Debug)]
struct Zone {
    energy: PathBuf,
    range_uj: u64,
}

/// What the counters stood at.
#[derive(Clone, Debug)]
pub struct Reading(Vec<u64>);

impl Counter {
    /// The counters of this machine; none where there are none or they cannot be read.
    #[must_use]
    pub fn open() -> Option<Self> {
        Self::open_at(Path::new(POWERCAP))
    }

    fn open_at(root: &Path) -> Option<Self> {
        let mut zones = Vec::new();
        for entry in fs::read_dir(root).ok()?.flatten() {
            let dir = entry.path();
            let name = fs::read_to_string(dir.join("name")).unwrap_or_default();
            // `core` and `uncore` are parts of a package; `psys` holds the packages again. The mmio interface shows the same counters a second time.
            let counted = name.starts_with("package") || name.trim() == "dram";
            if !counted || entry.file_name().to_string_lossy().starts_with("intel-rapl-mmio") {
                continue;
            }
            let range_uj = number(&dir.join("max_energy_range_uj"))?;
            zones.push(Zone { energy: dir.join("energy_uj"), range_uj });
        }
        zones.sort_by(|a, b| a.energy.cmp(&b.energy));
        let counter = Self(zones);
        (!counter.0.is_empty() && counter.read().is_some()).then_some(counter)
    }

    /// What the counters stand at.
    #[must_use]
    pub fn read(&self) -> Option<Reading> {
        self.0.iter().map(|zone| number(&zone.energy)).collect::<Option<_>>().map(Reading)
    }

    /// Microjoules since `then`. A counter that went around more than once cannot be told from one that did once: minutes at full load.
    #[must_use]
    pub fn since(&self, then: &Reading) -> Option<u64> {
        let now = self.read()?;
        Some(
            self.0
                .iter()
                .zip(&then.0)
                .zip(&now.0)
                .map(|((zone, &then), &now)| if now >= then { now - then } else { zone.range_uj - then + now })
                .sum(),
        )
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_memory_are_summed_and_counters_go_around() {
        let root = tempfile::tempdir().unwrap();
        assert!(Counter::open_at(root.path()).is_none() && Counter::open_at(&root.path().join("nowhere")).is_none());
        let set = |zone: &str, file: &str, text: &str| {
            fs::create_dir_all(root.path().join(zone)).unwrap();
            fs::write(root.path().join(zone).join(file), text).unwrap();
        };
        for (zone, name) in [
            ("intel-rapl:0", "package-0\n"),
            ("intel-rapl:0:0", "core\n"),
            ("intel-rapl:0:1", "dram\n"),
            ("intel-rapl:1", "psys\n"),
            ("intel-rapl-mmio:0", "package-0\n"),
        ] {
            set(zone, "name", name);
            set(zone, "max_energy_range_uj", "1000\n");
            set(zone, "energy_uj", "900\n");
        }
        let counter = Counter::open_at(root.path()).unwrap();
        assert_eq!(counter.0.len(), 2);
        let then = counter.read().unwrap();
        set("intel-rapl:0", "energy_uj", "950\n");
        set("intel-rapl:0:1", "energy_uj", "20\n");
        set("intel-rapl:0:0", "energy_uj", "999\n");
        assert_eq!(counter.since(&then), Some(50 + 120));
        fs::remove_file(root.path().join("intel-rapl:0/energy_uj")).unwrap();
        assert!(counter.since(&then).is_none() && Counter::open_at(root.path()).is_none());
    }
}
