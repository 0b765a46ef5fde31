//! The verbs of [`Ring`] on the device.

use zeroize::Zeroizing;

use super::bytecode::{Code, Kind, Place, Step};
use super::device::Fault;
use super::engine::{Check, Engine, Job, Picks, Rows};
use super::montgomery_form::MontgomeryForm;
use crate::backend::rings::{check_batches, check_count};
use crate::backend::{BackendId, Exponents, Lookup, Lookups, Resident, Ring, Rings, Secrecy, check_picks, check_reduced, items_of, one_plus};
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
    moduli: Vec<Modulus>,
}

/// Arithmetic modulo one number on a device; within [`GpuRings`] modulo several.
pub(super) struct GpuRing {
    engine: Engine,
}

/// Arithmetic modulo several numbers of one shape at once: their items share dispatches.
pub(super) struct GpuRings(GpuRing);

impl GpuRing {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    fn moduli(&self) -> impl ExactSizeIterator<Item = &Modulus> {
        self.engine.forms().iter().map(MontgomeryForm::modulus)
    }

    fn resident(&self, rows: Rows) -> Resident {
        let moduli: Vec<Modulus> = self.moduli().cloned().collect();
        Resident::new(rows.len() / moduli.len(), Batch { rows, moduli })
    }

    /// The rows of a batch, if a ring of these moduli on this device made it.
    fn rows<'a>(&self, values: &'a Resident) -> Result<&'a Rows> {
        let batch = values.storage::<Batch>(BackendId::Gpu)?;
        if !batch.moduli.iter().eq(self.moduli()) {
            return Err(Error::Unsupported { subject: BackendId::Gpu.name().into(), feature: "a batch made for another modulus".into() });
        }
        if !std::sync::Arc::ptr_eq(batch.rows.context(), self.engine.context()) {
            return Err(Fault::Lost("the batch was made before the device was opened again".into()).into());
        }
        Ok(&batch.rows)
    }

    fn run_code(&self, code: &Code, inputs: &Rows, items: usize) -> Result<Rows> {
        Ok(self.engine.run(&Job { code, inputs, items, table: None, digits: Picks::None, check: Check::Code, modulus: None })?)
    }

    /// A program over `items` items of each modulus, with digits for all of them.
    fn run_program(&self, program: &Program, inputs: &Resident, items: usize, lookup: Option<(&Resident, &[u16])>) -> Result<Resident> {
        let (table, digits) = match lookup {
            Some((table, digits)) => (Some(self.rows(table)?), Picks::Each(digits)),
            None => (None, Picks::None),
        };
        let (code, inputs) = (Code::of(program), self.rows(inputs)?);
        let items = items * self.moduli().len();
        Ok(self.resident(self.engine.run(&Job { code: &code, inputs, items, table, digits, check: Check::Code, modulus: None })?))
    }

    /// Fixed windows. `exponents`: one for all bases, one for each, or one for each modulus. The steps depend on the length of the longest exponent only; table
    /// entries are picked by address for public exponents, by reading all of them for secret ones.
    fn power(&self, bases: &Resident, exponents: &[Integer], secrecy: Secrecy) -> Result<Resident> {
        let rows = self.rows(bases)?;
        let bits = exponents.iter().map(Integer::significant_bits).max().unwrap_or(0);
        let window = window_bits(bits, secrecy);
        let code = Code::power(bits.div_ceil(window), window, secrecy == Secrecy::Secret);
        // Items for which one exponent stands.
        let each = rows.len() / exponents.len().max(1);
        let one_for_all = exponents.len() == 1;
        let digits = digits(exponents, code.windows, window, if one_for_all { 1 } else { each });
        let moduli: Vec<&Integer> = self.moduli().map(Modulus::value).collect();
        let of = |item: usize, base: &Integer| {
            let (exponent, modulus) = (&exponents[item / each.max(1)], moduli[item / bases.len().max(1)]);
            match secrecy {
                Secrecy::Secret if !exponent.is_zero() => Integer::from(base.secure_pow_mod_ref(exponent, modulus)),
                // The exponent is not negative, so the power exists.
                _ => base.pow_mod_ref(exponent, modulus).map(Integer::from).unwrap_or_default(),
            }
        };
        let digits = match code.windows {
            0 => Picks::None,
            _ if one_for_all => Picks::Shared(&digits),
            _ => Picks::Each(&digits),
        };
        let check = Check::Power { of: &of, alike: exponents.len() == moduli.len() };
        Ok(self.resident(self.engine.run(&Job { code: &code, inputs: rows, items: rows.len(), table: None, digits, check, modulus: None })?))
    }

    /// The first value that shares a factor with the modulus.
    fn first_not_invertible(&self, values: &Rows) -> Result<Error> {
        let modulus = self.modulus();
        let values = self.leave(values)?.to_integers();
        let index = values.iter().position(|value| Integer::from(value.gcd_ref(modulus.value())) != 1).unwrap_or(0);
        Ok(Error::NotInvertible { index, bits: modulus.bits() })
    }

    fn enter(&self, values: &Limbs) -> Result<Rows> {
        Ok(self.engine.enter(std::slice::from_ref(values))?)
    }

    fn leave(&self, rows: &Rows) -> Result<Limbs> {
        Ok(self.engine.leave(rows)?.swap_remove(0))
    }

    fn busy_batch(&self) -> usize {
        if self.engine.context().adapter.is_software() { 128 } else { 8192 }
    }
}

