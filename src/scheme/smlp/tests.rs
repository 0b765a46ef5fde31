//! The encrypted run against the simulator, bit for bit. Keys are toys.

use std::sync::OnceLock;

use super::*;
use crate::backend::{self, BackendId};
use crate::channel::{Channel, Counted, Local, Responder};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Tape};
use crate::scheme::paillier::{Encryption, Rerandomisation, SecretKey, Tables};
use crate::scheme::private_training::*;

type Pair = Encrypted<Counted<Local<KeyServer>>>;

fn toy(bits: u32) -> &'static SecretKey {
    static KEYS: [OnceLock<SecretKey>; 2] = [const { OnceLock::new() }; 2];
    KEYS[usize::from(bits > 512)].get_or_init(|| SecretKey::generate(bits, false, true, &Tape::replayable(5), &Control::default()).unwrap())
}

fn server(id: BackendId, key: &SecretKey, tape: u64) -> KeyServer {
    let tables = Tables { uses: 200, ..Tables::default() };
    KeyServer::new(backend::open(id).unwrap().as_ref(), key, Encryption::Owner, tables, Tape::replayable(tape), user()).unwrap()
}

fn user() -> UserKey {
    UserKey::from_bytes([9; 32])
}

/// P1 and P2 in one process. `tape` is for masks, the rounding tape is 1.
fn pair(id: BackendId, key_bits: u32, comparison: Comparison, slot_bits: u32, tape: u64) -> Pair {
    let key = toy(key_bits);
    let tables = Tables { uses: 200, ..Tables::default() };
    let options = Options { rerandomisation: Rerandomisation::Standard, tables, ..Options::new(comparison, slot_bits) };
    let channel = Counted::new(Local(server(id, key, tape + 1000)));
    Encrypted::new(backend::open(id).unwrap().as_ref(), key.sound(), options, Tape::replayable(1), Tape::replayable(tape), channel)
        .unwrap()
        .with_user(user())
}

fn simulator() -> Simulated {
    Simulated::new(Tape::replayable(1))
}

fn backends() -> impl Iterator<Item = BackendId> {
    BackendId::ALL.into_iter().filter(|&id| id != BackendId::Gpu && backend::open(id).is_ok())
}

/// Values of magnitude below 2^bits, with both ends.
fn values(count: usize, bits: u32, seed: u64) -> Vec<i64> {
    let mut stream = Tape::replayable(seed).stream(Purpose::Sample, 0);
    let top = (1i64 << bits) - 1;
    let draw = |i: usize| match (i as u64 + seed) % 7 {
        0 => top,
        1 => -top,
        2 => 0,
        3 => -1,
        _ => (stream.word() % (2 * top as u64 + 1)) as i64 - top,
    };
    (0..count).map(draw).collect()
}

fn read<A: Arithmetic>(a: &mut A, m: &A::Matrix) -> Vec<i64> {
    let answer = a.answer(m).unwrap();
    a.open(&answer).unwrap()
}

fn products<A: Arithmetic>(a: &mut A) -> Vec<Vec<i64>> {
    let left = a.upload(&values(5 * 3, 11, 1), 5, 3, 11).unwrap();
    let right = a.upload(&values(3 * 4, 15, 2), 3, 4, 15).unwrap();
    let left_t = a.upload(&values(3 * 5, 11, 3), 3, 5, 11).unwrap();
    let right_t = a.upload(&values(4 * 3, 15, 4), 4, 3, 15).unwrap();
    let addend = a.upload(&values(20, 20, 5), 5, 4, 20).unwrap();
    let mut results = Vec::new();
    for product in [
        Product::new(&left, &right, 1, 29),
        Product::new(&left, &right, 1 << 10, 20),
        Product::new(&left_t, &right, 999, 20).transpose_left(),
        Product::new(&left, &right_t, 4096, 17).transpose_right(),
        Product::new(&left_t, &right_t, 10, 26).transpose_left().transpose_right().plus(&addend, 3),
        Product::new(&left, &right, 7, 32).scaled(5).plus(&addend, 1000),
        Product::new(&left, &right, 1 << 40, 1).plus(&addend, 1),
    ] {
        let result = a.product(&product).unwrap();
        results.push(read(a, &result));
    }
    // A scalar.
    let (x, y) = (a.upload(&[-2047], 1, 1, 11).unwrap(), a.upload(&[32767], 1, 1, 15).unwrap());
    let z = a.product(&Product::new(&x, &y, 1, 26)).unwrap();
    results.push(read(a, &z));
    assert_eq!(results.last().unwrap(), &[-2047 * 32767]);
    results
}

#[test]
fn products_are_those_of_the_simulator() {
    let expected = products(&mut simulator());
    for id in backends() {
        assert_eq!(products(&mut pair(id, 512, Comparison::Exact, slot_bits(11, 15, 3, 5), 20)), expected, "{id}");
    }
    // Other slots, other masks: the same integers.
    assert_eq!(products(&mut pair(BackendId::Gmp, 1024, Comparison::Exact, slot_bits(15, 17, 40, 5), 21)), expected);
}

