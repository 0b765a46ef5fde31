//! Modular arithmetic at hostile moduli, batch inversion, packing.

use serde_json::Value;

use super::super::{Encryptor, Packing};
use super::{Checked, hex, hexes, key, list, load, on_every_backend, plant, same, takes, text};
use crate::backend::{Backend, BackendId, Exponents, Residues, Secrecy};
use crate::error::Error;
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::Program;
use crate::randomness::Purpose;

fn upload(residues: &dyn Residues, values: &[Integer]) -> crate::backend::Resident {
    residues.upload(&Limbs::from_integers(values, residues.modulus().width()).unwrap()).unwrap()
}

fn modular_arithmetic(backend: &dyn Backend, vectors: &Value) -> Checked {
    let mut count = 0;
    for group in list(vectors, "groups") {
        let kind = text(group, "modulus_kind");
        // Larger plain moduli need teams wider than a software adapter's subgroups, and its workgroup memory takes minutes.
        if backend.id() == BackendId::Gpu && group["bits"].as_u64() > Some(4096) {
            continue;
        }
        let residues = backend.residues(vec![Modulus::new(hex(&group["modulus"])).unwrap()]).unwrap();
        let products = list(group, "mulmod");
        let (a, b) = (hexes(products, "a"), hexes(products, "b"));
        let factors: Vec<Integer> = a.iter().zip(&b).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
        let run = residues.run(&Program::single_product().unwrap(), &upload(residues.as_ref(), &factors), None).unwrap();
        count += same(kind, &hexes(products, "ab"), &residues.download(&run).unwrap().to_integers())?;

        let powers = list(group, "powm");
        let of = |name: &str| hexes(powers, name);
        for secrecy in [Secrecy::Public, Secrecy::Secret] {
            let run = residues.pow(&upload(residues.as_ref(), &of("base")), Exponents::Each(&of("exp")), secrecy).unwrap();
            count += same(kind, &of("res"), &residues.download(&run).unwrap().to_integers())?;
        }
    }
    Ok(count)
}

#[test]
fn products_and_powers_at_hostile_moduli() {
    let vectors = load("modarith_edges.json");
    on_every_backend("modarith_edges", |backend| modular_arithmetic(backend, &vectors));
    for group in list(&vectors, "groups") {
        assert!(Modulus::new(hex(&group["modulus"]) + 1u32).is_err(), "an even modulus");
    }
}

#[test]
fn a_planted_fault_in_products_and_powers_is_found() {
    for pointer in ["/groups/0/mulmod/9/ab", "/groups/9/powm/11/res", "/groups/59/powm/3/res"] {
        let mut vectors = load("modarith_edges.json");
        plant(&mut vectors, pointer);
        vectors["groups"].as_array_mut().unwrap().retain(|g| g["bits"] == 512 || g["modulus_kind"] == "random");
        let gmp = crate::backend::open(BackendId::Gmp).unwrap();
        assert!(modular_arithmetic(gmp.as_ref(), &vectors).is_err(), "{pointer}");
    }
}

#[test]
fn batch_inversion_names_the_value_without_an_inverse() {
    let vectors = load("batch_inversion.json");
    on_every_backend("batch_inversion", |backend| {
        let residues = backend.residues(vec![Modulus::new(hex(&vectors["modulus"])).unwrap()]).unwrap();
        let values = |v: &Value, name: &str| list(v, name).iter().map(hex).collect::<Vec<_>>();
        let inverses = |x: &[Integer]| residues.invert(&upload(residues.as_ref(), x)).and_then(|y| residues.download(&y)).map(|y| y.to_integers());
        let mut count = same("good batch", &values(&vectors["good"], "inv"), &inverses(&values(&vectors["good"], "x")).unwrap())?;
        for batch in list(&vectors, "bad") {
            let (x, bad) = (values(batch, "x"), list(batch, "bad_indices"));
            match inverses(&x) {
                Err(Error::NotInvertible { index, .. }) if Some(index as u64) == bad[0].as_u64() => count += 1,
                other => return Err(format!("{}: {other:?}", text(batch, "comment"))),
            }
            // The others, in a batch of their own, still come out right.
            let good: Vec<usize> = (0..x.len()).filter(|&i| !bad.iter().any(|b| b.as_u64() == Some(i as u64))).collect();
            let (x, inv) = good.iter().map(|&i| (x[i].clone(), hex(&list(batch, "inv")[i]))).unzip::<_, _, Vec<_>, Vec<_>>();
            count += same("the rest of a bad batch", &inv, &inverses(&x).unwrap())?;
        }
        Ok(count)
    });
}

#[test]
fn packed_plaintexts_are_those_of_the_vectors() {
    let vectors = load("packing.json");
    let mut count = 0;
    for group in list(&vectors, "groups") {
        let secret = key(text(group, "key"));
        let public = secret.public();
        let slot_bits = group["slot_bits"].as_u64().unwrap() as u32;
        let packing = match Packing::new(public.bits(), slot_bits, group["slots"].as_u64().map(|s| s as usize)) {
            Ok(packing) => packing,
            // Slots here hold i64 results of at most 62 bits.
            Err(error) => {
                assert!(slot_bits > 62, "{error}");
                continue;
            }
        };
        let numbers = |v: &Value| v.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect::<Vec<_>>();
        for case in list(group, "cases") {
            let (slots, expected) = (numbers(&case["slots"]), hex(&case["plaintext_signed"]));
            let packed = packing.pack(slots.iter().copied()).unwrap();
            assert_eq!(packed, expected, "{}", text(case, "comment"));
            assert_eq!(public.residue(&packed).unwrap(), hex(&case["plaintext_mod_n"]));
            assert_eq!(public.lift(hex(&case["plaintext_mod_n"])), packed);
            assert_eq!(packing.unpack(&packed, 0).unwrap(), slots);
            count += 4;
        }
        // A linear map on packed plaintexts is the map on every slot.
        let linear = &group["linear"];
        let mut sum = Integer::new();
        for (weight, x) in numbers(&linear["w"]).into_iter().zip(list(linear, "x")) {
            sum += packing.pack(numbers(x).into_iter()).unwrap() * weight;
        }
        assert_eq!(packing.unpack(&sum, 0).unwrap(), numbers(&linear["y"]));
        assert_eq!(public.residue(&sum).unwrap(), hex(&linear["plaintext_mod_n"]));
        on_every_backend("packing", |backend| {
            if !takes(backend, public.bits()) {
                return Ok(0);
            }
            let encryptor = Encryptor::standard(backend, public, Purpose::Encryption).unwrap();
            let c = encryptor.encrypt_given(std::slice::from_ref(&sum), vec![vec![hex(&linear["r"])]]).unwrap();
            same("ciphertext", &[hex(&linear["c"])], &c.values().to_integers())
        });
        // What spills over the top is reported; what spills into a neighbour cannot be, so the worst case is checked before.
        for case in list(group, "overflow") {
            let unpacked = packing.unpack(&hex(&case["plaintext_signed"]), 0);
            let below_the_top = text(case, "comment").starts_with("slot 0 overflows");
            assert_eq!(unpacked.is_ok(), below_the_top, "{}", text(case, "comment"));
            count += 1;
        }
        let half = 1i64 << (packing.slot_bits() - 1);
        assert!(packing.pack([half].into_iter()).is_err() && packing.check_result_bits(packing.slot_bits() + 1).is_err());
    }
    println!("packing: {count} values");
}
