//! The integers in plain Rust against GMP's.

#![allow(clippy::unwrap_used, clippy::cmp_owned, reason = "what is compared is made as the callers make it")]

use proptest::prelude::*;
use rug::Integer as Gmp;
use rug::integer::{IsPrime, Order as GmpOrder};
use rug::ops::RemRounding;

use super::pure::{Integer, Order};
use super::words::{divide, remainder};

fn gmp(value: &Integer) -> Gmp {
    let value: String = value.to_string_radix(16);
    Gmp::from_str_radix(&value, 16).unwrap()
}

fn pure(value: &Gmp) -> Integer {
    let size = Integer::from_digits(&value.to_digits::<u64>(GmpOrder::Lsf), Order::Lsf);
    if value.is_negative() { -size } else { size }
}

/// Signed numbers of up to `words` words, many of them at an edge: zeros and all-ones words, single
/// bits, one more and one less.
fn numbers(words: usize) -> impl Strategy<Value = Integer> {
    let word = prop_oneof![Just(0), Just(u64::MAX), Just(1), Just(1 << 63), any::<u64>(), any::<u64>()];
    (proptest::collection::vec(word, 0..=words), -1i32..=1, any::<bool>()).prop_map(|(words, step, negative)| {
        let size = Integer::from_digits(&words, Order::Lsf) + step;
        if negative { -size } else { size }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn sums_products_and_orders_are_those_of_gmp(a in numbers(6), b in numbers(6), shift in 0u32..200) {
        let (x, y) = (gmp(&a), gmp(&b));
        for (ours, theirs) in [
            (&a + &b, Gmp::from(&x + &y)),
            (&a - &b, Gmp::from(&x - &y)),
            (&a * &b, Gmp::from(&x * &y)),
            (a.square_ref(), Gmp::from(x.square_ref())),
            (-&a, Gmp::from(-&x)),
            (a.abs_ref(), Gmp::from(x.abs_ref())),
            (&a << shift, Gmp::from(&x << shift)),
            (&a >> shift, Gmp::from(&x >> shift)),
            (a.clone().keep_bits(shift), x.clone().keep_bits(shift)),
            (a.clone().lcm(&b), x.clone().lcm(&y)),
            (a.gcd_ref(&b), Gmp::from(x.gcd_ref(&y))),
        ] {
            prop_assert_eq!(pure(&theirs), ours.clone());
            prop_assert_eq!(gmp(&ours), theirs);
        }
        prop_assert_eq!(a.cmp(&b), x.cmp(&y));
        prop_assert_eq!((a.is_even(), a.is_zero(), a.significant_bits()), (x.is_even(), x.is_zero(), x.significant_bits()));
        for bit in [0, 1, 63, 64, shift] {
            prop_assert_eq!(a.get_bit(bit), x.get_bit(bit));
            for to in [false, true] {
                prop_assert_eq!(gmp(a.clone().set_bit(bit, to)), x.clone().set_bit(bit, to).clone());
            }
        }
    }

    #[test]
    fn quotients_are_those_of_gmp(a in numbers(10), b in numbers(5), small in 1u32..) {
        prop_assume!(!b.is_zero());
        let (x, y) = (gmp(&a), gmp(&b));
        let ours = a.div_rem_ref(&b);
        prop_assert_eq!((gmp(&ours.0), gmp(&ours.1)), x.clone().div_rem(y.clone()));
        let ours = a.clone().div_rem_floor(b.clone());
        prop_assert_eq!((gmp(&ours.0), gmp(&ours.1)), x.clone().div_rem_floor(y.clone()));
        prop_assert_eq!(gmp(&a.clone().modulo(&b)), x.clone().rem_euc(&y));
        prop_assert_eq!(a.mod_u(small), x.mod_u(small));
        prop_assert_eq!(a.is_divisible(&b), x.is_divisible(&y));
        prop_assert!((&a * &b).is_divisible(&b));
    }

    #[test]
    fn digits_and_conversions_are_those_of_gmp(a in numbers(4), radix in 2u32..=36) {
        let x = gmp(&a);
        for (ours, theirs) in [(Order::Lsf, GmpOrder::Lsf), (Order::Msf, GmpOrder::Msf)] {
            let (bytes, words) = (a.to_digits::<u8>(ours), a.to_digits::<u64>(ours));
            prop_assert_eq!(&bytes, &x.to_digits::<u8>(theirs));
            prop_assert_eq!(&words, &x.to_digits::<u64>(theirs));
            prop_assert_eq!(Integer::from_digits(&bytes, ours), a.abs_ref());
            prop_assert_eq!(Integer::from_digits(&words, ours), a.abs_ref());
            let (mut room, mut expected) = (vec![7u8; bytes.len() + 3], vec![7u8; bytes.len() + 3]);
            a.write_digits(&mut room, ours);
            x.write_digits(&mut expected, theirs);
            prop_assert_eq!(room, expected);
        }
        let text = x.to_string_radix(radix as i32);
        prop_assert_eq!(&a.to_string_radix(radix), &text);
        prop_assert_eq!(Integer::from_str_radix(&text, radix), Ok(a.clone()));
        prop_assert_eq!(format!("{a} {a:?}"), format!("{x} {x:?}"));
        prop_assert_eq!((a.to_u16(), a.to_u32(), a.to_u64(), a.to_usize()), (x.to_u16(), x.to_u32(), x.to_u64(), x.to_usize()));
        prop_assert_eq!((a.to_i32(), a.to_i64()), (x.to_i32(), x.to_i64()));
        prop_assert_eq!((a.to_u64_wrapping(), a.to_i64_wrapping(), a.to_u128_wrapping()), (x.to_u64_wrapping(), x.to_i64_wrapping(), x.to_u128_wrapping()));
    }

    #[test]
    fn numbers_of_the_language_are_those_of_gmp(wide in any::<i128>(), size in any::<u128>(), narrow in any::<i8>()) {
        prop_assert_eq!(gmp(&Integer::from(wide)), Gmp::from(wide));
        prop_assert_eq!(gmp(&Integer::from(size)), Gmp::from(size));
        prop_assert_eq!(gmp(&Integer::from(narrow)), Gmp::from(narrow));
        prop_assert_eq!(Integer::from(wide) < narrow, Gmp::from(wide) < narrow);
        prop_assert!(Integer::from(size) == size && Integer::from(size) >= 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn inverses_and_powers_are_those_of_gmp(a in numbers(3), e in numbers(2), m in numbers(3)) {
        let m = m.abs();
        prop_assume!(!m.is_zero());
        let (x, y, n) = (gmp(&a), gmp(&e), gmp(&m));
        // GMP leaves open what an inverse modulo 1 is.
        if m > 1 {
            prop_assert_eq!(a.invert_ref(&m).map(|i| gmp(&i)), x.invert_ref(&n).map(Gmp::from));
            prop_assert_eq!(a.pow_mod_ref(&e, &m).map(|p| gmp(&p)), x.pow_mod_ref(&y, &n).map(Gmp::from));
        }
        if !m.is_even() {
            prop_assert_eq!(a.jacobi(&m), x.jacobi(&n));
        }
        prop_assert_eq!(gmp(&m.sqrt_ref()), Gmp::from(n.sqrt_ref()));
        for k in [2, 3, 5] {
            let power = (0..k).fold(Integer::from(1), |power, _| power * &m);
            for near in [&power - 1u32, power.clone(), &power + 1u32] {
                prop_assert_eq!(near.is_perfect_square(), gmp(&near).is_perfect_square());
                prop_assert_eq!(near.is_perfect_power(), gmp(&near).is_perfect_power());
            }
        }
    }
}

#[test]
fn divisors_of_rare_corrections_are_right() {
    // Operands for which the digit estimate is one too large (D6), after Knuth's hint on test data,
    // and all short lists of the words for which D3 and D6 act.
    let check = |value: &[u64], modulus: &[u64]| {
        let number = |words: &[u64]| Gmp::from_digits(words, GmpOrder::Lsf);
        let (quotient, rest) = divide(value.to_vec(), modulus);
        let expected = number(value).div_rem(number(modulus));
        assert_eq!((number(&quotient), number(&rest)), expected, "{value:x?} {modulus:x?}");
        assert_eq!((rest.len(), remainder(value.to_vec(), modulus)), (modulus.len(), rest));
    };
    check(&[0, 0, 1 << 63, (1 << 63) - 1], &[1, 0, 1 << 63]);
    let words = [0, 1, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
    let lists = |length: u32| (0..6usize.pow(length)).map(move |at| (0..length).map(|k| words[at / 6usize.pow(k) % 6]).collect::<Vec<_>>());
    for modulus in (1..=3).flat_map(lists).filter(|modulus| modulus.last() != Some(&0)) {
        (1..=4).flat_map(lists).for_each(|value| check(&value, &modulus));
    }
}

#[test]
fn primes_are_those_of_gmp() {
    for value in -5i32..3000 {
        assert_eq!(Integer::from(value).is_prime(8), value > 1 && Gmp::from(value).is_probably_prime(25) != IsPrime::No, "{value}");
    }
    // A strong pseudoprime to the first twelve prime bases, Carmichael numbers, powers of two with one
    // more and one less.
    let pseudoprime = Integer::from(318_665_857_834_031_151_167_461u128);
    let powers = (2..200).flat_map(|bits| [-1i32, 1].map(|step| (Integer::from(1) << bits) + step));
    for value in [561u32, 41_041, 825_265].map(Integer::from).into_iter().chain([pseudoprime]).chain(powers) {
        assert_eq!(value.is_prime(8), gmp(&value).is_probably_prime(25) != IsPrime::No, "{value}");
    }
    for limit in [0, 1, 2, 3, 100, 1000] {
        assert_eq!(gmp(&Integer::primorial(limit)), Gmp::from(Gmp::primorial(limit)), "{limit}");
    }
    assert_eq!(gmp(&(Integer::from(3) << 234).next_prime()), (Gmp::from(3) << 234u32).next_prime());
}

#[test]
fn texts_that_are_no_integers_are_refused() {
    for text in ["", "-", "12a", "--1", " 1", "g"] {
        assert!(Integer::from_str_radix(text, 10).is_err(), "{text:?}");
    }
}
