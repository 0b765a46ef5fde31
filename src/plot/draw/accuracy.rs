//! Accuracy of plaintext and encrypted specs, by dataset and feature map, with the sampling error of the images used.

use super::axis::Axis;
use super::palette::{CLEAR, FOREIGN, shape};
use super::rows::{Entry, draw_axis, lay_out};
use super::series::{MOST_ROWS, with_hidden};
use super::sheet::{Footer, MARGIN, Shape, Sheet};
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
    shape: Shape,
    specs: usize,
}

/// The figure, if any spec has an accuracy.
pub(super) fn sheet(rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
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
    let range = ends.iter().fold((100.0_f64, 0.0_f64), |(low, high), (from, to)| (low.min(*from), high.max(*to)));
    if dots.is_empty() {
        return Err("no row has an accuracy".into());
    }

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
    let axis = Axis::percent("accuracy on n test images (%)", range, layout.room());
    let scale = layout.scale(&axis);
    let bottom = draw_axis(&mut sheet, &layout, &axis);
    for ((dot, (from, to)), &y) in dots.iter().zip(ends).zip(&layout.y) {
        let colour = if dot.clear { CLEAR } else { FOREIGN };
        let at = (scale.at(100.0 * dot.accuracy), y);
        sheet.interval(at, ((scale.at(from), y), (scale.at(to), y)), colour);
        sheet.marker(dot.shape, at, colour, !dot.clear);
    }
    let footer = with_hidden(hidden, "of lower precision", footer).with("bars: 95 % Wilson intervals").with(axis.start().unwrap_or_default());
    Ok(sheet.finish(bottom, &footer))
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
            dots.push(Dot { group: group.clone(), name, accuracy, images: o.images, clear: row.is_clear(), shape: shape(&o.features), specs: 1 });
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
