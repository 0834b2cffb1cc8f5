//! The kernel's list of mounts, with names of anybody's choice. See `checks/mounts.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_file::mounts::check(data));
