use super::synthetic::{Case, many_keys, one_key, records};
use super::*;
use crate::record::{Outcome, Phase, Sample, Stage};

fn small() -> Records {
    let mut records = records(&[
        Case::clear("float", 1.0e6),
        Case::paillier("gmp", "naive", 2048, 3.0),
        Case::paillier("gmp", "buckets", 2048, 30.0),
        Case::paillier("gpu", "buckets", 2048, 870.0),
    ]);
    records.outcomes[3].error = Some("backend gpu is not available:\n no adapter".into());
    records
}

#[test]
fn the_text_table_is_this() {
    let expected = "\
inference, mnist, pixels, offline, closed, owner encryption, 2048-bit key, 78 images per ciphertext, 16 threads, 10000
    images
scheme    backend  method     acc  agree  encrypt  evaluate  decrypt    total   img/s    up    down  ok
                                %      %       ms        ms       ms       ms            kB      kB
clear     cpu      float    92.13    100        -   8.50e-4        -  0.00100  1.00e6     0       0  yes
paillier  gmp      naive    92.08    100     26.7       300     5.67      333    3.00  5.15  0.0660  yes
paillier  gmp      buckets  92.08    100     18.3      12.7     1.67     33.3    30.0  5.15  0.0660  yes
paillier  gpu      buckets      -      -        -         -        -        -       -     -       -  [1]
[1] backend gpu is not available: no adapter
";
    assert_eq!(table(&small(), Format::Text), expected);
}

#[test]
fn the_second_table_is_this() {
    let expected = "\
spec            samples   total MAD outl.     min     max     cpu setup vs naive vs naive  vs ref. vs ref. vs clear
                             ms   %            ms      ms      ms     s evaluate      all evaluate     all   slower
plaintext float       5 0.00100 5.0     0 9.00e-4 0.00110 0.00800     -        -        -        -       -        -
gmp naive             5     333 5.0     0     300     367    2667 0.250        -        -        -       -   3.33e5
gmp buckets           5    33.3 5.0     0    30.0    36.7     267 0.250     23.7     10.0        -       -    33333
";
    assert_eq!(details(&small(), Format::Text), expected);
}

#[test]
fn the_markdown_table_is_this() {
    let mut records = small();
    records.outcomes.truncate(2);
    let expected = "\
inference, mnist, pixels, offline, closed, owner encryption, 2048-bit key, 78 images per ciphertext, 16 threads, 10000 images.

| scheme | backend | method | acc (%) | agree (%) | encrypt (ms) | evaluate (ms) | decrypt (ms) | total (ms) | img/s | up (kB) | down (kB) | ok |
| :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | :--- |
| clear | cpu | float | 92.13 | 100 | - | 8.50e-4 | - | 0.00100 | 1.00e6 | 0 | 0 | yes |
| paillier | gmp | naive | 92.08 | 100 | 26.7 | 300 | 5.67 | 333 | 3.00 | 5.15 | 0.0660 | yes |
";
    assert_eq!(table(&records, Format::Markdown), expected);
}

#[test]
fn the_share_of_the_bound_counts_whole_sets() {
    let mut records = records(&[Case::paillier("ifma", "pairs", 2048, 210.0), Case::paillier("gmp", "pairs", 2048, 30.0)]);
    (records.outcomes[0].products, records.outcomes[0].bound_products_per_second) = (Some(1000), Some(20_000.0));
    let rows = derive(&records);
    // A hundred images in sets of 78 are two sets; the stage takes 0.38 of 100/210 s.
    let expected = 2.0 * 1000.0 / 20_000.0 / (0.38 * 100.0 / 210.0);
    assert!((rows[0].bound_share.unwrap() - expected).abs() < 1e-6, "{:?} {expected}", rows[0].bound_share);
    assert_eq!(rows[1].bound_share, None);
    let text = details(&records, Format::Csv);
    assert!(text.lines().next().unwrap().contains("bound (%)") && text.contains("55.3"), "{text}");
}

#[test]
fn one_row_keeps_its_columns() {
    let text = table(&records(&[Case::paillier("gmp", "naive", 2048, 3.0)]), Format::Text);
    assert!(text.contains("encr.") && text.contains(" owner ") && text.contains(" 2048 "), "{text}");
}

