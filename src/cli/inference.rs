//! `run`, `report`, `plot`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::paper::REPORT_MARKDOWN;
use super::progress::Meter;
use super::sweep::{ending, names, read_rows, warn_disturbed};
use super::{check_stop, claim_file, claim_results, method_name, note, out, out_json, shown};
use crate::backend::{self, BackendId};
use crate::dataset::{Dataset, DatasetChoice, Images};
use crate::description::Description;
use crate::durable::{Claim, RESULTS, WRITTEN_BY_HAND, read_text, write_whole};
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::machine;
use crate::measure::{ModelSource, Run, Source, busy_warning};
use crate::model::{self, TrainedModel};
use crate::plot::{self as figures, Beside, FileKind};
use crate::quantise::Precision;
use crate::record::leakage::{self, Experiment};
use crate::record::{OUTCOMES, Records, SAMPLES};
use crate::report::{self, Format, peers, quantisation, quoted};
use crate::scheme::eivhe::{Route, Setting};
use crate::scheme::paillier::{Encryption, Rerandomisation, check_bits};
use crate::sweep::{Grid, once};
use crate::workload::inference::Bench;
use crate::workload::{PackingChoice, PoolChoice, Protection, Sampling, Scenario, Spec, method_choice};

/// Options of `run`. Lists are separated by commas; every combination is run.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// auto (MNIST if it is here or quickly fetched, else digits), mnist, digits, or a folder with IDX files
    #[arg(long, default_value = "auto")]
    dataset: DatasetChoice,
    /// Public feature maps, computed in clear by the image's owner: pixels, gradients [default:
    /// both, or that of --model]
    #[arg(long, value_delimiter = ',')]
    features: Vec<FeatureMap>,
    /// Bits of a feature, 1 to 12 [default: 8 for pixels, 4 for gradients]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    feature_bits: Vec<u32>,
    /// Bits of a weight with its sign, 2 to 16 [default: 8 for pixels, 4 for gradients]
    #[arg(long, value_delimiter = ',', value_name = "N")]
    weight_bits: Vec<u32>,
    /// A trained model file in place of the embedded models; needed for other datasets than mnist and digits
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Bits of the Paillier modulus n
    #[arg(long, value_delimiter = ',', default_value = "2048", value_name = "BITS")]
    key_bits: Vec<u32>,
    /// Backends: all (of this machine, without GPUs in software), none (plaintext only), reference, gmp, ifma, gpu
    #[arg(long, value_delimiter = ',', default_value = "all", value_parser = backend_name)]
    backend: Vec<String>,
    /// Plans of the encrypted product: auto (fewest products), pairs, buckets, straus, naive
    #[arg(long, value_delimiter = ',', default_value = "auto", value_parser = method_name)]
    method: Vec<String>,
    /// How randomisers are made: owner (exact, by the key owner), djn, standard (r^n)
    #[arg(long, value_delimiter = ',', default_value = "owner")]
    encryption: Vec<Encryption>,
    /// Images in one ciphertext, offline: auto (as many as fit), off, or a number
    #[arg(long, default_value = "auto")]
    packing: PackingChoice,
    /// Inputs of the image in one ciphertext, one image at a time: auto (as many as cost least), or a number; 1 leaves every input alone
    #[arg(long, default_value = "auto", value_name = "auto|N", value_parser = PackingChoice::of_inputs)]
    inputs_per_ciphertext: PackingChoice,
    /// How the server re-randomises results: auto (bases for 100 results and more), bases (its own random bases), standard (r^n)
    #[arg(long, default_value = "auto", value_name = "WAY")]
    rerandomise: Rerandomisation,
    /// Who makes randomisers ahead of the images, as a phase of its own: none, server (for its results), both
    #[arg(long, value_delimiter = ',', default_value = "none", value_name = "WHO")]
    pool: Vec<PoolChoice>,
    /// Most MiB of the tables of each side; they grow with the number of images
    #[arg(long, default_value_t = 128, value_name = "MIB")]
    table_mib: u32,
    /// Integer-vector encryption beside Paillier: integers (payor), secureldata, trask (as published, broken), lwe (modulo q, sound) [default: none]
    #[arg(long, value_delimiter = ',', value_name = "SETTING")]
    eivhe: Vec<Setting>,
    /// How integer-vector encryption applies the model: switch (by a matrix of the client, as in the papers), direct (without)
    #[arg(long, value_delimiter = ',', default_value = "switch", value_name = "ROUTE")]
    eivhe_route: Vec<Route>,
    /// offline (full batches: throughput) or single (one image at a time: latency)
    #[arg(long, value_delimiter = ',', default_value = "offline")]
    scenario: Vec<Scenario>,
    /// Images from the start of the test set [default: all; the reference backend gets at most 100]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Repeat batches until this many were timed, each with fresh randomness [default: 6 for
    /// batches under about a second, else 1]
    #[arg(long, value_name = "N")]
    min_samples: Option<u32>,
    /// Repeat batches until their online time is this long
    #[arg(long, default_value_t = 0, value_name = "MS")]
    min_time: u32,
    /// Do not keep the times of batches that begin in the first this many milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    warm_up: u32,
    /// Seed of keys and randomisers: equal seeds give equal ciphertexts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Results folder [default: results/DATE-TIME-local]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
    /// Do not use the network
    #[arg(long)]
    offline: bool,
}

