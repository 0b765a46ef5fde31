//! The verbs of [`Residues`] on the device.

use std::borrow::Cow;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::bytecode::{Code, Kind, Place, Step};
use super::device::Fault;
use super::engine::{Check, Engine, Job, Picks, Rows};
use crate::backend::residues::{check_batches, check_picks, items_of};
use crate::backend::{BackendId, Digits, Exponents, Lookup, Resident, Residues, Secrecy, SquareResidues};
use crate::error::{Error, Result};
use crate::integer::{Integer, Order};
use crate::limbs::Limbs;
use crate::modulus::{Modulus, wipe};
use crate::plan::Program;

/// Widest window of a power.
const MAX_WINDOW: u32 = 6;
/// Widest window where every entry is read for every digit.
const MAX_SCANNED_WINDOW: u32 = 5;

/// A batch and the moduli that it belongs to.
struct Batch {
    rows: Rows,
    moduli: Arc<[Modulus]>,
}

/// Arithmetic on a device modulo one number, or modulo several of one shape, whose items share
/// dispatches.
pub(super) struct GpuResidues {
    engine: Engine,
    moduli: Arc<[Modulus]>,
}

impl GpuResidues {
    pub(super) fn new(engine: Engine) -> Self {
        Self { moduli: engine.forms().iter().map(|form| form.modulus().clone()).collect(), engine }
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    fn resident(&self, rows: Rows) -> Resident {
        Resident::new(rows.len() / self.moduli.len(), Batch { rows, moduli: Arc::clone(&self.moduli) })
    }

    /// The rows of a batch, if arithmetic modulo the same numbers on this device made it.
    fn rows<'a>(&self, values: &'a Resident) -> Result<&'a Rows> {
        let batch = values.storage::<Batch>(BackendId::Gpu)?;
        if batch.moduli != self.moduli {
            return Err(Error::unsupported(BackendId::Gpu.name(), "a batch made for another modulus"));
        }
        if !Arc::ptr_eq(batch.rows.context(), self.engine.context()) {
            return Err(Fault::Lost("the batch was made before the device was opened again".into()).into());
        }
        Ok(&batch.rows)
    }

    /// Runs code on an item of each modulus.
    fn run_code(&self, code: &Code, inputs: &Rows) -> Result<Rows> {
        let items = self.moduli.len();
        Ok(self.engine.run(&Job { code, inputs, items, table: None, digits: Picks::None, check: Check::Code, modulus: None })?)
    }

    /// The first value that shares a factor with its modulus, modulo the first of the moduli that
    /// has one.
    fn first_not_invertible(&self, values: &Rows) -> Result<Error> {
        let shares = |value: &Integer, modulus: &Modulus| Integer::from(value.gcd_ref(modulus.value())) != 1;
        let values = self.engine.leave(values)?;
        let mut found = values.iter().zip(&*self.moduli).map(|(values, modulus)| {
            let index = values.to_integers().iter().position(|value| shares(value, modulus));
            index.map(|index| Error::NotInvertible { index, bits: modulus.bits() })
        });
        Ok(found.find_map(|error| error).unwrap_or_else(|| Error::NotInvertible { index: 0, bits: self.modulus().bits() }))
    }

    /// The inverses of one residue of each modulus, by GMP.
    fn invert_on_host(&self, roots: &Rows) -> Result<Option<Rows>> {
        let inverse = |(root, modulus): (&Limbs, &Modulus)| {
            root.integer(0).invert(modulus.value()).ok().map(|mut inverse| {
                let words = Limbs::from_integers([&inverse], modulus.width());
                wipe(&mut inverse);
                words
            })
        };
        let roots = self.engine.leave(roots)?;
        match roots.iter().zip(&*self.moduli).map(inverse).collect::<Option<Result<Vec<_>>>>() {
            Some(inverses) => Ok(Some(self.engine.enter(&inverses?)?)),
            None => Ok(None),
        }
    }
}

impl Residues for GpuResidues {
    fn moduli(&self) -> &[Modulus] {
        &self.moduli
    }

    fn batch(&self) -> usize {
        if self.engine.context().adapter.is_software() { 128 } else { 8192 }
    }

