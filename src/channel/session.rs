//! Where both parties are in a session. No input or output here: frames come in as bytes and go out as bytes, so that every order of events can be tried.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Responder;
use super::frame::{Frame, Id, Kind, Next, START, Seal, refused, short, write};
use crate::container::{FileForm, Packed, pack};
use crate::error::{Error, Result};
use crate::text::{hex, unhex, unhex_array};

/// Longest text in a refusal, in bytes.
const LONGEST_REASON: usize = 512;
/// Bytes of a hello before the terms.
const HELLO_BYTES: usize = 56;
/// Bytes of a welcome.
const WELCOME_BYTES: usize = 17;

/// How far a session has come: exchanges done, and the digest of all their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Exchanges done; the number of the next one.
    pub step: u64,
    /// SHA-256 over everything so far, each message with what came before it.
    pub transcript: [u8; 32],
}

/// What both parties of a session must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Fingerprint of the party that asks.
    pub asker: [u8; 32],
    /// Fingerprint of the party that answers.
    pub answerer: [u8; 32],
    /// Longest request and longest answer, in bytes.
    pub longest: u32,
    /// What the scheme has to say: the program, its parameters, the key that belongs to it. At most 65,000 bytes.
    pub scheme: Vec<u8>,
}

impl Terms {
    /// The position before the first exchange.
    fn start(&self, session: &Id) -> Position {
        let digest = Sha256::new().chain_update(b"cipherlane session v1").chain_update(session).chain_update(self.asker).chain_update(self.answerer);
        let transcript = digest.chain_update(self.longest.to_be_bytes()).chain_update(&self.scheme).finalize().into();
        Position { step: 0, transcript }
    }
}

/// Why P1 says hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    /// The connection was lost: at most the last exchange is repeated, to the letter.
    Reconnect = 1,
    /// From a completed batch on, or from the start. What came after it is void.
    Resume = 2,
}

/// P1's side of a session.
#[derive(Debug)]
pub(super) struct Asker {
    session: Id,
    terms: Terms,
    position: Position,
    reason: Reason,
    /// Seal of the hello that waits for its welcome.
    hello: Option<Seal>,
    pending: Option<Pending>,
}

/// What was asked and is not answered yet.
#[derive(Debug)]
struct Pending {
    kind: Kind,
    operation: u16,
    body: Vec<u8>,
}

impl Asker {
    /// A new session, or one that goes on at `position`.
    pub(super) fn new(session: Id, terms: Terms, position: Option<Position>) -> Self {
        let position = position.unwrap_or_else(|| terms.start(&session));
        Self { session, terms, position, reason: Reason::Resume, hello: None, pending: None }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn longest(&self) -> usize {
        self.terms.longest as usize
    }

    /// Goes back to a completed batch, or to the start.
    pub(super) fn go_back(&mut self, position: Option<Position>) {
        *self = Self::new(self.session, self.terms.clone(), position);
    }

    /// The first message of a connection. `nonce` is fresh.
    pub(super) fn hello(&mut self, nonce: [u8; 16]) -> Result<Vec<u8>> {
        let mut body = vec![self.reason as u8, 0, 0, 0];
        body.extend_from_slice(&self.terms.longest.to_be_bytes());
        body.extend_from_slice(&nonce);
        body.extend_from_slice(&self.position.transcript);
        body.extend_from_slice(&self.terms.scheme);
        let (frame, seal) = write(Kind::Hello, self.session, self.position.step, 0, &START, &body)?;
        self.hello = Some(seal);
        Ok(frame)
    }

    /// Takes P2's answer to the hello.
    pub(super) fn welcome(&mut self, bytes: &[u8]) -> Result<()> {
        let frame = self.parse(bytes)?;
        let hello = self.hello.take().ok_or_else(|| refused("a welcome without a hello"))?;
        // Where P2 is, if it is not where this party is.
        let step = if frame.body.first() == Some(&1) { frame.head.step } else { self.position.step };
        frame.check(&Next { kind: Kind::Welcome, session: self.session, step, operation: Some(0), transcript: hello })?;
        match (frame.body.first(), frame.body.len(), self.reason) {
            (Some(0), WELCOME_BYTES, Reason::Reconnect) => Ok(()),
            (Some(0), WELCOME_BYTES, Reason::Resume) => {
                // From here on nothing that was said before the interruption fits any more.
                self.position.transcript = frame.seal;
                self.reason = Reason::Reconnect;
                Ok(())
            }
            (Some(1), WELCOME_BYTES, Reason::Reconnect) => Err(Error::Rewound { theirs: step, ours: self.position.step }),
            _ => Err(refused("a welcome of another form")),
        }
    }

    /// Notes what is to be asked next.
    pub(super) fn ask(&mut self, kind: Kind, operation: u16, body: &[u8]) -> Result<()> {
        if body.len() > self.longest() {
            return Err(refused(format!("a request of {} bytes, at most {} were agreed on", body.len(), self.longest())));
        }
        self.pending = Some(Pending { kind, operation, body: body.to_vec() });
        Ok(())
    }

    /// The frame of what was asked and is not answered; the same bytes each time it is sent.
    pub(super) fn frame(&self) -> Result<Vec<u8>> {
        let pending = self.pending.as_ref().ok_or_else(|| refused("nothing was asked"))?;
        Ok(write(pending.kind, self.session, self.position.step, pending.operation, &self.position.transcript, &pending.body)?.0)
    }

    /// Takes the answer to what was asked.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let frame = self.parse(bytes)?;
        let pending = self.pending.as_ref().ok_or_else(|| refused("an answer to nothing"))?;
        let (step, operation) = (self.position.step, pending.operation);
        let (_, asked) = write(pending.kind, self.session, step, operation, &self.position.transcript, &pending.body)?;
        let next = Next { kind: pending.kind.answer(), session: self.session, step, operation: Some(operation), transcript: asked };
        frame.check(&next)?;
        self.position = Position { step: step + 1, transcript: frame.seal };
        self.pending = None;
        Ok(frame.body.to_vec())
    }

