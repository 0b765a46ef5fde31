use super::sheet::WIDTH;
use super::*;
use crate::report::peers::Peer;
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

fn draw_all(records: &Records, dir: &Path) -> Drawn {
    draw(records, dir, &FileKind::ALL, Beside::default()).unwrap()
}

/// Rows of one key size that differ in threads, packing and batch, and in the clear in precision.
fn grown() -> Records {
    let mut cases = vec![Case::clear("float", 1.0e6), Case { speed: 0.2e6, ..Case::clear("integer", 0.0) }];
    for (backend, speed) in [("gmp", 30.0), ("ifma", 300.0)] {
        cases.extend([1, 8, 32, 78].map(|packing| Case {
            packing,
            samples: 9,
            ..Case::paillier(backend, "pairs", 2048, speed * f64::from(packing))
        }));
        cases.push(Case { samples: 9, ..Case::paillier(backend, "naive", 2048, speed) });
    }
    let mut records = records(&cases);
    // The synthetic rows know neither: copies of a row with other names.
    let base = records.outcomes[2].clone();
    let samples: Vec<_> = records.samples.iter().filter(|s| s.spec == base.spec).cloned().collect();
    let more = |records: &mut Records, name: &str, change: &dyn Fn(&mut crate::record::Outcome), slower: u64| {
        let mut outcome = crate::record::Outcome { spec: format!("{} {name}", base.spec), ..base.clone() };
        change(&mut outcome);
        let rows = samples.iter().map(|s| crate::record::Sample { spec: outcome.spec.clone(), wall_ns: s.wall_ns * slower / 10, ..s.clone() });
        records.samples.extend(rows);
        records.outcomes.push(outcome);
    };
    for (threads, slower) in [(1, 20), (2, 11), (4, 6)] {
        more(&mut records, &format!("{threads} threads"), &|o| o.threads = threads, slower);
    }
    for (batch, slower) in [(78, 12), (156, 11), (312, 10)] {
        more(&mut records, &format!("batch {batch}"), &|o| (o.batch, o.feature_bits) = (Some(batch), Some(7)), slower);
    }
    for (bits, slower) in [(2048, 1000), (3072, 2500), (4096, 5000)] {
        more(&mut records, &format!("single {bits}"), &|o| (o.scenario, o.key_bits) = ("single".into(), Some(bits)), slower);
    }
    for (bits, accuracy) in [(12, 0.85), (16, 0.915), (20, 0.92)] {
        more(&mut records, &format!("{bits} slot"), &|o| (o.scheme, o.slot_bits, o.accuracy) = ("clear".into(), Some(bits), Some(accuracy)), 1);
    }
    records
}

#[test]
fn the_bound_is_drawn_where_it_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = records(&one_key());
    let one = |records: &Records| draw_one(records, dir.path(), ("bound", "methods-bound"), &[FileKind::Svg], Beside::default()).unwrap();
    assert!(one(&records).unwrap_err().contains("no row has a bound") && !dir.path().join(FIGURES).exists());
    let ifma = records.outcomes.iter_mut().find(|o| o.backend == "ifma").unwrap();
    (ifma.products, ifma.bound_products_per_second) = (Some(1000), Some(20_000.0));
    // One bar for one number: the table says as much.
    assert_eq!(one(&records).unwrap_err(), "1 value makes no figure");
    for other in records.outcomes.iter_mut().filter(|o| o.backend == "gmp") {
        (other.products, other.bound_products_per_second) = (Some(1000), Some(20_000.0));
    }
    let files = one(&records).unwrap();
    assert_eq!(files, [dir.path().join("figures/methods-bound.svg")]);
    // Two sets for a hundred images, 0.38 of 100/210 s.
    let text = fs::read_to_string(&files[0]).unwrap();
    assert!(text.contains("55.3 %") && text.contains("hardware"), "{text}");
    let unknown = draw_one(&records, dir.path(), ("boundd", "x"), &[FileKind::Svg], Beside::default()).unwrap_err();
    assert!(unknown.to_string().contains("figure `boundd` is unknown, known: stages"), "{unknown}");
}

