//! Ratchets: numbers that may only fall. What is found is held against `ratchets.txt`, a line each.
//!
//! A number that fell by more than a tenth is to be written there, so that small ones are exact and large
//! ones do not change with every commit: `RATCHET=lower cargo test --test structure` does it.

use std::collections::BTreeMap;

use super::circles::circles;
use super::source::{File, words};

/// Names of schemes; one belongs in files with that name in their path.
const SCHEMES: [&str; 3] = ["paillier", "smlp", "eivhe"];
/// Schemes that are made of another: they may name it.
const BUILT_ON: [(&str, &str); 1] = [("smlp", "paillier")];
/// The registry of schemes, which names them all.
const REGISTRY: &str = "src/scheme/registry.rs";
/// Most lines of a function.
const LONGEST: usize = 70;
/// Most parameters of a function, beside `self`.
const PARAMETERS: usize = 6;
/// Most columns of a comment.
const COLUMNS: usize = 100;

/// Counts by what is counted, and examples.
pub type Found = BTreeMap<String, Vec<String>>;

/// Everything that is counted.
pub fn found(files: &[File]) -> Found {
    let mut found = Found::new();
    let mut add = |key: String, example: String| found.entry(key).or_default().push(example);
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for (line, text) in foreign_schemes(file) {
            add(format!("scheme named in {}", file.path), format!("line {line}: {}", text.trim()));
        }
        for (name, lines, parameters) in functions(&file.bare) {
            if lines > LONGEST {
                add(format!("functions over {LONGEST} lines"), format!("{}: {name}, {lines}", file.path));
            }
            if parameters > PARAMETERS {
                add(format!("functions of more than {PARAMETERS} parameters"), format!("{}: {name}, {parameters}", file.path));
            }
        }
        for name in declared(&file.bare) {
            types.entry(name).or_default().push(file.path.clone());
        }
        for (line, text) in file.text.lines().enumerate() {
            let comment = text.trim_start();
            if comment.starts_with("//") && text.chars().count() > COLUMNS {
                add(format!("comments over {COLUMNS} columns"), format!("{}:{}", file.path, line + 1));
            }
            let doc = comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!")).map(str::trim_start);
            if doc.is_some_and(|doc| ["What ", "How ", "Whether ", "When ", "Where ", "Who "].iter().any(|word| doc.starts_with(word))) {
                add("documentation that begins with a question".into(), format!("{}:{}", file.path, line + 1));
            }
        }
        if file.room() != "cli" {
            for (line, text) in flags(file) {
                add("options of the command line in texts of the library".into(), format!("{}:{line}: {text}", file.path));
            }
        }
    }
    for (name, places) in types.into_iter().filter(|(_, places)| places.len() > 1) {
        add("types of one name".into(), format!("{name} in {}", places.join(", ")));
    }
    for (file, circle) in circles(files) {
        add(format!("circle through {file}"), circle);
    }
    found
}

/// Lines that name a scheme outside of its files. A parent may declare and re-export a child of that name.
fn foreign_schemes(file: &File) -> Vec<(usize, &str)> {
    if file.path == REGISTRY {
        return Vec::new();
    }
    let children = file.children();
    let wiring = |line: &str| {
        let mut words = words(line).skip_while(|word| ["pub", "(", "crate", "super", ")"].contains(word));
        matches!(words.next(), Some("mod" | "use")) && words.next().is_some_and(|name| children.iter().any(|child| child == name))
    };
    let clear = |line: &str| {
        file.path != "src/scheme/clear.rs"
            && ["scheme::clear", "scheme::Clear", "SchemeId::Clear", "Protection::Clear"].iter().any(|name| line.contains(name))
    };
    let own = |name: &str| file.path.contains(name) || BUILT_ON.iter().any(|(scheme, base)| *base == name && file.path.contains(scheme));
    let names = |line: &str| SCHEMES.iter().any(|name| !own(name) && line.to_lowercase().contains(name)) || clear(line);
    file.code.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| names(line) && !wiring(line)).collect()
}

