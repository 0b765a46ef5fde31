//! The equivalence suite: what every backend owes, checked against the oracle bit for bit. `cargo test` and `cipherlane verify` both run it.
//!
//! Random operands do not find lazy carries, so moduli and operands are chosen at the edges: all ones, 2^(b-1) + 1, values next to 0, to the modulus and to
//! its root, in batches around the lane counts.
//!
//! Schemes of their own arithmetic owe laws of their own: [`eivhe`].

mod check;
pub mod eivhe;
mod multi_modulus;

pub use check::{Check, Effort, compare};

use std::sync::Arc;

use crate::backend::{self, Backend, BackendId, Digits, Exponents, Lookup, Resident, Secrecy, SquareResidues};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::fixed_base::FixedBase;
use crate::plan::matvec::{MatVec, Method};
use crate::plan::{Op, Program, Weights};
use crate::randomness::{Purpose, Stream, Tape};
use crate::scheme::paillier::{Encryption, Layout, Options, Paillier, SecretKey};
use crate::scheme::{Inputs, LinearInference, LinearMap};
use check::{all_ones, operands};

/// Batch lengths around the lane counts of all backends.
const LENGTHS: [usize; 10] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 33];

/// Compares a backend with the oracle. `report` hears of every passed check and may end the suite by an error;
/// `control` can stop the oracle's part in between.
///
/// # Errors
/// [`Error::Disagreement`] at the first difference; whatever the backend itself reports.
pub fn suite(backend: &dyn Backend, effort: Effort, control: &Control, report: &mut dyn FnMut(&Check) -> Result<()>) -> Result<()> {
    let oracle = backend::open_under(BackendId::Reference, control)?;
    let mut stream = Tape::replayable(2024).stream(Purpose::Sample, 0);
    for modulus in moduli(effort, &mut stream)? {
        let name = format!("{} bits{}{}", modulus.bits(), if modulus.root().is_some() { ", square" } else { "" }, shape(&modulus));
        let pair = Pair { oracle: oracle.prepare(vec![modulus.clone()])?, candidate: backend.prepare(vec![modulus.clone()])?, name };
        for (what, check) in [
            ("products", products as fn(&Pair, Effort, &mut Stream) -> Result<usize>),
            ("chains", chains),
            ("powers", powers),
            ("tables", tables),
            ("inverses", inverses),
            ("refusals", refusals),
        ] {
            report(&Check { cases: check(&pair, effort, &mut stream)?, name: format!("{what}, {}", pair.name) })?;
        }
    }
    for moduli in multi_modulus::families(effort, &mut stream)? {
        let bits = moduli.iter().map(|modulus| modulus.bits().to_string()).collect::<Vec<_>>().join(", ");
        let squares = if moduli.iter().all(|modulus| modulus.root().is_some()) { ", squares" } else { "" };
        let cases = multi_modulus::together(oracle.as_ref(), backend, &moduli, &mut stream)?;
        report(&Check { cases, name: format!("moduli at once, {bits} bits{squares}") })?;
    }
    for (bits, count) in if effort == Effort::Long { vec![(512, 3), (2048, 1)] } else { vec![(512, 1)] } {
        report(&Check { cases: inference(backend, bits, count, control)?, name: format!("encrypted inference, {bits}-bit key") })?;
    }
    Ok(())
}

/// The same arithmetic on both sides.
struct Pair {
    oracle: Arc<dyn SquareResidues>,
    candidate: Arc<dyn SquareResidues>,
    name: String,
}

impl Pair {
    fn modulus(&self) -> &Modulus {
        self.oracle.modulus()
    }

    fn limbs(&self, values: &[Integer]) -> Result<Limbs> {
        Limbs::from_integers(values, self.modulus().width())
    }

    /// Runs `work` on both joint over the same values and compares all bits.
    fn same(&self, what: &str, values: &[Integer], work: &dyn Fn(&dyn SquareResidues, Resident) -> Result<Resident>) -> Result<usize> {
        let limbs = self.limbs(values)?;
        let run = |residues: &dyn SquareResidues| residues.upload(&limbs).and_then(|v| work(residues, v)).and_then(|r| residues.download(&r));
        compare(&format!("{what} ({})", self.name), &run(self.oracle.as_ref())?, &run(self.candidate.as_ref())?)
    }
}