    fn is_offloaded(&self) -> bool {
        true
    }

    fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
        check_batches(&self.moduli, values)?;
        Ok(self.resident(self.engine.enter(values)?))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let items = items_of(program, inputs, lookup, &self.moduli)? * self.moduli.len();
        let table = lookup.map(|lookup| self.rows(lookup.table)).transpose()?;
        let joined;
        let digits = match lookup.map(|lookup| lookup.digits) {
            None => Picks::None,
            Some([digits]) => Picks::Each(digits.values()),
            Some(all) => {
                joined = Zeroizing::new(all.iter().map(Digits::values).collect::<Vec<_>>().concat());
                Picks::Each(&joined)
            }
        };
        let (code, inputs) = (Code::of(program), self.rows(inputs)?);
        Ok(self.resident(self.engine.run(&Job { code: &code, inputs, items, table, digits, check: Check::Code, modulus: None })?))
    }

    /// Fixed windows. The steps depend on the length of the longest exponent only; table entries
    /// are picked by address for public exponents, by reading all of them for secret ones.
    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        let moduli = self.moduli.len();
        exponents.check(bases.len(), moduli)?;
        let rows = self.rows(bases)?;
        let all = exponents.all();
        let bits = all.iter().map(Integer::significant_bits).max().unwrap_or(0);
        let window = window_bits(bits, secrecy);
        let code = Code::power(bits.div_ceil(window), window, secrecy == Secrecy::Secret);
        let one_for_all = all.len() == 1;
        let times = match exponents {
            _ if one_for_all => [1, 1],
            Exponents::OfModulus(_) => [bases.len(), 1],
            _ => [1, moduli],
        };
        let digits = digits(all, code.windows, window, times);
        let of = |item: usize, base: &Integer| {
            let modulus = item / bases.len().max(1);
            let (exponent, value) = (exponents.of(modulus, item % bases.len().max(1)), self.moduli[modulus].value());
            match secrecy {
                Secrecy::Secret if !exponent.is_zero() => Integer::from(base.secure_pow_mod_ref(exponent, value)),
                // The exponent is not negative, so the power exists.
                _ => base.pow_mod_ref(exponent, value).map(Integer::from).unwrap_or_default(),
            }
        };
        let digits = match code.windows {
            0 => Picks::None,
            _ if one_for_all => Picks::Shared(&digits),
            _ => Picks::Each(&digits),
        };
        let check = Check::Power { of: &of, alike: one_for_all || matches!(exponents, Exponents::OfModulus(_)) };
        Ok(self.resident(self.engine.run(&Job { code: &code, inputs: rows, items: rows.len(), table: None, digits, check, modulus: None })?))
    }

    /// Montgomery's trick over a tree: products of neighbours up to one number, its inverse by GMP,
    /// and down again. Three products for each value.
    fn invert(&self, values: &Resident) -> Result<Resident> {
        let rows = self.rows(values)?;
        let (count, moduli) = (values.len(), self.moduli.len());
        if count == 0 {
            return Ok(self.resident(self.engine.rows(0)?));
        }
        let tree = Tree::of(count);
        let products = self.run_code(&tree.up, rows)?;
        let last = |modulus: usize| (0, (modulus + 1) * (count - 1) - 1);
        let roots = if count == 1 { rows } else { &self.engine.gather(&[&products], &(0..moduli).map(last).collect::<Vec<_>>())? };
        let Some(roots) = self.invert_on_host(roots)? else { return Err(self.first_not_invertible(rows)?) };
        let of_modulus = |modulus: usize| {
            let values = (0..count).map(move |i| (0, modulus * count + i));
            values.chain((0..count - 1).map(move |i| (1, modulus * (count - 1) + i))).chain([(2, modulus)])
        };
        let inputs = self.engine.gather(&[rows, &products, &roots], &(0..moduli).flat_map(of_modulus).collect::<Vec<_>>())?;
        Ok(self.resident(self.run_code(&tree.down, &inputs)?))
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let rows = sources.iter().map(|source| self.rows(source)).collect::<Result<Vec<_>>>()?;
        let of_modulus = |number: usize| picks.iter().map(move |&(source, index)| (source, number * sources[source].len() + index));
        let picks = match self.moduli.len() {
            1 => Cow::Borrowed(picks),
            moduli => (0..moduli).flat_map(of_modulus).collect(),
        };
        Ok(self.resident(self.engine.gather(&rows, &picks)?))
    }

    fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>> {
        Ok(self.engine.leave(self.rows(values)?)?)
    }
}

