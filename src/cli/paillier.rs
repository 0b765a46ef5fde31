//! `keygen`, `encrypt`, `evaluate`, `decrypt`: the same pipeline through files, one party at a
//! time, with randomness of the operating system.
//!
//! The data owner holds the secret key and the images, the server holds the model. What travels is
//! a query file and an answer file.

mod keygen;

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde_json::json;

use super::claims::claim_file;
use super::inputs::{check_model, model_for, open_dataset};
use super::progress::Meter;
use super::stop::{check_stop, control};
use super::terminal::{note, out, out_json, shown};
use crate::backend::{self, Backend, BackendId};
use crate::dataset::{DatasetChoice, Images};
use crate::description::{Description, short};
use crate::durable::write_private;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::model::{self, TrainedModel, argmax, count_equal};
use crate::quantise::{IntegerModel, Precision};
use crate::randomness::Tape;
use crate::report::quantisation;
use crate::scheme::Inputs;
use crate::scheme::paillier::files::{self, Header};
use crate::scheme::paillier::{
    Client, ClientKey, Decryptor, Encryption, Packing, PackingChoice, QueryOrigin, Rerandomisation, SecretKey, Server, SoundKey, Tables,
    method_choice,
};
use crate::workload::inference::linear_map;

pub(super) use keygen::{KeygenArgs, keygen};

/// Checks the name of a plan while options are read.
fn method_name(name: &str) -> Result<String> {
    method_choice(name).map(|_| name.into())
}

/// Options that all steps share.
#[derive(Args, Clone, Debug)]
struct Common {
    /// Backend [default: the fastest of this machine]
    #[arg(long)]
    backend: Option<BackendId>,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
}

impl Common {
    fn open(&self) -> Result<Box<dyn Backend>> {
        match self.backend {
            Some(id) => backend::open_under(id, control()),
            None => backend::fastest(control()),
        }
    }
}

/// The key in `path` to compute under. One without a proof is taken where `trust` says so, with a
/// line on what that means.
pub(super) fn read_sound_key(path: &Path, toy: bool, trust: bool) -> Result<SoundKey> {
    match files::read_sound_key(path, toy) {
        Err(Error::UnprovenKey { fingerprint }) if trust => {
            note(&format!(
                "key {fingerprint} is taken on trust: it is not proven that gcd(n, phi(n)) = 1, and if it is not, \
                 the key's owner may read from one answer what re-randomisation should hide, such as the weights of a model"
            ));
            files::read_public_key(path, toy).map(SoundKey::trusted)
        }
        key => key,
    }
}

