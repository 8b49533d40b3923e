//! See `watershed::testing::fuzz::dead_letter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::dead_letter(data));
