//! The schemes that come with the program. A scheme is its folder and a line here.

use super::linear::LinearScheme;
use super::{clear, eivhe, paillier, smlp};

/// Schemes for linear inference, in the order of rows.
pub static LINEAR: [&dyn LinearScheme; 3] = [&clear::Integers, &eivhe::linear::IntegerVectors, &paillier::linear::PaillierScheme];

/// Every scheme with a line on it, those that only train among them.
#[must_use]
pub fn all() -> Vec<(&'static str, &'static str)> {
    let linear = LINEAR.iter().map(|scheme| (scheme.protection().scheme(), scheme.summary()));
    linear.chain([("smlp", smlp::SUMMARY)]).collect()
}
