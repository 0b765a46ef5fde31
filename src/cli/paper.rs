//! `paper`: the sweeps of a setting, or results that are there, as a report with tables, figures and checked claims.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::choices::registry;
use super::inputs::open_dataset;
use super::stop::check_stop;
use super::sweep::{Shown, benches_for, check_sweep_folder, duration, show, speeds, warn_disturbed};
use super::terminal::{note, out, out_json, shown};
use crate::dataset::{Dataset, DatasetChoice};
use crate::durable::{Charter, Claim, RESULTS, read_text, write_whole, writing};
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::measure::{Benches, SweepRun};
use crate::paper::cells::Cells;
use crate::paper::claims::{Claims, State, Verdict, check};
use crate::paper::derived::tables;
use crate::paper::{Document, Figure, Ingredients, Part, merged, outline, report};
use crate::plot::{Beside, FileKind, draw_one};
use crate::record::{FIGURES, OUTCOMES, RUN, Records, SAMPLES, SWEEP};
use crate::report::{Format, peers, quoted, render};
use crate::stopwatch::{Stopwatch, timestamp};
use crate::sweep::{Extent, Sweep, setting_of, shipped};

/// Options of `paper`.
#[derive(Args, Clone, Debug)]
pub(super) struct PaperArgs {
    /// quick (under ten minutes on two cores) or full (hours)
    #[arg(long, default_value = "quick", conflicts_with = "from")]
    setting: Extent,
    /// Put the report together from these results folders, or folders of them, without measuring
    #[arg(long, value_name = "DIR", num_args = 1..)]
    from: Vec<PathBuf>,
    /// Folder of the report; what was stopped goes on there [default: results/paper-SETTING-local]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another dataset than the sweep files name: digits, mnist, or a folder with IDX files
    #[arg(long, conflicts_with = "from")]
    dataset: Option<DatasetChoice>,
    /// The sweep files of this folder in place of those of the setting
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from", "setting"])]
    sweeps: Option<PathBuf>,
    /// The claims of this file in place of those that come with the program (benches/claims.toml)
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Only print what would be run, with estimates
    #[arg(long, conflicts_with = "from")]
    dry_run: bool,
    /// Run rows again that failed
    #[arg(long, conflicts_with = "from")]
    retry_failed: bool,
    /// Do not use the network
    #[arg(long)]
    offline: bool,
}

/// Files of the report.
pub(super) const REPORT_MARKDOWN: &str = "report.md";
const REPORT_LATEX: &str = "report.tex";
const CLAIMS: &str = "claims.csv";
const TABLES: &str = "tables";
/// What is written anew each time.
const FILES: [&str; 5] = [REPORT_MARKDOWN, REPORT_LATEX, CLAIMS, TABLES, FIGURES];

/// Measures where need be, writes the report and says which claims failed.
pub(super) fn paper(args: &PaperArgs, json: bool) -> Result<bool> {
    let claims = args.claims.as_deref().map_or_else(Claims::shipped, Claims::read)?;
    let dir = args.out.clone().unwrap_or_else(|| {
        let name = match (&args.sweeps, args.from.is_empty()) {
            (_, false) => "from",
            (Some(_), _) => "own",
            (None, _) => args.setting.name(),
        };
        PathBuf::from(format!("results/paper-{name}-local"))
    });
    let watch = Stopwatch::start();
    let charter = Charter::new("paper");
    let _claim = if args.dry_run { None } else { Some(Claim::resumed(&dir, &FILES, &charter)?) };
    let (mut parts, verified) = if args.from.is_empty() {
        match measure(args, &dir, json)? {
            Some(measured) => measured,
            None => return Ok(true),
        }
    } else {
        let mut parts = Vec::new();
        for from in &args.from {
            parts.extend(found(from)?);
        }
        let folders = Folders::of(args, &dir);
        for part in &mut parts {
            (part.folder, part.command) = (folders.reader(&part.folder), folders.reader(&part.command));
        }
        let verified = parts.iter().flat_map(|p| &p.records.outcomes).all(|o| o.verified);
        (parts, verified)
    };
    let verdicts = check(&claims, &tables(&parts)?, args.from.is_empty());
    let quoted = quoted::read(None)?;
    let command = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let command = Folders::of(args, &dir).reader(&format!("cipherlane {}", command.join(" ")));
    charter.claim(&dir, &FILES)?;
    let figures = draw(&mut parts, &dir, &command, &quoted, &args.from)?;
    let date = day(&parts);
    let document = report(Ingredients { parts: &parts, figures: &figures, verdicts: &verdicts, quoted: &quoted, command: &command, date: &date });
    write(&document, &verdicts, &dir)?;
    let seconds = watch.elapsed().wall_ns as f64 / 1e9;
    tell(&parts, &figures, &verdicts, &dir, seconds, json);
    let held = verdicts.iter().all(|v| v.state != State::Failed);
    Ok(verified && held)
}

