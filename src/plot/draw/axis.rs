//! Scales: numbers to pixels, and the numbers that an axis names.

use super::sheet::{LEADING, text_width};

/// Free pixels between two numbers that stand side by side.
const APART: i32 = 14;

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

/// The pixels along an axis, and which way its numbers stand to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A level axis: numbers stand side by side.
    Across(i32),
    /// An upright axis: numbers stand one above the other.
    Up(i32),
}

impl Room {
    fn pixels(self) -> i32 {
        match self {
            Self::Across(pixels) | Self::Up(pixels) => pixels,
        }
    }

    /// How far the middles of two numbers have to be apart.
    fn least(self, a: &str, b: &str) -> i32 {
        match self {
            Self::Across(_) => (text_width(a) + text_width(b)) / 2 + APART,
            Self::Up(_) => LEADING + 4,
        }
    }
}

/// A place on an axis; without a name it is a short mark between numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub name: String,
    /// A word below the number.
    pub below: &'static str,
}

impl Tick {
    fn named(at: f64, name: String) -> Self {
        Self { at, name, below: "" }
    }

    fn bare(at: f64) -> Self {
        Self::named(at, String::new())
    }
}

/// An axis: range, whether it is logarithmic, what it names, and its own name.
pub(super) struct Axis {
    pub range: (f64, f64),
    pub log: bool,
    pub ticks: Vec<Tick>,
    pub name: String,
}

impl Axis {
    /// A linear axis over a range, with about five round numbers, fewer where there is no room.
    pub(super) fn linear(name: impl Into<String>, range: (f64, f64), room: Room) -> Self {
        Self::stepped(name.into(), range, room, 0.0)
    }

    /// A linear axis that names whole numbers only.
    pub(super) fn whole(name: impl Into<String>, range: (f64, f64), room: Room) -> Self {
        Self::stepped(name.into(), range, room, 1.0)
    }

    fn stepped(name: String, range: (f64, f64), room: Room, least: f64) -> Self {
        let mut axis = Self { range, log: false, ticks: Vec::new(), name };
        for parts in (1..=5).rev().filter(|parts| *parts == 1 || step(range.0, range.1, *parts) >= least) {
            axis.ticks = numbers(range, parts);
            if axis.fits(room) {
                break;
            }
        }
        axis
    }

    /// An axis of percentages from 0 to 100 where the values fill it anyway; else one that shows
    /// their differences. [`Self::start`] says so.
    pub(super) fn percent(name: impl Into<String>, (least, most): (f64, f64), room: Room) -> Self {
        if least < 40.0 {
            return Self::linear(name, (0.0, 100.0), room);
        }
        let step = step(least, most, 4).max(0.01);
        let (low, high) = ((least / step + 1e-9).floor() * step, ((most / step - 1e-9).ceil() * step).min(100.0));
        Self::linear(name, (low, if high > low { high } else { low + step }), room)
    }

    /// Where an axis of percentages starts, if that is not 0.
    pub(super) fn start(&self) -> Option<String> {
        (self.range.0 > 0.0).then(|| format!("axis from {} %", trimmed(self.range.0)))
    }

    /// A logarithmic axis with air around the values. It names powers of ten, or their doubles and
    /// fivefolds as well, or round numbers: the first of these that has three to name and room for
    /// them. What it does not name has no grid line.
    pub(super) fn log(name: impl Into<String>, values: impl Iterator<Item = f64>, room: Room) -> Self {
        let ends = |(low, high): (f64, f64), v: f64| (low.min(v), high.max(v));
        let (low, high) = values.filter(|v| *v > 0.0 && v.is_finite()).fold((f64::INFINITY, 0.0_f64), ends);
        let range = if low > high { (1.0, 10.0) } else { (low / 1.25, high * 1.25) };
        let mut axis = Self { range, log: true, ticks: Vec::new(), name: name.into() };
        let powers = (1..=4).map(|every| powers(range, every));
        let round = (2..=6).rev().map(|parts| numbers(range, parts).into_iter().filter(|tick| inside(range, tick.at)).collect());
        for ticks in powers.chain([fives(range)]).chain(round) {
            axis.ticks = ticks;
            if axis.names().count() >= 3 && axis.fits(room) {
                return axis;
            }
        }
        // Two powers of ten always have room, so at worst the range grows to hold them.
        axis.ticks = self::powers(range, 1);
        if axis.names().count() < 2 || !axis.fits(room) {
            axis.range = (10_f64.powf(range.0.log10().floor()), 10_f64.powf(range.1.log10().ceil()));
            let decades = (1..).map(|every| self::powers(axis.range, every)).take(20);
            for ticks in decades {
                axis.ticks = ticks;
                if axis.fits(room) {
                    break;
                }
            }
        }
        axis
    }

