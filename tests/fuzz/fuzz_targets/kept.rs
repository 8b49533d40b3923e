//! See `watershed::testing::fuzz::kept`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::kept(data));
