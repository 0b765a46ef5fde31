//! Descriptions of data: what models, queries, bundles and records say of the images behind them,
//! and the one comparison of two of them.
//!
//! Weights, ciphertexts and labels mean something for the images that they were made from and
//! nothing for others. So whatever is made from images carries their description, and whoever
//! brings two things together compares descriptions first:
//! [`check_pixels`](Description::check_pixels) where the images may be others of the same kind,
//! [`check_images`](Description::check_images) where they must be the same. That a model was
//! trained on another set may be meant, and is said
//! ([`other_training`](Description::other_training)).
//!
//! A description is public. It names a set by its digest, so whoever has the set recognises it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 64;
/// Digits of a digest that messages show.
const SHOWN: usize = 16;

/// A set of images and the kind of its pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Name in records: `mnist`, `digits`, `other:NAME`.
    pub dataset: String,
    /// SHA-256 of the uncompressed file that the test images are in, 64 hex digits; empty where it
    /// is unknown.
    #[serde(default)]
    pub dataset_sha256: String,
    /// SHA-256 of the training images as an uncompressed IDX file, 64 hex digits; empty where it is
    /// unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub training_sha256: String,
    /// Rows of pixels of an image; 0 where there is no one size.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: usize,
    /// Columns of pixels of an image.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cols: usize,
    /// The largest value that a pixel of this kind of image can have.
    #[serde(default, skip_serializing_if = "is_black")]
    pub white: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_black(white: &u8) -> bool {
    *white == 0
}

/// The first digits of a digest, for people.
#[must_use]
pub fn short(sha256: &str) -> &str {
    sha256.get(..SHOWN).unwrap_or(sha256)
}

/// Whether a text is a SHA-256 as this program writes them: 64 hexadecimal digits, lower case.
#[must_use]
pub fn is_sha256(text: &str) -> bool {
    text.len() == SHA256_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Description {
    /// The kind of the pixels in words.
    #[must_use]
    pub fn pixels(&self) -> String {
        format!("images of {}x{} pixels from 0 to {}", self.rows, self.cols, self.white)
    }

    /// Refuses what no writer of a file would say: a long name, something else than a digest,
    /// images without pixels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn check(&self) -> Result<()> {
        let wrong = |what, value: String, allowed: &str| Err(Error::range(what, &value, allowed));
        if self.dataset.len() > LONGEST_NAME || self.dataset.chars().any(char::is_control) {
            return wrong("name of a dataset", format!("{} bytes", self.dataset.len()), "64 bytes without control characters");
        }
        for digest in [&self.dataset_sha256, &self.training_sha256] {
            if !digest.is_empty() && !is_sha256(digest) {
                return wrong("digest of a dataset", format!("{} bytes", digest.len()), "64 hexadecimal digits, or none");
            }
        }
        if self.rows == 0 || self.cols == 0 || self.rows.max(self.cols) > 4096 || self.white == 0 {
            return wrong("kind of pixels", self.pixels(), "1 to 4096 rows and columns and a white of 1 to 255");
        }
        Ok(())
    }

    /// Refuses images of another size or with another white than `subject` was made for; `other` is
    /// what has them.
    ///
    /// # Errors
    /// [`Error::OtherData`] with both kinds of pixels.
    pub fn check_pixels(&self, subject: &str, data: &Self, other: &str) -> Result<()> {
        if (self.rows, self.cols, self.white) == (data.rows, data.cols, data.white) {
            return Ok(());
        }
        Err(Error::OtherData { subject: subject.into(), expected: self.pixels(), other: other.into(), actual: data.pixels() })
    }

    /// Refuses any other images than those that `subject` was made from; `other` is what has them.
    /// Digests decide where both are known, else names.
    ///
    /// # Errors
    /// [`Error::OtherData`] with both names and digests, or both kinds of pixels.
    pub fn check_images(&self, subject: &str, data: &Self, other: &str) -> Result<()> {
        self.check_pixels(subject, data, other)?;
        if is_other((&self.dataset, &self.dataset_sha256), (&data.dataset, &data.dataset_sha256)) {
            let named = |of: &Self| named("SHA-256", &of.dataset, &of.dataset_sha256);
            return Err(Error::OtherData { subject: subject.into(), expected: named(self), other: other.into(), actual: named(data) });
        }
        Ok(())
    }

    /// The sets that a model was trained on (`self`) and that it meets in `data`, in words, where
    /// they are different ones. Digests of the training images decide where both are known, else
    /// names.
    #[must_use]
    pub fn other_training(&self, data: &Self) -> Option<String> {
        let named = |of: &Self| named("training images", &of.dataset, &of.training_sha256);
        if !data.dataset_sha256.is_empty() && self.training_sha256 == data.dataset_sha256 {
            return Some(format!("was trained on the images that it is tested on, {}", named(self)));
        }
        let other = is_other((&self.dataset, &self.training_sha256), (&data.dataset, &data.training_sha256));
        other.then(|| format!("was trained on {}, not on {}", named(self), named(data)))
    }
}

