//! Model files, in the form of a `container` that ends with its digest.
//!
//! | part | content |
//! |---|---|
//! | line 1 | `cipherlane model 1` |
//! | line 2 | JSON: `widths` (from input to output) and `origin` ([`Origin`](super::Origin)) |
//! | payload | per layer: weights row by row (one row per output), then biases; little-endian f32 |
//! | trailer | SHA-256 of everything before it, 32 bytes |
//!
//! The reader checks the sizes before it allocates and the digest before it believes a number.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Layer, Network, Origin, TrainedModel};
use crate::container::{FileForm, Packed};
use crate::durable::{read, write_whole};
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::text::hex;

const FORM: FileForm = FileForm { family: "cipherlane model", version: None, plain: Some("1") };
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 28;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    widths: Vec<usize>,
    origin: Origin,
}

impl TrainedModel {
    /// A model with the digest of the file that [`to_bytes`](Self::to_bytes) gives.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn new(network: Network, origin: Origin) -> Result<Self> {
        let mut model = Self { network, origin, sha256: String::new() };
        model.sha256 = hex(Sha256::digest(model.to_bytes()?));
        Ok(model)
    }

    /// The bytes of the model's file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when a number of the recipe has no form in JSON (not finite).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = Header { widths: self.network.widths(), origin: self.origin.clone() };
        let header = serde_json::to_string(&header).map_err(|e| Error::unsupported("model file", e.to_string()))?;
        let mut bytes = format!("{FORM}\n{header}\n").into_bytes();
        for layer in self.network.layers() {
            for value in layer.weights.iter().chain(&layer.bias) {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    /// Reads the bytes of a model's file; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::File`] saying what was expected when anything is missing, left over, changed or out of range.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let wrong = |expected: String, actual: String| Error::file(path, expected, actual);
        let packed = Packed::open(FORM, bytes, bytes.len() as u64, path)?;
        let header = serde_json::from_slice(packed.head_line()).map_err(|e| wrong("a model header in JSON".into(), e.to_string()))?;
        let Header { widths, origin } = header;
        let payload = payload_len(&widths).ok_or_else(|| wrong("2 or more widths of 1 and more that fit a file".into(), format!("{widths:?}")))?;
        if packed.payload() != payload as u64 {
            return Err(wrong(format!("{payload} bytes after the header and before the SHA-256"), packed.payload().to_string()));
        }
        let content = packed.read_parts(Some(vec![payload as u64]))?.concat();
        if origin.test_correct > origin.test_images || origin.max_pixel == 0 {
            let actual = format!("{} of {}, and {}", origin.test_correct, origin.test_images, origin.max_pixel);
            return Err(wrong("at most as many correct images as there are, and a largest pixel above 0".into(), actual));
        }
        let pixels = origin.rows.checked_mul(origin.cols).filter(|&pixels| pixels <= MAX_FILE as usize);
        if pixels.is_none() || origin.features.width(origin.rows, origin.cols) != widths[0] {
            let actual = format!("{} by {} pixels and {} inputs", origin.rows, origin.cols, widths[0]);
            return Err(wrong(format!("as many inputs as {} gives", origin.features), actual));
        }
        let (mut numbers, _) = content.as_chunks::<4>();
        let mut take = |count: usize| {
            let (taken, left) = numbers.split_at(count);
            numbers = left;
            taken.iter().map(|&b| f32::from_le_bytes(b)).collect::<Vec<f32>>()
        };
        let layer = |pair: &[usize]| Layer { inputs: pair[0], outputs: pair[1], weights: take(pair[0] * pair[1]), bias: take(pair[1]) };
        let layers = widths.windows(2).map(layer).collect();
        let network = Network::new(layers).map_err(|e| wrong("a network".into(), e.to_string()))?;
        Ok(Self { network, origin, sha256: hex(Sha256::digest(bytes)) })
    }

    /// Writes the model's file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written; [`Error::Unsupported`] as for [`to_bytes`](Self::to_bytes).
    pub fn write(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.to_bytes()?)
    }

    /// Reads a model's file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::File`] as for [`from_bytes`](Self::from_bytes), and when it is larger than 256 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        Self::from_bytes(path, &read(path, MAX_FILE)?)
    }
}

/// The model that comes with the program, for `mnist` or `digits`.
///
/// # Errors
/// [`Error::Unknown`] for another dataset.
pub fn embedded(dataset: &str, features: FeatureMap) -> Result<TrainedModel> {
    let (path, bytes): (&str, &[u8]) = match (dataset, features) {
        ("mnist", FeatureMap::Pixels) => ("models/mnist-pixels.model", include_bytes!("../../models/mnist-pixels.model")),
        ("mnist", FeatureMap::Gradients) => ("models/mnist-gradients.model", include_bytes!("../../models/mnist-gradients.model")),
        ("digits", FeatureMap::Pixels) => ("models/digits-pixels.model", include_bytes!("../../models/digits-pixels.model")),
        ("digits", FeatureMap::Gradients) => ("models/digits-gradients.model", include_bytes!("../../models/digits-gradients.model")),
        _ => return Err(Error::unknown("embedded model of dataset", dataset, "mnist, digits")),
    };
    TrainedModel::from_bytes(Path::new(path), bytes)
}

/// Bytes of the payload, or none when the widths make no network that fits a file.
fn payload_len(widths: &[usize]) -> Option<usize> {
    let mut numbers = 0usize;
    for pair in widths.windows(2) {
        numbers = numbers.checked_add(pair[0].checked_add(1)?.checked_mul(pair[1])?)?;
    }
    let bytes = numbers.checked_mul(4)?;
    (widths.len() >= 2 && !widths.contains(&0) && bytes as u64 <= MAX_FILE).then_some(bytes)
}
