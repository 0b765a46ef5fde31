//! Datasets for tests, where the machine has them.

use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, DatasetId, Images, digits};

/// MNIST's training and test images from `CIPHERLANE_DATA` or the folder `../shared/mnist`, or none after a printed line.
pub(crate) fn mnist() -> Option<(Images, Images)> {
    let named = std::env::var_os("CIPHERLANE_DATA").map(PathBuf::from);
    let mut dirs = named.into_iter().chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/mnist")]);
    let found = dirs.find_map(|dir| Dataset::read(&dir).ok().filter(|dataset| dataset.id == DatasetId::Mnist));
    let Some(dataset) = found else {
        println!("skipped: no MNIST");
        return None;
    };
    Some((dataset.training().unwrap(), dataset.test))
}

/// The embedded digits: training and test images.
pub(crate) fn digits() -> (Images, Images) {
    (digits::training().unwrap(), digits::test().unwrap())
}

/// Numbers in [0, 1) that look random, the same on every machine.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    std::iter::repeat_with(next).take(count).collect()
}
