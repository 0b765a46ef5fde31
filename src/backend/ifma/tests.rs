//! Every verb against GMP (through rug), over edge operands, all kernel sizes and batch lengths around the number of lanes.

use std::sync::Arc;

use super::engine::{Engine, starts};
use super::kernel::{Ahead, LANES, Line, Token};
use super::limb52::{from_limbs, to_limbs};
use super::montgomery_form::MontgomeryForm;
use super::residues::Ifma;
use super::transpose::{gather, pick_vartime, scan, scatter};
use crate::backend::{Backend, BackendId, Digits, Exponents, Lookup, Resident, Secrecy, SquareResidues};
use crate::control::Control;
use crate::error::Error;
use crate::integer::{Integer, Order};
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::{Op, Operand, Program};

/// Reproducible numbers: SplitMix64.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    fn bits(&mut self, bits: u32) -> Integer {
        let words: Vec<u64> = (0..bits.div_ceil(64)).map(|_| self.word()).collect();
        Integer::from_digits(&words, Order::Lsf).keep_bits(bits)
    }

    fn odd(&mut self, bits: u32) -> Integer {
        let mut value = self.bits(bits);
        value.set_bit(bits - 1, true).set_bit(0, true);
        value
    }

    fn residue(&mut self, modulus: &Integer) -> Integer {
        self.bits(modulus.significant_bits() + 64) % modulus
    }

    /// A residue with an inverse.
    fn unit(&mut self, modulus: &Integer) -> Integer {
        loop {
            let value = self.residue(modulus);
            if Integer::from(value.gcd_ref(modulus)) == 1 {
                return value;
            }
        }
    }
}

/// The canonical residue of digits that are not in Montgomery form.
fn residue(form: &MontgomeryForm, limb: impl Fn(usize) -> u64) -> Integer {
    let h = form.size();
    let digit = |first: usize| {
        let mut words = vec![0; h + 1];
        from_limbs(|i| if i < h { limb(first + i) } else { 0 }, &mut words);
        Integer::from_digits(&words, Order::Lsf)
    };
    let value = form.modulus().root().map_or_else(|| digit(0), |root| digit(0) - digit(h) * root);
    value.modulo(form.modulus().value())
}

/// The tests say that they are skipped where the instructions are missing.
macro_rules! token {
    () => {
        match Token::detect() {
            Some(token) => token,
            None => {
                eprintln!("skipped: no AVX-512 IFMA");
                return;
            }
        }
    };
}

mod rates;

/// A random modulus and two that stress carries: all bits set, and 2^(bits-1) + 1.
fn roots(random: &mut Random, bits: u32) -> [Integer; 3] {
    [random.odd(bits), (Integer::from(1) << bits) - 1u32, (Integer::from(1) << (bits - 1)) + 1u32]
}

fn residues(token: Token, modulus: Modulus) -> Arc<dyn SquareResidues> {
    Ifma::new(token, Control::default()).prepare(vec![modulus]).unwrap()
}

/// Arithmetic modulo a number, and modulo its square in base n.
fn both(token: Token, n: &Integer) -> [Arc<dyn SquareResidues>; 2] {
    [residues(token, Modulus::new(n.clone()).unwrap()), residues(token, Modulus::square(n.clone()).unwrap())]
}

fn upload(residues: &dyn SquareResidues, values: &[Integer]) -> Resident {
    residues.upload(&Limbs::from_integers(values, residues.modulus().width()).unwrap()).unwrap()
}

fn download(residues: &dyn SquareResidues, values: &Resident) -> Vec<Integer> {
    residues.download(values).unwrap().to_integers()
}

/// The comparison that all tests use: the first place where two batches differ.
fn difference(expected: &[Integer], actual: &[Integer]) -> Option<usize> {
    if expected.len() != actual.len() {
        return Some(expected.len().min(actual.len()));
    }
    (0..expected.len()).find(|&i| expected[i] != actual[i])
}

fn assert_same(expected: &[Integer], actual: &[Integer], what: &str) {
    assert_eq!(difference(expected, actual), None, "{what}");
}

/// Residues at the edges of the modulus and of both digits, then random ones.
fn operands(random: &mut Random, modulus: &Modulus, count: usize) -> Vec<Integer> {
    let m = modulus.value();
    let n = modulus.root().cloned().unwrap_or_else(|| Integer::from(m >> (m.significant_bits() / 2)));
    let mut values: Vec<Integer> = [0u32, 1, 2].iter().map(|&v| Integer::from(v)).collect();
    values.extend([1u32, 2].iter().map(|&v| Integer::from(m - v)));
    values.extend([Integer::from(&n - 1u32), n.clone(), Integer::from(&n + 1u32), Integer::from(&n * 2u32) - 1u32, Integer::from(m - &n)]);
    values.push((Integer::from(1) << (m.significant_bits() - 1)) - 1u32);
    values.push(Integer::from(m >> 1u32));
    for value in &mut values {
        *value %= m;
    }
    values.resize_with(count.max(values.len()), || random.residue(m));
    values
}