/// How a reader names the folders of a report: below `results/`, or DIR where they lie elsewhere.
/// Nobody has the temporary folders of this machine.
struct Folders(Vec<(PathBuf, String)>);

impl Folders {
    fn of(args: &PaperArgs, dir: &Path) -> Self {
        let foreign = |path: &Path, other: &str| -> (PathBuf, String) {
            let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
            let below = parts.iter().rposition(|part| *part == "results").map(|at| parts[at..].join("/"));
            (path.to_owned(), below.filter(|name| name.contains('/')).unwrap_or_else(|| other.into()))
        };
        let from = args.from.iter().enumerate();
        let from = from.map(|(at, path)| foreign(path, &if args.from.len() > 1 { format!("FROM-{}", at + 1) } else { "FROM".into() }));
        let mut all: Vec<(PathBuf, String)> = from.chain([foreign(dir, "DIR")]).collect();
        // A folder inside another first.
        all.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_os_str().len()));
        Self(all)
    }

    /// A command, or a path, with these names for the folders; any other absolute path is DIR.
    fn reader(&self, command: &str) -> String {
        let named = |word: &str| -> String {
            let (option, path) = word.split_once('=').filter(|(option, _)| option.starts_with("--")).map_or(("", word), |(o, p)| (o, p));
            let inside = self.0.iter().find_map(|(folder, name)| Some((Path::new(path).strip_prefix(folder).ok()?, name)));
            let path = match inside {
                Some((rest, name)) if rest.as_os_str().is_empty() => name.clone(),
                Some((rest, name)) => format!("{name}/{}", rest.display()),
                None if Path::new(path).is_absolute() => "DIR".into(),
                None => path.into(),
            };
            if option.is_empty() { path } else { format!("{option}={path}") }
        };
        command.split(' ').map(named).collect::<Vec<_>>().join(" ")
    }
}

/// The day on which the last row was measured, or today where no run says it: the same results give the same report.
fn day(parts: &[Part]) -> String {
    let ends = parts.iter().filter_map(|part| part.run.get("finished").or_else(|| part.run.get("started"))?.as_str());
    ends.max().map_or_else(timestamp, str::to_owned).chars().take(10).collect()
}

/// Runs the sweeps, or only shows them: then there is nothing. Also whether every row was verified.
fn measure(args: &PaperArgs, dir: &Path, json: bool) -> Result<Option<(Vec<Part>, bool)>> {
    let mut sweeps = match &args.sweeps {
        Some(folder) => own_sweeps(folder)?,
        None => shipped(registry(), args.setting)?,
    };
    // Trainings name their own data.
    sweeps = sweeps.into_iter().map(|sweep| if sweep.takes_images() { sweep } else { sweep.on(DatasetChoice::Digits) }).collect();
    if let Some(choice) = &args.dataset {
        sweeps = sweeps.into_iter().map(|sweep| sweep.on(choice.clone())).collect();
    }
    if !args.dry_run {
        sweeps.iter().try_for_each(|sweep| check_sweep_folder(&dir.join(sweep.name())))?;
    }
    let toy = sweeps.iter().any(|sweep| sweep.toy);
    // Sweeps of one dataset and seed share its images and the keys.
    let mut opened: Vec<(DatasetChoice, u64, Dataset, Benches)> = Vec::new();
    let mut runs = Vec::new();
    for sweep in sweeps {
        let at = match opened.iter().position(|(choice, seed, ..)| *choice == sweep.dataset && *seed == sweep.seed) {
            Some(at) => at,
            None => {
                let dataset = open_dataset(&sweep.dataset, args.offline).inspect_err(|error| {
                    if matches!(error, Error::DatasetMissing { .. }) {
                        note("without MNIST neither its accuracy nor any claim on it can be checked; `--dataset digits` makes the report on the embedded 8x8 digits and says so");
                    }
                })?;
                let benches = benches_for(&dataset, &FeatureMap::ALL, sweep.seed, toy)?;
                opened.push((sweep.dataset.clone(), sweep.seed, dataset, benches));
                opened.len() - 1
            }
        };
        let folder = dir.join(sweep.name());
        let (_, _, dataset, benches) = &mut opened[at];
        runs.push((at, SweepRun::new(registry(), sweep, folder, dataset, benches, None)?));
    }
    for (at, (.., benches)) in opened.iter_mut().enumerate() {
        let own: Vec<&mut SweepRun<'_>> = runs.iter_mut().filter(|(of, _)| *of == at).map(|(_, run)| run).collect();
        let speeds = speeds(own.iter().map(|run| &**run), benches)?;
        own.into_iter().try_for_each(|run| run.estimate(&speeds, benches))?;
    }
    let all = || runs.iter().map(|(_, run)| run);
    if args.dry_run {
        show(all(), json);
        return Ok(None);
    }
    let (rows, seconds) = (all().map(|run| run.rows().count()).sum::<usize>(), all().map(SweepRun::seconds).sum());
    note(&format!(
        "{} sweeps, {rows} rows: about {} where nothing is done yet, right within a factor of two or three",
        runs.len(),
        duration(seconds)
    ));
    let (mut parts, mut verified) = (Vec::new(), true);
    for (at, run) in &runs {
        check_stop()?;
        super::sweep::tell(run);
        let ended = run.run(&mut opened[*at].3, args.retry_failed, &mut Shown::default())?;
        warn_disturbed(&ended.records, &run.dir);
        verified &= ended.verified;
        let mut part = part(&run.dir)?;
        // The sweep file alone says another dataset.
        let command = match &args.dataset {
            None => format!("cipherlane sweep {} --out {}", run.sweep.path.display(), run.dir.display()),
            Some(choice) => format!("cipherlane paper --dataset {choice} --out {}", dir.display()),
        };
        let folders = Folders::of(args, dir);
        (part.command, part.folder, part.name) = (folders.reader(&command), folders.reader(&part.folder), run.sweep.name());
        parts.push(part);
    }
    Ok(Some((parts, verified)))
}

