//! The sweep files that come with the program, in two settings.

use std::path::Path;
use std::str::FromStr;

use super::Sweep;
use crate::error::{Error, Result};

/// Setting, path and text of every file of `benches/sweeps/` and `benches/sweeps/quick/`.
const FILES: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/sweeps.rs"));

/// How much is measured for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Minutes: `benches/sweeps/quick/`.
    Quick,
    /// Hours: `benches/sweeps/`.
    Full,
}

impl Setting {
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

impl FromStr for Setting {
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
pub fn shipped(setting: Setting) -> Result<Vec<Sweep>> {
    let files = FILES.iter().filter(|(of, ..)| *of == setting.name());
    let sweeps = files.map(|(_, path, text)| Sweep::parse(Path::new(path), (*text).into())).collect::<Result<Vec<_>>>()?;
    Ok(sweeps.into_iter().filter(|sweep| sweep.paper).collect())
}

/// Setting and path of the shipped file with this very text.
#[must_use]
pub fn setting_of(text: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(.., own)| *own == text).map(|(setting, path, _)| (*setting, *path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_settings_ask_the_same_questions() {
        let names = |setting| shipped(setting).unwrap().iter().map(Sweep::name).collect::<Vec<_>>();
        assert_eq!(names(Setting::Quick), names(Setting::Full));
        assert!(names(Setting::Full).len() >= 8 && !names(Setting::Full).contains(&"smoke".into()));
        let (_, path, text) = FILES[0];
        assert_eq!(setting_of(text).map(|(_, path)| path), Some(path));
        assert_eq!(setting_of("x"), None);
        assert!("slow".parse::<Setting>().unwrap_err().to_string().contains("quick, full"));
    }
}
