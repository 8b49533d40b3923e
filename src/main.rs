//! The `watershed` command.

fn main() {}
