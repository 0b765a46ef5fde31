//! A document in the few forms that a report needs, as Markdown and as LaTeX.

use std::fmt::Write as _;

use crate::report::{Format, Table, escape, render, tabular};

/// A report before it has a form.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Title.
    pub title: String,
    /// When it was put together.
    pub date: String,
    /// What it says, in a few sentences.
    pub summary: String,
    /// Its body.
    pub blocks: Vec<Block>,
}

/// A piece of the body.
#[derive(Clone, Debug)]
pub enum Block {
    /// Opens a section.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// Short points.
    List(Vec<String>),
    /// Commands, one a line.
    Commands(Vec<String>),
    /// A figure by the name of its files.
    Figure(Exhibit),
    /// A table.
    Table(Exhibit, Table),
}

/// A figure or a table: what stands below or above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhibit {
    /// Name of its files, and of its label.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// The command that makes it.
    pub command: String,
}

impl Block {
    pub(super) fn heading(text: impl Into<String>) -> Self {
        Self::Heading(text.into())
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn table(name: &str, table: Table, caption: &str, command: &str) -> Self {
        Self::Table(Exhibit { name: name.into(), caption: caption.into(), command: command.into() }, table)
    }
}

/// A line of LaTeX.
fn tex(text: &str) -> String {
    escape(text, Format::Latex)
}

/// A command that may break anywhere LaTeX would not: after slashes and hyphens.
fn tex_command(text: &str) -> String {
    let broken = text.chars().map(|c| match c {
        '/' => "/\\allowbreak{}".into(),
        // Two hyphens are a dash in text.
        '-' => "-{}".into(),
        c => tex(c.encode_utf8(&mut [0; 4])),
    });
    format!("\\texttt{{{}}}", broken.collect::<String>())
}

/// A line of Markdown that is no code.
fn md(text: &str) -> String {
    escape(text, Format::Markdown)
}

impl Document {
    /// The tables with their names.
    pub fn tables(&self) -> impl Iterator<Item = (&Exhibit, &Table)> {
        self.blocks.iter().filter_map(|block| if let Block::Table(exhibit, table) = block { Some((exhibit, table)) } else { None })
    }

    /// The report in Markdown. Figures are taken from `figures/` beside it.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n\n{}\n", md(&self.title), md(&self.date), md(&self.summary));
        let (mut figures, mut tables) = (0, 0);
        for block in &self.blocks {
            // Writing to a String cannot fail.
            let _ = match block {
                Block::Heading(text) => writeln!(out, "\n## {}", md(text)),
                Block::Text(text) => writeln!(out, "\n{}", md(text)),
                Block::List(points) => write!(out, "\n{}", points.iter().map(|p| format!("- {}\n", md(p))).collect::<String>()),
                Block::Commands(lines) => writeln!(out, "\n```sh\n{}\n```", lines.join("\n")),
                Block::Figure(Exhibit { name, caption, command }) => {
                    figures += 1;
                    writeln!(out, "\n![{}](figures/{name}.png)\n\n**Figure {figures}.** {} `{command}`", md(caption), md(caption))
                }
                Block::Table(Exhibit { caption, command, .. }, table) => {
                    tables += 1;
                    writeln!(out, "\n**Table {tables}.** {} `{command}`\n\n{}", md(caption), render(table.clone(), Format::Markdown).trim_end())
                }
            };
        }
        out
    }

    /// The report as LaTeX source for pdflatex: article class in two columns, with booktabs and graphicx. Figures are taken from `figures/` beside it.
    #[must_use]
    pub fn latex(&self) -> String {
        let mut out = String::from(PREAMBLE);
        let _ = writeln!(out, "\\title{{{}}}\n\\author{{}}\n\\date{{{}}}\n\n\\begin{{document}}\n\\maketitle", tex(&self.title), tex(&self.date));
        let _ = writeln!(out, "\\begin{{abstract}}\n{}\n\\end{{abstract}}", tex(&self.summary));
        for block in &self.blocks {
            let _ = match block {
                Block::Heading(text) => writeln!(out, "\n\\section{{{}}}", tex(text)),
                Block::Text(text) => writeln!(out, "\n{}", tex(text)),
                Block::List(points) => {
                    let items = points.iter().map(|p| format!("\\item {}\n", tex(p))).collect::<String>();
                    writeln!(out, "\n\\begin{{itemize}}\n{items}\\end{{itemize}}")
                }
                Block::Commands(lines) => {
                    let lines = lines.iter().map(|line| tex_command(line)).collect::<Vec<_>>().join("\\par\n");
                    writeln!(out, "\n{{\\footnotesize\\raggedright\n{lines}\\par}}")
                }
                Block::Figure(Exhibit { name, caption, command }) => writeln!(
                    out,
                    "\n\\begin{{figure}}[tbp]\n\\centering\n\\includegraphics[width=\\columnwidth]{{figures/{name}.pdf}}\n\\caption{{{}{}}}\n\\label{{fig:{name}}}\n\\end{{figure}}",
                    tex(caption),
                    tex_by(command)
                ),
                Block::Table(exhibit, table) => writeln!(out, "\n{}", tex_table(exhibit, table)),
            };
        }
        out.push_str("\n\\end{document}\n");
        out
    }
}

/// By which command, at the end of a caption.
fn tex_by(command: &str) -> String {
    format!(" {{\\footnotesize {}}}", tex_command(command))
}

/// A table as wide as both columns, smaller where it would be wider; its notes stand below.
fn tex_table(Exhibit { name, caption, command }: &Exhibit, table: &Table) -> String {
    let about = if table.caption.is_empty() { String::new() } else { format!(" {}.", tex(&table.caption)) };
    let mut out = format!(
        "\\begin{{table*}}[tbp]\n\\centering\\footnotesize\n\\caption{{{}{about}{}}}\n\\label{{tab:{name}}}\n\\fitted{{%\n{}}}\n",
        tex(caption),
        tex_by(command),
        tabular(table)
    );
    for note in &table.notes {
        let _ = writeln!(out, "\\par\\smallskip{{\\scriptsize\\raggedright {}\\par}}", tex(note));
    }
    out + "\\end{table*}"
}

const PREAMBLE: &str = r"\documentclass[10pt,twocolumn]{article}
\IfFileExists{lmodern.sty}{\usepackage[T1]{fontenc}\usepackage{lmodern}}{}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage[a4paper,margin=18mm,columnsep=7mm]{geometry}
\usepackage{array}
\usepackage{booktabs}
\usepackage{graphicx}
% A table as it is where it fits the page, smaller where it does not.
\newsavebox{\tablebox}
\newcommand{\fitted}[1]{\sbox{\tablebox}{#1}\ifdim\wd\tablebox>\textwidth\resizebox{\textwidth}{!}{\usebox{\tablebox}}\else\usebox{\tablebox}\fi}
% Floats may fill a page.
\renewcommand{\topfraction}{.95}
\renewcommand{\dbltopfraction}{.95}
\renewcommand{\textfraction}{.05}
\renewcommand{\floatpagefraction}{.7}
\renewcommand{\dblfloatpagefraction}{.7}
\setcounter{topnumber}{4}
\setcounter{dbltopnumber}{4}
\setcounter{totalnumber}{6}
\emergencystretch=2em
";
