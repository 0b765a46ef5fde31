//! Batches of independent products over rows, eight at a time, and the memory that they work in.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use zeroize::Zeroize;

use super::kernel::{LANES, Line};
use super::montgomery_form::{MontgomeryForm, Workspace};
use super::transpose::{gather, scatter};
use crate::control::Control;

/// Batches below which a call is not worth spreading over threads (about 20 us of work).
pub(super) const SERIAL_BATCHES: usize = 8;

/// What one thread works in. Kept between calls, wiped when dropped.
pub(super) struct Scratch {
    /// Memory of the kernels.
    pub(super) work: Workspace,
    /// First factor, second factor and result of a product, limb-major.
    pub(super) left: Vec<Line>,
    pub(super) right: Vec<Line>,
    pub(super) out: Vec<Line>,
    /// Product of two table entries, and of that and a value.
    pub(super) pair: Vec<Line>,
    pub(super) pair_after: Vec<Line>,
    pub(super) next: Vec<Line>,
    /// Scratch slots of a program or entries of a table, limb-major.
    pub(super) slots: Vec<Vec<Line>>,
    /// Scratch slots of a program, as rows; or a table, limb-major.
    pub(super) lines: Vec<Line>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for lines in [&mut self.left, &mut self.right, &mut self.out, &mut self.pair, &mut self.pair_after, &mut self.next, &mut self.lines]
            .into_iter()
            .chain(&mut self.slots)
        {
            lines.zeroize();
        }
    }
}

/// A form and the scratch memory of the threads that use it. Once the control was stopped, all results are unfinished.
pub(super) struct Engine {
    form: MontgomeryForm,
    control: Control,
    idle: Mutex<Vec<Scratch>>,
}

impl Engine {
    pub(super) fn new(form: MontgomeryForm, control: Control) -> Self {
        Self { form, control, idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn form(&self) -> &MontgomeryForm {
        &self.form
    }

    /// What can stop the work.
    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    /// Lends scratch memory that no other thread uses; its contents are what the last user left.
    pub(super) fn with_scratch<T>(&self, body: impl FnOnce(&mut Scratch) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = idle().pop();
        let mut scratch = lent.unwrap_or_else(|| {
            let zeros = || vec![Line::default(); self.form.width()];
            let [left, right, out, pair, pair_after, next] = std::array::from_fn(|_| zeros());
            Scratch { work: self.form.workspace(), left, right, out, pair, pair_after, next, slots: Vec::new(), lines: Vec::new() }
        });
        let result = body(&mut scratch);
        idle().push(scratch);
        result
    }

    /// Cuts `results` into pieces of `share` (what eight lanes produce) and computes each, given its number; over threads where it pays.
    pub(super) fn batches<T: Send>(&self, results: &mut [T], share: usize, compute: impl Fn(usize, &mut [T], &mut Scratch) + Sync) {
        let batch = |(number, piece): (usize, &mut [T])| {
            if !self.control.is_stopped() {
                self.with_scratch(|scratch| compute(number, piece, scratch));
                self.control.count(LANES);
            }
        };
        if results.len() < SERIAL_BATCHES * share {
            results.chunks_mut(share).enumerate().for_each(batch);
        } else {
            results.par_chunks_mut(share).enumerate().for_each(batch);
        }
    }

    /// Row i of `products` = a b / R for the rows (a, b) that `factors(i)` names. Time depends on the number of rows only.
    ///
    /// Input: rows in the lazy range of [`MontgomeryForm::mul`]. Output: the same range.
    pub(super) fn products<'a>(&self, products: &mut [Line], factors: impl Fn(usize) -> [&'a [Line]; 2] + Sync) {
        let (row, token) = (self.form.lines(), self.form.token());
        self.batches(products, LANES * row, |number, rows, Scratch { work, left, right, out, .. }| {
            let count = rows.len() / row;
            let factors: [[&[Line]; 2]; LANES] = std::array::from_fn(|lane| factors(number * LANES + lane.min(count - 1)));
            gather(token, factors.map(|[a, _]| a), left);
            gather(token, factors.map(|[_, b]| b), right);
            self.form.mul(out, left, right, work);
            scatter(token, out, rows, &starts(row)[..count]);
        });
    }
}

/// Where eight rows begin that lie one after the other.
pub(super) fn starts(row: usize) -> [usize; LANES] {
    std::array::from_fn(|lane| lane * row)
}
