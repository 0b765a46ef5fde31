//! Good keys, hostile keys, bad DJN bases, faults in decryption.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::super::files::parse_integer;
use super::super::files::{read_public_key, read_secret_key};
use super::super::key::Half;
use super::super::{Ciphertexts, Decryptor, PublicKey, SecretKey};
use super::{flipped, hex, key, list, load, on_every_backend, takes, text};
use crate::backend::{Backend, BackendId, Device, Exponents, Lookup, Resident, Residues, Secrecy, SquareResidues};
use crate::error::{Error, Result};
use crate::integer::{Integer, is_prime};
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::Program;

fn read_text(content: &[u8]) -> Result<SecretKey> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.json");
    std::fs::write(&path, content).unwrap();
    read_secret_key(&path, true)
}

#[test]
fn the_test_keys_load_from_python_paillier_files() {
    for entry in list(&load("keys.json"), "keys") {
        let name = text(entry, "name");
        let read = read_text(entry["jwk_private"].to_string().as_bytes()).unwrap();
        assert_eq!([read.primes()[0], read.primes()[1]], [&hex(&entry["p"]), &hex(&entry["q"])], "{name}");
        let with_base = key(name);
        let djn = &entry["djn"];
        let (n, x) = (read.public().n(), hex(&djn["x"]));
        assert_eq!(n - Integer::from(x.square_ref()) % n, hex(&djn["h"]));
        assert_eq!(with_base.public().djn_base().unwrap(), &hex(&djn["h"]).pow_mod(n, read.public().n_squared()).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("public.json");
        std::fs::write(&path, entry["jwk_private"]["pub"].to_string()).unwrap();
        assert_eq!(read_public_key(&path, true).unwrap(), *read.public());
        assert_eq!(read_public_key(&path, false).is_ok(), read.public().bits() >= 2048, "{name}");
    }
}

/// One line, and no run of digits of a secret.
fn assert_discreet(error: &Error, content: &Value) {
    let message = error.to_string();
    assert!(!message.contains('\n') && message.len() < 400, "{message}");
    for name in ["p", "q"] {
        if let Some(secret) = content[name].as_str().filter(|s| s.len() >= 8) {
            assert!(!message.contains(&secret[..8]), "{message}");
        }
    }
}

#[test]
fn keys_that_break_a_rule_are_refused_for_it() {
    let vectors = load("invalid_keys.json");
    // What the message must say; where nothing is said, the key is a toy and nothing worse.
    let reasons = [
        "perfect power",
        "n is not p q",
        "n is not p q",
        "trivial",
        "even",
        "not prime",
        "n is not p q",
        "key size is 2341 bits",
        "factors have 500 and 510 bits",
        "|p - q|",
        "|p - q|",
        "bits",
        "prime factor below",
        "",
        "key size is 1023 bits",
        "bits",
        "key size is 1025 bits",
    ];
    let cases = list(&vectors, "semantic");
    assert_eq!(cases.len(), reasons.len());
    // Arnault's composite would be refused for itself, too.
    assert!(!is_prime(&parse_integer(text(&cases[7]["jwk_private"], "p")).unwrap()));
    for (case, reason) in cases.iter().zip(reasons) {
        let (comment, content) = (text(case, "comment"), &case["jwk_private"]);
        match read_text(content.to_string().as_bytes()) {
            Ok(key) => assert!(reason.is_empty() && key.public().bits() == 512, "accepted: {comment}"),
            Err(error) => {
                println!("{comment}: {error}");
                assert_discreet(&error, content);
                assert!(!reason.is_empty() && error.to_string().contains(reason), "{comment}: {error}");
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        std::fs::write(&path, content.to_string()).unwrap();
        assert!(read_secret_key(&path, false).is_err(), "{comment}");
        // Who sees the public part only finds what it shows.
        std::fs::write(&path, content["pub"].to_string()).unwrap();
        let public = read_public_key(&path, true);
        let found = case["public_part_detectable"] == true && !reason.is_empty();
        assert!(!found || public.is_err(), "public part accepted: {comment}");
    }
}

#[test]
fn keys_of_another_form_are_refused() {
    let vectors = load("invalid_keys.json");
    for case in list(&vectors, "structural") {
        let (comment, mut content) = (text(case, "comment"), case["jwk_private"].clone());
        if comment == "n of 1 MiB" {
            content["pub"]["n"] = Value::String("_".repeat(1 << 20));
        }
        let error = read_text(content.to_string().as_bytes()).expect_err(comment);
        println!("{comment}: {error}");
        assert!(matches!(error, Error::File { .. }), "{comment}: {error}");
        assert_discreet(&error, &content);
    }
    for case in list(&vectors, "raw_text") {
        let comment = text(case, "comment");
        let content = if comment == "deeply nested" { "[".repeat(100_000) } else { text(case, "text").to_owned() };
        let error = read_text(content.as_bytes()).expect_err(comment);
        println!("{comment}: {error}");
        assert!(matches!(error, Error::File { .. }), "{comment}: {error}");
        assert_discreet(&error, &Value::Null);
    }
    // Nesting that fits the size limit, a list for an object, two objects, a lone surrogate, text that is no UTF-8.
    let good = key("1024");
    let file = list(&load("keys.json"), "keys").iter().find(|k| k["name"] == "1024").unwrap()["jwk_private"].to_string();
    assert_eq!(read_text(file.as_bytes()).unwrap().public(), PublicKey::new(good.public().n().clone(), None, true).as_ref().unwrap());
    for content in [
        "[".repeat(60_000).into_bytes(),
        "{\"p\":".repeat(10_000).into_bytes(),
        file.replacen('{', "[", 1).into_bytes(),
        [file.as_bytes(), file.as_bytes()].concat(),
        file.replace("\"kid\":\"paillier", "\"kid\":\"\\ud800").into_bytes(),
        [&file.as_bytes()[..file.len() - 3], b"\xff\"}"].concat(),
        vec![0; 65_536],
        vec![b' '; 65_536],
    ] {
        assert!(matches!(read_text(&content), Err(Error::File { .. })));
    }
    assert!(read_secret_key(Path::new("/dev/zero"), true).is_err());
}

#[test]
fn bad_djn_bases_are_refused() {
    for group in list(&load("djn_bad_hs.json"), "groups") {
        let good = key(text(group, "key"));
        let [p, q] = good.primes();
        let n = good.public().n();
        assert_eq!(good.public().djn_base(), Some(&hex(&group["good_hs"])));
        for case in list(group, "cases") {
            let (comment, hs) = (text(case, "comment"), hex(&case["hs"]));
            let public = PublicKey::new(n.clone(), Some(hs.clone()), true);
            assert_eq!(public.is_err(), case["public_part_detectable"] == true, "{comment}: {public:?}");
            let owner = SecretKey::new(p.clone(), q.clone(), [None, None], Some(hs), true).expect_err(comment);
            println!("{comment}: {owner}");
            assert!(matches!(owner, Error::InvalidKey { .. }));
        }
    }
}

#[test]
fn a_djn_base_with_q_1_mod_4_is_refused() {
    let vectors = load("djn_q1mod4_leak.json");
    let [p, q, n, h] = ["p", "q", "n", "h"].map(|name| hex(&vectors[name]));
    let n_squared = Integer::from(n.square_ref());
    let hs = h.pow_mod(&n, &n_squared).unwrap();
    assert!(PublicKey::new(n.clone(), Some(hs.clone()), true).unwrap_err().to_string().contains("Jacobi symbol -1"));
    // A square has Jacobi symbol 1, so only the owner can refuse it.
    let square = hs.square() % &n_squared;
    assert!(PublicKey::new(n, Some(square.clone()), true).is_ok());
    let load = |hs| SecretKey::new(p.clone(), q.clone(), [None, None], hs, true);
    assert!(load(Some(square)).unwrap_err().to_string().contains("3 (mod 4)"));
    assert!(load(None).is_ok(), "without a base the key is fine");
}

/// Changes what goes into, or comes out of, powers modulo one modulus.
#[derive(Clone)]
struct Faulty {
    victim: Integer,
    on_upload: Arc<dyn Fn(Integer) -> Integer + Send + Sync>,
    on_download: Arc<dyn Fn(Integer) -> Integer + Send + Sync>,
}

struct FaultyBackend<'a>(&'a dyn Backend, Faulty);
struct FaultyResidues(Arc<dyn SquareResidues>, Faulty);

impl Backend for FaultyBackend<'_> {
    fn id(&self) -> BackendId {
        self.0.id()
    }
    fn device(&self) -> Device {
        self.0.device()
    }
    fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
        Ok(Arc::new(FaultyResidues(self.0.prepare(moduli)?, self.1.clone())))
    }
}

