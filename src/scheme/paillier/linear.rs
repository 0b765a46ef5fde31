//! Paillier as the harness knows it.

use std::sync::Arc;

use super::{
    Encryption, Layout, MINIMUM_BITS, Options, PackingChoice, Paillier, PoolChoice, Rerandomisation, SecretKey, check_bits, method_choice,
    security_bits, sets_per_batch,
};
use crate::backend::BackendId;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::plan::matvec::Method;
use crate::randomness::Tape;
use crate::scheme::LinearMap;
use crate::scheme::backends::BACKEND;
use crate::scheme::linear::{Cost, Facts, Job, Key, LinearScheme, Means, Service, Size, Staged};
use crate::spec::{Choice, Form, Protection, Values, as_word, whole};

/// Paillier for linear inference.
pub struct PaillierScheme;

/// Bits of n, for whatever scheme rests on it.
pub const KEY_BITS: Choice = Choice {
    value_name: "BITS",
    default: &["2048"],
    check_toy: |word| check_bits(word.parse().unwrap_or(0), false),
    ..Choice::new("key_bits", Form::Segment, read_bits, "Bits of the Paillier modulus n")
};

fn read_bits(word: &str) -> Result<String> {
    let bits = word.parse().map_err(|_| Error::unknown("number of bits", word, "a whole number"))?;
    check_bits(bits, true).map(|()| bits.to_string())
}

static PROTECTION: Protection = Protection {
    path: "paillier",
    selected_by: None,
    choices: &[
        BACKEND,
        KEY_BITS,
        Choice {
            default: &["auto"],
            ..Choice::new(
                "method",
                Form::Segment,
                |word| method_choice(word).map(|method| method.map_or("auto", Method::name).into()),
                "Plans of the encrypted product: auto (fewest products), pairs, buckets, straus, naive",
            )
        },
        Choice {
            default: &["owner"],
            ..Choice::new(
                "encryption",
                Form::Segment,
                as_word::<Encryption>,
                "How randomisers are made: owner (exact, by the key owner), djn, standard (r^n)",
            )
        },
        Choice {
            default: &["auto"],
            applies: |values| values.is("scenario", "offline"),
            ..Choice::new(
                "packing",
                Form::Segment,
                as_word::<PackingChoice>,
                "Images in one ciphertext, offline: auto (as many as fit), off, or a number",
            )
        },
        Choice {
            field: "packing",
            value_name: "auto|N",
            default: &["auto"],
            applies: |values| values.is("scenario", "single"),
            ..Choice::new(
                "inputs_per_ciphertext",
                Form::Segment,
                |word| PackingChoice::of_inputs(word).map(|packing| packing.to_string()),
                "Inputs of the image in one ciphertext, one image at a time: auto (as many as cost least), or a number; 1 leaves every input alone",
            )
        },
        Choice {
            field: "rerandomisation",
            value_name: "WAY",
            default: &["auto"],
            ..Choice::new(
                "rerandomise",
                Form::Segment,
                |word| word.parse::<Rerandomisation>().map(|way| way.name().into()),
                "How the server re-randomises results: auto (bases for 100 results and more), bases (its own random bases), standard (r^n)",
            )
        },
        Choice {
            value_name: "MIB",
            default: &["128"],
            ..Choice::new(
                "table_mib",
                Form::Segment,
                whole::<1, { 1 << 20 }>,
                "Most MiB of the tables of each side; they grow with the number of images",
            )
        },
        Choice {
            value_name: "WHO",
            default: &["none"],
            ..Choice::new(
                "pool",
                Form::Suffix { prefix: "pool-", unsaid: "none" },
                as_word::<PoolChoice>,
                "Who makes randomisers ahead of the images, as a phase of its own: none, server (for its results), both",
            )
        },
    ],
};

/// The chosen values.
struct Chosen {
    backend: BackendId,
    key_bits: u32,
    method: Option<Method>,
    encryption: Encryption,
    packing: PackingChoice,
    rerandomisation: Rerandomisation,
    table_mib: u32,
    pool: PoolChoice,
}

impl Chosen {
    fn of(values: &Values) -> Result<Self> {
        Ok(Self {
            backend: values.read("backend")?,
            key_bits: values.read("key_bits")?,
            method: method_choice(values.get("method").unwrap_or("auto"))?,
            encryption: values.read("encryption")?,
            packing: values.read("packing")?,
            rerandomisation: values.read("rerandomisation")?,
            table_mib: values.read("table_mib")?,
            pool: values.read("pool")?,
        })
    }

    /// The layout that scenario and packing ask for.
    fn layout(&self, single: bool) -> Result<Layout> {
        let packing = self.packing;
        Ok(match (single, packing) {
            (false, _) => Layout::Batch { images: packing.images()? },
            (true, PackingChoice::Off) => Layout::Batch { images: Some(1) },
            (true, PackingChoice::Auto) => Layout::Single { inputs_per_ciphertext: None },
            (true, PackingChoice::Inputs(inputs)) => Layout::Single { inputs_per_ciphertext: Some(inputs) },
            (true, PackingChoice::Images(_)) => {
                return Err(Error::unsupported("one image at a time", format!("packing {packing} of many images; use auto, off or N-inputs")));
            }
        })
    }
}

