//! Time by the device's own clock.

/// Where the device's clock at the start and at the end of a submission's kernels will stand.
pub(super) struct Stamps {
    pub(super) queries: wgpu::QuerySet,
    pub(super) resolved: wgpu::Buffer,
    pub(super) staging: wgpu::Buffer,
}

/// The device's own clock, where it has one. Stamps are read when they are asked for, not while work waits for its end.
#[derive(Default)]
pub(super) struct Clock {
    /// Of submissions that have ended.
    pub(super) ended: Vec<Stamps>,
    /// To be used again.
    pub(super) free: Vec<Stamps>,
    pub(super) busy: Busy,
}

/// Ticks in which a device was at work: a union of intervals that come in about their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Busy {
    pub(super) ticks: u64,
    until: u64,
}

impl Busy {
    /// Adds intervals (start, end). Where they overlap, also with earlier ones, they count once; one that ends before it starts, as after a clock that was set
    /// back, does not count.
    pub(super) fn add(&mut self, mut intervals: Vec<(u64, u64)>) {
        intervals.sort_unstable();
        for (start, end) in intervals {
            self.ticks += end.saturating_sub(start.max(self.until));
            self.until = self.until.max(end);
        }
    }
}