fn shape(modulus: &Modulus) -> &'static str {
    let base = modulus.root().unwrap_or_else(|| modulus.value());
    let bits = base.significant_bits();
    if *base == all_ones(bits) {
        ", all ones"
    } else if *base == (Integer::from(1) << (bits - 1)) + 1u32 {
        ", 2^k + 1"
    } else {
        ""
    }
}

/// Moduli at the edges: all ones, 2^(b-1) + 1 and a random one, plain and as squares.
fn moduli(effort: Effort, stream: &mut Stream) -> Result<Vec<Modulus>> {
    let sizes: &[u32] = if effort == Effort::Long { &[64, 256, 512, 1024, 1536, 2048, 3072, 4096] } else { &[64, 512, 1024] };
    let mut moduli = Vec::new();
    for &bits in sizes {
        let mut random = stream.bits(bits);
        random.set_bit(0, true).set_bit(bits - 1, true);
        for base in [all_ones(bits), (Integer::from(1) << (bits - 1)) + 1u32, random] {
            moduli.push(Modulus::square(base.clone())?);
            moduli.push(Modulus::new(base)?);
        }
    }
    Ok(moduli)
}

fn products(pair: &Pair, effort: Effort, stream: &mut Stream) -> Result<usize> {
    let random = if effort == Effort::Long { 40 } else { 6 };
    let values = operands(pair.modulus(), random, stream);
    let pairs: Vec<Integer> = values.iter().flat_map(|a| values.iter().flat_map(move |b| [a.clone(), b.clone()])).collect();
    let single = Program::single_product()?;
    let mut cases = pair.same("a b", &pairs, &|residues, v| residues.run(&single, &v, None))?;
    for length in LENGTHS {
        cases += pair
            .same("a b in a short batch", &pairs[pairs.len() - 2 * length.min(pairs.len() / 2)..], &|residues, v| residues.run(&single, &v, None))?;
    }
    if let Some(root) = pair.modulus().root() {
        for factor in [Integer::new(), Integer::from(1), Integer::from(root - 1u32), stream.bits(root.significant_bits() + 9)] {
            cases += pair.same("1 + r f v", &values, &|residues, v| residues.one_plus(&residues.download(&v)?, std::slice::from_ref(&factor)))?;
        }
    }
    let square = Program::new(1, vec![Op::Sqr { dst: 1, a: 0 }], vec![1], vec![1, 0], 0, 0)?;
    Ok(cases + pair.same("a^2", &values, &|residues, v| residues.run(&square, &v, None))?)
}

/// Many operations in a row without a look at the result, in place and with recycled slots; one item alone and several together.
fn chains(pair: &Pair, effort: Effort, stream: &mut Stream) -> Result<usize> {
    let mut ops = vec![Op::Mul { dst: 4, a: 0, b: 1 }, Op::Mul { dst: 5, a: 2, b: 3 }];
    let mut levels = vec![2];
    for step in 0..if effort == Effort::Long { 400 } else { 60 } {
        ops.extend([Op::Sqr { dst: 4, a: 4 }, Op::Mul { dst: 5, a: 5, b: step % 4 }]);
        levels.push(ops.len());
        ops.push(Op::Mul { dst: 4, a: 4, b: 5 });
        levels.push(ops.len());
    }
    let program = Program::new(4, ops, levels, vec![4, 5, 0], 0, 0)?;
    let mut cases = 0;
    for items in [1, 2, 9] {
        let mut values = operands(pair.modulus(), 4 * items, stream);
        values.reverse();
        values.truncate(4 * items);
        cases += pair.same("chain", &values, &|residues, v| residues.run(&program, &v, None))?;
    }
    let weights: Vec<i32> = (0..3 * 24).map(|i| [0, 1, -1, 127, -128, 5, -77, 64][i % 8] * (1 - (i / 40) as i32 * 2)).collect();
    let weights = Weights::new(3, 24, weights)?;
    for method in Method::ALL {
        let plan = MatVec::plan(&weights, Some(method))?;
        for items in [1, 3] {
            let values: Vec<Integer> = (0..24 * items).map(|_| stream.below(pair.modulus().value())).collect();
            cases += pair.same(method.name(), &values, &|residues, v| residues.run(&plan.program, &v, None))?;
        }
    }
    Ok(cases)
}

