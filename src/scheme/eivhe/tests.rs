//! Encryption, decryption and operations on small and on extreme cases.

use super::*;
use crate::randomness::{Purpose, Tape};

/// Messages at the edges, then random ones.
fn messages(parameters: &Parameters, count: usize, signed: bool, tape: &Tape) -> Vec<i64> {
    let mut stream = tape.stream(Purpose::Sample, 0);
    let bound = parameters.message_bound as i64;
    (0..count * parameters.dimension)
        .map(|at| match at / parameters.dimension {
            0 => bound,
            1 => 0,
            2 => -bound * i64::from(signed),
            _ => stream.word_below(bound as u64 + 1) as i64 * if signed && stream.word() & 1 == 1 { -1 } else { 1 },
        })
        .collect()
}

fn sets() -> Vec<Parameters> {
    let mut sets: Vec<Parameters> = Published::ALL.iter().flat_map(|p| [p.parameters(10, 1, 255), p.parameters(7, 10, 4095)]).collect();
    sets.push(Parameters::lwe(5, 255, 1 << 20).unwrap());
    sets.push(Parameters { key_columns: 3, ..Parameters::lwe(40, 1000, 1 << 30).unwrap() });
    sets
}

#[test]
fn what_was_encrypted_decrypts() {
    let tape = Tape::replayable(1);
    for (number, parameters) in sets().into_iter().enumerate() {
        let secret = Secret::generate(parameters, &tape, number as u64).unwrap();
        let public = PublicMatrix::generate(&secret, &tape, None).unwrap();
        let messages = messages(&parameters, 40, true, &tape);
        let fixed = public.encrypt(&messages).unwrap();
        let fresh = Encryptor::new(&secret).unwrap().encrypt(&messages, &tape, 0).unwrap();
        for (encryption, ciphertexts) in [(Encryption::Fixed, &fixed), (Encryption::Fresh, &fresh)] {
            assert_eq!(secret.decrypt(ciphertexts).unwrap(), messages, "{parameters:?} {encryption:?}");
            let range = parameters.encrypted(encryption).unwrap();
            for ciphertext in ciphertexts.chunks(parameters.width()) {
                let most = |entries: &[i64]| entries.iter().map(|c| u128::from(c.unsigned_abs())).max().unwrap();
                assert!(most(&ciphertext[..parameters.dimension]) <= range.upper && most(&ciphertext[parameters.dimension..]) <= range.lower);
            }
            let phases = secret.phase(ciphertexts).unwrap();
            let noise = phases.iter().zip(&messages).map(|(p, x)| u128::from((p - (x << parameters.scale_bits)).unsigned_abs())).max().unwrap();
            assert!(noise > 0 && noise <= range.noise, "{noise} {range:?}");
        }
        // Deterministic and not: the reason why a fixed matrix is unsound modulo q, too.
        assert_eq!(public.encrypt(&messages).unwrap(), fixed);
        assert_ne!(Encryptor::new(&secret).unwrap().encrypt(&messages, &tape, 1000).unwrap(), fresh);
        // Modulo q another key finds other messages. Over the integers any key finds these: T A c* is far below w, so the first m entries of c show x to everybody.
        let other = Secret::generate(parameters, &tape, 99).unwrap().decrypt(&fixed).unwrap();
        assert_eq!(other == messages, parameters.modulus_bits.is_none(), "{parameters:?}");
    }
}

