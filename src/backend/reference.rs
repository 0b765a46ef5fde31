//! The oracle: textbook arithmetic on 64-bit words in plain Rust, one thread, no GMP.
//!
//! Schoolbook products and Knuth's algorithm D ([`crate::integer::words`]), binary powers, the binary extended Euclidean
//! algorithm for inverses. Slow and plain on purpose, so that an error of a fast backend is not repeated here. Nothing is constant-time: time and addresses
//! depend on all values, secret exponents included, so it is for checks and measurement, not for keys in use.

use std::cmp::Ordering;
use std::sync::Arc;

use super::residues::{check_batches, check_picks, items_of};
use super::{Backend, BackendId, Device, DeviceKind, Exponents, Lookup, Resident, Residues, Secrecy, SquareResidues, side_by_side, squares};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::integer::words::{add, compare, product, remainder, subtract};
use crate::limbs::Limbs;
use crate::machine;
use crate::modulus::Modulus;
use crate::plan::{Op, Operand, Program};

/// The backend, whose work stops by its control.
struct Reference(Control);

/// Opens everywhere.
pub(super) fn open(control: &Control) -> Result<Box<dyn Backend>> {
    Ok(Box::new(Reference(control.clone())))
}

impl Backend for Reference {
    fn id(&self) -> BackendId {
        BackendId::Reference
    }

    fn device(&self) -> Device {
        Device { name: machine::processor(), kind: DeviceKind::Cpu, detail: "plain Rust, 64-bit words, 1 thread".into() }
    }

    fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
        let textbook = |modulus: Modulus| Ok(Textbook { words: modulus.words(), modulus, control: self.0.clone() });
        side_by_side::prepare(self.id(), moduli, |_, moduli, parts| squares::join(moduli, parts), textbook)
    }
}

struct Textbook {
    modulus: Modulus,
    words: Vec<u64>,
    control: Control,
}

impl Textbook {
    /// a b mod N. Input: any words; output: below N, of N's width.
    fn mul(&self, a: &[u64], b: &[u64]) -> Vec<u64> {
        remainder(product(a, b), &self.words)
    }

    /// base^exponent mod N by left-to-right squaring and multiplying.
    fn power(&self, base: &[u64], exponent: &Integer) -> Result<Vec<u64>> {
        let mut result = remainder(vec![1], &self.words);
        for bit in (0..exponent.significant_bits()).rev() {
            self.control.advance(1)?;
            result = self.mul(&result, &result);
            if exponent.get_bit(bit) {
                result = self.mul(&result, base);
            }
        }
        Ok(result)
    }
}

impl SquareResidues for Textbook {}

impl Residues for Textbook {
    fn moduli(&self) -> &[Modulus] {
        std::slice::from_ref(&self.modulus)
    }

    fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
        check_batches(self.moduli(), values)?;
        Ok(Resident::new(values[0].len(), values[0].clone()))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let items = items_of(program, inputs, lookup, self.moduli())?;
        let source: &Limbs = inputs.storage(BackendId::Reference)?;
        let table: Option<&Limbs> = lookup.map(|l| l.table.storage(BackendId::Reference)).transpose()?;
        let width = self.words.len();
        let mut output = Vec::with_capacity(items * program.outputs().len() * width);
        for item in 0..items {
            let mut slots: Vec<Vec<u64>> = vec![Vec::new(); program.slots()];
            let at = |slots: &[Vec<u64>], operand: Operand| -> Vec<u64> {
                match (operand as usize).checked_sub(program.inputs()) {
                    None => source.get(item * program.inputs() + operand as usize).to_vec(),
                    Some(slot) => slots[slot].clone(),
                }
            };
            for &op in program.ops() {
                self.control.advance(1)?;
                let value = match op {
                    Op::Mul { a, b, .. } => self.mul(&at(&slots, a), &at(&slots, b)),
                    Op::Sqr { a, .. } => self.mul(&at(&slots, a), &at(&slots, a)),
                    Op::MulTable { a, window, .. } => {
                        let (Some(table), Some(lookup)) = (table, lookup) else {
                            return Err(Error::size("tables", 1, 0));
                        };
                        let digit = lookup.digits[0].item(item)[window as usize] as usize;
                        self.mul(&at(&slots, a), table.get(window as usize * program.entries() + digit))
                    }
                };
                slots[op.dst() as usize - program.inputs()] = value;
            }
            for &operand in program.outputs() {
                output.extend(at(&slots, operand));
            }
        }
        Ok(Resident::new(items * program.outputs().len(), Limbs::from_words(output, width)?))
    }

    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, _secrecy: Secrecy) -> Result<Resident> {
        exponents.check(bases.len(), 1)?;
        let source: &Limbs = bases.storage(BackendId::Reference)?;
        let powers = source.iter().enumerate().map(|(i, base)| self.power(base, exponents.of(0, i)));
        let output = powers.collect::<Result<Vec<_>>>()?.concat();
        Ok(Resident::new(bases.len(), Limbs::from_words(output, self.words.len())?))
    }

    fn invert(&self, values: &Resident) -> Result<Resident> {
        let source: &Limbs = values.storage(BackendId::Reference)?;
        let mut output = Vec::with_capacity(source.words().len());
        for (index, value) in source.iter().enumerate() {
            self.control.advance(1)?;
            output.extend(inverse(value, &self.words).ok_or(Error::NotInvertible { index, bits: self.modulus.bits() })?);
        }
        Ok(Resident::new(values.len(), Limbs::from_words(output, self.words.len())?))
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let sources = sources.iter().map(|s| s.storage::<Limbs>(BackendId::Reference)).collect::<Result<Vec<_>>>()?;
        let words = picks.iter().flat_map(|&(source, index)| sources[source].get(index)).copied().collect();
        Ok(Resident::new(picks.len(), Limbs::from_words(words, self.words.len())?))
    }

    fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>> {
        Ok(vec![values.storage::<Limbs>(BackendId::Reference)?.clone()])
    }
}

