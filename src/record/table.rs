//! CSVs of this program, written with their header and read without trust: other programs open and
//! save them, disks fill up, and what is not read must not pass for what was not measured.

use std::borrow::Cow;
use std::path::Path;

use csv::StringRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable::{RESULTS, read_text};
use crate::error::{Error, Result};

/// Most characters of a cell in a message.
const LONGEST_SHOWN: usize = 60;

/// A column of a CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the header.
    pub name: &'static str,
    /// `text`, `integer`, `decimal` or `true/false`.
    pub kind: &'static str,
    /// Unit of a number; empty for text and for plain counts.
    pub unit: &'static str,
    /// What it says, and when it is empty.
    pub meaning: &'static str,
}

/// The columns of a CSV, and what earlier versions of it lacked.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    columns: &'static [Column],
    /// Columns that every version has; those behind them came one after another.
    first: usize,
    /// A column among the first ones that came later.
    between: &'static str,
    /// A column that went, and the one that it stood behind.
    gone: Option<(&'static str, &'static Column)>,
}

impl Layout {
    /// A CSV that has had these columns from the start.
    #[must_use]
    pub const fn of(columns: &'static [Column]) -> Self {
        Self { columns, first: columns.len(), between: "", gone: None }
    }

    /// A CSV whose first version had the columns up to `last` but for `between`.
    #[must_use]
    pub const fn since(columns: &'static [Column], first: usize, between: &'static str) -> Self {
        Self { columns, first, between, gone: None }
    }

    /// The same with a column that earlier versions had behind another. Its values are read where
    /// rows have a field of its name.
    #[must_use]
    pub const fn without(self, behind: &'static str, column: &'static Column) -> Self {
        Self { gone: Some((behind, column)), ..self }
    }

    /// The columns of a header, or what is wrong with it.
    fn columns(&self, header: &StringRecord) -> std::result::Result<Vec<&'static Column>, String> {
        let lacks = !self.between.is_empty() && !header.iter().any(|name| name == self.between);
        let mut columns: Vec<&Column> = self.columns.iter().filter(|column| !(lacks && column.name == self.between)).collect();
        if let Some((behind, column)) = self.gone.filter(|(_, column)| header.iter().any(|name| name == column.name)) {
            let place = columns.iter().position(|column| column.name == behind).map_or(0, |at| at + 1);
            columns.insert(place, column);
        }
        let least = self.first - usize::from(lacks);
        match header.iter().enumerate().find(|&(at, name)| columns.get(at).is_none_or(|column| column.name != name)) {
            Some((at, name)) => {
                let expected = columns.get(at).map_or("no more columns", |column| column.name);
                Err(format!("`{}` in place of {expected} (column {})", shown(name), at + 1))
            }
            None if header.len() < least => Err(format!("none called {} (column {})", columns[header.len()].name, header.len() + 1)),
            None => Ok(columns.into_iter().take(header.len()).collect()),
        }
    }
}

/// A CSV with a header and rows.
///
/// # Errors
/// [`Error::File`] when a row cannot be written as text.
pub fn text_of<T: Serialize>(path: &Path, columns: &[Column], rows: impl IntoIterator<Item = T>) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    let bad = |e: csv::Error| Error::file(path, "rows that can be written", e.to_string());
    writer.write_record(columns.iter().map(|column| column.name)).map_err(bad)?;
    for row in rows {
        writer.serialize(row).map_err(bad)?;
    }
    writer.into_inner().map_err(|e| Error::io("write", path)(std::io::Error::other(e.to_string())))
}

/// The rows of a file.
///
/// # Errors
/// [`Error::Io`], and [`Error::File`] with line, column and value for anything but rows of this layout.
pub fn read<T: DeserializeOwned>(path: &Path, layout: &Layout) -> Result<Vec<T>> {
    parse(path, &read_text(path, RESULTS)?, layout)
}

/// The rows of a file that need not be there.
pub(super) fn read_if_there<T: DeserializeOwned>(path: &Path, layout: &Layout) -> Result<Vec<T>> {
    match read(path, layout) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        rows => rows,
    }
}