/// dst = a b and dst = a a for all pairs of neighbours.
fn pair_program() -> Program {
    let ops = vec![Op::Mul { dst: 2, a: 0, b: 1 }, Op::Sqr { dst: 3, a: 0 }, Op::Sqr { dst: 4, a: 1 }];
    Program::new(2, ops, vec![3], vec![2, 3, 4], 0, 0).unwrap()
}

fn products_agree(residues: &dyn SquareResidues, a: &[Integer], b: &[Integer], what: &str) {
    let m = residues.modulus().value();
    let pairs: Vec<Integer> = a.iter().zip(b).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let result = residues.run(&pair_program(), &upload(residues, &pairs), None).unwrap();
    let expected: Vec<Integer> = a
        .iter()
        .zip(b)
        .flat_map(|(a, b)| [Integer::from(a * b), Integer::from(a.square_ref()), Integer::from(b.square_ref())])
        .map(|v| v % m)
        .collect();
    assert_same(&expected, &download(residues, &result), what);
}

#[test]
fn products_and_squares_agree_with_gmp_at_the_edges() {
    let token = token!();
    let mut random = Random(1);
    for bits in [512, 520, 1024, 1036, 1536, 2048, 3072, 4096, 6144, 8192] {
        for n in roots(&mut random, bits) {
            for residues in both(token, &n) {
                let values = operands(&mut random, residues.modulus(), 16);
                let (a, b): (Vec<_>, Vec<_>) = values.iter().flat_map(|a| values.iter().map(move |b| (a.clone(), b.clone()))).unzip();
                products_agree(&*residues, &a, &b, &format!("{bits} bits, {:?}", residues.modulus()));
            }
        }
    }
}

#[test]
fn small_moduli_work() {
    let token = token!();
    let mut random = Random(2);
    for n in [3u32, 5, 7, 15, 255, 65_537] {
        for residues in both(token, &Integer::from(n)) {
            let values = operands(&mut random, residues.modulus(), 20);
            products_agree(&*residues, &values, &values.iter().rev().cloned().collect::<Vec<_>>(), &n.to_string());
        }
    }
}

/// Halves at the lazy bound, which no upload makes: the result must be the right residue and inside the range again.
#[test]
fn the_lazy_range_is_closed() {
    let token = token!();
    let mut random = Random(3);
    for bits in [512, 516, 1024, 1036, 2048, 2076, 3072, 4096, 8192] {
        for n in roots(&mut random, bits) {
            for modulus in [Modulus::new(n.clone()).unwrap(), Modulus::square(n.clone()).unwrap()] {
                let m = modulus.value().clone();
                let halves = if modulus.root().is_some() { 2 } else { 1 };
                let form = MontgomeryForm::new(token, modulus).unwrap();
                let mut choices = [0u32, 1].map(Integer::from).to_vec();
                choices.extend([1u32, 2].map(|v| Integer::from(&n * 3u32) - v));
                choices.extend([Integer::from(&n - 1u32), n.clone(), Integer::from(&n + 1u32), random.residue(&n) + &n]);
                let digits: [Vec<Integer>; LANES] =
                    std::array::from_fn(|lane| (0..halves).map(|half| choices[(lane * (half * 2 + 1) + half) % choices.len()].clone()).collect());
                let reversed: [Vec<Integer>; LANES] = std::array::from_fn(|lane| digits[(lane * 3 + 2) % LANES].clone());
                let (a, b) = (lanes(&form, &digits), lanes(&form, &reversed));
                let mut work = form.workspace();
                let mut out = vec![Line::default(); form.width()];
                for square in [false, true] {
                    if square {
                        form.sqr(&mut out, &a, &mut work);
                    } else {
                        form.mul(&mut out, &a, &b, &mut work);
                    }
                    for lane in 0..LANES {
                        let result = digits_of(&form, &out, lane, halves);
                        assert!(result.iter().all(|half| *half < Integer::from(&n * 3u32)), "{bits} bits, lane {lane}: out of range");
                        let value =
                            |digits: &[Integer]| digits.get(1).map_or_else(|| digits[0].clone(), |high| Integer::from(&digits[0] - high * &n));
                        let other = if square { &digits[lane] } else { &reversed[lane] };
                        let r = Integer::from(1) << (52 * form.size()) as u32;
                        let wrong = value(&digits[lane]) * value(other) - value(&result) * r;
                        assert!(wrong.is_divisible(&m), "{bits} bits, lane {lane}, square {square}");
                    }
                }
            }
        }
    }
}

