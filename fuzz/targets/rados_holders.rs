//! An OSD's answer about the lock's holders, and tokens of them. See `checks/rados_holders.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_rados::rados_holders::check(data));
