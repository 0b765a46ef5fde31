//! The integer simulator: the arithmetic of the encrypted run on plain integers. **It protects nothing**; it is what the encrypted run is compared with and what
//! studies convergence over data that encryption would need days for.

use std::sync::Arc;

use rayon::prelude::*;

use super::rounding::Rounding;
use crate::error::{Error, Result};
use crate::randomness::Tape;
use crate::scheme::private_training::{Arithmetic, Product, Shape, check_division};

/// Plain integers with the roundings of an encrypted run, and bounds that are watched.
pub struct Simulated {
    rounding: Rounding,
}

/// A matrix in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedMatrix {
    shape: Shape,
    values: Arc<[i64]>,
}

/// Bits in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedBits {
    rows: usize,
    cols: usize,
    values: Vec<bool>,
}

impl SimulatedMatrix {
    /// The entries, row by row.
    #[must_use]
    pub fn values(&self) -> &[i64] {
        &self.values
    }
}

impl SimulatedBits {
    /// The bits, row by row.
    #[must_use]
    pub fn values(&self) -> &[bool] {
        &self.values
    }
}

impl Simulated {
    /// A simulator that rounds by `tape`, as an encrypted run with the same tape does.
    #[must_use]
    pub fn new(tape: Tape) -> Self {
        Self { rounding: Rounding::new(tape) }
    }

    /// Keeps values that stay within the shape's bits.
    fn checked(&self, what: &'static str, shape: Shape, values: Vec<i64>) -> Result<SimulatedMatrix> {
        let limit = 1u64 << shape.bits;
        match values.par_iter().find_first(|v| v.unsigned_abs() >= limit) {
            None => Ok(SimulatedMatrix { shape, values: values.into() }),
            Some(&value) => Err(Error::Magnitude { operation: self.rounding.operation(), what, value, bits: shape.bits }),
        }
    }

    fn divided(&mut self, what: &'static str, shape: Shape, mut sums: Vec<i64>, divisor: u64) -> Result<SimulatedMatrix> {
        let rho = self.rounding.draw(sums.len(), divisor);
        // Sums have at most 62 bits and divisors 40, so nothing overflows.
        let divisor = divisor as i64;
        if divisor.count_ones() == 1 {
            let shift = divisor.trailing_zeros();
            sums.par_iter_mut().zip(&rho).with_min_len(4096).for_each(|(x, &rho)| *x = (*x + rho as i64) >> shift);
        } else {
            sums.par_iter_mut().zip(&rho).with_min_len(4096).for_each(|(x, &rho)| *x = (*x + rho as i64).div_euclid(divisor));
        }
        self.checked(what, shape, sums)
    }
}

/// Row by row, transposed. Input: `rows * cols` values.
fn transposed(values: &[i64], cols: usize) -> Vec<i64> {
    let rows = values.len() / cols;
    let mut result = vec![0; values.len()];
    result.par_chunks_mut(rows).enumerate().with_min_len(64).for_each(|(col, out)| {
        out.iter_mut().enumerate().for_each(|(row, out)| *out = values[row * cols + col]);
    });
    result
}

/// scale left right. Input: left of `inner` columns, right of `cols`; sums of less than 63 bits.
fn multiply(left: &[i64], right: &[i64], inner: usize, cols: usize, scale: i64) -> Vec<i64> {
    let mut result = vec![0i64; left.len() / inner * cols];
    result.par_chunks_mut(cols).zip(left.par_chunks(inner)).for_each(|(out, row)| {
        for (&a, line) in row.iter().zip(right.chunks_exact(cols)) {
            // Much of the data is 0: dark pixels, units that do not fire.
            if a != 0 {
                let a = a * scale;
                out.iter_mut().zip(line).for_each(|(out, &b)| *out += a * b);
            }
        }
    });
    result
}

impl Arithmetic for Simulated {
    type Matrix = SimulatedMatrix;
    type Bits = SimulatedBits;
    type Answer = Vec<i64>;

    fn upload(&mut self, values: &[i64], rows: usize, cols: usize, bits: u32) -> Result<SimulatedMatrix> {
        let shape = Shape { rows, cols, bits }.check()?;
        if values.len() != shape.entries() {
            return Err(Error::size("entries of a matrix", shape.entries(), values.len()));
        }
        self.checked("upload", shape, values.to_vec())
    }

    fn shape(&self, m: &SimulatedMatrix) -> Shape {
        m.shape
    }

    fn rows(&mut self, m: &SimulatedMatrix, indices: &[usize]) -> Result<SimulatedMatrix> {
        let shape = m.shape.of_rows(indices)?;
        let cols = shape.cols;
        Ok(SimulatedMatrix { shape, values: indices.iter().flat_map(|&row| &m.values[row * cols..(row + 1) * cols]).copied().collect() })
    }

