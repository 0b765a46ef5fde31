//! Runs code over batches: cuts batches into chunks and chunks into dispatches, and keeps several chunks in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use zeroize::Zeroizing;

use super::bytecode::{Code, Kind, Piece, Place, Step, pieces};
use super::device::{Bindings, Context, Dispatch, Fault, Params, Pending, View, Work};
use super::generate::Entry;
use super::montgomery_form::{ENTER, ENTER_SECOND, MontgomeryForm, PLAIN_ONE};
use super::shape::Shape;
use crate::control::Control;
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::wipe;

type Result<T> = std::result::Result<T, Fault>;

/// Later chunks of a run that are checked: one in this many.
const CHECK_EVERY: usize = 256;
/// Bytes that one reading brings back.
const READ_BYTES: u64 = 64 << 20;
/// Values of an upload or a download that are compared.
const VALUES_COMPARED: usize = 16;

/// Residues on the device. Wiped when dropped.
pub(super) struct Rows {
    buffer: wgpu::Buffer,
    count: usize,
    context: Arc<Context>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.context.wipe(&self.buffer);
    }
}

impl Rows {
    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }
}

/// Residues on the host; wiped when dropped.
pub(super) struct Values(pub(super) Vec<Integer>);

impl Drop for Values {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(wipe);
    }
}

/// Digits of items: one list for each, or one for all.
#[derive(Clone, Copy)]
pub(super) enum Picks<'a> {
    None,
    Shared(&'a [u16]),
    Each(&'a [u16]),
}

impl Picks<'_> {
    pub(super) fn of(&self, item: usize, windows: usize) -> &[u16] {
        match self {
            Self::None => &[],
            Self::Shared(digits) => digits,
            Self::Each(digits) => &digits[item * windows..(item + 1) * windows],
        }
    }
}

/// What a run's results are compared with.
pub(super) enum Check<'a> {
    /// The code itself, computed by GMP.
    Code,
    /// A power: a function of the item's number and its only input.
    Power {
        of: &'a (dyn Fn(usize, &Integer) -> Integer + Sync),
        /// Whether all items of a modulus have one exponent.
        alike: bool,
    },
    /// Nothing: the caller compares.
    Left,
}

/// Code and what it reads.
pub(super) struct Job<'a> {
    pub(super) code: &'a Code,
    pub(super) inputs: &'a Rows,
    pub(super) items: usize,
    /// The table of modulus after modulus.
    pub(super) table: Option<&'a Rows>,
    pub(super) digits: Picks<'a>,
    pub(super) check: Check<'a>,
    /// The number of the modulus of all items; where none is given, each modulus has equally many, one after the other.
    pub(super) modulus: Option<usize>,
}

/// One modulus on a device, or several of one shape: every batch then has equally many residues of each, those of the first modulus first.
pub(super) struct Engine {
    context: Arc<Context>,
    forms: Vec<MontgomeryForm>,
    /// For each modulus its limbs and -1/n, then for each the residues that are constants.
    constants: wgpu::Buffer,
    /// Numbers samples, so that they are taken here and there.
    samples: AtomicU64,
    /// What can stop the work.
    control: Control,
    /// A row of the results of the next run that is checked, and the one that takes its place.
    #[cfg(test)]
    pub(super) fault: std::sync::Mutex<Option<(usize, usize)>>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.context.wipe(&self.constants);
    }
}

impl Engine {
    /// Input: one form or more, all of one shape.
    pub(super) fn new(context: Arc<Context>, forms: Vec<MontgomeryForm>, control: Control) -> Result<Self> {
        let words = Self::constants(&forms);
        Self::with_constants(context, forms, &words, control)
    }

    /// An engine whose modulus on the device is another one: every product is wrong.
    #[cfg(test)]
    pub(super) fn with_fault(context: Arc<Context>, forms: Vec<MontgomeryForm>) -> Result<Self> {
        let mut words = Self::constants(&forms);
        words[1] ^= 2;
        Self::with_constants(context, forms, &words, Control::default())
    }