/// The exponent by which the time of r^n grows with the key size, by measured rows of November 2026.
const GROWTH: f64 = 2.75;

/// The time of r^n modulo n^2, in seconds of one thread, from that of a 512-bit key.
#[must_use]
pub fn power_seconds(key_bits: u32, power_ns: f64) -> f64 {
    power_ns * 1e-9 * (f64::from(key_bits) / 512.0).powf(GROWTH)
}

impl LinearScheme for PaillierScheme {
    fn protection(&self) -> &'static Protection {
        &PROTECTION
    }

    fn summary(&self) -> &'static str {
        "Paillier encryption; the owner of the image decrypts, the model stays with the server"
    }

    fn facts(&self, values: &Values) -> Result<Facts> {
        let Chosen { backend, key_bits, method, encryption, rerandomisation, table_mib, .. } = Chosen::of(values)?;
        Ok(Facts {
            backend: Some(backend),
            method: method.map_or("auto", Method::name).into(),
            key_bits: Some(key_bits),
            encryption: encryption.name().into(),
            security_bits: Some(security_bits(key_bits)),
            unsound: None,
            is_toy: key_bits < MINIMUM_BITS,
            decides_bits: Some(format!("{key_bits} {encryption} {} {table_mib}", rerandomisation.name())),
        })
    }

    fn size(&self, values: &Values, job: Job, map: &LinearMap) -> Result<Size> {
        let chosen = Chosen::of(values)?;
        let arrangement = chosen.layout(job.single)?.arrange(chosen.key_bits, map)?;
        let set = arrangement.images();
        let batch = set * sets_per_batch(chosen.backend, chosen.encryption);
        Ok(Size { inputs: map.weights().cols(), ciphertexts: arrangement.ciphertexts(map), results: arrangement.results(map), set, batch })
    }

    /// Shares of a power that were read off measured rows (November 2026, two-core Xeon).
    fn cost(&self, values: &Values, job: Job, size: Size, threads: f64, power_ns: &dyn Fn(BackendId) -> Option<f64>) -> Result<Option<Cost>> {
        let Chosen { backend, key_bits, method, encryption, rerandomisation, table_mib, .. } = Chosen::of(values)?;
        let Some(measured) = power_ns(backend) else { return Ok(None) };
        let power = power_seconds(key_bits, measured);
        let product = power / (1.25 * f64::from(key_bits));
        let images = job.images as f64;
        let sets = (images / size.set as f64).ceil();
        let (ciphertexts, results) = (sets * size.ciphertexts as f64, sets * size.results as f64);
        let tables = if ciphertexts > 10_000.0 { 0.5 } else { 1.0 };
        let encrypt = ciphertexts
            * power
            * match encryption {
                Encryption::Owner => 0.05 * tables,
                Encryption::Djn => 0.08 * tables,
                Encryption::Standard => 1.0,
            };
        let per_weight = match method {
            Some(Method::Naive) => 7.0,
            Some(Method::Straus) => 2.1,
            Some(Method::Buckets) => 1.6,
            _ => 1.0,
        };
        let weights = (size.inputs * 10) as f64;
        let bases = rerandomisation.takes_bases(results as usize);
        let evaluate = sets * weights * per_weight * product + results * power * if bases { 0.1 } else { 1.0 };
        let decrypt = results * power * 0.5;
        // The oracle has one thread; a single set keeps others less than busy.
        let parallel = if backend == BackendId::Reference { 1.0 } else { threads.min(1.0 + size.batch as f64) };
        let bytes = |count: f64| count * f64::from(2 * key_bits).div_euclid(8.0);
        let batch_sets = (size.batch as f64 / size.set as f64).ceil();
        Ok(Some(Cost {
            pass_seconds: (encrypt + evaluate + decrypt) / parallel + images * 2e-5,
            // Tables of the owner, and those of the server's own bases.
            setup_seconds: 0.1 + power / parallel * if bases { 460.0 } else { 60.0 },
            key_seconds: 0.4 * (f64::from(key_bits) / 2048.0).powf(2.4),
            memory_bytes: 120e6 + 2.0 * f64::from(table_mib) * 1_048_576.0 + 4.0 * batch_sets * bytes((size.ciphertexts + size.results) as f64),
            wire_bytes: bytes(ciphertexts + results),
        }))
    }

    fn keygen(&self, values: &Values, allow_toy: bool, tape: &Tape, control: &Control) -> Option<Result<Key>> {
        let key = values.read("key_bits").and_then(|bits| SecretKey::generate(bits, false, allow_toy, tape, control));
        Some(key.map(|key| Arc::new(key) as Key))
    }

    fn service(&self, values: &Values, job: Job, map: LinearMap, means: Means<'_>) -> Result<Box<dyn Service>> {
        let (secret, backend) = means.of::<SecretKey>("paillier")?;
        let chosen = Chosen::of(values)?;
        let options = Options {
            encryption: chosen.encryption,
            method: chosen.method,
            layout: chosen.layout(job.single)?,
            rerandomisation: chosen.rerandomisation,
            images: job.images,
            table_bytes: u64::from(chosen.table_mib) << 20,
            ahead: chosen.pool,
        };
        Ok(Box::new(Staged::new(Paillier::new(backend, secret, map, options, means.tape)?)))
    }
}
