//! Known answers from `tests/vectors`, on every backend. Each file says in `conventions` what its members mean.
//!
//! Checks return how many values they compared, or what differs; a planted fault shows that they would find one.

mod arithmetic;
mod ciphertexts;
mod keys;
mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

use super::SecretKey;
use crate::backend::{self, Backend, BackendId};
use crate::integer::Integer;

/// Values compared, or the first difference.
type Checked = Result<usize, String>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn load(name: &str) -> Value {
    let path = folder().join(name);
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn hex(value: &Value) -> Integer {
    Integer::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list `{name}`"))
}

fn hexes(values: &[Value], name: &str) -> Vec<Integer> {
    values.iter().map(|v| hex(&v[name])).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn same(what: &str, expected: &[Integer], actual: &[Integer]) -> Checked {
    if expected.len() != actual.len() {
        return Err(format!("{what}: {} values instead of {}", actual.len(), expected.len()));
    }
    match expected.iter().zip(actual).position(|(a, b)| a != b) {
        None => Ok(expected.len()),
        Some(at) => Err(format!("{what}: value {at} of {} differs", expected.len())),
    }
}

/// The key of `keys.json` by name, with its DJN base. Checked once, because that takes longer than most vectors.
fn key(name: &str) -> SecretKey {
    static KEYS: Mutex<BTreeMap<String, SecretKey>> = Mutex::new(BTreeMap::new());
    let load = || {
        let keys = load("keys.json");
        let entry = list(&keys, "keys").iter().find(|k| k["name"] == name).unwrap();
        SecretKey::new(hex(&entry["p"]), hex(&entry["q"]), [None, None], Some(hex(&entry["djn"]["hs"])), true).unwrap()
    };
    KEYS.lock().unwrap().entry(name.into()).or_insert_with(load).clone()
}

/// Runs a check on every backend and prints how many values it compared; a backend may count some of them only.
fn on_every_backend(what: &str, check: impl Fn(&dyn Backend) -> Checked) {
    for id in BackendId::ALL {
        let start = Instant::now();
        let Ok(backend) = backend::open(id) else {
            println!("{what}: skipped: {id} is not available on this machine");
            continue;
        };
        let count = check(backend.as_ref()).unwrap_or_else(|difference| panic!("{id}: {what}: {difference}"));
        println!("{what}: {id}: {count} values, {:.1} s", start.elapsed().as_secs_f64());
    }
}

/// Whether a backend takes vectors of this many bits of n: the oracle is slow, so it takes the small ones.
fn takes(backend: &dyn Backend, bits: u32) -> bool {
    backend.id() != BackendId::Reference || bits <= 2048
}

fn flipped(mut value: Integer, bit: u32) -> Integer {
    let set = value.get_bit(bit);
    value.set_bit(bit, !set);
    value
}

/// Flips one bit in the second 64-bit word of the hexadecimal value at `pointer`.
fn plant(vectors: &mut Value, pointer: &str) {
    let value = vectors.pointer_mut(pointer).unwrap();
    *value = Value::String(flipped(hex(value), 77).to_string_radix(16));
}
