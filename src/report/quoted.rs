//! Published numbers of other systems, and the table that sets them beside ours.
//!
//! Nothing of this was measured here: machines, batch sizes and networks differ, and most sources state no hardware. So quoted rows carry a dagger in
//! tables and hollow markers in figures, and every one names its source. The numbers live in `results/quoted.csv`; another file of the same columns takes its place.

use std::path::Path;

use serde::Deserialize;

use super::form::{Column, Format, Table, numbers, render, words};
use super::numbers::{digits3, percent};
use super::row::{Row, accuracy, derive};
use crate::durable::{WRITTEN_BY_HAND, read_text};
use crate::error::{Error, Result};
use crate::record::table::{self, Layout};
use crate::record::{Records, columns};

/// The numbers that come with the program.
const SHIPPED: &str = include_str!("../../results/quoted.csv");

/// The columns of the file.
const COLUMNS: [table::Column; 12] = [
    columns::text("system", ""),
    columns::integer("year", "", ""),
    columns::text("kind", ""),
    columns::decimal("accuracy_percent", "", ""),
    columns::text("accuracy_note", ""),
    columns::decimal("latency_s", "", ""),
    columns::integer("latency_images", "", ""),
    columns::decimal("images_per_hour", "", ""),
    columns::text("security", ""),
    columns::text("hardware", ""),
    columns::text("source", ""),
    columns::text("caveat", ""),
];
const LAYOUT: Layout = Layout::of(&COLUMNS);

/// Marks whatever is quoted.
pub const MARK: &str = "\u{2020}";

/// A published system; empty cells are what its source does not state.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Quoted {
    /// Its name.
    pub system: String,
    /// Year of publication.
    pub year: u32,
    /// How it protects the data, in a few words.
    pub kind: String,
    /// Images of MNIST classified as labelled, in percent.
    pub accuracy_percent: Option<f64>,
    /// `over` where the source gives a bound in place of a number.
    pub accuracy_note: String,
    /// Time from images to answers in seconds.
    pub latency_s: Option<f64>,
    /// Images that are answered together in that time.
    pub latency_images: Option<u32>,
    /// Images per hour.
    pub images_per_hour: Option<f64>,
    /// Strength or size of the key.
    pub security: String,
    /// The machine.
    pub hardware: String,
    /// Where the numbers stand.
    pub source: String,
    /// What a comparison must not overlook.
    pub caveat: String,
}

impl Quoted {
    /// Name and year.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.system, self.year)
    }

    /// Images per second.
    #[must_use]
    pub fn images_per_second(&self) -> Option<f64> {
        self.images_per_hour.map(|images| images / 3600.0)
    }

    /// A mistake in the row, if there is one.
    fn mistake(&self) -> Option<&'static str> {
        let positive = |value: Option<f64>| value.is_none_or(|v| v.is_finite() && v > 0.0);
        if self.system.is_empty() || self.source.is_empty() {
            Some("a row without a system or a source")
        } else if !positive(self.accuracy_percent) || self.accuracy_percent.is_some_and(|a| a > 100.0) {
            Some("an accuracy outside 0 to 100 %")
        } else if !positive(self.latency_s) || !positive(self.images_per_hour) {
            Some("a time or a rate that is not positive")
        } else {
            None
        }
    }
}

/// The numbers in `path`, or without one those that come with the program.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when a row has other columns, no source or an impossible number.
pub fn read(path: Option<&Path>) -> Result<Vec<Quoted>> {
    let shipped = Path::new("results/quoted.csv");
    let text = match path {
        Some(path) => read_text(path, WRITTEN_BY_HAND)?,
        None => SHIPPED.into(),
    };
    let path = path.unwrap_or(shipped);
    let rows: Vec<Quoted> = table::parse(path, &text, &LAYOUT)?;
    let wrong = |problem: String| Err(Error::file(path, "published numbers with their sources", problem));
    if rows.is_empty() {
        return wrong("none".into());
    }
    match rows.iter().zip(2..).find_map(|(row, line)| Some((row.mistake()?, line))) {
        Some((mistake, line)) => wrong(format!("{mistake} (row {line})")),
        None => Ok(rows),
    }
}

/// One system of ours: the fastest row of its kind, from both scenarios.
struct Ours<'a> {
    row: &'a Row,
    latency_ns: Option<f64>,
    per_second: Option<f64>,
}