fn divisions<A: Arithmetic>(a: &mut A) -> Vec<Vec<i64>> {
    let m = a.upload(&values(6 * 5, 24, 6), 6, 5, 24).unwrap();
    let divide = |d: u64| {
        let quotient = a.divide(&m, d, 25).unwrap();
        read(a, &quotient)
    };
    [1, 2, 3, 1000, 1 << 12, (1 << 23) + 1, 1 << 40].map(divide).to_vec()
}

#[test]
fn divisions_are_those_of_the_simulator() {
    let expected = divisions(&mut simulator());
    for id in backends() {
        assert_eq!(divisions(&mut pair(id, 512, Comparison::Exact, 220, 30)), expected, "{id}");
    }
}

fn signs<A: Arithmetic>(a: &mut A) -> Vec<Vec<i64>> {
    let mut results = Vec::new();
    for (rows, cols, bits) in [(3, 7, 9), (1, 1, 1), (4, 2, 30)] {
        let m = a.upload(&values(rows * cols, bits, 7), rows, cols, bits).unwrap();
        let other = a.upload(&values(rows * cols, 12, 8), rows, cols, 12).unwrap();
        let (positive, bits) = a.relu(&m).unwrap();
        let selected = a.select(&bits, &other).unwrap();
        let again = a.select(&bits, &m).unwrap();
        assert_eq!(read(a, &again), read(a, &positive));
        results.extend([read(a, &positive), read(a, &selected)]);
    }
    results
}

#[test]
fn relu_and_select_are_those_of_the_simulator() {
    let expected = signs(&mut simulator());
    for id in backends() {
        for comparison in Comparison::ALL {
            assert_eq!(signs(&mut pair(id, 512, comparison, 220, 40)), expected, "{id} {comparison}");
        }
    }
}

fn largest<A: Arithmetic>(a: &mut A) -> Vec<Vec<i64>> {
    let mut results = Vec::new();
    for (rows, cols, bits) in [(5, 5, 3), (3, 1, 8), (1, 10, 20)] {
        let m = a.upload(&values(rows * cols, bits, 9), rows, cols, bits).unwrap();
        let answer = a.argmax(&m).unwrap();
        results.push(a.open(&answer).unwrap());
    }
    let ties = a.upload(&[5, 5, -5, -5, -5, -5, 0, 1, 1], 3, 3, 4).unwrap();
    let answer = a.argmax(&ties).unwrap();
    results.push(a.open(&answer).unwrap());
    assert_eq!(results.last().unwrap(), &[0, 0, 1]);
    results
}

#[test]
fn the_largest_are_those_of_the_simulator() {
    let expected = largest(&mut simulator());
    for comparison in Comparison::ALL {
        assert_eq!(largest(&mut pair(BackendId::Gmp, 512, comparison, 220, 50)), expected, "{comparison}");
    }
}

/// Steps of training of a small network with biases, ReLU and squared error.
fn training<A: Arithmetic>(a: &mut A, steps: usize) -> Vec<Vec<i64>> {
    let data: Vec<i64> = [[0, 0], [0, 1], [1, 0], [1, 1]].iter().flat_map(|x| [x[0] << 8, x[1] << 8, 1 << 8]).collect();
    let labels: Vec<i64> = [[1, 0], [0, 1], [0, 1], [1, 0]].iter().flat_map(|t| t.map(|v: i64| v << 8)).collect();
    let (x, t) = (a.upload(&data, 4, 3, 10).unwrap(), a.upload(&labels, 4, 2, 10).unwrap());
    let mut w1 = a.upload(&values(3 * 4, 8, 10), 3, 4, 12).unwrap();
    let mut w2 = a.upload(&values(5 * 2, 8, 11), 5, 2, 12).unwrap();
    for step in 0..steps {
        let indices = [step % 4, (step + 1) % 4, 3];
        let (a0, labels) = (a.rows(&x, &indices).unwrap(), a.rows(&t, &indices).unwrap());
        let z1 = a.product(&Product::new(&a0, &w1, 1 << 8, 13)).unwrap();
        let (a1, fired) = a.relu(&z1).unwrap();
        let a1 = a.with_constant_column(&a1, 1 << 8).unwrap();
        let z2 = a.product(&Product::new(&a1, &w2, 1 << 8, 13)).unwrap();
        let error = a.subtract(&labels, &z2, 13).unwrap();
        let inner = a.without_last_row(&w2).unwrap();
        let back = a.product(&Product::new(&error, &inner, 1 << 8, 13).transpose_right()).unwrap();
        let back = a.select(&fired, &back).unwrap();
        let d2 = a.product(&Product::new(&a1, &error, 3000, 12).transpose_left()).unwrap();
        let d1 = a.product(&Product::new(&a0, &back, 3000, 12).transpose_left()).unwrap();
        w2 = a.add(&w2, &d2, 12).unwrap();
        w1 = a.add(&w1, &d1, 12).unwrap();
    }
    vec![read(a, &w1), read(a, &w2)]
}

#[test]
fn a_few_steps_of_training_are_those_of_the_simulator() {
    assert_ne!(training(&mut simulator(), 3), training(&mut simulator(), 0));
    for id in backends() {
        let steps = if id == BackendId::Reference { 1 } else { 3 };
        let expected = training(&mut simulator(), steps);
        for comparison in Comparison::ALL {
            let mut p1 = pair(id, 512, comparison, slot_bits(13, 13, 5, 1), 60);
            // What is made ahead changes nothing.
            p1.prepare(if comparison == Comparison::Exact { 50 } else { 0 }).unwrap();
            assert_eq!(training(&mut p1, steps), expected, "{id} {comparison}");
        }
    }
}