/// Log form at the ends of its ranges, which no table makes: second digits up to R - 1, quotients around R/2.
#[test]
fn the_range_of_log_form_is_closed() {
    let token = token!();
    let mut random = Random(14);
    for bits in [512, 516, 1024, 1036, 2048, 2076, 4096] {
        for n in roots(&mut random, bits) {
            let form = MontgomeryForm::new(token, Modulus::square(n.clone()).unwrap()).unwrap();
            let m = form.modulus().value().clone();
            let r = Integer::from(1) << (52 * form.size()) as u32;
            let mut lows: Vec<Integer> = [1u32, 2].iter().map(|v| Integer::from(&n * 3u32) - v).collect();
            lows.extend([Integer::new(), Integer::from(1), n.clone(), Integer::from(&n - 1u32)]);
            let mut highs: Vec<Integer> = [1u32, 2].iter().map(|v| Integer::from(&r - v)).collect();
            highs.extend([Integer::from(&r >> 1u32), Integer::from(&r >> 1u32) - 1u32, Integer::new(), random.residue(&r)]);
            let mut draw = || -> [Vec<Integer>; LANES] {
                std::array::from_fn(|lane| match lane {
                    0 => vec![lows[0].clone(), highs[0].clone()],
                    _ => vec![lows[random.below(lows.len())].clone(), highs[random.below(highs.len())].clone()],
                })
            };
            let mut work = form.workspace();
            let mut out = vec![Line::default(); form.width()];
            for _ in 0..8 {
                let (x, y) = (draw(), draw());
                form.log_mul(&mut out, &lanes(&form, &x), &lanes(&form, &y), &mut work, &mut Ahead::default(), |_| ());
                for lane in 0..LANES {
                    let z = digits_of(&form, &out, lane, 2);
                    assert!(z[0] < Integer::from(&n * 157u32) / 100u32 + 1u32 && z[1] < r, "{bits} bits, lane {lane}: out of range");
                    // R (x0 - n xh / R), an integer.
                    let value = |digits: &[Integer]| Integer::from(&digits[0] * &r) - Integer::from(&digits[1] * &n);
                    let wrong = value(&x[lane]) * value(&y[lane]) - value(&z) * Integer::from(r.square_ref());
                    assert!(wrong.is_divisible(&m), "{bits} bits, lane {lane}");
                }
            }
            // The end of the longest chain that is allowed: its sum of logs at the bound.
            let top = Integer::from(&n * 157u32) / 100u32;
            let x: [Vec<Integer>; LANES] = std::array::from_fn(|_| vec![top.clone(), Integer::from(&r - 1u32)]);
            let logs = lanes(&form, &std::array::from_fn(|_| vec![top.clone(), Integer::new()]));
            let mut sums: Vec<Line> = logs[..form.size()].iter().map(|line| Line(line.0.map(|limb| limb * form.longest_chain() as u64))).collect();
            form.log_end(&mut out, &lanes(&form, &x), &mut sums, &mut work);
            let z = digits_of(&form, &out, 0, 2);
            assert!(z.iter().all(|digit| *digit < Integer::from(&n * 3u32)), "{bits} bits: out of range");
            let g = Integer::from(&top * form.longest_chain() as u32);
            let expected = Integer::from(&x[0][0] * &r) - (Integer::from(&x[0][1]) + Integer::from(&x[0][0] * &g)) * &n;
            assert!((expected - (Integer::from(&z[0]) - Integer::from(&z[1] * &n)) * &r).is_divisible(&m), "{bits} bits: the end");
        }
    }
}

/// Halves, one list for each lane, as limb-major vectors.
fn lanes(form: &MontgomeryForm, digits: &[Vec<Integer>; LANES]) -> Vec<Line> {
    let mut vectors = vec![Line::default(); form.width()];
    for (lane, halves) in digits.iter().enumerate() {
        for (half, value) in halves.iter().enumerate() {
            for limb in 0..form.size() {
                vectors[half * form.size() + limb].0[lane] = Integer::from(value >> (52 * limb) as u32).keep_bits(52).to_u64().unwrap();
            }
        }
    }
    vectors
}

fn digits_of(form: &MontgomeryForm, vectors: &[Line], lane: usize, halves: usize) -> Vec<Integer> {
    let half = |half: usize| {
        let limbs = (0..form.size()).map(|limb| Integer::from(vectors[half * form.size() + limb].0[lane]) << (52 * limb) as u32);
        assert!(vectors.iter().all(|line| line.0[lane] < 1 << 52), "a limb is too wide");
        limbs.fold(Integer::new(), |sum, limb| sum + limb)
    };
    (0..halves).map(half).collect()
}

