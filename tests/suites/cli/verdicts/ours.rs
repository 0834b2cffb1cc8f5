//! Our helpers: every rule holds, with every rule tried, and beside the helpers that they replace. Fast settings, so that
//! the lease is short.

use mutex_tests::process::programs;

use super::store::{FileOnFuse, Key, Object, Store, with_commands};
use super::verdict::{LIMIT, ensure_all_ok, read, test_all};

const PACKAGE: &str = "ctdb";

pub(super) fn file() -> anyhow::Result<()> {
    let store = FileOnFuse::new()?;
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    let theirs = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", PACKAGE)?;
    let file = store.path();
    let [lock, other] = [helper, theirs].map(|helper| format!("!{} {} 1 2", helper.display(), file.display()));
    all_ok(&lock, &other, 3, &store)
}

pub(super) fn rados() -> anyhow::Result<()> {
    let store = Object::new()?;
    let helper = programs::helper("ctdb_mutex_rados_helper")?;
    let theirs = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", PACKAGE)?;
    let [lock, other] = [helper, theirs].map(|helper| format!("!{} {} 4", helper.display(), store.arguments()));
    all_ok(&lock, &other, 4, &store)
}

pub(super) fn etcd() -> anyhow::Result<()> {
    let store = Key::new()?;
    let helper = programs::helper("ctdb_mutex_etcd_helper")?;
    // Samba's takes another key.
    let lock = format!("!{} {} 3", helper.display(), Key::NAME);
    all_ok(&lock, &lock, 3, &store)
}

fn all_ok(lock: &str, other: &str, lease: u32, store: &impl Store) -> anyhow::Result<()> {
    with_commands(store, |commands| {
        ensure_all_ok(&read(&test_all(lock, lease, store, commands, &["--json", "--with", other])?.answer(LIMIT)?)?)
    })
}
