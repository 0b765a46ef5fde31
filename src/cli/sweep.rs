//! `sweep`, `compare`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::inference::{Models, models_for, open_dataset, source, warn_quantisation, warn_unsound};
use super::progress::Meter;
use super::{check_folder, check_stop, note, out, out_json, shown};
use crate::dataset::{Dataset, Images};
use crate::description::Description;
use crate::durable::{WRITTEN_BY_HAND, check_free, read_text, write_whole};
use crate::error::{Error, Result};
use crate::machine;
use crate::measure::{Run, Source, busy_warning, definition, row_id, training_definition, training_row_id, unpublishable};
use crate::record::journal::{Entry, Journal, Shard};
use crate::record::{FILES, OUTCOMES, Outcome, Records, SWEEP};
use crate::report::compare::{Comparison, Pair, THRESHOLD, Verdict, compare as compare_records};
use crate::report::{self, Format, Naming};
use crate::stopwatch::Stopwatch;
use crate::sweep::{self, Estimate, Plan, Speeds, Sweep};
use crate::workload::inference::Bench;
use crate::workload::{Protection, Spec, training as learning};

/// Options of `sweep`.
#[derive(Args, Clone, Debug)]
pub(super) struct SweepArgs {
    /// Sweep file (grids of choices, what to leave out, how long to measure; see benches/sweeps/)
    /// or the name of one that comes with the program; without it their names are printed
    file: Option<PathBuf>,
    /// Results folder; a sweep that was stopped goes on there [default: results/NAME-local]
    #[arg(long, value_name = "DIR", requires = "file")]
    out: Option<PathBuf>,
    /// Only print what would be run, with estimates of time, memory and bytes
    #[arg(long, requires = "file")]
    dry_run: bool,
    /// Run the I-th of N parts, for job arrays; parts may share a folder
    #[arg(long, value_name = "I/N", requires = "file")]
    shard: Option<Shard>,
    /// Run rows again that failed
    #[arg(long, requires = "file")]
    retry_failed: bool,
    /// Do not use the network
    #[arg(long)]
    offline: bool,
}

/// What a row measures.
enum Task {
    Inference(Spec),
    Training(Box<learning::Spec>),
}

impl Task {
    fn id(&self, sweep: &Sweep, source: &Source) -> String {
        match self {
            Self::Inference(spec) => row_id(spec, sweep.sampling, source),
            Self::Training(spec) => training_row_id(spec),
        }
    }

    fn definition(&self, sweep: &Sweep, source: &Source) -> String {
        match self {
            Self::Inference(spec) => definition(spec, sweep.sampling, source),
            Self::Training(spec) => training_definition(spec),
        }
    }

    fn planned(&self, run: &Run, sweep: &Sweep) -> Outcome {
        match self {
            Self::Inference(spec) => run.planned(spec, sweep.sampling),
            Self::Training(spec) => run.planned_training(spec),
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inference(spec) => spec.fmt(f),
            Self::Training(spec) => spec.fmt(f),
        }
    }
}

/// Names of rows that are still to be measured: what tells them apart.
pub(super) fn names(planned: Vec<Outcome>) -> Vec<String> {
    // A mark of rows that did not verify is for those that ran.
    let outcomes = planned.into_iter().map(|row| Outcome { verified: true, ..row }).collect();
    let rows = report::derive(&Records { outcomes, ..Records::default() });
    report::labels(&rows.iter().collect::<Vec<_>>(), Naming::Whole)
}

/// What came of a row, in a few words: its time, or why there is none.
pub(super) fn ending(entry: &Entry) -> String {
    if let Some(error) = &entry.outcome.error {
        return error.clone();
    }
    let records = Records { samples: entry.samples.clone(), outcomes: vec![entry.outcome.clone()], ..Records::default() };
    let row = report::derive(&records).into_iter().next();
    let time = row.and_then(|row| Some(format!("{} ms per {}", report::digits3(row.online_ns?.median * 1e-6), row.unit())));
    time.map_or_else(|| "verified".into(), |time| format!("verified, {time}"))
}

/// All tasks of a plan, in its order.
fn tasks(plan: &Plan) -> impl Iterator<Item = Task> {
    plan.specs.iter().cloned().map(Task::Inference).chain(plan.trainings.iter().cloned().map(|spec| Task::Training(Box::new(spec))))
}

/// A row of the plan.
struct Row {
    task: Task,
    id: String,
    estimate: Estimate,
}