fn powers(pair: &Pair, effort: Effort, stream: &mut Stream) -> Result<usize> {
    let m = pair.modulus();
    let bases = operands(m, if effort == Effort::Long { 16 } else { 2 }, stream);
    let bits = m.bits().min(if effort == Effort::Long { 512 } else { 96 });
    let mut exponents: Vec<Integer> = [0u32, 1, 2, 3, 65_537].map(Integer::from).to_vec();
    exponents.extend([all_ones(bits), Integer::from(1) << (bits - 1), stream.bits(bits)]);
    let mut cases = 0;
    for secrecy in [Secrecy::Public, Secrecy::Secret] {
        for exponent in &exponents {
            cases += pair.same("power", &bases, &|residues, v| residues.pow(&v, Exponents::Shared(exponent), secrecy))?;
        }
        let each: Vec<Integer> = (0..bases.len()).map(|i| exponents[i % exponents.len()].clone()).collect();
        cases += pair.same("powers with exponents of their own", &bases, &|residues, v| residues.pow(&v, Exponents::Each(&each), secrecy))?;
    }
    for length in LENGTHS.iter().filter(|&&l| l <= bases.len()) {
        cases += pair
            .same("powers in a short batch", &bases[..*length], &|residues, v| residues.pow(&v, Exponents::Shared(&exponents[4]), Secrecy::Public))?;
    }
    Ok(cases)
}

fn tables(pair: &Pair, _effort: Effort, stream: &mut Stream) -> Result<usize> {
    let plan = FixedBase::plan(20, 3)?;
    let m = pair.modulus().value();
    let mut cases = 0;
    for items in [0, 1, 8, 9] {
        let starts: Vec<Integer> = (0..items).map(|_| stream.below(m)).collect();
        let base = [stream.below(m), Integer::from(1) % m, stream.below(m)];
        let digits: Vec<u16> = (0..items * plan.windows())
            .map(|i| {
                if i < 7 {
                    7
                } else if i < 14 {
                    0
                } else {
                    stream.bits(3).to_u16().unwrap_or(0)
                }
            })
            .collect();
        cases += pair.same("table", &base, &|residues, v| residues.run(plan.build(), &v, None))?;
        let units = loop {
            let base = [stream.below(m), Integer::from(1) % m, stream.below(m)];
            if base.iter().all(|value| Integer::from(value.gcd_ref(m)) == 1) {
                break pair.limbs(&base)?;
            }
        };
        // A backend may prepare tables of units in another way than those with entries that have no inverse.
        for (base, prepared) in [(pair.limbs(&base)?, false), (pair.limbs(&base)?, true), (units, true)] {
            cases += pair.same("times a power by table", &starts, &|residues, v| {
                let entries = residues.run(plan.build(), &residues.upload(&base)?, None)?;
                let table = if prepared { residues.table(entries)? } else { entries };
                let digits = [Digits::new(plan.windows(), digits.clone())?];
                residues.run(plan.apply(), &v, Some(Lookup { table: &table, digits: &digits }))
            })?;
        }
    }
    Ok(cases)
}

fn inverses(pair: &Pair, _effort: Effort, stream: &mut Stream) -> Result<usize> {
    let m = pair.modulus().value();
    let units: Vec<Integer> = operands(pair.modulus(), 12, stream).into_iter().filter(|v| Integer::from(v.gcd_ref(m)) == 1).collect();
    let mut cases = 0;
    for length in LENGTHS.iter().filter(|&&l| l <= units.len()) {
        cases += pair.same("inverse", &units[..*length], &|residues, v| residues.invert(&v))?;
    }
    // A value without an inverse must be named, wherever it stands.
    for position in [0, units.len() / 2, units.len()] {
        let mut values = units.clone();
        values.insert(position, pair.modulus().root().cloned().unwrap_or_default());
        let limbs = pair.limbs(&values)?;
        match pair.candidate.upload(&limbs).and_then(|v| pair.candidate.invert(&v)) {
            Err(Error::NotInvertible { index, .. }) if index == position => cases += 1,
            other => {
                return Err(Error::Disagreement {
                    what: format!("inverse of a non-unit ({})", pair.name),
                    expected: format!("an error naming value {position}"),
                    actual: other.map_or_else(|e| e.to_string(), |_| "a result".into()),
                });
            }
        }
    }
    Ok(cases)
}

