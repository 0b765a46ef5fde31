#![doc = include_str!("leakage/leakage.md")]

mod learn;
mod run;
mod setting;
mod sweep;
#[cfg(test)]
mod tests;

pub use learn::{Coordinates, Learner, Scaling};
pub use run::{Attacked, Learnt, Progress, Protected, Report, attack, attack_matrix, attack_row, learn, protect, row, sizes_row};
pub use setting::{Protection, Setting, Sizes};
pub use sweep::{Point, Sweep};