#[test]
fn no_table_is_wider_than_a_terminal() {
    let mut cases = many_keys();
    cases[5] = Case { encryption: "standard", features: "gradients", images: 100, speed: 3.0e-5, ..cases[5].clone() };
    let mut records = records(&cases);
    for (outcome, sample) in records.outcomes.iter_mut().zip(0..) {
        outcome.adapter_type = if sample == 5 { "software" } else { "cpu" }.into();
    }
    records.outcomes[7].error = Some("word ".repeat(60));
    let offline: Vec<_> =
        records.samples.iter().filter(|s| s.stage == Stage::Encrypt).map(|s| Sample { phase: Phase::Offline, ..s.clone() }).collect();
    records.samples.extend(offline);
    assert!(details(&records, Format::Text).contains("\n(6) "));
    for text in [table(&records, Format::Text), details(&records, Format::Text), legend(Format::Text)] {
        for line in text.lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
    }
    let text = table(&records, Format::Text);
    assert!(text.contains("gmp*") && text.contains("* software adapter, not a GPU: made-up processor"), "{text}");
    assert!(text.contains("1024 toy") && text.contains("toy: a key under 2048 bits protects nothing"), "{text}");
    assert!(text.contains("left out for width: "), "{text}");
}

#[test]
fn nothing_gives_a_line_that_says_so() {
    assert_eq!(table(&Records::default(), Format::Text), "no results\n");
    assert_eq!(details(&Records::default(), Format::Markdown), "no results\n");
    assert_eq!(table(&Records::default(), Format::Csv), "");
    assert_eq!(json(&Records::default()).unwrap(), "[]");
}

#[test]
fn latex_is_escaped() {
    let mut records = records(&[Case::paillier("gmp", "naive", 2048, 3.0)]);
    records.outcomes[0].error = Some("a_b & 50% of {x} $y #z ~^\\ <q> \"p\" `t`".into());
    let text = table(&records, Format::Latex);
    let expected = "[1] a\\_b \\& 50\\% of \\{x\\} \\$y \\#z \\textasciitilde{}\\textasciicircum{}\\textbackslash{} \\textless{}q\\textgreater{} \
                    ''p'' \\textasciigrave{}t\\textasciigrave{}";
    assert!(text.contains(expected), "{text}");
    let ends = text.lines().filter(|l| l.ends_with("\\\\")).collect::<Vec<_>>();
    assert!(ends.iter().all(|l| l.contains("multicolumn") || l.matches(" & ").count() == 16), "{text}");
}

#[test]
fn markdown_and_csv_cells_stay_in_their_cells() {
    let mut records = records(&[Case { method: "a|b,\"c\"", ..Case::paillier("gmp", "naive", 2048, 3.0) }]);
    records.outcomes[0].adapter_type = "software".into();
    assert!(table(&records, Format::Markdown).contains("| gmp\\* | a\\|b,\"c\" |"));
    let text = table(&records, Format::Csv);
    let rows: Vec<csv::StringRecord> = csv::Reader::from_reader(text.as_bytes()).records().map(|r| r.unwrap()).collect();
    assert_eq!((rows.len(), &rows[0][2], rows[0].len()), (1, "a|b,\"c\"", 17));
}

#[test]
fn ratios_compare_specs_that_differ_in_one_thing() {
    let rows = derive(&records(&one_key()));
    let find = |backend: &str, method: &str| rows.iter().find(|r| r.outcome.backend == backend && r.outcome.method == method).unwrap();
    let near = |value: f64, expected: f64| assert!((value / expected - 1.0).abs() < 1e-6, "{value} instead of {expected}");
    let buckets = find("gmp", "buckets");
    near(buckets.over_naive.unwrap().online, 10.0);
    near(buckets.over_naive.unwrap().evaluate.unwrap(), 10.0 * 0.9 / 0.38);
    assert!(buckets.over_reference.is_none(), "reference ran naive only");
    near(buckets.slower_than_clear.unwrap(), 1e6 / 30.0);
    assert!(find("reference", "naive").over_reference.is_none());
    assert!(find("gmp", "naive").over_reference.is_some_and(|s| s.online > 5.0));
    assert!(find("ifma", "buckets").over_naive.is_none());
    assert!(rows[0].slower_than_clear.is_none());
}

#[test]
fn times_are_per_image_and_by_sample() {
    let records = records(&[Case { samples: 2, ..Case::paillier("gmp", "buckets", 2048, 10.0) }]);
    // Samples take 0.09 s and 0.11 s per image.
    let row = &derive(&records)[0];
    let online = row.online_ns.unwrap();
    assert_eq!((online.count, online.min.round(), online.max.round(), online.median.round()), (2, 9e7, 1.1e8, 1e8));
    assert!((row.images_per_second.unwrap() - 200.0 / (9.0 + 11.0)).abs() < 1e-6);
    assert_eq!(row.setup_ns, Some(2.5e8));
    assert_eq!(row.online_stage_ns(Stage::Keygen), None);
}