/// The rows of a text; `path` stands for it in errors.
///
/// # Errors
/// As [`read`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str, layout: &Layout) -> Result<Vec<T>> {
    let (header, records) = records(path, text)?;
    let columns = layout.columns(&header).map_err(|actual| Error::file(path, "the columns of this program in their order", actual))?;
    let row = |record: &StringRecord| {
        let line = line_of(record);
        let wrong = |at: usize| {
            let column = columns.get(at).map_or("?", |column| column.name);
            let value = shown(record.get(at).unwrap_or_default());
            (column, value)
        };
        let mut cells = StringRecord::new();
        for (at, (column, cell)) in columns.iter().zip(record).enumerate() {
            let (name, value) = wrong(at);
            let bad = || Error::file(path, format!("{} under {name} in line {line}", expected(column)), format!("`{value}`"));
            cells.push_field(&canonical(column, cell).ok_or_else(bad)?);
        }
        cells.deserialize(Some(&header)).map_err(|e| match e.kind() {
            csv::ErrorKind::Deserialize { err, .. } => {
                let (name, value) = wrong(err.field().map_or(usize::MAX, |at| at as usize));
                Error::file(path, format!("a value of {name} in line {line}"), format!("`{value}` ({})", err.kind()))
            }
            _ => Error::file(path, format!("a row in line {line}"), e.to_string()),
        })
    };
    records.iter().map(row).collect()
}

/// Header and rows as text, each row with as many cells as the header.
///
/// # Errors
/// As [`read`].
pub fn records(path: &Path, text: &str) -> Result<(StringRecord, Vec<StringRecord>)> {
    // Spreadsheets put a mark before the first letter.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.bytes().filter(|&byte| byte == b'"').count() % 2 == 1 {
        let at = text.lines().position(|line| line.bytes().filter(|&byte| byte == b'"').count() % 2 == 1).unwrap_or(0);
        return Err(Error::file(path, "quotes in pairs", format!("one too many, near line {}", at + 1)));
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut all = reader.records().map(|record| record.map_err(|e| Error::file(path, "rows of a CSV", e.to_string())));
    let header = all.next().transpose()?.ok_or_else(|| Error::file(path, "a header line", "an empty file"))?;
    let check = |record: StringRecord| {
        if record.len() == header.len() {
            return Ok(record);
        }
        Err(Error::file(path, format!("{} fields in line {}", header.len(), line_of(&record)), format!("{} fields", record.len())))
    };
    let rows = all.map(|record| record.and_then(check)).collect::<Result<_>>()?;
    Ok((header, rows))
}

fn line_of(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn expected(column: &Column) -> &'static str {
    match column.kind {
        "integer" => "an integer",
        "decimal" => "a number",
        "true/false" => "true or false",
        _ => "one line of text",
    }
}

/// A cell as this program would have written it; nothing for what is no value of its column. Programs
/// that have one kind of number only give integers a fraction of zero, and spreadsheets shout.
fn canonical<'a>(column: &Column, cell: &'a str) -> Option<Cow<'a, str>> {
    if cell.is_empty() {
        return Some(cell.into());
    }
    match column.kind {
        "integer" => {
            let (whole, fraction) = cell.split_once('.').unwrap_or((cell, "0"));
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            (is_number(whole) && is_number(fraction) && fraction.bytes().all(|byte| byte == b'0')).then_some(whole.into())
        }
        "decimal" => cell.parse::<f64>().is_ok_and(f64::is_finite).then_some(cell.into()),
        "true/false" => match cell {
            "true" | "True" | "TRUE" => Some("true".into()),
            "false" | "False" | "FALSE" => Some("false".into()),
            _ => None,
        },
        // A line break within a cell is what a lost quote makes of all that follows; reasons of errors may have one.
        _ => (column.name == "error" || !cell.contains(['\n', '\r'])).then_some(cell.into()),
    }
}

