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

/// Extent and path of the shipped file with this very text.
#[must_use]
pub fn setting_of(text: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(.., own)| *own == text).map(|(setting, path, _)| (*setting, *path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_questions_are_questions_of_the_full_setting() {
        let names = |setting| shipped(setting).unwrap().iter().map(Sweep::name).collect::<Vec<_>>();
        assert!(names(Extent::Quick).iter().all(|name| names(Extent::Full).contains(name)) && names(Extent::Quick).len() >= 9);
        assert!(names(Extent::Full).len() >= 8 && !names(Extent::Full).contains(&"smoke".into()));
        let (_, path, text) = FILES[0];
        assert_eq!(setting_of(text).map(|(_, path)| path), Some(path));
        assert_eq!(setting_of("x"), None);
        assert!("slow".parse::<Extent>().unwrap_err().to_string().contains("quick, full"));
    }
}
