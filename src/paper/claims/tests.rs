use std::path::Path;

use super::*;
use crate::error::Result;

fn parse(text: &str) -> Result<Claims> {
    Claims::parse(Path::new("c.toml"), text)
}

/// Rows of two backends and two plans, one of them disturbed, one failed.
fn tables() -> BTreeMap<String, Cells> {
    let text = "\
backend,method,dataset,products,online_ns,accuracy,digest,disturbed,error,threads,adapter_type,setting,verified
gmp,naive,digits,80,100,0.9,aa,false,,1,cpu,quick,true
gmp,pairs,digits,20,40,0.9,aa,false,,2,cpu,quick,true
reference,naive,digits,80,900,0.9,aa,false,,1,cpu,quick,true
reference,pairs,digits,16,300,0.9,aa,true,,1,cpu,quick,true
gpu,pairs,digits,,,,,false,no adapter,1,software,quick,false
";
    let other = "kernel,rate\na,3\nb,5\n";
    BTreeMap::from([(OUTCOMES.into(), cells(text)), ("kernels.csv".into(), cells(other))])
}

fn cells(text: &str) -> Cells {
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    Cells { columns: lines.next().unwrap(), rows: lines.collect() }
}

#[track_caller]
fn verdict(claim: &str, complete: bool) -> Verdict {
    let claims = parse(&format!("[[claim]]\nname = \"x\"\ntext = \"t\"\ncommand = \"run it\"\n{claim}")).unwrap();
    check(&claims, &tables(), complete).remove(0)
}

/// State and what was found.
#[track_caller]
fn of(claim: &str) -> (State, String) {
    let verdict = verdict(claim, true);
    (verdict.state, verdict.actual)
}

const PLANS: &str =
    "where = { error = \"\" }\nby = [\"backend\"]\ncolumn = \"products\"\nof = { method = \"naive\" }\nover = { method = \"pairs\" }\n";

#[test]
fn numbers_and_ratios_are_held_against_the_rows() {
    assert_eq!(of(&format!("{PLANS}at_least = 4")), (State::Held, "4 to 5".into()));
    assert_eq!(of(&format!("{PLANS}at_least = 4\nat_most = 5")).0, State::Held);
    assert_eq!(of("where = { error = \"\" }\ncolumn = \"accuracy\"\nequals = 0.9"), (State::Held, "0.9".into()));
    assert_eq!(of("where = { backend = \"gmp\" }\ncolumn = \"digest\"\nequals = \"aa\"").0, State::Held);
    assert_eq!(of("where = { backend = [\"gmp\"] }\ncolumn = \"online_ns\"\nreduce = \"median\"\nequals = 70").0, State::Held);
    assert_eq!(of("where = { backend = \"gmp\" }\ncolumn = \"online_ns\"\nreduce = \"sum\"\nequals = 139\ntolerance = 1").0, State::Held);
    assert_eq!(of("where = { products = { at_most = 20 } }\nreduce = \"count\"\nequals = 2").0, State::Held);
    assert_eq!(of("where = { backend = \"ifma\" }\nreduce = \"count\"\nat_most = 0").0, State::Held);
    assert_eq!(of("where = { error = \"\" }\nby = [\"method\"]\ncolumn = \"digest\"\nsame = true\nacross = [\"backend\"]").0, State::Held);
    assert_eq!(of("table = \"kernels.csv\"\nwhere = { kernel = { not = \"a\" } }\ncolumn = \"rate\"\nequals = 5").0, State::Held);
}

