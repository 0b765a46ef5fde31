//! Powers of one base with a table: base^e = prod over windows of table\[window\]\[digit\], with no squaring at all.

use super::Program;
use super::schedule::Graph;
use crate::error::{Error, Result};

/// Programs that build and use the table of one base for exponents of up to `exponent_bits` bits.
#[derive(Clone, Debug)]
pub struct FixedBase {
    window_bits: u32,
    windows: usize,
    build: Program,
    apply: Program,
}

impl FixedBase {
    /// Plans a table of `ceil(exponent_bits / window_bits)` windows of `2^window_bits` entries.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `exponent_bits` is at least 1 and `window_bits` 1 to 15.
    pub fn plan(exponent_bits: u32, window_bits: u32) -> Result<Self> {
        if !(1..=15).contains(&window_bits) || exponent_bits == 0 {
            return Err(Error::OutOfRange { what: "window of a table", value: format!("{window_bits} bits"), allowed: "1 to 15 bits".into() });
        }
        let windows = exponent_bits.div_ceil(window_bits) as usize;
        let entries = 1usize << window_bits;
        let (mut base, one) = (0, 1);
        let mut graph = Graph::new(2);
        let mut outputs = Vec::with_capacity(windows * entries);
        for _ in 0..windows {
            let first = outputs.len();
            outputs.extend([one, base]);
            for digit in 2..entries {
                let value = if digit.is_multiple_of(2) { graph.sqr(outputs[first + digit / 2]) } else { graph.mul(outputs[first + digit - 1], base) };
                outputs.push(value);
            }
            base = graph.sqr(outputs[first + entries / 2]);
        }
        let build = graph.finish(&outputs, 0, 0)?;
        let mut graph = Graph::new(1);
        let result = (0..windows as u32).fold(0, |value, window| graph.lookup(value, window));
        let apply = graph.finish(&[result], windows, entries)?;
        Ok(Self { window_bits, windows, build, apply })
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

    /// One item with the inputs (base, 1); the outputs are the table, window after window.
    #[must_use]
    pub fn build(&self) -> &Program {
        &self.build
    }

    /// Items with one input x each; the output is x * base^e, where e is given by the item's digits.
    #[must_use]
    pub fn apply(&self) -> &Program {
        &self.apply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Op;

    #[test]
    fn the_table_holds_all_powers() {
        for (bits, window) in [(1, 1), (7, 3), (8, 4), (9, 4), (20, 1)] {
            let plan = FixedBase::plan(bits, window).unwrap();
            let mut exponents = vec![0u64; 2 + plan.build.slots()];
            exponents[0] = 1;
            for &op in plan.build.ops() {
                match op {
                    Op::Mul { dst, a, b } => exponents[dst as usize] = exponents[a as usize] + exponents[b as usize],
                    Op::Sqr { dst, a } => exponents[dst as usize] = 2 * exponents[a as usize],
                    Op::MulTable { .. } => unreachable!(),
                }
            }
            for (at, &output) in plan.build.outputs().iter().enumerate() {
                let (k, digit) = (at >> window, at & ((1 << window) - 1));
                assert_eq!(exponents[output as usize], (digit as u64) << (k as u32 * window), "window {k} digit {digit}");
            }
            assert_eq!(plan.apply.counts().lookups, plan.windows());
        }
    }
}
