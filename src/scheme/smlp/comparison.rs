//! Whether x >= 0, as two bits that neither party can read alone: P1 has a coin t, P2 a bit beta, and \[x >= 0\] = beta xor t.
//!
//! # `blinded`
//!
//! | | |
//! |---|---|
//! | source | the family of Kerschbaum, Biswas and de Hoogh (2009), which SMLP cites: multiplicative blinding with a coin for the sign. Coin and odd numbers are ours |
//! | computes | the sign of y = sigma (rho (2x + 1) + rho'), sigma a coin, rho uniform in 1 to 2^64 - 1, \|rho'\| < rho |
//! | rounds | 2: each entry alone, then the signs |
//! | bytes | up: x dense twice, y dense; down: an entry in a ciphertext, then three for each entry |
//! | P1 learns | nothing: ciphertexts |
//! | P2 learns | **y: the magnitude of x up to the blinding factor**, about half of the entropy of its bit length for rho of any length. Not the sign |
//!
//! # `exact`
//!
//! | | |
//! |---|---|
//! | source | Damgård, Geisler, Krøigaard (2007, corrected 2009) in the form of Veugen, *Improving the DGK comparison protocol* (WIFS 2012), after Veugen's / Bost et al.'s additive blinding; over Paillier. The blinding of the tests modulo a small prime is ours |
//! | computes | z = x + 2^l + r; \[x >= 0\] = z_high - r_high - \[z_low < r_low\], where low are the l lowest bits |
//! | ranges | \|x\| < 2^l, r uniform in \[0, 2^(l+1+kappa)) |
//! | rounds | 2: bits, then tests |
//! | bytes | up: x dense twice, (l + 1) ciphertexts for as many entries as slots of about kappa + 13 bits fit; down: l ciphertexts for each entry, then three |
//! | P1 learns | nothing: ciphertexts |
//! | P2 learns | z and the tests: each within 2^-80 of independent of x |
//!
//! The private comparison of z_low (P2's) and r_low (P1's): with a = 2 z_low + 1 and b = 2 r_low, which are never equal, and a coin s = 1 or -1, the test
//! c_i = s + a_i - b_i + 3 sum_(j > i) (a_j xor b_j) is 0 for exactly one i if s = 1 and a < b, or s = -1 and a > b, and for none otherwise. P2 sends the bits
//! of z_low encrypted, each alone at the slot of its comparison, so that P1's products of them are packed without further work. P1 sends rho c_i + q u for a prime
//! q > 3 l + 3, rho uniform in 1 to q - 1 and u of kappa bits more than c_i may carry, in an order drawn for each comparison. P2 reduces modulo q: zero, or uniform among
//! 1 to q - 1. As s is a coin, it sees one zero at a uniform place with probability 1/2, and no zero otherwise, whatever x is.

use zeroize::Zeroizing;

use super::Comparison;
use super::encrypted::{Encrypted, EncryptedMatrix};
use super::powers::sequence;
use super::rounding::below;
use super::server::{KeyServer, Operation, Request};
use super::slots::{KAPPA, Slots};
use crate::backend::Resident;
use crate::channel::Channel;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::plan::{Op, Operand, Program};
use crate::randomness::{Purpose, Stream};
use crate::scheme::private_training::ceil_log2;

/// What P1 has of a comparison: its coins, the masks U of the numbers, and P2's answer: for every entry beta (x - R), then (1 - beta)(x - R), then beta.
pub(super) struct Compared {
    pub(super) coins: Vec<bool>,
    pub(super) masks: Zeroizing<Vec<u128>>,
    pub(super) answer: Resident,
}

/// Bits of the blinding factor of `blinded`.
const FACTOR_BITS: u32 = 64;

/// The blinding of one number in `blinded`.
pub(super) struct Factor {
    factor: u64,
    /// rho'.
    noise: i128,
    /// sigma = -1.
    pub(super) negative: bool,
}

