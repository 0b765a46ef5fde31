//! Every verb of every backend of this machine, at fixed sizes and seeds: `cargo bench --bench kernels`; on one core with
//! `RAYON_NUM_THREADS=1` before it.
//!
//! The modulus is n^2 with n of the size named. Each benchmark's result is compared with the oracle's before it is timed. Throughput is in results per second.

#![allow(missing_docs, clippy::unwrap_used, reason = "benchmarks end at the first error; criterion's macros write items without documentation")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cipherlane::backend::{self, BackendId, DeviceKind, Digits, Exponents, Lookup, Resident, Residues, Secrecy};
use cipherlane::conformance::compare;
use cipherlane::integer::Integer;
use cipherlane::limbs::Limbs;
use cipherlane::modulus::Modulus;
use cipherlane::plan::fixed_base::FixedBase;
use cipherlane::plan::matvec::{MatVec, Method};
use cipherlane::plan::{Counts, Op, Program, Weights};
use cipherlane::randomness::{Purpose, Stream, Tape};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Items of a batch: whole lanes for every backend.
const ITEMS: usize = 64;

fn modulus(bits: u32, stream: &mut Stream) -> Modulus {
    let mut n = stream.bits(bits);
    n.set_bit(0, true).set_bit(bits - 1, true).set_bit(bits - 2, true);
    Modulus::square(n).unwrap()
}

/// Arithmetic of all backends of this machine by name. A software adapter says so.
fn residues(modulus: &Modulus) -> Vec<(String, Arc<dyn Residues>)> {
    let open = |id: BackendId| {
        let backend = backend::open(id).ok()?;
        let software = if backend.device().kind == DeviceKind::Software { "-software" } else { "" };
        Some((format!("{id}{software}"), backend.residues(vec![modulus.clone()]).unwrap()))
    };
    BackendId::ALL.into_iter().filter_map(open).collect()
}

/// A chain of products long enough that moving data does not count: ITEMS independent chains of `length` operations.
fn chain(length: usize, square: bool) -> Program {
    let ops = (0..length).map(|_| if square { Op::Sqr { dst: 2, a: 2 } } else { Op::Mul { dst: 2, a: 2, b: 1 } });
    let ops: Vec<Op> = std::iter::once(Op::Mul { dst: 2, a: 0, b: 1 }).chain(ops).collect();
    let levels = (1..=ops.len()).collect();
    Program::new(2, ops, levels, vec![2], 0, 0).unwrap()
}

/// Times `work` on every backend, each result first compared with the oracle's.
fn on_every_backend(
    c: &mut Criterion,
    group: &str,
    bits: u32,
    results: usize,
    values: &[Integer],
    work: &dyn Fn(&dyn Residues, &Resident) -> Resident,
) {
    let modulus = modulus(bits, &mut Tape::replayable(u64::from(bits)).stream(Purpose::Sample, 0));
    let values = values.iter().map(|v| Integer::from(v % modulus.value())).collect::<Vec<_>>();
    let limbs = Limbs::from_integers(&values, modulus.width()).unwrap();
    let mut group = c.benchmark_group(group);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(results as u64));
    let mut expected = None;
    for (name, residues) in residues(&modulus) {
        let resident = residues.upload(&limbs).unwrap();
        let answer = residues.download(&work(residues.as_ref(), &resident)).unwrap();
        compare(&name, expected.get_or_insert(answer.clone()), &answer).unwrap();
        group.bench_function(BenchmarkId::new(&name, bits), |b| b.iter(|| work(residues.as_ref(), black_box(&resident))));
    }
    group.finish();
}

fn samples(count: usize) -> Vec<Integer> {
    let mut stream = Tape::replayable(1).stream(Purpose::Sample, 1);
    (0..count).map(|_| stream.bits(8192)).collect()
}

/// Makes the thread that criterion times one of rayon's: a call does not wait for another one to wake up.
fn threads(_: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().unwrap();
}

fn products(c: &mut Criterion) {
    for (name, square) in [("mul", false), ("sqr", true)] {
        for bits in [1024, 2048, 3072, 4096] {
            let length = 100;
            let program = chain(length, square);
            on_every_backend(c, name, bits, ITEMS * (length + 1), &samples(2 * ITEMS), &|residues, v| residues.run(&program, v, None).unwrap());
            bound(c, name, bits, ITEMS * (length + 1), program.counts());
        }
    }
}