/// What rows are measured with.
pub(super) struct Benches {
    inference: Bench,
    training: learning::Bench,
}

impl Benches {
    /// For images and models, and for trainings, which bring their own.
    pub(super) fn new(images: Images, models: Models, toy: bool) -> Self {
        let inference = Bench::new(images, models, toy, super::control().clone());
        Self { inference, training: learning::Bench::new(toy, super::control().clone()) }
    }
}

/// A sweep that is about to be run on one dataset and into one folder, or the part of it that is this process'.
pub(super) struct Job {
    pub(super) sweep: Sweep,
    pub(super) dir: PathBuf,
    plan: Plan,
    source: Source,
    shard: Option<Shard>,
    rows: Vec<Row>,
}

/// What a task has come to.
pub(super) struct Ended {
    /// The rows that are there, in the order of the plan, those of other parts included.
    pub(super) records: Records,
    /// Rows of the plan that are not there yet.
    pub(super) missing: usize,
    /// Whether every row of this process was verified.
    pub(super) verified: bool,
}

impl Job {
    /// Lists the rows. Estimates are still to be made.
    pub(super) fn new(sweep: Sweep, dir: PathBuf, dataset: &Dataset, models: &Models, shard: Option<Shard>) -> Result<Self> {
        let plan = sweep.plan(&dataset.id.to_string(), dataset.test.len())?;
        let source = if sweep.has_grids() {
            source(dataset.description(), models, sweep.seed)
        } else {
            let data: BTreeSet<String> = plan.trainings.iter().map(|spec| spec.data.to_string()).collect();
            let dataset = data.into_iter().collect::<Vec<_>>().join(",");
            Source { data: Description { dataset, ..Description::default() }, seed: sweep.seed, models: BTreeMap::new() }
        };
        let mine = |task: &Task| shard.is_none_or(|shard| shard.holds(&task.definition(&sweep, &source)));
        let row = |task: Task| Row { id: task.id(&sweep, &source), task, estimate: Estimate::default() };
        let rows = tasks(&plan).filter(mine).map(row).collect();
        Ok(Self { sweep, dir, plan, source, shard, rows })
    }

