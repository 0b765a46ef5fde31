//! One experiment: images protected, a network trained on what comes of it, the key attacked.

use super::setting::{Protection, Setting};
use crate::attack::eivhe::{Recovered, known_plaintext, recover_key, without_key};
use crate::control::Control;
use crate::dataset::Images;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::model::{Classifier, count_equal};
use crate::randomness::Tape;
use crate::record::leakage::Leak;
use crate::scheme::eivhe::{Draw, Encryption, Encryptor, Parameters, PublicMatrix, Secret};
use crate::stopwatch::Stopwatch;
use crate::workload::leakage::{Coordinates, Learner, Scaling};

/// Images encrypted between two reports.
const BATCH: usize = 4096;
/// Streams of test images begin here, so that no randomness stands twice.
const TEST_STREAM: u64 = 1 << 40;

/// How far an experiment is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Images encrypted so far.
    Encrypted(usize),
    /// Passes over the training images so far, and the share of them classified as labelled.
    Trained(u32, f64),
    /// The attack has begun.
    Attacking,
}

/// Hears how far an experiment is.
pub type Report<'a> = dyn FnMut(Progress) + 'a;

/// Images as ciphertexts, or as they are.
pub struct Protected {
    /// How.
    pub protection: Protection,
    /// Rows and columns of an image.
    pub extent: (usize, usize),
    /// Ciphertexts of the training images.
    pub training: Coordinates,
    /// Ciphertexts of the test images.
    pub test: Coordinates,
    /// Share of test images that the owner of the key decrypts to the last pixel; none in the clear.
    pub owner_decrypts: Option<f64>,
    secret: Option<Secret>,
    public: Option<PublicMatrix>,
    keygen_ns: u64,
    encrypt_ns: u64,
}

/// The pixels of some images as messages.
fn pixels(images: &Images, from: usize, to: usize) -> Vec<i64> {
    let size = images.rows * images.cols;
    images.pixels[from * size..to * size].iter().map(|&pixel| i64::from(pixel)).collect()
}

/// Share of images whose numbers are all equal.
fn share_equal(numbers: &[i64], images: &Images) -> f64 {
    let size = (images.rows * images.cols).max(1);
    let same = |(numbers, pixels): &(&[i64], &[u8])| numbers.iter().zip(*pixels).all(|(&number, &pixel)| number == i64::from(pixel));
    numbers.chunks_exact(size).zip(images.pixels.chunks_exact(size)).filter(same).count() as f64 / images.len().max(1) as f64
}

/// Encrypts training and test images under a key drawn from `seed`. Equal arguments give equal ciphertexts.
///
/// # Errors
/// As the scheme's; [`Error::Interrupted`] when `control` was stopped.
pub fn protect(training: &Images, test: &Images, protection: Protection, seed: u64, control: &Control, report: &mut Report<'_>) -> Result<Protected> {
    let extent = (training.rows, training.cols);
    let size = extent.0 * extent.1;
    let whole = |images: &Images| Coordinates { count: images.len(), width: size, values: pixels(images, 0, images.len()) };
    let Some((parameters, encryption)) = protection.parameters.zip(protection.setting.encryption()) else {
        let (training, test) = (whole(training), whole(test));
        return Ok(Protected { protection, extent, training, test, owner_decrypts: None, secret: None, public: None, keygen_ns: 0, encrypt_ns: 0 });
    };
    let tape = Tape::replayable(seed);
    let watch = Stopwatch::start();
    let secret = Secret::generate(parameters, &tape, 0)?;
    let public = match encryption {
        Encryption::Fixed => Some(PublicMatrix::generate(&secret, &tape, None)?),
        Encryption::Fresh => None,
    };
    let absolute = public.as_ref().filter(|_| protection.setting == Setting::Absolute).map(PublicMatrix::absolute);
    let keygen_ns = watch.elapsed().wall_ns;
    let watch = Stopwatch::start();
    let encryptor = Encryptor::new(&secret)?;
    let mut done = 0;
    let mut encrypt = |images: &Images, first: u64| -> Result<Coordinates> {
        let mut values = Vec::with_capacity(images.len() * parameters.width());
        for from in (0..images.len()).step_by(BATCH) {
            let to = images.len().min(from + BATCH);
            let messages = pixels(images, from, to);
            values.extend(match absolute.as_ref().or(public.as_ref()) {
                Some(matrix) => matrix.encrypt(&messages)?,
                None => encryptor.encrypt(&messages, &tape, first + from as u64)?,
            });
            done += to - from;
            report(Progress::Encrypted(done));
            control.advance(to - from)?;
        }
        Ok(Coordinates { count: images.len(), width: parameters.width(), values })
    };
    let (training, test_ciphertexts) = (encrypt(training, 0)?, encrypt(test, TEST_STREAM)?);
    let encrypt_ns = watch.elapsed().wall_ns;
    // What absolute values of the matrix give is no ciphertext of the scheme any more.
    let owner_decrypts = match protection.setting {
        Setting::Absolute => None,
        _ => Some(share_equal(&secret.decrypt(&test_ciphertexts.values)?, test)),
    };
    let secret = Some(secret);
    Ok(Protected { protection, extent, training, test: test_ciphertexts, owner_decrypts, secret, public, keygen_ns, encrypt_ns })
}

