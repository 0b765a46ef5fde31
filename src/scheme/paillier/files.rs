//! Files of the pipeline that runs one party at a time: keys and ciphertexts.
//!
//! | file | form | who holds it |
//! |---|---|---|
//! | secret key | JSON, the JWK form of python-paillier with additions | the data owner, mode 0600 |
//! | public key | the same, its public part | everybody |
//! | query, answer | a magic line, a line of JSON, residues, SHA-256 | travels |
//!
//! Every reader checks sizes before it allocates and refuses what its writer would not have written. The SHA-256 of a ciphertext file finds damage, not
//! malice: ciphertexts are not authenticated, so a file is as trustworthy as the way it came.

mod batch;
mod key;
#[cfg(test)]
mod tests;
mod text;

pub use batch::{Header, Kind, read_answer, read_query, write_answer, write_query};
pub use key::{read_public_key, read_secret_key, read_sound_key, write_public_key, write_secret_key};

#[cfg(test)]
pub(super) use text::parse_integer;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The whole file, if it has at most `limit` bytes. One allocation, so that no copy of a secret is left behind.
fn read_limited(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() > limit {
        return Err(Error::file(path, format!("at most {limit} bytes"), "more"));
    }
    Ok(bytes)
}
