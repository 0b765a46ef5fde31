//! P1's end of a session: asks, connects again when the connection is lost, and takes work from one completed batch to the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::{Id, Kind, refused};
use super::session::{Asker, Position, Terms};
use super::{Channel, Counted};
use crate::error::{Error, Result};
use crate::text::hex;

/// New connections for telling P2 that the work is complete.
const FAREWELLS: u32 = 2;

/// A connection that carries whole frames.
pub trait Wire {
    /// Sends one frame.
    ///
    /// # Errors
    /// [`Error::Connection`] when it could not be sent, which does not say that it did not arrive; [`Error::Interrupted`].
    fn send(&mut self, frame: &[u8]) -> Result<()>;

    /// Waits for one frame, whose request or answer has at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::Connection`] when none came in time, [`Error::Message`] when what came is no frame, [`Error::Interrupted`].
    fn receive(&mut self, limit: usize) -> Result<Vec<u8>>;
}

/// Makes connections to P2.
pub trait Dial {
    /// Connects. For the second and later attempts of one exchange, `failed` is how the one before ended; these wait first.
    ///
    /// # Errors
    /// [`Error::Connection`] when this attempt failed; others end the work. After too many attempts, or too long, [`Error::GaveUp`].
    fn dial(&mut self, failed: Option<&Error>) -> Result<Box<dyn Wire>>;

    /// 16 random bytes, never the same twice.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    fn nonce(&mut self) -> Result<[u8; 16]> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|e| Error::Randomness { reason: e.to_string() })?;
        Ok(nonce)
    }
}

/// A channel whose work can go back to a completed batch.
pub trait Link: Channel {
    /// Tells P2 that a batch is complete. When this returns, P2 has noted it on its disk and the work can go on from here later.
    ///
    /// # Errors
    /// As [`Channel::exchange`].
    fn commit(&mut self) -> Result<Position>;

    /// Tells P2 that the work is complete, so that it forgets the session. For when the results are safe: nothing depends on it, and P2 may be gone already, so
    /// this does not wait for a lost connection for long.
    ///
    /// # Errors
    /// As [`Channel::exchange`].
    fn finish(&mut self) -> Result<()>;

    /// Goes back to a completed batch, or to the start; the next exchange goes on from there.
    fn go_back(&mut self, position: Option<Position>);
}

impl<L: Link> Link for Counted<L> {
    fn commit(&mut self) -> Result<Position> {
        self.inner().commit()
    }

    fn finish(&mut self) -> Result<()> {
        self.inner().finish()
    }

    fn go_back(&mut self, position: Option<Position>) {
        self.inner().go_back(position);
    }
}

/// A channel with several owners: the work asks, [`drive`] commits.
#[derive(Debug, Default)]
pub struct Shared<C>(Arc<Mutex<C>>);

impl<C> Shared<C> {
    /// Shares a channel.
    pub fn new(channel: C) -> Self {
        Self(Arc::new(Mutex::new(channel)))
    }

    /// The channel, for as long as the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, C> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Channel> Channel for Shared<C> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        self.lock().exchange(operation, request)
    }
}

impl<L: Link> Link for Shared<L> {
    fn commit(&mut self) -> Result<Position> {
        self.lock().commit()
    }

    fn finish(&mut self) -> Result<()> {
        self.lock().finish()
    }

    fn go_back(&mut self, position: Option<Position>) {
        self.lock().go_back(position);
    }
}

/// A channel to a party elsewhere.
pub struct Remote<D> {
    dial: D,
    wire: Option<Box<dyn Wire>>,
    asker: Asker,
    /// Set by the first error that no new connection mends.
    broken: bool,
}

impl<D: Dial> Remote<D> {
    /// A channel of session `id`, from its start or from a completed batch. Connects with the first exchange.
    pub fn new(dial: D, id: Id, terms: Terms, position: Option<Position>) -> Self {
        Self { dial, wire: None, asker: Asker::new(id, terms, position), broken: false }
    }

    /// Where the session is.
    #[must_use]
    pub fn position(&self) -> Position {
        self.asker.position()
    }

    fn converse(&mut self, kind: Kind, operation: u16, body: &[u8]) -> Result<Vec<u8>> {
        if self.broken {
            return Err(refused("this session has failed before"));
        }
        self.asker.ask(kind, operation, body)?;
        let mut failed = None;
        let mut attempts = 0;
        loop {
            match self.attempt(failed.as_ref()) {
                Ok(answer) => return Ok(answer),
                Err(error @ Error::Connection { .. }) if kind != Kind::Finish || attempts < FAREWELLS => {
                    self.wire = None;
                    failed = Some(error);
                    attempts += 1;
                }
                Err(error) => {
                    self.wire = None;
                    self.broken = true;
                    return Err(error);
                }
            }
        }
    }

