//! GMP through `rug`, parallel with rayon: over the items of a batch, or over the operations of a level when there are fewer items than threads.
//!
//! Products are `mul` and `mod` of GMP; powers are GMP's own Montgomery powers, `mpz_powm_sec` for secret exponents. Reductions, inverses and products are
//! variable-time in GMP.

use std::sync::Arc;

use rayon::prelude::*;
use rug::integer::Order;
use rug::ops::RemRounding;
use rug::{Assign, Integer};

use super::{Backend, BackendId, Device, DeviceKind, Exponents, Lookup, Resident, Ring, Secrecy, check_picks, check_reduced, items_of};
use crate::error::{Error, Result};
use crate::limbs::Limbs;
use crate::machine;
use crate::modulus::{Modulus, wipe};
use crate::plan::{Op, Operand, Program};

pub(super) struct Gmp;

impl Backend for Gmp {
    fn id(&self) -> BackendId {
        BackendId::Gmp
    }

    fn device(&self) -> Device {
        Device {
            name: machine::processor(),
            kind: DeviceKind::Cpu,
            detail: format!(
                "GMP {}.{}.{} (as built by gmp-mpfr-sys), {} threads",
                gmp_mpfr_sys::gmp::VERSION,
                gmp_mpfr_sys::gmp::VERSION_MINOR,
                gmp_mpfr_sys::gmp::VERSION_PATCHLEVEL,
                rayon::current_num_threads()
            ),
        }
    }

    fn ring(&self, modulus: Modulus) -> Result<Arc<dyn Ring>> {
        Ok(Arc::new(GmpRing { modulus }))
    }
}

/// Residues as big integers; wiped when dropped.
struct Residues(Vec<Integer>);

impl Drop for Residues {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(wipe);
    }
}

struct GmpRing {
    modulus: Modulus,
}

/// Where the operands of one item are.
struct Item<'a> {
    inputs: &'a [Integer],
    table: Option<(&'a [Integer], &'a [u16], usize)>,
}

impl GmpRing {
    fn of<'a>(&self, values: &'a Resident) -> Result<&'a [Integer]> {
        Ok(&values.storage::<Residues>(BackendId::Gmp)?.0)
    }

    fn resident(&self, values: Vec<Integer>) -> Resident {
        Resident::new(values.len(), Residues(values))
    }

    /// The value of one operation into `result`.
    fn evaluate(&self, op: Op, item: &Item<'_>, slots: &[Integer], result: &mut Integer) {
        let at = |operand: Operand| item.inputs.get(operand as usize).unwrap_or_else(|| &slots[operand as usize - item.inputs.len()]);
        match op {
            Op::Mul { a, b, .. } => result.assign(at(a) * at(b)),
            Op::Sqr { a, .. } => result.assign(at(a).square_ref()),
            Op::MulTable { a, window, .. } => {
                // `items_of` has checked that a program with windows comes with a table and digits.
                if let Some((table, digits, entries)) = item.table {
                    result.assign(at(a) * &table[window as usize * entries + digits[window as usize] as usize]);
                }
            }
        }
        *result %= self.modulus.value();
    }

    /// Runs all operations in order; `slots` and `spare` are scratch.
    fn run_in_order(&self, program: &Program, item: &Item<'_>, slots: &mut [Integer], spare: &mut Integer) {
        for &op in program.ops() {
            self.evaluate(op, item, slots, spare);
            std::mem::swap(&mut slots[op.dst() as usize - item.inputs.len()], spare);
        }
    }

    /// Runs level after level, the operations of a level in parallel.
    fn run_in_levels(&self, program: &Program, item: &Item<'_>, slots: &mut [Integer]) {
        let mut spare: Vec<Integer> = Vec::new();
        for level in program.levels() {
            spare.resize_with(spare.len().max(level.len()), Integer::new);
            level.par_iter().zip(spare.par_iter_mut()).with_min_len(4).for_each(|(&op, result)| self.evaluate(op, item, slots, result));
            for (&op, result) in level.iter().zip(&mut spare) {
                std::mem::swap(&mut slots[op.dst() as usize - item.inputs.len()], result);
            }
        }
        spare.iter_mut().for_each(wipe);
    }
}

