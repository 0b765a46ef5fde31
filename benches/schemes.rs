//! The stages of encrypted inference under a 2048-bit key, on every backend of this machine: `cargo bench --bench schemes`; on one core with
//! `RAYON_NUM_THREADS=1` before it.
//!
//! Fixed sizes and seeds; results are decrypted and compared with the integers before anything is timed. Throughput is in ciphertexts per second. The names of
//! encryptions end with the size of their tables.

#![allow(missing_docs, clippy::unwrap_used, reason = "benchmarks end at the first error; criterion's macros write items without documentation")]

use std::time::Duration;

use cipherlane::backend::{self, BackendId, DeviceKind};
use cipherlane::control::Control;
use cipherlane::integer::Integer;
use cipherlane::plan::Weights;
use cipherlane::randomness::{Purpose, Tape};
use cipherlane::scheme::LinearMap;
use cipherlane::scheme::paillier::{Decryptor, Encryption, Encryptor, Evaluator, Packing, SecretKey, Tables};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn stages(c: &mut Criterion) {
    // The thread that criterion times is one of rayon's: a call does not wait for another one to wake up.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().unwrap();
    let tape = Tape::replayable(1);
    let secret = SecretKey::generate(2048, false, false, &tape, &Control::default()).unwrap();
    let mut stream = tape.stream(Purpose::Sample, 0);
    let messages: Vec<Integer> = (0..784).map(|_| stream.bits(2000)).collect();
    // Whole megabytes of tables, and as many uses as make them pay.
    let tables = |megabytes: u64| Tables { uses: 100_000, max_bytes: megabytes * 1_000_000 };
    let encryptions = [(Encryption::Owner, 117), (Encryption::Owner, 21), (Encryption::Djn, 63), (Encryption::Standard, 0)];
    for id in BackendId::ALL {
        let Ok(backend) = backend::open(id) else { continue };
        let name = format!("{id}{}", if backend.device().kind == DeviceKind::Software { "-software" } else { "" });
        let decryptor = Decryptor::new(backend.as_ref(), &secret, false).unwrap();
        let mut group = c.benchmark_group("encrypt-2048");
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        for (encryption, megabytes) in encryptions {
            let encryptor = Encryptor::new(backend.as_ref(), encryption, &secret, tables(megabytes), Purpose::Encryption).unwrap();
            let of_tables = if megabytes > 0 { format!("-{}MB", encryptor.table_bytes() / 1_000_000) } else { String::new() };
            // A set of MNIST, or a few where that would take long.
            let few = encryption == Encryption::Standard || id == BackendId::Reference || backend.device().kind == DeviceKind::Software;
            let batch = &messages[..if few { 16 } else { 784 }];
            assert_eq!(decryptor.decrypt(&encryptor.encrypt(batch, &tape, 0).unwrap()).unwrap(), batch);
            group.throughput(Throughput::Elements(batch.len() as u64));
            group.bench_function(BenchmarkId::new(format!("{encryption}{of_tables}"), &name), |b| {
                b.iter(|| encryptor.encrypt(batch, &tape, 0).unwrap())
            });
        }
        group.finish();

        let encryptor = Encryptor::new(backend.as_ref(), Encryption::Owner, &secret, Tables::default(), Purpose::Encryption).unwrap();
        let batch = encryptor.encrypt(&messages[..32], &tape, 0).unwrap();
        let mut group = c.benchmark_group("decrypt-2048");
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).throughput(Throughput::Elements(32));
        group.bench_function(&name, |b| b.iter(|| decryptor.decrypt(&batch).unwrap()));
        group.finish();

        let weights = (0..640).map(|i| (i * 37 % 255) - 127).collect();
        let map = LinearMap::new(Weights::new(10, 64, weights).unwrap(), vec![5; 10], 255).unwrap();
        let packing = Packing::new(2048, map.result_bits(), None).unwrap();
        let randomiser = Encryptor::own_bases(backend.as_ref(), secret.sound(), Tables::default(), Purpose::Rerandomisation, &tape).unwrap();
        let evaluator = Evaluator::new(backend.as_ref(), secret.sound(), &map, packing, None, randomiser).unwrap();
        let inputs: Vec<u16> = (0..64).map(|i| i * 4).collect();
        let plaintexts: Vec<Integer> = inputs.iter().map(|&x| packing.pack(std::iter::repeat_n(i64::from(x), packing.slots())).unwrap()).collect();
        let loaded = evaluator.upload(&encryptor.encrypt(&plaintexts, &tape, 0).unwrap()).unwrap();
        let evaluate = || evaluator.add_bias(&evaluator.multiply(&loaded).unwrap(), &tape, 0, None).unwrap();
        let results = decryptor.decrypt(&evaluator.download(&evaluate()).unwrap()).unwrap();
        let expected = map.apply(&inputs);
        assert!(results.iter().zip(&expected).all(|(r, e)| packing.unpack(r, 0).unwrap().iter().all(|v| v == e)));
        let mut group = c.benchmark_group("evaluate-2048-10x64");
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).throughput(Throughput::Elements(10));
        group.bench_function(&name, |b| b.iter(&evaluate));
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
