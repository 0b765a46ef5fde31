//! Ordinary least squares with an intercept, for many targets over the same regressors: normal equations of centred numbers and a Cholesky factor.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::scheme::eivhe::fold_product;

/// Regressors made ready: the Cholesky factor of A A^T with A centred row by row.
pub(super) struct Regression {
    k: usize,
    equations: usize,
    /// A transposed and centred: one row per equation.
    transposed: Vec<f64>,
    /// Lower triangle of L with L L^T = A A^T, k x k.
    factor: Vec<f64>,
}

impl Regression {
    /// `regressors` are k rows, one column per equation. `ridge` is added to the diagonal of A A^T.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when regressors depend on each other, so that no solution is the only one.
    pub(super) fn new(regressors: &[i64], k: usize, equations: usize, ridge: f64) -> Result<Self> {
        let mut rows: Vec<f64> = regressors.par_iter().map(|&a| a as f64).collect();
        rows.par_chunks_exact_mut(equations).for_each(centre);
        let transposed = transpose(&rows, k, equations);
        let mut normal = fold_product(&rows, equations, &transposed, k, |sum: f64, a, b| sum + a * b);
        (0..k).for_each(|i| normal[i * k + i] += ridge);
        Ok(Self { k, equations, transposed, factor: cholesky(normal, k)? })
    }

    /// Coefficients of each target, k in a row: `targets` are rows with one column per equation. `means` are subtracted noise means of the equations.
    pub(super) fn solve(&self, targets: &[i64], means: Option<&[f64]>) -> Vec<f64> {
        let mut rows: Vec<f64> = targets.par_iter().map(|&y| y as f64).collect();
        rows.par_chunks_exact_mut(self.equations).for_each(|row| {
            if let Some(means) = means {
                row.iter_mut().zip(means).for_each(|(y, mean)| *y += mean);
            }
            centre(row);
        });
        let mut solutions = fold_product(&rows, self.equations, &self.transposed, self.k, |sum: f64, a, b| sum + a * b);
        solutions.par_chunks_exact_mut(self.k).for_each(|b| {
            for i in 0..self.k {
                let row = &self.factor[i * self.k..][..=i];
                b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
            }
            for i in (0..self.k).rev() {
                let row = &self.factor[i * self.k..][..=i];
                let x = b[i] / row[i];
                b[i] = x;
                b[..i].iter_mut().zip(row).for_each(|(b, l)| *b -= x * l);
            }
        });
        solutions
    }
}

fn centre(row: &mut [f64]) {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    row.iter_mut().for_each(|v| *v -= mean);
}

fn transpose(rows: &[f64], k: usize, equations: usize) -> Vec<f64> {
    let mut transposed = vec![0.0; rows.len()];
    transposed.par_chunks_exact_mut(k).enumerate().for_each(|(at, out)| out.iter_mut().enumerate().for_each(|(i, v)| *v = rows[i * equations + at]));
    transposed
}

/// Sums in lanes of their own, so that they vectorise.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    a8.zip(b8).for_each(|(a, b)| lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b));
    lanes.iter().sum::<f64>() + rest
}

/// The factor of a positive definite k x k matrix, of which the lower triangle is read; in parallel over the rows of a column.
fn cholesky(mut matrix: Vec<f64>, k: usize) -> Result<Vec<f64>> {
    for j in 0..k {
        let (above, below) = matrix.split_at_mut((j + 1) * k);
        let row = &mut above[j * k..];
        let diagonal = row[j];
        let pivot = diagonal - dot(&row[..j], &row[..j]);
        if pivot.is_nan() || pivot <= diagonal * 1e-12 {
            return Err(Error::range("independent regressors", &j, format!("{k}")));
        }
        let pivot = pivot.sqrt();
        row[j] = pivot;
        let row = &*row;
        below.par_chunks_exact_mut(k).with_min_len(32).for_each(|other| other[j] = (other[j] - dot(&other[..j], &row[..j])) / pivot);
    }
    Ok(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_relations_are_found_whatever_the_intercept() {
        // y = 3 a - 5 b + 1000, without noise.
        let a = [1i64, 4, -2, 7, 0, 12];
        let b = [2i64, -1, 5, 5, 9, -3];
        let y: Vec<i64> = a.iter().zip(b).map(|(a, b)| 3 * a - 5 * b + 1000).collect();
        let regression = Regression::new(&[a, b].concat(), 2, 6, 0.0).unwrap();
        let found = regression.solve(&y, None);
        assert!((found[0] - 3.0).abs() < 1e-12 && (found[1] + 5.0).abs() < 1e-12, "{found:?}");
        // Known means that are not constant are taken out.
        let means = [0.0, 100.0, 0.0, 50.0, 0.0, 7.0];
        let moved: Vec<i64> = y.iter().zip(means).map(|(y, mean)| y - mean as i64).collect();
        let found = regression.solve(&moved, Some(&means));
        assert!((found[0] - 3.0).abs() < 1e-12 && (found[1] + 5.0).abs() < 1e-12, "{found:?}");
        assert!(regression.solve(&moved, None)[0] != 3.0);
        // A ridge pulls coefficients towards 0, and allows the same regressor twice.
        let pulled = Regression::new(&[a, b].concat(), 2, 6, 1e3).unwrap().solve(&y, None);
        assert!(pulled[0].abs() < 3.0 && pulled[1].abs() < 5.0, "{pulled:?}");
        let shared = Regression::new(&[a, a].concat(), 2, 6, 1e-6).unwrap().solve(&y, None);
        assert!((shared[0] - shared[1]).abs() < 1e-3, "{shared:?}");
        assert!(Regression::new(&[a, a].concat(), 2, 6, 0.0).is_err());
    }
}