/// Functions with a body: name, lines and parameters.
fn functions(bare: &str) -> Vec<(&str, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in bare.match_indices("fn ") {
        let is_word = bare[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &bare[at + 3..];
        let name = &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(0)];
        if is_word || name.is_empty() {
            continue;
        }
        // `<` and `>` nest, too, but those of arrows do not.
        let (mut depth, mut angles, mut parameters, mut filled, mut closed, mut body) = (0, 0, 0, false, false, None);
        let mut before = ' ';
        for (index, c) in rest.char_indices() {
            match c {
                '{' if depth == 0 => {
                    body = Some(index);
                    break;
                }
                ';' if depth == 0 => break,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => {
                    depth -= 1;
                    closed |= depth == 0;
                }
                '<' => angles += 1,
                '>' if before != '-' => angles -= 1,
                ',' if depth == 1 && angles == 0 && !closed => {
                    parameters += usize::from(filled);
                    filled = false;
                    before = c;
                    continue;
                }
                _ => {}
            }
            filled |= depth > 0 && !closed && !c.is_whitespace() && (depth > 1 || c != '(');
            if closed && filled {
                parameters += 1;
                filled = false;
            }
            before = c;
        }
        let Some(body) = body else { continue };
        let signature = &rest[..body];
        let takes_self = words(signature.split_once('(').map_or("", |(_, list)| list)).take(5).any(|word| word == "self");
        let mut depth = 0;
        let end = rest[body..].char_indices().find(|&(_, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let lines = end.map_or(0, |(end, _)| rest[..=body + end].lines().count());
        found.push((name, lines, parameters - usize::from(takes_self && parameters > 0)));
    }
    found
}

/// The types that code declares.
fn declared(bare: &str) -> Vec<String> {
    let mut words = words(bare).peekable();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if ["struct", "enum", "trait", "union"].contains(&word)
            && let Some(name) = words.next_if(|name| name.starts_with(char::is_uppercase))
        {
            found.push(name.to_owned());
        }
    }
    found
}

/// Strings with an option of the command line in them.
fn flags(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, (code, bare)) in file.code.lines().zip(file.bare.lines()).enumerate() {
        for (at, _) in code.match_indices("--") {
            let named = code[at + 2..].starts_with(|c: char| c.is_ascii_lowercase());
            let begins = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
            if named && begins && bare.get(at..at + 2) == Some("  ") {
                found.push((number + 1, code[at..].chars().take(24).collect()));
            }
        }
    }
    found
}

/// `ratchets.txt`: a number and what it counts in each line.
pub fn allowed(text: &str) -> BTreeMap<String, usize> {
    text.lines().filter_map(|line| line.split_once(' ')).filter_map(|(count, key)| Some((key.to_owned(), count.parse().ok()?))).collect()
}

/// Numbers that rose, with examples, and numbers that fell by more than a tenth.
pub fn compare(found: &Found, allowed: &BTreeMap<String, usize>) -> (Vec<String>, Vec<String>) {
    let limit = |key: &String| allowed.get(key).copied().unwrap_or(0);
    let rose = found.iter().filter(|(key, all)| all.len() > limit(key));
    let rose = rose.map(|(key, all)| format!("{key}: {}, at most {}\n    {}", all.len(), limit(key), all.join("\n    "))).collect();
    let count = |key: &String| found.get(key).map_or(0, Vec::len);
    let fell = allowed
        .iter()
        .filter(|(key, limit)| count(key) < **limit - **limit / 10)
        .map(|(key, limit)| format!("{key}: {limit} fell to {}", count(key)));
    (rose, fell.collect())
}

