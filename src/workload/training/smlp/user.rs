//! The user's part: encrypts records, and reads what was sealed.

use super::bundle::{Bundle, Kind};
use super::terms::{comparison, slots};
use crate::description::Description;
use crate::error::Result;
use crate::integer::Integer;
use crate::scheme::paillier::{Ciphertexts, PublicKey, Sendable};
use crate::scheme::private_training::Shape;
use crate::scheme::smlp::{Sealed, UserKey, encrypt_matrix};
use crate::workload::training::algorithm::input_bits;
use crate::workload::training::bench::{as_floats, digest};
use crate::workload::training::{Records, Spec};

/// The user's part: encrypts the records of a spec, in their order, with their labels for training and without them as queries.
///
/// # Errors
/// As [`Spec::check`] and [`encrypt_matrix`].
pub fn encrypt_records(
    spec: &Spec,
    public: &PublicKey,
    (data, records): (&Description, &Records),
    kind: Kind,
    mut encrypt: impl FnMut(&[Integer]) -> Result<Ciphertexts<Sendable>>,
) -> Result<Bundle> {
    spec.check()?;
    comparison(spec)?;
    let indices: Vec<usize> = (0..records.len()).collect();
    let classes = spec.network.outputs();
    let (inputs, labels) = records.gather(&indices, classes, spec.recipe.scale());
    let mut matrices = vec![(inputs, records.width)];
    if kind == Kind::Training {
        matrices.push((labels, classes));
    }
    let mut parts = Vec::new();
    for (values, cols) in matrices {
        let shape = Shape { rows: records.len(), cols, bits: input_bits(&spec.recipe) };
        parts.push(encrypt_matrix(public, slots(spec), shape, &values, &mut encrypt)?);
    }
    Ok(Bundle { kind, spec: spec.clone(), data: data.clone(), key: public.fingerprint().into(), parts })
}

/// The digest of parameters that `smlp train` prints, for comparing.
#[must_use]
pub fn parameter_digest(layers: &[Vec<i64>]) -> String {
    digest(&layers.iter().map(|layer| as_floats(layer)).collect::<Vec<_>>())
}

/// The user's part: reads what was sealed, each matrix row by row.
///
/// # Errors
/// [`Error::Decryption`](crate::error::Error::Decryption) with another pad key; as
/// [`Sealed::from_bytes`].
pub fn open_sealed(bundle: &Bundle, user: &UserKey) -> Result<Vec<Vec<i64>>> {
    bundle.parts.iter().map(|part| user.open(&Sealed::from_bytes(part)?)).collect()
}
