#![doc = include_str!("eivhe/eivhe.md")]

mod run;
mod setting;
mod sweep;
#[cfg(test)]
mod tests;

pub use run::{Attacked, Learnt, Progress, Protected, Report, attack, attack_matrix, attack_row, learn, protect, row, sizes_row};
pub use setting::{Protection, Setting, Sizes};
pub use sweep::{Point, Sweep};
