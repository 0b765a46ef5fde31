//! Names, numbers, folders and files that a person may get wrong; what the smaller commands print.

use std::collections::BTreeSet;
use std::fs;

use super::{Done, Place, QUICK, snapshot};

#[test]
fn targets_are_looked_at_before_the_work() {
    let place = Place::new();
    place.pipeline();
    fs::create_dir(place.path("folder")).unwrap();
    let lines = [
        "encrypt --toy --secret k.secret.json --dataset digits --images 2",
        "evaluate --toy --public k.public.json --query q",
        "decrypt --toy --secret k.secret.json --answer a",
        "train --dataset digits",
    ];
    for line in lines {
        place.refuses(&format!("{line} --out folder"), &["folder: expected a file or nothing, found a folder"]);
        place.refuses(&format!("{line} --out nowhere/x"), &["nowhere"]);
        place.refuses(&format!("{line} --out q/x"), &["q: expected a folder, found a file"]);
    }
    for (line, key) in [(lines[0], "k.secret.json"), (lines[1], "folder/../q"), (lines[1], "k.public.json"), (lines[2], "k.secret.json")] {
        place.refuses(&format!("{line} --out {key}"), &[key, "another file than those that are read"]);
    }
    place.refuses("keygen --bits 512 --toy --out nowhere/k", &["nowhere"]);
    place.refuses(&format!("run {QUICK} --out q"), &["q: expected a folder, found a file"]);
    place.refuses(&format!("run {QUICK} --out q/r"), &["q: expected a folder, found a file"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::os::unix::fs::symlink("/dev/null", place.path("null")).unwrap();
        lines.iter().for_each(|line| place.refuses(&format!("{line} --out null"), &["null: expected a file or nothing, found a symbolic link"]));
        fs::set_permissions(place.path("folder"), fs::Permissions::from_mode(0o500)).unwrap();
        if fs::write(place.path("folder/probe"), "").is_ok() {
            eprintln!("skipped: this user may write to read-only folders");
        } else {
            place.refuses(&format!("run {QUICK} --out folder/r"), &["folder"]);
            place.refuses("keygen --bits 512 --toy --out folder/k", &["folder"]);
        }
        fs::set_permissions(place.path("folder"), fs::Permissions::from_mode(0o700)).unwrap();
    }
    // Folders are made, of any name.
    let mut command = place.command(&format!("run {QUICK} --out"));
    Done::from("run", &command.arg("new folder/ü 深").output().unwrap(), 0);
    assert!(place.path("new folder/ü 深/figures/stages.png").is_file());
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let place = Place::new();
    for (option, known) in [
        ("--features", &["pixels", "gradients"][..]),
        ("--backend", &["all", "reference", "gmp", "gpu"]),
        ("--method", &["auto", "naive", "straus", "buckets"]),
        ("--encryption", &["owner", "djn", "standard"]),
        ("--scenario", &["offline", "single"]),
        ("--packing", &["auto", "off", "number"]),
    ] {
        place.misuses(&format!("run {option} naïve"), known);
        place.misuses(&format!("run {option}="), known);
    }
    place.misuses("run --packing 0", &["auto", "off", "number"]);
    place.misuses("run --features pixels,,gradients", &["pixels", "gradients"]);
    place.misuses("run --dataset=", &["auto", "mnist", "digits", "folder"]);
    place.misuses("verify --backend naïve", &["reference", "gmp"]);
    place.misuses("keygen --bits 4294967296", &["4294967295"]);
    place.misuses("encrypt --public k --features naïve --out x", &["pixels", "gradients"]);
    place.misuses("encrypt --out x", &["--secret", "--public"]);
    place.misuses("smlp user open --key k", &["--answers", "--parameters"]);
    place.misuses("run --method stras", &["did you mean `straus`?"]);
    place.misuses("sweep --dry-run", &["FILE"]);
    place.refuses("sweep quick/batsh", &["`quick/batsh` is unknown", "did you mean `quick/batch`?"]);
    place.misuses("encrypt --public k --secret k --out x", &["--public", "--secret"]);
    place.misuses("evaluate --public k --query q --method naïve --out x", &["auto", "naive", "straus", "buckets"]);
    place.misuses("report r --format naïve", &["text", "md", "latex", "csv"]);
    place.misuses("naïve", &["unrecognized subcommand"]);
    for option in ["--images", "--seed", "--key-bits", "--feature-bits", "--threads"] {
        for value in ["", "-1", "1.5", "1e3", "99999999999999999999999999"] {
            place.misuses(&format!("run {option}={value}"), &[option]);
        }
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let place = Place::new();
    let run = "run --dataset digits --out r";
    place.misuses(&format!("{run} --images 0"), &["--images", "`0`", "all"]);
    place.refuses(&format!("{run} --images 600"), &["number of images is 600", "1 to 599"]);
    place.refuses(&format!("{run} --threads 0"), &["--threads is 0", "1 to 1024"]);
    place.refuses(&format!("{run} --threads 1025"), &["--threads is 1025", "1 to 1024"]);
    place.refuses(&format!("{run} --key-bits 2048,1024"), &["1024-bit key is a toy", "2048", "--toy"]);
    place.misuses(&format!("{run} --key-bits 257 --toy"), &["257", "256 to 8192"]);
    place.misuses(&format!("{run} --feature-bits 0"), &["0", "1 to 12"]);
    place.misuses(&format!("{run} --weight-bits 17"), &["17", "2 to 16"]);
    place.refuses("train --dataset digits --hidden 0 --out x", &["--hidden `0`", "128,64"]);
}

#[test]
fn datasets_that_are_not_there_are_named() {
    let place = Place::new();
    place.refuses("run --dataset nowhere --out r", &["no folder nowhere", "auto, mnist, digits or a folder"]);
    place.refuses("run --dataset minst --out r", &["no folder minst", "did you mean `mnist`?"]);
    place.refuses("run --dataset mnist --out r", &["MNIST", "cipherlane fetch", "CIPHERLANE_DATA"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.refuses("run --dataset empty --out r", &["t10k-images-idx3-ubyte", "empty"]);
    fs::create_dir(place.path("garbage")).unwrap();
    fs::write(place.path("garbage/t10k-labels-idx1-ubyte"), "nonsense").unwrap();
    for (content, word) in [("nonsense", "magic 0x6e6f6e73"), ("", "0 bytes")] {
        fs::write(place.path("garbage/t10k-images-idx3-ubyte"), content).unwrap();
        place.refuses("run --dataset garbage --out r", &["garbage/t10k-images-idx3-ubyte", word]);
    }
    fs::write(place.path("garbage/t10k-images-idx3-ubyte"), [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7]).unwrap();
    fs::write(place.path("garbage/t10k-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 1, 3]).unwrap();
    place.refuses("run --dataset garbage --out r", &["`other:garbage`", "mnist, digits", "--model"]);
    // A variable that is empty or names no folder: the digits, and why.
    for (number, data) in ["", "garbage", "garbage/t10k-labels-idx1-ubyte"].into_iter().enumerate() {
        let line = format!("run --toy --key-bits 256 --backend gmp --images 2 --features pixels --out r{number}");
        let done = Done::from(&line, &place.command(&line).env("CIPHERLANE_DATA", data).output().unwrap(), 0);
        assert!(done.err.contains("embedded digits") && done.err.contains("no MNIST") && done.err.contains(data), "{}", done.err);
        let line = "run --dataset mnist --out r";
        let done = Done::from(line, &place.command(line).env("CIPHERLANE_DATA", data).output().unwrap(), 1);
        assert!(done.err.starts_with("error: MNIST not found"), "{}", done.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_an_error() {
    let place = Place::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = Done::from("list", &place.command("list").stdout(full).output().unwrap(), 1);
    assert!(done.err.starts_with("error: cannot write to standard output"), "{}", done.err);
}

#[test]
fn facts_are_printed_in_both_forms() {
    let place = Place::new();
    for (line, word) in [("verify --backend gmp", "gmp: equal to the oracle in "), ("doctor", "processor: "), ("list", "methods:")] {
        assert!(place.does(line).out.contains(word), "{line}");
        place.json(line);
    }
    assert_eq!(place.json("verify --backend gmp")[0]["equal"], true);
    assert!(place.json("doctor")["threads"].as_u64().is_some_and(|n| n > 0));
    let list = place.does("sweep").out;
    assert!(list.contains("  smoke ") && list.contains("  quick/key-sizes "), "{list}");
    place.json("sweep");
    // A table has its columns, and no two names the same words.
    let list = place.does("list").out;
    let settings: Vec<&str> = list.lines().skip_while(|line| !line.starts_with("integer-vector settings")).skip(1).take(4).collect();
    let texts: Vec<&str> = settings.iter().map(|line| line.trim_start().split_once("  ").unwrap().1.trim_start()).collect();
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 4, "{list}");
    assert_eq!(settings.iter().zip(&texts).map(|(line, text)| line.len() - text.len()).collect::<BTreeSet<_>>().len(), 1, "{list}");
    for line in ["--version", "--help", "help"] {
        assert!(place.does(line).out.contains("cipherlane"), "{line}");
    }
    for name in [
        "run", "sweep", "compare", "report", "plot", "verify", "doctor", "list", "fetch", "train", "keygen", "encrypt", "evaluate", "decrypt",
        "eivhe",
    ] {
        let help = place.does(&format!("{name} --help")).out;
        assert!(help.contains(&format!("Usage: cipherlane {name}")) && help.contains("--json") && help.contains("--threads"), "{help}");
        assert!(place.does("--help").out.contains(&format!("  {name} ")), "{name}");
    }
    assert!(snapshot(place.0.path()).is_empty());
}

#[test]
fn training_reproduces_the_embedded_model() {
    let place = Place::new();
    let done = place.does("train --dataset digits --features gradients --out m");
    assert!(done.err.contains("equal to the embedded model, bit for bit"), "{}", done.err);
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1);
    let other = place.json("train --dataset digits --features gradients --epochs 1 --seed 2 --out m");
    assert_eq!(other["equals_embedded"], false);
    place.does("run --dataset digits --features gradients --model m --toy --key-bits 256 --backend gmp --images 2 --out r");
}
