//! Choices that only this scheme has, as values.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::plan::matvec::Method;
use crate::text::named;

/// Which values share a ciphertext; its text form is `auto`, `off`, a number of images or `N-inputs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PackingChoice {
    /// Offline as many images as fit, single as many inputs of the image as cost least.
    #[default]
    Auto,
    /// One value of one image.
    Off,
    /// The same input of this many images.
    Images(usize),
    /// This many inputs of the same image.
    Inputs(usize),
}

impl PackingChoice {
    /// The packing that a number of inputs per ciphertext means, one image at a time: `auto`, or a number from 1.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn of_inputs(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "1" => Ok(Self::Off),
            number => {
                format!("{number}-inputs").parse().map_err(|_| Error::unknown("number of inputs per ciphertext", number, "auto, or a number from 1"))
            }
        }
    }

    /// The number of images asked for where images share a ciphertext, none for as many as fit.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for inputs of one image.
    pub fn images(self) -> Result<Option<usize>> {
        match self {
            Self::Auto => Ok(None),
            Self::Off => Ok(Some(1)),
            Self::Images(images) => Ok(Some(images)),
            Self::Inputs(_) => Err(Error::unsupported(
                "a batch of images",
                format!("packing {self}, which is for one image at a time; use auto, off or a number of images"),
            )),
        }
    }
}

impl fmt::Display for PackingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Images(images) => images.fmt(f),
            Self::Inputs(inputs) => write!(f, "{inputs}-inputs"),
        }
    }
}

impl FromStr for PackingChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().filter(|&n: &usize| n > 0);
        let choice = match text {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::Off),
            _ => text.strip_suffix("-inputs").map_or_else(|| number(text).map(Self::Images), |inputs| number(inputs).map(Self::Inputs)),
        };
        choice.ok_or_else(|| Error::unknown("packing", text, "auto, off, a number of images per ciphertext, or N-inputs of one image"))
    }
}

/// The plan that a text names; none for `auto`.
///
/// # Errors
/// [`Error::Unknown`].
pub fn method_choice(name: &str) -> Result<Option<Method>> {
    match name {
        "auto" => Ok(None),
        name => name.parse().map(Some).map_err(|_| Error::unknown("method", name, format!("auto, {}", Method::ALL.map(Method::name).join(", ")))),
    }
}

named! {
    /// Who makes randomisers ahead of the images, in the offline phase. The ciphertexts are the
    /// same, bit for bit.
    #[derive(Default)]
    pub enum PoolChoice: "pool" {
        /// Nobody: all work is online.
        #[default]
        None => "none",
        /// The server, for its results.
        Server => "server",
        /// The server, and the owner for the images' ciphertexts.
        Both => "both",
    }
}