#[test]
fn a_resumed_run_goes_on_as_one_that_was_not_cut() {
    let whole = training(&mut simulator(), 1);
    let mut p1 = pair(BackendId::Gmp, 512, Comparison::Exact, slot_bits(13, 13, 5, 1), 70);
    let m = p1.upload(&values(12, 8, 1), 3, 4, 12).unwrap();
    let stored = p1.store(&m).unwrap();
    let place = p1.operation();
    let first = p1.divide(&m, 7, 12).unwrap();
    let first = read(&mut p1, &first);
    let mut other = pair(BackendId::Gmp, 512, Comparison::Exact, slot_bits(13, 13, 5, 1), 71);
    other.seek(place);
    let loaded = other.load(&stored).unwrap();
    assert_eq!(other.shape(&loaded), m.shape);
    let again = other.divide(&loaded, 7, 12).unwrap();
    assert_eq!(read(&mut other, &again), first);
    assert!(other.load(&stored[..stored.len() - 1]).is_err() && other.load(&[]).is_err());
    let mut others = pair(BackendId::Gmp, 512, Comparison::Exact, 230, 72);
    assert!(others.load(&stored).is_err());
    assert_eq!(whole, training(&mut simulator(), 1));
}

/// Changes one bit of one message, the `at`-th both ways.
struct Flip<C> {
    inner: C,
    at: usize,
    seen: usize,
    bit: usize,
    answers: bool,
}

impl<C: Channel> Channel for Flip<C> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        let hit = self.seen == self.at;
        self.seen += 1;
        let mut request = request.to_vec();
        let flip = |bytes: &mut Vec<u8>| {
            let bit = self.bit % (8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        };
        if hit && !self.answers {
            flip(&mut request);
        }
        let mut answer = self.inner.exchange(operation, &request)?;
        if hit && self.answers {
            flip(&mut answer);
        }
        Ok(answer)
    }
}

#[test]
fn a_planted_fault_of_one_bit_is_seen() {
    // One bit of a ciphertext makes its plaintext random: P2 refuses it, or the user does, or the result differs from the simulator's. It is right only where the
    // ciphertext is one of an answer that P1 does not use: the one of two that its coin does not pick.
    let expected = {
        let mut s = simulator();
        let m = s.upload(&values(12, 8, 1), 3, 4, 8).unwrap();
        let (m, bits) = s.relu(&m).unwrap();
        let p = s.product(&Product::new(&m, &m, 16, 15).transpose_right()).unwrap();
        let q = s.select(&bits, &m).unwrap();
        (p.values().to_vec(), q.values().to_vec())
    };
    let (mut refused, mut wrong, mut unused) = (0, 0, 0);
    for comparison in Comparison::ALL {
        for (at, answers) in (0..6).flat_map(|at| [(at, false), (at, true)]) {
            let bit = 5000;
            let key = toy(512);
            let channel = Flip { inner: Local(server(BackendId::Gmp, key, 81)), at, seen: 0, bit, answers };
            let tables = Tables { uses: 200, ..Tables::default() };
            let options = Options { rerandomisation: Rerandomisation::Standard, tables, ..Options::new(comparison, 220) };
            let backend = backend::open(BackendId::Gmp).unwrap();
            let mut p1 =
                Encrypted::new(backend.as_ref(), key.sound(), options, Tape::replayable(1), Tape::replayable(80), channel).unwrap().with_user(user());
            let mut run = || -> Result<_> {
                let m = p1.upload(&values(12, 8, 1), 3, 4, 8)?;
                let (m, bits) = p1.relu(&m)?;
                let p = p1.product(&Product::new(&m, &m, 16, 15).transpose_right())?;
                let q = p1.select(&bits, &m)?;
                let (p, q) = (p1.answer(&p)?, p1.answer(&q)?);
                Ok((p1.open(&p)?, p1.open(&q)?))
            };
            match run() {
                Err(_) => refused += 1,
                Ok(got) => {
                    assert!(got != expected || answers, "{comparison} message {at} bit {bit}");
                    if got == expected { unused += 1 } else { wrong += 1 }
                }
            }
        }
    }
    assert_eq!(refused + wrong + unused, 24);
    assert!(refused >= 18 && unused <= 4, "{refused} refused, {wrong} wrong, {unused} unused");
}