    fn constants(forms: &[MontgomeryForm]) -> Zeroizing<Vec<u32>> {
        // Nothing is left behind by a list that grows.
        let row_words: usize = forms.iter().map(|form| form.shape().row_bytes() as usize / 4).sum();
        let mut words = Zeroizing::new(Vec::with_capacity(row_words * (2 + forms.first().map_or(0, MontgomeryForm::constant_rows))));
        forms.iter().for_each(|form| form.put_modulus(&mut words));
        forms.iter().for_each(|form| form.put_constants(&mut words));
        words
    }

    fn with_constants(context: Arc<Context>, forms: Vec<MontgomeryForm>, words: &[u32], control: Control) -> Result<Self> {
        let constants = context.filled(words)?;
        Ok(Self {
            context,
            forms,
            constants,
            samples: AtomicU64::new(0),
            control,
            #[cfg(test)]
            fault: std::sync::Mutex::default(),
        })
    }

    /// The forms of all moduli.
    pub(super) fn forms(&self) -> &[MontgomeryForm] {
        &self.forms
    }

    /// The form of the first modulus, or the only one.
    pub(super) fn form(&self) -> &MontgomeryForm {
        &self.forms[0]
    }

    pub(super) fn shape(&self) -> &Shape {
        self.form().shape()
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn flight(&self) -> Flight<'_> {
        Flight { context: &self.context, shape: self.shape(), control: &self.control, pending: VecDeque::new() }
    }

    fn row_bytes(&self) -> u64 {
        self.shape().row_bytes()
    }

    /// Room for residues, all zero.
    pub(super) fn rows(&self, count: usize) -> Result<Rows> {
        Ok(Rows { buffer: self.context.buffer(count as u64 * self.row_bytes())?, count, context: Arc::clone(&self.context) })
    }

    /// A binding of some rows of a buffer, and where they begin in it, in limbs.
    fn part(&self, buffer: &wgpu::Buffer, first: usize, count: usize) -> (View, u32) {
        let start = first as u64 * self.row_bytes();
        let offset = start / self.context.limits.alignment * self.context.limits.alignment;
        let bytes = start - offset + count as u64 * self.row_bytes();
        let limb_bytes = 4 * self.shape().variant.arithmetic.limb_words() as u64;
        (View { buffer: buffer.clone(), offset, bytes: bytes.max(16).min(buffer.size() - offset) }, ((start - offset) / limb_bytes) as u32)
    }

    /// Rows that one binding holds wherever they begin.
    fn rows_per_binding(&self) -> usize {
        (self.context.limits.binding_bytes.saturating_sub(self.context.limits.alignment) / self.row_bytes()) as usize
    }

    /// Residues among the constants of all moduli.
    fn constant_rows(&self) -> usize {
        self.forms.len() * self.form().constant_rows()
    }

    /// The number of the first item of a job among the items of all moduli, and how many each modulus has.
    fn share(&self, items: usize, modulus: Option<usize>) -> (usize, usize) {
        let per_modulus = if modulus.is_some() { items } else { items / self.forms.len() }.max(1);
        (modulus.unwrap_or(0) * per_modulus, per_modulus)
    }

    /// The number of the modulus of an item.
    pub(super) fn modulus_of(&self, job: &Job<'_>, item: usize) -> usize {
        let (first, per_modulus) = self.share(job.items, job.modulus);
        (first + item) / per_modulus
    }

    /// A number here and there.
    pub(super) fn mixed(&self) -> u64 {
        let state = self.samples.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The finaliser of SplitMix64.
        let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ state >> 31
    }

