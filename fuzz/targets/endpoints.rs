//! The URLs of etcd's members. See `checks/endpoints.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_etcd::endpoints::check(data));