impl Factor {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        let factor = loop {
            let word = stream.word();
            if word != 0 {
                break word;
            }
        };
        let noise = i128::from(below(factor, stream));
        let coins = stream.word();
        Self { factor, noise: if coins & 1 == 0 { noise } else { -noise }, negative: coins & 2 != 0 }
    }

    /// y.
    pub(super) fn blind(&self, x: i64) -> i128 {
        let y = i128::from(self.factor) * (2 * i128::from(x) + 1) + self.noise;
        if self.negative { -y } else { y }
    }

    /// y without x.
    fn constant(&self) -> i128 {
        self.blind(0)
    }

    /// What x is multiplied by, without its sign.
    fn multiplier(&self) -> u128 {
        2 * u128::from(self.factor)
    }
}

/// Bits of blinded numbers with their offset 2^(a + 65): |y| < 2 rho (|x| + 1) <= 2^(a + 65).
pub(super) const fn blinded_width(bits: u32) -> u32 {
    bits + FACTOR_BITS + 2
}

/// The slots of tests and their prime.
pub(super) struct Tests {
    slots: Slots,
    prime: u64,
}

impl Tests {
    /// For l bits. 0 <= rho c + q (u + 2) < q 2^kappa (3 l + 6).
    fn new(key_bits: u32, l: u32) -> Result<Self> {
        let is_prime = |q: &u64| (2..).take_while(|d| d * d <= *q).all(|d| !q.is_multiple_of(d));
        let prime = (u64::from(3 * l) + 4..).find(is_prime).unwrap_or(u64::MAX);
        let bits = ceil_log2(prime) + ceil_log2(u64::from(3 * l + 6)) + KAPPA;
        Ok(Self { slots: Slots::new(key_bits, bits)?, prime })
    }

    fn groups(&self, entries: usize) -> usize {
        self.slots.groups(entries)
    }
}

impl<C: Channel> Encrypted<C> {
    /// Compares every entry with 0.
    pub(super) fn compare(&mut self, m: &EncryptedMatrix) -> Result<Compared> {
        match self.comparison {
            Comparison::Blinded => self.compare_blinded(m),
            Comparison::Exact => self.compare_exact(m),
        }
    }

    fn compare_blinded(&mut self, m: &EncryptedMatrix) -> Result<Compared> {
        let shape = m.shape;
        let scattered = self.scatter(m)?;
        let mut stream = self.stream(Purpose::Masking);
        let factors: Vec<Factor> = (0..shape.entries()).map(|_| Factor::draw(&mut stream)).collect();
        let members = self.members(shape.rows, shape.cols);
        let of_sign = |negative: bool| -> Vec<Vec<(usize, u128)>> {
            let of = |group: &Vec<usize>| group.iter().filter(|&&e| factors[e].negative == negative).map(|&e| (e, factors[e].multiplier())).collect();
            members.iter().map(of).collect()
        };
        let [positive, negative] = [false, true].map(|sign| self.powers.grouped(&scattered, &of_sign(sign), FACTOR_BITS + 1));
        let blinded = self.powers.multiply(&positive?, &self.negated(&negative?)?)?;
        let width = blinded_width(shape.bits);
        let constants: Vec<i128> = factors.iter().map(|f| f.constant() + (1 << (width - 1))).collect();
        let blinded = self.dense(&blinded, &self.slots.pack_rows(&constants, shape.cols), width)?;
        let masks = self.masks(shape.entries(), shape.bits);
        let request = self.header(shape)?.ciphertexts(&blinded).ciphertexts(&self.masked(m, &masks)?);
        let answer = self.ask_ciphertexts(Operation::Signs, request, 3 * shape.entries())?;
        Ok(Compared { coins: factors.iter().map(|f| f.negative).collect(), masks, answer })
    }

