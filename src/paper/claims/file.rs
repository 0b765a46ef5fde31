//! The form of a claims file. Errors name the file, the line and the key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use toml::{Spanned, Value};

use crate::durable::{WRITTEN_BY_HAND, read_text};
use crate::error::{Error, Result, near};
use crate::paper::cells::Cells;
use crate::paper::derived::{known, knows};
use crate::record::OUTCOMES;
use crate::toml_file::{mistake, parse};

/// Where the claims that come with the program stand in its source.
const SHIPPED_PATH: &str = "benches/claims.toml";

const SHIPPED: &str = include_str!("../../../benches/claims.toml");

/// The claims of a file, in its order.
#[derive(Clone, Debug)]
pub struct Claims {
    pub(super) claims: Vec<Claim>,
}

#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub name: String,
    pub text: String,
    pub command: String,
    pub needs: Vec<Need>,
    pub table: String,
    /// What rows of both sides have.
    pub filter: Filter,
    pub by: Vec<String>,
    pub column: String,
    pub of: Filter,
    pub over: Option<Filter>,
    pub over_column: String,
    pub reduce: Option<Reduce>,
    pub expected: Expected,
}

/// Something that must be there for a claim to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Dataset(String),
    Backend(String),
    Setting(String),
    Threads(u32),
    Table(String),
    Quiet,
}

/// How several rows become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reduce {
    /// They must be equal.
    Alike,
    Min,
    Max,
    Median,
    Sum,
    Count,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Number { equals: Option<f64>, tolerance: f64, at_least: Option<f64>, at_most: Option<f64> },
    Text(String),
    Same { across: Vec<String> },
}

/// What a row must have, by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filter(BTreeMap<String, Condition>);

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    AnyOf(Vec<String>),
    Range { at_least: Option<f64>, at_most: Option<f64>, not: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    claim: Vec<Spanned<ClaimTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimTable {
    name: Spanned<String>,
    text: String,
    command: String,
    #[serde(default)]
    needs: Vec<Spanned<String>>,
    table: Option<Spanned<String>>,
    #[serde(rename = "where")]
    filter: Option<Spanned<toml::Table>>,
    #[serde(default)]
    by: Vec<Spanned<String>>,
    column: Option<Spanned<String>>,
    of: Option<Spanned<toml::Table>>,
    over: Option<Spanned<toml::Table>>,
    over_column: Option<Spanned<String>>,
    reduce: Option<Spanned<String>>,
    equals: Option<Spanned<Value>>,
    tolerance: Option<Spanned<f64>>,
    at_least: Option<f64>,
    at_most: Option<f64>,
    #[serde(default)]
    same: bool,
    #[serde(default)]
    across: Vec<Spanned<String>>,
}

impl Claims {
    /// Reads a claims file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::SweepFile`] with line and key.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, WRITTEN_BY_HAND)?;
        Self::parse(path, &text)
    }

    /// The claims that come with the program.
    ///
    /// # Errors
    /// None but defects: a test reads them.
    pub fn shipped() -> Result<Self> {
        Self::parse(Path::new(SHIPPED_PATH), SHIPPED)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let document: Document = parse(path, text)?;
        let mut names = BTreeSet::new();
        let claims = document.claim.into_iter().map(|table| {
            let place = Place { path, text, header: table.span().start };
            let table = table.into_inner();
            let (name, at) = (table.name.get_ref().clone(), table.name.span().start);
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(place.wrong(at, format!("`{name}` is no name of letters, digits and hyphens")));
            }
            if !names.insert(name.clone()) {
                return Err(place.wrong(at, format!("`{name}` is there twice")));
            }
            place.claim(table)
        });
        Ok(Self { claims: claims.collect::<Result<_>>()? })
    }

    /// The number of claims.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.claims.len()
    }
}

/// Where a claim stands.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
    /// The `[[claim]]` of what is missing.
    header: usize,
}