impl Ring for GpuRing {
    fn modulus(&self) -> &Modulus {
        self.engine.form().modulus()
    }

    fn batch(&self) -> usize {
        self.busy_batch()
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn upload(&self, values: &Limbs) -> Result<Resident> {
        check_reduced(values, self.modulus())?;
        Ok(self.resident(self.enter(values)?))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let items = items_of(program, inputs, lookup)?;
        self.run_program(program, inputs, items, lookup.map(|Lookup { table, digits }| (table, &digits.values[..])))
    }

    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        exponents.check(bases.len())?;
        match exponents {
            Exponents::Shared(exponent) => self.power(bases, std::slice::from_ref(exponent), secrecy),
            Exponents::Each(exponents) => self.power(bases, exponents, secrecy),
        }
    }

    /// Montgomery's trick over a tree: products of neighbours up to one number, its inverse by GMP, and down again. Three products for each value.
    fn invert(&self, values: &Resident) -> Result<Resident> {
        let rows = self.rows(values)?;
        let count = values.len();
        if count == 0 {
            return Ok(self.resident(self.engine.rows(0)?));
        }
        let tree = Tree::of(count);
        let products = self.run_code(&tree.up, rows, 1)?;
        let root = if count == 1 { rows } else { &self.engine.gather(&[&products], &[(0, count - 2)])? };
        let root = match self.leave(root)?.integer(0).invert(self.modulus().value()) {
            Ok(mut inverse) => {
                let words = Limbs::from_integers([&inverse], self.modulus().width())?;
                wipe(&mut inverse);
                self.enter(&words)?
            }
            Err(_) => return Err(self.first_not_invertible(rows)?),
        };
        let picks: Vec<(usize, usize)> = (0..count).map(|i| (0, i)).chain((0..count - 1).map(|i| (1, i))).chain([(2, 0)]).collect();
        let inputs = self.engine.gather(&[rows, &products, &root], &picks)?;
        Ok(self.resident(self.run_code(&tree.down, &inputs, 1)?))
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let sources = sources.iter().map(|source| self.rows(source)).collect::<Result<Vec<_>>>()?;
        Ok(self.resident(self.engine.gather(&sources, picks)?))
    }

    fn download(&self, values: &Resident) -> Result<Limbs> {
        self.leave(self.rows(values)?)
    }
}

impl GpuRings {
    pub(super) fn new(engine: Engine) -> Self {
        Self(GpuRing::new(engine))
    }
}

impl Rings for GpuRings {
    fn moduli(&self) -> Vec<&Modulus> {
        self.0.moduli().collect()
    }

