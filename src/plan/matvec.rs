//! Planners of the encrypted matrix-vector product: for every row j the products P_j = prod c_i^w over the positive weights and Q_j = prod c_i^|w| over the
//! negative ones, so that E(W x)_j = P_j / Q_j. The plan depends on the weights alone.

use super::schedule::{Graph, Value};
use super::{Program, Weights, pairs};
use crate::error::{Error, Result};
use crate::text::named;

named! {
    /// Ways to plan the product.
    pub enum Method: "method" {
        /// One binary power per weight, as published programs do: the baseline.
        Naive => "naive": "one modular power per weight, as published programs do: the baseline",
        /// Straus: one table of small powers per input, shared by all rows; squarings shared by all
        /// inputs of a row.
        Straus => "straus": "interleaved windows: small powers of each input shared by all rows",
        /// Pippenger's buckets: inputs of equal weight are multiplied first, then running products
        /// give every bucket its exponent.
        Buckets => "buckets": "Pippenger: inputs of equal weight multiplied first, then running products",
        /// Bit planes: for every bit of the weights the product of the inputs that have it, with
        /// common pairs of inputs multiplied once for all rows and bits.
        Pairs => "pairs": "bit planes of the weights, common pairs of inputs multiplied once for all rows",
    }
}

/// Where the two products of a row stand among the program's outputs; `None` is the empty product 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowOutputs {
    /// Product over the positive weights.
    pub positive: Option<usize>,
    /// Product over the negative weights, with their absolute values.
    pub negative: Option<usize>,
}

/// A planned matrix-vector product: inputs are the columns' ciphertexts.
#[derive(Clone, Debug)]
pub struct MatVec {
    /// How it was planned.
    pub method: Method,
    /// The products.
    pub program: Program,
    /// Where each row's results are.
    pub rows: Vec<RowOutputs>,
}

impl MatVec {
    /// Plans `weights` by `method`, or by the one with the fewest products when none is given: any but the baseline, and pairs only up to 4,096 columns, beyond
    /// which planning takes long. The window width is the one with the fewest products.
    ///
    /// # Errors
    /// None for weights that [`Weights`] accepts; [`Error::InvalidProgram`] would be a defect of the planner.
    pub fn plan(weights: &Weights, method: Option<Method>) -> Result<Self> {
        let best = best_draft(weights, method)?;
        let mut outputs = Vec::new();
        let mut place = |value: Option<Value>| {
            value.map(|value| {
                outputs.push(value);
                outputs.len() - 1
            })
        };
        let rows = best.rows.iter().map(|&(positive, negative)| RowOutputs { positive: place(positive), negative: place(negative) }).collect();
        Ok(Self { method: best.method, program: best.graph.finish(&outputs, 0, 0)?, rows })
    }

    /// Modular multiplications of one product, those of the last step (one inversion and one product per row) not counted.
    #[must_use]
    #[cfg(test)]
    pub fn products(&self) -> usize {
        self.program.counts().total()
    }
}

pub(super) struct Draft {
    pub(super) method: Method,
    pub(super) graph: Graph,
    /// Positive and negative product of every row.
    pub(super) rows: Vec<(Option<Value>, Option<Value>)>,
}

/// Columns up to which [`Method::Pairs`] is tried unasked: planning compares columns two by two, half a second for 10 rows of 784 8-bit weights.
const PAIRS_COLUMNS: usize = 4096;

