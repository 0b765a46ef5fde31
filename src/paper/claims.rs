//! Claims: sentences about the results that the results can contradict.
//!
//! A claims file (`benches/claims.toml`) says for each sentence what to read, what is expected, by which command the rows are made, and what must be there for it
//! to be checked at all. Claims are about facts and ratios of one run: absolute times are the machine's.
//!
//! ```toml
//! [[claim]]
//! name = "buckets-products"                        # once in the file
//! text = "Buckets take less than a fifth of the products of one power per weight."
//! command = "cipherlane sweep benches/sweeps/methods.toml"
//! needs = ["mnist"]                                # else it is "not checked": mnist, a backend, gpu, quick, full, threads-N, quiet, NAME.csv
//! table = "outcomes.csv"                           # the default; or any CSV of the results folders by its name
//! where = { features = "pixels", verified = true } # a value, a list of values, or { at_least = 1, at_most = 2, not = 3 }
//! by = ["backend", "key_bits"]                     # rows that agree in these columns are read together
//! column = "products"
//! of = { method = "naive" }                        # with `over`, the ratio of two readings; `over_column` where it differs
//! over = { method = "buckets" }
//! reduce = "median"                                # of several rows in a group: min, max, median, sum, count; without it they must be alike
//! at_least = 5                                     # at_least, at_most, equals with tolerance; or same = true with across = ["backend"]
//! ```
//!
//! A claim whose condition is not met is *not checked*, never held. With `quiet` only rows count during which nothing disturbed the machine.

mod file;

use std::collections::{BTreeMap, BTreeSet};

use super::cells::Cells;
use crate::record::OUTCOMES;
use crate::text::named;

pub use file::Claims;
use file::{Claim, Expected, Filter, Need, Reduce};

named! {
    /// The outcome of a claim.
    pub enum State {
        /// The results say the same.
        Held => "held",
        /// They contradict it, or are missing where they must be there.
        Failed => "FAILED",
        /// Something that it needs is not here.
        NotChecked => "not checked",
    }
}

/// A claim with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// The sentence.
    pub text: String,
    /// The command that makes the rows.
    pub command: String,
    /// What became of it.
    pub state: State,
    /// What is expected, in words.
    pub expected: String,
    /// What the rows say, or what is missing.
    pub actual: String,
}

impl Verdict {
    /// The verdict in one line.
    #[must_use]
    pub fn line(&self) -> String {
        match self.state {
            State::NotChecked => format!("claim {}: not checked: {}", self.name, self.actual),
            state => format!("claim {} {}: expected {}, found {}; {}", self.name, state.name(), self.expected, self.actual, self.command),
        }
    }
}

/// Checks every claim against tables by file name. `complete`: the rows of all claims must be there, as after the sweeps of a setting; else a claim without
/// rows is not checked.
#[must_use]
pub fn check(claims: &Claims, tables: &BTreeMap<String, Cells>, complete: bool) -> Vec<Verdict> {
    let verdict = |claim: &Claim| {
        let (state, actual) = match judge(claim, tables) {
            Ok((true, actual)) => (State::Held, actual),
            Ok((false, actual)) => (State::Failed, actual),
            Err(Missing::Condition(what)) => (State::NotChecked, format!("needs {what}")),
            Err(Missing::Rows(what)) if complete => (State::Failed, what),
            Err(Missing::Rows(what)) => (State::NotChecked, format!("needs rows that are not here: {what}")),
        };
        Verdict {
            name: claim.name.clone(),
            text: claim.text.clone(),
            command: claim.command.clone(),
            state,
            expected: claim.expected.words(&claim.by),
            actual,
        }
    };
    claims.claims.iter().map(verdict).collect()
}

/// Why a claim cannot be judged.
enum Missing {
    Condition(String),
    Rows(String),
}

/// Rows of one side of a claim, in groups that agree in the columns of `by`.
type Groups<'a> = BTreeMap<Vec<&'a str>, Vec<&'a [String]>>;

