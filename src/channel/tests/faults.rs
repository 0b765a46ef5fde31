//! Schedules of faults: every message may be dropped, delayed, doubled, put out of order, changed, shortened, replaced by an old one, or cut together with its
//! connection, and either party may be killed. Everything happens in one thread in an order that the number of the schedule decides.
//!
//! Each schedule must end with the right value or an error, and after an error the same work, begun again without faults, must end with the right value.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{Chain, open, terms};
use crate::channel::frame::{HEAD_BYTES, Head, Id, Kind, OVERHEAD_BYTES, planted};
use crate::channel::session::{Answerer, Asker, Keep};
use crate::channel::{Bounds, Channel, Checkpoint, Dial, Link, Open, Position, Remote, Shared, Terms, Wire, drive};
use crate::error::{Error, Result};

const BATCHES: u64 = 5;
const OPEN: &Open<'static> = &open;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Drop,
    Delay,
    Double,
    Reorder,
    Corrupt,
    Truncate,
    Cut,
    Replay,
    KillAnswerer,
    KillAsker,
}

const FAULTS: [Fault; 10] = [
    Fault::Drop,
    Fault::Delay,
    Fault::Double,
    Fault::Reorder,
    Fault::Corrupt,
    Fault::Truncate,
    Fault::Cut,
    Fault::Replay,
    Fault::KillAnswerer,
    Fault::KillAsker,
];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit as u64) as usize
    }
}

/// P2's disk.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<HashMap<Id, Vec<u8>>>>);

impl Keep for Disk {
    fn load(&self, session: &Id) -> Result<Option<Vec<u8>>> {
        Ok(self.0.borrow().get(session).cloned())
    }

    fn save(&mut self, session: &Id, state: &[u8]) -> Result<()> {
        self.0.borrow_mut().insert(*session, state.to_vec());
        Ok(())
    }

    fn remove(&mut self, session: &Id) -> Result<()> {
        self.0.borrow_mut().remove(session);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Answerer,
    Asker,
}

struct Network {
    dice: Dice,
    /// One message in this many meets a fault; none when 0.
    rarity: usize,
    disk: Disk,
    answerer: Answerer<'static, Disk>,
    connection: u64,
    is_open: bool,
    to_answerer: Vec<u8>,
    to_asker: Vec<u8>,
    /// Messages that come later, and after how many others.
    held: Vec<(To, Vec<u8>, usize)>,
    history: Vec<(To, Vec<u8>)>,
    met: BTreeMap<Fault, usize>,
    is_asker_killed: bool,
}

fn answerer(disk: &Disk) -> Answerer<'static, Disk> {
    Answerer::new(disk.clone(), OPEN, Bounds::default(), [1; 32], [2; 32])
}

impl Network {
    fn new(seed: u64) -> Self {
        let disk = Disk::default();
        let mut dice = Dice(seed);
        let rarity = 3 + dice.below(40);
        let (answerer, met) = (answerer(&disk), BTreeMap::new());
        Self {
            dice,
            rarity,
            disk,
            answerer,
            connection: 0,
            is_open: false,
            to_answerer: vec![],
            to_asker: vec![],
            held: vec![],
            history: vec![],
            met,
            is_asker_killed: false,
        }
    }

    fn connect(&mut self) -> u64 {
        self.connection += 1;
        self.is_open = true;
        self.to_answerer.clear();
        self.to_asker.clear();
        self.answerer.connected();
        self.connection
    }

    fn restart_answerer(&mut self) {
        self.answerer = answerer(&self.disk);
        self.is_open = false;
    }