/// Whether two sets, by name and digest, are different ones.
fn is_other((name, digest): (&str, &str), (other_name, other_digest): (&str, &str)) -> bool {
    if digest.is_empty() || other_digest.is_empty() { name != other_name } else { digest != other_digest }
}

fn named(what: &str, name: &str, digest: &str) -> String {
    if digest.is_empty() { format!("{name} ({what} unknown)") } else { format!("{name} ({what} {})", short(digest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits() -> Description {
        Description { dataset: "digits".into(), dataset_sha256: "a".repeat(64), training_sha256: "b".repeat(64), rows: 8, cols: 8, white: 16 }
    }

    #[test]
    fn other_pixels_are_refused_with_both_values() {
        let own = digits();
        own.check_pixels("m", &Description { dataset: "x".into(), dataset_sha256: "c".repeat(64), ..digits() }, "x").unwrap();
        for (other, words) in [
            (Description { rows: 28, cols: 28, ..digits() }, "28x28 pixels from 0 to 16"),
            (Description { white: 255, ..digits() }, "8x8 pixels from 0 to 255"),
        ] {
            let message = own.check_pixels("my.model", &other, "other:x").unwrap_err().to_string();
            assert!(message.starts_with("my.model is for images of 8x8 pixels from 0 to 16") && message.contains(words), "{message}");
            assert!(message.contains("other:x"), "{message}");
            assert!(own.check_images("my.model", &other, "other:x").is_err());
        }
    }

    #[test]
    fn images_are_told_by_digest_and_without_one_by_name() {
        let own = digits();
        own.check_images("a", &Description { dataset: "copy".into(), ..digits() }, "copy").unwrap();
        let changed = Description { dataset_sha256: "c".repeat(64), ..digits() };
        let message = own.check_images("answer.bin", &changed, "digits").unwrap_err().to_string();
        assert!(message.contains("digits (SHA-256 aaaaaaaaaaaaaaaa)") && message.contains("digits (SHA-256 cccccccccccccccc)"), "{message}");
        let nameless = Description { dataset_sha256: String::new(), ..digits() };
        own.check_images("a", &nameless, "b").unwrap();
        assert!(own.check_images("a", &Description { dataset: "mnist".into(), ..nameless }, "b").is_err());
    }

    #[test]
    fn another_training_set_is_said() {
        let own = digits();
        assert_eq!(own.other_training(&digits()), None);
        assert_eq!(own.other_training(&Description { dataset: "copy".into(), ..digits() }), None);
        let words = own.other_training(&Description { training_sha256: "c".repeat(64), ..digits() }).unwrap();
        assert!(words.contains("bbbbbbbbbbbbbbbb") && words.contains("cccccccccccccccc"), "{words}");
        assert_eq!(own.other_training(&Description { training_sha256: String::new(), ..digits() }), None);
        let words = own.other_training(&Description { dataset: "other:x".into(), training_sha256: String::new(), ..digits() }).unwrap();
        assert!(words.contains("other:x (training images unknown)"), "{words}");
        assert!(own.other_training(&Description { dataset_sha256: "b".repeat(64), ..digits() }).unwrap().contains("tested on"));
    }

    #[test]
    fn descriptions_in_files_are_checked() {
        digits().check().unwrap();
        Description { dataset_sha256: String::new(), training_sha256: String::new(), ..digits() }.check().unwrap();
        for wrong in [
            Description { dataset: "x".repeat(65), ..digits() },
            Description { dataset: "a\nb".into(), ..digits() },
            Description { dataset_sha256: "A".repeat(64), ..digits() },
            Description { training_sha256: "a".repeat(63), ..digits() },
            Description { rows: 0, ..digits() },
            Description { cols: 5000, ..digits() },
            Description { white: 0, ..digits() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
