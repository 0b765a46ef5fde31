//! Integers of any length, under one name for the whole crate: GMP's through `rug` with the feature
//! `gmp`, integers in plain Rust with the same results without it.

#[cfg(any(test, not(feature = "gmp")))]
#[cfg_attr(feature = "gmp", allow(dead_code, reason = "compiled for its tests only"))]
mod pure;
#[cfg(all(test, feature = "gmp"))]
mod tests;
pub(crate) mod words;

#[cfg(not(feature = "gmp"))]
pub use pure::{Integer, Order};
#[cfg(feature = "gmp")]
pub use rug::{Integer, integer::Order};

/// Whether x is a positive prime: by Baillie-PSW and 40 Miller-Rabin rounds of GMP, which counts the
/// first as 24.
#[cfg(feature = "gmp")]
pub(crate) fn is_prime(x: &Integer) -> bool {
    // GMP alone also says yes to the negative of a prime.
    *x > 1 && x.is_probably_prime(64) != rug::integer::IsPrime::No
}

/// Whether x is a positive prime: by 65 Miller-Rabin rounds.
#[cfg(not(feature = "gmp"))]
pub(crate) fn is_prime(x: &Integer) -> bool {
    x.is_prime(64)
}
