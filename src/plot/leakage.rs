//! What ciphertexts give away: accuracy of what was learnt from them, beside the share of the key and of the images that an attack recovers.

use std::collections::BTreeMap;

use super::axis::{Scale, step, ticks};
use super::lines::{Axis, Dot, Level, Line, chart};
use super::rows::{Entry, axis, lay_out, names_above};
use super::sheet::{BLACK, BLUE, GREY, LEADING, MARGIN, ORANGE, PALE, Shape, Sheet, VERMILION};
use crate::record::leakage::Leak;

/// Accuracy of guessing one of ten classes, in percent.
const CHANCE: f64 = 10.0;

/// A size that is varied: its name in the rows, the figure, the axis, and the size of a row as the axis shows it.
type Varied = (&'static str, &'static str, &'static str, fn(&Leak) -> Option<f64>);

const VARIED: [Varied; 4] = [
    ("a-bound", "leakage-a-bound", "bits of the entries of A", |row| row.a_bound.map_or(row.q_bits.map(f64::from), |b| Some(bits(b)))),
    ("t-bound", "leakage-t-bound", "bits of the entries of the key T", |row| row.t_bound.map(bits)),
    ("key-columns", "leakage-key-columns", "columns of the key T", |row| row.key_columns.map(f64::from)),
    ("q-bits", "leakage-q-bits", "bits of the modulus q (A uniform below it)", |row| row.q_bits.map(f64::from)),
];

fn bits(bound: u64) -> f64 {
    (bound as f64).log2()
}

/// The names of the figures along one size.
#[cfg(test)]
pub(super) const SWEEPS: [&str; 4] = [VARIED[0].1, VARIED[1].1, VARIED[2].1, VARIED[3].1];

/// Utility and secrecy along a size, one figure per size.
pub(super) fn sweeps(rows: &[Leak], footer: &str) -> Vec<(&'static str, Result<Sheet, String>)> {
    VARIED.iter().map(|varied| (varied.1, along(rows, varied, footer))).collect()
}

fn along(rows: &[Leak], &(sweep, name, axis_name, size): &Varied, footer: &str) -> Result<Sheet, String> {
    let shown: Vec<(f64, &Leak)> =
        rows.iter().filter(|row| row.sweep == sweep && row.setting != "clear").filter_map(|row| Some((size(row)?, row))).collect();
    let line = |name: &str, colour, shape, filled, share: fn(&Leak) -> Option<f64>| {
        let mut dots: Vec<Dot> = shown.iter().filter_map(|(x, row)| share(row).map(|y| Dot { x: *x, y: 100.0 * y, range: None })).collect();
        dots.sort_by(|a, b| a.x.total_cmp(&b.x));
        Line { name: name.into(), colour, shape, filled, dots, marks: (1, 0) }
    };
    let lines: Vec<Line> = [
        line("accuracy of a classifier trained on ciphertexts", BLUE, Shape::Circle, true, |row| row.accuracy),
        line("entries of the key recovered by the attack", VERMILION, Shape::Square, true, |row| row.key_recovered),
        line("test images decrypted by the attack", ORANGE, Shape::Triangle, false, |row| row.images_recovered),
    ]
    .into_iter()
    .filter(|line| line.dots.len() > 1)
    .collect();
    if lines.is_empty() {
        return Err(format!("no rows vary {sweep}"));
    }
    let mut levels = vec![Level { name: "guessing".into(), y: CHANCE, colour: GREY }];
    if let Some(accuracy) = rows.iter().find(|row| row.sweep == sweep && row.setting == "clear").and_then(|row| row.accuracy) {
        levels.insert(0, Level { name: "the same classifier trained on plaintext".into(), y: 100.0 * accuracy, colour: BLACK });
    }
    let ends = lines.iter().flat_map(|l| &l.dots).fold((f64::INFINITY, 0.0_f64), |(low, high), dot| (low.min(dot.x), high.max(dot.x)));
    let x = if sweep == "key-columns" {
        let all: BTreeMap<u64, f64> = shown.iter().map(|(x, _)| (*x as u64, *x)).collect();
        Axis::new(axis_name, ends, true, all.into_iter().map(|(n, x)| (x, n.to_string())).collect())
    } else {
        let whole = ticks(ends.0, ends.1).into_iter().filter(|t| t.fract() == 0.0);
        Axis::new(axis_name, ends, false, whole.map(|t| (t, format!("{t:.0}"))).collect())
    };
    let named = (0..=5).map(|at| (20.0 * f64::from(at), (20 * at).to_string())).collect();
    let y = Axis::new("share (%)", (0.0, 100.0), false, named);
    Ok(chart(name, (&x, &y), &lines, &levels, &format!("{}{footer}", sizes(&shown))))
}

/// The sizes that the rows share.
fn sizes(rows: &[(f64, &Leak)]) -> String {
    let shared = |name: &str, value: &dyn Fn(&Leak) -> Option<String>| {
        let first = rows.first().and_then(|(_, row)| value(row))?;
        rows.iter().all(|(_, row)| value(row).as_ref() == Some(&first)).then(|| format!("{name}{first}"))
    };
    let parts = [
        shared("", &|r| Some(r.dataset.clone())),
        shared("", &|r| Some(r.setting.clone())),
        shared("", &|r| Some(r.network.clone())),
        shared("k = ", &|r| r.key_columns.map(|n| n.to_string())),
        shared("A < ", &|r| r.a_bound.map(|n| n.to_string())),
        shared("E < ", &|r| r.e_bound.map(|n| n.to_string())),
        shared("T < ", &|r| r.t_bound.map(|n| n.to_string())),
        shared("w of ", &|r| r.w_bits.map(|n| format!("{n} bits"))),
        shared("q of ", &|r| r.q_bits.map(|n| format!("{n} bits"))),
        shared("", &|r| r.training_images.map(|n| format!("{n} training images"))),
        shared("", &|r| r.test_images.map(|n| format!("{n} test images"))),
    ];
    parts.into_iter().flatten().map(|part| part + "; ").collect()
}

/// A setting and its numbers.
type Named<'a> = (&'a str, Vec<f64>);

