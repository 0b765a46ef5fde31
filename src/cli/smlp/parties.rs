//! `smlp identity`, `smlp p1`, `smlp p2`: each server in a process of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::options::BackendChoice;
use super::user::read_user_key;
use crate::backend;
use crate::channel::{
    Bounds, Checkpoint, Count, Counted, Dialer, Event, Fingerprint, Identity, Limits, Link, Listener, Notes, Notice, Remote, Sessions, Shared, Step,
    Terms, Times, drive,
};
use crate::cli::claims::claim_file;
use crate::cli::paillier::{fastest_encryption, read_sound_key};
use crate::cli::progress::Meter;
use crate::cli::stop::{check_stop, control};
use crate::cli::terminal::{note, out, out_json, shown};
use crate::durable::Claim;
use crate::error::Result;
use crate::randomness::Tape;
use crate::scheme::paillier::{Tables, files};
use crate::scheme::smlp::{KeyServer, Operation};
use crate::workload::training::smlp::{self as party, Bundle, Kind, Task, Trainer};

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
            let (name, batches) = (checkpoint.name(), checkpoint.batches);
            note(&format!("session {name} goes on after {batches} batches, with {} for the arithmetic here", backend.id()));
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
    let written = write_results(&trainer.results()?, &args.out)?;
    if let Err(error) = link.finish() {
        note(&format!("P2 was not told that the session is over: {error}"));
    }
    let name = |operation| Operation::from_number(operation).map_or("unknown", Operation::name);
    let counted = link.lock();
    tell((args, &written, checkpoint.batches), &counted.named(name), counted.total(), json);
    Ok(true)
}

/// Writes what P1 leaves for the user; gives the names of the files.
fn write_results(bundles: &[Bundle], dir: &Path) -> Result<Vec<&'static str>> {
    let write = |bundle: &Bundle| {
        let name = match bundle.kind {
            Kind::Answers => ANSWERS,
            Kind::Parameters => PARAMETERS,
            Kind::Model | Kind::Training | Kind::Queries => MODEL,
        };
        bundle.write(&dir.join(name)).map(|()| name)
    };
    bundles.iter().map(write).collect()
}

/// Says what was written, after how many batches, and what was sent for it.
fn tell((args, written, batches): (&P1Args, &[&str], u64), named: &[(&str, Count)], all: Count, json: bool) {
    if json {
        let operation =
            |(name, c): &(&str, Count)| json!({ "operation": name, "rounds": c.rounds, "bytes_up": c.bytes_out, "bytes_down": c.bytes_in });
        return out_json(
            &json!({ "out": shown(&args.out), "files": written, "batches": batches, "operations": named.iter().map(operation).collect::<Vec<_>>(),
            "rounds": all.rounds, "bytes_up": all.bytes_out, "bytes_down": all.bytes_in }),
        );
    }
    let kilo = |bytes: u64| bytes as f64 / 1e3;
    let line =
        |name: &str, c: Count| format!("  {name:<9} {:>8} rounds {:>12.1} kB up {:>12.1} kB down", c.rounds, kilo(c.bytes_out), kilo(c.bytes_in));
    let mut text = format!("{}: {}; {batches} batches\n", args.out.display(), written.join(", "));
    named.iter().for_each(|&(name, count)| text += &format!("{}\n", line(name, count)));
    out(&format!("{text}{}, of this process, without framing", line("all", all)));
}