    fn compare_exact(&mut self, m: &EncryptedMatrix) -> Result<Compared> {
        let (shape, l, entries) = (m.shape, m.shape.bits as usize, m.shape.entries());
        let tests = Tests::new(self.public.bits(), m.shape.bits)?;
        let masks = self.masks(entries, shape.bits);
        let masked = self.masked(m, &masks)?;
        let bits = self.ask_ciphertexts(Operation::Bits, self.header(shape)?.ciphertexts(&masked), entries * l)?;

        // Bits of z where those of r are 0, their negatives where they are 1: xor without its constant 1.
        let low = |e: usize, bit: usize| masks[e] >> bit & 1 == 1;
        let ones: Vec<usize> = (0..entries * l).filter(|&at| low(at / l, at % l)).collect();
        let negated = self.negated(&self.powers.squares.gather(&[&bits], &ones.iter().map(|&at| (0, at)).collect::<Vec<_>>())?)?;
        let mut xor: Vec<(usize, usize)> = (0..entries * l).map(|at| (0, at)).collect();
        ones.iter().enumerate().for_each(|(index, &at)| xor[at] = (1, index));
        let picks: Vec<(usize, usize)> = (0..entries).flat_map(|e| (0..l).rev().map(move |i| e * l + i)).flat_map(|at| [(0, at), xor[at]]).collect();
        let linear = self.powers.squares.run(&tests_program(l)?, &self.powers.squares.gather(&[&bits, &negated], &picks)?, None)?;

        let coins = self.coins(entries);
        let mut stream = self.stream(Purpose::Masking);
        let carries = Integer::from(3 * l + 5) << KAPPA;
        let (mut groups, mut messages) = (Vec::new(), Vec::new());
        let all: Vec<usize> = (0..entries).collect();
        for group in all.chunks(tests.slots.count) {
            let orders: Vec<Vec<usize>> = group.iter().map(|_| shuffled(l + 1, &mut stream)).collect();
            for place in 0..=l {
                let mut members = Vec::with_capacity(group.len());
                let mut constants = Vec::with_capacity(group.len());
                for (&e, order) in group.iter().zip(&orders) {
                    let i = order[place];
                    let factor = 1 + below(tests.prime - 1, &mut stream);
                    members.push((e * (l + 1) + l - i, u128::from(factor)));
                    let constant = test_constant(masks[e], i, l, coins[e]);
                    constants.push((stream.below(&carries) + 2u32) * tests.prime + constant * factor as i64);
                }
                groups.push(members);
                messages.push(tests.slots.pack(constants.into_iter()));
            }
        }
        let blinded = self.powers.grouped(&linear, &groups, ceil_log2(tests.prime))?;
        let request = self.header(shape)?.ciphertexts(&self.fresh(&blinded, &messages)?).ciphertexts(&masked);
        let answer = self.ask_ciphertexts(Operation::Tests, request, 3 * entries)?;
        // [x >= 0] = z_high - r_high - (delta_A xor delta_B); all are bits modulo 2.
        let coins = coins.iter().enumerate().map(|(e, &delta)| delta != low(e, l)).collect();
        Ok(Compared { coins, masks, answer })
    }
}

/// c_i without a_i and the bits of z, which come encrypted: a_0 is 1, b_0 is 0, and the bits of a and b above 0 are those of z and `low`. Input: `delta` for s = -1.
fn test_constant(low: u128, i: usize, l: usize, delta: bool) -> i64 {
    let bit = |at: usize| (low >> at & 1) as i64;
    let above: i64 = (i..l).map(bit).sum();
    let own = if i == 0 { 1 } else { -bit(i - 1) };
    if delta { -1 + own + 3 * above } else { 1 + own + 3 * above }
}

/// A random order of 0 to count - 1.
pub(super) fn shuffled(count: usize, stream: &mut Stream) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    (1..count).rev().for_each(|at| order.swap(at, below(at as u64 + 1, stream) as usize));
    order
}