impl Place<'_> {
    fn wrong(&self, at: usize, problem: impl Into<String>) -> Error {
        mistake(self.path, self.text, at, problem.into())
    }

    fn claim(&self, table: ClaimTable) -> Result<Claim> {
        let source = table.table.as_ref().map_or(OUTCOMES, |t| t.get_ref());
        if let Some(table) = table.table.as_ref().filter(|t| !is_csv(t.get_ref())) {
            return Err(self.wrong(table.span().start, format!("`{}` is no file name that ends in .csv", table.get_ref())));
        }
        let own = source == OUTCOMES;
        let column = |name: &Spanned<String>| {
            if own && !knows(name.get_ref()) {
                return Err(self.wrong(name.span().start, unknown_column(name.get_ref())));
            }
            Ok(name.get_ref().clone())
        };
        let columns = |names: &[Spanned<String>]| names.iter().map(column).collect::<Result<Vec<_>>>();
        let filter = |filter: &Option<Spanned<toml::Table>>| filter.as_ref().map(|filter| self.filter(filter, own)).transpose();
        let reduce = table.reduce.as_ref().map(|r| self.reduce(r)).transpose()?;
        let named = match (&table.column, reduce) {
            (Some(name), _) => column(name)?,
            (None, Some(Reduce::Count)) => String::new(),
            (None, _) => return Err(self.wrong(self.header, "a claim needs a `column` to read, or `reduce = \"count\"`")),
        };
        let over = filter(&table.over)?;
        if let Some(other) = table.over_column.as_ref().filter(|_| over.is_none()) {
            return Err(self.wrong(other.span().start, "`over_column` without `over`"));
        }
        if over.is_some() && (table.same || reduce == Some(Reduce::Count)) {
            return Err(self.wrong(self.header, "a ratio (`over`) goes with a number of a column only"));
        }
        let needs = table.needs.iter().map(|need| self.need(need)).collect::<Result<Vec<_>>>()?;
        if let Some(quiet) = table.needs.iter().find(|need| need.get_ref() == "quiet" && !own) {
            return Err(self.wrong(quiet.span().start, format!("only rows of {OUTCOMES} say whether the machine was quiet")));
        }
        Ok(Claim {
            name: table.name.get_ref().clone(),
            expected: self.expected(&table, columns(&table.across)?)?,
            needs,
            table: source.into(),
            filter: filter(&table.filter)?.unwrap_or_default(),
            by: columns(&table.by)?,
            over_column: table.over_column.as_ref().map(column).transpose()?.unwrap_or_else(|| named.clone()),
            column: named,
            of: filter(&table.of)?.unwrap_or_default(),
            over,
            reduce,
            text: table.text,
            command: table.command,
        })
    }

    fn expected(&self, table: &ClaimTable, across: Vec<String>) -> Result<Expected> {
        let bounded = table.at_least.is_some() || table.at_most.is_some();
        if let Some(tolerance) = table.tolerance.as_ref().filter(|t| table.equals.is_none() || !t.get_ref().is_finite() || *t.get_ref() < 0.0) {
            return Err(self.wrong(tolerance.span().start, "`tolerance` is a number from 0 and goes with `equals`"));
        }
        if !table.same && !across.is_empty() {
            return Err(self.wrong(self.header, "`across` goes with `same = true`"));
        }
        match (&table.equals, bounded, table.same) {
            (None, false, true) => Ok(Expected::Same { across }),
            (None, true, false) => Ok(Expected::Number { equals: None, tolerance: 0.0, at_least: table.at_least, at_most: table.at_most }),
            (Some(value), false, false) => match value.get_ref() {
                Value::String(text) if table.over.is_none() && table.reduce.is_none() && table.tolerance.is_none() => {
                    Ok(Expected::Text(text.clone()))
                }
                value if number(value).is_some() => Ok(Expected::Number {
                    equals: number(value),
                    tolerance: table.tolerance.as_ref().map_or(0.0, |t| *t.get_ref()),
                    at_least: None,
                    at_most: None,
                }),
                _ => Err(self.wrong(value.span().start, "`equals` is a number, or a text without `over`, `reduce` and `tolerance`")),
            },
            _ => Err(self.wrong(self.header, "a claim expects one of: `equals`, `at_least` and `at_most`, `same = true`")),
        }
    }

    fn need(&self, need: &Spanned<String>) -> Result<Need> {
        let text = need.get_ref().as_str();
        let known = match text {
            "mnist" | "digits" => Need::Dataset(text.into()),
            "reference" | "gmp" | "ifma" | "gpu" => Need::Backend(text.into()),
            "quick" | "full" => Need::Setting(text.into()),
            "quiet" => Need::Quiet,
            _ if is_csv(text) => Need::Table(text.into()),
            _ => match text.strip_prefix("threads-").and_then(|n| n.parse().ok()) {
                Some(threads) => Need::Threads(threads),
                None => {
                    let known = ["mnist", "digits", "reference", "gmp", "ifma", "gpu", "quick", "full", "quiet", "threads-N", "NAME.csv"];
                    let problem = format!("`{text}` is nothing that can be needed, known: {}{}", known.join(", "), near(text, &known));
                    return Err(self.wrong(need.span().start, problem));
                }
            },
        };
        Ok(known)
    }

    fn reduce(&self, text: &Spanned<String>) -> Result<Reduce> {
        let all = [("min", Reduce::Min), ("max", Reduce::Max), ("median", Reduce::Median), ("sum", Reduce::Sum), ("count", Reduce::Count)];
        all.into_iter().find(|(name, _)| name == text.get_ref()).map(|(_, reduce)| reduce).ok_or_else(|| {
            let known = all.map(|(name, _)| name);
            self.wrong(text.span().start, format!("`{}` is unknown, known: {}{}", text.get_ref(), known.join(", "), near(text.get_ref(), &known)))
        })
    }

    fn filter(&self, table: &Spanned<toml::Table>, own: bool) -> Result<Filter> {
        let at = table.span().start;
        let mut conditions = BTreeMap::new();
        for (column, value) in table.get_ref() {
            if own && !knows(column) {
                return Err(self.wrong(at, unknown_column(column)));
            }
            let condition = condition(value).ok_or_else(|| {
                self.wrong(at, format!("{column} is `{value}`; a value, a list of values or {{ at_least = N, at_most = N, not = VALUE }} would do"))
            })?;
            conditions.insert(column.clone(), condition);
        }
        Ok(Filter(conditions))
    }
}

