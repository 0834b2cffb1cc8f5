//! What holders have written of themselves: the line in the lock file, a key in etcd, ceph-mgr's service map. See `checks/holder_line.rs`, `etcd_key.rs`, `service_dump.rs`.

#![no_main]

use mutex_fuzz::{for_etcd, for_file, for_rados};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for_file::holder_line::check(data);
    for_etcd::etcd_key::check(data);
    for_rados::service_dump::check(data);
});
