//! `keygen`, `encrypt`, `evaluate`, `decrypt`: the same pipeline through files, one party at a time, with randomness of the operating system.
//!
//! The data owner holds the secret key and the images, the server holds the model. What travels is a query file and an answer file.

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
use crate::integer::Integer;
use crate::model::{self, TrainedModel, argmax, count_equal};
use crate::quantise::{IntegerModel, Precision};
use crate::randomness::{Purpose, Tape};
use crate::report::quantisation;
use crate::scheme::Inputs;
use crate::scheme::paillier::files::{self, Header};
use crate::scheme::paillier::{
    Ciphertexts, Decryptor, Encryption, Encryptor, Evaluator, Packing, PackingChoice, Rerandomisation, SecretKey, SoundKey, Tables, check_bits,
    method_choice, pack_columns, unpack_rows,
};
use crate::workload::inference::linear_map;

/// Ciphertexts between two looks at the clock and at Ctrl-C.
const CHUNK: usize = 256;

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

/// Options of `keygen`.
#[derive(Args, Clone, Debug)]
pub(super) struct KeygenArgs {
    /// Bits of n
    #[arg(long, default_value_t = 2048, value_name = "N")]
    bits: u32,
    /// Safe primes: slower, needed for nothing here, asked for by some protocols
    #[arg(long)]
    safe: bool,
    /// Names the files: PREFIX.secret.json and PREFIX.public.json
    #[arg(long, default_value = "paillier", value_name = "PREFIX")]
    out: PathBuf,
    /// Make no key: write the public key of this secret key, with the proof that others ask for
    #[arg(long, value_name = "SECRET", conflicts_with_all = ["bits", "safe"])]
    from: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    replace: bool,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
}