#[test]
fn what_is_left_over_at_the_end_of_a_pass_is_no_sample() {
    let mut records = records(&[Case { samples: 5, ..Case::paillier("ifma", "pairs", 2048, 10.0) }]);
    (records.outcomes[0].products, records.outcomes[0].bound_products_per_second) = (Some(1000), Some(20_000.0));
    let whole = derive(&records)[0].clone();
    // Three batches of a tenth of the images that take a third of the time: the median of all would
    // be one of them.
    let rest: Vec<Sample> = records.samples.iter().filter(|s| s.phase == Phase::Online && s.sample < 3).cloned().collect();
    let rest = rest.into_iter().map(|s| Sample { sample: s.sample + 5, items: s.items / 10, wall_ns: s.wall_ns / 3, cpu_ns: s.cpu_ns / 3, ..s });
    let mut mixed = records.clone();
    mixed.samples.extend(rest);
    let row = &derive(&mixed)[0];
    assert_eq!((row.online_ns, row.images_per_second, row.bound_share), (whole.online_ns, whole.images_per_second, whole.bound_share));
    assert_eq!((&row.stages, row.is_uneven()), (&whole.stages, false));
    let unchanged = compare::compare(&records, &mixed, 0.01);
    assert_eq!(unchanged.pairs[0].ratio, Some(1.0), "{unchanged:?}");
    // Full batches of very different times are marked.
    records.samples.iter_mut().filter(|s| s.phase == Phase::Online && s.sample == 4).for_each(|s| s.wall_ns *= 9);
    let text = table(&records, Format::Text);
    assert!(derive(&records)[0].is_uneven() && text.contains("! img/s and 1000 / total differ"), "{text}");
}

/// Every committed results folder, those inside of reports too, and each report's folders together.
fn committed() -> Vec<(std::path::PathBuf, Records)> {
    let folders = |dir: &std::path::Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
        let mut folders: Vec<_> = entries.filter(|p| p.is_dir() && !p.to_string_lossy().ends_with("-local")).collect();
        folders.sort();
        folders
    };
    let mut found = Vec::new();
    for dir in folders(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("results")) {
        let own = std::iter::once(dir.clone()).chain(folders(&dir)).filter(|d| d.join("outcomes.csv").exists());
        let own: Vec<_> = own.map(|d| (d.clone(), Records::read(&d).unwrap())).collect();
        let mut all = Records::default();
        for (_, records) in own.iter().cloned() {
            all.samples.extend(records.samples);
            all.outcomes.extend(records.outcomes);
        }
        found.extend(own);
        found.push((dir, all));
    }
    found
}

#[test]
fn no_two_rows_of_a_committed_folder_look_alike() {
    let measured: Vec<&str> = ["acc", "agree", "offline", "encrypt", "evaluate", "decrypt", "total", "img/s", "up", "down", "ok"].into();
    for (dir, records) in committed() {
        let rows = derive(&records);
        let all: Vec<&Row> = rows.iter().collect();
        let unique = |names: &[String]| names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
        let names = labels(&all, Naming::Whole);
        assert!(unique(&names) && names.iter().all(|name| !name.contains('#')), "{}: {names:#?}", dir.display());
        assert!(names.iter().all(|name| name.chars().count() <= 130), "{}: {names:#?}", dir.display());
        let table = render::main_table(&rows, Format::Text);
        let said: Vec<usize> = (0..table.columns.len()).filter(|at| !measured.contains(&table.columns[*at].name)).collect();
        let mut cells: Vec<String> = Vec::new();
        for (heading, rows) in &table.groups {
            cells.extend(rows.iter().map(|row| format!("{heading}: {}", said.iter().map(|at| &*row[*at]).collect::<Vec<_>>().join(" "))));
        }
        assert!(unique(&cells), "{}: {cells:#?}", dir.display());
        // A caption says what holds for every row, and nothing else.
        let networks: std::collections::BTreeSet<String> =
            rows.iter().filter_map(|r| r.outcome.spec.split('/').find(|p| p.starts_with("2-"))).map(Into::into).collect();
        assert!(networks.len() < 2 || networks.iter().all(|network| !table.caption.contains(network)), "{}", table.caption);
        let of_headings: [fn(&Outcome) -> &str; 5] = [|o| &o.workload, |o| &o.dataset, |o| &o.features, |o| &o.scenario, |o| &o.division];
        for of in of_headings {
            let values: std::collections::BTreeSet<&str> = rows.iter().map(|r| of(&r.outcome)).collect();
            let is_said = |value: &&str| table.caption.split(", ").any(|part| part == *value);
            assert!(values.len() < 2 || !values.iter().any(is_said), "{}: {}", dir.display(), table.caption);
        }
        for row in &rows {
            let own = |s: &&Sample| s.spec == row.outcome.spec && s.run_id == row.outcome.run_id && s.phase == Phase::Online;
            let online = || records.samples.iter().filter(own);
            // A sample of a training in the clear is a pass over its records.
            let full = online().filter(|s| row.outcome.batch.is_none_or(|batch| s.items >= batch)).map(|s| s.sample);
            let count = full.collect::<std::collections::BTreeSet<_>>().len();
            let is_timed = row.outcome.error.is_none() && online().next().is_some();
            let counted = row.online_ns.map_or(0, |s| s.count);
            assert!(counted == count && (count > 0) == is_timed, "{}: {}", dir.display(), row.outcome.spec);
        }
    }
}

