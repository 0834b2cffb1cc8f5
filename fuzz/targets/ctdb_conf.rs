//! ctdb.conf. See `checks/ctdb_conf.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_cli::ctdb_conf::check(data));
