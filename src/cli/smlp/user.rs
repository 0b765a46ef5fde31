//! `smlp user`: who encrypts records and reads answers.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

use super::options::{BackendChoice, TrainingOptions};
use crate::backend::{self, BackendId};
use crate::cli::claims::claim_file;
use crate::cli::progress::Meter;
use crate::cli::stop::{check_stop, control};
use crate::cli::terminal::{note, out, out_json, shown};
use crate::durable::{Whole, read_secret, write_private, write_together};
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Tape};
use crate::scheme::paillier::{Encryptor, Tables, files};
use crate::scheme::smlp::{Comparison, UserKey};
use crate::text::hex;
use crate::workload::training::smlp::{self as party, Bundle, Kind};
use crate::workload::training::{Loaded, Protection, Records};

/// What the user does.
#[derive(Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Make the pad key that the user shares with P2, so that only the user reads answers
    Key(KeyArgs),
    /// Encrypt records for P1: to train on, or with --queries to classify
    Encrypt(Box<EncryptArgs>),
    /// Read answers, or released parameters
    Open(OpenArgs),
}

/// Runs one of the commands.
pub(in crate::cli) fn user(command: &UserCommand, json: bool) -> Result<bool> {
    match command {
        UserCommand::Key(args) => user_key(args, json),
        UserCommand::Encrypt(args) => encrypt(args, json),
        UserCommand::Open(args) => open(args, json),
    }
}

/// Options of `smlp user key`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct KeyArgs {
    /// File to write, mode 0600: for the user and for P2, never for P1
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

const USER_KEY: &str = "cipherlane smlp pad key v1 ";

fn user_key(args: &KeyArgs, json: bool) -> Result<bool> {
    if args.out.symlink_metadata().is_ok() {
        return Err(Error::file(&args.out, "no file yet", "one; a key is not replaced"));
    }
    let _claim = claim_file(&args.out, &[])?;
    let key = UserKey::from_system()?;
    let text = zeroize::Zeroizing::new(hex(key.bytes()));
    let text = zeroize::Zeroizing::new(format!("{USER_KEY}{}\n", text.as_str()));
    write_together(&[Whole { path: &args.out, bytes: text.as_bytes(), private: true }], false)?;
    if json {
        out_json(&json!({ "key": shown(&args.out) }));
    } else {
        out(&format!("{}: give a copy to P2, and none to P1", args.out.display()));
    }
    Ok(true)
}

/// Reads the pad key.
pub(super) fn read_user_key(path: &Path) -> Result<UserKey> {
    let text = read_secret(path, USER_KEY.len() + 65)?;
    let bad = || Error::file(path, "a pad key, as `cipherlane smlp user key` makes one", "something else");
    let digits = text.strip_prefix(USER_KEY.as_bytes()).and_then(|rest| rest.strip_suffix(b"\n")).filter(|d| d.len() == 64).ok_or_else(bad)?;
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(bad)?;
    }
    Ok(UserKey::from_bytes(*bytes))
}

/// Options of `smlp user encrypt`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct EncryptArgs {
    /// The public Paillier key
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    #[command(flatten)]
    training: TrainingOptions,
    /// Encrypt the test set without labels, to be classified
    #[arg(long)]
    queries: bool,
    /// With --queries, how many from the start of the test set [default: all]
    #[arg(long, value_name = "N", requires = "queries")]
    images: Option<usize>,
    /// How signs are compared: blinded (leaks magnitudes to P2), exact
    #[arg(long, default_value = "exact")]
    comparison: Comparison,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What does the arithmetic: auto (ifma where it is, else gmp), reference, gmp, ifma, gpu
    #[arg(long, default_value = "auto")]
    backend: BackendChoice,
}

