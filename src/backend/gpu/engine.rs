//! Runs code over batches: cuts batches into chunks and chunks into dispatches, keeps several chunks in flight, and checks samples against the processor.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rug::Integer;
use zeroize::Zeroizing;

use super::check::Sample;
use super::code::{Code, Kind, Piece, Place, Step, pieces};
use super::device::{Bindings, Context, Dispatch, Fault, Params, Pending, View, Work};
use super::form::{ENTER, ENTER_SECOND, Form, PLAIN_ONE};
use super::generate::Entry;
use crate::limbs::Limbs;
use crate::modulus::wipe;

type Result<T> = std::result::Result<T, Fault>;

/// Later chunks of a run that are checked: one in this many.
const CHECK_EVERY: usize = 256;
/// Bytes that one reading brings back.
const READ_BYTES: u64 = 64 << 20;

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
struct Values(Vec<Integer>);

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
    fn of(&self, item: usize, windows: usize) -> &[u16] {
        match self {
            Self::None => &[],
            Self::Shared(digits) => digits,
            Self::Each(digits) => &digits[item * windows..(item + 1) * windows],
        }
    }
}

/// What a run's samples are compared with.
pub(super) enum Check<'a> {
    /// The code itself, computed by GMP.
    Code,
    /// A function of the item's number and its only input.
    Function(&'a dyn Fn(usize, &Integer) -> Integer),
    /// Nothing: the caller compares.
    Left,
}

/// Code and what it reads.
pub(super) struct Job<'a> {
    pub(super) code: &'a Code,
    pub(super) inputs: &'a Rows,
    pub(super) items: usize,
    pub(super) table: Option<&'a Rows>,
    pub(super) digits: Picks<'a>,
    pub(super) check: Check<'a>,
}

/// A modulus on a device.
pub(super) struct Engine {
    context: Arc<Context>,
    form: Form,
    constants: wgpu::Buffer,
    /// Numbers samples, so that they are taken here and there.
    samples: AtomicU64,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.context.wipe(&self.constants);
    }
}

impl Engine {
    pub(super) fn new(context: Arc<Context>, form: Form) -> Result<Self> {
        let constants = context.filled(&Zeroizing::new(form.constants()))?;
        Ok(Self { context, form, constants, samples: AtomicU64::new(0) })
    }