    /// Takes a message apart; a refusal is an error here.
    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Frame<'a>> {
        let frame = Frame::parse(bytes, self.longest())?;
        if frame.head.kind == Kind::Refusal {
            frame.check(&Next { kind: Kind::Refusal, session: frame.head.session, step: frame.head.step, operation: None, transcript: START })?;
            let text: String = String::from_utf8_lossy(frame.body).chars().take(LONGEST_REASON).filter(|c| !c.is_control()).collect();
            return Err(Error::Refused { reason: text });
        }
        Ok(frame)
    }
}

/// A completed batch as P2 notes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Checkpoint {
    position: Position,
    /// The commit that led here and its answer, in case the answer is lost.
    last: Option<Last>,
}

/// The latest exchange: what was asked, by its seal, and what was answered, to the letter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    before: Seal,
    asked: Seal,
    answer: Vec<u8>,
}

/// Keeps P2's sessions. What is saved is there after a loss of power.
pub(super) trait Keep {
    /// What was saved for a session.
    fn load(&self, session: &Id) -> Result<Option<Vec<u8>>>;
    /// Saves, whole or not at all.
    fn save(&mut self, session: &Id, state: &[u8]) -> Result<()>;
    /// Forgets.
    fn remove(&mut self, session: &Id) -> Result<()>;
}

/// Makes the responder of a session from the scheme's part of its terms, or refuses them.
pub type Open<'a> = dyn Fn(&[u8]) -> Result<Box<dyn Responder>> + 'a;

/// What P2 takes at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest request and longest answer, in bytes.
    pub longest: u32,
    /// Exchanges of a session.
    pub steps: u64,
}

impl Default for Bounds {
    /// Messages of 256 MiB, any number of them.
    fn default() -> Self {
        Self { longest: 1 << 28, steps: u64::MAX }
    }
}

/// P2's side: one session at a time in memory, the others where they are kept.
pub(super) struct Answerer<'a, K> {
    keep: K,
    open: &'a Open<'a>,
    bounds: Bounds,
    asker: [u8; 32],
    answerer: [u8; 32],
    live: Option<Live>,
}

struct Live {
    session: Id,
    terms: Terms,
    position: Position,
    last: Option<Last>,
    /// The last completed batches, at most two, the start of the session among them: P1 may not have noted the latest yet.
    checkpoints: Vec<Checkpoint>,
    /// The one that the work goes on from. Another one that came later stays until the next batch is complete, for a hello alone proves nothing.
    base: Checkpoint,
    responder: Box<dyn Responder>,
    /// Whether this connection has said hello.
    greeted: bool,
}

