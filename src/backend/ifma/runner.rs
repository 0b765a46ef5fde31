//! Runs programs. Eight items in lockstep, one per lane, need no transposes but for inputs and table entries; the items that are left over, or few items with
//! wide levels, go through the levels in batches of any eight independent operations. Chains of products by entries of a table in log form are run as a whole.

use std::ops::Range;

use rayon::prelude::*;
use zeroize::Zeroize;

use super::engine::{Engine, SERIAL_BATCHES, Scratch, starts};
use super::kernel::{Ahead, LANES, Line};
use super::montgomery_form::Workspace;
use super::transpose::{add, gather, prefetch, scatter};
use crate::backend::Digits;
use crate::plan::{Op, Operand, Program};

/// Pairs of operations of a chain between asking for table entries and using them: far enough for memory, near enough to stay in the second-level cache.
const PAIRS_AHEAD: usize = 2;

/// A program and what it reads. All residues are rows in the lazy range of the form.
pub(super) struct Job<'a> {
    pub(super) program: &'a Program,
    pub(super) inputs: &'a [Line],
    /// Shared table and digits, of the shape that the program asks for.
    pub(super) table: Option<(&'a [Line], &'a Digits)>,
    /// Whether the entries are in log form.
    pub(super) logs: bool,
    /// Lines of a row.
    pub(super) row: usize,
}

