//! Files between the parties: encrypted records, encrypted parameters, sealed answers, each whole and checked.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::container::{FileForm, Packed, pack};
use crate::description::Description;
use crate::durable::{BULK, open_within, write_private, write_whole};
use crate::error::{Error, Result};
use crate::text::{hex, named};
use crate::workload::training::Spec;

const FORM: FileForm = FileForm { family: "cipherlane smlp", version: Some("v3"), plain: Some("v2") };

named! {
    /// The kind of a file of the user or for the user.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Kind {
        /// Encrypted records with their encrypted labels, for training.
        Training => "training",
        /// Encrypted records to classify.
        Queries => "queries",
        /// Encrypted parameters: P1's, and no use to anybody without P2.
        Model => "model",
        /// Classes, sealed for the user.
        Answers => "answers",
        /// Parameters, sealed for the user.
        Parameters => "parameters",
    }
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
    /// Lengths of the matrices in bytes, in files of version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<u64>>,
}

impl Bundle {
    /// Writes the file, whole or not at all. Answers and parameters can be read by this user only:
    /// they hold P1's masks, with which P2 would open them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let header = Header { kind: self.kind, spec: self.spec.to_string(), data: self.data.clone(), key: self.key.clone(), parts: None };
        let lengths: Vec<usize> = self.parts.iter().map(Vec::len).collect();
        let bytes = pack(FORM, &header, &lengths, |bytes| self.parts.iter().for_each(|part| bytes.extend_from_slice(part)))?;
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
        let (file, length) = open_within(path, BULK)?;
        let packed = Packed::open(FORM, file, length, path)?;
        let header: Header = packed.head()?;
        if header.kind != kind {
            return Err(Error::file(path, kind.name(), header.kind.name()));
        }
        header.data.check()?;
        let spec = header.spec.parse()?;
        Ok(Self { kind, spec, data: header.data, key: header.key, parts: packed.read_parts(header.parts)? })
    }
}