    /// Items of a chunk. Fails when not even one fits.
    fn chunk(&self, code: &Code, items: usize) -> Result<usize> {
        let shape = self.shape();
        let limits = &self.context.limits;
        let row = self.row_bytes();
        // Scratch holds constants once, and inputs and slots of every item.
        let constants = self.constant_rows() as u64 * row;
        let scratch = (code.inputs + code.slots) as u64 * row;
        self.context.check_size(constants + scratch, limits.binding_bytes)?;
        self.context.check_size(code.outputs.len() as u64 * row + limits.alignment, limits.binding_bytes)?;
        let by_memory = (limits.scratch_bytes.saturating_sub(constants) / scratch.max(1)).max(1) as usize;
        let by_bindings = self.rows_per_binding() / code.outputs.len().max(1);
        let by_time = (self.context.budget(shape) / shape.limb_products() as f64) as usize;
        Ok(items.min(by_memory).min(by_bindings).min(by_time).max(1))
    }

    /// Runs a job. Output: the outputs of item after item. After the device ran out of memory it is tried once more, in chunks half as large.
    pub(super) fn run(&self, job: &Job<'_>) -> Result<Rows> {
        match self.try_run(job, 1) {
            Err(Fault::OutOfMemory) => self.try_run(job, 2),
            result => result,
        }
    }

    fn try_run(&self, job: &Job<'_>, divisor: usize) -> Result<Rows> {
        let code = job.code;
        let outputs = self.rows(job.items * code.outputs.len())?;
        if job.items == 0 || code.outputs.is_empty() {
            return Ok(outputs);
        }
        let words = self.context.filled(&code.words())?;
        let mut flight = self.flight();
        let mut checked = Vec::new();
        let (mut first, mut number) = (0, 0);
        while first < job.items {
            let count = (self.chunk(code, job.items - first)? / divisor).max(1);
            self.run_chunk(job, &words, first, count, &outputs, &mut flight)?;
            if number % CHECK_EVERY == 0 {
                checked.push(first..first + count);
            }
            first += count;
            number += 1;
        }
        flight.land()?;
        #[cfg(test)]
        self.plant(job, &outputs)?;
        checked.into_iter().try_for_each(|chunk| self.check(job, chunk, &outputs))?;
        Ok(outputs)
    }

    /// Puts one result in the place of another, as a device might.
    #[cfg(test)]
    fn plant(&self, job: &Job<'_>, outputs: &Rows) -> Result<()> {
        let planted = if matches!(job.check, Check::Left) { None } else { self.fault.lock().ok().and_then(|mut fault| fault.take()) };
        let Some((row, other)) = planted else { return Ok(()) };
        let taken = self.rows(1)?;
        let mut work = Work::default();
        self.copy(View::whole(&outputs.buffer), 0, View::whole(&taken.buffer), 0, &[other as u32, 0], &mut work)?;
        let mut flight = self.flight();
        flight.send(&work)?;
        let mut work = Work::default();
        self.copy(View::whole(&taken.buffer), 0, View::whole(&outputs.buffer), 0, &[0, row as u32], &mut work)?;
        flight.send(&work)?;
        flight.land()
    }

