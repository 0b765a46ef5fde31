//! Several moduli at once against one after the other.

use std::ops::Range;

use super::check::{Effort, all_ones, compare, operands};
use crate::backend::{Backend, Digits, Exponents, Lookup, Resident, Secrecy, SquareResidues};
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::fixed_base::FixedBase;
use crate::plan::{Op, Program};
use crate::randomness::Stream;

/// Moduli for one batch: of one length and of several, at the edges, squares and others.
pub(super) fn families(effort: Effort, stream: &mut Stream) -> Result<Vec<Vec<Modulus>>> {
    let mut random = |bits: u32| {
        let mut n = stream.bits(bits);
        n.set_bit(0, true).set_bit(bits - 1, true);
        n
    };
    let mut families = vec![
        vec![Modulus::square(random(512))?, Modulus::square(random(512))?],
        vec![Modulus::square(all_ones(256))?, Modulus::square((Integer::from(1) << 191u32) + 1u32)?, Modulus::square(random(256))?],
        vec![Modulus::new(all_ones(512))?, Modulus::new(random(450))?],
        vec![Modulus::square(random(64))?],
    ];
    if effort == Effort::Long {
        for bits in [1024, 2048] {
            families.push(vec![Modulus::square(all_ones(bits))?, Modulus::square(random(bits))?]);
        }
    }
    Ok(families)
}

/// A verb on the residues of all moduli, or of those in a range alone.
type Work<'a> = &'a dyn Fn(&dyn SquareResidues, Range<usize>, Resident) -> Result<Resident>;

