//! Encryption with known randomness, homomorphic results, decryption, invalid ciphertexts, encrypted matrix-vector products.

use serde_json::Value;

use super::super::{Ciphertexts, Decryptor, Encryptor, Evaluator, Packing, SecretKey, Tables};
use super::{Checked, hex, hexes, key, list, load, on_every_backend, plant, same, takes, text};
use crate::backend::{self, Backend, BackendId, Exponents, Resident, Residues, Secrecy};
use crate::error::Error;
use crate::integer::Integer;
use crate::limbs::{Limbs, words_for_bits};
use crate::plan::matvec::Method;
use crate::plan::{Program, Weights};
use crate::randomness::{Purpose, Tape};
use crate::scheme::LinearMap;

/// Verbs of a residues on single values.
struct One<'a>(&'a dyn Residues);

impl One<'_> {
    fn up(&self, values: &[Integer]) -> Resident {
        self.0.upload(&Limbs::from_integers(values, self.0.modulus().width()).unwrap()).unwrap()
    }

    fn down(&self, value: &Resident) -> Integer {
        self.0.download(value).unwrap().integer(0)
    }

    fn product(&self, a: &Integer, b: &Integer) -> Integer {
        self.down(&self.0.run(&Program::single_product().unwrap(), &self.up(&[a.clone(), b.clone()]), None).unwrap())
    }

    fn inverse(&self, a: &Integer) -> Integer {
        self.down(&self.0.invert(&self.up(std::slice::from_ref(a))).unwrap())
    }

    fn power(&self, a: &Integer, exponent: &Integer) -> Integer {
        let magnitude = Integer::from(exponent.abs_ref());
        let power = self.down(&self.0.pow(&self.up(std::slice::from_ref(a)), Exponents::Shared(&magnitude), Secrecy::Public).unwrap());
        if exponent.is_negative() { self.inverse(&power) } else { power }
    }
}

fn encryptions(backend: &dyn Backend, secret: &SecretKey, group: &Value) -> Checked {
    let public = secret.public();
    let cases = list(group, "encrypt");
    let given = |cases: &[Value], name: &str| cases.iter().map(|c| vec![hex(&c[name])]).collect::<Vec<_>>();
    let standard = Encryptor::standard(backend, public, Purpose::Encryption).unwrap();
    let c = standard.encrypt_given(&hexes(cases, "m_signed"), given(cases, "r")).unwrap();
    let mut count = same("encrypt", &hexes(cases, "c"), &c.values().to_integers())?;
    for bad in list(group, "invalid_r") {
        if standard.encrypt_given(&[Integer::new()], vec![vec![hex(&bad["r"])]]).is_ok() {
            return Err(format!("r accepted: {}", text(bad, "comment")));
        }
        count += 1;
    }
    assert_eq!(Some(&hex(&group["djn_hs"])), public.djn_base());
    let cases = list(group, "djn");
    let longest = cases.iter().map(|c| c["alpha_bits"].as_u64().unwrap() as u32).max().unwrap();
    let djn = Encryptor::djn_of_length(backend, public, Tables { uses: 100, ..Tables::default() }, Purpose::Encryption, longest).unwrap();
    let messages: Vec<Integer> = hexes(cases, "m").into_iter().map(|m| public.lift(m)).collect();
    let c = djn.encrypt_given(&messages, given(cases, "alpha")).unwrap();
    count += same("djn", &hexes(cases, "c"), &c.values().to_integers())?;
    Ok(count)
}

fn homomorphic(backend: &dyn Backend, secret: &SecretKey, group: &Value) -> Checked {
    let public = secret.public();
    let (n, n_squared) = (public.n(), public.n_squared());
    let residues = backend.residues(vec![public.modulus().unwrap()]).unwrap();
    let one = One(residues.as_ref());
    let mut count = 0;
    for case in list(group, "homomorphic") {
        let (op, c1) = (text(case, "op"), hex(&case["c1"]));
        let c = match op {
            "add" => one.product(&c1, &hex(&case["c2"])),
            "sub" => one.product(&c1, &one.inverse(&hex(&case["c2"]))),
            "neg" => one.inverse(&c1),
            "add_plain" => one.product(&c1, &(Integer::from(1) + hex(&case["plain"]) * n).modulo(n_squared)),
            "mul_plain" => one.power(&c1, &hex(&case["plain"])),
            "rerandomise" => one.product(&c1, &one.power(&hex(&case["r"]), n)),
            other => return Err(format!("unknown operation {other}")),
        };
        count += same(op, &[hex(&case["c"])], &[c])?;
    }
    Ok(count)
}

