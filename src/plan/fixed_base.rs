//! Powers by table: prod over windows of table\[window\]\[digit\], with no squaring at all. The windows are digits of one exponent of one base, or exponents of
//! bases of their own.

use super::Program;
use super::schedule::{Graph, Value};
use crate::error::{Error, Result};

/// Most bits of a window.
pub const MAX_WINDOW_BITS: u32 = 15;

/// Programs that build and use a table of `windows * 2^window_bits` entries.
#[derive(Clone, Debug)]
pub struct FixedBase {
    window_bits: u32,
    windows: usize,
    build: Program,
    apply: Program,
    parts: Option<Parts>,
}

/// Parts that a power may be cut into, so that a few powers fill the lanes: part i takes the windows i, i + 8, i + 16...
pub const PARTS: usize = 8;

/// A power in parts, for the table as it is: eight windows side by side are one, of eight times the entries, of which part i takes the i-th eighth.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Items are parts with one input each; their digits are those of their windows, plus i times the entries of a window.
    pub apply: Program,
    /// Items are powers, with their parts as inputs and the power as output.
    pub join: Program,
}

impl FixedBase {
    /// A table of one base for exponents of up to `exponent_bits` bits: entry \[k\]\[d\] is base^(d 2^(k window_bits)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `exponent_bits` is at least 1 and `window_bits` 1 to 15.
    pub fn plan(exponent_bits: u32, window_bits: u32) -> Result<Self> {
        check(window_bits, exponent_bits)?;
        Self::with(exponent_bits.div_ceil(window_bits) as usize, window_bits, 1)
    }

    /// A table of `windows` bases, each with exponents of `window_bits` bits: entry \[k\]\[d\] is base_k^d.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless there is a window and `window_bits` is 1 to 15.
    pub fn plan_bases(windows: usize, window_bits: u32) -> Result<Self> {
        check(window_bits, windows as u32)?;
        Self::with(windows, window_bits, windows)
    }

    /// The window width that costs the fewest products for `uses` powers, the table included, among those whose table has at most `max_entries` entries.
    #[must_use]
    pub fn best_window_bits(exponent_bits: u32, uses: usize, max_entries: usize) -> u32 {
        let windows = |w: u32| exponent_bits.div_ceil(w).max(1) as usize;
        let fits = (1..=MAX_WINDOW_BITS.min(exponent_bits.max(1))).filter(|&w| w == 1 || windows(w) << w <= max_entries);
        fits.min_by_key(|&w| (windows(w) << w) + uses.saturating_mul(windows(w))).unwrap_or(1)
    }

    fn with(windows: usize, window_bits: u32, bases: usize) -> Result<Self> {
        let entries = 1usize << window_bits;
        let (one, factor) = (bases as Value, bases as Value + 1);
        let mut graph = Graph::new(bases + 2);
        let mut outputs = Vec::with_capacity(windows * entries);
        let mut base = 0;
        for window in 0..windows {
            let first = outputs.len();
            outputs.extend([one, base]);
            for digit in 2..entries {
                let value = if digit.is_multiple_of(2) { graph.sqr(outputs[first + digit / 2]) } else { graph.mul(outputs[first + digit - 1], base) };
                outputs.push(value);
            }
            base = if bases > 1 { window as Value + 1 } else { graph.sqr(outputs[first + entries / 2]) };
        }
        for (digit, entry) in outputs.iter_mut().enumerate().take(entries) {
            *entry = if digit == 0 { factor } else { graph.mul(*entry, factor) };
        }
        let build = graph.finish_as_table(&outputs)?;
        let mut graph = Graph::new(1);
        let result = (0..windows as u32).fold(0, |value, window| graph.lookup(value, window));
        let apply = graph.finish(&[result], windows, entries)?;
        let parts = if windows.is_multiple_of(PARTS) && PARTS * entries <= 1 << u16::BITS {
            let mut graph = Graph::new(1);
            let part = (0..(windows / PARTS) as u32).fold(0, |value, window| graph.lookup(value, window));
            let apply = graph.finish(&[part], windows / PARTS, PARTS * entries)?;
            let mut graph = Graph::new(PARTS);
            let power = graph.product((0..PARTS as Value).collect()).unwrap_or(0);
            Some(Parts { apply, join: graph.finish(&[power], 0, 0)? })
        } else {
            None
        };
        Ok(Self { window_bits, windows, build, apply, parts })
    }

