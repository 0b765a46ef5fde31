//! Laws of all backends beside their arithmetic, which the suite of `conformance` checks.

use super::{BackendId, DeviceKind, Exponents, Resident, Residues, Secrecy, open_under};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::plan::{Op, Program};

/// Every item is a chain of `length` squares.
fn chain(length: u32) -> Program {
    let ops = (0..length).map(|at| Op::Sqr { dst: at + 1, a: at }).collect();
    Program::new(1, ops, (1..=length as usize).collect(), vec![length], 0, 0).unwrap()
}

type Step = (&'static str, Box<dyn Fn(&dyn Residues, &Resident) -> Result<()>>);

/// Steps that may take long, on the residues of a batch.
fn steps() -> Vec<Step> {
    let exponent: Integer = (Integer::from(1) << 300) + 77;
    let secret = exponent.clone();
    let program = chain(200);
    let one = chain(200);
    vec![
        ("run of many items", Box::new(move |residues, values| residues.run(&program, values, None).map(drop))),
        ("run of one item", Box::new(move |residues, values| residues.run(&one, &residues.gather(&[values], &[(0, 3)])?, None).map(drop))),
        ("public power", Box::new(move |residues, values| residues.pow(values, Exponents::Shared(&exponent), Secrecy::Public).map(drop))),
        ("secret power", Box::new(move |residues, values| residues.pow(values, Exponents::Shared(&secret), Secrecy::Secret).map(drop))),
        ("inverse", Box::new(|residues, values| residues.invert(values).map(drop))),
    ]
}

/// The residues 2, 3, ... modulo the square of a prime.
fn batch(id: BackendId, control: &Control, items: u32) -> Option<(std::sync::Arc<dyn Residues>, Resident)> {
    let backend = match open_under(id, control) {
        Ok(backend) => backend,
        Err(error) => {
            println!("skipped: {error}");
            return None;
        }
    };
    let items = if backend.device().kind == DeviceKind::Software { items.min(20) } else { items };
    // 2^127 - 1 is a prime.
    let residues = backend.residues(vec![Modulus::square((Integer::from(1) << 127) - 1u32).unwrap()]).unwrap();
    let values: Vec<Integer> = (0..items).map(|i| Integer::from(i + 2)).collect();
    let resident = residues.upload(&Limbs::from_integers(&values, residues.modulus().width()).unwrap()).unwrap();
    Some((residues, resident))
}

#[test]
fn every_backend_counts_what_it_does_and_stops_in_the_middle_of_a_step() {
    for id in BackendId::ALL {
        for (name, step) in steps() {
            let control = Control::default();
            let Some((residues, values)) = batch(id, &control, 100) else { break };
            let (looks, done) = (control.looks(), control.done());
            step(residues.as_ref(), &values).unwrap();
            let (inside, counted) = (control.looks() - looks, control.done() - done);
            assert!(inside > 0 && counted >= values.len() as u64 / 2, "{id}, {name}: {inside} looks, {counted} operations");
            // How often a device of its own is looked after depends on how long it takes.
            let middle = if id == BackendId::Gpu { 1 } else { inside.div_ceil(2) };
            for look in [1, middle] {
                let control = Control::default();
                let Some((residues, values)) = batch(id, &control, 100) else { break };
                control.stop_after(look);
                let stopped = step(residues.as_ref(), &values);
                assert!(matches!(stopped, Err(Error::Interrupted)), "{id}, {name}, look {look} of {inside}: {stopped:?}");
                assert!(matches!(step(residues.as_ref(), &values), Err(Error::Interrupted)), "{id}, {name}: it stays stopped");
            }
        }
    }
}