#[test]
fn garbage_is_refused_and_never_ends_the_party() {
    let mut server = server(BackendId::Gmp, toy(512), 90);
    let mut stream = Tape::replayable(91).stream(Purpose::Sample, 0);
    let mut answered = 0;
    for round in 0..3000u64 {
        let length = (stream.word() % 700) as usize;
        let mut request: Vec<u8> = (0..length).map(|_| stream.word() as u8).collect();
        // Half of them begin as requests do.
        if round % 2 == 0 {
            let header = [220u32, stream.word() as u32 % 4, stream.word() as u32 % 4, stream.word() as u32 % 42, 2, 2, 5, 0, 1, 8, 0];
            for (at, word) in header.iter().enumerate().filter(|(at, _)| 4 * at + 4 <= length) {
                request[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
        answered += u32::from(server.respond((round % 12) as u16, &request, usize::MAX).is_ok());
    }
    assert_eq!(answered, 0);
}

#[test]
fn requests_cut_or_lengthened_or_of_another_operation_are_refused() {
    /// Keeps what it sends.
    struct Keep(Local<KeyServer>, Vec<(u16, Vec<u8>)>);
    impl Channel for Keep {
        fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
            self.1.push((operation, request.to_vec()));
            self.0.exchange(operation, request)
        }
    }
    for comparison in Comparison::ALL {
        let key = toy(512);
        let channel = Keep(Local(server(BackendId::Gmp, key, 95)), Vec::new());
        let options = Options { rerandomisation: Rerandomisation::Standard, ..Options::new(comparison, 220) };
        let backend = backend::open(BackendId::Gmp).unwrap();
        let mut p1 = Encrypted::new(backend.as_ref(), key.sound(), options, Tape::replayable(1), Tape::replayable(94), channel).unwrap();
        let m = p1.upload(&values(6, 8, 1), 2, 3, 8).unwrap();
        let (m, bits) = p1.relu(&m).unwrap();
        let m = p1.product(&Product::new(&m, &m, 16, 15).transpose_right()).unwrap();
        let m = p1.divide(&m, 3, 15).unwrap();
        p1.argmax(&m).unwrap();
        drop(bits);
        let kept = std::mem::take(&mut p1.channel().1);
        let mut server = server(BackendId::Gmp, key, 96);
        let mut stream = Tape::replayable(97).stream(Purpose::Sample, 0);
        for (operation, request) in kept {
            let answer = server.respond(operation, &request, usize::MAX).unwrap().len();
            for _ in 0..3 {
                assert!(server.respond(operation, &request[..(stream.word() as usize) % request.len()], usize::MAX).is_err());
            }
            assert!(server.respond(operation, &[&request[..], &[0]].concat(), usize::MAX).is_err());
            // Sizes are looked at first: zeros are no ciphertexts, which is found when they are read.
            let bytes = wire::ciphertext_bytes(key.public());
            let mut hollow = request.clone();
            hollow[request.len() % bytes..].fill(0);
            let mut refused = |request: &[u8], longest: usize| server.respond(operation, request, longest).unwrap_err();
            assert!(matches!(refused(&hollow, usize::MAX), Error::InvalidCiphertext { .. }), "operation {operation}");
            for wrong in [&hollow[..hollow.len() - 1], &hollow[..hollow.len() - bytes], &[&hollow[..], &[0]].concat()] {
                assert!(matches!(refused(wrong, usize::MAX), Error::Size { .. }), "operation {operation}");
            }
            assert!(matches!(refused(&hollow, answer - 1), Error::OutOfRange { .. }), "operation {operation}");
            assert!(matches!(refused(&hollow, answer), Error::InvalidCiphertext { .. }), "operation {operation}");
            // A header that says more than there is, or another magnitude.
            for word in 1..4 {
                let mut changed = request.clone();
                changed[4 * word] = changed[4 * word].wrapping_add(if word == 3 { 200 } else { 1 });
                assert!(server.respond(operation, &changed, usize::MAX).is_err(), "operation {operation} word {word}");
            }
            assert!([0, 10].iter().all(|&none| server.respond(none, &request, usize::MAX).is_err()));
        }
    }
}

#[test]
fn rounds_and_bytes_are_those_of_the_documentation() {
    let (rows, cols, bits) = (4, 3, 8);
    // 512 bits, slots of 220: two in a ciphertext, and two layers of 90 bits.
    let ciphertext = 128;
    let dense = |ciphertexts: usize| ciphertexts.div_ceil(2) * ciphertext;
    let run = |comparison| {
        let mut p1 = pair(BackendId::Gmp, 512, comparison, 220, 98);
        let m = p1.upload(&values(rows * cols, bits, 1), rows, cols, bits).unwrap();
        let (_, fired) = p1.relu(&m).unwrap();
        let relu = p1.channel().take();
        p1.select(&fired, &m).unwrap();
        p1.product(&Product::new(&m, &m, 4, 15).transpose_right()).unwrap();
        (relu, p1.channel().take())
    };
    let count = |counts: &std::collections::BTreeMap<u16, crate::channel::Count>, operation: Operation| {
        let count = counts[&(operation as u16)];
        (count.rounds, count.bytes_out as usize, count.bytes_in as usize)
    };
    let (relu, rest) = run(Comparison::Exact);
    let x = 16 + dense(rows * 2);
    assert_eq!(count(&relu, Operation::Bits), (1, x, rows * cols * 8 * ciphertext));
    // Tests of 8 bits: a prime of 5 bits, 80, and 5 bits for 30: 90 bits, 5 slots, 3 groups of 9 tests.
    assert_eq!(count(&relu, Operation::Tests), (1, x + 3 * 9 * ciphertext, 3 * rows * cols * ciphertext));
    assert_eq!(relu.len(), 2);
    assert_eq!(count(&rest, Operation::Select), (1, x + ciphertext, 2 * rows * cols * ciphertext));
    assert_eq!(count(&rest, Operation::Repack), (1, x, cols * 2 * ciphertext));
    assert_eq!(count(&rest, Operation::Product), (1, x + 28 + dense(rows * 2) + (4 * 2 + 4 * 2) * ciphertext, 4 * 2 * ciphertext));
    let (relu, _) = run(Comparison::Blinded);
    assert_eq!(count(&relu, Operation::Scatter), (1, x, rows * cols * ciphertext));
    assert_eq!(count(&relu, Operation::Signs), (1, x + dense(rows * 2), 3 * rows * cols * ciphertext));
}

#[test]
fn slots_that_are_too_narrow_are_refused() {
    let mut p1 = pair(BackendId::Gmp, 512, Comparison::Exact, slot_bits(8, 8, 3, 1) - 1, 99);
    let m = p1.upload(&values(9, 8, 1), 3, 3, 8).unwrap();
    assert!(matches!(p1.product(&Product::new(&m, &m, 1, 20)), Err(Error::SlotOverflow { .. })));
    let wide = p1.upload(&values(9, 40, 1), 3, 3, 40).unwrap();
    assert!(p1.divide(&wide, 3, 40).is_ok());
    assert!(p1.upload(&[256], 1, 1, 8).is_err() && p1.with_constant_column(&m, 256).is_err());
}

#[test]
fn only_the_users_key_opens_an_answer() {
    let mut p1 = pair(BackendId::Gmp, 512, Comparison::Exact, 220, 100);
    let secret = values(6, 8, 1);
    let m = p1.upload(&secret, 2, 3, 8).unwrap();
    let answer = p1.answer(&m).unwrap();
    let sent = Sealed::from_bytes(&answer.to_bytes().unwrap()).unwrap();
    assert_eq!(sent, answer);
    assert_eq!(user().open(&sent).unwrap(), secret);
    assert!(matches!(UserKey::from_bytes([8; 32]).open(&sent), Err(Error::Decryption { .. })));
    // The same values again: other masks, another pad.
    let again = p1.answer(&m).unwrap();
    assert_ne!(again, answer);
    let bytes = answer.to_bytes().unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x80;
        assert!(Sealed::from_bytes(&changed).ok().and_then(|a| user().open(&a).ok()).is_none_or(|v| v != secret || at < 12), "byte {at}");
    }
}

/// Keeps every request.
struct Listening<C>(C, Vec<(u16, Vec<u8>)>);

impl<C: Channel> Channel for Listening<C> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        self.1.push((operation, request.to_vec()));
        self.0.exchange(operation, request)
    }
}

