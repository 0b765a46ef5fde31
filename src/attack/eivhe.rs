//! The break of integer-vector encryption over the integers: learning with errors without a modulus is linear regression.
//!
//! The public matrix M = \[S* + E - T A; A\] shows A and, as S* is known, Y = E - T A. Every row of Y is a row of T times known numbers plus bounded noise, so ordinary
//! least squares with an intercept gives T, and rounding gives its integers ([`recover_key`]). Every residual of the right row lies in the published range of E; a row
//! that fails this is corrected by steps of one until none is left outside, so with thousands of equations a consistent row is not a guess. The same regression works on pairs of messages and
//! ciphertexts under fresh randomness ([`known_plaintext`]), without any public matrix. With the bounds of the public programs not even that is needed: T A c* is
//! small beside w once the mean of T stands for T, so the entries of a ciphertext show the message ([`without_key`]).
//!
//! Modulo q with A uniform the same code recovers nothing, as the rows of [`table`] show.
//!
//! Bogos, Gaspoz and Vaudenay (ePrint 2016/775) broke the scheme in other ways; the regression is ours.

mod regression;

use rayon::prelude::*;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::scheme::eivhe::{Draw, LWE_MODULUS_BITS, LWE_NOISE, Parameters, PublicMatrix, Published, product};
use regression::Regression;

/// Moves tried at once where single steps lead no further.
const PAIRED: usize = 16;

/// What the regression found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// T, m rows of k, after correction.
    pub rows: Vec<i64>,
    /// T as rounded, before any correction.
    pub rounded: Vec<i64>,
    /// Whether all residuals of a row lie in the range of the noise: for each of the m rows. With thousands of columns of a public matrix only the true row does this;
    /// with few pairs of message and ciphertext others do, too, as the noise of a ciphertext is a sum with a wide range.
    pub consistent: Vec<bool>,
}

impl Recovered {
    /// Share of entries equal to those of the true key, as rounded and after correction.
    #[must_use]
    pub fn exact(&self, truth: &[i64]) -> (f64, f64) {
        let share = |found: &[i64]| found.iter().zip(truth).filter(|(f, t)| f == t).count() as f64 / truth.len().max(1) as f64;
        (share(&self.rounded), share(&self.rows))
    }

    /// Share of rows that are consistent with all equations.
    #[must_use]
    pub fn consistent_share(&self) -> f64 {
        self.consistent.iter().filter(|v| **v).count() as f64 / self.consistent.len().max(1) as f64
    }
}

/// T from the public matrix alone: M shows A and E - T A.
///
/// # Errors
/// [`Error::OutOfRange`] when there are fewer columns than unknowns; [`Error::Interrupted`] when
/// `control` was stopped.
pub fn recover_key(public: &PublicMatrix, control: &Control) -> Result<Recovered> {
    let parameters = public.parameters();
    let (least, most) = draw_range(parameters.noise);
    let ranges = vec![(least, most); public.columns()];
    // T A - E = -Y.
    let targets: Vec<i64> = public.upper().par_iter().map(|y| y.wrapping_neg()).collect();
    recover(parameters, public.lower(), &targets, &ranges, None, control)
}

/// T from pairs of messages and ciphertexts under fresh randomness, both one after the other: w x - (c_1..c_m) = T (c_m+1..) - e.
///
/// # Errors
/// [`Error::Size`]; [`Error::OutOfRange`] when there are fewer pairs than unknowns;
/// [`Error::Interrupted`] when `control` was stopped.
pub fn known_plaintext(parameters: &Parameters, messages: &[i64], ciphertexts: &[i64], control: &Control) -> Result<Recovered> {
    let (m, k, width) = (parameters.dimension, parameters.key_columns, parameters.width());
    let pairs = messages.len() / m;
    if messages.len() != pairs * m || ciphertexts.len() != pairs * width {
        return Err(Error::size("entries of ciphertexts", pairs * width, ciphertexts.len()));
    }
    let column = |i: usize, at: usize| ciphertexts[at * width + i];
    let lower: Vec<i64> = (m..m + k).flat_map(|i| (0..pairs).map(move |at| column(i, at))).collect();
    let scaled = |i: usize, at: usize| (messages[at * m + i] << parameters.scale_bits).wrapping_sub(column(i, at));
    let targets: Vec<i64> = (0..m).flat_map(|i| (0..pairs).map(move |at| scaled(i, at))).collect();
    // Over the integers e is a sum of as many entries of E as the message has digits; its mean is known.
    let (least, most) = draw_range(parameters.noise);
    let ones = |at: usize, sign: i64| {
        let message = &messages[at * m..(at + 1) * m];
        message.iter().filter(|x| x.signum() == sign).map(|x| i64::from(x.unsigned_abs().count_ones())).sum::<i64>()
    };
    let counts = |at: usize| if parameters.modulus_bits.is_some() { (1, 0) } else { (ones(at, 1), ones(at, -1)) };
    let ranges: Vec<(i64, i64)> = (0..pairs).map(counts).map(|(plus, minus)| (plus * least - minus * most, plus * most - minus * least)).collect();
    let means: Vec<f64> = (0..pairs).map(counts).map(|(plus, minus)| (plus - minus) as f64 * (least + most) as f64 / 2.0).collect();
    recover(parameters, &lower, &targets, &ranges, Some(&means), control)
}

