//! See `watershed::testing::fuzz::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::record(data));