impl Default for RunArgs {
    fn default() -> Self {
        Self {
            dataset: DatasetChoice::Auto,
            features: Vec::new(),
            feature_bits: Vec::new(),
            weight_bits: Vec::new(),
            model: None,
            key_bits: vec![2048],
            backend: vec!["all".into()],
            method: vec!["auto".into()],
            encryption: vec![Encryption::Owner],
            packing: PackingChoice::Auto,
            inputs_per_ciphertext: PackingChoice::Auto,
            rerandomise: Rerandomisation::Auto,
            pool: vec![PoolChoice::None],
            table_mib: 128,
            eivhe: Vec::new(),
            eivhe_route: vec![Route::Switch],
            scenario: vec![Scenario::Offline],
            images: None,
            min_samples: None,
            min_time: 0,
            warm_up: 0,
            seed: 1,
            out: None,
            toy: false,
            offline: false,
        }
    }
}

impl RunArgs {
    /// The main job on the GPU: a few times once its clock is up, or in software once.
    pub(super) fn on_gpu(software: bool) -> Self {
        let (warm_up, min_samples) = if software { (0, 1) } else { (2000, 5) };
        Self { backend: vec![BackendId::Gpu.name().into()], warm_up, min_samples: Some(min_samples), ..Self::default() }
    }

    /// The feature maps that were asked for, else those that there are models of.
    fn features(&self) -> Result<Vec<FeatureMap>> {
        match &self.model {
            _ if !self.features.is_empty() => Ok(self.features.clone()),
            Some(path) => Ok(vec![TrainedModel::read(path)?.origin.features]),
            None => Ok(FeatureMap::ALL.to_vec()),
        }
    }

    fn sampling(&self) -> Sampling {
        let asked = Sampling { warm_up_ms: self.warm_up, least_ms: self.min_time, ..Sampling::ONCE };
        match self.min_samples {
            Some(least_samples) => Sampling { least_samples, ..asked },
            None if self.min_time > 0 => asked,
            None => {
                let (least_samples, most_ms) = (Sampling::SHORT.least_samples, Sampling::SHORT.most_ms.saturating_add(self.warm_up));
                Sampling { least_samples, most_ms, ..asked }
            }
        }
    }
}

/// Opens a dataset, with progress when it has to be fetched, and says which it is.
pub(super) fn open_dataset(choice: &DatasetChoice, offline: bool) -> Result<Dataset> {
    let meter = Meter::start("fetching MNIST", 0, "bytes");
    let dataset = choice.open(
        offline,
        &|p| {
            meter.set_total(p.total_bytes.unwrap_or(0));
            meter.set(p.url, p.bytes);
        },
        super::control(),
    )?;
    drop(meter);
    note(&format!("dataset: {}{}", dataset.origin, if dataset.note.is_empty() { String::new() } else { format!(" ({})", dataset.note) }));
    warn_dim("test", &dataset.test);
    Ok(dataset)
}

/// The training set of a dataset. That its pixels alone are on another scale is said, too.
pub(super) fn training_of(dataset: &Dataset) -> Result<Images> {
    let training = dataset.training()?;
    if dataset.test.dim().is_none() {
        warn_dim("training", &training);
    }
    Ok(training)
}

/// Says when pixels lie far below the white that they are divided by.
fn warn_dim(part: &str, images: &Images) {
    if let Some(largest) = images.dim() {
        let white = images.max_pixel;
        note(&format!(
            "warning: the largest pixel of the {part} images is {largest}, white is {white}: they are taken as dark; scale pixels to 0 to {white}"
        ));
    }
}

