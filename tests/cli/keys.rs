//! Keys from elsewhere, their proofs, and who may read what was written.

use std::fs;

use serde_json::{Value, json};

use cipherlane::integer::{Integer, Order};

use super::Place;

impl Place {
    /// A key file as JSON.
    fn key(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    fn write_key(&self, name: &str, key: &Value) {
        fs::write(self.path(name), key.to_string()).unwrap();
    }

    /// The secret key `k` as another program would write it: without base and factors of p - 1.
    fn foreign_secret(&self, name: &str) {
        let key = self.key("k.secret.json");
        let public = json!({ "kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": key["pub"]["n"], "kid": "another program's" });
        let secret = json!({ "kty": "DAJ", "key_ops": ["decrypt"], "p": key["p"], "q": key["q"], "pub": public, "kid": "another program's" });
        self.write_key(name, &secret);
        self.write_key("foreign.public.json", &public);
    }
}

fn base64url(value: &Integer) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |bytes: &[u8]| -> String {
        let bits = bytes.iter().enumerate().fold(0u32, |bits, (i, &byte)| bits | u32::from(byte) << (16 - 8 * i));
        (0..=bytes.len()).map(|i| char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize])).collect()
    };
    value.to_digits::<u8>(Order::Msf).chunks(3).map(group).collect()
}

/// n = p^2 q of 512 bits, which passes every cheap test and has gcd(n, phi(n)) = p.
fn coset_modulus() -> Integer {
    let p = ((Integer::from(1) << 128u32) + 12345u32).next_prime();
    let q = (Integer::from(3) << 254u32).next_prime();
    let n = Integer::from(p.square_ref()) * q;
    assert!(n.significant_bits().is_multiple_of(2), "{}", n.significant_bits());
    n
}

#[test]
fn who_computes_on_ciphertexts_asks_for_a_proof_of_the_key_or_for_trust() {
    let place = Place::new();
    place.pipeline();
    let expected = place.does("decrypt --toy --secret k.secret.json --answer a").out;
    let good = place.key("k.public.json");
    let evaluate = |key: &str| format!("evaluate --toy --public {key} --query q --out x");
    let peer = "0".repeat(64);
    let p1 = |key: &str| format!("smlp p1 --toy --public {key} --connect 127.0.0.1:1 --identity none --peer {peer} --data none --state s --out o");

    // No proof: an older version's key, another program's, and n = p^2 q, of which there is none.
    let mut bare = good.clone();
    bare.as_object_mut().unwrap().remove("nth_roots");
    place.write_key("bare.json", &bare);
    let coset = json!({ "kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": base64url(&coset_modulus()), "kid": "coset" });
    place.write_key("coset.json", &coset);
    for key in ["bare.json", "coset.json"] {
        let words = ["without a proof that gcd(n, phi(n)) = 1", "keygen --from", "--trust"];
        place.refuses(&evaluate(key), &words);
        place.refuses(&p1(key), &words);
    }
    // A wrong proof is refused, trust or not: roots swapped, changed, dropped, another key's.
    type Change<'a> = &'a dyn Fn(&mut Vec<Value>);
    let with_roots = |key: &Value, change: Change<'_>| {
        let mut key = key.clone();
        let mut roots = good["nth_roots"].as_array().unwrap().clone();
        change(&mut roots);
        key["nth_roots"] = Value::Array(roots);
        place.write_key("wrong.json", &key);
    };
    let changes: [(&Value, Change<'_>, &str); 5] = [
        (&good, &|roots| roots.swap(1, 3), "root 1 of its proof is wrong"),
        (&good, &|roots| roots[6] = roots[0].clone(), "root 6 of its proof is wrong"),
        (&good, &|roots| drop(roots.pop()), "its proof has 6 roots, 7 are needed"),
        (&good, &|roots| roots[2] = json!(5), "`nth_roots` that is no list of texts"),
        (&coset, &|_| {}, "root 0 of its proof is wrong"),
    ];
    for (key, change, reason) in changes {
        with_roots(key, change);
        for trust in ["", " --trust"] {
            place.refuses(&format!("{}{trust}", evaluate("wrong.json")), &[reason]);
            place.refuses(&format!("{}{trust}", p1("wrong.json")), &[reason]);
        }
    }
    // Trust is said aloud, and only where there is something to trust.
    let done = place.does("evaluate --toy --public bare.json --trust --query q --out b");
    assert!(done.err.contains("is taken on trust: it is not proven that gcd(n, phi(n)) = 1"), "{}", done.err);
    assert_eq!(place.does("decrypt --toy --secret k.secret.json --answer b").out, expected);
    let done = place.does("evaluate --toy --public k.public.json --trust --query q --out b");
    assert!(!done.err.contains("trust"), "{}", done.err);
    // To encrypt to a key takes no proof.
    place.does("encrypt --toy --public bare.json --dataset digits --images 1 --out x");
    fs::remove_file(place.path("x")).unwrap();

    // The owner adds the proof afterwards, to a key of another program, too.
    let json = place.json("keygen --toy --from k.secret.json --out again");
    assert_eq!(json["fingerprint"].as_str().map(|f| format!("cipherlane {f}")).as_deref(), good["kid"].as_str());
    assert_eq!(place.key("again.public.json"), good);
    place.refuses("keygen --toy --from k.secret.json --out k", &["k.public.json", "replaced only on request"]);
    place.foreign_secret("foreign.secret.json");
    place.refuses(&evaluate("foreign.public.json"), &["without a proof"]);
    place.does("keygen --toy --from foreign.secret.json --out foreign --replace");
    place.does("evaluate --toy --public foreign.public.json --query q --out b");
    assert_eq!(place.does("decrypt --toy --secret foreign.secret.json --answer b").out, expected);
}