/// What P2 sends back.
#[derive(Debug)]
pub(super) struct Reply {
    pub frame: Vec<u8>,
    /// What there is to tell the operator, if anything.
    pub event: Option<Event>,
    /// The reason, when the connection ends with this message.
    pub error: Option<Error>,
}

/// What happens in P2's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session begins.
    Began {
        /// Its first digits.
        session: String,
    },
    /// A session goes on.
    Resumed {
        /// Its first digits.
        session: String,
        /// Where.
        step: u64,
    },
    /// A batch is complete and noted.
    Committed {
        /// The session's first digits.
        session: String,
        /// The next step.
        step: u64,
    },
    /// A session is over.
    Finished {
        /// Its first digits.
        session: String,
        /// Exchanges in all.
        steps: u64,
    },
}

impl<'a, K: Keep> Answerer<'a, K> {
    pub(super) fn new(keep: K, open: &'a Open<'a>, bounds: Bounds, asker: [u8; 32], answerer: [u8; 32]) -> Self {
        Self { keep, open, bounds, asker, answerer, live: None }
    }

    /// Longest request that is taken now.
    pub(super) fn longest(&self) -> usize {
        self.live.as_ref().filter(|live| live.greeted).map_or(0, |live| live.terms.longest as usize)
    }

    /// A new connection begins.
    pub(super) fn connected(&mut self) {
        if let Some(live) = &mut self.live {
            live.greeted = false;
        }
    }

    /// Why the first message of another connection cannot be heard: this party is in the middle of another session than the one that it names.
    pub(super) fn busy(&self, first: &[u8]) -> Option<Error> {
        let live = self.live.as_ref().filter(|live| live.greeted)?;
        let session = Frame::parse(first, 0).ok()?.head.session;
        (session != live.session).then(|| Error::Occupied { session: short(&live.session) })
    }

    /// Answers one message. After an error in the reply the connection must be closed; the session stays where it was.
    pub(super) fn handle(&mut self, bytes: &[u8], nonce: [u8; 16]) -> Result<Reply> {
        let result = Frame::parse(bytes, self.longest()).and_then(|frame| match frame.head.kind {
            Kind::Hello => self.hello(&frame, nonce),
            _ => self.exchange(&frame),
        });
        match result {
            Ok((frame, event)) => Ok(Reply { frame, event, error: None }),
            // To the asker this is a lost connection: it asks again once this party is back.
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => self.refusal(error),
        }
    }

    /// The message that ends a connection.
    pub(super) fn refusal(&self, error: Error) -> Result<Reply> {
        let mut text = match &error {
            // What went wrong inside may say something about values that only this party knows.
            Error::Message { .. } | Error::Occupied { .. } | Error::Refused { .. } | Error::WrongKey { .. } => error.to_string(),
            _ => "it could not answer; its own log says why".into(),
        };
        while text.len() > LONGEST_REASON {
            text.pop();
        }
        let (frame, _) = write(Kind::Refusal, self.live.as_ref().map_or([0; 16], |l| l.session), 0, 0, &START, text.as_bytes())?;
        Ok(Reply { frame, event: None, error: Some(error) })
    }

