//! Several moduli at once against one after the other.

use super::{Effort, all_ones, compare, operands};
use crate::backend::{Backend, Digits, Exponents, Lookup, Lookups, Resident, Ring, Rings, Secrecy};
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

/// Several moduli at once: every verb against the oracle's for each of them.
pub(super) fn together(oracle: &dyn Backend, backend: &dyn Backend, moduli: &[Modulus], stream: &mut Stream) -> Result<usize> {
    let oracles = moduli.iter().map(|modulus| oracle.ring(modulus.clone())).collect::<Result<Vec<_>>>()?;
    let rings = backend.rings(moduli.to_vec())?;
    let limbs = |values: &[Integer], modulus: &Modulus| Limbs::from_integers(values, modulus.width());
    let same = |what: &str,
                values: &[Limbs],
                one: &dyn Fn(&dyn Ring, usize, Resident) -> Result<Resident>,
                all: &dyn Fn(&dyn Rings, Resident) -> Result<Resident>|
     -> Result<usize> {
        let actual = rings.download(&all(rings.as_ref(), rings.upload(values)?)?)?;
        let mut cases = 0;
        for (number, (ring, values)) in oracles.iter().zip(values).enumerate() {
            let expected = ring.download(&one(ring.as_ref(), number, ring.upload(values)?)?)?;
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
        cases += same("program", &values, &|ring, _, v| ring.run(&program, &v, None), &|rings, v| rings.run(&program, &v, None))?;
        for secrecy in [Secrecy::Public, Secrecy::Secret] {
            let one = |ring: &dyn Ring, number: usize, v: Resident| ring.pow(&v, Exponents::Shared(&exponents[number]), secrecy);
            cases += same("power", &values, &one, &|rings, v| rings.pow(&v, &exponents, secrecy))?;
        }
        let picks: Vec<(usize, usize)> = (0..2 * items).rev().flat_map(|i| [(1, i), (0, i)]).collect();
        cases += same("pick", &values, &|ring, _, v| ring.gather(&[&v, &v], &picks), &|rings, v| rings.gather(&[&v, &v], &picks))?;
        if moduli.iter().all(|modulus| modulus.root().is_some()) {
            let messages: Vec<Integer> = (0..items).map(|_| stream.bits(100)).collect();
            let messages = Limbs::from_integers(&messages, 2)?;
            let one = |ring: &dyn Ring, number: usize, _| ring.one_plus(&messages, &factors[number]);
            cases += same("1 + r f v", &values, &one, &|rings, _| rings.one_plus(&messages, &factors))?;
        }
        let digits = moduli
            .iter()
            .map(|_| Digits::new(plan.windows(), (0..2 * items * plan.windows()).map(|_| stream.bits(3).to_u16().unwrap_or(0)).collect()));
        let digits = digits.collect::<Result<Vec<_>>>()?;
        let bases = moduli.iter().map(|modulus| {
            let unit =
                (0..).map(|_| stream.below(modulus.value())).find(|value| Integer::from(value.gcd_ref(modulus.value())) == 1).unwrap_or_default();
            limbs(&[unit, Integer::from(1), Integer::from(3) % modulus.value()], modulus)
        });
        let bases = bases.collect::<Result<Vec<_>>>()?;
        let one = |ring: &dyn Ring, number: usize, v: Resident| {
            let table = ring.run(plan.build(), &ring.upload(&bases[number])?, None)?;
            ring.run(plan.apply(), &v, Some(Lookup { table: &table, digits: &digits[number] }))
        };
        let all = |rings: &dyn Rings, v: Resident| {
            let table = rings.table(rings.run(plan.build(), &rings.upload(&bases)?, None)?)?;
            rings.run(plan.apply(), &v, Some(Lookups { table: &table, digits: &digits }))
        };
        cases += same("times a power by table", &values, &one, &all)?;
        if let ([_, other], [x, y], [ring, _]) = (moduli, &values[..], &oracles[..]) {
            cases += compare("join", &ring.join(x, other, y)?, &rings.join(&values)?)?;
        }
    }
    let ones = moduli.iter().map(|modulus| limbs(&[Integer::from(1)], modulus)).collect::<Result<Vec<_>>>()?;
    let one = rings.upload(&ones)?;
    let mut uneven = ones.clone();
    uneven[0] = Limbs::zeros(2, moduli[0].width());
    let attempts = [
        ("a batch too few", rings.upload(&ones[1..]).is_err()),
        ("batches of several lengths", moduli.len() == 1 || rings.upload(&uneven).is_err()),
        ("an exponent too few", rings.pow(&one, &exponents[1..], Secrecy::Public).is_err()),
        ("a negative exponent", rings.pow(&one, &vec![Integer::from(-1); moduli.len()], Secrecy::Public).is_err()),
        ("a factor too many", rings.one_plus(&ones[0], &vec![Integer::new(); moduli.len() + 1]).is_err()),
        ("half an item", rings.run(&program, &one, None).is_err()),
        ("a pick beyond the end", rings.gather(&[&one], &[(0, 1)]).is_err()),
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
    use crate::backend::{self, BackendId};
    use crate::randomness::{Purpose, Tape};

    #[test]
    fn a_backend_that_takes_one_modulus_for_another_is_caught() {
        #[derive(Clone, Copy, PartialEq)]
        enum Swapped {
            Exponents,
            Parts,
        }
        /// A backend whose rings take exponents, or the parts of a join, in another order.
        struct Swapping(Box<dyn Backend>, Swapped);
        struct SwappingRings(Arc<dyn Rings>, Swapped);
        impl Backend for Swapping {
            fn id(&self) -> BackendId {
                self.0.id()
            }
            fn device(&self) -> backend::Device {
                self.0.device()
            }
            fn ring(&self, modulus: Modulus) -> Result<Arc<dyn Ring>> {
                self.0.ring(modulus)
            }
            fn rings(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn Rings>> {
                Ok(Arc::new(SwappingRings(self.0.rings(moduli)?, self.1)))
            }
        }
        impl Rings for SwappingRings {
            fn moduli(&self) -> Vec<&Modulus> {
                self.0.moduli()
            }
            fn batch(&self) -> usize {
                self.0.batch()
            }
            fn upload(&self, values: &[Limbs]) -> Result<Resident> {
                self.0.upload(values)
            }
            fn one_plus(&self, values: &Limbs, factors: &[Integer]) -> Result<Resident> {
                self.0.one_plus(values, factors)
            }
            fn run(&self, program: &Program, inputs: &Resident, lookups: Option<Lookups<'_>>) -> Result<Resident> {
                self.0.run(program, inputs, lookups)
            }
            fn pow(&self, bases: &Resident, exponents: &[Integer], secrecy: Secrecy) -> Result<Resident> {
                let mut exponents = exponents.to_vec();
                if self.1 == Swapped::Exponents {
                    exponents.reverse();
                }
                self.0.pow(bases, &exponents, secrecy)
            }
            fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
                self.0.gather(sources, picks)
            }
            fn download(&self, values: &Resident) -> Result<Vec<Limbs>> {
                self.0.download(values)
            }
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
