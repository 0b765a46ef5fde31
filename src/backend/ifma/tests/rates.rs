//! How fast the kernels are, and how close to what the processor can issue. Run alone, in release:
//! `cargo test --release --lib ifma::tests::rates -- --ignored --nocapture --test-threads 1`.

use super::*;
use crate::backend::ifma::kernel::{Ahead, multiply_adds};
use crate::plan::Weights;
use crate::plan::fixed_base::FixedBase;
use crate::plan::matvec::{MatVec, Method};

fn cpu_ns() -> f64 {
    cpu_time::ThreadTime::now().as_duration().as_nanos() as f64
}

/// Nanoseconds of a call, thread CPU time.
fn time(calls: usize, mut call: impl FnMut()) -> f64 {
    let start = cpu_ns();
    for _ in 0..calls {
        call();
    }
    (cpu_ns() - start) / calls as f64
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

#[test]
#[ignore = "a measurement"]
fn kernels() {
    let token = token!();
    let mut random = Random(20);
    println!("per result, one core, thread CPU time; bound = issue rate of independent multiply-adds, measured next to each sample");
    for bits in [1024, 1536, 2048, 3072, 4096] {
        for (name, modulus) in [("n^2", Modulus::square(random.odd(bits)).unwrap()), ("n", Modulus::new(random.odd(bits)).unwrap())] {
            let form = MontgomeryForm::new(token, modulus).unwrap();
            let mut work = form.workspace();
            let row = form.row(&random.residue(form.modulus().value()));
            let (mut a, mut b, mut out) =
                (vec![Line::default(); form.width()], vec![Line::default(); form.width()], vec![Line::default(); form.width()]);
            gather(token, [form.one(); LANES], &mut a);
            gather(token, [&row; LANES], &mut b);
            let counts = form.multiply_adds();
            let calls = 2_000_000 / counts[0];
            let (mut mul, mut sqr, mut mul_share, mut sqr_share, mut issue) = (vec![], vec![], vec![], vec![], vec![]);
            for _ in 0..80 {
                let before = time(1, || multiply_adds(token, 500_000));
                let mul_ns = time(calls, || form.mul(&mut out, &a, &b, &mut work));
                let sqr_ns = time(calls, || form.sqr(&mut out, &b, &mut work));
                let each = (before + time(1, || multiply_adds(token, 500_000))) / 1e6;
                mul.push(mul_ns / 8.0);
                sqr.push(sqr_ns / 8.0);
                mul_share.push(100.0 * counts[0] as f64 * each / mul_ns);
                sqr_share.push(100.0 * counts[1] as f64 * each / sqr_ns);
                issue.push(1.0 / each);
            }
            if form.longest_chain() > 0 {
                let [mut value, mut pair, mut pair_after, mut next] = [a.clone(), a.clone(), a.clone(), a.clone()];
                let mut share = vec![];
                for _ in 0..80 {
                    let each = time(1, || multiply_adds(token, 500_000)) / 5e5;
                    let ns = time(calls, || {
                        form.log_mul(&mut next, &value, &pair, &mut work, &mut Ahead::default(), |ahead| {
                            form.log_pair(&mut pair_after, &a, &b, ahead)
                        });
                        std::mem::swap(&mut value, &mut next);
                        std::mem::swap(&mut pair, &mut pair_after);
                    });
                    let h = form.size();
                    share.push(100.0 * (14 * h * h) as f64 * each / ns);
                }
                println!("{bits}-bit n, mod n^2: a product by two entries in log form {:.1} % of bound", median(share));
            }
            println!(
                "{bits}-bit n, mod {name:3}: mul {:7.1} ns ({:4.1} % of bound), sqr {:7.1} ns ({:4.1} %), {:.2} multiply-adds/ns",
                median(mul),
                median(mul_share),
                median(sqr),
                median(sqr_share),
                median(issue)
            );
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn verbs() {
    let token = token!();
    let mut random = Random(21);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    println!("ns per residue or product, one thread, thread CPU time");
    for bits in [2048, 3072] {
        let residues = residues(token, Modulus::square(random.odd(bits)).unwrap());
        let m = residues.modulus().value();
        let count = 784 * 16;
        let values: Vec<Integer> = (0..count).map(|_| random.residue(m)).collect();
        let limbs = Limbs::from_integers(&values, residues.modulus().width()).unwrap();
        // The pool's one thread does all the work, so its own time is the time of the work.
        let clock = |work: &mut dyn FnMut()| median((0..9).map(|_| time(1, &mut *work)).collect());
        pool.install(|| {
            let batch = residues.upload(&limbs).unwrap();
            println!("{bits}: upload {:.0}", clock(&mut || drop(residues.upload(&limbs))) / count as f64);
            println!("{bits}: download {:.0}", clock(&mut || drop(residues.download(&batch))) / count as f64);
            println!("{bits}: invert {:.0}", clock(&mut || drop(residues.invert(&batch))) / count as f64);
            let weights = Weights::new(10, 784, (0..7840).map(|_| random.below(255) as i32 - 127).collect()).unwrap();
            let program = MatVec::plan(&weights, Some(Method::Buckets)).unwrap().program;
            let products = program.counts().total() as f64;
            println!("{bits}: {products} products, {} slots, {} levels", program.slots(), program.levels().len());
            for items in [16, 8, 1] {
                let some = upload(&*residues, &values[..784 * items]);
                println!(
                    "{bits}: matrix product 10 x 784, {items} items {:.1}",
                    clock(&mut || drop(residues.run(&program, &some, None))) / (products * items as f64)
                );
            }
            let few = upload(&*residues, &values[..8]);
            let exponent = random.odd(bits);
            for secrecy in [Secrecy::Public, Secrecy::Secret] {
                println!(
                    "{bits}: power, {bits}-bit exponent, {secrecy:?} {:.0}",
                    clock(&mut || drop(residues.pow(&few, Exponents::Shared(&exponent), secrecy))) / 8.0
                );
            }
        });
    }
}

/// Powers of one base from a table, as in encryption: `windows` products by table entries for each item.
#[test]
#[ignore = "a measurement"]
fn lookups() {
    let token = token!();
    let mut random = Random(22);
    println!("ns per product by a table entry, one thread, thread CPU time");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (bits, window) in [(1024, 8), (1024, 10), (2048, 8)] {
        let plan = FixedBase::plan(1024, window).unwrap();
        let residues = residues(token, Modulus::square(random.odd(bits)).unwrap());
        let m = residues.modulus().value();
        let items = 784;
        pool.install(|| {
            let table = residues.run(plan.build(), &upload(&*residues, &[random.unit(m), Integer::from(1), Integer::from(1)]), None).unwrap();
            let digits: Vec<u16> = (0..items * plan.windows()).map(|_| random.below(1 << window) as u16).collect();
            let digits = [Digits::new(plan.windows(), digits).unwrap()];
            let inputs = upload(&*residues, &(0..items).map(|_| random.residue(m)).collect::<Vec<_>>());
            let each = |table: &Resident| {
                let run = || drop(residues.run(plan.apply(), &inputs, Some(Lookup { table, digits: &digits })));
                median((0..15).map(|_| time(1, run)).collect()) / (items * plan.windows()) as f64
            };
            let megabytes = (plan.table_entries() * bits as usize * 2).div_ceil(8 << 20);
            let plain = each(&table);
            let start = cpu_ns();
            let table = residues.table(table).unwrap();
            let entry = (cpu_ns() - start) / plan.table_entries() as f64;
            println!("{bits}-bit n, table of {megabytes} MB: {plain:.1}, in log form {:.1} (to log form {entry:.1} an entry)", each(&table));
        });
    }
}
