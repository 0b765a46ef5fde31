//! Vectors of other projects, which are not copied into this one: read from the folder in `CIPHERLANE_VECTORS`, or from `../shared/vectors`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{Ciphertexts, Decryptor, Encryptor, SecretKey};
use super::{hex, list, on_every_backend, same, text};
use crate::integer::{Integer, is_prime};
use crate::plan::Program;
use crate::randomness::Purpose;

fn load(name: &str) -> Option<Value> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    let path = std::env::var_os("CIPHERLANE_VECTORS").map_or_else(beside, PathBuf::from).join(name);
    if !path.exists() {
        println!("skipped: {name} is neither in CIPHERLANE_VECTORS nor in ../shared/vectors");
        return None;
    }
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

#[test]
fn the_iso_key_loads_and_its_ciphertexts_match() {
    let Some(vectors) = load("iso_18033_6_paillier.json") else { return };
    let of = |name: &str| hex(&vectors[name]);
    // gcd(p-1, q-1) is 6 here, which only DJN must not have.
    let secret = SecretKey::new(of("p"), of("q"), [None, None], None, false).unwrap();
    let public = secret.public();
    assert_eq!((public.n(), public.n_squared()), (&of("n"), &of("n_squared")));
    on_every_backend("iso_18033_6", |backend| {
        let encryptor = Encryptor::standard(backend, public, Purpose::Encryption).unwrap();
        let c = encryptor.encrypt_given(&[of("m1"), of("m2")], vec![vec![of("r1")], vec![of("r2")]]).unwrap();
        let mut count = same("c1, c2", &[of("c1"), of("c2")], &c.values().to_integers())?;
        let residues = backend.residues(vec![public.modulus().unwrap()]).unwrap();
        let factors = Ciphertexts::import_integers(public, &[of("c1"), of("c2")]).unwrap();
        let product = residues
            .download(&residues.run(&Program::single_product().unwrap(), &residues.upload(factors.values()).unwrap(), None).unwrap())
            .unwrap();
        count += same("c1c2", &[of("c1c2")], &product.to_integers())?;
        let all = Ciphertexts::import_integers(public, &[of("c1"), of("c2"), of("c1c2")]).unwrap();
        let plain = Decryptor::new(backend, &secret, false).unwrap().decrypt(&all).unwrap();
        count += same("m", &[of("m1"), of("m2"), of("m1_plus_m2")], &plain)?;
        Ok(count)
    });
}

#[test]
fn primality_agrees_with_wycheproof() {
    let Some(vectors) = load("wycheproof_primality_test.json") else { return };
    let mut counts = [0, 0, 0];
    for case in list(&vectors["testGroups"][0], "tests") {
        // Two's complement, big-endian.
        let digits = text(case, "value");
        let mut value = Integer::from_str_radix(if digits.is_empty() { "0" } else { digits }, 16).unwrap();
        if digits.as_bytes().first().is_some_and(|&d| d >= b'8') {
            value -= Integer::from(1) << (4 * digits.len() as u32);
        }
        let (kind, expected) = match text(case, "result") {
            "valid" => (0, true),
            "invalid" => (1, false),
            // Negatives of primes: a matter of taste, and ours is no.
            _ => (2, false),
        };
        assert_eq!(is_prime(&value), expected, "test {}: {}", case["tcId"], text(case, "comment"));
        counts[kind] += 1;
    }
    assert_eq!(counts, [66, 243, 8]);
    println!("wycheproof: {} primes accepted, {} composites and {} negatives refused", counts[0], counts[1], counts[2]);
}
