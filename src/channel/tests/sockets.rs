//! The same over real sockets with TLS: strangers, silence, garbage, and a network that cuts and changes bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Chain, open};
use crate::channel::frame::{Kind, OVERHEAD_BYTES, START, write};
use crate::channel::{
    Bounds, Channel, Checkpoint, Counted, Dial, Dialer, Fingerprint, Identity, Limits, Link, Listener, Notice, Remote, Sessions, Shared, Terms,
    Times, drive,
};
use crate::control::Control;
use crate::durable::Charter;
use crate::error::{Error, Result};

const BATCHES: u64 = 4;

/// Longer than anything takes that is waited for, on a machine with many other things to do.
const LONG: Duration = Duration::from_secs(300);
/// What is ended early is ended before this, and far before [`LONG`].
const EARLY: Duration = Duration::from_secs(200);

/// Nothing that goes well comes near these limits.
fn times() -> Times {
    Times { handshake: LONG, wait: LONG, message: LONG }
}

struct Two {
    asker: Identity,
    answerer: Identity,
}

impl Two {
    fn new() -> Self {
        Self { asker: Identity::generate().unwrap(), answerer: Identity::generate().unwrap() }
    }

    fn terms(&self, scheme: &[u8]) -> Terms {
        Terms { asker: self.asker.fingerprint().0, answerer: self.answerer.fingerprint().0, longest: 4096, scheme: scheme.to_vec() }
    }

    /// P2 in a thread of its own, until a session is finished or `control` is stopped. Gives its address, its end, and what it told.
    fn serve(&self, peer: Fingerprint, dir: &Path, control: &Control) -> (SocketAddr, JoinHandle<Result<()>>, mpsc::Receiver<String>) {
        self.serve_within(times(), peer, dir, control)
    }

    fn serve_within(
        &self,
        times: Times,
        peer: Fingerprint,
        dir: &Path,
        control: &Control,
    ) -> (SocketAddr, JoinHandle<Result<()>>, mpsc::Receiver<String>) {
        let server = Listener::bind("127.0.0.1:0", &self.answerer, peer).unwrap();
        let (address, dir, control) = (server.address().unwrap(), dir.to_path_buf(), control.clone());
        let (tell, told) = mpsc::channel();
        let serve = move || {
            let sessions = Sessions::open(&dir, &Charter::new("a test")).unwrap();
            let limits = Limits { bounds: Bounds { longest: 1 << 20, ..Bounds::default() }, times, once: true, control };
            server.serve(sessions, &open, &limits, &mut |notice: Notice| {
                let _ = tell.send(format!("{notice:?}"));
            })
        };
        (address, thread::spawn(serve), told)
    }

    fn dial(&self, address: SocketAddr, peer: Fingerprint, patience: Duration) -> Dialer<'static> {
        Dialer::new(&address.to_string(), &self.asker, peer, times(), patience, &Control::default(), |_| {}).unwrap()
    }

    /// P1 from the start to the end.
    fn work(&self, dial: impl Dial, scheme: &[u8]) -> Result<u64> {
        let mut checkpoint = Checkpoint::start(Chain::start())?;
        let mut channel = Shared::new(Counted::new(Remote::new(dial, checkpoint.session, self.terms(scheme), None)));
        let mut work = Chain::new(channel.clone(), BATCHES);
        drive(&mut channel, &mut work, &mut checkpoint, &mut |_| Ok(()), &mut |_| {})?;
        channel.finish()?;
        Ok(work.value)
    }
}

