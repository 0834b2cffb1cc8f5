//! Every message between supervisor and worker, in both directions. See `checks/wire.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_core::wire::check(data));