fn with_ending(prefix: &Path, ending: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(ending);
    name.into()
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

/// Writes the public key of a secret key that is there already.
fn public_of(secret_path: &Path, args: &KeygenArgs, json: bool) -> Result<bool> {
    let path = with_ending(&args.out, ".public.json");
    let _claim = claim_file(&path, &[secret_path])?;
    let secret = files::read_secret_key(secret_path, args.toy)?;
    files::write_public_key(&path, &secret, args.replace)?;
    let public = secret.public();
    if json {
        out_json(&json!({ "public": shown(&path), "bits": public.bits(), "fingerprint": public.fingerprint() }));
    } else {
        out(&format!("{}: for everybody; {} bits, fingerprint {}", path.display(), public.bits(), &public.fingerprint()[..16]));
    }
    Ok(true)
}

/// Makes a key pair and checks it by encrypting and decrypting.
pub(super) fn keygen(args: &KeygenArgs, json: bool) -> Result<bool> {
    if let Some(secret) = &args.from {
        return public_of(secret, args, json);
    }
    check_bits(args.bits, args.toy)?;
    let (secret_path, public_path) = (with_ending(&args.out, ".secret.json"), with_ending(&args.out, ".public.json"));
    if let Some(there) = [&secret_path, &public_path].into_iter().find(|p| !args.replace && p.exists()) {
        return Err(Error::file(there, "no file of this name", "a key; choose another --out or pass --replace"));
    }
    let _claims = [&secret_path, &public_path].map(|path| claim_file(path, &[])).into_iter().collect::<Result<Vec<_>>>()?;
    let meter = Meter::start("keygen", 0, "primes");
    meter.set(&format!("two primes of {} bits", args.bits / 2), 0);
    let secret = SecretKey::generate(args.bits, args.safe, args.toy, &Tape::from_system()?, control())?;
    let backend = backend::fastest(control())?;
    let messages = [Integer::from(0), Integer::from(-1), Integer::from(1) << (args.bits - 3)];
    for encryption in [Encryption::Djn, Encryption::Standard] {
        let encryptor = Encryptor::new(backend.as_ref(), encryption, &secret, Tables { uses: 3, ..Tables::default() }, Purpose::Encryption)?;
        let decrypted = Decryptor::new(backend.as_ref(), &secret, true)?.decrypt(&encryptor.encrypt(&messages, &Tape::from_system()?, 0)?)?;
        if decrypted != messages {
            return Err(Error::Disagreement { what: "decryption with the new key".into(), expected: "the message".into(), actual: "another".into() });
        }
    }
    drop(meter);
    files::write_key_pair(&secret_path, &public_path, &secret, args.replace)?;
    if json {
        out_json(
            &json!({ "secret": shown(&secret_path), "public": shown(&public_path), "bits": args.bits, "fingerprint": secret.public().fingerprint() }),
        );
    } else {
        out(&format!("{}: keep it secret\n{}: for everybody", secret_path.display(), public_path.display()));
        out(&format!(
            "{} bits, about {} bits of security, fingerprint {}",
            args.bits,
            secret.public().security_bits(),
            &secret.public().fingerprint()[..16]
        ));
    }
    Ok(true)
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
    /// Bits of a slot, as the server's model needs them [default: those of the embedded model; see `cipherlane list`]
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

/// Encrypts test images into a query file.
pub(super) fn encrypt(args: &EncryptArgs, json: bool) -> Result<bool> {
    let backend = args.common.open()?;
    let _claim = claim_file(&args.out, &args.secret.iter().chain(&args.public).map(PathBuf::as_path).collect::<Vec<_>>())?;
    let secret = args.secret.as_ref().map(|path| files::read_secret_key(path, args.common.toy)).transpose()?;
    let public = match (&secret, &args.public) {
        (Some(secret), _) => secret.public().clone(),
        (None, Some(path)) => files::read_public_key(path, args.common.toy)?,
        (None, None) => return Err(Error::Unsupported { subject: "encrypt".into(), feature: "no key; pass --secret or --public".into() }),
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
    let packing = Packing::new(public.bits(), slot_bits, args.packing.images()?)?;
    packing.check_result_bits(precision.feature_bits + 1)?;
    let there = dataset.test.len();
    if args.first >= there {
        return Err(Error::OutOfRange { what: "--first", value: args.first.to_string(), allowed: format!("0 to {}", there - 1) });
    }
    let left = there - args.first;
    let images = args.images.unwrap_or_else(|| left.min(packing.slots()));
    if images == 0 || images > left {
        let allowed = format!("1 to {left}, the images of the test set from --first {} on", args.first);
        return Err(Error::OutOfRange { what: "--images", value: images.to_string(), allowed });
    }
    let features = precision.features(&args.features.extract(&dataset.test.part(args.first, images))?)?;
    let plaintexts = pack_columns(packing, &Inputs::new(&features.values, features.width)?)?;

    let meter = Meter::start("encrypt", plaintexts.len() as u64, "ciphertexts");
    meter.set("tables", 0);
    let encryption = args.encryption.unwrap_or_else(|| match (&secret, public.djn_base()) {
        (Some(secret), _) => fastest_encryption(secret),
        (None, Some(_)) => Encryption::Djn,
        (None, None) => Encryption::Standard,
    });
    let tables = Tables { uses: plaintexts.len(), ..Tables::default() };
    let encryptor = match (&secret, encryption) {
        (Some(secret), _) => Encryptor::new(backend.as_ref(), encryption, secret, tables, Purpose::Encryption)?,
        (None, Encryption::Djn) => Encryptor::djn(backend.as_ref(), &public, tables, Purpose::Encryption)?,
        (None, Encryption::Standard) => Encryptor::standard(backend.as_ref(), &public, Purpose::Encryption)?,
        (None, Encryption::Owner) => {
            return Err(Error::Unsupported {
                subject: "a public key".into(),
                feature: "owner encryption; pass --secret, or --encryption djn or standard".into(),
            });
        }
    };
    let tape = Tape::from_system()?;
    let mut query: Option<Ciphertexts<_>> = None;
    for (number, chunk) in plaintexts.chunks(CHUNK).enumerate() {
        check_stop()?;
        meter.set(encryption.name(), (number * CHUNK) as u64);
        let part = encryptor.encrypt(chunk, &tape, (number * CHUNK) as u64)?;
        match &mut query {
            None => query = Some(part),
            Some(query) => query.append(&part)?,
        }
    }
    drop(meter);
    let Some(query) = query else { return Err(Error::Size { what: "values of an image", expected: 1, actual: 0 }) };
    let header = Header {
        images,
        width: features.width,
        packing,
        feature_bits: precision.feature_bits,
        features: args.features.name().into(),
        data,
        first: args.first,
        model: String::new(),
        model_sha256: String::new(),
    };
    files::write_query(&args.out, &header, &query, &public)?;
    let bytes = query.wire_bytes(&public);
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
        return Err(Error::Unsupported {
            subject: format!("a model for {}", model.origin.features.name()),
            feature: format!("a query of {}", features.name()),
        });
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
    if header.width != model.width() {
        return Err(Error::Size { what: "values of an image in the query", expected: model.width(), actual: header.width });
    }
    let meter = Meter::start("evaluate", query.len() as u64, "ciphertexts");
    meter.set("plan", 0);
    let tape = Tape::from_system()?;
    let sets = query.len() / header.width;
    let tables = Tables { uses: sets * model.classes(), ..Tables::default() };
    let randomiser = Rerandomisation::Auto.encryptor(backend.as_ref(), &public, tables, &tape)?;
    let evaluator = Evaluator::new(backend.as_ref(), &public, &linear_map(&model)?, header.packing, method, randomiser)?;
    let mut answer: Option<Ciphertexts<_>> = None;
    let step = rayon::current_num_threads().max(1);
    for first in (0..sets).step_by(step) {
        check_stop()?;
        meter.set(evaluator.method().name(), (first * header.width) as u64);
        let part = query.part(first * header.width, step.min(sets - first) * header.width);
        let raw = evaluator.multiply(&evaluator.upload(&part)?)?;
        let part = evaluator.download(&evaluator.add_bias(&raw, &tape, (first * model.classes()) as u64, None)?)?;
        match &mut answer {
            None => answer = Some(part),
            Some(answer) => answer.append(&part)?,
        }
    }
    drop(meter);
    let Some(answer) = answer else { return Err(Error::Size { what: "ciphertexts of a query", expected: header.width, actual: 0 }) };
    let name = args.model.as_ref().and_then(|p| p.file_stem()).map_or_else(|| header.data.dataset.clone(), |stem| name_of(&stem.to_string_lossy()));
    let answer_header = Header { width: model.classes(), model: name, model_sha256: trained.sha256, ..header };
    files::write_answer(&args.out, &answer_header, &answer, &public)?;
    if json {
        out_json(
            &json!({ "answer": shown(&args.out), "images": answer_header.images, "ciphertexts": answer.len(), "method": evaluator.method().name(),
            "products": evaluator.products(), "ciphertext_bytes": answer.wire_bytes(&public), "model_sha256": answer_header.model_sha256 }),
        );
    } else {
        out(&format!(
            "{}: {} images in {} ciphertexts, {:.1} kB; {} products per set by {}; model {}",
            args.out.display(),
            answer_header.images,
            answer.len(),
            answer.wire_bytes(&public) as f64 / 1e3,
            evaluator.products(),
            evaluator.method(),
            short(&answer_header.model_sha256)
        ));
    }
    Ok(true)
}

/// As much of a file's name as fits a header.
fn name_of(stem: &str) -> String {
    stem.chars().filter(|c| c.is_ascii() && !c.is_control()).take(64).collect()
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
    /// CSV file to write, mode 0600: image, class, and the logit of each class [default: standard output]
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
        return Err(Error::Size { what: "first image of the answer", expected, actual: first });
    }
    let images = match &args.dataset {
        None => None,
        Some(choice) => {
            let dataset = open_dataset(choice, true)?;
            let data = dataset.description();
            header.data.check_images(&args.answer.display().to_string(), &data, &format!("--dataset {choice}"))?;
            if first + header.images > dataset.test.len() {
                return Err(Error::Size { what: "labels of the dataset", expected: first + header.images, actual: dataset.test.len() });
            }
            Some(dataset.test.part(first, header.images))
        }
    };
    let meter = Meter::start("decrypt", answer.len() as u64, "ciphertexts");
    let decryptor = Decryptor::new(backend.as_ref(), &secret, args.verify)?;
    let mut plaintexts = Vec::with_capacity(answer.len());
    for first in (0..answer.len()).step_by(CHUNK) {
        check_stop()?;
        meter.set("powers", first as u64);
        plaintexts.extend(decryptor.decrypt(&answer.part(first, CHUNK.min(answer.len() - first)))?);
    }
    drop(meter);
    let logits = unpack_rows(header.packing, &plaintexts, header.width, header.images)?;
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

/// How many images the model of an answer classifies right in f32, where it is one that comes with
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
