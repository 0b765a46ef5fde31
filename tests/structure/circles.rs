//! Circles: files that use each other, directly or by way of others.
//!
//! A file uses another where it names an item that the other defines, by `use` or by a path. A parent
//! that only declares and re-exports its children uses nothing of them, and who imports a re-export uses the
//! file that defines the item. Methods are not followed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{File, words};

/// A name that a `use` brings into a file.
struct Import {
    name: String,
    /// From the root of the crate.
    target: Vec<String>,
    /// Whether others can import the name from here.
    public: bool,
}

/// Imports of the crate's own items and other paths in the code of a file.
#[derive(Default)]
struct Paths {
    imports: Vec<Import>,
    globs: Vec<Vec<String>>,
    named: Vec<Vec<String>>,
    /// Words outside of imports.
    words: BTreeSet<String>,
}

/// The modules of the library: paths to the files of `files`.
struct Modules<'a> {
    index: BTreeMap<&'a [String], usize>,
    paths: Vec<Paths>,
}

/// A path from the root of the crate, where `path` in a file means one.
fn absolute(file: &File, children: &[String], path: &[&str]) -> Option<Vec<String>> {
    let below = |module: &[String], rest: &[&str]| [module, &rest.iter().map(|&part| part.to_owned()).collect::<Vec<_>>()].concat();
    let ups = path.iter().take_while(|part| **part == "super").count();
    match *path.first()? {
        "crate" => Some(below(&[], &path[1..])),
        "self" => Some(below(&file.module, &path[1..])),
        "super" => Some(below(&file.module[..file.module.len().checked_sub(ups)?], &path[ups..])),
        first if children.iter().any(|child| child == first) => Some(below(&file.module, path)),
        _ => None,
    }
}

/// The leaves of a `use` tree: each path, with its name here. `self` at the end is the path before it.
fn leaves<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>, prefix: &[&'a str], found: &mut Vec<(Vec<&'a str>, &'a str)>) {
    let mut path = prefix.to_vec();
    while let Some(word) = words.next() {
        match word {
            "::" => {}
            "{" => {
                while words.peek().is_some_and(|word| *word != "}") {
                    leaves(words, &path, found);
                    words.next_if_eq(&",");
                }
                words.next();
                return;
            }
            word => path.push(word),
        }
        match words.peek() {
            Some(&"as") => {
                words.next();
                let name = words.next().unwrap_or_default();
                found.push((path, name));
                return;
            }
            Some(&("," | "}" | ";")) | None => break,
            _ => {}
        }
    }
    if path.len() > 1 && path.last() == Some(&"self") {
        path.pop();
    }
    if let Some(&name) = path.last() {
        found.push((path, name));
    }
}

fn paths(file: &File) -> Paths {
    let children = file.children();
    let mut result = Paths::default();
    let mut all = words(&file.bare).peekable();
    // Words since the last statement tell whether a `use` is public.
    let mut public = false;
    let mut named: Vec<Vec<&str>> = Vec::new();
    while let Some(word) = all.next() {
        if word == "use" {
            let mut found = Vec::new();
            leaves(&mut all, &[], &mut found);
            for (path, name) in found {
                let Some(target) = absolute(file, &children, &path) else { continue };
                if name == "*" {
                    result.globs.push(target[..target.len() - 1].to_vec());
                } else {
                    result.imports.push(Import { name: name.to_owned(), target, public });
                }
            }
            continue;
        }
        if word == "mod" {
            all.next();
            continue;
        }
        public = match word {
            "pub" => true,
            "(" | ")" | "crate" | "super" | "in" | "::" | "self" => public,
            _ => false,
        };
        if !word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            continue;
        }
        let mut path = vec![word];
        while all.next_if_eq(&"::").is_some() {
            match all.next_if(|next| next.starts_with(|c: char| c.is_alphabetic() || c == '_')) {
                Some(part) => path.push(part),
                None => break,
            }
        }
        result.words.insert(path[0].to_owned());
        if path.len() > 1 {
            named.push(path);
        }
    }
    for path in named {
        let imported = || result.imports.iter().find(|import| import.name == path[0]);
        let target = absolute(file, &children, &path).or_else(|| {
            imported().map(|import| [import.target.as_slice(), &path[1..].iter().map(|&part| part.to_owned()).collect::<Vec<_>>()].concat())
        });
        result.named.extend(target);
    }
    result
}

impl<'a> Modules<'a> {
    fn new(files: &'a [File]) -> Self {
        Self { index: files.iter().enumerate().map(|(at, file)| (file.module.as_slice(), at)).collect(), paths: files.iter().map(paths).collect() }
    }

