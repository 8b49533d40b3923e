//! The real binary against real servers, judged from outside: `cargo test --test it`.
//!
//! What these tests need besides Rust is in `tests/tools/README.md`; `tests/tools/setup.sh` fetches it.

#![allow(unreachable_pub, reason = "a test binary has no outside; `pub` says what the harness offers")]

mod harness;

mod backfill;
mod dynamodb;
mod faults;
mod handler_kinds;
mod handlers;
mod history;
mod hostile;
mod iam;
mod kill;
mod kinesis;
mod lambda;
mod large;
mod memory;
mod nested;
mod quickstart;
mod replica;
mod s3;
mod wrong_input;
