//! Folders and files that others touch: other processes, other programs, other users.

use std::fs;
use std::process::{Command, Stdio};

use super::{Done, Place, QUICK, wait};

/// Commands that fill a results folder.
const FILL: [&str; 4] = [
    "run --dataset digits --features pixels --backend none --images 2",
    "smlp train --data xor --run simulated --steps 1",
    "smlp classify --data xor --images 1 --toy --key-bits 256 --backend gmp",
    "eivhe train --dataset digits --images 20 --test-images 10 --network softmax --setting absolute",
];

#[test]
fn a_file_of_another_run_is_never_replaced() {
    let place = Place::new();
    fs::write(place.path("s.toml"), "dataset = \"digits\"\n[[grid]]\nbackend = [\"gmp\"]\n").unwrap();
    for (number, name) in ["samples.csv", "outcomes.csv", "curve.csv", "operations.csv", "run.toml", "kernels.csv", "sweep.toml", "figures", "rows"]
        .into_iter()
        .enumerate()
    {
        let dir = format!("d{number}");
        fs::create_dir(place.path(&dir)).unwrap();
        fs::write(place.path(&dir).join(name), "keep me").unwrap();
        for line in FILL {
            place.refuses(&format!("{line} --out {dir}"), &[&dir, name, "choose another --out"]);
        }
        place.refuses(&format!("sweep s.toml --out {dir}"), &[&dir]);
    }
    // A report is made again in its own folder only.
    place.does(&format!("{} --out r", FILL[0]));
    fs::create_dir(place.path("p")).unwrap();
    fs::write(place.path("p/report.md"), "keep me").unwrap();
    place.refuses("paper --from r --out p", &["p: begun with work that is not named (report.md is there"]);
}

#[test]
fn one_process_at_a_time_fills_a_folder_or_writes_a_file() {
    let place = Place::new();
    let run = format!("run {QUICK} --out one");
    let train = "train --dataset digits --out m --epochs";
    let slow = "run --dataset digits --toy --key-bits 1024 --backend reference --images 100 --features pixels --out one";
    for (slow, lock, quick, busy) in [
        (slow, "one/.lock", run.as_str(), "one: in use by another process"),
        (&format!("{train} 5000"), ".cipherlane-m.lock", &format!("{train} 1"), "m: in use by another process"),
    ] {
        let mut child = place.command(slow).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait(lock, || place.path(lock).exists().then_some(()));
        let done = wait("the lock is held", || {
            let output = place.command(quick).output().unwrap();
            (output.status.code() == Some(1)).then(|| Done::from(quick, &output, 1))
        });
        assert!(done.err.contains(busy), "{}", done.err);
        child.kill().unwrap();
        child.wait().unwrap();
        // What it left is no hindrance, and goes.
        fs::write(place.path(lock).with_file_name(".cipherlane-left"), "torn").unwrap();
        place.does(quick);
        assert!(!place.path(lock).exists() && !place.path(lock).with_file_name(".cipherlane-left").exists());
    }
    assert_eq!(place.outcomes("one").len(), 3);
    // What fails at once leaves nothing.
    place.refuses("run --dataset digits --backend none --images 100000 --out two/three", &["number of images is 100000"]);
    place.refuses("run --dataset nowhere", &["nowhere"]);
}