#[test]
fn spread_latency_energy_and_disturbances_are_derived() {
    let mut records = records(&[Case { samples: 21, ..Case::paillier("gmp", "buckets", 2048, 10.0) }]);
    let outcome = &mut records.outcomes[0];
    outcome.scenario = "single".into();
    (outcome.energy_uj, outcome.timed_images) = (Some(4_200_000), Some(2100));
    (outcome.row_ns, outcome.others_cpu_ns, outcome.stolen_cpu_ns) = (Some(1_000_000_000), Some(600_000_000), Some(10_000_000));
    (outcome.frequency_start_khz, outcome.frequency_end_khz) = (Some(3_000_000), Some(2_000_000));
    let whole: u64 = records.samples.iter().filter(|s| s.phase == Phase::Online).map(|s| s.wall_ns).sum();
    records.outcomes[0].batches_ns = Some(whole + whole / 200);
    let row = &derive(&records)[0];
    let online = row.online_ns.unwrap();
    assert!(online.low.unwrap() < online.median && online.median < online.high.unwrap() && online.mad > 0.0 && online.outliers == 0, "{online:?}");
    // Samples spread evenly from 0.09 s to 0.11 s: the 19th of 21.
    assert!((row.latency.unwrap().p90_ns / 1.08e8 - 1.0).abs() < 1e-6, "{:?}", row.latency);
    assert_eq!(row.energy_uj_per_image, Some(2000.0));
    assert!((row.harness_share.unwrap() - 0.005).abs() < 1e-6);
    let signs = row.disturbances.join("; ");
    assert!(row.disturbances.len() == 2 && signs.contains("0.6 processors") && signs.contains("3000 to 2000 MHz"), "{signs}");
    let text = details(&records, Format::Text);
    assert!(text.contains("p90") && text.contains("disturbed: ") && text.contains("energy"), "{text}");

    // Wall time that spreads while processor time does not is waiting for others.
    for s in records.samples.iter_mut().filter(|s| s.phase == Phase::Online) {
        s.cpu_ns = 1_000_000;
    }
    let row = &derive(&records)[0];
    assert!(
        row.online_ns.unwrap().relative_mad() <= 0.05 || row.disturbances.iter().any(|d| d.contains("wall time spreads")),
        "{:?}",
        row.disturbances
    );
    for s in records.samples.iter_mut().filter(|s| s.phase == Phase::Online && s.sample % 2 == 0) {
        s.wall_ns += s.wall_ns / 4;
    }
    assert!(derive(&records)[0].disturbances.iter().any(|d| d.contains("wall time spreads")));
}

#[test]
fn the_last_outcome_of_a_spec_counts_with_its_own_samples() {
    let mut first = records(&[Case::paillier("gmp", "buckets", 2048, 10.0)]);
    let mut again = records(&[Case::paillier("gmp", "buckets", 2048, 20.0)]);
    again.samples.iter_mut().for_each(|s| s.run_id = "later".into());
    again.outcomes[0].run_id = "later".into();
    first.samples.extend(again.samples);
    first.outcomes.extend(again.outcomes);
    let rows = derive(&first);
    assert_eq!(rows.len(), 1);
    assert!((rows[0].images_per_second.unwrap() - 20.0).abs() < 1e-6);
}

#[test]
fn failures_have_no_numbers() {
    let row = &derive(&small())[3];
    assert!(row.stages.is_empty() && row.images_per_second.is_none() && row.bytes_up_per_image.is_none());
}

#[test]
fn json_holds_facts_and_derived_numbers_side_by_side() {
    let value: serde_json::Value = serde_json::from_str(&json(&small()).unwrap()).unwrap();
    assert_eq!(value[2]["backend"], "gmp");
    assert_eq!(value[2]["stages"][0]["stage"], "keygen");
    assert!(value[2]["over_naive"]["online"].as_f64().unwrap() > 9.9);
    assert_eq!(value[3]["images_per_second"], serde_json::Value::Null);
}

