//! Sweeps: what is refused, what is left after a kill, a full disk or a torn file, how parts share a folder; and comparisons of their results.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Done, Place, QUICK, signal, snapshot, wait, wait_for_end};

/// 44 rows that take milliseconds each.
const TINY: &str = "
    question = \"Does it work?\"
    dataset = \"digits\"
    toy = true
    [sampling]
    warm_up_seconds = 0
    min_seconds = 0
    min_samples = 3
    max_seconds = 1
    [[grid]]
    backend = [\"gmp\"]
    key_bits = [256, 320]
    method = [\"auto\", \"naive\", \"straus\", \"buckets\"]
    encryption = [\"owner\", \"djn\", \"standard\"]
    features = [\"pixels\"]
    images = [2, 3]
    [[exclude]]
    reason = \"the slowest of all\"
    method = [\"naive\"]
    encryption = [\"standard\"]
    key_bits = [320]
    images = [3]
    [[exclude]]
    reason = \"the slowest but one\"
    method = [\"straus\"]
    encryption = [\"standard\"]
    key_bits = [320]
";

const TINY_ROWS: usize = 2 * 2 + 2 * 4 * 3 * 2 - 1 - 2;

/// The stages of an encrypted row that are timed for every sample.
const ONLINE_STAGES: usize = 7;

fn place() -> Place {
    let place = Place::new();
    fs::write(place.path("tiny.toml"), TINY).unwrap();
    place
}

/// What a sweep must come to however often it was stopped: the digest by spec. Every row is there once, verified and with all its samples.
#[track_caller]
fn checked(place: &Place, dir: &str) -> BTreeMap<String, String> {
    let rows = place.outcomes(dir);
    let mut found = BTreeMap::new();
    let mut samples: BTreeMap<String, usize> = BTreeMap::new();
    for sample in csv::Reader::from_path(place.path(dir).join("samples.csv")).unwrap().deserialize() {
        let sample: BTreeMap<String, String> = sample.unwrap();
        *samples.entry(sample["spec"].clone() + &sample["run_id"]).or_default() += 1;
    }
    for row in &rows {
        assert!(row["verified"] == "true" && row["row_id"].len() == 16, "{row:?}");
        let kept: usize = row["samples"].parse().unwrap();
        let expected = match (&*row["scheme"], &*row["method"]) {
            ("clear", "float") => 2 * kept,
            ("clear", _) => ONLINE_STAGES * kept,
            _ => 2 + ONLINE_STAGES * kept,
        };
        assert!(kept >= 3 && samples.remove(&(row["spec"].clone() + &row["run_id"])) == Some(expected), "{row:?}");
        assert!(found.insert(row["spec"].clone(), row["digest"].clone()).is_none(), "{} is there twice", row["spec"]);
    }
    assert!(samples.is_empty(), "samples without a row: {samples:?}");
    let files = fs::read_dir(place.path(dir).join("rows")).unwrap().count();
    assert_eq!(files, rows.len(), "files in rows/");
    assert!(snapshot(&place.path(dir)).keys().all(|path| !path.to_string_lossy().contains(".cipherlane-")), "a temporary file is left");
    found
}

/// Kills sweeps at random moments until `kills` were killed, resuming each until it ends; a new one begins where one has ended.
fn killed(kills: usize) {
    let place = place();
    place.does("sweep tiny.toml --out whole");
    let whole = checked(&place, "whole");
    assert_eq!(whole.len(), TINY_ROWS);
    let (mut killed, mut ended, mut seed) = (0, 0, 20_261_120_u64);
    let mut open = true;
    while killed < kills || open {
        let dir = format!("round{ended}");
        let log = place.path("log");
        let mut command = place.command(&format!("sweep tiny.toml --out {dir}"));
        let mut child = command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        if killed < kills {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Spread so that a few rows end between two kills, and some kills come before the first and during the last steps.
            std::thread::sleep(Duration::from_micros((seed >> 33) % 500_000));
            if child.try_wait().unwrap().is_none() {
                // SIGKILL: no handler, no clean-up.
                child.kill().unwrap();
                killed += 1;
            }
        }
        let status = child.wait().unwrap();
        let err = fs::read_to_string(&log).unwrap();
        assert!(!err.contains("measured again"), "a kill left a damaged row: {err}");
        assert!(status.success() || status.code().is_none(), "{err}");
        open = !status.success();
        if status.success() {
            assert_eq!(checked(&place, &dir), whole, "{dir}");
            ended += 1;
        }
    }
    eprintln!("{killed} kills over {} sweeps of {TINY_ROWS} rows: no row lost, doubled or half-written", ended);
}

#[test]
fn a_sweep_survives_being_killed() {
    killed(12);
}

/// `cargo test --release --test cli -- --ignored --nocapture a_sweep_survives_a_hundred_kills`
#[test]
#[ignore = "a minute"]
fn a_sweep_survives_a_hundred_kills() {
    killed(100);
}

#[test]
fn torn_and_damaged_rows_are_measured_again() {
    let place = place();
    place.does("sweep tiny.toml --out r");
    let whole = checked(&place, "r");
    let csvs = |name: &str| fs::read(place.path("r").join(name)).unwrap();
    let before = (csvs("outcomes.csv"), csvs("run.toml"));
    let again = place.does("sweep tiny.toml --out r");
    assert!(again.err.contains(&format!("{TINY_ROWS} of {TINY_ROWS} rows are done, 0 to go")), "{}", again.err);
    assert!(before == (csvs("outcomes.csv"), csvs("run.toml")), "nothing to do must change nothing");

    let mut files: Vec<_> = fs::read_dir(place.path("r/rows")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let text = fs::read(&files[0]).unwrap();
    // The last line torn, the first torn, a flipped bit, nothing at all, and what a killed process was writing.
    fs::write(&files[0], &text[..text.len() - 10]).unwrap();
    fs::write(&files[1], &fs::read(&files[1]).unwrap()[..40]).unwrap();
    let mut bad = fs::read(&files[2]).unwrap();
    bad[100] ^= 4;
    fs::write(&files[2], bad).unwrap();
    fs::write(&files[3], "").unwrap();
    fs::write(place.path("r/rows/.cipherlane-torn"), "half of a r").unwrap();
    fs::write(place.path("r/samples.csv"), "spec,work").unwrap();
    fs::remove_file(place.path("r/outcomes.csv")).unwrap();
    let repaired = place.does("sweep tiny.toml --out r");
    for file in &files[..4] {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let line = repaired.err.lines().find(|l| l.starts_with("warning: ") && l.contains(&name));
        assert!(line.is_some_and(|l| l.contains("measured again")), "{name}\n{}", repaired.err);
    }
    assert!(repaired.err.contains(&format!("{} of {TINY_ROWS} rows are done, 4 to go", TINY_ROWS - 4)), "{}", repaired.err);
    assert_eq!(checked(&place, "r"), whole);
    let facts: toml::Table = fs::read_to_string(place.path("r/run.toml")).unwrap().parse().unwrap();
    assert_eq!(facts["earlier"].as_array().map(Vec::len), Some(1), "{facts}");
}

#[test]
fn rows_that_fail_are_kept_and_can_be_tried_again() {
    let place = place();
    let text = TINY.replace("key_bits = [256, 320]\n    method", "key_bits = [256]\n    packing = [\"auto\", 500]\n    method");
    fs::write(place.path("bad.toml"), text).unwrap();
    let first = place.ends("sweep bad.toml --out r", 1);
    assert!(first.err.contains("500 slots"), "{}", first.err);
    let failed = place.outcomes("r").iter().filter(|r| r["error"].contains("500 slots")).count();
    assert_eq!(failed, 24);
    let again = place.ends("sweep bad.toml --out r", 1);
    assert!(again.err.contains("0 to go") && again.err.contains("24 of them failed; --retry-failed"), "{}", again.err);
    let retried = place.ends("sweep bad.toml --out r --retry-failed", 1);
    assert!(retried.err.contains("24 to go") && retried.err.matches("500 slots").count() == 24, "{}", retried.err);
    assert_eq!(place.outcomes("r").iter().filter(|r| r["error"].contains("500 slots")).count(), 24);
    // Rows that the file no longer names stay in the journal and leave the CSVs.
    let fixed = place.does("sweep tiny.toml --out r");
    assert!(fixed.err.contains("of other versions of the program or of the sweep file stay"), "{}", fixed.err);
    assert_eq!(place.outcomes("r").len(), TINY_ROWS);
}

#[test]
fn parts_are_the_whole_and_share_a_folder() {
    let place = place();
    let ids = |options: &str| -> Vec<String> {
        let plan = place.json(&format!("sweep tiny.toml --dry-run {options}"));
        assert!(plan["estimated_seconds"].as_f64().is_some_and(|s| s > 0.0), "{plan}");
        plan["rows"].as_array().unwrap().iter().map(|row| row["row_id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids("");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), TINY_ROWS);
    for count in [1, 2, 3, 8] {
        let parts: Vec<String> = (1..=count).flat_map(|index| ids(&format!("--shard {index}/{count}"))).collect();
        assert_eq!(parts.len(), TINY_ROWS, "{count} parts");
        assert_eq!(parts.iter().collect::<BTreeSet<_>>(), all.iter().collect());
    }
    assert_eq!(snapshot(place.0.path()).len(), 1, "a dry run leaves nothing");
    let children: Vec<_> = (1..=3)
        .map(|index| {
            let mut command = place.command(&format!("sweep tiny.toml --out r --shard {index}/3"));
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    children.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
    assert_eq!(checked(&place, "r").len(), TINY_ROWS);
    let again = place.does("sweep tiny.toml --out r");
    assert!(again.err.contains("0 to go"), "{}", again.err);
    place.misuses_shard();
}

impl Place {
    fn misuses_shard(&self) {
        for shard in ["0/2", "3/2", "1", "a/b", ""] {
            let done = self.ends(&format!("sweep tiny.toml --shard={shard}"), 2);
            assert!(done.err.contains("1 to N"), "{}", done.err);
        }
    }
}

#[test]
fn one_process_at_a_time() {
    let place = place();
    let long = TINY.replace("min_seconds = 0", "min_seconds = 100").replace("max_seconds = 1", "max_seconds = 1000");
    fs::write(place.path("long.toml"), long).unwrap();
    let mut child = place.signalled("sweep long.toml --out r", "").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait("a run in the folder", || fs::read_dir(place.path("r/runs")).ok()?.next().map(drop));
    for shard in ["", " --shard 1/2"] {
        let done = place.ends(&format!("sweep long.toml --out r{shard}"), 1);
        let last = done.err.lines().last().unwrap();
        assert!(last.starts_with("error: r: in use by another process") && last.contains("choose another --out"), "{last}");
        assert!(last.contains(&format!("process {}", child.id())), "{last}");
    }
    // Ctrl-C leaves complete CSVs of what is done, and says how to go on.
    signal("-INT", &child);
    wait_for_end(&mut child, 130);
    let rows = place.outcomes("r");
    assert!(rows.len() < TINY_ROWS && rows.iter().all(|row| row["verified"] == "true"), "{rows:?}");
    assert!(place.path("r/run.toml").is_file());
}

#[test]
fn what_a_sweep_file_says_wrongly_is_named() {
    let place = Place::new();
    let refuses = |text: &str, words: &[&str]| {
        fs::write(place.path("x.toml"), text).unwrap();
        place.refuses("sweep x.toml --out r", words);
    };
    refuses("[[grid]]\nkeybits = [2048]\n", &["x.toml:2: grid.keybits: unknown key `keybits`", "key_bits", "did you mean `key_bits`?"]);
    refuses("[[grid]]\nbackend = [\"gmp\"\n", &["x.toml:"]);
    refuses("[[grid]]\nkey_bits = [2048, 1024]\n", &["x.toml:2: grid.key_bits", "1024-bit key is a toy", "toy = true"]);
    refuses("dataset = \"digits\"\n[[grid]]\nimages = [10_000]\n", &["x.toml:3: grid.images", "10000", "599"]);
    refuses("", &["x.toml:1"]);
    place.refuses("sweep nowhere.toml", &["nowhere.toml"]);
    fs::write(place.path("x.toml"), TINY).unwrap();
    fs::write(place.path("file"), "").unwrap();
    place.refuses("sweep x.toml --out file", &["file: expected a folder, found a file"]);
    place.refuses("sweep x.toml --out file/r", &["file: expected a folder, found a file"]);
    place.does(&format!("run {QUICK} --out run"));
    place.refuses("sweep x.toml --out run", &["run: ", "samples.csv of another run"]);
}

/// Runs `line` where `dir` is a file system of its own with `options`, and keeps what is in it afterwards. None where this user may not mount.
#[cfg(target_os = "linux")]
fn mounted(place: &Place, dir: &str, options: &str, line: &str) -> Option<(i32, String)> {
    fs::create_dir_all(place.path(dir)).unwrap();
    let inner = place.command(line);
    let words: Vec<String> = inner.get_args().map(|a| a.to_string_lossy().into()).collect();
    let script = format!("{options} && touch mounted && \"$0\" \"$@\"; code=$?; cp -a {dir} kept; exit $code");
    let mut shell = Command::new("unshare");
    shell.args(["-r", "-m", "sh", "-c", &script]).arg(inner.get_program()).args(words);
    shell.current_dir(place.0.path()).env("CIPHERLANE_OFFLINE", "1").stdin(Stdio::null());
    let output = shell.output().ok()?;
    if !place.path("mounted").exists() {
        eprintln!("skipped: this user may not mount");
        return None;
    }
    Some((output.status.code()?, String::from_utf8(output.stderr).unwrap()))
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_the_sweep_goes_on() {
    let place = place();
    place.does("sweep tiny.toml --out whole");
    // A file system that fills up in the middle.
    if let Some((code, err)) = mounted(&place, "r", "mount -t tmpfs -o size=100k none r", "sweep tiny.toml --out r") {
        let last = err.lines().last().unwrap();
        assert!(code == 1 && last.starts_with("error: cannot write r/rows/") && last.contains("No space left"), "{code}: {last}");
        assert!(err.contains("the same command goes on once the cause is gone"), "{err}");
        let done = err.lines().filter(|l| l.contains(": verified, ")).count();
        assert!((1..TINY_ROWS).contains(&done), "{done}");
        let resumed = place.does("sweep tiny.toml --out kept");
        assert!(resumed.err.contains(&format!("{done} of {TINY_ROWS} rows are done")), "{}", resumed.err);
        assert_eq!(checked(&place, "kept"), checked(&place, "whole"));
    }
    // A limit on the size of files, for users who may not mount.
    let inner = place.command("sweep tiny.toml --out limited");
    let words: Vec<String> = inner.get_args().map(|a| a.to_string_lossy().into()).collect();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\"").arg(inner.get_program()).args(words);
    shell.current_dir(place.0.path()).env("CIPHERLANE_OFFLINE", "1").stdin(Stdio::null());
    let done = Done::from("ulimit", &shell.output().unwrap(), 1);
    assert!(done.err.lines().last().unwrap().starts_with("error: cannot write limited/"), "{}", done.err);
    place.does("sweep tiny.toml --out limited");
    assert_eq!(checked(&place, "limited"), checked(&place, "whole"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_is_refused_before_the_work() {
    let place = place();
    place.does("sweep tiny.toml --out r");
    let whole = checked(&place, "r");
    let line = "sweep tiny.toml --out r";
    if let Some((code, err)) = mounted(&place, "r", "mount --bind r r && mount -o remount,bind,ro r", line) {
        let last = err.lines().last().unwrap();
        assert!(code == 1 && last.starts_with("error: cannot create a file in r") && last.contains("Read-only"), "{code}: {last}");
    }
    assert_eq!(checked(&place, "r"), whole);
}

#[test]
fn comparisons_tell_facts_and_leave_noise_alone() {
    let place = place();
    place.does("sweep tiny.toml --out a");
    place.does("sweep tiny.toml --out b");
    // Three samples can prove nothing, whatever else the machine does: undecided at most.
    let same = place.does("compare a b");
    assert!(
        same.out.contains("no change beyond noise") && same.out.contains(&format!("{TINY_ROWS} rows compared, 0 slower, 0 faster, 0 different")),
        "{}",
        same.out
    );
    assert_eq!(place.json("compare a a")["pairs"].as_array().map(Vec::len), Some(TINY_ROWS));
    let path = place.path("b/outcomes.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut rows: Vec<String> = text.lines().map(Into::into).collect();
    let last = rows.len() - 1;
    let digest = place.outcomes("b")[last - 1]["digest"].clone();
    rows[last] = rows[last].replace(&digest, "0123456789abcdef");
    fs::write(&path, rows.join("\n") + "\n").unwrap();
    let changed = place.ends("compare a b", 3);
    assert!(
        changed.out.contains("different results") && changed.out.contains(&format!("digest: {digest} became 0123456789abcdef")),
        "{}",
        changed.out
    );
    place.refuses("compare a nowhere", &["nowhere"]);
    place.refuses("compare a b --threshold=-1", &["--threshold is -1"]);
}

#[test]
fn the_smoke_sweep_passes() {
    let place = Place::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/sweeps/smoke.toml");
    let line = format!("sweep {} --out r", file.display());
    place.does(&line);
    let rows = place.outcomes("r");
    assert!(rows.len() > 40 && rows.iter().all(|r| r["verified"] == "true" && r["publishable"] == "false"));
    let divisions: BTreeSet<_> = rows.iter().map(|r| (r["features"].clone(), r["division"].clone())).collect();
    assert_eq!(divisions, [("gradients".into(), "open".into()), ("pixels".into(), "closed".into())].into());
    // What equal keys, images and randomness give does not depend on threads.
    let mut digests: BTreeMap<String, String> = BTreeMap::new();
    for row in rows.iter().filter(|r| r["spec"].contains("/threads-")) {
        let (spec, _) = row["spec"].split_once("/threads-").unwrap();
        if row["batch"] == "7" || row["scheme"] == "clear" {
            assert_eq!(digests.entry(spec.into()).or_insert_with(|| row["digest"].clone()), &row["digest"], "{spec}");
        }
    }
    assert!(digests.len() > 3);
    let facts: toml::Table = fs::read_to_string(place.path("r/run.toml")).unwrap().parse().unwrap();
    assert_eq!(facts["publishable"].as_bool(), Some(false));
    assert!(facts["not_publishable_because"].to_string().contains("toy"));
}

/// The harness' own share of the measured time, with a real key: printed, and below one percent. Whatever takes the processor away between two stages counts as
/// the harness' time, so on a busy machine the least of a few runs tells.
#[test]
fn the_harness_costs_less_than_a_hundredth() {
    let place = Place::new();
    let mut least: BTreeMap<String, f64> = BTreeMap::new();
    for run in 0..12 {
        let options = "--dataset digits --features pixels --key-bits 2048 --backend gmp --images 20 --min-samples 10 --scenario offline,single";
        place.does(&format!("run {options} --out r{run}"));
        let rows = place.json(&format!("report r{run}"));
        for row in rows.as_array().unwrap().iter().filter(|row| row["scheme"] == "paillier") {
            let (spec, share) = (row["spec"].as_str().unwrap().to_owned(), row["harness_share"].as_f64().unwrap());
            least.entry(spec).and_modify(|least| *least = least.min(share)).or_insert(share);
        }
        if least.values().all(|share| *share < 0.01) {
            break;
        }
    }
    least.iter().for_each(|(spec, share)| eprintln!("harness: {:.4} % of the stages' time, {spec}", 100.0 * share));
    assert!(least.len() == 2 && least.values().all(|share| *share < 0.01), "{least:?}");
}
