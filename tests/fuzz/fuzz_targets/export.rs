//! See `watershed::testing::fuzz::export`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::export(data));
