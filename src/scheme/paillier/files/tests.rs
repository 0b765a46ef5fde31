//! Round trips, tampering and hostile input of the files.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::super::{Ciphertexts, Encryption, Encryptor, Packing, PublicKey, SecretKey, Sendable};
use super::*;
use crate::backend::{self, BackendId};
use crate::control::Control;
use crate::description::Description;
use crate::error::Error;
use crate::integer::Integer;
use crate::randomness::{Purpose, Tape};

fn toy(bits: u32, number: u64) -> SecretKey {
    SecretKey::generate(bits, false, true, &Tape::replayable(number), &Control::default()).unwrap()
}

/// The same key as another program would write it: no base, no factors of p - 1.
fn foreign(key: &SecretKey) -> SecretKey {
    let [p, q] = key.primes().map(Clone::clone);
    SecretKey::new(p, q, [None, None], None, true).unwrap()
}

fn encrypt(key: &SecretKey, messages: &[i64]) -> Ciphertexts<Sendable> {
    let backend = backend::open(BackendId::Gmp).unwrap();
    let messages: Vec<Integer> = messages.iter().map(|&m| Integer::from(m)).collect();
    let encryptor =
        Encryptor::new(backend.as_ref(), Encryption::Standard, key, crate::scheme::paillier::Tables::default(), Purpose::Encryption).unwrap();
    encryptor.encrypt(&messages, &Tape::replayable(3), 0).unwrap()
}

fn header(key: &PublicKey, images: usize, width: usize) -> Header {
    let packing = Packing::new(key.bits(), 20, Some(2)).unwrap();
    let data = Description { dataset: "mnist".into(), dataset_sha256: "a".repeat(64), rows: 28, cols: 28, white: 255, ..Description::default() };
    Header {
        images,
        width,
        packing,
        feature_bits: 8,
        features: "pixels".into(),
        data,
        first: 7,
        model: "linear".into(),
        model_sha256: "b".repeat(64),
    }
}

/// Permission bits where the system has them.
fn check_mode(path: &Path, expected: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, expected);
    }
    #[cfg(not(unix))]
    let _ = (path, expected);
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    (dir, path)
}

#[test]
fn keys_survive_the_round_trip_with_the_right_modes() {
    let (_dir, path) = folder();
    for key in [toy(256, 1), foreign(&toy(512, 2))] {
        write_secret_key(&path, &key, true).unwrap();
        check_mode(&path, 0o600);
        assert_eq!(read_secret_key(&path, true).unwrap(), key);
        assert!(matches!(read_secret_key(&path, false), Err(Error::KeyTooSmall { .. })));
        assert!(read_public_key(&path, true).is_err());
        write_public_key(&path, &key, true).unwrap();
        assert_eq!(read_public_key(&path, true).unwrap(), *key.public());
        assert!(read_secret_key(&path, true).is_err());
    }
}

#[test]
fn no_key_is_replaced_unasked() {
    let (dir, path) = folder();
    let (first, second) = (toy(256, 1), toy(256, 2));
    write_secret_key(&path, &first, false).unwrap();
    let message = write_secret_key(&path, &second, false).unwrap_err().to_string();
    assert!(message.contains("replaced only on request") && write_public_key(&path, &second, false).is_err());
    assert_eq!(read_secret_key(&path, true).unwrap(), first);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    write_secret_key(&path, &second, true).unwrap();
    assert_eq!(read_secret_key(&path, true).unwrap(), second);
}

/// Every byte of `path` changed in its lowest, its letter case and its top bit, then dropped, then doubled, then the file cut there. Calls `check` with each damaged file in place.
fn damage(path: &Path, mut check: impl FnMut(usize)) {
    let good = std::fs::read(path).unwrap();
    for at in 0..good.len() {
        let changed = [0, 5, 7].into_iter().map(|bit| {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            bytes
        });
        let dropped = [&good[..at], &good[at + 1..]].concat();
        let doubled = [&good[..=at], &good[at..]].concat();
        let cut = good[..at].to_vec();
        for bytes in changed.chain([dropped, doubled, cut]) {
            if bytes != good {
                std::fs::write(path, bytes).unwrap();
                check(at);
            }
        }
    }
}

