//! Specs in their text form: what no column of a row says.

use crate::record::Outcome;

/// The part of a spec that begins with `name`, without it.
pub(super) fn part(outcome: &Outcome, name: &str) -> Option<String> {
    outcome.spec.split('/').find_map(|part| part.strip_prefix(name)).map(str::to_owned)
}

/// What the spec of a training, or of a classification by what was trained, says of the network and
/// of how it learns.
pub(crate) struct Training<'a> {
    /// Widths of the layers.
    pub network: &'a str,
    /// Step size, momentum and scales.
    pub recipe: &'a str,
    /// Passes over the records.
    pub epochs: &'a str,
    pub seed: &'a str,
}

impl<'a> Training<'a> {
    /// Of a row that is one.
    pub fn of(outcome: &'a Outcome) -> Option<Self> {
        let parts: Vec<&str> = outcome.spec.split('/').collect();
        let rest = match parts.as_slice() {
            ["training", "clear", "float", rest @ ..] | ["training" | "inference", "smlp", "simulated", rest @ ..] => rest,
            ["training" | "inference", "smlp", _, _, _, rest @ ..] => rest,
            _ => return None,
        };
        let [_, network, recipe, epochs, _, _, seed, ..] = *rest else { return None };
        Some(Self { network, recipe, epochs, seed })
    }
}

/// The seed in a spec.
pub(super) fn seed(outcome: &Outcome) -> Option<&str> {
    let own = || outcome.spec.split('/').rev().find(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    Training::of(outcome).map_or_else(own, |training| Some(training.seed))
}

/// A choice in the spec of an inference under Paillier, by its place behind the scheme.
pub(super) fn paillier_part(outcome: &Outcome, place: usize) -> Option<&str> {
    let mut parts = outcome.spec.split('/');
    (parts.next() == Some("inference") && parts.next() == Some("paillier")).then(|| parts.nth(place)).flatten()
}
