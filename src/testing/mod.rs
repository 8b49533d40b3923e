//! What do tests need instead of the real world? Fakes that fail on purpose, and suites every real one has to pass.

pub mod judge;
pub mod rebuild;
pub mod state;
pub mod store;
pub mod stream;
pub mod world;
