//! The one error type. Every message is one line, carries the numbers that matter and says what to do where that is not obvious.

use std::path::{Path, PathBuf};

/// Result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. Fields hold what was expected and what was there; messages are one line.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `create`, `write`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file does not have the form it must have.
    #[error("{}: expected {expected}, found {actual}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// Another process works on the folder.
    #[error("{}: in use by another process{holder}", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Who, where that is known, with a space before it.
        holder: String,
    },
    /// Results of other work are where results are to go.
    #[error("{}: expected a folder without results, found {name} of another run", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
        /// The file that shows it.
        name: String,
    },
    /// The folder belongs to other work, which must not go on under other terms.
    #[error("{}: begun with {there}; given {given}: give what it was begun with, or choose another folder", path.display())]
    OtherWork {
        /// The folder.
        path: PathBuf,
        /// The terms that it was begun with, where they differ.
        there: String,
        /// The same terms as they were given.
        given: String,
    },
    /// A file of settings that a person wrote, a sweep or claims, says something that cannot be.
    #[error("{}:{line}: {key}: {problem}", path.display())]
    SweepFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with its table.
        key: String,
        /// What is wrong and what would do.
        problem: String,
    },
    /// No file of the dataset that was asked for is on this machine.
    #[error("{dataset} not found ({searched}); {advice}")]
    DatasetMissing {
        /// Name of the dataset.
        dataset: String,
        /// The places that were looked at.
        searched: String,
        /// What would do.
        advice: String,
    },
    /// A download did not succeed.
    #[error("cannot download {url}: {problem}")]
    Download {
        /// The address.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// Data of another kind, or another set, than what it is brought to was made for.
    #[error("{subject} is for {expected}, {other} has {actual}; bring together what belongs together")]
    OtherData {
        /// What was made for certain data: a model, a query, an answer.
        subject: String,
        /// That data, in words.
        expected: String,
        /// What was brought to it.
        other: String,
        /// The data of that.
        actual: String,
    },
    /// Two sizes that must agree do not.
    #[error("{what}: expected {expected}, got {actual}")]
    Size {
        /// What is counted.
        what: &'static str,
        /// The size that fits.
        expected: usize,
        /// The size that was given.
        actual: usize,
    },
    /// A number is outside its range.
    #[error("{what} is {value}, allowed is {allowed}")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its value.
        value: String,
        /// The range, as text.
        allowed: String,
    },
    /// A worst-case sum does not fit the slot, so a result could spill into its neighbour.
    #[error(
        "worst-case result needs {needed_bits} bits with its sign, a slot has {slot_bits}; use wider slots, fewer weight bits or fewer feature bits"
    )]
    SlotOverflow {
        /// Bits of the worst case, sign included.
        needed_bits: u32,
        /// Bits of a slot.
        slot_bits: u32,
    },
    /// Noise that could reach half of the scale w of an integer-vector ciphertext, so that rounding could give another integer.
    #[error(
        "noise of {what} can reach {noise}, {} above the {limit} that w = 2^{scale_bits} bears; it needs w = 2^{needed_bits}, or smaller bounds", noise - limit
    )]
    Noise {
        /// What carries the noise.
        what: &'static str,
        /// Its largest magnitude.
        noise: u128,
        /// The largest magnitude that always decrypts: w/2 - 1.
        limit: u128,
        /// Bits of w.
        scale_bits: u32,
        /// The least bits of w that would do for this noise.
        needed_bits: u32,
    },
    /// The slots together do not fit below n/2.
    #[error("{slots} slots of {slot_bits} bits need {needed_bits} bits, the plaintext has {available_bits}")]
    PlaintextOverflow {
        /// Slots asked for.
        slots: usize,
        /// Bits of a slot.
        slot_bits: u32,
        /// Bits needed together.
        needed_bits: u32,
        /// Bits below n/2.
        available_bits: u32,
    },
    /// A key of toy size without the consent that toys need.
    #[error("a {bits}-bit key is a toy: at least {minimum} bits are needed")]
    KeyTooSmall {
        /// Bits of n.
        bits: u32,
        /// The least that is accepted.
        minimum: u32,
    },
    /// A key that breaks a rule of its kind.
    #[error("invalid key: {reason}")]
    InvalidKey {
        /// The rule and the numbers.
        reason: String,
    },
    /// A foreign public key without its owner's proof, where ciphertexts are to be computed on.
    #[error("key {fingerprint} comes without a proof that gcd(n, phi(n)) = 1, without which its owner may read a model from one answer")]
    UnprovenKey {
        /// First digits of the key's fingerprint.
        fingerprint: String,
    },
    /// A ciphertext or model of one key was brought to another.
    #[error("wrong key: this was made for key {expected}, the key given is {actual}")]
    WrongKey {
        /// Fingerprint named by the file.
        expected: String,
        /// Fingerprint of the key at hand.
        actual: String,
    },
    /// A number that is no ciphertext under this key.
    #[error("ciphertext {index} is invalid: {reason}")]
    InvalidCiphertext {
        /// Position in its batch, from 0.
        index: usize,
        /// The rule that it breaks.
        reason: String,
    },
    /// A decrypted value that no honest computation produces.
    #[error("decryption of ciphertext {index} failed: {reason}")]
    Decryption {
        /// Position in its batch, from 0.
        index: usize,
        /// What gave it away.
        reason: String,
    },
    /// A number without an inverse.
    #[error("value {index} has no inverse modulo the {bits}-bit modulus")]
    NotInvertible {
        /// Position in its batch, from 0.
        index: usize,
        /// Bits of the modulus.
        bits: u32,
    },
    /// A program that breaks the rules of its form: a defect of a planner.
    #[error("invalid program: {problem}")]
    InvalidProgram {
        /// The broken rule.
        problem: String,
    },
    /// A backend that this machine or this build does not have.
    #[error("backend {backend} is not available: {reason}")]
    BackendUnavailable {
        /// The backend's name.
        backend: &'static str,
        /// Why.
        reason: String,
    },
    /// A device that failed while it computed. Nothing of what it had computed is used.
    #[error("backend {backend} failed: {problem}")]
    DeviceFailed {
        /// The backend's name.
        backend: &'static str,
        /// What happened, and what may help.
        problem: String,
    },
    /// Something that a backend or a scheme does not do.
    #[error("{subject} does not support {feature}")]
    Unsupported {
        /// The backend, scheme or file kind.
        subject: String,
        /// What was asked of it.
        feature: String,
    },
    /// Text that names no option.
    #[error("{what} `{value}` is unknown, known: {known}{}", near(value, &words(known)))]
    Unknown {
        /// The kind of thing named.
        what: &'static str,
        /// The text.
        value: String,
        /// The texts that would do.
        known: String,
    },
    /// Two computations that must agree do not.
    #[error("verification failed: {what}: expected {expected}, got {actual}")]
    Disagreement {
        /// What was compared.
        what: String,
        /// The oracle's value.
        expected: String,
        /// The value under test.
        actual: String,
    },
    /// A figure could not be drawn.
    #[error("cannot draw {figure}: {problem}")]
    Figure {
        /// The figure.
        figure: String,
        /// The drawing library's reason.
        problem: String,
    },
    /// A number under protection that left the magnitude declared for it: slots would overflow without a sign.
    #[error("operation {operation} ({what}): {value} leaves the declared {bits} bits; the run would overflow, so it stops")]
    Magnitude {
        /// Number of the operation in its run.
        operation: u64,
        /// What was computed.
        what: &'static str,
        /// The value.
        value: i64,
        /// Declared bits: |value| < 2^bits.
        bits: u32,
    },
    /// The system gave no randomness.
    #[error("the system's random generator failed: {reason}")]
    Randomness {
        /// The system's reason.
        reason: String,
    },
    /// The other party cannot be reached, or went away in the middle of a message. Trying again may help.
    #[error("no connection to the other party: {problem}")]
    Connection {
        /// What was tried and what happened.
        problem: String,
    },
    /// The other party could not be reached for as long as this one waits.
    #[error("no connection to the other party: {problem}; gave up after {tries}")]
    GaveUp {
        /// The last problem.
        problem: String,
        /// For how long, or how often, it was tried.
        tries: String,
    },
    /// Whoever is at the other end is not the party whose fingerprint was given.
    #[error("the other party's fingerprint is {actual}, expected {expected}")]
    WrongPeer {
        /// The fingerprint that was given.
        expected: String,
        /// The fingerprint of the key that was shown.
        actual: String,
    },
    /// A message that is not the next one of its session: malformed, late, repeated, out of order or changed. Nothing of it is used.
    #[error("message refused: {problem}")]
    Message {
        /// What was expected and what came.
        problem: String,
    },
    /// A party that serves one session at a time is in the middle of another one.
    #[error("busy with session {session}; try again once it is finished or its connection is gone")]
    Occupied {
        /// The first digits of that session.
        session: String,
    },
    /// The other party ended the session.
    #[error("the other party refused: {reason}")]
    Refused {
        /// Its reason, in its words.
        reason: String,
    },
    /// The other party started again and knows the session only up to an earlier step.
    #[error("the other party is back at step {theirs}, this one is at step {ours}: the work goes on from the last completed batch")]
    Rewound {
        /// The step that the other party is at.
        theirs: u64,
        /// The step that this party is at.
        ours: u64,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// The words of a list that people read; what takes more than a word to describe is left out.
fn words(list: &str) -> Vec<&str> {
    list.split([',', ';']).map(str::trim).filter(|word| !word.is_empty() && !word.contains(' ')).collect()
}

/// A question after the known word that is nearest to an unknown one; nothing where none is near.
#[must_use]
pub fn near(unknown: &str, known: &[&str]) -> String {
    let distances = known.iter().map(|word| (strsim::jaro_winkler(unknown, word), *word));
    let nearest = distances.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(distance, _)| *distance > 0.8);
    nearest.map_or_else(String::new, |(_, word)| format!("; did you mean `{word}`?"))
}

