//! The backend and its arithmetic: conversions, inverses, and the verbs of [`Residues`].

use std::sync::Arc;

use zeroize::Zeroize;

use super::engine::{Engine, Scratch, starts};
use super::exact::Join;
use super::kernel::{LANES, Line, RADIX_BITS, Token, multiply_adds};
use super::limb52::from_limbs;
use super::memory::Lines;
use super::montgomery_form::MontgomeryForm;
use super::power::Powers;
use super::runner::Job;
use super::transpose::{gather, scatter};
use crate::backend::residues::{check_batches, check_count, check_picks, items_of};
use crate::backend::squares::{self, check_parts, root_of};
use crate::backend::{Backend, BackendId, Bound, Device, DeviceKind, Exponents, Lookup, Resident, Residues, Secrecy, SquareResidues, side_by_side};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::{Limbs, words_for_bits};
use crate::machine;
use crate::modulus::{Modulus, wipe};
use crate::plan::{Counts, Program};

/// The backend, on a processor that has the instructions.
pub(super) struct Ifma {
    token: Token,
    control: Control,
}

impl Ifma {
    pub(super) fn new(token: Token, control: Control) -> Self {
        Self { token, control }
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

    fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
        let one = |modulus: Modulus| Ok(IfmaResidues { engine: Engine::new(MontgomeryForm::new(self.token, modulus)?, self.control.clone()) });
        side_by_side::prepare(self.id(), moduli, join, one)
    }
}

/// Residues in Montgomery form, one per row, and the modulus they belong to. Wiped when dropped.
struct Rows {
    lines: Lines,
    modulus: Modulus,
    /// A table in log form (`ifma.md`), for lookups only.
    logs: bool,
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.lines.zeroize();
    }
}

fn significant_bits(words: &[u64]) -> usize {
    words.iter().rposition(|&word| word != 0).map_or(0, |top| 64 * (top + 1) - words[top].leading_zeros() as usize)
}

/// Table entries that are inverted together.
const TABLE_CHUNK: usize = 1 << 9;

fn unsupported(feature: &str) -> Error {
    Error::unsupported(BackendId::Ifma.name(), feature)
}

/// The words of up to eight numbers in lanes, number after number.
fn put_words(lanes: &[Line], words: &mut [u64], width: usize) {
    for (lane, words) in words.chunks_exact_mut(width).enumerate() {
        from_limbs(|i| lanes.get(i).map_or(0, |line| line.0[lane]), words);
    }
}

struct IfmaResidues {
    engine: Engine,
}

impl IfmaResidues {
    fn form(&self) -> &MontgomeryForm {
        self.engine.form()
    }

    fn zeros(&self, count: usize) -> Lines {
        Lines::zeros(count * self.form().lines())
    }

    /// A batch of results, unless the work was stopped and they are unfinished.
    fn resident(&self, count: usize, lines: impl Into<Lines>) -> Result<Resident> {
        let rows = Rows { lines: lines.into(), modulus: self.form().modulus().clone(), logs: false };
        self.engine.control().check()?;
        Ok(Resident::new(count, rows))
    }

