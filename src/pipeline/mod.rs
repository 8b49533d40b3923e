//! The pipeline file: what it says ([`spec`]), and how it is read with all its mistakes named at once.
//!
//! ```text
//!  text ─ toml_edit ─ Section ─ Kind ─ spec::Pipeline
//!                        └───────┴──── Report ─ Vec<Problem>
//! ```
//!
//! [`read()`] reads a text (and the files it names), [`load()`] the file, [`check()`] is the command `watershed check`.

mod check;
mod column_type;
mod cross;
mod cross_handlers;
mod field;
mod kind;
mod load;
mod names;
pub(crate) mod nearest;
mod places;
mod problem;
mod read;
mod read_handlers;
mod read_lake;
mod read_source;
mod read_target;
mod report;
mod section;
pub mod spec;
mod spec_handler;
mod targets;
mod text;
mod toml_json;

#[cfg(test)]
mod tests;

pub use check::check;
pub use load::load;
pub use problem::{Place, Problem};
pub use read::read;
pub use spec::Pipeline;
