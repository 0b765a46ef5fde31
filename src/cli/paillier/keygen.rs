//! `keygen`: a key pair of the pipeline through files.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::backend;
use crate::cli::claims::claim_file;
use crate::cli::progress::Meter;
use crate::cli::stop::control;
use crate::cli::terminal::{out, out_json, shown};
use crate::error::{Error, Result};
use crate::randomness::Tape;
use crate::scheme::paillier::{SecretKey, check_bits, check_new_key, files};

/// Options of `keygen`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct KeygenArgs {
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
pub(in crate::cli) fn keygen(args: &KeygenArgs, json: bool) -> Result<bool> {
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
    check_new_key(backend.as_ref(), &secret)?;
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