/// Best rows by protection, backend, features and key: throughput from full batches, latency from one image at a time.
fn ours(rows: &[Row]) -> Vec<Ours<'_>> {
    let kind = |r: &Row| {
        let o = &r.outcome;
        (o.scheme.clone(), o.backend.clone(), r.is_clear().then(|| o.method.clone()), o.dataset.clone(), o.features.clone(), o.key_bits)
    };
    let mut all: Vec<Ours<'_>> = Vec::new();
    for row in rows.iter().filter(|r| r.outcome.workload == "inference" && r.outcome.accuracy.is_some() && r.online_ns.is_some()) {
        let median = row.online_ns.map(|s| s.median);
        let single = row.outcome.scenario == "single";
        let (latency_ns, per_second) = if single { (median, None) } else { (None, median.filter(|ns| *ns > 0.0).map(|ns| 1e9 / ns)) };
        let Some(known) = all.iter_mut().find(|o| kind(o.row) == kind(row)) else {
            all.push(Ours { row, latency_ns, per_second });
            continue;
        };
        if per_second.is_some_and(|new| known.per_second.is_none_or(|old| new > old)) {
            (known.per_second, known.row) = (per_second, row);
        }
        if latency_ns.is_some_and(|new| known.latency_ns.is_none_or(|old| new < old)) {
            known.latency_ns = latency_ns;
        }
    }
    all
}

/// Ours and theirs in one table: accuracy, latency, throughput; quoted rows carry a dagger, their sources and caveats stand below.
#[must_use]
pub fn comparison(records: &Records, quoted: &[Quoted], format: Format) -> String {
    render(comparison_table(&derive(records), quoted, format == Format::Csv), format)
}