/// Options of `encrypt`.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("key").required(true).args(["secret", "public"])))]
pub(super) struct EncryptArgs {
    /// The owner's secret key: encrypts fastest
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// The public key, for anybody else
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
    /// auto, mnist, digits, or a folder with IDX files
    #[arg(long, default_value = "auto")]
    dataset: DatasetChoice,
    /// First image of the test set, from 0
    #[arg(long, default_value_t = 0, value_name = "N")]
    first: usize,
    /// Images [default: as many as one ciphertext holds, or all that are left]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Public feature map: pixels or gradients
    #[arg(long, default_value = "pixels")]
    features: FeatureMap,
    /// Bits of a feature, 1 to 12 [default: 8 for pixels, 4 for gradients]
    #[arg(long, value_name = "N")]
    feature_bits: Option<u32>,
    /// Bits of a slot, as the server's model needs them [default: those of the embedded model; see
    /// `cipherlane list`]
    #[arg(long, value_name = "N")]
    slot_bits: Option<u32>,
    /// Images in one ciphertext: auto (as many as fit), off, or a number
    #[arg(long, default_value = "auto")]
    packing: PackingChoice,
    /// owner, djn or standard [default: the first of them that the key given is fit for]
    #[arg(long)]
    encryption: Option<Encryption>,
    /// Do not use the network
    #[arg(long)]
    offline: bool,
    /// Query file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// The fastest way that a secret key is fit for, with a line where that is not `owner`.
pub(super) fn fastest_encryption(secret: &SecretKey) -> Encryption {
    let encryption = Encryption::fastest(secret);
    if encryption != Encryption::Owner {
        note(&format!("this key file does not give the factors of p - 1 and q - 1: encryption is {encryption}, which is slower than owner"));
    }
    encryption
}

/// The images that are asked for, at most `most` where their number is not.
fn images_of(args: &EncryptArgs, test: &Images, most: usize) -> Result<Images> {
    let there = test.len();
    if args.first >= there {
        return Err(Error::range("--first", &args.first, format!("0 to {}", there - 1)));
    }
    let left = there - args.first;
    let images = args.images.unwrap_or_else(|| left.min(most));
    if images == 0 || images > left {
        let allowed = format!("1 to {left}, the images of the test set from --first {} on", args.first);
        return Err(Error::range("--images", &images, allowed));
    }
    Ok(test.part(args.first, images))
}

/// Encrypts test images into a query file.
pub(super) fn encrypt(args: &EncryptArgs, json: bool) -> Result<bool> {
    let backend = args.common.open()?;
    let _claim = claim_file(&args.out, &args.secret.iter().chain(&args.public).map(PathBuf::as_path).collect::<Vec<_>>())?;
    let secret = args.secret.as_ref().map(|path| files::read_secret_key(path, args.common.toy)).transpose()?;
    let public = args.public.as_ref().map(|path| files::read_public_key(path, args.common.toy)).transpose()?;
    let key = match (&secret, &public) {
        (Some(secret), _) => ClientKey::Secret(secret),
        (None, Some(public)) => ClientKey::Public(public),
        (None, None) => return Err(Error::unsupported("encrypt", "no key; pass --secret or --public")),
    };
    let dataset = open_dataset(&args.dataset, args.offline)?;
    let data = dataset.description();
    let default = Precision::default_for(args.features);
    let precision = Precision { feature_bits: args.feature_bits.unwrap_or(default.feature_bits), ..default };
    precision.check()?;
    let slot_bits = match args.slot_bits {
        Some(bits) => bits,
        None => linear_map(&integer_model(&data, args.features, None, precision)?.0)?.result_bits(),
    };
    let packing = Packing::new(key.public().bits(), slot_bits, args.packing.images()?)?;
    packing.check_result_bits(precision.feature_bits + 1)?;
    let images = images_of(args, &dataset.test, packing.slots())?;
    let features = precision.features(&args.features.extract(&images)?)?;
    let inputs = Inputs::new(&features.values, features.width)?;
    let count = inputs.images().div_ceil(packing.slots()) * inputs.width();

    let meter = Meter::start("encrypt", count as u64, "ciphertexts");
    meter.set("tables", 0);
    let encryption = match (args.encryption, &key) {
        (Some(Encryption::Owner), ClientKey::Public(_)) => {
            return Err(Error::unsupported("a public key", "owner encryption; pass --secret, or --encryption djn or standard"));
        }
        (Some(encryption), _) => encryption,
        (None, ClientKey::Secret(secret)) => fastest_encryption(secret),
        (None, ClientKey::Public(_)) => key.fastest(),
    };
    let tables = Tables { uses: count, ..Tables::default() };
    let mut client = Client::new(backend.as_ref(), key, packing, encryption, tables, Tape::from_system()?)?;
    let origin = QueryOrigin { feature_bits: precision.feature_bits, features: args.features.name().into(), data, first: args.first };
    let (header, query) = client.query(&inputs, origin, &mut |done| {
        meter.set(encryption.name(), done as u64);
        check_stop()
    })?;
    drop(meter);
    let public = key.public();
    files::write_query(&args.out, &header, &query, public)?;
    let (images, bytes) = (header.images, query.wire_bytes(public));
    if json {
        out_json(&json!({ "query": shown(&args.out), "images": images, "ciphertexts": query.len(), "slots": packing.slots(), "slot_bits": slot_bits,
            "encryption": encryption.name(), "ciphertext_bytes": bytes, "fingerprint": public.fingerprint() }));
    } else {
        out(&format!(
            "{}: {images} images in {} ciphertexts ({} per ciphertext, slots of {slot_bits} bits), {:.1} kB, key {}",
            args.out.display(),
            query.len(),
            packing.slots(),
            bytes as f64 / 1e3,
            &public.fingerprint()[..16]
        ));
    }
    Ok(true)
}

/// The model for a query of certain images, as integers and as it was trained.
fn integer_model(data: &Description, features: FeatureMap, file: Option<&PathBuf>, precision: Precision) -> Result<(IntegerModel, TrainedModel)> {
    let model = model_for(&data.dataset, features, file)?;
    if model.origin.features != features {
        return Err(Error::unsupported(format!("a model for {}", model.origin.features.name()), format!("a query of {}", features.name())));
    }
    check_model(&model, file, data)?;
    Ok((IntegerModel::new(&model.network.collapse(), precision, precision.default_clip(features))?, model))
}

/// Options of `evaluate`.
#[derive(Args, Clone, Debug)]
pub(super) struct EvaluateArgs {
    /// The public key that the query was made with
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    /// Take a key without its owner's proof that gcd(n, phi(n)) = 1
    #[arg(long)]
    trust: bool,
    /// Query file
    #[arg(long, value_name = "FILE")]
    query: PathBuf,
    /// Model file [default: the embedded model of the query's dataset and features]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Bits of a weight with its sign, 2 to 16 [default: 8 for pixels, 4 for gradients]
    #[arg(long, value_name = "N")]
    weight_bits: Option<u32>,
    /// Plan of the product: auto (fewest products), pairs, buckets, straus, naive
    #[arg(long, default_value = "auto", value_parser = method_name)]
    method: String,
    /// Answer file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Applies a model to a query file.
pub(super) fn evaluate(args: &EvaluateArgs, json: bool) -> Result<bool> {
    let backend = args.common.open()?;
    let _claim = claim_file(
        &args.out,
        &[Some(&args.public), Some(&args.query), args.model.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>(),
    )?;
    let public = read_sound_key(&args.public, args.common.toy, args.trust)?;
    let (header, query) = files::read_query(&args.query, &public)?;
    let features: FeatureMap = header.features.parse()?;
    let method = method_choice(&args.method)?;
    let default = Precision::default_for(features);
    let precision = Precision { feature_bits: header.feature_bits, weight_bits: args.weight_bits.unwrap_or(default.weight_bits) };
    let (model, trained) = integer_model(&header.data, features, args.model.as_ref(), precision)?;
    let name =
        args.model.as_ref().and_then(|path| path.file_stem()).map_or_else(|| header.data.dataset.clone(), |stem| stem.to_string_lossy().into_owned());
    let meter = Meter::start("evaluate", query.len() as u64, "ciphertexts");
    meter.set("plan", 0);
    let map = linear_map(&model)?;
    let tables = Tables { uses: header.images.div_ceil(header.packing.slots()) * model.classes(), ..Tables::default() };
    let rerandomisation = (Rerandomisation::Auto, tables);
    let server = Server::new(backend.as_ref(), &public, &map, (header.packing.into(), method), rerandomisation, Tape::from_system()?)?;
    let mut server = server.with_model(&name, trained.sha256);
    let plan = server.evaluator().method();
    let (answer_header, answer) = server.answer(header, &query, &mut |done| {
        meter.set(plan.name(), done as u64);
        check_stop()
    })?;
    drop(meter);
    let products = server.evaluator().products();
    files::write_answer(&args.out, &answer_header, &answer, &public)?;
    if json {
        out_json(&json!({ "answer": shown(&args.out), "images": answer_header.images, "ciphertexts": answer.len(), "method": plan.name(),
            "products": products, "ciphertext_bytes": answer.wire_bytes(&public), "model_sha256": answer_header.model_sha256 }));
    } else {
        out(&format!(
            "{}: {} images in {} ciphertexts, {:.1} kB; {} products per set by {}; model {}",
            args.out.display(),
            answer_header.images,
            answer.len(),
            answer.wire_bytes(&public) as f64 / 1e3,
            products,
            plan,
            short(&answer_header.model_sha256)
        ));
    }
    Ok(true)
}

/// Options of `decrypt`.
#[derive(Args, Clone, Debug)]
pub(super) struct DecryptArgs {
    /// The owner's secret key
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// Answer file
    #[arg(long, value_name = "FILE")]
    answer: PathBuf,
    /// CSV file to write, mode 0600: image, class, and the logit of each class [default: standard
    /// output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compare with the labels of this dataset's test set, which must be the one that the answer is
    /// of
    #[arg(long)]
    dataset: Option<DatasetChoice>,
    /// Refuse an answer whose first image is not this one of the test set [default: take the
    /// answer's word]
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Check every plaintext by a second decryption without CRT
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    common: Common,
}

/// Decrypts an answer file into classes.
pub(super) fn decrypt(args: &DecryptArgs, json: bool) -> Result<bool> {
    let backend = args.common.open()?;
    let _claim = args.out.as_ref().map(|path| claim_file(path, &[&args.secret, &args.answer])).transpose()?;
    let secret = files::read_secret_key(&args.secret, args.common.toy)?;
    let (header, answer) = files::read_answer(&args.answer, secret.public())?;
    let first = header.first;
    if let Some(expected) = args.first.filter(|&expected| expected != first) {
        return Err(Error::size("first image of the answer", expected, first));
    }
    let images = match &args.dataset {
        None => None,
        Some(choice) => {
            let dataset = open_dataset(choice, true)?;
            let data = dataset.description();
            header.data.check_images(&args.answer.display().to_string(), &data, &format!("--dataset {choice}"))?;
            if first + header.images > dataset.test.len() {
                return Err(Error::size("labels of the dataset", first + header.images, dataset.test.len()));
            }
            Some(dataset.test.part(first, header.images))
        }
    };
    let meter = Meter::start("decrypt", answer.len() as u64, "ciphertexts");
    let decryptor = Decryptor::new(backend.as_ref(), &secret, args.verify)?;
    let logits = decryptor.results(&header, &answer, &mut |done| {
        meter.set("powers", done as u64);
        check_stop()
    })?;
    drop(meter);
    let classes: Vec<u8> = logits.chunks_exact(header.width).map(argmax).collect();
    let mut text = format!("image,class,{}\n", (0..header.width).map(|j| format!("logit_{j}")).collect::<Vec<_>>().join(","));
    for (image, (class, row)) in classes.iter().zip(logits.chunks_exact(header.width)).enumerate() {
        text += &format!("{},{class},{}\n", first + image, row.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    }
    let correct = images.as_ref().map(|images| count_equal(&classes, &images.labels));
    if let Some(path) = &args.out {
        write_private(path, text.as_bytes())?;
    }
    if json {
        out_json(&json!({ "images": header.images, "classes": classes, "correct": correct, "out": args.out.as_deref().map(shown),
            "dataset": header.data.dataset, "dataset_sha256": header.data.dataset_sha256, "first": first,
            "model": header.model, "model_sha256": header.model_sha256 }));
    } else if let Some(path) = &args.out {
        out(&format!("{}: {} images", path.display(), header.images));
    } else {
        out(&text);
    }
    if let Some(correct) = correct {
        note(&format!("{correct} of {} images as labelled ({:.2} %)", header.images, 100.0 * correct as f64 / header.images as f64));
    }
    if let Some((images, correct)) = images.zip(correct)
        && let Some(float_correct) = float_correct(&header, &images)?
    {
        let precision = format!("{}-bit {}", header.feature_bits, header.features);
        quantisation::cost(float_correct, correct, header.images, &precision).into_iter().for_each(|line| note(&format!("warning: {line}")));
    }
    Ok(true)
}

/// The number of images that the model of an answer classifies right in f32, if it comes with
/// the program.
fn float_correct(header: &Header, images: &Images) -> Result<Option<usize>> {
    let features: FeatureMap = header.features.parse()?;
    match model::embedded(&header.data.dataset, features) {
        Ok(model) if model.sha256 == header.model_sha256 => {
            let classes = model.network.classify(&features.extract(images)?)?;
            Ok(Some(count_equal(&classes, &images.labels)))
        }
        _ => Ok(None),
    }
}