#[test]
fn two_parties_over_tls() {
    let two = Two::new();
    let dir = tempfile::tempdir().unwrap();
    let (address, end, told) = two.serve(two.asker.fingerprint(), dir.path(), &Control::default());
    assert_eq!(two.work(two.dial(address, two.answerer.fingerprint(), Duration::ZERO), b"a test").unwrap(), Chain::expected(BATCHES));
    end.join().unwrap().unwrap();
    let told: Vec<String> = told.iter().collect();
    assert!(told[0].contains("Connected") && told[1].contains("Began") && told.last().unwrap().contains("Finished"), "{told:?}");
    assert_eq!(told.iter().filter(|t| t.contains("Committed")).count() as u64, BATCHES);
    // Nothing is left of a finished session but the lock and the charter.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn strangers_are_not_served_and_do_not_get_in_the_way() {
    let control = Control::default();
    let two = Two::new();
    let other = Identity::generate().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (address, end, told) =
        two.serve_within(Times { handshake: Duration::from_secs(3), ..times() }, two.asker.fingerprint(), dir.path(), &control);

    // P1 is told another fingerprint than P2's.
    let error = two.work(two.dial(address, other.fingerprint(), Duration::from_secs(9)), b"a test").unwrap_err();
    assert!(
        matches!(&error, Error::WrongPeer { expected, actual } if *expected == other.fingerprint().to_string() && *actual == two.answerer.fingerprint().to_string()),
        "{error}"
    );
    // P2 is told another fingerprint than P1's.
    let stranger = Two { asker: other, answerer: two.answerer.clone() };
    let error = stranger.work(stranger.dial(address, two.answerer.fingerprint(), Duration::from_secs(9)), b"a test").unwrap_err();
    assert!(matches!(&error, Error::Refused { reason } if reason.contains("another identity")), "{error}");

    // Garbage, a half-closed connection, silence, a slow trickle, and more of them than are heard at a time.
    TcpStream::connect(address).unwrap().write_all(&[0xff; 5000]).unwrap();
    TcpStream::connect(address).unwrap().shutdown(Shutdown::Write).unwrap();
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut slow = TcpStream::connect(address).unwrap();
    let trickle = thread::spawn(move || {
        let start = Instant::now();
        // The head of a TLS record, then a byte at a time.
        let _ = slow.write_all(&[0x16, 3, 1, 2, 0]);
        while start.elapsed() < LONG && slow.write_all(&[1]).is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
        start.elapsed()
    });
    let value = two.work(two.dial(address, two.answerer.fingerprint(), LONG), b"a test").unwrap();
    assert_eq!(value, Chain::expected(BATCHES));
    end.join().unwrap().unwrap();
    assert!(trickle.join().unwrap() < EARLY);
    drop(silent);
    let told: Vec<String> = told.iter().filter(|t| t.contains("Stranger")).collect();
    assert!(told.iter().any(|t| t.contains("WrongPeer")), "{told:?}");
    assert!(told.iter().any(|t| t.contains("closed by the other side")) && told.iter().any(|t| t.contains("TLS: ")), "{told:?}");
}

#[test]
fn a_silent_peer_and_a_missing_one_are_given_up() {
    let two = Two::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let quick = Times { handshake: Duration::from_millis(300), ..times() };
    let dial = |address: SocketAddr| {
        Dialer::new(&address.to_string(), &two.asker, two.answerer.fingerprint(), quick, Duration::from_millis(700), &Control::default(), |_| {})
            .unwrap()
    };
    let start = Instant::now();
    let error = two.work(dial(address), b"a test").unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }) && error.to_string().contains("took too long; gave up after 700ms"), "{error}");
    drop(silent);
    let error = two.work(dial(address), b"a test").unwrap_err().to_string();
    assert!(error.contains("refused") && error.contains("gave up"), "{error}");
    assert!(start.elapsed() < EARLY, "{:?}", start.elapsed());
    let bad = Dialer::new("nonsense", &two.asker, two.answerer.fingerprint(), quick, Duration::ZERO, &Control::default(), |_| {}).unwrap();
    let error = two.work(bad, b"a test").unwrap_err().to_string();
    assert!(error.contains("address is nonsense, allowed is HOST:PORT"), "{error}");
}

/// Sends frames of its own making to P2 and gives the reason with which P2 ends the connection.
fn refusal(two: &Two, address: SocketAddr, frames: &[Vec<u8>]) -> String {
    let mut wire = two.dial(address, two.answerer.fingerprint(), Duration::ZERO).dial(None).unwrap();
    let mut last = Vec::new();
    for frame in frames {
        if wire.send(frame).is_err() {
            break;
        }
        last = match wire.receive(1 << 20) {
            Ok(answer) => answer,
            Err(error) => panic!("{error}"),
        };
    }
    assert_eq!(last[6], Kind::Refusal as u8, "{last:?}");
    String::from_utf8(last[OVERHEAD_BYTES..].to_vec()).unwrap()
}

