//! Sweeps run: the rows of a plan into a journal, with resuming, and cut into parts that are merged
//! again.
//!
//! Whoever runs one hears of it through a [`Watch`] and stops it through the benches' control: a
//! command line, another program, a cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{Run, busy_warning, definition, row_id, unpublishable};
use crate::dataset::Dataset;
use crate::description::Description;
use crate::durable::{RESULTS, WRITTEN_BY_HAND, check_free, read_text, write_whole};
use crate::error::{Error, Result};
use crate::machine;
use crate::record::journal::{Entry, Journal, Shard};
use crate::record::{FILES, Outcome, PLAN, RUN, Records, SWEEP};
use crate::spec::Spec;
use crate::stopwatch::Stopwatch;
use crate::sweep::{Plan, Sweep};
use crate::workload::estimate::{Estimate, Speeds};
use crate::workload::registry::Registry;
use crate::workload::{Bench, Means, Progress, Source, Work};

/// Hears how a sweep goes. Everything has an empty default.
pub trait Watch: Send {
    /// Something that a user should read: one line.
    fn note(&mut self, _line: &str) {}
    /// The folder holds rows of an earlier process.
    fn found(&mut self, _dir: &Path, _found: Found) {}
    /// The rows that are about to be measured, as far as they are known.
    fn plan(&mut self, _rows: &[Outcome]) {}
    /// A row of [`Watch::plan`] begins; all rows from it on are expected to take `seconds`.
    fn begin(&mut self, _number: usize, _work: Work, _seconds: f64) {}
    /// The row has come so far. An error ends the sweep.
    ///
    /// # Errors
    /// [`Error::Interrupted`] to stop.
    fn progress(&mut self, _progress: Progress) -> Result<()> {
        Ok(())
    }
    /// A row has ended and is on the disk.
    fn end(&mut self, _number: usize, _entry: &Entry) {}
}

/// Rows of earlier processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Rows of this process' part of the plan.
    pub rows: usize,
    /// Rows of them that are there.
    pub done: usize,
    /// Rows of these that failed.
    pub failed: usize,
}

/// Nobody hears.
impl Watch for () {}

/// A bench of each workload, for all rows of a run.
pub struct Benches {
    benches: Vec<Box<dyn Bench>>,
    means: Means,
}

impl Benches {
    /// A bench of every workload of a registry.
    #[must_use]
    pub fn new(registry: &Registry, means: Means) -> Self {
        Self { benches: registry.workloads().map(|workload| workload.bench(&means)).collect(), means }
    }

    /// The bench of a spec.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a workload that is not in the registry.
    pub fn of(&mut self, registry: &Registry, spec: &Spec) -> Result<&mut dyn Bench> {
        let place = registry.place(spec.workload())?;
        match self.benches.get_mut(place) {
            Some(bench) => Ok(bench.as_mut()),
            None => Err(Error::size("benches of workloads", place + 1, 0)),
        }
    }

    fn get(&self, registry: &Registry, spec: &Spec) -> Result<&dyn Bench> {
        let place = registry.place(spec.workload())?;
        self.benches.get(place).map(AsRef::as_ref).ok_or(Error::size("benches of workloads", place + 1, 0))
    }
}

/// A row of the plan.
struct Row {
    spec: Spec,
    id: String,
    definition: String,
    estimate: Estimate,
}

/// A sweep that is about to be run on one dataset and into one folder, or the part of it that is this process'.
pub struct SweepRun<'a> {
    registry: &'a Registry,
    /// The sweep.
    pub sweep: Sweep,
    /// Its results folder.
    pub dir: PathBuf,
    plan: Plan,
    source: Source,
    shard: Option<Shard>,
    /// All rows, those of other parts included.
    order: Vec<(String, String)>,
    rows: Vec<Row>,
}

/// The result of a sweep.
pub struct Ended {
    /// The rows that are there, in the order of the plan, those of other parts included.
    pub records: Records,
    /// Rows of the plan that are not there yet.
    pub missing: usize,
    /// `true` if every row of this process was verified.
    pub verified: bool,
}

