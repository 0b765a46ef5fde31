//! The entry points of `shaders/` in plain Rust, with the same bindings and the same steps: what a shader must write, word for word. A test that fails on the
//! device and not here has found a fault of the shader or the driver; one that fails here too, a fault of the algorithm. Sums are checked for overflow.

use super::device::Params;
use super::fma_selftest::split;
use super::generate::Entry;
use super::shape::{Arithmetic, Shape};

/// The bindings of `prelude.wgsl` as words.
#[derive(Clone, Default)]
pub(super) struct Memory {
    pub(super) params: Params,
    pub(super) code: Vec<u32>,
    pub(super) constants: Vec<u32>,
    pub(super) inputs: Vec<u32>,
    pub(super) table: Vec<u32>,
    pub(super) digits: Vec<u32>,
    pub(super) slots: Vec<u32>,
}

/// Runs an entry point.
pub(super) fn run(entry: Entry, shape: &Shape, memory: &mut Memory) {
    match entry {
        Entry::Machine | Entry::Lookup | Entry::Scan => machine(shape, memory),
        Entry::Unpack => unpack(shape, memory),
        Entry::Join => join(shape, memory),
        Entry::Gather => gather(shape, memory),
        Entry::Issue => issue(shape, memory),
        Entry::Fused => {}
    }
}

/// Limbs of a team: lane after lane.
type Lanes = Vec<Vec<i64>>;

/// Sums of a team: for each lane one for each limb, and one above them.
struct Sums<'a> {
    shape: &'a Shape,
    lanes: Vec<Vec<i128>>,
}

impl<'a> Sums<'a> {
    fn new(shape: &'a Shape, start: &Lanes) -> Self {
        let lanes = start.iter().map(|lane| lane.iter().map(|&limb| i128::from(limb)).chain([0]).collect()).collect();
        Self { shape, lanes }
    }

    fn add(&mut self, lane: usize, position: usize, value: i128) {
        let sum = &mut self.lanes[lane][position];
        *sum += value;
        let range = match self.shape.variant.arithmetic {
            Arithmetic::U64 => 0..=i128::from(u64::MAX),
            Arithmetic::U32 => 0..=i128::from(u32::MAX),
            Arithmetic::F64 => i128::from(i64::MIN)..=i128::from(i64::MAX),
        };
        assert!(range.contains(sum), "{}: sum {sum} of position {position} leaves its range", self.shape);
    }

    /// Adds `xs` y.
    fn add_product(&mut self, xs: &Lanes, y: i64) {
        for (lane, limbs) in xs.iter().enumerate() {
            for (position, &x) in limbs.iter().enumerate() {
                if self.shape.variant.arithmetic == Arithmetic::F64 {
                    let (high, low) = split(x as f64, y as f64);
                    self.add(lane, position + 1, i128::from(high));
                    self.add(lane, position, i128::from(low));
                } else {
                    self.add(lane, position, i128::from(x) * i128::from(y));
                }
            }
        }
    }

    /// The quotient digit that clears the lowest limb.
    fn quotient(&self, minus_inverse: u64) -> i64 {
        ((self.lanes[0][0] as u64).wrapping_mul(minus_inverse) & self.shape.mask()) as i64
    }

    /// Carries the lowest limb of each lane and moves all limbs down by one position; the lowest of all comes out, or goes round to the top.
    fn retire(&mut self, around: bool) -> i64 {
        let (bits, mask) = (self.shape.bits(), i128::from(self.shape.mask()));
        let lowest: Vec<i128> = self.lanes.iter().map(|lane| lane[0] & mask).collect();
        for lane in 0..self.lanes.len() {
            self.add(lane, 1, self.lanes[lane][0] >> bits);
            let sums = &mut self.lanes[lane];
            sums.remove(0);
            sums.push(0);
            let top = sums.len() - 2;
            match lowest.get(lane + 1) {
                Some(&limb) => self.add(lane, top, limb),
                None if around => self.add(lane, top, lowest[0]),
                None => {}
            }
        }
        lowest[0] as i64
    }

    /// Carries through every lane and on to the next, twice.
    fn normalise(mut self) -> Lanes {
        let (bits, mask) = (self.shape.bits(), i128::from(self.shape.mask()));
        for _ in 0..2 {
            let carries: Vec<i128> = self
                .lanes
                .iter_mut()
                .map(|lane| {
                    let mut carry = 0;
                    let limbs = lane.len() - 1;
                    for limb in &mut lane[..limbs] {
                        *limb += carry;
                        carry = *limb >> bits;
                        *limb &= mask;
                    }
                    carry
                })
                .collect();
            for (lane, &carry) in (1..self.lanes.len()).zip(&carries) {
                self.add(lane, 0, carry);
            }
        }
        let limbs = self.shape.limbs as usize;
        self.lanes.into_iter().map(|lane| lane[..limbs].iter().map(|&limb| limb as i64).collect()).collect()
    }
}

