//! The backend and its rings: conversions, inverses, and the verbs of [`Ring`].

use std::sync::Arc;

use rayon::prelude::*;
use rug::Integer;
use zeroize::Zeroize;

use super::engine::Engine;
use super::form::Form;
use super::kernel::{LANES, Line, Token};
use super::power::Powers;
use super::runner::Job;
use crate::backend::{Backend, BackendId, Device, DeviceKind, Exponents, Lookup, Resident, Ring, Secrecy, check_picks, check_reduced, items_of};
use crate::error::{Error, Result};
use crate::limbs::Limbs;
use crate::machine;
use crate::modulus::{Modulus, wipe};
use crate::plan::Program;

/// The backend, on a processor that has the instructions.
pub(super) struct Ifma {
    token: Token,
}

impl Ifma {
    pub(super) fn new(token: Token) -> Self {
        Self { token }
    }
}

impl Backend for Ifma {
    fn id(&self) -> BackendId {
        BackendId::Ifma
    }

    fn device(&self) -> Device {
        Device {
            name: machine::processor(),
            kind: DeviceKind::Cpu,
            detail: format!("AVX-512 IFMA, {LANES} lanes, {} threads", rayon::current_num_threads()),
        }
    }

    fn ring(&self, modulus: Modulus) -> Result<Arc<dyn Ring>> {
        Ok(Arc::new(IfmaRing { engine: Engine::new(Form::new(self.token, modulus)?) }))
    }
}

/// Residues in Montgomery form, one per row, and the modulus they belong to. Wiped when dropped.
struct Rows {
    lines: Vec<Line>,
    modulus: Modulus,
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.lines.zeroize();
    }
}

struct IfmaRing {
    engine: Engine,
}

impl IfmaRing {
    fn form(&self) -> &Form {
        self.engine.form()
    }

    fn zeros(&self, count: usize) -> Vec<Line> {
        vec![Line::default(); count * self.form().lines()]
    }

    fn resident(&self, count: usize, lines: Vec<Line>) -> Resident {
        Resident::new(count, Rows { lines, modulus: self.form().modulus().clone() })
    }

    /// The rows of a batch, if a ring of this modulus made it.
    fn rows<'a>(&self, values: &'a Resident) -> Result<&'a [Line]> {
        let rows = values.storage::<Rows>(BackendId::Ifma)?;
        if rows.modulus != *self.form().modulus() {
            return Err(Error::Unsupported { subject: BackendId::Ifma.name().into(), feature: "a batch made for another modulus".into() });
        }
        Ok(&rows.lines)
    }

    /// Row i of `rows`.
    fn row<'a>(&self, rows: &'a [Line], i: usize) -> &'a [Line] {
        let row = self.form().lines();
        &rows[i * row..(i + 1) * row]
    }

    /// To Montgomery form. Time depends on the values.
    fn enter(&self, count: usize, value: impl Fn(usize) -> Integer + Sync) -> Vec<Line> {
        let mut plain = self.zeros(count);
        plain.par_chunks_mut(self.form().lines()).with_min_len(LANES).enumerate().for_each(|(i, row)| {
            let mut value = value(i);
            self.form().write_row(&value, row);
            wipe(&mut value);
        });
        let mut rows = self.zeros(count);
        self.engine.products(&mut rows, |i| [self.row(&plain, i), self.form().r_squared()]);
        plain.zeroize();
        rows
    }

    /// Out of Montgomery form, canonical. Time depends on the values.
    fn leave(&self, rows: &[Line]) -> Vec<Integer> {
        let mut plain = vec![Line::default(); rows.len()];
        self.engine.products(&mut plain, |i| [self.row(rows, i), self.form().plain_one()]);
        let values = plain.par_chunks(self.form().lines()).with_min_len(LANES).map(|row| self.form().read_row(row)).collect();
        plain.zeroize();
        values
    }

    /// The first of `rows` that shares a factor with the modulus.
    fn first_not_invertible(&self, rows: &[Line]) -> Error {
        let modulus = self.form().modulus();
        let index = self.leave(rows).iter().position(|value| Integer::from(value.gcd_ref(modulus.value())) != 1).unwrap_or(0);
        Error::NotInvertible { index, bits: modulus.bits() }
    }
}

