//! Frames over TLS over TCP, with limits on how long anything may take. Every wait looks several times a second whether the user wants to stop.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::frame::{HEAD_BYTES, Head, OVERHEAD_BYTES};
use super::link::{Dial, Wire};
use super::session::{Answerer, Bounds, Event, Open};
use super::state::Sessions;
use super::tls::{Fingerprint, Identity};
use crate::control::Control;
use crate::error::{Error, Result};

/// How often a wait looks whether it should end.
const TICK: Duration = Duration::from_millis(100);
/// How often the listener looks for a new connection.
const ACCEPT_TICK: Duration = Duration::from_millis(20);
/// Handshakes at a time; more connections are closed unheard.
const MOST_HANDSHAKES: usize = 8;
/// Bodies are read in pieces of this size, so that a length is believed only as it comes.
const PIECE_BYTES: usize = 1 << 16;
/// How long a party that ends a connection with a reason waits for the other to read it.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// TCP and TLS until both parties are sure of each other.
    pub handshake: Duration,
    /// Until the first byte of the next message: for P1 of the answer, for P2 of the request.
    pub wait: Duration,
    /// A message from its first byte, and a second more for every 16 KiB.
    pub message: Duration,
}

impl Default for Times {
    /// 10 s, an hour, 30 s.
    fn default() -> Self {
        Self { handshake: Duration::from_secs(10), wait: Duration::from_secs(3600), message: Duration::from_secs(30) }
    }
}

impl Times {
    fn of_message(&self, bytes: usize) -> Instant {
        Instant::now() + self.message + Duration::from_secs((bytes >> 14) as u64)
    }
}

fn lost(problem: impl Into<String>) -> Error {
    Error::Connection { problem: problem.into() }
}

/// What TLS has to say: who is wrong, who refuses, or that the connection is of no use.
fn of_tls(error: &rustls::Error) -> Error {
    use AlertDescription::{AccessDenied, BadCertificate, CertificateRequired, CertificateUnknown, UnknownCA, UnsupportedCertificate};
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref() {
            Some(Error::WrongPeer { expected, actual }) => Error::WrongPeer { expected: expected.clone(), actual: actual.clone() },
            _ => lost(format!("TLS: {error}")),
        },
        rustls::Error::AlertReceived(
            alert @ (AccessDenied | BadCertificate | CertificateRequired | CertificateUnknown | UnknownCA | UnsupportedCertificate),
        ) => Error::Refused { reason: format!("it expects another identity than this party's (TLS alert {alert:?})") },
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoCertificatesPresented => Error::Message { problem: format!("TLS: {error}") },
        _ => lost(format!("TLS: {error}")),
    }
}

/// A TLS connection whose two parties are sure of each other.
struct Secure {
    socket: TcpStream,
    tls: Connection,
    times: Times,
}

/// Called in every wait; an error ends it.
type Tick<'a> = dyn FnMut() -> Result<()> + 'a;

impl Secure {
    fn handshake(socket: TcpStream, tls: Connection, times: Times, tick: &mut Tick<'_>) -> Result<Self> {
        let set = socket
            .set_nonblocking(false)
            .and_then(|()| socket.set_nodelay(true))
            .and_then(|()| socket.set_read_timeout(Some(TICK)))
            .and_then(|()| socket.set_write_timeout(Some(TICK)));
        set.map_err(|e| lost(format!("the socket cannot be set up: {e}")))?;
        let mut secure = Self { socket, tls, times };
        let deadline = Instant::now() + times.handshake;
        let done = (|| {
            while secure.tls.is_handshaking() {
                if secure.tls.wants_write() {
                    secure.flush(deadline, tick)?;
                } else {
                    secure.fill(deadline, tick)?;
                }
            }
            secure.flush(deadline, tick)
        })();
        match done {
            Ok(()) => Ok(secure),
            // Who is refused should be able to read the alert; who is gone or silent will not.
            Err(error) => {
                if !matches!(error, Error::Connection { .. } | Error::Interrupted) {
                    secure.farewell();
                }
                Err(error)
            }
        }
    }

