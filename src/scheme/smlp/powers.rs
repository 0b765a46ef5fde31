//! Products of powers by masks: where P1 spends its time. Exponents are masks, so times may depend on them: they are fresh in every product.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use crate::backend::{Digits, Lookup, Resident, SquareResidues};
use crate::error::{Error, Result};
use crate::plan::fixed_base::FixedBase;
use crate::plan::{Op, Operand, Program};

/// Arithmetic on ciphertexts with the programs that it needs, the large ones kept.
pub(super) struct Powers {
    pub(super) squares: Arc<dyn SquareResidues>,
    one: Resident,
    pair: Program,
    tables: HashMap<(usize, u32), Arc<FixedBase>>,
}

impl Powers {
    pub(super) fn new(squares: Arc<dyn SquareResidues>, one: Resident) -> Result<Self> {
        Ok(Self { squares, one, pair: Program::single_product()?, tables: HashMap::new() })
    }

    /// Residues of a batch, `first` and on.
    pub(super) fn part(&self, values: &Resident, first: usize, count: usize) -> Result<Resident> {
        self.squares.gather(&[values], &(first..first + count).map(|i| (0, i)).collect::<Vec<_>>())
    }

    /// a_i b_i.
    pub(super) fn multiply(&self, a: &Resident, b: &Resident) -> Result<Resident> {
        if a.len() != b.len() {
            return Err(Error::size("second factors", a.len(), b.len()));
        }
        let picks: Vec<(usize, usize)> = (0..a.len()).flat_map(|i| [(0, i), (1, i)]).collect();
        self.squares.run(&self.pair, &self.squares.gather(&[a, b], &picks)?, None)
    }

    /// Products of the members of each group. Input: indices into `values`.
    pub(super) fn products(&self, values: &Resident, groups: &[Vec<usize>]) -> Result<Resident> {
        let width = groups.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let padded = |group: &Vec<usize>| {
            let missing = width - group.len();
            group.iter().map(|&i| (0, i)).chain(std::iter::repeat_n((1, 0), missing)).collect::<Vec<_>>()
        };
        let picks: Vec<(usize, usize)> = groups.iter().flat_map(padded).collect();
        self.squares.run(&product(width)?, &self.squares.gather(&[values, &self.one], &picks)?, None)
    }

    /// sum over layers of c_(i layers + k) 2^(k shift), as plaintexts; the last one may lack layers.
    pub(super) fn fold(&self, values: &Resident, layers: usize, shift: u32) -> Result<Resident> {
        if layers == 1 {
            return self.part(values, 0, values.len());
        }
        let folded = values.len().div_ceil(layers);
        let pick = |i: usize| if i < values.len() { (0, i) } else { (1, 0) };
        let picks: Vec<(usize, usize)> = (0..folded).flat_map(|f| (0..layers).rev().map(move |k| pick(f * layers + k))).collect();
        self.squares.run(&horner(layers, shift)?, &self.squares.gather(&[values, &self.one], &picks)?, None)
    }

