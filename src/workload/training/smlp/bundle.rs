//! Files between the parties: encrypted records, encrypted parameters, sealed answers, each whole and checked.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::description::Description;
use crate::durable::{BULK, read, write_private, write_whole};
use crate::error::{Error, Result};
use crate::text::hex;
use crate::workload::training::Spec;

const MAGIC: &str = "cipherlane smlp v2\n";
/// Longest header line, in bytes.
const LONGEST_HEADER: usize = 4096;

/// What a file of the user or for the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Encrypted records with their encrypted labels, for training.
    Training,
    /// Encrypted records to classify.
    Queries,
    /// Encrypted parameters: P1's, and no use to anybody without P2.
    Model,
    /// Classes, sealed for the user.
    Answers,
    /// Parameters, sealed for the user.
    Parameters,
}

/// A file of the user or for the user: what is public of it, and encrypted or sealed matrices.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What it is.
    pub kind: Kind,
    /// The training that it belongs to.
    pub spec: Spec,
    /// The records that it is made from; of answers, those that they answer.
    pub data: Description,
    /// Fingerprint of the Paillier key.
    pub key: String,
    /// The matrices.
    pub parts: Vec<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: Kind,
    spec: String,
    data: Description,
    key: String,
    parts: Vec<u64>,
}

impl Bundle {
    /// Writes the file, whole or not at all. Answers and parameters can be read by this user only:
    /// they hold P1's masks, with which P2 would open them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let header = Header {
            kind: self.kind,
            spec: self.spec.to_string(),
            data: self.data.clone(),
            key: self.key.clone(),
            parts: self.parts.iter().map(|part| part.len() as u64).collect(),
        };
        let line = serde_json::to_string(&header).map_err(|e| Error::file(path, "a header that can be written", e.to_string()))?;
        let mut bytes = [MAGIC.as_bytes(), line.as_bytes(), b"\n"].concat();
        self.parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        match self.kind {
            Kind::Answers | Kind::Parameters => write_private(path, &bytes),
            Kind::Training | Kind::Queries | Kind::Model => write_whole(path, &bytes),
        }
    }

    /// SHA-256 of everything in it.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let data = serde_json::to_string(&self.data).unwrap_or_default();
        let texts = [format!("{:?}", self.kind), self.spec.to_string(), data, self.key.clone()];
        for part in texts.iter().map(String::as_bytes).chain(self.parts.iter().map(Vec::as_slice)) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex(digest.finalize())
    }

    /// Reads a file of one kind.
    ///
    /// # Errors
    /// [`Error::File`] for another kind or form, or damage; [`Error::Io`].
    pub fn read(path: &Path, kind: Kind) -> Result<Self> {
        let bytes = read(path, BULK)?;
        let bad = |expected: &str, found: String| Error::file(path, expected, found);
        let family = MAGIC.len() - 2;
        let found =
            if bytes.get(..family) == MAGIC.as_bytes().get(..family) { "another version of it; make the file again" } else { "another kind of file" };
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or_else(|| bad(MAGIC.trim_end(), found.into()))?;
        let end = rest.iter().take(LONGEST_HEADER).position(|&byte| byte == b'\n').ok_or_else(|| bad("a header line", "none".into()))?;
        let header: Header = serde_json::from_slice(&rest[..end]).map_err(|e| bad("a header line", e.to_string()))?;
        let (content, digest) = bytes.split_last_chunk::<32>().ok_or_else(|| bad("a SHA-256", "none".into()))?;
        if Sha256::digest(content).as_slice() != digest {
            return Err(bad("content that fits its SHA-256", "other content: tampered or damaged".into()));
        }
        if header.kind != kind {
            return Err(bad(&format!("{kind:?}").to_lowercase(), format!("{:?}", header.kind).to_lowercase()));
        }
        let mut rest = &content[MAGIC.len() + end + 1..];
        let mut parts = Vec::new();
        for length in header.parts {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (part, after) =
                rest.split_at_checked(length).ok_or_else(|| bad("matrices of the lengths in the header", format!("{} bytes", rest.len())))?;
            parts.push(part.to_vec());
            rest = after;
        }
        if !rest.is_empty() {
            return Err(bad("matrices of the lengths in the header", format!("{} bytes more", rest.len())));
        }
        header.data.check()?;
        Ok(Self { kind, spec: header.spec.parse()?, data: header.data, key: header.key, parts })
    }
}
