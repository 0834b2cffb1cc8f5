//! See `checks/status.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::core::status::check(data));
