//! Times of stages, and how long a row is measured.

use std::cell::Cell;

use super::sampling::Sampling;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::machine::energy;
use crate::record::{Phase, Stage};
use crate::stopwatch::{Elapsed, Stopwatch};

/// A timed stage of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// The step.
    pub stage: Stage,
    /// The phase that it belongs to.
    pub phase: Phase,
    /// Number of the sample, one for each batch whose times are kept.
    pub batch: u32,
    /// Images of the batch.
    pub images: u32,
    /// Its duration.
    pub elapsed: Elapsed,
    /// Nanoseconds of the device's kernels in that time, by its own clock; none where it has none or ran nothing.
    pub device_ns: Option<u64>,
}

/// Reads a backend's own clock stage by stage, outside of what is timed.
pub(super) struct DeviceClock<'a> {
    backend: Option<&'a dyn Backend>,
    read: Cell<u64>,
}

impl<'a> DeviceClock<'a> {
    /// A clock that starts now; without a backend, or one without a clock, it tells nothing.
    pub(super) fn start(backend: Option<&'a dyn Backend>) -> Self {
        Self { backend, read: Cell::new(backend.and_then(Backend::device_ns).unwrap_or(0)) }
    }

    /// Nanoseconds of kernels since the last reading, where there were any.
    pub(super) fn lap(&self) -> Option<u64> {
        let now = self.backend?.device_ns()?;
        Some(now.saturating_sub(self.read.replace(now))).filter(|&ns| ns > 0)
    }
}

/// Sums over the batches whose times are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Batches.
    pub samples: u32,
    /// Images of them.
    pub images: usize,
    /// Wall time from the start of the first stage to the end of the last, summed: the stages and what the harness does between them.
    pub wall_ns: u64,
    /// Energy of processor and memory in that time, in microjoules, where the machine counts it.
    pub energy_uj: Option<u64>,
}

/// Samples after which no batch is repeated for the sake of time: more would fill files with what microseconds repeat.
const MOST_REPEATED: u32 = 1000;

/// Decides batch by batch what is kept, and when a spec has been measured for long enough. Times of
/// full batches alone are kept: what is left over at the end of a pass is verified like the rest,
/// but fills its ciphertexts badly.
pub(super) struct Sampler {
    sampling: Sampling,
    /// Images of a full batch.
    full: usize,
    energy: Option<energy::Counter>,
    /// Online time of all batches.
    online_ns: u64,
    pub(super) kept: Kept,
    begun: Option<energy::Reading>,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling, full: usize) -> Self {
        let energy = energy::Counter::open();
        let kept = Kept { energy_uj: energy.is_some().then_some(0), ..Kept::default() };
        Self { sampling, full, energy, online_ns: 0, kept, begun: None }
    }

    /// Number of the sample that the next batch gives, should it be kept.
    pub(super) fn sample(&self) -> u32 {
        self.kept.samples
    }

    /// A batch is about to begin.
    pub(super) fn begin(&mut self) -> Stopwatch {
        self.begun = self.energy.as_ref().and_then(energy::Counter::read);
        Stopwatch::start()
    }

    /// A batch has ended: whether its times are kept.
    pub(super) fn end(&mut self, watch: Stopwatch, images: usize) -> bool {
        let wall_ns = watch.elapsed().wall_ns;
        let energy_uj = self.energy.as_ref().zip(self.begun.take()).and_then(|(counter, begun)| counter.since(&begun));
        let keep = images == self.full && self.online_ns >= u64::from(self.sampling.warm_up_ms) * 1_000_000;
        self.online_ns += wall_ns;
        if keep {
            self.kept.samples += 1;
            self.kept.images += images;
            self.kept.wall_ns += wall_ns;
            // One reading that fails leaves no sum.
            self.kept.energy_uj = self.kept.energy_uj.zip(energy_uj).map(|(sum, uj)| sum + uj);
        }
        keep
    }

    /// `true` if enough was measured, once every image was worked on.
    pub(super) fn is_enough(&self) -> bool {
        let ns = |ms: u32| u64::from(ms) * 1_000_000;
        let long = self.kept.wall_ns >= ns(self.sampling.least_ms) || self.kept.samples >= MOST_REPEATED;
        let reached = self.kept.samples >= self.sampling.least_samples && long;
        // What is not kept at all is not measured.
        reached || (self.kept.samples > 0 && self.sampling.most_ms > 0 && self.online_ns >= ns(self.sampling.most_ms))
    }
}

/// The first images of all batches, pass after pass without an end. The first pass alone has what
/// is left over where images are no multiple of a batch.
pub(super) fn passes(images: usize, batch: usize) -> impl Iterator<Item = (usize, usize)> {
    let batch = batch.clamp(1, images.max(1));
    let end = move |pass: usize| if pass == 0 { images } else { images - images % batch };
    (0..).flat_map(move |pass| (0..end(pass)).step_by(batch).map(move |first| (pass, first)))
}

/// A pool of its own for a spec that names its number of threads.
pub(super) fn thread_pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::unsupported("this system", format!("a pool of {threads} threads: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_left_over_are_worked_on_once_and_leave_no_time() {
        let batches: Vec<(usize, usize)> = passes(408, 372).take(4).collect();
        assert_eq!(batches, [(0, 0), (0, 372), (1, 0), (2, 0)]);
        assert_eq!(passes(5, 9).take(2).collect::<Vec<_>>(), [(0, 0), (1, 0)]);
        let mut sampler = Sampler::new(Sampling::ONCE, 372);
        for (images, kept) in [(372, true), (36, false), (372, true)] {
            let watch = sampler.begin();
            assert_eq!(sampler.end(watch, images), kept);
        }
        assert_eq!((sampler.kept.samples, sampler.kept.images), (2, 744));
    }
}
