//! Rooms: who may import whom, by the table that is in the documentation of the library.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{File, words};

/// Rooms that every room may import.
const EVERYWHERE: [&str; 2] = ["error", "text"];

/// The table of `src/architecture.md`, in its order: each room and what it may import.
pub fn table(markdown: &str) -> Vec<(String, Vec<String>)> {
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').collect();
        let room = cells[0].trim().strip_suffix('`')?.to_owned();
        Some((room, names(cells.get(2)?)))
    };
    markdown.lines().filter_map(row).collect()
}

/// The rooms that code names after `crate::`, in one-line and braced imports.
fn named(bare: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut words = words(bare).peekable();
    while let Some(word) = words.next() {
        if word != "crate" || words.next_if_eq(&"::").is_none() {
            continue;
        }
        let Some(first) = words.next() else { break };
        if first != "{" {
            found.insert(first.to_owned());
            continue;
        }
        let (mut depth, mut begins) = (1, true);
        while depth > 0
            && let Some(word) = words.next()
        {
            match word {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," => begins = depth == 1,
                word if begins => {
                    found.insert(word.to_owned());
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// What the table forbids, what it allows for nothing, and where it and `lib.rs` differ.
pub fn faults(files: &[File], table: &[(String, Vec<String>)]) -> Vec<String> {
    let mut faults = Vec::new();
    let place = |room: &str| table.iter().position(|(name, _)| name == room);
    for (at, (room, allowed)) in table.iter().enumerate() {
        for name in allowed {
            match place(name) {
                Some(below) if below < at => {}
                _ => faults.push(format!("the table lets {room} import {name}, which is no room above it")),
            }
        }
    }
    let mut unused: BTreeMap<&str, BTreeSet<&str>> =
        table.iter().map(|(room, allowed)| (room.as_str(), allowed.iter().map(String::as_str).collect())).collect();
    for file in files {
        let room = file.room();
        if room.is_empty() {
            let declared: BTreeSet<String> = file.children().into_iter().collect();
            let rows: BTreeSet<String> = table.iter().map(|(room, _)| room.clone()).collect();
            faults.extend(declared.symmetric_difference(&rows).map(|room| format!("{room} is not in both src/lib.rs and src/architecture.md")));
            continue;
        }
        let Some((_, allowed)) = table.iter().find(|(name, _)| name == room) else { continue };
        for name in named(&file.bare) {
            if let Some(unused) = unused.get_mut(room) {
                unused.remove(name.as_str());
            }
            if name != room && !EVERYWHERE.contains(&name.as_str()) && place(&name).is_some() && !allowed.contains(&name) {
                faults.push(format!("{}: {room} imports {name}", file.path));
            }
        }
    }
    faults.extend(
        unused.iter().flat_map(|(room, names)| names.iter().map(move |name| format!("the table lets {room} import {name}, which it does not"))),
    );
    faults
}

/// Files that print, read a clock or are unsafe where their room may not.
pub fn deeds(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let says = |parts: &[&str]| parts.iter().any(|part| file.bare.contains(part));
        if file.room() != "cli" && says(&["println!", "print!", "eprintln!", "eprint!", "stdout()", "stderr()"]) {
            faults.push(format!("{} prints", file.path));
        }
        // Waiting with a limit is not measuring: downloads, connections and progress lines may.
        let waits = ["src/dataset/fetch/download.rs", "src/cli/progress.rs", "src/channel/tcp.rs"].contains(&file.path.as_str());
        if file.room() != "stopwatch" && !waits && says(&["Instant::now", "SystemTime::now", "ProcessTime"]) {
            faults.push(format!("{} reads a clock", file.path));
        }
        if file.room() != "backend" && words(&file.bare).any(|word| word == "unsafe") {
            faults.push(format!("{} is unsafe", file.path));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::source::planted;
    use super::*;

    #[test]
    fn imports_are_found_in_every_form() {
        let code = "use crate::error::Result;\nuse crate::{machine, plot as figures, scheme::{a, b::{c, d}}};\nfn f() { crate::limbs::g() }";
        assert_eq!(named(code), ["error", "limbs", "machine", "plot", "scheme"].map(String::from).into());
    }

    const TABLE: &str = "| room | what | may import |\n|---|---|---|\n| `a` | with `b` | |\n| `c` | | `a` |\n";

    #[test]
    fn the_table_is_read_in_its_order() {
        assert_eq!(table(TABLE), [("a".to_owned(), vec![]), ("c".to_owned(), vec!["a".to_owned()])]);
    }

    fn found(table_text: &str, a: &str, c: &str) -> String {
        faults(&planted(&[("src/lib.rs", "mod a; mod c;"), ("src/a.rs", a), ("src/c.rs", c)]), &table(table_text)).join("; ")
    }

    #[test]
    fn planted_imports_are_seen() {
        assert_eq!(found(TABLE, "", "use crate::a::X;"), "");
        assert_eq!(found(TABLE, "use crate::{error, c::Y};", "use crate::a::X;"), "src/a.rs: a imports c");
        assert_eq!(found(TABLE, "", ""), "the table lets c import a, which it does not");
        let upward = TABLE.replace("with `b` | |", "with `b` | `c` |");
        assert_eq!(found(&upward, "use crate::c;", "use crate::a;"), "the table lets a import c, which is no room above it");
        let missing = TABLE.replace("| `a` | with `b` | |\n", "").replace("`a`", "");
        assert_eq!(found(&missing, "", ""), "a is not in both src/lib.rs and src/architecture.md");
    }

    #[test]
    fn planted_deeds_are_seen() {
        let tree =
            |a: &str| deeds(&planted(&[("src/lib.rs", "mod a; mod cli;"), ("src/a.rs", a), ("src/cli.rs", "fn f() { println!() }")])).join("; ");
        assert_eq!(tree("fn f() { /* println! unsafe */ g(\"stdout()\") }"), "");
        assert_eq!(tree("fn f() { eprint!() }"), "src/a.rs prints");
        assert_eq!(tree("fn f() { Instant::now() }"), "src/a.rs reads a clock");
        assert_eq!(tree("fn f() { unsafe { } }"), "src/a.rs is unsafe");
        assert_eq!(tree("#[cfg(test)]\nmod tests { fn f() { println!() } }"), "");
    }
}
