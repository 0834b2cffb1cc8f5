//! A real MooseFS: a master and, if asked for, a chunkserver on one host, and three mounts on hosts of their own.
//!
//! Locks, names and attributes are the master's; a chunkserver keeps contents alone. So a lock needs none, and without
//! one nothing that has been written into a file ever gets out of its mount.
//!
//! Who has a file of a mount open must start no process while the master is frozen or gone: the new one hangs in closing
//! its copy, and with it whoever looks at its /proc entry, which every guard does. So a test has no such file open itself.
//!
//! | module | what is in it |
//! |---|---|
//! | `admin` | what the master says of its locks and does for an admin |
//! | `daemon` | one process of it |
//! | `faults` | what can be done to it |
//! | `files` | its configuration, and its log of changes |
//! | `mount` | one node's mount |
//! | `start` | how it comes up |

mod admin;
mod daemon;
mod faults;
mod files;
mod mount;
mod start;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::cluster_fs::NODES;
use super::guard::Guard;
use super::network::Network;
use super::shared::Shared;
use daemon::Daemon;
use mount::Mount;

/// The guard finds the processes of an instance by it: the instance's directory, a slash and the process's place.
const PLACE_VARIABLE: &str = "MUTEX_MOOSEFS";

/// The programs, and the packages that bring them.
const MASTER: &str = "/usr/sbin/mfsmaster";
const MASTER_PACKAGE: &str = "moosefs-master";
const MOUNT: &str = "/usr/bin/mfsmount";
const MOUNT_PACKAGE: &str = "moosefs-client";
const CHUNKSERVER: &str = "/usr/sbin/mfschunkserver";
const CHUNKSERVER_PACKAGE: &str = "moosefs-chunkserver";

/// The servers' host. Those of the nodes follow.
const SERVERS: usize = 0;
const HOSTS: usize = 1 + NODES;

/// What an instance is to be like. The default is what a lock needs.
#[derive(Clone, Copy)]
pub struct Setup {
    /// Whether it has a chunkserver, without which no content is ever written. Its start takes 10 s longer.
    pub chunkserver: bool,
    /// How long the master keeps the locks of a mount that it has not heard of for 10 s, in whole seconds, 60 or more.
    /// A day by default in MooseFS itself.
    pub sustain: Duration,
    /// When the log of changes is written: 0 behind the back of an answer, 1 before it, 2 before it and to the disk.
    /// 0 by default in MooseFS itself.
    pub log_mode: u8,
    /// Options of every mount, with commas between them.
    pub mount_options: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self { chunkserver: false, sustain: Duration::from_secs(60), log_mode: 1, mount_options: "" }
    }
}

/// A running instance. Every process and mount of it ends with this value.
pub struct MooseFs {
    // In this order: the mounts go, then the servers, then the directory.
    mounts: [Mount; NODES],
    chunkserver: Option<Daemon>,
    master: Daemon,
    network: Network,
    _guard: Guard,
    dir: TempDir,
}

static SHARED: Shared<MooseFs> = Shared::new();

/// The instance that all cases share, a plain one.
pub fn shared() -> anyhow::Result<Arc<MooseFs>> {
    SHARED.get(|| MooseFs::start(Setup::default()))
}

/// Ends it, if there is one.
pub fn end_shared() {
    SHARED.end();
}
