//! The sweep files that come with the program, in two settings.

use std::path::Path;

use super::file::Sweep;
use crate::error::{Error, Result};
use crate::text::named;
use crate::workload::registry::Registry;

/// Extent, path and text of every file of `benches/sweeps/` and `benches/sweeps/quick/`.
const FILES: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/sweeps.rs"));

named! {
    /// How much is measured for a report.
    pub enum Extent: "setting" {
        /// Minutes: `benches/sweeps/quick/`.
        Quick => "quick",
        /// Hours: `benches/sweeps/`.
        Full => "full",
    }
}

/// The sweeps of a setting that belong to the report, by name.
///
/// # Errors
/// None but defects: tests read every file.
pub fn shipped(registry: &Registry, setting: Extent) -> Result<Vec<Sweep>> {
    let files = FILES.iter().filter(|(of, ..)| *of == setting.name());
    let sweeps = files.map(|(_, path, text)| Sweep::parse(registry, Path::new(path), (*text).into())).collect::<Result<Vec<_>>>()?;
    Ok(sweeps.into_iter().filter(|sweep| sweep.paper).collect())
}

/// The short name of a shipped file, from its path: `main`, `quick/main`.
fn short_name(path: &str) -> &str {
    path.trim_start_matches("benches/sweeps/").trim_end_matches(".toml")
}

/// All shipped sweeps with their short names.
///
/// # Errors
/// None but defects: tests read every file.
pub fn all_shipped(registry: &Registry) -> Result<Vec<(&'static str, Sweep)>> {
    FILES.iter().map(|(_, path, text)| Ok((short_name(path), Sweep::parse(registry, Path::new(path), (*text).into())?))).collect()
}

/// The sweep in a file, or where there is none the shipped one of that name.
///
/// # Errors
/// [`Error::Unknown`] with all names where a word is neither; as [`Sweep::read`].
pub fn find(registry: &Registry, file: &Path) -> Result<Sweep> {
    let name = file.to_string_lossy();
    if file.exists() {
        return Sweep::read(registry, file);
    }
    if let Some((_, path, text)) = FILES.iter().find(|(_, path, _)| short_name(path) == name || *path == name) {
        return Sweep::parse(registry, Path::new(path), (*text).into());
    }
    if name.ends_with(".toml") {
        return Sweep::read(registry, file);
    }
    let known = FILES.iter().map(|(_, path, _)| short_name(path)).collect::<Vec<_>>().join(", ");
    Err(Error::unknown("sweep", name, format!("{known}, or a file")))
}

/// Extent and path of the shipped file with this very text.
#[must_use]
pub fn setting_of(text: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(.., own)| *own == text).map(|(setting, path, _)| (*setting, *path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever shares a build folder with another checkout must not compile that one's files.
    #[test]
    fn the_generated_list_names_no_place_of_this_machine() {
        let list = include_str!(concat!(env!("OUT_DIR"), "/sweeps.rs"));
        assert!(list.contains("env!(\"CARGO_MANIFEST_DIR\")") && !list.contains(env!("CARGO_MANIFEST_DIR")), "{list}");
    }

    #[test]
    fn rows_have_whole_batches_of_full_ciphertexts() {
        use std::collections::BTreeMap;

        use crate::features::FeatureMap;
        use crate::quantise::{IntegerModel, Precision};
        use crate::scheme::registry::LINEAR;
        use crate::workload::inference::{Inference, linear_map};
        let (registry, inference) = (Registry::default(), Inference::new(LINEAR.to_vec()));
        let pools = [1, 2, 16].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
        let all = 10_000;
        let mut counted = 0;
        for (_, path, text) in FILES {
            let sweep = Sweep::parse(&registry, Path::new(path), (*text).into()).unwrap();
            if sweep.dataset.to_string() != "mnist" {
                continue;
            }
            let specs = sweep.plan(&registry, "mnist", all).unwrap().specs;
            let number = |spec: &crate::spec::Spec, field| spec.values().number(field).unwrap();
            // Neither plans nor randomisers decide how many images share a ciphertext or a batch.
            let layout = |spec: &crate::spec::Spec| {
                let mut values = spec.values().clone();
                ["method", "rerandomisation", "pool"].into_iter().for_each(|field| values.set(field, ""));
                (spec.protection(), values.without("threads"))
            };
            let layouts: BTreeMap<_, _> = specs.iter().filter(|spec| number(spec, "images") < all).map(|spec| (layout(spec), spec)).collect();
            for spec in layouts.into_values() {
                let features: FeatureMap = spec.values().read("features").unwrap();
                let [feature_bits, weight_bits] = ["feature_bits", "weight_bits"].map(|field| spec.values().read(field).unwrap());
                let precision = Precision { feature_bits, weight_bits };
                let model = crate::model::embedded("mnist", features).unwrap().network.collapse();
                let map = linear_map(&IntegerModel::new(&model, precision, precision.default_clip(features)).unwrap()).unwrap();
                for pool in &pools {
                    let (size, threads) = (pool.install(|| inference.size(spec, &map)).unwrap(), pool.current_num_threads());
                    assert!(number(spec, "images").is_multiple_of(size.batch), "{path}: {spec}: {size:?} with {threads} threads");
                    // A smaller batch that is asked for is the question itself.
                    let asked = spec.values().number("batch").is_some_and(|batch| batch < size.set);
                    assert!(asked || size.batch.is_multiple_of(size.set), "{path}: {spec}: {size:?} with {threads} threads");
                    counted += 1;
                }
            }
        }
        assert!(counted > 50, "{counted}");
    }

    #[test]
    fn the_quick_questions_are_questions_of_the_full_setting() {
        let registry = Registry::default();
        let names = |setting| shipped(&registry, setting).unwrap().iter().map(Sweep::name).collect::<Vec<_>>();
        assert!(names(Extent::Quick).iter().all(|name| names(Extent::Full).contains(name)) && names(Extent::Quick).len() >= 9);
        assert!(names(Extent::Full).len() >= 8 && !names(Extent::Full).contains(&"smoke".into()));
        let (_, path, text) = FILES[0];
        assert_eq!(setting_of(text).map(|(_, path)| path), Some(path));
        assert_eq!(setting_of("x"), None);
        let find = |name: &str| find(&registry, Path::new(name));
        let (named, file) = (find("quick/main").unwrap(), find("benches/sweeps/quick/main.toml").unwrap());
        assert_eq!((named.text, named.path), (file.text, file.path));
        assert_eq!(find("smoke").unwrap().name(), "smoke");
        assert!(find("smok").unwrap_err().to_string().ends_with("or a file; did you mean `smoke`?"));
        assert!(matches!(find("nowhere/smoke.toml"), Err(Error::Io { .. })));
        assert_eq!(all_shipped(&registry).unwrap().len(), FILES.len());
        assert!("slow".parse::<Extent>().unwrap_err().to_string().contains("quick, full"));
    }
}