    /// Puts one message on the way.
    fn transmit(&mut self, to: To, mut message: Vec<u8>) {
        self.history.push((to, message.clone()));
        let fault = (self.rarity > 0 && self.dice.below(self.rarity) == 0).then(|| FAULTS[self.dice.below(FAULTS.len())]);
        if let Some(fault) = fault {
            *self.met.entry(fault).or_default() += 1;
        }
        let length = message.len();
        match fault {
            None => self.deliver(to, &message),
            Some(Fault::Drop) => {}
            Some(Fault::Delay) => {
                let later = 1 + self.dice.below(6);
                self.held.push((to, message, later));
            }
            Some(Fault::Reorder) => self.held.push((to, message, 1)),
            Some(Fault::Double) => {
                self.deliver(to, &message);
                self.deliver(to, &message);
            }
            Some(Fault::Corrupt) => {
                let bit = self.dice.below(8 * length);
                message[bit / 8] ^= 1 << (bit % 8);
                self.deliver(to, &message);
            }
            Some(Fault::Truncate) => {
                message.truncate(self.dice.below(length));
                self.deliver(to, &message);
            }
            Some(Fault::Cut) => {
                message.truncate(self.dice.below(length + 1));
                self.deliver(to, &message);
                self.is_open = false;
            }
            Some(Fault::Replay) => {
                let old: Vec<&Vec<u8>> = self.history.iter().filter(|(t, _)| *t == to).map(|(_, m)| m).collect();
                let old = old[self.dice.below(old.len())].clone();
                self.deliver(to, &old);
            }
            Some(Fault::KillAnswerer) => {
                // Before or after it has seen the message.
                if self.dice.below(2) == 0 {
                    self.deliver(to, &message);
                }
                self.restart_answerer();
            }
            Some(Fault::KillAsker) => {
                if self.dice.below(2) == 0 {
                    self.deliver(to, &message);
                }
                self.is_asker_killed = true;
            }
        }
        self.held.iter_mut().for_each(|(.., later)| *later = later.saturating_sub(1));
        self.release(|later| later == 0);
    }

    fn release(&mut self, due: impl Fn(usize) -> bool) {
        while let Some(at) = self.held.iter().position(|&(.., later)| due(later)) {
            let (to, message, _) = self.held.remove(at);
            self.deliver(to, &message);
        }
    }

    fn deliver(&mut self, to: To, bytes: &[u8]) {
        if !self.is_open {
            return;
        }
        if to == To::Asker {
            self.to_asker.extend_from_slice(bytes);
            return;
        }
        self.to_answerer.extend_from_slice(bytes);
        while let Some(frame) = first_frame(&mut self.to_answerer, self.answerer.longest()).transpose() {
            let reply = match frame {
                Ok(frame) => self.answerer.handle(&frame, nonce(&mut self.dice)),
                Err(error) => self.answerer.refusal(error),
            };
            let reply = reply.unwrap();
            self.transmit(To::Asker, reply.frame);
            if reply.error.is_some() {
                self.is_open = false;
            }
            if !self.is_open {
                return;
            }
        }
    }
}

fn nonce(dice: &mut Dice) -> [u8; 16] {
    std::array::from_fn(|_| dice.below(256) as u8)
}

/// Takes the first whole frame of a stream.
fn first_frame(stream: &mut Vec<u8>, limit: usize) -> Result<Option<Vec<u8>>> {
    let Some(head) = stream.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let length = OVERHEAD_BYTES + Head::parse(head, limit)?.length as usize;
    Ok((stream.len() >= length).then(|| stream.drain(..length).collect()))
}

struct End {
    network: Rc<RefCell<Network>>,
    connection: u64,
}

impl End {
    fn check(&self) -> Result<()> {
        if self.network.borrow().is_asker_killed { Err(Error::Interrupted) } else { Ok(()) }
    }
}

impl Wire for End {
    fn send(&mut self, frame: &[u8]) -> Result<()> {
        let mut network = self.network.borrow_mut();
        if !network.is_open || network.connection != self.connection {
            return Err(Error::Connection { problem: "closed".into() });
        }
        network.transmit(To::Answerer, frame.to_vec());
        drop(network);
        self.check()
    }

    fn receive(&mut self, limit: usize) -> Result<Vec<u8>> {
        self.check()?;
        let mut network = self.network.borrow_mut();
        if let Some(frame) = first_frame(&mut network.to_asker, limit)? {
            return Ok(frame);
        }
        // What is late comes just before the patience ends, or after it.
        if network.dice.below(2) == 0 {
            network.release(|_| true);
        }
        first_frame(&mut network.to_asker, limit)?.ok_or_else(|| Error::Connection { problem: "nothing came in time".into() })
    }
}

struct Caller {
    network: Rc<RefCell<Network>>,
    failures: u32,
}

impl Dial for Caller {
    fn dial(&mut self, failed: Option<&Error>) -> Result<Box<dyn Wire>> {
        self.failures = failed.map_or(0, |_| self.failures + 1);
        if self.failures > 30 {
            return Err(Error::GaveUp { problem: "closed".into(), tries: "30 attempts".into() });
        }
        let connection = self.network.borrow_mut().connect();
        Ok(Box::new(End { network: self.network.clone(), connection }))
    }