/// The model for a dataset and feature map: the file where one is given, else the embedded one.
pub(super) fn model_for(dataset: &str, features: FeatureMap, file: Option<&PathBuf>) -> Result<TrainedModel> {
    match file {
        Some(path) => TrainedModel::read(path),
        None => model::embedded(dataset, features).map_err(|error| match error {
            Error::Unknown { what, value, known } => {
                Error::Unknown { what, value, known: format!("{known}; others need --model, or --slot-bits for `encrypt`") }
            }
            error => error,
        }),
    }
}

/// Checks the name of a backend while options are read.
fn backend_name(name: &str) -> Result<String> {
    if !["all", "none"].contains(&name) && name.parse::<BackendId>().is_err() {
        let known = format!("all, none, {}", BackendId::ALL.map(BackendId::name).join(", "));
        return Err(Error::Unknown { what: "backend", value: name.into(), known });
    }
    Ok(name.into())
}

/// The backends that the user named; `all` stands for those of this machine.
fn backends(names: &[String]) -> Result<Vec<BackendId>> {
    let mut ids = Vec::new();
    for name in names {
        if name == "all" {
            ids.extend(backend::all_here());
        } else if name != "none" {
            ids.push(name.parse()?);
        }
    }
    let mut seen = Vec::new();
    ids.retain(|id| {
        !seen.contains(id) && {
            seen.push(*id);
            true
        }
    });
    Ok(ids)
}

/// Opens the backends that were asked for by name, so that what is not here is refused before
/// anything is fetched.
fn open_named(names: &[String]) -> Result<()> {
    names.iter().filter_map(|name| name.parse().ok()).try_for_each(|id| backend::open(id).map(drop))
}

/// The grid of a run without its backends, which needs no dataset: what is wrong is refused before
/// anything is fetched.
fn grid(args: &RunArgs, features: &[FeatureMap]) -> Result<Grid> {
    args.key_bits.iter().try_for_each(|&bits| check_bits(bits, args.toy))?;
    let grid = Grid {
        features: features.to_vec(),
        feature_bits: args.feature_bits.clone(),
        weight_bits: args.weight_bits.clone(),
        scenarios: args.scenario.clone(),
        plaintext: true,
        key_bits: args.key_bits.clone(),
        methods: args.method.iter().map(|name| method_choice(name)).collect::<Result<_>>()?,
        encryptions: args.encryption.clone(),
        packings: vec![args.packing],
        single_packings: vec![args.inputs_per_ciphertext],
        rerandomisations: vec![args.rerandomise],
        table_mib: vec![args.table_mib],
        images: vec![args.images],
        pools: args.pool.clone(),
        eivhe: args.eivhe.clone(),
        eivhe_routes: args.eivhe_route.clone(),
        ..Grid::default()
    };
    grid.features.iter().flat_map(|&features| grid.precisions(features)).try_for_each(Precision::check)?;
    Ok(grid)
}

fn specs(args: &RunArgs, grid: &Grid, dataset: &Dataset) -> Result<Vec<Spec>> {
    let available = dataset.test.len();
    if let Some(images) = args.images.filter(|&n| n == 0 || n > available) {
        return Err(Error::OutOfRange {
            what: "--images",
            value: images.to_string(),
            allowed: format!("1 to {available}, the images of the test set"),
        });
    }
    // A name may stand twice in a list.
    grid.specs(&dataset.id.to_string(), available, args.seed).map(once)
}

/// One model for each feature map.
pub(super) type Models = HashMap<FeatureMap, TrainedModel>;

/// The models of some feature maps for certain images.
pub(super) fn models_for(data: &Description, features: &[FeatureMap], file: Option<&PathBuf>) -> Result<Models> {
    let mut models = HashMap::new();
    for &features in features {
        if models.contains_key(&features) {
            continue;
        }
        let model = model_for(&data.dataset, features, file)?;
        if model.origin.features != features {
            return Err(Error::Unsupported {
                subject: format!("a model for {}", model.origin.features.name()),
                feature: format!("{}; pass --features {}", features.name(), model.origin.features.name()),
            });
        }
        if let Some(path) = file {
            note(&format!("model: {}, SHA-256 {}", path.display(), model.sha256));
        }
        check_model(&model, file, data)?;
        models.insert(features, model);
    }
    Ok(models)
}

