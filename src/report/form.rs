//! Tables: columns and cells, and their forms as plain text, Markdown, LaTeX and CSV.

use std::fmt::Write as _;

/// Widest line of a text table, in characters.
const WIDTH: usize = 120;

/// Longest cell of a text table, in characters; the rest of a longer one gives way to an ellipsis.
const LONGEST_CELL: usize = 80;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Aligned columns for a terminal, at most 120 characters wide.
    Text,
    /// A GitHub table.
    Markdown,
    /// A `tabular` with booktabs rules.
    Latex,
    /// Comma-separated values with one header line; no captions, no notes.
    Csv,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its head.
    pub name: &'static str,
    /// Unit below the name.
    pub unit: &'static str,
    /// Numbers stand right-aligned, words left-aligned.
    pub number: bool,
    /// May leave a text table that is too wide; the lowest number leaves first. Zero stays.
    pub drop: u8,
    /// What the column says.
    pub meaning: &'static str,
    /// In LaTeX, words wrap within this many percent of the text's width; zero: they do not wrap.
    pub share: u8,
}

/// A table before it has a form.
#[derive(Clone, Debug)]
pub struct Table {
    /// What holds for all rows.
    pub caption: String,
    /// Its columns; every row has as many cells.
    pub columns: Vec<Column>,
    /// A heading and the rows below it.
    pub groups: Vec<(String, Vec<Vec<String>>)>,
    /// What stands below.
    pub notes: Vec<String>,
}

pub(crate) const fn words(name: &'static str, unit: &'static str, meaning: &'static str) -> Column {
    Column { name, unit, number: false, drop: 0, meaning, share: 0 }
}

pub(crate) const fn numbers(name: &'static str, unit: &'static str, drop: u8, meaning: &'static str) -> Column {
    Column { name, unit, number: true, drop, meaning, share: 0 }
}

/// The table in its form.
pub(crate) fn render(mut table: Table, format: Format) -> String {
    if table.groups.iter().all(|(_, rows)| rows.is_empty()) {
        return if format == Format::Csv { String::new() } else { "no results\n".into() };
    }
    match format {
        Format::Text => text(&mut table),
        Format::Markdown => markdown(&table),
        Format::Latex => latex(&table),
        Format::Csv => csv(&table),
    }
}

fn text(table: &mut Table) -> String {
    for cell in table.groups.iter_mut().flat_map(|(_, rows)| rows).flatten() {
        clip(cell, LONGEST_CELL);
    }
    let fits = |widths: &[usize], gap: usize| widths.iter().sum::<usize>() + gap * (widths.len() - 1) <= WIDTH;
    let mut dropped = Vec::new();
    let (widths, gap) = loop {
        let widths = widths(table);
        if fits(&widths, 2) {
            break (widths, 2);
        }
        if fits(&widths, 1) {
            break (widths, 1);
        }
        let Some(next) = table.columns.iter().filter(|c| c.drop > 0).min_by_key(|c| c.drop).map(|c| c.name) else { break (widths, 1) };
        remove(&mut table.columns, &mut table.groups, next);
        dropped.push(next);
    };
    let mut out = String::new();
    let line = |out: &mut String, cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).zip(&table.columns).map(|((cell, &width), column)| pad(cell, width, column.number));
        let joined = padded.collect::<Vec<_>>().join(&" ".repeat(gap));
        out.push_str(joined.trim_end());
        out.push('\n');
    };
    if !table.caption.is_empty() {
        out.push_str(&wrap(&table.caption));
    }
    line(&mut out, &mut table.columns.iter().map(|c| c.name));
    line(&mut out, &mut table.columns.iter().map(|c| c.unit));
    for (heading, rows) in &table.groups {
        if !heading.is_empty() {
            out.push_str(&wrap(&format!("-- {heading}")));
        }
        for row in rows {
            line(&mut out, &mut row.iter().map(String::as_str));
        }
    }
    for note in &table.notes {
        out.push_str(&wrap(note));
    }
    if !dropped.is_empty() {
        out.push_str(&wrap(&format!("left out for width: {}", dropped.join(", "))));
    }
    out
}

fn widths(table: &Table) -> Vec<usize> {
    let cells = |at: usize| table.groups.iter().flat_map(|(_, rows)| rows).filter_map(move |row| row.get(at));
    let width = |(at, c): (usize, &Column)| cells(at).map(|t| t.chars().count()).max().unwrap_or(0).max(c.name.len()).max(c.unit.len());
    table.columns.iter().enumerate().map(width).collect()
}

/// Cuts a text to at most `most` characters, the last of which is then an ellipsis.
fn clip(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        let kept = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
        text.truncate(kept);
        text.push('\u{2026}');
    }
}

/// A text among as many spaces as make it `width` characters wide; a wider one as it is. The width
/// that `format!` takes ends at 65,535 with a panic.
pub(super) fn pad(text: &str, width: usize, right: bool) -> String {
    let spaces = " ".repeat(width.saturating_sub(text.chars().count()));
    if right { spaces + text } else { format!("{text}{spaces}") }
}

