//! The lake: typed Parquet files, and the chain of ranges that makes them exactly once.

pub mod store;
