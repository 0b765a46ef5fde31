use rug::Integer;
use super::form::Form;
use super::kernel::{Line, Token};
use super::transpose::{gather, scatter};
use crate::modulus::Modulus;

struct RandState(u64);
impl RandState {
    fn new() -> Self { Self(1) }
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn bits(&mut self, bits: u32) -> Integer {
        let w: Vec<u64> = (0..bits.div_ceil(64)).map(|_| self.word()).collect();
        Integer::from_digits(&w, rug::integer::Order::Lsf).keep_bits(bits)
    }
}
fn cpu_ns() -> f64 { cpu_time::ThreadTime::now().as_duration().as_nanos() as f64 }

#[test]
fn quick() {
    let token = Token::detect().unwrap();
    let mut rnd = RandState::new();
    for bits in [512u32, 1024, 1536, 2048, 3072, 4096] {
        for square in [false, true] {
            let n = (Integer::from(1) << (bits-1)) + rnd.bits(bits - 1) | 1u32;
            let m = if square { Modulus::square(n).unwrap() } else { Modulus::new(n).unwrap() };
            let v = m.value().clone();
            let form = Form::new(token, m).unwrap();
            let mut w = form.workspace();
            let a: Vec<Integer> = (0..8).map(|_| rnd.bits(2 * bits + 9) % &v).collect();
            let b: Vec<Integer> = (0..8).map(|_| rnd.bits(2 * bits + 9) % &v).collect();
            let ra: Vec<_> = a.iter().map(|x| form.row(x)).collect();
            let rb: Vec<_> = b.iter().map(|x| form.row(x)).collect();
            let z = || vec![Line::default(); form.width()];
            let (mut sa, mut sb, mut so, mut sc, mut one) = (z(), z(), z(), z(), z());
            gather(token, std::array::from_fn(|i| &ra[i][..]), &mut sa);
            gather(token, std::array::from_fn(|i| &rb[i][..]), &mut sb);
            gather(token, [form.r_squared(); 8], &mut sc);
            gather(token, [form.plain_one(); 8], &mut one);
            for op in 0..2 {
                if op == 0 { form.mul(&mut so, &sa, &sb, &mut w); } else { form.sqr(&mut so, &sa, &mut w); }
                let mut t = z();
                form.mul(&mut t, &so, &sc, &mut w);
                form.mul(&mut so, &t, &one, &mut w);
                // so = ab/R R^2/R /R = ab/R ... multiply by R twice
                form.mul(&mut t, &so, &sc, &mut w);
                let mut rows = vec![Line::default(); 8 * form.lines()];
                scatter(token, &t, &mut rows, &std::array::from_fn::<usize, 8, _>(|i| i * form.lines()));
                for i in 0..8 {
                    let got = form.read_row(&rows[i * form.lines()..(i + 1) * form.lines()]);
                    let want = if op == 0 { Integer::from(&a[i] * &b[i]) % &v } else { Integer::from(a[i].square_ref()) % &v };
                    assert_eq!(got % &v, want, "{bits} {square} {op} lane {i}");
                }
            }
        }
    }
}

#[test]
#[ignore]
fn rates() {
    let token = Token::detect().unwrap();
    let mut rnd = RandState::new();
    for round in 0..3 {
    for bits in [1024u32, 2048, 3072, 4096] {
        let n = (Integer::from(1) << (bits-1)) + rnd.bits(bits - 1) | 1u32;
        let form = Form::new(token, Modulus::square(n).unwrap()).unwrap();
        let mut w = form.workspace();
        let z = || vec![Line::default(); form.width()];
        let (mut x, mut y) = (z(), z());
        gather(token, [form.r_squared(); 8], &mut x);
        gather(token, [form.one(); 8], &mut y);
        let madd = form.multiply_adds();
        let mut samples = [vec![], vec![], vec![], vec![]];
        for _ in 0..60 {
            let reps = 3_000_000 / madd[0];
            let t = cpu_ns();
            let bound = super::kernel::bound(token, 1_000_000);
            let t0 = cpu_ns();
            let mut o = z();
            for _ in 0..reps { form.mul(&mut o, &x, &y, &mut w); std::mem::swap(&mut o, &mut x); }
            let t1 = cpu_ns();
            for _ in 0..reps { form.sqr(&mut o, &x, &mut w); std::mem::swap(&mut o, &mut x); }
            let t2 = cpu_ns();
            let bound2 = super::kernel::bound(token, 1_000_000);
            let t3 = cpu_ns();
            let b = (t0 - t + t3 - t2) / (bound + bound2) as f64;
            let (m, q) = ((t1 - t0) / reps as f64, (t2 - t1) / reps as f64);
            for (s, v) in samples.iter_mut().zip([m / 8.0, q / 8.0, b * madd[0] as f64 / m, b * madd[1] as f64 / q]) { s.push(v); }
        }
        for s in &mut samples { s.sort_by(f64::total_cmp); }
        let med = samples.map(|s| s[s.len() / 2]);
        println!("{round} {bits}: mul {:.1} ns {:.1}%; sqr {:.1} ns {:.1}%", med[0], 100.0 * med[2], med[1], 100.0 * med[3]);
    }
    }
}