    /// The inferences of this process.
    pub(super) fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.rows.iter().filter_map(|row| if let Task::Inference(spec) = &row.task { Some(spec) } else { None })
    }

    /// Its trainings.
    fn trainings(&self) -> impl Iterator<Item = &learning::Spec> {
        self.rows.iter().filter_map(|row| if let Task::Training(spec) = &row.task { Some(spec.as_ref()) } else { None })
    }

    /// Estimates what each row will cost.
    pub(super) fn estimate(&mut self, speeds: &Speeds, benches: &Benches) -> Result<()> {
        let threads = rayon::current_num_threads();
        // Many rows share a layout, and finding one is not free.
        let mut sizes = HashMap::new();
        let mut keys = HashSet::new();
        for row in &mut self.rows {
            check_stop()?;
            row.estimate = match &row.task {
                Task::Inference(spec) => {
                    let key = match spec.protection {
                        Protection::Paillier { key_bits, .. } => keys.insert(key_bits),
                        Protection::ClearFloat | Protection::ClearInteger | Protection::Eivhe { .. } => false,
                    };
                    let layout = Spec { threads: None, ..spec.clone() };
                    let size = *sizes.entry(layout).or_insert_with(|| benches.inference.size(spec).ok());
                    speeds.estimate(spec, self.sweep.sampling, size, threads, key)
                }
                Task::Training(spec) => speeds.estimate_training(spec, threads),
            };
        }
        Ok(())
    }

    /// The estimates of all rows together, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.rows.iter().map(|row| row.estimate.seconds).sum()
    }

    /// Rows of this process.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Measures what the folder does not hold yet and puts its CSVs together.
    pub(super) fn run(&self, benches: &mut Benches, retry_failed: bool) -> Result<Ended> {
        let dir = &self.dir;
        let journal = Journal::open(dir, self.shard)?;
        let found = journal.read()?;
        found.damaged.iter().for_each(|error| note(&format!("warning: {error}; that row is measured again")));
        let is_done = |row: &Row| found.entries.get(&row.id).is_some_and(|entry| entry.outcome.error.is_none() || !retry_failed);
        let (done, todo): (Vec<&Row>, Vec<&Row>) = self.rows.iter().partition(|row| is_done(row));
        if !found.entries.is_empty() || !found.damaged.is_empty() {
            let failed = done.iter().filter(|row| found.entries.get(&row.id).is_some_and(|e| e.outcome.error.is_some())).count();
            let retry = if failed > 0 { format!(" ({failed} of them failed; --retry-failed runs them again)") } else { String::new() };
            note(&format!("{}: {} of {} rows are done{retry}, {} to go", dir.display(), done.len(), self.rows.len(), todo.len()));
        }
        if !todo.is_empty() {
            if let Some(warning) = busy_warning(machine::load_average()) {
                note(&format!("warning: {warning}"));
            }
            unpublishable().iter().for_each(|reason| note(&format!("warning: not publishable: {reason}")));
        }
        let mut run = Run::start(self.source.clone());
        // The plan in its order, parts of other processes included: the folder shows the whole sweep.
        let order: Vec<String> = tasks(&self.plan).map(|task| task.id(&self.sweep, run.source())).collect();
        // Rows of another sweep, of other data or of another program need not have the same results.
        order.iter().filter_map(|id| found.entries.get(id)).for_each(|entry| run.recall(entry));
        drop(found);
        let measured = (|| {
            write_copy(dir, &self.sweep)?;
            if !todo.is_empty() {
                run.note_in(&journal, false)?;
            }
            measure(&self.sweep, &todo, &mut run, benches, &journal)
        })();
        match measured {
            Ok(()) if todo.is_empty() => {}
            Ok(()) => run.note_in(&journal, true)?,
            Err(Error::Interrupted) => {
                run.note_in(&journal, true)?;
                assemble(&run, &journal, self, &order)?;
                note(&format!("what is done stays in {}; the same command goes on", dir.display()));
                return Err(Error::Interrupted);
            }
            Err(error) => {
                note(&format!("what is done stays in {}; the same command goes on once the cause is gone", dir.display()));
                return Err(error);
            }
        }
        let (records, strangers) = assemble(&run, &journal, self, &order)?;
        if strangers > 0 {
            note(&format!(
                "{strangers} rows of other versions of the program or of the sweep file stay in {} and are left out of the CSVs",
                dir.join("rows").display()
            ));
        }
        warn_disturbed(&records, dir);
        let own: HashSet<&str> = self.rows.iter().map(|row| row.id.as_str()).collect();
        let verified = records.outcomes.iter().filter(|o| own.contains(o.row_id.as_str())).all(|o| o.verified);
        Ok(Ended { missing: order.len() - records.outcomes.len(), verified, records })
    }

    /// What is run and what is not, in words.
    pub(super) fn tell(&self) {
        if !self.sweep.question.is_empty() {
            note(&format!("question: {}", self.sweep.question));
        }
        let all = self.plan.specs.len() + self.plan.trainings.len();
        let part = self.shard.map_or_else(String::new, |shard| format!(", of them {} in part {shard}", self.rows.len()));
        let repeated = if self.plan.repeated > 0 { format!("; {} combinations named twice", self.plan.repeated) } else { String::new() };
        note(&format!("{}: {all} rows{part}{repeated}", self.sweep.path.display()));
        for rule in &self.plan.excluded {
            let unused = if rule.count == 0 { "; does it say what it means?" } else { "" };
            note(&format!("left out by the rule in line {}: {} combinations ({}){unused}", rule.line, rule.count, rule.reason));
        }
        if let Some(usable) = machine::usable_memory_bytes().map(|bytes| bytes as f64).filter(|&usable| usable < self.memory()) {
            note(&format!("warning: a row needs about {} of memory, this process can have {}", megabytes(self.memory()), megabytes(usable)));
        }
    }

    /// The rows with their estimates.
    fn json(&self) -> serde_json::Value {
        json!({
            "file": shown(&self.sweep.path), "question": self.sweep.question, "rows": self.rows.iter().map(|row| json!({
                "row_id": row.id, "spec": row.task.to_string(), "estimated_seconds": row.estimate.seconds,
                "estimated_memory_bytes": row.estimate.memory_bytes as u64, "estimated_wire_bytes": row.estimate.wire_bytes,
            })).collect::<Vec<_>>(),
            "excluded": self.plan.excluded.iter().map(|rule| json!({ "line": rule.line, "reason": rule.reason, "combinations": rule.count })).collect::<Vec<_>>(),
            "repeated": self.plan.repeated, "estimated_seconds": self.seconds(), "estimated_memory_bytes": self.memory() as u64, "estimated_wire_bytes": self.wire(),
        })
    }

    fn memory(&self) -> f64 {
        self.rows.iter().map(|row| row.estimate.memory_bytes).fold(0.0, f64::max)
    }

    fn wire(&self) -> u64 {
        self.rows.iter().map(|row| row.estimate.wire_bytes).sum()
    }

    fn text(&self) -> String {
        let mut text = String::from("  row_id               time    memory      wire  spec\n");
        for row in &self.rows {
            let Estimate { seconds, memory_bytes, wire_bytes } = row.estimate;
            let sizes = [megabytes(memory_bytes), megabytes(wire_bytes as f64)];
            text += &format!("  {}  {:>7}  {:>8}  {:>8}  {}\n", row.id, duration(seconds), sizes[0], sizes[1], row.task);
        }
        text + &format!(
            "{} rows: about {}, at most about {} of memory, {} on the wire for all images once\n",
            self.rows.len(),
            duration(self.seconds()),
            megabytes(self.memory()),
            megabytes(self.wire() as f64)
        )
    }
}

