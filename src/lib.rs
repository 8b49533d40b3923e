//! **watershed** tails DynamoDB Streams and Kinesis shards and lands every item-level change as typed Parquet in a
//! lake, each exactly once.
//!
//! ```text
//!  shards → lineage → reader → records → envelope → columns → roll → range → Parquet → S3 or a folder
//!                        ▲                                              │
//!                        └───── checkpoints: what is durable ◄──────────┘
//! ```
//!
//! `ARCHITECTURE.md` in the repository is the map; each module's first lines say which question it answers.

// Tests may; the product answers with an error, and prints through the writer it is given.
#![cfg_attr(not(test), warn(clippy::panic, clippy::print_stdout, clippy::unwrap_used))]

pub mod assembly;
pub mod backfill;
mod bug;
pub mod change;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod daemon;
pub mod decode;
pub mod engine;
pub mod handler;
pub mod iam;
pub mod lake;
pub mod lambda;
pub mod pipeline;
pub mod route;
mod signal;
pub mod source;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tidy;

/// A boxed future that may move between threads: what the traits of the seams answer with, so that they stay usable
/// as trait objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
