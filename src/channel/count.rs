//! Counting what passes a channel.

use std::collections::BTreeMap;

use super::Channel;
use crate::error::Result;

/// What one operation has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Round trips: one request and its answer.
    pub rounds: u64,
    /// Bytes of the requests, without framing.
    pub bytes_out: u64,
    /// Bytes of the answers, without framing.
    pub bytes_in: u64,
}

impl Count {}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
    }
}

/// A channel that counts rounds and bytes by operation. Exchanges that fail are not counted.
#[derive(Debug)]
pub struct Counted<C> {
    inner: C,
    counts: BTreeMap<u16, Count>,
}

impl<C> Counted<C> {
    /// Counts from zero.
    pub fn new(inner: C) -> Self {
        Self { inner, counts: BTreeMap::new() }
    }

    /// Counts by the names that the caller has for operations, in the order of their numbers.
    pub fn named<'a>(&self, name: impl Fn(u16) -> &'a str) -> Vec<(&'a str, Count)> {
        self.counts.iter().map(|(&operation, &count)| (name(operation), count)).collect()
    }

    /// All operations together.
    #[must_use]
    pub fn total(&self) -> Count {
        let mut total = Count::default();
        self.counts.values().for_each(|&count| total += count);
        total
    }

    /// The counts so far; counting starts again from zero.
    #[cfg(test)]
    pub fn take(&mut self) -> BTreeMap<u16, Count> {
        std::mem::take(&mut self.counts)
    }

    /// The channel underneath.
    pub fn inner(&mut self) -> &mut C {
        &mut self.inner
    }
}

impl<C: Channel> Channel for Counted<C> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        let answer = self.inner.exchange(operation, request)?;
        let count = Count { rounds: 1, bytes_out: request.len() as u64, bytes_in: answer.len() as u64 };
        *self.counts.entry(operation).or_default() += count;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Local, Responder};
    use crate::error::Error;

    /// Answers each byte twice; operation 9 fails.
    struct Twice;

    impl Responder for Twice {
        fn respond(&mut self, operation: u16, request: &[u8], _longest: usize) -> Result<Vec<u8>> {
            match operation {
                9 => Err(Error::Interrupted),
                _ => Ok(request.repeat(2)),
            }
        }
    }

    #[test]
    fn every_answered_exchange_is_counted_once() {
        let mut channel = Counted::new(Local(Twice));
        assert_eq!(channel.exchange(1, b"ab").unwrap(), b"abab");
        assert_eq!(channel.exchange(1, b"c").unwrap(), b"cc");
        assert_eq!(channel.exchange(2, b"").unwrap(), b"");
        assert!(channel.exchange(9, b"lost").is_err());
        let product = Count { rounds: 2, bytes_out: 3, bytes_in: 6 };
        assert_eq!(
            channel.named(|o| if o == 1 { "product" } else { "other" }),
            [("product", product), ("other", Count { rounds: 1, ..Count::default() })]
        );
        assert_eq!(channel.total(), Count { rounds: 3, ..product });
        assert_eq!((channel.take().len(), channel.total()), (2, Count::default()));
    }
}
