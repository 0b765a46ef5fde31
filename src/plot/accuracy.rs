//! Accuracy of plaintext and encrypted specs, by dataset and feature map, with the sampling error of the images used.

use super::axis::{Scale, step, ticks};
use super::rows::{Entry, axis, lay_out, names_above};
use super::series::{MOST_ROWS, with_hidden};
use super::sheet::{BLACK, BLUE, MARGIN, PALE, Shape, Sheet};
use crate::report::{Naming, Row, labels, percent};

/// Quantile of the normal distribution for an interval of 95 %.
const Z: f64 = 1.96;

/// Specs of one group that share name, accuracy and number of images.
struct Dot {
    group: String,
    name: String,
    accuracy: f64,
    images: u32,
    clear: bool,
    specs: usize,
}

/// The figure, if any spec has an accuracy.
pub(super) fn sheet(rows: &[&Row], footer: &str) -> Option<Sheet> {
    let shown: Vec<&Row> =
        rows.iter().copied().filter(|r| r.outcome.accuracy.is_some() && r.outcome.error.is_none() && r.outcome.images > 0).collect();
    let mut dots = dots(&shown);
    // Where there are many, precisions that were tried in the clear give way; `slots` shows them.
    let all = dots.len();
    if all > MOST_ROWS {
        let precise = |r: &Row| (r.outcome.feature_bits.unwrap_or(u32::MAX), r.outcome.weight_bits.unwrap_or(u32::MAX));
        let kept = shown.iter().copied().filter(|r| {
            let same = |other: &&&Row| {
                other.is_clear()
                    && (&other.outcome.dataset, &other.outcome.features, &other.outcome.method)
                        == (&r.outcome.dataset, &r.outcome.features, &r.outcome.method)
            };
            !r.is_clear() || shown.iter().filter(same).all(|other| precise(other) <= precise(r))
        });
        dots = self::dots(&kept.collect::<Vec<&Row>>());
    }
    let hidden = all - dots.len();
    let ends: Vec<(f64, f64)> = dots.iter().map(|d| wilson(d.accuracy, d.images)).collect();
    let least = ends.iter().map(|e| e.0).min_by(f64::total_cmp)?;
    let most = ends.iter().map(|e| e.1).max_by(f64::total_cmp)?;
    // An axis that keeps the origin when the values fill it anyway; else one that shows the differences and says where it starts.
    let (low, high) = if least < 40.0 {
        (0.0, 100.0)
    } else {
        let step = step(least, most);
        ((least / step).floor() * step, ((most / step).ceil() * step).min(100.0))
    };

    let mut sheet = Sheet::new("accuracy");
    let mut entries = Vec::new();
    let mut group: Option<&str> = None;
    for dot in &dots {
        let same: Vec<&Dot> = dots.iter().filter(|d| d.group == dot.group).collect();
        let uniform = same.iter().all(|d| d.images == dot.images);
        if group != Some(dot.group.as_str()) {
            group = Some(&dot.group);
            entries.push(Entry::Heading(if uniform { format!("{}, n={}", dot.group, dot.images) } else { dot.group.clone() }));
        }
        let mut name = if dot.specs > 1 { format!("{}, {} specs", dot.name, dot.specs) } else { dot.name.clone() };
        if !uniform {
            name = format!("{name}, n={}", dot.images);
        }
        entries.push(Entry::Row(name, percent(dot.accuracy, dot.images)));
    }
    let layout = lay_out(&mut sheet, MARGIN, "%", &entries);
    let scale = Scale::linear((low, high), layout.x);
    let decimals = if step(low, high) < 0.1 { 2 } else { usize::from(step(low, high) < 1.0) };
    let ticks: Vec<(i32, String)> = ticks(low, high).into_iter().map(|t| (scale.at(t), format!("{t:.decimals$}"))).collect();
    let start = if low > 0.0 { format!("; axis starts at {low:.decimals$}") } else { String::new() };
    let bottom = axis(&mut sheet, &layout, &ticks, &format!("accuracy of n images (%), 95 % interval{start}"), names_above(&layout, &entries));
    for ((dot, (from, to)), &y) in dots.iter().zip(ends).zip(&layout.y) {
        let colour = if dot.clear { BLACK } else { BLUE };
        sheet.line(vec![(layout.x.0, y), (layout.x.1, y)], PALE, 2);
        let (from, to) = (scale.at(from), scale.at(to));
        sheet.line(vec![(from, y), (to, y)], colour, 3);
        for end in [from, to] {
            sheet.line(vec![(end, y - 14), (end, y + 14)], colour, 3);
        }
        sheet.small_marker(if dot.clear { Shape::Square } else { Shape::Circle }, (scale.at(100.0 * dot.accuracy), y), colour, !dot.clear);
    }
    Some(sheet.finish(bottom, &with_hidden(hidden, "of lower precision", footer)))
}

/// One dot per result: encrypted specs that agree in accuracy and images fall together, which they do whenever all are verified.
fn dots(rows: &[&Row]) -> Vec<Dot> {
    let mut groups: Vec<(String, Vec<&Row>)> = Vec::new();
    for &row in rows {
        let name = format!("{}, {}", row.outcome.dataset, row.outcome.features);
        match groups.iter_mut().find(|(n, _)| *n == name) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((name, vec![row])),
        }
    }
    let mut dots: Vec<Dot> = Vec::new();
    for (group, rows) in groups {
        let first = dots.len();
        for (row, label) in rows.iter().zip(labels(&rows, Naming::Whole)) {
            let o = &row.outcome;
            let accuracy = o.accuracy.unwrap_or_default();
            // Unverified specs stay by themselves and keep the word in their name.
            let mut same = dots.iter_mut().skip(first).filter(|d| !d.clear && !row.is_clear() && o.verified && d.name.starts_with(&o.scheme));
            #[expect(clippy::float_cmp, reason = "shares of the same number of images are equal or different results")]
            if let Some(dot) = same.find(|d| d.accuracy == accuracy && d.images == o.images) {
                dot.specs += 1;
                continue;
            }
            let name = if row.is_clear() || !o.verified { label } else { o.scheme.clone() };
            dots.push(Dot { group: group.clone(), name, accuracy, images: o.images, clear: row.is_clear(), specs: 1 });
        }
    }
    dots
}

/// The interval of Wilson (1927) for a share, in percent.
pub(super) fn wilson(share: f64, count: u32) -> (f64, f64) {
    let n = f64::from(count);
    let centre = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    (100.0 * (centre - half).max(0.0), 100.0 * (centre + half).min(1.0))
}
