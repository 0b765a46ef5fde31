//! Rows as text under named columns: CSVs as they are.

use std::path::Path;

use crate::durable::{RESULTS, read_text};
use crate::error::{Error, Result};
use crate::record::table::records;

/// A table of text. Every row has a cell for every column; what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of cells.
    pub rows: Vec<Vec<String>>,
}

impl Cells {
    /// Reads a CSV with one header line.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::File`] when it has no rows, or one with another number of cells than the header.
    pub fn read(path: &Path) -> Result<Self> {
        let cells = Self::parse(path, &read_text(path, RESULTS)?)?;
        if cells.rows.is_empty() { Err(Error::file(path, "rows below a header", "none")) } else { Ok(cells) }
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let (header, records) = records(path, text)?;
        let own = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
        Ok(Self { columns: own(&header), rows: records.iter().map(own).collect() })
    }

    /// The cell of a row under a column; empty where there is no such column.
    #[must_use]
    pub fn get<'a>(&'a self, row: &'a [String], column: &str) -> &'a str {
        self.columns.iter().position(|c| c == column).and_then(|at| row.get(at)).map_or("", String::as_str)
    }

    /// Adds the rows of another table below; columns that only one of them has are empty in the rows of the other.
    pub fn append(&mut self, other: &Self) {
        let new: Vec<String> = other.columns.iter().filter(|c| !self.columns.contains(c)).cloned().collect();
        self.rows.iter_mut().for_each(|row| row.extend(new.iter().map(|_| String::new())));
        self.columns.extend(new);
        let rows = other.rows.iter().map(|row| self.columns.iter().map(|c| other.get(row, c).to_owned()).collect::<Vec<_>>());
        let rows: Vec<_> = rows.collect();
        self.rows.extend(rows);
    }
}