/// Trainings of one experiment in floats, simulated and under encryption, and encrypted ones of other sizes.
fn trainings() -> Records {
    let mut records = Records::default();
    let mut push = |protection: &str, network: &str, batch: u32, seconds: f64, points: u32| {
        let parts: Vec<&str> = protection.split('/').collect();
        let key_bits = parts.get(2).and_then(|bits| bits.parse().ok());
        let outcome = crate::record::Outcome {
            spec: format!("training/{protection}/xor/{network}/q10-f4-step1:8-mu1:2-centred/2/{batch}/1000/1"),
            workload: "training".into(),
            scheme: parts[0].into(),
            backend: parts[1].into(),
            method: (*parts.last().unwrap()).into(),
            dataset: "xor".into(),
            features: "bits".into(),
            scenario: "offline".into(),
            key_bits,
            batch: Some(batch),
            samples: Some(2),
            images: 1000,
            threads: 2,
            verified: true,
            accuracy: Some(1.0),
            adapter_type: "cpu".into(),
            run_id: "20250102-030405".into(),
            revision: "0123456789ab".into(),
            ..crate::record::Outcome::default()
        };
        let blank = crate::record::Sample::blank(&outcome, "a processor");
        records.samples.extend((0..2).map(|sample| crate::record::Sample {
            stage: crate::record::Stage::Evaluate,
            phase: crate::record::Phase::Online,
            sample,
            items: batch,
            wall_ns: (seconds * 1e9) as u64,
            ..blank.clone()
        }));
        let rounding = if protection == "clear/float" { 0.01 } else { 0.0 };
        records.curve.extend((0..=points).map(|step| crate::record::CurvePoint {
            spec: outcome.spec.clone(),
            epoch: f64::from(step) / 25.0,
            step,
            loss: rounding + 1.5 * (-f64::from(step) / 6.0).exp() + 1e-5,
            train_accuracy: (0.5 + 0.05 * f64::from(step)).min(1.0),
            test_accuracy: (0.5 + 0.05 * f64::from(step)).min(1.0),
            run_id: outcome.run_id.clone(),
            revision: outcome.revision.clone(),
        }));
        if key_bits.is_some() {
            for (at, operation) in
                ["backward product", "comparison", "division", "forward product", "gradient product", "local", "selection"].iter().enumerate()
            {
                records.operations.extend(["p1", "p2"].map(|party| crate::record::Operation {
                    spec: outcome.spec.clone(),
                    operation: (*operation).into(),
                    party: party.into(),
                    calls: 2,
                    values: 100,
                    rounds: 2,
                    bytes_up: 1000,
                    bytes_down: 1000,
                    wall_ns: (seconds * 1e9 * (at + 1) as f64 / 28.0) as u64,
                    cpu_ns: 0,
                    run_id: outcome.run_id.clone(),
                    revision: outcome.revision.clone(),
                }));
            }
        }
        records.outcomes.push(outcome);
    };
    push("clear/float", "2-10-2", 20, 1e-4, 50);
    push("smlp/simulated", "2-10-2", 20, 2e-4, 50);
    for comparison in ["blinded", "exact"] {
        push(&format!("smlp/gmp/2048/{comparison}"), "2-10-2", 20, 4.0, 50);
        push(&format!("smlp/gmp/1024/{comparison}"), "2-10-2", 20, 0.9, 1);
        push(&format!("smlp/gmp/3072/{comparison}"), "2-10-2", 20, 9.0, 1);
        push(&format!("smlp/gmp/2048/{comparison}"), "2-10-2", 40, 8.0, 1);
        push(&format!("smlp/gmp/2048/{comparison}"), "2-10-2", 80, 16.0, 1);
        push(&format!("smlp/gmp/2048/{comparison}"), "2-20-2", 20, 7.5, 1);
        push(&format!("smlp/gmp/2048/{comparison}"), "2-40-2", 20, 15.0, 1);
    }
    records
}