    /// prod_k base_(k,g)^(e_(n,k)) for every n and g: many exponents for the same bases, from tables of each base's small powers.
    ///
    /// Input: bases k after k, `groups` each; exponents n after n, `inner` each, below 2^bits. Output: n after n, `groups` each.
    pub(super) fn shared(&mut self, bases: &Resident, groups: usize, exponents: &[u128], inner: usize, bits: u32) -> Result<Resident> {
        let count = exponents.len() / inner;
        let digits_of = |window: u32| bits.div_ceil(window) as usize;
        let cost = |&window: &u32| (inner << window) + count * (digits_of(window) * inner + bits as usize);
        let window = (1..=10).min_by_key(cost).unwrap_or(1);
        let digits = digits_of(window);
        let plan = self.plan(inner, window)?;
        let mask = (1u128 << window) - 1;
        // The highest digit first: the order of Horner's rule.
        let digit =
            |n: usize, d: usize| exponents[n * inner..(n + 1) * inner].iter().map(move |e| (e >> (window * (digits - 1 - d) as u32) & mask) as u16);
        let values: Vec<u16> = (0..count * digits).into_par_iter().flat_map_iter(|item| digit(item / digits, item % digits)).collect();
        let values = [Digits::new(inner, values)?];
        let starts = self.squares.gather(&[&self.one], &vec![(0, 0); count * digits])?;
        let horner = horner(digits, window)?;
        let mut results = Vec::with_capacity(groups);
        for group in 0..groups {
            let picks: Vec<(usize, usize)> = (0..inner).map(|k| (0, k * groups + group)).chain([(1, 0), (1, 0)]).collect();
            let inputs = self.squares.gather(&[bases, &self.one], &picks)?;
            let table = self.squares.table(self.squares.run(plan.build(), &inputs, None)?)?;
            let products = self.squares.run(plan.apply(), &starts, Some(Lookup { table: &table, digits: &values }))?;
            results.push(self.squares.run(&horner, &products, None)?);
        }
        let picks: Vec<(usize, usize)> = (0..count).flat_map(|n| (0..groups).map(move |g| (g, n))).collect();
        self.squares.gather(&results.iter().collect::<Vec<_>>(), &picks)
    }

    /// prod over the members of each group of base^exponent: each base is used once, the squarings are shared by a group.
    ///
    /// Input: indices into `bases` with their exponents, below 2^bits.
    pub(super) fn grouped(&self, bases: &Resident, groups: &[Vec<(usize, u128)>], bits: u32) -> Result<Resident> {
        let window: u32 = if bits <= 4 {
            1
        } else if bits <= 16 {
            2
        } else {
            4
        };
        let (digits, entries) = (bits.div_ceil(window) as usize, (1usize << window) - 1);
        let table = self.squares.run(&small_powers(window)?, bases, None)?;
        let width = groups.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mask = (1u128 << window) - 1;
        let mut picks = Vec::with_capacity(groups.len() * digits * width);
        for group in groups {
            for d in (0..digits).rev() {
                picks.extend(group.iter().map(|&(base, exponent)| match (exponent >> (window * d as u32) & mask) as usize {
                    0 => (1, 0),
                    digit => (0, base * entries + digit - 1),
                }));
                picks.extend(std::iter::repeat_n((1, 0), width - group.len()));
            }
        }
        let products = self.squares.run(&product(width)?, &self.squares.gather(&[&table, &self.one], &picks)?, None)?;
        self.squares.run(&horner(digits, window)?, &products, None)
    }

    fn plan(&mut self, bases: usize, window: u32) -> Result<Arc<FixedBase>> {
        if let Some(plan) = self.tables.get(&(bases, window)) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(FixedBase::plan_bases(bases, window)?);
        self.tables.insert((bases, window), plan.clone());
        Ok(plan)
    }
}

/// Operations one after the other.
pub(super) fn sequence(inputs: usize, ops: Vec<Op>, outputs: Vec<Operand>) -> Result<Program> {
    let levels = (1..=ops.len()).collect();
    Program::new(inputs, ops, levels, outputs, 0, 0)
}

/// The product of all inputs.
fn product(inputs: usize) -> Result<Program> {
    let dst = inputs as Operand;
    let ops: Vec<Op> = (1..inputs as Operand).map(|b| Op::Mul { dst, a: if b == 1 { 0 } else { dst }, b }).collect();
    let output = if ops.is_empty() { 0 } else { dst };
    sequence(inputs, ops, vec![output])
}

/// x_0^(2^((T-1) w)) ... x_(T-1): inputs are digits, the highest first.
fn horner(inputs: usize, window: u32) -> Result<Program> {
    let dst = inputs as Operand;
    let mut ops = Vec::with_capacity(inputs * (window as usize + 1));
    let mut at = 0;
    for b in 1..inputs as Operand {
        for _ in 0..window {
            ops.push(Op::Sqr { dst, a: at });
            at = dst;
        }
        ops.push(Op::Mul { dst, a: at, b });
        at = dst;
    }
    sequence(inputs, ops, vec![at])
}