/// The draft of `method` with its best window width; without one the shortest of all methods but the baseline, [`Method::Pairs`] up to [`PAIRS_COLUMNS`] only.
pub(super) fn best_draft(weights: &Weights, method: Option<Method>) -> Result<Draft> {
    let bits = u32::BITS - weights.max_abs().leading_zeros();
    let drafts = |method| -> Vec<Draft> {
        match method {
            Method::Naive => vec![naive(weights)],
            Method::Straus => (1..=bits.clamp(1, 6)).map(|window| straus(weights, window)).collect(),
            Method::Buckets => (1..=bits.clamp(1, 12)).map(|window| buckets(weights, window)).collect(),
            Method::Pairs => vec![pairs(weights)],
        }
    };
    let unasked = |method: &Method| *method != Method::Naive && (*method != Method::Pairs || weights.cols() <= PAIRS_COLUMNS);
    let candidates = method.map_or_else(|| Method::ALL.into_iter().filter(unasked).flat_map(drafts).collect(), drafts);
    let best = candidates.into_iter().min_by_key(|draft| draft.graph.len());
    best.ok_or_else(|| Error::InvalidProgram { problem: "no candidate plan".into() })
}

/// The absolute weights of one row and sign, with their columns; zeros are left out.
fn signed_part(row: &[i32], negative: bool) -> impl Iterator<Item = (Value, u32)> {
    row.iter().enumerate().filter(move |&(_, &w)| w != 0 && (w < 0) == negative).map(|(i, w)| (i as Value, w.unsigned_abs()))
}

fn draft(method: Method, weights: &Weights, mut part: impl FnMut(&mut Graph, &[(Value, u32)]) -> Option<Value>) -> Draft {
    let mut graph = Graph::new(weights.cols());
    let rows = (0..weights.rows())
        .map(|j| {
            let [positive, negative] = [false, true].map(|sign| signed_part(weights.row(j), sign).collect::<Vec<_>>());
            (part(&mut graph, &positive), part(&mut graph, &negative))
        })
        .collect();
    Draft { method, graph, rows }
}

/// value^exponent by left-to-right squaring and multiplying; exponent is at least 1.
fn power(graph: &mut Graph, value: Value, exponent: u32) -> Value {
    let mut result = value;
    for bit in (0..exponent.ilog2()).rev() {
        result = graph.sqr(result);
        if exponent >> bit & 1 == 1 {
            result = graph.mul(result, value);
        }
    }
    result
}

fn naive(weights: &Weights) -> Draft {
    draft(Method::Naive, weights, |graph, part| {
        let powers = part.iter().map(|&(column, weight)| power(graph, column, weight)).collect();
        graph.product(powers)
    })
}

/// Joins the values of the windows, lowest first, to prod value_k^(2^(k * window)).
fn horner(graph: &mut Graph, values: &[Option<Value>], window: u32) -> Option<Value> {
    values.iter().rev().fold(None, |sum, &value| {
        let shifted = sum.map(|s| (0..window).fold(s, |s, _| graph.sqr(s)));
        graph.mul_option(shifted, value)
    })
}

fn windows_of(part: &[(Value, u32)], window: u32) -> u32 {
    let bits = part.iter().map(|&(_, w)| u32::BITS - w.leading_zeros()).max().unwrap_or(0);
    bits.div_ceil(window)
}

fn straus(weights: &Weights, window: u32) -> Draft {
    let size = 1usize << window;
    let mut tables: Vec<Option<Value>> = vec![None; weights.cols() * size];
    draft(Method::Straus, weights, |graph, part| {
        let values: Vec<Option<Value>> = (0..windows_of(part, window))
            .map(|k| {
                let factors = part
                    .iter()
                    .filter_map(|&(column, weight)| {
                        let digit = weight as usize >> (k * window) & (size - 1);
                        (digit > 0).then(|| small_power(graph, &mut tables[column as usize * size..][..size], column, digit))
                    })
                    .collect();
                graph.product(factors)
            })
            .collect();
        horner(graph, &values, window)
    })
}

/// column^digit with all smaller powers that it passes kept in `table`.
fn small_power(graph: &mut Graph, table: &mut [Option<Value>], column: Value, digit: usize) -> Value {
    if digit == 1 {
        return column;
    }
    if let Some(value) = table[digit] {
        return value;
    }
    let value = if digit.is_multiple_of(2) {
        let half = small_power(graph, table, column, digit / 2);
        graph.sqr(half)
    } else {
        let below = small_power(graph, table, column, digit - 1);
        graph.mul(below, column)
    };
    table[digit] = Some(value);
    value
}

