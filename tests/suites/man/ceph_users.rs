//! The example that makes Ceph's user: its caps are enough for the lock's object, and for no other.

use anyhow::{Context, ensure};

use crate::mdoc::Block;
use crate::running::{Environment, Holding, run};

/// The user that the example makes, and where its key is looked for.
const USER: &str = "client.ctdb";
const KEYRING: &str = "/etc/ceph/ceph.client.ctdb.keyring";

/// Whether an example makes it.
pub(crate) fn are_made_by(block: &Block) -> bool {
    block.lines.iter().any(|line| line.contains("auth get-or-create"))
}

/// Takes the lock as that user, and tries another object. The user goes again: the cluster is for all pages.
pub(crate) fn tried(environment: &Environment) -> anyhow::Result<()> {
    run(&format!("/usr/bin/ceph auth get {USER} -o {KEYRING}"), environment, 0).context("the user of the example")?;
    let tried = has_one_lock(environment);
    run(&format!("/usr/bin/ceph auth del {USER}"), environment, 0)?;
    tried
}

fn has_one_lock(environment: &Environment) -> anyhow::Result<()> {
    let mut environment = environment.clone();
    environment.push(("CEPH_ARGS".to_owned(), format!("--keyring {KEYRING}")));
    let lock = |object: &str| {
        format!("/usr/bin/ctdb-mutex hold '!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph {USER} rbd {object}'")
    };
    let code = Holding::start(&lock("lockctdb"), &environment).context("the user of the example")?.interrupt()?;
    ensure!(code == 0, "the user of the example had the lock, and then exit code {code}");
    run(&lock("other"), &environment, 3).context("another object").map(drop)
}
