//! What can be done to an instance.
//!
//! A mount that the master has not heard of for 10 s counts as gone, and its session, with the locks, as its heir: it
//! lives on for [`super::Setup::sustain`]. In the first two minutes of a master none ends by itself.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::{Daemon, MooseFs, SERVERS, files};
use crate::fault::Fault;
use crate::services::cluster_fs::ClusterFs;
use crate::services::network::Namespace;
use crate::wait::wait_for;

/// A master that is asked to end writes down all it knows first: 3 s; on a busy machine more.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The master lets go of a mount 10 s after it last heard of it; until then no session can be removed.
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

impl ClusterFs for MooseFs {
    fn mount_point(&self, node: usize) -> &Path {
        self.mounts[node].point()
    }

    fn kind(&self) -> &'static str {
        "fuse.mfs"
    }

    fn frozen(&self) -> Fault<'_> {
        let servers = || [&self.master].into_iter().chain(&self.chunkserver);
        Fault::new(
            "frozen",
            move || servers().try_for_each(Daemon::freeze),
            move || servers().try_for_each(Daemon::go_on),
        )
    }

    fn mount_cut_off(&self, node: usize) -> Fault<'_> {
        let host = host_number(node);
        Fault::new("mount cut off", move || self.network.cut_off(host), move || self.network.reconnect(host))
    }

    fn client_frozen(&self, node: usize) -> Fault<'_> {
        let daemon = self.mounts[node].daemon();
        Fault::new("client frozen", || daemon.freeze(), || daemon.go_on())
    }

    fn client_killed(&self, node: usize) -> Fault<'_> {
        let mount = &self.mounts[node];
        Fault::new("client killed", || mount.kill(), move || mount.renew(self.host_of(node)))
    }

    fn unmounted(&self, node: usize) -> Fault<'_> {
        let mount = &self.mounts[node];
        Fault::new("unmounted", || mount.detach(), move || mount.renew(self.host_of(node)))
    }
}

impl MooseFs {
    /// The master's process is gone and its port refuses. Healed by a start on what it had written, the locks with it;
    /// waits until it answers, which mounts notice within seconds.
    pub fn master_killed(&self) -> Fault<'_> {
        Fault::new("master killed", || self.master.kill(), || self.start_master())
    }

    /// The same of a master that was asked to end, and took the 3 s that it takes for that.
    pub fn master_stopped(&self) -> Fault<'_> {
        Fault::new("master stopped", || self.master.stop(STOP_LIMIT), || self.start_master())
    }

    /// The master killed, and started again without a lock in its log: nobody has one any more, and every mount's session
    /// lives on. That is what a loss of power does to a log that does not reach the disk at once.
    pub fn locks_forgotten(&self) -> Fault<'_> {
        let forget = || {
            self.master.kill()?;
            // Started in any case: what uses the mounts hangs without it.
            let forgotten = files::forget_locks(&files::master_data(self.dir.path()));
            self.start_master()?;
            forgotten
        };
        Fault::new("locks forgotten", forget, || Ok(()))
    }

    /// No content can be read or written: every request is refused. Healed by a new start; waits until writes are quick
    /// again.
    pub fn chunkserver_killed(&self) -> Fault<'_> {
        let kill = || self.chunkserver()?.kill();
        let start = || {
            self.chunkserver()?.start(self.network.host(SERVERS))?;
            self.warm_up()
        };
        Fault::new("chunkserver killed", kill, start)
    }

    /// No content can be read or written: nothing is answered.
    pub fn chunkserver_frozen(&self) -> Fault<'_> {
        Fault::new("chunkserver frozen", || self.chunkserver()?.freeze(), || self.chunkserver()?.go_on())
    }

    /// The node's mount is cut off, and as soon as the master counts it as gone, 10 s later, an admin ends its session:
    /// `mfscli -CRS`. Healed by the network; the mount makes itself a new session and tells nobody.
    pub fn cut_off_and_removed(&self, node: usize) -> Fault<'_> {
        let host = host_number(node);
        let remove = move || {
            let session = self.session_of(node)?;
            self.network.cut_off(host)?;
            self.remove(session)
        };
        Fault::new("mount cut off, its session removed", remove, move || self.network.reconnect(host))
    }

    /// What an admin does for a node that is dead: the same to a mount whose process was killed, which can be done at once.
    pub fn client_killed_and_removed(&self, node: usize) -> Fault<'_> {
        let mount = &self.mounts[node];
        let remove = move || {
            let session = self.session_of(node)?;
            mount.kill()?;
            self.remove(session)
        };
        Fault::new("client killed, its session removed", remove, move || mount.renew(self.host_of(node)))
    }

    fn remove(&self, session: u32) -> anyhow::Result<()> {
        let removed = || self.remove_session(session).unwrap_or(false).then_some(());
        wait_for("the master to let go of a mount", REMOVAL_LIMIT, removed).map(drop)
    }

    fn chunkserver(&self) -> anyhow::Result<&Daemon> {
        self.chunkserver.as_ref().context("this MooseFS has no chunkserver")
    }

    /// Where a node's mount is at home.
    pub(super) fn host_of(&self, node: usize) -> &Namespace {
        self.network.host(host_number(node))
    }
}

fn host_number(node: usize) -> usize {
    SERVERS + 1 + node
}
