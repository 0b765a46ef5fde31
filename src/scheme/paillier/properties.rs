//! What must hold for every key and every message, and what an attacker must not be able to do.

use std::collections::BTreeSet;

use super::*;
use crate::backend::{self, BackendId};
use crate::control::Control;
use crate::error::Error;
use crate::integer::{Integer, is_prime};
use crate::modulus::Modulus;
use crate::plan::Weights;
use crate::randomness::Purpose;

fn toy(bits: u32, number: u64) -> SecretKey {
    SecretKey::generate(bits, false, true, &Tape::replayable(number), &Control::default()).unwrap()
}

fn gmp() -> Box<dyn Backend> {
    backend::open(BackendId::Gmp).unwrap()
}

#[test]
fn owner_randomisers_are_each_nth_residue_exactly_once() {
    // Safe and other primes with gcd(n, phi(n)) = 1; large prime factors of p - 1 and q - 1.
    for (p, q, large) in [(11, 47, [5, 23]), (19, 31, [3, 5]), (13, 17, [3, 2]), (23, 59, [11, 29]), (7, 83, [3, 41])] {
        let secret = SecretKey::unchecked(p, q, large).unwrap();
        let (n, n_squared) = (secret.public().n(), secret.public().n_squared());
        let units = (1..p * q).map(Integer::from).filter(|r| Integer::from(r.gcd_ref(n)) == 1);
        let residues: BTreeSet<Integer> = units.map(|r| r.pow_mod(n, n_squared).unwrap()).collect();
        let exponents: Vec<Vec<Integer>> = (0..p - 1).flat_map(|a| (0..q - 1).map(move |b| vec![Integer::from(a), Integer::from(b)])).collect();
        for id in BackendId::ALL {
            let Ok(backend) = backend::open(id) else { continue };
            let encryptor = Encryptor::owner(backend.as_ref(), &secret, Tables::default(), Purpose::Encryption).unwrap();
            for message in [0, 1, -5] {
                let message = Integer::from(message);
                let c = encryptor.encrypt_given(&vec![message.clone(); exponents.len()], exponents.clone()).unwrap().values().to_integers();
                // Without the message, the randomisers: as many as there are residues, all different, all residues.
                let g_to_minus_m = (Integer::from(1) - Integer::from(&message * n)).modulo(n_squared);
                let randomisers: BTreeSet<Integer> = c.into_iter().map(|c| c * &g_to_minus_m % n_squared).collect();
                assert_eq!(randomisers.len(), exponents.len(), "{id} {p} {q}");
                assert_eq!(randomisers, residues, "{id} {p} {q}");
            }
            assert!(encryptor.encrypt_given(&[Integer::new()], vec![vec![Integer::from(p - 1), Integer::new()]]).is_err(), "no exponent twice");
        }
    }
}

#[test]
fn owner_ciphertexts_show_both_jacobi_symbols_equally_and_djn_only_one() {
    let secret = toy(256, 1);
    let n = secret.public().n();
    let messages: Vec<Integer> = (0..2000).map(|i| Integer::from(i * 7919 - 1_000_000)).collect();
    for (encryption, least, most) in [(Encryption::Owner, 900, 1100), (Encryption::Standard, 900, 1100), (Encryption::Djn, 2000, 2000)] {
        let encryptor = Encryptor::new(gmp().as_ref(), encryption, &secret, Tables::default(), Purpose::Encryption).unwrap();
        let c = encryptor.encrypt(&messages, &Tape::replayable(4), 0).unwrap();
        // The tape is fixed, so the test cannot flicker; the bounds are 4.5 standard deviations.
        let plus = c.values().to_integers().into_iter().filter(|c| Integer::from(c % n).jacobi(n) == 1).count();
        assert!((least..=most).contains(&plus), "{encryption}: {plus} of 2000");
        assert_eq!(Decryptor::new(gmp().as_ref(), &secret, true).unwrap().decrypt(&c).unwrap(), messages);
    }
}