#[test]
fn numbers_keep_three_digits() {
    let cases =
        [(0.0, "0"), (0.0001, "1.00e-4"), (0.00123, "0.00123"), (0.9996, "1.00"), (9.996, "10.0"), (99.96, "100"), (1234.4, "1234"), (1e6, "1.00e6")];
    for (value, text) in cases {
        assert_eq!(digits3(value), text);
    }
    assert_eq!(
        (percent(1.0, 9), percent(0.99999, 10_000), percent(0.9213, 10_000), percent(0.93, 100)),
        ("100".into(), "99.99".into(), "92.13".into(), "93.0".into())
    );
}

#[test]
fn cells_are_padded_to_any_width() {
    use super::form::pad;
    assert_eq!((pad("\u{b5}s", 4, true), pad("\u{b5}s", 4, false), pad("abc", 2, true)), ("  \u{b5}s".into(), "\u{b5}s  ".into(), "abc".into()));
    assert_eq!(pad("x", 70_000, true).len(), 70_000);
}

#[test]
fn names_say_what_differs_and_no_more() {
    let rows = derive(&records(&many_keys()));
    let some: Vec<&Row> = rows.iter().filter(|r| r.outcome.backend == "gmp" && r.outcome.key_bits.is_some_and(|b| b <= 2048)).collect();
    assert!(labels(&some, Naming::Whole).contains(&"gmp naive 2048 bit".to_owned()));
    assert!(labels(&some, Naming::Whole).contains(&"gmp naive 1024 bit toy".to_owned()));
    assert_eq!(labels(&some[..1], Naming::Whole), ["gmp buckets 1024 bit toy"]);
    assert_eq!(labels(&some[..1], Naming::OverKeys), ["gmp buckets"]);
    let mut twins = records(&[Case::paillier("gmp", "naive", 2048, 3.0), Case::paillier("gmp", "naive", 2048, 3.0)]);
    twins.outcomes[1].spec = "other".into();
    twins.outcomes[1].weight_bits = Some(6);
    let rows = derive(&twins);
    assert_eq!(labels(&rows.iter().collect::<Vec<_>>(), Naming::Whole), ["gmp naive 8-bit weights", "gmp naive 6-bit weights"]);
    // What was chosen is said even where something else would tell the rows apart; what follows
    // from it is not.
    (twins.outcomes[1].threads, twins.outcomes[1].batch) = (2, Some(5));
    let rows = derive(&twins);
    assert_eq!(labels(&rows.iter().collect::<Vec<_>>(), Naming::Whole), ["gmp naive 16 threads", "gmp naive 2 threads"]);
    let text = table(&twins, Format::Text);
    assert!(text.lines().nth(1).is_some_and(|head| head.contains("threads") && !head.contains("batch")), "{text}");
    // One row twice is still two rows of a figure.
    assert_eq!(labels(&[&rows[0], &rows[0]], Naming::Whole), ["gmp naive", "gmp naive #2"]);
}

#[test]
fn splice_replaces_between_the_markers_only() {
    let text = "before\n<!-- cipherlane:begin main -->\nold\n<!-- cipherlane:end main -->\nafter\n";
    let new = splice(text, "main", "| a |\n", "cipherlane report results/x").unwrap();
    assert_eq!(new, "before\n<!-- cipherlane:begin main -->\n\n`cipherlane report results/x`\n\n| a |\n\n<!-- cipherlane:end main -->\nafter\n");
    assert_eq!(splice(&new, "main", "| a |\n", "cipherlane report results/x").unwrap(), new);
}

#[test]
fn splice_names_the_marker_that_is_missing() {
    let fails = |text: &str| splice(text, "main", "t", "c").unwrap_err().to_string();
    assert!(fails("nothing").contains("marker `<!-- cipherlane:begin main -->` is unknown"));
    assert!(fails("<!-- cipherlane:begin main -->").contains("marker `<!-- cipherlane:end main -->`"));
    assert!(fails("<!-- cipherlane:end main --><!-- cipherlane:begin main -->").contains("an end after its begin"));
    assert!(fails("<!-- cipherlane:begin main --><!-- cipherlane:begin main --><!-- cipherlane:end main -->").contains("once"));
    assert!(fails("<!-- cipherlane:begin other -->").contains("known: <!-- cipherlane:begin other -->"));
    assert!(!fails("a\n<!-- cipherlane:begin\n").contains('\n'));
}