    fn nonce(&mut self) -> Result<[u8; 16]> {
        Ok(nonce(&mut self.network.borrow_mut().dice))
    }
}

/// One life of P1: from its checkpoint to the end, an error, or its death.
fn live(network: &Rc<RefCell<Network>>, saved: &RefCell<Checkpoint>) -> Result<u64> {
    let mut checkpoint = saved.borrow().clone();
    let caller = Caller { network: network.clone(), failures: 0 };
    let mut channel = Shared::new(Remote::new(caller, checkpoint.session, terms(), checkpoint.position));
    let mut work = Chain::new(channel.clone(), BATCHES);
    let mut note = |next: &Checkpoint| {
        let mut network = network.borrow_mut();
        // P1 may also die between P2's note and its own, and after its own.
        let rarity = 4 * network.rarity;
        if rarity > 0 && network.dice.below(rarity) == 0 {
            network.is_asker_killed = true;
            if network.dice.below(2) == 0 {
                return Err(Error::Interrupted);
            }
        }
        *saved.borrow_mut() = next.clone();
        if network.is_asker_killed { Err(Error::Interrupted) } else { Ok(()) }
    };
    drive(&mut channel, &mut work, &mut checkpoint, &mut note, &mut |_| {})?;
    match channel.finish() {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        // The result is safe; that P2 forgets the session is a courtesy.
        _ => Ok(work.value),
    }
}

#[derive(Debug, Default)]
struct Tally {
    right: usize,
    stopped: usize,
    wrong: Vec<u64>,
    /// Schedules that an error ended and that could not be gone on with.
    stuck: Vec<(u64, String)>,
    met: BTreeMap<Fault, usize>,
    errors: BTreeMap<String, usize>,
}

