//! Source text as the checks read it: without comments and without what is compiled for tests only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One file of the library.
pub struct File {
    /// Path from the root of the repository, as `src/plan/matvec.rs`.
    pub path: String,
    /// Module path, without `crate`: empty for `lib.rs`.
    pub module: Vec<String>,
    /// Text as it stands.
    pub text: String,
    /// Code with strings, but neither comments nor tests. Lines keep their numbers.
    pub code: String,
    /// The same with empty strings.
    pub bare: String,
}

impl File {
    /// The room that the file is in; empty for `lib.rs`.
    pub fn room(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// The child modules that the file declares.
    pub fn children(&self) -> Vec<String> {
        let mut words = words(&self.bare).peekable();
        let mut found = Vec::new();
        while let Some(word) = words.next() {
            if word == "mod"
                && let Some(name) = words.next()
                && words.peek() == Some(&";")
            {
                found.push(name.to_owned());
            }
        }
        found
    }
}

/// The files of the library, as `lib.rs` and its modules declare them; those of tests only are left out.
pub fn library(sources: &BTreeMap<String, String>) -> Vec<File> {
    let mut files = Vec::new();
    let mut waiting = vec![(String::from("src/lib.rs"), Vec::<String>::new())];
    while let Some((path, module)) = waiting.pop() {
        let Some(text) = sources.get(&path) else { continue };
        let code = without_tests(text);
        let bare = without_strings(&code);
        let file = File { path, module, text: text.clone(), code, bare };
        for child in file.children() {
            let module = [file.module.as_slice(), &[child]].concat();
            waiting.push((format!("src/{}.rs", module.join("/")), module));
        }
        files.push(file);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Every Rust file under `src`, by its path.
pub fn read_sources() -> BTreeMap<String, String> {
    fn below(dir: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, root, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    below(&root.join("src"), root, &mut found);
    found
}

/// Files of a planted tree.
#[cfg(test)]
pub fn planted(files: &[(&str, &str)]) -> Vec<File> {
    library(&files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect())
}

/// What a stretch of source is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// Splits source into code, comments, and the insides of strings and characters.
fn pieces(text: &str) -> Vec<(Kind, &str)> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let find = |needle: &str, from: usize| text[from..].find(needle).map_or(text.len(), |found| from + found);
    while at < bytes.len() {
        let rest = &bytes[at..];
        // End of the stretch, and whether it is a comment; None where code goes on.
        let (open, end, kind) = if rest.starts_with(b"//") {
            (at, find("\n", at), Kind::Comment)
        } else if rest.starts_with(b"/*") {
            let (mut depth, mut end) = (1, at + 2);
            while depth > 0 && end < bytes.len() {
                match &bytes[end..(end + 2).min(bytes.len())] {
                    b"/*" => (depth, end) = (depth + 1, end + 2),
                    b"*/" => (depth, end) = (depth - 1, end + 2),
                    _ => end += 1,
                }
            }
            (at, end, Kind::Comment)
        } else if rest[0] == b'r' && !(at > 0 && is_word(at - 1) && bytes[at - 1] != b'b') && raw(rest).is_some() {
            let hashes = raw(rest).unwrap();
            let open = at + 2 + hashes;
            (open, find(&format!("\"{}", "#".repeat(hashes)), open), Kind::Text)
        } else if rest[0] == b'"' {
            (at + 1, closing(bytes, at + 1, b'"'), Kind::Text)
        } else if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || text[at + 1..].chars().nth(1) == Some('\'')) {
            (at + 1, closing(bytes, at + 1, b'\''), Kind::Text)
        } else {
            at += 1;
            continue;
        };
        pieces.push((Kind::Code, &text[start..open]));
        pieces.push((kind, &text[open..end]));
        start = end;
        // A closing quote belongs to the code that follows.
        at = if kind == Kind::Text { (end + 1).min(bytes.len()) } else { end };
    }
    pieces.push((Kind::Code, &text[start..]));
    pieces
}

/// The number of hashes of a raw string that begins here.
fn raw(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// The place of a closing quote, past escapes.
fn closing(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// Blanks in place of everything but line breaks.
fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

fn keep(text: &str, kept: &[Kind]) -> String {
    pieces(text).into_iter().map(|(kind, part)| if kept.contains(&kind) { part.to_owned() } else { blank(part) }).collect()
}

fn without_strings(code: &str) -> String {
    keep(code, &[Kind::Code])
}

/// Words of which one begins an item.
const KEYWORDS: [&str; 10] = ["fn", "use", "mod", "struct", "enum", "trait", "impl", "type", "const", "static"];

/// Code and strings, without comments and without items under `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let code = keep(text, &[Kind::Code, Kind::Text]);
    let bare = keep(text, &[Kind::Code]);
    let mut result = String::new();
    let mut at = 0;
    while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test,"].iter().filter_map(|attribute| Some(at + bare[at..].find(attribute)?)).min() {
        result += &code[at..start];
        // An item ends with its block, or with a semicolon outside of all brackets; a field with a comma.
        let told = words(&bare[start..]).find(|word| KEYWORDS.contains(word) || [";", ",", "{"].contains(word));
        let is_item = told.is_some_and(|word| KEYWORDS.contains(&word));
        let (mut depth, mut end) = (0, bare.len());
        for (index, byte) in bare.bytes().enumerate().skip(start) {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' => depth -= 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        end = index + 1;
                        break;
                    }
                }
                b';' | b',' if depth == 0 && (byte == b';' || !is_item) => {
                    end = index + 1;
                    break;
                }
                _ => {}
            }
        }
        result += &blank(&code[start..end]);
        at = end;
    }
    result + &code[at..]
}