/// Messages read off ciphertexts with nothing but the published bounds: every entry of T is taken for its mean, as |e - (T - mean) A c*| < w/2 with all published
/// bounds. No key, no matrix, no other ciphertext.
///
/// # Errors
/// [`Error::Size`] when ciphertexts are cut.
pub fn without_key(parameters: &Parameters, ciphertexts: &[i64]) -> Result<Vec<i64>> {
    let width = parameters.width();
    if !ciphertexts.len().is_multiple_of(width) {
        return Err(Error::size("entries of ciphertexts", ciphertexts.len().div_ceil(width) * width, ciphertexts.len()));
    }
    let (least, most) = draw_range(parameters.key);
    let read = |ciphertext: &[i64]| {
        let (upper, lower) = ciphertext.split_at(parameters.dimension);
        let masked = lower.iter().map(|&c| i128::from(c)).sum::<i128>() * (i128::from(least) + i128::from(most)) / 2;
        upper.iter().map(|&c| parameters.round(parameters.reduce(c.wrapping_add(masked as i64)))).collect::<Vec<_>>()
    };
    Ok(ciphertexts.par_chunks_exact(width).flat_map_iter(read).collect())
}

/// Least and largest number that a draw gives; modulo q symmetric and beyond all bounds.
fn draw_range(draw: Draw) -> (i64, i64) {
    match draw {
        Draw::Below(bound) => (0, i64::from(bound) - 1),
        Draw::Centred(bits) => (-i64::from(bits), i64::from(bits)),
        Draw::Modulus => (-(i64::MAX / 4), i64::MAX / 4),
    }
}

/// T from `targets` = T `regressors` - e: m and k rows, one column per equation. e lies in `ranges`; its means are `means`, or one unknown mean.
fn recover(
    parameters: &Parameters,
    regressors: &[i64],
    targets: &[i64],
    ranges: &[(i64, i64)],
    means: Option<&[f64]>,
    control: &Control,
) -> Result<Recovered> {
    let (k, equations) = (parameters.key_columns, ranges.len());
    if equations < k + 2 {
        return Err(Error::range("equations for a row of the key", &equations, format!("{} and more", k + 2)));
    }
    let regression = Regression::new(regressors, k, equations, 0.0)?;
    // Operations of about the size of a modular product.
    let work = |rows: usize| rows * k * equations / 1000;
    control.advance(work(k))?;
    let estimates = regression.solve(targets, means);
    control.advance(work(parameters.dimension))?;
    let rounded: Vec<i64> = estimates.iter().map(|&t| t.round() as i64).collect();
    let mut residuals = product(&rounded, k, regressors, equations);
    control.advance(work(parameters.dimension))?;
    residuals.par_iter_mut().zip(targets).for_each(|(r, &y)| *r = parameters.reduce(r.wrapping_sub(y)));
    let corrected: Vec<(Vec<i64>, bool)> = residuals
        .par_chunks_exact_mut(equations)
        .zip(rounded.par_chunks_exact(k).zip(estimates.par_chunks_exact(k)))
        .map(|(residuals, (rounded, estimates))| correct(regressors, residuals, ranges, rounded, estimates, control))
        .collect();
    control.check()?;
    let consistent = corrected.iter().map(|(_, consistent)| *consistent).collect();
    Ok(Recovered { rows: corrected.into_iter().flat_map(|(row, _)| row).collect(), rounded, consistent })
}

/// How far residuals are outside their ranges in sum, or more than `limit` as soon as it is.
fn outside(residuals: impl Iterator<Item = i64>, ranges: &[(i64, i64)], limit: i128) -> i128 {
    let mut sum = 0i128;
    for (r, &(least, most)) in residuals.zip(ranges) {
        if r < least || r > most {
            sum += i128::from(if r < least { least.saturating_sub(r) } else { r.saturating_sub(most) });
            if sum > limit {
                break;
            }
        }
    }
    sum
}

