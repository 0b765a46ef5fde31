//! Programs in the machine's own words.

use crate::plan::{Op, Operand, Program};

/// Bits of an operand that are its place; the bits above name where it is.
const SPACE: u32 = 29;

/// Where an operand is, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An input of the item.
    Input(u32),
    /// A scratch slot of the item.
    Slot(u32),
    /// One of the constants of the form.
    Constant(u32),
    /// An entry of the shared table.
    Table(u32),
}

impl Place {
    fn word(self) -> u32 {
        match self {
            Self::Input(at) => at,
            Self::Slot(at) => 1 << SPACE | at,
            Self::Constant(at) => 2 << SPACE | at,
            Self::Table(at) => 3 << SPACE | at,
        }
    }
}

/// How an operation finds its second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is where the operation says.
    Product,
    /// The item's digit of this number is added to the place.
    Digit(u32),
    /// As [`Kind::Digit`] from a slot, and every entry is read.
    Scan(u32),
    /// The first factor is an integer in two parts.
    Enter,
}

/// slot\[to\] = a b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) a: Place,
    pub(super) b: Place,
    pub(super) to: u32,
}

impl Step {
    fn words(self) -> [u32; 4] {
        let kind = match self.kind {
            Kind::Product if self.a == self.b => 4,
            Kind::Product => 0,
            Kind::Digit(window) => 1 | window << 8,
            Kind::Scan(window) => 2 | window << 8,
            Kind::Enter => 3,
        };
        [kind, self.a.word(), self.b.word(), self.to]
    }
}

/// A program in the machine's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) steps: Vec<Step>,
    /// Ends of the levels of independent steps.
    pub(super) level_ends: Vec<usize>,
    pub(super) inputs: usize,
    pub(super) slots: usize,
    pub(super) outputs: Vec<Place>,
    /// Digits of an item.
    pub(super) windows: usize,
    /// Entries of a table that is scanned.
    pub(super) entries: usize,
}

impl Code {
    /// The words of a program. Input: fewer than 2^29 operands and table entries.
    pub(super) fn of(program: &Program) -> Self {
        let place = |operand: Operand| match (operand as usize).checked_sub(program.inputs()) {
            None => Place::Input(operand),
            Some(slot) => Place::Slot(slot as u32),
        };
        let slot = |operand: Operand| operand - program.inputs() as u32;
        let step = |&op: &Op| match op {
            Op::Mul { dst, a, b } => Step { kind: Kind::Product, a: place(a), b: place(b), to: slot(dst) },
            Op::Sqr { dst, a } => Step { kind: Kind::Product, a: place(a), b: place(a), to: slot(dst) },
            Op::MulTable { dst, a, window } => {
                Step { kind: Kind::Digit(window), a: place(a), b: Place::Table(window * program.entries() as u32), to: slot(dst) }
            }
        };
        let level_ends = program.levels().scan(0, |end, level| {
            *end += level.len();
            Some(*end)
        });
        Self {
            steps: program.ops().iter().map(step).collect(),
            level_ends: level_ends.collect(),
            inputs: program.inputs(),
            slots: program.slots(),
            outputs: program.outputs().iter().map(|&o| place(o)).collect(),
            windows: program.windows(),
            entries: 0,
        }
    }

    /// Steps that each follow from the one before.
    pub(super) fn chain(steps: Vec<Step>, slots: usize) -> Self {
        let level_ends = (1..=steps.len()).collect();
        let to = steps.last().map_or(0, |step| step.to);
        Self { steps, level_ends, inputs: 1, slots, outputs: vec![Place::Slot(to)], windows: 0, entries: 0 }
    }

    /// A power with `digits` digits of `window` bits, number 0 the lowest; with `scanned`, every table entry is read for every digit.
    ///
    /// Slots: the table of 2^window powers, then the result. Source: fixed windows, Handbook of Applied Cryptography 14.82.
    pub(super) fn power(digits: u32, window: u32, scanned: bool) -> Self {
        let entries = 1u32 << window;
        let (one, result) = (Place::Constant(super::montgomery_form::ONE), entries);
        let product = |a, b, to| Step { kind: Kind::Product, a, b, to };
        let pick = |a, number| {
            let kind = if scanned { Kind::Scan(number) } else { Kind::Digit(number) };
            Step { kind, a, b: Place::Slot(0), to: result }
        };
        let mut steps = vec![product(one, one, 0)];
        if digits > 0 {
            steps.push(product(Place::Input(0), one, 1));
            steps.extend((2..entries).map(|entry| {
                if entry % 2 == 0 {
                    product(Place::Slot(entry / 2), Place::Slot(entry / 2), entry)
                } else {
                    product(Place::Slot(entry - 1), Place::Input(0), entry)
                }
            }));
        }
        match digits.checked_sub(1) {
            None => steps.push(product(one, one, result)),
            Some(top) => steps.push(pick(one, top)),
        }
        for number in (0..digits.saturating_sub(1)).rev() {
            steps.extend((0..window).map(|_| product(Place::Slot(result), Place::Slot(result), result)));
            steps.push(pick(Place::Slot(result), number));
        }
        Self { windows: digits as usize, entries: if scanned { entries as usize } else { 0 }, ..Self::chain(steps, entries as usize + 1) }
    }

