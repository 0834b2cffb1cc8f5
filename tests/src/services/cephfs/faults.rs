//! What can be done to a file system.

use std::path::Path;

use anyhow::Context;

use super::{CephFs, KIND, host_of};
use crate::fault::Fault;
use crate::services::ceph::Daemon;
use crate::services::cluster_fs::ClusterFs;

impl ClusterFs for CephFs {
    fn mount_point(&self, node: usize) -> &Path {
        self.mounts[node].point()
    }

    fn kind(&self) -> &'static str {
        KIND
    }

    fn frozen(&self) -> Fault<'_> {
        Fault::new(
            "frozen",
            || self.ceph.daemons().try_for_each(Daemon::freeze),
            || self.ceph.daemons().rev().try_for_each(Daemon::go_on),
        )
    }

    fn mount_cut_off(&self, node: usize) -> Fault<'_> {
        let host = host_of(node);
        Fault::new("mount cut off", move || self.network.cut_off(host), move || self.network.reconnect(host))
    }

    fn client_frozen(&self, node: usize) -> Fault<'_> {
        let mount = &self.mounts[node];
        Fault::new("client frozen", || mount.freeze(), || mount.go_on())
    }

    fn client_killed(&self, node: usize) -> Fault<'_> {
        Fault::new("client killed", move || self.mounts[node].kill(), move || self.mount_again(node))
    }

    fn unmounted(&self, node: usize) -> Fault<'_> {
        Fault::new("unmounted", move || self.mounts[node].detach(), move || self.mount_beside(node))
    }
}

impl CephFs {
    /// The MDS sends the node's client away, as an admin makes it do. Healed by a new mount at the same place.
    pub fn client_evicted(&self, node: usize) -> Fault<'_> {
        Fault::new("client evicted", move || self.evict(node), move || self.mount_again(node))
    }

    /// The process behind the node's mount is killed, and an admin sends its session away. Healed by a new mount.
    pub fn client_killed_and_evicted(&self, node: usize) -> Fault<'_> {
        let inject = move || {
            self.mounts[node].kill()?;
            self.evict(node)
        };
        Fault::new("client killed, its session evicted", inject, move || self.mount_again(node))
    }

    /// The process of the MDS that serves is gone; a standby, if there is one, takes over within some seconds. Healed by
    /// a start, and waits until one serves, which takes until every client has come back to it or its patience ends.
    pub fn mds_killed(&self) -> Fault<'_> {
        Fault::new(
            "MDS killed",
            || self.ceph.all_mds()[self.ceph.active_mds().context("no MDS serves")?].kill(),
            || {
                self.start_missing_mds()?;
                self.ceph.wait_mds_active()
            },
        )
    }

    /// The MDS that serves is stopped where it is; a standby, if there is one, takes over within some seconds, and the
    /// first finds itself replaced after the thaw.
    pub fn mds_frozen(&self) -> Fault<'_> {
        Fault::new(
            "MDS frozen",
            || self.ceph.all_mds()[self.ceph.active_mds().context("no MDS serves")?].freeze(),
            // To go on means nothing to the other one.
            || self.ceph.all_mds().iter().try_for_each(Daemon::go_on),
        )
    }

    /// The file's content can neither be read nor written, and the MDS cannot note anything.
    pub fn osds_frozen(&self) -> Fault<'_> {
        Fault::new(
            "OSDs frozen",
            || self.ceph.osds().iter().try_for_each(Daemon::freeze),
            || self.ceph.osds().iter().try_for_each(Daemon::go_on),
        )
    }

    /// The node's mount is cut off, and the MDS starts anew meanwhile: it waits for that client for as long as
    /// [`super::Setup::reconnect_timeout`] says, and goes on without it. Does not wait for that.
    pub fn mount_cut_off_as_the_mds_restarts(&self, node: usize) -> Fault<'_> {
        let host = host_of(node);
        Fault::new(
            "mount cut off as the MDS restarts",
            move || {
                let active = self.ceph.active_mds().context("no MDS serves")?;
                self.network.cut_off(host)?;
                self.ceph.all_mds()[active].kill()?;
                self.start_missing_mds()
            },
            move || self.network.reconnect(host),
        )
    }

    fn evict(&self, node: usize) -> anyhow::Result<()> {
        let pid = self.mounts[node].pid().with_context(|| format!("node {node} has no mount"))?;
        let evicted = self.ceph.evict(pid)?;
        anyhow::ensure!(evicted, "the MDS does not know the client of node {node}");
        Ok(())
    }

    fn start_missing_mds(&self) -> anyhow::Result<()> {
        let _inside = self.among_servers()?;
        self.ceph.all_mds().iter().filter(|mds| !mds.runs()).try_for_each(Daemon::start)
    }

    /// Ends what is left of a node's mount, and mounts it anew.
    fn mount_again(&self, node: usize) -> anyhow::Result<()> {
        // Else others wait for it for a minute, as soon as they open what it had open, and so does the new mount.
        let old = self.mounts[node].pid();
        self.mounts[node].clear();
        if let Some(pid) = old {
            self.ceph.evict(pid)?;
        }
        self.mount_beside(node)
    }

    /// Mounts it anew, whoever may still use the old mount out of sight.
    fn mount_beside(&self, node: usize) -> anyhow::Result<()> {
        self.start_mount(node)?;
        self.mounts[node].wait_mounted()
    }
}
