//! Planner of the matrix-vector product when a ciphertext holds several inputs of one image and a result several rows.
//!
//! Ciphertext g holds the inputs x_(g d + k), k < d, as sum_k x_(g d + k) 2^(S k). Raised to sum_k W_(j, g d + k) 2^(S (d - 1 - k)) and multiplied over all g, it
//! has row j of the product in slot d - 1, with other sums of products in the slots around it: a convolution. Row i of a result is shifted up by d slots i
//! times, so that its slot d - 1 becomes slot (i + 1) d - 1, which no other term of the result reaches. All exponents of a result are worked off by one
//! Horner chain over all bit positions: its squares serve every row and every input.

use super::matvec::{MatVec, Method, RowOutputs, best_draft};
use super::schedule::{Graph, Value};
use super::{Weights, pairs};
use crate::error::{Error, Result};

/// Where inputs and rows stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// d: inputs of one ciphertext.
    pub inputs_per_ciphertext: usize,
    /// Rows of one result.
    pub rows_per_result: usize,
    /// S: bits from one slot to the next.
    pub slot_bits: u32,
}

impl Shape {
    /// Ciphertexts that `inputs` inputs take.
    #[must_use]
    pub fn ciphertexts(&self, inputs: usize) -> usize {
        inputs.div_ceil(self.inputs_per_ciphertext)
    }

    /// Results that `rows` rows take; the last one may hold fewer rows.
    #[must_use]
    pub fn results(&self, rows: usize) -> usize {
        rows.div_ceil(self.rows_per_result)
    }

    /// Slots of a result with `rows` rows, those of other sums above the last row included.
    #[must_use]
    pub fn slots(&self, rows: usize) -> usize {
        (rows + 1).saturating_mul(self.inputs_per_ciphertext).saturating_sub(1)
    }

    /// The slot that holds row `row` of its result, counted from 0.
    #[must_use]
    pub fn slot(&self, row: usize) -> usize {
        (row + 1) * self.inputs_per_ciphertext - 1
    }

    /// The slot shift of the weight of input `input` in row `row` of its result.
    fn shift(&self, row: usize, input: usize) -> usize {
        let d = self.inputs_per_ciphertext;
        row * d + d - 1 - input
    }
}

/// Plans the product of non-negative weights by `method`, or by the one with the fewest products but the baseline when none is given. Inputs of the program:
/// the ciphertexts of one image. The rows of the plan are the results, all of them positive products.
///
/// # Errors
/// [`Error::OutOfRange`] for a negative weight, an empty shape or slots that end above bit 2^31.
pub fn plan(weights: &Weights, shape: Shape, method: Option<Method>) -> Result<MatVec> {
    let d = shape.inputs_per_ciphertext;
    let top_bit = (shape.slots(weights.rows().min(shape.rows_per_result)) as u64).saturating_mul(shape.slot_bits.into());
    if d == 0 || shape.rows_per_result == 0 || top_bit > u64::from(u32::MAX >> 1) {
        return Err(Error::range("shape of a convolution", &format!("{shape:?}"), "at least 1, 2^31 bits in all"));
    }
    if let Some(bad) = weights.values.iter().find(|&&w| w < 0) {
        return Err(Error::range("weight of a convolution", &bad, "0 and above"));
    }
    let drafts = match method {
        Some(Method::Pairs) => vec![bit_planes(weights, shape)],
        Some(method) => vec![blocks(weights, shape, Some(method))?],
        None => vec![blocks(weights, shape, None)?, bit_planes(weights, shape)],
    };
    let best = drafts.into_iter().min_by_key(|draft| draft.graph.len());
    let Some(Draft { method, graph, results }) = best else { return Err(Error::InvalidProgram { problem: "no candidate plan".into() }) };
    let mut outputs = Vec::new();
    let rows = results
        .into_iter()
        .map(|result| RowOutputs {
            positive: result.map(|value| {
                outputs.push(value);
                outputs.len() - 1
            }),
            negative: None,
        })
        .collect();
    Ok(MatVec { method, program: graph.finish(&outputs, 0, 0)?, rows })
}