/// What P2 reads when `count` numbers of random length are compared: the numbers, y or z, and the residues of tests that are not 0, with the number of zeros.
fn listened(comparison: Comparison, bits: u32, count: usize) -> (Vec<i64>, Vec<i128>, Vec<u64>, usize) {
    let key = toy(512);
    let options = Options { rerandomisation: Rerandomisation::Standard, ..Options::new(comparison, 220) };
    let backend = backend::open(BackendId::Gmp).unwrap();
    let channel = Listening(Local(server(BackendId::Gmp, key, 111)), Vec::new());
    let mut p1 = Encrypted::new(backend.as_ref(), key.sound(), options, Tape::replayable(1), Tape::replayable(110), channel).unwrap();
    let mut stream = Tape::replayable(112).stream(Purpose::Sample, 0);
    let x: Vec<i64> = (0..count).map(|_| leak::of_random_length(bits, &mut stream).clamp(1 - (1 << bits), (1 << bits) - 1)).collect();
    let m = p1.upload(&x, count / 20, 20, bits).unwrap();
    p1.relu(&m).unwrap();
    let requests = std::mem::take(&mut p1.channel().1);
    let reading_server = server(BackendId::Gmp, key, 113);
    let (mut read, mut residues, mut zeros) = (Vec::new(), Vec::new(), 0);
    for (operation, request) in requests {
        let mut reader = wire::Reader::new(&request);
        let header = reading_server.header(&mut reader).unwrap();
        match Operation::from_number(operation).unwrap() {
            Operation::Signs => {
                let width = comparison::blinded_width(bits);
                let matrix = reading_server.dense(&mut reader, header, width).unwrap();
                read = reading_server.open(matrix).unwrap().into_iter().map(|y| y as i128 - (1 << (width - 1))).collect();
            }
            Operation::Bits => {
                let matrix = reading_server.masked(&mut reader, header).unwrap();
                read = reading_server.open(matrix).unwrap().into_iter().map(|z| z as i128).collect();
            }
            Operation::Tests => {
                let all = comparison::residues(&reading_server, &mut reader, header).unwrap();
                zeros = all.iter().filter(|&&r| r == 0).count();
                residues = all.into_iter().filter(|&r| r != 0).collect();
            }
            _ => {}
        }
    }
    (x, read, residues, zeros)
}