/// Inputs: for every bit, the highest first, a_i and x_i = +-a_i. Outputs: for every bit a_i + 3 sum_(j > i) x_j, and last 3 sum_j x_j.
fn tests_program(l: usize) -> Result<Program> {
    let inputs = 2 * l as Operand;
    let (mut ops, mut outputs, mut sum, mut next) = (Vec::new(), vec![0], 1, inputs);
    let mut op = |make: &dyn Fn(Operand) -> Op| {
        ops.push(make(next));
        next += 1;
        next - 1
    };
    for bit in 1..=l as Operand {
        let double = op(&|dst| Op::Sqr { dst, a: sum });
        let triple = op(&|dst| Op::Mul { dst, a: double, b: sum });
        if bit == l as Operand {
            outputs.push(triple);
            break;
        }
        outputs.push(op(&|dst| Op::Mul { dst, a: triple, b: 2 * bit }));
        sum = op(&|dst| Op::Mul { dst, a: sum, b: 2 * bit + 1 });
    }
    sequence(2 * l, ops, outputs)
}

pub(super) fn respond_signs(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let width = blinded_width(header.bits);
    let blinded = server.dense(&mut request.reader, header, width)?;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete(3 * header.rows * header.cols)?;
    let (blinded, values) = (server.open(blinded)?, server.open(masked)?);
    let offset = 1u128 << (width - 1);
    let positive: Vec<bool> = blinded.iter().map(|&y| y > offset).collect();
    server.respond_chosen(header, &values, &positive, true)
}

pub(super) fn respond_bits(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let slots = Tests::new(server.public().bits(), header.bits)?.slots;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete(header.rows * header.cols * header.bits as usize)?;
    let values = server.open(masked)?;
    let bit = |e: usize, i: u32| slots.place(Integer::from(values[e] >> i & 1), e % slots.count);
    server.encrypted(&(0..values.len()).flat_map(|e| (0..header.bits).map(move |i| (e, i))).map(|(e, i)| bit(e, i)).collect::<Vec<_>>())
}

pub(super) fn respond_tests(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let tests = Tests::new(server.public().bits(), header.bits)?;
    let (entries, per_group) = (header.rows * header.cols, header.bits as usize + 1);
    let blinded = server.ciphertexts(&mut request.reader, tests.groups(entries) * per_group)?;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete(3 * entries)?;
    let zeros = zeros_of(&tests, server.decrypt(blinded)?, entries, per_group)?;
    let values = server.open(masked)?;
    let beta: Vec<bool> = values.iter().zip(zeros).map(|(z, zero)| (z >> header.bits & 1 == 1) != zero).collect();
    server.respond_chosen(header, &values, &beta, true)
}

/// The tests of a request modulo q, as P2 sees them: what it may learn is looked at in tests.
#[cfg(test)]
pub(super) fn residues(server: &KeyServer, request: &mut super::wire::Reader<'_>, header: super::server::Header) -> Result<Vec<u64>> {
    let tests = Tests::new(server.public().bits(), header.bits)?;
    let (entries, per_group) = (header.rows * header.cols, header.bits as usize + 1);
    let mut residues = Vec::new();
    for (index, plaintext) in server.decrypt(server.ciphertexts(request, tests.groups(entries) * per_group)?)?.into_iter().enumerate() {
        let count = tests.slots.count.min(entries - index / per_group * tests.slots.count);
        let values = tests.slots.unpack(plaintext, count, tests.slots.bits, index)?;
        residues.extend(values.into_iter().map(|v| (v % Integer::from(tests.prime)).to_u64_wrapping()));
    }
    Ok(residues)
}