fn judge(claim: &Claim, tables: &BTreeMap<String, Cells>) -> Result<(bool, String), Missing> {
    let unmet: Vec<String> = claim.needs.iter().filter(|need| !is_met(need, tables)).map(Need::words).collect();
    if !unmet.is_empty() {
        return Err(Missing::Condition(unmet.join(", ")));
    }
    let Some(cells) = tables.get(&claim.table) else { return Err(Missing::Rows(format!("there is no {}", claim.table))) };
    if let Some(column) = claim.columns().find(|column| !cells.columns.contains(column)) {
        return Ok((false, format!("no column {column} in {}", claim.table)));
    }
    let quiet = claim.needs.contains(&Need::Quiet);
    let groups = |own: &Filter| -> Result<Groups<'_>, Missing> {
        let matching = cells.rows.iter().filter(|row| claim.filter.matches(cells, row) && own.matches(cells, row));
        let (calm, disturbed): (Vec<_>, Vec<_>) = matching.partition(|row| !quiet || cells.get(row, "disturbed") != "true");
        if calm.is_empty() && !disturbed.is_empty() {
            return Err(Missing::Condition(format!("a quiet machine ({} rows were disturbed)", disturbed.len())));
        }
        let mut groups = Groups::new();
        for row in calm {
            groups.entry(claim.by.iter().map(|column| cells.get(row, column)).collect()).or_default().push(row);
        }
        Ok(groups)
    };
    let of = groups(&claim.of)?;
    if claim.reduce == Some(Reduce::Count) && of.is_empty() {
        let none = BTreeMap::from([(Vec::new(), 0.0)]);
        return Ok(claim.expected.judge_numbers(&claim.by, &none));
    }
    if of.is_empty() {
        return Err(Missing::Rows(format!("no row of {} has {}", claim.table, claim.filter.and(&claim.of).words())));
    }
    if let Expected::Same { across } = &claim.expected {
        return same(claim, cells, &of, across);
    }
    if let Expected::Text(text) = &claim.expected {
        let other = of.values().flatten().map(|row| cells.get(row, &claim.column)).find(|cell| cell != text);
        return Ok((other.is_none(), other.unwrap_or(text).to_owned()));
    }
    let values = match reduced(claim, cells, &of, &claim.column) {
        Ok(values) => values,
        Err(problem) => return Ok((false, problem)),
    };
    let Some(over) = &claim.over else { return Ok(claim.expected.judge_numbers(&claim.by, &values)) };
    let under = match reduced(claim, cells, &groups(over)?, &claim.over_column) {
        Ok(values) => values,
        Err(problem) => return Ok((false, problem)),
    };
    let ratios: BTreeMap<Vec<&str>, f64> =
        values.into_iter().filter_map(|(group, value)| Some((group.clone(), value / under.get(&group)?))).collect();
    if ratios.is_empty() {
        let both = format!("{} beside {}", claim.of.words(), over.words());
        return Err(Missing::Rows(format!("no rows of {} agree in {} and have {both}", claim.table, claim.by.join(", "))));
    }
    Ok(claim.expected.judge_numbers(&claim.by, &ratios))
}

/// Whether something is there, by the rows themselves.
fn is_met(need: &Need, tables: &BTreeMap<String, Cells>) -> bool {
    let Some(outcomes) = tables.get(OUTCOMES) else { return false };
    let any = |test: &dyn Fn(&[String]) -> bool| outcomes.rows.iter().any(|row| test(row));
    match need {
        Need::Dataset(name) => any(&|row| outcomes.get(row, "dataset") == name),
        // A GPU in software is no GPU.
        Need::Backend(name) if name == "gpu" => any(&|row| outcomes.get(row, "adapter_type") == "gpu"),
        Need::Backend(name) => any(&|row| outcomes.get(row, "backend") == name),
        Need::Setting(name) => any(&|row| outcomes.get(row, "setting") == name),
        Need::Threads(least) => any(&|row| outcomes.get(row, "threads").parse::<u32>().is_ok_and(|threads| threads >= *least)),
        Need::Table(name) => tables.contains_key(name),
        // Asked of the rows that the claim reads.
        Need::Quiet => true,
    }
}

