//! The pipeline file: what it says ([`spec`]), and how it is read with all its mistakes named at once.
//!
//! ```text
//!  text ─ toml_edit ─ Section ─ Kind ─ spec::Pipeline
//!                        └───────┴──── Report ─ Vec<Problem>
//! ```
//!
//! [`read()`] is pure, [`load()`] reads the file, [`check()`] is the command `watershed check`.

mod check;
mod column_type;
mod cross;
mod field;
mod kind;
mod load;
mod names;
mod nearest;
mod places;
mod problem;
mod read;
mod read_lake;
mod read_source;
mod report;
mod section;
pub mod spec;
mod text;

#[cfg(test)]
mod tests;

pub use check::check;
pub use load::load;
pub use problem::{Place, Problem};
pub use read::read;
pub use spec::Pipeline;