    /// After an attempt that moved nothing: whether to try again.
    fn go_on(error: &std::io::Error, deadline: Instant, what: &str, tick: &mut Tick<'_>) -> Result<()> {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                tick()?;
                if Instant::now() >= deadline { Err(lost(format!("{what} took too long"))) } else { Ok(()) }
            }
            _ => Err(lost(error.to_string())),
        }
    }

    /// Takes in what has come, at least something.
    fn fill(&mut self, deadline: Instant, tick: &mut Tick<'_>) -> Result<()> {
        loop {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(lost("it was closed by the other side")),
                Ok(_) => break,
                Err(error) => Self::go_on(&error, deadline, "waiting for the other side", tick)?,
            }
        }
        // A slow trickle moves something every time.
        if Instant::now() >= deadline {
            return Err(lost("waiting for the other side took too long"));
        }
        self.tls.process_new_packets().map(drop).map_err(|error| of_tls(&error))
    }

    /// Sends what TLS has to send.
    fn flush(&mut self, deadline: Instant, tick: &mut Tick<'_>) -> Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(0) => return Err(lost("it was closed by the other side")),
                Ok(_) if Instant::now() >= deadline => return Err(lost("sending took too long")),
                Ok(_) => {}
                Err(error) => Self::go_on(&error, deadline, "sending", tick)?,
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8], tick: &mut Tick<'_>) -> Result<()> {
        let deadline = self.times.of_message(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.tls.writer().write(rest).map_err(|e| lost(e.to_string()))?;
            rest = &rest[taken..];
            self.flush(deadline, tick)?;
        }
        Ok(())
    }

    fn read(&mut self, into: &mut [u8], deadline: Instant, tick: &mut Tick<'_>) -> Result<()> {
        let mut done = 0;
        while done < into.len() {
            match self.tls.reader().read(&mut into[done..]) {
                Ok(0) => return Err(lost("it was closed by the other side")),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.fill(deadline, tick)?,
                Err(error) => return Err(lost(error.to_string())),
            }
        }
        Ok(())
    }

    /// One whole frame, which may take its time to begin.
    fn receive(&mut self, limit: usize, tick: &mut Tick<'_>) -> Result<Vec<u8>> {
        self.receive_by(Instant::now() + self.times.wait, limit, tick)
    }

    /// One whole frame that begins before a deadline. Its length is checked before any of the body is read.
    fn receive_by(&mut self, deadline: Instant, limit: usize, tick: &mut Tick<'_>) -> Result<Vec<u8>> {
        let mut head = [0; HEAD_BYTES];
        self.read(&mut head[..1], deadline, tick)?;
        self.read(&mut head[1..], self.times.of_message(0), tick)?;
        let length = OVERHEAD_BYTES + Head::parse(&head, limit)?.length as usize;
        let deadline = self.times.of_message(length);
        let mut frame = Vec::with_capacity(length.min(PIECE_BYTES));
        frame.extend_from_slice(&head);
        while frame.len() < length {
            let from = frame.len();
            frame.resize(length.min(from + PIECE_BYTES), 0);
            self.read(&mut frame[from..], deadline, tick)?;
        }
        Ok(frame)
    }

    /// Ends the connection so that the other side can read what was sent last: closing with bytes unread would take it back.
    fn farewell(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        self.tls.send_close_notify();
        let quiet: &mut Tick<'_> = &mut || Ok(());
        if self.flush(deadline, quiet).is_err() || self.socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut sink = [0; 4096];
        while Instant::now() < deadline {
            match self.socket.read(&mut sink) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Err(_) => return,
            }
        }
    }

    /// After sending failed: whether something can still be read, such as the reason why.
    fn has_more(&mut self) -> Result<bool> {
        let deadline = Instant::now() + FAREWELL;
        loop {
            if self.tls.process_new_packets().map_err(|error| of_tls(&error))?.plaintext_bytes_to_read() > 0 {
                return Ok(true);
            }
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => return Ok(false),
                Err(error) if Self::go_on(&error, deadline, "", &mut || Ok(())).is_err() => return Ok(false),
                _ => {}
            }
        }
    }
}

