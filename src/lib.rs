//! cipherlane: benchmarking and research harness for neural networks on encrypted data.
//!
//! # The idea
//!
//! A [`spec::Spec`] (what is computed, how it is protected, what does the arithmetic, which sizes) goes in, [`record`]s come out. The source is listed in
//! the order the data travels:
//!
//! ```text
//! dataset → features → model → quantise │ plan, limbs → modulus → backend │ scheme │ workload │ sweep → measure → record → report → plot → paper
//!           cleartext side                     arithmetic side              meets     drives     harness
//! ```
//!
//! # The rooms
//!
#![doc = include_str!("architecture.md")]
//!
//! Tests hold every file to this table, and to more: no two files import each other in a circle, a
//! scheme is named in its own folder and in few other places, which only get fewer.
//!
//! # The narrow waist
//!
//! Everything that a backend computes is a [`plan::Program`]: a straight-line list of modular products over numbered slots, in levels of independent
//! operations, or one of a few batched verbs beside it (power, inverse, gather, messages as 1 + r f v, tables made ready, and moving data). Planners know no modulus, backends know no scheme. Every
//! backend returns the same bits, which [`conformance`] checks, so methods and backends can be compared for speed alone.
//!
//! # To add something
//!
//! | to add | write | touch | done when |
//! |---|---|---|---|
//! | a backend | `backend/<name>.rs` | its line in `backend/registry.rs` | `cipherlane verify --backend <name>` passes |
//! | a plan | a function in `plan/matvec.rs` or a file beside it | a variant of `Method` | the planner's tests and `verify` pass |
//! | a scheme | `scheme/<name>/` with a [`scheme::linear::LinearScheme`] | its line in `scheme/registry.rs` | its results equal the integers in the clear |
//! | a workload | `workload/<name>/` with a [`workload::Workload`] | its line in `workload/registry.rs` | its expected answer is checked before any time is kept |
//! | an option | one [`spec::Choice`] among the choices of its scheme or workload | nothing | argument, sweep key, rule, text form and the pair in `parameters` are there |
//! | a protection of training | an arithmetic (`scheme::private_training::Arithmetic`) | an arm of `training::Protection` and of `training::TrainingRunner` | its parameters equal the simulator's |
//! | a feature map | a variant in `features.rs`, its division in `workload/inference.rs` | nothing | a trained model is committed |
//! | a measurement | `benches/sweeps/<name>.toml` | nothing | `cipherlane sweep` runs it |
//! | a question of the report | `benches/sweeps/<name>.toml` and its small form in `benches/sweeps/quick/` | nothing; `paper/sections.rs` for columns and figures of its own | `cipherlane paper` shows it |
//! | a claim | a row of `benches/claims.toml` | nothing | `cipherlane paper` checks it |
//! | a figure | a function in `plot/` that gives a sheet or the reason why not | its name in `plot.rs` | the tests of `plot` pass |
//! | a quoted number | a row of `results/quoted.csv`, with its source | nothing | its test passes |
//! | a column | a field of `record::Outcome`, at the end | `record/columns.rs` | its test passes and `results/README.md` shows it |
//!
//! `examples/additions/` adds a scheme with an option and a workload from outside of the library.
//!
//! # Features
//!
//! All are on by default. Without any there is the whole library but for what its features bring;
//! what is left out is refused in one line where it is asked for.
//!
//! | feature | brings |
//! |---|---|
//! | `cli` | the program and its command line |
//! | `gmp` | the backend `gmp`, and GMP's integers in place of the crate's own, which give the same results at a tenth of the speed and take secret exponents in variable time |
//! | `gpu` | the backend `gpu` |
//! | `net` | downloads of MNIST, parties over TCP and TLS |
//! | `plots` | figures |
//!
//! For `wasm32-unknown-unknown` the library compiles without features: on one thread, with the
//! page's randomness, and without a clock, so nothing there can be measured.
//!
//! # How a sweep stays whole
//!
//! A row's identity is a hash of its spec, its sampling, the dataset, a model from a file, the
//! program and the number of threads. A finished row is one file of that name, written
//! aside, brought to the disk and renamed ([`record::journal`]); the CSVs are put together from these files and can be made again at any time. So there is no state
//! that a kill, a full disk or a loss of power could leave half-changed, and nothing to repair: what is there is done, what is not there is run.
//!
//! # What is not promised
//!
//! Security against servers that do not follow the protocol, authenticity of ciphertexts, hiding a
//! linear model from a client with many queries, constant time outside the powers with secret
//! exponents. Of a foreign n it is proven that gcd(n, phi(n)) = 1, which is what hides a server's
//! weights from the key's owner ([`scheme::paillier::SoundKey`]); not that it has two factors or that
//! they are large. See the README.

#![cfg_attr(
    not(feature = "gmp"),
    allow(clippy::cmp_owned, clippy::useless_conversion, reason = "what GMP computes becomes an integer only by a conversion")
)]
#![cfg_attr(
    not(all(feature = "cli", feature = "gmp", feature = "gpu", feature = "net", feature = "plots")),
    allow(dead_code, unused_imports, reason = "what only a part that is left out uses; the whole build has none")
)]

pub mod attack;
pub mod backend;
pub mod channel;
#[cfg(feature = "cli")]
pub mod cli;
pub mod conformance;
mod container;
pub mod control;
pub mod dataset;
pub mod description;
mod durable;
pub mod error;
pub mod features;
pub mod integer;
pub mod limbs;
mod machine;
pub mod measure;
pub mod model;
pub mod modulus;
mod paper;
pub mod plan;
mod plot;
pub mod quantise;
pub mod randomness;
pub mod record;
pub mod report;
pub mod scheme;
pub mod spec;
mod statistics;
pub mod stopwatch;
pub mod sweep;
mod text;
mod toml_file;
pub mod workload;
