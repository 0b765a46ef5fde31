//! What the multipliers of known adapters allow at most.
//!
//! Nothing here was measured by this project, and not every figure was checked against its source: **look an adapter's figures up before quoting a percentage of them.**
//!
//! - H100 SXM and H200: 132 multiprocessors at 1.755 GHz, 32 wide products a cycle: the figures that `gpu.md`'s targets assume. Measured on an
//!   H200 (`doctor --rates`): kernels in 64-bit sums make 80 to 92 % of that. Its clock goes up to 1.98 GHz.
//! - The other NVIDIA cards: multiprocessors and boost clocks as their data sheets are commonly quoted, and 32-bit and 64-bit multiply-adds a cycle as for their compute
//!   capability; neither was compared with the vendor's documents. 32 x 32 -> 64 bits at half the 32-bit rate is published for an RTX 4090 and assumed for the others.
//! - Apple: cores and clocks from <https://github.com/philipturner/metal-benchmarks>, the largest version of each chip; cycles of multiply-adds as reported from
//!   measurements there, not compared with it. There are no doubles.
//!
//! AMD, Intel, later Apple chips and cards of like names are unknown, and said to be.

use std::fmt;

use super::shape::{Arithmetic, Variant};

/// Multipliers of an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Multipliers {
    /// Multiprocessors or cores.
    units: u32,
    megahertz: u32,
    /// Products of 32 x 32 bits to 64 bits of a unit in a cycle.
    wide: u32,
    /// Products of 32 x 32 bits to 32 bits.
    narrow: u32,
    /// Multiply-adds or additions in doubles; 0 where there are none.
    double: u32,
}

const fn nvidia(units: u32, megahertz: u32, double: u32) -> Multipliers {
    Multipliers { units, megahertz, wide: 32, narrow: 64, double }
}

/// A core has 128 lanes; a wide product takes 8 cycles of a lane, a narrow one 4.
const fn apple(units: u32, megahertz: u32) -> Multipliers {
    Multipliers { units, megahertz, wide: 16, narrow: 32, double: 0 }
}

/// Names, or with `*` beginnings of names, the first that fits.
const KNOWN: [(&str, Multipliers); 13] = [
    ("NVIDIA H200*", nvidia(132, 1755, 64)),
    ("NVIDIA H100 PCIe", nvidia(114, 1755, 64)),
    ("NVIDIA H100 NVL", nvidia(132, 1755, 64)),
    ("NVIDIA H100 80GB HBM3*", nvidia(132, 1755, 64)),
    ("NVIDIA A100*", nvidia(108, 1410, 32)),
    ("NVIDIA L40S", nvidia(142, 2520, 2)),
    ("NVIDIA GeForce RTX 4090", nvidia(128, 2520, 2)),
    ("NVIDIA GeForce RTX 3090", nvidia(82, 1695, 2)),
    ("Apple M1", apple(8, 1278)),
    ("Apple M1 Pro", apple(16, 1296)),
    ("Apple M1 Max", apple(32, 1296)),
    ("Apple M1 Ultra", apple(64, 1296)),
    ("Apple M2", apple(10, 1398)),
];

impl Multipliers {
    /// Those of an adapter that is known by its name.
    pub(super) fn of(adapter: &str) -> Option<Self> {
        let fits = |name: &str| name.strip_suffix('*').map_or(adapter == name, |start| adapter.starts_with(start));
        KNOWN.iter().find(|(name, _)| fits(name)).map(|&(_, multipliers)| multipliers)
    }

    /// Products of two limbs per second that a kind of kernel cannot exceed, whatever else it does: one multiply-add for a product in integers; in doubles two fused
    /// multiply-adds and the subtraction between them, which the same pipes do.
    pub(super) fn limb_products_per_second(self, variant: Variant) -> Option<f64> {
        let per_cycle = match variant.arithmetic {
            Arithmetic::U64 => f64::from(self.wide),
            Arithmetic::U32 => f64::from(self.narrow),
            Arithmetic::F64 if self.double == 0 => return None,
            Arithmetic::F64 => f64::from(self.double) / 3.0,
        };
        Some(f64::from(self.units) * f64::from(self.megahertz) * 1e6 * per_cycle)
    }
}

impl fmt::Display for Multipliers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { units, megahertz, wide, narrow, double } = self;
        write!(
            f,
            "{units} multiprocessors at {:.3} GHz with {wide} wide, {narrow} narrow and {double} double products a cycle",
            f64::from(*megahertz) / 1e3
        )
    }
}
