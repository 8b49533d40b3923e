//! What do tests need instead of the real world? Fakes that fail on purpose, and suites every real one has to pass.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also where the feature `testing` lends them out"
)]

mod backfills;
#[cfg(test)]
pub mod column_types;
pub mod fuzz;
pub mod gate;
pub mod handler;
mod house;
pub mod judge;
mod mapping;
pub mod plan;
pub mod rebuild;
pub mod simulate;
pub mod state;
pub mod store;
pub mod stream;
pub mod tables;
mod tally;
pub mod trace;
pub mod world;
