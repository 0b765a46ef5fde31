//! Programs: what every backend runs, and the planners that write them.
//!
//! A [`Program`] is a straight-line list of modular products over numbered operands, in levels of independent operations. A planner turns public numbers
//! (weights, window sizes) into a program and counts its products; it knows no modulus and no backend. A backend runs the program over every item of a
//! batch. Operands `0..inputs` are the item's inputs and are never written; operand `inputs + s` is scratch slot `s`.

pub mod convolution;
pub mod fixed_base;
pub mod matvec;
mod pairs;
mod schedule;

use crate::error::{Error, Result};

/// Number of an operand: an input or, from `inputs` on, a scratch slot.
pub type Operand = u32;

/// One modular product. `dst` is always a scratch slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// dst = a * b.
    Mul {
        /// Where the product goes.
        dst: Operand,
        /// First factor.
        a: Operand,
        /// Second factor.
        b: Operand,
    },
    /// dst = a * a.
    Sqr {
        /// Where the square goes.
        dst: Operand,
        /// The base.
        a: Operand,
    },
    /// dst = a * table\[window * entries + digit\], where digit is the item's own digit of that window.
    MulTable {
        /// Where the product goes.
        dst: Operand,
        /// First factor.
        a: Operand,
        /// Which window of the table, and which digit of the item.
        window: u32,
    },
}

impl Op {
    /// The operand that is written.
    #[must_use]
    pub const fn dst(self) -> Operand {
        match self {
            Self::Mul { dst, .. } | Self::Sqr { dst, .. } | Self::MulTable { dst, .. } => dst,
        }
    }

    /// The operands that are read (a square reads its base once).
    pub fn sources(self) -> impl Iterator<Item = Operand> {
        let (a, b) = match self {
            Self::Mul { a, b, .. } => (a, Some(b)),
            Self::Sqr { a, .. } | Self::MulTable { a, .. } => (a, None),
        };
        std::iter::once(a).chain(b)
    }
}

/// How many operations of each kind a program has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Products of two different operands.
    pub products: usize,
    /// Squares.
    pub squares: usize,
    /// Products by a table entry.
    pub lookups: usize,
}

impl Counts {
    /// All modular multiplications together.
    #[must_use]
    pub const fn total(self) -> usize {
        self.products + self.squares + self.lookups
    }
}

/// A straight-line program of products, the same for every item of a batch.
///
/// Guaranteed by [`Program::new`]: every operand is written before it is read; inside a level no operation writes what another one reads or writes (an
/// operation may overwrite its own source); outputs are initialised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    inputs: usize,
    slots: usize,
    ops: Vec<Op>,
    level_ends: Vec<usize>,
    outputs: Vec<Operand>,
    windows: usize,
    entries: usize,
}

impl Program {
    /// Checks and keeps a program. `level_ends` are the ends of the levels as indices into `ops`, ascending, the last one `ops.len()`; `windows` and
    /// `entries` give the shape of the shared table (0 and 0 without one).
    ///
    /// # Errors
    /// [`Error::InvalidProgram`] naming the first broken rule.
    pub fn new(inputs: usize, ops: Vec<Op>, level_ends: Vec<usize>, outputs: Vec<Operand>, windows: usize, entries: usize) -> Result<Self> {
        let problem = |problem: String| Error::InvalidProgram { problem };
        let operands = ops.iter().map(|op| op.dst() as usize + 1).max().unwrap_or(inputs).max(inputs);
        if level_ends.last().copied().unwrap_or(0) != ops.len() {
            return Err(problem(format!("{} operations, but the levels end at {:?}", ops.len(), level_ends.last())));
        }
        let mut written = vec![false; operands];
        written[..inputs].fill(true);
        // The level (from 1) that last wrote or read each operand, and by which operation.
        let mut writer = vec![(0usize, usize::MAX); operands];
        let mut reader = vec![(0usize, usize::MAX); operands];
        let mut start = 0;
        for (number, &end) in level_ends.iter().enumerate() {
            let level = number + 1;
            if end < start {
                return Err(problem(format!("level {number} ends at {end}, before its start {start}")));
            }
            for (at, op) in ops.iter().enumerate().take(end).skip(start) {
                for source in op.sources() {
                    let source = source as usize;
                    if source >= operands || !written[source] || writer[source].0 == level {
                        return Err(problem(format!("operation {at} reads operand {source} which has no value before level {number}")));
                    }
                    // A second reader in the same level forbids in-place use by any of them.
                    reader[source] = if reader[source].0 == level && reader[source].1 != at { (level, usize::MAX) } else { (level, at) };
                }
                if let Op::MulTable { window, .. } = *op
                    && window as usize >= windows
                {
                    return Err(problem(format!("operation {at} uses window {window} of {windows}")));
                }
            }
            for (at, op) in ops.iter().enumerate().take(end).skip(start) {
                let dst = op.dst() as usize;
                if dst < inputs {
                    return Err(problem(format!("operation {at} writes input {dst}")));
                }
                if writer[dst].0 == level || (reader[dst].0 == level && reader[dst].1 != at) {
                    return Err(problem(format!("operation {at} writes operand {dst} which its level {number} uses elsewhere")));
                }
                writer[dst] = (level, at);
                written[dst] = true;
            }
            start = end;
        }
        if let Some(bad) = outputs.iter().find(|&&o| o as usize >= operands || !written[o as usize]) {
            return Err(problem(format!("output {bad} has no value")));
        }
        Ok(Self { inputs, slots: operands - inputs, ops, level_ends, outputs, windows, entries })
    }

    /// The program of one product: inputs a, b; output a b.
    ///
    /// # Errors
    /// None.
    pub fn single_product() -> Result<Self> {
        Self::new(2, vec![Op::Mul { dst: 2, a: 0, b: 1 }], vec![1], vec![2], 0, 0)
    }

    /// Inputs of an item.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Scratch slots of an item.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Outputs of an item, as operands.
    #[must_use]
    pub fn outputs(&self) -> &[Operand] {
        &self.outputs
    }

    /// All operations, level after level. Running them one by one in this order is a correct run.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The levels: operations of one level are independent of each other.
    pub fn levels(&self) -> impl ExactSizeIterator<Item = &[Op]> {
        (0..self.level_ends.len()).map(|i| {
            let start = if i == 0 { 0 } else { self.level_ends[i - 1] };
            &self.ops[start..self.level_ends[i]]
        })
    }

    /// Windows of the shared table, 0 without one.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Entries of each window of the shared table.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// What the program costs.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.ops.iter().fold(Counts::default(), |mut counts, op| {
            match op {
                Op::Mul { .. } => counts.products += 1,
                Op::Sqr { .. } => counts.squares += 1,
                Op::MulTable { .. } => counts.lookups += 1,
            }
            counts
        })
    }
}

/// A matrix of public signed weights, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    rows: usize,
    cols: usize,
    values: Vec<i32>,
}

impl Weights {
    /// `values` row by row.
    ///
    /// # Errors
    /// [`Error::Size`] unless there are `rows * cols` values.
    pub fn new(rows: usize, cols: usize, values: Vec<i32>) -> Result<Self> {
        if values.len() != rows * cols {
            return Err(Error::size("weights", rows * cols, values.len()));
        }
        Ok(Self { rows, cols, values })
    }

    /// Output rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The weights of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[i32] {
        &self.values[row * self.cols..(row + 1) * self.cols]
    }

    /// Largest absolute weight.
    #[must_use]
    pub fn max_abs(&self) -> u32 {
        self.values.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0)
    }
}