impl<'a> Job<'a> {
    fn input(&self, item: usize, operand: Operand) -> Option<&'a [Line]> {
        let operand = operand as usize;
        (operand < self.program.inputs()).then(|| nth(self.inputs, item * self.program.inputs() + operand, self.row))
    }

    /// A row: an input, or a slot of the items from `first` on.
    fn value(&self, item: usize, operand: Operand, rows: &'a [Line], first: usize) -> &'a [Line] {
        self.input(item, operand).unwrap_or_else(|| nth(rows, (item - first) * self.program.slots() + self.slot(operand), self.row))
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

/// Scratch memory of a chain: two entries, their product and the one after it, the next value; and the sums of the logs.
struct Chain<'a> {
    left: &'a mut [Line],
    right: &'a mut [Line],
    pair: &'a mut Vec<Line>,
    pair_after: &'a mut Vec<Line>,
    next: &'a mut Vec<Line>,
    sums: &'a mut Vec<Line>,
}

/// How many of the first operations, at most `longest`, multiply one value by one entry after the other, with no reader of what is in between.
fn chain_length(ops: &[Op], outputs: &[Operand], longest: usize) -> usize {
    let read_again = |from: usize, value: Operand| {
        let next = ops[from..].iter().find(|op| op.dst() == value || op.sources().any(|source| source == value));
        next.map_or_else(|| outputs.contains(&value), |op| op.sources().any(|source| source == value))
    };
    let goes_on = |at: &usize| {
        let value = ops[at - 1].dst();
        matches!(ops.get(*at), Some(&Op::MulTable { dst, a, .. }) if a == value && (dst == value || !read_again(at + 1, value)))
    };
    1 + (1..longest).take_while(goes_on).count()
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
        let group = |(number, outputs): (usize, &mut [Line])| {
            if self.control().is_stopped() {
                return;
            }
            let first = number * LANES;
            if items - first < LANES && !job.logs {
                self.run_levels(job, first..items, outputs, false);
            } else {
                let here = first..items.min(first + LANES);
                self.control().count(here.len() * job.program.ops().len());
                self.run_lanes(job, here, outputs);
            }
        };
        // Fewer items than lanes: each level decides for itself whether it is worth several threads. More items are worth a group to a thread, even where that
        // leaves threads idle: what the levels' threads hand over goes through one of them.
        if !job.logs && items < LANES {
            self.run_levels(job, 0..items, outputs, rayon::current_num_threads() > 1);
        } else if items <= LANES {
            outputs.chunks_mut(share).enumerate().for_each(group);
        } else {
            outputs.par_chunks_mut(share).enumerate().for_each(group);
        }
    }

    /// Up to eight items, one per lane; lanes without an item repeat the last one.
    fn run_lanes(&self, job: &Job<'_>, items: Range<usize>, outputs: &mut [Line]) {
        let form = self.form();
        let token = form.token();
        let item = |lane: usize| (items.start + lane).min(items.end - 1);
        self.with_scratch(|Scratch { work, left, right, out, slots, lines, pair, pair_after, next }| {
            let missing = job.program.slots().saturating_sub(slots.len());
            slots.extend(std::iter::repeat_with(|| vec![Line::default(); form.width()]).take(missing));
            let inputs =
                |operand: Operand| job.input(items.start, operand).map(|_| std::array::from_fn(|lane| job.input(item(lane), operand).unwrap_or(&[])));
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
            let mut ops = job.program.ops();
            while let Some((&op, rest)) = ops.split_first().filter(|_| !self.control().is_stopped()) {
                if let Op::MulTable { a, .. } = op
                    && job.logs
                {
                    let (chain, rest) = ops.split_at(chain_length(ops, job.program.outputs(), form.longest_chain()));
                    form.log_start(out, operand!(a, left), work);
                    self.run_chain(job, chain, item, out, Chain { left, right, pair, pair_after, next, sums: lines }, work);
                    std::mem::swap(&mut slots[job.slot(chain[chain.len() - 1].dst())], out);
                    ops = rest;
                    continue;
                }
                match op {
                    Op::Mul { a, b, .. } => form.mul(out, operand!(a, left), operand!(b, right), work),
                    Op::Sqr { a, .. } => form.sqr(out, operand!(a, left), work),
                    Op::MulTable { a, window, .. } => {
                        gather(token, std::array::from_fn(|lane| job.entry(item(lane), window)), right);
                        form.mul(out, operand!(a, left), right, work);
                    }
                }
                std::mem::swap(&mut slots[job.slot(op.dst())], out);
                ops = rest;
            }
            let size = job.program.outputs().len() * job.row;
            for (number, &operand) in job.program.outputs().iter().enumerate() {
                let starts = starts(size).map(|start| start + number * job.row);
                for (lane, &start) in starts.iter().enumerate().take(items.len()) {
                    if let Some(row) = job.input(item(lane), operand) {
                        outputs[start..start + job.row].copy_from_slice(row);
                    }
                }
                if job.input(items.start, operand).is_none() {
                    scatter(token, &slots[job.slot(operand)], outputs, &starts[..items.len()]);
                }
            }
        });
    }

    /// Products by the entries that a chain's operations name, from `value` in log form; the result is in `value`, as digits.
    ///
    /// Entries meet in pairs, whose product costs two half-size products, and each pair's product meets the value with five: 3.5 for each entry. Their logs are
    /// only added up, as rows, and applied at the end. A pair is multiplied between the two passes of the product before its own, so that no pass waits for the
    /// end of the one before.
    fn run_chain(
        &self,
        job: &Job<'_>,
        chain: &[Op],
        item: impl Fn(usize) -> usize,
        value: &mut Vec<Line>,
        Chain { left, right, pair, pair_after, next, sums }: Chain<'_>,
        work: &mut Workspace,
    ) {
        let form = self.form();
        let (token, h) = (form.token(), form.size());
        // A row's lines with entries, and with logs; one line may have both.
        let (entry_lines, log_lines) = (h.div_ceil(LANES), h / LANES..job.row);
        let sum = log_lines.len();
        sums.resize(sums.len().max(2 * LANES * sum), Line::default());
        let (sums, vectors) = sums.split_at_mut(LANES * sum);
        sums.fill(Line::default());
        let entries = |op: &Op| match op {
            Op::MulTable { window, .. } => std::array::from_fn(|lane| job.entry(item(lane), *window)),
            Op::Mul { .. } | Op::Sqr { .. } => [&[][..]; LANES],
        };
        let rows: Vec<[&[Line]; LANES]> = chain.iter().map(entries).collect();
        rows.iter().take(2 * (PAIRS_AHEAD + 1)).flatten().for_each(|row| prefetch(row));
        let mut fetch = |rows: &[&[Line]; LANES], vectors: &mut [Line]| {
            gather(token, rows.map(|row| &row[..entry_lines]), &mut vectors[..entry_lines * LANES]);
            for (sum, row) in sums.chunks_exact_mut(sum).zip(rows) {
                add(token, sum, &row[log_lines.clone()]);
            }
        };
        let mut multiply_pair = |rows: &[[&[Line]; LANES]], pair: &mut [Line], ahead: &mut Ahead<'_>| match rows {
            [first, second] => {
                fetch(first, left);
                fetch(second, right);
                form.log_pair(pair, left, right, ahead);
            }
            [last] => {
                fetch(last, left);
                pair[..h].copy_from_slice(&left[..h]);
                pair[h..2 * h].fill(Line::default());
            }
            _ => {}
        };
        let pair_rows = |number: usize| rows.chunks(2).nth(number).unwrap_or_default();
        multiply_pair(pair_rows(0), pair, &mut Ahead::default());
        for number in 0..rows.len().div_ceil(2) {
            let mut ahead = Ahead { far: pair_rows(number + 1 + PAIRS_AHEAD).as_flattened(), near: pair_rows(number + 2).as_flattened() };
            form.log_mul(next, value, pair, work, &mut ahead, |ahead| multiply_pair(pair_rows(number + 1), pair_after, ahead));
            std::mem::swap(value, next);
            std::mem::swap(pair, pair_after);
        }
        let vectors = &mut vectors[..LANES * sum];
        gather(token, std::array::from_fn(|lane| &sums[lane * sum..(lane + 1) * sum]), vectors);
        form.log_end(next, value, &mut vectors[h % LANES..][..h], work);
        std::mem::swap(value, next);
    }

    /// Items of `range` through the levels, in batches of any eight operations of a level.
    fn run_levels(&self, job: &Job<'_>, range: Range<usize>, outputs: &mut [Line], parallel: bool) {
        let (row, width, slots) = (job.row, self.form().width(), job.program.slots());
        let token = self.form().token();
        self.with_scratch(|scratch| {
            let mut rows = std::mem::take(&mut scratch.lines);
            rows.resize(rows.len().max(range.len() * slots * row), Line::default());
            let mut results = Vec::new();
            let mut level = Level::new(range.clone());
            // Writes the results of a batch to their slots.
            let keep = |batch: &[(usize, Op)], out: &[Line], rows: &mut [Line]| {
                let start = |&(item, op): &(usize, Op)| ((item - range.start) * slots + job.slot(op.dst())) * row;
                let starts: [usize; LANES] = std::array::from_fn(|lane| batch.get(lane).map_or(0, start));
                scatter(token, out, rows, &starts[..batch.len()]);
            };
            for ops in job.program.levels() {
                if self.control().is_stopped() {
                    break;
                }
                level.fill(ops);
                let batches = level.batches();
                if parallel && batches >= SERIAL_BATCHES {
                    results.resize(results.len().max(batches * width), Line::default());
                    let sources = &rows;
                    results[..batches * width].par_chunks_mut(width).enumerate().for_each(|(number, out)| {
                        self.with_scratch(|scratch| {
                            self.batch(job, &level, number, sources, scratch);
                            out.copy_from_slice(&scratch.out);
                        });
                    });
                    for (number, out) in results[..batches * width].chunks(width).enumerate() {
                        keep(level.batch(number), out, &mut rows);
                    }
                } else {
                    // One after the other is safe: no operation of a level reads what another one writes.
                    for number in 0..batches {
                        self.batch(job, &level, number, &rows, scratch);
                        keep(level.batch(number), &scratch.out, &mut rows);
                    }
                }
                self.control().count(range.len() * ops.len());
            }
            let names = range.clone().flat_map(|item| job.program.outputs().iter().map(move |&operand| (item, operand)));
            for ((item, operand), output) in names.zip(outputs.chunks_exact_mut(row)) {
                output.copy_from_slice(job.value(item, operand, &rows, range.start));
            }
            results.zeroize();
            scratch.lines = rows;
        });
    }

    /// Computes a batch of a level into `scratch.out`.
    fn batch(&self, job: &Job<'_>, level: &Level, number: usize, rows: &[Line], scratch: &mut Scratch) {
        let token = self.form().token();
        let first = level.items.start;
        let Scratch { work, left, right, out, .. } = scratch;
        let factors = |&(item, op): &(usize, Op)| match op {
            Op::Mul { a, b, .. } => [job.value(item, a, rows, first), job.value(item, b, rows, first)],
            Op::Sqr { a, .. } => [job.value(item, a, rows, first); 2],
            Op::MulTable { a, window, .. } => [job.value(item, a, rows, first), job.entry(item, window)],
        };
        let batch = level.batch(number);
        let lanes: [[&[Line]; 2]; LANES] = std::array::from_fn(|lane| factors(&batch[lane.min(batch.len() - 1)]));
        gather(token, lanes.map(|[a, _]| a), left);
        let squares = number < level.square_batches;
        if !squares {
            gather(token, lanes.map(|[_, b]| b), right);
        }
        // The next batch's rows come while this one computes.
        if number + 1 < level.batches() {
            for row in level.batch(number + 1).iter().flat_map(factors) {
                prefetch(row);
            }
        }
        if squares {
            self.form().sqr(out, left, work);
        } else {
            self.form().mul(out, left, right, work);
        }
    }
}