/// The planted falsehoods: each differs from a claim that holds by one number or word.
#[test]
fn false_claims_fail_and_say_what_was_found() {
    let fails = |claim: &str, found: &str| {
        let verdict = verdict(claim, true);
        assert!(verdict.state == State::Failed && verdict.actual.contains(found), "{claim}: {verdict:?}");
        let line = verdict.line();
        assert!(line.starts_with("claim x FAILED: expected ") && line.ends_with("run it") && line.lines().count() == 1, "{line}");
        assert!(line.contains(&verdict.expected) && line.contains(found), "{line}");
    };
    fails(&format!("{PLANS}at_least = 4.01"), "4 (backend gmp)");
    fails(&format!("{PLANS}at_most = 4.99"), "5 (backend reference)");
    fails(&format!("{PLANS}equals = 4"), "5 (backend reference)");
    fails("where = { error = \"\" }\ncolumn = \"accuracy\"\nequals = 0.90001", "0.9");
    fails("where = { backend = \"gmp\" }\ncolumn = \"digest\"\nequals = \"ab\"", "aa");
    fails("where = { verified = false }\nreduce = \"count\"\nat_most = 0", "1");
    fails("table = \"kernels.csv\"\ncolumn = \"rate\"\nreduce = \"max\"\nat_most = 4", "5");
    fails("by = [\"method\"]\nwhere = { error = \"\" }\ncolumn = \"products\"\nsame = true\nacross = [\"backend\"]", "16 and 20 (method pairs)");
    // What cannot be read is no success either.
    fails("where = { backend = \"gpu\" }\ncolumn = \"accuracy\"\nequals = 0.9", "no adapter");
    fails("where = { backend = \"gmp\" }\ncolumn = \"products\"\nat_least = 1", "2 rows with different products");
    fails("where = { backend = \"ifma\" }\ncolumn = \"products\"\nat_least = 1", "no row of outcomes.csv has backend ifma");
    fails(
        "by = [\"backend\"]\nwhere = { backend = \"gmp\" }\ncolumn = \"digest\"\nsame = true\nacross = [\"backend\"]",
        "no two rows that differ in backend",
    );
    fails("table = \"kernels.csv\"\ncolumn = \"speed\"\nequals = 5", "no column speed in kernels.csv");
    fails("table = \"nothing.csv\"\ncolumn = \"speed\"\nequals = 5", "there is no nothing.csv");
}

#[test]
fn what_is_missing_is_not_checked_and_never_held() {
    let open = |needs: &str, what: &str| {
        let (state, actual) = of(&format!("needs = [{needs}]\nwhere = {{ error = \"\" }}\ncolumn = \"accuracy\"\nequals = 0.9"));
        assert!(state == State::NotChecked && actual == format!("needs {what}"), "{needs}: {state:?} {actual}");
    };
    open("\"mnist\"", "mnist");
    open("\"ifma\", \"mnist\"", "ifma, mnist");
    open("\"gpu\"", "gpu");
    open("\"full\"", "the full setting");
    open("\"threads-4\"", "4 threads");
    open("\"rates.csv\"", "rates.csv");
    for met in ["digits", "gmp", "quick", "threads-2", "kernels.csv", "quiet"] {
        assert_eq!(of(&format!("needs = [\"{met}\"]\nwhere = {{ error = \"\" }}\ncolumn = \"accuracy\"\nequals = 0.9")).0, State::Held, "{met}");
    }
    // Disturbed rows do not count; where only they are left, nothing is checked.
    let quiet = "needs = [\"quiet\"]\nwhere = { backend = \"reference\", error = \"\" }\ncolumn = \"products\"\n";
    assert_eq!(of(&format!("{quiet}equals = 80")), (State::Held, "80".into()));
    let (state, actual) = of(&format!("{quiet}of = {{ method = \"pairs\" }}\nequals = 16"));
    assert!(state == State::NotChecked && actual.contains("1 rows were disturbed"), "{actual}");
    // Of results that need not have all rows, a claim without rows is not checked.
    let missing = "where = { backend = \"ifma\" }\ncolumn = \"products\"\nat_least = 1";
    let verdict = verdict(missing, false);
    assert!(verdict.state == State::NotChecked && verdict.line().starts_with("claim x: not checked: needs rows that are not here"), "{verdict:?}");
}