/// Prints what would be run.
pub(super) fn show(tasks: &[Job], json: bool) {
    if json {
        let plans: Vec<serde_json::Value> = tasks.iter().map(Job::json).collect();
        out_json(&if let [plan] = &plans[..] { plan.clone() } else { json!(plans) });
        return;
    }
    let mut text = String::from("estimates, right within a factor of two or three:\n");
    tasks.iter().for_each(|task| text += &task.text());
    if tasks.len() > 1 {
        let (rows, seconds) = (tasks.iter().map(Job::len).sum::<usize>(), tasks.iter().map(Job::seconds).sum());
        text += &format!("all {} sweeps: {rows} rows, about {}\n", tasks.len(), duration(seconds));
    }
    out(&text);
}

/// Refuses a folder that holds another run than a sweep's, or in which no file can be made. The journal locks it.
pub(super) fn check_sweep_folder(dir: &Path) -> Result<()> {
    if !Journal::is_in(dir) {
        check_free(dir, &FILES)?;
    }
    check_folder(dir, true)
}

/// Times the backends of some tasks, for estimates.
pub(super) fn speeds(tasks: &[Job]) -> Result<Speeds> {
    let specs: Vec<Spec> = tasks.iter().flat_map(Job::specs).cloned().collect();
    let trainings: Vec<learning::Spec> = tasks.iter().flat_map(Job::trainings).cloned().collect();
    let meter = Meter::start("estimating", 0, "rows");
    let speeds = Speeds::measure(&specs, &trainings, super::control());
    drop(meter);
    speeds
}

/// Prints the sweeps that come with the program.
fn list(json: bool) -> Result<bool> {
    let sweeps = sweep::all_shipped()?;
    if json {
        let rows: Vec<_> = sweeps.iter().map(|(name, sweep)| json!({ "name": name, "question": sweep.question })).collect();
        out_json(&json!(rows));
        return Ok(true);
    }
    let width = sweeps.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, sweep): &(&str, Sweep)| format!("  {name:<width$}  {}\n", sweep.question);
    out(&format!(
        "sweeps that come with the program (`cipherlane sweep NAME --dry-run` shows their rows):\n{}",
        sweeps.iter().map(line).collect::<String>()
    ));
    Ok(true)
}

/// Runs a sweep, or goes on with it.
pub(super) fn sweep(args: &SweepArgs, json: bool) -> Result<bool> {
    let Some(file) = &args.file else { return list(json) };
    let sweep = sweep::find(file)?;
    let dir = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("results/{}-local", sweep.name())));
    if !args.dry_run {
        check_sweep_folder(&dir)?;
    }
    // Trainings name their own data; the embedded digits are as good as any for a sweep of nothing else.
    let dataset = if sweep.has_grids() { open_dataset(&sweep.dataset, args.offline)? } else { Dataset::digits(String::new())? };
    let models = models_for(&dataset.description(), &sweep.features(), None)?;
    let mut task = Job::new(sweep, dir, &dataset, &models, args.shard)?;
    let mut benches = Benches::new(dataset.test, models, task.sweep.toy);
    task.estimate(&speeds(std::slice::from_ref(&task))?, &benches)?;
    task.tell();
    warn_unsound(task.specs());
    if args.dry_run {
        show(std::slice::from_ref(&task), json);
        return Ok(true);
    }
    let Ended { records, missing, verified } = task.run(&mut benches, args.retry_failed)?;
    warn_quantisation(&records);
    if json {
        out(&report::json(&records)?);
    } else {
        let dir = task.dir.display();
        out(&format!("\n{}", report::table(&records, Format::Text)));
        let missing = if missing > 0 { format!("; {missing} rows of the sweep are still to be run") } else { String::new() };
        out(&format!(
            "\n{dir}: samples.csv, outcomes.csv and run.toml of {} rows{missing}. `cipherlane report {dir} --details` shows spread and ratios.",
            records.outcomes.len()
        ));
    }
    Ok(verified)
}

