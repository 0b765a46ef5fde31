//! Which form numbers take on the device: arithmetic, communication, lanes and limbs.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::modulus::Modulus;
use crate::text::one_of;

/// What multiplies limbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Arithmetic {
    /// 29-bit limbs, 64-bit sums.
    U64,
    /// 13-bit limbs, 32-bit sums: what every adapter has.
    U32,
    /// 51-bit limbs in doubles, products split by two fused multiply-adds, 64-bit sums.
    F64,
}

impl Arithmetic {
    /// Bits of a limb.
    pub(super) const fn bits(self) -> u32 {
        match self {
            Self::U64 => 29,
            Self::U32 => 13,
            Self::F64 => 51,
        }
    }

    pub(super) const fn limb_type(self) -> &'static str {
        match self {
            Self::U64 | Self::U32 => "u32",
            Self::F64 => "u64",
        }
    }

    pub(super) const fn wide_type(self) -> &'static str {
        match self {
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::F64 => "i64",
        }
    }

    /// A sum of fewer than 2^room products of limbs, and the carries that come with them, fits an accumulator.
    pub(super) const fn room(self) -> u32 {
        match self {
            Self::U64 | Self::U32 => 6,
            Self::F64 => 9,
        }
    }

    /// 32-bit words that hold a limb in memory.
    pub(super) const fn limb_words(self) -> usize {
        match self {
            Self::U64 | Self::U32 => 1,
            Self::F64 => 2,
        }
    }
}

/// How the lanes of a team exchange words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Communication {
    /// Shuffles within a subgroup.
    Subgroup,
    /// Workgroup memory and barriers.
    Workgroup,
}

/// A kind of kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Variant {
    pub(super) arithmetic: Arithmetic,
    pub(super) communication: Communication,
}

impl Variant {
    /// Every kind, the one to prefer first where nothing is measured.
    pub(super) const ALL: [Self; 5] = [
        Self { arithmetic: Arithmetic::U64, communication: Communication::Subgroup },
        Self { arithmetic: Arithmetic::F64, communication: Communication::Subgroup },
        Self { arithmetic: Arithmetic::U64, communication: Communication::Workgroup },
        Self { arithmetic: Arithmetic::U32, communication: Communication::Subgroup },
        Self { arithmetic: Arithmetic::U32, communication: Communication::Workgroup },
    ];

    /// The name that options take.
    pub(super) const fn name(self) -> &'static str {
        match (self.arithmetic, self.communication) {
            (Arithmetic::U64, Communication::Subgroup) => "u64-subgroup",
            (Arithmetic::U64, Communication::Workgroup) => "u64-workgroup",
            (Arithmetic::U32, Communication::Subgroup) => "u32-subgroup",
            (Arithmetic::U32, Communication::Workgroup) => "u32-workgroup",
            (Arithmetic::F64, Communication::Subgroup) => "f64-subgroup",
            (Arithmetic::F64, Communication::Workgroup) => "f64-workgroup",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        one_of("GPU variant", text, &Self::ALL, Self::name)
    }
}

/// The form of a number: one module of each entry point belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) variant: Variant,
    /// Lanes that share a number.
    pub(super) lanes: u32,
    /// Limbs of a lane.
    pub(super) limbs: u32,
    /// 2 for base-n digits, 1 for a modulus without known root.
    pub(super) halves: u32,
    /// Whether there is a body for squares beside the one for products: four half-size products in place of five, and twice the code.
    pub(super) squares: bool,
}

/// Most limbs of a lane: three products of each in an accumulator, 3 L < 2^6.
pub(super) const MAX_LIMBS: u32 = 21;
/// Limbs of a lane that compile fast and leave registers free.
const FEW_LIMBS: u32 = 9;
/// Limbs of a lane that need the fewest exchanges per product while two warps still fit.
const MANY_LIMBS: u32 = 18;
/// Bits by which R exceeds the modulus of the digits.
pub(super) const ROOM_BITS: u32 = 4;

impl Shape {
    /// Shapes for a modulus in one variant, at most `max_lanes` wide: few limbs per lane, then many. Sizes are rounded up, so that few modules serve all moduli.
    pub(super) fn candidates(variant: Variant, modulus: &Modulus, max_lanes: u32) -> Vec<Self> {
        let digit_bits = modulus.root().map_or(modulus.bits(), |root| root.significant_bits());
        let halves = if modulus.root().is_some() { 2 } else { 1 };
        let needed = (digit_bits + ROOM_BITS).div_ceil(variant.arithmetic.bits());
        let mut shapes: Vec<Self> = Vec::new();
        for wished in [FEW_LIMBS, MANY_LIMBS] {
            let mut lanes = 1;
            while lanes < max_lanes && needed > lanes * wished {
                lanes *= 2;
            }
            let exact = needed.div_ceil(lanes);
            let limbs = [5, 6, 7, FEW_LIMBS, 11, 14, 16, MANY_LIMBS, MAX_LIMBS].into_iter().find(|&limbs| limbs >= exact);
            let shape = limbs.map(|limbs| Self { variant, lanes, limbs, halves, squares: false });
            shapes.extend(shape.filter(|shape| !shapes.contains(shape)));
        }
        shapes
    }

    /// The shape with a body for squares, where the form has one.
    pub(super) fn with_squares(self) -> Self {
        Self { squares: self.halves == 2 && self.variant.arithmetic != Arithmetic::F64, ..self }
    }

    /// Bits of a limb.
    pub(super) const fn bits(&self) -> u32 {
        self.variant.arithmetic.bits()
    }

    /// The largest limb.
    pub(super) const fn mask(&self) -> u64 {
        (1 << self.bits()) - 1
    }

    /// Limbs of a half.
    pub(super) const fn half(&self) -> usize {
        (self.lanes * self.limbs) as usize
    }

    /// Limbs of a residue.
    pub(super) const fn row(&self) -> usize {
        self.half() * self.halves as usize
    }

    /// Bytes of a residue on the device.
    pub(super) const fn row_bytes(&self) -> u64 {
        (4 * self.row() * self.variant.arithmetic.limb_words()) as u64
    }

    /// Products of two limbs in a product of two residues.
    pub(super) fn limb_products(&self) -> u64 {
        let half = self.half() as u64;
        half * half * if self.halves == 2 { 5 } else { 2 }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} T{} L{}", self.variant, self.lanes, self.limbs)
    }
}
