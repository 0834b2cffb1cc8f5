//! The example that makes etcd's user and role: with authentication switched on, that user has the lock's keys and no others.

use anyhow::{Context, ensure};
use mutex_tests::services::etcd::Etcd;
use mutex_tests::services::etcd::accounts::ROOT;

use crate::mdoc::Block;
use crate::running::{Environment, Holding, run};

/// Whether an example makes them.
pub(crate) fn are_made_by(block: &Block) -> bool {
    block.lines.iter().any(|line| line.contains("role grant-permission"))
}

/// Somebody with the bench's certificate, whose name is that of the user.
pub(crate) fn environment(etcd: &Etcd) -> Environment {
    let all = etcd.environment_as(None).into_iter();
    all.map(|(name, value)| (name.to_owned(), value.to_string_lossy().into_owned())).collect()
}

/// Switches authentication on, and tries what the user may do.
pub(crate) fn tried(etcd: &Etcd) -> anyhow::Result<()> {
    let root: [&[&str]; 3] = [
        &["user", "add", ROOT.user, "--new-user-password", ROOT.password],
        &["user", "grant-role", ROOT.user, "root"],
        &["auth", "enable"],
    ];
    for command in root {
        etcd.etcdctl_as(None, command).context("switch authentication on")?;
    }
    let lock = |key: &str| format!("/usr/bin/ctdb-mutex hold '!/usr/libexec/ctdb/ctdb_mutex_etcd_helper {key}'");
    let code =
        Holding::start(&lock("ctdb/lock"), &environment(etcd)).context("the user of the example")?.interrupt()?;
    ensure!(code == 0, "the user of the example had the lock, and then exit code {code}");
    run(&lock("ctdb/other"), &environment(etcd), 3).context("another key").map(drop)
}
