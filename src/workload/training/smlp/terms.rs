//! Terms: what the parties of a training must agree on before they begin, and what decides their results.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bundle::Bundle;
use crate::durable::Charter;
use crate::error::{Error, Result};
use crate::scheme::paillier::{PublicKey, check_fingerprint};
use crate::scheme::smlp::{Comparison, UserKey};
use crate::text::hex;
use crate::workload::training::{Protection, Spec, slot_bits};

/// The form of the comparison of an encrypted spec.
pub(super) fn comparison(spec: &Spec) -> Result<Comparison> {
    match spec.protection {
        Protection::Smlp { comparison, .. } => Ok(comparison),
        other => Err(Error::unsupported(format!("a training under {other}"), "two parties; name an encrypted one")),
    }
}

/// Bits of a slot of a spec.
pub(super) fn slots(spec: &Spec) -> u32 {
    slot_bits(&spec.network, &spec.recipe, spec.batch)
}

/// What P1 works on.
pub struct Task<'a> {
    /// Records to train on.
    pub training: &'a Bundle,
    /// Records to classify afterwards.
    pub queries: Option<&'a Bundle>,
    /// Whether the user gets the parameters.
    pub release: bool,
}

impl Task<'_> {
    /// Refuses queries whose numbers mean something else than those that are trained on: other
    /// data, another scale, another centre.
    ///
    /// # Errors
    /// [`Error::OtherData`] with both.
    pub fn check(&self) -> Result<()> {
        let (training, Some(queries)) = (self.training, self.queries) else { return Ok(()) };
        let (subject, other) = ("the training file", "the file of queries");
        training.data.check_images(subject, &queries.data, other)?;
        let centred = |bundle: &Bundle| if bundle.spec.recipe.centred { ", centred" } else { "" };
        let encoding = |bundle: &Bundle| format!("numbers at scale {}{}", bundle.spec.recipe.scale(), centred(bundle));
        if encoding(training) == encoding(queries) {
            return Ok(());
        }
        Err(Error::OtherData { subject: subject.into(), expected: encoding(training), other: other.into(), actual: encoding(queries) })
    }
}

/// Largest message that two parties agree on, in bytes.
const LONGEST: u64 = 1 << 28;

/// What the parties of a session must agree on beside their identities: the program, the key, the training, the records.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreed {
    program: String,
    key: String,
    spec: String,
    /// SHA-256 of the encrypted records: a session does not go on with others.
    records: String,
}

const PROGRAM: &str = "cipherlane smlp v1";

/// The terms that P1 offers for a task, and the longest message that it needs, with some room, in bytes.
///
/// # Errors
/// None for specs that can be written.
pub fn terms(task: &Task<'_>, public: &PublicKey) -> Result<(Vec<u8>, u32)> {
    let spec = &task.training.spec;
    let mut records = Sha256::new();
    for bundle in std::iter::once(task.training).chain(task.queries) {
        bundle.parts.iter().for_each(|part| records.update(Sha256::digest(part)));
    }
    let agreed = Agreed { program: PROGRAM.into(), key: public.fingerprint().into(), spec: spec.to_string(), records: hex(records.finalize()) };
    let terms = serde_json::to_vec(&agreed).map_err(|e| Error::unsupported("a session", e.to_string()))?;
    // At most: all parameters, or every number of a batch bit by bit.
    let numbers = spec.network.parameters() + 64 * spec.batch * spec.network.as_slice().iter().sum::<usize>();
    let bytes = (numbers * public.ciphertext_bytes()) as u64 + (1 << 20);
    Ok((terms, bytes.min(LONGEST) as u32))
}

/// What decides P1's results, for the charter of its folder and for its rounding tape: nothing of a state is of use under anything else.
#[must_use]
pub fn charter(task: &Task<'_>, public: &PublicKey, replayable: bool) -> Charter {
    Charter::new("smlp p1")
        .with("program", PROGRAM)
        .with("spec", &task.training.spec)
        .with("key", public.fingerprint())
        .with("records", task.training.digest())
        .with("queries", task.queries.map_or_else(|| "none".into(), Bundle::digest))
        .with("release", task.release)
        .with("replayable", replayable)
}

/// What decides P2's answers, for the charter of its folder: a session that is continued with another pad key would give answers that nobody can read.
#[must_use]
pub fn server_charter(public: &PublicKey, user: &UserKey) -> Charter {
    let pad: [u8; 32] = Sha256::new().chain_update(b"cipherlane smlp pad key v1").chain_update(user.bytes()).finalize().into();
    Charter::new("smlp p2").with("program", PROGRAM).with("key", public.fingerprint()).with("pad-key", hex(pad))
}

/// P2's part: accepts terms for its own key, and gives the training that they name.
///
/// # Errors
/// [`Error::WrongKey`] for another key, [`Error::Refused`] for another program.
pub fn accept(terms: &[u8], public: &PublicKey) -> Result<Spec> {
    let other = || Error::Refused { reason: format!("another program than {PROGRAM}") };
    let agreed: Agreed = serde_json::from_slice(terms).map_err(|_| other())?;
    if agreed.program != PROGRAM {
        return Err(other());
    }
    check_fingerprint(&agreed.key, public)?;
    agreed.spec.parse().map_err(|_| other())
}
