//! See `watershed::testing::fuzz::number`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::number(data));