#[test]
fn what_p2_decrypts_leaks_as_measured() {
    for comparison in Comparison::ALL {
        let (x, read, residues, zeros) = listened(comparison, 8, 800);
        let mut leak = leak::Leak::empty(comparison, 8);
        x.iter().zip(&read).for_each(|(&x, &r)| leak.count(x, r));
        let (bits, bias) = leak::tests::information(&leak.by_length);
        let sign: Vec<Vec<u64>> = leak.by_sign.iter().map(|r| r.to_vec()).collect();
        assert!(leak::tests::information(&sign).0 < 0.01);
        match comparison {
            // The same estimator over numbers that are only drawn, not encrypted.
            Comparison::Blinded => {
                let drawn = leak::leak(comparison, 8, 200_000, &Tape::replayable(5)).unwrap();
                let expected = leak::tests::information(&drawn.by_length).0;
                assert!(expected > 1.0 && (bits - expected).abs() < 0.2, "{bits} {expected}");
            }
            Comparison::Exact => {
                assert!(bits < 0.03 + bias, "{bits} {bias}");
                let (low, bias) = leak::tests::information(&leak.by_low);
                assert!(low < 0.03 + bias, "{low} {bias}");
                // One comparison in two shows a zero: 400 of 800 with a deviation of 14. The other residues are uniform in 1 to 28 (q = 29).
                assert!((330..470).contains(&zeros), "{zeros}");
                assert_eq!(residues.len() + zeros, 800 * 9);
                let chi = chi_square(residues.iter().map(|r| *r as usize - 1), 28);
                // 27 degrees of freedom: 55.5 is the 0.1 % point. The tapes are fixed.
                assert!(chi < 55.5, "{chi}");
            }
        }
    }
}

fn chi_square(values: impl Iterator<Item = usize>, cells: usize) -> f64 {
    let mut counts = vec![0u64; cells];
    values.for_each(|v| counts[v] += 1);
    let expected = counts.iter().sum::<u64>() as f64 / cells as f64;
    counts.iter().map(|&c| (c as f64 - expected).powi(2) / expected).sum()
}

#[test]
fn a_million_masked_numbers_look_uniform() {
    // z of the exact comparison: modulo small numbers, and its top bits. 0.1 % points of chi-square.
    let mut stream = Tape::replayable(120).stream(Purpose::Sample, 0);
    let bits = 16;
    let x: Vec<i64> = (0..1_000_000).map(|_| leak::of_random_length(bits, &mut stream).clamp(1 - (1 << bits), (1 << bits) - 1)).collect();
    let read = leak::readings(Comparison::Exact, &x, bits, &Tape::replayable(121)).unwrap();
    for (modulus, limit) in [(2usize, 10.83), (3, 13.82), (7, 22.46), (16, 37.70), (101, 149.4), (256, 330.5)] {
        let chi = chi_square(read.iter().map(|z| (z % modulus as i128) as usize), modulus);
        assert!(chi < limit, "modulo {modulus}: {chi}");
    }
    let chi = chi_square(read.iter().map(|z| (z >> (bits + 1 + KAPPA - 8)).min(255) as usize), 256);
    assert!(chi < 330.5, "top bits: {chi}");
    // The planted fault: numbers that are not masked are not uniform.
    let chi = chi_square(x.iter().map(|x| (x + (1 << 16)) as usize % 256), 256);
    assert!(chi > 1000.0, "{chi}");
}

/// `count` comparisons of numbers below 2^bits under a toy key of 256 bits, both ends and 0 included, against plain arithmetic. Output: wrong ones.
fn comparisons(comparison: Comparison, bits: u32, count: usize) -> usize {
    let secret = SecretKey::generate(256, false, true, &Tape::replayable(6), &Control::default()).unwrap();
    let tables = Tables { uses: 100_000, ..Tables::default() };
    let backend = backend::open(BackendId::Gmp).unwrap();
    let server = KeyServer::new(backend.as_ref(), &secret, Encryption::Owner, tables, Tape::replayable(130), user()).unwrap();
    let options = Options { tables, ..Options::new(comparison, bits + KAPPA + 2) };
    let mut p1 = Encrypted::new(backend.as_ref(), secret.sound(), options, Tape::replayable(1), Tape::replayable(131), Local(server))
        .unwrap()
        .with_user(user());
    let mut wrong = 0;
    for (chunk, start) in (0..count).step_by(20_000).enumerate() {
        let x = values(20_000.min(count - start), bits, chunk as u64);
        let m = p1.upload(&x, 1, x.len(), bits).unwrap();
        let (positive, fired) = p1.relu(&m).unwrap();
        let ones = p1.upload(&vec![1; x.len()], 1, x.len(), bits).unwrap();
        let bit = p1.select(&fired, &ones).unwrap();
        let (positive, bit) = (read(&mut p1, &positive), read(&mut p1, &bit));
        wrong += x.iter().zip(positive.iter().zip(&bit)).filter(|&(&x, (&p, &b))| p != x.max(0) || b != i64::from(x >= 0)).count();
    }
    wrong
}

#[test]
fn hundreds_of_comparisons_are_right() {
    for comparison in Comparison::ALL {
        assert_eq!(comparisons(comparison, 5, 700), 0, "{comparison}");
    }
}

/// `cargo test --no-default-features --features gmp --lib a_million_comparisons -- --ignored --nocapture`; CIPHERLANE_COUNT takes another number.
#[test]
#[ignore = "minutes"]
fn a_million_comparisons_are_right() {
    let count = std::env::var("CIPHERLANE_COUNT").ok().and_then(|c| c.parse().ok()).unwrap_or(1_000_000);
    for comparison in Comparison::ALL {
        let start = std::time::Instant::now();
        let wrong = comparisons(comparison, 8, count);
        println!("{comparison}: {count} comparisons of 8-bit numbers under a 256-bit toy key, {wrong} wrong, {:.1} s", start.elapsed().as_secs_f64());
        assert_eq!(wrong, 0);
    }
}

