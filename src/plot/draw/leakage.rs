//! What ciphertexts give away: accuracy of what was learnt from them, beside the share of the key and of the images that an attack recovers.

use super::axis::Axis;
use super::lines::{Dot, Guide, Line, chart};
use super::palette::{CLEAR, FOREIGN, KEY, LEARNT};
use super::rows::{Entry, draw_axis, lay_out};
use super::sheet::{Footer, GREY, LEADING, LEAST_POINTS, MARGIN, RADIUS, Shape, Sheet};
use crate::record::leakage::Leak;

/// Accuracy of guessing one of ten classes, in percent.
const CHANCE: f64 = 10.0;

/// Lines that stay within this many points are a sentence, not a figure.
const FLAT: f64 = 2.0;

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
pub(super) fn sweeps(rows: &[Leak], footer: &Footer) -> Vec<(&'static str, Result<Sheet, String>)> {
    VARIED.iter().map(|varied| (varied.1, along(rows, varied, footer))).collect()
}

fn along(rows: &[Leak], &(sweep, name, axis_name, size): &Varied, footer: &Footer) -> Result<Sheet, String> {
    let shown: Vec<(f64, &Leak)> =
        rows.iter().filter(|row| row.sweep == sweep && row.setting != "clear").filter_map(|row| Some((size(row)?, row))).collect();
    let line = |name: &str, colour, shape, filled, share: fn(&Leak) -> Option<f64>| {
        let mut dots: Vec<Dot> = shown.iter().filter_map(|(x, row)| share(row).map(|y| Dot { x: *x, y: 100.0 * y, range: None })).collect();
        dots.sort_by(|a, b| a.x.total_cmp(&b.x));
        Line { name: name.into(), colour, shape, filled, dots, every: 1 }
    };
    let lines: Vec<Line> = [
        line("classifier on ciphertexts", LEARNT, Shape::Circle, true, |row| row.accuracy),
        line("key entries recovered", KEY, Shape::Square, true, |row| row.key_recovered),
        line("test images decrypted", FOREIGN, Shape::Triangle, false, |row| row.images_recovered),
    ]
    .into_iter()
    .filter(|line| line.dots.len() >= LEAST_POINTS)
    .collect();
    if lines.is_empty() {
        return Err(format!("no three rows vary {sweep}"));
    }
    let ends = |values: &mut dyn Iterator<Item = f64>| values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let span = |line: &Line| ends(&mut line.dots.iter().map(|dot| dot.y));
    if lines.iter().all(|line| span(line).1 - span(line).0 < FLAT) {
        let levels: Vec<String> = lines.iter().map(|line| format!("{} {:.0} to {:.0} %", line.name, span(line).0, span(line).1)).collect();
        return Err(format!("nothing changes with the {axis_name}: {}", levels.join(", ")));
    }
    let mut guides = vec![Guide { name: "guessing".into(), points: vec![(0.0, CHANCE)], colour: GREY }];
    if let Some(accuracy) = rows.iter().find(|row| row.sweep == sweep && row.setting == "clear").and_then(|row| row.accuracy) {
        guides.insert(0, Guide { name: "classifier on plaintext".into(), points: vec![(0.0, 100.0 * accuracy)], colour: CLEAR });
    }
    let sizes = || lines.iter().flat_map(|l| l.dots.iter().map(|dot| dot.x));
    let x_axis = |room| {
        if sweep == "key-columns" { Axis::sizes(axis_name, sizes(), room) } else { Axis::whole(axis_name, ends(&mut sizes()), room) }
    };
    let y_axis = |room| Axis::linear("share (%)", (0.0, 100.0), room);
    let footer = footer.with("recovered and decrypted by the attack").with(self::sizes(&shown));
    Ok(chart(name, (&x_axis, &y_axis), &lines, &guides, &footer))
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
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A setting and its numbers.
type Named<'a> = (&'a str, Vec<f64>);

/// Accuracy by network and setting, a marker for each seed.
pub(super) fn training(rows: &[Leak], footer: &Footer) -> Result<Sheet, String> {
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
    let axis = Axis::percent("accuracy on test images (%)", (least, most), layout.room());
    let scale = layout.scale(&axis);
    let bottom = draw_axis(&mut sheet, &layout, &axis);
    let guessing = axis.range.0 < CHANCE;
    if guessing {
        sheet.dashed((scale.at(CHANCE), layout.span.0 + LEADING), (scale.at(CHANCE), layout.span.1), GREY);
    }
    for ((setting, accuracies), &y) in groups.iter().flat_map(|(_, settings)| settings).zip(&layout.y) {
        let clear = *setting == "clear";
        let mut places: Vec<i32> = accuracies.iter().map(|accuracy| scale.at(*accuracy)).collect();
        places.sort_unstable();
        // Markers that would hide each other take turns above and below the middle of their row.
        let lanes = [0, -RADIUS, RADIUS];
        let mut last: [i32; 3] = [i32::MIN / 2; 3];
        for x in places {
            let lane = (0..3).find(|lane| x - last[*lane] >= 2 * RADIUS).unwrap_or(0);
            last[lane] = x;
            let (shape, colour) = if clear { (Shape::Square, CLEAR) } else { (Shape::Circle, FOREIGN) };
            sheet.marker(shape, (x, y + lanes[lane]), colour, !clear);
        }
    }
    let note = if guessing { "dashed: guessing" } else { "" };
    Ok(sheet.finish(bottom, &footer.with("a marker for each seed").with(note).with(axis.start().unwrap_or_default())))
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