    fn add(&mut self, a: &SimulatedMatrix, b: &SimulatedMatrix, bits: u32) -> Result<SimulatedMatrix> {
        let shape = a.shape.same_size(b.shape, bits)?;
        self.checked("sum", shape, a.values.iter().zip(b.values.iter()).map(|(a, b)| a + b).collect())
    }

    fn subtract(&mut self, a: &SimulatedMatrix, b: &SimulatedMatrix, bits: u32) -> Result<SimulatedMatrix> {
        let shape = a.shape.same_size(b.shape, bits)?;
        self.checked("difference", shape, a.values.iter().zip(b.values.iter()).map(|(a, b)| a - b).collect())
    }

    fn with_constant_column(&mut self, m: &SimulatedMatrix, value: i64) -> Result<SimulatedMatrix> {
        let shape = Shape { cols: m.shape.cols + 1, ..m.shape };
        let values = m.values.chunks_exact(m.shape.cols).flat_map(|row| row.iter().copied().chain([value])).collect();
        self.checked("constant column", shape, values)
    }

    fn without_last_row(&mut self, m: &SimulatedMatrix) -> Result<SimulatedMatrix> {
        let shape = Shape { rows: m.shape.rows - 1, ..m.shape }.check()?;
        Ok(SimulatedMatrix { shape, values: m.values[..shape.entries()].into() })
    }

    fn product(&mut self, product: &Product<'_, SimulatedMatrix>) -> Result<SimulatedMatrix> {
        let (inner, shape, _) = product.check(|m| m.shape)?;
        let flipped = product.transposed.into_iter().zip([product.left, product.right]);
        let [left, right] = [0, 1].map(|i| flipped.clone().nth(i).filter(|(t, _)| *t).map(|(_, m)| transposed(&m.values, m.shape.cols)));
        let left = left.as_deref().unwrap_or(&product.left.values);
        let right = right.as_deref().unwrap_or(&product.right.values);
        let mut sums = multiply(left, right, inner, shape.cols, i64::from(product.scale));
        if let Some((addend, factor)) = product.addend {
            sums.iter_mut().zip(addend.values.iter()).for_each(|(sum, &v)| *sum += v * i64::from(factor));
        }
        self.divided("product", shape, sums, product.divisor)
    }

    fn divide(&mut self, m: &SimulatedMatrix, divisor: u64, bits: u32) -> Result<SimulatedMatrix> {
        check_division(m.shape.bits, divisor)?;
        let shape = Shape { bits, ..m.shape }.check()?;
        self.divided("quotient", shape, m.values.to_vec(), divisor)
    }

    fn relu(&mut self, m: &SimulatedMatrix) -> Result<(SimulatedMatrix, SimulatedBits)> {
        let bits = SimulatedBits { rows: m.shape.rows, cols: m.shape.cols, values: m.values.iter().map(|&v| v >= 0).collect() };
        Ok((SimulatedMatrix { shape: m.shape, values: m.values.iter().map(|&v| v.max(0)).collect() }, bits))
    }

    fn select(&mut self, bits: &SimulatedBits, m: &SimulatedMatrix) -> Result<SimulatedMatrix> {
        m.shape.same_size(Shape { rows: bits.rows, cols: bits.cols, bits: m.shape.bits }, m.shape.bits)?;
        Ok(SimulatedMatrix { shape: m.shape, values: m.values.iter().zip(&bits.values).map(|(&v, &bit)| if bit { v } else { 0 }).collect() })
    }

    fn argmax(&mut self, m: &SimulatedMatrix) -> Result<Vec<i64>> {
        let first_largest = |row: &[i64]| row.iter().enumerate().rev().max_by_key(|&(_, v)| v).map_or(0, |(i, _)| i as i64);
        Ok(m.values.chunks_exact(m.shape.cols).map(first_largest).collect())
    }

    fn answer(&mut self, m: &SimulatedMatrix) -> Result<Vec<i64>> {
        Ok(m.values.to_vec())
    }

