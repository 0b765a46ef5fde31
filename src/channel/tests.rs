//! Two parties against a bad network, in memory and over real sockets.

mod faults;
#[cfg(feature = "net")]
mod sockets;

use super::{Channel, Responder, Terms, Work};
use crate::error::{Error, Result};

/// Prime modulus of the numbers that the test's parties compute with.
const PRIME: u64 = (1 << 61) - 1;
/// Exchanges of a batch.
const EXCHANGES: u16 = 3;

fn terms() -> Terms {
    Terms { asker: [1; 32], answerer: [2; 32], longest: 4096, scheme: b"a test".to_vec() }
}

/// What P2 computes: x^2 + operation.
fn image(operation: u16, x: u64) -> u64 {
    ((u128::from(x) * u128::from(x) + u128::from(operation)) % u128::from(PRIME)) as u64
}

/// P2. Like a party that encrypts, it adds randomness that is never the same twice and that does not matter.
struct Squarer(u64);

impl Responder for Squarer {
    fn respond(&mut self, operation: u16, request: &[u8], _longest: usize) -> Result<Vec<u8>> {
        let x = request.first_chunk().map(|x| u64::from_be_bytes(*x)).ok_or(Error::size("request", 16, request.len()))?;
        self.0 += 1;
        Ok([image(operation, x).to_be_bytes(), self.0.to_be_bytes()].concat())
    }
}

fn open(scheme: &[u8]) -> Result<Box<dyn Responder>> {
    // Every responder starts elsewhere, as randomness of a restarted process does.
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    match scheme {
        b"a test" => Ok(Box::new(Squarer(NEXT.fetch_add(1 << 32, std::sync::atomic::Ordering::Relaxed)))),
        _ => Err(Error::WrongKey { expected: "a test".into(), actual: String::from_utf8_lossy(scheme).into() }),
    }
}

/// P1's work: a chain in which every answer decides all that follows, and P2's randomness travels along.
#[derive(Clone, Debug)]
struct Chain<C> {
    channel: C,
    batches: u64,
    done: u64,
    value: u64,
    noise: u64,
}

impl<C> Chain<C> {
    fn new(channel: C, batches: u64) -> Self {
        Self { channel, batches, done: 0, value: 3, noise: 0 }
    }
}

impl Chain<()> {
    fn start() -> Vec<u8> {
        [0, 3, 0].map(u64::to_be_bytes).concat()
    }

    fn operation(done: u64, exchange: u16) -> u16 {
        (done % 7) as u16 * EXCHANGES + exchange
    }

    /// The value at the end, computed without any other party.
    fn expected(batches: u64) -> u64 {
        (0..batches).flat_map(|done| (0..EXCHANGES).map(move |e| Self::operation(done, e))).fold(3, |value, operation| image(operation, value))
    }
}

impl<C: Channel> Work for Chain<C> {
    fn save(&self) -> Result<Vec<u8>> {
        Ok([self.done, self.value, self.noise].map(u64::to_be_bytes).concat())
    }

    fn load(&mut self, state: &[u8]) -> Result<()> {
        let words: Vec<u64> = state.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word)).collect();
        [self.done, self.value, self.noise] = words.try_into().unwrap();
        Ok(())
    }

    fn batch(&mut self) -> Result<bool> {
        if self.done == self.batches {
            return Ok(false);
        }
        for exchange in 0..EXCHANGES {
            let mut request = [self.value.to_be_bytes(), self.noise.to_be_bytes()].concat();
            request.resize(16 + (self.value % 500) as usize, 7);
            let answer = self.channel.exchange(Chain::operation(self.done, exchange), &request)?;
            let words: Vec<u64> = answer.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word)).collect();
            let [value, noise] = words[..] else { return Err(Error::size("answer", 16, answer.len())) };
            (self.value, self.noise) = (value, noise);
        }
        self.done += 1;
        Ok(true)
    }
}
