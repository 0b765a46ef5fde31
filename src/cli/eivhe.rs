//! `eivhe`: what integer-vector ciphertexts teach, and how their keys fall.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::claims::claim_results;
use super::inputs::{open_dataset, training_of};
use super::progress::Meter;
use super::stop::{check_stop, control};
use super::terminal::{note, out, out_json, shown};
use crate::attack::eivhe::table;
use crate::dataset::{Dataset, DatasetChoice, Images};
use crate::durable::Claim;
use crate::error::{Error, Result};
use crate::measure::Run;
use crate::plot::{self as figures, FileKind};
use crate::record::leakage::{Experiment, Leak};
use crate::report::{Format, leakage as leakage_tables};
use crate::scheme::eivhe::Encryption;
use crate::workload::Source;
use crate::workload::leakage::Learner;
use crate::workload::leakage::eivhe::{
    Progress, Protected, Protection, Setting, Sizes, Sweep, attack, attack_matrix, attack_row, learn, protect, row, sizes_row,
};

/// Options of `eivhe`.
#[derive(Args, Clone, Debug)]
pub(super) struct EivheArgs {
    #[command(subcommand)]
    command: EivheCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum EivheCommand {
    /// Train networks on ciphertexts, labels in clear, beside the same networks on plaintext
    Train(TrainArgs),
    /// Recover the key by least squares, and decrypt the test images with it
    Attack(AttackArgs),
    /// Vary one size until learning on ciphertexts falls to chance: utility and secrecy side by side
    Leakage(LeakageArgs),
}

/// Runs one of the experiments.
pub(super) fn eivhe(args: &EivheArgs, json: bool) -> Result<bool> {
    match &args.command {
        EivheCommand::Train(args) => train(args, json),
        EivheCommand::Attack(args) => attack_keys(args, json),
        EivheCommand::Leakage(args) => leakage(args, json),
    }
}

/// Sizes of the scheme.
#[derive(Args, Clone, Copy, Debug)]
struct SizesArgs {
    /// Columns of the key T; `lwe` has sizes of its own
    #[arg(long, default_value_t = 16, value_name = "K")]
    key_columns: usize,
    /// Entries of A are below this
    #[arg(long, default_value_t = 100, value_name = "N")]
    a_bound: u32,
    /// Entries of the noise E are below this
    #[arg(long, default_value_t = 1000, value_name = "N")]
    e_bound: u32,
    /// Entries of the key T are below this
    #[arg(long, default_value_t = 100, value_name = "N")]
    t_bound: u32,
    /// Bits of the factor w [default: 45 over the integers; modulo q as many as there is room for]
    #[arg(long, value_name = "BITS")]
    w_bits: Option<u32>,
    /// Bits of q, for the settings that have one
    #[arg(long, default_value_t = 54, value_name = "BITS")]
    q_bits: u32,
}

impl From<SizesArgs> for Sizes {
    fn from(args: SizesArgs) -> Self {
        let SizesArgs { key_columns, a_bound, e_bound, t_bound, w_bits, q_bits } = args;
        Self { key_columns, a_bound: Some(a_bound), e_bound, t_bound, w_bits, q_bits }
    }
}

/// Options of `eivhe train`.
#[derive(Args, Clone, Debug)]
struct TrainArgs {
    /// auto, mnist, digits, or a folder with IDX files, the training set included
    #[arg(long, default_value = "auto")]
    dataset: DatasetChoice,
    /// How images are protected, beside plaintext, which is always there: integers-fixed, integers-fresh, absolute, modular-fixed, modular-fresh, lwe
    #[arg(long, value_delimiter = ',', default_value = "integers-fixed,integers-fresh,absolute,lwe")]
    setting: Vec<Setting>,
    /// What learns: softmax, mlp, conv
    #[arg(long, value_delimiter = ',', default_value = "softmax,mlp,conv")]
    network: Vec<Learner>,
    /// Seeds of key, encryption and training
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N")]
    seeds: Vec<u64>,
    /// Training images, from the start of the set [default: all]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Test images, from the start of the set [default: all]
    #[arg(long, value_name = "N")]
    test_images: Option<usize>,
    /// Passes over the training images [default: by network and number of images]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    #[command(flatten)]
    sizes: SizesArgs,
    /// Results folder; other experiments may be in it [default: results/DATE-TIME-eivhe-local]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Options of `eivhe attack`.
#[derive(Args, Clone, Debug)]
struct AttackArgs {
    /// auto, mnist, digits, or a folder with IDX files: its test images are decrypted where their pixels are as many as --dimension
    #[arg(long, default_value = "auto")]
    dataset: DatasetChoice,
    /// Numbers of a plaintext [default: the pixels of an image]
    #[arg(long, value_name = "N")]
    dimension: Option<usize>,
    /// How they are protected; without a public matrix some training images are taken to be known
    #[arg(long, value_delimiter = ',', default_value = "integers-fixed")]
    setting: Vec<Setting>,
    #[command(flatten)]
    sizes: SizesArgs,
    /// Training images that are known where there is no public matrix
    #[arg(long, default_value_t = 6000, value_name = "N")]
    known: usize,
    /// Columns of the public matrix per number of a plaintext, where no image is involved [default: those that messages need]
    #[arg(long, value_name = "N")]
    digits: Option<usize>,
    /// A table of dimensions and bounds as well
    #[arg(long)]
    table: bool,
    /// Seed of key and encryption
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Results folder; other experiments may be in it [default: nothing is written]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Options of `eivhe leakage`.
#[derive(Args, Clone, Debug)]
struct LeakageArgs {
    /// auto, mnist, digits, or a folder with IDX files, the training set included
    #[arg(long, default_value = "auto")]
    dataset: DatasetChoice,
    /// What is varied: a-bound, q-bits, t-bound, key-columns
    #[arg(long, value_delimiter = ',', default_value = "a-bound,q-bits,t-bound,key-columns")]
    sweep: Vec<Sweep>,
    /// What learns: softmax, mlp, conv
    #[arg(long, default_value = "softmax")]
    network: Learner,
    /// Training images, from the start of the set; the attack knows them where there is no public matrix [default: 3000, or all]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Test images, from the start of the set [default: 1000, or all]
    #[arg(long, value_name = "N")]
    test_images: Option<usize>,
    /// Passes over the training images [default: by network and number of images]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Seed of key, encryption and training
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Results folder; other experiments may be in it [default: results/DATE-TIME-eivhe-local]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Takes the folder for an experiment's rows. Other experiments may be in it, but neither such rows nor results of another kind.
fn claim(chosen: Option<&Path>, experiment: Experiment) -> Result<Claim> {
    match chosen {
        Some(dir) if Experiment::ALL.iter().any(|other| dir.join(other.file()).exists()) => Claim::folder(dir, &[experiment.file()]),
        chosen => claim_results(chosen, "eivhe-local"),
    }
}

/// The first images of a set, all where no number is given.
fn first(images: Images, count: Option<usize>, option: &'static str) -> Result<Images> {
    let Some(count) = count else { return Ok(images) };
    if count == 0 || count > images.len() {
        return Err(Error::range(option, &count, format!("1 to {}", images.len())));
    }
    Ok(images.part(0, count))
}

fn source(dataset: &Dataset, seed: u64) -> Source {
    Source { data: dataset.description(), seed, models: BTreeMap::new() }
}

/// The row of a run whose images are those of a dataset.
fn leak_of(run: &Run, dataset: &Dataset) -> Leak {
    Leak { dataset: dataset.id.to_string(), dataset_sha256: dataset.sha256.clone(), ..run.leak() }
}

/// Says what breaks a setting, wherever it is used.
fn warn(protection: &Protection) {
    if let Some(reason) = protection.unsound() {
        note(&format!("warning: {} protects nothing that matters: {reason}", protection.setting));
    }
}

/// A list without repetitions, in its order.
fn once<T: PartialEq + Copy>(list: &[T]) -> Vec<T> {
    let mut seen = Vec::new();
    list.iter().for_each(|item| {
        if !seen.contains(item) {
            seen.push(*item);
        }
    });
    seen
}

/// Shows how far an experiment is.
fn follow<'a>(meter: &'a Meter, epochs: Option<u32>) -> impl FnMut(Progress) + 'a {
    move |progress| match progress {
        Progress::Encrypted(images) => meter.set("encrypting", images as u64),
        Progress::Trained(epoch, share) => {
            let of = epochs.map_or_else(String::new, |n| format!(" of {n}"));
            meter.set(&format!("training, {epoch}{of} passes, {:.1} % of the training images right", 100.0 * share), 0);
        }
        Progress::Attacking => meter.set("least squares", 0),
    }
}

fn encrypted(title: &str, training: &Images, test: &Images, protection: Protection, seed: u64) -> Result<Protected> {
    let meter = Meter::start(title, (training.len() + test.len()) as u64, "images");
    protect(training, test, protection, seed, control(), &mut follow(&meter, None))
}

fn train(args: &TrainArgs, json: bool) -> Result<bool> {
    let claim = claim(args.out.as_deref(), Experiment::Training)?;
    let dataset = open_dataset(&args.dataset, true)?;
    let training = first(training_of(&dataset)?, args.images, "--images")?;
    let test = first(dataset.test.clone(), args.test_images, "--test-images")?;
    let size = training.rows * training.cols;
    let settings = once(&[&[Setting::Clear], &args.setting[..]].concat());
    let protections =
        settings.iter().map(|&setting| Protection::new(setting, args.sizes.into(), size, training.max_pixel)).collect::<Result<Vec<_>>>()?;
    protections.iter().for_each(warn);
    let seeds = once(&args.seeds);
    let run = Run::start(source(&dataset, seeds.first().copied().unwrap_or(1)));
    let base = leak_of(&run, &dataset);
    let mut rows = Vec::new();
    for &seed in &seeds {
        for &protection in &protections {
            let title = format!("{}, seed {seed}", protection.setting);
            let protected = encrypted(&title, &training, &test, protection, seed)?;
            for &learner in &once(&args.network) {
                let epochs = learner.recipe(training.len(), args.epochs, seed).epochs;
                let meter = Meter::start(&format!("{title}, {learner}"), 0, "passes");
                let learnt =
                    learn(&protected, (&training.labels, &test.labels), learner, (args.epochs, seed), control(), &mut follow(&meter, Some(epochs)))?;
                drop(meter);
                note(&format!("{title}, {learner}: {:.2} % of {} test images", 100.0 * learnt.accuracy, test.len()));
                rows.push(row(&base, &protected, Some(&learnt), None, seed));
            }
        }
    }
    finish(&run, claim.path(), Experiment::Training, &rows, json, &leakage_tables::table(Experiment::Training, &rows, Format::Text))?;
    Ok(rows.iter().all(|row| row.owner_decrypts.is_none_or(|share| share >= 1.0)))
}

fn attack_keys(args: &AttackArgs, json: bool) -> Result<bool> {
    let claim = args.out.as_deref().map(|dir| claim(Some(dir), Experiment::Attack)).transpose()?;
    let settings: Vec<Setting> = once(&args.setting);
    if let Some(setting) = settings.iter().find(|s| [Setting::Clear, Setting::Absolute].contains(s)) {
        return Err(Error::unsupported("the attack", format!("{setting}, which no key decrypts")));
    }
    let dataset = open_dataset(&args.dataset, true)?;
    let (size, max_pixel) = (dataset.test.rows * dataset.test.cols, dataset.test.max_pixel);
    let dimension = args.dimension.unwrap_or(size);
    let protections =
        settings.iter().map(|&setting| Protection::new(setting, args.sizes.into(), dimension, max_pixel)).collect::<Result<Vec<_>>>()?;
    if let Some(protection) = protections.iter().find(|p| dimension != size && p.setting.encryption() != Some(Encryption::Fixed)) {
        return Err(Error::unsupported(
            format!("the attack on {}", protection.setting),
            format!("{dimension} numbers: it needs known images, of {size} pixels"),
        ));
    }
    protections.iter().for_each(warn);
    let run = Run::start(source(&dataset, args.seed));
    let base = Leak { seed: args.seed, ..run.leak() };
    let mut rows = Vec::new();
    for protection in protections {
        let title = format!("{}, {dimension} numbers", protection.setting);
        let Some(parameters) = protection.parameters.filter(|_| dimension != size) else {
            let known = match protection.setting.encryption() {
                Some(Encryption::Fresh) => first(training_of(&dataset)?, Some(args.known), "--known")?,
                _ => Images { pixels: Vec::new(), labels: Vec::new(), ..dataset.test.clone() },
            };
            let protected = encrypted(&title, &known, &dataset.test, protection, args.seed)?;
            let meter = Meter::start(&title, 0, "rows");
            let attacked = attack(&protected, &known, &dataset.test, control(), &mut follow(&meter, None))?;
            rows.push(row(&Leak { seed: args.seed, ..leak_of(&run, &dataset) }, &protected, None, attacked.as_ref(), args.seed));
            continue;
        };
        let meter = Meter::start(&title, 0, "rows");
        let attacked = attack_matrix(parameters, args.digits, args.seed, control(), &mut follow(&meter, None))?;
        rows.push(attack_row(&sizes_row(&base, &protection, dimension), Some(&attacked)));
    }
    for case in table().into_iter().filter(|_| args.table) {
        let setting = if case.parameters.modulus_bits.is_some() { Setting::ModularFixed } else { Setting::IntegersFixed };
        let protection = Protection { setting, parameters: Some(case.parameters) };
        let meter = Meter::start(case.name, 0, "rows");
        let attacked = attack_matrix(case.parameters, case.digits, args.seed, control(), &mut follow(&meter, None))?;
        rows.push(attack_row(&sizes_row(&Leak { sweep: case.name.into(), ..base.clone() }, &protection, case.parameters.dimension), Some(&attacked)));
    }
    let text = leakage_tables::table(Experiment::Attack, &rows, Format::Text);
    match claim {
        Some(claim) => finish(&run, claim.path(), Experiment::Attack, &rows, json, &text)?,
        None if json => out_json(&json!({ "rows": rows })),
        None => out(&text),
    }
    Ok(true)
}

fn leakage(args: &LeakageArgs, json: bool) -> Result<bool> {
    let claim = claim(args.out.as_deref(), Experiment::Leakage)?;
    let dataset = open_dataset(&args.dataset, true)?;
    let whole = training_of(&dataset)?;
    let few = |count: Option<usize>, default: usize, all: usize| Some(count.unwrap_or(default.min(all)));
    let images = few(args.images, 3000, whole.len());
    let training = first(whole, images, "--images")?;
    let test = first(dataset.test.clone(), few(args.test_images, 1000, dataset.test.len()), "--test-images")?;
    let size = training.rows * training.cols;
    let sweeps = once(&args.sweep);
    let mut points = Vec::new();
    for &sweep in &sweeps {
        points.push((sweep, Protection { setting: Setting::Clear, parameters: None }));
        for point in sweep.points() {
            points.push((sweep, Protection::new(point.setting, point.sizes, size, training.max_pixel)?));
        }
    }
    let settings: Vec<Setting> = once(&points.iter().map(|(_, protection)| protection.setting).collect::<Vec<_>>());
    for setting in settings {
        points.iter().find(|(_, protection)| protection.setting == setting).into_iter().for_each(|(_, protection)| warn(protection));
    }
    let run = Run::start(source(&dataset, args.seed));
    let base = leak_of(&run, &dataset);
    let mut rows: Vec<Leak> = Vec::new();
    for (number, (sweep, protection)) in points.iter().enumerate() {
        check_stop()?;
        let title = format!("[{}/{}] {sweep}", number + 1, points.len());
        let protected = encrypted(&title, &training, &test, *protection, args.seed)?;
        let meter = Meter::start(&title, 0, "rows");
        let labels = (&training.labels[..], &test.labels[..]);
        let learnt = learn(&protected, labels, args.network, (args.epochs, args.seed), control(), &mut follow(&meter, None))?;
        let attacked = attack(&protected, &training, &test, control(), &mut follow(&meter, None))?;
        drop(meter);
        rows.push(row(&Leak { sweep: sweep.name().into(), ..base.clone() }, &protected, Some(&learnt), attacked.as_ref(), args.seed));
    }
    finish(&run, claim.path(), Experiment::Leakage, &rows, json, &leakage_tables::table(Experiment::Leakage, &rows, Format::Text))?;
    Ok(rows.iter().all(|row| row.owner_decrypts.is_none_or(|share| share >= 1.0)))
}

/// Writes rows and figures and prints them.
fn finish(run: &Run, dir: &Path, experiment: Experiment, rows: &[Leak], json: bool, text: &str) -> Result<()> {
    run.write_leakage(dir, experiment, rows)?;
    let drawn = figures::draw_leakage(&[(experiment, rows.to_vec())], dir, &FileKind::ALL)?;
    if json {
        out_json(&json!({ "dir": shown(dir), "rows": rows }));
    } else {
        out(text);
        let figures = if drawn.figures == 1 { "1 figure".into() } else { format!("{} figures", drawn.figures) };
        out(&format!("\n{}: {}, run.toml and {figures}", dir.display(), experiment.file()));
    }
    Ok(())
}
