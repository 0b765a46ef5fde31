//! The files of MNIST that are published, and the terms of a download.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dataset::idx;

/// One published file of MNIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Name of the uncompressed file in its usual spelling; mirrors add `.gz`.
    pub name: &'static str,
    /// SHA-256 of the uncompressed file.
    pub sha256: &'static str,
    /// Length of the uncompressed file.
    pub bytes: u64,
}

/// The 10,000 test images.
pub const TEST_IMAGES: Published =
    Published { name: "t10k-images-idx3-ubyte", sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", bytes: 7_840_016 };
/// The labels of the test images.
pub const TEST_LABELS: Published =
    Published { name: "t10k-labels-idx1-ubyte", sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", bytes: 10_008 };
/// The 60,000 training images.
pub const TRAINING_IMAGES: Published =
    Published { name: "train-images-idx3-ubyte", sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", bytes: 47_040_016 };
/// The labels of the training images.
pub const TRAINING_LABELS: Published =
    Published { name: "train-labels-idx1-ubyte", sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", bytes: 60_008 };

/// Which files to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The test set, about 1.6 MB.
    Test,
    /// The test set and the training set, about 11.5 MB.
    All,
}

impl Part {
    pub(super) const fn files(self) -> &'static [Published] {
        match self {
            Self::Test => &[TEST_IMAGES, TEST_LABELS],
            Self::All => &[TEST_IMAGES, TEST_LABELS, TRAINING_IMAGES, TRAINING_LABELS],
        }
    }
}

/// How long a fetch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the name look-up and again for the connection.
    pub connect: Duration,
    /// For the answer's header, and between two pieces of its body.
    pub stall: Duration,
    /// For everything together.
    pub overall: Duration,
}

impl Limits {
    /// For a user who asked for the download.
    pub const PATIENT: Self = Self { connect: Duration::from_secs(15), stall: Duration::from_secs(30), overall: Duration::from_secs(30 * 60) };
    /// For a program that has something else to go on with.
    pub const QUICK: Self = Self { connect: Duration::from_secs(3), stall: Duration::from_secs(5), overall: Duration::from_secs(20) };
}

/// How far the download of one file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The address that is read.
    pub url: &'a str,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Bytes of the whole, where the mirror says so.
    pub total_bytes: Option<u64>,
}

/// A file that is now there and right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Whether it was downloaded; false where it was there already.
    pub downloaded: bool,
}

/// Whether the file at `path` has the published content.
pub(in crate::dataset) fn is_right(path: &Path, file: Published) -> bool {
    idx::digest(path, file.bytes).is_ok_and(|(sha256, _)| sha256 == file.sha256)
}