#[test]
fn all_batch_lengths_work() {
    let token = token!();
    let mut random = Random(4);
    let n = random.odd(1024);
    for residues in both(token, &n) {
        let m = residues.modulus().value();
        for count in [0, 1, 7, 8, 9, 15, 16, 17, 70] {
            let values: Vec<Integer> = (0..count).map(|_| random.unit(m)).collect();
            let batch = upload(&*residues, &values);
            assert_eq!((batch.len(), batch.is_empty()), (count, count == 0));
            assert_same(&values, &download(&*residues, &batch), "round trip");
            products_agree(&*residues, &values, &values, "products");
            let inverses = residues.invert(&batch).unwrap();
            let expected: Vec<Integer> = values.iter().map(|v| v.clone().invert(m).unwrap()).collect();
            assert_same(&expected, &download(&*residues, &inverses), &format!("{count} inverses"));
            let powers = residues.pow(&batch, Exponents::Shared(&Integer::from(11)), Secrecy::Public).unwrap();
            let expected: Vec<Integer> = values.iter().map(|v| v.clone().pow_mod(&Integer::from(11), m).unwrap()).collect();
            assert_same(&expected, &download(&*residues, &powers), &format!("{count} powers"));
        }
    }
}

/// One operation after the other in rug.
fn expected_run(program: &Program, m: &Integer, inputs: &[Integer], table: &[Integer], digits: &[u16]) -> Vec<Integer> {
    let mut values = inputs.to_vec();
    values.resize(inputs.len() + program.slots(), Integer::new());
    for op in program.ops() {
        let at = |operand: Operand| &values[operand as usize];
        let value = match *op {
            Op::Mul { a, b, .. } => Integer::from(at(a) * at(b)),
            Op::Sqr { a, .. } => Integer::from(at(a).square_ref()),
            Op::MulTable { a, window, .. } => Integer::from(at(a) * &table[window as usize * program.entries() + digits[window as usize] as usize]),
        };
        values[op.dst() as usize] = value % m;
    }
    program.outputs().iter().map(|&o| values[o as usize].clone()).collect()
}

/// A program of `levels` levels of up to `width` operations of all kinds, some in place.
fn random_program(random: &mut Random, inputs: usize, levels: usize, width: usize, windows: usize, entries: usize) -> Program {
    let (mut ops, mut ends) = (Vec::new(), Vec::new());
    let mut ready = inputs;
    for level in 0..levels {
        // Each operation reads what is ready and writes a slot of its own or its own base, which nobody else then reads.
        let first_private = if level == 0 { ready } else { ready - width.min(ready - inputs) };
        for k in 0..width {
            let private = first_private + k;
            let in_place = level > 0 && private < ready && random.below(2) == 0;
            let shared = |random: &mut Random| random.below(first_private.max(1)) as Operand;
            let (a, dst) = if in_place { (private, private) } else { (shared(random) as usize, ready + k) };
            let (a, dst) = (a as Operand, dst as Operand);
            ops.push(match random.below(if windows > 0 { 3 } else { 2 }) {
                0 => Op::Mul { dst, a, b: shared(random) },
                1 => Op::Sqr { dst, a },
                _ => Op::MulTable { dst, a, window: random.below(windows) as u32 },
            });
        }
        ends.push(ops.len());
        // Slots that stayed unwritten because of in-place operations must not be read: write them all in the next step.
        let missing: Vec<usize> = (ready..ready + width).filter(|&slot| !ops.iter().any(|op| op.dst() as usize == slot)).collect();
        if !missing.is_empty() {
            ops.extend(missing.into_iter().map(|slot| Op::Sqr { dst: slot as Operand, a: 0 }));
            ends.push(ops.len());
        }
        ready += width;
    }
    let outputs = (0..5).map(|_| random.below(ready) as Operand).chain([0, ready as Operand - 1]).collect();
    Program::new(inputs, ops, ends, outputs, windows, entries).unwrap()
}