/// A residue: its lower and, in base n, its upper digit.
struct Residue(Lanes, Lanes);

/// a b / R, with `start` added to the lower half before the division; `n` is the modulus of the digits.
fn product(shape: &Shape, a: &Residue, b: &Residue, start: &Lanes, n: &Lanes, minus_inverse: u64) -> Residue {
    let square = shape.halves == 2;
    let zero = vec![vec![0i64; shape.limbs as usize]; shape.lanes as usize];
    let (mut t, mut u) = (Sums::new(shape, start), Sums::new(shape, &zero));
    u.add(0, 0, 1);
    for (lower, upper) in b.0.concat().into_iter().zip(b.1.concat()) {
        t.add_product(&a.0, lower);
        let quotient = t.quotient(minus_inverse);
        t.add_product(n, quotient);
        t.retire(true);
        if square {
            u.add_product(&a.1, lower);
            u.add_product(&a.0, upper);
            u.add(0, 0, i128::from(shape.mask() as i64 - quotient));
            let quotient = u.quotient(minus_inverse);
            u.add_product(n, quotient);
            u.retire(true);
        }
    }
    if square {
        for (lane, limbs) in n.iter().enumerate() {
            for (position, &limb) in limbs.iter().enumerate() {
                u.add(lane, position, i128::from(limb));
            }
        }
        u.add(0, 0, -1);
    }
    Residue(t.normalise(), if square { u.normalise() } else { zero })
}

fn get(words: &[u32], limb: usize, shape: &Shape) -> i64 {
    match shape.variant.arithmetic.limb_words() {
        1 => i64::from(words[limb]),
        _ => i64::from(words[2 * limb]) | i64::from(words[2 * limb + 1]) << 32,
    }
}

fn put(words: &mut [u32], limb: usize, shape: &Shape, value: i64) {
    match shape.variant.arithmetic.limb_words() {
        1 => words[limb] = value as u32,
        _ => words[2 * limb..2 * limb + 2].copy_from_slice(&[value as u32, (value >> 32) as u32]),
    }
}

fn digit_at(words: &[u32], from: usize, shape: &Shape) -> Lanes {
    let lanes = shape.lanes as usize;
    (0..lanes).map(|lane| (0..shape.limbs as usize).map(|limb| get(words, from + limb * lanes + lane, shape)).collect()).collect()
}

/// A modulus and its -1/n mod 2^W.
fn modulus_at(memory: &Memory, modulus: u32, shape: &Shape) -> (Lanes, u64) {
    let home = modulus as usize * (shape.half() + 1);
    (digit_at(&memory.constants, home, shape), get(&memory.constants, home + shape.half(), shape) as u64)
}

fn residue_at(words: &[u32], from: usize, shape: &Shape) -> Residue {
    let low = digit_at(words, from, shape);
    let high = if shape.halves == 2 { digit_at(words, from + shape.half(), shape) } else { digit_at(words, from, shape) };
    Residue(low, high)
}

fn put_residue(words: &mut [u32], to: usize, shape: &Shape, residue: &Residue) {
    let lanes = shape.lanes as usize;
    for (half, digit) in [&residue.0, &residue.1].into_iter().take(shape.halves as usize).enumerate() {
        for (lane, limbs) in digit.iter().enumerate() {
            for (limb, &value) in limbs.iter().enumerate() {
                put(words, to + half * shape.half() + limb * lanes + lane, shape, value);
            }
        }
    }
}

