//! See `watershed::testing::fuzz::event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::event(data));