/// `cargo test --no-default-features --features gmp --lib a_hundred_thousand_divisions -- --ignored --nocapture`
#[test]
#[ignore = "a minute"]
fn a_hundred_thousand_divisions_are_right_and_unbiased() {
    let (count, bits) = (100_000, 30);
    let mut p1 = pair(BackendId::Gmp, 512, Comparison::Exact, 125, 140);
    let mut simulator = simulator();
    let start = std::time::Instant::now();
    let mut wrong = 0;
    for (chunk, d) in [3u64, 10, 1 << 12, 999_983, (1 << 31) + 1].into_iter().enumerate() {
        let x = values(count / 5, bits, chunk as u64);
        let m = p1.upload(&x, 1, x.len(), bits).unwrap();
        let q = p1.divide(&m, d, bits).unwrap();
        let q = read(&mut p1, &q);
        let plain = simulator.upload(&x, 1, x.len(), bits).unwrap();
        let expected = simulator.divide(&plain, d, bits).unwrap();
        wrong += q.iter().zip(expected.values()).filter(|(a, b)| a != b).count();
        // floor or floor + 1, and right in the mean: the error d q - x has mean 0 and a variance of at most d^2 / 4.
        let d = d as i64;
        wrong += q.iter().zip(&x).filter(|&(&q, &x)| q != x.div_euclid(d) && (q != x.div_euclid(d) + 1 || x.rem_euclid(d) == 0)).count();
        let mean = q.iter().zip(&x).map(|(&q, &x)| (d * q - x) as f64 / d as f64).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 4.0 * 0.5 / (x.len() as f64).sqrt(), "bias {mean} of {d}");
        println!("divisor {d}: mean error {mean:.5} of a unit, four deviations are {:.5}", 2.0 / (x.len() as f64).sqrt());
    }
    println!("{count} divisions under a 512-bit toy key, {wrong} wrong, {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(wrong, 0);
}

/// Times what P2 does, in wall time and in processor time of all threads.
struct Timed<C>(C, Times);

#[derive(Clone, Copy, Default)]
struct Times {
    wall: f64,
    cpu: f64,
}

impl Times {
    fn of<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let (wall, cpu) = (std::time::Instant::now(), cpu_time::ProcessTime::now());
        let result = work();
        (result, Self { wall: wall.elapsed().as_secs_f64(), cpu: cpu.elapsed().as_secs_f64() })
    }
}

impl<C: Channel> Channel for Timed<C> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        let (answer, times) = Times::of(|| self.0.exchange(operation, request));
        self.1.wall += times.wall;
        self.1.cpu += times.cpu;
        answer
    }
}

type Measured = Encrypted<Timed<Counted<Local<KeyServer>>>>;

fn measured(id: BackendId, key_bits: u32, comparison: Comparison, slot_bits: u32) -> Measured {
    let start = std::time::Instant::now();
    let secret = SecretKey::generate(key_bits, false, true, &Tape::replayable(7), &Control::default()).unwrap();
    let backend = backend::open(id).unwrap();
    let tables = Tables::default();
    let server = KeyServer::new(backend.as_ref(), &secret, Encryption::Owner, tables, Tape::replayable(150), user()).unwrap();
    let channel = Timed(Counted::new(Local(server)), Times::default());
    let options = Options::new(comparison, slot_bits);
    let p1 =
        Encrypted::new(backend.as_ref(), secret.sound(), options, Tape::replayable(1), Tape::replayable(151), channel).unwrap().with_user(user());
    println!(
        "{id}, {key_bits} bits, {comparison}, slots of {slot_bits} bits, {} in a ciphertext, {} threads: set up in {:.1} s",
        (key_bits - 2) / slot_bits,
        rayon::current_num_threads(),
        start.elapsed().as_secs_f64()
    );
    p1
}

/// Runs one operation and prints its time on both sides, rounds and bytes.
fn timed<T>(p1: &mut Measured, what: &str, operation: impl FnOnce(&mut Measured) -> Result<T>) -> T {
    let (result, total) = Times::of(|| operation(p1).unwrap());
    let p2 = std::mem::take(&mut p1.channel().1);
    let count = p1.channel().0.total();
    p1.channel().0.take();
    println!(
        "| {what} | {:.3} | {:.3} | {:.3} | {} | {} | {} |",
        total.wall,
        total.cpu - p2.cpu,
        p2.cpu,
        count.rounds,
        count.bytes_out,
        count.bytes_in
    );
    result
}

