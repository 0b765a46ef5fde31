//! Files of settings that people write, in TOML: where a mistake stands, said in one line with file, line and key.

use std::path::Path;

use crate::error::{Error, Result, near};

/// Reads a text as TOML.
///
/// # Errors
/// [`Error::SweepFile`] with line and key; an unknown key is answered with the known ones.
pub fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e| syntax(path, text, &e))
}

/// The line of a place in a text, from 1.
#[must_use]
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&b| b == b'\n').count() + 1
}

/// The key that a place in a file belongs to, with its table.
fn key_of(text: &str, at: usize) -> String {
    let lines: Vec<&str> = text.lines().take(line_of(text, at)).collect();
    let header = |line: &str| line.trim_start().starts_with('[').then(|| line.trim().trim_matches(['[', ']']).to_owned());
    let key = |line: &str| {
        let name = line.split_once('=')?.0.trim();
        (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))).then(|| name.to_owned())
    };
    // A header stands for its table only where it is the line itself or above the key: items of a list may begin with brackets, too.
    let is_table = |line: &str| header(line).is_some_and(|name| name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) && !name.is_empty());
    let mut found = None;
    for line in lines.iter().rev() {
        if is_table(line) {
            let table = header(line).unwrap_or_default();
            return found.map_or(table.clone(), |key| format!("{table}.{key}"));
        }
        if found.is_none() {
            found = key(line);
        }
    }
    found.unwrap_or_else(|| "file".into())
}

/// An error at a place of a file, given in bytes from its start.
#[must_use]
pub fn mistake(path: &Path, text: &str, at: usize, problem: String) -> Error {
    Error::SweepFile { path: path.into(), line: line_of(text, at), key: key_of(text, at), problem }
}

/// An error of the parser in our form: one line, with the known keys where one is unknown, and the nearest of them.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let at = error.span().map_or(0, |span| span.start);
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    let problem = match unknown_key(&message) {
        None => message,
        Some((unknown, known)) => {
            format!("unknown key `{unknown}`, known: {}{}", known.join(", "), near(unknown, &known))
        }
    };
    mistake(path, text, at, problem)
}

/// The parts of serde's message on an unknown field: "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted.collect()))
}
