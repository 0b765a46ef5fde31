//! Notes where a build comes from, so that every record can say so: revision, compiler, flags, versions of the libraries that do the arithmetic.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    // Without these the script would run for every change of any file. A path that is not there
    // would make it run at every build.
    for path in ["build.rs", "src", "benches/sweeps", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    // In a worktree and in a submodule `.git` is a file that says where these are.
    for path in ["HEAD", "index", "refs/heads", "packed-refs"].iter().filter_map(|name| git(&["rev-parse", "--git-path", name])) {
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    // Another checkout that shares the target folder; `.cargo/config.toml` sets it.
    println!("cargo:rerun-if-env-changed=CIPHERLANE_CHECKOUT");
    set("CIPHERLANE_REVISION", revision());
    set("CIPHERLANE_RUSTC", output(&env::var("RUSTC").unwrap_or_else(|_| "rustc".into()), &["--version"]));
    set("CIPHERLANE_FLAGS", env::var("CARGO_ENCODED_RUSTFLAGS").ok().map(|flags| flags.replace('\u{1f}', " ")));
    set(
        "CIPHERLANE_PROFILE",
        env::var("PROFILE").ok().zip(env::var("OPT_LEVEL").ok()).map(|(profile, level)| format!("{profile}, opt-level {level}")),
    );
    set("CIPHERLANE_TARGET", env::var("TARGET").ok());
    set("CIPHERLANE_RUG", locked_version("rug"));
    let target = env::var_os("OUT_DIR").map(|dir| Path::new(&dir).join("sweeps.rs"));
    if let Some(Err(error)) = target.map(|path| fs::write(path, sweeps())) {
        println!("cargo:warning=the list of sweep files cannot be written: {error}");
    }
}

/// The sweep files as a list of setting, path and text, so that the program has them without the
/// source beside it. Only the compiler knows where the source is: what is written here may be used
/// for another checkout.
fn sweeps() -> String {
    let mut list = String::from("&[\n");
    let root = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    for (setting, folder) in [("full", "benches/sweeps"), ("quick", "benches/sweeps/quick")] {
        let mut files: Vec<PathBuf> = fs::read_dir(root.join(folder)).map(|dir| dir.flatten().map(|e| e.path()).collect()).unwrap_or_default();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        files.sort();
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = format!("{folder}/{name}");
            let _ = writeln!(list, "    ({setting:?}, {path:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))),", format!("/{path}"));
        }
    }
    list + "]"
}

fn set(name: &str, value: Option<String>) {
    println!("cargo:rustc-env={name}={}", value.unwrap_or_else(|| "unknown".into()));
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What git says, which leaves its index as it is: a newer one would make the script run again.
fn git(arguments: &[&str]) -> Option<String> {
    output("git", &[&["--no-optional-locks"], arguments].concat())
}

/// The commit, with `-dirty` when tracked files differ from it. Source that was unpacked inside
/// another repository has none.
fn revision() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

fn locked_version(package: &str) -> Option<String> {
    let lock = fs::read_to_string("Cargo.lock").ok()?;
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"').map(str::to_owned)
}
