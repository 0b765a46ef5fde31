//! The tape of random rounding.

use rayon::prelude::*;

use crate::randomness::{Purpose, Stream, Tape};

/// Entries that one piece of the tape serves.
const CHUNK: usize = 4096;

/// Uniform in [0, limit), within limit 2^-128: floor(limit x / 2^128) with x of 128 bits. Always two words of the stream.
pub(super) fn below(limit: u64, stream: &mut Stream) -> u64 {
    let (low, high) = (u128::from(stream.word()), u128::from(stream.word()));
    let limit = u128::from(limit);
    ((high * limit + ((low * limit) >> 64)) >> 64) as u64
}

/// The random numbers that decide how divisions round: rho in [0, d) for every entry of every division.
///
/// In the encrypted run it is P1's secret: rho is the mask modulo d, so whoever knows it and sees a masked value learns the remainder. The simulator has the same
/// tape because it is run by whoever checks the encrypted run.
pub struct Rounding {
    tape: Tape,
    operation: u64,
}

impl Rounding {
    /// The tape from its start.
    #[must_use]
    pub fn new(tape: Tape) -> Self {
        Self { tape, operation: 0 }
    }

    /// Divisions so far.
    #[must_use]
    pub fn operation(&self) -> u64 {
        self.operation
    }

    /// Goes to another division.
    pub fn seek(&mut self, operation: u64) {
        self.operation = operation;
    }

    /// rho of every entry of the next division, within 2^-88 of uniform. Input: d from 1 to 2^40.
    pub fn draw(&mut self, entries: usize, divisor: u64) -> Vec<u64> {
        let operation = self.operation;
        self.operation += 1;
        let mut values = vec![0; entries];
        if divisor > 1 {
            values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
                let mut stream = self.tape.stream(Purpose::Rounding, operation);
                stream.seek(2 * (chunk * CHUNK) as u64);
                values.iter_mut().for_each(|value| *value = below(divisor, &mut stream));
            });
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tape_replays_from_any_operation_and_stays_below_the_divisor() {
        let mut tape = Rounding::new(Tape::replayable(3));
        let first = tape.draw(3 * CHUNK + 5, 1000);
        let second = tape.draw(10, 1 << 40);
        assert!(first.iter().all(|&r| r < 1000) && second.iter().all(|&r| r < 1 << 40));
        assert_eq!(first.iter().max(), Some(&999));
        assert_eq!(first.iter().min(), Some(&0));
        assert_ne!(first[..10], second[..]);
        tape.seek(0);
        assert_eq!(tape.draw(10, 1000), first[..10]);
        assert_eq!(tape.draw(10, 1 << 40), second);
        assert_eq!(tape.draw(4, 1), [0; 4]);
        assert_eq!(tape.operation(), 3);
    }

    #[test]
    fn the_tape_is_uniform() {
        // Chi-square over 10 values: 9 degrees of freedom, 27.9 is the 0.1 % point. The tape is fixed, so the test cannot flicker.
        let mut counts = [0u32; 10];
        Rounding::new(Tape::replayable(4)).draw(100_000, 10).iter().for_each(|&r| counts[r as usize] += 1);
        let chi: f64 = counts.iter().map(|&c| (f64::from(c) - 1e4).powi(2) / 1e4).sum();
        assert!(chi < 27.9, "{chi} {counts:?}");
    }
}