    fn hello(&mut self, frame: &Frame<'_>, nonce: [u8; 16]) -> Result<(Vec<u8>, Option<Event>)> {
        let head = frame.head;
        frame.check(&Next { kind: Kind::Hello, session: head.session, step: head.step, operation: Some(0), transcript: START })?;
        if self.live.as_ref().is_some_and(|live| live.greeted) {
            return Err(refused("a second hello on one connection"));
        }
        let Some((fixed, scheme)) = frame.body.split_first_chunk::<HELLO_BYTES>() else {
            return Err(refused(format!("a hello of {} bytes", frame.body.len())));
        };
        let reason = match fixed[..4] {
            [1, 0, 0, 0] => Reason::Reconnect,
            [2, 0, 0, 0] => Reason::Resume,
            _ => return Err(refused("a hello of another form")),
        };
        let longest = fixed[4..8].iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
        let mut transcript = [0; 32];
        transcript.copy_from_slice(&fixed[24..]);
        let theirs = Position { step: head.step, transcript };
        let terms = Terms { asker: self.asker, answerer: self.answerer, longest, scheme: scheme.to_vec() };
        if longest > self.bounds.longest {
            return Err(refused(format!("messages of up to {longest} bytes are asked for, at most {} are taken here", self.bounds.longest)));
        }
        let began = self.find(head.session, terms, theirs, reason)?;
        let Some(live) = &mut self.live else { return Err(refused("no session")) };
        live.greeted = true;
        let here = match reason {
            Reason::Reconnect => {
                let repeats = live.last.as_ref().is_some_and(|last| theirs.step + 1 == live.position.step && last.before == theirs.transcript);
                theirs == live.position || repeats
            }
            Reason::Resume => {
                let Some(base) = live.checkpoints.iter().find(|checkpoint| checkpoint.position == theirs) else {
                    live.greeted = false;
                    let known: Vec<String> = live.checkpoints.iter().map(|c| c.position.step.to_string()).collect();
                    let reason =
                        format!("session {} cannot go on from step {}, only from step {}", short(&head.session), theirs.step, known.join(" or "));
                    return Err(refused(reason));
                };
                live.base = base.clone();
                true
            }
        };
        let mut body = vec![u8::from(!here)];
        body.extend_from_slice(&nonce);
        let step = if here { theirs.step } else { live.position.step };
        let (welcome, seal) = write(Kind::Welcome, head.session, step, 0, &frame.seal, &body)?;
        if reason == Reason::Resume {
            live.position = Position { step: theirs.step, transcript: seal };
            live.last = None;
        }
        let session = short(&head.session);
        let event = if began { Event::Began { session } } else { Event::Resumed { session, step } };
        Ok((welcome, Some(event)))
    }

    /// Makes the session of a hello the live one. True when it is new.
    fn find(&mut self, session: Id, terms: Terms, theirs: Position, reason: Reason) -> Result<bool> {
        if let Some(live) = &self.live
            && live.session == session
        {
            return if live.terms == terms { Ok(false) } else { Err(refused(format!("session {} was begun with other terms", short(&session)))) };
        }
        if let Some(state) = self.keep.load(&session)? {
            let checkpoints = Kept::read(&state, &session, &terms)?;
            let Some(latest) = checkpoints.last().cloned() else { return Err(refused("a session without a beginning")) };
            let responder = (self.open)(&terms.scheme)?;
            let (position, last) = (latest.position, latest.last.clone());
            self.live = Some(Live { session, terms, position, last, checkpoints, base: latest, responder, greeted: false });
            return Ok(false);
        }
        let start = terms.start(&session);
        if reason != Reason::Resume || theirs != start {
            let problem = format!("session {} is not known here, so it cannot go on at step {}", short(&session), theirs.step);
            return Err(refused(problem));
        }
        let responder = (self.open)(&terms.scheme)?;
        let base = Checkpoint { position: start, last: None };
        let checkpoints = vec![base.clone()];
        self.keep.save(&session, &Kept::write(&session, &terms, &checkpoints)?)?;
        self.live = Some(Live { session, terms, position: start, last: None, checkpoints, base, responder, greeted: false });
        Ok(true)
    }

    fn exchange(&mut self, frame: &Frame<'_>) -> Result<(Vec<u8>, Option<Event>)> {
        let head = frame.head;
        let Some(live) = self.live.as_mut().filter(|live| live.greeted) else { return Err(refused("a message before the hello")) };
        // The latest exchange again, to the letter: the answer again, to the letter. Nothing is computed.
        if let Some(last) = &live.last
            && head.step + 1 == live.position.step
            && frame.check(&Next { kind: head.kind, session: live.session, step: head.step, operation: None, transcript: last.before }).is_ok()
            && frame.seal == last.asked
        {
            return Ok((last.answer.clone(), None));
        }
        if !matches!(head.kind, Kind::Request | Kind::Commit | Kind::Finish) {
            return Err(refused("this party answers and does not ask"));
        }
        let Position { step, transcript } = live.position;
        frame.check(&Next { kind: head.kind, session: live.session, step, operation: None, transcript })?;
        if step >= self.bounds.steps {
            return Err(refused(format!("{step} exchanges are the most of a session here")));
        }
        let body = match head.kind {
            Kind::Request => live.responder.respond(head.operation, frame.body, live.terms.longest as usize)?,
            _ if !frame.body.is_empty() => return Err(refused(format!("{} bytes where none belong", frame.body.len()))),
            _ => Vec::new(),
        };
        if body.len() > live.terms.longest as usize {
            return Err(refused(format!("the answer has {} bytes, at most {} were agreed on", body.len(), live.terms.longest)));
        }
        let (answer, seal) = write(head.kind.answer(), live.session, step, head.operation, &frame.seal, &body)?;
        let last = Last { before: transcript, asked: frame.seal, answer: answer.clone() };
        let position = Position { step: step + 1, transcript: seal };
        let mut event = None;
        if head.kind == Kind::Commit {
            let next = Checkpoint { position, last: Some(last.clone()) };
            let checkpoints = vec![live.base.clone(), next.clone()];
            self.keep.save(&live.session, &Kept::write(&live.session, &live.terms, &checkpoints)?)?;
            (live.checkpoints, live.base) = (checkpoints, next);
            event = Some(Event::Committed { session: short(&live.session), step: position.step });
        }
        live.position = position;
        live.last = Some(last);
        if head.kind == Kind::Finish {
            self.keep.remove(&live.session)?;
            event = Some(Event::Finished { session: short(&live.session), steps: position.step });
            self.live = None;
        }
        Ok((answer, event))
    }
}