#[test]
fn the_fixed_matrix_gives_the_product_with_the_bits() {
    let tape = Tape::replayable(2);
    for parameters in sets() {
        let secret = Secret::generate(parameters, &tape, 0).unwrap();
        let digits = parameters.message_bits() as usize + 3;
        let public = PublicMatrix::generate(&secret, &tape, Some(digits)).unwrap();
        let messages = messages(&parameters, 6, true, &tape);
        let (m, width, columns) = (parameters.dimension, parameters.width(), public.columns());
        let expected: Vec<i64> = messages
            .chunks(m)
            .flat_map(|message| {
                (0..width)
                    .map(|row| {
                        // M column by column, S* included.
                        let mut sum = 0i128;
                        for (i, x) in message.iter().enumerate() {
                            for bit in 0..parameters.message_bits() as usize {
                                let digit = i128::from(x.signum()) * i128::from(x.unsigned_abs() >> bit & 1);
                                let at = i * digits + bit;
                                let entry = if row < m { public.upper()[row * columns + at] } else { public.lower()[(row - m) * columns + at] };
                                let power = if i == row { 1i128 << (parameters.scale_bits as usize + bit) } else { 0 };
                                sum += digit * (i128::from(entry) + power);
                            }
                        }
                        parameters.reduce(sum as i64)
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(public.encrypt(&messages).unwrap(), expected);
        // Planted: one entry of the matrix off by one shows.
        let mut wrong = public.clone();
        wrong = PublicMatrix::from_parts(
            &secret,
            wrong.lower().iter().enumerate().map(|(i, a)| a + i64::from(i == 0)).collect(),
            &vec![0; m * columns],
            Some(digits),
        )
        .unwrap();
        assert_ne!(wrong.encrypt(&messages).unwrap(), expected);
    }
}

#[test]
fn at_the_noise_bound_extremes_decrypt_and_one_step_past_it_they_do_not() {
    // All of E at its largest entry, all digits set: the worst case itself. 784 bits of magnitude 1, entries of E up to 334: 261,856 is below 2^18, up to 335: above it.
    let tape = Tape::replayable(3);
    let at = |bound: u32| Parameters { scale_bits: 19, noise: Draw::Below(bound), ..Published::Payor.parameters(784, 2, 1) };
    let worst = |parameters: Parameters, checked: Parameters| {
        let secret = Secret::generate(checked, &tape, 0).unwrap();
        let largest = i64::try_from(parameters.noise.most()).unwrap();
        let public = PublicMatrix::from_parts(&secret, vec![999; 2 * 784], &vec![largest; 784 * 784], None).unwrap();
        let messages: Vec<i64> = [[1; 784], [-1; 784]].concat();
        (secret.decrypt(&public.encrypt(&messages).unwrap()).unwrap() == messages, parameters.check().is_ok())
    };
    assert_eq!(worst(at(335), at(335)), (true, true));
    // One past it is refused, and rightly: smuggled past the check, the worst case decrypts wrongly.
    assert_eq!(worst(at(336), at(335)), (false, false));
}

#[test]
fn absolute_values_are_those_of_the_whole_matrix() {
    let tape = Tape::replayable(4);
    for parameters in [Published::Payor.parameters(6, 3, 255), Parameters { scale_bits: 22, ..Published::Secureldata.parameters(4, 50, 3) }] {
        let secret = Secret::generate(parameters, &tape, 0).unwrap();
        let public = PublicMatrix::generate(&secret, &tape, None).unwrap();
        let absolute = public.absolute();
        let digits = public.columns() / parameters.dimension;
        for (at, (&before, &after)) in public.upper().iter().zip(absolute.upper()).enumerate() {
            let (row, column) = (at / public.columns(), at % public.columns());
            let power = if column / digits == row { 1i64 << (parameters.scale_bits as usize + column % digits) } else { 0 };
            assert_eq!(after + power, (before + power).abs());
        }
        assert!(absolute != public && absolute.lower() == public.lower());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let tape = Tape::replayable(5);
    let parameters = Published::Payor.parameters(4, 2, 255);
    let secret = Secret::generate(parameters, &tape, 0).unwrap();
    let public = PublicMatrix::generate(&secret, &tape, None).unwrap();
    for messages in [vec![0; 5], vec![256, 0, 0, 0], vec![0, 0, 0, i64::MIN]] {
        assert!(public.encrypt(&messages).is_err() && Encryptor::new(&secret).unwrap().encrypt(&messages, &tape, 0).is_err());
    }
    assert!(public.encrypt(&[]).unwrap().is_empty() && secret.decrypt(&[]).unwrap().is_empty());
    assert!(secret.decrypt(&[0; 7]).is_err());
    assert!(PublicMatrix::generate(&secret, &tape, Some(7)).is_err());
    assert!(Secret::from_rows(parameters, &[0; 7]).is_err());
    assert!(Secret::generate(Parameters { scale_bits: 8, ..parameters }, &tape, 0).is_err());
    assert_eq!(*Secret::from_rows(parameters, &secret.rows()).unwrap().rows(), *secret.rows());
}
