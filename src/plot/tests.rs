use super::sheet::WIDTH;
use super::*;
use crate::report::synthetic::{Case, many_keys, one_key, records};

/// From one spec to sixty, with short and long names.
fn sets() -> Vec<(&'static str, Vec<Case>)> {
    let doubled = |cases: Vec<Case>, other: &dyn Fn(&Case) -> Case| -> Vec<Case> { cases.into_iter().flat_map(|c| [other(&c), c]).collect() };
    let long = |c: &Case| Case {
        encryption: if c.scheme == "clear" { "" } else { "standard" },
        features: "gradients",
        dataset: "digits",
        images: 1797,
        speed: c.speed * 0.8,
        ..c.clone()
    };
    let djn = |c: &Case| Case { encryption: "djn", speed: c.speed * 0.8, ..c.clone() };
    let at_2048 = many_keys().into_iter().filter(|c| c.key_bits == Some(2048)).collect();
    let one_backend = many_keys().into_iter().filter(|c| c.backend == "gmp" || c.scheme == "clear").collect();
    vec![
        ("one", vec![Case::paillier("gmp", "buckets", 2048, 30.0)]),
        ("two", vec![Case::clear("float", 1e6), Case::paillier("gmp", "buckets", 2048, 30.0)]),
        ("eight", one_key()),
        ("twenty", doubled(at_2048, &djn)),
        ("keys", many_keys()),
        ("long", doubled(one_key(), &long)),
        ("long-keys", doubled(one_backend, &long)),
        ("unbroken", vec![Case::paillier("a_backend_whose_name_is_one_word_and_far_too_long_for_any_line_of_a_figure", "x", 1024, 1e-9)]),
    ]
}

/// Number of distinct colours of a PNG and its size.
fn colours(bytes: &[u8]) -> (usize, (u32, u32)) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (pixels.chunks(3).collect::<BTreeSet<_>>().len(), (info.width, info.height))
}

#[test]
fn every_figure_is_written_and_none_is_blank() {
    for (name, cases) in sets() {
        let dir = tempfile::tempdir().unwrap();
        let written = draw(&records(&cases), dir.path()).unwrap();
        let names: Vec<_> = written.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["stages.svg", "stages.png", "throughput.svg", "throughput.png", "accuracy.svg", "accuracy.png"], "{name}");
        for path in written {
            let bytes = fs::read(&path).unwrap();
            if path.extension().unwrap() == "png" {
                let (colours, (width, _)) = colours(&bytes);
                // Smooth letters alone need dozens of shades of grey.
                assert!(colours > 50, "{name} {}: {colours} colours", path.display());
                assert_eq!(width, 1004);
            } else {
                let text = String::from_utf8(bytes).unwrap();
                assert!(text.starts_with("<svg width=\"85.0mm\"") && text.trim_end().ends_with("</svg>"), "{name}");
                assert!(text.contains("sans-serif") && text.contains("run 20250102-030405"), "{name}");
            }
        }
    }
}

#[test]
fn figures_say_what_they_show() {
    let dir = tempfile::tempdir().unwrap();
    draw(&records(&many_keys()), dir.path()).unwrap();
    let read = |name: &str| fs::read_to_string(dir.path().join(FIGURES).join(name)).unwrap();
    for label in ["ifma straus", "reference naive", "plaintext float", "key size (bits)", "images per second", "toy", "4096"] {
        assert!(read("throughput.svg").contains(label), "{label}");
    }
    for label in ["encrypt", "evaluate", "decrypt", "1024-bit key, toy", "gmp buckets", "share of online time (%)", "per image", "33.3 ms"] {
        assert!(read("stages.svg").contains(label), "{label}");
    }
    for label in ["mnist, pixels, n=10000", "plaintext quantised", "paillier, 60 specs", "axis starts at", "92.08"] {
        assert!(read("accuracy.svg").contains(label), "{label}");
    }
}

#[test]
fn no_text_meets_another_or_the_edge() {
    sheet::load_font().unwrap();
    for (name, cases) in sets() {
        let records = records(&cases);
        for sheet in sheets(&records, &derive(&records)) {
            let boxes = sheet.text_boxes();
            for (at, (text, from, to)) in boxes.iter().enumerate() {
                assert!(from.0 >= 0 && from.1 >= 0 && to.0 <= WIDTH && to.1 <= sheet.height(), "{name} {}: {text} leaves the sheet", sheet.name());
                for (other, begin, end) in &boxes[at + 1..] {
                    let apart = to.0 <= begin.0 || end.0 <= from.0 || to.1 <= begin.1 || end.1 <= from.1;
                    assert!(apart, "{name} {}: {text} meets {other}", sheet.name());
                }
            }
        }
    }
}

#[test]
fn nothing_to_show_draws_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(draw(&Records::default(), dir.path()).unwrap().is_empty());
    assert!(!dir.path().join(FIGURES).exists());
    let mut failed = records(&[Case::paillier("gpu", "buckets", 2048, 1.0)]);
    failed.outcomes[0].error = Some("no such device".into());
    assert!(draw(&failed, dir.path()).unwrap().is_empty());
}

#[test]
fn what_is_not_shown_is_counted() {
    let mut records = records(&one_key());
    records.outcomes[7].error = Some("no such device".into());
    records.outcomes[6].workload = "kernel".into();
    let rows = derive(&records);
    let text: Vec<String> = sheets(&records, &rows).iter().flat_map(Sheet::text_boxes).map(|(text, ..)| text).collect();
    let text = text.join(" ");
    assert!(text.contains("1 failed spec not shown; 1 of other workloads not shown"), "{text}");
    assert!(!text.contains("ifma buckets"));
}

#[test]
fn software_adapters_and_open_runs_are_never_silent() {
    let mut records = records(&[Case::paillier("gpu", "buckets", 2048, 3.0), Case::paillier("gmp", "buckets", 2048, 30.0)]);
    records.outcomes[0].adapter_type = "software".into();
    records.outcomes[1].division = "open".into();
    let text: Vec<String> = sheets(&records, &derive(&records)).iter().flat_map(Sheet::text_boxes).map(|(text, ..)| text).collect();
    assert_eq!(text.iter().filter(|t| *t == "gpu (software) buckets").count(), 2);
    assert_eq!(text.iter().filter(|t| *t == "gmp buckets open").count(), 2);
}

#[test]
fn packings_of_one_key_size_are_lines_of_their_own() {
    let cases: Vec<Case> = [2048, 3072]
        .into_iter()
        .flat_map(|bits| [1, bits / 26].map(|packing| Case { packing, ..Case::paillier("gmp", "buckets", bits, f64::from(packing)) }))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    draw(&records(&cases), dir.path()).unwrap();
    let text = fs::read_to_string(dir.path().join(FIGURES).join("throughput.svg")).unwrap();
    assert!(text.contains("gmp buckets packed") && text.contains("gmp buckets unpacked"));
}