#[test]
fn damage_to_a_key_file_is_refused_or_harmless() {
    let (_dir, path) = folder();
    let key = toy(256, 1);
    let mut harmless = 0;
    write_secret_key(&path, &key, true).unwrap();
    damage(&path, |at| {
        if let Ok(read) = read_secret_key(&path, true) {
            // What may change is the program's name in `kid`, and whether the factors of p - 1 are known.
            assert_eq!(read.primes(), key.primes(), "byte {at}");
            assert!(read.public() == key.public() && read.large_factors() == key.large_factors(), "byte {at}");
            harmless += 1;
        }
    });
    // One root is enough to see that damage to it does no harm.
    write_public_key(&path, &key, true).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, roots) = text.split_once(r#""nth_roots":[""#).unwrap();
    let ((root, _), (_, after)) = (roots.split_once(r#"",""#).unwrap(), roots.split_once(']').unwrap());
    std::fs::write(&path, format!(r#"{before}"nth_roots":["{root}"]{after}"#)).unwrap();
    assert!(read_sound_key(&path, true).unwrap_err().to_string().contains("has 1 roots"));
    damage(&path, |at| {
        if let Ok(read) = read_public_key(&path, true) {
            assert_eq!(read, *key.public(), "byte {at}");
            harmless += 1;
        }
    });
    assert!(harmless > 0, "a changed name of the program in `kid` is harmless");
}

#[test]
fn damage_to_a_ciphertext_file_is_refused() {
    let (_dir, path) = folder();
    let key = toy(256, 1);
    let public = key.public();
    let batch = encrypt(&key, &[5, -7]);
    write_query(&path, &header(public, 2, 2), &batch, public).unwrap();
    assert_eq!(read_query(&path, public).unwrap(), (header(public, 2, 2), batch));
    damage(&path, |at| assert!(read_query(&path, public).is_err(), "byte {at}"));
}

#[test]
fn ciphertext_files_refuse_what_does_not_fit() {
    let (_dir, path) = folder();
    let (key, other) = (toy(256, 1), toy(256, 2));
    let (public, batch) = (key.public(), encrypt(&key, &[1, 2, 3, 4]));
    assert!(matches!(write_query(&path, &header(public, 3, 2), &batch, other.public()), Err(Error::WrongKey { .. })));
    for (images, width) in [(2, 2), (5, 2), (0, 2), (3, 0), (usize::MAX, usize::MAX)] {
        assert!(write_query(&path, &header(public, images, width), &batch, public).is_err(), "{images} {width}");
    }
    for name in ["a\nb".to_string(), "x".repeat(65)] {
        assert!(write_query(&path, &Header { model: name, ..header(public, 3, 2) }, &batch, public).is_err());
    }
    let wide = Packing::new(512, 20, Some(20)).unwrap();
    assert!(write_query(&path, &Header { packing: wide, images: 40, ..header(public, 3, 2) }, &batch, public).is_err());
    assert!(!path.exists());

    let longest = "x".repeat(64);
    let data = Description { dataset: "\"".repeat(64), training_sha256: "c".repeat(64), ..header(public, 3, 2).data };
    let full = Header { features: longest.clone(), data, model: longest, ..header(public, 3, 2) };
    write_answer(&path, &full, &batch, public).unwrap();
    assert_eq!(read_answer(&path, public).unwrap().0, full);
    assert!(matches!(read_answer(&path, other.public()), Err(Error::WrongKey { .. })));
    let message = read_query(&path, public).unwrap_err().to_string();
    assert!(message.contains("expected kind query, found answer"), "{message}");
    let good = std::fs::read(&path).unwrap();
    let later = String::from_utf8_lossy(&good[..25]).replace("v3", "v1").into_bytes();
    std::fs::write(&path, [&later, &good[25..]].concat()).unwrap();
    assert!(read_answer(&path, public).unwrap_err().to_string().contains("another version"));
}

/// Files of this version and the one before it with right digests around a hostile header or content.
fn forge(path: &Path, line: &str, content: &[u8], version: u32) {
    let digest = |word: &[u8], of: &[u8]| Sha256::digest([word, of].concat());
    let mut bytes = [format!("cipherlane ciphertexts v{version}\n{line}\n").as_bytes(), if version == 2 { content } else { b"" }].concat();
    if version == 3 {
        bytes.extend([&1u32.to_be_bytes()[..], &(content.len() as u64).to_be_bytes()].concat());
        content.chunks(1 << 20).zip(0u64..).for_each(|(block, number)| {
            bytes.extend(digest(b"cipherlane leaf 1\n", &[&number.to_be_bytes(), block].concat()));
        });
        bytes.extend(digest(b"cipherlane root 1\n", &bytes));
        bytes.extend(content);
    } else {
        bytes.extend(digest(b"", &bytes));
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn forged_files_with_right_checksums_are_refused() {
    let (_dir, path) = folder();
    let key = toy(256, 1);
    let public = key.public();
    let written = (header(public, 1, 1), encrypt(&key, &[1]));
    write_query(&path, &written.0, &written.1, public).unwrap();
    let good = std::fs::read(&path).unwrap();
    let start = "cipherlane ciphertexts v3\n".len();
    let end = start + good[start..].iter().position(|&b| b == b'\n').unwrap();
    let (line, content) = (String::from_utf8(good[start..end].to_vec()).unwrap(), &good[good.len() - 64..]);
    for version in [2, 3] {
        forge(&path, &line, content, version);
        assert_eq!(read_query(&path, public).unwrap(), written, "version {version}");
        hostile(&path, &key, (&line, content), version);
    }
    assert_eq!(std::fs::read(&path).unwrap().len(), 0);
}

fn hostile(path: &Path, key: &SecretKey, (line, content): (&str, &[u8]), version: u32) {
    let public = key.public();
    let forge = |line: &str, content: &[u8]| forge(path, line, content, version);

    // Content that is no ciphertext: 0, n, p, n^2, and all ones.
    let [p, _] = key.primes();
    for (value, reason) in [
        (Integer::new(), "not in 1 to n^2 - 1"),
        (public.n().clone(), "shares a factor"),
        (p.clone(), "shares a factor"),
        (public.n_squared().clone(), "not in 1 to n^2 - 1"),
        ((Integer::from(1) << 512u32) - 1u32, "not in 1 to n^2 - 1"),
    ] {
        let digits = value.to_digits::<u8>(crate::integer::Order::Msf);
        forge(line, &[vec![0; 64 - digits.len()], digits].concat());
        let message = read_query(path, public).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
    // Headers that lie about sizes, repeat members, add some, or are no object. None may allocate what it claims.
    for (from, to) in [
        (r#""ciphertexts":1"#, r#""ciphertexts":18446744073709551615"#),
        (r#""ciphertexts":1"#, r#""ciphertexts":4000000000000"#),
        (r#""ciphertexts":1,"images":1,"width":1"#, r#""ciphertexts":288230376151711744,"images":1,"width":288230376151711744"#),
        (r#""ciphertexts":1"#, r#""ciphertexts":-1"#),
        (r#""ciphertexts":1"#, r#""ciphertexts":1e0"#),
        (r#""images":1"#, r#""images":18446744073709551615"#),
        (r#""key_bits":256"#, r#""key_bits":4294967295"#),
        (r#""key_bits":256"#, r#""key_bits":258"#),
        (r#""slots":2"#, r#""slots":0"#),
        (r#""slots":2"#, r#""slots":13"#),
        (r#""slot_bits":20"#, r#""slot_bits":0"#),
        (r#""feature_bits":8"#, r#""feature_bits":17"#),
        (r#""width":1"#, r#""width":1,"width":1"#),
        (r#""width":1"#, r#""width":1,"extra":1"#),
        (r#""width":1"#, r#" "width":1"#),
        (r#""model":"linear""#, r#""model":"line\u0000r""#),
        (r#""first":7"#, r#""first":18446744073709551615"#),
        (r#""rows":28"#, r#""rows":0"#),
        (r#""white":255"#, r#""white":256"#),
        (r#""dataset_sha256":"aa"#, r#""dataset_sha256":"AA"#),
        (r#","dataset_sha256":""#, r#","training_sha256":"","dataset_sha256":""#),
        (r#""kind":"query""#, r#""kind":"Query""#),
    ] {
        assert!(line.contains(from), "{from}");
        forge(&line.replace(from, to), content);
        let message = read_query(path, public).expect_err(to).to_string();
        assert!(!message.contains('\n'), "{message}");
    }
    let array = format!(r#"["query","{}",256,1,1,1,2,20,8,"pixels",["mnist","",28,28,255],7,"linear",""]"#, public.fingerprint());
    for line in [array, "[".repeat(4000), "{".repeat(100_000), String::new(), "null".into()] {
        forge(&line, content);
        assert!(read_query(path, public).is_err());
    }
    std::fs::write(path, []).unwrap();
    assert!(read_query(path, public).is_err() && read_query(&path.with_extension("none"), public).is_err());
    assert!(read_query(path.parent().unwrap(), public).is_err(), "a folder");
}
