//! `smlp p1`, `smlp p2`, `smlp user`: each party in a process of its own, on this machine, with toy keys.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::{Done, Place, wait};

const STEPS: usize = 8;

/// Keys of all parties, records and queries of the user.
fn prepare() -> Place {
    let place = Place::new();
    place.does("keygen --bits 512 --toy --out k");
    place.does("smlp user key --out pad");
    for party in ["one", "two", "three"] {
        place.does(&format!("smlp identity --out {party}.id"));
    }
    let records = format!("smlp user encrypt --toy --public k.public.json --data xor --batch 4 --steps {STEPS} --comparison blinded");
    place.does(&format!("{records} --out records"));
    place.does(&format!("{records} --queries --out queries"));
    place
}

fn fingerprint(place: &Place, party: &str) -> String {
    place.does(&format!("smlp identity --out {party}.id")).out.trim().to_owned()
}

/// A party that runs, with its standard error in a file.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(place: &Place, line: &str, log: &str) -> Self {
        let log = place.path(log);
        let child = place.signalled(line, "").stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        Self { child, log }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// P2's address, once it listens.
    fn address(&self) -> String {
        wait("P2 listens", || self.text().lines().find_map(|line| line.strip_prefix("listening on ")).map(str::to_owned))
    }

    /// Ends it if it still runs: a P2 that was started again after the work was done waits for nobody.
    fn stop(mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.kill();
        }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    fn ends(self, code: i32) -> Done {
        let log = self.log.clone();
        let output = self.child.wait_with_output().unwrap();
        let mut done = Done::from("a party", &output, code);
        done.err = fs::read_to_string(log).unwrap();
        assert!(!done.err.contains("panicked"), "{}", done.err);
        done
    }
}

fn p2(place: &Place, listen: &str, peer: &str) -> String {
    let peer = fingerprint(place, peer);
    format!("smlp p2 --toy --backend gmp --listen {listen} --secret k.secret.json --user-key pad --identity two.id --peer {peer} --state p2 --once")
}

fn p1(place: &Place, address: &str) -> String {
    let peer = fingerprint(place, "two");
    format!(
        "smlp p1 --toy --backend gmp --connect {address} --public k.public.json --identity one.id --peer {peer} --data records --queries queries --release \
         --replayable --state p1 --out result --patience 300"
    )
}

/// Batches of P1's checkpoint.
fn batches(place: &Place) -> u64 {
    let bytes = fs::read(place.path("p1/checkpoint")).unwrap_or_default();
    let head = bytes.split(|&byte| byte == b'\n').nth(1);
    head.map_or(0, |head| serde_json::from_slice::<serde_json::Value>(head).unwrap()["batches"].as_u64().unwrap())
}

