//! `smlp identity`, `smlp p1`, `smlp p2`, `smlp user`: each party in a process of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

use super::BackendChoice;
use crate::backend::{self, BackendId};
use crate::channel::{
    Bounds, Checkpoint, Counted, Dialer, Event, Fingerprint, Identity, Limits, Link, Listener, Notes, Notice, Remote, Sessions, Shared, Step, Terms,
    Times, drive,
};
use crate::cli::claims::claim_file;
use crate::cli::paillier::{fastest_encryption, read_sound_key};
use crate::cli::progress::Meter;
use crate::cli::stop::{check_stop, control};
use crate::cli::terminal::{note, out, out_json, shown};
use crate::durable::{Claim, Whole, read_secret, write_private, write_together};
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Tape};
use crate::scheme::paillier::{Encryptor, Tables, files};
use crate::scheme::smlp::{Comparison, KeyServer, Operation, UserKey};
use crate::text::hex;
use crate::workload::training::smlp::{self as party, Bundle, Kind, Task, Trainer};
use crate::workload::training::{Data, Loaded, Protection, Recipe, Records, Spec, Widths};

/// Options of `smlp identity`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct IdentityArgs {
    /// File to write: this party's own, mode 0600; a file that is there already is read, and its fingerprint printed
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Makes an identity, or prints the fingerprint of one.
pub(in crate::cli) fn identity(args: &IdentityArgs, json: bool) -> Result<bool> {
    let is_new = args.out.symlink_metadata().is_err();
    let identity = if is_new {
        let _claim = claim_file(&args.out, &[])?;
        let identity = Identity::generate()?;
        identity.write(&args.out)?;
        identity
    } else {
        Identity::read(&args.out)?
    };
    let fingerprint = identity.fingerprint().to_string();
    if json {
        out_json(&json!({ "identity": shown(&args.out), "fingerprint": fingerprint, "new": is_new }));
    } else {
        out(&fingerprint);
        note(&format!("{}: keep it; tell the other party the fingerprint above, in a way that nobody can change", args.out.display()));
    }
    Ok(true)
}

/// Options of `smlp p2`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct P2Args {
    /// Where to listen, as 0.0.0.0:7000; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: String,
    /// The secret Paillier key
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,
    /// The pad key that the user shares with this party; see `smlp user key`
    #[arg(long, value_name = "FILE")]
    user_key: PathBuf,
    /// This party's identity; see `smlp identity`
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// P1's fingerprint: nobody else is served
    #[arg(long, value_name = "FINGERPRINT")]
    peer: Fingerprint,
    /// Folder for the state of sessions, which makes them survive a kill
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// End when a session is finished, in place of waiting for the next one
    #[arg(long)]
    once: bool,
    /// Longest message that is taken, in MiB
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=2048))]
    longest: u32,
    /// Most exchanges of a session: P1 can ask for no more
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "N")]
    exchanges: u64,
    /// What does the arithmetic: auto (ifma where it is, else gmp), reference, gmp, ifma, gpu
    #[arg(long, default_value = "auto")]
    backend: BackendChoice,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
}

/// Serves P1 until it is stopped.
pub(in crate::cli) fn p2(args: &P2Args) -> Result<bool> {
    let backend = backend::open_under(args.backend.open()?, control())?;
    let secret = files::read_secret_key(&args.secret, args.toy)?;
    let encryption = fastest_encryption(&secret);
    let user = read_user_key(&args.user_key)?;
    let identity = Identity::read(&args.identity)?;
    let charter = party::server_charter(secret.public(), &user).with("identity", identity.fingerprint()).with("peer", args.peer);
    let sessions = Sessions::open(&args.state, &charter)?;
    let server = Listener::bind(&args.listen, &identity, args.peer)?;
    let key = &secret.public().fingerprint()[..16];
    note(&format!("P2, identity {}, key {key}, backend {}", identity.fingerprint(), backend.id()));
    note(&format!("listening on {}", server.address()?));
    let until =
        if args.once { "until a session is finished" } else { "for one session after another, until it is stopped; --once ends it with a session" };
    note(&format!("serving P1 {until}"));
    let open = |terms: &[u8]| {
        let spec = party::accept(terms, secret.public())?;
        note(&format!("a session of {spec}, with {} for the arithmetic here", backend.id()));
        let server = KeyServer::new(backend.as_ref(), &secret, encryption, Tables::default(), Tape::from_system()?, user.clone())?;
        Ok(Box::new(server) as Box<dyn crate::channel::Responder>)
    };
    let bounds = Bounds { longest: args.longest.saturating_mul(1 << 20).min(1 << 31), steps: args.exchanges };
    let limits = Limits { bounds, times: Times::default(), once: args.once, control: control().clone() };
    // Batches are told of as they go by; the rest is a line each.
    let mut batches: Option<Meter> = None;
    server.serve(sessions, &open, &limits, &mut |notice| {
        if let Notice::Session(Event::Committed { session, step }) = &notice {
            let meter = batches.get_or_insert_with(|| Meter::start(&format!("session {session}"), 0, "exchanges"));
            meter.set(&format!("a batch is complete after {step} exchanges"), *step);
        } else {
            batches = None;
            note(&notice_text(&notice));
        }
    })?;
    Ok(true)
}

