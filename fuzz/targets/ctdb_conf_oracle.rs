//! ctdb.conf, and what CTDB's own program makes of it. See `checks/ctdb_conf_oracle.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mutex_fuzz::for_cli::ctdb_conf_oracle::check(data));
