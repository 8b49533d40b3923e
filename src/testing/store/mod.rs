//! Object stores for tests: one in memory, one that fails on purpose, and the suite that every store must pass.

mod conformance;
mod faulty;
mod faulty_upload;
mod memory;

pub use conformance::conformance;
pub use faulty::{Fault, Faults, FaultyStore, LATE_BY};
pub use memory::MemoryStore;
