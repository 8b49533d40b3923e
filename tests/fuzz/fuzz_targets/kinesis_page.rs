//! See `watershed::testing::fuzz::kinesis_page`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::kinesis_page(data));
