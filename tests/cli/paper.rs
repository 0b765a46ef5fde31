//! `paper`: a report from toy sweeps on the digits, from results that are there, after Ctrl-C, and what it refuses.

use std::fs;
use std::process::Stdio;

use super::{Place, signal, snapshot, wait, wait_for_end};

/// A few rows that take milliseconds each.
const METHODS: &str = "
    # Expected: naive takes longest.
    question = \"Does it work?\"
    dataset = \"digits\"
    toy = true
    [sampling]
    warm_up_seconds = 0
    min_seconds = 0
    min_samples = 6
    max_seconds = 1
    [[grid]]
    backend = [\"gmp\"]
    key_bits = [256, 320]
    method = [\"naive\", \"pairs\"]
    features = [\"pixels\"]
    images = [3]
";

const CLAIMS: &str = "
    [[claim]]
    name = \"products\"
    text = \"Pairs take fewer products than naive.\"
    command = \"cipherlane sweep sweeps/methods.toml\"
    where = { scheme = \"paillier\" }
    by = [\"key_bits\"]
    column = \"products\"
    of = { method = \"naive\" }
    over = { method = \"pairs\" }
    at_least = 1.5

    [[claim]]
    name = \"real-images\"
    text = \"MNIST is classified.\"
    command = \"cipherlane paper\"
    needs = [\"mnist\"]
    column = \"accuracy\"
    reduce = \"min\"
    at_least = 0.9
";

/// A claim that the rows contradict.
const PLANTED: &str = "
    [[claim]]
    name = \"planted\"
    text = \"Nothing agrees.\"
    command = \"cipherlane sweep sweeps/methods.toml\"
    where = { scheme = \"paillier\" }
    column = \"agreement\"
    equals = 0
";

const PAPER: &str = "paper --sweeps sweeps --claims claims.toml --out r";

fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("sweeps")).unwrap();
    fs::write(place.path("sweeps/methods.toml"), METHODS).unwrap();
    // A question that the program does not know, and a file that is no part of a report.
    fs::write(place.path("sweeps/later.toml"), METHODS.replace("[256, 320]", "[288]")).unwrap();
    fs::write(place.path("sweeps/tests-only.toml"), METHODS.replace("toy = true", "toy = true\n    paper = false")).unwrap();
    fs::write(place.path("claims.toml"), CLAIMS).unwrap();
    place
}

#[test]
fn a_report_has_tables_figures_and_checked_claims() {
    let place = place();
    let done = place.does(PAPER);
    assert!(done.out.contains("claims: 1 held, 0 failed, 1 not checked") && done.out.contains("2 sweeps with 10 rows"), "{}", done.out);
    assert!(done.err.contains("claim real-images: not checked: needs mnist") && done.err.contains("no figure bound: "), "{}", done.err);
    for name in [
        "report.md",
        "report.tex",
        "claims.csv",
        "tables/methods.md",
        "tables/methods.tex",
        "tables/methods.csv",
        "tables/later.md",
        "figures/speedup-naive.pdf",
        "figures/later-stages.png",
    ] {
        assert!(place.path("r").join(name).is_file(), "{name}");
    }
    let read = |name: &str| fs::read_to_string(place.path("r").join(name)).unwrap();
    let (text, latex) = (read("report.md"), read("report.tex"));
    for words in [
        // A reader has other folders than the machine that made the report.
        "cipherlane sweep sweeps/methods.toml --out DIR/methods",
        "paper --sweeps sweeps --claims claims.toml --out DIR",
        "cipherlane plot DIR/methods",
        "naive takes longest",
        "toy: a key under 2048 bits",
        "digits are the 599 embedded",
        "a key is a toy",
    ] {
        assert!(text.contains(words), "`{words}` is not in {text}");
    }
    // Everything that the source takes in is there.
    for file in latex.split("{figures/").skip(1).map(|rest| rest.split('}').next().unwrap()) {
        assert!(place.path("r/figures").join(file).is_file(), "{file}");
    }
    assert!(read("claims.csv").starts_with("name,state,expected,actual,text,command\nproducts,held,at least 1.5,"), "{}", read("claims.csv"));

    place.refuses("report r", &["r: expected a results folder", "read r/report.md", "r/later, r/methods"]);

    // Again: nothing is measured, and the same comes of it. From the results alone, too.
    let samples = read("methods/samples.csv");
    let again = place.does(PAPER);
    assert!(again.err.contains("0 to go") && read("methods/samples.csv") == samples && read("report.md") == text, "{}", again.err);
    let json = place.json("paper --from r --claims claims.toml --out s");
    assert_eq!(json["claims"][0]["state"], "held");
    assert_eq!((json["rows"].as_u64(), json["left_out"]["bound"].is_string()), (Some(10), true), "{json}");
    place.does("paper --from r/methods r/later --claims claims.toml --out t");
    // Results without rows for a claim leave it open.
    fs::write(place.path("claims.toml"), CLAIMS.replace("\"paillier\"", "\"smlp\"")).unwrap();
    let open = place.does("paper --from r --claims claims.toml --out s");
    assert!(open.out.contains("0 held, 0 failed, 2 not checked"), "{}", open.out);
    place.ends(PAPER, 1);
}

#[test]
fn a_false_claim_fails_loudly() {
    let place = place();
    fs::write(place.path("claims.toml"), format!("{CLAIMS}{PLANTED}")).unwrap();
    let done = place.ends(PAPER, 1);
    let lines: Vec<&str> = done.err.lines().filter(|l| l.contains("FAILED")).collect();
    assert_eq!(lines, ["claim planted FAILED: expected 0, found 1; cipherlane sweep sweeps/methods.toml"], "{}", done.err);
    assert!(done.out.contains("1 held, 1 failed, 1 not checked"), "{}", done.out);
    assert!(fs::read_to_string(place.path("r/report.md")).unwrap().contains("| Nothing agrees. | 0 | 1 | FAILED |"));
    // Without the planted one the same rows are good.
    fs::write(place.path("claims.toml"), CLAIMS).unwrap();
    place.does(PAPER);
}

#[test]
fn a_plan_leaves_nothing_and_mistakes_are_named() {
    let place = place();
    let before = snapshot(place.0.path());
    let plan = place.does(&format!("{PAPER} --dry-run"));
    assert!(plan.out.contains("all 2 sweeps: 10 rows, about ") && snapshot(place.0.path()) == before, "{}", plan.out);
    let quick = place.json("paper --dry-run --dataset digits");
    assert!(quick.as_array().is_some_and(|sweeps| sweeps.len() >= 9), "{quick}");
    place.refuses("paper --from nowhere", &["nowhere"]);
    place.refuses("paper --from sweeps", &["sweeps: expected outcomes.csv"]);
    place.refuses("paper --sweeps nowhere", &["nowhere"]);
    place.refuses("paper --out r", &["MNIST not found"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.refuses("paper --sweeps empty", &["empty: expected sweep files"]);
    for (claim, words) in [
        ("colum = \"x\"", &["claims.toml:6: claim.colum", "did you mean `column`?"][..]),
        ("column = \"bakend\"\nequals = 1", &["claims.toml:6: claim.column", "did you mean `backend`?"]),
    ] {
        fs::write(place.path("claims.toml"), format!("\n[[claim]]\nname = \"a\"\ntext = \"\"\ncommand = \"\"\n{claim}\n")).unwrap();
        place.refuses(PAPER, words);
    }
    fs::write(place.path("claims.toml"), CLAIMS).unwrap();
    fs::write(place.path("file"), "").unwrap();
    place.refuses("paper --sweeps sweeps --claims claims.toml --out file", &["file: expected a folder, found a file"]);
    place.misuses_paper();
}

impl Place {
    fn misuses_paper(&self) {
        for line in ["paper --setting slow", "paper --from r --dry-run", "paper --from r --setting full"] {
            assert!(!self.ends(line, 2).err.is_empty());
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_report_goes_on() {
    let place = place();
    let long = METHODS.replace("min_seconds = 0", "min_seconds = 100").replace("max_seconds = 1", "max_seconds = 1000");
    fs::write(place.path("sweeps/methods.toml"), long).unwrap();
    let mut child = place.signalled(PAPER, "").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let rows = place.path("r/methods/rows");
    wait("the first sweep", || rows.is_dir().then_some(()));
    signal("-INT", &child);
    wait_for_end(&mut child, 130);
    assert!(!place.path("r/report.md").exists() && place.path("r/methods/outcomes.csv").is_file());
    assert!(snapshot(&place.path("r")).keys().all(|path| !path.to_string_lossy().contains(".cipherlane-")));
    fs::write(place.path("sweeps/methods.toml"), METHODS).unwrap();
    let done = place.does(PAPER);
    assert!(done.out.contains("2 sweeps with 10 rows"), "{}", done.out);
}