fn decryptions(backend: &dyn Backend, secret: &SecretKey, group: &Value) -> Checked {
    let public = secret.public();
    let mut count = 0;
    let decryptor = Decryptor::new(backend, secret, public.bits() <= 1024).unwrap();
    for name in ["encrypt", "homomorphic", "djn", "edge_valid_ciphertexts"] {
        let cases = list(group, name);
        let ciphertexts = Ciphertexts::import_integers(public, &hexes(cases, "c")).map_err(|e| format!("{name}: {e}"))?;
        let expected: Vec<Integer> = hexes(cases, "m").into_iter().map(|m| public.lift(m)).collect();
        count += same(name, &expected, &decryptor.decrypt(&ciphertexts).unwrap())?;
    }
    for bad in list(group, "invalid_ciphertexts") {
        let (c, comment) = (hex(&bad["c"]), text(bad, "comment"));
        let class = match Ciphertexts::import_integers(public, &[Integer::from(2), c.clone(), Integer::from(4)]) {
            Err(Error::InvalidCiphertext { index: 1, reason }) if reason.starts_with("not in 1 to n^2 - 1") => "out_of_range",
            Err(Error::InvalidCiphertext { index: 1, reason }) if reason == "shares a factor with n" => "not_unit",
            other => return Err(format!("{comment}: {other:?}")),
        };
        if class != text(bad, "reason") {
            return Err(format!("{comment}: refused as {class}"));
        }
        // Past the import, decryption itself refuses what is no unit.
        if class == "not_unit" {
            let forced: Ciphertexts<super::super::Raw> =
                Ciphertexts::of(public, Limbs::from_integers([&c], words_for_bits(public.n_squared().significant_bits())).unwrap());
            if !matches!(decryptor.decrypt(&forced), Err(Error::Decryption { index: 0, .. })) {
                return Err(format!("{comment}: decrypted"));
            }
        }
        count += 1;
    }
    Ok(count)
}

fn core_group(backend: &dyn Backend, group: &Value) -> Checked {
    let secret = key(text(group, "key"));
    Ok(encryptions(backend, &secret, group)? + homomorphic(backend, &secret, group)? + decryptions(backend, &secret, group)?)
}

#[test]
fn encryption_homomorphic_results_and_decryption() {
    for name in ["paillier_core.json", "paillier_core_4096.json"] {
        let vectors = load(name);
        on_every_backend(name, |backend| {
            let groups = list(&vectors, "groups").iter();
            groups.filter(|group| takes(backend, hex(&group["n"]).significant_bits())).map(|group| core_group(backend, group)).sum()
        });
    }
}

#[test]
fn a_planted_fault_in_ciphertexts_is_found() {
    let gmp = backend::open(BackendId::Gmp).unwrap();
    for pointer in ["/encrypt/14/c", "/homomorphic/21/c", "/homomorphic/3/c", "/djn/15/c", "/djn/0/m", "/edge_valid_ciphertexts/4/m"] {
        let mut group = load("paillier_core.json")["groups"][0].take();
        plant(&mut group, pointer);
        assert!(core_group(gmp.as_ref(), &group).is_err(), "{pointer}");
    }
}

fn matrix_vector_product(backend: &dyn Backend, group: &Value, method: Method) -> Checked {
    let secret = key(text(group, "key"));
    let public = secret.public();
    let numbers = |v: &Value| v.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect::<Vec<_>>();
    let (rows, cols) = (group["rows"].as_u64().unwrap() as usize, group["cols"].as_u64().unwrap() as usize);
    let weights = list(group, "W").iter().flat_map(numbers).map(|w| w as i32).collect();
    let bias = numbers(&group["bias"]);
    let map = LinearMap::new(Weights::new(rows, cols, weights).unwrap(), bias.clone(), 255).unwrap();
    let packing = Packing::new(public.bits(), map.result_bits(), Some(1)).unwrap();
    let evaluator =
        Evaluator::new(backend, secret.sound(), &map, packing, Some(method), Encryptor::standard(backend, public, Purpose::Rerandomisation).unwrap())
            .unwrap();
    let values = |name: &str| list(group, name).iter().map(hex).collect::<Vec<_>>();
    let query = evaluator.upload(&Ciphertexts::import_integers(public, &values("c_in")).unwrap()).unwrap();
    let raw = evaluator.multiply(&query).unwrap();
    let with_bias: Vec<Integer> = evaluator
        .download(&raw)
        .unwrap()
        .values()
        .to_integers()
        .into_iter()
        .zip(&bias)
        .map(|(c, &b)| {
            let g_to_b = (Integer::from(1) + Integer::from(public.n() * b)).modulo(public.n_squared());
            c * g_to_b % public.n_squared()
        })
        .collect();
    let expected = values("c_out_unrandomised");
    let mut count = same("c_out", &expected, &with_bias)?;

    let sent = evaluator.download(&evaluator.add_bias(&raw, &Tape::replayable(1), 0, None).unwrap()).unwrap();
    if sent.values().to_integers().iter().any(|c| expected.contains(c)) {
        return Err("a result left without fresh randomness".into());
    }
    let plain = Decryptor::new(backend, &secret, false).unwrap().decrypt(&sent).unwrap();
    let y: Vec<Integer> = plain.iter().map(|m| Integer::from(packing.unpack(m, 0).unwrap()[0])).collect();
    count += same("y", &numbers(&group["y"]).into_iter().map(Integer::from).collect::<Vec<_>>(), &y)?;
    Ok(count)
}

#[test]
fn every_plan_gives_the_bits_of_the_matrix_vector_products() {
    let vectors = load("matvec.json");
    on_every_backend("matvec", |backend| {
        let groups = list(&vectors, "groups").iter().filter(|group| takes(backend, key(text(group, "key")).public().bits()));
        groups.flat_map(|group| Method::ALL.map(|method| matrix_vector_product(backend, group, method))).sum()
    });
    let gmp = backend::open(BackendId::Gmp).unwrap();
    let mut group = vectors["groups"][0].clone();
    plant(&mut group, "/c_out_unrandomised/9");
    assert!(matrix_vector_product(gmp.as_ref(), &group, Method::Buckets).is_err(), "a planted fault");
}