    fn run_chunk(&self, job: &Job<'_>, words: &wgpu::Buffer, first: usize, count: usize, outputs: &Rows, flight: &mut Flight<'_>) -> Result<()> {
        let (code, shape, limits) = (job.code, self.shape(), &self.context.limits);
        let constants = self.constant_rows();
        let (share_first, per_modulus) = self.share(job.items, job.modulus);
        let moduli = self.forms.len();
        let (input_rows, slot_rows) = (count * code.inputs, count * code.slots);
        let scratch = self.context.buffer((constants + input_rows + slot_rows) as u64 * self.row_bytes())?;
        let row_bytes = self.row_bytes();
        let piece = |buffer: &wgpu::Buffer, offset: u64, rows: usize| View { buffer: buffer.clone(), offset, bytes: rows as u64 * row_bytes };
        let header = (moduli * (shape.half() + 1) * 4 * shape.variant.arithmetic.limb_words()) as u64;
        let mut loads = vec![(piece(&self.constants, header, constants), scratch.clone(), 0)];
        if input_rows > 0 {
            let from = piece(&job.inputs.buffer, (first * code.inputs) as u64 * row_bytes, input_rows);
            loads.push((from, scratch.clone(), constants as u64 * row_bytes));
        }
        let (table, table_base) = match job.table {
            Some(table) => {
                self.context.check_size(table.count as u64 * row_bytes, limits.binding_bytes)?;
                self.part(&table.buffer, 0, table.count)
            }
            None => (self.context.nothing(), 0),
        };
        let digits = match job.digits {
            Picks::None => None,
            Picks::Shared(digits) => Some(self.digits(digits)?),
            Picks::Each(digits) => Some(self.digits(&digits[first * code.windows..(first + count) * code.windows])?),
        };
        let machine = Bindings {
            code: View::whole(words),
            constants: View::whole(&self.constants),
            inputs: self.context.nothing(),
            table,
            digits: digits.as_ref().map_or_else(|| self.context.nothing(), View::whole),
            slots: View::whole(&scratch),
        };
        let entry = match job.digits {
            Picks::None => Entry::Machine,
            _ if code.entries > 0 => Entry::Scan,
            _ => Entry::Lookup,
        };
        let params = Params {
            items: count as u32,
            inputs: code.inputs as u32,
            slots: code.slots as u32,
            windows: if matches!(job.digits, Picks::Each(_)) { code.windows as u32 } else { 0 },
            entries: code.entries as u32,
            input_base: constants as u32,
            slot_base: (constants + input_rows) as u32,
            table_base,
            first_item: (share_first + first) as u32,
            per_modulus: per_modulus as u32,
            constant_rows: (constants / moduli) as u32,
            table_rows: job.table.map_or(0, |table| table.count / moduli) as u32,
            ..Params::default()
        };
        let products = self.context.budget(shape) / shape.limb_products() as f64;
        // Each step is an iteration, and so are the blocks of each body and the entries of a scanned table; leaving a loop counts as one more.
        let bodies = if shape.squares { 2 } else { 1 };
        let scan = if entry == Entry::Scan { code.entries as u64 + 1 } else { 0 };
        let iterations = 1 + (u64::from(shape.lanes) + 1) * bodies + scan;
        let most_steps = limits.iterations.map_or(usize::MAX, |most| (most / iterations) as usize);
        let mut work = Work { bindings: vec![machine.clone()], loads, ..Work::default() };
        for Piece { first, steps, strands } in pieces(code, count, most_steps, products as usize, limits.lanes, shape.lanes as usize) {
            let teams = (count * strands) as u64;
            work.limb_products += teams * steps as u64 * shape.limb_products();
            work.dispatches.push(Dispatch {
                entry,
                bindings: 0,
                params: Params { count: teams as u32, first: first as u32, steps: steps as u32, together: u32::from(strands == 1), ..params },
                invocations: teams * u64::from(shape.lanes),
            });
            if work.limb_products as f64 >= products * shape.limb_products() as f64 {
                flight.send(&work)?;
                work = Work { bindings: vec![machine.clone()], ..Work::default() };
            }
        }
        let per_item = code.outputs.len();
        let (to, slot_base) = self.part(&outputs.buffer, first * per_item, count * per_item);
        let row_of = |item: usize, place: Place| match place {
            Place::Constant(at) => ((share_first + first + item) / per_modulus * (constants / moduli)) as u32 + at,
            Place::Input(at) => (constants + item * code.inputs) as u32 + at,
            // No table entry is an output.
            Place::Slot(at) | Place::Table(at) => (constants + input_rows + item * code.slots) as u32 + at,
        };
        let pairs: Vec<u32> = (0..count)
            .flat_map(|item| (0..).zip(&code.outputs).flat_map(move |(to, &place)| [row_of(item, place), (item * per_item) as u32 + to]))
            .collect();
        self.copy(View::whole(&scratch), 0, to, slot_base, &pairs, &mut work)?;
        work.wiped.push(scratch);
        work.wiped.extend(digits);
        flight.send(&work)
    }

    /// Digits, two in a word.
    fn digits(&self, digits: &[u16]) -> Result<wgpu::Buffer> {
        let word = |pair: &[u16]| u32::from(pair[0]) | u32::from(pair.get(1).copied().unwrap_or(0)) << 16;
        self.context.filled(&Zeroizing::new(digits.chunks(2).map(word).collect::<Vec<_>>()))
    }