#[test]
fn a_secret_key_without_the_factors_of_p_minus_1_encrypts_as_it_can() {
    let place = Place::new();
    place.pipeline();
    let expected = place.does("decrypt --toy --secret k.secret.json --answer a").out;
    place.foreign_secret("foreign.json");
    let mut with_base = place.key("k.secret.json");
    ["p1", "q1"].iter().for_each(|name| drop(with_base.as_object_mut().unwrap().remove(*name)));
    place.write_key("base.json", &with_base);
    for (key, encryption) in [("foreign.json", "standard"), ("base.json", "djn")] {
        let done = place.does(&format!("encrypt --toy --secret {key} --dataset digits --images 5 --out q --json"));
        assert!(done.out.contains(&format!("\"encryption\": \"{encryption}\"")), "{}", done.out);
        assert!(done.err.contains(&format!("encryption is {encryption}, which is slower than owner")), "{}", done.err);
        place.does("evaluate --toy --public k.public.json --query q --out a");
        assert_eq!(place.does(&format!("decrypt --toy --secret {key} --answer a")).out, expected);
        place.refuses(&format!("encrypt --toy --secret {key} --encryption owner --dataset digits --out x"), &["owner encryption", "standard or djn"]);
    }
    let done = place.does("encrypt --toy --secret k.secret.json --dataset digits --images 5 --out q");
    assert!(!done.err.contains("slower"), "{}", done.err);
}

#[test]
fn texts_of_keys_are_read_or_named_as_what_they_are() {
    let place = Place::new();
    place.does("keygen --bits 512 --toy --out k");
    let text = fs::read_to_string(place.path("k.public.json")).unwrap();
    let encrypt = "encrypt --toy --public t.json --encryption standard --dataset digits --images 1 --out t.bin";
    // Members of other programs, as RFC 7517 has it.
    for member in [r#""exp":1767225600"#, r#""note":null"#, r#""note":"text""#, r#""x":{"y":[1,true,-2.5,{}]}"#, r#""x5c":["a","b"]"#] {
        fs::write(place.path("t.json"), text.trim_end().replacen('{', &format!("{{{member},"), 1)).unwrap();
        place.does(encrypt);
    }
    fs::remove_file(place.path("t.bin")).unwrap();
    let refused = |bytes: Vec<u8>, word: &str| {
        fs::write(place.path("t.json"), bytes).unwrap();
        place.refuses(encrypt, &["t.json", word]);
    };
    let utf16 = |mark: bool, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.then_some(0xfeff).into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
    };
    refused([b"\xef\xbb\xbf", text.as_bytes()].concat(), "a byte order mark");
    for mark in [true, false] {
        refused(utf16(mark, u16::to_le_bytes), "text in UTF-16");
        refused(utf16(mark, u16::to_be_bytes), "text in UTF-16");
    }
    // The other half of the pair is named, on both sides.
    refused(fs::read(place.path("k.secret.json")).unwrap(), "found a secret key");
    place.refuses("encrypt --toy --secret k.public.json --dataset digits --out x", &["k.public.json", "found a public key"]);
}

#[cfg(unix)]
#[test]
fn files_have_the_mode_that_the_users_mask_gives_and_private_ones_0600() {
    use std::os::unix::fs::PermissionsExt;
    for (mask, open) in [("022", 0o644), ("027", 0o640), ("077", 0o600), ("000", 0o666)] {
        let place = Place::new();
        let masked = |line: &str| {
            let plain = place.command(line);
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "umask $0; exec \"$@\"", mask]).arg(plain.get_program()).args(plain.get_args()).current_dir(place.path(""));
            command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let output = command.output().unwrap();
            assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        };
        let modes = |names: &[&str], expected: u32| {
            for name in names {
                let mode = fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
                assert_eq!(format!("{mode:o}"), format!("{expected:o}"), "{name} under umask {mask}");
            }
        };
        masked("keygen --bits 512 --toy --out k");
        masked("encrypt --toy --secret k.secret.json --dataset digits --images 1 --out q");
        masked("evaluate --toy --public k.public.json --query q --out a");
        masked("decrypt --toy --secret k.secret.json --answer a --out classes.csv");
        masked("train --dataset digits --epochs 1 --hidden none --out m");
        masked("smlp user key --out pad");
        masked("smlp identity --out id");
        modes(&["k.secret.json", "classes.csv", "pad", "id"], 0o600);
        modes(&["k.public.json", "q", "a", "m"], open);
    }
}