impl Ring for IfmaRing {
    fn modulus(&self) -> &Modulus {
        self.form().modulus()
    }

    fn upload(&self, values: &Limbs) -> Result<Resident> {
        check_reduced(values, self.modulus())?;
        Ok(self.resident(values.len(), self.enter(values.len(), |i| values.integer(i))))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let items = items_of(program, inputs, lookup)?;
        let table = match lookup {
            Some(Lookup { table, digits }) => Some((self.rows(table)?, digits)),
            None => None,
        };
        let job = Job { program, inputs: self.rows(inputs)?, table, row: self.form().lines() };
        let count = items * program.outputs().len();
        let mut outputs = self.zeros(count);
        self.engine.run(&job, items, &mut outputs);
        Ok(self.resident(count, outputs))
    }

    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        let exponents = match exponents {
            Exponents::Shared(exponent) => std::slice::from_ref(exponent),
            Exponents::Each(each) if each.len() == bases.len() => each,
            Exponents::Each(each) => return Err(Error::Size { what: "exponents", expected: bases.len(), actual: each.len() }),
        };
        if exponents.iter().any(Integer::is_negative) {
            return Err(Error::OutOfRange { what: "exponent", value: "negative".into(), allowed: "0 and above".into() });
        }
        let rows = self.rows(bases)?;
        let mut results = self.zeros(bases.len());
        self.engine.powers(rows, &Powers::new(exponents.iter(), secrecy), &mut results);
        Ok(self.resident(bases.len(), results))
    }

    /// Montgomery's trick over a tree: products of neighbours up to one number, its inverse by GMP, and down again. Three products for each value.
    fn invert(&self, values: &Resident) -> Result<Resident> {
        let rows = self.rows(values)?;
        if values.is_empty() {
            return Ok(self.resident(0, Vec::new()));
        }
        let width = self.form().lines();
        // Level 0 is `rows`; a number without neighbour goes up as it is.
        let mut levels: Vec<Vec<Line>> = Vec::new();
        let mut below = rows;
        while below.len() > width {
            let count = below.len() / width;
            let mut above = self.zeros(count.div_ceil(2));
            self.engine.products(&mut above[..count / 2 * width], |i| [self.row(below, 2 * i), self.row(below, 2 * i + 1)]);
            if count % 2 == 1 {
                above[count / 2 * width..].copy_from_slice(self.row(below, count - 1));
            }
            levels.push(above);
            below = levels.last().map_or(rows, Vec::as_slice);
        }
        let modulus = self.form().modulus();
        let mut inverses = match self.leave(below).pop().map(|product| product.invert(modulus.value())) {
            Some(Ok(inverse)) => self.enter(1, |_| inverse.clone()),
            _ => return Err(self.first_not_invertible(rows)),
        };
        for depth in (0..levels.len()).rev() {
            let below = if depth == 0 { rows } else { &levels[depth - 1] };
            let count = below.len() / width;
            let mut next = self.zeros(count);
            self.engine.products(&mut next[..count / 2 * 2 * width], |i| [self.row(&inverses, i / 2), self.row(below, i ^ 1)]);
            if count % 2 == 1 {
                next[(count - 1) * width..].copy_from_slice(self.row(&inverses, count / 2));
            }
            inverses.zeroize();
            inverses = next;
        }
        levels.zeroize();
        Ok(self.resident(values.len(), inverses))
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let sources = sources.iter().map(|source| self.rows(source)).collect::<Result<Vec<_>>>()?;
        let lines = picks.iter().flat_map(|&(source, index)| self.row(sources[source], index)).copied().collect();
        Ok(self.resident(picks.len(), lines))
    }

    fn download(&self, values: &Resident) -> Result<Limbs> {
        let mut integers = self.leave(self.rows(values)?);
        let limbs = Limbs::from_integers(&integers, self.form().modulus().width());
        integers.iter_mut().for_each(wipe);
        limbs
    }
}