/// Which of `count` parts each row belongs to, from 0, so that all parts take equally long: the
/// longest row first, each to the part that has least to do. Input: definitions and milliseconds,
/// equal for all who share a sweep. Output: in the order of the input.
fn parts(rows: &[(&str, u64)], count: u32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| (std::cmp::Reverse(rows[row].1), rows[row].0));
    let mut loads = vec![0u64; count.max(1) as usize];
    let mut of = vec![0; rows.len()];
    for row in order {
        let least = loads.iter().enumerate().min_by_key(|&(part, load)| (*load, part)).map_or(0, |(part, _)| part);
        loads[least] += rows[row].1.max(1);
        of[row] = least as u32;
    }
    of
}

impl<'a> SweepRun<'a> {
    /// Lists the rows. `benches` are those of the dataset. Estimates are still to be made.
    ///
    /// # Errors
    /// As [`Sweep::plan`].
    pub fn new(registry: &'a Registry, sweep: Sweep, dir: PathBuf, dataset: &Dataset, benches: &mut Benches, shard: Option<Shard>) -> Result<Self> {
        let plan = sweep.plan(registry, &dataset.id.to_string(), dataset.test.len())?;
        let mut rows = Vec::new();
        for spec in &plan.specs {
            let bench = benches.get(registry, spec)?;
            let (id, definition) = (row_id(bench, spec, sweep.sampling), definition(bench, spec, sweep.sampling));
            rows.push(Row { spec: spec.clone(), id, definition, estimate: Estimate::default() });
        }
        let source = if sweep.takes_images() {
            benches.means.source.clone()
        } else {
            let data: BTreeSet<String> =
                plan.specs.iter().filter_map(|spec| Some(benches.get(registry, spec).ok()?.planned(spec).ok()?.dataset)).collect();
            let dataset = data.into_iter().collect::<Vec<_>>().join(",");
            Source { data: Description { dataset, ..Description::default() }, seed: sweep.seed, ..Source::default() }
        };
        let order = rows.iter().map(|row| (row.id.clone(), row.definition.clone())).collect();
        let mut run = Self { registry, sweep, dir, plan, source, shard, order, rows };
        if let Some(shard) = shard {
            // By numbers that are the same for all who share the sweep, whatever their machines.
            run.estimate_with(&Speeds::nominal(), benches, 1)?;
            let costs: Vec<(&str, u64)> = run.rows.iter().map(|row| (row.definition.as_str(), (row.estimate.seconds * 1e3).round() as u64)).collect();
            let mut part = parts(&costs, shard.count).into_iter();
            run.rows.retain(|_| part.next() == Some(shard.index - 1));
        }
        Ok(run)
    }