    /// A batch, if arithmetic modulo the same number made it.
    fn storage<'a>(&self, values: &'a Resident) -> Result<&'a Rows> {
        let rows = values.storage::<Rows>(BackendId::Ifma)?;
        if rows.modulus != *self.form().modulus() {
            return Err(unsupported("a batch made for another modulus"));
        }
        Ok(rows)
    }

    /// The rows of a batch of residues.
    fn rows<'a>(&self, values: &'a Resident) -> Result<&'a [Line]> {
        let rows = self.storage(values)?;
        if rows.logs {
            return Err(unsupported("a table in place of residues"));
        }
        Ok(&rows.lines)
    }

    /// To log form, in place: entry x0 - x1 n = t (1 - n g / R) is kept as t = x0 and g = x1 R / t mod n. Goes back to digits and says false when some t has no
    /// inverse. Time depends on the number of entries only, but for the inversions.
    fn to_logs(&self, lines: &mut [Line]) -> Result<bool> {
        let Some(root) = self.modulus().root() else { return Ok(false) };
        let form = MontgomeryForm::new(self.form().token(), Modulus::new(root.clone())?)?;
        let plain = Self { engine: Engine::new(form, self.engine.control().clone()) };
        let (row, plain_row) = (self.form().lines(), plain.form().lines());
        let (token, h) = (self.form().token(), self.form().size());
        // The low digits of entries as rows of their own.
        let low = |entries: &[Line]| {
            let mut low = plain.zeros(entries.len() / row);
            self.engine.batches(&mut low, LANES * plain_row, |number, low, Scratch { left, .. }| {
                let count = low.len() / plain_row;
                gather(token, std::array::from_fn(|lane| self.row(entries, number * LANES + lane.min(count - 1))), left);
                left[h..].fill(Line::default());
                scatter(token, &left[..LANES * plain_row], low, &starts(plain_row)[..count]);
            });
            plain.resident(entries.len() / row, low)
        };
        // High digit times factor / R.
        let scale = |entries: &mut [Line], factors: &Resident| -> Result<()> {
            let factors = plain.rows(factors)?;
            self.engine.batches(entries, LANES * row, |number, entries, Scratch { left, right, out, work, .. }| {
                let count = entries.len() / row;
                gather(token, std::array::from_fn(|lane| self.row(entries, lane.min(count - 1))), left);
                gather(token, std::array::from_fn(|lane| plain.row(factors, number * LANES + lane.min(count - 1))), &mut right[..LANES * plain_row]);
                plain.form().mul(&mut out[..h], &left[h..2 * h], &right[..h], work);
                left[h..2 * h].copy_from_slice(&out[..h]);
                scatter(token, left, entries, &starts(row)[..count]);
            });
            Ok(())
        };
        let chunk = TABLE_CHUNK * row;
        for start in (0..lines.len()).step_by(chunk) {
            let end = lines.len().min(start + chunk);
            match low(&lines[start..end]).and_then(|low| plain.invert(&low)) {
                Ok(inverses) => scale(&mut lines[start..end], &inverses)?,
                Err(Error::NotInvertible { .. }) => {
                    lines[..start].chunks_mut(chunk).try_for_each(|done| {
                        let factors = low(done)?;
                        scale(done, &factors)
                    })?;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.engine.control().check()?;
        Ok(true)
    }

    /// Row i of `rows`.
    fn row<'a>(&self, rows: &'a [Line], i: usize) -> &'a [Line] {
        let row = self.form().lines();
        &rows[i * row..(i + 1) * row]
    }

    /// To Montgomery form, for integers below the modulus of its width.
    fn enter(&self, values: &Limbs) -> Lines {
        let mut rows = self.zeros(values.len());
        let row = self.form().lines();
        self.engine.batches(&mut rows, LANES * row, |first, rows, Scratch { work, left, out, .. }| {
            let count = rows.len() / row;
            for lane in 0..count {
                self.form().put(values.get(first * LANES + lane), lane, left);
            }
            self.form().enter(out, left, work);
            scatter(self.form().token(), out, rows, &starts(row)[..count]);
        });
        rows
    }

    /// Out of Montgomery form, canonical. Time depends on the number of rows only.
    fn leave(&self, rows: &[Line]) -> Result<Limbs> {
        let (row, width, limbs) = (self.form().lines(), self.modulus().width(), self.form().limbs());
        let mut values = Limbs::zeros(rows.len() / row, width);
        self.engine.batches(values.words_mut(), LANES * width, |number, words, Scratch { work, left, out, .. }| {
            let count = words.len() / width;
            let at = |lane: usize| self.row(rows, number * LANES + lane.min(count - 1));
            gather(self.form().token(), std::array::from_fn(at), left);
            self.form().leave(out, left, work);
            put_words(&out[..limbs], words, width);
        });
        self.engine.control().check()?;
        Ok(values)
    }

    /// The first of `rows` that shares a factor with the modulus.
    fn first_not_invertible(&self, rows: &[Line]) -> Result<Error> {
        let modulus = self.form().modulus();
        let index = self.leave(rows)?.to_integers().iter().position(|value| Integer::from(value.gcd_ref(modulus.value())) != 1).unwrap_or(0);
        Ok(Error::NotInvertible { index, bits: modulus.bits() })
    }
}

impl Residues for IfmaResidues {
    fn moduli(&self) -> &[Modulus] {
        std::slice::from_ref(self.form().modulus())
    }

    fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
        check_batches(self.moduli(), values)?;
        self.resident(values[0].len(), self.enter(&values[0]))
    }

    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        let items = items_of(program, inputs, lookup, self.moduli())?;
        let (table, logs) = match lookup {
            Some(Lookup { table, digits }) => {
                let table = self.storage(table)?;
                (Some((&table.lines[..], &digits[0])), table.logs)
            }
            None => (None, false),
        };
        let job = Job { program, inputs: self.rows(inputs)?, table, logs, row: self.form().lines() };
        let count = items * program.outputs().len();
        let mut outputs = self.zeros(count);
        self.engine.run(&job, items, &mut outputs);
        self.resident(count, outputs)
    }

    fn table(&self, mut entries: Resident) -> Result<Resident> {
        self.rows(&entries)?;
        let rows = entries.storage_mut::<Rows>(BackendId::Ifma)?;
        rows.logs = self.to_logs(&mut rows.lines)?;
        Ok(entries)
    }

    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        exponents.check(bases.len(), 1)?;
        let rows = self.rows(bases)?;
        let mut results = self.zeros(bases.len());
        self.engine.powers(rows, &Powers::new(exponents.all().iter(), secrecy), &mut results);
        self.resident(bases.len(), results)
    }

    /// Montgomery's trick over a tree: products of neighbours up to one number, its inverse by GMP, and down again. Three products for each value.
    fn invert(&self, values: &Resident) -> Result<Resident> {
        let rows = self.rows(values)?;
        if values.is_empty() {
            return self.resident(0, Vec::new());
        }
        let width = self.form().lines();
        // Level 0 is `rows`; a number without neighbour goes up as it is.
        let mut levels: Vec<Lines> = Vec::new();
        let mut below = rows;
        while below.len() > width {
            let count = below.len() / width;
            let mut above = self.zeros(count.div_ceil(2));
            self.engine.products(&mut above[..count / 2 * width], |i| [self.row(below, 2 * i), self.row(below, 2 * i + 1)]);
            if count % 2 == 1 {
                above[count / 2 * width..].copy_from_slice(self.row(below, count - 1));
            }
            levels.push(above);
            below = levels.last().map_or(rows, |level| level);
        }
        let modulus = self.form().modulus();
        let mut inverses = match self.leave(below)?.integer(0).invert(modulus.value()) {
            Ok(mut inverse) => {
                let words = Limbs::from_integers([&inverse], modulus.width())?;
                wipe(&mut inverse);
                self.enter(&words)
            }
            Err(_) => return Err(self.first_not_invertible(rows)?),
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
        self.resident(values.len(), inverses)
    }

    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        check_picks(sources, picks)?;
        let sources = sources.iter().map(|source| self.rows(source)).collect::<Result<Vec<_>>>()?;
        let lines: Vec<Line> = picks.iter().flat_map(|&(source, index)| self.row(sources[source], index)).copied().collect();
        self.resident(picks.len(), lines)
    }

    fn bound(&self) -> Option<&dyn Bound> {
        Some(self)
    }

    fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>> {
        Ok(vec![self.leave(self.rows(values)?)?])
    }
}

impl Bound for IfmaResidues {
    fn saturate_multipliers(&self, counts: Counts) {
        let [mul, sqr] = self.form().multiply_adds();
        multiply_adds(self.form().token(), (mul * (counts.products + counts.lookups) + sqr * counts.squares) / LANES);
    }
}

impl SquareResidues for IfmaResidues {
    fn one_plus(&self, values: &Limbs, factors: &[Integer]) -> Result<Resident> {
        check_count("factors", 1, factors.len())?;
        let (form, root) = (self.form(), root_of(self.modulus())?);
        // The upper half is below R/4.
        let most = 2 * form.size() * RADIX_BITS - 2;
        if let Some(value) = values.iter().find(|value| significant_bits(value) > most) {
            return Err(Error::range("value of 1 + r v", &format!("{} bits", significant_bits(value)), format!("at most {most} bits")));
        }
        let constants = form.one_plus_constants(root, &factors[0]);
        let mut rows = self.zeros(values.len());
        let row = form.lines();
        self.engine.batches(&mut rows, LANES * row, |first, rows, Scratch { work, left, out, .. }| {
            let count = rows.len() / row;
            for lane in 0..count {
                form.put(values.get(first * LANES + lane), lane, left);
            }
            form.one_plus(out, left, &constants, work);
            scatter(form.token(), out, rows, &starts(row)[..count]);
        });
        self.resident(values.len(), rows)
    }
}

/// [`SquareResidues::join`] in lanes, on the threads of the first modulus.
fn join(each: &[IfmaResidues], moduli: &[Modulus], parts: &[Limbs]) -> Result<Limbs> {
    let [(x, m), (y, other)] = check_parts(moduli, parts)?;
    let engine = &each[0].engine;
    let mut product = Integer::from(m.value() * other.value());
    let join = Join::new(engine.form().token(), [m.value(), other.value()], &product);
    let width = words_for_bits(product.significant_bits());
    wipe(&mut product);
    let Some(join) = join else { return squares::join(moduli, parts) };
    let mut joined = Limbs::zeros(x.len(), width);
    engine.batches(joined.words_mut(), LANES * width, |number, words, Scratch { lines, .. }| {
        lines.resize(lines.len().max(join.room()), Line::default());
        let first = number * LANES;
        join.join((first..first + words.len() / width).map(|i| [x.get(i), y.get(i)]), &mut lines[..join.room()]);
        put_words(&lines[..join.limbs()], words, width);
    });
    engine.control().check()?;
    Ok(joined)
}