/// Does what the system may take long for on a thread of its own, and leaves it there once `control`
/// was stopped.
fn heard<T: Send + 'static>(control: &Control, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (tell, told) = mpsc::channel();
    // Nobody listens any more once the control was stopped.
    let spawned = thread::Builder::new().spawn(move || drop(tell.send(work())));
    spawned.map_err(|e| lost(format!("no thread to connect on: {e}")))?;
    loop {
        control.check()?;
        match told.recv_timeout(TICK) {
            Ok(done) => return Ok(done),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(lost("the attempt to connect ended without a reason")),
        }
    }
}

/// P1's way to P2.
pub struct Dialer<'a> {
    address: String,
    config: Arc<ClientConfig>,
    times: Times,
    patience: Duration,
    control: Control,
    tell: Box<dyn FnMut(&Error) + 'a>,
    /// When to give up, and how long to wait before the next attempt.
    until: Option<Instant>,
    pause: Duration,
}

impl<'a> Dialer<'a> {
    /// `address` is `HOST:PORT`. After a lost connection, attempts go on for `patience`; `tell` hears of the first failure.
    ///
    /// # Errors
    /// When this build has no TLS 1.3.
    pub fn new(
        address: &str,
        identity: &Identity,
        peer: Fingerprint,
        times: Times,
        patience: Duration,
        control: &Control,
        tell: impl FnMut(&Error) + 'a,
    ) -> Result<Self> {
        let config = identity.client(peer)?;
        Ok(Self {
            address: address.into(),
            config,
            times,
            patience,
            control: control.clone(),
            tell: Box::new(tell),
            until: None,
            pause: Duration::ZERO,
        })
    }

    fn connect(&self) -> Result<Secure> {
        let name = self.address.clone();
        let addresses = heard(&self.control, move || name.to_socket_addrs())?.map_err(|e| match e.kind() {
            ErrorKind::InvalidInput => Error::range("address", &self.address.clone(), "HOST:PORT"),
            _ => lost(format!("{}: {e}", self.address)),
        })?;
        let mut problem = lost(format!("{} is no address", self.address));
        for address in addresses {
            self.control.check()?;
            let limit = self.times.handshake;
            match heard(&self.control, move || TcpStream::connect_timeout(&address, limit))? {
                Ok(socket) => {
                    let name = ServerName::try_from("cipherlane").map_err(|e| lost(e.to_string()))?;
                    let tls = ClientConnection::new(self.config.clone(), name).map_err(|e| of_tls(&e))?;
                    return Secure::handshake(socket, tls.into(), self.times, &mut || self.control.check());
                }
                Err(error) => problem = lost(format!("{address}: {error}")),
            }
        }
        Err(problem)
    }
}

impl Dial for Dialer<'_> {
    fn dial(&mut self, failed: Option<&Error>) -> Result<Box<dyn Wire>> {
        match failed {
            None => (self.until, self.pause) = (None, TICK / 2),
            Some(error) => {
                let now = Instant::now();
                let until = *self.until.get_or_insert_with(|| {
                    (self.tell)(error);
                    now + self.patience
                });
                if now >= until {
                    let problem = match error {
                        Error::Connection { problem } => problem.clone(),
                        other => other.to_string(),
                    };
                    return Err(Error::GaveUp { problem, tries: humantime::format_duration(self.patience).to_string() });
                }
                let resume = until.min(now + self.pause);
                while Instant::now() < resume {
                    self.control.check()?;
                    thread::sleep(TICK.min(resume.saturating_duration_since(Instant::now())));
                }
                self.pause = (2 * self.pause).min(Duration::from_secs(2));
            }
        }
        self.control.check()?;
        Ok(Box::new(Connected { secure: self.connect()?, control: self.control.clone() }))
    }
}

/// P1's end of a connection.
struct Connected {
    secure: Secure,
    control: Control,
}

