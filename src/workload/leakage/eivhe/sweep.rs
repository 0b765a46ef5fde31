//! What experiments vary: one size at a time, until learning on ciphertexts falls to chance.

use std::fmt;
use std::str::FromStr;

use super::setting::{Setting, Sizes};
use crate::error::{Error, Result};

/// A size that is varied while all others stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sweep {
    /// Entries of A, modulo q and anew for every image, from the published bound until they fill the modulus.
    MaskBound,
    /// The modulus, from one that T a never reaches down to the smallest that leaves room for a pixel.
    Modulus,
    /// Entries of T, over the integers.
    KeyBound,
    /// Columns of T, over the integers.
    KeyColumns,
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
    /// Every sweep.
    pub const ALL: [Self; 4] = [Self::MaskBound, Self::Modulus, Self::KeyBound, Self::KeyColumns];

    /// The name on the command line and in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaskBound => "a-bound",
            Self::Modulus => "q-bits",
            Self::KeyBound => "t-bound",
            Self::KeyColumns => "key-columns",
        }
    }

    /// One line on what is varied.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::MaskBound => "bound of A modulo 2^40, fresh for every image, from 2^7 to uniform",
            Self::Modulus => "q from 2^32 down to 2^20 under A below 2^12, fresh for every image",
            Self::KeyBound => "bound of T over the integers, from 2^7 to 2^32",
            Self::KeyColumns => "columns of T over the integers, from 1 to 784",
        }
    }

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

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sweep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| Error::Unknown { what: "sweep", value: text.into(), known: known() })
    }
}
