//! Recipes: everything beside data, network and seed that decides the parameters. All of it is linear between the protocols.

use std::fmt;
use std::str::FromStr;

use super::data::Data;
use super::widths::Widths;
use crate::error::{Error, Result};

/// A ratio of small positive integers; its text form is `3:40`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    /// Above the line, from 1.
    pub numerator: u32,
    /// Below the line, from 1.
    pub denominator: u32,
}

impl Ratio {
    /// `numerator / denominator`.
    #[must_use]
    pub const fn new(numerator: u32, denominator: u32) -> Self {
        Self { numerator, denominator }
    }

    fn check(self, what: &'static str, most: u32) -> Result<()> {
        let Self { numerator, denominator } = self;
        let fits = (1..=1 << 16).contains(&numerator) && (1..=1 << 16).contains(&denominator) && numerator <= most * denominator;
        if fits { Ok(()) } else { Err(Error::range(what, &self, format!("a ratio above 0 and up to {most}, of numbers up to 65536"))) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.numerator, self.denominator)
    }
}

impl FromStr for Ratio {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once([':', '/']).and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let ratio = parts.filter(|&(a, b): &(u32, u32)| a > 0 && b > 0).map(|(a, b)| Self::new(a, b));
        ratio.ok_or_else(|| Error::unknown("ratio", text, "two numbers from 1, as 1:20"))
    }
}

/// Step decay: at each of some points of the training the step is divided once more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decay {
    /// What the step is divided by.
    pub divisor: u32,
    /// The points, in percent of the epochs, ascending. A point inside an epoch counts from the next one on.
    pub at_percent: Vec<u32>,
}

/// How a network learns. Its text form is `q14-f6-step1:10-mu9:10-decay2:50:70:90-centred`; `f`, `mu`, `decay` and `centred` may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recipe {
    /// Bits behind the point of inputs, labels, activations and parameters: the scale Q is 2^scale_bits.
    pub scale_bits: u32,
    /// Bits behind the point that velocities have besides.
    pub velocity_bits: u32,
    /// Times the mean gradient (or the velocity), added to the parameters.
    pub step: Ratio,
    /// Share of the velocity that stays from step to step (heavy ball; Polyak 1964); none for plain gradient descent.
    pub momentum: Option<Ratio>,
    /// How the step falls.
    pub decay: Option<Decay>,
    /// Whether the owner takes a public constant off each input before encryption: the mean of the training set, or 1/2 of a bit, which is then doubled.
    pub centred: bool,
}

impl Recipe {
    /// The scale Q.
    #[must_use]
    pub const fn scale(&self) -> i64 {
        1 << self.scale_bits
    }

    /// What the step is divided by in an epoch, from 0.
    #[must_use]
    pub fn decayed(&self, epoch: u32, epochs: u32) -> i64 {
        let Some(Decay { divisor, at_percent }) = &self.decay else { return 1 };
        let passed = at_percent.iter().filter(|&&percent| u64::from(epoch) * 100 >= u64::from(percent) * u64::from(epochs)).count();
        i64::from(*divisor).pow(passed as u32)
    }

    /// Refuses what the algorithm cannot follow in integers.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn check(&self, batch: usize) -> Result<()> {
        let range = |what, value: u32, least: u32, most: u32| {
            let fits = (least..=most).contains(&value);
            if fits { Ok(()) } else { Err(Error::range(what, &value, format!("{least} to {most}"))) }
        };
        range("number of bits of the scale", self.scale_bits, 4, 20)?;
        range("number of further bits of a velocity", self.velocity_bits, 0, 12)?;
        self.step.check("step size", 8)?;
        if let Some(momentum) = self.momentum {
            momentum.check("momentum", 1)?;
            if momentum.numerator == momentum.denominator {
                return Err(Error::range("momentum", &momentum, "less than 1"));
            }
        }
        if let Some(Decay { divisor, at_percent }) = &self.decay {
            range("divisor of the step", *divisor, 2, 16)?;
            let ascending = at_percent.windows(2).all(|pair| pair[0] < pair[1]) && at_percent.iter().all(|p| (1..100).contains(p));
            if at_percent.is_empty() || at_percent.len() > 4 || !ascending {
                let value = at_percent.iter().map(ToString::to_string).collect::<Vec<_>>().join(":");
                return Err(Error::range("points of decay", &value, "one to four ascending percentages from 1 to 99"));
            }
        }
        // Q B / 2^f divides the sum of the gradients, and the velocity's share of it must be whole.
        let whole = (self.scale() as u64 * batch as u64).is_multiple_of(1 << self.velocity_bits);
        if whole { Ok(()) } else { Err(Error::range("number of further bits of a velocity", &self.velocity_bits, "no more than those of the scale")) }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q{}", self.scale_bits)?;
        if self.velocity_bits > 0 {
            write!(f, "-f{}", self.velocity_bits)?;
        }
        write!(f, "-step{}", self.step)?;
        self.momentum.map_or(Ok(()), |momentum| write!(f, "-mu{momentum}"))?;
        if let Some(Decay { divisor, at_percent }) = &self.decay {
            write!(f, "-decay{divisor}")?;
            at_percent.iter().try_for_each(|percent| write!(f, ":{percent}"))?;
        }
        if self.centred { f.write_str("-centred") } else { Ok(()) }
    }
}