fn encrypt(args: &EncryptArgs, json: bool) -> Result<bool> {
    let backend = backend::open_under(args.backend.open()?, control())?;
    let _claim = claim_file(&args.out, &[&args.public])?;
    let public = files::read_public_key(&args.public, args.training.toy)?;
    // Which backend the parties take is their own affair; a spec names one.
    let protection = Protection::Smlp { backend: BackendId::Gmp, key_bits: public.bits(), comparison: args.comparison };
    let spec = args.training.spec(protection)?;
    let loaded = args.training.data.load(args.training.seed)?;
    let (training, test) = Records::encode(&loaded, spec.recipe.scale(), spec.recipe.centred);
    let images = args.images.unwrap_or(test.len());
    if images == 0 || images > test.len() {
        return Err(Error::range("--images", &images, format!("1 to {}", test.len())));
    }
    let (kind, records) = if args.queries { (Kind::Queries, test.first(images)) } else { (Kind::Training, training.first(spec.records)) };
    let tables = Tables { uses: 2 * records.len(), ..Tables::default() };
    let encryptor = match public.djn_base() {
        Some(_) => Encryptor::djn(backend.as_ref(), &public, tables, Purpose::Encryption)?,
        None => Encryptor::standard(backend.as_ref(), &public, Purpose::Encryption)?,
    };
    let tape = Tape::from_system()?;
    let mut made = 0;
    let meter = Meter::start("encrypt", records.len() as u64, "records");
    let bundle = party::encrypt_records(&spec, &public, (&loaded.data, &records), kind, |plaintexts| {
        check_stop()?;
        let first = made;
        made += plaintexts.len() as u64;
        encryptor.encrypt(plaintexts, &tape, first)
    })?;
    drop(meter);
    bundle.write(&args.out)?;
    let bytes: usize = bundle.parts.iter().map(Vec::len).sum();
    if json {
        out_json(&json!({ "out": shown(&args.out), "records": records.len(), "spec": spec.to_string(), "ciphertexts": made, "bytes": bytes }));
    } else {
        out(&format!("{}: {} records in {made} ciphertexts, {:.1} kB; {spec}", args.out.display(), records.len(), bytes as f64 / 1e3));
    }
    Ok(true)
}

/// Options of `smlp user open`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("sealed").required(true).args(["answers", "parameters"])))]
pub(in crate::cli) struct OpenArgs {
    /// The pad key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// answers.bin of P1
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// parameters.bin of P1
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// CSV file to write, mode 0600 [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn open(args: &OpenArgs, json: bool) -> Result<bool> {
    let inputs: Vec<&Path> = [Some(&args.key), args.answers.as_ref(), args.parameters.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
    let _claim = args.out.as_ref().map(|path| claim_file(path, &inputs)).transpose()?;
    let key = read_user_key(&args.key)?;
    let write = |text: &str| match &args.out {
        Some(path) => write_private(path, text.as_bytes()),
        None if json => Ok(()),
        None => {
            out(text);
            Ok(())
        }
    };
    if let Some(path) = &args.parameters {
        let bundle = Bundle::read(path, Kind::Parameters)?;
        let layers = party::open_sealed(&bundle, &key)?;
        let mut text = String::from("layer,row,column,value\n");
        for (layer, (values, width)) in layers.iter().zip(&bundle.spec.network.as_slice()[1..]).enumerate() {
            for (at, value) in values.iter().enumerate() {
                text += &format!("{layer},{},{},{value}\n", at / width, at % width);
            }
        }
        write(&text)?;
        let digest = party::parameter_digest(&layers);
        if json {
            out_json(&json!({ "digest": digest, "scale": bundle.spec.recipe.scale(), "layers": layers }));
        } else {
            note(&format!("parameters at scale {}, the last row of each layer the biases; digest {digest}", bundle.spec.recipe.scale()));
        }
        return Ok(true);
    }
    let path = args.answers.as_deref().unwrap_or_else(|| Path::new(""));
    let bundle = Bundle::read(path, Kind::Answers)?;
    let classes: Vec<i64> = party::open_sealed(&bundle, &key)?.concat();
    let text = classes.iter().enumerate().fold(String::from("record,class\n"), |text, (record, class)| text + &format!("{record},{class}\n"));
    write(&text)?;
    let same = |loaded: &Loaded| {
        let same = bundle.data.check_images(&path.display().to_string(), &loaded.data, "the set of that name here");
        same.inspect_err(|error| note(&format!("not compared with labels: {error}"))).is_ok()
    };
    let loaded = bundle.spec.data.load(bundle.spec.seed).ok().filter(same);
    let labels = loaded.map(|loaded| Records::encode(&loaded, 1, false).1.labels);
    let correct =
        labels.filter(|labels| labels.len() >= classes.len()).map(|labels| classes.iter().zip(&labels).filter(|&(&c, &l)| c == i64::from(l)).count());
    if json {
        out_json(&json!({ "classes": classes, "correct": correct }));
    } else if let Some(correct) = correct {
        note(&format!("{correct} of {} records as labelled, the first of the test set of {}", classes.len(), bundle.spec.data));
    }
    Ok(true)
}
