//! Rates of a device that is slower at rest than under load.

use crate::stopwatch::Stopwatch;

/// Growth from round to round that counts as none.
const GROWTH: f64 = 1.02;
/// How long a GPU is kept busy at least: one at rest was seen at a sixth of its clock, and took some tenths of a second of work to raise it.
const LEAST_NS: u64 = 1_000_000_000;
/// How long at most.
const MOST_NS: u64 = 5_000_000_000;

/// Something done per second, by wall clock and by the device's own where it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) wall: f64,
    pub(super) device: Option<f64>,
}

/// The best rates of what `round` measures in turns: it is repeated until nothing gets faster, and for a while in any case. A device in `software` keeps its clock: one round.
pub(super) fn steady_rate<E>(software: bool, round: impl FnMut() -> Result<Vec<Rate>, E>) -> Result<Vec<Rate>, E> {
    let watch = Stopwatch::start();
    steady_rate_by(|| watch.elapsed().wall_ns, software, round)
}

/// As [`steady_rate`], by any clock.
fn steady_rate_by<E>(clock: impl Fn() -> u64, software: bool, mut round: impl FnMut() -> Result<Vec<Rate>, E>) -> Result<Vec<Rate>, E> {
    let mut best = round()?;
    while !software && clock() < MOST_NS {
        let next = round()?;
        let grows = best.iter().zip(&next).any(|(best, next)| next.wall > GROWTH * best.wall);
        for (best, next) in best.iter_mut().zip(next) {
            if next.wall > best.wall {
                *best = next;
            }
        }
        if !grows && clock() >= LEAST_NS {
            break;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_rises_is_waited_for_and_the_best_of_each_is_kept() {
        let rounds = std::cell::Cell::new(0u32);
        let round = || {
            rounds.set(rounds.get() + 1);
            let clock = f64::from(rounds.get().min(5));
            Ok::<_, ()>(vec![Rate { wall: clock, device: None }, Rate { wall: 10.0 - clock, device: Some(clock) }])
        };
        // A round takes a tenth of a second.
        let best = steady_rate_by(|| u64::from(rounds.get()) * LEAST_NS / 10, false, round).unwrap();
        assert_eq!(best, [Rate { wall: 5.0, device: None }, Rate { wall: 9.0, device: Some(1.0) }]);
        assert_eq!(rounds.get(), 10);
        assert_eq!(steady_rate(true, || Ok::<_, ()>(vec![Rate { wall: 1.0, device: None }])).unwrap().len(), 1);
        assert_eq!(steady_rate(false, || Err::<Vec<Rate>, _>("lost")), Err("lost"));
    }
}