/// Breaks a line between words so that it fits; what follows the first line is indented.
pub(super) fn wrap(text: &str) -> String {
    let (mut out, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > WIDTH {
            out.push_str("\n    ");
            used = 4;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
    out
}

fn markdown(table: &Table) -> String {
    let mut out = String::new();
    let join = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |text: &str| escape(text, Format::Markdown);
    if !table.caption.is_empty() {
        let _ = writeln!(out, "{}.\n", escaped(&table.caption));
    }
    for (heading_text, rows) in &table.groups {
        if !heading_text.is_empty() {
            let _ = writeln!(out, "**{}**\n", escaped(heading_text));
        }
        out.push_str(&join(table.columns.iter().map(|c| escaped(&heading(c))).collect()));
        out.push_str(&join(table.columns.iter().map(|c| if c.number { "---:" } else { ":---" }.into()).collect()));
        for row in rows {
            out.push_str(&join(row.iter().map(|cell| escaped(cell)).collect()));
        }
        out.push('\n');
    }
    for note in &table.notes {
        let _ = writeln!(out, "{}  ", escaped(note));
    }
    format!("{}\n", out.trim_end())
}

fn latex(table: &Table) -> String {
    let mut out = String::from("% \\usepackage{booktabs}\n");
    if !table.caption.is_empty() {
        let _ = writeln!(out, "% {}", one_line(&table.caption));
    }
    out.push_str(&tabular(table));
    // Below the table and not in it: a note as wide as a page would widen the columns.
    for note in &table.notes {
        let _ = writeln!(out, "\\par{{\\footnotesize\\raggedright {}\\par}}", escape(note, Format::Latex));
    }
    out
}

/// The table alone in LaTeX, without its notes.
pub(crate) fn tabular(table: &Table) -> String {
    let escaped = |text: &str| escape(text, Format::Latex);
    let row = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let mut out = String::new();
    let shape = table.columns.iter().map(|c| match c.share {
        0 => if c.number { "r" } else { "l" }.to_owned(),
        share => format!(">{{\\raggedright\\arraybackslash}}p{{.{share:02}\\textwidth}}"),
    });
    let shape = shape.collect::<String>();
    let _ = writeln!(out, "\\begin{{tabular}}{{@{{}}{shape}@{{}}}}\n\\toprule");
    out.push_str(&row(table.columns.iter().map(|c| escaped(c.name)).collect()));
    out.push_str(&row(table.columns.iter().map(|c| escaped(c.unit)).collect()));
    for (heading, rows) in &table.groups {
        out.push_str("\\midrule\n");
        if !heading.is_empty() {
            let _ = writeln!(out, "\\multicolumn{{{}}}{{@{{}}l}}{{\\emph{{{}}}}} \\\\", table.columns.len(), escaped(heading));
        }
        for cells in rows {
            // A bracket after `\\` would be read as its argument, so every row starts with an empty group.
            out.push_str("{}");
            out.push_str(&row(cells.iter().map(|cell| escaped(cell)).collect()));
        }
    }
    out.push_str("\\bottomrule\n\\end{tabular}\n");
    out
}

fn csv(table: &Table) -> String {
    let escaped = |text: &str| escape(text, Format::Csv);
    let titled = table.groups.iter().any(|(heading, _)| !heading.is_empty());
    let mut header: Vec<String> = table.columns.iter().map(|c| escaped(&heading(c))).collect();
    if titled {
        header.insert(0, "group".into());
    }
    let mut out = format!("{}\n", header.join(","));
    for (heading, rows) in &table.groups {
        for row in rows {
            let group = titled.then(|| escaped(heading));
            let cells: Vec<String> = group.into_iter().chain(row.iter().map(|cell| escaped(cell))).collect();
            let _ = writeln!(out, "{}", cells.join(","));
        }
    }
    out
}

/// `text` with what the format would read as its own marks made harmless.
pub(crate) fn escape(text: &str, format: Format) -> String {
    match format {
        Format::Text => text.into(),
        Format::Csv if text.contains([',', '"', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Format::Csv => text.into(),
        Format::Markdown => text.chars().fold(String::new(), |mut out, c| {
            match c {
                '|' | '*' | '_' | '`' | '\\' | '<' | '[' | ']' | '~' => out.extend(['\\', c]),
                '\n' | '\r' => out.push(' '),
                _ => out.push(c),
            }
            out
        }),
        Format::Latex => text.chars().fold(String::new(), |mut out, c| {
            match c {
                '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
                '~' => out.push_str("\\textasciitilde{}"),
                '^' => out.push_str("\\textasciicircum{}"),
                '\\' => out.push_str("\\textbackslash{}"),
                '<' => out.push_str("\\textless{}"),
                '>' => out.push_str("\\textgreater{}"),
                '|' => out.push_str("\\textbar{}"),
                // `\textquotedbl` exists in some font encodings only.
                '"' => out.push_str("''"),
                '`' => out.push_str("\\textasciigrave{}"),
                '\u{2020}' => out.push_str("\\textsuperscript{\\dag}"),
                'µ' => out.push_str("\\textmu{}"),
                '\u{d7}' => out.push_str("\\ensuremath{\\times}"),
                '\u{b1}' => out.push_str("\\ensuremath{\\pm}"),
                '\n' | '\r' => out.push(' '),
                _ => out.push(c),
            }
            out
        }),
    }
}

pub(super) fn heading(column: &Column) -> String {
    if column.unit.is_empty() || column.unit.starts_with('/') {
        format!("{}{}", column.name, column.unit)
    } else {
        format!("{} ({})", column.name, column.unit)
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes one column out of all rows.
pub(super) fn remove(columns: &mut Vec<Column>, groups: &mut [(String, Vec<Vec<String>>)], name: &str) {
    if let Some(at) = columns.iter().position(|c| c.name == name) {
        columns.remove(at);
        for row in groups.iter_mut().flat_map(|(_, rows)| rows) {
            row.remove(at);
        }
    }
}