/// Whether a test of each comparison is 0 modulo q.
fn zeros_of(tests: &Tests, plaintexts: Vec<Integer>, entries: usize, per_group: usize) -> Result<Vec<bool>> {
    let prime = Integer::from(tests.prime);
    let mut zeros = vec![0u8; entries];
    for (index, plaintext) in plaintexts.into_iter().enumerate() {
        let first = index / per_group * tests.slots.count;
        let count = tests.slots.count.min(entries - first);
        for (e, value) in tests.slots.unpack(plaintext, count, tests.slots.bits, index)?.into_iter().enumerate() {
            zeros[first + e] += u8::from(value.is_divisible(&prime));
        }
    }
    match zeros.iter().position(|&count| count > 1) {
        Some(index) => Err(Error::Decryption { index, reason: format!("{} tests of one comparison are 0, at most one can be", zeros[index]) }),
        None => Ok(zeros.into_iter().map(|count| count == 1).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests c_i of one comparison in the clear, from the same constants and the same linear part as under encryption.
    fn tests_in_clear(z: u128, r: u128, l: usize, delta: bool) -> Vec<i64> {
        let bit = |v: u128, at: usize| (v >> at & 1) as i64;
        let signed = |at: usize| if bit(r, at) == 1 { -bit(z, at) } else { bit(z, at) };
        let linear = |i: usize| if i == 0 { 0 } else { bit(z, i - 1) } + 3 * (i..l).map(signed).sum::<i64>();
        (0..=l).map(|i| linear(i) + test_constant(r, i, l, delta)).collect()
    }

    #[test]
    fn a_test_is_zero_exactly_when_the_coin_says_so() {
        for l in 1..=4 {
            let all = 0..1u128 << l;
            for (z, r) in all.clone().flat_map(|z| all.clone().map(move |r| (z, r))) {
                for delta in [false, true] {
                    let tests = tests_in_clear(z, r, l, delta);
                    assert_eq!(tests.iter().filter(|&&c| c == 0).count(), usize::from((z < r) != delta), "{z} {r} {delta} {tests:?}");
                    // Small enough for the prime, whose multiples other than 0 are out of reach.
                    let prime = Tests::new(256, l as u32).unwrap().prime as i64;
                    assert!(tests.iter().all(|&c| (-2..=3 * l as i64 + 2).contains(&c) && c < prime));
                }
            }
        }
    }

    #[test]
    fn published_transcripts_give_their_signs() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/comparison_blinded.json");
        let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases = file["cases"].as_array().unwrap();
        let hex = |v: &serde_json::Value| u128::from_str_radix(v.as_str().unwrap(), 16).unwrap();
        for case in cases {
            let (l, x, r) = (case["l"].as_u64().unwrap() as usize, case["x"].as_i64().unwrap(), hex(&case["r"]));
            let z = (i128::from(x) + (1 << l)) as u128 + r;
            assert_eq!(z, hex(&case["z"]));
            let low = (1 << l) - 1;
            for delta in [false, true] {
                let zero = tests_in_clear(z & low, r & low, l, delta).contains(&0);
                assert_eq!(zero != delta, case["low_lt"] == 1, "{case}");
                // P2's share and P1's coin.
                let (beta, coin) = ((z >> l & 1 == 1) != zero, delta != (r >> l & 1 == 1));
                assert_eq!(beta != coin, case["x_ge_0"] == 1, "{case}");
                assert_eq!(if beta != coin { x } else { 0 }, case["relu"].as_i64().unwrap());
            }
        }
        assert_eq!(cases.len(), 84);
    }

    #[test]
    fn blinding_keeps_signs_and_ranges() {
        let mut stream = crate::randomness::Tape::replayable(1).stream(Purpose::Sample, 0);
        for x in (-3..=3).chain([(1 << 40) - 1, 1 - (1 << 40)]).cycle().take(20_000) {
            let factor = Factor::draw(&mut stream);
            let y = factor.blind(x);
            assert_eq!((y > 0) != factor.negative, x >= 0);
            assert!(y != 0 && y.unsigned_abs() < 1 << (blinded_width(40) - 1));
        }
        // The extremes of the blinding.
        for (noise, x) in [(i128::from(u64::MAX) - 1, (1 << 40) - 1), (1 - i128::from(u64::MAX), 1 - (1 << 40)), (i128::from(u64::MAX) - 1, -1)] {
            let y = Factor { factor: u64::MAX, noise, negative: false }.blind(x);
            assert!((y > 0) == (x >= 0) && y.unsigned_abs() < 1 << (blinded_width(40) - 1));
        }
    }
}
