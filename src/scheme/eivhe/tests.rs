//! Encryption, decryption and operations on small and on extreme cases.

use super::*;
use crate::plan::Weights;
use crate::randomness::{Purpose, Tape};
use crate::scheme::{Inputs, LinearInference, LinearMap};
use crate::stopwatch::Stopwatch;

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

/// W and b with rows at the edges.
fn linear_map(inputs: usize, max: u16) -> LinearMap {
    let weights = (0..10 * inputs).map(|at| match at / inputs {
        0 => 127,
        1 => -127,
        2 => 0,
        _ => (at as i32 * 37) % 255 - 127,
    });
    let bias = (0..10).map(|j| [0, 1 << 15, -(1 << 15), 7][j % 4]).collect();
    LinearMap::new(Weights::new(10, inputs, weights.collect()).unwrap(), bias, max).unwrap()
}

/// Results, query and answer of some images.
fn served(service: &mut Eivhe, values: &[u16], inputs: usize) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
    let inputs = Inputs::new(values, inputs).unwrap();
    let query = service.encode(&inputs).and_then(|p| service.encrypt(p)).unwrap();
    let loaded = service.upload(query.clone()).unwrap();
    let answer = service.evaluate(loaded).and_then(|e| service.download(e)).unwrap();
    let decrypted = service.decrypt(answer.clone()).unwrap();
    (service.decode(decrypted, inputs.images()).unwrap(), query, answer)
}

#[test]
fn inference_gives_the_integers_of_the_map() {
    let map = linear_map(20, 255);
    let mut stream = Tape::replayable(6).stream(Purpose::Sample, 0);
    let values: Vec<u16> = (0..20 * 30)
        .map(|i| {
            if i < 20 {
                255
            } else if i < 40 {
                0
            } else {
                stream.word_below(256) as u16
            }
        })
        .collect();
    let expected: Vec<i64> = values.chunks(20).flat_map(|x| map.apply(x)).collect();
    for setting in [Setting::Integers(Published::Payor), Setting::Lwe] {
        for route in Route::ALL {
            let mut service = Eivhe::new(map.clone(), setting, route, Tape::replayable(1)).unwrap();
            let (results, query, answer) = served(&mut service, &values, 20);
            assert_eq!(results, expected, "{setting} {route}");
            let words = service.parameters().width();
            assert_eq!(query.len(), 30 * words);
            assert_eq!(service.query_bytes(&query), 30 * service.ciphertext_bytes());
            assert!(service.answer_bytes(&answer) > 0 && service.key_bytes() > 0 || (setting, route) == (Setting::Lwe, Route::Direct));
            // Fresh randomness, or the same ciphertexts again.
            let again = served(&mut service, &values, 20);
            assert_eq!((again.0 == expected, again.1 == query), (true, setting.encryption() == Encryption::Fixed));
            // Planted: a wrong entry of the answer is seen.
            let mut wrong = answer;
            wrong[3] += 1 << (service.parameters().scale_bits + 1);
            assert_ne!(service.decrypt(wrong).unwrap(), expected);
            // Equal seeds, equal bits.
            let mut other = Eivhe::new(map.clone(), setting, route, Tape::replayable(1)).unwrap();
            assert_eq!(served(&mut other, &values, 20).1, query);
        }
    }
}

#[test]
fn settings_that_could_decrypt_wrongly_are_refused() {
    let new = |setting, inputs| Eivhe::new(linear_map(inputs, 255), setting, Route::Switch, Tape::replayable(1)).map(|_| ());
    // Trask's w = 2^25 does not bear 784 pixels times 8-bit weights; that of secureldata leaves no room for results in i64.
    let error = new(Setting::Integers(Published::Trask), 784).unwrap_err();
    assert!(matches!(error, crate::error::Error::Noise { .. }), "{error}");
    let error = new(Setting::Integers(Published::Secureldata), 784).unwrap_err();
    assert!(matches!(error, crate::error::Error::OutOfRange { .. }), "{error}");
    // Inner products modulo q are named as what they are: not there.
    let parameters = Parameters { key_columns: 2, ..Parameters::lwe(2, 3, 100).unwrap() };
    let secret = Secret::generate(parameters, &Tape::replayable(1), 0).unwrap();
    let range = parameters.check().unwrap();
    let product = InnerProduct::new(&secret, &secret, &[1; 8], [range; 2], None, None, &Tape::replayable(1), 0);
    assert!(matches!(product.map(|_| ()), Err(crate::error::Error::Unsupported { .. })));
}