    /// Adds the copying of residues: pairs (from, to) of rows of the two bindings.
    fn copy(&self, from: View, input_base: u32, to: View, slot_base: u32, pairs: &[u32], work: &mut Work) -> Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        let code = self.context.filled(pairs)?;
        let words = (pairs.len() / 2 * self.shape().row()) as u64;
        work.bindings.push(Bindings { code: View::whole(&code), inputs: from, ..self.context.bindings(to) });
        work.dispatches.push(Dispatch {
            entry: Entry::Gather,
            bindings: work.bindings.len() - 1,
            params: Params { count: words as u32, input_base, slot_base, ..Params::default() },
            invocations: words,
        });
        Ok(())
    }

    /// Reads single residues back: `words`, a row for each.
    fn read(&self, wanted: &[(&Rows, &[usize])]) -> Result<Zeroizing<Vec<u32>>> {
        let total = wanted.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        let sample = self.context.buffer(total as u64 * self.row_bytes())?;
        let mut work = Work::default();
        let mut to = 0;
        for (rows, list) in wanted {
            let per_binding = self.rows_per_binding().max(1);
            let places = list.iter().zip(to..).map(|(&from, to)| (from, to)).collect::<Vec<_>>();
            to += list.len() as u32;
            for window in (0..rows.count).step_by(per_binding) {
                let here = |from: usize| (window..window + per_binding).contains(&from);
                let pairs: Vec<u32> = places.iter().filter(|(from, _)| here(*from)).flat_map(|&(from, to)| [(from - window) as u32, to]).collect();
                let (from, base) = self.part(&rows.buffer, window, per_binding.min(rows.count - window));
                self.copy(from, base, View::whole(&sample), 0, &pairs, &mut work)?;
            }
        }
        let words =
            Zeroizing::new(self.context.read(self.shape(), work, View { buffer: sample.clone(), offset: 0, bytes: sample.size() }, &self.control)?);
        self.context.wipe(&sample);
        Ok(words)
    }

    /// Single residues, each with the number of its modulus: first those of the first batch.
    pub(super) fn values(&self, wanted: &[(&Rows, &[usize])], modulus_of: &(dyn Fn(usize) -> usize + Sync)) -> Result<Values> {
        let words = self.read(wanted)?;
        let total = wanted.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        let value = |(at, row): (usize, &[u32])| self.forms[modulus_of(at)].value(row);
        let rows = words.par_chunks_exact(self.row_bytes() as usize / 4).take(total).enumerate().with_min_len(16);
        Ok(Values(rows.map(value).collect()))
    }

    /// Compares residues here and there with integers: a batch of each modulus.
    fn compare(&self, what: &'static str, rows: &Rows, values: &[Limbs]) -> Result<()> {
        let per_modulus = rows.count / self.forms.len();
        if per_modulus == 0 {
            return Ok(());
        }
        // Below that all of them, else a draw for each, which may meet twice.
        let all: Vec<usize> = (0..rows.count).collect();
        let some = || (0..VALUES_COMPARED).map(|_| self.mixed() as usize % rows.count).collect();
        let picks = if rows.count <= VALUES_COMPARED { all } else { some() };
        let found = self.values(&[(rows, &picks)], &|at| picks[at] / per_modulus)?;
        for (&at, found) in picks.iter().zip(&found.0) {
            let mut expected = values[at / per_modulus].integer(at % per_modulus);
            let same = expected == *found;
            wipe(&mut expected);
            if !same {
                return Err(Fault::Wrong { what, expected: format!("value {} of the batch", at % per_modulus), actual: "another one".into() });
            }
        }
        Ok(())
    }

    /// Brings integers below the moduli to the device: a batch for each, of one length.
    pub(super) fn enter(&self, values: &[Limbs]) -> Result<Rows> {
        let shape = self.shape();
        let total = values.iter().map(Limbs::len).sum();
        let raw = self.rows(total)?;
        let width = values.iter().map(|batch| 2 * batch.width()).max().unwrap_or(2);
        let per_chunk = self.rows_per_binding().min((self.context.limits.binding_bytes / (4 * width) as u64) as usize).max(1);
        let mut flight = self.flight();
        let integers: Vec<&[u64]> = values.iter().flat_map(Limbs::iter).collect();
        for (number, integers) in integers.chunks(per_chunk).enumerate() {
            let mut words = Zeroizing::new(vec![0u32; integers.len() * width]);
            words.par_chunks_exact_mut(width).zip(integers).with_min_len(64).for_each(|(words, integer)| {
                for (pair, &word) in words.chunks_exact_mut(2).zip(*integer) {
                    pair.copy_from_slice(&[word as u32, (word >> 32) as u32]);
                }
            });
            let code = self.context.filled(&words)?;
            let (slots, slot_base) = self.part(&raw.buffer, number * per_chunk, integers.len());
            let limbs = (integers.len() * shape.row()) as u64;
            flight.send(&Work {
                bindings: vec![Bindings { code: View::whole(&code), ..self.context.bindings(slots) }],
                dispatches: vec![Dispatch {
                    entry: Entry::Unpack,
                    bindings: 0,
                    params: Params { count: limbs as u32, inputs: width as u32, slot_base, ..Params::default() },
                    invocations: limbs,
                }],
                wiped: vec![code],
                ..Work::default()
            })?;
        }
        flight.land()?;
        let times = |kind, a, constant| Step { kind, a, b: Place::Constant(constant), to: 0 };
        let steps = if shape.halves == 2 {
            vec![times(Kind::Enter, Place::Input(0), ENTER), times(Kind::Product, Place::Slot(0), ENTER_SECOND)]
        } else {
            vec![times(Kind::Product, Place::Input(0), ENTER)]
        };
        let rows = self.run(&self.conversion(&Code::chain(steps, 1), &raw))?;
        self.compare("a sample of the upload", &rows, values)?;
        Ok(rows)
    }

    /// Work on every row alone, which the caller checks.
    fn conversion<'a>(&self, code: &'a Code, inputs: &'a Rows) -> Job<'a> {
        Job { code, inputs, items: inputs.count, table: None, digits: Picks::None, check: Check::Left, modulus: None }
    }

    /// Canonical residues as integers of their moduli's widths, a batch for each. Time depends on the values.
    pub(super) fn leave(&self, rows: &Rows) -> Result<Vec<Limbs>> {
        let shape = self.shape();
        let count = rows.count / self.forms.len();
        let mut values: Vec<Limbs> = self.forms.iter().map(|form| Limbs::zeros(count, form.modulus().width())).collect();
        if count == 0 {
            return Ok(values);
        }
        let step = Step { kind: Kind::Product, a: Place::Input(0), b: Place::Constant(PLAIN_ONE), to: 0 };
        let plain = self.run(&self.conversion(&Code::chain(vec![step], 1), rows))?;
        let per_chunk = self.rows_per_binding().min((READ_BYTES / self.row_bytes()) as usize).max(1);
        let row_words = self.row_bytes() as usize / 4;
        for first in (0..rows.count).step_by(per_chunk) {
            let here = first..rows.count.min(first + per_chunk);
            let (inputs, input_base) = self.part(&plain.buffer, first, here.len());
            let joined = self.context.buffer(here.len() as u64 * self.row_bytes())?;
            let params = Params { count: here.len() as u32, input_base, first_item: first as u32, per_modulus: count as u32, ..Params::default() };
            let work = Work {
                bindings: vec![Bindings { constants: View::whole(&self.constants), inputs, ..self.context.bindings(View::whole(&joined)) }],
                dispatches: vec![Dispatch { entry: Entry::Join, bindings: 0, params, invocations: here.len() as u64 * u64::from(shape.lanes) }],
                ..Work::default()
            };
            let bytes = here.len() as u64 * self.row_bytes();
            let limbs = Zeroizing::new(self.context.read(shape, work, View { buffer: joined.clone(), offset: 0, bytes }, &self.control)?);
            self.context.wipe(&joined);
            for (number, (form, values)) in self.forms.iter().zip(&mut values).enumerate() {
                // The part of this modulus that is in the chunk.
                let (from, to) = (here.start.max(number * count), here.end.min((number + 1) * count));
                if from >= to {
                    continue;
                }
                let width = values.width();
                let words = &mut values.words_mut()[(from - number * count) * width..(to - number * count) * width];
                if !self.canonical(form, &limbs[(from - first) * row_words..(to - first) * row_words], words) {
                    let (expected, actual) = ("integers below four times the modulus".into(), "a larger one".into());
                    return Err(Fault::Wrong { what: "the range of the download", expected, actual });
                }
            }
        }
        self.compare("a sample of the download", rows, &values)?;
        Ok(values)
    }

    /// Canonical residues of joined limbs, over threads where it pays; whether all were in range.
    fn canonical(&self, form: &MontgomeryForm, limbs: &[u32], words: &mut [u64]) -> bool {
        let (row, width) = (self.row_bytes() as usize / 4, form.modulus().width());
        let one = |(limbs, words): (&[u32], &mut [u64])| form.canonical(limbs, words);
        // Below that the threads cost more than they save.
        if words.len() / width < 64 {
            limbs.chunks_exact(row).zip(words.chunks_exact_mut(width)).all(one)
        } else {
            limbs.par_chunks_exact(row).zip(words.par_chunks_exact_mut(width)).with_min_len(16).map(one).reduce(|| true, |a, b| a && b)
        }
    }

    /// Copies residues of several batches into a new one. Picks are rows, whatever their modulus.
    pub(super) fn gather(&self, sources: &[&Rows], picks: &[(usize, usize)]) -> Result<Rows> {
        let rows = self.rows(picks.len())?;
        let per_binding = self.rows_per_binding().max(1);
        let mut flight = self.flight();
        for to in (0..picks.len()).step_by(per_binding) {
            let picks = &picks[to..picks.len().min(to + per_binding)];
            let (slots, slot_base) = self.part(&rows.buffer, to, picks.len());
            let mut work = Work::default();
            for (number, source) in sources.iter().enumerate() {
                for from in (0..source.count).step_by(per_binding) {
                    let here = |&(_, &(which, index)): &(u32, &(usize, usize))| which == number && (from..from + per_binding).contains(&index);
                    let pairs: Vec<u32> = (0..).zip(picks).filter(here).flat_map(|(to, &(_, index))| [(index - from) as u32, to]).collect();
                    let (inputs, input_base) = self.part(&source.buffer, from, per_binding.min(source.count - from));
                    self.copy(inputs, input_base, slots.clone(), slot_base, &pairs, &mut work)?;
                }
            }
            flight.send(&work)?;
        }
        flight.land()?;
        Ok(rows)
    }
}

/// Submissions on their way.
struct Flight<'a> {
    context: &'a Context,
    shape: &'a Shape,
    control: &'a Control,
    pending: VecDeque<(Pending, bool)>,
}

impl Flight<'_> {
    /// Submits, unless the work was stopped; waits for the oldest when too many are on their way.
    fn send(&mut self, work: &Work) -> Result<()> {
        self.control.check().map_err(|_| Fault::Interrupted)?;
        while self.pending.len() >= self.context.limits.in_flight.max(1) {
            self.take_down()?;
        }
        let alone = self.pending.is_empty();
        self.pending.push_back((self.context.submit(self.shape, work)?, alone));
        Ok(())
    }

    fn take_down(&mut self) -> Result<()> {
        match self.pending.pop_front() {
            Some((pending, alone)) => self.context.wait(self.shape, pending, alone, self.control),
            None => Ok(()),
        }
    }

    fn land(mut self) -> Result<()> {
        while !self.pending.is_empty() {
            self.take_down()?;
        }
        Ok(())
    }
}
