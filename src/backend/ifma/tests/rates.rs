//! How fast the kernels are, and how close to what the processor can issue. Run alone, in release:
//! `cargo test --release --lib ifma::tests::rates -- --ignored --nocapture --test-threads 1`.

use super::*;
use crate::backend::ifma::kernel::multiply_adds;

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
            let form = Form::new(token, modulus).unwrap();
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

/// A tree product over many inputs, as in the evaluation of a row: wide levels, no squares.
fn tree(inputs: usize) -> Program {
    let (mut ops, mut ends) = (Vec::new(), Vec::new());
    let mut ready: Vec<Operand> = (0..inputs as Operand).collect();
    let mut next = inputs as Operand;
    while ready.len() > 1 {
        ready = ready
            .chunks(2)
            .map(|pair| match *pair {
                [a, b] => {
                    ops.push(Op::Mul { dst: next, a, b });
                    next += 1;
                    next - 1
                }
                _ => pair[0],
            })
            .collect();
        ends.push(ops.len());
    }
    Program::new(inputs, ops, ends, ready, 0, 0).unwrap()
}

#[test]
#[ignore = "a measurement"]
fn verbs() {
    let token = token!();
    let mut random = Random(21);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    println!("ns per residue or product, one thread, thread CPU time");
    for bits in [2048, 3072] {
        let ring = ring(token, Modulus::square(random.odd(bits)).unwrap());
        let m = ring.modulus().value();
        let count = 784 * 8;
        let values: Vec<Integer> = (0..count).map(|_| random.residue(m)).collect();
        let limbs = Limbs::from_integers(&values, ring.modulus().width()).unwrap();
        // The pool's one thread does all the work, so its own time is the time of the work.
        let clock = |work: &mut dyn FnMut()| median((0..9).map(|_| time(1, &mut *work)).collect());
        pool.install(|| {
            let batch = ring.upload(&limbs).unwrap();
            println!("{bits}: upload {:.0}", clock(&mut || drop(ring.upload(&limbs))) / count as f64);
            println!("{bits}: download {:.0}", clock(&mut || drop(ring.download(&batch))) / count as f64);
            println!("{bits}: invert {:.0}", clock(&mut || drop(ring.invert(&batch))) / count as f64);
            let program = tree(784);
            println!("{bits}: product tree, 8 items in lockstep {:.1}", clock(&mut || drop(ring.run(&program, &batch, None))) / (783 * 8) as f64);
            let one = upload(&*ring, &values[..784]);
            println!("{bits}: product tree, 1 item {:.1}", clock(&mut || drop(ring.run(&program, &one, None))) / 783.0);
            let few = upload(&*ring, &values[..8]);
            let exponent = random.odd(bits);
            for secrecy in [Secrecy::Public, Secrecy::Secret] {
                println!(
                    "{bits}: power, {bits}-bit exponent, {secrecy:?} {:.0}",
                    clock(&mut || drop(ring.pow(&few, Exponents::Shared(&exponent), secrecy))) / 8.0
                );
            }
        });
    }
}
