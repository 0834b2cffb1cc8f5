//! The configuration file of the etcd helper. See `checks/etcd_config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_etcd::etcd_config::check(data));