/// Says how many rows were measured while something else took the machine's time.
pub(super) fn warn_disturbed(records: &Records, dir: &Path) {
    let rows = report::derive(records);
    let disturbed: Vec<&report::Row> = rows.iter().filter(|row| !row.disturbances.is_empty()).collect();
    if let Some(sign) = disturbed.first().and_then(|row| row.disturbances.first()) {
        note(&format!(
            "warning: {} of {} rows were measured on a disturbed machine, as: {sign}; `cipherlane report {} --details` says which",
            disturbed.len(),
            rows.len(),
            dir.display()
        ));
    }
}

fn megabytes(bytes: f64) -> String {
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}

pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Keeps the sweep file beside its results.
fn write_copy(dir: &Path, sweep: &Sweep) -> Result<()> {
    let path = dir.join(SWEEP);
    if read_text(&path, WRITTEN_BY_HAND).is_ok_and(|there| there == sweep.text) { Ok(()) } else { write_whole(&path, sweep.text.as_bytes()) }
}

/// Runs rows and writes each to the journal as it ends.
fn measure(sweep: &Sweep, todo: &[&Row], run: &mut Run, benches: &mut Benches, journal: &Journal) -> Result<()> {
    let watch = Stopwatch::start();
    let names = names(todo.iter().map(|row| row.task.planned(run, sweep)).collect());
    let mut left: f64 = todo.iter().map(|row| row.estimate.seconds).sum();
    let mut expected = 0.0;
    for (number, (row, name)) in todo.iter().zip(&names).enumerate() {
        check_stop()?;
        let name = format!("[{}/{}] {name}", number + 1, todo.len());
        let meter = match &row.task {
            Task::Inference(spec) => Meter::start(&name, spec.images as u64, "images"),
            Task::Training(spec) => Meter::start(&name, spec.total_steps() as u64, "mini-batches"),
        };
        // What rows took so far says how far off the estimates are.
        let spent = watch.elapsed().wall_ns as f64 / 1e9;
        let error = if expected > 1.0 { (spent / expected).clamp(0.05, 20.0) } else { 1.0 };
        // Sums of estimates come down to zero but for their rounding.
        meter.set_left(Duration::try_from_secs_f64(left * error).unwrap_or_default());
        let entry = match &row.task {
            Task::Inference(spec) => run.row(&mut benches.inference, spec, sweep.sampling, &mut |progress| {
                meter.set(progress.stage.name(), progress.done as u64);
                check_stop()
            }),
            Task::Training(spec) => run.training_row(&mut benches.training, spec, &mut |progress| {
                meter.set(progress.what, progress.step as u64);
                check_stop()
            }),
        }?;
        drop(meter);
        journal.add(&entry)?;
        left -= row.estimate.seconds;
        expected += row.estimate.seconds;
        note(&format!("{name}: {}", ending(&entry)));
    }
    Ok(())
}

/// Puts the CSVs together from the journal: the rows of the plan in its order. Also says how many rows of the journal are not of the plan.
fn assemble(run: &Run, journal: &Journal, job: &Job, order: &[String]) -> Result<(Records, usize)> {
    journal.assemble(|| {
        // Parts of different sweeps may share a folder: the CSVs and the sweep file beside them are of one.
        write_copy(&job.dir, &job.sweep)?;
        let mut entries = journal.read()?.entries;
        let mut records = Records::default();
        order.iter().filter_map(|id| entries.remove(id)).for_each(|entry| records.add(entry));
        run.assemble(journal, &job.dir, &records)?;
        Ok((records, entries.len()))
    })
}

