//! Our helpers: every rule holds, with every rule tried. Fast settings, so that the lease is short.

use mutex_tests::process::programs;

use super::store::{FileOnFuse, Key, Object, Store, with_commands};
use super::verdict::{LIMIT, ensure_all_ok, read, test_all};

pub(super) fn file() -> anyhow::Result<()> {
    let store = FileOnFuse::new()?;
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    all_ok(&format!("!{} {} 1 2", helper.display(), store.path().display()), 3, &store)
}

pub(super) fn rados() -> anyhow::Result<()> {
    let store = Object::new()?;
    let helper = programs::helper("ctdb_mutex_rados_helper")?;
    all_ok(&format!("!{} {} 4", helper.display(), store.arguments()), 4, &store)
}

pub(super) fn etcd() -> anyhow::Result<()> {
    let store = Key::new()?;
    let helper = programs::helper("ctdb_mutex_etcd_helper")?;
    all_ok(&format!("!{} {} 3", helper.display(), Key::NAME), 3, &store)
}

fn all_ok(lock: &str, lease: u32, store: &impl Store) -> anyhow::Result<()> {
    with_commands(store, |commands| {
        ensure_all_ok(&read(&test_all(lock, lease, store, commands, &["--json"])?.answer(LIMIT)?)?)
    })
}
