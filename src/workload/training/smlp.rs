//! Training with each party in a process of its own: what the user hands to P1, and what P1 does, batch by batch, over any channel to P2.
//!
//! ```text
//! user   encrypts records into a data file ──→ P1   trains, classifies ←─ channel ─→ P2   has the secret key
//! user   opens answers with the pad key   ←── P1   answers, sealed for the user      P2   has the pad key, too
//! ```
//!
//! P1's state between two batches is the place on its rounding tape and the encrypted parameters, nothing else; masks are fresh from the system whenever P1 starts.
//! So an interrupted training ends with the same integers in its parameters as one that was never interrupted. What a repeated batch shows P2: the same numbers under other
//! masks, which is nothing in the form `exact`; in `blinded` one more reading of each number that was compared before the interruption.

mod bundle;
mod terms;
mod trainer;
mod user;

pub use bundle::{Bundle, Kind};
pub use terms::{Task, accept, charter, server_charter, terms};
pub use trainer::{Trainer, first_state};
pub use user::{encrypt_records, open_sealed, parameter_digest};
