//! A real GlusterFS: a volume of three replicas, with a mount for each of three nodes.
//!
//! glusterd and the bricks are on one host, each brick with an address of its own, and each mount is on a host of its
//! own. Locks live in the memory of each brick and belong to a connection: a brick that is started again has none, and
//! nobody brings it the others'.
//!
//! | module | what is in it |
//! |---|---|
//! | `faults` | what can be done to it |
//! | `hosts` | its hosts and addresses |
//! | `mount` | one node's mount |
//! | `server` | glusterd and the bricks |
//! | `start` | how it comes up |

mod faults;
mod hosts;
mod mount;
mod server;
mod start;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::cluster_fs::ClusterFs;
use super::guard::Guard;
use super::shared::Shared;
use crate::fault::Fault;
use hosts::Hosts;
use mount::Mount;
use server::Server;

/// The guard finds the processes of a volume by it: the volume's directory, a slash and the mount or the server.
pub const PLACE_VARIABLE: &str = "MUTEX_GLUSTER";

/// How many bricks there are, counted from 0.
pub const BRICKS: usize = 3;

/// The volume.
const VOLUME: &str = "v";

/// Where the programs are, and the packages that bring them.
const PROGRAMS: [(&str, &str); 6] = [
    (GLUSTERD, "glusterfs-server"),
    (GLUSTER, "glusterfs-cli"),
    (GLUSTERFSD, "glusterfs-common"),
    (GLUSTERFS, "glusterfs-client"),
    (UNSHARE, "util-linux"),
    (NSENTER, "util-linux"),
];
const GLUSTERD: &str = "/usr/sbin/glusterd";
const GLUSTER: &str = "/usr/sbin/gluster";
const GLUSTERFSD: &str = "/usr/sbin/glusterfsd";
const GLUSTERFS: &str = "/usr/sbin/glusterfs";
const UNSHARE: &str = "/usr/bin/unshare";
const NSENTER: &str = "/usr/bin/nsenter";

/// What a volume is to be like.
#[derive(Clone, Copy)]
pub struct Setup {
    /// `client.strict-locks`: a client that has lost a lock, as too many of its bricks went away meanwhile, fails every
    /// call on that file. Off by default in GlusterFS, and then nobody is told.
    pub strict_locks: bool,
    /// `network.ping-timeout`, in whole seconds: a client gives up a brick that is silent for once to twice so long.
    pub ping_timeout: Duration,
    /// `server.tcp-user-timeout`, in whole seconds: a brick gives up a client, and its locks, after so long without a
    /// sign of its host; `None`: GlusterFS's 42 s.
    pub tcp_user_timeout: Option<Duration>,
}

impl Default for Setup {
    /// As we recommend it, but for two times. Where the servers hang, so do the mounts, for as long as a case may want
    /// it; and a mount that is cut off loses its locks in a time that a case can wait for, and that is longer than the
    /// helper's RECHECK and PING-TIMEOUT there.
    fn default() -> Self {
        Self {
            strict_locks: true,
            ping_timeout: Duration::from_secs(120),
            tcp_user_timeout: Some(Duration::from_secs(5)),
        }
    }
}

/// A running volume. Every process and mount of it ends with this value.
pub struct Gluster {
    // In this order: the mounts end, then the servers, then the hosts, then the directory goes.
    mounts: Vec<Mount>,
    server: Server,
    hosts: Hosts,
    _guard: Guard,
    dir: TempDir,
}

impl Gluster {
    /// Runs a `gluster` command and returns what it printed. The volume is called `v`.
    pub fn gluster(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.server.gluster(arguments)
    }

    /// How many bricks the node's mount is connected to. An error, after some seconds, where it hangs.
    pub fn connected(&self, node: usize) -> anyhow::Result<usize> {
        self.mounts[node].connected()
    }

    /// Waits until the node's mount is connected to every brick.
    pub fn wait_connected(&self, node: usize) -> anyhow::Result<()> {
        self.mounts[node].wait_connected()
    }

    /// Where its files are, logs too.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    fn mount(&self, node: usize) -> anyhow::Result<()> {
        self.mounts[node].mount(self.hosts.node(node))
    }
}

impl ClusterFs for Gluster {
    fn mount_point(&self, node: usize) -> &Path {
        self.mounts[node].point()
    }

    fn kind(&self) -> &'static str {
        "fuse.glusterfs"
    }

    fn frozen(&self) -> Fault<'_> {
        Fault::new("frozen", || self.server.freeze(), || self.server.go_on())
    }

    fn mount_cut_off(&self, node: usize) -> Fault<'_> {
        let note = move |cut_off| self.mounts[node].set_cut_off(cut_off);
        Fault::new(
            "mount cut off",
            move || self.hosts.cut_off(node).map(|()| note(true)),
            move || self.hosts.reconnect(node).map(|()| note(false)),
        )
    }

    fn client_frozen(&self, node: usize) -> Fault<'_> {
        Fault::new("client frozen", move || self.mounts[node].freeze(), move || self.mounts[node].go_on())
    }

    fn client_killed(&self, node: usize) -> Fault<'_> {
        Fault::new(
            "client killed",
            move || self.mounts[node].kill(),
            move || {
                self.mounts[node].clear();
                self.mount(node)
            },
        )
    }

    fn unmounted(&self, node: usize) -> Fault<'_> {
        Fault::new("unmounted", move || self.mounts[node].detach(), move || self.mount(node))
    }
}

static SHARED: Shared<Gluster> = Shared::new();

/// The volume that all cases share, as we recommend it.
pub fn shared() -> anyhow::Result<Arc<Gluster>> {
    SHARED.get(|| Gluster::start(Setup::default()))
}

/// Ends it, if there is one.
pub fn end_shared() {
    SHARED.end();
}
