//! What the multipliers of a device give, measured: a loop of products of limbs and next to nothing else (`issue.wgsl`).

use super::device::{Context, Dispatch, Fault, Params, View, Work};
use super::generate::Entry;
use super::shape::{Shape, Variant};
use super::steady_rate::{Rate, steady_rate};
use crate::control::Control;
use crate::stopwatch::Stopwatch;

/// Sums side by side, as many as a lane of the wider kernels has.
const SUMS: u32 = 18;
/// Most steps of the loop.
const MOST_STEPS: u64 = 1 << 20;

/// Products of limbs per second in a variant's arithmetic: by the device's own clock, or by wall clock where it has none.
pub(super) fn limb_products_per_second(context: &Context, variant: Variant, control: &Control) -> Result<f64, Fault> {
    let shape = Shape { variant, lanes: 1, limbs: SUMS, halves: 1, squares: false };
    let count = 2 * context.limits.lanes as u64;
    let slots = context.buffer(4 * count * variant.arithmetic.limb_words() as u64)?;
    let run = |steps: u64| {
        let params = Params { count: count as u32, steps: steps as u32, ..Params::default() };
        let work = Work {
            bindings: vec![context.bindings(View::whole(&slots))],
            dispatches: vec![Dispatch { entry: Entry::Issue, bindings: 0, params, invocations: count }],
            ..Work::default()
        };
        control.check().map_err(|_| Fault::Interrupted)?;
        context.wait(&shape, context.submit(&shape, &work)?, true, control)
    };
    // The first run compiles.
    run(1)?;
    let most = context.limits.iterations.unwrap_or(MOST_STEPS).min(MOST_STEPS);
    let mut steps = 64;
    while 2 * steps <= most && Stopwatch::time(|| run(steps)).1.wall_ns < 50_000_000 {
        steps *= 2;
    }
    let rates = steady_rate(context.adapter.is_software(), || {
        let before = context.device_ns();
        let (result, elapsed) = Stopwatch::time(|| run(steps));
        result?;
        let device_ns = context.device_ns().zip(before).map(|(after, before)| after - before).filter(|&ns| ns > 0);
        let per_second = |ns: u64| (count * steps * u64::from(SUMS * SUMS)) as f64 / (ns as f64 / 1e9);
        Ok(vec![Rate { wall: per_second(elapsed.wall_ns), device: device_ns.map(per_second) }])
    })?;
    Ok(rates.first().map_or(0.0, |rate| rate.device.unwrap_or(rate.wall)))
}
