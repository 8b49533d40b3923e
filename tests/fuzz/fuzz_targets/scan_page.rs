//! See `watershed::testing::fuzz::scan_page`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| watershed::testing::fuzz::scan_page(data));
