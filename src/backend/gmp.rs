//! GMP through `rug`, parallel with rayon: over the items of a batch, or over the operations of a level when there are fewer items than threads.
//!
//! Residues modulo a square n^2 are kept in base n, X = x0 + x1 n with x0, x1 < n. With x0 y0 = r + q n the product is
//! X Y = r + (x0 y1 + x1 y0 + q mod n) n (mod n^2): three products and two remainders of half the size in place of one product and one remainder of full size,
//! about 1.3 times faster. Powers with long exponents join the digits and use GMP's own Montgomery powers, `mpz_powm_sec` for secret exponents. Remainders,
//! inverses and products are variable-time in GMP.

use std::sync::Arc;

use rayon::prelude::*;
use rug::integer::Order;
use rug::ops::RemRounding;
use rug::{Assign, Integer};

use super::residues::{check_batches, check_picks, items_of};
use super::{Backend, BackendId, Device, DeviceKind, Exponents, Lookup, Resident, Residues, Secrecy, SquareResidues, side_by_side, squares};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::limbs::Limbs;
use crate::machine;
use crate::modulus::{Modulus, wipe};
use crate::plan::{Op, Operand, Program};

/// The backend, whose work stops by its control.
struct Gmp(Control);

/// Opens everywhere.
pub(super) fn open(control: &Control) -> Result<Box<dyn Backend>> {
    Ok(Box::new(Gmp(control.clone())))
}

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

    fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
        let one = |modulus: Modulus| Ok(GmpResidues { modulus, control: self.0.clone() });
        side_by_side::prepare(self.id(), moduli, |_, moduli, parts| squares::join(moduli, parts), one)
    }
}

/// A residue: base-n digits low and high modulo a square n^2, otherwise all of it in `low`.
#[derive(Clone, Default)]
struct Residue {
    low: Integer,
    high: Integer,
}

/// Residues of a batch; wiped when dropped.
struct GmpBatch(Vec<Residue>);

impl Drop for GmpBatch {
    fn drop(&mut self) {
        for residue in &mut self.0 {
            wipe(&mut residue.low);
            wipe(&mut residue.high);
        }
    }
}

struct GmpResidues {
    modulus: Modulus,
    control: Control,
}

/// Operations of a program between two looks at the control: a few milliseconds at most.
const OPERATIONS_UNHEARD: usize = 64;

/// The operands of one item.
struct Item<'a> {
    inputs: &'a [Residue],
    table: Option<(&'a [Residue], &'a [u16], usize)>,
}

/// Integers that operations reuse.
#[derive(Default)]
struct Spare {
    result: Residue,
    product: Integer,
    quotient: Integer,
}

impl Drop for Spare {
    fn drop(&mut self) {
        [&mut self.result.low, &mut self.result.high, &mut self.product, &mut self.quotient].into_iter().for_each(wipe);
    }
}