    /// The specs of this process.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.rows.iter().map(|row| &row.spec)
    }

    /// The rows of this process: identity, spec and estimate.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Spec, Estimate)> {
        self.rows.iter().map(|row| (row.id.as_str(), &row.spec, row.estimate))
    }

    /// The rows of the sweep on this machine, other parts included.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The part of it that is this process'.
    #[must_use]
    pub fn shard(&self) -> Option<Shard> {
        self.shard
    }

    /// Times the backends of some sweeps, for estimates.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn speeds<'r>(runs: impl Iterator<Item = &'r Self>, benches: &Benches) -> Result<Speeds>
    where
        'a: 'r,
    {
        let backends = runs.flat_map(|run| run.rows.iter().filter_map(|row| benches.get(run.registry, &row.spec).ok()?.backend(&row.spec)));
        Speeds::measure(backends, &benches.means.control)
    }

    /// Estimates what each row will cost.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn estimate(&mut self, speeds: &Speeds, benches: &mut Benches) -> Result<()> {
        self.estimate_with(speeds, benches, rayon::current_num_threads())
    }

    fn estimate_with(&mut self, speeds: &Speeds, benches: &mut Benches, threads: usize) -> Result<()> {
        let (registry, sampling, control) = (self.registry, self.sweep.sampling, benches.means.control.clone());
        // The first row of a key pays for it.
        let mut keys = HashSet::new();
        for row in &mut self.rows {
            control.check()?;
            let key = row.spec.values().get("key_bits").map(|bits| (row.spec.workload(), bits.to_owned()));
            let new_key = key.is_some_and(|key| keys.insert(key));
            row.estimate = benches.of(registry, &row.spec)?.estimate(&row.spec, sampling, speeds, threads, new_key);
        }
        Ok(())
    }

    /// The estimates of all rows together, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.rows.iter().map(|row| row.estimate.seconds).sum()
    }

    /// Most memory that a row is expected to take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> f64 {
        self.rows.iter().map(|row| row.estimate.memory_bytes).fold(0.0, f64::max)
    }

    /// Bytes on the wire of all rows.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.estimate.wire_bytes).sum()
    }

    /// Refuses a folder that holds another run than a sweep's. The journal locks it.
    ///
    /// # Errors
    /// [`Error::Taken`].
    pub fn check_folder(dir: &Path) -> Result<()> {
        if Journal::is_in(dir) { Ok(()) } else { check_free(dir, &FILES) }
    }

    /// Measures what the folder does not hold yet and puts its CSVs together. Rows that failed are
    /// run again where `retry_failed` says so.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Io`] when the folder cannot be written; [`Error::File`] for
    /// a folder with rows of this sweep that ran on another number of threads, which are not
    /// measured again unasked.
    pub fn run(&self, benches: &mut Benches, retry_failed: bool, watch: &mut dyn Watch) -> Result<Ended> {
        let dir = &self.dir;
        let journal = Journal::open(dir, self.shard)?;
        let found = journal.read()?;
        found.damaged.iter().for_each(|error| watch.note(&format!("warning: {error}; that row is measured again")));
        let is_done = |row: &Row| found.entries.get(&row.id).is_some_and(|entry| entry.outcome.error.is_none() || !retry_failed);
        let (done, todo): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| is_done(row));
        self.check_threads(&todo, found.entries.values())?;
        if !found.entries.is_empty() || !found.damaged.is_empty() {
            let failed = done.iter().filter(|row| found.entries.get(&row.id).is_some_and(|e| e.outcome.error.is_some())).count();
            watch.found(dir, Found { rows: self.rows.len(), done: done.len(), failed });
        }
        if !todo.is_empty() {
            if let Some(warning) = busy_warning(machine::load_average()) {
                watch.note(&format!("warning: {warning}"));
            }
            unpublishable().iter().for_each(|reason| watch.note(&format!("warning: not publishable: {reason}")));
        }
        let mut run = Run::start(self.source.clone());
        // Rows of another sweep, of other data or of another program need not have the same results.
        self.order.iter().filter_map(|(id, _)| found.entries.get(id)).for_each(|entry| run.recall(entry));
        drop(found);
        let measured = (|| {
            self.write_terms()?;
            if !todo.is_empty() {
                run.note_in(&journal, false)?;
            }
            self.measure(&todo, &mut run, benches, &journal, watch)
        })();
        match measured {
            Ok(()) if todo.is_empty() => {}
            Ok(()) => run.note_in(&journal, true)?,
            Err(Error::Interrupted) => {
                run.note_in(&journal, true)?;
                self.assemble(&run, &journal)?;
                watch.note(&format!("what is done stays in {}; the same command goes on", dir.display()));
                return Err(Error::Interrupted);
            }
            Err(error) => {
                watch.note(&format!("what is done stays in {}; the same command goes on once the cause is gone", dir.display()));
                return Err(error);
            }
        }
        let (records, strangers) = self.assemble(&run, &journal)?;
        if strangers > 0 {
            watch.note(&format!(
                "{strangers} rows of other versions of the program or of the sweep file stay in {} and are left out of the CSVs",
                dir.join("rows").display()
            ));
        }
        let own: HashSet<&str> = self.rows.iter().map(|row| row.id.as_str()).collect();
        let verified = records.outcomes.iter().filter(|o| own.contains(o.row_id.as_str())).all(|o| o.verified);
        Ok(Ended { missing: self.order.len() - records.outcomes.len(), verified, records })
    }

    /// Names rows that are there but ran on another number of threads, in place of measuring them
    /// again.
    fn check_threads<'e>(&self, todo: &[&Row], there: impl Iterator<Item = &'e Entry>) -> Result<()> {
        let wanted: HashSet<&str> = todo.iter().map(|row| row.definition.as_str()).collect();
        let here = rayon::current_num_threads() as u32;
        let mut others: BTreeMap<u32, usize> = BTreeMap::new();
        for entry in there.filter(|entry| wanted.contains(entry.definition.as_str()) && entry.outcome.threads != here) {
            *others.entry(entry.outcome.threads).or_default() += 1;
        }
        let Some((threads, rows)) = others.into_iter().max_by_key(|(_, rows)| *rows) else { return Ok(()) };
        let expected = format!("rows of {here} threads, or none");
        let found = format!(
            "{rows} of {} rows measured with {threads}; the same number of threads goes on with them, another folder measures anew",
            self.rows.len()
        );
        Err(Error::file(&self.dir, expected, found))
    }

    /// Keeps the sweep file and the whole plan beside the results.
    fn write_terms(&self) -> Result<()> {
        let plan: String = self.plan.specs.iter().zip(&self.order).map(|(spec, (_, definition))| format!("{definition} {spec}\n")).collect();
        for (name, text) in [(SWEEP, self.sweep.text.as_str()), (PLAN, plan.as_str())] {
            let path = self.dir.join(name);
            if !read_text(&path, WRITTEN_BY_HAND).is_ok_and(|there| there == text) {
                write_whole(&path, text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Runs rows and writes each to the journal as it ends.
    fn measure(&self, todo: &[&Row], run: &mut Run, benches: &mut Benches, journal: &Journal, watch: &mut dyn Watch) -> Result<()> {
        let stopwatch = Stopwatch::start();
        let sampling = self.sweep.sampling;
        let mut planned = Vec::new();
        for row in todo {
            planned.push(run.planned(benches.get(self.registry, &row.spec)?, &row.spec, sampling)?);
        }
        watch.plan(&planned);
        let mut left: f64 = todo.iter().map(|row| row.estimate.seconds).sum();
        let mut expected = 0.0;
        for (number, row) in todo.iter().enumerate() {
            benches.means.control.check()?;
            let bench = benches.of(self.registry, &row.spec)?;
            // What rows took so far says how far off the estimates are.
            let spent = stopwatch.elapsed().wall_ns as f64 / 1e9;
            let error = if expected > 1.0 { (spent / expected).clamp(0.05, 20.0) } else { 1.0 };
            watch.begin(number, bench.work(&row.spec), left * error);
            let entry = run.row(bench, &row.spec, sampling, &mut |progress| watch.progress(progress))?;
            journal.add(&entry)?;
            left -= row.estimate.seconds;
            expected += row.estimate.seconds;
            watch.end(number, &entry);
        }
        Ok(())
    }

    /// Puts the CSVs together from the journal: the rows of the plan in its order. Output: those
    /// rows, and the number of rows in the journal that are not of the plan.
    fn assemble(&self, run: &Run, journal: &Journal) -> Result<(Records, usize)> {
        journal.assemble(|| {
            // Parts of different sweeps may share a folder: the CSVs and the sweep file beside them are of one.
            self.write_terms()?;
            let mut entries = journal.read()?.entries;
            let mut records = Records::default();
            self.order.iter().filter_map(|(id, _)| entries.remove(id)).for_each(|entry| records.add(entry));
            run.assemble(journal, &self.dir, &records)?;
            Ok((records, entries.len()))
        })
    }
}

/// The parts of a sweep, put together.
#[derive(Debug)]
pub struct Merged {
    /// The rows, in the order of the plan.
    pub records: Records,
    /// Threads of the rows that were taken, but of those whose specs name their own.
    pub threads: u32,
    /// Specs that no part has measured with that many threads.
    pub missing: Vec<String>,
    /// Rows of the plan that were measured with other numbers of threads, and are left out.
    pub others: BTreeMap<u32, usize>,
    /// Files that are no rows.
    pub damaged: Vec<Error>,
}

/// The plan that a part wrote: definitions and specs.
fn plan_of(dir: &Path) -> Result<(String, String)> {
    let plan = read_text(&dir.join(PLAN), RESULTS)?;
    Ok((read_text(&dir.join(SWEEP), WRITTEN_BY_HAND)?, plan))
}

/// Puts the parts of one sweep together in a folder of their own. Nothing is measured: what is
/// missing is named, and so are rows of other numbers of threads than `threads`, or where none is
/// given than most rows have.
///
/// # Errors
/// [`Error::File`] for parts of different sweeps, or of none; [`Error::Io`].
pub fn merge(from: &[PathBuf], into: &Path, threads: Option<u32>) -> Result<Merged> {
    let Some(first) = from.first() else { return Err(Error::size("folders to merge", 1, 0)) };
    let (sweep, plan) = plan_of(first)?;
    if let Ok(there) = plan_of(into)
        && there != (sweep.clone(), plan.clone())
    {
        return Err(Error::file(into, format!("the sweep of {}", first.display()), "another one"));
    }
    for dir in from {
        if plan_of(dir)? != (sweep.clone(), plan.clone()) {
            return Err(Error::file(dir, format!("the sweep of {} with the same rows", first.display()), "another one"));
        }
    }
    let journal = Journal::open(into, None)?;
    let (mut damaged, mut found, mut runs) = (Vec::new(), Vec::new(), BTreeMap::new());
    for dir in from {
        let part = Journal::reading(dir)?;
        let rows = part.read()?;
        damaged.extend(rows.damaged);
        found.extend(rows.entries.into_values());
        for text in part.runs()? {
            let table: toml::Table = text.parse().unwrap_or_default();
            let name = |key: &str| table.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
            runs.insert((name("started"), name("run_id")), text);
        }
    }
    let planned: Vec<(&str, &str)> = plan.lines().filter_map(|line| line.split_once(' ')).collect();
    let definitions: HashSet<&str> = planned.iter().map(|(definition, _)| *definition).collect();
    found.retain(|entry| definitions.contains(entry.definition.as_str()));
    let own_threads = |entry: &Entry| entry.outcome.spec.contains("/threads-");
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    found.iter().filter(|entry| !own_threads(entry)).for_each(|entry| *counts.entry(entry.outcome.threads).or_default() += 1);
    let threads = threads.or_else(|| counts.iter().max_by_key(|(_, rows)| **rows).map(|(threads, _)| *threads)).unwrap_or(0);
    counts.remove(&threads);
    let mut rows: HashMap<String, Entry> = HashMap::new();
    for entry in found.into_iter().filter(|entry| own_threads(entry) || entry.outcome.threads == threads) {
        match rows.get(&entry.definition) {
            // One that was verified stays.
            Some(there) if there.outcome.verified || !entry.outcome.verified => {}
            _ => drop(rows.insert(entry.definition.clone(), entry)),
        }
    }
    for ((_, run_id), text) in &runs {
        journal.add_run(run_id, text)?;
    }
    write_whole(&into.join(SWEEP), sweep.as_bytes())?;
    write_whole(&into.join(PLAN), plan.as_bytes())?;
    let (mut records, mut missing) = (Records::default(), Vec::new());
    for (definition, spec) in planned {
        match rows.remove(definition) {
            Some(entry) => {
                journal.add(&entry)?;
                records.add(entry);
            }
            None => missing.push(spec.to_owned()),
        }
    }
    records.write(into, &provenance(&runs.into_values().collect::<Vec<_>>(), &into.join(RUN))?)?;
    Ok(Merged { records, threads, missing, others: counts, damaged })
}

/// The provenance of a merged folder: the last part's, and the others as earlier runs.
fn provenance(runs: &[String], path: &Path) -> Result<String> {
    let bad = |e: String| Error::file(path, "provenance of parts", e);
    let mut tables = runs.iter().map(|text| text.parse::<toml::Table>().map_err(|e| bad(e.message().into()))).collect::<Result<Vec<_>>>()?;
    let mut last = tables.pop().unwrap_or_default();
    if !tables.is_empty() {
        last.insert("earlier".into(), toml::Value::Array(tables.into_iter().map(toml::Value::Table).collect()));
    }
    toml::to_string(&last).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_row_once_and_take_equally_long() {
        let names: Vec<String> = (0..500).map(|row| format!("{row:016x}")).collect();
        let mut rows: Vec<(&str, u64)> = names.iter().zip(0u64..).map(|(name, row)| (name.as_str(), row * row % 977 + 1)).collect();
        for count in [1, 2, 3, 7, 64] {
            let of = parts(&rows, count);
            let load = |part: u32| rows.iter().zip(&of).filter(|(_, of)| **of == part).map(|((_, ms), _)| ms).sum::<u64>();
            let loads: Vec<u64> = (0..count).map(load).collect();
            assert_eq!(loads.iter().sum::<u64>(), rows.iter().map(|(_, ms)| ms).sum::<u64>());
            assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 977, "{loads:?}");
        }
        // Nobody's order of rows decides.
        let before: BTreeMap<&str, u32> = rows.iter().zip(parts(&rows, 7)).map(|((name, _), part)| (*name, part)).collect();
        rows.reverse();
        let after: BTreeMap<&str, u32> = rows.iter().zip(parts(&rows, 7)).map(|((name, _), part)| (*name, part)).collect();
        assert_eq!(before, after);
    }
}