impl Wire for Connected {
    fn send(&mut self, frame: &[u8]) -> Result<()> {
        match self.secure.send(frame, &mut || self.control.check()) {
            // P2 may have said why before it closed.
            Err(error @ Error::Connection { .. }) => {
                if self.secure.has_more()? {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            sent => sent,
        }
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>> {
        self.secure.receive(limit, &mut || self.control.check())
    }
}

/// What P2's operator is told.
#[derive(Debug)]
pub enum Notice {
    /// Somebody connected and is not the other party, or said nothing in time.
    Stranger {
        /// From where.
        address: SocketAddr,
        /// What was wrong.
        error: Error,
        /// How many so far.
        count: u64,
    },
    /// The other party is connected.
    Connected {
        /// From where.
        address: SocketAddr,
    },
    /// A session has moved.
    Session(Event),
    /// The other party was refused, and why.
    Refused(Error),
    /// The connection is gone. The session stays.
    Lost(Error),
}

/// How much P2 takes, for how long it waits, and when it ends.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What is taken at most.
    pub bounds: Bounds,
    /// How long things may take.
    pub times: Times,
    /// Whether it ends when a session is finished.
    pub once: bool,
    /// Ends it from outside.
    pub control: Control,
}

/// P2's end: listens, and serves one connection at a time. A new connection of the same session takes the place of the one before, which may be dead without
/// anybody having noticed. One of another session is told that this party is busy. Nobody but the other party gets that far.
pub struct Listener {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    identity: Fingerprint,
    peer: Fingerprint,
}

impl Listener {
    /// Listens on `ADDRESS:PORT`; port 0 takes any that is free.
    ///
    /// # Errors
    /// [`Error::Connection`] when that is not possible.
    pub fn bind(address: &str, identity: &Identity, peer: Fingerprint) -> Result<Self> {
        let listener = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        let listener = listener.map_err(|e| lost(format!("cannot listen on {address}: {e}")))?;
        Ok(Self { listener, config: identity.server(peer)?, identity: identity.fingerprint(), peer })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`Error::Connection`] when the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|e| lost(e.to_string()))
    }

    /// Serves until the control is stopped, or once until a session is finished.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the user stopped it, [`Error::Randomness`].
    pub fn serve(self, sessions: Sessions, open: &Open<'_>, limits: &Limits, tell: &mut dyn FnMut(Notice)) -> Result<()> {
        let Limits { bounds, times, once, ref control } = *limits;
        let (sender, arrivals) = mpsc::channel();
        let over = AtomicBool::new(false);
        let handshakes = AtomicUsize::new(0);
        let answerer = Answerer::new(sessions, open, bounds, self.peer.0, self.identity.0);
        thread::scope(|scope| {
            let (over, handshakes, server) = (&over, &handshakes, &self);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let Ok((socket, address)) = server.listener.accept() else {
                        thread::sleep(ACCEPT_TICK);
                        continue;
                    };
                    if handshakes.fetch_add(1, Ordering::Relaxed) >= MOST_HANDSHAKES {
                        handshakes.fetch_sub(1, Ordering::Relaxed);
                        continue;
                    }
                    let sender = sender.clone();
                    let greet = move || {
                        let tick: &mut Tick<'_> = &mut || if over.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) };
                        let tls = ServerConnection::new(server.config.clone()).map_err(|e| of_tls(&e));
                        let secure = tls.and_then(|tls| Secure::handshake(socket, tls.into(), times, tick));
                        // Which session it is about decides whether it is served.
                        let arrival = secure.and_then(|mut secure| match secure.receive_by(Instant::now() + times.handshake, 0, tick) {
                            Err(error) if !matches!(error, Error::Message { .. }) => Err(error),
                            first => Ok((secure, first)),
                        });
                        handshakes.fetch_sub(1, Ordering::Relaxed);
                        // Nobody listens any more when the server is over.
                        let _ = sender.send((address, arrival));
                    };
                    if thread::Builder::new().spawn_scoped(scope, greet).is_err() {
                        handshakes.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            });
            let done = Service { answerer, arrivals: &arrivals, newer: None, strangers: 0, control, tell }.run(once);
            over.store(true, Ordering::Relaxed);
            done
        })
    }
}

/// A connection of the other party, and its first message or what is wrong with it.
type First = (Secure, Result<Vec<u8>>);

type Arrival = (SocketAddr, Result<First>);