/// What a network learnt.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    /// The network.
    pub learner: Learner,
    /// Coordinates that it sees.
    pub inputs: usize,
    /// Passes over the training images.
    pub epochs: u32,
    /// Share of training images classified as labelled during the last pass.
    pub training_accuracy: f64,
    /// Share of test images classified as labelled.
    pub accuracy: f64,
    /// Its classes of the test images.
    pub classes: Vec<u8>,
    train_ns: u64,
}

/// Trains a network on protected images, labels in clear, and tests it on others. Uses no key: what it learns anybody can learn who has the ciphertexts.
///
/// # Errors
/// [`crate::error::Error::Size`] when labels are missing; [`Error::Interrupted`] when `control` was stopped.
pub fn learn(
    protected: &Protected,
    (labels, test_labels): (&[u8], &[u8]),
    learner: Learner,
    (epochs, seed): (Option<u32>, u64),
    control: &Control,
    report: &mut Report<'_>,
) -> Result<Learnt> {
    let watch = Stopwatch::start();
    let inputs = learner.inputs(protected.extent, protected.training.width);
    let scaling = Scaling::of(&protected.training);
    let features: Features = scaling.apply(&protected.training, inputs)?;
    let recipe = learner.recipe(features.count, epochs, seed);
    let (extent, hidden) = learner.layers(protected.extent, inputs);
    let mut training_accuracy = 0.0;
    let mut told = |p: crate::model::Progress| {
        training_accuracy = p.accuracy;
        report(Progress::Trained(p.epoch, p.accuracy));
    };
    let classifier = Classifier::train(&features, labels, (extent, &hidden), &recipe, &mut told, control)?;
    let train_ns = watch.elapsed().wall_ns;
    let classes = classifier.classify(&scaling.apply(&protected.test, inputs)?)?;
    let accuracy = count_equal(&classes, test_labels) as f64 / classes.len().max(1) as f64;
    Ok(Learnt { learner, inputs, epochs: recipe.epochs, training_accuracy, accuracy, classes, train_ns })
}

/// What an attack got.
#[derive(Clone, Debug, PartialEq)]
pub struct Attacked {
    /// Equations that it had: columns of the public matrix, or known plaintexts.
    pub samples: usize,
    /// Entries of the key.
    pub entries: usize,
    /// Share of them that are exact as least squares rounds them, before any correction.
    pub rounded: f64,
    /// Share of them that are exact in the end.
    pub recovered: f64,
    /// Share of rows of the key whose residuals all lie in the range of the noise.
    pub consistent: f64,
    /// Share of test images decrypted to the last pixel with the recovered key.
    pub images: Option<f64>,
    /// Share of test images read off the ciphertexts to the last pixel, with no key and no matrix.
    pub without_key: Option<f64>,
    attack_ns: u64,
}

/// Recovers the key by least squares, from the public matrix where there is one, else from training images that are taken to be known, and decrypts the test images
/// with it. The true key serves only to count what was recovered. None in the clear, and for absolute values of the matrix, under which no key decrypts.
///
/// # Errors
/// As the scheme's; [`Error::Interrupted`] when `control` was stopped.
pub fn attack(protected: &Protected, known: &Images, test: &Images, control: &Control, report: &mut Report<'_>) -> Result<Option<Attacked>> {
    let attackable = protected.secret.as_ref().zip(protected.protection.parameters).filter(|_| protected.protection.setting != Setting::Absolute);
    let Some((secret, parameters)) = attackable else { return Ok(None) };
    report(Progress::Attacking);
    control.check()?;
    let watch = Stopwatch::start();
    let found = match &protected.public {
        Some(public) => recover_key(public, control),
        None => known_plaintext(&parameters, &pixels(known, 0, known.len()), &protected.training.values, control),
    };
    let attack_ns = watch.elapsed().wall_ns;
    let samples = protected.public.as_ref().map_or(protected.training.count, PublicMatrix::columns);
    let (attacked, rows) = counted(found, secret, samples, attack_ns)?;
    let images = share_equal(&Secret::from_rows(parameters, &rows)?.decrypt(&protected.test.values)?, test);
    let without_key = share_equal(&without_key(&parameters, &protected.test.values)?, test);
    Ok(Some(Attacked { images: Some(images), without_key: Some(without_key), ..attacked }))
}