    fn batch(&self) -> usize {
        self.0.busy_batch()
    }

    fn is_apart(&self) -> bool {
        true
    }

    fn upload(&self, values: &[Limbs]) -> Result<Resident> {
        check_batches(self.0.moduli().len(), values)?;
        values.iter().zip(self.0.moduli()).try_for_each(|(values, modulus)| check_reduced(values, modulus))?;
        Ok(self.0.resident(self.0.engine.enter(values)?))
    }

    fn one_plus(&self, values: &Limbs, factors: &[Integer]) -> Result<Resident> {
        check_count("factors", self.0.moduli().len(), factors.len())?;
        let residues = self.0.moduli().zip(factors).map(|(modulus, factor)| one_plus(modulus, values, factor));
        self.upload(&residues.collect::<Result<Vec<_>>>()?)
    }

    fn run(&self, program: &Program, inputs: &Resident, lookups: Option<Lookups<'_>>) -> Result<Resident> {
        let Some(Lookups { table, digits }) = lookups else {
            return self.0.run_program(program, inputs, items_of(program, inputs, None)?, None);
        };
        check_count("digits of all moduli", self.0.moduli().len(), digits.len())?;
        let mut items = 0;
        for digits in digits {
            items = items_of(program, inputs, Some(Lookup { table, digits }))?;
        }
        let all = Zeroizing::new(digits.iter().map(|digits| &digits.values[..]).collect::<Vec<_>>().concat());
        self.0.run_program(program, inputs, items, Some((table, &all)))
    }

    fn pow(&self, bases: &Resident, exponents: &[Integer], secrecy: Secrecy) -> Result<Resident> {
        check_count("exponents", self.0.moduli().len(), exponents.len())?;
        exponents.iter().try_for_each(|exponent| Exponents::Shared(exponent).check(bases.len()))?;
        self.0.power(bases, exponents, secrecy)
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let rows = sources.iter().map(|source| self.0.rows(source)).collect::<Result<Vec<_>>>()?;
        let of_modulus = |number: usize| picks.iter().map(move |&(source, index)| (source, number * sources[source].len() + index));
        let picks: Vec<(usize, usize)> = (0..self.0.moduli().len()).flat_map(of_modulus).collect();
        Ok(self.0.resident(self.0.engine.gather(&rows, &picks)?))
    }

    fn download(&self, values: &Resident) -> Result<Vec<Limbs>> {
        Ok(self.0.engine.leave(self.0.rows(values)?)?)
    }
}

/// The window that needs the fewest products.
fn window_bits(bits: u32, secrecy: Secrecy) -> u32 {
    let widest = match secrecy {
        Secrecy::Public => MAX_WINDOW,
        Secrecy::Secret => MAX_SCANNED_WINDOW,
    };
    (1..=widest).min_by_key(|&window| (1 << window) + bits.div_ceil(window)).unwrap_or(1)
}

/// The digits of all exponents, lowest first, `count` of `window` bits for each, each list `times` times over. Addresses depend on the lengths only.
fn digits(exponents: &[Integer], count: usize, window: u32, times: usize) -> Zeroizing<Vec<u16>> {
    let mut digits = Zeroizing::new(Vec::with_capacity(exponents.len() * count * times));
    for exponent in exponents {
        let words = Zeroizing::new(exponent.to_digits::<u64>(Order::Lsf));
        let word = |index: usize| u128::from(words.get(index).copied().unwrap_or(0));
        digits.extend((0..count).map(|digit| {
            let bit = digit * window as usize;
            let pair = word(bit / 64) | word(bit / 64 + 1) << 64;
            (pair >> (bit % 64)) as u16 & ((1 << window) - 1)
        }));
        let start = digits.len() - count;
        (1..times).for_each(|_| digits.extend_from_within(start..start + count));
    }
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
        // Nodes by number: the values, then the products; a number without neighbour goes up as it is.
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
        // On the way down the products are inputs, and a node's inverse stands in the slot of its number; the root's comes in.
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