fn machine(shape: &Shape, memory: &mut Memory) {
    let params = memory.params;
    let row = shape.row();
    let strands = params.count / params.items;
    for team in 0..params.count {
        let (item, strand) = ((team % params.items) as usize, team / params.items);
        let modulus = (params.first_item + item as u32) / params.per_modulus;
        let (n, minus_inverse) = modulus_at(memory, modulus, shape);
        let slot = params.slot_base as usize + item * params.slots as usize;
        let input = params.input_base as usize + item * params.inputs as usize;
        for step in 0..params.steps {
            let at = 4 * (params.first + step * strands + strand) as usize;
            let words: [u32; 4] = std::array::from_fn(|word| memory.code[at + word]);
            let (kind, window) = (words[0] & 3, (words[0] >> 8) as usize);
            let index = item * params.windows as usize + window;
            let digit = if kind == 1 || kind == 2 { memory.digits[index / 2] >> (16 * (index % 2)) & 0xffff } else { 0 } as usize;
            let operand = |word: u32, digit: usize| {
                let place = (word & 0x1fff_ffff) as usize + digit;
                match word >> 29 {
                    0 => residue_at(&memory.slots, (input + place) * row, shape),
                    1 => residue_at(&memory.slots, (slot + place) * row, shape),
                    2 => residue_at(&memory.slots, ((modulus * params.constant_rows) as usize + place) * row, shape),
                    _ => residue_at(&memory.table, params.table_base as usize + ((modulus * params.table_rows) as usize + place) * row, shape),
                }
            };
            let (mut a, b) = (operand(words[1], 0), operand(words[2], digit));
            let zero = vec![vec![0i64; shape.limbs as usize]; shape.lanes as usize];
            let mut start = zero.clone();
            if kind == 3 && shape.halves == 2 {
                start = std::mem::replace(&mut a.1, zero);
            }
            let result = product(shape, &a, &b, &start, &n, minus_inverse);
            put_residue(&mut memory.slots, (slot + words[3] as usize) * row, shape, &result);
        }
    }
}

fn unpack(shape: &Shape, memory: &mut Memory) {
    let params = memory.params;
    for number in 0..params.count as usize {
        let (integer, within) = (number / shape.row(), number % shape.row());
        let half = within / shape.half();
        let limb = within % shape.lanes as usize * shape.limbs as usize + within % shape.half() / shape.lanes as usize;
        let bit = ((shape.halves as usize - 1 - half) * shape.half() + limb) * shape.bits() as usize;
        let words = &memory.code[integer * params.inputs as usize..(integer + 1) * params.inputs as usize];
        let value = (0..3).fold(0u128, |value, word| value | u128::from(words.get(bit / 32 + word).copied().unwrap_or(0)) << (32 * word));
        put(&mut memory.slots, params.slot_base as usize + number, shape, ((value >> (bit % 32)) as u64 & shape.mask()) as i64);
    }
}

fn join(shape: &Shape, memory: &mut Memory) {
    let params = memory.params;
    for team in 0..params.count as usize {
        let Residue(low, high) = residue_at(&memory.inputs, params.input_base as usize + team * shape.row(), shape);
        let limbs = if shape.halves == 1 {
            low.concat()
        } else {
            let (n, _) = modulus_at(memory, (params.first_item + team as u32) / params.per_modulus, shape);
            let mut sums = Sums::new(shape, &low);
            let mut limbs = Vec::new();
            for y in high.concat() {
                sums.add_product(&n, y);
                limbs.push(sums.retire(false));
            }
            limbs.extend(sums.normalise().concat());
            limbs
        };
        for (limb, value) in limbs.into_iter().enumerate() {
            put(&mut memory.slots, params.slot_base as usize + team * shape.row() + limb, shape, value);
        }
    }
}

fn gather(shape: &Shape, memory: &mut Memory) {
    let params = memory.params;
    for number in 0..params.count as usize {
        let pair = 2 * (params.first as usize + number / shape.row());
        let (from, to) = (memory.code[pair] as usize, memory.code[pair + 1] as usize);
        let value = get(&memory.inputs, params.input_base as usize + from * shape.row() + number % shape.row(), shape);
        put(&mut memory.slots, params.slot_base as usize + to * shape.row() + number % shape.row(), shape, value);
    }
}

fn issue(shape: &Shape, memory: &mut Memory) {
    let limb = |value: u64| if shape.variant.arithmetic.limb_words() == 1 { value & 0xffff_ffff } else { value };
    for number in 0..memory.params.count as usize {
        let a: Vec<u64> = (0..u64::from(shape.limbs)).map(|p| (number as u64).wrapping_mul(2_654_435_761).wrapping_add(p) & shape.mask()).collect();
        let mut t = a.clone();
        for row in (0..memory.params.steps).flat_map(|_| 0..a.len()) {
            let y = t[row] & shape.mask();
            for (p, &a) in a.iter().enumerate() {
                let t = &mut t[(row + p) % shape.limbs as usize];
                let product = if shape.variant.arithmetic == Arithmetic::F64 {
                    let (high, low) = split(a as f64, y as f64);
                    high.wrapping_add(low) as u64
                } else {
                    a * y
                };
                *t = t.wrapping_add(product);
            }
        }
        put(&mut memory.slots, number, shape, t.iter().fold(0, |sum, &t| sum ^ limb(t)) as i64);
    }
}
