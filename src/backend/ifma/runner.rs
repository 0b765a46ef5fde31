//! Runs programs. Eight items in lockstep, one per lane, need no transposes but for inputs and table entries; the items that are left over, or few items with
//! wide levels, go through the levels in batches of any eight independent operations.

use rayon::prelude::*;

use super::engine::{Engine, SERIAL_BATCHES, Scratch, starts};
use super::kernel::{LANES, Line};
use super::transpose::{gather, scatter};
use crate::backend::Digits;
use crate::plan::{Op, Operand, Program};

/// A program and what it reads. All residues are rows in the lazy range of the form.
pub(super) struct Job<'a> {
    pub(super) program: &'a Program,
    pub(super) inputs: &'a [Line],
    /// Shared table and digits, of the shape that the program asks for.
    pub(super) table: Option<(&'a [Line], &'a Digits)>,
    /// Lines of a row.
    pub(super) row: usize,
}

impl<'a> Job<'a> {
    fn input(&self, item: usize, operand: Operand) -> Option<&'a [Line]> {
        let operand = operand as usize;
        (operand < self.program.inputs()).then(|| nth(self.inputs, item * self.program.inputs() + operand, self.row))
    }

    fn slot(&self, operand: Operand) -> usize {
        operand as usize - self.program.inputs()
    }

    /// The table entry that an item's digit picks. Without a table there is no program that asks for one.
    fn entry(&self, item: usize, window: u32) -> &'a [Line] {
        match self.table {
            Some((table, digits)) => {
                let digit = digits.item(item)[window as usize] as usize;
                nth(table, window as usize * self.program.entries() + digit, self.row)
            }
            None => &[],
        }
    }
}

fn nth(rows: &[Line], index: usize, row: usize) -> &[Line] {
    &rows[index * row..(index + 1) * row]
}

impl Engine {
    /// Runs a job over `items` items; `outputs` receives the outputs of item after item as rows.
    ///
    /// Time and addresses depend on the program, the number of items and, where there is a table, on the digits.
    pub(super) fn run(&self, job: &Job<'_>, items: usize, outputs: &mut [Line]) {
        let share = LANES * job.program.outputs().len() * job.row;
        if outputs.is_empty() || share == 0 {
            return;
        }
        let threads = rayon::current_num_threads();
        let batches_per_level = (job.program.ops().len() * items).div_ceil(LANES) / job.program.levels().len().max(1);
        let group = |(number, outputs): (usize, &mut [Line])| {
            let first = number * LANES;
            if items - first < LANES {
                self.run_levels(job, first..items, outputs, false);
            } else {
                self.run_lanes(job, first, outputs);
            }
        };
        if items / LANES < threads && batches_per_level >= 2 * SERIAL_BATCHES {
            self.run_levels(job, 0..items, outputs, threads > 1);
        } else if items <= LANES {
            outputs.chunks_mut(share).enumerate().for_each(group);
        } else {
            outputs.par_chunks_mut(share).enumerate().for_each(group);
        }
    }

    /// Eight items from `first` on, one per lane.
    fn run_lanes(&self, job: &Job<'_>, first: usize, outputs: &mut [Line]) {
        let form = self.form();
        let token = form.token();
        self.with_scratch(|Scratch { work, left, right, out, slots, .. }| {
            let missing = job.program.slots().saturating_sub(slots.len());
            slots.extend(std::iter::repeat_with(|| vec![Line::default(); form.width()]).take(missing));
            let inputs =
                |operand: Operand| job.input(first, operand).map(|_| std::array::from_fn(|lane| job.input(first + lane, operand).unwrap_or(&[])));
            // An input is gathered from its rows, a slot is in place already.
            macro_rules! operand {
                ($operand:expr, $room:ident) => {
                    match inputs($operand) {
                        Some(rows) => {
                            gather(token, rows, $room);
                            &$room[..]
                        }
                        None => &slots[job.slot($operand)][..],
                    }
                };
            }
            for &op in job.program.ops() {
                match op {
                    Op::Mul { a, b, .. } => form.mul(out, operand!(a, left), operand!(b, right), work),
                    Op::Sqr { a, .. } => form.sqr(out, operand!(a, left), work),
                    Op::MulTable { a, window, .. } => {
                        gather(token, std::array::from_fn(|lane| job.entry(first + lane, window)), right);
                        form.mul(out, operand!(a, left), right, work);
                    }
                }
                std::mem::swap(&mut slots[job.slot(op.dst())], out);
            }
            let item = job.program.outputs().len() * job.row;
            for (number, &operand) in job.program.outputs().iter().enumerate() {
                let starts = starts(item).map(|start| start + number * job.row);
                for (lane, start) in starts.into_iter().enumerate() {
                    if let Some(row) = job.input(first + lane, operand) {
                        outputs[start..start + job.row].copy_from_slice(row);
                    }
                }
                if job.input(first, operand).is_none() {
                    scatter(token, &slots[job.slot(operand)], outputs, &starts);
                }
            }
        });
    }

