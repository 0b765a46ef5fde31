//! What other programs took on the same jobs: the `samples.csv` of `benches/peers/run.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::row::Spread;
use crate::durable::{RESULTS, read_text};
use crate::error::{Error, Result};
use crate::record::table::{self, Layout};
use crate::record::{SAMPLES, columns};

/// The columns of the file.
const COLUMNS: [table::Column; 13] = [
    columns::text("peer", ""),
    columns::text("version", ""),
    columns::text("job", ""),
    columns::integer("key_bits", "", ""),
    columns::integer("security_bits", "", ""),
    columns::integer("threads", "", ""),
    columns::integer("round", "", ""),
    columns::decimal("items", "", ""),
    columns::decimal("wall_ns", "", ""),
    columns::decimal("cpu_ns", "", ""),
    columns::truth("checked", ""),
    columns::decimal("load", "", ""),
    columns::text("error", ""),
];
const LAYOUT: Layout = Layout::of(&COLUMNS);

/// A row of the file. Rows of errors have empty cells.
#[derive(Deserialize)]
struct Line {
    peer: String,
    job: String,
    key_bits: Option<u32>,
    security_bits: Option<u32>,
    threads: Option<u32>,
    items: Option<f64>,
    wall_ns: Option<f64>,
    checked: bool,
    error: Option<String>,
}

/// One system on one job.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Its name; `cipherlane ...` is ours.
    pub name: String,
    /// The job: `image`, `batch` and so on.
    pub job: String,
    /// Bits of the Paillier modulus.
    pub key_bits: Option<u32>,
    /// Estimated strength; only rows of equal strength are to be compared.
    pub security_bits: u32,
    /// Threads it was allowed.
    pub threads: u32,
    /// Wall nanoseconds per item.
    pub wall_ns: Spread,
}

impl Peer {
    /// Whether this is cipherlane itself, measured in turn with the others.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("cipherlane")
    }
}

/// The file of peers that belongs to a folder: its own `samples.csv` when it is one, or the one in its folder `peers`.
#[must_use]
pub fn find(dir: &Path) -> Option<PathBuf> {
    [dir.join(SAMPLES), dir.join("peers").join(SAMPLES)].into_iter().find(|path| read_text(path, RESULTS).is_ok_and(|text| text.starts_with("peer,")))
}

/// Medians of everything in the file that was checked; a system with an error on a job is left out of that job.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when it has other columns.
pub fn read(path: &Path) -> Result<Vec<Peer>> {
    // By threads, strength, job, name and key; nothing once an error was seen.
    type Times = BTreeMap<(u32, u32, String, String, Option<u32>), Option<Vec<f64>>>;
    let lines: Vec<Line> = table::read(path, &LAYOUT)?;
    if lines.is_empty() {
        return Err(Error::file(path, "samples of benches/peers/run.py", "none"));
    }
    let mut times = Times::new();
    for line in lines {
        let key = (line.threads.unwrap_or(0), line.security_bits.unwrap_or(0), line.job, line.peer, line.key_bits);
        let known = times.entry(key).or_insert_with(|| Some(Vec::new()));
        match (line.wall_ns.zip(line.items), known.as_mut()) {
            (Some((ns, items)), Some(known)) if line.checked && line.error.is_none_or(|e| e.is_empty()) && items > 0.0 => known.push(ns / items),
            _ => *known = None,
        }
    }
    let peers = times.into_iter().filter_map(|((threads, security_bits, job, name, key_bits), times)| {
        Some(Peer { name, job, key_bits, security_bits, threads, wall_ns: Spread::of(times?)? })
    });
    Ok(peers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_checked_rows_and_errors_take_a_system_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SAMPLES);
        let rows = "phe,1.5,image,2048,112,1,0,1,100,90,true,0.1,\nphe,1.5,image,2048,112,1,1,1,300,90,true,0.1,\n\
                    phe,1.5,batch,2048,112,1,0,2,100,90,true,0.1,\nphe,1.5,batch,2048,112,1,1,,,,false,0.1,wrong answer\n\
                    heu,,all,2048,112,1,0,,,,false,,not installed\n\
                    cipherlane ifma owner,abc,image,2048,112,1,0,1,10,9,true,0.1,\n";
        std::fs::write(&path, format!("peer,version,job,key_bits,security_bits,threads,round,items,wall_ns,cpu_ns,checked,load,error\n{rows}"))
            .unwrap();
        assert_eq!(find(dir.path()), Some(path.clone()));
        let all = read(&path).unwrap();
        let names: Vec<(&str, f64, bool)> = all.iter().map(|p| (p.name.as_str(), p.wall_ns.median, p.is_ours())).collect();
        assert_eq!(names, [("cipherlane ifma owner", 10.0, true), ("phe", 200.0, false)]);
    }
}
