//! cipherlane: benchmarking and research harness for neural networks on encrypted data.
//!
//! # The idea
//!
//! A [`workload::Spec`] (what is computed, how it is protected, what does the arithmetic, which sizes) goes in, [`record`]s come out. The source is listed in
//! the order the data travels:
//!
//! ```text
//! dataset → features → model → quantise │ plan, limbs → modulus → backend │ scheme │ workload │ sweep → measure → record → report → plot → paper
//!           cleartext side                     arithmetic side              meets     drives     harness
//! ```
//!
//! | room | what is in it | may import |
//! |---|---|---|
//! | [`error`], `text`, [`control`], [`durable`], [`description`], [`stopwatch`], [`record`], [`machine`], [`randomness`], [`statistics`], [`toml_file`] | the one error type; names and numbers as text; the handle that stops work and shows that it moves; files written whole, folders locked; what data is known by, and whether two sets go together; the only clock; rows and files of results, and the journal of a sweep; facts about the machine; random streams; medians, intervals and tests; mistakes in files that people write | `error`, `durable` |
//! | [`dataset`], [`features`], [`model`], [`quantise`] | images; public feature maps; networks in f32, with and without activations, and their training; integers | each other to the left, `control`, `durable`, `description` |
//! | [`plan`] | programs of products and the planners that write them | nothing |
//! | [`integer`] | integers of any length | nothing |
//! | [`limbs`], [`modulus`] | batches of integers; odd moduli | `integer`, `limbs` |
//! | [`backend`] | what does the arithmetic: `reference` (textbook, the oracle), `gmp`, `ifma` (AVX-512), `gpu` (compute shaders, `shaders/`) | `plan`, `integer`, `limbs`, `modulus`, `machine`, `control`; `stopwatch` to keep dispatches short |
//! | [`channel`] | the wire between two parties: requests and answers, counted; frames, sessions, TLS | `control`, `durable` |
//! | [`scheme`] | how the data is protected: `clear`, `paillier`, `smlp` (two servers over Paillier), `eivhe`. Integers only: no floats, no clocks | `plan`, `integer`, `limbs`, `modulus`, `backend`, `randomness`, `channel`, `control`, `durable`, `description` |
//! | [`attack`] | what is broken: keys of integer-vector encryption from public matrices and from pairs of message and ciphertext | `scheme`, `randomness`, `control` |
//! | [`workload`] | what is computed: `inference`, `training` (and classification by what was trained); what ciphertexts give away to a learner and to an attack: `leakage` | all of the above but the harness |
//! | [`conformance`] | the equivalence suite: backends against the oracle, schemes against exact integers | the arithmetic side, `scheme`, `control` |
//! | [`sweep`] | grids of specs, the files that name them and those that come with the program; what a row will roughly cost | `workload` and what a spec is made of, `control`, `toml_file`, `durable` |
//! | [`measure`], [`report`], [`plot`] | runs specs into records; derives tables, compares folders, reads quoted numbers and times of peers; draws figures | `measure` ← `workload`, `record`, `description`, `stopwatch`; `report` ← `record`, `statistics`, `description`; `plot` ← `report`; all ← `durable` |
//! | [`paper`] | puts results together as a report in Markdown and LaTeX; holds claims against them | `record`, `report`, `toml_file`, `durable` |
//! | [`cli`] | the only place that prints | these |
//!
//! A test reads the `use crate::` lines and holds every file to this table.
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
//! | a backend | `backend/<name>.rs` | a variant and an arm in `backend.rs` | `cipherlane verify --backend <name>` passes |
//! | a plan | a function in `plan/matvec.rs` or a file beside it | a variant of `Method` | the planner's tests and `verify` pass |
//! | a scheme | `scheme/<name>.rs` | a variant in `scheme.rs`, an arm in `workload/inference.rs` | its results equal the integers in the clear |
//! | a protection of training | an arithmetic (`scheme::private_training::Arithmetic`) | an arm of `training::Protection` and of `training::Bench` | its parameters equal the simulator's |
//! | a feature map | a variant in `features.rs`, its division in `workload.rs` | nothing | a trained model is committed |
//! | a measurement | `benches/sweeps/<name>.toml` | nothing | `cipherlane sweep` runs it |
//! | a question of the report | `benches/sweeps/<name>.toml` and its small form in `benches/sweeps/quick/` | nothing; `paper/sections.rs` for columns and figures of its own | `cipherlane paper` shows it |
//! | a claim | a row of `benches/claims.toml` | nothing | `cipherlane paper` checks it |
//! | a figure | a function in `plot/` that gives a sheet or the reason why not | its name in `plot.rs` | the tests of `plot` pass |
//! | a quoted number | a row of `results/quoted.csv`, with its source | nothing | its test passes |
//! | a column | a field of `record::Outcome`, at the end | `record/columns.rs` | its test passes and `results/README.md` shows it |
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

pub mod attack;
pub mod backend;
pub mod channel;
pub mod cli;
pub mod conformance;
pub mod control;
pub mod dataset;
pub mod description;
pub mod durable;
pub mod error;
pub mod features;
pub mod integer;
pub mod limbs;
pub mod machine;
pub mod measure;
pub mod model;
pub mod modulus;
pub mod paper;
pub mod plan;
pub mod plot;
pub mod quantise;
pub mod randomness;
pub mod record;
pub mod report;
pub mod scheme;
pub mod statistics;
pub mod stopwatch;
pub mod sweep;
mod text;
pub mod toml_file;
pub mod workload;