/// Several moduli at once: every verb against the oracle's for each of them.
pub(super) fn together(oracle: &dyn Backend, backend: &dyn Backend, moduli: &[Modulus], stream: &mut Stream) -> Result<usize> {
    let oracles = moduli.iter().map(|modulus| oracle.prepare(vec![modulus.clone()])).collect::<Result<Vec<_>>>()?;
    let joint = backend.prepare(moduli.to_vec())?;
    let limbs = |values: &[Integer], modulus: &Modulus| Limbs::from_integers(values, modulus.width());
    let same = |what: &str, values: &[Limbs], work: Work<'_>| -> Result<usize> {
        let actual = joint.download_each(&work(joint.as_ref(), 0..moduli.len(), joint.upload_each(values)?)?)?;
        let mut cases = 0;
        for (number, (one, values)) in oracles.iter().zip(values).enumerate() {
            let expected = one.download(&work(one.as_ref(), number..number + 1, one.upload(values)?)?)?;
            cases += compare(&format!("{what}, modulus {number} of {}", moduli.len()), &expected, &actual[number])?;
        }
        Ok(cases)
    };
    let program = Program::new(
        2,
        vec![Op::Mul { dst: 2, a: 0, b: 1 }, Op::Sqr { dst: 3, a: 2 }, Op::Mul { dst: 2, a: 3, b: 0 }],
        vec![1, 2, 3],
        vec![2, 1],
        0,
        0,
    )?;
    let plan = FixedBase::plan(20, 3)?;
    let exponents: Vec<Integer> = (0..moduli.len() as u32).map(|number| all_ones(70) - stream.bits(60) * number).collect();
    let factors: Vec<Integer> = moduli.iter().map(|modulus| stream.below(modulus.value())).collect();
    let is_unit = |value: &Integer, modulus: &Modulus| Integer::from(value.gcd_ref(modulus.value())) == 1;
    let mut cases = 0;
    for items in [0, 1, 2, 9] {
        let values = moduli
            .iter()
            .map(|modulus| {
                let mut values = operands(modulus, 2 * items, stream);
                values.reverse();
                values.truncate(2 * items);
                limbs(&values, modulus)
            })
            .collect::<Result<Vec<_>>>()?;
        cases += same("program", &values, &|residues, _, v| residues.run(&program, &v, None))?;
        let each: Vec<Integer> = (0..2 * items).map(|_| stream.bits(40)).collect();
        for secrecy in [Secrecy::Public, Secrecy::Secret] {
            cases += same("power", &values, &|residues, which, v| residues.pow(&v, Exponents::OfModulus(&exponents[which]), secrecy))?;
            cases += same("one power", &values, &|residues, _, v| residues.pow(&v, Exponents::Shared(&exponents[0]), secrecy))?;
            cases += same("powers of their own", &values, &|residues, _, v| residues.pow(&v, Exponents::Each(&each), secrecy))?;
        }
        let units = values.iter().zip(moduli).map(|(values, modulus)| {
            let unit = |value: Integer| if is_unit(&value, modulus) { value } else { Integer::from(1) };
            limbs(&values.to_integers().into_iter().map(unit).collect::<Vec<_>>(), modulus)
        });
        let mut units = units.collect::<Result<Vec<_>>>()?;
        cases += same("inverse", &units, &|residues, _, v| residues.invert(&v))?;
        if let (Some(last), Some(modulus)) = (units.last_mut().filter(|last| !last.is_empty()), moduli.last()) {
            let (at, width) = (last.len() - 1, last.width());
            last.words_mut()[at * width..].fill(0);
            let error = joint.upload_each(&units).and_then(|v| joint.invert(&v)).err();
            if !matches!(error, Some(Error::NotInvertible { index, bits }) if (index, bits) == (at, modulus.bits())) {
                let expected = format!("an error naming value {at} modulo {} bits", modulus.bits());
                let actual = error.map_or_else(|| "a result".into(), |error| error.to_string());
                return Err(Error::Disagreement { what: "inverse of 0 modulo the last modulus".into(), expected, actual });
            }
            cases += 1;
        }
        let picks: Vec<(usize, usize)> = (0..2 * items).rev().flat_map(|i| [(1, i), (0, i)]).collect();
        cases += same("pick", &values, &|residues, _, v| residues.gather(&[&v, &v], &picks))?;
        if moduli.iter().all(|modulus| modulus.root().is_some()) {
            let messages: Vec<Integer> = (0..items).map(|_| stream.bits(100)).collect();
            let messages = Limbs::from_integers(&messages, 2)?;
            cases += same("1 + r f v", &values, &|residues, which, _| residues.one_plus(&messages, &factors[which]))?;
        }
        let digits = moduli
            .iter()
            .map(|_| Digits::new(plan.windows(), (0..2 * items * plan.windows()).map(|_| stream.bits(3).to_u16().unwrap_or(0)).collect()));
        let digits = digits.collect::<Result<Vec<_>>>()?;
        let bases = moduli.iter().map(|modulus| {
            let unit = (0..).map(|_| stream.below(modulus.value())).find(|value| is_unit(value, modulus)).unwrap_or_default();
            limbs(&[unit, Integer::from(1), Integer::from(3) % modulus.value()], modulus)
        });
        let bases = bases.collect::<Result<Vec<_>>>()?;
        cases += same("times a power by table", &values, &|residues, which, v| {
            let table = residues.table(residues.run(plan.build(), &residues.upload_each(&bases[which.clone()])?, None)?)?;
            residues.run(plan.apply(), &v, Some(Lookup { table: &table, digits: &digits[which] }))
        })?;
        if moduli.len() == 2 {
            cases += compare("join", &oracle.prepare(moduli.to_vec())?.join(&values)?, &joint.join(&values)?)?;
        }
    }
    let ones = moduli.iter().map(|modulus| limbs(&[Integer::from(1)], modulus)).collect::<Result<Vec<_>>>()?;
    let one = joint.upload_each(&ones)?;
    let mut uneven = ones.clone();
    uneven[0] = Limbs::zeros(2, moduli[0].width());
    let attempts = [
        ("a batch too few", joint.upload_each(&ones[1..]).is_err()),
        ("batches of several lengths", moduli.len() == 1 || joint.upload_each(&uneven).is_err()),
        ("one batch of several", moduli.len() == 1 || (joint.upload(&ones[0]).is_err() && joint.download(&one).is_err())),
        ("an exponent too few", joint.pow(&one, Exponents::OfModulus(&exponents[1..]), Secrecy::Public).is_err()),
        ("a negative exponent", joint.pow(&one, Exponents::OfModulus(&vec![Integer::from(-1); moduli.len()]), Secrecy::Public).is_err()),
        ("a factor too many", joint.one_plus(&ones[0], &vec![Integer::new(); moduli.len() + 1]).is_err()),
        ("half an item", joint.run(&program, &one, None).is_err()),
        ("a pick beyond the end", joint.gather(&[&one], &[(0, 1)]).is_err()),
        ("a part too few", joint.join(&ones[1..]).is_err()),
    ];
    match attempts.iter().find(|(_, refused)| !refused) {
        Some((what, _)) => {
            Err(Error::Disagreement { what: format!("{what} (several moduli)"), expected: "an error".into(), actual: "a result".into() })
        }
        None => Ok(cases + attempts.len()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{self, BackendId, Residues};
    use crate::randomness::{Purpose, Tape};

    #[test]
    fn a_backend_that_takes_one_modulus_for_another_is_caught() {
        #[derive(Clone, Copy, PartialEq)]
        enum Swapped {
            Exponents,
            Parts,
        }
        /// A backend that takes exponents, or the parts of a join, in another order.
        struct Swapping(Box<dyn Backend>, Swapped);
        struct SwappingResidues(Arc<dyn SquareResidues>, Swapped);
        impl Backend for Swapping {
            fn id(&self) -> BackendId {
                self.0.id()
            }
            fn device(&self) -> backend::Device {
                self.0.device()
            }
            fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
                Ok(Arc::new(SwappingResidues(self.0.prepare(moduli)?, self.1)))
            }
        }
        impl Residues for SwappingResidues {
            fn moduli(&self) -> &[Modulus] {
                self.0.moduli()
            }
            fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
                self.0.upload_each(values)
            }
            fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
                self.0.run(program, inputs, lookup)
            }
            fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
                let Exponents::OfModulus(of_modulus) = exponents else { return self.0.pow(bases, exponents, secrecy) };
                let mut of_modulus = of_modulus.to_vec();
                if self.1 == Swapped::Exponents {
                    of_modulus.reverse();
                }
                self.0.pow(bases, Exponents::OfModulus(&of_modulus), secrecy)
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
        impl SquareResidues for SwappingResidues {
            fn join(&self, parts: &[Limbs]) -> Result<Limbs> {
                let mut parts = parts.to_vec();
                if self.1 == Swapped::Parts {
                    parts.reverse();
                }
                self.0.join(&parts)
            }
        }
        let check = |backend: &dyn Backend| {
            let oracle = backend::open(BackendId::Reference).unwrap();
            let mut stream = Tape::replayable(5).stream(Purpose::Sample, 0);
            let moduli = [all_ones(128), all_ones(128) - 2u32].map(|n| Modulus::square(n).unwrap());
            together(oracle.as_ref(), backend, &moduli, &mut stream)
        };
        let right = backend::open(BackendId::Gmp).unwrap();
        assert!(check(right.as_ref()).unwrap() > 50);
        for swapped in [Swapped::Exponents, Swapped::Parts] {
            let wrong = Swapping(backend::open(BackendId::Gmp).unwrap(), swapped);
            assert!(matches!(check(&wrong), Err(Error::Disagreement { .. })));
        }
    }
}
