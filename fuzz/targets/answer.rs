//! A helper's answer to `--status --json`, on its way to words. See `checks/answer.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_cli::answer::check(data));
