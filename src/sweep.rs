//! Sweeps: files that name grids of specs, what to leave out of them, and how long to measure.
//!
//! A [`Plan`] is the list of specs that a file comes to on this machine, each once, in a fixed
//! order. What is left out is counted by rule, never silently; what cannot work and is not left out
//! stays in the plan and becomes an error row.

mod file;
mod plan;
mod shipped;

pub use file::Sweep;
pub use plan::{Excluded, Plan};
pub use shipped::{Extent, all_shipped, find, setting_of, shipped};