struct Draft {
    method: Method,
    graph: Graph,
    results: Vec<Option<Value>>,
}

/// One product for every row and every place in a ciphertext, planned as a matrix of its own; then the chains.
fn blocks(weights: &Weights, shape: Shape, method: Option<Method>) -> Result<Draft> {
    let d = shape.inputs_per_ciphertext;
    let groups = shape.ciphertexts(weights.cols());
    let mut values = Vec::with_capacity(weights.rows() * d * groups);
    for row in 0..weights.rows() {
        for k in 0..d {
            values.extend((0..groups).map(|g| weights.row(row).get(g * d + k).copied().unwrap_or(0)));
        }
    }
    let mut draft = best_draft(&Weights::new(weights.rows() * d, groups, values)?, method)?;
    let results = (0..shape.results(weights.rows()))
        .map(|result| {
            let first = result * shape.rows_per_result;
            let rows = first..weights.rows().min(first + shape.rows_per_result);
            let terms = rows.flat_map(|row| (0..d).map(move |k| (row, k))).filter_map(|(row, k)| {
                let bit = shape.shift(row - first, k) as u32 * shape.slot_bits;
                draft.rows[row * d + k].0.map(|value| (bit, value))
            });
            chain(&mut draft.graph, terms.collect())
        })
        .collect();
    Ok(Draft { method: draft.method, graph: draft.graph, results })
}

/// One product for every row, place in a ciphertext and bit, with common pairs multiplied once for all; then the chains.
fn bit_planes(weights: &Weights, shape: Shape) -> Draft {
    let d = shape.inputs_per_ciphertext;
    let bits = u32::BITS - weights.max_abs().leading_zeros();
    let mut subsets = Vec::with_capacity(weights.rows() * d * bits as usize);
    for row in 0..weights.rows() {
        for k in 0..d {
            let part: Vec<(Value, i32)> = weights.row(row).iter().skip(k).step_by(d).enumerate().map(|(g, &w)| (g as Value, w)).collect();
            subsets.extend((0..bits).map(|bit| part.iter().filter(|&&(_, w)| w >> bit & 1 == 1).map(|&(g, _)| g).collect()));
        }
    }
    let mut graph = Graph::new(shape.ciphertexts(weights.cols()));
    let planes = pairs::products(&mut graph, &subsets);
    let mut terms = vec![Vec::new(); shape.results(weights.rows())];
    let mut planes = planes.into_iter();
    for row in 0..weights.rows() {
        for k in 0..d {
            let low = shape.shift(row % shape.rows_per_result, k) as u32 * shape.slot_bits;
            let values = planes.by_ref().take(bits as usize);
            terms[row / shape.rows_per_result].extend(values.enumerate().filter_map(|(bit, value)| value.map(|value| (low + bit as u32, value))));
        }
    }
    let results = terms.into_iter().map(|terms| chain(&mut graph, terms)).collect();
    Draft { method: Method::Pairs, graph, results }
}

