//! The self-test that the kernels in doubles need: products split exactly by fused multiply-adds.

use super::device::{Bindings, Context, Dispatch, Fault, Params, View, Work};
use super::generate::Entry;
use super::shape::{Arithmetic, Communication, Shape, Variant};
use crate::control::Control;

/// x y = high 2^51 + low by two fused multiply-adds, for |x|, |y| <= 2^51: what `split_f64.wgsl` does.
///
/// Source: Emmart, Zheng and Weems, ARITH 2018, with rounding to nearest and therefore signed parts.
pub(super) fn split(x: f64, y: f64) -> (i64, i64) {
    let (upper, lower) = (1.5 * 2f64.powi(103), 1.5 * 2f64.powi(52));
    let high = x.mul_add(y, upper);
    let low = x.mul_add(y, upper + lower - high);
    (high.to_bits() as i64 - upper.to_bits() as i64, low.to_bits() as i64 - lower.to_bits() as i64)
}

/// Products that a multiplication with two roundings gets wrong, and the ends of the range.
fn operands() -> Vec<(f64, f64)> {
    let top = 2f64.powi(51);
    let mut pairs = vec![(top, top), (top - 1.0, top - 1.0), (top, top - 1.0), (-1.0, top), (0.0, top), (1.0, 1.0), (-1.0, -1.0)];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 13) as f64
    };
    pairs.extend((0..121).map(|_| (next(), next())));
    pairs
}

/// Whether fma rounds once on this device and nothing is reordered. An adapter without doubles has no such kernels.
pub(super) fn is_fused(context: &Context, control: &Control) -> Result<bool, Fault> {
    let variant = Variant { arithmetic: Arithmetic::F64, communication: Communication::Subgroup };
    if !context.adapter.lacks(variant).is_empty() {
        return Ok(false);
    }
    let shape = Shape { variant, lanes: 1, limbs: 5, halves: 1, squares: false };
    let words = |value: u64| [value as u32, (value >> 32) as u32];
    let pairs = operands();
    let inputs: Vec<u32> = pairs.iter().flat_map(|&(x, y)| [x, y]).flat_map(|value| words(value.to_bits())).collect();
    let expected: Vec<u32> = pairs
        .iter()
        .flat_map(|&(x, y)| {
            let (high, low) = split(x, y);
            [x.mul_add(y, -(x * y)).to_bits(), high as u64, low as u64]
        })
        .flat_map(words)
        .collect();
    let slots = context.buffer(4 * expected.len() as u64)?;
    let inputs = context.filled(&inputs)?;
    let work = Work {
        bindings: vec![Bindings { inputs: View::whole(&inputs), ..context.bindings(View::whole(&slots)) }],
        dispatches: vec![Dispatch {
            entry: Entry::Fused,
            bindings: 0,
            params: Params { count: pairs.len() as u32, ..Params::default() },
            invocations: pairs.len() as u64,
        }],
        ..Work::default()
    };
    let found = context.read(&shape, work, View { buffer: slots, offset: 0, bytes: 4 * expected.len() as u64 }, control)?;
    // The rest of an exact product may be 0 of either sign.
    let same = |(number, (a, b)): (usize, (&u32, &u32))| a == b || number % 6 == 1 && a & b & 0x7fff_ffff == 0 && (a | b) == 0x8000_0000;
    Ok(found.iter().zip(&expected).enumerate().all(same))
}