fn outputs_of(program: &Program, item: &Item<'_>, slots: &[Integer]) -> Vec<Integer> {
    program.outputs().iter().map(|&o| item.inputs.get(o as usize).unwrap_or_else(|| &slots[o as usize - item.inputs.len()]).clone()).collect()
}

fn scratch(program: &Program) -> Vec<Integer> {
    std::iter::repeat_with(Integer::new).take(program.slots()).collect()
}

impl Ring for GmpRing {
    fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    fn upload(&self, values: &Limbs) -> Result<Resident> {
        check_reduced(values, &self.modulus)?;
        Ok(self.resident(values.to_integers()))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let items = items_of(program, inputs, lookup)?;
        let source = self.of(inputs)?;
        let table = lookup.map(|l| self.of(l.table).map(|t| (t, l.digits))).transpose()?;
        let item = |i: usize| Item {
            inputs: &source[i * program.inputs()..(i + 1) * program.inputs()],
            table: table.map(|(table, digits)| (table, digits.item(i), program.entries())),
        };
        let outputs: Vec<Vec<Integer>> = if items >= rayon::current_num_threads() {
            let run = |(slots, spare): &mut (Residues, Integer), i: usize| {
                self.run_in_order(program, &item(i), &mut slots.0, spare);
                outputs_of(program, &item(i), &slots.0)
            };
            (0..items).into_par_iter().map_init(|| (Residues(scratch(program)), Integer::new()), run).collect()
        } else {
            let mut slots = Residues(scratch(program));
            (0..items)
                .map(|i| {
                    self.run_in_levels(program, &item(i), &mut slots.0);
                    outputs_of(program, &item(i), &slots.0)
                })
                .collect()
        };
        Ok(self.resident(outputs.into_iter().flatten().collect()))
    }

    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        exponents.check(bases.len())?;
        let modulus = self.modulus.value();
        let power = |(i, base): (usize, &Integer)| {
            let exponent = exponents.of(i);
            match secrecy {
                // mpz_powm_sec takes positive exponents only; that an exponent is 0 may show.
                Secrecy::Secret if !exponent.is_zero() => Integer::from(base.secure_pow_mod_ref(exponent, modulus)),
                // The exponent is not negative, so the power exists.
                _ => base.pow_mod_ref(exponent, modulus).map(Integer::from).unwrap_or_default(),
            }
        };
        Ok(self.resident(self.of(bases)?.par_iter().enumerate().map(power).collect()))
    }

    fn invert(&self, values: &Resident) -> Result<Resident> {
        let inverses: Vec<Option<Integer>> =
            self.of(values)?.par_iter().map(|value| value.invert_ref(self.modulus.value()).map(Integer::from)).collect();
        let bits = self.modulus.bits();
        let inverses = inverses.into_iter().enumerate().map(|(index, inverse)| {
            // GMP may return a negative representative.
            inverse.map(|inverse| inverse.rem_euc(self.modulus.value())).ok_or(Error::NotInvertible { index, bits })
        });
        Ok(self.resident(inverses.collect::<Result<_>>()?))
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let sources = sources.iter().map(|s| self.of(s)).collect::<Result<Vec<_>>>()?;
        Ok(self.resident(picks.iter().map(|&(source, index)| sources[source][index].clone()).collect()))
    }

    fn download(&self, values: &Resident) -> Result<Limbs> {
        let width = self.modulus.width();
        let source = self.of(values)?;
        let mut batch = Limbs::zeros(source.len(), width);
        for (value, words) in source.iter().zip(batch.words_mut().chunks_exact_mut(width)) {
            value.write_digits(&mut words[..value.significant_digits::<u64>()], Order::Lsf);
        }
        Ok(batch)
    }
}
