//! LOCK. See `checks/lock.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_cli::lock::check(data));