#[test]
fn programs_agree_with_gmp() {
    let token = token!();
    let mut random = Random(5);
    let n = random.odd(512);
    for residues in both(token, &n) {
        let residues = &*residues;
        let m = residues.modulus().value();
        for (inputs, levels, width, windows, entries) in
            [(1, 3, 1, 0, 0), (3, 5, 4, 2, 3), (4, 3, 13, 3, 16), (2, 6, 2, 1, 1), (5, 2, 200, 4, 8), (1, 0, 0, 0, 0)]
        {
            let program = random_program(&mut random, inputs, levels, width, windows, entries);
            for items in [0, 1, 3, 7, 8, 9, 16, 19, 40] {
                let values: Vec<Integer> = (0..items * inputs).map(|_| random.residue(m)).collect();
                // Some tables have entries without inverse.
                let entry = |random: &mut Random| if items % 2 == 0 { random.residue(m) } else { random.unit(m) };
                let table: Vec<Integer> = (0..windows * entries).map(|_| entry(&mut random)).collect();
                let digits: Vec<u16> = (0..items * windows).map(|_| random.below(entries) as u16).collect();
                let table_batch = upload(residues, &table);
                let shape = (windows > 0).then(|| [Digits::new(windows, digits.clone()).unwrap()]);
                let expected: Vec<Integer> = (0..items)
                    .flat_map(|i| expected_run(&program, m, &values[i * inputs..(i + 1) * inputs], &table, &digits[i * windows..(i + 1) * windows]))
                    .collect();
                let agrees = |table: &Resident, form: &str| {
                    let lookup = shape.as_ref().map(|digits| Lookup { table, digits });
                    let result = residues.run(&program, &upload(residues, &values), lookup).unwrap();
                    assert_same(&expected, &download(residues, &result), &format!("{items} items, {levels} levels of {width}, {form}"));
                };
                agrees(&table_batch, "residues as they are");
                agrees(&residues.table(table_batch).unwrap(), "table");
            }
        }
    }
}

/// Products by table entries one after the other: every length around pairs and around the longest chain, entries and values at the edges.
#[test]
fn chains_of_lookups_agree_with_gmp() {
    let token = token!();
    let mut random = Random(13);
    for bits in [512, 516, 1024, 1036, 2048, 2076] {
        for n in roots(&mut random, bits) {
            let residues = residues(token, Modulus::square(n.clone()).unwrap());
            let (residues, m) = (&*residues, residues.modulus().value());
            let longest = MontgomeryForm::new(token, residues.modulus().clone()).unwrap().longest_chain();
            assert!(longest >= 8, "{bits} bits: {longest}");
            for windows in [1, 2, 3, 8, 9, 33] {
                let ops: Vec<Op> = (0..windows as u32)
                    .map(|window| Op::MulTable { dst: 1 + window % 2, a: if window == 0 { 0 } else { 2 - window % 2 }, window })
                    .collect();
                let levels = (1..=windows).collect();
                // With the value before the last one as an output, a chain must stop there.
                let outputs = if windows == 3 { vec![1, 2] } else { vec![2 - windows as u32 % 2] };
                let program = Program::new(1, ops, levels, outputs, windows, 4).unwrap();
                let mut entries: Vec<Integer> =
                    operands(&mut random, residues.modulus(), 0).into_iter().filter(|v| Integer::from(v.gcd_ref(m)) == 1).take(4 * windows).collect();
                entries.resize_with(4 * windows, || random.unit(m));
                let table = residues.table(upload(residues, &entries)).unwrap();
                let values = operands(&mut random, residues.modulus(), 0);
                for items in [1, 7, 8, 9, values.len()] {
                    let digits: Vec<u16> = (0..items * windows).map(|_| random.below(4) as u16).collect();
                    let shape = [Digits::new(windows, digits.clone()).unwrap()];
                    let result = residues.run(&program, &upload(residues, &values[..items]), Some(Lookup { table: &table, digits: &shape })).unwrap();
                    let expected: Vec<Integer> = (0..items)
                        .flat_map(|i| expected_run(&program, m, &values[i..=i], &entries, &digits[i * windows..(i + 1) * windows]))
                        .collect();
                    assert_same(&expected, &download(residues, &result), &format!("{bits} bits, {items} items, {windows} windows"));
                }
            }
            assert!(matches!(residues.download(&residues.table(upload(residues, &[Integer::from(2)])).unwrap()), Err(Error::Unsupported { .. })));
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let token = token!();
    let mut random = Random(6);
    let residues = residues(token, Modulus::square(random.odd(512)).unwrap());
    let program = random_program(&mut random, 4, 4, 150, 0, 0);
    for items in [1, 5, 24] {
        let values: Vec<Integer> = (0..items * 4).map(|_| random.residue(residues.modulus().value())).collect();
        let inputs = upload(&*residues, &values);
        let runs = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| download(&*residues, &residues.run(&program, &inputs, None).unwrap()))
        });
        assert_same(&runs[0], &runs[1], "1 and 2 threads");
        assert_same(&runs[0], &runs[2], "1 and 5 threads");
        let expected: Vec<Integer> = values.chunks(4).flat_map(|v| expected_run(&program, residues.modulus().value(), v, &[], &[])).collect();
        assert_same(&expected, &runs[0], "rug");
    }
}

