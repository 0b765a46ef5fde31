//! Joins the pieces of `shaders/` into modules and fills in what is unrolled; `shaders/README.md` explains the constructs.

use super::shape::{Arithmetic, Communication, Shape};

/// Entry points, one module each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Entry {
    /// Runs operations whose factors are named.
    Machine,
    /// Also operations whose second factor a digit picks.
    Lookup,
    /// Also operations whose second factor a digit picks while all are read.
    Scan,
    Unpack,
    Join,
    Gather,
    /// Products of limbs and nothing else.
    Issue,
    /// The self-test of fused multiply-adds; for doubles only.
    Fused,
}

impl Entry {
    #[cfg(test)]
    pub(super) const ALL: [Self; 8] = [Self::Machine, Self::Lookup, Self::Scan, Self::Unpack, Self::Join, Self::Gather, Self::Issue, Self::Fused];

    /// The name of the entry point.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Machine | Self::Lookup | Self::Scan => "machine",
            Self::Unpack => "unpack",
            Self::Join => "join",
            Self::Gather => "gather",
            Self::Issue => "issue",
            Self::Fused => "fused",
        }
    }

    const fn source(self) -> &'static str {
        match self {
            Self::Machine | Self::Lookup | Self::Scan => include_str!("../../../shaders/machine.wgsl"),
            Self::Unpack => include_str!("../../../shaders/unpack.wgsl"),
            Self::Join => include_str!("../../../shaders/join.wgsl"),
            Self::Gather => include_str!("../../../shaders/gather.wgsl"),
            Self::Issue => include_str!("../../../shaders/issue.wgsl"),
            Self::Fused => include_str!("../../../shaders/fused.wgsl"),
        }
    }
}

/// Invocations of a workgroup.
pub(super) const GROUP: u32 = 64;

/// The module of an entry point.
pub(super) fn module(entry: Entry, shape: &Shape) -> String {
    let mut text = String::new();
    expand(entry.source(), entry, shape, &mut text);
    let (arithmetic, communication) = (shape.variant.arithmetic, shape.variant.communication);
    let limb = arithmetic.limb_type();
    let builtins = match communication {
        Communication::Subgroup => {
            "@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_id) subgroup: u32, \
             @builtin(subgroup_size) subgroup_size: u32, @builtin(subgroup_invocation_id) lane_number: u32"
        }
        Communication::Workgroup => {
            "@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) place: u32"
        }
    };
    let team_arguments = match communication {
        Communication::Subgroup => "group, groups, subgroup, subgroup_size, lane_number",
        Communication::Workgroup => "group, groups, place",
    };
    let wide_limbs = arithmetic == Arithmetic::F64;
    let holes: [(&str, String); 14] = [
        ("T", shape.lanes.to_string()),
        ("L", shape.limbs.to_string()),
        ("W", shape.bits().to_string()),
        ("HALVES", shape.halves.to_string()),
        ("GROUP", GROUP.to_string()),
        ("LIMB", limb.into()),
        ("WIDE", arithmetic.wide_type().into()),
        ("MASK", format!("{}{}", shape.mask(), if wide_limbs { "lu" } else { "u" })),
        ("ROOM", arithmetic.room().to_string()),
        ("LAST", (shape.limbs - 1).to_string()),
        ("SPAN", if wide_limbs { "3" } else { "2" }.into()),
        ("LIMB_BITS", if wide_limbs { "64" } else { "32" }.into()),
        ("BUILTINS", builtins.into()),
        ("TEAM_ARGUMENTS", team_arguments.into()),
    ];
    for (name, value) in holes {
        text = text.replace(&format!("{{{{{name}}}}}"), &value);
    }
    text
}

