//! Ciphertext files: queries and answers.
//!
//! A file is a `container` with the first line `cipherlane ciphertexts v3`, a head like
//! `{"kind":"query","key":"<64 hex digits>",...,"data":{...},"first":0,"model":"",...}` and one
//! part: the residues modulo n^2, big-endian, each as wide as n^2.
//!
//! Version 2 had one digest for the whole file; it is read still. Version 1 did not say which images
//! and which model a file is of; it is refused.

use std::io::BufRead;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::cipher::{Ciphertexts, Sendable, check_fingerprint};
use super::super::key::{PublicKey, check_bits};
use super::super::packing::Packing;
use crate::container::{FileForm, Packed, pack};
use crate::description::{Description, is_sha256};
use crate::durable::{BULK, open_within, write_whole};
use crate::error::{Error, Result};
use crate::limbs::{Limbs, words_for_bits};
use crate::text::named;

const FORM: FileForm = FileForm { family: "cipherlane ciphertexts", version: Some("v3"), plain: Some("v2") };
/// Longest name in a header, in bytes.
const LONGEST_NAME: usize = 64;

named! {
    /// Which way a batch of ciphertexts travels.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Kind {
        /// Encrypted inputs, to the server.
        Query => "query",
        /// Encrypted results, to the data owner.
        Answer => "answer",
    }
}

/// What a ciphertext file says of its content. Not authenticated, like the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Images.
    pub images: usize,
    /// Ciphertexts of each group of images that share a plaintext: columns of a query, rows of an answer.
    pub width: usize,
    /// How many images share a plaintext.
    pub packing: Packing,
    /// Bits of a feature.
    pub feature_bits: u32,
    /// Name of the public feature map.
    pub features: String,
    /// What the images are from.
    pub data: Description,
    /// Number of the first image in the test set, from 0; the others follow it.
    pub first: usize,
    /// Name of the model of an answer; empty in a query.
    pub model: String,
    /// SHA-256 of the model's file, 64 hex digits; empty in a query.
    pub model_sha256: String,
}

impl Header {
    /// Ciphertexts that belong to this header.
    fn ciphertexts(&self) -> Option<usize> {
        self.images.div_ceil(self.packing.slots()).checked_mul(self.width)
    }

    /// Refuses what no reader would take.
    fn check(&self, ciphertexts: usize) -> Result<()> {
        if self.images == 0 || self.width == 0 {
            return Err(Error::range("header", &format!("{} images, width {}", self.images, self.width), "1 and above"));
        }
        if self.ciphertexts() != Some(ciphertexts) {
            return Err(Error::size("ciphertexts of a file", self.ciphertexts().unwrap_or(usize::MAX), ciphertexts));
        }
        if !(1..=16).contains(&self.feature_bits) {
            return Err(Error::range("feature", &format!("{} bits", self.feature_bits), "1 to 16 bits"));
        }
        self.data.check()?;
        if self.first.checked_add(self.images).is_none() {
            return Err(Error::range("first image", &self.first, format!("0 to {}", usize::MAX - self.images)));
        }
        if !self.model_sha256.is_empty() && !is_sha256(&self.model_sha256) {
            return Err(Error::range("digest of a model", &format!("{} bytes", self.model_sha256.len()), "64 hexadecimal digits, or none"));
        }
        for name in [&self.features, &self.model] {
            if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
                return Err(Error::range(
                    "name in a header",
                    &format!("{} bytes", name.len()),
                    format!("{LONGEST_NAME} bytes without control characters"),
                ));
            }
        }
        Ok(())
    }
}

/// The header as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    kind: Kind,
    key: String,
    key_bits: u32,
    ciphertexts: usize,
    images: usize,
    width: usize,
    slots: usize,
    slot_bits: u32,
    feature_bits: u32,
    features: String,
    data: Description,
    first: usize,
    model: String,
    model_sha256: String,
}

/// Writes encrypted inputs, whole or not at all.
///
/// Only [`Sendable`] ciphertexts can be written:
///
/// ```
/// use cipherlane::scheme::paillier::{Ciphertexts, PublicKey, Sendable, files};
/// fn send(header: &files::Header, batch: &Ciphertexts<Sendable>, key: &PublicKey) -> bool {
///     files::write_answer("answer".as_ref(), header, batch, key).is_ok()
/// }
/// ```
///
/// [`Raw`](super::super::Raw) ones, from which the key owner would read the model, do not compile:
///
/// ```compile_fail
/// use cipherlane::scheme::paillier::{Ciphertexts, PublicKey, Raw, files};
/// fn send(header: &files::Header, batch: &Ciphertexts<Raw>, key: &PublicKey) -> bool {
///     files::write_answer("answer".as_ref(), header, batch, key).is_ok()
/// }
/// ```
///
/// # Errors
/// [`Error::WrongKey`], [`Error::Size`] or [`Error::OutOfRange`] when header and ciphertexts do not fit, [`Error::Io`].
pub fn write_query(path: &Path, header: &Header, query: &Ciphertexts<Sendable>, key: &PublicKey) -> Result<()> {
    write(path, Kind::Query, header, query, key)
}

