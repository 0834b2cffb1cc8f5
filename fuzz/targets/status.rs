//! What a store tells of a holder, on its way to `--status`. See `checks/status.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_core::status::check(data));