#[test]
fn ciphertexts_beyond_the_range_of_a_switch_are_refused() {
    let tape = Tape::replayable(7);
    let parameters = Published::Payor.parameters(4, 2, 255);
    let from = Secret::generate(parameters, &tape, 0).unwrap();
    let to = Secret::generate(parameters, &tape, 1).unwrap();
    let identity: Vec<i64> = (0..16).map(|at| i64::from(at % 5 == 0)).collect();
    let range = parameters.check().unwrap();
    let switch = KeySwitch::linear(&from, &to, &identity, range, None, Some(1), &tape, 0).unwrap();
    let messages = [1, 2, 3, 4];
    let ciphertext = Encryptor::new(&from).unwrap().encrypt(&messages, &tape, 0).unwrap();
    assert_eq!(to.decrypt(&switch.apply(&ciphertext).unwrap()).unwrap(), messages);
    let mut wide = ciphertext;
    wide[5] = i64::MIN;
    assert!(matches!(switch.apply(&wide), Err(crate::error::Error::InvalidCiphertext { index: 0, .. })));
    assert!(switch.apply(&wide[1..]).is_err());
    let other = Secret::generate(Parameters { scale_bits: 41, ..parameters }, &tape, 2).unwrap();
    assert!(KeySwitch::linear(&from, &other, &identity, range, None, Some(1), &tape, 0).is_err());
    assert!(KeySwitch::linear(&from, &to, &identity[1..], range, None, Some(1), &tape, 0).is_err());
    assert!(KeySwitch::linear(&from, &to, &identity, range, None, Some(17), &tape, 0).is_err());
}

/// Images a second of each setting, on data as sparse as MNIST: a fifth of the pixels is not 0.
#[test]
#[ignore = "a minute: cargo test --lib eivhe::tests::rates -- --ignored --nocapture"]
fn rates() {
    let tape = Tape::replayable(8);
    let mut stream = tape.stream(Purpose::Sample, 0);
    let count = 2000;
    let messages: Vec<i64> = (0..784 * count).map(|_| if stream.word_below(5) == 0 { stream.word_below(255) as i64 + 1 } else { 0 }).collect();
    let time = |what: &str, work: &mut dyn FnMut()| {
        let watch = Stopwatch::start();
        work();
        let elapsed = watch.elapsed();
        let seconds = |ns: u64| ns as f64 / 1e9 * 70_000.0 / f64::from(count);
        println!("{what}: 70,000 images in {:.1} s by the clock, {:.1} s of processor time", seconds(elapsed.wall_ns), seconds(elapsed.cpu_ns));
    };
    let lwe = Parameters::lwe(784, 255, 1 << 21).unwrap();
    let stored = Parameters::lwe(784, 255, 255).unwrap();
    for (name, parameters) in [
        ("payor, k = 1", Published::Payor.parameters(784, 1, 255)),
        ("payor, k = 16", Published::Payor.parameters(784, 16, 255)),
        ("payor, k = 784", Published::Payor.parameters(784, 784, 255)),
        ("lwe, k = 2048", lwe),
        ("lwe, k = 1024", stored),
    ] {
        let secret = Secret::generate(parameters, &tape, 0).unwrap();
        let mut ciphertexts = Vec::new();
        // Modulo q a fixed matrix is no setting of its own.
        if parameters.modulus_bits.is_none() {
            let public = PublicMatrix::generate(&secret, &tape, None).unwrap();
            time(&format!("{name}, fixed"), &mut || ciphertexts = public.encrypt(&messages).unwrap());
        }
        time(&format!("{name}, fresh"), &mut || ciphertexts = Encryptor::new(&secret).unwrap().encrypt(&messages, &tape, 0).unwrap());
        time(&format!("{name}, decryption"), &mut || assert_eq!(secret.decrypt(&ciphertexts).unwrap(), messages));
    }
    let values: Vec<u16> = messages.iter().map(|&x| x as u16).collect();
    for (setting, route) in [
        (Setting::Integers(Published::Payor), Route::Switch),
        (Setting::Integers(Published::Payor), Route::Direct),
        (Setting::Lwe, Route::Switch),
        (Setting::Lwe, Route::Direct),
    ] {
        // Rows as light as those of a trained model.
        let weights = (0..7840).map(|at| (at * 37) % 41 - 20).collect();
        let map = LinearMap::new(Weights::new(10, 784, weights).unwrap(), vec![0; 10], 255).unwrap();
        let mut service = Eivhe::new(map, setting, route, Tape::replayable(1)).unwrap();
        let query = service.encode(&Inputs::new(&values, 784).unwrap()).and_then(|p| service.encrypt(p)).unwrap();
        time(&format!("10 x 784 product, {setting} {route}"), &mut || drop(service.evaluate(query.clone()).unwrap()));
    }
}