impl GmpResidues {
    fn of<'a>(&self, values: &'a Resident) -> Result<&'a [Residue]> {
        Ok(&values.storage::<GmpBatch>(BackendId::Gmp)?.0)
    }

    /// A batch of results, unless the work was stopped and they are unfinished.
    fn resident(&self, values: Vec<Residue>) -> Result<Resident> {
        let values = GmpBatch(values);
        self.control.check()?;
        Ok(Resident::new(values.0.len(), values))
    }

    /// A result of about `products` products, or nothing once the work was stopped.
    fn unless_stopped<T: Default>(&self, products: usize, make: impl FnOnce() -> T) -> T {
        if self.control.is_stopped() {
            return T::default();
        }
        let made = make();
        self.control.count(products);
        made
    }

    /// The digits of an integer below the modulus.
    fn split(&self, value: Integer) -> Residue {
        match self.modulus.root() {
            None => Residue { low: value, high: Integer::new() },
            Some(n) => {
                let (high, low) = value.div_rem_floor(n.clone());
                Residue { low, high }
            }
        }
    }

    /// The integer of a residue, below the modulus.
    fn join(&self, residue: &Residue) -> Integer {
        match self.modulus.root() {
            None => residue.low.clone(),
            Some(n) => &residue.low + Integer::from(&residue.high * n),
        }
    }

    /// `spare.result` = a b. Input and output: digits below n, or a residue below the modulus.
    fn multiply(&self, a: &Residue, b: &Residue, spare: &mut Spare) {
        let Spare { result, product, quotient } = spare;
        product.assign(&a.low * &b.low);
        match self.modulus.root() {
            None => result.low.assign(&*product % self.modulus.value()),
            Some(n) => {
                (&mut *quotient, &mut result.low).assign(product.div_rem_ref(n));
                product.assign(&a.low * &b.high);
                *product += &a.high * &b.low;
                *product += &*quotient;
                result.high.assign(&*product % n);
            }
        }
    }

    /// `spare.result` = a^2, one half-size product cheaper than [`GmpResidues::multiply`].
    fn square(&self, a: &Residue, spare: &mut Spare) {
        let Spare { result, product, quotient } = spare;
        product.assign(a.low.square_ref());
        match self.modulus.root() {
            None => result.low.assign(&*product % self.modulus.value()),
            Some(n) => {
                (&mut *quotient, &mut result.low).assign(product.div_rem_ref(n));
                product.assign(&a.low * &a.high);
                *product <<= 1;
                *product += &*quotient;
                result.high.assign(&*product % n);
            }
        }
    }

    /// `spare.result` = the value of one operation.
    fn evaluate(&self, op: Op, item: &Item<'_>, slots: &[Residue], spare: &mut Spare) {
        let at = |operand: Operand| item.inputs.get(operand as usize).unwrap_or_else(|| &slots[operand as usize - item.inputs.len()]);
        match op {
            Op::Mul { a, b, .. } => self.multiply(at(a), at(b), spare),
            Op::Sqr { a, .. } => self.square(at(a), spare),
            Op::MulTable { a, window, .. } => {
                // `items_of` has checked that a program with windows comes with a table and digits.
                if let Some((table, digits, entries)) = item.table {
                    self.multiply(at(a), &table[window as usize * entries + digits[window as usize] as usize], spare);
                }
            }
        }
    }

    /// Runs all operations in order; `slots` and `spare` are scratch.
    fn run_in_order(&self, program: &Program, item: &Item<'_>, slots: &mut [Residue], spare: &mut Spare) {
        for ops in program.ops().chunks(OPERATIONS_UNHEARD) {
            self.unless_stopped(ops.len(), || ops.iter().for_each(|&op| self.run_one(op, item, slots, spare)));
        }
    }

    fn run_one(&self, op: Op, item: &Item<'_>, slots: &mut [Residue], spare: &mut Spare) {
        self.evaluate(op, item, slots, spare);
        std::mem::swap(&mut slots[op.dst() as usize - item.inputs.len()], &mut spare.result);
    }

    /// Runs level after level, the operations of a level in parallel.
    fn run_in_levels(&self, program: &Program, item: &Item<'_>, slots: &mut [Residue]) {
        let mut spares: Vec<Spare> = Vec::new();
        for level in program.levels() {
            if self.control.is_stopped() {
                return;
            }
            spares.resize_with(spares.len().max(level.len()), Spare::default);
            level.par_iter().zip(spares.par_iter_mut()).with_min_len(4).for_each(|(&op, spare)| {
                if !self.control.is_stopped() {
                    self.evaluate(op, item, slots, spare);
                }
            });
            for (&op, spare) in level.iter().zip(&mut spares) {
                std::mem::swap(&mut slots[op.dst() as usize - item.inputs.len()], &mut spare.result);
            }
            self.control.count(level.len());
        }
    }
}

fn outputs_of(program: &Program, item: &Item<'_>, slots: &[Residue]) -> Vec<Residue> {
    program.outputs().iter().map(|&o| item.inputs.get(o as usize).unwrap_or_else(|| &slots[o as usize - item.inputs.len()]).clone()).collect()
}