#[test]
fn the_right_party_with_wrong_messages_is_told_why() {
    let control = Control::default();
    let two = Two::new();
    let dir = tempfile::tempdir().unwrap();
    let (address, end, _told) = two.serve(two.asker.fingerprint(), dir.path(), &control);
    let hello = |longest: u32, scheme: &[u8]| {
        let terms = Terms { longest, ..two.terms(scheme) };
        crate::channel::session::Asker::new([4; 16], terms, None).hello([0; 16]).unwrap()
    };
    let good = hello(4096, b"a test");
    let mut other_version = good.clone();
    other_version[5] = 2;
    let mut too_long = write(Kind::Request, [4; 16], 0, 1, &START, b"").unwrap().0;
    too_long[36..40].copy_from_slice(&u32::MAX.to_be_bytes());
    let early = write(Kind::Request, [4; 16], 0, 1, &START, b"").unwrap().0;
    for (frames, expected) in [
        (vec![vec![0x55; 200]], "no message of this protocol"),
        (vec![other_version], "version 2 of the protocol, this program speaks version 1"),
        (vec![early.clone()], "a message before the hello"),
        (vec![too_long.clone()], "at most 0 are allowed"),
        (vec![good.clone(), too_long], "a request of 4294967295 bytes, at most 4096 are allowed"),
        (vec![good.clone(), early], "does not continue this session's messages"),
        (vec![good.clone(), good], "a second hello"),
        (vec![hello(1 << 21, b"a test")], "at most 1048576 are taken here"),
        (vec![hello(5000, b"a test")], "begun with other terms"),
    ] {
        let reason = refusal(&two, address, &frames);
        assert!(reason.contains(expected), "`{expected}` is not in: {reason}");
    }
    let error = two.work(two.dial(address, two.answerer.fingerprint(), Duration::ZERO), b"another key").unwrap_err();
    assert!(matches!(&error, Error::Refused { reason } if reason.contains("wrong key")), "{error}");
    // None of this has harmed the server.
    let value = two.work(two.dial(address, two.answerer.fingerprint(), Duration::ZERO), b"a test").unwrap();
    assert_eq!(value, Chain::expected(BATCHES));
    end.join().unwrap().unwrap();
}

/// Between the parties: passes bytes on and does harm to each connection once, after a number of bytes that grows with every connection.
fn harm(server: SocketAddr, schedule: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (Ok(client), Ok(upstream)) = (client, TcpStream::connect(server)) else { return };
            let budget = (schedule * 331 + number as u64 * 701) as usize % 1500 + number * 400;
            let harmed = schedule + number as u64;
            for (mut from, mut to, is_harmed) in [
                (client.try_clone().unwrap(), upstream.try_clone().unwrap(), harmed.is_multiple_of(2)),
                (upstream, client, !harmed.is_multiple_of(2)),
            ] {
                thread::spawn(move || {
                    let mut left = budget;
                    let mut piece = [0; 512];
                    while let Ok(count @ 1..) = from.read(&mut piece) {
                        let piece = &mut piece[..count];
                        if is_harmed && left < count {
                            // Cut here, or change a byte and cut later; TLS must notice either way.
                            if schedule.is_multiple_of(3) {
                                piece[left] ^= 0x20;
                                left = usize::MAX;
                            } else {
                                let _ = to.write_all(&piece[..left]);
                                break;
                            }
                        } else {
                            left = left.saturating_sub(count);
                        }
                        if to.write_all(piece).is_err() {
                            break;
                        }
                    }
                    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
                });
            }
        }
    });
    address
}

#[test]
fn a_network_that_cuts_and_changes_bytes_delays_and_nothing_more() {
    for schedule in 0..6 {
        let two = Two::new();
        let dir = tempfile::tempdir().unwrap();
        let (address, end, told) = two.serve(two.asker.fingerprint(), dir.path(), &Control::default());
        let dial = two.dial(harm(address, schedule), two.answerer.fingerprint(), LONG);
        let mut checkpoint = Checkpoint::start(Chain::start()).unwrap();
        let mut channel = Shared::new(Remote::new(dial, checkpoint.session, two.terms(b"a test"), None));
        let mut work = Chain::new(channel.clone(), BATCHES);
        drive(&mut channel, &mut work, &mut checkpoint, &mut |_| Ok(()), &mut |_| {}).unwrap();
        assert_eq!(work.value, Chain::expected(BATCHES), "{schedule}");
        // What answers nothing: the last answer may be lost for good.
        let _ = channel.finish();
        end.join().unwrap().unwrap();
        let connections = told.iter().filter(|t| t.contains("Connected") || t.contains("Stranger")).count();
        assert!(connections > 1, "{schedule}: no harm was done");
    }
}