fn shown(cell: &str) -> String {
    let mut text: String = cell.chars().take(LONGEST_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if cell.chars().count() > LONGEST_SHOWN {
        text.push('\u{2026}');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const COLUMNS: [Column; 6] = {
        const fn column(name: &'static str, kind: &'static str) -> Column {
            Column { name, kind, unit: "", meaning: "" }
        }
        [
            column("spec", "text"),
            column("late", "integer"),
            column("wall_ns", "integer"),
            column("verified", "true/false"),
            column("accuracy", "decimal"),
            column("error", "text"),
        ]
    };

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Row {
        spec: String,
        #[serde(default)]
        late: Option<u32>,
        wall_ns: u64,
        verified: bool,
        #[serde(default)]
        accuracy: Option<f64>,
        #[serde(default)]
        error: Option<String>,
    }

    const OLD: Column = Column { name: "old", kind: "text", unit: "", meaning: "" };
    const LAYOUT: Layout = Layout::since(&COLUMNS, 4, "late").without("verified", &OLD);

    fn rows(text: &str) -> std::result::Result<Vec<Row>, String> {
        parse(Path::new("a.csv"), text, &LAYOUT).map_err(|e| e.to_string())
    }

    fn row(late: Option<u32>, accuracy: Option<f64>) -> Row {
        Row { spec: "a".into(), late, wall_ns: 2048, verified: true, accuracy, error: None }
    }

    #[test]
    fn what_other_programs_write_is_read() {
        let header = "spec,late,wall_ns,verified,accuracy,error\n";
        let own = String::from_utf8(text_of(Path::new(""), &COLUMNS, [row(Some(3), Some(0.5))]).unwrap()).unwrap();
        assert_eq!(own, format!("{header}a,3,2048,true,0.5,\n"));
        assert_eq!(text_of(Path::new(""), &COLUMNS, [(); 0]).unwrap(), header.as_bytes());
        for text in [&own, &format!("{header}a,3.0,2048.00,TRUE,0.5,\n"), &format!("\u{feff}{}", own.replace('\n', "\r\n"))] {
            assert_eq!(rows(text).unwrap(), [row(Some(3), Some(0.5))]);
        }
        let lines = format!("{header}a,,1,False,,\"two\nlines, \"\"quoted\"\"\"\n");
        assert_eq!(rows(&lines).unwrap()[0].error.as_deref(), Some("two\nlines, \"quoted\""));
        assert_eq!(rows(header).unwrap(), []);
        // A column that is no more.
        assert_eq!(rows("spec,late,wall_ns,verified,old,accuracy\na,3,2048,true,x,0.5\n").unwrap(), [row(Some(3), Some(0.5))]);
        // Earlier versions: without the last columns, and without one that came in between.
        assert_eq!(rows("spec,late,wall_ns,verified\na,3,2048,true\n").unwrap(), [row(Some(3), None)]);
        assert_eq!(rows("spec,wall_ns,verified,accuracy\na,2048,true,0.5\n").unwrap(), [row(None, Some(0.5))]);
        assert_eq!(rows("spec,wall_ns,verified\na,2048,true\n").unwrap(), [row(None, None)]);
    }

    #[test]
    fn anything_else_is_an_error_with_its_place() {
        let header = "spec,late,wall_ns,verified,accuracy,error\n";
        for (text, words) in [
            (String::new(), "expected a header line, found an empty file"),
            ("spec,late\n".into(), "none called wall_ns (column 3)"),
            ("spec,late,wall,verified\n".into(), "`wall` in place of wall_ns (column 3)"),
            ("spec,wall_ns,late,verified\n".into(), "`wall_ns` in place of late"),
            (format!("{}more\n", header.replace("error\n", "error,")), "`more` in place of no more columns (column 7)"),
            ("{}\n".into(), "`{}` in place of spec"),
            (format!("{header}a,3,1,true,0.5\n"), "6 fields in line 2, found 5 fields"),
            (format!("{header}a,3,1,true,0.5,\na,3,1.5,true,0.5,\n"), "an integer under wall_ns in line 3, found `1.5`"),
            (format!("{header}a,3,1E+06,true,0.5,\n"), "an integer under wall_ns in line 2, found `1E+06`"),
            (format!("{header}a,3,,true,0.5,\n"), "a value of wall_ns in line 2, found ``"),
            (format!("{header}a,99999999999,1,true,0.5,\n"), "a value of late in line 2, found `99999999999`"),
            (format!("{header}a,3,1,yes,0.5,\n"), "true or false under verified in line 2, found `yes`"),
            (format!("{header}a,3,1,true,\"0,5\",\n"), "a number under accuracy in line 2, found `0,5`"),
            (format!("{header}a,3,1,true,nan,\n"), "found `nan`"),
            (format!("\"{header}a,3,1,true,0.5,\n"), "quotes in pairs, found one too many, near line 1"),
            (format!("{header}a,3,1,true,0.5,\n\"a,3,1,true,0.5,\n"), "near line 3"),
            (format!("{header}\"a,3,1,true,0.5,\na\",3,1,true,0.5,\n"), "one line of text under spec in line 2"),
        ] {
            let message = rows(&text).unwrap_err();
            assert!(message.contains(words) && !message.contains('\n'), "`{words}` is not in: {message}");
        }
    }
}