impl FromStr for Recipe {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::unknown(
                "recipe",
                text,
                "qBITS[-fBITS]-stepA:B[-muA:B][-decayD:PERCENT:...][-centred], for example q14-f6-step1:10-mu9:10-decay2:50:70:90-centred",
            )
        };
        let mut parts = text.split('-').peekable();
        let mut part = |prefix: &str| parts.next_if(|part| part.starts_with(prefix)).map(|part| &part[prefix.len()..]);
        let scale_bits = part("q").and_then(|bits| bits.parse().ok()).ok_or_else(bad)?;
        let velocity_bits = part("f").map_or(Some(0), |bits| bits.parse().ok().filter(|&bits: &u32| bits > 0)).ok_or_else(bad)?;
        let step = part("step").ok_or_else(bad)?.parse()?;
        let momentum = part("mu").map(str::parse).transpose()?;
        let numbers = |text: &str| text.split(':').map(|number| number.parse().ok()).collect::<Option<Vec<u32>>>();
        let decay = match part("decay").map(|text| numbers(text).ok_or_else(bad)).transpose()?.as_deref() {
            None => None,
            Some([divisor, at_percent @ ..]) => Some(Decay { divisor: *divisor, at_percent: at_percent.to_vec() }),
            Some([]) => return Err(bad()),
        };
        let centred = part("centred").is_some_and(str::is_empty);
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self { scale_bits, velocity_bits, step, momentum, decay, centred })
    }
}

/// What a dataset is trained with.
pub(super) struct Course {
    pub network: Widths,
    pub recipe: Recipe,
    pub epochs: u32,
    pub batch: usize,
}

/// The course of a dataset, for its own network or for another.
///
/// Chosen so: those of XOR and of the parities by forty seeds each, in integers and in f64, so that nine of ten learn every vector in at most half of the
/// epochs; those of images by the accuracy on the last 10,000 training images after training on the others. A mean taken off the inputs is what lets the step be large.
pub(super) fn course(data: Data, network: Option<&Widths>) -> Course {
    let hidden = match data {
        Data::Parity(2) => 10,
        Data::Parity(3) => 12,
        Data::Parity(4) => 24,
        Data::Parity(5) => 32,
        Data::Parity(_) => 64,
        Data::Digits | Data::Mnist | Data::MnistHeldOut => 30,
    };
    let own = Widths(vec![data.inputs(), hidden, data.outputs()]);
    let half = Some(Ratio::new(1, 2));
    let most = Some(Ratio::new(9, 10));
    let (step, momentum, epochs, batch) = match data {
        Data::Parity(2) => (Ratio::new(1, 8), half, 1, 20),
        Data::Parity(3 | 4) => (Ratio::new(1, 8), half, 6, 20),
        Data::Parity(_) => (Ratio::new(1, 20), most, 20, 40),
        Data::Digits => (Ratio::new(1, 20), most, 20, 40),
        Data::Mnist | Data::MnistHeldOut => (Ratio::new(1, 12), most, 15, 50),
    };
    let decay = match data {
        Data::Parity(_) => None,
        Data::Digits | Data::Mnist | Data::MnistHeldOut => Some(Decay { divisor: 3, at_percent: vec![50, 70, 90] }),
    };
    let scale_bits = match data {
        Data::Parity(2..=4) => 10,
        Data::Parity(_) => 12,
        Data::Digits | Data::Mnist | Data::MnistHeldOut => 14,
    };
    let recipe = Recipe { scale_bits, velocity_bits: 4, step, momentum, decay, centred: true };
    Course { network: network.unwrap_or(&own).clone(), recipe, epochs, batch }
}