#[test]
fn trainings_have_figures_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let drawn = draw(&trainings(), dir.path(), &FileKind::ALL, Beside::default()).unwrap();
    let mut names: Vec<&str> = drawn.files.iter().map(|p| p.file_stem().unwrap().to_str().unwrap()).collect();
    names.dedup();
    assert_eq!(names, ["convergence", "loss", "operations", "growth-key", "growth-batch", "growth-width"]);
    assert!(drawn.left_out.iter().any(|(name, reason)| *name == "stages" && reason.contains("figures of their own")));
    let read = |name: &str| fs::read_to_string(dir.path().join(FIGURES).join(format!("{name}.svg"))).unwrap();
    // Courses of equal bits are one line, and it says so.
    for label in ["float (clear)", "encrypted 2048 gmp blinded, exact = simulated (equal bits)", "xor, network 2-10-2"] {
        assert!(read("loss").contains(label), "{label}");
    }
    assert!(read("convergence").contains("test records classified right (%)"));
    for label in ["1024 toy gmp blinded", "comparison", "per batch", "mini-batches of 40", "8.00 s"] {
        assert!(read("operations").contains(label), "{label}");
    }
    assert!(
        read("growth-key").contains("toy")
            && read("growth-batch").contains("records of a mini-batch")
            && read("growth-width").contains("hidden units")
    );
    let (shades, _) = colours(&fs::read(dir.path().join(FIGURES).join("loss.png")).unwrap());
    assert!(shades > 50);
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
        let written = draw_all(&records(&cases), dir.path()).files;
        let names: Vec<_> = written.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        // Fewer than three values make no figure.
        let figures: &[&str] = match name {
            "one" | "two" | "unbroken" => &["stages"],
            "twenty" => &["stages", "throughput"],
            _ => &["stages", "throughput", "accuracy", "front"],
        };
        for figure in figures {
            assert!(["svg", "png", "pdf"].iter().all(|e| names.contains(&format!("{figure}.{e}").as_str())), "{name}: {figure} of {names:?}");
        }
        for path in written {
            let bytes = fs::read(&path).unwrap();
            if path.extension().unwrap() == "pdf" {
                check_pdf(&bytes, &fs::read(path.with_extension("png")).unwrap());
            } else if path.extension().unwrap() == "png" {
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

/// The streams of a PDF as they are after inflating, and the text around them.
fn inflated(pdf: &[u8]) -> (String, Vec<Vec<u8>>) {
    let find = |from: usize, what: &[u8]| pdf[from..].windows(what.len()).position(|w| w == what).map(|at| from + at);
    let (mut text, mut streams, mut at) = (String::new(), Vec::new(), 0);
    while let Some(begin) = find(at, b"stream\n") {
        let end = find(begin, b"\nendstream").unwrap();
        text.push_str(&String::from_utf8_lossy(&pdf[at..begin]));
        let (mut whole, raw) = (Vec::new(), &pdf[begin + 7..end]);
        let read = std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(raw), &mut whole);
        streams.push(if read.is_ok() { whole } else { raw.to_vec() });
        at = end + 10;
    }
    text.push_str(&String::from_utf8_lossy(&pdf[at..]));
    (text, streams)
}

/// One page as large as the picture, with the shipped font inside and no other.
fn check_pdf(pdf: &[u8], png: &[u8]) {
    assert!(pdf.starts_with(b"%PDF-1.") && pdf.ends_with(b"%%EOF"));
    let (text, streams) = inflated(pdf);
    assert!(text.contains("/Count 1") && text.matches("/MediaBox").count() == 1, "{text}");
    let page: Vec<f64> =
        text.split_once("/MediaBox [").unwrap().1.split(']').next().unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
    let (_, (width, height)) = colours(png);
    assert!((page[2] - f64::from(width) * 0.24).abs() < 0.01 && (page[3] - f64::from(height) * 0.24).abs() < 0.01, "{page:?}");
    assert_eq!(text.matches("/BaseFont").count(), text.matches("+DejaVuSansCondensed").count() - text.matches("/FontName").count());
    // The drawing is vectors: no image, but text operators; and one of the streams is a TrueType font.
    assert!(!text.contains("/Image") && text.contains("/FontFile2"));
    assert!(streams.iter().any(|s| String::from_utf8_lossy(s).contains(" Tj")), "no text");
    assert!(streams.iter().any(|s| ttf_parser::RawFace::parse(s, 0).is_ok()), "no font");
    // Readers can select and search: every glyph says what it is.
    assert!(streams.iter().any(|s| String::from_utf8_lossy(s).contains("beginbfchar")), "no text behind the glyphs");
}

#[test]
fn the_same_sheet_gives_the_same_files() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (one, other) in draw_all(&grown(), a.path()).files.iter().zip(draw_all(&grown(), b.path()).files) {
        assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap(), "{}", one.display());
    }
}