/// The same before it has a form; what is not known is a dash, or nothing where `blank` says so.
pub(crate) fn comparison_table(rows: &[Row], quoted: &[Quoted], blank: bool) -> Table {
    let dash = || String::from(if blank { "" } else { "-" });
    let number = |value: Option<f64>| value.map_or_else(dash, digits3);
    let or = |text: &str, other: String| if text.is_empty() { other } else { text.into() };
    let columns = vec![
        words("system", "", "who computes, and how"),
        Column { drop: 2, ..words("protection", "", "how the data is protected") },
        numbers("acc", "%", 0, "share of the test images classified as labelled"),
        numbers("latency", "s", 0, "from images to answers; of one image where no number stands behind it"),
        numbers("for", "images", 0, "images that are answered together in that time"),
        numbers("img/s", "", 0, "images per second; ours by the median full batch"),
        words("security", "bits", "estimated strength of the key"),
        Column { drop: 1, ..words("hardware", "", "the machine; ? where the source does not state it") },
        words("source", "", "where the numbers stand"),
    ];
    let all: Vec<&Row> = rows.iter().collect();
    let here = ours(rows).into_iter().map(|ours| {
        let o = &ours.row.outcome;
        let key = o.key_bits.map_or_else(String::new, |bits| format!(" {bits}{}", if ours.row.toy { " toy" } else { "" }));
        let name = if ours.row.is_clear() { format!("plaintext {}", o.method) } else { format!("cipherlane {}{key}", o.backend) };
        vec![
            format!("{name}, {}{}", if o.dataset == "mnist" { String::new() } else { format!("{} ", o.dataset) }, o.features),
            if ours.row.is_clear() { "none".into() } else { o.scheme.clone() },
            // A share of few images says little, so it says of how many.
            accuracy(&all, ours.row)
                .map_or_else(dash, |(share, images)| percent(share, images) + &if images < 1000 { format!(" (n={images})") } else { String::new() }),
            number(ours.latency_ns.map(|ns| ns * 1e-9)),
            if ours.latency_ns.is_some() { "1".into() } else { dash() },
            number(ours.per_second),
            o.security_bits.map_or_else(dash, |bits| bits.to_string()),
            format!("{}, {} threads{}", o.adapter, o.threads, if ours.row.software { " (software adapter)" } else { "" }),
            "measured".into(),
        ]
    });
    let here: Vec<Vec<String>> = here.collect();
    let mut notes = vec![format!(
        "{MARK} quoted as published, not measured here: machines, networks and batch sizes differ, so a ratio between a quoted row and a measured one says little. \
         ?: not stated in the source."
    )];
    let mut sources: Vec<&str> = Vec::new();
    let there = quoted.iter().map(|q| {
        let at = sources.iter().position(|s| *s == q.source).unwrap_or_else(|| {
            sources.push(&q.source);
            sources.len() - 1
        });
        let over = if q.accuracy_note.is_empty() { String::new() } else { "> ".into() };
        vec![
            format!("{}{MARK}", q.name()),
            q.kind.clone(),
            q.accuracy_percent.map_or_else(dash, |a| format!("{over}{a}")),
            number(q.latency_s),
            q.latency_images.map_or_else(dash, |images| images.to_string()),
            number(q.images_per_second()),
            or(&q.security, "?".into()),
            or(&q.hardware, "?".into()),
            format!("quoted [{}]", at + 1),
        ]
    });
    let there: Vec<Vec<String>> = there.collect();
    notes.extend(sources.iter().enumerate().map(|(at, source)| format!("[{}] {source}", at + 1)));
    notes.extend(quoted.iter().filter(|q| !q.caveat.is_empty()).map(|q| format!("{}: {}", q.name(), q.caveat)));
    let groups =
        [("measured here".to_owned(), here), (format!("quoted from publications{MARK}"), there)].into_iter().filter(|(_, rows)| !rows.is_empty());
    Table { caption: "inference, measured and published; quoted rows are of MNIST".into(), columns, groups: groups.collect(), notes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{Case, one_key, records};

    #[test]
    fn every_shipped_number_has_a_source() {
        let all = read(None).unwrap();
        assert!(all.len() > 10);
        for q in &all {
            assert!(q.source.len() > 5 && (2000..2100).contains(&q.year), "{}", q.system);
        }
    }

    #[test]
    fn quoted_rows_are_marked_in_every_format() {
        let quoted = read(None).unwrap();
        let records = records(&one_key());
        for format in [Format::Text, Format::Markdown, Format::Csv] {
            let text = comparison(&records, &quoted, format);
            for q in &quoted {
                let line = text.lines().find(|l| l.contains(&format!("{}{MARK}", q.name()))).unwrap();
                assert!(line.contains("quoted"), "{line}");
            }
            assert_eq!(text.lines().filter(|l| l.contains("measured") && l.contains("cipherlane")).count(), 4, "{text}");
        }
        let latex = comparison(&records, &quoted, Format::Latex);
        assert!(latex.contains("CryptoNets 2016\\textsuperscript{\\dag}") && !latex.contains(MARK), "{latex}");
        for line in comparison(&records, &quoted, Format::Text).lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
    }

    #[test]
    fn the_fastest_rows_of_both_scenarios_meet_in_one() {
        let mut records = records(&[
            Case::paillier("gmp", "naive", 2048, 3.0),
            Case::paillier("gmp", "buckets", 2048, 40.0),
            Case { encryption: "djn", ..Case::paillier("gmp", "buckets", 2048, 5.0) },
        ]);
        records.outcomes[2].scenario = "single".into();
        let text = comparison(&records, &[], Format::Csv);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[1].contains(",0.200,1,40.0,112,"), "{text}");
    }

    #[test]
    fn a_field_longer_than_any_table_is_cut_in_text() {
        let long = "x".repeat(70_000);
        let quoted = [Quoted { system: long.clone(), kind: long.clone(), hardware: long, ..read(None).unwrap().remove(0) }];
        let text = comparison(&records(&one_key()), &quoted, Format::Text);
        let row = text.lines().find(|l| l.contains("quoted [1]")).unwrap();
        assert!(row.contains("xxx\u{2026}") && row.chars().count() < 400, "{row}");
        for format in [Format::Markdown, Format::Latex, Format::Csv] {
            assert!(comparison(&records(&one_key()), &quoted, format).len() > 210_000);
        }
    }

    #[test]
    fn bad_files_are_refused_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.csv");
        let header = SHIPPED.lines().next().unwrap();
        for (row, word) in [
            ("A,2020,HE,101,,1,1,1,,,s,c", "accuracy"),
            ("A,2020,HE,99,,0,1,1,,,s,c", "positive"),
            ("A,2020,HE,99,,1,1,1,,,,c", "source"),
            ("A,x,HE,99,,1,1,1,,,s,c", "an integer under year in line 2, found `x`"),
        ] {
            std::fs::write(&path, format!("{header}\n{row}\n")).unwrap();
            let message = read(Some(&path)).unwrap_err().to_string();
            assert!(message.contains("q.csv") && message.contains(word) && !message.contains('\n'), "{message}");
        }
    }
}