/// Refuses images that a model is not for, and says when it was trained on another set than theirs.
pub(super) fn check_model(model: &TrainedModel, file: Option<&PathBuf>, data: &Description) -> Result<()> {
    let name = file.map_or_else(|| "the embedded model".into(), |path| path.display().to_string());
    let own = model.origin.data();
    own.check_pixels(&name, data, &data.dataset)?;
    if let Some(words) = own.other_training(data) {
        note(&format!("warning: {name} {words}"));
    }
    Ok(())
}

/// Whether a model is the one that comes with the program for a dataset.
pub(super) fn is_embedded(model: &TrainedModel, dataset: &str) -> bool {
    model::embedded(dataset, model.origin.features).is_ok_and(|embedded| embedded.sha256 == model.sha256)
}

/// What a run on certain images with certain models is measured on.
pub(super) fn source(data: Description, models: &Models, seed: u64) -> Source {
    let of = |model: &TrainedModel| ModelSource {
        sha256: model.sha256.clone(),
        embedded: is_embedded(model, &data.dataset),
        trained_on: model.origin.dataset.clone(),
        training_sha256: model.origin.dataset_sha256.clone(),
    };
    let models: BTreeMap<_, _> = models.iter().map(|(features, model)| (features.name(), of(model))).collect();
    Source { data, seed, models }
}

/// Runs all specs, prints the table and writes the results folder.
pub(super) fn run(args: &RunArgs, json: bool) -> Result<bool> {
    run_in(&claim_results(args.out.as_deref(), "local")?, args, json)
}

/// The same into a folder that is taken already.
pub(super) fn run_in(claim: &Claim, args: &RunArgs, json: bool) -> Result<bool> {
    let out_dir = claim.path();
    open_named(&args.backend)?;
    let features = args.features()?;
    let grid = grid(args, &features)?;
    let dataset = open_dataset(&args.dataset, args.offline)?;
    // A run over all backends looks for a GPU once nothing else can be wrong.
    let grid = Grid { backends: backends(&args.backend)?, ..grid };
    let specs = specs(args, &grid, &dataset)?;
    let data = dataset.description();
    let models = models_for(&data, &features, args.model.as_ref())?;
    if let Some(warning) = busy_warning(machine::load_average()) {
        note(&format!("warning: {warning}"));
    }
    warn_unsound(specs.iter());
    let source = source(data, &models, args.seed);
    let mut bench = Bench::new(dataset.test, models, args.toy, super::control().clone());
    let mut run = Run::start(source);
    let mut failed = 0;
    let names = names(specs.iter().map(|spec| run.planned(spec, args.sampling())).collect());
    for (number, (spec, name)) in specs.iter().zip(names).enumerate() {
        check_stop()?;
        let name = format!("[{}/{}] {name}", number + 1, specs.len());
        let meter = Meter::start(&name, spec.images as u64, "images");
        let entry = run.row(&mut bench, spec, args.sampling(), &mut |progress| {
            meter.set(progress.stage.name(), progress.done as u64);
            check_stop()
        })?;
        drop(meter);
        failed += usize::from(entry.outcome.error.is_some());
        note(&format!("{name}: {}", ending(&entry)));
        run.add(entry);
    }
    run.write(out_dir)?;
    let drawn = figures::draw(run.records(), out_dir, &FileKind::ALL, Beside::default())?;
    warn_disturbed(run.records(), out_dir);
    warn_quantisation(run.records());
    if json {
        out(&report::json(run.records())?);
    } else {
        out(&format!("\n{}", report::table(run.records(), Format::Text)));
        out(
            "accuracy: share of images classified as labelled. agreement: share classified as the quantised plaintext model does; every logit of the integer and encrypted rows was compared.",
        );
        out(&format!(
            "\n{}: samples.csv, outcomes.csv, run.toml and {} figures. `cipherlane report {} --details` shows spread and ratios.",
            out_dir.display(),
            drawn.figures,
            out_dir.display()
        ));
    }
    Ok(failed == 0)
}

/// Says where integers classify far fewer images right than the floats that they stand for.
pub(super) fn warn_quantisation(records: &Records) {
    quantisation::costs(records).iter().for_each(|line| note(&format!("warning: {line}")));
}

/// Names the break of every unsound setting among some specs.
pub(super) fn warn_unsound<'a>(specs: impl Iterator<Item = &'a Spec>) {
    let used: Vec<Setting> =
        specs.filter_map(|spec| if let Protection::Eivhe { setting, .. } = spec.protection { Some(setting) } else { None }).collect();
    for setting in Setting::ALL.into_iter().filter(|setting| used.contains(setting)) {
        if let Some(warning) = setting.warning() {
            note(&format!("warning: {setting}: {warning}"));
        }
    }
}