/// Corrects a row by steps of one towards residuals within their ranges: the sum outside is convex in the row, and 0 for the true one. Entries whose estimate was
/// farthest from an integer come first. Gives up where most residuals are outside from the start: there the regression has found nothing; and once `control` was
/// stopped.
fn correct(
    regressors: &[i64],
    residuals: &mut [i64],
    ranges: &[(i64, i64)],
    rounded: &[i64],
    estimates: &[f64],
    control: &Control,
) -> (Vec<i64>, bool) {
    let mut row = rounded.to_vec();
    let count = residuals.iter().zip(ranges).filter(|&(r, (least, most))| r < least || r > most).count();
    if count * 2 > ranges.len() {
        return (row, false);
    }
    let equations = ranges.len();
    let mut sum = outside(residuals.iter().copied(), ranges, i128::MAX);
    let mut order: Vec<usize> = (0..row.len()).collect();
    let doubt = |j: usize| -(estimates[j] - estimates[j].round()).abs();
    order.sort_by(|&a, &b| doubt(a).total_cmp(&doubt(b)));
    let of = |j: usize| &regressors[j * equations..(j + 1) * equations];
    // The other neighbour of the estimate first.
    let towards = |j: usize| if estimates[j] >= estimates[j].round() { 1 } else { -1 };
    while sum > 0 {
        let mut moved = false;
        for &j in &order {
            if control.advance(1).is_err() {
                return (row, false);
            }
            for step in [towards(j), -towards(j)] {
                let tried = outside(residuals.iter().zip(of(j)).map(|(r, a)| r.wrapping_add(step * a)), ranges, sum);
                if tried < sum {
                    residuals.iter_mut().zip(of(j)).for_each(|(r, a)| *r = r.wrapping_add(step * a));
                    row[j] += step;
                    (sum, moved) = (tried, true);
                    break;
                }
            }
            if sum == 0 {
                break;
            }
        }
        if moved {
            continue;
        }
        // Two entries that must move together.
        let few = &order[..order.len().min(PAIRED)];
        let pairs = few.iter().flat_map(|&i| few.iter().map(move |&j| (i, j))).filter(|(i, j)| i != j);
        let steps = pairs.flat_map(|(i, j)| [(i, 1, j, 1), (i, 1, j, -1), (i, -1, j, 1), (i, -1, j, -1)]);
        let mut better = None;
        for (i, a, j, b) in steps {
            let tried = outside(residuals.iter().zip(of(i).iter().zip(of(j))).map(|(r, (x, y))| r.wrapping_add(a * x + b * y)), ranges, sum);
            if tried < sum {
                better = Some((i, a, j, b, tried));
                break;
            }
        }
        let Some((i, a, j, b, tried)) = better else { return (row, false) };
        residuals.iter_mut().zip(of(i).iter().zip(of(j))).for_each(|(r, (x, y))| *r = r.wrapping_add(a * x + b * y));
        row[i] += a;
        row[j] += b;
        sum = tried;
    }
    (row, true)
}

/// One line of the table of attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// The key and its bounds.
    pub parameters: Parameters,
    /// Columns of the public matrix per entry of a message; none for those that messages of its bound meet.
    pub digits: Option<usize>,
}

/// The cases: published bounds at several sizes, then the sound variant.
#[must_use]
pub fn table() -> Vec<Case> {
    let bounds = |dimension, key_columns, mask: u32, noise: u32, key: u32| Parameters {
        key: Draw::Below(key),
        mask: Draw::Below(mask),
        noise: Draw::Below(noise),
        ..Published::Payor.parameters(dimension, key_columns, 255)
    };
    let case = |name, parameters, digits| Case { name, parameters, digits };
    let modulo = Parameters {
        mask: Draw::Modulus,
        noise: Draw::Centred(LWE_NOISE),
        modulus_bits: Some(LWE_MODULUS_BITS),
        ..Published::Payor.parameters(784, 784, 255)
    };
    vec![
        case("payor", bounds(784, 784, 1000, 1000, 1000), None),
        case("secureldata", Published::Secureldata.parameters(784, 784, 255), None),
        case("secureldata, 16 key columns", Published::Secureldata.parameters(784, 16, 255), None),
        case("secureldata, 1 key column", Published::Secureldata.parameters(784, 1, 255), None),
        case("trask", Published::Trask.parameters(784, 1, 255), None),
        case("payor, size of its demonstration", bounds(10, 10, 1000, 1000, 1000), Some(100)),
        case("secureldata, that size", bounds(10, 10, 100, 1000, 100), Some(100)),
        case("modulo q, small key", modulo, None),
        case("modulo q, key uniform", Parameters { key: Draw::Modulus, ..modulo }, None),
    ]
}

#[cfg(test)]
mod tests;
