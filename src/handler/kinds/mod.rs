//! Which targets can a handler have? One module for each `type` of a pipeline file.

pub mod webhook;
