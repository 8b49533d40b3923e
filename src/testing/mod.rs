//! What do tests need instead of the real world? Fakes that fail on purpose, and suites every real one has to pass.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, also where the feature `testing` lends them out"
)]

#[cfg(test)]
pub mod column_types;
pub mod fuzz;
pub mod handler;
pub mod judge;
pub mod rebuild;
pub mod simulate;
pub mod state;
pub mod store;
pub mod stream;
mod tally;
pub mod world;