/// Options of `compare`.
#[derive(Args, Clone, Debug)]
pub(super) struct CompareArgs {
    /// Results folder before
    first: PathBuf,
    /// Results folder after
    second: PathBuf,
    /// Differences of medians up to this many percent count as equal
    #[arg(long, default_value_t = 100.0 * THRESHOLD, value_name = "PERCENT")]
    threshold: f64,
}

/// Exit status of `compare` when something changed.
const CHANGED: u8 = 3;

/// The records of a folder that has some.
pub(super) fn read_rows(dir: &Path) -> Result<Records> {
    let records = Records::read(dir)?;
    if records.outcomes.is_empty() { Err(Error::file(&dir.join(OUTCOMES), "rows of results", "none")) } else { Ok(records) }
}

/// Says what changed between two results folders beyond noise.
pub(super) fn compare(args: &CompareArgs, json: bool) -> Result<ExitCode> {
    if !(0.0..=1000.0).contains(&args.threshold) {
        return Err(Error::OutOfRange { what: "--threshold", value: args.threshold.to_string(), allowed: "0 to 1000 percent".into() });
    }
    let comparison = compare_records(&read_rows(&args.first)?, &read_rows(&args.second)?, args.threshold / 100.0);
    if json {
        out_json(&serde_json::to_value(&comparison).map_err(|e| Error::Unsupported { subject: "JSON".into(), feature: e.to_string() })?);
    } else {
        out(&comparison_text(&comparison));
    }
    Ok(if comparison.is_changed() { ExitCode::from(CHANGED) } else { ExitCode::SUCCESS })
}

fn comparison_text(comparison: &Comparison) -> String {
    let mut text = String::new();
    let mut section = |verdict: Verdict, title: &str| {
        let pairs: Vec<&Pair> = comparison.pairs.iter().filter(|pair| pair.verdict == verdict).collect();
        if !pairs.is_empty() {
            text += &format!("{title}:\n");
            pairs.iter().for_each(|pair| text += &format!("  {}\n", pair_text(pair)));
        }
    };
    section(Verdict::Different, "different results");
    section(Verdict::Slower, "slower");
    section(Verdict::Faster, "faster");
    section(Verdict::Undecided, "undecided: too few or too short samples, or a disturbed machine");
    for (title, specs) in [("only in the first", &comparison.only_first), ("only in the second", &comparison.only_second)] {
        if !specs.is_empty() {
            text += &format!("{title}:\n");
            specs.iter().for_each(|spec| text += &format!("  {spec}\n"));
        }
    }
    comparison.notes.iter().for_each(|line| text += &format!("note: {line}\n"));
    let changed = if comparison.is_changed() { "changed" } else { "no change beyond noise" };
    text += &format!(
        "{changed}: {} rows compared, {} slower, {} faster, {} different, {} undecided, {} unchanged (threshold {:.3} %, 5 % chance of any false change)\n",
        comparison.pairs.len(),
        comparison.count(Verdict::Slower),
        comparison.count(Verdict::Faster),
        comparison.count(Verdict::Different),
        comparison.count(Verdict::Undecided),
        comparison.count(Verdict::Unchanged),
        100.0 * comparison.threshold
    );
    text
}

fn pair_text(pair: &Pair) -> String {
    let mut parts = vec![pair.spec.clone()];
    parts.extend(pair.differences.iter().cloned());
    if let (Some((a, b)), Some(ratio)) = (pair.median_ns, pair.ratio) {
        let interval =
            pair.interval.map_or_else(String::new, |(low, high)| format!(", 95 % {:+.1} to {:+.1} %", 100.0 * (low - 1.0), 100.0 * (high - 1.0)));
        parts.push(format!("{:.4} to {:.4} ms per image, {:+.1} %{interval}", a / 1e6, b / 1e6, 100.0 * (ratio - 1.0)));
        parts.extend(pair.cpu_ratio.map(|ratio| format!("processor time {:+.1} %", 100.0 * (ratio - 1.0))));
        parts.extend(pair.p.zip(pair.effect).map(|(p, effect)| format!("p {p:.4}, effect {effect:+.2}")));
        parts.push(format!("{} and {} samples", pair.samples.0, pair.samples.1));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.04, 12.0, 600.0, 10_000.0].map(duration), ["0.0 s", "12.0 s", "10 min", "2.8 h"]);
        assert_eq!([1.5e6, 2.5e9].map(megabytes), ["1.5 MB", "2.5 GB"]);
    }
}
