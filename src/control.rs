//! The handle by which long work is stopped from outside, and shows that it moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Joins those who do long work with whoever waits for it: one asks to stop and sees how much is
/// done, the others check and count. Clones share one state.
///
/// Whoever loops over more than about a second of work calls [`Control::check`] or
/// [`Control::advance`] at least every tenth of a second of it. Loops on several threads may leave
/// their results unfinished once [`Control::is_stopped`] is true, as long as one `check` stands
/// between them and the first use of these results: a control that was stopped stays so.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    done: AtomicU64,
    /// Looks at the control so far.
    #[cfg(test)]
    looks: AtomicU64,
    /// The look that stops it; 0 for none.
    #[cfg(test)]
    last: AtomicU64,
}

impl Control {
    /// Asks all work under this control to end. True when that was asked before.
    pub fn stop(&self) -> bool {
        self.0.stopped.swap(true, Ordering::SeqCst)
    }

    /// Whether [`Control::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        #[cfg(test)]
        self.look();
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// Goes on, unless work is to end.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once [`Control::stop`] was called.
    pub fn check(&self) -> Result<()> {
        if self.is_stopped() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Counts work that was done, in modular products or other operations of about that size.
    /// Takes a few nanoseconds, more where many threads count at once: not for single products.
    pub fn count(&self, operations: usize) {
        self.0.done.fetch_add(operations as u64, Ordering::Relaxed);
    }

    /// Counts work that was done, and goes on unless work is to end.
    ///
    /// # Errors
    /// As [`Control::check`].
    pub fn advance(&self, operations: usize) -> Result<()> {
        self.count(operations);
        self.check()
    }

    /// A control that stops itself at some look, the first is 1: as if somebody had asked just then.
    #[cfg(test)]
    pub(crate) fn stopping_at(look: u64) -> Self {
        let control = Self::default();
        control.0.last.store(look, Ordering::SeqCst);
        control
    }

    /// Has this control stop itself some looks from here, the next is 1.
    #[cfg(test)]
    pub(crate) fn stop_after(&self, looks: u64) {
        self.0.last.store(self.looks() + looks, Ordering::SeqCst);
    }

    /// Looks so far.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> u64 {
        self.0.looks.load(Ordering::SeqCst)
    }

    #[cfg(test)]
    fn look(&self) {
        if self.0.looks.fetch_add(1, Ordering::SeqCst) + 1 == self.0.last.load(Ordering::SeqCst) {
            self.stop();
        }
    }

    /// All that was counted so far.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_stop_and_count_together() {
        let control = Control::default();
        let other = control.clone();
        assert!(control.advance(3).is_ok() && other.advance(4).is_ok());
        assert_eq!((control.done(), other.done()), (7, 7));
        assert!(!other.stop(), "nobody asked before");
        assert!(control.stop() && control.is_stopped());
        assert!(matches!(control.check(), Err(Error::Interrupted)));
        assert!(matches!(control.advance(1), Err(Error::Interrupted)));
        assert_eq!(other.done(), 8);
    }
}
