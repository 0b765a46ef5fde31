#![doc = include_str!("channel/channel.md")]

mod count;
mod frame;
mod link;
mod session;
mod state;
#[cfg(feature = "net")]
mod tcp;
#[cfg(test)]
mod tests;
#[cfg(feature = "net")]
mod tls;

pub use count::{Count, Counted};
pub use link::{Checkpoint, Dial, Link, Remote, Shared, Step, Wire, Work, drive};
pub use session::{Bounds, Event, Open, Position, Terms};
pub use state::{Notes, Sessions};
#[cfg(feature = "net")]
pub use tcp::{Dialer, Limits, Listener, Notice, Times};
#[cfg(feature = "net")]
pub use tls::{Fingerprint, Identity};

use crate::error::Result;

/// One request to the other party and its answer. The party that drives (P1) holds this end.
pub trait Channel {
    /// Sends `request` as an operation of the scheme's own numbering and waits for the answer.
    ///
    /// # Errors
    /// Those of the other party's [`Responder`], and whatever keeps the answer from coming. After an error the answer must not be guessed: the work stops.
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>>;
}

/// What answers: the party with the key (P2).
pub trait Responder {
    /// The answer to one request, of at most `longest` bytes. A longer one is not sent: whoever can
    /// tell its length from the request refuses before computing it.
    ///
    /// # Errors
    /// When the request is none of this operation, or the answer cannot be computed or sent.
    fn respond(&mut self, operation: u16, request: &[u8], longest: usize) -> Result<Vec<u8>>;
}

impl<C: Channel + ?Sized> Channel for &mut C {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        (**self).exchange(operation, request)
    }
}

impl<C: Channel + ?Sized> Channel for Box<C> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        (**self).exchange(operation, request)
    }
}

impl<R: Responder + ?Sized> Responder for &mut R {
    fn respond(&mut self, operation: u16, request: &[u8], longest: usize) -> Result<Vec<u8>> {
        (**self).respond(operation, request, longest)
    }
}

impl<R: Responder + ?Sized> Responder for Box<R> {
    fn respond(&mut self, operation: u16, request: &[u8], longest: usize) -> Result<Vec<u8>> {
        (**self).respond(operation, request, longest)
    }
}

/// Both parties in one process: for tests and for measuring without a network.
#[derive(Debug)]
pub struct Local<R>(pub R);

impl<R: Responder> Channel for Local<R> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        self.0.respond(operation, request, usize::MAX)
    }
}