/// Words of code, `::` and single marks.
pub fn words(bare: &str) -> impl Iterator<Item = &str> {
    let mut rest = bare;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(length);
        rest = after;
        Some(word)
    })
}

#[test]
fn comments_strings_and_tests_are_told_from_code() {
    let text = "use a; // b\n/* c /* d */ e */ const F: &str = \"g // \\\" h\"; let i = 'j'; fn k<'l>(m: &'l str) { n('\\'') }\nr#\"o \" p\"# q";
    let code = without_tests(text);
    for (word, kept) in
        [("use a", true), ("b\n", false), ("d", false), ("e *", false), ("g // ", true), ("h\"", true), ("o \" p", true), (" q", true)]
    {
        assert_eq!(code.contains(word), kept, "{word}: {code}");
    }
    let bare = without_strings(&code);
    assert!(!bare.contains("g //") && !bare.contains("o \"") && bare.contains("fn k<'l>(m: &'l str) { n('  ') }") && bare.contains(" q"), "{bare}");
    assert_eq!(bare.lines().count(), text.lines().count());

    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { let c = \"}\"; }\n}\n#[cfg(all(test, unix))]\n#[allow(dead_code)]\nuse d::{e, f};\n#[cfg(test)]\nfn d<D, E>() { }\nstruct H { #[cfg(test)] d: u8, i: u8 }\nfn g() {}";
    let code = without_tests(text);
    assert!(code.contains("fn a") && code.contains("i: u8 }\nfn g") && !code.contains("fn b") && !code.contains('d'), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn the_library_is_what_its_roots_declare() {
    let files = planted(&[
        ("src/lib.rs", "pub mod a;\n#[cfg(test)]\nmod t;"),
        ("src/a.rs", "mod b;\nmod inline { }"),
        ("src/a/b.rs", ""),
        ("src/a/c.rs", ""),
        ("src/t.rs", ""),
        ("src/main.rs", ""),
    ]);
    assert_eq!(files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["src/a.rs", "src/a/b.rs", "src/lib.rs"]);
    assert_eq!(files[1].module, ["a", "b"]);
}
