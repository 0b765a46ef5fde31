//! Files that survive: written whole or not at all, read within bounds, and folders locked by the
//! process that works on them.
//!
//! A file is written under a temporary name beside its own, brought to the disk, renamed, and the
//! folder is brought to the disk. So neither a kill nor a full disk nor a loss of power leaves a file
//! half there.

mod bounded;
mod charter;
mod claim;
mod folder;
mod whole;

pub use bounded::{BULK, RESULTS, WRITTEN_BY_HAND, foreign_encoding, open, open_within, read, read_secret, read_text};
pub use charter::Charter;
pub use claim::{Claim, check_free, give_up_claims, stop_writing};
pub use folder::{entries, lock, open_lock, remove_temporary, sync_folder};
pub use whole::{Whole, temporary, write_private, write_together, write_whole, writing};