fn run(schedules: std::ops::Range<u64>) -> Tally {
    let expected = Chain::expected(BATCHES);
    let mut tally = Tally::default();
    for schedule in schedules {
        let network = Rc::new(RefCell::new(Network::new(schedule.wrapping_mul(0x2545_f491_4f6c_dd1d))));
        let start = Checkpoint { session: [schedule as u8; 16], position: None, batches: 0, complete: false, work: Chain::start() };
        let saved = RefCell::new(start);
        let mut deaths = 0;
        let outcome = loop {
            match live(&network, &saved) {
                Err(Error::Interrupted) if deaths < 50 => {
                    deaths += 1;
                    network.borrow_mut().is_asker_killed = false;
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(value) if value == expected => tally.right += 1,
            Ok(_) => tally.wrong.push(schedule),
            Err(error) => {
                tally.stopped += 1;
                let kind = format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
                *tally.errors.entry(kind).or_default() += 1;
                let mut network_now = network.borrow_mut();
                network_now.rarity = 0;
                network_now.held.clear();
                network_now.is_asker_killed = false;
                drop(network_now);
                match live(&network, &saved) {
                    Ok(value) if value == expected => {}
                    Ok(_) => tally.wrong.push(schedule),
                    Err(error) => tally.stuck.push((schedule, error.to_string())),
                }
            }
        }
        for (&fault, count) in &network.borrow().met {
            *tally.met.entry(fault).or_default() += count;
        }
    }
    tally
}

fn judge(schedules: u64) {
    let tally = run(0..schedules);
    assert!(tally.wrong.is_empty(), "wrong values: {tally:?}");
    assert!(tally.stuck.is_empty(), "cannot go on: {tally:?}");
    // A network that did nothing, or nothing but harm, would prove nothing.
    let few = schedules as usize / 10;
    assert!(tally.right > few && tally.stopped > few, "{tally:?}");
    assert!(FAULTS.iter().all(|fault| tally.met.get(fault).is_some_and(|&count| count > few / 2)), "{tally:?}");
    // Shown by --nocapture only.
    eprintln!("{schedules} schedules: {tally:?}");
}

#[test]
fn a_bad_network_gives_the_right_value_or_an_error() {
    judge(1000);
}

/// `cargo test --release --lib channel -- --ignored --nocapture`
#[test]
#[ignore = "long"]
fn a_bad_network_gives_the_right_value_or_an_error_in_many_schedules() {
    judge(100_000);
}

#[test]
fn without_the_transcript_wrong_values_occur_and_are_noticed() {
    planted::UNBOUND.set(true);
    let tally = run(0..200);
    planted::UNBOUND.set(false);
    assert!(tally.wrong.len() > 10, "{tally:?}");
}

#[test]
fn a_quiet_network_has_no_faults_to_answer_for() {
    let network = Rc::new(RefCell::new(Network::new(1)));
    network.borrow_mut().rarity = 0;
    let start = Checkpoint { session: [9; 16], position: None, batches: 0, complete: false, work: Chain::start() };
    let saved = RefCell::new(start);
    assert_eq!(live(&network, &saved).unwrap(), Chain::expected(BATCHES));
    assert_eq!((network.borrow().connection, saved.borrow().batches, saved.borrow().complete), (1, BATCHES, true));
    assert!(network.borrow().disk.0.borrow().is_empty());
    // Begun again, there is nothing left to do and nobody to ask but for the farewell.
    assert_eq!(live(&network, &saved).unwrap(), Chain::expected(BATCHES));
}

#[test]
fn a_session_goes_on_from_what_both_have_noted_and_from_nothing_else() {
    let network = Rc::new(RefCell::new(Network::new(1)));
    network.borrow_mut().rarity = 0;
    let id = [5; 16];
    let mut remote = Remote::new(Caller { network: network.clone(), failures: 0 }, id, terms(), None);
    let mut noted = vec![None];
    for _ in 0..3 {
        remote.exchange(1, &[0; 16]).unwrap();
        noted.push(Some(remote.commit().unwrap()));
    }
    remote.exchange(1, &[0; 16]).unwrap();
    let between = Some(remote.position());
    let disk = network.borrow().disk.clone();
    let state = disk.0.borrow()[&id].clone();
    let goes_on = |terms: Terms, position: Option<Position>| {
        let hello = Asker::new(id, terms, position).hello([0; 16]).unwrap();
        answerer(&disk).handle(&hello, [1; 16]).unwrap().error
    };
    // P1 may be one batch behind, no more.
    let outcomes: Vec<bool> = noted.iter().map(|&position| goes_on(terms(), position).is_none()).collect();
    assert_eq!(outcomes, [false, false, true, true]);
    assert!(goes_on(terms(), between).is_some());
    let forged = noted[3].map(|position| Position { transcript: [0; 32], ..position });
    assert!(goes_on(terms(), forged).is_some());
    for other in [Terms { scheme: b"a text".to_vec(), ..terms() }, Terms { longest: 4000, ..terms() }] {
        assert!(goes_on(other, noted[3]).is_some());
    }
    for at in 0..state.len() {
        let mut bad = state.clone();
        bad[at] ^= 1;
        disk.0.borrow_mut().insert(id, bad);
        let error = goes_on(terms(), noted[3]);
        assert!(matches!(&error, Some(Error::Message { problem }) if problem.contains("is damaged")), "{at}: {error:?}");
    }
}

#[test]
fn an_exchange_is_answered_again_to_the_letter_and_never_computed_again() {
    let disk = Disk::default();
    let mut p2 = answerer(&disk);
    let mut p1 = Asker::new([5; 16], terms(), None);
    let hello = |p1: &mut Asker, p2: &mut Answerer<'static, Disk>| {
        p2.connected();
        let reply = p2.handle(&p1.hello([0; 16]).unwrap(), [1; 16]).unwrap();
        p1.welcome(&reply.frame).unwrap();
    };
    hello(&mut p1, &mut p2);
    p1.ask(Kind::Request, 1, &[7; 16]).unwrap();
    let request = p1.frame().unwrap();
    let first = p2.handle(&request, [2; 16]).unwrap().frame;
    // The answer is lost. The responder's randomness would differ if it computed again.
    hello(&mut p1, &mut p2);
    assert_eq!(p2.handle(&request, [3; 16]).unwrap().frame, first);
    // Another request under the same step gets nothing.
    let mut liar = Asker::new([5; 16], terms(), Some(p1.position()));
    liar.ask(Kind::Request, 1, &[8; 16]).unwrap();
    let reply = p2.handle(&liar.frame().unwrap(), [4; 16]).unwrap();
    assert!(matches!(reply.error, Some(Error::Message { .. })), "{reply:?}");
    p1.answer(&first).unwrap();
    // The answer again is not the next answer.
    p1.ask(Kind::Request, 1, &[9; 16]).unwrap();
    assert!(matches!(p1.answer(&first), Err(Error::Message { .. })));
}