/// One number for each group, or why there is none.
fn reduced<'a>(claim: &Claim, cells: &Cells, groups: &Groups<'a>, column: &str) -> Result<BTreeMap<Vec<&'a str>, f64>, String> {
    let mut values = BTreeMap::new();
    for (group, rows) in groups {
        let value = if claim.reduce == Some(Reduce::Count) {
            rows.len() as f64
        } else {
            let mut numbers = Vec::new();
            for row in rows {
                let cell = cells.get(row, column);
                let error = cells.get(row, "error");
                let why = if error.is_empty() { String::new() } else { format!(": {error}") };
                numbers.push(cell.parse::<f64>().map_err(|_| format!("`{cell}` for {column}{}{why}", place(&claim.by, group)))?);
            }
            claim.reduce.unwrap_or(Reduce::Alike).of(&mut numbers).ok_or_else(|| {
                format!(
                    "{} rows with different {column} where one is meant{}; name a `reduce`, or more in `by` or `where`",
                    rows.len(),
                    place(&claim.by, group)
                )
            })?
        };
        values.insert(group.clone(), value);
    }
    Ok(values)
}

/// All rows of a group have one value. At least one group must have rows that differ in `across`, or nothing was compared.
fn same(claim: &Claim, cells: &Cells, groups: &Groups<'_>, across: &[String]) -> Result<(bool, String), Missing> {
    let distinct = |rows: &[&[String]], column: &str| rows.iter().map(|row| cells.get(row, column).to_owned()).collect::<BTreeSet<String>>();
    let compared: Vec<_> = groups.iter().filter(|(_, rows)| rows.len() > 1 && across.iter().all(|column| distinct(rows, column).len() > 1)).collect();
    if compared.is_empty() {
        return Err(Missing::Rows(format!("no two rows that differ in {} agree in {}", across.join(", "), claim.by.join(", "))));
    }
    for (group, rows) in &compared {
        let values = distinct(rows, &claim.column);
        if values.len() > 1 || values.contains("") {
            let values: Vec<String> = values.into_iter().map(|v| if v.is_empty() { "nothing".into() } else { v }).collect();
            return Ok((false, format!("{}{}", values.join(" and "), place(&claim.by, group))));
        }
    }
    let rows: usize = compared.iter().map(|(_, rows)| rows.len()).sum();
    Ok((true, format!("equal in {rows} rows of {} groups", compared.len())))
}

/// Which group, in brackets; nothing where there is one only.
fn place(by: &[String], group: &[&str]) -> String {
    let pairs: Vec<String> = by.iter().zip(group).map(|(column, value)| format!("{column} {value}")).collect();
    if pairs.is_empty() { String::new() } else { format!(" ({})", pairs.join(", ")) }
}

impl Expected {
    /// What is expected, in words.
    fn words(&self, by: &[String]) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Same { across } => {
                let whose = if by.is_empty() { String::new() } else { format!(" with equal {}", by.join(", ")) };
                format!("the same for every {}{whose}", if across.is_empty() { "row".into() } else { across.join(", ") })
            }
            Self::Number { equals, tolerance, at_least, at_most } => {
                let parts = [
                    equals.map(|v| if *tolerance > 0.0 { format!("{} ± {}", short(v), short(*tolerance)) } else { short(v) }),
                    at_least.map(|v| format!("at least {}", short(v))),
                    at_most.map(|v| format!("at most {}", short(v))),
                ];
                parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
            }
        }
    }

    /// Whether all values are as expected; says the first that is not, else the range of all.
    fn judge_numbers(&self, by: &[String], values: &BTreeMap<Vec<&str>, f64>) -> (bool, String) {
        let Self::Number { equals, tolerance, at_least, at_most } = self else { return (false, "numbers".into()) };
        let is_good = |v: f64| {
            v.is_finite()
                // Decimal numbers of a file meet binary ones only but for their rounding.
                && equals.is_none_or(|e| (v - e).abs() <= tolerance + 1e-12 * e.abs())
                && at_least.is_none_or(|least| v >= least)
                && at_most.is_none_or(|most| v <= most)
        };
        if let Some((group, value)) = values.iter().find(|(_, value)| !is_good(**value)) {
            return (false, format!("{}{}", short(*value), place(by, group)));
        }
        let (low, high) = values.values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
        (true, if short(low) == short(high) { short(low) } else { format!("{} to {}", short(low), short(high)) })
    }
}

/// Five significant digits, the shortest way.
fn short(value: f64) -> String {
    format!("{value:.4e}").parse::<f64>().unwrap_or(value).to_string()
}

#[cfg(test)]
mod tests;
