//! Shapes of networks.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Widths of the layers from input to output; its text form is `2-10-2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Widths(pub(super) Vec<usize>);

/// Widest layer.
const WIDEST: usize = 1 << 14;

impl Widths {
    /// Input, hidden layers, output.
    ///
    /// # Errors
    /// [`Error::Unknown`] unless there are two to eight widths from 1 to 16,384.
    pub fn new(widths: Vec<usize>) -> Result<Self> {
        if (2..=8).contains(&widths.len()) && widths.iter().all(|width| (1..=WIDEST).contains(width)) {
            return Ok(Self(widths));
        }
        let value = widths.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
        Err(Error::unknown("network", value, format!("two to eight widths from 1 to {WIDEST}, for example 2-10-2")))
    }

    /// The widths.
    #[must_use]
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// Numbers per record.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.0[0]
    }

    /// Numbers per answer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.0[self.0.len() - 1]
    }

    /// Weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.0.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, width) in self.0.iter().enumerate() {
            write!(f, "{}{width}", if number == 0 { "" } else { "-" })?;
        }
        Ok(())
    }
}

impl FromStr for Widths {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let widths = text.split('-').map(|width| width.parse().ok()).collect::<Option<Vec<usize>>>();
        widths
            .and_then(|widths| Self::new(widths).ok())
            .ok_or_else(|| Error::unknown("network", text, format!("two to eight widths from 1 to {WIDEST}, for example 2-10-2")))
    }
}
