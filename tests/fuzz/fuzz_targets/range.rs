//! See `watershed::testing::fuzz::range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::range(data));