#[test]
fn no_two_encryptions_are_equal() {
    let secret = toy(256, 2);
    let zeros = vec![Integer::new(); 1000];
    let mut seen = BTreeSet::new();
    for encryption in Encryption::ALL {
        for (purpose, tape) in [(Purpose::Encryption, 1), (Purpose::Rerandomisation, 1), (Purpose::Encryption, 2)] {
            let encryptor = Encryptor::new(gmp().as_ref(), encryption, &secret, Tables::default(), purpose).unwrap();
            let c = encryptor.encrypt(&zeros, &Tape::replayable(tape), 0).unwrap();
            let again = encryptor.encrypt(&zeros, &Tape::replayable(tape), 1000).unwrap();
            assert!(encryptor.encrypt(&[], &Tape::replayable(tape), 0).unwrap().is_empty());
            seen.extend(c.values().to_integers().into_iter().chain(again.values().to_integers()));
        }
    }
    assert_eq!(seen.len(), 3 * 3 * 2000);
}

/// A prime p = 1 + 2 prod l over small odd primes, and those primes: discrete logarithms modulo p are easy.
fn smooth_prime() -> (Integer, Vec<u32>) {
    let mut stream = Tape::replayable(8).stream(Purpose::Sample, 0);
    let small: Vec<u32> = (3u32..1000).step_by(2).filter(|&l| is_prime(&Integer::from(l))).collect();
    loop {
        let mut factors: BTreeSet<u32> = BTreeSet::from([2]);
        let mut order = Integer::from(2);
        while order.significant_bits() < 120 {
            let l = small[stream.below(&Integer::from(small.len())).to_usize().unwrap()];
            if factors.insert(l) {
                order *= l;
            }
        }
        let p = order + 1u32;
        if p.significant_bits() == 128 && is_prime(&p) {
            return (p, factors.into_iter().collect());
        }
    }
}

/// Pohlig and Hellman: the x below p - 1 with g^x = y, for a generator g.
fn discrete_logarithm(g: &Integer, y: &Integer, p: &Integer, factors: &[u32]) -> Integer {
    let order = Integer::from(p - 1u32);
    let (mut x, mut modulus) = (Integer::new(), Integer::from(1));
    for &l in factors {
        let cofactor = Integer::from(&order / l);
        let (base, target) = (g.clone().pow_mod(&cofactor, p).unwrap(), y.clone().pow_mod(&cofactor, p).unwrap());
        let mut power = Integer::from(1);
        let digit = (0..l)
            .find(|_| {
                power == target || {
                    power = Integer::from(&power * &base) % p;
                    false
                }
            })
            .unwrap();
        // x + modulus t = digit (mod l).
        let t = ((Integer::from(digit) - &x) * Integer::from(modulus.invert_ref(&Integer::from(l)).unwrap())).modulo(&Integer::from(l));
        x += t * &modulus;
        modulus *= l;
    }
    x
}

#[test]
fn a_key_owner_reads_weights_from_raw_results_but_not_from_what_is_sent() {
    // The owner breaks the rules twice: p - 1 is smooth, and the randomisers are powers of one generator.
    let (p, factors) = smooth_prime();
    let q = (Tape::replayable(9).stream(Purpose::Sample, 0).bits(126) + (Integer::from(3) << 126u32)).next_prime();
    assert!(SecretKey::new(p.clone(), q.clone(), [None, None], None, true).unwrap_err().to_string().contains("smooth"));
    let public = SoundKey::trusted(PublicKey::new(Integer::from(&p * &q), None, true).unwrap());
    let (n, n_squared) = (public.n(), public.n_squared());
    let order = Integer::from(&p - 1u32);
    let generates = |g: &Integer| factors.iter().all(|&l| g.clone().pow_mod(&Integer::from(&order / l), &p).unwrap() != 1);
    let g = (2u32..).map(Integer::from).find(generates).unwrap();

    let weights = vec![3, -128, 0, 77, -1, 126, 0, 0, 0, 0, 0, 0];
    let map = LinearMap::new(Weights::new(2, 6, weights.clone()).unwrap(), vec![1000, 0], 255).unwrap();
    let packing = Packing::new(public.bits(), map.result_bits(), Some(1)).unwrap();
    let base = Integer::from(512);
    // r_j = g^(512^j) modulo p; what it is modulo q does not matter.
    let query: Vec<Integer> = (0..6u32)
        .map(|j| {
            let r = g.clone().pow_mod(&(Integer::from(1) << (9 * j)), &p).unwrap();
            (Integer::from(1) + Integer::from(n * (j + 1))) * r.pow_mod(n, n_squared).unwrap() % n_squared
        })
        .collect();
    let query = Ciphertexts::import_integers(&public, &query).unwrap();
    // Modulo p the message is gone: c = r^n. The n-th root is a power by 1/n modulo p - 1.
    let attack = |c: &Integer| -> Vec<i32> {
        let root = Integer::from(n.invert_ref(&order).unwrap());
        let r = Integer::from(c % &p).pow_mod(&root, &p).unwrap();
        let mut sum = discrete_logarithm(&g, &r, &p, &factors);
        if Integer::from(&sum * 2u32) > order {
            sum -= &order;
        }
        (0..6)
            .map(|_| {
                let digit = Integer::from(&sum + 256u32).modulo(&base) - 256u32;
                sum = Integer::from(&sum - &digit) / &base;
                digit.to_i32().unwrap()
            })
            .collect()
    };
    for id in BackendId::ALL {
        let Ok(backend) = backend::open(id) else { continue };
        let evaluator = Evaluator::new(backend.as_ref(), &public, &map, packing, None, randomiser(backend.as_ref(), &public)).unwrap();
        let raw = evaluator.multiply(&evaluator.upload(&query).unwrap()).unwrap();
        let results = evaluator.download(&raw).unwrap().values().to_integers();
        assert_eq!([attack(&results[0]), attack(&results[1])].concat(), weights, "the attack works on raw results");
        assert_eq!(results[1], 1, "a row of zeros is the transparent ciphertext");

        let tape = Tape::replayable(10);
        let sent: Vec<Vec<Integer>> =
            [0, 2].map(|first| evaluator.download(&evaluator.add_bias(&raw, &tape, first, None).unwrap()).unwrap().values().to_integers()).into();
        for c in sent.iter().flatten() {
            let read = attack(c);
            assert!(read != weights[..6] && read != weights[6..], "{read:?}");
        }
        // Equal requests leave as different bytes, and rows of zeros are neither 1 nor a bare 1 + b n.
        assert!(sent[0][0] != sent[1][0] && sent[0][1] != sent[1][1]);
        assert!(sent.iter().all(|results| results[1] != 1 && Integer::from(&results[1] % n) != 1));
    }
}

