//! How many times faster: than one power per weight, and than other programs on the same jobs.

use super::axis::{Axis, duration};
use super::palette::{FOREIGN, backend, hue, shape};
use super::rows::{Entry, draw_axis, lay_out};
use super::series::{MOST_ROWS, entries, grouped, open, with_hidden};
use super::sheet::{Align, BLACK, Footer, GREY, LEADING, MARGIN, Shape, Sheet, text_width};
use crate::report::peers::Peer;
use crate::report::{Row, digits3};

/// Speed-up over the row that differs in `method = naive` only, for the product alone and for the whole.
pub(super) fn over_naive(rows: &[&Row], footer: &Footer) -> Result<Sheet, String> {
    let mut shown: Vec<&Row> = rows.iter().copied().filter(|r| r.over_naive.is_some()).collect();
    if shown.is_empty() {
        return Err("no row has a partner that differs in method naive alone".into());
    }
    let hidden = shown.len().saturating_sub(MOST_ROWS);
    // By key first; the sort is stable, so within a key the order stays.
    shown.sort_by_key(|r| r.outcome.key_bits);
    shown.truncate(MOST_ROWS);
    let mut sheet = Sheet::new("speedup-naive");
    let mut x = MARGIN;
    let y = MARGIN + LEADING / 2;
    for (name, filled) in [("encrypted product alone", true), ("all online stages", false)] {
        sheet.swatch(Shape::Circle, (x + 14, y), GREY, filled);
        sheet.text(name, (x + 38, y), Align::Left, BLACK);
        x += 38 + text_width(name) + 28;
    }
    let both = |row: &Row| {
        row.over_naive.map_or_else(String::new, |s| format!("{} / {}", s.evaluate.map_or_else(|| "-".into(), digits3), digits3(s.online)))
    };
    let (entries, shown) = entries(grouped(&shown), both);
    let layout = lay_out(&mut sheet, y + LEADING / 2 + 6, "product / all", &entries);
    let ratios = shown.iter().filter_map(|r| r.over_naive).flat_map(|s| [Some(s.online), s.evaluate]).flatten();
    let axis = Axis::log("times faster than one power per weight", ratios.chain([1.0]), layout.room());
    let scale = layout.scale(&axis);
    let bottom = draw_axis(&mut sheet, &layout, &axis);
    for (row, &y) in shown.iter().zip(&layout.y) {
        let Some(speedup) = row.over_naive else { continue };
        let shape = shape(&row.outcome.features);
        sheet.marker(shape, (scale.at(speedup.online), y), hue(row), false);
        if let Some(evaluate) = speedup.evaluate {
            sheet.marker(shape, (scale.at(evaluate), y), hue(row), true);
        }
    }
    Ok(sheet.finish(bottom, &with_hidden(hidden, "under longer keys", footer).with(open(&shown)).with("ratios of medians")))
}

/// Times of other programs beside ours, in groups of equal strength; the ratio to our fastest stands beside each.
pub(super) fn peers(all: &[Peer]) -> Result<Sheet, String> {
    let jobs = [("image", "one image"), ("batch", "full batches")];
    let timed: Vec<&Peer> = all.iter().filter(|p| jobs.iter().any(|(job, _)| p.job == *job)).collect();
    let Some(threads) = timed.iter().map(|p| p.threads).min() else {
        return Err("no samples of benches/peers/run.py in this folder, in its folder peers or given with --peers".into());
    };
    let mut sheet = Sheet::new("peers");
    let (mut entries, mut shown) = (Vec::new(), Vec::new());
    for (job, title) in jobs {
        let mut strengths: Vec<u32> = timed.iter().map(|p| p.security_bits).collect();
        strengths.sort_unstable();
        strengths.dedup();
        for strength in strengths {
            let mut group: Vec<&Peer> =
                timed.iter().copied().filter(|p| p.threads == threads && p.job == job && p.security_bits == strength).collect();
            group.sort_by(|a, b| a.wall_ns.median.total_cmp(&b.wall_ns.median));
            let best = group.iter().filter(|p| p.is_ours()).map(|p| p.wall_ns.median).min_by(f64::total_cmp);
            if group.is_empty() {
                continue;
            }
            entries.push(Entry::Heading(format!("{title}, {strength} bits of security")));
            for peer in group {
                let times = best.map_or_else(String::new, |best| format!(", \u{d7}{}", digits3(peer.wall_ns.median / best)));
                let key = peer.key_bits.map_or_else(String::new, |bits| format!(" {bits}"));
                let name = peer.name.replacen("cipherlane", "ours,", 1);
                entries.push(Entry::Row(format!("{name}{key}"), format!("{}{times}", duration(peer.wall_ns.median))));
                shown.push(peer);
            }
        }
    }
    let layout = lay_out(&mut sheet, MARGIN, "to our best", &entries);
    let ends = |p: &Peer| [p.wall_ns.median, p.wall_ns.low.unwrap_or(p.wall_ns.median), p.wall_ns.high.unwrap_or(p.wall_ns.median)];
    let words = format!("ms per image, {threads} thread{}", if threads == 1 { "" } else { "s" });
    let axis = Axis::log(words, shown.iter().flat_map(|p| ends(p)).map(|ns| ns * 1e-6), layout.room());
    let scale = layout.scale(&axis);
    let bottom = draw_axis(&mut sheet, &layout, &axis);
    for (peer, &y) in shown.iter().zip(&layout.y) {
        let ours = |name: &str| name.split_whitespace().map(backend).find(|hue| *hue != FOREIGN).unwrap_or(FOREIGN);
        let (colour, shape) = if peer.is_ours() { (ours(&peer.name), Shape::Circle) } else { (FOREIGN, Shape::Diamond) };
        let [at, low, high] = ends(peer).map(|ns| scale.at(ns * 1e-6));
        sheet.interval((at, y), ((low, y), (high, y)), colour);
        sheet.marker(shape, (at, y), colour, true);
    }
    let words = "circles: cipherlane; diamonds: published packages, measured in turn with it; one machine, every answer checked; bars: 95 % bootstrap intervals of the median";
    Ok(sheet.finish(bottom, &Footer::default().with(words)))
}
