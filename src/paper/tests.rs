use std::collections::BTreeMap;

use super::cells::Cells;
use super::*;
use crate::report::Format;
use crate::report::synthetic::{many_keys, one_key, records};

fn part(name: &str, records: Records) -> Part {
    let run = "run_id = \"r\"\ncpu = \"Made-up & co\"\nhardware_threads = 2\nload_at_start = 0.5\npublishable = false\nnot_publishable_because = [\"a toy\"]\n[source]\ndataset = \"mnist\"";
    Part {
        name: name.into(),
        setting: "quick".into(),
        folder: format!("out/{name}"),
        question: "What is it?".into(),
        expected: "This & that.".into(),
        command: format!("cipherlane sweep {name}.toml"),
        records,
        run: run.parse().unwrap(),
        others: BTreeMap::from([("extra.csv".into(), Cells { columns: vec!["a".into()], rows: vec![vec!["1".into()]] })]),
    }
}

fn verdicts() -> Vec<Verdict> {
    let verdict = |state, actual: &str| Verdict {
        name: "n".into(),
        text: "50 % of it.".into(),
        command: "cipherlane x --y".into(),
        state,
        expected: "at least 1 \u{b1} 2".into(),
        actual: actual.into(),
    };
    vec![verdict(State::Held, "3"), verdict(State::Failed, "0"), verdict(State::NotChecked, "needs ifma")]
}

fn example() -> (Vec<Part>, Document) {
    let mut keys = records(&many_keys());
    keys.outcomes[3].error = Some("it broke_down".into());
    let mut parts = vec![part("unheard-of", records(&one_key())), part("methods", records(&one_key())), part("key-sizes", keys)];
    let wanted = outline(&mut parts);
    let figures: Vec<Figure> =
        wanted.into_iter().map(|wanted| Figure { left_out: (wanted.figure == "bound").then(|| "no row has a bound".into()), wanted }).collect();
    let (verdicts, quoted) = (verdicts(), quoted::read(None).unwrap());
    let from = Ingredients {
        parts: &parts,
        figures: &figures,
        verdicts: &verdicts,
        quoted: &quoted,
        command: "cipherlane paper --setting quick",
        date: "2026-01-02",
    };
    let document = report(from);
    (parts, document)
}

#[test]
fn every_part_has_its_figures_and_its_table_with_their_commands() {
    let (parts, document) = example();
    assert_eq!(parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["key-sizes", "methods", "unheard-of"]);
    let text = document.markdown();
    for name in ["throughput", "speedup-naive", "unheard-of-stages", "front"] {
        assert_eq!(text.matches(&format!("](figures/{name}.png)")).count(), 1, "{name}");
    }
    assert!(!text.contains("figures/bound.png") && text.contains("The figure bound is left out: no row has a bound."), "{text}");
    for part in &parts {
        assert!(text.contains(&format!("`{}`", part.command)), "{}", part.name);
    }
    let tables: Vec<&str> = document.tables().map(|(exhibit, _)| exhibit.name.as_str()).collect();
    assert_eq!(tables, ["machine", "key-sizes", "methods", "unheard-of", "published", "claims"]);
    // What a reader must not miss: failures with their reason, toys, quoted numbers, claims by their state, disturbances.
    for words in [
        "it broke\\_down",
        "toy: a key under 2048 bits",
        "CryptoNets 2016\u{2020}",
        "1 held, 1 failed and 1 were not checked",
        "needs ifma",
        "no: a toy",
    ] {
        assert!(text.contains(words), "`{words}` is not in {text}");
    }
}

#[test]
fn the_latex_source_is_balanced_and_escaped() {
    let (_, document) = example();
    let text = document.latex();
    for environment in ["document", "abstract", "figure", "table*", "tabular", "itemize"] {
        let count = |word: &str| text.matches(&format!("\\{word}{{{environment}}}")).count();
        assert!(count("begin") == count("end") && count("begin") > 0, "{environment}");
    }
    let (mut depth, mut escaped) = (0_i32, false);
    for line in text.lines().filter(|line| !line.starts_with('%')) {
        for c in line.chars() {
            match c {
                '{' if !escaped => depth += 1,
                '}' if !escaped => depth -= 1,
                _ => {}
            }
            escaped = c == '\\' && !escaped;
            assert!(depth >= 0, "{line}");
        }
        escaped = false;
    }
    assert_eq!(depth, 0);
    assert!(text.is_ascii(), "{:?}", text.lines().find(|l| !l.is_ascii()));
    assert!(
        text.contains("Made-up \\& co")
            && text.contains("50 \\% of it")
            && text.contains("\\usepackage{booktabs}")
            && text.contains("\\ensuremath{\\pm}")
    );
    assert!(
        text.contains("\\includegraphics[width=\\columnwidth]{figures/throughput.pdf}") && text.contains("cipherlane paper -{}-{}setting quick"),
        "{text}"
    );
}

/// `CIPHERLANE_WRITE=1 cargo test --lib paper` writes the page anew.
#[test]
fn the_page_on_results_shows_the_derived_columns() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("results/README.md");
    let Ok(page) = std::fs::read_to_string(&path) else { return };
    let (begin, end) = ("<!-- columns:derived -->\n", "<!-- end:derived -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let rows: String = derived::DERIVED.iter().map(|d| format!("| `{}` | {} |\n", d.name, d.meaning)).collect();
    let wanted = format!("{before}{begin}| column | meaning |\n|---|---|\n{rows}{end}{after}");
    if std::env::var_os("CIPHERLANE_WRITE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert_eq!(page, wanted, "results/README.md is behind src/paper/cells.rs");
    }
}

#[test]
fn tables_that_claims_read_have_what_is_derived() {
    let (parts, _) = example();
    let tables = derived::tables(&parts).unwrap();
    let outcomes = &tables["outcomes.csv"];
    assert_eq!(outcomes.rows.len(), parts.iter().map(|p| p.records.outcomes.len()).sum::<usize>());
    for column in derived::known() {
        assert!(outcomes.columns.iter().any(|c| c == column), "{column}");
    }
    let row = outcomes.rows.iter().find(|row| outcomes.get(row, "sweep") == "methods" && outcomes.get(row, "method") == "straus").unwrap();
    assert!(outcomes.get(row, "online_ns").parse::<f64>().unwrap() > 0.0);
    assert_eq!((outcomes.get(row, "setting"), outcomes.get(row, "pool"), outcomes.get(row, "verified")), ("quick", "none", "true"));
    let extra = &tables["extra.csv"];
    assert_eq!((extra.columns.clone(), extra.rows.len()), (vec!["sweep".to_owned(), "a".into()], 3));
}

#[test]
fn columns_that_are_equal_move_into_the_caption_but_failures_stay() {
    let (_, document) = example();
    let table = |name: &str| document.tables().find(|(exhibit, _)| exhibit.name == name).map(|(_, table)| table.clone()).unwrap();
    let methods = table("methods");
    assert!(methods.caption.contains("every row verified") && methods.columns.iter().all(|c| c.name != "ok"), "{}", methods.caption);
    let keys = table("key-sizes");
    assert!(keys.columns.last().unwrap().name == "ok" && keys.notes[0].contains("1 failed: it broke_down"), "{:?}", keys.notes);
    let text = crate::report::render(keys, Format::Csv);
    assert!(text.contains(",[1]") && text.contains("1024 toy"), "{text}");
}