/// One mini-batch of a network with biases in the last rows of its weights, in Q = 2^q; prints a line for each operation.
fn batch(p1: &mut Measured, sizes: [usize; 3], items: usize, q: u32, weight_bits: u32) {
    let [inputs, hidden, outputs] = sizes;
    println!("| operation | wall s | P1 CPU s | P2 CPU s | rounds | bytes up | bytes down |\n|---|---|---|---|---|---|---|");
    let start = std::time::Instant::now();
    let x = values(items * (inputs + 1), q, 1);
    let x = timed(p1, "upload of the batch", |p| p.upload(&x, items, inputs + 1, q + 1));
    let t = p1.upload(&values(items * outputs, q, 2), items, outputs, q + 1).unwrap();
    let w1 = timed(p1, "upload of W1", |p| p.upload(&values((inputs + 1) * hidden, weight_bits - 4, 3), inputs + 1, hidden, weight_bits));
    let w2 = p1.upload(&values((hidden + 1) * outputs, weight_bits - 4, 4), hidden + 1, outputs, weight_bits).unwrap();
    let training = (std::time::Instant::now(), cpu_time::ProcessTime::now());
    println!("| (upload and preparation: {:.2} s) |", start.elapsed().as_secs_f64());
    timed(p1, "repack of the batch", |p| p.columns(&x).map(|_| ()));
    let activation = q + 5;
    let z1 = timed(p1, "product X W1", |p| p.product(&Product::new(&x, &w1, 1 << q, activation)));
    let (a1, fired) = timed(p1, "ReLU", |p| p.relu(&z1));
    let a1 = timed(p1, "constant column", |p| p.with_constant_column(&a1, 1 << q));
    timed(p1, "repack of the hidden layer", |p| p.columns(&a1).map(|_| ()));
    let z2 = timed(p1, "product A1 W2", |p| p.product(&Product::new(&a1, &w2, 1 << q, activation)));
    let error = timed(p1, "error", |p| p.subtract(&t, &z2, activation));
    let inner = p1.without_last_row(&w2).unwrap();
    timed(p1, "repack of error and W2", |p| {
        p.columns(&inner)?;
        p.columns(&error).map(|_| ())
    });
    let back = timed(p1, "product error W2^T", |p| p.product(&Product::new(&error, &inner, 1 << q, activation).transpose_right()));
    let back = timed(p1, "select", |p| p.select(&fired, &back));
    let rate = (items as u64) << (q + 1);
    let d2 = timed(p1, "product A1^T error", |p| p.product(&Product::new(&a1, &error, rate, weight_bits).transpose_left()));
    let d1 = timed(p1, "product X^T error", |p| p.product(&Product::new(&x, &back, rate, weight_bits).transpose_left()));
    timed(p1, "update", |p| {
        p.add(&w1, &d1, weight_bits)?;
        p.add(&w2, &d2, weight_bits).map(|_| ())
    });
    println!("| one batch without upload | {:.2} | {:.2} CPU s together |", training.0.elapsed().as_secs_f64(), training.1.elapsed().as_secs_f64());
}

fn backend_of_environment() -> BackendId {
    std::env::var("CIPHERLANE_BACKEND").ok().and_then(|b| b.parse().ok()).unwrap_or(BackendId::Gmp)
}

/// `CIPHERLANE_BACKEND=gmp cargo test --no-default-features --features gmp --lib cost_of_a_batch_of_xor -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn cost_of_a_batch_of_xor() {
    for comparison in Comparison::ALL {
        let mut p1 = measured(backend_of_environment(), 2048, comparison, slot_bits(16, 15, 40, 1));
        batch(&mut p1, [2, 10, 2], 40, 10, 14);
    }
}

/// As the other, for MNIST 784-30-10.
#[test]
#[ignore = "measures for minutes"]
fn cost_of_a_batch_of_mnist() {
    let mut p1 = measured(backend_of_environment(), 2048, Comparison::Exact, slot_bits(15, 18, 785, 1));
    batch(&mut p1, [784, 30, 10], 40, 10, 18);
}

/// `cargo test --no-default-features --features gmp --lib speed_of_the_simulator -- --ignored --nocapture`: a tenth of an epoch of MNIST 784-128-10, on numbers as dense as its pixels.
#[test]
#[ignore = "measures"]
fn speed_of_the_simulator() {
    let mut s = simulator();
    let pixels: Vec<i64> = values(40 * 785, 14, 1).iter().enumerate().map(|(i, v)| if i % 5 == 0 { v.abs() } else { 0 }).collect();
    let x = s.upload(&pixels, 40, 785, 15).unwrap();
    let t = s.upload(&values(400, 13, 2), 40, 10, 15).unwrap();
    let mut w1 = s.upload(&values(785 * 128, 10, 3), 785, 128, 20).unwrap();
    let mut w2 = s.upload(&values(129 * 10, 10, 4), 129, 10, 20).unwrap();
    let ((), times) = Times::of(|| {
        for _ in 0..150 {
            let z1 = s.product(&Product::new(&x, &w1, 1 << 14, 22)).unwrap();
            let (a1, fired) = s.relu(&z1).unwrap();
            let a1 = s.with_constant_column(&a1, 1 << 14).unwrap();
            let z2 = s.product(&Product::new(&a1, &w2, 1 << 14, 22)).unwrap();
            let error = s.subtract(&t, &z2, 23).unwrap();
            let inner = s.without_last_row(&w2).unwrap();
            let back = s.product(&Product::new(&error, &inner, 1 << 14, 22).transpose_right()).unwrap();
            let back = s.select(&fired, &back).unwrap();
            let d2 = s.product(&Product::new(&a1, &error, 1 << 27, 20).transpose_left()).unwrap();
            let d1 = s.product(&Product::new(&x, &back, 1 << 27, 20).transpose_left()).unwrap();
            w2 = s.add(&w2, &d2, 20).unwrap();
            w1 = s.add(&w1, &d1, 20).unwrap();
        }
    });
    println!("a tenth of an epoch: {:.2} s, {:.2} s of processor time", times.wall, times.cpu);
}
