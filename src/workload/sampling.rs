//! Repetitions of a row, and the rules that its numbers keep to.

use std::fmt;

use crate::spec::{Choice, Form, number};
use crate::text::named;

named! {
    /// `true` if many images are worked on at once or one after the other.
    pub enum Scenario: "scenario" {
        /// Full batches: throughput.
        Offline => "offline",
        /// One image at a time: latency.
        Single => "single",
    }
}

named! {
    /// The rules that a measurement keeps to, so that numbers of one division compare like with
    /// like.
    pub enum Division {
        /// Every pixel is encrypted, with fresh randomness for every ciphertext, and nothing is
        /// cached between samples.
        Closed => "closed",
        /// Anything else: here, features that the owner of the image computes in clear before
        /// encryption.
        Open => "open",
        /// Encryption that is known to be broken, or deterministic.
        Unsound => "unsound",
    }
}

/// The length of a measurement: batches are repeated, each with fresh randomness and each checked, until all three have been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// Batches that begin in the first this many milliseconds of online time are checked, but their times are not kept.
    pub warm_up_ms: u32,
    /// Least online time of the kept batches together, in milliseconds; a thousand batches are enough in any case.
    pub least_ms: u32,
    /// Least number of kept batches.
    pub least_samples: u32,
    /// Online time in milliseconds after which no batch is repeated for the sake of the two above. Every image is worked on once in any case.
    pub most_ms: u32,
}

impl Sampling {
    /// Every image once, every batch kept.
    pub const ONCE: Self = Self { warm_up_ms: 0, least_ms: 0, least_samples: 1, most_ms: 0 };

    /// Every image once, and batches under a second again until there are samples enough for an
    /// interval.
    pub const SHORT: Self = Self { least_samples: 6, most_ms: 6000, ..Self::ONCE };
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.warm_up_ms, self.least_ms, self.least_samples, self.most_ms)
    }
}

/// Threads of a row's pool, for every workload.
pub(super) const THREADS: Choice = Choice {
    default: &["all"],
    is_argument: false,
    ..Choice::new(
        "threads",
        Form::Suffix { prefix: "threads-", unsaid: "all" },
        |word| number::<1, 1024>(word, "all"),
        "Threads of the pool: all (those of the process), or a number",
    )
};