#[test]
fn killed_parties_go_on_and_end_with_the_parameters_of_the_simulator() {
    let place = prepare();
    let mut two = Running::start(&place, &p2(&place, "127.0.0.1:0", "one"), "two.log");
    let address = two.address();
    let (line, listen) = (p1(&place, &address), p2(&place, &address, "one"));
    let mut one = Running::start(&place, &line, "one.log");
    // Where in a batch is up to the machine.
    for (after, is_p1) in [(2, true), (4, false), (6, true)] {
        wait("batches", || (batches(&place) >= after).then_some(()));
        if is_p1 {
            one.kill();
            // What is there is whole.
            assert!(batches(&place) >= after);
            one = Running::start(&place, &line, "one-again.log");
        } else {
            two.kill();
            two = Running::start(&place, &listen, "two-again.log");
        }
    }
    let done = one.ends(0);
    assert!(done.out.contains("model.bin, answers.bin, parameters.bin"), "{}", done.out);
    assert!(done.err.contains("goes on after"), "{}", done.err);
    two.stop();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        place.does("smlp user open --key pad --answers result/answers.bin --out classes.csv");
        for name in ["result/answers.bin", "result/parameters.bin", "classes.csv"] {
            assert_eq!(fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    place.does(&format!("smlp train --data xor --run simulated --batch 4 --steps {STEPS} --out simulated"));
    let expected = place.outcomes("simulated").pop().unwrap();
    let opened = place.json("smlp user open --key pad --parameters result/parameters.bin");
    assert_eq!((expected["backend"].as_str(), opened["digest"].as_str()), ("simulated", Some(expected["digest"].as_str())));
    let opened = place.json("smlp user open --key pad --answers result/answers.bin");
    assert_eq!(opened["classes"].as_array().unwrap().len(), 4);
    // Another pad key reads nothing.
    place.does("smlp user key --out other");
    place.refuses("smlp user open --key other --answers result/answers.bin", &["not this user's"]);

    // Nothing but the same work goes on there, and nobody gets its results under another name.
    place.does(&format!("smlp user encrypt --toy --public k.public.json --data xor --batch 4 --steps {STEPS} --comparison blinded --out others"));
    place.refuses(
        &line.replace("--data records", "--data others").replace("--out result", "--out elsewhere"),
        &["p1: begun with", "records", "given"],
    );
    place.refuses(&line.replace("--data records", "--data others").replace("--state p1", "--state q1"), &["result: begun with", "records"]);

    // The same command again has nothing to do and needs no P2.
    let again = Running::start(&place, &line, "again.log").ends(0);
    assert!(again.out.contains("all              0 rounds"), "{}", again.out);
    // P2 has forgotten the session, and nobody but this user can read what the parties keep.
    assert_eq!(fs::read_dir(place.path("p2")).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some()).count(), 0);
    #[cfg(unix)]
    for file in ["p1/checkpoint", "one.id", "pad"] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(place.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

/// Ends with status 1 and one line that has all words.
#[track_caller]
fn fails(place: &Place, line: &str, words: &[&str]) {
    let done = place.ends(line, 1);
    let last = done.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && done.err.matches("error: ").count() == 1, "{}", done.err);
    words.iter().for_each(|word| assert!(last.contains(word), "`{word}` is not in: {last}"));
}

#[test]
fn wrong_parties_and_wrong_keys_are_refused_in_one_line() {
    let place = prepare();
    let two = Running::start(&place, &p2(&place, "127.0.0.1:0", "one"), "two.log");
    let address = two.address();
    let line = p1(&place, &address);
    let (second, third) = (fingerprint(&place, "two"), fingerprint(&place, "three"));
    fails(
        &place,
        &line.replace(&second, &third).replace("--state p1", "--state o1"),
        &["the other party's fingerprint is", &second, "expected", &third],
    );
    fails(&place, &line.replace("one.id", "three.id").replace("--state p1", "--state t1"), &["it expects another identity"]);
    assert!(two.text().contains("was not let in: the other party's fingerprint is"), "{}", two.text());
    // Another key than that of the records; the right key of P1 and another of P2.
    place.does("keygen --bits 512 --toy --out other");
    fails(&place, &line.replace("k.public.json", "other.public.json").replace("--state p1", "--state k1"), &["wrong key"]);
    two.kill();
    let two =
        Running::start(&place, &p2(&place, "127.0.0.1:0", "one").replace("k.secret", "other.secret").replace("--state p2", "--state q2"), "two.log");
    fails(&place, &p1(&place, &two.address()).replace("--state p1", "--state q1"), &["the other party refused: wrong key"]);
    // One process at a time in a folder.
    fails(
        &place,
        &p2(&place, "127.0.0.1:0", "one").replace("k.secret", "other.secret").replace("--state p2", "--state q2"),
        &["in use by another process"],
    );
    two.kill();

    let gone = line.replace("--patience 300", "--patience 0").replace("--state p1", "--state r1");
    fails(&place, &gone, &["no connection to the other party", "gave up after 0s"]);
    fails(&place, &line.replace("--data records", "--data queries"), &["expected training, found queries"]);
    fails(&place, &line.replace("one.id", "k.public.json"), &["expected an identity"]);
    place.tampered("records", 4000, || fails(&place, &line, &["expected content that fits its SHA-256"]));
    fails(&place, &p2(&place, "nonsense", "one"), &["cannot listen on nonsense"]);
    fails(&place, &line.replace("--patience 300", "--patience 0"), &["no connection to the other party"]);
    fs::write(place.path("p1/checkpoint"), "damaged").unwrap();
    fails(&place, &line, &["expected a checkpoint"]);
    fails(&place, "smlp user key --out pad", &["a key is not replaced"]);
    let wrong = place.ends(&line.replace(&second, "abc"), 2);
    assert!(wrong.err.contains("fingerprint is 3 characters"), "{}", wrong.err);
}

#[cfg(target_os = "linux")]
#[test]
fn a_party_with_a_secret_key_cannot_be_dumped() {
    let place = Place::new();
    place.does("keygen --bits 512 --toy --out k");
    place.does("smlp user key --out pad");
    ["one", "two"].iter().for_each(|party| drop(place.does(&format!("smlp identity --out {party}.id"))));
    let two = Running::start(&place, &p2(&place, "127.0.0.1:0", "one"), "two.log");
    two.address();
    let limits = fs::read_to_string(format!("/proc/{}/limits", two.child.id())).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(limit.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    two.kill();
}

#[test]
fn a_state_folder_serves_no_other_work_than_its_own() {
    let place = prepare();
    let records = "smlp user encrypt --toy --public k.public.json --data xor --comparison blinded";
    place.does(&format!("{records} --batch 4 --steps {STEPS} --out records-again"));
    place.does(&format!("{records} --batch 4 --steps {STEPS} --queries --images 2 --out queries-again"));
    place.does(&format!("{records} --batch 4 --steps 5 --out shorter"));
    // Nobody listens there: the work is begun and nothing of it done.
    let line = p1(&place, "127.0.0.1:1").replace("--patience 300", "--patience 0");
    fails(&place, &line, &["no connection to the other party"]);
    let (two, three) = (fingerprint(&place, "two"), fingerprint(&place, "three"));
    for (from, to, words) in [
        ("--data records", "--data records-again", ["records", "given records"]),
        ("--data records", "--data shorter", ["spec training/smlp/gmp", "given spec training/smlp/gmp"]),
        ("--queries queries", "--queries queries-again", ["queries", "given queries"]),
        ("--queries queries", "", ["queries", "given queries none"]),
        ("--release", "", ["release true", "given release false"]),
        ("--replayable", "", ["replayable true", "given replayable false"]),
        ("one.id", "three.id", ["identity", "given identity"]),
        (&two, &three, ["peer", "given peer"]),
    ] {
        place.refuses(&line.replace(from, to), &["p1: begun with", words[0], words[1], "choose another folder"]);
    }
    // Without its charter, as earlier versions left it, a state is nobody's.
    let charter = fs::read(place.path("p1/charter")).unwrap();
    fs::remove_file(place.path("p1/charter")).unwrap();
    place.refuses(&line, &["p1: begun with work that is not named (checkpoint is there without the file charter)"]);
    fs::write(place.path("p1/charter"), charter).unwrap();
    fails(&place, &line, &["no connection to the other party"]);

    let line = p2(&place, "nonsense", "one");
    fails(&place, &line, &["cannot listen on nonsense"]);
    place.does("smlp user key --out other-pad");
    place.refuses(&line.replace("--user-key pad", "--user-key other-pad"), &["p2: begun with pad-key", "given pad-key"]);
    place.refuses(&line.replace(&fingerprint(&place, "one"), &three), &["p2: begun with peer", "given peer"]);
}

#[cfg(unix)]
#[test]
fn queries_that_mean_something_else_than_the_records_are_refused_before_p2_is_called() {
    let place = prepare();
    let encrypt = format!("smlp user encrypt --toy --public k.public.json --batch 4 --steps {STEPS} --queries --out other");
    let line = p1(&place, "127.0.0.1:9").replace("--queries queries", "--queries other");
    place.does(&format!("{encrypt} --data xor --recipe q12-step1:8"));
    place.refuses(&line, &["the training file is for numbers at scale", "the file of queries has numbers at scale 4096"]);
    place.does(&format!("{encrypt} --data parity-3"));
    place.refuses(&line, &["images of 1x2 pixels", "the file of queries has images of 1x3 pixels"]);
    // The form before files named their records.
    let queries = fs::read(place.path("queries")).unwrap();
    let older = [&queries[..b"cipherlane smlp v".len()], b"1", &queries[b"cipherlane smlp v3".len()..]].concat();
    fs::write(place.path("other"), older).unwrap();
    place.refuses(&line, &["other: expected `cipherlane smlp v3`, found another version of it; make the file again"]);
}

#[test]
fn an_interrupt_stops_both_parties_and_the_same_command_goes_on() {
    let place = prepare();
    let interrupt = |party: &Running| super::signal("-INT", &party.child);
    let two = Running::start(&place, &p2(&place, "127.0.0.1:0", "one"), "two.log");
    let address = two.address();
    let line = p1(&place, &address);
    let one = Running::start(&place, &line, "one.log");
    wait("batches", || (batches(&place) >= 1).then_some(()));
    interrupt(&two);
    two.ends(130);
    interrupt(&one);
    let stopped = one.ends(130);
    assert!(stopped.err.contains("the same command goes on"), "{}", stopped.err);
    let two = Running::start(&place, &p2(&place, &address, "one"), "two.log");
    Running::start(&place, &line, "one.log").ends(0);
    two.ends(0);
}
