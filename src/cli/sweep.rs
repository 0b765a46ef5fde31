//! `sweep`, `merge`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::choices::registry;
use super::claims::check_folder;
use super::inputs::{models_for, open_dataset, warn_quantisation, warn_unsound};
use super::progress::Meter;
use super::stop::{check_stop, control};
use super::terminal::{note, out, out_json, shown};
use crate::dataset::Dataset;
use crate::error::Result;
use crate::machine;
use crate::measure::{self, Benches, Ended, Found, SweepRun, Watch};
use crate::record::journal::{Entry, Shard};
use crate::record::{Outcome, Records};
use crate::report::{self, Format, Naming};
use crate::sweep::{self, Sweep};
use crate::workload::estimate::{Estimate, Speeds};
use crate::workload::{Means, Progress, Source, Work};

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

/// Shows a sweep as it goes.
#[derive(Default)]
pub(super) struct Shown {
    names: Vec<String>,
    meter: Option<Meter>,
}

impl Shown {
    fn name(&self, number: usize) -> String {
        format!("[{}/{}] {}", number + 1, self.names.len(), self.names.get(number).map_or("", String::as_str))
    }
}

impl Watch for Shown {
    fn note(&mut self, line: &str) {
        note(line);
    }

    fn found(&mut self, dir: &Path, Found { rows, done, failed }: Found) {
        let retry = if failed > 0 { format!(" ({failed} of them failed; --retry-failed runs them again)") } else { String::new() };
        note(&format!("{}: {done} of {rows} rows are done{retry}, {} to go", dir.display(), rows - done));
    }

    fn plan(&mut self, rows: &[Outcome]) {
        self.names = names(rows.to_vec());
    }

    fn begin(&mut self, number: usize, work: Work, seconds: f64) {
        let meter = Meter::start(&self.name(number), work.total, work.unit);
        // Sums of estimates come down to zero but for their rounding.
        meter.set_left(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        self.meter = Some(meter);
    }

    fn progress(&mut self, progress: Progress) -> Result<()> {
        if let Some(meter) = &self.meter {
            meter.set(progress.what, progress.done);
        }
        check_stop()
    }

    fn end(&mut self, number: usize, entry: &Entry) {
        self.meter = None;
        note(&format!("{}: {}", self.name(number), ending(entry)));
    }
}

/// Says what is run and what is not.
pub(super) fn tell(run: &SweepRun<'_>) {
    let (sweep, plan) = (&run.sweep, run.plan());
    if !sweep.question.is_empty() {
        note(&format!("question: {}", sweep.question));
    }
    let part = run.shard().map_or_else(String::new, |shard| format!(", of them {} in part {shard}", run.rows().count()));
    let repeated = if plan.repeated > 0 { format!("; {} combinations named twice", plan.repeated) } else { String::new() };
    note(&format!("{}: {} rows{part}{repeated}", sweep.path.display(), plan.specs.len()));
    for rule in &plan.excluded {
        let unused = if rule.count == 0 { "; does it say what it means?" } else { "" };
        note(&format!("left out by the rule in line {}: {} combinations ({}){unused}", rule.line, rule.count, rule.reason));
    }
    let memory = run.memory_bytes();
    if let Some(usable) = machine::usable_memory_bytes().map(|bytes| bytes as f64).filter(|&usable| usable < memory) {
        note(&format!("warning: a row needs about {} of memory, this process can have {}", megabytes(memory), megabytes(usable)));
    }
}

/// The rows with their estimates.
fn json_of(run: &SweepRun<'_>) -> serde_json::Value {
    let row = |(id, spec, estimate): (&str, &crate::spec::Spec, Estimate)| {
        json!({
            "row_id": id, "spec": spec.to_string(), "estimated_seconds": estimate.seconds,
            "estimated_memory_bytes": estimate.memory_bytes as u64, "estimated_wire_bytes": estimate.wire_bytes,
        })
    };
    json!({
        "file": shown(&run.sweep.path), "question": run.sweep.question, "rows": run.rows().map(row).collect::<Vec<_>>(),
        "excluded": run.plan().excluded.iter().map(|rule| json!({ "line": rule.line, "reason": rule.reason, "combinations": rule.count })).collect::<Vec<_>>(),
        "repeated": run.plan().repeated, "estimated_seconds": run.seconds(), "estimated_memory_bytes": run.memory_bytes() as u64, "estimated_wire_bytes": run.wire_bytes(),
    })
}

fn text_of(run: &SweepRun<'_>) -> String {
    let mut text = String::from("  row_id               time    memory      wire  spec\n");
    for (id, spec, Estimate { seconds, memory_bytes, wire_bytes }) in run.rows() {
        let sizes = [megabytes(memory_bytes), megabytes(wire_bytes as f64)];
        text += &format!("  {id}  {:>7}  {:>8}  {:>8}  {spec}\n", duration(seconds), sizes[0], sizes[1]);
    }
    text + &format!(
        "{} rows: about {}, at most about {} of memory, {} on the wire for all images once\n",
        run.rows().count(),
        duration(run.seconds()),
        megabytes(run.memory_bytes()),
        megabytes(run.wire_bytes() as f64)
    )
}

/// Prints what would be run.
pub(super) fn show<'a>(runs: impl Iterator<Item = &'a SweepRun<'a>>, json: bool) {
    let runs: Vec<&SweepRun<'_>> = runs.collect();
    if json {
        let plans: Vec<serde_json::Value> = runs.iter().map(|run| json_of(run)).collect();
        out_json(&if let [plan] = &plans[..] { plan.clone() } else { json!(plans) });
        return;
    }
    let mut text = String::from("estimates, right within a factor of two or three:\n");
    runs.iter().for_each(|run| text += &text_of(run));
    if runs.len() > 1 {
        let (rows, seconds) = (runs.iter().map(|run| run.rows().count()).sum::<usize>(), runs.iter().map(|run| run.seconds()).sum());
        text += &format!("all {} sweeps: {rows} rows, about {}\n", runs.len(), duration(seconds));
    }
    out(&text);
}