/// The operations of one level for some items, squares (which have a faster kernel) first.
struct Level {
    items: Range<usize>,
    work: Vec<(usize, Op)>,
    /// Batches of squares only, at the front.
    square_batches: usize,
}

impl Level {
    fn new(items: Range<usize>) -> Self {
        Self { items, work: Vec::new(), square_batches: 0 }
    }

    fn fill(&mut self, ops: &[Op]) {
        let is_square = |op: &&Op| matches!(op, Op::Sqr { .. });
        self.work.clear();
        self.work.extend(self.items.clone().flat_map(|item| ops.iter().filter(is_square).map(move |&op| (item, op))));
        let squares = self.work.len();
        self.work.extend(self.items.clone().flat_map(|item| ops.iter().filter(|op| !is_square(op)).map(move |&op| (item, op))));
        // Squares that do not fill a batch join the products where that saves a batch.
        let others = self.work.len() - squares;
        let saves = (squares % LANES + others).div_ceil(LANES) == others.div_ceil(LANES);
        self.square_batches = if saves { squares / LANES } else { squares.div_ceil(LANES) };
        if !saves {
            // The batch of the last squares repeats one of them instead of taking products along.
            let fill = self.square_batches * LANES - squares;
            let last = self.work[squares - 1];
            self.work.splice(squares..squares, std::iter::repeat_n(last, fill));
        }
    }

    fn batches(&self) -> usize {
        self.work.len().div_ceil(LANES)
    }

    /// The items and operations of a batch, at most eight. The same square may be there more than once.
    fn batch(&self, number: usize) -> &[(usize, Op)] {
        &self.work[number * LANES..self.work.len().min((number + 1) * LANES)]
    }
}