    fn attempt(&mut self, failed: Option<&Error>) -> Result<Vec<u8>> {
        let wire = match &mut self.wire {
            Some(wire) => wire,
            None => {
                let mut wire = self.dial.dial(failed)?;
                wire.send(&self.asker.hello(self.dial.nonce()?)?)?;
                self.asker.welcome(&wire.receive(0)?)?;
                self.wire.insert(wire)
            }
        };
        wire.send(&self.asker.frame()?)?;
        let answer = wire.receive(self.asker.longest())?;
        self.asker.answer(&answer)
    }
}

impl<D: Dial> Link for Remote<D> {
    fn commit(&mut self) -> Result<Position> {
        self.converse(Kind::Commit, 0, &[])?;
        Ok(self.position())
    }

    fn finish(&mut self) -> Result<()> {
        self.converse(Kind::Finish, 0, &[]).map(drop)
    }

    fn go_back(&mut self, position: Option<Position>) {
        self.wire = None;
        self.broken = false;
        self.asker.go_back(position);
    }
}

impl<D: Dial> Channel for Remote<D> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        self.converse(Kind::Request, operation, request)
    }
}

/// Work in batches that can go on from the last completed one.
///
/// For the same bits with and without an interruption, a batch must depend on nothing but what [`Work::save`] holds (its random tape included) and on what
/// answers mean; the answers' own randomness may differ the second time.
pub trait Work {
    /// Everything that the next batch depends on.
    ///
    /// # Errors
    /// When it cannot be written down.
    fn save(&self) -> Result<Vec<u8>>;

    /// Goes back to what [`Work::save`] gave.
    ///
    /// # Errors
    /// When the state is none of this work.
    fn load(&mut self, state: &[u8]) -> Result<()>;

    /// Does the next batch over the work's own end of the channel; false when there was none left, and nothing was done.
    ///
    /// # Errors
    /// Those of the channel must come through as they are; others when the batch fails.
    fn batch(&mut self) -> Result<bool>;
}

/// A completed batch as P1 notes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The session.
    pub session: Id,
    /// Where it is; `None` before the first batch.
    pub position: Option<Position>,
    /// Batches done.
    pub batches: u64,
    /// Whether nothing is left to do.
    pub complete: bool,
    /// What [`Work::save`] gave.
    pub work: Vec<u8>,
}

impl Checkpoint {
    /// A new session, before its first batch.
    ///
    /// # Errors
    /// [`Error::Randomness`] when the system gives no name for it.
    pub fn start(work: Vec<u8>) -> Result<Self> {
        let mut session = [0; 16];
        getrandom::fill(&mut session).map_err(|e| Error::Randomness { reason: e.to_string() })?;
        Ok(Self { session, position: None, batches: 0, complete: false, work })
    }

    /// The session's first digits.
    #[must_use]
    pub fn name(&self) -> String {
        hex(&self.session[..4])
    }
}

/// Times in a row that P2 may start again without a batch being completed.
const MOST_REWINDS: u32 = 100;

/// What P1 is told while the work goes on.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// A batch is complete and on the disks of both parties.
    Done(&'a Checkpoint),
    /// P2 started again: the work goes back to the last completed batch.
    Back(&'a Error),
}

/// Does all of the work that is left after `checkpoint`, batch by batch. After each batch first P2 notes it, then `note` brings it to this party's disk; so the
/// checkpoint that P1 has is always one that P2 has, too. When this returns the checkpoint is complete; P2 is told by [`Link::finish`] once the results are safe.
///
/// # Errors
/// Those of the work and of the channel; [`Error::Rewound`] only when P2 starts again and again.
pub fn drive(
    link: &mut dyn Link,
    work: &mut dyn Work,
    checkpoint: &mut Checkpoint,
    note: &mut dyn FnMut(&Checkpoint) -> Result<()>,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<()> {
    work.load(&checkpoint.work)?;
    let mut rewinds = 0;
    while !checkpoint.complete {
        match work.batch().and_then(|more| Ok((more, if more { Some(link.commit()?) } else { None }))) {
            Ok((more, position)) => {
                let next = Checkpoint {
                    position: position.or(checkpoint.position),
                    batches: checkpoint.batches + u64::from(more),
                    complete: !more,
                    work: work.save()?,
                    ..*checkpoint
                };
                note(&next)?;
                *checkpoint = next;
                rewinds = 0;
                tell(Step::Done(checkpoint));
            }
            Err(error @ Error::Rewound { .. }) if rewinds < MOST_REWINDS => {
                rewinds += 1;
                tell(Step::Back(&error));
                work.load(&checkpoint.work)?;
                link.go_back(checkpoint.position);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
