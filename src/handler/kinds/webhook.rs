//! How are changes sent to an HTTP endpoint?

pub mod address;