struct Service<'a, 'b> {
    answerer: Answerer<'a, Sessions>,
    arrivals: &'b mpsc::Receiver<Arrival>,
    /// A connection that takes the place of the one that is served.
    newer: Option<(SocketAddr, First)>,
    strangers: u64,
    control: &'b Control,
    tell: &'b mut dyn FnMut(Notice),
}

impl Service<'_, '_> {
    fn run(&mut self, once: bool) -> Result<()> {
        loop {
            let (address, first) = self.next()?;
            (self.tell)(Notice::Connected { address });
            self.answerer.connected();
            let done = self.serve(first);
            self.answerer.connected();
            match done {
                Ok(()) if once => return Ok(()),
                Ok(()) => {}
                Err(error @ Error::Interrupted) => return Err(error),
                Err(error @ Error::Connection { .. }) => (self.tell)(Notice::Lost(error)),
                Err(error) => (self.tell)(Notice::Refused(error)),
            }
        }
    }

    /// Waits for the other party.
    fn next(&mut self) -> Result<(SocketAddr, First)> {
        loop {
            self.control.check()?;
            if let Some(newer) = self.newer.take() {
                return Ok(newer);
            }
            if let Ok(arrival) = self.arrivals.recv_timeout(TICK) {
                self.arrive(arrival);
            }
        }
    }

    fn arrive(&mut self, (address, arrival): Arrival) {
        match arrival {
            Ok((secure, first)) => match first.as_ref().ok().and_then(|bytes| self.answerer.busy(bytes)) {
                Some(error) => self.turn_away(secure, error),
                None => self.newer = Some((address, (secure, first))),
            },
            Err(error) => {
                self.strangers += 1;
                // Whoever scans a network must not fill a disk.
                if self.strangers <= 16 || self.strangers.is_power_of_two() {
                    (self.tell)(Notice::Stranger { address, error, count: self.strangers });
                }
            }
        }
    }

    /// Says why, without making the connection that is served wait for it to be read.
    fn turn_away(&mut self, mut secure: Secure, error: Error) {
        if let Ok(reply) = self.answerer.refusal(error) {
            let farewell = move || {
                let _ = secure.send(&reply.frame, &mut || Ok(()));
                secure.farewell();
            };
            reply.error.into_iter().for_each(|error| (self.tell)(Notice::Refused(error)));
            // Without a thread the connection closes without a word.
            let _ = thread::Builder::new().spawn(farewell);
        }
    }

    /// Serves one connection to its end; fine when a session was finished.
    fn serve(&mut self, (mut secure, first): First) -> Result<()> {
        let mut first = Some(first);
        loop {
            // A peer that never pauses must not keep the user's wish to stop from being heard.
            if first.is_none() {
                self.tick()?;
            }
            let limit = self.answerer.longest();
            let received = first.take().unwrap_or_else(|| secure.receive(limit, &mut || self.tick()));
            let bytes = match received {
                Ok(bytes) => bytes,
                Err(error @ Error::Message { .. }) => {
                    let reply = self.answerer.refusal(error)?;
                    // Best effort: the connection ends either way.
                    let _ = secure.send(&reply.frame, &mut || Ok(()));
                    secure.farewell();
                    return reply.error.map_or(Ok(()), Err);
                }
                Err(error) => return Err(error),
            };
            let mut nonce = [0; 16];
            getrandom::fill(&mut nonce).map_err(|e| Error::Randomness { reason: e.to_string() })?;
            let reply = self.answerer.handle(&bytes, nonce)?;
            let finished = matches!(reply.event, Some(Event::Finished { .. }));
            if let Some(event) = reply.event {
                (self.tell)(Notice::Session(event));
            }
            let sent = secure.send(&reply.frame, &mut || self.tick());
            if let Some(error) = reply.error {
                secure.farewell();
                return Err(error);
            }
            if finished {
                secure.farewell();
                return Ok(());
            }
            sent?;
        }
    }

    fn tick(&mut self) -> Result<()> {
        self.control.check()?;
        while let Ok(arrival) = self.arrivals.try_recv() {
            self.arrive(arrival);
        }
        if self.newer.is_some() { Err(lost("a newer connection has taken its place")) } else { Ok(()) }
    }
}