#[test]
fn runs_that_begin_together_get_folders_of_their_own() {
    let place = Place::new();
    let start = |_| place.command(FILL[0]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..3).map(start).collect();
    children.into_iter().for_each(|child| drop(Done::from(FILL[0], &child.wait_with_output().unwrap(), 0)));
    let folders: Vec<_> = fs::read_dir(place.path("results")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(folders.len() == 3 && folders.iter().all(|dir| dir.join("run.toml").is_file() && !dir.join(".lock").exists()), "{folders:?}");
}

#[test]
fn what_cannot_be_read_is_neither_unchanged_nor_drawn() {
    let place = Place::new();
    place.does(&format!("run {QUICK} --out a"));
    assert!(place.does("compare a a").out.contains("3 unchanged"));
    fs::create_dir(place.path("b")).unwrap();
    let files = ["samples.csv", "outcomes.csv"].map(|name| (name, fs::read_to_string(place.path("a").join(name)).unwrap()));
    for (name, whole) in &files {
        files.iter().for_each(|(name, whole)| fs::write(place.path("b").join(name), whole).unwrap());
        let (header, rows) = whole.split_once('\n').unwrap();
        let (most, last) = whole.trim_end().rsplit_once('\n').unwrap();
        // The rows of one spec and no others.
        let few: String = whole.lines().take(2).map(|line| format!("{line}\n")).collect();
        for bad in [String::new(), format!("{header}\n"), format!("\"{whole}"), format!("{most}\n\"{last}\n"), few, rows.to_owned(), "no csv".into()]
        {
            fs::write(place.path("b").join(name), bad).unwrap();
            ["compare a b", "compare b a", "report b", "plot b"].iter().for_each(|line| place.refuses(line, &["b/", ".csv"]));
        }
        fs::remove_file(place.path("b").join(name)).unwrap();
        fs::create_dir(place.path("b").join(name)).unwrap();
        place.refuses("compare a b", &[name, "expected a file, found a folder"]);
        fs::remove_dir(place.path("b").join(name)).unwrap();
    }
    files.iter().for_each(|(name, _)| fs::write(place.path("b").join(name), "").unwrap());
    place.refuses("compare a b", &["outcomes.csv", "expected rows of results, found none"]);
    place.refuses("plot b", &["outcomes.csv", "expected rows of results, found none"]);
}

#[test]
fn results_that_other_programs_saved_again_are_read() {
    let place = Place::new();
    place.does(&format!("run {QUICK} --out a"));
    fs::create_dir(place.path("b")).unwrap();
    for name in ["samples.csv", "outcomes.csv"] {
        let mut reader = csv::Reader::from_path(place.path("a").join(name)).unwrap();
        let header = reader.headers().unwrap().clone();
        let mut writer = csv::Writer::from_path(place.path("b").join(name)).unwrap();
        writer.write_record(&header).unwrap();
        for record in reader.records().map(Result::unwrap) {
            // As pandas does with columns that have empty cells, and with its own words for truth.
            let cells = record.iter().zip(&header).map(|(cell, column)| match cell {
                "true" => "True".into(),
                "false" => "FALSE".into(),
                "" => String::new(),
                number if ["key_bits", "device_ns", "slot_bits", "products", "samples", "row_ns"].contains(&column) => format!("{number}.0"),
                text => text.to_owned(),
            });
            writer.write_record(cells.collect::<Vec<_>>()).unwrap();
        }
    }
    assert_eq!(place.does("report b --details").out, place.does("report a --details").out);
    assert!(place.does("compare a b").out.contains("3 unchanged"));
    let path = place.path("b/outcomes.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(",256.0,", ",256.5,")).unwrap();
    place.refuses("report b", &["outcomes.csv", "an integer under key_bits in line 4, found `256.5`"]);
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_refused_at_once() {
    let place = Place::new();
    place.pipeline();
    place.does(&format!("run {QUICK} --out r"));
    let lines = [
        "sweep @",
        "report r --quoted=@",
        "report r --splice @",
        "plot r --quoted=@",
        "paper --from r --out p --claims @",
        "encrypt --toy --dataset digits --out x --secret @",
        "evaluate --toy --out x --query q --public @",
        "evaluate --toy --out x --public k.public.json --query @",
        "evaluate --toy --out x --public k.public.json --query q --model @",
        "decrypt --toy --answer a --secret @",
        "decrypt --toy --secret k.secret.json --answer @",
        "run --dataset digits --images 2 --backend none --model @",
        "smlp identity --out @",
        "smlp user open --answers a --key @",
    ];
    let pipe = Place::new();
    assert!(Command::new("mkfifo").arg(pipe.path("pipe")).status().unwrap().success());
    for file in ["/dev/zero", pipe.path("pipe").to_str().unwrap()] {
        lines.iter().for_each(|line| place.refuses(&line.replace('@', file), &[file, "found a device or a pipe"]));
    }
}