/// The piece that an include names, for a shape.
fn piece(name: &str, shape: &Shape) -> String {
    let (name, argument) = name.split_once(' ').unwrap_or((name, ""));
    match (name, shape.variant.communication, shape.variant.arithmetic) {
        ("prelude", ..) => include_str!("../../../shaders/prelude.wgsl").into(),
        ("normalise", ..) => include_str!("../../../shaders/normalise.wgsl").replace("{{X}}", argument),
        ("team", Communication::Subgroup, _) => include_str!("../../../shaders/team_subgroup.wgsl").into(),
        ("team", Communication::Workgroup, _) => include_str!("../../../shaders/team_workgroup.wgsl").into(),
        ("split", ..) => include_str!("../../../shaders/split_f64.wgsl").into(),
        ("product", _, Arithmetic::F64) => include_str!("../../../shaders/product_f64.wgsl").into(),
        ("product", ..) => {
            let (there, missing) = if argument == "squaring" { ("squaring", "general") } else { ("general", "squaring") };
            let text = include_str!("../../../shaders/product_integer.wgsl");
            text.replace(&format!("//@if {there}"), "//@if always").replace(&format!("//@if {missing}"), "//@if never")
        }
        // A name that is no piece stays in the text, which then is no WGSL: the test of all modules finds it.
        _ => format!("unknown piece {name}\n"),
    }
}

/// Whether a module has the lines of a condition.
fn holds(condition: &str, entry: Entry, shape: &Shape) -> bool {
    match condition {
        "always" => true,
        "squares" => shape.squares,
        "no_squares" => !shape.squares,
        "named" => entry == Entry::Machine,
        "picked" => entry == Entry::Lookup,
        "scanned" => entry == Entry::Scan,
        "square" => shape.halves == 2,
        "plain" => shape.halves == 1,
        "subgroup" => shape.variant.communication == Communication::Subgroup,
        "workgroup" => shape.variant.communication == Communication::Workgroup,
        "integer" => shape.variant.arithmetic != Arithmetic::F64,
        "double" => shape.variant.arithmetic == Arithmetic::F64,
        _ => false,
    }
}

/// Writes a piece with its includes, conditions, rows and limbs.
fn expand(source: &str, entry: Entry, shape: &Shape, text: &mut String) {
    let lines: Vec<&str> = source.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        let Some(directive) = line.trim_start().strip_prefix("//@") else {
            limbs(line, shape.limbs, text);
            continue;
        };
        if let Some(name) = directive.strip_prefix("include ") {
            expand(&piece(name, shape), entry, shape, text);
            continue;
        }
        let end = matching_end(&lines, at);
        let body = lines[at..end].join("\n");
        at = end + 1;
        if directive == "rows" {
            for row in 0..shape.limbs {
                row_lines(&body, row, entry, shape, text);
            }
        } else if directive.strip_prefix("if ").is_some_and(|condition| holds(condition, entry, shape)) {
            expand(&body, entry, shape, text);
        }
    }
}

/// The line of the `//@end` that belongs to the block which begins at `start`.
fn matching_end(lines: &[&str], start: usize) -> usize {
    let mut depth = 1;
    for (at, line) in lines.iter().enumerate().skip(start) {
        match line.trim_start() {
            "//@end" => depth -= 1,
            line if line.starts_with("//@if ") || line == "//@rows" => depth += 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    lines.len()
}

/// One row: `$r` and `$n` are numbers of the row, `$s` and `$t` also depend on the limb.
fn row_lines(body: &str, row: u32, entry: Entry, shape: &Shape, text: &mut String) {
    let count = shape.limbs;
    let mut lines = String::new();
    for line in body.lines() {
        let copies = if line.contains("$s") || line.contains("$t") { count } else { 1 };
        for p in 0..copies {
            let slot = |position: u32| ((row + position) % count).to_string();
            let line = if copies > 1 {
                let above = if p + 1 < count { slot(p + 1) } else { "_top".into() };
                line.replace("$s", &slot(p)).replace("$t", &above).replace("$p", &p.to_string())
            } else {
                line.to_owned()
            };
            lines += &line.replace("$r", &row.to_string()).replace("$n", &((row + 1) % count).to_string());
            lines.push('\n');
        }
    }
    expand(&lines, entry, shape, text);
}

/// One line for each limb, where the line asks for it.
fn limbs(line: &str, count: u32, text: &mut String) {
    let copies = if line.contains("$above") {
        count - 1
    } else if line.contains("$p") {
        count
    } else {
        text.push_str(line);
        text.push('\n');
        return;
    };
    for p in 0..copies {
        text.push_str(&line.replace("$above", &(p + 1).to_string()).replace("$p", &p.to_string()));
        text.push('\n');
    }
}