fn powers_agree(residues: &dyn SquareResidues, bases: &[Integer], exponents: &[Integer], what: &str) {
    let m = residues.modulus().value();
    let batch = upload(residues, bases);
    for secrecy in [Secrecy::Public, Secrecy::Secret] {
        let each: Vec<Integer> = bases.iter().zip(exponents).map(|(b, e)| b.clone().pow_mod(e, m).unwrap()).collect();
        assert_same(
            &each,
            &download(residues, &residues.pow(&batch, Exponents::Each(exponents), secrecy).unwrap()),
            &format!("{what}, each, {secrecy:?}"),
        );
        let shared: Vec<Integer> = bases.iter().map(|b| b.clone().pow_mod(&exponents[0], m).unwrap()).collect();
        assert_same(
            &shared,
            &download(residues, &residues.pow(&batch, Exponents::Shared(&exponents[0]), secrecy).unwrap()),
            &format!("{what}, shared, {secrecy:?}"),
        );
    }
}

#[test]
fn powers_agree_with_gmp() {
    let token = token!();
    let mut random = Random(7);
    for bits in [512, 1024, 2048] {
        let n = random.odd(bits);
        for residues in both(token, &n) {
            for exponent_bits in [0, 1, 2, 7, 53, 64, 65, 200, 512] {
                let bases = operands(&mut random, residues.modulus(), 13);
                let mut exponents: Vec<Integer> = bases.iter().map(|_| random.bits(exponent_bits)).collect();
                // Short exponents next to long ones, zero next to base zero.
                exponents[0] = Integer::new();
                exponents.rotate_left(usize::from(exponent_bits > 2));
                exponents[1] = (Integer::from(1) << exponent_bits) - 1u32;
                powers_agree(&*residues, &bases, &exponents, &format!("{bits} bits, exponent {exponent_bits}"));
            }
        }
    }
}

#[test]
fn the_first_number_without_inverse_is_named() {
    let token = token!();
    let mut random = Random(8);
    let (p, q) = ((Integer::from(1) << 255u32) - 19u32, random.odd(257));
    let n = Integer::from(&p * &q);
    for residues in both(token, &n) {
        let mut values: Vec<Integer> = (0..21).map(|_| random.unit(&n)).collect();
        assert!(residues.invert(&upload(&*residues, &values)).is_ok());
        values[17] = Integer::new();
        values[11] = Integer::from(&p * 5u32);
        let error = residues.invert(&upload(&*residues, &values)).err().unwrap();
        assert!(matches!(error, Error::NotInvertible { index: 11, bits } if bits == residues.modulus().bits()), "{error}");
    }
}