impl FaultyResidues {
    /// Changes the values of the modulus that is hit.
    fn change(&self, values: &[Limbs], change: &(dyn Fn(Integer) -> Integer + Send + Sync)) -> Result<Vec<Limbs>> {
        let changed = values.iter().zip(self.moduli()).map(|(values, modulus)| {
            if *modulus.value() != self.1.victim {
                return Ok(values.clone());
            }
            let changed: Vec<Integer> = values.to_integers().into_iter().map(|v| change(v).modulo(modulus.value())).collect();
            Limbs::from_integers(&changed, values.width())
        });
        changed.collect()
    }
}

impl SquareResidues for FaultyResidues {}

impl Residues for FaultyResidues {
    fn moduli(&self) -> &[Modulus] {
        self.0.moduli()
    }
    fn upload_each(&self, values: &[Limbs]) -> Result<Resident> {
        self.0.upload_each(&self.change(values, self.1.on_upload.as_ref())?)
    }
    fn run(&self, program: &Program, inputs: &Resident, lookup: Option<Lookup<'_>>) -> Result<Resident> {
        self.0.run(program, inputs, lookup)
    }
    fn pow(&self, bases: &Resident, exponents: Exponents<'_>, secrecy: Secrecy) -> Result<Resident> {
        self.0.pow(bases, exponents, secrecy)
    }
    fn invert(&self, values: &Resident) -> Result<Resident> {
        self.0.invert(values)
    }
    fn gather(&self, sources: &[&Resident], picks: &[(usize, usize)]) -> Result<Resident> {
        self.0.gather(sources, picks)
    }
    fn download_each(&self, values: &Resident) -> Result<Vec<Limbs>> {
        self.change(&self.0.download_each(values)?, self.1.on_download.as_ref())
    }
}