/// Forms of a table.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// Aligned columns
    Text,
    /// GitHub Markdown
    Md,
    /// LaTeX with booktabs
    Latex,
    /// Comma-separated
    Csv,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Text => Self::Text,
            FormatArg::Md => Self::Markdown,
            FormatArg::Latex => Self::Latex,
            FormatArg::Csv => Self::Csv,
        }
    }
}

/// Options of `report`.
#[derive(Args, Clone, Debug)]
pub(super) struct ReportArgs {
    /// Results folder
    dir: PathBuf,
    /// Form of the table
    #[arg(long, value_enum, default_value = "text")]
    format: FormatArg,
    /// Spread, processor time, setup and ratios in place of the main table
    #[arg(long)]
    details: bool,
    /// Accuracy, latency and throughput beside published systems, from FILE or from the numbers that come with the program
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with_all = ["details", "legend"])]
    quoted: Option<Option<PathBuf>>,
    /// Explain every column
    #[arg(long)]
    legend: bool,
    /// Put the Markdown table into FILE between <!-- cipherlane:begin NAME --> and <!-- cipherlane:end NAME -->
    #[arg(long, value_name = "FILE")]
    splice: Option<PathBuf>,
    /// NAME of the markers for --splice
    #[arg(long, default_value = "results", value_name = "NAME")]
    name: String,
}

/// Prints the tables of a results folder.
pub(super) fn report(args: &ReportArgs, json: bool) -> Result<bool> {
    if !args.dir.join(OUTCOMES).exists() && !args.dir.join(SAMPLES).exists() {
        return report_leakage(args, json);
    }
    let records = Records::read(&args.dir)?;
    let quoted = args.quoted.as_ref().map(|path| quoted::read(path.as_deref())).transpose()?;
    let tables = |format| match &quoted {
        Some(quoted) => quoted::comparison(&records, quoted, format),
        None if args.details => report::details(&records, format),
        None => report::table(&records, format),
    };
    if let Some(path) = &args.splice {
        let _claim = claim_file(path, &[])?;
        let text = read_text(path, WRITTEN_BY_HAND)?;
        let command = records_command(&args.dir);
        write_whole(path, report::splice(&text, &args.name, &tables(Format::Markdown), &command)?.as_bytes())?;
    } else if json {
        out(&report::json(&records)?);
    } else {
        out(&tables(args.format.into()));
        if args.legend {
            out(&report::legend(args.format.into()));
        }
    }
    warn_quantisation(&records);
    Ok(!records.outcomes.is_empty() && records.outcomes.iter().all(|o| o.verified))
}

/// Prints the tables of a folder of experiments on leakage; says what a folder without any results
/// is.
fn report_leakage(args: &ReportArgs, json: bool) -> Result<bool> {
    let all = Experiment::ALL.into_iter().map(|e| Ok((e, leakage::read(&args.dir, e)?))).collect::<Result<Vec<_>>>()?;
    let there: Vec<(Experiment, Vec<leakage::Leak>)> = all.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
    if there.is_empty() {
        return Err(Error::file(&args.dir, format!("a results folder ({OUTCOMES})"), no_results(&args.dir)?));
    }
    if args.details || args.quoted.is_some() || args.splice.is_some() || args.legend {
        return Err(Error::Unsupported {
            subject: format!("{}, a folder of `cipherlane eivhe`,", args.dir.display()),
            feature: "other tables than its own".into(),
        });
    }
    if json {
        let tables = there.iter().map(|(experiment, rows)| (experiment.file().to_owned(), serde_json::json!(rows)));
        out_json(&serde_json::Value::Object(tables.collect()));
    } else {
        let tables: Vec<String> = there.iter().map(|(e, rows)| report::leakage::table(*e, rows, args.format.into())).collect();
        out(tables.join("\n").trim_end());
    }
    Ok(true)
}