const FORM: FileForm = FileForm { family: "cipherlane session", version: Some("v2"), plain: None };

/// A session of P2 as it is kept: the head of a container without parts. Nothing of it is secret: terms and digests.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u16,
    session: String,
    asker: String,
    answerer: String,
    longest: u32,
    scheme: String,
    checkpoints: Vec<KeptCheckpoint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptCheckpoint {
    step: u64,
    transcript: String,
    /// Before, asked, answer.
    last: Option<(String, String, String)>,
}

impl Kept {
    fn write(session: &Id, terms: &Terms, checkpoints: &[Checkpoint]) -> Result<Vec<u8>> {
        let checkpoint = |c: &Checkpoint| KeptCheckpoint {
            step: c.position.step,
            transcript: hex(c.position.transcript),
            last: c.last.as_ref().map(|last| (hex(last.before), hex(last.asked), hex(&last.answer))),
        };
        let kept = Self {
            version: super::frame::VERSION,
            session: hex(session),
            asker: hex(terms.asker),
            answerer: hex(terms.answerer),
            longest: terms.longest,
            scheme: hex(&terms.scheme),
            checkpoints: checkpoints.iter().map(checkpoint).collect(),
        };
        pack(FORM, &kept, &[], |_| ())
    }

    fn read_packed(state: &[u8]) -> Result<Self> {
        let packed = Packed::open(FORM, state, state.len() as u64, Path::new("session"))?;
        let kept = packed.head()?;
        packed.read_parts(None).map(|_| kept)
    }

    /// Version 1: a line of JSON and its SHA-256 in another line.
    fn read_old(state: &[u8]) -> Option<Self> {
        let (line, end) = std::str::from_utf8(state).ok()?.split_once('\n')?;
        if end == format!("sha256 {}\n", hex(Sha256::digest(line))) { serde_json::from_str(line).ok() } else { None }
    }

    /// The checkpoints of a kept session, if it is that session with those terms.
    fn read(state: &[u8], session: &Id, terms: &Terms) -> Result<Vec<Checkpoint>> {
        let damaged = || refused(format!("what is kept of session {} is damaged", short(session)));
        let kept = if state.starts_with(b"{") { Self::read_old(state) } else { Self::read_packed(state).ok() };
        let kept = kept.ok_or_else(damaged)?;
        if kept.version != super::frame::VERSION || kept.session != hex(session) {
            return Err(damaged());
        }
        let same = kept.asker == hex(terms.asker)
            && kept.answerer == hex(terms.answerer)
            && kept.longest == terms.longest
            && kept.scheme == hex(&terms.scheme);
        if !same {
            return Err(refused(format!("session {} was begun with other terms", short(session))));
        }
        let checkpoint = |c: KeptCheckpoint| {
            let last = match c.last {
                None => None,
                Some((before, asked, answer)) => Some(Last { before: unhex_array(&before)?, asked: unhex_array(&asked)?, answer: unhex(&answer)? }),
            };
            Some(Checkpoint { position: Position { step: c.step, transcript: unhex_array(&c.transcript)? }, last })
        };
        kept.checkpoints.into_iter().map(checkpoint).collect::<Option<_>>().ok_or_else(damaged)
    }
}
