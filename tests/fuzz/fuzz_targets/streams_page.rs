//! See `watershed::testing::fuzz::streams_page`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::streams_page(data));