/// What must be refused: values that are not reduced, batches of another width, inputs that do not divide into items, negative exponents.
fn refusals(pair: &Pair, _effort: Effort, _stream: &mut Stream) -> Result<usize> {
    let residues = pair.candidate.as_ref();
    let m = pair.modulus();
    let one = residues.upload(&pair.limbs(&[Integer::from(1)])?)?;
    let mut attempts: Vec<(&str, Result<Resident>)> = vec![
        ("a value of modulus size", residues.upload(&pair.limbs(&[m.value().clone()])?)),
        ("a batch of another width", residues.upload(&Limbs::zeros(1, m.width() + 1))),
        ("half an item", residues.run(&Program::single_product()?, &one, None)),
        ("a negative exponent", residues.pow(&one, Exponents::Shared(&Integer::from(-1)), Secrecy::Public)),
        ("too few exponents", residues.pow(&one, Exponents::Each(&[]), Secrecy::Public)),
        ("a table that is missing", residues.run(FixedBase::plan(4, 2)?.apply(), &one, None)),
        ("a pick beyond the end", residues.gather(&[&one], &[(0, 1)])),
    ];
    let top = all_ones(64 * m.width() as u32);
    if top != *m.value() {
        attempts.push(("all ones", residues.upload(&pair.limbs(&[top])?)));
    }
    for (what, result) in &attempts {
        if result.is_ok() {
            return Err(Error::Disagreement { what: format!("{what} ({})", pair.name), expected: "an error".into(), actual: "a result".into() });
        }
    }
    Ok(attempts.len())
}