    /// An engine whose modulus on the device is another one: every product is wrong.
    #[cfg(test)]
    pub(super) fn with_fault(context: Arc<Context>, form: Form) -> Result<Self> {
        let mut words = form.constants();
        words[1] ^= 2;
        let constants = context.filled(&words)?;
        Ok(Self { context, form, constants, samples: AtomicU64::new(0) })
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn row_bytes(&self) -> u64 {
        self.form.shape().row_bytes()
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
        let limb_bytes = 4 * self.form.shape().variant.arithmetic.limb_words() as u64;
        (View { buffer: buffer.clone(), offset, bytes: bytes.max(16).min(buffer.size() - offset) }, ((start - offset) / limb_bytes) as u32)
    }

    /// Rows that one binding holds wherever they begin.
    fn rows_per_binding(&self) -> usize {
        (self.context.limits.binding_bytes.saturating_sub(self.context.limits.alignment) / self.row_bytes()) as usize
    }

    fn params(&self) -> Params {
        let minus_inverse = self.form.minus_inverse();
        Params { minus_inverse: [minus_inverse as u32, (minus_inverse >> 32) as u32], ..Params::default() }
    }

    /// Items of a chunk. Fails when not even one fits.
    fn chunk(&self, code: &Code, items: usize) -> Result<usize> {
        let shape = self.form.shape();
        let limits = &self.context.limits;
        let row = self.row_bytes();
        // Scratch holds constants once, and inputs and slots of every item.
        let constants = self.form.constant_rows() as u64 * row;
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
        let mut flight = Flight::new(&self.context, &self.form);
        let mut samples = Vec::new();
        let (mut first, mut number) = (0, 0);
        while first < job.items {
            let count = (self.chunk(code, job.items - first)? / divisor).max(1);
            self.run_chunk(job, &words, first, count, &outputs, &mut flight)?;
            if number % CHECK_EVERY == 0 {
                let mixed = self.samples.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                samples.push((first + (mixed >> 32) as usize % count, (mixed & 0xffff_ffff) as usize % code.outputs.len()));
            }
            first += count;
            number += 1;
        }
        flight.land()?;
        for (item, output) in samples {
            self.check(job, item, output, &outputs)?;
        }
        Ok(outputs)
    }

    fn run_chunk(&self, job: &Job<'_>, words: &wgpu::Buffer, first: usize, count: usize, outputs: &Rows, flight: &mut Flight<'_>) -> Result<()> {
        let (code, shape, limits) = (job.code, self.form.shape(), &self.context.limits);
        let constants = self.form.constant_rows();
        let (input_rows, slot_rows) = (count * code.inputs, count * code.slots);
        let scratch = self.context.buffer((constants + input_rows + slot_rows) as u64 * self.row_bytes())?;
        let row_bytes = self.row_bytes();
        let piece = |buffer: &wgpu::Buffer, offset: u64, rows: usize| View { buffer: buffer.clone(), offset, bytes: rows as u64 * row_bytes };
        let mut loads = vec![(piece(&self.constants, row_bytes / u64::from(shape.halves), constants), scratch.clone(), 0)];
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
            ..self.params()
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
            Place::Constant(at) => at,
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
        let words = (pairs.len() / 2 * self.form.shape().row()) as u64;
        work.bindings.push(Bindings { code: View::whole(&code), inputs: from, ..self.context.bindings(to) });
        work.dispatches.push(Dispatch {
            entry: Entry::Gather,
            bindings: work.bindings.len() - 1,
            params: Params { count: words as u32, input_base, slot_base, ..self.params() },
            invocations: words,
        });
        Ok(())
    }

    /// Compares one output of one item with what GMP makes of the same inputs.
    fn check(&self, job: &Job<'_>, item: usize, output: usize, outputs: &Rows) -> Result<()> {
        let code = job.code;
        let modulus = self.form.modulus().value();
        let output_row = item * code.outputs.len() + output;
        let [expected, actual] = &mut match &job.check {
            Check::Left => return Ok(()),
            Check::Function(function) => {
                let values = self.values(&[(job.inputs, &[item]), (outputs, &[output_row])])?;
                [function(item, &values.0[0]), values.0[1].clone()]
            }
            Check::Code => {
                let sample = Sample::of(code, code.outputs[output], job.digits.of(item, code.windows));
                let inputs: Vec<usize> = sample.inputs.iter().map(|&at| item * code.inputs + at as usize).collect();
                let entries: Vec<usize> = sample.entries.iter().map(|&at| at as usize).collect();
                let table = job.table.unwrap_or(job.inputs);
                let values = self.values(&[(job.inputs, &inputs), (table, &entries), (outputs, &[output_row])])?;
                let (inputs, rest) = values.0.split_at(inputs.len());
                let (entries, actual) = rest.split_at(entries.len());
                [sample.value(inputs, entries, modulus), actual.first().cloned().unwrap_or_default()]
            }
        };
        let same = expected == actual;
        let name = |value: &Integer| format!("a residue of {} bits", value.significant_bits());
        let names = [name(expected), format!("another one, {}, as output {output} of item {item}", name(actual))];
        [expected, actual].into_iter().for_each(wipe);
        // The numbers may be secret; which of them differs says enough.
        let [expected, actual] = names;
        if same { Ok(()) } else { Err(Fault::Wrong { what: "a sample of the results", expected, actual }) }
    }

    /// Reads single residues back.
    fn values(&self, wanted: &[(&Rows, &[usize])]) -> Result<Values> {
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
        let shape = self.form.shape();
        let words = Zeroizing::new(self.context.read(shape, work, View { buffer: sample.clone(), offset: 0, bytes: sample.size() })?);
        self.context.wipe(&sample);
        Ok(Values(words.chunks_exact(shape.row_bytes() as usize / 4).take(total).map(|row| self.form.value(row)).collect()))
    }

    /// Brings integers below the modulus to the device.
    pub(super) fn enter(&self, values: &Limbs) -> Result<Rows> {
        let shape = self.form.shape();
        let raw = self.rows(values.len())?;
        let width = 2 * values.width();
        let per_chunk = self.rows_per_binding().min((self.context.limits.binding_bytes / (4 * width) as u64) as usize).max(1);
        let mut flight = Flight::new(&self.context, &self.form);
        for first in (0..values.len()).step_by(per_chunk) {
            let count = per_chunk.min(values.len() - first);
            let words = &values.words()[first * values.width()..(first + count) * values.width()];
            let words = Zeroizing::new(words.iter().flat_map(|&word| [word as u32, (word >> 32) as u32]).collect::<Vec<_>>());
            let code = self.context.filled(&words)?;
            let (slots, slot_base) = self.part(&raw.buffer, first, count);
            let limbs = (count * shape.row()) as u64;
            flight.send(&Work {
                bindings: vec![Bindings { code: View::whole(&code), ..self.context.bindings(slots) }],
                dispatches: vec![Dispatch {
                    entry: Entry::Unpack,
                    bindings: 0,
                    params: Params { count: limbs as u32, inputs: width as u32, slot_base, ..self.params() },
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
        let job = Job { code: &Code::chain(steps, 1), inputs: &raw, items: values.len(), table: None, digits: Picks::None, check: Check::Left };
        let rows = self.run(&job)?;
        if !values.is_empty() {
            let at = self.samples.fetch_add(1, Ordering::Relaxed) as usize % values.len();
            let entered = self.values(&[(&rows, &[at])])?;
            if entered.0[0] != values.integer(at) {
                return Err(Fault::Wrong {
                    what: "a sample of the upload",
                    expected: format!("value {at} of the batch"),
                    actual: "another one".into(),
                });
            }
        }
        Ok(rows)
    }

    /// Canonical residues as integers of the modulus' width. Time depends on the values.
    pub(super) fn leave(&self, rows: &Rows) -> Result<Limbs> {
        let shape = self.form.shape();
        let width = self.form.modulus().width();
        let mut values = Limbs::zeros(rows.count, width);
        if rows.count == 0 {
            return Ok(values);
        }
        let step = Step { kind: Kind::Product, a: Place::Input(0), b: Place::Constant(PLAIN_ONE), to: 0 };
        let code = Code::chain(vec![step], 1);
        let job = Job { code: &code, inputs: rows, items: rows.count, table: None, digits: Picks::None, check: Check::Left };
        let plain = self.run(&job)?;
        let per_chunk = self.rows_per_binding().min((READ_BYTES / self.row_bytes()) as usize).max(1);
        for (number, words) in values.words_mut().chunks_mut(per_chunk * width).enumerate() {
            let count = words.len() / width;
            let (inputs, input_base) = self.part(&plain.buffer, number * per_chunk, count);
            let joined = self.context.buffer(count as u64 * self.row_bytes())?;
            let work = Work {
                bindings: vec![Bindings { constants: View::whole(&self.constants), inputs, ..self.context.bindings(View::whole(&joined)) }],
                dispatches: vec![Dispatch {
                    entry: Entry::Join,
                    bindings: 0,
                    params: Params { count: count as u32, input_base, ..self.params() },
                    invocations: count as u64 * u64::from(shape.lanes),
                }],
                ..Work::default()
            };
            let limbs =
                Zeroizing::new(self.context.read(shape, work, View { buffer: joined.clone(), offset: 0, bytes: count as u64 * self.row_bytes() })?);
            self.context.wipe(&joined);
            let in_range = self.canonical(&limbs, words);
            if !in_range {
                let (expected, actual) = ("integers below four times the modulus".into(), "a larger one".into());
                return Err(Fault::Wrong { what: "the range of the download", expected, actual });
            }
        }
        let at = self.samples.fetch_add(1, Ordering::Relaxed) as usize % rows.count;
        if self.values(&[(rows, &[at])])?.0[0] != values.integer(at) {
            return Err(Fault::Wrong {
                what: "a sample of the download",
                expected: format!("value {at} of the batch"),
                actual: "another one".into(),
            });
        }
        Ok(values)
    }

    /// Canonical residues of joined limbs, over threads where it pays; whether all were in range.
    fn canonical(&self, limbs: &[u32], words: &mut [u64]) -> bool {
        use rayon::prelude::*;
        let (row, width) = (self.row_bytes() as usize / 4, self.form.modulus().width());
        let one = |(limbs, words): (&[u32], &mut [u64])| self.form.canonical(limbs, words);
        // Below that the threads cost more than they save.
        if words.len() / width < 64 {
            limbs.chunks_exact(row).zip(words.chunks_exact_mut(width)).all(one)
        } else {
            limbs.par_chunks_exact(row).zip(words.par_chunks_exact_mut(width)).with_min_len(16).map(one).reduce(|| true, |a, b| a && b)
        }
    }

    /// Copies residues of several batches into a new one.
    pub(super) fn gather(&self, sources: &[&Rows], picks: &[(usize, usize)]) -> Result<Rows> {
        let rows = self.rows(picks.len())?;
        let per_binding = self.rows_per_binding().max(1);
        let mut flight = Flight::new(&self.context, &self.form);
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
    form: &'a Form,
    pending: VecDeque<(Pending, bool)>,
}

impl<'a> Flight<'a> {
    fn new(context: &'a Context, form: &'a Form) -> Self {
        Self { context, form, pending: VecDeque::new() }
    }

    /// Submits; waits for the oldest when too many are on their way.
    fn send(&mut self, work: &Work) -> Result<()> {
        while self.pending.len() >= self.context.limits.in_flight.max(1) {
            self.take_down()?;
        }
        let alone = self.pending.is_empty();
        self.pending.push_back((self.context.submit(self.form.shape(), work)?, alone));
        Ok(())
    }

    fn take_down(&mut self) -> Result<()> {
        match self.pending.pop_front() {
            Some((pending, alone)) => self.context.wait(self.form.shape(), pending, alone),
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