/// Beside the work, on one thread: what the hardware can issue, where that is known.
fn bound(c: &mut Criterion, group: &str, bits: u32, results: usize, counts: Counts) {
    let modulus = modulus(bits, &mut Tape::replayable(u64::from(bits)).stream(Purpose::Sample, 0));
    let all = Counts { products: ITEMS * counts.products, squares: ITEMS * counts.squares, lookups: 0 };
    let mut group = c.benchmark_group(group);
    group.sample_size(10).throughput(Throughput::Elements(results as u64));
    for (id, residues) in residues(&modulus) {
        let Some(multipliers) = residues.bound() else { continue };
        group.bench_function(BenchmarkId::new(format!("{id}-bound-of-one-thread"), bits), |b| {
            b.iter(|| multipliers.saturate_multipliers(black_box(all)))
        });
    }
    group.finish();
}

fn powers(c: &mut Criterion) {
    let exponent = Tape::replayable(2).stream(Purpose::Sample, 0).bits(256);
    for (name, secrecy) in [("pow-256-public", Secrecy::Public), ("pow-256-secret", Secrecy::Secret)] {
        on_every_backend(c, name, 2048, 16, &samples(16), &|residues, v| residues.pow(v, Exponents::Shared(&exponent), secrecy).unwrap());
    }
}

fn inverses(c: &mut Criterion) {
    // The modulus is random and has small factors: only units have inverses.
    let modulus = modulus(2048, &mut Tape::replayable(2048).stream(Purpose::Sample, 0));
    let units: Vec<Integer> = samples(20 * ITEMS).into_iter().filter(|v| Integer::from(v.gcd_ref(modulus.value())) == 1).take(ITEMS).collect();
    assert_eq!(units.len(), ITEMS);
    on_every_backend(c, "invert", 2048, ITEMS, &units, &|residues, v| residues.invert(v).unwrap());
}

fn tables(c: &mut Criterion) {
    let plan = FixedBase::plan(256, 8).unwrap();
    let mut stream = Tape::replayable(3).stream(Purpose::Sample, 0);
    let digits: Vec<u16> = (0..ITEMS * plan.windows()).map(|_| stream.bits(8).to_u16().unwrap()).collect();
    on_every_backend(c, "fixed-base-256", 2048, ITEMS, &samples(ITEMS), &|residues, v| {
        // The table is built once for each backend: criterion measures the second run on.
        thread_local!(static TABLE: std::cell::RefCell<Option<(usize, Resident)>> = const { std::cell::RefCell::new(None) });
        TABLE.with_borrow_mut(|cache| {
            let key = std::ptr::from_ref(residues).cast::<()>() as usize;
            if cache.as_ref().is_none_or(|(owner, _)| *owner != key) {
                let base = Limbs::from_integers(&[3, 1, 1].map(Integer::from), residues.modulus().width()).unwrap();
                let entries = residues.run(plan.build(), &residues.upload(&base).unwrap(), None).unwrap();
                *cache = Some((key, residues.table(entries).unwrap()));
            }
            let digits = [Digits::new(plan.windows(), digits.clone()).unwrap()];
            let (_, table) = cache.as_ref().unwrap();
            residues.run(plan.apply(), v, Some(Lookup { table, digits: &digits })).unwrap()
        })
    });
}

fn transfers(c: &mut Criterion) {
    on_every_backend(c, "gather", 2048, ITEMS, &samples(ITEMS), &|residues, v| {
        residues.gather(&[v], &(0..v.len()).rev().map(|i| (0, i)).collect::<Vec<_>>()).unwrap()
    });
    on_every_backend(c, "download-and-upload", 2048, ITEMS, &samples(ITEMS), &|residues, v| residues.upload(&residues.download(v).unwrap()).unwrap());
}

/// The 10 x 784 product with uniform 8-bit weights for one set of ciphertexts and for eight; naive only for one.
fn matvec(c: &mut Criterion) {
    let mut stream = Tape::replayable(4).stream(Purpose::Sample, 0);
    let weights = (0..7840).map(|_| stream.bits(8).to_i32().unwrap() - 127).map(|w| w.min(127)).collect();
    let weights = Weights::new(10, 784, weights).unwrap();
    for (method, sets) in [(Method::Buckets, 1), (Method::Buckets, 8), (Method::Straus, 1), (Method::Naive, 1)] {
        let plan = MatVec::plan(&weights, Some(method)).unwrap();
        let name = format!("matvec-10x784-{method}-{sets}");
        on_every_backend(c, &name, 2048, sets, &samples(784 * sets), &|residues, v| residues.run(&plan.program, v, None).unwrap());
    }
}

criterion_group!(benches, threads, products, powers, inverses, tables, transfers, matvec);
criterion_main!(benches);