fn buckets(weights: &Weights, window: u32) -> Draft {
    let mask = (1u32 << window) - 1;
    draft(Method::Buckets, weights, |graph, part| {
        let values: Vec<Option<Value>> = (0..windows_of(part, window))
            .map(|k| {
                let mut bucket: Vec<Vec<Value>> = vec![Vec::new(); mask as usize + 1];
                for &(column, weight) in part {
                    bucket[(weight >> (k * window) & mask) as usize].push(column);
                }
                // suffix = prod of the buckets from d up; result = prod of all suffixes = prod bucket_d^d.
                let (mut suffix, mut result) = (None, None);
                for content in bucket.into_iter().skip(1).rev() {
                    let value = graph.product(content);
                    suffix = graph.mul_option(suffix, value);
                    result = graph.mul_option(result, suffix);
                }
                result
            })
            .collect();
        horner(graph, &values, window)
    })
}

fn pairs(weights: &Weights) -> Draft {
    let bits = u32::BITS - weights.max_abs().leading_zeros();
    let mut subsets = Vec::new();
    for row in 0..weights.rows() {
        for negative in [false, true] {
            let part: Vec<(Value, u32)> = signed_part(weights.row(row), negative).collect();
            subsets.extend((0..bits).map(|bit| part.iter().filter(|&&(_, w)| w >> bit & 1 == 1).map(|&(column, _)| column).collect()));
        }
    }
    let mut graph = Graph::new(weights.cols());
    let planes = pairs::products(&mut graph, &subsets);
    let mut parts = planes.chunks_exact(bits.max(1) as usize).map(|planes| horner(&mut graph, planes, 1));
    let rows = (0..weights.rows()).map(|_| (parts.next().flatten(), parts.next().flatten())).collect();
    Draft { method: Method::Pairs, graph, rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Op, Operand};
    use proptest::prelude::*;

    /// Runs a program on exponents instead of residues: a product adds, a square doubles. Input i is the unit vector e_i.
    fn exponents(program: &Program, inputs: usize) -> Vec<Vec<i64>> {
        let mut values: Vec<Vec<i64>> = vec![vec![0; inputs]; inputs + program.slots()];
        for (i, value) in values.iter_mut().enumerate().take(inputs) {
            value[i] = 1;
        }
        for &op in program.ops() {
            let sum = |a: Operand, b: Operand| values[a as usize].iter().zip(&values[b as usize]).map(|(x, y)| x + y).collect::<Vec<_>>();
            let (dst, value) = match op {
                Op::Mul { dst, a, b } => (dst, sum(a, b)),
                Op::Sqr { dst, a } => (dst, sum(a, a)),
                Op::MulTable { .. } => unreachable!("a matrix product has no table"),
            };
            values[dst as usize] = value;
        }
        program.outputs().iter().map(|&o| values[o as usize].clone()).collect()
    }

    fn check(weights: &Weights, method: Option<Method>) -> usize {
        let plan = MatVec::plan(weights, method).unwrap();
        let outputs = exponents(&plan.program, weights.cols());
        for (j, row) in plan.rows.iter().enumerate() {
            let zero = vec![0; weights.cols()];
            let positive = row.positive.map_or(&zero, |o| &outputs[o]);
            let negative = row.negative.map_or(&zero, |o| &outputs[o]);
            for (i, &w) in weights.row(j).iter().enumerate() {
                assert_eq!((positive[i], negative[i]), (i64::from(w.max(0)), i64::from((-w).max(0))), "row {j} column {i}");
            }
        }
        plan.products()
    }

    fn uniform(rows: usize, cols: usize, limit: i32) -> Weights {
        let mut state = 1u64;
        let values = (0..rows * cols)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as i32 % (2 * limit + 1) - limit
            })
            .collect();
        Weights::new(rows, cols, values).unwrap()
    }

    #[test]
    fn plans_raise_every_input_to_its_weight() {
        for limit in [1, 2, 3, 7, 127, 2047] {
            let weights = uniform(3, 40, limit);
            for method in std::iter::once(None).chain(Method::ALL.map(Some)) {
                check(&weights, method);
            }
        }
    }

    #[test]
    fn product_counts_are_those_of_the_literature() {
        // 10 x 784 uniform 8-bit weights: 8.5 products per weight naively; buckets need about one per weight (7,840) and 2 x 126 more per row and sign.
        let weights = uniform(10, 784, 127);
        let [naive, straus, buckets, pairs] = Method::ALL.map(|m| check(&weights, Some(m)));
        assert!((64_000..70_000).contains(&naive), "{naive}");
        assert!((15_000..26_000).contains(&straus), "{straus}");
        assert!((9_900..10_700).contains(&buckets), "{buckets}");
        assert!((10_500..11_500).contains(&pairs), "{pairs}");
        assert_eq!(check(&weights, None), buckets);
    }

    /// Weights of a trained model: bell-shaped around 0 (a sum of twelve uniform numbers), cut at `limit`.
    fn bell(rows: usize, cols: usize, deviation: f64, limit: i32) -> Weights {
        let mut state = 7u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 31) as f64
        };
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        Weights::new(rows, cols, (0..rows * cols).map(|_| ((normal() * deviation).round() as i32).clamp(-limit, limit)).collect()).unwrap()
    }

    #[test]
    fn common_pairs_win_for_narrow_weights() {
        for (cols, deviation, limit, products) in
            [(784, 40.0, 127, 9_500..10_000), (512, 5.0, 15, 3_600..4_000), (512, 2.5, 7, 2_700..3_000), (512, 1.5, 7, 2_100..2_500)]
        {
            let weights = bell(10, cols, deviation, limit);
            let [_, straus, buckets, pairs] = Method::ALL.map(|m| check(&weights, Some(m)));
            assert!(products.contains(&pairs) && pairs < buckets && pairs < straus, "{cols} {deviation}: {pairs} {buckets} {straus}");
            assert_eq!(check(&weights, None), pairs);
        }
    }

    #[test]
    fn equal_weights_give_equal_plans() {
        let weights = bell(10, 200, 5.0, 15);
        let plans = [(); 2].map(|()| MatVec::plan(&weights, Some(Method::Pairs)).unwrap());
        assert_eq!(plans[0].program, plans[1].program);
    }

    #[test]
    fn slots_are_recycled_and_levels_are_wide() {
        for (method, limit, slots) in [(Method::Buckets, 127, 1_200), (Method::Pairs, 127, 2_600), (Method::Pairs, 7, 1_300)] {
            let plan = MatVec::plan(&uniform(10, 784, limit), Some(method)).unwrap();
            assert!(plan.program.slots() < slots, "{method} {limit}: {} slots", plan.program.slots());
            let levels = plan.program.levels().len();
            assert!(plan.products() >= 32 * levels, "{method} {limit}: {} products in {levels} levels", plan.products());
        }
    }

    #[test]
    fn zero_and_unit_rows_cost_nothing() {
        let plan = MatVec::plan(&Weights::new(3, 2, vec![0, 0, 1, 0, 0, -1]).unwrap(), Some(Method::Buckets)).unwrap();
        assert_eq!(plan.products(), 0);
        assert_eq!(plan.rows[0], RowOutputs::default());
        assert_eq!(plan.rows[1], RowOutputs { positive: Some(0), negative: None });
        assert_eq!(plan.rows[2], RowOutputs { positive: None, negative: Some(1) });
    }

    proptest! {
        #[test]
        fn any_weights_are_planned_right(rows in 1usize..5, cols in 1usize..20, seed in proptest::collection::vec(-4096i32..4096, 100)) {
            let weights = Weights::new(rows, cols, seed[..rows * cols].to_vec()).unwrap();
            for method in Method::ALL {
                check(&weights, Some(method));
            }
        }
    }
}
