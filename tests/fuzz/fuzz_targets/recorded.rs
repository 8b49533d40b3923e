//! See `watershed::testing::fuzz::recorded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::recorded(data));