    /// Items of `range` through the levels, in batches of any eight operations of a level.
    fn run_levels(&self, job: &Job<'_>, range: std::ops::Range<usize>, outputs: &mut [Line], parallel: bool) {
        let (row, width) = (job.row, self.form().width());
        let slots = job.program.slots();
        let token = self.form().token();
        self.with_scratch(|scratch| {
            let mut rows = std::mem::take(&mut scratch.lines);
            rows.resize(rows.len().max(range.len() * slots * row), Line::default());
            let mut results = Vec::new();
            let mut level = Level { first: range.start, items: range.len(), ..Level::default() };
            for ops in job.program.levels() {
                level.sort(ops);
                let start_of = |(item, op): (usize, Op)| ((item - range.start) * slots + job.slot(op.dst())) * row;
                let batches = level.batches();
                if parallel && batches >= SERIAL_BATCHES {
                    results.resize(results.len().max(batches * width), Line::default());
                    let sources = &rows;
                    results[..batches * width].par_chunks_mut(width).enumerate().for_each(|(number, out)| {
                        self.with_scratch(|scratch| {
                            self.batch(job, &level, number, range.start, sources, scratch);
                            out.copy_from_slice(&scratch.out);
                        });
                    });
                    for (number, out) in results[..batches * width].chunks(width).enumerate() {
                        let (_, lanes, count) = level.batch(number);
                        scatter(token, out, &mut rows, &lanes.map(start_of)[..count]);
                    }
                } else {
                    // One after the other is safe: no operation of a level reads what another one writes.
                    for number in 0..batches {
                        let (lanes, count) = self.batch(job, &level, number, range.start, &rows, scratch);
                        scatter(token, &scratch.out, &mut rows, &lanes.map(start_of)[..count]);
                    }
                }
            }
            let names = range.flat_map(|item| job.program.outputs().iter().map(move |&operand| (item, operand)));
            for ((item, operand), output) in names.zip(outputs.chunks_exact_mut(row)) {
                let source = job.input(item, operand).unwrap_or_else(|| nth(&rows, (item - level.first) * slots + job.slot(operand), row));
                output.copy_from_slice(source);
            }
            zeroize::Zeroize::zeroize(&mut results);
            scratch.lines = rows;
        });
    }

    /// Computes batch `number` of a level into `scratch.out`. Returns what is in its lanes.
    fn batch(
        &self,
        job: &Job<'_>,
        level: &Level,
        number: usize,
        first: usize,
        rows: &[Line],
        scratch: &mut Scratch,
    ) -> ([(usize, Op); LANES], usize) {
        let (token, slots) = (self.form().token(), job.program.slots());
        let Scratch { work, left, right, out, .. } = scratch;
        let (squares, lanes, count) = level.batch(number);
        let value = |item: usize, operand: Operand| {
            job.input(item, operand).unwrap_or_else(|| nth(rows, (item - first) * slots + job.slot(operand), job.row))
        };
        let factors = lanes.map(|(item, op)| match op {
            Op::Mul { a, b, .. } => (value(item, a), value(item, b)),
            Op::Sqr { a, .. } => (value(item, a), value(item, a)),
            Op::MulTable { a, window, .. } => (value(item, a), job.entry(item, window)),
        });
        gather(token, factors.map(|(a, _)| a), left);
        if squares {
            self.form().sqr(out, left, work);
        } else {
            gather(token, factors.map(|(_, b)| b), right);
            self.form().mul(out, left, right, work);
        }
        (lanes, count)
    }
}

/// The operations of one level for some items: squares, which have a faster kernel, apart from the others.
#[derive(Default)]
struct Level {
    first: usize,
    items: usize,
    squares: Vec<Op>,
    others: Vec<Op>,
}

impl Level {
    fn sort(&mut self, ops: &[Op]) {
        self.squares.clear();
        self.others.clear();
        for &op in ops {
            if matches!(op, Op::Sqr { .. }) { self.squares.push(op) } else { self.others.push(op) }
        }
    }

    /// Batches of squares only. Squares that do not fill a batch join the products where that saves one.
    fn square_batches(&self) -> usize {
        let (squares, others) = (self.items * self.squares.len(), self.items * self.others.len());
        let saves = (squares % LANES + others).div_ceil(LANES) == others.div_ceil(LANES);
        if saves { squares / LANES } else { squares.div_ceil(LANES) }
    }

    fn batches(&self) -> usize {
        let squares = self.items * self.squares.len();
        let alone = self.square_batches();
        let joined = squares - (alone * LANES).min(squares);
        alone + (joined + self.items * self.others.len()).div_ceil(LANES)
    }

    /// Whether batch `number` has squares only, the item and operation in each lane, and how many lanes count.
    fn batch(&self, number: usize) -> (bool, [(usize, Op); LANES], usize) {
        let squares = self.items * self.squares.len();
        let alone = self.square_batches();
        let square = |k: usize| (self.first + k / self.squares.len(), self.squares[k % self.squares.len()]);
        let other = |k: usize| (self.first + k / self.others.len(), self.others[k % self.others.len()]);
        if number < alone {
            let count = (squares - number * LANES).min(LANES);
            return (true, std::array::from_fn(|lane| square(number * LANES + lane.min(count - 1))), count);
        }
        let others = self.items * self.others.len();
        let joined = squares - (alone * LANES).min(squares);
        let from = (number - alone) * LANES;
        let count = (others + joined - from).min(LANES);
        let lane = |lane: usize| {
            let k = from + lane.min(count - 1);
            if k < others { other(k) } else { square(alone * LANES + k - others) }
        };
        (false, std::array::from_fn(lane), count)
    }
}