/// What a folder without results of its own is: a report, or a folder of results folders.
fn no_results(dir: &std::path::Path) -> Result<String> {
    let entries = std::fs::read_dir(dir).map_err(Error::io("read", dir))?;
    let has_results = |path: &PathBuf| path.join(OUTCOMES).exists() || Experiment::ALL.into_iter().any(|e| path.join(e.file()).exists());
    let mut below: Vec<String> = entries.flatten().map(|e| e.path()).filter(has_results).map(|path| shown(&path)).collect();
    below.sort();
    let list = if below.is_empty() { String::new() } else { format!("results are in {}", below.join(", ")) };
    let report = dir.join(REPORT_MARKDOWN);
    Ok(match (report.exists(), below.is_empty()) {
        (true, _) => format!("a report of `cipherlane paper`; read {}; {list}", report.display()),
        (false, false) => format!("a folder of folders; {list}"),
        (false, true) => "none here nor in the folders below".into(),
    })
}

/// The command that made a results folder, by its run.toml.
fn records_command(dir: &std::path::Path) -> String {
    let command = read_text(&dir.join(crate::record::RUN), RESULTS).ok().and_then(|text| {
        let table: toml::Table = text.parse().ok()?;
        let command = table.get("command")?.as_str()?;
        let arguments = command.split_once(' ').map_or("", |(_, arguments)| arguments);
        Some(format!("cargo run --release -- {arguments}"))
    });
    command.unwrap_or_else(|| format!("cipherlane report {}", dir.display()))
}

/// Kinds of figure files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileKindArg {
    /// For the web
    Svg,
    /// 300 dots per inch
    Png,
    /// For papers, with the font inside
    Pdf,
}

impl From<FileKindArg> for FileKind {
    fn from(kind: FileKindArg) -> Self {
        match kind {
            FileKindArg::Svg => Self::Svg,
            FileKindArg::Png => Self::Png,
            FileKindArg::Pdf => Self::Pdf,
        }
    }
}

/// Options of `plot`.
#[derive(Args, Clone, Debug)]
pub(super) struct PlotArgs {
    /// Results folder, of `run`, of `sweep`, of `eivhe` or of benches/peers/run.py
    dir: PathBuf,
    /// Kinds of files
    #[arg(long, value_enum, value_delimiter = ',', default_value = "svg,png,pdf")]
    format: Vec<FileKindArg>,
    /// Show published systems beside ours, from FILE or from the numbers that come with the program
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    quoted: Option<Option<PathBuf>>,
    /// Results of benches/peers/run.py [default: those in DIR or DIR/peers, where there are]
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
}

/// Draws the figures of a results folder again.
pub(super) fn plot(args: &PlotArgs, json: bool) -> Result<bool> {
    let found = match &args.peers {
        Some(dir) => Some(peers::find(dir).ok_or_else(|| Error::file(dir, "samples.csv of benches/peers/run.py", "no such file"))?),
        None => peers::find(&args.dir),
    };
    let peers = found.as_deref().map(peers::read).transpose()?.unwrap_or_default();
    let quoted = args.quoted.as_ref().map(|path| quoted::read(path.as_deref())).transpose()?.unwrap_or_default();
    let leaks = Experiment::ALL.into_iter().map(|e| Ok((e, leakage::read(&args.dir, e)?))).collect::<Result<Vec<_>>>()?;
    let leaks = if leaks.iter().all(|(_, rows)| rows.is_empty()) { Vec::new() } else { leaks };
    // A folder of peers or of experiments on leakage has no rows in the form of `run`.
    let alone =
        found.as_ref().is_some_and(|path| path.parent() == Some(args.dir.as_path())) || (!leaks.is_empty() && !args.dir.join(SAMPLES).exists());
    let records = if alone { Records::default() } else { read_rows(&args.dir)? };
    let mut kinds: Vec<FileKind> = Vec::new();
    for kind in args.format.iter().map(|kind| FileKind::from(*kind)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut drawn = figures::draw_leakage(&leaks, &args.dir, &kinds)?;
    if leaks.is_empty() || !alone {
        let usual = figures::draw(&records, &args.dir, &kinds, Beside { quoted: &quoted, peers: &peers })?;
        drawn.files.extend(usual.files);
        drawn.left_out.extend(usual.left_out);
    }
    if json {
        let left_out: serde_json::Map<String, serde_json::Value> =
            drawn.left_out.iter().map(|(name, reason)| ((*name).to_owned(), reason.as_str().into())).collect();
        out_json(&serde_json::json!({ "files": drawn.files.iter().map(|path| shown(path)).collect::<Vec<_>>(), "left_out": left_out }));
    } else {
        drawn.files.iter().for_each(|path| out(&path.display().to_string()));
        drawn.left_out.iter().for_each(|(name, reason)| note(&format!("no figure {name}: {reason}")));
    }
    Ok(!drawn.files.is_empty())
}