fn notice_text(notice: &Notice) -> String {
    match notice {
        Notice::Stranger { address, error, count } => format!("{address} was not let in: {error} ({count} so far)"),
        Notice::Connected { address } => format!("P1 is connected from {address}"),
        Notice::Session(Event::Began { session }) => format!("session {session} begins"),
        Notice::Session(Event::Resumed { session, step }) => format!("session {session} goes on at exchange {step}"),
        Notice::Session(Event::Committed { session, step }) => format!("session {session}: a batch is complete after {step} exchanges"),
        Notice::Session(Event::Finished { session, steps }) => format!("session {session} is finished after {steps} exchanges"),
        Notice::Refused(error) => format!("P1 was refused: {error}"),
        Notice::Lost(error) => format!("{error}; the session stays, waiting for P1"),
    }
}

/// Options of `smlp p1`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct P1Args {
    /// P2's address
    #[arg(long, value_name = "HOST:PORT")]
    connect: String,
    /// The public Paillier key
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
    /// Take a key without its owner's proof that gcd(n, phi(n)) = 1
    #[arg(long)]
    trust: bool,
    /// This party's identity; see `smlp identity`
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// P2's fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    peer: Fingerprint,
    /// The user's encrypted records to train on; see `smlp user encrypt`
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The user's encrypted records to classify afterwards
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Let the user read the trained parameters, too
    #[arg(long)]
    release: bool,
    /// Round as the simulator does with the spec's seed, for comparing with it. The seed is public, so P2 learns remainders of divisions
    #[arg(long)]
    replayable: bool,
    /// Folder for the state of the session, which makes it survive a kill: the same command goes on
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Folder for model.bin, answers.bin and parameters.bin
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seconds to try for when P2 cannot be reached
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    patience: u64,
    /// Seconds to wait for an answer before connecting again
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    answer: u64,
    /// What does the arithmetic: auto (ifma where it is, else gmp), reference, gmp, ifma, gpu
    #[arg(long, default_value = "auto")]
    backend: BackendChoice,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
}

/// What P1 leaves for the user.
const MODEL: &str = "model.bin";
const ANSWERS: &str = "answers.bin";
const PARAMETERS: &str = "parameters.bin";
const FILES: [&str; 3] = [MODEL, ANSWERS, PARAMETERS];

/// Trains and classifies with P2, from the start or from where an earlier process was stopped.
pub(in crate::cli) fn p1(args: &P1Args, json: bool) -> Result<bool> {
    let backend = backend::open_under(args.backend.open()?, control())?;
    let public = read_sound_key(&args.public, args.toy, args.trust)?;
    let identity = Identity::read(&args.identity)?;
    let training = Bundle::read(&args.data, Kind::Training)?;
    let queries = args.queries.as_deref().map(|path| Bundle::read(path, Kind::Queries)).transpose()?;
    let task = Task { training: &training, queries: queries.as_ref(), release: args.release };
    task.check()?;
    let charter = party::charter(&task, &public, args.replayable).with("identity", identity.fingerprint()).with("peer", args.peer);
    let _claim = Claim::resumed(&args.out, &FILES, &charter)?;
    let notes = Notes::open(&args.state, &charter)?;
    let mut checkpoint = match notes.read()? {
        Some(checkpoint) => {
            note(&format!(
                "session {} goes on after {} batches, with {} for the arithmetic here",
                checkpoint.name(),
                checkpoint.batches,
                backend.id()
            ));
            checkpoint
        }
        None => {
            let checkpoint = Checkpoint::start(party::first_state(args.replayable)?)?;
            notes.write(&checkpoint)?;
            note(&format!("session {}: {}, with {} for the arithmetic here", checkpoint.name(), training.spec, backend.id()));
            checkpoint
        }
    };
    let (scheme, longest) = party::terms(&task, &public)?;
    let terms = Terms { asker: identity.fingerprint().0, answerer: args.peer.0, longest, scheme };
    let times = Times { wait: Duration::from_secs(args.answer), ..Times::default() };
    let dialer = Dialer::new(&args.connect, &identity, args.peer, times, Duration::from_secs(args.patience), control(), |error| {
        note(&format!("{error}; trying again for {} s", args.patience));
    })?;
    let mut link = Shared::new(Counted::new(Remote::new(dialer, checkpoint.session, terms, checkpoint.position)));
    let mut trainer = Trainer::new(backend.as_ref(), &public, &task, &checkpoint.work, link.clone())?;
    let meter = Meter::start("P1", trainer.batches(), "batches");
    meter.set("working", checkpoint.batches);
    let done = drive(
        &mut link,
        &mut trainer,
        &mut checkpoint,
        &mut |next| notes.write(next).and_then(|()| if next.complete { Ok(()) } else { check_stop() }),
        &mut |step| match step {
            Step::Done(checkpoint) => meter.set("working", checkpoint.batches),
            Step::Back(error) => note(&error.to_string()),
        },
    );
    drop(meter);
    if let Err(error) = done {
        note(&format!("what is done stays in {}; the same command goes on", args.state.display()));
        return Err(error);
    }
    charter.claim(&args.out, &FILES)?;
    let mut written = Vec::new();
    for bundle in trainer.results()? {
        let name = match bundle.kind {
            Kind::Answers => ANSWERS,
            Kind::Parameters => PARAMETERS,
            Kind::Model | Kind::Training | Kind::Queries => MODEL,
        };
        bundle.write(&args.out.join(name))?;
        written.push(name);
    }
    if let Err(error) = link.finish() {
        note(&format!("P2 was not told that the session is over: {error}"));
    }
    let counted = link.lock();
    let name = |operation| Operation::from_number(operation).map_or("unknown", Operation::name);
    let (named, all) = (counted.named(name), counted.total());
    if json {
        let operations: Vec<_> = named
            .iter()
            .map(|(name, c)| json!({ "operation": name, "rounds": c.rounds, "bytes_up": c.bytes_out, "bytes_down": c.bytes_in }))
            .collect();
        out_json(&json!({ "out": shown(&args.out), "files": written, "batches": checkpoint.batches, "operations": operations,
            "rounds": all.rounds, "bytes_up": all.bytes_out, "bytes_down": all.bytes_in }));
    } else {
        let mut text = format!("{}: {}; {} batches\n", args.out.display(), written.join(", "), checkpoint.batches);
        for (name, count) in &named {
            text += &format!("  {name:<9} {:>8} rounds {:>12.1} kB up {:>12.1} kB down\n", count.rounds, kilo(count.bytes_out), kilo(count.bytes_in));
        }
        text += &format!(
            "  {:<9} {:>8} rounds {:>12.1} kB up {:>12.1} kB down, of this process, without framing",
            "all",
            all.rounds,
            kilo(all.bytes_out),
            kilo(all.bytes_in)
        );
        out(&text);
    }
    Ok(true)
}

