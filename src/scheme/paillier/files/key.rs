//! Key files: the JWK form that python-paillier 1.5.0 writes and reads, with additions that it ignores.
//!
//! Public: `kty` "DAJ", `alg` "PAI-GN1", `key_ops` \["encrypt"\], `n`, `kid`; ours also `hs`, the base
//! of DJN randomisers, with `hs_digest`, the SHA-256 of n and hs, because a damaged hs gives
//! ciphertexts of other messages, and `nth_roots`, the owner's [`Proof`] that gcd(n, phi(n)) = 1, as a
//! list of integers. Secret: `kty`, `key_ops` \["decrypt"\], `p`, `q`, `pub`, `kid`; ours also `p1`,
//! `q1`, the large prime factors of p - 1 and q - 1, both or none. A `kid` of ours is `cipherlane` and
//! the fingerprint of n; another program's is free text. Members of other names pass, whatever they
//! hold.

use std::path::Path;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::super::key::{MAXIMUM_BITS, PublicKey, SecretKey, fingerprint_of};
use super::super::sound::{Proof, SoundKey};
use super::text::{Object, Parsed, push_integer};
use crate::durable::{Whole, read_secret, write_together};
use crate::error::{Error, Result};
use crate::integer::{Integer, Order};
use crate::text::hex;

/// Largest key file, in bytes: several times what the largest key needs.
const LARGEST: usize = 64 << 10;
/// Longest `kid`, in bytes.
const LONGEST_KID: usize = 256;
const KID: &str = "cipherlane ";
/// Most roots of a proof that are read.
const MOST_ROOTS: usize = 64;

/// Writes a secret key, readable by its user only from the first byte on, and its public key: both
/// files or, when one cannot be written, none. Files that are there already are replaced only where
/// `replace` says so.
///
/// # Errors
/// [`Error::File`] when a file is there already, [`Error::Io`] when the folder cannot be written.
pub fn write_key_pair(secret: &Path, public: &Path, key: &SecretKey, replace: bool) -> Result<()> {
    let (secret_text, public_text) = (secret_text(key), public_text(key)?);
    let files =
        [Whole { path: secret, bytes: secret_text.as_bytes(), private: true }, Whole { path: public, bytes: public_text.as_bytes(), private: false }];
    write_together(&files, replace)
}

/// Writes a secret key alone, as [`write_key_pair`] does.
///
/// # Errors
/// As [`write_key_pair`].
pub fn write_secret_key(path: &Path, key: &SecretKey, replace: bool) -> Result<()> {
    write_together(&[Whole { path, bytes: secret_text(key).as_bytes(), private: true }], replace)
}

/// Writes the public part of a key alone, with a proof that it is sound, as [`write_key_pair`] does.
///
/// # Errors
/// As [`write_key_pair`].
pub fn write_public_key(path: &Path, key: &SecretKey, replace: bool) -> Result<()> {
    write_together(&[Whole { path, bytes: public_text(key)?.as_bytes(), private: false }], replace)
}