fn unknown_column(name: &str) -> String {
    let known: Vec<&str> = known().collect();
    format!("unknown column `{name}` of {OUTCOMES}; results/README.md lists them{}", near(name, &known))
}

fn is_csv(name: &str) -> bool {
    name.strip_suffix(".csv").is_some_and(|stem| !stem.is_empty() && !name.contains(['/', '\\']))
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|n| n as f64)).filter(|v| v.is_finite())
}

/// A value as it stands in a CSV.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Boolean(truth) => Some(truth.to_string()),
        value => number(value).map(|v| v.to_string()),
    }
}

fn condition(value: &Value) -> Option<Condition> {
    match value {
        Value::Array(values) => values.iter().map(scalar).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()).map(Condition::AnyOf),
        Value::Table(table) => {
            let good = !table.is_empty() && table.keys().all(|key| ["at_least", "at_most", "not"].contains(&key.as_str()));
            let bound = |key| table.get(key).map(|value| number(value).ok_or(())).transpose().ok();
            let not = table.get("not").map(|value| scalar(value).ok_or(())).transpose().ok();
            good.then_some(Condition::Range { at_least: bound("at_least")?, at_most: bound("at_most")?, not: not? })
        }
        value => scalar(value).map(|v| Condition::AnyOf(vec![v])),
    }
}

/// Whether a cell is a value: as numbers where both are.
fn is_equal(cell: &str, value: &str) -> bool {
    cell == value || cell.parse::<f64>().ok().zip(value.parse::<f64>().ok()).is_some_and(|(a, b)| (a - b).abs() <= 1e-12 * b.abs())
}

impl Condition {
    fn holds(&self, cell: &str) -> bool {
        match self {
            Self::AnyOf(values) => values.iter().any(|value| is_equal(cell, value)),
            Self::Range { at_least, at_most, not } => {
                let within = (at_least.is_none() && at_most.is_none())
                    || cell.parse::<f64>().is_ok_and(|v| at_least.is_none_or(|least| v >= least) && at_most.is_none_or(|most| v <= most));
                within && not.as_ref().is_none_or(|not| !is_equal(cell, not))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::AnyOf(values) => values.iter().map(|v| if v.is_empty() { "nothing" } else { v }).collect::<Vec<_>>().join(" or "),
            Self::Range { at_least, at_most, not } => {
                let parts = [
                    at_least.map(|v| format!("at least {v}")),
                    at_most.map(|v| format!("at most {v}")),
                    not.as_ref().map(|v| format!("not {}", if v.is_empty() { "nothing" } else { v })),
                ];
                parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
            }
        }
    }
}

impl Filter {
    pub(super) fn matches(&self, cells: &Cells, row: &[String]) -> bool {
        self.0.iter().all(|(column, condition)| condition.holds(cells.get(row, column)))
    }

    /// Both conditions; of a column that both name, the other's is said.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).map(|(column, condition)| (column.clone(), condition.clone())).collect())
    }

    pub(super) fn words(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|(column, condition)| format!("{column} {}", condition.words())).collect();
        if parts.is_empty() { "anything".into() } else { parts.join(", ") }
    }
}

impl Need {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Dataset(name) | Self::Backend(name) => name.clone(),
            Self::Setting(name) => format!("the {name} setting"),
            Self::Threads(threads) => format!("{threads} threads"),
            Self::Table(name) => name.clone(),
            Self::Quiet => "a quiet machine".into(),
        }
    }
}

impl Reduce {
    /// The number of several; none of none, or where they should be alike and are not.
    pub(super) fn of(self, values: &mut [f64]) -> Option<f64> {
        values.sort_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        Some(match self {
            Self::Alike => return (first.to_bits() == last.to_bits()).then_some(first),
            Self::Min => first,
            Self::Max => last,
            Self::Median => f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]),
            Self::Sum => values.iter().sum(),
            Self::Count => values.len() as f64,
        })
    }
}

impl Claim {
    /// Every column that it names.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        let across = if let Expected::Same { across } = &self.expected { &across[..] } else { &[] };
        let filters = [Some(&self.filter), Some(&self.of), self.over.as_ref()].into_iter().flatten().flat_map(|filter| filter.0.keys());
        let read = [&self.column, &self.over_column].into_iter().filter(|c| !c.is_empty());
        read.chain(&self.by).chain(across).chain(filters)
    }
}
