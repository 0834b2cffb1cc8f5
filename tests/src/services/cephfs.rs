//! A real CephFS: a Ceph with an MDS or two on one host, and `ceph-fuse` on a host of its own for each node.
//!
//! Up in two seconds. An instance is for cases of one test process; its mounts are below the cluster's directory.
//!
//! | module | what is in it |
//! |---|---|
//! | `faults` | what can be done to it |
//! | `mount` | one node's mount |
//! | `start` | how it comes up |

mod faults;
mod mount;
mod start;

use std::sync::Arc;
use std::time::Duration;

use super::ceph::Ceph;
use super::cluster_fs::NODES;
use super::network::{Inside, Network};
use super::shared::Shared;
use mount::Mount;

/// Where the program is that mounts it, and the package that brings it.
const CEPH_FUSE: &str = "/usr/bin/ceph-fuse";
const PACKAGE: &str = "ceph-fuse";

/// What `--require-fs` calls a mount by that program.
const KIND: &str = "fuse.ceph-fuse";

/// The host of every server; the nodes' are counted on from it.
const SERVERS: usize = 0;

/// What a file system is to be like. The default is Ceph's own, with one MDS.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// A second MDS takes over when the first has been silent for 4 s.
    pub standby: bool,
    /// A client that is sent away is not put on the blocklist of the OSDs (`mds_session_blocklist_on_evict` and
    /// `_on_timeout`), so that it is not told that it has been.
    pub no_blocklist: bool,
    /// A client that has been sent away comes back by itself (`client_reconnect_stale`).
    pub reconnect_stale: bool,
    /// How long a restarted MDS waits for its clients (`mds reconnect timeout`); `None`: 45 s.
    pub reconnect_timeout: Option<Duration>,
    /// How long a client may be silent (`session_timeout`, and `session_autoclose`); `None`: 60 s, and 300. The MDS
    /// allows no less than 30.
    pub session_timeout: Option<Duration>,
    /// How many nodes have it mounted, each from a host of its own; `None`: as many as every cluster file system here.
    pub nodes: Option<usize>,
}

/// A running file system. Every process and mount of it ends with this value.
pub struct CephFs {
    // In this order: the mounts end while their servers' directory is there.
    mounts: Vec<Mount>,
    ceph: Ceph,
    network: Network,
    setup: Setup,
}

impl CephFs {
    /// What it is like.
    #[must_use]
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// Runs a `ceph` command and returns what it printed.
    pub fn ceph(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let _inside = self.among_servers()?;
        self.ceph.ceph(arguments)
    }

    /// The index of the MDS that serves; `None` where none does, or the one that did is frozen.
    #[must_use]
    pub fn active_mds(&self) -> Option<usize> {
        self.ceph.active_mds()
    }

    /// What the MDS says of the node's session: `open`, `stale`; `None` where it has none.
    pub fn session(&self, node: usize) -> anyhow::Result<Option<String>> {
        let Some(pid) = self.mounts[node].pid() else { return Ok(None) };
        self.ceph.session_state(pid)
    }

    /// Puts this thread where the servers are: their addresses mean nothing elsewhere.
    fn among_servers(&self) -> anyhow::Result<Inside> {
        self.network.host(SERVERS).enter()
    }
}

/// The host of a node's mount.
const fn host_of(node: usize) -> usize {
    SERVERS + 1 + node
}

static SHARED: Shared<CephFs> = Shared::new();

/// The file system that all cases share, a plain one.
pub fn shared() -> anyhow::Result<Arc<CephFs>> {
    SHARED.get(|| CephFs::start(Setup::default()))
}

/// Ends it, if there is one.
pub fn end_shared() {
    SHARED.end();
}
