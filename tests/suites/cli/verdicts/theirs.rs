//! The distribution's helpers: what `test` says of them was observed by hand first, and is kept in tests/expected.
//!
//! A verdict that differs is either a mistake of `test`, or another helper than the one that was observed.

use mutex_tests::process::programs;

use super::store::{FileOnFuse, Object, Store, with_commands};
use super::verdict::{LIMIT, ensure_as_expected, read, test_all};

const PACKAGE: &str = "ctdb";

pub(super) fn file() -> anyhow::Result<()> {
    let store = FileOnFuse::new()?;
    let helper = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", PACKAGE)?;
    let lock = format!("!{} {} 1 2", helper.display(), store.path().display());
    as_expected(&lock, 3, &store, "ctdb_mutex_fcntl_helper.verdicts")
}

pub(super) fn rados() -> anyhow::Result<()> {
    let store = Object::new()?;
    let helper = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", PACKAGE)?;
    let lock = format!("!{} {} 3", helper.display(), store.arguments());
    as_expected(&lock, 3, &store, "ctdb_mutex_ceph_rados_helper.verdicts")
}

fn as_expected(lock: &str, lease: u32, store: &impl Store, file: &str) -> anyhow::Result<()> {
    with_commands(store, |commands| {
        ensure_as_expected(&read(&test_all(lock, lease, store, commands, &["--json"])?.answer(LIMIT)?)?, file)
    })
}