fn kilo(bytes: u64) -> f64 {
    bytes as f64 / 1e3
}

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

fn read_user_key(path: &Path) -> Result<UserKey> {
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
    /// Records: xor, parity-K, digits, mnist, mnist-heldout
    #[arg(long, default_value = "xor")]
    data: Data,
    /// Encrypt the test set without labels, to be classified
    #[arg(long)]
    queries: bool,
    /// With --queries, how many from the start of the test set [default: all]
    #[arg(long, value_name = "N", requires = "queries")]
    images: Option<usize>,
    /// Widths from input to output [default: that of the data]
    #[arg(long, value_name = "WIDTHS")]
    network: Option<Widths>,
    /// How the network learns [default: that of the data]
    #[arg(long)]
    recipe: Option<Recipe>,
    /// Passes over the records [default: those of the data]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Records of a mini-batch [default: that of the data]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Records, from the start of the training set [default: all]
    #[arg(long, value_name = "N")]
    records: Option<usize>,
    /// Stop after this many mini-batches
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// How signs are compared: blinded (leaks magnitudes to P2), exact
    #[arg(long, default_value = "exact")]
    comparison: Comparison,
    /// Seed of binary records, of initial parameters and of the order, all of them public
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What does the arithmetic: auto (ifma where it is, else gmp), reference, gmp, ifma, gpu
    #[arg(long, default_value = "auto")]
    backend: BackendChoice,
    /// Allow keys under 2048 bits, which protect nothing
    #[arg(long)]
    toy: bool,
}

fn encrypt(args: &EncryptArgs, json: bool) -> Result<bool> {
    let backend = backend::open_under(args.backend.open()?, control())?;
    let _claim = claim_file(&args.out, &[&args.public])?;
    let public = files::read_public_key(&args.public, args.toy)?;
    // Which backend the parties take is their own affair; a spec names one.
    let protection = Protection::Smlp { backend: BackendId::Gmp, key_bits: public.bits(), comparison: args.comparison };
    let default = match &args.network {
        None => Spec::default_for(args.data, protection),
        Some(network) => Spec::default_for_network(args.data, network.clone(), protection),
    };
    let spec = Spec {
        recipe: args.recipe.clone().unwrap_or_else(|| default.recipe.clone()),
        epochs: args.epochs.unwrap_or(default.epochs),
        batch: args.batch.unwrap_or(default.batch),
        records: args.records.unwrap_or(default.records),
        seed: args.seed,
        steps: args.steps,
        ..default
    };
    spec.check()?;
    let loaded = args.data.load(args.seed)?;
    let (training, test) = Records::encode(&loaded, spec.recipe.scale(), spec.recipe.centred);
    let images = args.images.unwrap_or(test.len());
    if images == 0 || images > test.len() {
        return Err(Error::OutOfRange { what: "--images", value: images.to_string(), allowed: format!("1 to {}", test.len()) });
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
        out(&format!("{}: {} records in {made} ciphertexts, {:.1} kB; {spec}", args.out.display(), records.len(), kilo(bytes as u64)));
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