impl Error {
    /// For `map_err`: wraps a system error with what was tried on which file.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// A number outside the range that `allowed` says.
    pub fn range(what: &'static str, value: &impl ToString, allowed: impl Into<String>) -> Self {
        Self::OutOfRange { what, value: value.to_string(), allowed: allowed.into() }
    }

    /// Two sizes that must agree and do not.
    #[must_use]
    pub fn size(what: &'static str, expected: usize, actual: usize) -> Self {
        Self::Size { what, expected, actual }
    }

    /// Something that a backend or a scheme does not do.
    pub fn unsupported(subject: impl Into<String>, feature: impl Into<String>) -> Self {
        Self::Unsupported { subject: subject.into(), feature: feature.into() }
    }

    /// A text that names none of the `known`.
    pub fn unknown(what: &'static str, value: impl Into<String>, known: impl Into<String>) -> Self {
        Self::Unknown { what, value: value.into(), known: known.into() }
    }

    /// A malformed file.
    pub fn file(path: &Path, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), expected: expected.into(), actual: actual.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_known_one() {
        let unknown = |value: &str, known: &str| Error::Unknown { what: "name", value: value.into(), known: known.into() }.to_string();
        assert_eq!(unknown("stras", "auto, naive, straus"), "name `stras` is unknown, known: auto, naive, straus; did you mean `straus`?");
        assert_eq!(unknown("x", "auto, naive"), "name `x` is unknown, known: auto, naive");
        assert_eq!(
            unknown("tow", "two to eight widths, for example 2-10-2"),
            "name `tow` is unknown, known: two to eight widths, for example 2-10-2"
        );
    }
}