/// prod value^(2^bit) over (bit, value) by one chain of squares from the highest bit down.
fn chain(graph: &mut Graph, mut terms: Vec<(u32, Value)>) -> Option<Value> {
    terms.sort_by_key(|&(bit, _)| std::cmp::Reverse(bit));
    let mut result: Option<Value> = None;
    let mut at = 0;
    for (bit, value) in terms {
        let shifted = result.map(|result| (bit..at).fold(result, |result, _| graph.sqr(result)));
        result = graph.mul_option(shifted, Some(value));
        at = bit;
    }
    result.map(|result| (0..at).fold(result, |result, _| graph.sqr(result)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integer::Integer;
    use crate::plan::{Op, Program};
    use proptest::prelude::*;

    /// Runs a program on exponents instead of residues, with numbers in place of ciphertexts.
    fn run(program: &Program, inputs: &[Integer]) -> Vec<Integer> {
        let mut values = inputs.to_vec();
        values.resize(inputs.len() + program.slots(), Integer::new());
        for &op in program.ops() {
            values[op.dst() as usize] = match op {
                Op::Mul { a, b, .. } => Integer::from(&values[a as usize] + &values[b as usize]),
                Op::Sqr { a, .. } => Integer::from(&values[a as usize] * 2),
                Op::MulTable { .. } => unreachable!("a convolution has no table"),
            };
        }
        program.outputs().iter().map(|&o| values[o as usize].clone()).collect()
    }

    fn check(weights: &Weights, shape: Shape, inputs: &[u16], method: Option<Method>) -> MatVec {
        let plan = plan(weights, shape, method).unwrap();
        let d = shape.inputs_per_ciphertext;
        let packed: Vec<Integer> =
            inputs.chunks(d).map(|chunk| chunk.iter().rev().fold(Integer::new(), |sum, &x| (sum << shape.slot_bits) + x)).collect();
        let outputs = run(&plan.program, &packed);
        assert_eq!(plan.rows.len(), shape.results(weights.rows()));
        for row in 0..weights.rows() {
            let result = plan.rows[row / shape.rows_per_result].positive.map_or_else(Integer::new, |o| outputs[o].clone());
            let slot = shape.slot(row % shape.rows_per_result) as u32;
            let actual = (result >> (slot * shape.slot_bits)).keep_bits(shape.slot_bits);
            let expected: i64 = weights.row(row).iter().zip(inputs).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
            assert_eq!(actual, expected, "row {row} {shape:?} {method:?}");
        }
        plan
    }

    proptest! {
        #[test]
        fn the_middle_slot_is_the_inner_product(
            rows in 1usize..6, cols in 1usize..30, d in 1usize..9, per_result in 1usize..4, top in 0i32..300,
            seed in proptest::collection::vec((0i32..300, 0u16..256), 180),
        ) {
            let weights = Weights::new(rows, cols, seed[..rows * cols].iter().map(|&(w, _)| w.min(top)).collect()).unwrap();
            let inputs: Vec<u16> = seed[..cols].iter().map(|&(_, x)| x).collect();
            let shape = Shape { inputs_per_ciphertext: d, rows_per_result: per_result, slot_bits: 22 };
            for method in std::iter::once(None).chain(Method::ALL.map(Some)) {
                check(&weights, shape, &inputs, method);
            }
        }
    }

    #[test]
    fn extremes_and_counts() {
        let mut state = 1u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % limit) as u16
        };
        for d in [1, 4, 8] {
            let shape = Shape { inputs_per_ciphertext: d, rows_per_result: 2, slot_bits: 27 };
            check(&Weights::new(3, 784, vec![254; 3 * 784]).unwrap(), shape, &[255; 784], None);
            let weights = Weights::new(10, 784, (0..7840).map(|_| below(255).into()).collect()).unwrap();
            let plan = check(&weights, shape, &(0..784).map(|_| below(256)).collect::<Vec<_>>(), Some(Method::Pairs));
            // The bit planes cost about the same for every d; the chains add 2 d - 1 slots of squares for each of the 5 results, and a product a bit.
            let chains = 5 * (2 * d - 1) * 27 + 10 * 8 * d;
            assert!((9_000..11_500).contains(&(plan.products() - chains)), "{d}: {}", plan.products());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let shape = Shape { inputs_per_ciphertext: 2, rows_per_result: 2, slot_bits: 20 };
        let weights = |w| Weights::new(1, 2, vec![1, w]).unwrap();
        assert!(plan(&weights(0), shape, None).is_ok());
        assert!(plan(&weights(-1), shape, None).is_err());
        assert!(plan(&weights(1), Shape { inputs_per_ciphertext: 0, ..shape }, None).is_err());
        assert!(plan(&weights(1), Shape { rows_per_result: 0, ..shape }, None).is_err());
        assert!(plan(&weights(1), Shape { slot_bits: u32::MAX, ..shape }, None).is_err());
        assert!(plan(&Weights::new(0, 0, vec![]).unwrap(), shape, None).is_ok());
    }
}
