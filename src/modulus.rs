//! Odd moduli with the constants that Montgomery arithmetic needs.

use crate::error::{Error, Result};
use crate::integer::{Integer, Order};
use crate::limbs::words_for_bits;

/// An odd modulus greater than 1.
///
/// A modulus made with [`Modulus::square`] remembers its root, so that a backend may compute in base n: X = x0 + x1 n with x0, x1 < n.
/// The value may be secret (p^2 in decryption): it is not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Modulus {
    value: Integer,
    root: Option<Integer>,
}

impl std::fmt::Debug for Modulus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Modulus({} bits{})", self.bits(), if self.root.is_some() { ", a square" } else { "" })
    }
}

impl Modulus {
    /// A modulus of no known structure.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `value` is odd and greater than 1.
    pub fn new(value: Integer) -> Result<Self> {
        check(&value)?;
        Ok(Self { value, root: None })
    }

    /// The modulus root^2, with its root known.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `root` is odd and greater than 1.
    pub fn square(root: Integer) -> Result<Self> {
        check(&root)?;
        Ok(Self { value: Integer::from(root.square_ref()), root: Some(root) })
    }

    /// The modulus itself.
    #[must_use]
    pub fn value(&self) -> &Integer {
        &self.value
    }

    /// The n of a modulus n^2, where it is known.
    #[must_use]
    pub fn root(&self) -> Option<&Integer> {
        self.root.as_ref()
    }

    /// Significant bits of the modulus.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.value.significant_bits()
    }

    /// 64-bit words of a residue.
    #[must_use]
    pub fn width(&self) -> usize {
        words_for_bits(self.bits())
    }

    /// The words of the modulus, least significant first.
    #[must_use]
    pub fn words(&self) -> Vec<u64> {
        self.value.to_digits(Order::Lsf)
    }
}

impl Drop for Modulus {
    fn drop(&mut self) {
        for secret in [Some(&mut self.value), self.root.as_mut()].into_iter().flatten() {
            wipe(secret);
        }
    }
}

/// Overwrites the words of an integer with zeros and leaves it 0. Copies that GMP made elsewhere are out of reach.
pub fn wipe(value: &mut Integer) {
    let zeros = vec![0u64; value.significant_digits::<u64>()];
    value.assign_digits(&zeros, Order::Lsf);
}

/// -1/value mod 2^bits for an odd `value`, given by its least significant word; `bits` is at most 64. Newton's iteration.
#[must_use]
pub const fn minus_inverse(value: u64, bits: u32) -> u64 {
    let mut inverse = value;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(value.wrapping_mul(inverse)));
        step += 1;
    }
    let minus = inverse.wrapping_neg();
    if bits >= 64 { minus } else { minus & ((1 << bits) - 1) }
}

fn check(value: &Integer) -> Result<()> {
    if value.is_even() || *value <= 1 {
        return Err(Error::range(
            "modulus",
            &format!("{} bits, {}", value.significant_bits(), if value.is_even() { "even" } else { "odd" }),
            "odd and above 1",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_and_tiny_moduli_are_refused() {
        for bad in [-3, -1, 0, 1, 2, 100] {
            assert!(Modulus::new(Integer::from(bad)).is_err(), "{bad}");
            assert!(Modulus::square(Integer::from(bad)).is_err(), "{bad}");
        }
        assert_eq!(*Modulus::square(Integer::from(7)).unwrap().value(), 49);
    }

    #[test]
    fn minus_inverse_times_value_is_minus_one() {
        for value in [1u64, 3, 5, 0xffff_ffff_ffff_ffff, 0x8000_0000_0000_0001, 0x1234_5678_9abc_def1] {
            assert_eq!(value.wrapping_mul(minus_inverse(value, 64)), u64::MAX);
            assert_eq!(value.wrapping_mul(minus_inverse(value, 52)) & ((1 << 52) - 1), (1 << 52) - 1);
        }
    }

    #[test]
    fn wiping_leaves_zero() {
        let mut secret = (Integer::from(1) << 1000u32) - 1u32;
        wipe(&mut secret);
        assert_eq!(secret, 0);
    }
}