/// Decrypts one ciphertext with a fault modulo p^2.
fn decrypt_with_fault(
    backend: &dyn Backend,
    secret: &SecretKey,
    c: &Integer,
    verify: bool,
    on_upload: impl Fn(Integer) -> Integer + Send + Sync + 'static,
    on_download: impl Fn(Integer) -> Integer + Send + Sync + 'static,
) -> Result<Integer> {
    let fault = Faulty { victim: secret.halves()[0].squared.clone(), on_upload: Arc::new(on_upload), on_download: Arc::new(on_download) };
    let ciphertexts = Ciphertexts::import_integers(secret.public(), std::slice::from_ref(c))?;
    Ok(Decryptor::new(&FaultyBackend(backend, fault), secret, verify)?.decrypt(&ciphertexts)?.remove(0))
}

#[test]
fn faults_in_one_half_are_caught_where_the_vectors_say() {
    for group in list(&load("crt_fault.json"), "groups") {
        let secret = key(text(group, "key"));
        let Half { prime, mu, .. } = secret.halves()[0];
        assert_eq!(*prime, hex(&group["p"]));
        let (c, m, n) = (hex(&group["c"]), hex(&group["m"]), secret.public().n().clone());
        let flip = |bit: u32| move |x: Integer| flipped(x, bit);
        // Adding delta p to the power adds 1 to the plaintext half, where delta is 1/mu.
        let one_more = mu.clone().invert(prime).unwrap() * prime;
        let power_bit = prime.significant_bits() + 37;
        // The vectors flip bit 40 of c before it is reduced.
        let input_step = if c.get_bit(40) { -(Integer::from(1) << 40u32) } else { Integer::from(1) << 40u32 };
        on_every_backend("crt_fault", |backend| {
            if !takes(backend, secret.public().bits()) {
                return Ok(0);
            }
            let with = |verify: bool, case: usize| {
                let (step, more) = (input_step.clone(), one_more.clone());
                match case {
                    0 => decrypt_with_fault(backend, &secret, &c, verify, |x| x, flip(power_bit)),
                    1 => decrypt_with_fault(backend, &secret, &c, verify, move |x| x + &step, |x| x),
                    _ => decrypt_with_fault(backend, &secret, &c, verify, |x| x, move |x| x + &more),
                }
            };
            assert_eq!(
                secret.public().residue(&decrypt_with_fault(backend, &secret, &c, true, |x| x, |x| x).unwrap()).unwrap(),
                m,
                "without a fault"
            );
            for (index, case) in list(group, "cases").iter().enumerate() {
                assert!(matches!(with(true, index), Err(Error::Decryption { index: 0, .. })), "verify must catch: {}", text(case, "where"));
                match with(false, index) {
                    Err(Error::Decryption { .. }) if case["caught_by_divisibility_check"] == true => {}
                    Ok(wrong) if case["caught_by_divisibility_check"] == false => {
                        let wrong = secret.public().residue(&wrong).unwrap();
                        assert_eq!(wrong, hex(&case["m_faulty"]), "{}", text(case, "where"));
                        assert_eq!(Integer::from(&wrong - &m).gcd(&n), hex(&case["gcd_attack_factor"]));
                    }
                    other => return Err(format!("{}: {other:?}", text(case, "where"))),
                }
            }
            Ok(2 * list(group, "cases").len())
        });
    }
}

#[test]
fn no_single_bit_fault_gets_a_wrong_plaintext_past_verification() {
    let secret = key("512");
    let gmp = crate::backend::open(BackendId::Gmp).unwrap();
    let vectors = load("paillier_core.json");
    let case = &list(&vectors["groups"][0], "encrypt")[14];
    let (c, m) = (hex(&case["c"]), hex(&case["m_signed"]));
    let flip = |bit: u32| move |x: Integer| flipped(x, bit);
    let (mut refused, mut refused_freely) = (0, 0);
    for bit in 0..512 {
        for verify in [true, false] {
            let results = [
                decrypt_with_fault(gmp.as_ref(), &secret, &c, verify, flip(bit), |x| x),
                decrypt_with_fault(gmp.as_ref(), &secret, &c, verify, |x| x, flip(bit)),
            ];
            for result in results {
                match result {
                    Err(Error::Decryption { .. }) => *(if verify { &mut refused } else { &mut refused_freely }) += 1,
                    Ok(plain) => assert!(!verify || plain == m, "bit {bit}"),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
    println!("of 1024 faults: verification refused {refused}, the free check alone {refused_freely}");
    assert!(refused >= 512);
}