fn secret_text(key: &SecretKey) -> Zeroizing<String> {
    // Large enough that it never moves and leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(LARGEST));
    text.push_str(r#"{"kty":"DAJ","key_ops":["decrypt"]"#);
    let [p, q] = key.primes();
    let [p_large, q_large] = key.large_factors();
    for (name, value) in [("p", Some(p)), ("q", Some(q)), ("p1", p_large), ("q1", q_large)] {
        if let Some(value) = value {
            push_member(&mut text, name, value);
        }
    }
    text.push_str(r#","pub":"#);
    push_public(&mut text, key.public(), None);
    push_kid(&mut text, key.public());
    text.push_str("}\n");
    text
}

fn public_text(key: &SecretKey) -> Result<String> {
    let mut text = String::new();
    push_public(&mut text, key.public(), Some(&Proof::new(key)?));
    text.push('\n');
    Ok(text)
}

/// Reads and checks a secret key; see [`SecretKey::new`] for the rules.
///
/// # Errors
/// [`Error::File`] for another form, [`Error::InvalidKey`] or [`Error::KeyTooSmall`] for a key that breaks a rule. Messages show no digit of the key.
pub fn read_secret_key(path: &Path, allow_toy: bool) -> Result<SecretKey> {
    let bytes = read_secret(path, LARGEST)?;
    let form = |found: String| Error::file(path, "a secret Paillier key in JWK form", found);
    let mut object = Object::parse(&bytes).map_err(form)?;
    let (large, pair, public, kid) = (|| {
        object.expect_text("kty", "DAJ")?;
        if object.has("n") && !object.has("pub") {
            return Err("a public key; the owner's secret key is needed".into());
        }
        object.expect_list("key_ops", "decrypt")?;
        let pair = [object.integer("p")?, object.integer("q")?];
        let large = [object.optional_integer("p1")?, object.optional_integer("q1")?];
        if large[0].is_some() != large[1].is_some() {
            return Err("one of `p1` and `q1` without the other".into());
        }
        let public = Public::take(object.object("pub")?)?;
        Ok((large, pair, public, take_kid(&mut object)?))
    })()
    .map_err(form)?;
    let [p, q] = pair;
    if p.significant_bits() > MAXIMUM_BITS || q.significant_bits() > MAXIMUM_BITS {
        return Err(Error::InvalidKey { reason: format!("the factors have {} and {} bits", p.significant_bits(), q.significant_bits()) });
    }
    if Integer::from(&p * &q) != public.n {
        return Err(Error::InvalidKey { reason: "n is not p q".into() });
    }
    check_kid(&public.kid, &public.n)?;
    check_kid(&kid, &public.n)?;
    SecretKey::new(p, q, large, public.hs, allow_toy)
}

/// Reads and checks a public key to encrypt to; see [`PublicKey::new`] for the rules.
///
/// # Errors
/// [`Error::File`] for another form, [`Error::InvalidKey`] or [`Error::KeyTooSmall`] for a key that breaks a rule.
pub fn read_public_key(path: &Path, allow_toy: bool) -> Result<PublicKey> {
    read_public(path, allow_toy).map(|(key, _)| key)
}

/// Reads and checks a public key to compute under, which must come with its owner's proof; see
/// [`SoundKey`].
///
/// # Errors
/// As [`read_public_key`]; [`Error::UnprovenKey`] without a proof, [`Error::InvalidKey`] with a
/// wrong one.
pub fn read_sound_key(path: &Path, allow_toy: bool) -> Result<SoundKey> {
    let (key, proof) = read_public(path, allow_toy)?;
    SoundKey::proven(key, proof.as_ref())
}

fn read_public(path: &Path, allow_toy: bool) -> Result<(PublicKey, Option<Proof>)> {
    let bytes = read_secret(path, LARGEST)?;
    let form = |found: String| Error::file(path, "a public Paillier key in JWK form", found);
    let public = Object::parse(&bytes).and_then(Public::take).map_err(form)?;
    check_kid(&public.kid, &public.n)?;
    Ok((PublicKey::new(public.n, public.hs, allow_toy)?, public.proof))
}

/// What a public part says, before the rules of keys are asked.
struct Public {
    n: Integer,
    hs: Option<Integer>,
    proof: Option<Proof>,
    kid: String,
}

impl Public {
    fn take(mut object: Object) -> Parsed<Self> {
        object.expect_text("kty", "DAJ")?;
        if object.has("pub") {
            return Err("a secret key; give others the public key only, which `cipherlane keygen --from` writes".into());
        }
        object.expect_text("alg", "PAI-GN1")?;
        object.expect_list("key_ops", "encrypt")?;
        let n = object.integer("n")?;
        let hs = object.optional_integer("hs")?;
        match &hs {
            Some(hs) => object.expect_text("hs_digest", &hs_digest(&n, hs)).map_err(|_| "an `hs_digest` that does not fit: tampered or damaged")?,
            None if object.has("hs_digest") => return Err("an `hs_digest` without `hs`".into()),
            None => {}
        }
        let proof = object.optional_integers("nth_roots", MOST_ROOTS)?.map(Proof::from_roots);
        Ok(Self { n, hs, proof, kid: take_kid(&mut object)? })
    }
}

fn take_kid(object: &mut Object) -> Parsed<String> {
    let kid = object.optional_text("kid")?.ok_or("no `kid`")?;
    if kid.0.len() > LONGEST_KID || kid.0.chars().any(char::is_control) {
        return Err(format!("a `kid` of more than {LONGEST_KID} bytes or with control characters"));
    }
    Ok(kid.0.clone())
}

/// A `kid` of ours must name this key; another program's says nothing.
fn check_kid(kid: &str, n: &Integer) -> Result<()> {
    match kid.strip_prefix(KID) {
        Some(fingerprint) if fingerprint != fingerprint_of(n) => {
            Err(Error::InvalidKey { reason: "the fingerprint in `kid` is not that of n".into() })
        }
        _ => Ok(()),
    }
}

fn hs_digest(n: &Integer, hs: &Integer) -> String {
    let mut hash = Sha256::new().chain_update(b"cipherlane paillier hs v1");
    for value in [n, hs] {
        let bytes = value.to_digits::<u8>(Order::Msf);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hex(hash.finalize())
}

fn push_public(text: &mut String, key: &PublicKey, proof: Option<&Proof>) {
    text.push_str(r#"{"kty":"DAJ","alg":"PAI-GN1","key_ops":["encrypt"]"#);
    push_member(text, "n", key.n());
    if let Some(hs) = key.djn_base() {
        push_member(text, "hs", hs);
        text.push_str(r#","hs_digest":""#);
        text.push_str(&hs_digest(key.n(), hs));
        text.push('"');
    }
    if let Some(proof) = proof {
        text.push_str(r#","nth_roots":["#);
        for (number, root) in proof.roots().iter().enumerate() {
            text.push_str(if number == 0 { "\"" } else { "\",\"" });
            push_integer(text, root);
        }
        text.push_str("\"]");
    }
    push_kid(text, key);
    text.push('}');
}

fn push_member(text: &mut String, name: &str, value: &Integer) {
    for part in [",\"", name, "\":\""] {
        text.push_str(part);
    }
    push_integer(text, value);
    text.push('"');
}

fn push_kid(text: &mut String, key: &PublicKey) {
    for part in [r#","kid":""#, KID, key.fingerprint(), "\""] {
        text.push_str(part);
    }
}