    /// Bits of a digit.
    #[must_use]
    pub fn window_bits(&self) -> u32 {
        self.window_bits
    }

    /// Digits of an exponent.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Entries of the whole table.
    #[must_use]
    pub fn table_entries(&self) -> usize {
        self.windows << self.window_bits
    }

    /// One item whose inputs are the bases, 1, and a factor that every power by this table carries; the outputs are the table, window after window.
    #[must_use]
    pub fn build(&self) -> &Program {
        &self.build
    }

    /// Items with one input x each; the output is x times the factor times the powers that the item's digits pick.
    #[must_use]
    pub fn apply(&self) -> &Program {
        &self.apply
    }

    /// The same in [`PARTS`] parts, when the windows divide into them.
    #[must_use]
    pub fn parts(&self) -> Option<&Parts> {
        self.parts.as_ref()
    }
}

fn check(window_bits: u32, length: u32) -> Result<()> {
    if !(1..=MAX_WINDOW_BITS).contains(&window_bits) || length == 0 {
        return Err(Error::range(
            "window of a table",
            &format!("{window_bits} bits, length {length}"),
            format!("1 to {MAX_WINDOW_BITS} bits, length 1 and above"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Op;

    /// The exponents of all bases, and last of the factor, in every table entry.
    fn table(plan: &FixedBase, bases: usize) -> Vec<Vec<u64>> {
        let mut exponents = vec![vec![0u64; bases + 1]; bases + 2 + plan.build.slots()];
        (0..bases).for_each(|i| exponents[i][i] = 1);
        exponents[bases + 1][bases] = 1;
        for &op in plan.build.ops() {
            let sum = |a: u32, b: u32| exponents[a as usize].iter().zip(&exponents[b as usize]).map(|(x, y)| x + y).collect::<Vec<_>>();
            let value = match op {
                Op::Mul { a, b, .. } => sum(a, b),
                Op::Sqr { a, .. } => sum(a, a),
                Op::MulTable { .. } => unreachable!(),
            };
            exponents[op.dst() as usize] = value;
        }
        plan.build.outputs().iter().map(|&o| exponents[o as usize].clone()).collect()
    }

    #[test]
    fn the_table_holds_all_powers() {
        for (bits, window) in [(1, 1), (7, 3), (8, 4), (9, 4), (20, 1)] {
            let plan = FixedBase::plan(bits, window).unwrap();
            for (at, exponents) in table(&plan, 1).into_iter().enumerate() {
                let (k, digit) = (at >> window, at & ((1 << window) - 1));
                assert_eq!(exponents, [(digit as u64) << (k as u32 * window), u64::from(k == 0)], "window {k} digit {digit}");
            }
            assert_eq!(plan.apply.counts().lookups, plan.windows());
        }
    }

    #[test]
    fn parts_take_every_window_once() {
        assert!(FixedBase::plan(7, 1).unwrap().parts().is_none() && FixedBase::plan(8 * 14, 14).unwrap().parts().is_none());
        for plan in [FixedBase::plan(8, 1).unwrap(), FixedBase::plan(48, 3).unwrap(), FixedBase::plan_bases(24, 2).unwrap()] {
            let Parts { apply, join } = plan.parts().unwrap();
            assert_eq!(apply.windows() * apply.entries(), plan.table_entries());
            assert_eq!((apply.counts().lookups, join.counts().total()), (plan.windows() / PARTS, PARTS - 1));
        }
    }

    #[test]
    fn every_base_has_a_window_of_its_own() {
        let plan = FixedBase::plan_bases(5, 3).unwrap();
        for (at, exponents) in table(&plan, 5).into_iter().enumerate() {
            let mut expected = [0; 6];
            expected[at / 8] = at as u64 % 8;
            expected[5] = u64::from(at < 8);
            assert_eq!(exponents, expected);
        }
    }

    #[test]
    fn windows_grow_with_use_and_stay_within_their_memory() {
        let best = |uses, entries| FixedBase::best_window_bits(1024, uses, entries);
        assert!(best(1, usize::MAX) < best(1000, usize::MAX) && best(1000, usize::MAX) < best(1_000_000, usize::MAX));
        assert_eq!(best(1_000_000, 128 << 8), 8);
        assert_eq!(best(1_000_000, 0), 1);
        assert_eq!(FixedBase::best_window_bits(1, 100, 1000), 1);
    }
}
