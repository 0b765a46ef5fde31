//! How images are protected in an experiment, and what is known against it.

use crate::error::Result;
use crate::scheme::eivhe::{Draw, Encryption, Parameters, Published};
use crate::text::named;

named! {
    /// A way to protect images with integer vectors, or none.
    pub enum Setting: "setting" {
        /// Not at all: pixels, for comparison.
        Clear => "clear": "no protection: the pixels",
        /// Over the integers with one public matrix, as EIVHE is read.
        IntegersFixed => "integers-fixed": "over the integers, one public matrix; protects nothing",
        /// Over the integers with A and E anew for every image.
        IntegersFresh => "integers-fresh": "over the integers, randomness anew for every image; protects nothing",
        /// Over the integers with the absolute values of one public matrix: the variant of the
        /// follow-up.
        Absolute => "absolute": "over the integers, absolute values of one public matrix; protects nothing",
        /// Modulo q with one public matrix.
        ModularFixed => "modular-fixed": "modulo q, one public matrix; deterministic",
        /// Modulo q with A and E anew for every image, A within a bound.
        ModularFresh => "modular-fresh": "modulo q, A within a bound and anew for every image; no estimate of its strength",
        /// Modulo q with A uniform and anew for every image: the sound variant, at sizes that are
        /// estimated at 128 bits.
        Lwe => "lwe": "modulo q, A uniform and anew for every image; estimated at 128 bits",
    }
}

impl Setting {
    /// Whether there is a modulus.
    #[must_use]
    pub const fn is_modular(self) -> bool {
        matches!(self, Self::ModularFixed | Self::ModularFresh | Self::Lwe)
    }

    /// Where the randomness of a ciphertext comes from; none in the clear.
    #[must_use]
    pub const fn encryption(self) -> Option<Encryption> {
        match self {
            Self::Clear => None,
            Self::IntegersFixed | Self::Absolute | Self::ModularFixed => Some(Encryption::Fixed),
            Self::IntegersFresh | Self::ModularFresh | Self::Lwe => Some(Encryption::Fresh),
        }
    }
}

/// Sizes of the scheme that an experiment chooses; [`Default`] is what secureldata's public program has, with 16 columns of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// Columns of T.
    pub key_columns: usize,
    /// Entries of A are below this; none for entries that are uniform modulo q.
    pub a_bound: Option<u32>,
    /// Entries of E are below this.
    pub e_bound: u32,
    /// Entries of T are below this.
    pub t_bound: u32,
    /// Bits of w; none for those of the published set, and modulo q for the most that q leaves room for.
    pub w_bits: Option<u32>,
    /// Bits of q where there is one.
    pub q_bits: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { key_columns: 16, a_bound: Some(100), e_bound: 1000, t_bound: 100, w_bits: None, q_bits: 54 }
    }
}

/// A setting with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protection {
    /// The setting.
    pub setting: Setting,
    /// Parameters of the scheme; none in the clear.
    pub parameters: Option<Parameters>,
}

impl Protection {
    /// For images of `dimension` pixels up to `max_pixel`, checked: what is decrypted is what was encrypted. [`Setting::Lwe`] has sizes of its own.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::error::Error::OutOfRange) or
    /// [`Error::Noise`](crate::error::Error::Noise) when the sizes do not fit each other.
    pub fn new(setting: Setting, sizes: Sizes, dimension: usize, max_pixel: u8) -> Result<Self> {
        let Some(encryption) = setting.encryption() else { return Ok(Self { setting, parameters: None }) };
        let bound = u64::from(max_pixel);
        let parameters = if setting == Setting::Lwe {
            Parameters::lwe(dimension, bound, bound)?
        } else {
            let published = Published::Secureldata.parameters(dimension, sizes.key_columns, bound);
            let modulus_bits = setting.is_modular().then_some(sizes.q_bits);
            let room = |q_bits: u32| q_bits.saturating_sub(1 + u64::BITS - bound.leading_zeros());
            Parameters {
                scale_bits: sizes.w_bits.unwrap_or_else(|| modulus_bits.map_or(published.scale_bits, room)),
                key: Draw::Below(sizes.t_bound),
                mask: sizes.a_bound.map_or(Draw::Modulus, Draw::Below),
                noise: Draw::Below(sizes.e_bound),
                modulus_bits,
                ..published
            }
        };
        parameters.encrypted(encryption)?;
        Ok(Self { setting, parameters: Some(parameters) })
    }

    /// What breaks it, in one line; none where nothing is known against it, and in the clear where nothing is claimed.
    #[must_use]
    pub fn unsound(&self) -> Option<&'static str> {
        let parameters = self.parameters?;
        Some(match self.setting {
            Setting::IntegersFixed | Setting::IntegersFresh => {
                "without a modulus ciphertexts are linear in the pixels, and least squares gives the key (`cipherlane eivhe attack`)"
            }
            Setting::Absolute => "without a modulus ciphertexts are linear in the pixels, whatever the signs of the matrix",
            Setting::ModularFixed => {
                "one public matrix makes encryption deterministic: equal images have equal ciphertexts, and guesses can be checked"
            }
            _ if parameters.mask != Draw::Modulus => "A does not fill the modulus: where T A does not wrap around, least squares gives the key",
            _ if self.setting.encryption().and_then(|e| parameters.security_bits(e)).is_none_or(|bits| bits < 112) => {
                "too few key columns for the modulus: no estimate of its strength reaches 112 bits"
            }
            _ => return None,
        })
    }
}