/// The sweep files of a folder that belong into a report, by name.
fn own_sweeps(folder: &Path) -> Result<Vec<Sweep>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    paths.sort();
    let sweeps = paths.iter().map(|path| Sweep::read(registry(), path)).collect::<Result<Vec<_>>>()?;
    let sweeps: Vec<Sweep> = sweeps.into_iter().filter(|sweep| sweep.paper).collect();
    if sweeps.is_empty() { Err(Error::file(folder, "sweep files (*.toml) for a report", "none")) } else { Ok(sweeps) }
}

/// The results in a folder, or in the folders in it.
fn found(dir: &Path) -> Result<Vec<Part>> {
    if dir.join(OUTCOMES).is_file() {
        return Ok(vec![part(dir)?]);
    }
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|path| path.join(OUTCOMES).is_file()).collect();
    folders.sort();
    if folders.is_empty() {
        return Err(Error::file(dir, format!("{OUTCOMES}, or folders with it"), "neither"));
    }
    folders.iter().map(|folder| part(folder)).collect()
}

/// Reads a results folder.
fn part(dir: &Path) -> Result<Part> {
    let records = Records::read(dir)?;
    let read = |name: &str| read_text(&dir.join(name), RESULTS).unwrap_or_default();
    let run: toml::Table = read(RUN).parse().unwrap_or_default();
    let copy = read(SWEEP);
    let from = setting_of(&copy);
    let folder = dir.file_name().map_or_else(|| "results".into(), |name| name.to_string_lossy().into_owned());
    let name = from
        .and_then(|(_, path)| Path::new(path).file_stem())
        .map_or_else(|| folder.trim_end_matches("-local").into(), |s| s.to_string_lossy().into_owned());
    // What a sweep says of itself is a help, not a result.
    let sweep = Sweep::parse(registry(), &dir.join(SWEEP), copy).ok();
    let own =
        run.get("command").and_then(toml::Value::as_str).and_then(|command| command.split_once(' ')).map(|(_, words)| format!("cipherlane {words}"));
    Ok(Part {
        name,
        setting: from.map_or_else(String::new, |(setting, _)| setting.into()),
        folder: shown(dir),
        question: sweep.as_ref().map_or_else(String::new, |sweep| sweep.question.clone()),
        expected: sweep.as_ref().map_or_else(String::new, Sweep::expected),
        command: own.unwrap_or_default(),
        records,
        run,
        others: others(dir)?,
    })
}

/// Every CSV of a folder but those of its records.
fn others(dir: &Path) -> Result<BTreeMap<String, Cells>> {
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    let mut found = BTreeMap::new();
    for path in entries.flatten().map(|e| e.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".csv") && name != SAMPLES && name != OUTCOMES {
            found.insert(name, Cells::read(&path)?);
        }
    }
    Ok(found)
}