/// Accuracy by network and setting, a marker for each seed.
pub(super) fn training(rows: &[Leak], footer: &str) -> Result<Sheet, String> {
    let shown: Vec<(&Leak, f64)> = rows.iter().filter_map(|row| Some((row, row.accuracy?))).collect();
    let mut groups: Vec<(&str, Vec<Named<'_>>)> = Vec::new();
    for (row, accuracy) in &shown {
        let at = groups.iter().position(|(name, _)| *name == row.network).unwrap_or_else(|| {
            groups.push((&row.network, Vec::new()));
            groups.len() - 1
        });
        let settings = &mut groups[at].1;
        match settings.iter_mut().find(|(name, _)| *name == row.setting) {
            Some((_, all)) => all.push(100.0 * accuracy),
            None => settings.push((&row.setting, vec![100.0 * accuracy])),
        }
    }
    let all = || shown.iter().map(|(_, accuracy)| 100.0 * accuracy);
    let (Some(least), Some(most)) = (all().min_by(f64::total_cmp), all().max_by(f64::total_cmp)) else {
        return Err("no row has an accuracy".into());
    };
    // An axis that keeps the origin when the values fill it anyway; else one that shows the differences and says where it starts.
    let (low, high) = if least < 40.0 {
        (0.0, 100.0)
    } else {
        let step = step(least, most);
        ((least / step).floor() * step, ((most / step).ceil() * step).min(100.0))
    };
    let mut sheet = Sheet::new("ciphertext-training");
    let mut entries = Vec::new();
    for (network, settings) in &groups {
        entries.push(Entry::Heading((*network).to_owned()));
        for (setting, accuracies) in settings {
            let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
            let name = if *setting == "clear" { "plaintext".to_owned() } else { (*setting).to_owned() };
            entries.push(Entry::Row(name, format!("{mean:.2}")));
        }
    }
    let layout = lay_out(&mut sheet, MARGIN, "mean", &entries);
    let scale = Scale::linear((low, high), layout.x);
    let decimals = usize::from(step(low, high) < 1.0);
    let named: Vec<(i32, String)> = ticks(low, high).into_iter().map(|t| (scale.at(t), format!("{t:.decimals$}"))).collect();
    let start = if low > 0.0 { format!(", the axis starts at {low:.decimals$}") } else { String::new() };
    let name = format!("accuracy on test images (%), a marker for each seed{start}");
    let bottom = axis(&mut sheet, &layout, &named, &name, names_above(&layout, &entries));
    if low < CHANCE {
        sheet.dashed((scale.at(CHANCE), layout.span.0 + LEADING), (scale.at(CHANCE), layout.span.1), GREY);
    }
    for ((setting, accuracies), &y) in groups.iter().flat_map(|(_, settings)| settings).zip(&layout.y) {
        sheet.line(vec![(layout.x.0, y), (layout.x.1, y)], PALE, 2);
        let clear = *setting == "clear";
        for &accuracy in accuracies {
            let (shape, colour) = if clear { (Shape::Square, BLACK) } else { (Shape::Circle, BLUE) };
            sheet.small_marker(shape, (scale.at(accuracy), y), colour, !clear);
        }
    }
    let note = if low < CHANCE { format!("dashed: guessing; {footer}") } else { footer.to_owned() };
    Ok(sheet.finish(bottom, &note))
}

#[cfg(test)]
pub(super) mod synthetic {
    use super::*;

    /// Rows along each size, and of a training, with names as long as they come.
    pub(crate) fn rows() -> (Vec<Leak>, Vec<Leak>) {
        let base = Leak {
            dataset: "mnist".into(),
            setting: "modular-fresh".into(),
            network: "softmax".into(),
            seed: 1,
            dimension: 784,
            key_columns: Some(16),
            a_bound: Some(100),
            e_bound: Some(1000),
            t_bound: Some(100),
            w_bits: Some(30),
            q_bits: Some(40),
            training_images: Some(6000),
            test_images: Some(2000),
            run_id: "2025-01-02-0123abcd".into(),
            revision: "0123456789ab".into(),
            cpu: "A Processor With A Long Name".into(),
            ..Leak::default()
        };
        let mut leaks = Vec::new();
        for (sweep, ..) in VARIED {
            leaks.push(Leak { sweep: sweep.into(), setting: "clear".into(), accuracy: Some(0.9), ..base.clone() });
            for at in 0..8_u32 {
                let falling = 1.0 / (1.0 + f64::from(at).exp2() / 16.0);
                let mut row = Leak { sweep: sweep.into(), accuracy: Some(0.1 + 0.8 * falling), key_recovered: Some(falling), ..base.clone() };
                row.images_recovered = Some(if at < 4 { 1.0 } else { 0.0 });
                match sweep {
                    "a-bound" => row.a_bound = Some(128 << (4 * at)),
                    "t-bound" => row.t_bound = Some(128 << (4 * at)),
                    "key-columns" => row.key_columns = Some(1 << at),
                    _ => (row.q_bits, row.a_bound) = (Some(20 + 5 * at), None),
                }
                leaks.push(row);
            }
        }
        let mut trained = Vec::new();
        for network in ["softmax", "mlp", "conv"] {
            for (number, setting) in ["clear", "integers-fixed", "integers-fresh", "absolute", "lwe"].into_iter().enumerate() {
                for seed in 1..=3_u32 {
                    let accuracy = if setting == "lwe" { 0.1 } else { 0.9 + 0.001 * f64::from(seed) - 0.002 * number as f64 };
                    trained.push(Leak {
                        setting: setting.into(),
                        network: network.into(),
                        seed: seed.into(),
                        accuracy: Some(accuracy),
                        ..base.clone()
                    });
                }
            }
        }
        (leaks, trained)
    }
}
