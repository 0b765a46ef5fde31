//! Powers: fixed windows, eight bases at a time.

use rayon::prelude::*;
use zeroize::Zeroizing;

use super::engine::{Engine, Scratch, starts};
use super::kernel::{LANES, Line};
use super::transpose::{gather, pick_vartime, scan, scatter};
use crate::backend::Secrecy;
use crate::integer::{Integer, Order};

/// Widest window. 64 entries of eight 4096-bit residues are 320 KiB, which the second-level cache holds.
const MAX_WINDOW: u32 = 6;
/// Widest window where every entry is read for every digit.
const MAX_SCANNED_WINDOW: u32 = 5;

/// The exponents of a batch as words, of one common length in bits.
pub(super) struct Powers {
    words: Vec<Zeroizing<Vec<u64>>>,
    bits: u32,
    secrecy: Secrecy,
}

impl Powers {
    /// One exponent for all bases, or one for each. All are non-negative.
    pub(super) fn new<'a>(exponents: impl Iterator<Item = &'a Integer> + Clone, secrecy: Secrecy) -> Self {
        Self {
            bits: exponents.clone().map(Integer::significant_bits).max().unwrap_or(0),
            words: exponents.map(|exponent| Zeroizing::new(exponent.to_digits(Order::Lsf))).collect(),
            secrecy,
        }
    }

    fn of(&self, base: usize) -> &[u64] {
        &self.words[base.min(self.words.len() - 1)]
    }

    /// The number of window bits that needs the fewest products.
    fn window(&self) -> u32 {
        let widest = match self.secrecy {
            Secrecy::Public => MAX_WINDOW,
            Secrecy::Secret => MAX_SCANNED_WINDOW,
        };
        (1..=widest).min_by_key(|&window| (1 << window) + self.bits.div_ceil(window)).unwrap_or(1)
    }
}

/// Bits `at..at + count` of a number, count at most 8. Time and addresses depend on the positions and the number's length only.
fn bits_at(words: &[u64], at: u32, count: u32) -> u64 {
    let word = |index: u32| words.get(index as usize).copied().unwrap_or(0);
    let low = word(at / 64) >> (at % 64);
    let high = if at.is_multiple_of(64) { 0 } else { word(at / 64 + 1) << (64 - at % 64) };
    (low | high) & ((1 << count) - 1)
}

impl Engine {
    /// Row i of `results` = row i of `bases` to its exponent, everything in Montgomery form; `powers` is not empty.
    ///
    /// Input and output: the lazy range of [`super::montgomery_form::MontgomeryForm::mul`]. Time: for secret exponents it depends on the length of the longest one only; for public
    /// ones also on their digits. Source: fixed windows, Handbook of Applied Cryptography 14.82; tested, not proven.
    pub(super) fn powers(&self, bases: &[Line], powers: &Powers, results: &mut [Line]) {
        let share = LANES * self.form().lines();
        let batch = |(number, (bases, results)): (usize, (&[Line], &mut [Line]))| {
            if !self.control().is_stopped() {
                self.power(bases, powers, number * LANES, results);
                self.control().count(LANES * powers.bits as usize);
            }
        };
        if results.len() <= share {
            bases.chunks(share).zip(results.chunks_mut(share)).enumerate().for_each(batch);
        } else {
            bases.par_chunks(share).zip(results.par_chunks_mut(share)).enumerate().for_each(batch);
        }
    }

    /// Up to eight powers; `first` is the number of the first base.
    fn power(&self, bases: &[Line], powers: &Powers, first: usize, results: &mut [Line]) {
        let form = self.form();
        let (token, row, width) = (form.token(), form.lines(), form.width());
        let count = bases.len() / row;
        let lane_row = |lane: usize| lane.min(count - 1);
        let window = powers.window();
        let entries = 1usize << window;
        let digits = |number: u32| Line(std::array::from_fn(|lane| bits_at(powers.of(first + lane_row(lane)), number * window, window)));
        self.with_scratch(|Scratch { work, left, right, out, lines: table, .. }| {
            gather(token, std::array::from_fn(|lane| &bases[lane_row(lane) * row..][..row]), left);
            table.resize(table.len().max(entries * width), Line::default());
            let table = &mut table[..entries * width];
            gather(token, [form.one(); LANES], &mut table[..width]);
            table[width..2 * width].copy_from_slice(left);
            for entry in 2..entries {
                let (below, here) = table.split_at_mut(entry * width);
                if entry % 2 == 0 {
                    form.sqr(&mut here[..width], &below[entry / 2 * width..][..width], work);
                } else {
                    form.mul(&mut here[..width], &below[(entry - 1) * width..], left, work);
                }
            }
            let pick = |digits: Line, picked: &mut [Line]| match powers.secrecy {
                Secrecy::Public => pick_vartime(token, table, digits, picked),
                Secrecy::Secret => scan(token, table, digits, picked),
            };
            // From here on `left` is the power so far.
            let windows = powers.bits.div_ceil(window);
            pick(if windows == 0 { Line::default() } else { digits(windows - 1) }, left);
            for number in (0..windows.saturating_sub(1)).rev() {
                for _ in 0..window {
                    form.sqr(out, left, work);
                    std::mem::swap(left, out);
                }
                let digits = digits(number);
                if powers.secrecy == Secrecy::Public && digits == Line::default() {
                    continue;
                }
                pick(digits, right);
                form.mul(out, left, right, work);
                std::mem::swap(left, out);
            }
            scatter(token, left, results, &starts(row)[..count]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_number() {
        let number = Integer::from_str_radix("f0123456789abcdef0fedcba9876543210", 16).unwrap();
        let words: Vec<u64> = number.to_digits(Order::Lsf);
        for at in 0..200 {
            for count in 1..=8 {
                let expected = Integer::from(&number >> at).keep_bits(count).to_u64().unwrap();
                assert_eq!(bits_at(&words, at, count), expected, "{at} {count}");
            }
        }
        assert_eq!(bits_at(&[], 0, 6), 0);
    }
}
