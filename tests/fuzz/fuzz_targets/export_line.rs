//! See `watershed::testing::fuzz::export_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::export_line(data));
