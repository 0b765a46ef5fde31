//! Measurements of what a device can do at most, to set the speed of a backend against.

use crate::plan::Counts;

/// The multipliers of a device, apart from any work: to be timed beside work.
pub trait Bound: Sync {
    /// Issues as many of the device's multiplications as `counts` costs modulo the numbers that
    /// this was asked of, independent of each other, and nothing else. One thread.
    fn saturate_multipliers(&self, counts: Counts);
}

/// The measured rate of one kernel of a device, products modulo n^2 of random data in chains.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelRate {
    /// Bits of n.
    pub key_bits: u32,
    /// Kind of kernel, lanes and limbs.
    pub kernel: String,
    /// Products per second.
    pub products_per_second: f64,
    /// Products per second of the kernels alone, by the device's own clock, where it has one.
    pub device_per_second: Option<f64>,
    /// Products per second that the device's multipliers allow by published figures, where the
    /// adapter is known.
    pub bound_per_second: Option<f64>,
    /// Products per second that a loop of products of limbs and nothing else would make of them,
    /// measured beside it.
    pub issue_per_second: f64,
    /// Products per second of one thread of GMP's multiplication and remainder, measured beside it.
    pub gmp_per_second: f64,
    /// `true` for the kernel that the backend uses for this size.
    pub chosen: bool,
}