    /// All steps as words.
    pub(super) fn words(&self) -> Vec<u32> {
        self.steps.iter().flat_map(|step| step.words()).collect()
    }

    /// The residue 1, from no input.
    pub(super) fn one() -> Self {
        Self {
            steps: Vec::new(),
            level_ends: Vec::new(),
            inputs: 0,
            slots: 0,
            outputs: vec![Place::Constant(super::montgomery_form::ONE)],
            windows: 0,
            entries: 0,
        }
    }

    /// The product of all inputs, over a tree.
    pub(super) fn product(inputs: usize) -> Self {
        let mut code = Self::chain(Vec::new(), inputs.saturating_sub(1).max(1));
        code.inputs = inputs;
        let mut level: Vec<Place> = (0..inputs as u32).map(Place::Input).collect();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| match *pair {
                    [a, b] => {
                        let to = code.steps.len() as u32;
                        code.steps.push(Step { kind: Kind::Product, a, b, to });
                        Place::Slot(to)
                    }
                    _ => pair[0],
                })
                .collect();
            code.level_ends.push(code.steps.len());
        }
        code.outputs = level;
        code
    }

    /// The steps that outputs need, in order.
    pub(super) fn cone(&self, outputs: &[Place]) -> Vec<Step> {
        let mut wanted = vec![false; self.slots];
        let want = |wanted: &mut [bool], place: Place| {
            if let Place::Slot(slot) = place {
                wanted[slot as usize] = true;
            }
        };
        outputs.iter().for_each(|&output| want(&mut wanted, output));
        let mut steps = Vec::new();
        for step in self.steps.iter().rev() {
            if std::mem::take(&mut wanted[step.to as usize]) {
                want(&mut wanted, step.a);
                match step.kind {
                    // Which entry it is depends on the digit: all of them are wanted.
                    Kind::Digit(_) | Kind::Scan(_) if matches!(step.b, Place::Slot(_)) => wanted[..self.slots - 1].fill(true),
                    _ => want(&mut wanted, step.b),
                }
                steps.push(*step);
            }
        }
        steps.reverse();
        steps
    }
}

/// A part of a program that one dispatch runs: at step s, strand t takes operation first + s strands + t.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: usize,
    pub(super) steps: usize,
    pub(super) strands: usize,
}

/// Cuts a program into dispatches of at most `most_steps` steps and `most_products` products for `items` items, which `lanes` lanes of teams of `team` fill.
///
/// Either every item runs all operations one after the other, or its levels run one after the other, the operations of a level side by side: whichever keeps the
/// device busier.
pub(super) fn pieces(code: &Code, items: usize, most_steps: usize, most_products: usize, lanes: usize, team: usize) -> Vec<Piece> {
    // Time in quarters of a product: a full device takes as long as there are lanes to serve. Between two dispatches it drains, for about a quarter (an estimate).
    let time = |strands: usize| (4 * strands * items * team / lanes).max(4);
    let levels = code.level_ends.iter().scan(0, |start, &end| {
        let width = end - *start;
        *start = end;
        Some(width)
    });
    let by_levels: usize = levels.clone().map(|width| time(width) + 1).sum();
    let in_order = time(1) * code.steps.len();
    let most_products = most_products.max(1);
    let steps_at_once = most_steps.min(most_products / items.max(1)).max(1);
    let mut pieces = Vec::new();
    let chain = |first: usize, length: usize, pieces: &mut Vec<Piece>| {
        pieces.extend((first..first + length).step_by(steps_at_once).map(|at| Piece {
            first: at,
            steps: steps_at_once.min(first + length - at),
            strands: 1,
        }));
    };
    if in_order <= by_levels {
        chain(0, code.steps.len(), &mut pieces);
        return pieces;
    }
    let (mut first, mut narrow) = (0, 0);
    for width in levels {
        if width == 1 {
            narrow += 1;
            continue;
        }
        chain(first, narrow, &mut pieces);
        first += narrow;
        narrow = 0;
        let strands_at_once = (most_products / items.max(1)).max(1);
        pieces.extend((first..first + width).step_by(strands_at_once).map(|at| Piece {
            first: at,
            steps: 1,
            strands: strands_at_once.min(first + width - at),
        }));
        first += width;
    }
    chain(first, narrow, &mut pieces);
    pieces
}