#[test]
fn mistakes_name_line_and_key() {
    #[track_caller]
    fn refused(text: &str, line: usize, words: &[&str]) {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.starts_with(&format!("c.toml:{line}: ")) && message.lines().count() == 1, "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "`{word}` is not in: {message}"));
    }
    let head = "[[claim]]\nname = \"x\"\ntext = \"t\"\ncommand = \"c\"\n";
    let with = |rest: &str| format!("{head}{rest}");
    refused("[[clam]]\nname = \"x\"", 1, &["clam", "did you mean `claim`?"]);
    refused("[[claim]]\nname = \"x\"\ntext = \"t\"", 1, &["command"]);
    refused(&with("colum = \"accuracy\""), 5, &["claim.colum", "did you mean `column`?"]);
    refused(&with("column = \"acuracy\"\nequals = 1"), 5, &["claim.column", "`acuracy`", "did you mean `accuracy`?"]);
    refused(&with("where = { bakend = \"gmp\" }\ncolumn = \"accuracy\"\nequals = 1"), 5, &["claim.where", "`bakend`", "did you mean `backend`?"]);
    refused(&with("column = \"accuracy\"\nby = [\"keybits\"]\nequals = 1"), 6, &["claim.by", "did you mean `key_bits`?"]);
    refused(&with("column = \"accuracy\"\nneeds = [\"mnst\"]\nequals = 1"), 6, &["claim.needs", "did you mean `mnist`?", "NAME.csv"]);
    refused(&with("column = \"accuracy\"\nreduce = \"mean\"\nequals = 1"), 6, &["claim.reduce", "median"]);
    refused(&with("column = \"accuracy\""), 1, &["claim", "at_least", "same = true"]);
    refused(&with("column = \"accuracy\"\nat_least = 1\nequals = 2"), 1, &["claim", "one of"]);
    refused(&with("equals = 2"), 1, &["claim", "`column`"]);
    refused(&with("column = \"accuracy\"\nequals = [1]"), 6, &["claim.equals", "a number"]);
    refused(&with("column = \"accuracy\"\nat_least = 1\ntolerance = 2"), 7, &["claim.tolerance", "`equals`"]);
    refused(&with("column = \"accuracy\"\nat_least = 1\nover_column = \"products\""), 7, &["claim.over_column", "`over`"]);
    refused(&with("column = \"accuracy\"\nwhere = { images = { least = 1 } }\nequals = 1"), 6, &["claim.where", "images", "at_most"]);
    refused(&with("column = \"rate\"\ntable = \"kernels\"\nequals = 1"), 6, &["claim.table", ".csv"]);
    refused(&with("table = \"kernels.csv\"\nneeds = [\"quiet\"]\ncolumn = \"rate\"\nequals = 1"), 6, &["claim.needs", "outcomes.csv"]);
    refused(&with(&format!("column = \"accuracy\"\nequals = 1\n{head}column = \"accuracy\"\nequals = 1")), 8, &["claim.name", "`x` is there twice"]);
    // A column of another file is not known before it is read.
    assert_eq!(parse(&with("table = \"kernels.csv\"\ncolumn = \"rate\"\nequals = 1")).unwrap().count(), 1);
}

#[test]
fn a_longer_key_that_looks_faster_is_caught() {
    let state = |shorter: &str| {
        let text = format!(
            "sweep,dataset,error,scheme,backend,features,key_bits,online_ns\nkey-sizes,mnist,,paillier,gmp,pixels,2048,{shorter}\n\
             key-sizes,mnist,,paillier,gmp,pixels,3072,6.68\nkey-sizes,mnist,,paillier,gmp,pixels,4096,14.1\n"
        );
        let verdicts = check(&Claims::shipped().unwrap(), &BTreeMap::from([(OUTCOMES.into(), cells(&text))]), false);
        ["longer-keys-3072", "longer-keys-4096"].map(|name| verdicts.iter().find(|v| v.name == name).map(|v| v.state))
    };
    // Medians of an old folder with the batches of what was left over, and without.
    assert_eq!(state("9.74"), [Some(State::Failed), Some(State::Held)]);
    assert_eq!(state("3.89"), [Some(State::Held), Some(State::Held)]);
}

#[test]
fn the_claims_of_this_repository_are_good() {
    let claims = Claims::shipped().unwrap();
    assert!(claims.count() > 20);
    for claim in &claims.claims {
        assert!(claim.text.ends_with('.') && claim.command.starts_with("cipherlane "), "{claim:?}");
        // A sweep that a claim names is there.
        if let Some(path) = claim.command.split_whitespace().find(|word| word.ends_with(".toml")) {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).is_file(), "{path}");
        }
    }
}
