//! The sweep files that come with the program, in two settings.

use std::path::Path;
use std::str::FromStr;

use super::Sweep;
use crate::error::{Error, Result};

/// Extent, path and text of every file of `benches/sweeps/` and `benches/sweeps/quick/`.
const FILES: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/sweeps.rs"));

/// How much is measured for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Minutes: `benches/sweeps/quick/`.
    Quick,
    /// Hours: `benches/sweeps/`.
    Full,
}

impl Extent {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Quick, Self::Full];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

impl FromStr for Extent {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == text).ok_or_else(|| Error::Unknown {
            what: "setting",
            value: text.into(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// The sweeps of a setting that belong to the report, by name.
///
/// # Errors
/// None but defects: tests read every file.
pub fn shipped(setting: Extent) -> Result<Vec<Sweep>> {
    let files = FILES.iter().filter(|(of, ..)| *of == setting.name());
    let sweeps = files.map(|(_, path, text)| Sweep::parse(Path::new(path), (*text).into())).collect::<Result<Vec<_>>>()?;
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
pub fn all_shipped() -> Result<Vec<(&'static str, Sweep)>> {
    FILES.iter().map(|(_, path, text)| Ok((short_name(path), Sweep::parse(Path::new(path), (*text).into())?))).collect()
}

/// The sweep in a file, or where there is none the shipped one of that name.
///
/// # Errors
/// [`Error::Unknown`] with all names where a word is neither; as [`Sweep::read`].
pub fn find(file: &Path) -> Result<Sweep> {
    let name = file.to_string_lossy();
    if file.exists() {
        return Sweep::read(file);
    }
    if let Some((_, path, text)) = FILES.iter().find(|(_, path, _)| short_name(path) == name || *path == name) {
        return Sweep::parse(Path::new(path), (*text).into());
    }
    if name.ends_with(".toml") {
        return Sweep::read(file);
    }
    let known = FILES.iter().map(|(_, path, _)| short_name(path)).collect::<Vec<_>>().join(", ");
    Err(Error::Unknown { what: "sweep", value: name.into(), known: format!("{known}, or a file") })
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
        use std::collections::HashSet;

        use crate::control::Control;
        use crate::dataset::Images;
        use crate::features::FeatureMap;
        use crate::scheme::paillier::Rerandomisation;
        use crate::workload::inference::Bench;
        use crate::workload::{PoolChoice, Protection, Spec};
        let pools = [1, 2, 16].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
        let models = FeatureMap::ALL.map(|map| (map, crate::model::embedded("mnist", map).unwrap())).into_iter().collect();
        let test = Images { rows: 28, cols: 28, max_pixel: 255, pixels: vec![0; 784], labels: vec![0] };
        let bench = Bench::new(test, models, true, Control::default());
        let all = 10_000;
        let mut counted = 0;
        for (_, path, text) in FILES {
            let sweep = Sweep::parse(Path::new(path), (*text).into()).unwrap();
            if sweep.dataset.to_string() != "mnist" {
                continue;
            }
            // Neither plans nor randomisers decide how many images share a ciphertext or a batch.
            let layout = |spec: &Spec| {
                let mut spec = Spec { pool: PoolChoice::None, ..spec.clone() };
                if let Protection::Paillier { method, rerandomisation, .. } = &mut spec.protection {
                    (*method, *rerandomisation) = (None, Rerandomisation::Auto);
                }
                spec
            };
            let layouts: HashSet<Spec> = sweep.plan("mnist", all).unwrap().specs.iter().filter(|spec| spec.images < all).map(layout).collect();
            for spec in &layouts {
                for pool in &pools {
                    let (size, threads) = (pool.install(|| bench.size(spec)).unwrap(), pool.current_num_threads());
                    assert!(spec.images.is_multiple_of(size.batch), "{path}: {spec}: {size:?} with {threads} threads");
                    // A smaller batch that is asked for is the question itself.
                    let asked = spec.batch.is_some_and(|batch| batch < size.set);
                    assert!(asked || size.batch.is_multiple_of(size.set), "{path}: {spec}: {size:?} with {threads} threads");
                    counted += 1;
                }
            }
        }
        assert!(counted > 50, "{counted}");
    }

    #[test]
    fn the_quick_questions_are_questions_of_the_full_setting() {
        let names = |setting| shipped(setting).unwrap().iter().map(Sweep::name).collect::<Vec<_>>();
        assert!(names(Extent::Quick).iter().all(|name| names(Extent::Full).contains(name)) && names(Extent::Quick).len() >= 9);
        assert!(names(Extent::Full).len() >= 8 && !names(Extent::Full).contains(&"smoke".into()));
        let (_, path, text) = FILES[0];
        assert_eq!(setting_of(text).map(|(_, path)| path), Some(path));
        assert_eq!(setting_of("x"), None);
        let (named, file) = (find(Path::new("quick/main")).unwrap(), find(Path::new("benches/sweeps/quick/main.toml")).unwrap());
        assert_eq!((named.text, named.path), (file.text, file.path));
        assert_eq!(find(Path::new("smoke")).unwrap().name(), "smoke");
        assert!(find(Path::new("smok")).unwrap_err().to_string().ends_with("or a file; did you mean `smoke`?"));
        assert!(matches!(find(Path::new("nowhere/smoke.toml")), Err(Error::Io { .. })));
        assert_eq!(all_shipped().unwrap().len(), FILES.len());
        assert!("slow".parse::<Extent>().unwrap_err().to_string().contains("quick, full"));
    }
}
