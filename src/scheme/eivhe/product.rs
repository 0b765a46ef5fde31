//! Matrix products modulo 2^64: exact wherever the result fits i64, whatever the sums on the way.

use rayon::prelude::*;

/// Columns of a tile: with [`ROWS`] rows its sums stay in the first cache.
const TILE: usize = 256;
/// Rows worked on at once.
const ROWS: usize = 4;

/// `left` (rows x `inner`) times `right` (`inner` x `cols`), both row by row, modulo 2^64. In parallel over rows. Entries that all fit u32 take a product of 32 bits,
/// which vectorises. Running time depends on whether they do and on the sizes alone.
#[must_use]
pub fn product(left: &[i64], inner: usize, right: &[i64], cols: usize) -> Vec<i64> {
    let narrow = |values: &[i64]| values.par_iter().map(|&v| u32::try_from(v).ok()).collect::<Option<Vec<u32>>>();
    match narrow(left).and_then(|left| Some((left, narrow(right)?))) {
        Some((left, right)) => {
            let sums = fold_product(&left, inner, &right, cols, |sum: u64, a, b| sum.wrapping_add(u64::from(a) * u64::from(b)));
            sums.into_iter().map(|sum| sum as i64).collect()
        }
        None => fold_product(left, inner, right, cols, |sum: i64, a, b| sum.wrapping_add(a.wrapping_mul(b))),
    }
}

/// As [`product`], modulo 2^32 where q divides it: entries and results are right modulo q alone.
pub(super) fn product_modulo(modulus_bits: Option<u32>, left: &[i64], inner: usize, right: &[i64], cols: usize) -> Vec<i64> {
    if modulus_bits.is_none_or(|bits| bits > 32) {
        return product(left, inner, right, cols);
    }
    let narrow = |values: &[i64]| values.par_iter().map(|&v| v as u32).collect::<Vec<u32>>();
    let sums = fold_product(&narrow(left), inner, &narrow(right), cols, |sum: u32, a, b| sum.wrapping_add(a.wrapping_mul(b)));
    sums.into_iter().map(i64::from).collect()
}

/// A matrix product over any numbers: entry (i, j) folds `step(sum, left[i][n], right[n][j])` over n = 0, 1, ..., from the default. Blocked, in parallel over rows; the
/// order of the steps of an entry is always the same.
pub fn fold_product<T, S>(left: &[T], inner: usize, right: &[T], cols: usize, step: impl Fn(S, T, T) -> S + Sync) -> Vec<S>
where
    T: Copy + Sync,
    S: Copy + Default + Send,
{
    let mut out = vec![S::default(); left.len() / inner.max(1) * cols];
    out.par_chunks_mut(ROWS * cols.max(1)).zip(left.par_chunks(ROWS * inner.max(1))).for_each(|(out, left)| {
        for start in (0..cols).step_by(TILE) {
            let width = TILE.min(cols - start);
            let mut sums = [[S::default(); TILE]; ROWS];
            for j in 0..inner {
                let right = &right[j * cols + start..][..width];
                for (sums, left) in sums.iter_mut().zip(left.chunks_exact(inner)) {
                    let factor = left[j];
                    for (sum, &value) in sums[..width].iter_mut().zip(right) {
                        *sum = step(*sum, factor, value);
                    }
                }
            }
            for (out, sums) in out.chunks_exact_mut(cols).zip(&sums) {
                out[start..start + width].copy_from_slice(&sums[..width]);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::{Purpose, Tape};

    #[test]
    fn products_are_those_of_the_textbook() {
        let mut stream = Tape::replayable(3).stream(Purpose::Sample, 0);
        for (rows, inner, cols) in [(1, 1, 1), (3, 2, 5), (4, 7, 256), (5, 3, 257), (9, 31, 600), (0, 3, 4)] {
            for shift in [0, 10, 32, 40] {
                let mut draw = |count: usize| (0..count).map(|_| stream.word() as i64 >> shift).collect::<Vec<i64>>();
                let (left, right) = (draw(rows * inner), draw(inner * cols));
                for narrow in [false, true] {
                    let cut = |values: &[i64]| values.iter().map(|&v| if narrow { v & 0xffff_ffff } else { v }).collect::<Vec<_>>();
                    let (left, right) = (cut(&left), cut(&right));
                    let expected: Vec<i64> = (0..rows * cols)
                        .map(|at| {
                            (0..inner).fold(0i64, |sum, j| sum.wrapping_add(left[at / cols * inner + j].wrapping_mul(right[j * cols + at % cols])))
                        })
                        .collect();
                    assert_eq!(product(&left, inner, &right, cols), expected, "{rows} {inner} {cols} {shift} {narrow}");
                    assert_eq!(product_modulo(Some(33), &left, inner, &right, cols), expected);
                    let low = |values: Vec<i64>| values.into_iter().map(|v| v as u32).collect::<Vec<_>>();
                    assert_eq!(low(product_modulo(Some(27), &left, inner, &right, cols)), low(expected));
                }
            }
        }
    }
}