#[test]
fn each_question_has_its_figure() {
    let dir = tempfile::tempdir().unwrap();
    let quoted = crate::report::quoted::read(None).unwrap();
    let drawn = draw(&grown(), dir.path(), &[FileKind::Svg], Beside { quoted: &quoted, peers: &[] }).unwrap();
    let names: Vec<&str> = drawn.files.iter().map(|p| p.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["stages", "throughput", "latency", "threads", "packing", "batch", "speedup-naive", "accuracy", "slots", "front"]);
    assert_eq!(
        drawn.left_out.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["peers", "bound", "convergence", "loss", "operations", "growth-key", "growth-batch", "growth-width"]
    );
    let read = |name: &str| fs::read_to_string(dir.path().join(FIGURES).join(format!("{name}.svg"))).unwrap();
    // Notes break where the sheet ends.
    let front = read("front");
    let words: Vec<&str> = front.split('<').filter_map(|part| part.split_once('>')).flat_map(|(_, text)| text.split_whitespace()).collect();
    let front = words.join(" ");
    assert!(front.contains("a CryptoNets 2016\u{2020}") && front.contains("not measured here"), "{front}");
    assert!(read("slots").contains("width of a slot (bits)") && read("batch").contains("images per batch"));
    assert!(read("latency").contains("ms per image") && read("latency").contains("3072"));
    assert!(read("packing").contains("bootstrap intervals"));
}

#[test]
fn peers_are_grouped_by_strength() {
    let spread = derive(&records(&one_key()))[3].online_ns.unwrap();
    let peer = |name: &str, job: &str, security_bits, factor: f64| Peer {
        name: name.into(),
        job: job.into(),
        key_bits: Some(2048),
        security_bits,
        threads: 1,
        wall_ns: crate::report::Spread { median: spread.median * factor, ..spread },
    };
    let peers = [peer("phe", "image", 112, 160.0), peer("cipherlane ifma owner", "image", 112, 1.0), peer("openfhe-bfv", "image", 128, 2.0)];
    sheet::load_font().unwrap();
    let sheet = speedup::peers(&peers).unwrap();
    let text: Vec<String> = sheet.text_boxes().into_iter().map(|(text, ..)| text).collect();
    assert!(text.iter().any(|t| t.ends_with("\u{d7}160")) && text.iter().any(|t| t == "one image, 128 bits of security"), "{text:?}");
}

#[test]
fn figures_say_what_they_show() {
    let dir = tempfile::tempdir().unwrap();
    draw_all(&records(&many_keys()), dir.path());
    let read = |name: &str| fs::read_to_string(dir.path().join(FIGURES).join(name)).unwrap();
    for label in ["ifma straus", "reference naive", "plaintext float", "key size (bits)", "images per second", "toy", "4096"] {
        assert!(read("throughput.svg").contains(label), "{label}");
    }
    for label in ["encrypt", "evaluate", "decrypt", "1024-bit key, toy", "gmp buckets", "share of online time (%)", "per image", "33.3 ms"] {
        assert!(read("stages.svg").contains(label), "{label}");
    }
    for label in ["mnist, pixels, n=10000", "plaintext quantised", "paillier, 60 specs", "axis from", "92.08"] {
        assert!(read("accuracy.svg").contains(label), "{label}");
    }
}

