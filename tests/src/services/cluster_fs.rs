//! A cluster file system with one mount a node: what the bench's three have in common.
//!
//! Its servers are on hosts of their own and so is each node's mount (see [`super::network`]), so that one mount alone
//! can be cut off. The mounts themselves are in this machine's mount namespace, where the helpers find them.
//!
//! A call on a mount whose file system hangs cannot be killed: the bench never makes one itself. It asks the servers, or
//! a process of its own that it need not wait for.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use super::command::run;
use crate::fault::Fault;
use crate::process::programs;

/// Every one of them has so many nodes, counted from 0.
pub const NODES: usize = 3;

/// A running cluster file system. Every process and mount of it ends with this value.
pub trait ClusterFs: Send + Sync {
    /// Where a node has it mounted. A directory that only root may write to.
    fn mount_point(&self, node: usize) -> &Path;

    /// What `--require-fs` calls it.
    fn kind(&self) -> &'static str;

    /// Every server is stopped where it is: nothing is answered, and what is asked for meanwhile happens after the thaw.
    fn frozen(&self) -> Fault<'_>;

    /// The node's mount and the servers do not hear of each other, and nobody is told.
    fn mount_cut_off(&self, node: usize) -> Fault<'_>;

    /// The process behind the node's mount is stopped where it is.
    fn client_frozen(&self, node: usize) -> Fault<'_>;

    /// The process behind the node's mount is killed. Healed by a new mount at the same place.
    fn client_killed(&self, node: usize) -> Fault<'_>;

    /// The node's mount is taken out of the tree while it is in use (`umount -l`). Healed by a new one.
    fn unmounted(&self, node: usize) -> Fault<'_>;
}

/// A look takes a few milliseconds where the file system answers.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Whether anybody has byte 0 of this file locked (posix or ofd), as its mount sees it; nobody where there is no file.
/// Takes nothing. An error where the mount does not answer.
pub fn is_locked(file: &Path) -> anyhow::Result<bool> {
    let answer = run(Command::new(programs::own("look_at_lock")?).arg(file), LOOK_LIMIT)?;
    match answer.trim() {
        "held" => Ok(true),
        "free" | "missing" => Ok(false),
        other => bail!("look_at_lock answered {other:?}"),
    }
}
