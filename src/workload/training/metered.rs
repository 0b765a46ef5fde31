//! What the operations of a training cost: an arithmetic and a channel that time and count what another does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::channel::Channel;
use crate::error::Result;
use crate::scheme::private_training::{Arithmetic, Product, Shape};
use crate::stopwatch::{Elapsed, Stopwatch};

/// What one operation cost both parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How often it ran.
    pub calls: u64,
    /// Numbers that came out of it.
    pub values: u64,
    /// Messages to P2 and back.
    pub rounds: u64,
    /// Bytes from P1 to P2.
    pub bytes_up: u64,
    /// Bytes from P2 to P1.
    pub bytes_down: u64,
    /// Time of the whole operation.
    pub both: Elapsed,
    /// Time until P2's answers were there: in one process P2's own, over a network with the way there and back.
    pub p2: Elapsed,
}

impl Cost {
    /// Time without P2.
    #[must_use]
    pub fn p1(&self) -> Elapsed {
        let Elapsed { wall_ns, cpu_ns } = self.both;
        Elapsed { wall_ns: wall_ns.saturating_sub(self.p2.wall_ns), cpu_ns: cpu_ns.saturating_sub(self.p2.cpu_ns) }
    }
}

#[derive(Debug, Default)]
struct Books {
    current: &'static str,
    costs: BTreeMap<&'static str, Cost>,
}

/// Costs by operation, shared by the arithmetic and the channel below it.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

impl Ledger {
    /// What was spent so far, by operation.
    #[must_use]
    pub fn costs(&self) -> BTreeMap<&'static str, Cost> {
        self.books().costs.clone()
    }

    /// All operations together.
    #[must_use]
    pub fn total(&self) -> Cost {
        let add = |a: Elapsed, b: Elapsed| Elapsed { wall_ns: a.wall_ns + b.wall_ns, cpu_ns: a.cpu_ns + b.cpu_ns };
        self.books().costs.values().fold(Cost::default(), |sum, cost| Cost {
            calls: sum.calls + cost.calls,
            values: sum.values + cost.values,
            rounds: sum.rounds + cost.rounds,
            bytes_up: sum.bytes_up + cost.bytes_up,
            bytes_down: sum.bytes_down + cost.bytes_down,
            both: add(sum.both, cost.both),
            p2: add(sum.p2, cost.p2),
        })
    }

    /// Forgets what was spent so far.
    pub fn clear(&self) {
        self.books().costs.clear();
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, operation: &'static str) -> Stopwatch {
        self.books().current = operation;
        Stopwatch::start()
    }

    fn leave(&self, watch: Stopwatch, values: usize) {
        let elapsed = watch.elapsed();
        let mut books = self.books();
        let operation = books.current;
        let cost = books.costs.entry(operation).or_default();
        cost.calls += 1;
        cost.values += values as u64;
        cost.both.wall_ns += elapsed.wall_ns;
        cost.both.cpu_ns += elapsed.cpu_ns;
    }
}

/// A channel that enters its messages into a ledger.
pub struct MeteredChannel<C> {
    inner: C,
    ledger: Ledger,
}

impl<C> MeteredChannel<C> {
    /// Enters what passes `inner` into `ledger`.
    pub fn new(inner: C, ledger: Ledger) -> Self {
        Self { inner, ledger }
    }
}

impl<C: Channel> Channel for MeteredChannel<C> {
    fn exchange(&mut self, operation: u16, request: &[u8]) -> Result<Vec<u8>> {
        let (answer, elapsed) = Stopwatch::time(|| self.inner.exchange(operation, request));
        let answer = answer?;
        let mut books = self.ledger.books();
        let operation = books.current;
        let cost = books.costs.entry(operation).or_default();
        cost.rounds += 1;
        cost.bytes_up += request.len() as u64;
        cost.bytes_down += answer.len() as u64;
        cost.p2.wall_ns += elapsed.wall_ns;
        cost.p2.cpu_ns += elapsed.cpu_ns;
        Ok(answer)
    }
}

/// An arithmetic that enters its operations into a ledger. What needs no message counts as `local`.
pub struct Metered<A> {
    inner: A,
    ledger: Ledger,
}

impl<A: Arithmetic> Metered<A> {
    /// Enters what `inner` does into `ledger`.
    pub fn new(inner: A, ledger: Ledger) -> Self {
        Self { inner, ledger }
    }

    /// The arithmetic underneath.
    pub fn inner(&mut self) -> &mut A {
        &mut self.inner
    }

    /// The costs.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn matrix(&mut self, operation: &'static str, work: impl FnOnce(&mut A) -> Result<A::Matrix>) -> Result<A::Matrix> {
        let watch = self.ledger.enter(operation);
        let result = work(&mut self.inner)?;
        let values = self.inner.shape(&result).entries();
        self.ledger.leave(watch, values);
        Ok(result)
    }
}