    /// A logarithmic axis that names the sizes that occur, where they have room.
    pub(super) fn sizes(name: impl Into<String>, sizes: impl Iterator<Item = f64>, room: Room) -> Self {
        let mut sizes: Vec<f64> = sizes.collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let range = (sizes.first().copied().unwrap_or(1.0), sizes.last().copied().unwrap_or(2.0));
        let ticks = sizes.iter().map(|at| Tick::named(*at, format!("{at:.0}"))).collect();
        let mut axis = Self { range, log: true, ticks, name: name.into() };
        let scale = axis.scale((0, room.pixels()));
        let mut last: Option<(i32, String)> = None;
        for tick in &mut axis.ticks {
            let at = scale.at(tick.at);
            if last.as_ref().is_some_and(|(before, name)| at - before < room.least(name, &tick.name)) {
                tick.name.clear();
            } else {
                last = Some((at, tick.name.clone()));
            }
        }
        axis
    }

    /// Numbers to pixels.
    pub(super) fn scale(&self, pixels: (i32, i32)) -> Scale {
        if self.log { Scale::log(self.range, pixels) } else { Scale::linear(self.range, pixels) }
    }

    /// The numbers in words.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.ticks.iter().map(|t| t.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Whether no two numbers touch.
    fn fits(&self, room: Room) -> bool {
        let scale = self.scale((0, room.pixels()));
        let named: Vec<&Tick> = self.ticks.iter().filter(|t| !t.name.is_empty()).collect();
        named.windows(2).all(|pair| scale.at(pair[1].at) - scale.at(pair[0].at) >= room.least(&pair[0].name, &pair[1].name))
    }
}