/// x, x^2, ... x^(2^w - 1).
fn small_powers(window: u32) -> Result<Program> {
    let at = |power: Operand| power - 1;
    let op = |power: Operand| {
        if power.is_multiple_of(2) { Op::Sqr { dst: at(power), a: at(power / 2) } } else { Op::Mul { dst: at(power), a: at(power - 1), b: 0 } }
    };
    let top: Operand = (1 << window) - 1;
    sequence(1, (2..=top).map(op).collect(), (1..=top).map(at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{self, BackendId};
    use crate::integer::Integer;
    use crate::limbs::Limbs;
    use crate::modulus::Modulus;

    #[test]
    fn products_of_powers_are_those_of_gmp_on_every_backend() {
        let n = (Integer::from(1) << 127u32) - 1u32;
        let modulus = Modulus::square(n).unwrap();
        let value = modulus.value().clone();
        let base = |i: usize| Integer::from(3 + i * i * 977).pow_mod(&Integer::from(1_000_003), &value).unwrap();
        for id in BackendId::ALL.into_iter().filter(|&id| backend::open(id).is_ok()) {
            let squares = backend::open(id).unwrap().squares(vec![modulus.clone()]).unwrap();
            let upload = |values: &[Integer]| squares.upload(&Limbs::from_integers(values, modulus.width()).unwrap()).unwrap();
            let mut powers = Powers::new(squares.clone(), upload(&[Integer::from(1)])).unwrap();
            for (inner, groups, count, bits) in [(1, 1, 1, 1), (3, 2, 5, 7), (4, 3, 2, 101), (5, 1, 9, 121)] {
                let bases: Vec<Integer> = (0..inner * groups).map(base).collect();
                let exponent = |i: usize| (i as u128).wrapping_mul(0x1234_5678_9abc_def1_2345_6789_abcd_ef12) ^ [0, u128::MAX][i % 2];
                let exponents: Vec<u128> = (0..count * inner).map(|i| exponent(i) & ((1 << bits) - 1)).collect();
                let power = |b: usize, e: u128| bases[b].clone().pow_mod(&Integer::from(e), &value).unwrap();
                let expected: Vec<Integer> = (0..count * groups)
                    .map(|at| {
                        (0..inner).fold(Integer::from(1), |x, k| x * power(k * groups + at % groups, exponents[at / groups * inner + k]) % &value)
                    })
                    .collect();
                let got = powers.shared(&upload(&bases), groups, &exponents, inner, bits).unwrap();
                assert_eq!(squares.download(&got).unwrap().to_integers(), expected, "{id} {inner} {groups} {count} {bits}");
                // Groups of unequal length.
                let members: Vec<Vec<(usize, u128)>> =
                    (0..groups).map(|g| (0..inner - g.min(inner - 1)).map(|k| (k * groups + g, exponents[k])).collect()).collect();
                let expected: Vec<Integer> = members.iter().map(|m| m.iter().fold(Integer::from(1), |x, &(b, e)| x * power(b, e) % &value)).collect();
                assert_eq!(squares.download(&powers.grouped(&upload(&bases), &members, bits).unwrap()).unwrap().to_integers(), expected, "{id}");
            }
            let values: Vec<Integer> = (0..5).map(base).collect();
            let folded = squares.download(&powers.fold(&upload(&values), 2, 10).unwrap()).unwrap().to_integers();
            let shifted = |x: &Integer| x.clone().pow_mod(&Integer::from(1 << 10), &value).unwrap();
            let expected: Vec<Integer> = values.chunks(2).map(|c| c[0].clone() * c.get(1).map_or(Integer::from(1), shifted) % &value).collect();
            assert_eq!(folded, expected);
        }
    }
}