impl<A: Arithmetic> Arithmetic for Metered<A> {
    type Matrix = A::Matrix;
    type Bits = A::Bits;
    type Answer = A::Answer;

    fn upload(&mut self, values: &[i64], rows: usize, cols: usize, bits: u32) -> Result<A::Matrix> {
        self.matrix("upload", |a| a.upload(values, rows, cols, bits))
    }

    fn shape(&self, m: &A::Matrix) -> Shape {
        self.inner.shape(m)
    }

    fn rows(&mut self, m: &A::Matrix, indices: &[usize]) -> Result<A::Matrix> {
        self.matrix("local", |a| a.rows(m, indices))
    }

    fn add(&mut self, a: &A::Matrix, b: &A::Matrix, bits: u32) -> Result<A::Matrix> {
        self.matrix("local", |arithmetic| arithmetic.add(a, b, bits))
    }

    fn subtract(&mut self, a: &A::Matrix, b: &A::Matrix, bits: u32) -> Result<A::Matrix> {
        self.matrix("local", |arithmetic| arithmetic.subtract(a, b, bits))
    }

    fn with_constant_column(&mut self, m: &A::Matrix, value: i64) -> Result<A::Matrix> {
        self.matrix("local", |a| a.with_constant_column(m, value))
    }

    fn without_last_row(&mut self, m: &A::Matrix) -> Result<A::Matrix> {
        self.matrix("local", |a| a.without_last_row(m))
    }

    fn product(&mut self, product: &Product<'_, A::Matrix>) -> Result<A::Matrix> {
        let name = match product.transposed {
            [true, _] => "gradient product",
            [_, true] => "backward product",
            _ => "forward product",
        };
        self.matrix(name, |a| a.product(product))
    }

    fn divide(&mut self, m: &A::Matrix, divisor: u64, bits: u32) -> Result<A::Matrix> {
        self.matrix("division", |a| a.divide(m, divisor, bits))
    }

    fn relu(&mut self, m: &A::Matrix) -> Result<(A::Matrix, A::Bits)> {
        let watch = self.ledger.enter("comparison");
        let result = self.inner.relu(m)?;
        self.ledger.leave(watch, self.inner.shape(m).entries());
        Ok(result)
    }

    fn select(&mut self, bits: &A::Bits, m: &A::Matrix) -> Result<A::Matrix> {
        self.matrix("selection", |a| a.select(bits, m))
    }

    fn argmax(&mut self, m: &A::Matrix) -> Result<A::Answer> {
        let watch = self.ledger.enter("argmax");
        let result = self.inner.argmax(m)?;
        self.ledger.leave(watch, self.inner.shape(m).rows);
        Ok(result)
    }

    fn answer(&mut self, m: &A::Matrix) -> Result<A::Answer> {
        let watch = self.ledger.enter("answer");
        let result = self.inner.answer(m)?;
        self.ledger.leave(watch, self.inner.shape(m).entries());
        Ok(result)
    }

    fn open(&mut self, answer: &A::Answer) -> Result<Vec<i64>> {
        self.inner.open(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Local, Responder};
    use crate::error::Error;
    use crate::workload::training::Float;

    struct Twice;

    impl Responder for Twice {
        fn respond(&mut self, operation: u16, request: &[u8], _longest: usize) -> Result<Vec<u8>> {
            if operation == 9 { Err(Error::Interrupted) } else { Ok(request.repeat(2)) }
        }
    }

    #[test]
    fn operations_and_messages_are_entered_where_they_belong() {
        let ledger = Ledger::default();
        let mut a = Metered::new(Float, ledger.clone());
        let mut channel = MeteredChannel::new(Local(Twice), ledger.clone());
        let m = a.upload(&[1, 2, 3, 4, 5, 6], 2, 3, 4).unwrap();
        let p = a.product(&Product::new(&m, &m, 1, 10).transpose_right()).unwrap();
        channel.exchange(1, b"abc").unwrap();
        channel.exchange(9, b"lost").unwrap_err();
        a.relu(&p).unwrap();
        let costs = ledger.costs();
        assert_eq!(costs.keys().copied().collect::<Vec<_>>(), ["backward product", "comparison", "upload"]);
        let product = costs["backward product"];
        assert_eq!((product.calls, product.values, product.rounds, product.bytes_up, product.bytes_down), (1, 4, 1, 3, 6));
        assert_eq!((costs["upload"].values, costs["comparison"].values), (6, 4));
        assert_eq!(ledger.total().calls, 3);
        ledger.clear();
        assert_eq!(ledger.total(), Cost::default());
    }
}