/// Refuses a folder that holds another run than a sweep's, or in which no file can be made. The journal locks it.
pub(super) fn check_sweep_folder(dir: &Path) -> Result<()> {
    SweepRun::check_folder(dir)?;
    check_folder(dir, true)
}

/// Times the backends of some sweeps, for estimates.
pub(super) fn speeds<'a>(runs: impl Iterator<Item = &'a SweepRun<'a>>, benches: &Benches) -> Result<Speeds> {
    let _meter = Meter::start("estimating", 0, "rows");
    SweepRun::speeds(runs, benches)
}

/// Prints the sweeps that come with the program.
fn list(json: bool) -> Result<bool> {
    let sweeps = sweep::all_shipped(registry())?;
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
    let sweep = sweep::find(registry(), file)?;
    let dir = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("results/{}-local", sweep.name())));
    if !args.dry_run {
        check_sweep_folder(&dir)?;
    }
    // Trainings name their own data; the embedded digits are as good as any for a sweep of nothing else.
    let dataset = if sweep.takes_images() { open_dataset(&sweep.dataset, args.offline)? } else { Dataset::digits(String::new())? };
    let mut benches = benches_for(&dataset, &sweep.features(), sweep.seed, sweep.toy)?;
    let mut run = SweepRun::new(registry(), sweep, dir, &dataset, &mut benches, args.shard)?;
    let speeds = speeds(std::iter::once(&run), &benches)?;
    run.estimate(&speeds, &mut benches)?;
    tell(&run);
    warn_unsound(run.specs());
    if args.dry_run {
        show(std::iter::once(&run), json);
        return Ok(true);
    }
    let Ended { records, missing, verified } = run.run(&mut benches, args.retry_failed, &mut Shown::default())?;
    warn_disturbed(&records, &run.dir);
    warn_quantisation(&records);
    let missing = if missing > 0 { format!("; {missing} rows of the sweep are still to be run") } else { String::new() };
    print(&records, &run.dir, &missing, json)?;
    Ok(verified)
}

/// Benches for the images of a dataset.
pub(super) fn benches_for(dataset: &Dataset, features: &[crate::features::FeatureMap], seed: u64, allow_toy: bool) -> Result<Benches> {
    let data = dataset.description();
    let models = models_for(&data, features, None)?;
    let source = Source::new(data, &models, seed);
    Ok(Benches::new(registry(), Means { images: dataset.test.clone(), models, source, allow_toy, control: control().clone() }))
}

/// The table of a folder that has been put together.
fn print(records: &Records, dir: &Path, missing: &str, json: bool) -> Result<()> {
    if json {
        out(&report::json(records)?);
        return Ok(());
    }
    out(&format!("\n{}", report::table(records, Format::Text)));
    let (dir, rows) = (dir.display(), records.outcomes.len());
    out(&format!(
        "\n{dir}: samples.csv, outcomes.csv and run.toml of {rows} rows{missing}. `cipherlane report {dir} --details` shows spread and ratios."
    ));
    Ok(())
}

/// Options of `merge`.
#[derive(Args, Clone, Debug)]
pub(super) struct MergeArgs {
    /// Results folders of the parts of one sweep
    #[arg(required = true)]
    from: Vec<PathBuf>,
    /// Folder for all of it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Take the rows that were measured with this many threads [default: those that most have]
    #[arg(long, value_name = "N")]
    of_threads: Option<u32>,
}

/// Puts the parts of a sweep together. Measures nothing.
pub(super) fn merge(args: &MergeArgs, json: bool) -> Result<bool> {
    check_sweep_folder(&args.out)?;
    let merged = measure::merge(&args.from, &args.out, args.of_threads)?;
    merged.damaged.iter().for_each(|error| note(&format!("warning: {error}; that row is left out")));
    for (threads, rows) in &merged.others {
        note(&format!(
            "{rows} rows measured with {threads} threads are left out; --of-threads {threads} takes them and leaves out those of {}",
            merged.threads
        ));
    }
    merged.missing.iter().for_each(|spec| note(&format!("missing: {spec}")));
    let missing = if merged.missing.is_empty() { String::new() } else { format!("; {} rows of the sweep are missing", merged.missing.len()) };
    print(&merged.records, &args.out, &missing, json)?;
    Ok(merged.missing.is_empty() && merged.records.outcomes.iter().all(|o| o.verified))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.04, 12.0, 600.0, 10_000.0].map(duration), ["0.0 s", "12.0 s", "10 min", "2.8 h"]);
        assert_eq!([1.5e6, 2.5e9].map(megabytes), ["1.5 MB", "2.5 GB"]);
    }
}
