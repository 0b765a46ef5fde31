//! Integers of any length, under one name for the whole crate: GMP's, through `rug`.

pub use rug::Integer;
pub use rug::integer::{IsPrime, Order};
pub use rug::ops::{DivRounding, Pow, RemRounding, SubFrom};