#[test]
fn published_edge_vectors_hold() {
    let token = token!();
    let text = include_str!("../../../tests/vectors/modarith_edges.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let number = |value: &serde_json::Value| Integer::from_str_radix(value.as_str().unwrap(), 16).unwrap();
    let numbers = |list: &serde_json::Value, name: &str| list.as_array().unwrap().iter().map(|case| number(&case[name])).collect::<Vec<_>>();
    let (mut products, mut powers) = (0, 0);
    for group in file["groups"].as_array().unwrap() {
        let residues = residues(token, Modulus::new(number(&group["modulus"])).unwrap());
        let (a, b, ab) = (numbers(&group["mulmod"], "a"), numbers(&group["mulmod"], "b"), numbers(&group["mulmod"], "ab"));
        let pairs: Vec<Integer> = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
        let program = Program::new(2, vec![Op::Mul { dst: 2, a: 0, b: 1 }], vec![1], vec![2], 0, 0).unwrap();
        assert_same(
            &ab,
            &download(&*residues, &residues.run(&program, &upload(&*residues, &pairs), None).unwrap()),
            &group["modulus_kind"].to_string(),
        );
        let (base, exponent, result) = (numbers(&group["powm"], "base"), numbers(&group["powm"], "exp"), numbers(&group["powm"], "res"));
        let found = residues.pow(&upload(&*residues, &base), Exponents::Each(&exponent), Secrecy::Public).unwrap();
        assert_same(&result, &download(&*residues, &found), &group["modulus_kind"].to_string());
        products += ab.len();
        powers += result.len();
    }
    assert!(products >= 400 && powers >= 400, "{products} products and {powers} powers");
}

#[test]
fn what_does_not_fit_is_refused() {
    let token = token!();
    let mut random = Random(9);
    let n = random.odd(512);
    let [plain, square] = both(token, &n);
    let width = plain.modulus().width();
    let batch = |value: &Integer, width: usize| Limbs::from_integers([value], width).unwrap();
    assert!(matches!(plain.upload(&batch(&n, width)), Err(Error::OutOfRange { .. })));
    assert!(matches!(plain.upload(&batch(&Integer::from(&n + 1u32), width)), Err(Error::OutOfRange { .. })));
    assert!(plain.upload(&batch(&Integer::from(&n - 1u32), width)).is_ok());
    assert!(matches!(plain.upload(&batch(&Integer::from(1), width + 1)), Err(Error::Size { .. })));
    let one = upload(&*plain, &[Integer::from(1)]);
    assert!(matches!(square.download(&one), Err(Error::Unsupported { .. })));
    assert!(matches!(plain.pow(&one, Exponents::Each(&[]), Secrecy::Public), Err(Error::Size { .. })));
    assert!(matches!(plain.pow(&one, Exponents::Shared(&Integer::from(-1)), Secrecy::Secret), Err(Error::OutOfRange { .. })));
    assert!(matches!(plain.download(&Resident::new(1, 7u8)), Err(Error::Unsupported { .. })));
    assert!(matches!(plain.run(&pair_program(), &one, None), Err(Error::Size { .. })));
    let wide = (Integer::from(1) << 20_000u32) + 1u32;
    assert!(matches!(Ifma::new(token, Control::default()).prepare(vec![Modulus::new(wide).unwrap()]), Err(Error::Unsupported { .. })));
}

#[test]
fn the_backend_can_be_disabled() {
    let error = super::detect(true, &Control::default()).err().unwrap();
    assert!(matches!(error, Error::BackendUnavailable { backend: "ifma", .. }), "{error}");
    let _ = token!();
    assert_eq!(super::detect(false, &Control::default()).unwrap().id(), BackendId::Ifma);
}

/// The comparison of these tests must see a single wrong limb, in any place of a row.
#[test]
fn one_wrong_limb_is_seen() {
    let token = token!();
    let mut random = Random(10);
    let engine = Engine::new(MontgomeryForm::new(token, Modulus::square(random.odd(512)).unwrap()).unwrap(), Control::default());
    let form = engine.form();
    let m = form.modulus().value();
    let value = random.residue(m);
    let row = form.row(&value);
    for limb in (0..form.size()).chain(form.size()..2 * form.size()) {
        let mut wrong = row.clone();
        wrong[limb / LANES].0[limb % LANES] ^= 1;
        let mut products = vec![Line::default(); row.len()];
        engine.products(&mut products, |_| [&row, &row]);
        let right = residue(form, |limb| products[limb / LANES].0[limb % LANES]);
        engine.products(&mut products, |_| [&wrong, &row]);
        assert_eq!(difference(&[right], &[residue(form, |limb| products[limb / LANES].0[limb % LANES])]), Some(0), "limb {limb}");
    }
}

/// From all corners of the lazy range, where the digits that leave are n + 1, n, 0 and their neighbours.
#[test]
fn what_leaves_is_canonical() {
    let token = token!();
    let mut random = Random(13);
    for bits in [64, 256, 512, 1024] {
        for n in roots(&mut random, bits) {
            for modulus in [Modulus::square(n.clone()).unwrap(), Modulus::new(n.clone()).unwrap()] {
                let form = MontgomeryForm::new(token, modulus).unwrap();
                let (h, m, mut work) = (form.size(), form.modulus().value(), form.workspace());
                let r = Integer::from(1) << (52 * h) as u32;
                let three = Integer::from(&n * 3u32);
                let small = |factor: u32, less: i32| Integer::from(&r * factor) % &n - less;
                let corners: Vec<Integer> =
                    [Integer::new(), Integer::from(1), n.clone() - 1u32, n.clone(), n.clone() + 1u32, three.clone() - 1u32, small(1, 1), small(2, 0)]
                        .into_iter()
                        .map(|digit| digit.modulo(&three))
                        .collect();
                let mut out = vec![Line::default(); form.width()];
                for turn in 0..LANES {
                    let mut vectors = vec![Line::default(); form.width()];
                    let digits = |lane: usize| [&corners[lane], &corners[(lane + turn) % LANES]];
                    for lane in 0..LANES {
                        for (half, digit) in digits(lane).into_iter().enumerate().take(form.limbs() / h) {
                            to_limbs(&digit.to_digits(Order::Lsf), vectors[half * h..(half + 1) * h].iter_mut().map(|line| &mut line.0[lane]));
                        }
                    }
                    form.leave(&mut out, &vectors, &mut work);
                    for lane in 0..LANES {
                        let [low, high] = digits(lane);
                        let value = if form.limbs() > h { low - Integer::from(high * &n) } else { low.clone() };
                        let expected = (value.modulo(m) * Integer::from(r.invert_ref(m).unwrap())).modulo(m);
                        let mut words = vec![0; form.modulus().width()];
                        from_limbs(|i| if i < form.limbs() { out[i].0[lane] } else { 0 }, &mut words);
                        assert_eq!(Integer::from_digits(&words, Order::Lsf), expected, "{bits} bits, turn {turn}, lane {lane}");
                        assert!(out[..form.limbs()].iter().all(|line| line.0[lane] >> 52 == 0));
                    }
                }
            }
        }
    }
}

#[test]
fn joined_residues_agree_with_gmp() {
    let token = token!();
    let mut random = Random(14);
    // The last pair has more limbs than the lanes join.
    for (p_bits, q_bits) in [(64, 64), (255, 256), (512, 500), (1024, 1024), (1040, 1024), (8400, 512)] {
        for (p, q) in roots(&mut random, p_bits).into_iter().zip(roots(&mut random, q_bits)) {
            let [m, other] = [p, q].map(|root| Modulus::square(root).unwrap());
            let residues = Ifma::new(token, Control::default()).prepare(vec![m.clone(), other.clone()]).unwrap();
            for count in [0, 1, 7, 8, 9, 70] {
                let mut values = |modulus: &Modulus| -> Vec<Integer> {
                    let top = Integer::from(modulus.value() - 1u32);
                    (0..count)
                        .map(|i| {
                            if i % 3 == 0 {
                                top.clone()
                            } else if i % 5 == 1 {
                                Integer::new()
                            } else {
                                random.residue(modulus.value())
                            }
                        })
                        .collect()
                };
                let (x, y) = (values(&m), values(&other));
                let batch = |values: &[Integer], modulus: &Modulus| Limbs::from_integers(values, modulus.width()).unwrap();
                let joined = residues.join(&[batch(&x, &m), batch(&y, &other)]).unwrap().to_integers();
                let product = Integer::from(m.value() * other.value());
                let expected: Vec<Integer> = x.iter().zip(&y).map(|(x, y)| (Integer::from(x * other.value()) + y * m.value()) % &product).collect();
                assert_eq!(difference(&expected, &joined), None, "{p_bits} and {q_bits} bits, {count}");
            }
            assert!(matches!(residues.join(&[Limbs::zeros(2, m.width()), Limbs::zeros(1, other.width())]), Err(Error::Size { .. })));
        }
    }
}

#[test]
fn layouts_and_tables_are_read_as_written() {
    let token = token!();
    let mut random = Random(11);
    let mut lines = |count: usize| (0..count).map(|_| Line(std::array::from_fn(|_| random.word()))).collect::<Vec<Line>>();
    for row in [1, 3, 10] {
        let rows = lines(LANES * row);
        let mut vectors = vec![Line::default(); LANES * row];
        gather(token, starts(row).map(|start| &rows[start..start + row]), &mut vectors);
        for limb in 0..LANES * row {
            for lane in 0..LANES {
                assert_eq!(vectors[limb].0[lane], rows[lane * row + limb / LANES].0[limb % LANES]);
            }
        }
        let mut back = vec![Line::default(); LANES * row];
        scatter(token, &vectors, &mut back, &starts(row)[..5]);
        assert_eq!((&back[..5 * row], &back[5 * row..]), (&rows[..5 * row], &vec![Line::default(); 3 * row][..]));
        let (entries, width) = (9, LANES * row);
        let table = lines(entries * width);
        let digits = Line([0, 8, 3, 3, 1, 7, 2, 5]);
        let (mut scanned, mut picked) = (vec![Line::default(); width], vec![Line::default(); width]);
        scan(token, &table, digits, &mut scanned);
        pick_vartime(token, &table, digits, &mut picked);
        let expected: Vec<Line> = (0..width).map(|i| Line(std::array::from_fn(|lane| table[digits.0[lane] as usize * width + i].0[lane]))).collect();
        assert_eq!((&scanned, &picked), (&expected, &expected));
    }
}

#[test]
#[ignore = "minutes"]
fn a_million_products_and_a_hundred_thousand_powers_agree_with_gmp() {
    let token = token!();
    let mut random = Random(12);
    for bits in [512, 1024, 1536, 2048, 3072] {
        for n in roots(&mut random, bits) {
            for residues in both(token, &n) {
                let m = residues.modulus().value();
                for _ in 0..12 {
                    let mut draw = || (0..1000).map(|_| random.residue(m)).collect::<Vec<_>>();
                    products_agree(&*residues, &draw(), &draw(), "long run");
                }
                let bases: Vec<Integer> = (0..900).map(|_| random.residue(m)).collect();
                let exponents: Vec<Integer> = (0..900).map(|_| random.bits(24)).collect();
                powers_agree(&*residues, &bases, &exponents, "long run");
            }
        }
    }
}