/// The whole of encrypted inference on edge weights and inputs, every encryption, layout and plan: results equal the integers', ciphertexts equal the oracle's.
fn inference(backend: &dyn Backend, bits: u32, rounds: usize, control: &Control) -> Result<usize> {
    let oracle = backend::open_under(BackendId::Reference, control)?;
    let secret = SecretKey::generate(bits, false, true, &Tape::replayable(u64::from(bits)), control)?;
    let mut weights = vec![0; 5];
    weights.extend([0, 1, 0, 0, 0]);
    weights.extend([-1; 5]);
    weights.extend([-128; 5]);
    weights.extend([127; 5]);
    weights.extend([3, -128, 0, 77, -1]);
    let map = LinearMap::new(Weights::new(6, 5, weights)?, vec![0, -5, 1 << 20, 0, -(1 << 20), 17], 255)?;
    let mut stream = Tape::replayable(3).stream(Purpose::Sample, 1);
    let layouts = [Layout::Batch { images: None }, Layout::Single { inputs_per_ciphertext: None }, Layout::Single { inputs_per_ciphertext: Some(2) }];
    let mut cases = 0;
    for round in 0..rounds as u64 {
        let values: Vec<u16> = (0..5 * 23)
            .map(|i| {
                if i < 5 {
                    255
                } else if i < 10 {
                    0
                } else {
                    stream.bits(8).to_u16().unwrap_or(0)
                }
            })
            .collect();
        let inputs = Inputs::new(&values, 5)?;
        let expected: Vec<i64> = (0..inputs.images()).flat_map(|i| map.apply(inputs.image(i))).collect();
        for (encryption, layout) in Encryption::ALL.into_iter().flat_map(|encryption| layouts.map(|layout| (encryption, layout))) {
            let run = |backend: &dyn Backend, method| -> Result<(Limbs, Vec<i64>)> {
                let options = Options { method, layout, images: inputs.images(), ..Options::new(encryption) };
                let mut service = Paillier::new(backend, &secret, map.clone(), options, Tape::replayable(round))?;
                let plaintexts = service.encode(&inputs)?;
                let query = service.encrypt(plaintexts)?;
                let loaded = service.upload(query)?;
                let evaluated = service.evaluate(loaded)?;
                let answer = service.download(evaluated)?;
                let values = answer.values().clone();
                let decrypted = service.decrypt(answer)?;
                Ok((values, service.decode(decrypted, inputs.images())?))
            };
            let (bits_expected, _) = run(oracle.as_ref(), Some(Method::Naive))?;
            for method in Method::ALL {
                let (bits_actual, results) = run(backend, Some(method))?;
                cases += compare(&format!("ciphertexts of {method}, {encryption}, {layout:?}"), &bits_expected, &bits_actual)?;
                if results != expected {
                    return Err(Error::Disagreement {
                        what: format!("results of {method}, {encryption}, {layout:?}"),
                        expected: format!("{expected:?}"),
                        actual: format!("{results:?}"),
                    });
                }
            }
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Residues;

    fn check(id: BackendId, effort: Effort) {
        let backend = match backend::open(id) {
            Ok(backend) => backend,
            Err(Error::BackendUnavailable { reason, .. }) => return println!("skipped: {id} is not available here: {reason}"),
            Err(other) => panic!("{other}"),
        };
        let mut cases = 0;
        suite(backend.as_ref(), effort, &Control::default(), &mut |check| {
            cases += check.cases;
            Ok(())
        })
        .unwrap();
        println!("{id}: {cases} results compared");
        assert!(cases > 10_000, "{cases}");
    }

    #[test]
    fn every_backend_gives_the_bits_of_the_oracle() {
        BackendId::ALL.into_iter().filter(|&id| id != BackendId::Reference).for_each(|id| check(id, Effort::Quick));
    }

    #[test]
    #[ignore = "minutes"]
    fn every_backend_gives_the_bits_of_the_oracle_at_length() {
        BackendId::ALL.into_iter().filter(|&id| id != BackendId::Reference).for_each(|id| check(id, Effort::Long));
    }

    #[test]
    fn a_single_wrong_bit_is_caught() {
        let right = Limbs::from_integers(&[Integer::from(5), Integer::from(6)], 3).unwrap();
        for at in 0..right.words().len() {
            let mut wrong = right.clone();
            wrong.words_mut()[at] ^= 1 << (7 * at);
            assert!(matches!(compare("planted", &right, &wrong), Err(Error::Disagreement { .. })));
        }
        assert!(compare("lengths", &right, &Limbs::zeros(1, 3)).is_err());
        assert!(compare("widths", &right, &Limbs::zeros(2, 2)).is_err());
    }

    #[test]
    fn a_backend_that_errs_in_one_product_of_many_is_caught() {
        struct Faulty(Box<dyn Backend>);
        struct FaultyResidues(Arc<dyn SquareResidues>);
        impl Backend for Faulty {
            fn id(&self) -> BackendId {
                self.0.id()
            }
            fn device(&self) -> backend::Device {
                self.0.device()
            }
            fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
                Ok(Arc::new(FaultyResidues(self.0.prepare(moduli)?)))
            }
        }
        impl SquareResidues for FaultyResidues {}
        impl Residues for FaultyResidues {
            fn moduli(&self) -> &[Modulus] {
                self.0.moduli()
            }
            fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
                self.0.upload_each(values)
            }
            fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
                let right = self.0.run(program, inputs, lookup)?;
                if right.len() < 300 {
                    return Ok(right);
                }
                let mut limbs = self.0.download_each(&right)?;
                // One less in a single limb keeps the value reduced.
                let middle = limbs[0].words().len() / 2;
                if let Some(word) = limbs[0].words_mut()[middle..].iter_mut().find(|word| **word > 0) {
                    *word -= 1;
                }
                self.0.upload_each(&limbs)
            }
            fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
                self.0.pow(bases, exponents, secrecy)
            }
            fn invert(&self, values: &Resident) -> Result<Resident> {
                self.0.invert(values)
            }
            fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
                self.0.gather(sources, picks)
            }
            fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>> {
                self.0.download_each(values)
            }
        }
        let faulty = Faulty(backend::open(BackendId::Gmp).unwrap());
        assert!(matches!(suite(&faulty, Effort::Quick, &Control::default(), &mut |_| Ok(())), Err(Error::Disagreement { .. })));
    }
}
