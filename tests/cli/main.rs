//! The program from outside: what it prints, writes and refuses, on the embedded digits and without a network.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test ends at the first error")]

mod eivhe;
mod folders;
mod gpu;
mod keys;
mod paper;
mod parties;
mod pipeline;
mod run;
#[cfg(unix)]
mod signals;
mod smlp;
mod subject;
mod sweep;
mod usage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const SAMPLES: &str = "spec,workload,scheme,backend,dataset,features,key_bits,method,encryption,packing,scenario,division,stage,phase,sample,items,\
    wall_ns,cpu_ns,device_ns,run_id,revision,cpu,adapter";
const OUTCOMES: &str = "spec,workload,scheme,backend,dataset,features,key_bits,method,encryption,packing,inputs_per_ciphertext,slot_bits,feature_bits,weight_bits,scenario,\
    division,threads,images,accuracy,agreement,verified,products,bytes_up,bytes_down,rounds,peak_rss_bytes,security_bits,digest,adapter,adapter_type,\
    error,run_id,revision,row_id,batch,samples,timed_images,batches_ns,energy_uj,key_bytes,ciphertext_bytes,row_ns,others_cpu_ns,stolen_cpu_ns,\
    frequency_start_khz,frequency_end_khz,compiler,publishable,bound_products_per_second,dataset_sha256,model_sha256,parameters";

/// Options of a run that takes a moment.
const QUICK: &str = "--dataset digits --toy --key-bits 256 --backend gmp --images 2 --features pixels";

/// A folder of its own for one test, where the program runs without MNIST and without a cache.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with the words of `line` as arguments.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cipherlane"));
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        // Mesa looks for a desktop and for a place of its cache, and complains where there is none.
        command.env("NODEVICE_SELECT", "1").env("MESA_SHADER_CACHE_DISABLE", "true");
        command.env("CIPHERLANE_OFFLINE", "1").env_remove("CIPHERLANE_DATA");
        command.env("HOME", self.path("home")).env("XDG_CACHE_HOME", self.path("home/cache"));
        command
    }

    /// As [`Place::command`], but signals do what they do to a terminal's foreground job, except for those in `ignored`. A test may itself run under `nohup` or in the
    /// background of a script, where interrupts are ignored, which children inherit.
    fn signalled(&self, line: &str, ignored: &str) -> Command {
        let plain = self.command(line);
        let perl = "$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP); exec {$ARGV[0]} @ARGV or die $!";
        let ways: [&[&str]; 2] = [&["env", "--default-signal=INT,TERM,HUP"], &["perl", "-e", perl]];
        let works = |way: &&[&str]| Command::new(way[0]).args(&way[1..]).arg("true").output().is_ok_and(|output| output.status.success());
        let way = ways.into_iter().find(works).unwrap_or(&["env"]);
        let trap = if ignored.is_empty() { String::new() } else { format!("trap '' {ignored}; ") };
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).args(["sh", "-c"]).arg(format!("{trap}exec \"$@\"")).arg("sh").arg(plain.get_program()).args(plain.get_args());
        command.current_dir(self.0.path()).stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    #[track_caller]
    fn ends(&self, line: &str, code: i32) -> Done {
        Done::from(line, &self.command(line).output().unwrap(), code)
    }

    #[track_caller]
    fn does(&self, line: &str) -> Done {
        self.ends(line, 0)
    }

    #[track_caller]
    fn json(&self, line: &str) -> serde_json::Value {
        let done = self.does(&format!("{line} --json"));
        serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{line}: {e}\n{}", done.out))
    }

    /// The program fails with one line that has all `words`, prints no result and leaves the folder as it was.
    #[track_caller]
    fn refuses(&self, line: &str, words: &[&str]) {
        let before = snapshot(self.0.path());
        let done = self.ends(line, 1);
        let errors: Vec<&str> = done.err.lines().filter(|l| l.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{line}\n{}", done.err);
        assert_eq!(done.err.lines().last(), Some(errors[0]), "{line}\n{}", done.err);
        assert_eq!(done.out, "", "{line}");
        for word in words {
            assert!(errors[0].contains(word), "{line}: `{word}` is not in: {}", errors[0]);
        }
        assert!(before == snapshot(self.0.path()), "{line} changed the folder: {:?}", snapshot(self.0.path()).keys());
    }

    /// Wrong usage: exit status 2 and a message that has all `words`.
    #[track_caller]
    fn misuses(&self, line: &str, words: &[&str]) {
        let done = self.ends(line, 2);
        let first = done.err.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: ") && done.out.is_empty(), "{line}\n{}", done.err);
        words.iter().for_each(|word| assert!(done.err.contains(word), "{line}: `{word}` is not in: {}", done.err));
        assert!(snapshot(self.0.path()).is_empty(), "{line} left something");
    }

    /// Rows of `outcomes.csv` by column.
    fn outcomes(&self, dir: &str) -> Vec<BTreeMap<String, String>> {
        self.rows(&format!("{dir}/outcomes.csv"))
    }

    /// Rows of a CSV by column.
    fn rows(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        csv::Reader::from_path(self.path(name)).unwrap().deserialize().map(Result::unwrap).collect()
    }

    /// Changes one byte of a file, runs `action` and puts the file back.
    fn tampered(&self, name: &str, at: usize, action: impl Fn()) {
        let whole = fs::read(self.path(name)).unwrap();
        let mut bad = whole.clone();
        bad[at] ^= 1;
        self.with(name, &whole, &bad, action);
    }

    fn cut(&self, name: &str, length: usize, action: impl Fn()) {
        let whole = fs::read(self.path(name)).unwrap();
        self.with(name, &whole, &whole[..length], action);
    }

    fn with(&self, name: &str, whole: &[u8], bad: &[u8], action: impl Fn()) {
        fs::write(self.path(name), bad).unwrap();
        action();
        fs::write(self.path(name), whole).unwrap();
    }

    /// Makes the key pair `k`, the query `q` of 5 images and the answer `a`, with a toy key.
    fn pipeline(&self) {
        self.does("keygen --bits 512 --toy --out k");
        self.does("encrypt --toy --secret k.secret.json --dataset digits --images 5 --out q");
        self.does("evaluate --toy --public k.public.json --query q --out a");
    }
}

struct Done {
    out: String,
    err: String,
}

impl Done {
    #[track_caller]
    fn from(line: &str, output: &Output, code: i32) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let done = Self { out: text(&output.stdout), err: text(&output.stderr) };
        assert_eq!(output.status.code(), Some(code), "{line}\n{}\n{}", done.out, done.err);
        assert!(!done.err.contains("panicked"), "{line}\n{}", done.err);
        done
    }
}

/// Longer than anything takes that a test waits for, on a machine with many other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until there is something.
#[track_caller]
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited for long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a process ends: with this status.
#[track_caller]
fn wait_for_end(child: &mut Child, code: i32) {
    let status = wait("the end of a process", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(code));
}

#[track_caller]
fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
}

/// Every file below `dir` with its content.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.insert(path.clone(), Vec::new());
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
    files
}