#[test]
fn figures_of_all_committed_results_keep_the_rules() {
    sheet::load_font().unwrap();
    let quoted = crate::report::quoted::read(None).unwrap();
    let below = |dir: &Path| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect::<Vec<_>>();
    let folders = below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/results")));
    let mut count = 0;
    for dir in folders.iter().flat_map(|dir| [vec![dir.clone()], below(dir)].concat()) {
        let name = dir.display().to_string();
        let records = if dir.join("outcomes.csv").exists() { Records::read(&dir).unwrap() } else { Records::default() };
        let leaks: Vec<_> = Experiment::ALL.into_iter().map(|e| (e, crate::record::leakage::read(&dir, e).unwrap())).collect();
        let peers = crate::report::peers::find(&dir).map(|path| crate::report::peers::read(&path).unwrap()).unwrap_or_default();
        for quoted in [&[][..], &quoted] {
            let drawn = sheets(&records, &derive(&records), Beside { quoted, peers: &peers }).0.into_iter().chain(leakage_sheets(&leaks).0);
            for sheet in drawn {
                assert_apart(&name, &sheet);
                count += 1;
            }
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn fields_of_any_length_are_cut_before_they_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let cases = one_key();
    for long in ["x".repeat(100_000), "word ".repeat(20_000), "\u{b5}\u{2020}".repeat(30_000)] {
        let mut records = records(&cases);
        for (at, o) in records.outcomes.iter_mut().enumerate() {
            o.method = format!("{at}{long}");
            (o.dataset, o.features, o.revision, o.run_id, o.adapter) = (long.clone(), long.clone(), long.clone(), long.clone(), long.clone());
            o.adapter_type = "gpu".into();
        }
        for sample in &mut records.samples {
            (sample.run_id, sample.cpu) = (long.clone(), long.clone());
        }
        sheet::load_font().unwrap();
        for sheet in sheets(&records, &derive(&records), Beside::default()).0 {
            for (text, from, to) in sheet.text_boxes() {
                assert!(text.chars().count() < 400 && to.0 - from.0 <= WIDTH && to.1 <= sheet.height(), "{}: {text}", sheet.name());
            }
        }
        assert!(draw(&records, dir.path(), &[FileKind::Svg, FileKind::Png], Beside::default()).unwrap().figures > 0);
    }
    assert!(sheet::clip(&"x".repeat(1000), 100).ends_with('\u{2026}') && sheet::text_width(&sheet::clip(&"x".repeat(1000), 100)) <= 100);
    assert_eq!(sheet::clip("short", 1000), "short");
}

#[test]
fn files_carry_all_of_their_source() {
    let mut records = records(&one_key());
    for (at, o) in records.outcomes.iter_mut().enumerate() {
        let run = format!("2025-01-02-{at:08}");
        records.samples.iter_mut().filter(|s| s.spec == o.spec).for_each(|s| s.run_id.clone_from(&run));
        o.run_id = run;
    }
    let dir = tempfile::tempdir().unwrap();
    draw_all(&records, dir.path());
    let read = |ending: &str| fs::read(dir.path().join(FIGURES).join(format!("stages.{ending}"))).unwrap();
    let svg = String::from_utf8(read("svg")).unwrap();
    let (before, described) = svg.split_once("<desc>").unwrap();
    assert!(before.contains("<title>stages</title>"));
    assert!(described.split_once("</desc>").unwrap().0.contains("2025-01-02-00000000, 2025-01-02-00000001"));
    assert!(described.contains("2025-01-02-00000007") && described.contains("run 2025-01-02-00000000 and 7 more"));
    let png = png::Decoder::new(std::io::Cursor::new(read("png"))).read_info().unwrap();
    let texts: Vec<String> = png.info().utf8_text.iter().map(|chunk| format!("{} {}", chunk.keyword, chunk.get_text().unwrap())).collect();
    assert!(texts.iter().any(|text| text.starts_with("Source Made-up Processor") && text.contains("00000007")), "{texts:?}");
    let (pdf, _) = inflated(&read("pdf"));
    assert!(pdf.contains("/Subject") && pdf.contains("2025-01-02-00000007"), "{pdf}");
}

#[test]
fn a_hue_is_one_backend_in_every_figure() {
    sheet::load_font().unwrap();
    let only = |backend: &'static str| [2048, 3072, 4096].map(|bits| Case::paillier(backend, "buckets", bits, 4e4 / f64::from(bits)));
    let hues = |cases: &[Case]| -> BTreeSet<(u8, u8, u8)> {
        let records = records(cases);
        let all = sheets(&records, &derive(&records), Beside::default()).0;
        all.iter().filter(|sheet| ["throughput", "front"].contains(&sheet.name())).flat_map(Sheet::hues).collect()
    };
    let (ifma, gmp) = (hues(&only("ifma")), hues(&only("gmp")));
    assert!(ifma.len() == 1 && gmp.len() == 1 && ifma != gmp, "{ifma:?} {gmp:?}");
    let both = hues(&[only("ifma"), only("gmp")].concat());
    assert_eq!(both, ifma.union(&gmp).copied().collect());
}

#[test]
fn one_accuracy_of_a_model_stands_for_all_its_rows() {
    let few = |case: Case| Case { images: 20, accuracy: 1.0, ..case };
    let other = Case { dataset: "digits", images: 599, ..Case::clear("float", 1e6) };
    let mut cases = vec![Case { accuracy: 0.9208, ..Case::clear("integer", 1e6) }, Case::clear("float", 2e6), other];
    cases.extend([2048, 3072].map(|bits| few(Case::paillier("gmp", "buckets", bits, 30.0))));
    cases.push(few(Case { features: "gradients", ..Case::paillier("gmp", "buckets", 2048, 50.0) }));
    let records = records(&cases);
    let rows = derive(&records);
    let sheet = front::front(&rows.iter().collect::<Vec<_>>(), &[], &Footer::default()).unwrap();
    let text: Vec<String> = sheet.text_boxes().into_iter().map(|(text, ..)| text).collect();
    let text = text.join(" ");
    // Neither 100 % of twenty images nor another set.
    assert!(
        sheet.words().1[0].iter().all(|number| number.starts_with("92.")) && text.contains("2 rows on fewer images or other test sets not shown"),
        "{text}"
    );
}

#[test]
fn no_text_meets_another_or_the_edge() {
    sheet::load_font().unwrap();
    let quoted = crate::report::quoted::read(None).unwrap();
    let all = sets().into_iter().map(|(name, cases)| (name, records(&cases))).chain([("grown", grown()), ("trainings", trainings())]);
    for (name, records) in all {
        for sheet in sheets(&records, &derive(&records), Beside { quoted: &quoted, peers: &[] }).0 {
            assert_apart(name, &sheet);
        }
    }
}

/// Holds a sheet to the rules of every figure: texts apart and inside, names distinct, markers
/// inside their frame, enough to show.
fn assert_apart(name: &str, sheet: &Sheet) {
    let boxes = sheet.text_boxes();
    let distinct = |words: &[String]| words.iter().collect::<BTreeSet<_>>().len() == words.len();
    let (labels, axes) = sheet.words();
    assert!(distinct(labels), "{name} {}: {labels:?}", sheet.name());
    for numbers in axes {
        assert!(distinct(numbers) && numbers.len() >= 2, "{name} {}: {numbers:?}", sheet.name());
    }
    assert!(sheet.values() >= 3 && sheet.lines().iter().all(|points| *points >= 3), "{name} {}: {:?}", sheet.name(), sheet.lines());
    assert!(sheet.cut().is_empty(), "{name} {}: {:?}", sheet.name(), sheet.cut());
    for (at, (text, from, to)) in boxes.iter().enumerate() {
        assert!(from.0 >= 0 && from.1 >= 0 && to.0 <= WIDTH && to.1 <= sheet.height(), "{name} {}: {text} leaves the sheet", sheet.name());
        for (other, begin, end) in &boxes[at + 1..] {
            let apart = to.0 <= begin.0 || end.0 <= from.0 || to.1 <= begin.1 || end.1 <= from.1;
            assert!(apart, "{name} {}: {text} meets {other}", sheet.name());
        }
    }
}

#[test]
fn leakage_is_drawn_for_every_size_that_varies() {
    sheet::load_font().unwrap();
    let (leaks, trained) = leakage::synthetic::rows();
    let all = [(Experiment::Training, trained), (Experiment::Attack, leaks[..1].to_vec()), (Experiment::Leakage, leaks)];
    let (sheets, left_out) = leakage_sheets(&all);
    assert_eq!(sheets.iter().map(Sheet::name).collect::<Vec<_>>(), [&["ciphertext-training"][..], &leakage::SWEEPS].concat());
    assert!(left_out.is_empty());
    for sheet in &sheets {
        assert_apart("leakage", sheet);
        let text: Vec<String> = sheet.text_boxes().into_iter().map(|(text, ..)| text).collect();
        assert!(text.join(" ").contains("run 2025-01-02-0123abcd"), "{text:?}");
    }
    // A figure that has nothing to vary says so; without rows there is none.
    let (sheets, left_out) = leakage_sheets(&[(Experiment::Leakage, all[2].1[..9].to_vec()), (Experiment::Training, Vec::new())]);
    assert_eq!((sheets.len(), left_out.len()), (1, 3));
    let dir = tempfile::tempdir().unwrap();
    let drawn = draw_leakage(&all, dir.path(), &FileKind::ALL).unwrap();
    assert_eq!((drawn.files.len(), drawn.figures), (15, 5));
    assert!(fs::read_to_string(dir.path().join("figures/leakage-a-bound.svg")).unwrap().contains("test images decrypted"));
}

#[test]
fn nothing_to_show_draws_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(draw_all(&Records::default(), dir.path()).files.is_empty());
    assert!(!dir.path().join(FIGURES).exists());
    let mut failed = records(&[Case::paillier("gpu", "buckets", 2048, 1.0)]);
    failed.outcomes[0].error = Some("no such device".into());
    let drawn = draw_all(&failed, dir.path());
    assert!(drawn.files.is_empty() && drawn.left_out.len() == 18 && drawn.left_out.iter().all(|(_, reason)| !reason.is_empty()));
}

#[test]
fn what_is_not_shown_is_counted() {
    let mut records = records(&one_key());
    records.outcomes[7].error = Some("no such device".into());
    records.outcomes[6].workload = "kernel".into();
    let rows = derive(&records);
    let text: Vec<String> = sheets(&records, &rows, Beside::default()).0.iter().flat_map(Sheet::text_boxes).map(|(text, ..)| text).collect();
    let text = text.join(" ");
    assert!(text.contains("1 failed spec not shown; 1 of other workloads not shown"), "{text}");
    assert!(!text.contains("ifma buckets"));
}

#[test]
fn software_adapters_and_open_runs_are_never_silent() {
    let case = |backend| Case::paillier(backend, "buckets", 2048, 30.0);
    let mut records = records(&[case("gpu"), case("gmp"), case("ifma")]);
    records.outcomes[0].adapter_type = "software".into();
    records.outcomes[1].division = "open".into();
    let text: Vec<String> =
        sheets(&records, &derive(&records), Beside::default()).0.iter().flat_map(Sheet::text_boxes).map(|(text, ..)| text).collect();
    assert_eq!(text.iter().filter(|t| *t == "gpu (software) buckets").count(), 2);
    assert_eq!(text.iter().filter(|t| *t == "gmp buckets\u{2021}").count(), 2);
    assert_eq!(text.join(" ").matches("\u{2021} open: features computed in clear").count(), 2);
}

#[test]
fn packings_of_one_key_size_are_lines_of_their_own() {
    let cases: Vec<Case> = [2048, 3072, 4096]
        .into_iter()
        .flat_map(|bits| [1, bits / 26].map(|packing| Case { packing, ..Case::paillier("gmp", "buckets", bits, f64::from(packing)) }))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    draw_all(&records(&cases), dir.path());
    let text = fs::read_to_string(dir.path().join(FIGURES).join("throughput.svg")).unwrap();
    assert!(text.contains("gmp buckets packed") && text.contains("gmp buckets unpacked"));
}
