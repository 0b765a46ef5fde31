//! The float twin: the same algorithm in f64, where divisions do not round. Nothing is protected.

use std::sync::Arc;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::scheme::private_training::{Arithmetic, Product, Shape};

/// Numbers at scale Q without rounding. Declared magnitudes are not watched: the twin shows what training would do without bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Float;

/// A matrix of numbers at scale Q.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatMatrix {
    shape: Shape,
    values: Arc<[f64]>,
}

impl FloatMatrix {
    /// The entries, row by row.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    fn transposed(&self) -> Self {
        let Shape { rows, cols, bits } = self.shape;
        let values = (0..cols).flat_map(|col| (0..rows).map(move |row| (row, col))).map(|(row, col)| self.values[row * cols + col]).collect();
        Self { shape: Shape { rows: cols, cols: rows, bits }, values }
    }

    fn combined(&self, other: &Self, bits: u32, combine: impl Fn(f64, f64) -> f64) -> Result<Self> {
        let (expected, actual) = (self.shape, other.shape);
        if (expected.rows, expected.cols) != (actual.rows, actual.cols) {
            return Err(Error::size("entries of the second matrix", expected.entries(), actual.entries()));
        }
        let values = self.values.iter().zip(other.values.iter()).map(|(&a, &b)| combine(a, b)).collect();
        Ok(Self { shape: Shape { bits, ..expected }, values })
    }
}

/// left right; every sum in ascending order of its terms, so that the number of threads changes no bit.
fn multiply(left: &FloatMatrix, right: &FloatMatrix) -> Vec<f64> {
    let (inner, cols) = (left.shape.cols, right.shape.cols);
    let mut result = vec![0.0; left.shape.rows * cols];
    result.par_chunks_mut(cols).zip(left.values.par_chunks(inner)).with_min_len(1 + 8192 / (inner * cols)).for_each(|(out, row)| {
        for (&a, line) in row.iter().zip(right.values.chunks_exact(cols)) {
            if a != 0.0 {
                out.iter_mut().zip(line).for_each(|(out, &b)| *out += a * b);
            }
        }
    });
    result
}

impl Arithmetic for Float {
    type Matrix = FloatMatrix;
    type Bits = FloatMatrix;
    type Answer = Vec<f64>;

    fn upload(&mut self, values: &[i64], rows: usize, cols: usize, bits: u32) -> Result<FloatMatrix> {
        if values.len() != rows * cols {
            return Err(Error::size("entries of a matrix", rows * cols, values.len()));
        }
        Ok(FloatMatrix { shape: Shape { rows, cols, bits }, values: values.iter().map(|&value| value as f64).collect() })
    }

    fn shape(&self, m: &FloatMatrix) -> Shape {
        m.shape
    }

    fn rows(&mut self, m: &FloatMatrix, indices: &[usize]) -> Result<FloatMatrix> {
        let Shape { rows, cols, bits } = m.shape;
        if let Some(bad) = indices.iter().find(|&&row| row >= rows) {
            return Err(Error::range("row", &bad, format!("0 to {}", rows.saturating_sub(1))));
        }
        let values = indices.iter().flat_map(|&row| &m.values[row * cols..(row + 1) * cols]).copied().collect();
        Ok(FloatMatrix { shape: Shape { rows: indices.len(), cols, bits }, values })
    }

    fn add(&mut self, a: &FloatMatrix, b: &FloatMatrix, bits: u32) -> Result<FloatMatrix> {
        a.combined(b, bits, |a, b| a + b)
    }

    fn subtract(&mut self, a: &FloatMatrix, b: &FloatMatrix, bits: u32) -> Result<FloatMatrix> {
        a.combined(b, bits, |a, b| a - b)
    }

    fn with_constant_column(&mut self, m: &FloatMatrix, value: i64) -> Result<FloatMatrix> {
        let shape = Shape { cols: m.shape.cols + 1, ..m.shape };
        Ok(FloatMatrix { shape, values: m.values.chunks_exact(m.shape.cols).flat_map(|row| row.iter().copied().chain([value as f64])).collect() })
    }

    fn without_last_row(&mut self, m: &FloatMatrix) -> Result<FloatMatrix> {
        let shape = Shape { rows: m.shape.rows.saturating_sub(1), ..m.shape };
        Ok(FloatMatrix { shape, values: m.values[..shape.entries()].into() })
    }

    fn product(&mut self, product: &Product<'_, FloatMatrix>) -> Result<FloatMatrix> {
        let flip = |m: &FloatMatrix, really| if really { m.transposed() } else { m.clone() };
        let (left, right) = (flip(product.left, product.transposed[0]), flip(product.right, product.transposed[1]));
        if left.shape.cols != right.shape.rows {
            return Err(Error::size("rows of the right factor", left.shape.cols, right.shape.rows));
        }
        let (scale, divisor) = (f64::from(product.scale), product.divisor as f64);
        let mut values = multiply(&left, &right);
        values.iter_mut().for_each(|value| *value *= scale);
        let shape = Shape { rows: left.shape.rows, cols: right.shape.cols, bits: product.bits };
        let mut sums = FloatMatrix { shape, values: values.into() };
        if let Some((addend, factor)) = product.addend {
            sums = sums.combined(addend, product.bits, |sum, addend| sum + addend * f64::from(factor))?;
        }
        Ok(FloatMatrix { shape, values: sums.values.iter().map(|sum| sum / divisor).collect() })
    }

    fn divide(&mut self, m: &FloatMatrix, divisor: u64, bits: u32) -> Result<FloatMatrix> {
        Ok(FloatMatrix { shape: Shape { bits, ..m.shape }, values: m.values.iter().map(|value| value / divisor as f64).collect() })
    }

    fn relu(&mut self, m: &FloatMatrix) -> Result<(FloatMatrix, FloatMatrix)> {
        let bits = FloatMatrix { shape: m.shape, values: m.values.iter().map(|&value| f64::from(u8::from(value >= 0.0))).collect() };
        Ok((FloatMatrix { shape: m.shape, values: m.values.iter().map(|value| value.max(0.0)).collect() }, bits))
    }

    fn select(&mut self, bits: &FloatMatrix, m: &FloatMatrix) -> Result<FloatMatrix> {
        m.combined(bits, m.shape.bits, |value, bit| if bit > 0.0 { value } else { 0.0 })
    }

    fn argmax(&mut self, m: &FloatMatrix) -> Result<Vec<f64>> {
        Ok(m.values.chunks_exact(m.shape.cols).map(|row| f64::from(crate::model::argmax(row))).collect())
    }

    fn answer(&mut self, m: &FloatMatrix) -> Result<Vec<f64>> {
        Ok(m.values.to_vec())
    }

    /// Rounded to the nearest integers.
    fn open(&mut self, answer: &Vec<f64>) -> Result<Vec<i64>> {
        Ok(answer.iter().map(|value| value.round() as i64).collect())
    }
}
