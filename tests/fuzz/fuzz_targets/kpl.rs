//! See `watershed::testing::fuzz::kpl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::kpl(data));
