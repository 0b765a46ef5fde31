//! Textbook arithmetic on non-negative integers of 64-bit words, least significant word first.
//!
//! Slow and plain on purpose: the oracle of all backends and the integers of builds without GMP are
//! made of it. Time and addresses depend on all values.

use std::cmp::Ordering;

use zeroize::Zeroizing;

/// a b, schoolbook. Output: `a.len() + b.len()` words.
pub(crate) fn product(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut result = vec![0; a.len() + b.len()];
    for (i, &x) in a.iter().enumerate() {
        let mut carry = 0u128;
        for (j, &y) in b.iter().enumerate() {
            // (2^64-1)^2 + 2 (2^64-1) = 2^128 - 1: no overflow.
            let sum = u128::from(x) * u128::from(y) + u128::from(result[i + j]) + carry;
            result[i + j] = sum as u64;
            carry = sum >> 64;
        }
        result[i + b.len()] = carry as u64;
    }
    result
}

/// value mod modulus, as [`divide`] gives it.
pub(crate) fn remainder(value: Vec<u64>, modulus: &[u64]) -> Vec<u64> {
    divide(value, modulus).1
}

/// Quotient and remainder by Knuth's algorithm D (The Art of Computer Programming, vol. 2, 4.3.1).
/// The modulus has at least one word and its top word is not 0. Output: any number of words; below
/// the modulus, of its width.
pub(crate) fn divide(mut value: Vec<u64>, modulus: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let n = modulus.len();
    // D1: normalise, so that the divisor's top bit is set and the quotient digit is off by at most 2.
    let shift = modulus[n - 1].leading_zeros();
    let divisor = Zeroizing::new(shifted_left(modulus, shift));
    if value.len() < n {
        value.resize(n, 0);
    }
    let plain = Zeroizing::new(value);
    value = shifted_left(&plain, shift);
    value.push(0);
    let mut quotient = vec![0; value.len() - n];
    let (v1, v2) = (u128::from(divisor[n - 1]), if n > 1 { u128::from(divisor[n - 2]) } else { 0 });
    for j in (0..quotient.len()).rev() {
        // D3: estimate the digit from the top words.
        let top = u128::from(value[j + n]) << 64 | u128::from(value[j + n - 1]);
        let (mut digit, mut rest) = (top / v1, top % v1);
        let next = if n > 1 { u128::from(value[j + n - 2]) } else { 0 };
        while digit >> 64 != 0 || digit * v2 > (rest << 64 | next) {
            digit -= 1;
            rest += v1;
            if rest >> 64 != 0 {
                break;
            }
        }
        // D4: multiply and subtract; D6: add back when the estimate was one too large.
        let (mut carry, mut borrow) = (0u128, false);
        for i in 0..n {
            let p = digit * u128::from(divisor[i]) + carry;
            carry = p >> 64;
            let (d, b1) = value[j + i].overflowing_sub(p as u64);
            let (d, b2) = d.overflowing_sub(u64::from(borrow));
            value[j + i] = d;
            borrow = b1 | b2;
        }
        let (d, b1) = value[j + n].overflowing_sub(carry as u64);
        let (d, b2) = d.overflowing_sub(u64::from(borrow));
        value[j + n] = d;
        if b1 | b2 {
            digit -= 1;
            let carry = add(&mut value[j..j + n], &divisor);
            value[j + n] = value[j + n].wrapping_add(u64::from(carry));
        }
        quotient[j] = digit as u64;
    }
    // D8: unnormalise. The words above the remainder are 0 by now.
    value.truncate(n);
    if shift > 0 {
        for i in 0..n {
            let above = if i + 1 < n { value[i + 1] << (64 - shift) } else { 0 };
            value[i] = value[i] >> shift | above;
        }
    }
    (quotient, value)
}

/// value << shift with shift below 64, with one more word where bits leave the top word. There is
/// room for another word, which moves nothing.
fn shifted_left(value: &[u64], shift: u32) -> Vec<u64> {
    let mut result = Vec::with_capacity(value.len() + 2);
    let mut carry = 0;
    for &word in value {
        let shifted = u128::from(word) << shift;
        result.push(shifted as u64 | carry);
        carry = (shifted >> 64) as u64;
    }
    if carry > 0 {
        result.push(carry);
    }
    result
}

/// The order of two integers of one width.
pub(crate) fn compare(a: &[u64], b: &[u64]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// a -= b over the words of b; returns the borrow.
pub(crate) fn subtract(a: &mut [u64], b: &[u64]) -> bool {
    let mut borrow = false;
    for (x, &y) in a.iter_mut().zip(b) {
        let (d, b1) = x.overflowing_sub(y);
        let (d, b2) = d.overflowing_sub(u64::from(borrow));
        *x = d;
        borrow = b1 | b2;
    }
    borrow
}

/// a += b over the words of b; returns the carry.
pub(crate) fn add(a: &mut [u64], b: &[u64]) -> bool {
    let mut carry = false;
    for (x, &y) in a.iter_mut().zip(b) {
        let (s, c1) = x.overflowing_add(y);
        let (s, c2) = s.overflowing_add(u64::from(carry));
        *x = s;
        carry = c1 | c2;
    }
    carry
}
