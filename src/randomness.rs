//! Random integers for keys and ciphertexts: ChaCha20, seeded by the operating system.
//!
//! A [`Tape`] gives every purpose and every index its own stream, so that results depend neither on the order of work nor on the number of threads, and every
//! backend can replay the same randomness. A tape made from a number is for measurements and tests only: whoever knows the number reads the plaintexts.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::integer::{Integer, Order};

/// What randomness is used for. No two purposes share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Primes and generators.
    Key = 1,
    /// Randomisers of the data owner's ciphertexts.
    Encryption = 2,
    /// Randomisers of the server's results.
    Rerandomisation = 3,
    /// Data of benchmarks and tests.
    Sample = 4,
    /// Masks of what a result holds besides rows.
    Masking = 5,
    /// Random rounding of divisions in training.
    Rounding = 6,
    /// Permutations and coins that hide an order.
    Shuffle = 7,
    /// Pads that keep an answer for its user.
    Answer = 8,
    /// Key-switching matrices of integer-vector encryption.
    KeySwitch = 16,
}

/// Source of all randomness of one party.
pub struct Tape {
    seed: Zeroizing<[u8; 32]>,
}

impl Tape {
    /// A tape seeded by the operating system.
    ///
    /// # Errors
    /// [`Error::Randomness`] when the system gives none.
    pub fn from_system() -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|e| Error::Randomness { reason: e.to_string() })?;
        Ok(Self { seed })
    }

    /// A tape that anybody can replay. For measurements and tests: it protects nothing.
    #[must_use]
    pub fn replayable(number: u64) -> Self {
        let digest = Sha256::new().chain_update(b"cipherlane replayable tape v1").chain_update(number.to_le_bytes()).finalize();
        Self { seed: Zeroizing::new(digest.into()) }
    }

    /// The tape of a seed that two parties share.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed) }
    }

    /// The stream of one purpose and index; index is below 2^56.
    #[must_use]
    pub fn stream(&self, purpose: Purpose, index: u64) -> Stream {
        let mut rng = ChaCha20Rng::from_seed(*self.seed);
        rng.set_stream(u64::from(purpose as u8) << 56 | index & ((1 << 56) - 1));
        Stream(rng)
    }
}

/// Random numbers of one stream.
pub struct Stream(ChaCha20Rng);

impl Stream {
    /// Goes to 64-bit word `word` of the stream.
    pub fn seek(&mut self, word: u64) {
        self.0.set_word_pos(2 * u128::from(word));
    }

    /// Uniform in `[0, 2^64)`.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, limit)`, exactly; limit is above 0. By the high half of a product, drawn again where that would favour a value (Lemire 2019).
    pub fn word_below(&mut self, limit: u64) -> u64 {
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(limit);
            let low = product as u64;
            if low >= limit || low >= limit.wrapping_neg() % limit {
                return (product >> 64) as u64;
            }
        }
    }

    /// Uniform in `[0, 2^bits)`.
    pub fn bits(&mut self, bits: u32) -> Integer {
        let mut words = vec![0u64; (bits as usize).div_ceil(64)];
        words.iter_mut().for_each(|word| *word = self.0.next_u64());
        if !bits.is_multiple_of(64)
            && let Some(top) = words.last_mut()
        {
            *top &= (1 << (bits % 64)) - 1;
        }
        let value = Integer::from_digits(&words, Order::Lsf);
        words.zeroize();
        value
    }

    /// Uniform in `[0, limit)` by rejection; limit is above 0. The number of rejections says nothing about the result.
    pub fn below(&mut self, limit: &Integer) -> Integer {
        let bits = limit.significant_bits();
        loop {
            let value = self.bits(bits);
            if value < *limit {
                return value;
            }
        }
    }

    /// Uniform among the units modulo `n`; n is above 1.
    pub fn unit(&mut self, n: &Integer) -> Integer {
        loop {
            let value = self.below(n);
            if Integer::from(value.gcd_ref(n)) == 1 {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_replay() {
        let tape = Tape::replayable(7);
        let draw = |tape: &Tape, purpose, index| tape.stream(purpose, index).bits(256);
        let first = draw(&tape, Purpose::Key, 0);
        assert_eq!(first, draw(&Tape::replayable(7), Purpose::Key, 0));
        for other in [
            draw(&tape, Purpose::Key, 1),
            draw(&tape, Purpose::Encryption, 0),
            draw(&Tape::replayable(8), Purpose::Key, 0),
            draw(&Tape::from_system().unwrap(), Purpose::Key, 0),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn uniform_below_a_limit() {
        // Chi-square over the 11 values below 11: 10 degrees of freedom, 29.6 is the 0.1 % point. The tape is fixed, so the test cannot flicker.
        let mut counts = [0u32; 11];
        let mut stream = Tape::replayable(1).stream(Purpose::Sample, 0);
        let draws = 110_000;
        for _ in 0..draws {
            counts[stream.below(&Integer::from(11)).to_usize().unwrap()] += 1;
        }
        let expected = f64::from(draws) / 11.0;
        let chi: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        assert!(chi < 29.6, "{chi} {counts:?}");
    }

    #[test]
    fn words_below_a_limit_are_uniform_and_reach_both_ends() {
        let mut counts = [0u32; 11];
        let mut stream = Tape::replayable(4).stream(Purpose::Sample, 0);
        let draws = 110_000;
        for _ in 0..draws {
            counts[stream.word_below(11) as usize] += 1;
        }
        let expected = f64::from(draws) / 11.0;
        let chi: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        assert!(chi < 29.6, "{chi} {counts:?}");
        assert_eq!(stream.word_below(1), 0);
        // Above 2^63 half of all words would favour low values.
        let limit = (1 << 63) + 1;
        assert!((0..1000).all(|_| stream.word_below(limit) < limit));
    }

    #[test]
    fn a_stream_is_read_from_any_word() {
        let mut stream = Tape::from_seed([7; 32]).stream(Purpose::Rounding, 3);
        let words: Vec<u64> = (0..100).map(|_| stream.word()).collect();
        for at in [99, 0, 17, 64] {
            stream.seek(at);
            assert_eq!(stream.word(), words[at as usize]);
        }
    }

    #[test]
    fn bits_reach_both_ends() {
        let mut stream = Tape::replayable(2).stream(Purpose::Sample, 0);
        let draws: Vec<Integer> = (0..2000).map(|_| stream.bits(65)).collect();
        assert!(draws.iter().any(|x| x.significant_bits() == 65) && draws.iter().all(|x| x.significant_bits() <= 65));
        assert_eq!(stream.bits(0), 0);
    }
}