fn scratch(program: &Program) -> GmpBatch {
    GmpBatch(std::iter::repeat_with(Residue::default).take(program.slots()).collect())
}

impl SquareResidues for GmpResidues {}

impl Residues for GmpResidues {
    fn moduli(&self) -> &[Modulus] {
        std::slice::from_ref(&self.modulus)
    }

    fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
        check_batches(self.moduli(), values)?;
        self.resident(values[0].to_integers().into_par_iter().map(|v| self.split(v)).collect())
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let items = items_of(program, inputs, lookup, self.moduli())?;
        let source = self.of(inputs)?;
        let table = lookup.map(|l| self.of(l.table).map(|t| (t, &l.digits[0]))).transpose()?;
        let item = |i: usize| Item {
            inputs: &source[i * program.inputs()..(i + 1) * program.inputs()],
            table: table.map(|(table, digits)| (table, digits.item(i), program.entries())),
        };
        let outputs: Vec<Vec<Residue>> = if items >= rayon::current_num_threads() {
            let run = |(slots, spare): &mut (GmpBatch, Spare), i: usize| {
                self.run_in_order(program, &item(i), &mut slots.0, spare);
                outputs_of(program, &item(i), &slots.0)
            };
            (0..items).into_par_iter().map_init(|| (scratch(program), Spare::default()), run).collect()
        } else {
            let mut slots = scratch(program);
            (0..items)
                .map(|i| {
                    self.run_in_levels(program, &item(i), &mut slots.0);
                    outputs_of(program, &item(i), &slots.0)
                })
                .collect()
        };
        self.resident(outputs.into_iter().flatten().collect())
    }

    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        exponents.check(bases.len(), 1)?;
        let modulus = self.modulus.value();
        let power = |(i, base): (usize, &Residue)| {
            let (base, exponent) = (self.join(base), exponents.of(0, i));
            self.split(match secrecy {
                // mpz_powm_sec takes positive exponents only; that an exponent is 0 may show.
                Secrecy::Secret if !exponent.is_zero() => Integer::from(base.secure_pow_mod_ref(exponent, modulus)),
                // The exponent is not negative, so the power exists.
                _ => base.pow_mod_ref(exponent, modulus).map(Integer::from).unwrap_or_default(),
            })
        };
        let products = |i: usize| exponents.of(0, i).significant_bits() as usize;
        let heard = |(i, base): (usize, &Residue)| self.unless_stopped(products(i), || power((i, base)));
        self.resident(self.of(bases)?.par_iter().enumerate().map(heard).collect())
    }

    fn invert(&self, values: &Resident) -> Result<Resident> {
        let inverse = |value: &Residue| self.unless_stopped(1, || self.join(value).invert(self.modulus.value()).ok());
        let inverses: Vec<Option<Integer>> = self.of(values)?.par_iter().map(inverse).collect();
        self.control.check()?;
        let bits = self.modulus.bits();
        let inverses = inverses.into_iter().enumerate().map(|(index, inverse)| {
            // GMP may return a negative representative.
            inverse.map(|inverse| self.split(inverse.rem_euc(self.modulus.value()))).ok_or(Error::NotInvertible { index, bits })
        });
        self.resident(inverses.collect::<Result<_>>()?)
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let sources = sources.iter().map(|s| self.of(s)).collect::<Result<Vec<_>>>()?;
        self.resident(picks.iter().map(|&(source, index)| sources[source][index].clone()).collect())
    }

    fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>> {
        let width = self.modulus.width();
        let source = self.of(values)?;
        let mut batch = Limbs::zeros(source.len(), width);
        for (value, words) in source.iter().zip(batch.words_mut().chunks_exact_mut(width)) {
            let value = self.join(value);
            value.write_digits(&mut words[..value.significant_digits::<u64>()], Order::Lsf);
        }
        Ok(vec![batch])
    }
}