    fn open(&mut self, answer: &Vec<i64>) -> Result<Vec<i64>> {
        Ok(answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn simulator() -> Simulated {
        Simulated::new(Tape::replayable(11))
    }

    #[test]
    fn products_by_hand() {
        let mut s = simulator();
        let a = s.upload(&[1, -2, 3, 4, 5, -6], 2, 3, 4).unwrap();
        let b = s.upload(&[7, 8, -9, 1, 2, 3], 3, 2, 5).unwrap();
        assert_eq!(s.product(&Product::new(&a, &b, 1, 10)).unwrap().values(), [31, 15, -29, 19]);
        assert_eq!(s.product(&Product::new(&b, &a, 1, 10)).unwrap().values(), [39, 26, -27, -5, 23, -33, 14, 11, -12]);
        assert_eq!(s.product(&Product::new(&a, &a, 1, 10).transpose_right()).unwrap().values(), [14, -24, -24, 77]);
        assert_eq!(s.product(&Product::new(&a, &a, 1, 10).transpose_left()).unwrap().values(), [17, 18, -21, 18, 29, -36, -21, -36, 45]);
        let c = s.upload(&[1, 10, -1, -10], 2, 2, 4).unwrap();
        assert_eq!(s.product(&Product::new(&a, &b, 1, 10).scaled(3).plus(&c, 2)).unwrap().values(), [95, 65, -89, 37]);
        assert_eq!(s.product(&Product::new(&a, &b, 1, 10).scaled(2).plus(&c, 4)).unwrap().values(), [66, 70, -62, -2]);
        assert_eq!(s.rounding.operation(), 6);
    }

    #[test]
    fn rounding_goes_to_a_neighbour_and_is_unbiased() {
        let mut s = simulator();
        for (x, d) in [(-7i64, 4u64), (7, 4), (1, 1000), (-1, 1000), (999, 1000), (-12, 4), (5, 3), (1 << 30, 12345)] {
            let m = s.upload(&vec![x; 40_000], 200, 200, 31).unwrap();
            let q = s.divide(&m, d, 31).unwrap();
            let floor = x.div_euclid(d as i64);
            assert!(q.values().iter().all(|&v| v == floor || (v == floor + 1 && x.rem_euclid(d as i64) != 0)), "{x} / {d}");
            // The number of roundings up is binomial; five deviations.
            let (up, p) = (q.values().iter().filter(|&&v| v > floor).count() as f64, x.rem_euclid(d as i64) as f64 / d as f64);
            assert!((up - 40_000.0 * p).abs() <= 5.0 * (40_000.0 * p * (1.0 - p)).sqrt(), "{x} / {d}: {up}");
        }
    }

    #[test]
    fn values_that_leave_their_bits_stop_the_run() {
        let mut s = simulator();
        assert!(matches!(s.upload(&[16], 1, 1, 4), Err(Error::Magnitude { value: 16, bits: 4, .. })));
        let a = s.upload(&[15, -15], 1, 2, 4).unwrap();
        assert!(s.add(&a, &a, 5).is_ok());
        assert!(matches!(s.add(&a, &a, 4), Err(Error::Magnitude { value: 30, .. })));
        assert!(matches!(
            s.product(&Product::new(&a, &a, 1, 8).transpose_right()),
            Err(Error::Magnitude { value: 450, bits: 8, what: "product", .. })
        ));
        assert!(matches!(s.with_constant_column(&a, -16), Err(Error::Magnitude { .. })));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let mut s = simulator();
        let a = s.upload(&[1, 2, 3, 4, 5, 6], 2, 3, 4).unwrap();
        let wide = s.upload(&[1, 2, 3, 4, 5, 6], 2, 3, 40).unwrap();
        assert!(s.upload(&[1, 2], 1, 3, 4).is_err() && s.upload(&[], 0, 3, 4).is_err() && s.upload(&[1], 1, 1, 41).is_err());
        assert!(s.product(&Product::new(&a, &a, 1, 10)).is_err());
        assert!(s.product(&Product::new(&a, &a, 0, 10).transpose_right()).is_err());
        assert!(s.product(&Product::new(&wide, &wide, 1, 10).transpose_right()).is_err());
        assert!(s.product(&Product::new(&a, &a, 1, 10).transpose_right().scaled(0)).is_err());
        assert!(s.rows(&a, &[2]).is_err() && s.rows(&a, &[]).is_err());
        let (_, bits) = s.relu(&a).unwrap();
        let other = s.without_last_row(&a).unwrap();
        assert!(s.select(&bits, &other).is_err() && s.add(&a, &other, 5).is_err() && s.without_last_row(&other).is_err());
    }

    #[test]
    fn the_lowest_of_equal_columns_is_the_largest() {
        let mut s = simulator();
        let a = s.upload(&[1, 3, 3, -5, -5, -5, 0, -1, 0], 3, 3, 4).unwrap();
        assert_eq!(s.argmax(&a).unwrap(), [1, 0, 0]);
    }

    #[test]
    fn equal_tapes_round_equally_from_any_operation() {
        let mut s = simulator();
        let m = s.upload(&(0..100).collect::<Vec<_>>(), 10, 10, 7).unwrap();
        let first: Vec<_> = (0..3).map(|_| s.divide(&m, 7, 7).unwrap()).collect();
        assert_ne!(first[0], first[1]);
        let mut other = simulator();
        other.rounding.seek(2);
        assert_eq!(other.divide(&m, 7, 7).unwrap(), first[2]);
    }

    proptest! {
        #[test]
        fn bits_select_what_relu_keeps(values in proptest::collection::vec(-100i64..100, 12)) {
            let mut s = simulator();
            let m = s.upload(&values, 3, 4, 7).unwrap();
            let (positive, bits) = s.relu(&m).unwrap();
            prop_assert_eq!(positive.values().to_vec(), values.iter().map(|v| *v.max(&0)).collect::<Vec<_>>());
            prop_assert_eq!(s.select(&bits, &m).unwrap(), positive);
        }
    }
}
