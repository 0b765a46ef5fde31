//! Scales: numbers to pixels, and the numbers that an axis names.

/// A linear or logarithmic scale onto a range of pixels.
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
    log: bool,
}

impl Scale {
    /// `low` comes to lie on the pixel `from`, `high` on `to`.
    pub(super) fn linear((low, high): (f64, f64), (from, to): (i32, i32)) -> Self {
        Self { low, high, from, to, log: false }
    }

    /// The same for logarithms; both ends are positive.
    pub(super) fn log((low, high): (f64, f64), (from, to): (i32, i32)) -> Self {
        Self { low: low.log10(), high: high.log10(), from, to, log: true }
    }

    /// The pixel of a value; values outside fall on the nearer end.
    #[expect(clippy::cast_possible_truncation, reason = "between two pixels of a figure")]
    pub(super) fn at(&self, value: f64) -> i32 {
        let value = if self.log { value.log10() } else { value };
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + (share * f64::from(self.to - self.from)).round() as i32
    }
}

/// The range that values need on a logarithmic axis, with some air, and the numbers that it names: powers of ten, with their doubles and fivefolds where
/// there are few.
pub(super) fn log_axis(values: impl Iterator<Item = f64>) -> ((f64, f64), Vec<(f64, String)>) {
    let (low, high) = values.filter(|v| *v > 0.0 && v.is_finite()).fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return log_axis([1.0, 10.0].into_iter());
    }
    let (mut low, mut high) = (low / 1.25, high * 1.25);
    let powers = decades(low, high).count();
    if powers >= 3 {
        let every = if powers > 11 { 2 } else { 1 };
        return ((low, high), decades(low, high).step_by(every).map(|e| (10_f64.powi(e), decade_name(e))).collect());
    }
    let steps: Vec<(f64, String)> = (*decades(low, high).start() - 2..=*decades(low, high).end() + 1)
        .flat_map(|e| [1.0, 2.0, 5.0].map(|m| (m * 10_f64.powi(e), step_name(m, e))))
        .collect();
    // At least three numbers, or the axis says little.
    while steps.iter().filter(|(v, _)| (low..=high).contains(v)).count() < 3 {
        (low, high) = (low / 1.1, high * 1.1);
    }
    ((low, high), steps.into_iter().filter(|(v, _)| (low..=high).contains(v)).collect())
}

/// Exponents of the powers of ten inside a range.
#[expect(clippy::cast_possible_truncation, reason = "exponents of a double")]
pub(super) fn decades(low: f64, high: f64) -> std::ops::RangeInclusive<i32> {
    (low.log10() - 1e-9).ceil() as i32..=(high.log10() + 1e-9).floor() as i32
}

/// A power of ten with the prefix of its thousand.
pub(super) fn decade_name(exponent: i32) -> String {
    step_name(1.0, exponent)
}

/// A digit times a power of ten, in the same way.
fn step_name(digit: f64, exponent: i32) -> String {
    let value = |shift: i32| digit * 10_f64.powi(exponent - shift);
    match exponent {
        0..=2 => format!("{:.0}", value(0)),
        3..=5 => format!("{:.0}k", value(3)),
        6..=8 => format!("{:.0}M", value(6)),
        -3..=-1 => format!("{:.*}", usize::try_from(-exponent).unwrap_or(0), value(0)),
        _ => format!("{digit:.0}e{exponent}"),
    }
}

/// A rate in three digits with the prefix of its thousand.
pub(super) fn rate(value: f64) -> String {
    // 999.5 and its multiples would round to four digits under the smaller prefix.
    match value {
        v if v >= 999.5e6 => format!("{v:.2e}"),
        v if v >= 999.5e3 => format!("{}M", crate::report::digits3(v / 1e6)),
        v if v >= 999.5 => format!("{}k", crate::report::digits3(v / 1e3)),
        v => crate::report::digits3(v),
    }
}

/// A duration in nanoseconds, in three digits and the unit that keeps them short.
pub(super) fn duration(ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| ns >= 0.9995 * scale).unwrap_or((1.0, "ns"));
    format!("{} {unit}", crate::report::digits3(ns / scale))
}

/// Round numbers inside a range, about five, at distances of 1, 2, 5 or 10 times a power of ten.
pub(super) fn ticks(low: f64, high: f64) -> Vec<f64> {
    let step = step(low, high);
    #[expect(clippy::cast_possible_truncation, reason = "a handful of ticks")]
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    #[expect(clippy::cast_precision_loss, reason = "a handful of ticks")]
    (first..=last).map(|at| at as f64 * step).collect()
}

/// The distance between two ticks of a range.
pub(super) fn step(low: f64, high: f64) -> f64 {
    let rough = ((high - low) / 4.0).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough * 0.999).unwrap_or(10.0)
}
