//! Files of the pipeline that runs one party at a time: keys and ciphertexts.
//!
//! | file | form | who holds it |
//! |---|---|---|
//! | secret key | JSON, the JWK form of python-paillier with additions | the data owner, mode 0600 |
//! | public key | the same, its public part | everybody |
//! | query, answer | a container of residues | travels |
//!
//! Every reader checks sizes before it allocates and refuses what its writer would not have written. The digests of a ciphertext file find damage, not
//! malice: ciphertexts are not authenticated, so a file is as trustworthy as the way it came.

mod batch;
mod key;
#[cfg(test)]
mod tests;
mod text;

pub use batch::{Header, Kind, read_answer, read_query, write_answer, write_query};
pub(super) use batch::{decode, encode};
pub use key::{read_public_key, read_secret_key, read_sound_key, write_key_pair, write_public_key, write_secret_key};

#[cfg(test)]
pub(super) use text::parse_integer;