/// Round numbers inside a range, with as many digits as tell them apart.
fn numbers((low, high): (f64, f64), parts: u32) -> Vec<Tick> {
    let step = step(low, high, parts);
    #[expect(clippy::cast_possible_truncation, reason = "a handful of ticks")]
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    // Large numbers are written short, as on logarithmic axes.
    let (unit, prefix) = match high.abs() {
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e5 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let name = |at: f64| if at == 0.0 && unit > 1.0 { "0".to_owned() } else { format!("{:.*}{prefix}", decimals(step / unit), at / unit) };
    (first..=last).map(|at| at as f64 * step).map(|at| Tick::named(at, name(at))).collect()
}

/// Digits behind the point that a step of 1, 2 or 5 times a power of ten needs.
fn decimals(step: f64) -> usize {
    (0..12).find(|digits| step * 10_f64.powi(*digits) > 0.999).and_then(|digits| usize::try_from(digits).ok()).unwrap_or(12)
}

/// A number of few digits without the noise of binary fractions.
fn trimmed(value: f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}

/// The distance between two round numbers of a range: 1, 2 or 5 times a power of ten, at least
/// `parts` of which fill the range, nearly.
fn step(low: f64, high: f64, parts: u32) -> f64 {
    let rough = ((high - low) / f64::from(parts)).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    power * [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough * 0.999).unwrap_or(10.0)
}

/// Every `every`-th power of ten inside a range, with bare ticks between.
fn powers(range: (f64, f64), every: i32) -> Vec<Tick> {
    let between = |e: i32| (1..10).map(move |m| (m, e));
    exponents(range, 1)
        .flat_map(between)
        .map(|(m, e)| (m, e, f64::from(m) * 10_f64.powi(e)))
        .filter(|(m, _, at)| inside(range, *at) && (*m == 1 || every == 1))
        .map(|(m, e, at)| if m == 1 && e.rem_euclid(every) == 0 { Tick::named(at, short(at)) } else { Tick::bare(at) })
        .collect()
}

/// Powers of ten, their doubles and fivefolds inside a range, with bare ticks between.
fn fives(range: (f64, f64)) -> Vec<Tick> {
    let all = exponents(range, 1).flat_map(|e| (1..10).map(move |m| (m, f64::from(m) * 10_f64.powi(e))));
    all.filter(|(_, at)| inside(range, *at)).map(|(m, at)| if [1, 2, 5].contains(&m) { Tick::named(at, short(at)) } else { Tick::bare(at) }).collect()
}

fn inside((low, high): (f64, f64), at: f64) -> bool {
    (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(&at)
}

/// Exponents of the powers of ten around a range.
#[expect(clippy::cast_possible_truncation, reason = "exponents of a double")]
fn exponents((low, high): (f64, f64), air: i32) -> std::ops::RangeInclusive<i32> {
    low.log10().floor() as i32 - air..=high.log10().ceil() as i32 + air
}

/// A number of at most three digits with the prefix of its thousand.
fn short(value: f64) -> String {
    // Three digits are read back so that sums and products of tenths show no noise.
    let scientific = format!("{value:.2e}");
    let value: f64 = scientific.parse().unwrap_or(value);
    match value.abs() {
        v if v >= 1e9 || (v > 0.0 && v < 1e-3) => {
            let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
            format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        v if v >= 1e6 => format!("{}M", value / 1e6),
        v if v >= 1e3 => format!("{}k", value / 1e3),
        _ => format!("{value}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_an_axis_differ_and_do_not_touch() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for case in 0..3000 {
            let low = 10_f64.powf(14.0 * random() - 7.0);
            let high = low * 10_f64.powf(if case % 2 == 0 { 0.2 * random() } else { 9.0 * random() }) + 1e-7;
            for room in [Room::Across(250), Room::Across(900), Room::Up(500)] {
                let share = |v: f64| 100.0 * v / (1.0 + v);
                let (a, b) = (share(low), share(high).max(share(low) + 1e-4));
                let axes =
                    [Axis::log("", [low, high].into_iter(), room), Axis::linear("", (low, high), room), Axis::percent("", (a, b.min(100.0)), room)];
                for axis in axes {
                    let names: Vec<&str> = axis.names().collect();
                    let distinct: std::collections::BTreeSet<&&str> = names.iter().collect();
                    assert!(distinct.len() == names.len() && axis.fits(room), "{low} {high}: {names:?}");
                    let air = (axis.range.1 - axis.range.0) * 1e-5;
                    let inside = axis.ticks.iter().all(|t| t.at >= axis.range.0 - air && t.at <= axis.range.1 + air);
                    assert!(inside && axis.ticks.iter().all(|t| !axis.log || t.at > 0.0), "{low} {high}: {names:?}");
                    assert!(!axis.log || names.len() >= 2, "{low} {high}: {names:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_keep_the_digits_that_they_need() {
        let names = |axis: &Axis| axis.names().map(str::to_owned).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&Axis::linear("", (0.0, 0.04), Room::Across(800))), "0.00 0.01 0.02 0.03 0.04");
        assert_eq!(names(&Axis::percent("", (98.94, 99.0), Room::Up(500))), "98.94 98.96 98.98 99.00");
        assert_eq!(names(&Axis::percent("", (10.0, 92.0), Room::Up(500))), "0 20 40 60 80 100");
        assert_eq!(names(&Axis::log("", [3.0, 9e5].into_iter(), Room::Up(500))), "10 100 1k 10k 100k 1M");
        assert_eq!(names(&Axis::log("", [9.5e3, 5.2e5].into_iter(), Room::Across(240))), "10k 100k");
        assert_eq!(names(&Axis::log("", [9.5e3, 5.2e5].into_iter(), Room::Across(800))), "10k 20k 50k 100k 200k 500k");
        assert_eq!(names(&Axis::log("", [100.0, 130.0].into_iter(), Room::Across(800))), "80 100 120 140 160");
        assert_eq!(names(&Axis::sizes("", [584.0, 4.0, 592.0].into_iter(), Room::Across(600))), "4 584");
        assert_eq!((short(1.5e-5), short(2e9), short(0.05), short(1500.0)), ("1.5e-5".into(), "2e9".into(), "0.05".into(), "1.5k".into()));
    }
}