/// An end of P1's that has asked once, in a session of its own.
fn asked(two: &Two, address: SocketAddr, id: u8) -> Remote<Dialer<'static>> {
    let dial = two.dial(address, two.answerer.fingerprint(), Duration::ZERO);
    let mut channel = Remote::new(dial, [id; 16], two.terms(b"a test"), None);
    channel.exchange(1, &[0; 16]).unwrap();
    channel
}

#[test]
fn another_session_is_told_that_the_server_is_busy_and_the_same_one_gets_in() {
    let two = Two::new();
    let dir = tempfile::tempdir().unwrap();
    let (address, end, told) = two.serve(two.asker.fingerprint(), dir.path(), &Control::default());
    let mut first = asked(&two, address, 7);
    // Connected, and without a word: whose session it is about nobody knows.
    let silent = two.dial(address, two.answerer.fingerprint(), Duration::ZERO).dial(None).unwrap();
    for _ in 0..3 {
        let error = two.work(two.dial(address, two.answerer.fingerprint(), Duration::ZERO), b"a test").unwrap_err();
        assert!(matches!(&error, Error::Refused { reason } if reason.contains("busy with session 07070707")), "{error}");
    }
    // The first one has noticed nothing.
    first.exchange(1, &[1; 16]).unwrap();
    // It comes back from its last completed batch while P2 still takes its connection for alive.
    let mut again = asked(&two, address, 7);
    again.exchange(1, &[1; 16]).unwrap();
    drop((first, again, silent));
    // With nobody connected the session waits, and another one is served.
    assert!(told.iter().any(|t| t.contains("Lost(Connection { problem: \"it was closed")));
    assert_eq!(two.work(two.dial(address, two.answerer.fingerprint(), Duration::ZERO), b"a test").unwrap(), Chain::expected(BATCHES));
    end.join().unwrap().unwrap();
}

#[test]
fn an_interrupt_ends_every_wait_soon() {
    let controls = [Control::default(), Control::default()];
    let two = Two::new();
    let dir = tempfile::tempdir().unwrap();
    let (address, end, told) = two.serve(two.asker.fingerprint(), dir.path(), &controls[1]);
    let mut waiting =
        Dialer::new(&address.to_string(), &two.asker, two.answerer.fingerprint(), times(), Duration::ZERO, &controls[0], |_| {}).unwrap();
    let mut wire = waiting.dial(None).unwrap();
    wire.send(&crate::channel::session::Asker::new([4; 16], two.terms(b"a test"), None).hello([0; 16]).unwrap()).unwrap();
    wire.receive(0).unwrap();
    assert!(told.iter().any(|t| t.contains("Began")));
    let start = Instant::now();
    // P1 waits for a message that never comes, then P2 for a request that never comes.
    controls[0].stop();
    assert!(matches!(wire.receive(10), Err(Error::Interrupted)));
    controls[1].stop();
    assert!(matches!(end.join().unwrap(), Err(Error::Interrupted)));
    assert!(start.elapsed() < EARLY, "{:?}", start.elapsed());
    // An address that answers nothing: the system would try for minutes.
    let stopped = Control::stopping_at(5);
    let mut nowhere = Dialer::new("192.0.2.1:9", &two.asker, two.answerer.fingerprint(), times(), LONG, &stopped, |_| {}).unwrap();
    assert!(matches!(nowhere.dial(None).map(drop), Err(Error::Interrupted | Error::Connection { .. })));
    assert!(start.elapsed() < EARLY, "{:?}", start.elapsed());
    let mut channel = Remote::new(waiting, [1; 16], two.terms(b"a test"), None);
    assert!(matches!(channel.exchange(1, &[0; 16]), Err(Error::Interrupted)));
}