/// 1/value mod an odd modulus, or none. Binary extended Euclid (Handbook of Applied Cryptography, 14.61, for odd moduli): invariants u = x value and
/// v = y value (mod modulus).
fn inverse(value: &[u64], modulus: &[u64]) -> Option<Vec<u64>> {
    let is_zero = |a: &[u64]| a.iter().all(|&w| w == 0);
    let (mut u, mut v) = (value.to_vec(), modulus.to_vec());
    let mut x = vec![0; modulus.len()];
    x[0] = 1;
    let mut y = vec![0; modulus.len()];
    while !is_zero(&u) {
        while u[0] & 1 == 0 {
            halve(&mut u, 0);
            halve_mod(&mut x, modulus);
        }
        while v[0] & 1 == 0 {
            halve(&mut v, 0);
            halve_mod(&mut y, modulus);
        }
        if compare(&u, &v) == Ordering::Less {
            subtract(&mut v, &u);
            subtract_mod(&mut y, &x, modulus);
        } else {
            subtract(&mut u, &v);
            subtract_mod(&mut x, &y, modulus);
        }
    }
    let is_one = v[0] == 1 && is_zero(&v[1..]);
    is_one.then_some(y)
}

/// a = (a + top 2^(64 len)) / 2.
fn halve(a: &mut [u64], top: u64) {
    let mut above = top;
    for word in a.iter_mut().rev() {
        let low = *word & 1;
        *word = *word >> 1 | above << 63;
        above = low;
    }
}

/// a = a / 2 mod an odd modulus; a is below the modulus before and after.
fn halve_mod(a: &mut [u64], modulus: &[u64]) {
    let carry = a[0] & 1 == 1 && add(a, modulus);
    halve(a, u64::from(carry));
}

/// a = a - b mod modulus; both are below the modulus.
fn subtract_mod(a: &mut [u64], b: &[u64], modulus: &[u64]) {
    if subtract(a, b) {
        add(a, modulus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integer::Order;
    use proptest::prelude::*;

    fn words(value: &Integer, width: usize) -> Vec<u64> {
        let mut words: Vec<u64> = value.to_digits(Order::Lsf);
        words.resize(width, 0);
        words
    }

    fn integer(words: &[u64]) -> Integer {
        Integer::from_digits(words, Order::Lsf)
    }

    proptest! {
        #[test]
        fn inverses_are_those_of_gmp(value in proptest::collection::vec(any::<u64>(), 4), modulus in proptest::collection::vec(any::<u64>(), 4)) {
            let mut modulus = modulus;
            modulus[0] |= 1;
            modulus[3] |= 1 << 63;
            let big = integer(&modulus);
            let value = integer(&value) % &big;
            let expected = value.clone().invert(&big).ok();
            prop_assert_eq!(inverse(&words(&value, 4), &modulus).map(|w| integer(&w)), expected);
        }
    }
}
