//! What records say: medians, throughput and ratios per spec, and the tables that show them.
//!
//! Nothing here is stored: [`derive()`] turns [`Records`] into [`Row`]s, one per spec, images and
//! model, and [`table`], [`details`] and [`json`] print rows. A spec that was
//! run again counts with its last outcome; samples join their outcome by spec and run.
//!
//! Times are per image (per operation for kernels): the wall time of a stage on a batch divided by
//! the images of the batch. A [`Spread`] is the median over the samples with its 95 % bootstrap
//! interval, where there are samples enough for one, and with the least and the greatest value.
//! Samples are full batches: what is left over at the end of a pass is verified and leaves no time.
//!
//! What tells rows apart is decided in one place, `varies`: tables, labels, legends and captions
//! ask it.

pub mod compare;
mod form;
pub mod leakage;
mod numbers;
pub mod peers;
pub mod quantisation;
pub mod quoted;
mod render;
mod row;
mod spec_text;
mod splice;
#[cfg(test)]
pub(crate) mod synthetic;
mod varies;

use crate::error::{Error, Result};
use crate::record::Records;

pub use form::{Column, Format, Table};
pub(crate) use form::{escape, numbers, render, tabular, words};
pub(crate) use numbers::{digits3, percent};
pub(crate) use render::UNEVEN;
pub use render::{details, legend, table};
pub(crate) use row::comparable_accuracies;
pub use row::{Latency, Row, Speedup, Spread, StageTime, derive};
pub use splice::splice;
pub(crate) use varies::{DIMENSIONS, Naming, labels, varying};

/// The derived rows as JSON, for machines.
///
/// # Errors
/// [`Error::Unsupported`] when a number has no JSON form.
pub fn json(records: &Records) -> Result<String> {
    serde_json::to_string_pretty(&derive(records)).map_err(|e| Error::unsupported("JSON", e.to_string()))
}

#[cfg(test)]
mod tests;