/// What was found beside the truth, and the key that was found. Fewer equations than unknowns find nothing.
fn counted(found: Result<Recovered>, secret: &Secret, samples: usize, attack_ns: u64) -> Result<(Attacked, Vec<i64>)> {
    let truth = secret.rows();
    let found = match found {
        Err(Error::OutOfRange { .. }) => Recovered { rows: vec![0; truth.len()], rounded: vec![0; truth.len()], consistent: Vec::new() },
        found => found?,
    };
    let (rounded, recovered) = found.exact(&truth);
    let consistent = found.consistent_share();
    Ok((Attacked { samples, entries: truth.len(), rounded, recovered, consistent, images: None, without_key: None, attack_ns }, found.rows))
}

/// The attack on a public matrix of some dimension, without any image.
///
/// # Errors
/// As the scheme's; [`Error::Interrupted`] when `control` was stopped.
pub fn attack_matrix(parameters: Parameters, digits: Option<usize>, seed: u64, control: &Control, report: &mut Report<'_>) -> Result<Attacked> {
    let tape = Tape::replayable(seed);
    let secret = Secret::generate(parameters, &tape, 0)?;
    control.check()?;
    let public = PublicMatrix::generate(&secret, &tape, digits)?;
    report(Progress::Attacking);
    control.check()?;
    let watch = Stopwatch::start();
    let found = recover_key(&public, control);
    let attack_ns = watch.elapsed().wall_ns;
    Ok(counted(found, &secret, public.columns(), attack_ns)?.0)
}

/// A row of records: what is public about the protection, and what became of it. `base` names dataset, sweep and run.
#[must_use]
pub fn row(base: &Leak, protected: &Protected, learnt: Option<&Learnt>, attacked: Option<&Attacked>, seed: u64) -> Leak {
    let encrypted = protected.protection.parameters.is_some();
    Leak {
        setting: protected.protection.setting.name().into(),
        network: learnt.map_or_else(String::new, |l| l.learner.name().into()),
        seed,
        training_images: Some(protected.training.count as u32),
        test_images: Some(protected.test.count as u32),
        epochs: learnt.map(|l| l.epochs),
        inputs: learnt.map(|l| l.inputs as u32),
        training_accuracy: learnt.map(|l| l.training_accuracy),
        accuracy: learnt.map(|l| l.accuracy),
        owner_decrypts: protected.owner_decrypts,
        keygen_ns: encrypted.then_some(protected.keygen_ns),
        encrypt_ns: encrypted.then_some(protected.encrypt_ns),
        train_ns: learnt.map(|l| l.train_ns),
        ..attack_row(&sizes_row(base, &protected.protection, protected.extent.0 * protected.extent.1), attacked)
    }
}

/// The sizes of a protection in a row.
#[must_use]
pub fn sizes_row(base: &Leak, protection: &Protection, dimension: usize) -> Leak {
    let bound = |draw: Draw| match draw {
        Draw::Below(bound) => Some(u64::from(bound)),
        Draw::Centred(bits) => Some(u64::from(bits)),
        Draw::Modulus => None,
    };
    let range = |p: &Parameters| protection.setting.encryption().and_then(|e| p.encrypted(e).ok());
    let bytes = |largest: u128| u64::from((129 - largest.leading_zeros()).div_ceil(8));
    let parameters = protection.parameters.as_ref();
    Leak {
        dimension: dimension as u32,
        key_columns: parameters.map(|p| p.key_columns as u32),
        a_bound: parameters.and_then(|p| bound(p.mask)),
        e_bound: parameters.and_then(|p| bound(p.noise)),
        t_bound: parameters.and_then(|p| bound(p.key)),
        w_bits: parameters.map(|p| p.scale_bits),
        q_bits: parameters.and_then(|p| p.modulus_bits),
        ciphertext_bytes: parameters.and_then(|p| range(p).map(|r| p.dimension as u64 * bytes(r.upper) + p.key_columns as u64 * bytes(r.lower))),
        setting: protection.setting.name().into(),
        unsound: protection.unsound().unwrap_or_default().into(),
        ..base.clone()
    }
}

/// What an attack got, in a row.
#[must_use]
pub fn attack_row(base: &Leak, attacked: Option<&Attacked>) -> Leak {
    Leak {
        key_entries: attacked.map(|a| a.entries as u64),
        key_rounded: attacked.map(|a| a.rounded),
        key_recovered: attacked.map(|a| a.recovered),
        key_consistent: attacked.map(|a| a.consistent),
        images_recovered: attacked.and_then(|a| a.images),
        images_without_key: attacked.and_then(|a| a.without_key),
        attack_samples: attacked.map(|a| a.samples as u32),
        attack_ns: attacked.map(|a| a.attack_ns),
        ..base.clone()
    }
}
