//! Tokens of holdings. See `checks/token.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_core::token::check(data));