/// Writes encrypted results, whole or not at all; see [`write_query`].
///
/// # Errors
/// As [`write_query`].
pub fn write_answer(path: &Path, header: &Header, answer: &Ciphertexts<Sendable>, key: &PublicKey) -> Result<()> {
    write(path, Kind::Answer, header, answer, key)
}

/// Reads encrypted inputs for `key`, each checked to be a ciphertext.
///
/// # Errors
/// [`Error::File`] for another form, a truncated or damaged file; [`Error::WrongKey`]; [`Error::InvalidCiphertext`]; [`Error::Io`].
pub fn read_query(path: &Path, key: &PublicKey) -> Result<(Header, Ciphertexts<Sendable>)> {
    read(path, Kind::Query, key)
}

/// Reads encrypted results for `key`, each checked to be a ciphertext.
///
/// # Errors
/// As [`read_query`].
pub fn read_answer(path: &Path, key: &PublicKey) -> Result<(Header, Ciphertexts<Sendable>)> {
    read(path, Kind::Answer, key)
}

fn write(path: &Path, kind: Kind, header: &Header, batch: &Ciphertexts<Sendable>, key: &PublicKey) -> Result<()> {
    write_whole(path, &encode(kind, header, batch, key)?)
}

/// The bytes of a file of ciphertexts.
///
/// # Errors
/// [`Error::WrongKey`], [`Error::Size`] or [`Error::OutOfRange`] when header and ciphertexts do not fit.
pub(in crate::scheme::paillier) fn encode(kind: Kind, header: &Header, batch: &Ciphertexts<Sendable>, key: &PublicKey) -> Result<Vec<u8>> {
    batch.check_key(key)?;
    header.check(batch.len())?;
    check_packing(key.bits(), header.packing.slots(), header.packing.slot_bits())?;
    let line = HeaderLine {
        kind,
        key: key.fingerprint().into(),
        key_bits: key.bits(),
        ciphertexts: batch.len(),
        images: header.images,
        width: header.width,
        slots: header.packing.slots(),
        slot_bits: header.packing.slot_bits(),
        feature_bits: header.feature_bits,
        features: header.features.clone(),
        data: header.data.clone(),
        first: header.first,
        model: header.model.clone(),
        model_sha256: header.model_sha256.clone(),
    };
    let width = key.ciphertext_bytes();
    pack(FORM, &line, &[batch.len() * width], |bytes| {
        for words in batch.values().iter() {
            let value = words.iter().rev().flat_map(|word| word.to_be_bytes());
            bytes.extend(value.skip(8 * words.len() - width));
        }
    })
}

fn check_packing(key_bits: u32, slots: usize, slot_bits: u32) -> Result<Packing> {
    Packing::new(key_bits, slot_bits, Some(slots))
}

fn read(path: &Path, kind: Kind, key: &PublicKey) -> Result<(Header, Ciphertexts<Sendable>)> {
    let (file, length) = open_within(path, BULK)?;
    decode(file, length, path, kind, key)
}

/// Reads the `length` bytes of a file of ciphertexts for `key`; errors name it `path`.
///
/// # Errors
/// As [`read_query`].
pub(in crate::scheme::paillier) fn decode(
    reader: impl BufRead,
    length: u64,
    path: &Path,
    kind: Kind,
    key: &PublicKey,
) -> Result<(Header, Ciphertexts<Sendable>)> {
    let bad = |expected: String, found: String| Error::file(path, expected, found);
    let packed = Packed::open(FORM, reader, length, path)?;
    let line: HeaderLine = packed.head()?;
    if line.kind != kind {
        return Err(bad(format!("kind {kind}"), line.kind.to_string()));
    }
    check_bits(line.key_bits, true)?;
    let packing = check_packing(line.key_bits, line.slots, line.slot_bits)?;
    let header = Header {
        images: line.images,
        width: line.width,
        packing,
        feature_bits: line.feature_bits,
        features: line.features,
        data: line.data,
        first: line.first,
        model: line.model,
        model_sha256: line.model_sha256,
    };
    header.check(line.ciphertexts)?;
    check_fingerprint(&line.key, key)?;
    if line.key_bits != key.bits() {
        return Err(bad(format!("ciphertexts of a {}-bit key", key.bits()), format!("{} bits", line.key_bits)));
    }
    // The file's own length bounds what is allocated.
    let width = key.ciphertext_bytes();
    if line.ciphertexts.checked_mul(width).map(|bytes| bytes as u64) != Some(packed.payload()) {
        return Err(bad(format!("{} ciphertexts of {width} bytes", line.ciphertexts), format!("{} bytes", packed.payload())));
    }
    let mut values = Limbs::zeros(line.ciphertexts, words_for_bits(key.n_squared().significant_bits()));
    let words = values.width();
    let (mut done, mut rest) = (0, Vec::new());
    packed.read(|bytes| {
        // Ciphertexts do not end where blocks do.
        rest.extend_from_slice(bytes);
        let whole = rest.len() / width;
        let places = values.words_mut()[done * words..].par_chunks_exact_mut(words);
        places.zip(rest.par_chunks_exact(width)).for_each(|(place, bytes)| {
            for (word, bytes) in place.iter_mut().zip(bytes.rchunks(8)) {
                *word = bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
            }
        });
        rest.drain(..whole * width);
        done += whole;
        Ok(())
    })?;
    Ok((header, Ciphertexts::import(key, values)?))
}
