//! What experiments vary: one size at a time, until learning on ciphertexts falls to chance.

use super::setting::{Setting, Sizes};
use crate::text::named;

named! {
    /// A size that is varied while all others stay.
    pub enum Sweep: "sweep" {
        /// Entries of A, modulo q and anew for every image, from the published bound until they
        /// fill the modulus.
        MaskBound => "a-bound": "bound of A modulo 2^40, fresh for every image, from 2^7 to uniform",
        /// The modulus, from one that T a never reaches down to the smallest that leaves room for a
        /// pixel.
        Modulus => "q-bits": "q from 2^32 down to 2^20 under A below 2^12, fresh for every image",
        /// Entries of T, over the integers.
        KeyBound => "t-bound": "bound of T over the integers, from 2^7 to 2^32",
        /// Columns of T, over the integers.
        KeyColumns => "key-columns": "columns of T over the integers, from 1 to 784",
    }
}

/// One point of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// How images are protected.
    pub setting: Setting,
    /// With which sizes.
    pub sizes: Sizes,
}

impl Sweep {
    /// Its points.
    #[must_use]
    pub fn points(self) -> Vec<Point> {
        let base = Sizes::default();
        let bound = |bits: u32| if bits == 32 { u32::MAX } else { 1 << bits };
        let point = |setting, sizes| Point { setting, sizes };
        match self {
            Self::MaskBound => [7, 12, 17, 22, 26, 28, 29, 30, 31, 32, 40]
                .map(|bits| Sizes { q_bits: 40, a_bound: (bits < 40).then(|| bound(bits)), ..base })
                .map(|sizes| point(Setting::ModularFresh, sizes))
                .into(),
            Self::Modulus => [32, 30, 28, 26, 25, 24, 23, 22, 21, 20]
                .map(|q_bits| point(Setting::ModularFresh, Sizes { q_bits, a_bound: Some(1 << 12), ..base }))
                .into(),
            Self::KeyBound => [7, 12, 17, 20, 22, 24, 26, 28, 30, 32]
                .map(|bits| point(Setting::IntegersFixed, Sizes { t_bound: bound(bits), w_bits: Some(30), ..base }))
                .into(),
            Self::KeyColumns => {
                [1, 4, 16, 64, 256, 784].map(|key_columns| point(Setting::IntegersFixed, Sizes { key_columns, w_bits: Some(30), ..base })).into()
            }
        }
    }
}