    /// The file that defines what a path names; none for a path to a module.
    fn definer(&self, path: &[String], depth: usize) -> Option<usize> {
        let inner = (0..=path.len()).rev().find(|&length| self.index.contains_key(&path[..length]))?;
        let (at, rest) = (self.index[&path[..inner]], &path[inner..]);
        let item = rest.first()?;
        if depth > 8 {
            return Some(at);
        }
        match self.paths[at].imports.iter().find(|import| import.name == *item) {
            Some(import) => self.definer(&[import.target.as_slice(), &rest[1..]].concat(), depth + 1),
            None => Some(at),
        }
    }
}

/// For each file the files that it uses, with one thing that it uses of each.
fn uses(files: &[File]) -> Vec<BTreeMap<usize, String>> {
    let modules = Modules::new(files);
    let of = |(at, paths): (usize, &Paths)| {
        let taken = paths.imports.iter().filter(|import| !import.public || paths.words.contains(&import.name)).map(|import| import.target.clone());
        let globs = paths.globs.iter().map(|glob| [glob.as_slice(), &["*".to_owned()]].concat());
        let all = taken.chain(paths.named.iter().cloned()).chain(globs);
        all.filter_map(|path| Some((modules.definer(&path, 0)?, path.join("::")))).filter(|(used, _)| *used != at).collect()
    };
    modules.paths.iter().enumerate().map(of).collect()
}

/// The shortest way from a file back to itself.
fn shortest(uses: &[BTreeMap<usize, String>], start: usize) -> Option<Vec<usize>> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(at) = waiting.pop_front() {
        for &next in uses[at].keys() {
            if next == start {
                let mut way = vec![at];
                while way[way.len() - 1] != start {
                    way.push(from[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            if let Entry::Vacant(place) = from.entry(next) {
                place.insert(at);
                waiting.push_back(next);
            }
        }
    }
    None
}

/// The files that stand in a circle, each with the shortest circle through it.
pub fn circles(files: &[File]) -> BTreeMap<String, String> {
    let uses = uses(files);
    let told = |way: Vec<usize>| {
        let steps = way.iter().enumerate().map(|(step, &at)| {
            let next = way[(step + 1) % way.len()];
            format!("{} uses {}", files[at].path, uses[at][&next])
        });
        steps.collect::<Vec<_>>().join(", ")
    };
    (0..files.len()).filter_map(|at| Some((files[at].path.clone(), told(shortest(&uses, at)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::planted;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        circles(&planted(files)).into_values().collect()
    }

    #[test]
    fn files_that_use_each_other_are_seen() {
        let tree = |b: &'static str| {
            found(&[
                ("src/lib.rs", "mod a; mod b; mod c;"),
                ("src/a.rs", "use crate::b::B; pub struct A;"),
                ("src/b.rs", b),
                ("src/c.rs", "use crate::a::A;"),
            ])
        };
        assert!(tree("pub struct B;").is_empty());
        let expected = ["src/a.rs uses b::B, src/b.rs uses a::A", "src/b.rs uses a::A, src/a.rs uses b::B"];
        for b in ["use crate::a::A;", "use crate::{a::{A as X}};", "fn f() { crate::a::A }", "use super::a::A;", "fn f() { super::a::A }"] {
            assert_eq!(tree(b), expected, "{b}");
        }
        assert_eq!(tree("use crate::a; fn f(_: a::A) {}"), expected);
        assert_eq!(tree("use crate::a as y; fn f(_: y::A) {}"), expected);
        assert_eq!(tree("use crate::c::C;").len(), 3);
        // A module is named, but nothing of it is used.
        assert!(tree("use crate::a;").is_empty());
        assert!(tree("#[cfg(test)] mod tests { use crate::a::A; }").is_empty());
    }

    #[test]
    fn re_exports_are_looked_through() {
        // Siblings by way of their parent, which uses neither.
        let tree = |parent: &'static str, two: &'static str| {
            found(&[("src/lib.rs", "mod p;"), ("src/p.rs", parent), ("src/p/one.rs", "pub struct One; use super::Two;"), ("src/p/two.rs", two)])
        };
        let wiring = "mod one; mod two; pub use one::One; pub(crate) use two::Two;";
        assert!(tree(wiring, "pub struct Two;").is_empty());
        // A child and an item of it that share their name.
        let same = [("src/lib.rs", "mod p;"), ("src/p.rs", "mod draw; pub use draw::draw; pub struct P;"), ("src/p/draw.rs", "use super::P;")];
        assert!(found(&same).is_empty());
        assert_eq!(tree(wiring, "pub struct Two; use super::One;").len(), 2);
        // A parent that uses what it re-exports, and is used by it.
        let parent = "mod one; mod two; pub use one::One; pub use two::Two; pub struct P(One);";
        assert!(tree(parent, "pub struct Two;").is_empty());
        assert_eq!(tree(parent, "pub struct Two; use super::P;").len(), 3);
        assert_eq!(tree("mod one; mod two; pub use two::Two; fn f() { one::g() } pub struct P;", "use super::P;").len(), 3);
        assert_eq!(tree("mod one; mod two; use one::*; pub use two::Two; pub struct P;", "use super::P;").len(), 3);
    }
}