#[test]
fn ciphertexts_of_another_key_are_refused_everywhere() {
    let keys: Vec<SecretKey> = (0..15).map(|number| toy(256, 100 + number)).collect();
    let map = LinearMap::new(Weights::new(1, 1, vec![3]).unwrap(), vec![0], 255).unwrap();
    let backend = gmp();
    let mut refused = 0;
    for (i, own) in keys.iter().enumerate() {
        let encryptor = Encryptor::standard(backend.as_ref(), own.public(), Purpose::Encryption).unwrap();
        let c = encryptor.encrypt(&[Integer::from(5)], &Tape::replayable(1), 0).unwrap();
        for (j, other) in keys.iter().enumerate() {
            let decrypted = Decryptor::new(backend.as_ref(), other, false).unwrap().decrypt(&c);
            let packing = Packing::new(256, map.result_bits(), Some(1)).unwrap();
            let uploaded = Evaluator::new(backend.as_ref(), other.sound(), &map, packing, None, randomiser(backend.as_ref(), other.public()))
                .unwrap()
                .upload(&c)
                .map(|_| ());
            if i == j {
                assert_eq!(decrypted.unwrap(), [5]);
                assert!(uploaded.is_ok());
            } else {
                assert!(matches!(decrypted, Err(Error::WrongKey { .. })) && matches!(uploaded, Err(Error::WrongKey { .. })));
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 210);
}

#[test]
fn no_digit_of_a_secret_is_printed() {
    let secret = toy(256, 3);
    let printed = format!("{secret:?} {:#?} {:?} {:?}", secret, secret.public(), Modulus::square(secret.primes()[0].clone()).unwrap());
    for prime in secret.primes().into_iter().chain(secret.large_factors().into_iter().flatten()) {
        for radix in [10, 16] {
            let digits = prime.to_string_radix(radix);
            assert!(!printed.contains(&digits[..8]) && !printed.contains(&digits[digits.len() - 8..]), "{printed}");
        }
    }
    assert!(printed.contains("secret not shown"));
}

#[test]
fn generated_keys_have_the_promised_shape() {
    // Lengths whose halves are no whole words, too.
    let sizes = [256, 258, 300, 320, 384, 510, 512, 514, 640, 768];
    let toys = (0..30).map(|number| (sizes[number as usize % sizes.len()], number % 7 == 6, number));
    for (bits, safe, number) in toys.chain([(2048, false, 30)]) {
        let safe = safe && bits <= 384;
        let key = SecretKey::generate(bits, safe, bits < MINIMUM_BITS, &Tape::replayable(number), &Control::default()).unwrap();
        let [p, q] = key.primes();
        assert_eq!(key.public().bits(), bits);
        assert_eq!(*key.public().n(), Integer::from(p * q));
        for (prime, large) in [p, q].into_iter().zip(key.large_factors()) {
            assert!(is_prime(prime) && prime.significant_bits() == bits / 2 && prime.get_bit(bits / 2 - 2), "{bits}");
            assert_eq!(prime.mod_u(4), 3);
            let (cofactor, rest) = Integer::from(prime - 1u32).div_rem(large.unwrap().clone());
            assert!(rest == 0 && is_prime(large.unwrap()) && (!safe || cofactor == 2), "{bits}");
        }
        assert_eq!(Integer::from(p - 1u32).gcd(&Integer::from(q - 1u32)), 2);
        let base = key.public().djn_base().unwrap();
        assert_eq!(Integer::from(base % key.public().n()).jacobi(key.public().n()), 1);
        // A key just made encrypts and decrypts, every way.
        let messages = [0, 1, -1].map(Integer::from).to_vec();
        let edge = Integer::from(key.public().n() / 2u32);
        let messages = [messages, vec![edge.clone(), -edge]].concat();
        for encryption in Encryption::ALL {
            let c = Encryptor::new(gmp().as_ref(), encryption, &key, Tables { uses: 30, ..Tables::default() }, Purpose::Encryption)
                .unwrap()
                .encrypt(&messages, &Tape::replayable(1), 0)
                .unwrap();
            assert_eq!(Decryptor::new(gmp().as_ref(), &key, true).unwrap().decrypt(&c).unwrap(), messages, "{bits} {encryption}");
        }
    }
    let interrupted = SecretKey::generate(2048, true, false, &Tape::replayable(1), &Control::stopping_at(1));
    assert!(matches!(interrupted, Err(Error::Interrupted)));
    for bits in [0, 128, 255, 257, 8194, u32::MAX] {
        assert!(SecretKey::generate(bits, false, true, &Tape::replayable(1), &Control::default()).is_err(), "{bits}");
    }
}

#[test]
fn wrong_factors_of_p_minus_1_are_refused_on_load() {
    let key = toy(256, 5);
    let [p, q] = key.primes().map(Clone::clone);
    let [p_large, q_large] = key.large_factors().map(|l| l.unwrap().clone());
    let load = |a: &Integer, b: &Integer| SecretKey::new(p.clone(), q.clone(), [Some(a.clone()), Some(b.clone())], None, true);
    assert!(load(&p_large, &q_large).is_ok());
    let order = Integer::from(&p - 1u32);
    for bad in [
        q_large.clone(),
        p.clone(),
        order.clone(),
        order / 2u32,
        Integer::from(&p_large + 2u32),
        Integer::from(2),
        Integer::from(1),
        Integer::new(),
        -p_large,
    ] {
        assert!(matches!(load(&bad, &q_large), Err(Error::InvalidKey { .. })), "{bad}");
    }
}

#[test]
fn messages_of_half_of_n_and_more_are_refused() {
    let key = toy(256, 6);
    let n = key.public().n();
    let encryptor = Encryptor::standard(gmp().as_ref(), key.public(), Purpose::Encryption).unwrap();
    let half = Integer::from(n + 1u32) / 2u32;
    for bad in [half.clone(), -half, n.clone(), -n.clone(), n.clone().square(), Integer::from(1) << 10_000u32] {
        assert!(matches!(encryptor.encrypt(&[Integer::new(), bad], &Tape::replayable(1), 0), Err(Error::OutOfRange { .. })));
    }
}

#[test]
fn a_missing_result_is_an_error_and_not_a_zero() {
    let packing = Packing::new(256, 10, Some(4)).unwrap();
    let zeros = vec![Integer::new(); 6];
    assert_eq!(unpack_rows(packing, &zeros, 3, 5).unwrap(), vec![0; 15]);
    for (plaintexts, rows, images) in [(&zeros[..5], 3, 5), (&zeros[..], 3, 4), (&zeros[..], 3, 9), (&zeros[..], 0, 5), (&zeros[..0], 3, 1)] {
        assert!(matches!(unpack_rows(packing, plaintexts, rows, images), Err(Error::Size { .. })), "{rows} {images}");
    }
    assert!(unpack_rows(packing, &[], 0, 5).unwrap().is_empty());
}

#[test]
fn fingerprints_name_n_and_nothing_else() {
    let key = toy(256, 7);
    let bare = PublicKey::new(key.public().n().clone(), None, true).unwrap();
    assert_eq!(bare.fingerprint(), key.public().fingerprint());
    assert!(bare.fingerprint().len() == 64 && bare.fingerprint() != toy(256, 8).public().fingerprint());
}

fn randomiser(backend: &dyn Backend, public: &PublicKey) -> Encryptor {
    Encryptor::standard(backend, public, Purpose::Rerandomisation).unwrap()
}

/// The exact distribution of rho = prod b_k^(d_k) over all digits, for random bases in the whole group of n-th residues of a toy modulus: with exponents that exceed
/// the group by 16 bits its statistical distance from uniform is small, and it is large for exponents that do not fill the group or for one base alone.
#[test]
fn own_bases_reach_the_whole_group_evenly() {
    // gcd(n, phi(n)) = 1; the group has rank 2 at 2 and at 3.
    let n = Integer::from(19 * 31);
    let n_squared = Integer::from(n.square_ref());
    let order = 18 * 30;
    let distance = |bases: usize, seed: u64| -> f64 {
        let mut stream = Tape::replayable(seed).stream(Purpose::Sample, 0);
        // One bit per base, as many bases as bits: the distribution after k bases follows from that after k - 1.
        let mut share = std::collections::HashMap::from([(Integer::from(1), 1.0f64)]);
        for _ in 0..bases {
            let base = stream.unit(&n).pow_mod(&n, &n_squared).unwrap();
            let mut next = std::collections::HashMap::new();
            for (value, p) in share {
                *next.entry(Integer::from(&value * &base) % &n_squared).or_insert(0.0) += p / 2.0;
                *next.entry(value).or_insert(0.0) += p / 2.0;
            }
            share = next;
        }
        let uniform = 1.0 / f64::from(order);
        let reached: f64 = share.values().map(|p| (p - uniform).abs()).sum();
        (reached + uniform * f64::from(order - share.len() as i32)) / 2.0
    };
    // The group has 10 bits.
    assert!(distance(8, 1) > 0.5);
    let worst = (1..20).map(|seed| distance(10 + 32, seed)).fold(0.0, f64::max);
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn a_few_ciphertexts_are_those_of_many() {
    let secret = SecretKey::generate(512, false, true, &Tape::replayable(11), &Control::default()).unwrap();
    let tape = Tape::replayable(12);
    let messages: Vec<Integer> = (0..17).map(Integer::from).collect();
    for id in BackendId::ALL {
        let Ok(backend) = backend::open(id) else { continue };
        let tables = Tables { uses: 100, max_bytes: 1 << 20 };
        let own_bases = Encryptor::own_bases(backend.as_ref(), secret.sound(), tables, Purpose::Rerandomisation, &tape).unwrap();
        let owner = Encryptor::owner(backend.as_ref(), &secret, tables, Purpose::Encryption).unwrap();
        for encryptor in [own_bases, owner] {
            let all = encryptor.encrypt(&messages, &tape, 5).unwrap().values().to_integers();
            for count in [1, 2, 4, 5, 8, 9] {
                let few = encryptor.encrypt(&messages[3..3 + count], &tape, 8).unwrap();
                assert_eq!(few.values().to_integers(), all[3..3 + count], "{id} {count}");
            }
        }
    }
}

#[test]
fn results_from_own_bases_decrypt_and_show_both_jacobi_symbols() {
    let secret = SecretKey::generate(512, false, true, &Tape::replayable(11), &Control::default()).unwrap();
    let backend = gmp();
    let encryptor =
        Encryptor::own_bases(backend.as_ref(), secret.sound(), Tables::default(), Purpose::Rerandomisation, &Tape::replayable(12)).unwrap();
    let messages: Vec<Integer> = (-200..200).map(Integer::from).collect();
    let ciphertexts = encryptor.encrypt(&messages, &Tape::replayable(12), 0).unwrap();
    assert_eq!(Decryptor::new(backend.as_ref(), &secret, true).unwrap().decrypt(&ciphertexts).unwrap(), messages);
    let positive =
        ciphertexts.values().to_integers().iter().filter(|c| Integer::from(*c % secret.public().n()).jacobi(secret.public().n()) == 1).count();
    // 400 fair coins: within five standard deviations of 200.
    assert!((150..250).contains(&positive), "{positive}");
}