impl SquareResidues for GpuResidues {}

/// The window that needs the fewest products.
fn window_bits(bits: u32, secrecy: Secrecy) -> u32 {
    let widest = match secrecy {
        Secrecy::Public => MAX_WINDOW,
        Secrecy::Secret => MAX_SCANNED_WINDOW,
    };
    (1..=widest).min_by_key(|&window| (1 << window) + bits.div_ceil(window)).unwrap_or(1)
}

/// The digits of all exponents, lowest first, `count` of `window` bits for each: each list
/// `times[0]` times over, and all of them `times[1]` times. Addresses depend on the lengths only.
fn digits(exponents: &[Integer], count: usize, window: u32, times: [usize; 2]) -> Zeroizing<Vec<u16>> {
    // Nothing is left behind by a list that grows.
    let mut digits = Zeroizing::new(Vec::with_capacity(exponents.len() * count * times[0] * times[1]));
    for exponent in exponents {
        let words = Zeroizing::new(exponent.to_digits::<u64>(Order::Lsf));
        let word = |index: usize| u128::from(words.get(index).copied().unwrap_or(0));
        digits.extend((0..count).map(|digit| {
            let bit = digit * window as usize;
            let pair = word(bit / 64) | word(bit / 64 + 1) << 64;
            (pair >> (bit % 64)) as u16 & ((1 << window) - 1)
        }));
        let start = digits.len() - count;
        (1..times[0]).for_each(|_| digits.extend_from_within(start..start + count));
    }
    let all = digits.len();
    (1..times[1]).for_each(|_| digits.extend_from_within(..all));
    digits
}

/// The two programs of a batch inversion.
struct Tree {
    /// Inputs: the values. Outputs: all products above them, the root last.
    up: Code,
    /// Inputs: the values, the outputs of `up`, the inverse of the root. Outputs: the inverses.
    down: Code,
}

impl Tree {
    fn of(count: usize) -> Self {
        let product = |a, b, to| Step { kind: Kind::Product, a, b, to };
        // Nodes by number: the values, then the products; a number without neighbour goes up as it
        // is.
        let mut level: Vec<usize> = (0..count).collect();
        let mut parents: Vec<Vec<[usize; 3]>> = Vec::new();
        let mut next = count;
        while level.len() > 1 {
            let mut made = Vec::new();
            level = level
                .chunks(2)
                .map(|pair| match *pair {
                    [left, right] => {
                        made.push([left, right, next]);
                        next += 1;
                        next - 1
                    }
                    _ => pair[0],
                })
                .collect();
            parents.push(made);
        }
        let node = |at: usize| if at < count { Place::Input(at as u32) } else { Place::Slot((at - count) as u32) };
        let mut up = Code::chain(Vec::new(), count.saturating_sub(1).max(1));
        up.inputs = count;
        up.outputs = (count..next).map(node).collect();
        // On the way down the products are inputs, and a node's inverse stands in the slot of its
        // number; the root's comes in.
        let mut down = Code::chain(Vec::new(), next);
        down.inputs = next + 1;
        let inverse = |at: usize| if at + 1 == next { Place::Input(next as u32) } else { Place::Slot(at as u32) };
        down.outputs = (0..count).map(inverse).collect();
        for made in &parents {
            up.steps.extend(made.iter().map(|&[left, right, to]| product(node(left), node(right), (to - count) as u32)));
            up.level_ends.push(up.steps.len());
        }
        for made in parents.iter().rev() {
            for &[left, right, parent] in made {
                down.steps.push(product(inverse(parent), Place::Input(right as u32), left as u32));
                down.steps.push(product(inverse(parent), Place::Input(left as u32), right as u32));
            }
            down.level_ends.push(down.steps.len());
        }
        Self { up, down }
    }
}