/// The lines of `ratchets.txt` for what is found.
pub fn lines(found: &Found) -> String {
    found.iter().map(|(key, all)| format!("{} {key}\n", all.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::source::planted;
    use super::*;

    fn counts(files: &[(&str, &str)]) -> BTreeMap<String, usize> {
        found(&planted(files)).into_iter().map(|(key, all)| (key, all.len())).collect()
    }

    fn count(text: &str, key: &str) -> usize {
        counts(&[("src/lib.rs", "mod a;"), ("src/a.rs", text)]).get(key).copied().unwrap_or(0)
    }

    #[test]
    fn schemes_named_elsewhere_are_counted() {
        let key = "scheme named in src/a.rs";
        for text in [
            "use crate::scheme::paillier::Key;",
            "struct SmlpThing;",
            "const A: &str = \"eivhe\";",
            "Protection::Clear => 1,",
            "use crate::scheme::clear;",
        ] {
            assert_eq!(count(text, key), 1, "{text}");
        }
        for text in ["// smlp", "#[cfg(test)]\nmod tests { use smlp; }", "fn clear() { Setting::Clear }"] {
            assert_eq!(count(text, key), 0, "{text}");
        }
        let text = "use crate::smlp; fn eivhe() {}";
        let registry =
            [("src/lib.rs", "mod scheme;"), ("src/scheme.rs", "mod registry;\nmod smlp;\npub use smlp::S;"), ("src/scheme/registry.rs", text)];
        assert!(counts(&registry).keys().all(|key| !key.starts_with("scheme")));
    }

    #[test]
    fn long_functions_and_long_lists_are_counted() {
        let of = |lines: usize| format!("fn a(&self) -> X<A, B> {{\n{}}}", "x;\n".repeat(lines - 2));
        assert_eq!((count(&of(70), "functions over 70 lines"), count(&of(71), "functions over 70 lines")), (0, 1));
        assert_eq!(count(&format!("trait T {{ fn a();\n{} }}", "fn b();\n".repeat(90)), "functions over 70 lines"), 0);
        let key = "functions of more than 6 parameters";
        let six = "a: A<B, C>, (b, c): (D, E), d: impl Fn(F, G) -> H, e: [I; 2], f: J, g: K";
        assert_eq!(count(&format!("fn x<L, M>({six}) {{}} fn y(&mut self, {six},) {{}}"), key), 0);
        assert_eq!(count(&format!("fn x({six}, h: &[N]) {{}}"), key), 1);
    }

    #[test]
    fn names_and_prose_are_counted() {
        let types = [("src/lib.rs", "mod a; mod b;"), ("src/a.rs", "struct Job; enum Kind { Job }"), ("src/b.rs", "trait Job {} struct Other;")];
        assert_eq!(counts(&types).get("types of one name"), Some(&1));
        let key = "comments over 100 columns";
        assert_eq!((count(&format!("// {}", "x".repeat(97)), key), count(&format!("// {}", "x".repeat(98)), key)), (0, 1));
        let key = "documentation that begins with a question";
        assert_eq!((count("/// What it is.\n/// Whatever.\n// How so.\nstruct A;", key), count("//! Who.\n//! Whether it is.", key)), (1, 1));
        let key = "options of the command line in texts of the library";
        assert_eq!((count("f(\"pass --force\"); a - --b; // --c", key), count("f(\"a -- b ---d\")", key)), (1, 0));
        assert_eq!(counts(&[("src/lib.rs", "mod cli;"), ("src/cli.rs", "f(\"--x\")")]).get(key), None);
    }

    #[test]
    fn circles_are_counted_by_file() {
        let all = counts(&[("src/lib.rs", "mod a; mod b;"), ("src/a.rs", "use crate::b::B;"), ("src/b.rs", "use crate::a::A;")]);
        assert_eq!(all, [("circle through src/a.rs".to_owned(), 1), ("circle through src/b.rs".to_owned(), 1)].into());
    }

    #[test]
    fn numbers_may_only_fall() {
        let found: Found = [("a b".to_owned(), vec!["x".to_owned(), "y".to_owned()])].into();
        assert_eq!(allowed(&lines(&found)), [("a b".to_owned(), 2)].into());
        let (rose, fell) = compare(&found, &allowed("1 a b\n3 c"));
        assert_eq!((rose, fell), (vec!["a b: 2, at most 1\n    x\n    y".to_owned()], vec!["c: 3 fell to 0".to_owned()]));
        assert_eq!(compare(&found, &allowed("2 a b")), (vec![], vec![]));
        let many: Found = [("a".to_owned(), vec![String::new(); 90])].into();
        assert_eq!((compare(&many, &allowed("100 a")).1.len(), compare(&many, &allowed("101 a")).1.len()), (0, 1));
        assert_eq!(compare(&found, &allowed("")).0.len(), 1);
    }
}