/// Draws what the report wants.
fn draw(parts: &mut [Part], dir: &Path, command: &str, quoted: &[quoted::Quoted], from: &[PathBuf]) -> Result<Vec<Figure>> {
    let wanted = outline(parts);
    let all = merged(parts);
    let measured = from.iter().find_map(|dir| peers::find(dir)).map(|path| peers::read(&path)).transpose()?.unwrap_or_default();
    let beside = Beside { quoted, peers: &measured };
    let mut figures = Vec::new();
    for mut wanted in wanted {
        check_stop()?;
        let records = wanted.part.as_ref().and_then(|name| parts.iter().find(|part| part.name == *name)).map_or(&all, |part| &part.records);
        let drawn = draw_one(records, dir, (wanted.figure, &wanted.name), &FileKind::ALL, beside)?;
        if wanted.command.is_empty() {
            wanted.command = command.into();
        }
        figures.push(Figure { wanted, left_out: drawn.err() });
    }
    Ok(figures)
}

/// Writes the report, its tables and the verdicts, each file whole or not at all.
fn write(document: &Document, verdicts: &[Verdict], dir: &Path) -> Result<()> {
    let _writing = writing();
    let folder = dir.join(TABLES);
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    for (exhibit, table) in document.tables() {
        for (ending, format) in [("md", Format::Markdown), ("tex", Format::Latex), ("csv", Format::Csv)] {
            write_whole(&folder.join(format!("{}.{ending}", exhibit.name)), render(table.clone(), format).as_bytes())?;
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let path = dir.join(CLAIMS);
    let bad = |e: csv::Error| Error::file(&path, "rows that can be written", e.to_string());
    writer.write_record(["name", "state", "expected", "actual", "text", "command"]).map_err(bad)?;
    for v in verdicts {
        writer.write_record([&v.name, v.state.name(), &v.expected, &v.actual, &v.text, &v.command]).map_err(bad)?;
    }
    let bytes = writer.into_inner().map_err(|e| Error::file(&path, "rows that can be written", e.to_string()))?;
    write_whole(&path, &bytes)?;
    write_whole(&dir.join(REPORT_LATEX), document.latex().as_bytes())?;
    write_whole(&dir.join(REPORT_MARKDOWN), document.markdown().as_bytes())
}

/// Says what came of it; a failed claim is a line of its own on standard error.
fn tell(parts: &[Part], figures: &[Figure], verdicts: &[Verdict], dir: &Path, seconds: f64, json: bool) {
    let count = |state| verdicts.iter().filter(|v| v.state == state).count();
    let rows: usize = parts.iter().map(|part| part.records.outcomes.len()).sum();
    let drawn = figures.iter().filter(|f| f.left_out.is_none()).count();
    if json {
        out_json(&json!({
            "folder": shown(dir), "report": shown(&dir.join(REPORT_MARKDOWN)), "latex": shown(&dir.join(REPORT_LATEX)), "rows": rows, "seconds": seconds,
            "figures": figures.iter().filter(|f| f.left_out.is_none()).map(|f| f.wanted.name.clone()).collect::<Vec<_>>(),
            "left_out": figures.iter().filter_map(|f| Some((f.wanted.name.clone(), f.left_out.clone()?.into()))).collect::<serde_json::Map<_, _>>(),
            "claims": verdicts.iter().map(|v| json!({
                "name": v.name, "state": v.state.name(), "expected": v.expected, "actual": v.actual, "text": v.text, "command": v.command,
            })).collect::<Vec<_>>(),
        }));
    } else {
        out(&format!(
            "{}: {REPORT_MARKDOWN}, {REPORT_LATEX} (compile with pdflatex), {CLAIMS}, {TABLES}/ and {drawn} figures of {} sweeps with {rows} rows, in {}",
            dir.display(),
            parts.len(),
            duration(seconds)
        ));
        out(&format!("claims: {} held, {} failed, {} not checked", count(State::Held), count(State::Failed), count(State::NotChecked)));
    }
    for figure in figures {
        if let Some(reason) = &figure.left_out {
            note(&format!("no figure {}: {reason}", figure.wanted.name));
        }
    }
    verdicts.iter().filter(|v| v.state == State::NotChecked).for_each(|v| note(&v.line()));
    verdicts.iter().filter(|v| v.state == State::Failed).for_each(|v| note(&v.line()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_folders_as_a_reader_would() {
        let of = |dir: &str| Folders(vec![(PathBuf::from("/x/results/main"), "results/main".into()), (PathBuf::from(dir), "DIR".into())]);
        let reader = |dir: &str, text: &str| of(dir).reader(text);
        assert_eq!(reader("/tmp/a", "cipherlane paper --out /tmp/a --offline"), "cipherlane paper --out DIR --offline");
        assert_eq!(reader("/tmp/a", "cipherlane sweep benches/x.toml --out=/tmp/a/main"), "cipherlane sweep benches/x.toml --out=DIR/main");
        assert_eq!(reader("/tmp/a", "cipherlane plot /x/results/main/y"), "cipherlane plot results/main/y");
        assert_eq!(reader("r", "cipherlane paper --out r --from /elsewhere/z"), "cipherlane paper --out DIR --from DIR");
    }
}
