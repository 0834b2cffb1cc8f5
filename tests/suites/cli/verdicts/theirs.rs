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
    let (ours, file) = (programs::helper("ctdb_mutex_file_helper")?, store.path());
    let [lock, other] = [helper, ours].map(|helper| format!("!{} {} 1 2", helper.display(), file.display()));
    as_expected(&lock, &other, 3, &store, "ctdb_mutex_fcntl_helper.verdicts")
}

pub(super) fn rados() -> anyhow::Result<()> {
    let store = Object::new()?;
    let helper = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", PACKAGE)?;
    let ours = programs::helper("ctdb_mutex_rados_helper")?;
    let [lock, other] = [helper, ours].map(|helper| format!("!{} {} 3", helper.display(), store.arguments()));
    as_expected(&lock, &other, 3, &store, "ctdb_mutex_ceph_rados_helper.verdicts")
}

fn as_expected(lock: &str, other: &str, lease: u32, store: &impl Store, file: &str) -> anyhow::Result<()> {
    with_commands(store, |commands| {
        ensure_as_expected(
            &read(&test_all(lock, lease, store, commands, &["--json", "--with", other])?.answer(LIMIT)?)?,
            file,
        )
    })
}
