//! Standard output and standard error, whose readers may be gone.

use std::io::{ErrorKind, Write};
use std::path::Path;

/// A path as text, for JSON.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A result: one text with its line end to standard output. That a reader has gone away is its own affair and changes nothing else.
pub(super) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            note(&format!("error: cannot write to standard output: {e}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// A note: one line to standard error, where it must not matter whether anybody reads it.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A result as JSON.
pub(super) fn out_json(value: &serde_json::Value) {
    out(&format!("{value:#}"));
}
