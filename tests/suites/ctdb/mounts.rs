//! A cluster file system under the lock, one mount a node, each of which its node finds at the same path.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use mutex_tests::fault::Fault;
use mutex_tests::services::cephfs::{self, CephFs};
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::ctdb::view::Common;
use mutex_tests::services::gluster::{self, Gluster};

use crate::NODES;

/// Not the last one, which alone answers who has a lock: after its restart a look would see none.
const BRICK: usize = 0;

/// The least that CephFS allows: a dead host keeps the lock for so long. RECHECK + PING-TIMEOUT are less than 2/3 of it.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// And for so much longer at most: the MDS looks for silent clients every 5 s, and tries had the lock of one that was gone
/// 35.3 s to 38.6 s after its end.
const LOOKS: Duration = Duration::from_secs(10);

/// A connection is idle for 2 s before the first of its probes, which come every second.
const PROBE: Duration = Duration::from_secs(1);

/// The file system. Ends with this value.
pub(crate) struct Mounts {
    fs: ClusterFileSystem,
    path: PathBuf,
}

enum ClusterFileSystem {
    CephFs(Box<CephFs>),
    Gluster(Box<Gluster>),
}

impl Mounts {
    pub(crate) fn of_cephfs() -> anyhow::Result<Self> {
        let setup = cephfs::Setup { session_timeout: Some(SESSION_TIMEOUT), ..cephfs::Setup::default() };
        Self::new(ClusterFileSystem::CephFs(Box::new(CephFs::start(setup)?)))
    }

    pub(crate) fn of_gluster() -> anyhow::Result<Self> {
        Self::new(ClusterFileSystem::Gluster(Box::new(Gluster::start(gluster::Setup::default())?)))
    }

    fn new(fs: ClusterFileSystem) -> anyhow::Result<Self> {
        let mut mounts = Self { fs, path: PathBuf::new() };
        // Beside the mounts, so that it goes with them.
        mounts.path = mounts.fs().mount_point(0).with_file_name("on-each-node");
        fs::create_dir(&mounts.path).context("make a directory beside the mounts")?;
        Ok(mounts)
    }

    pub(crate) fn fs(&self) -> &dyn ClusterFs {
        match &self.fs {
            ClusterFileSystem::CephFs(fs) => fs.as_ref(),
            ClusterFileSystem::Gluster(fs) => fs.as_ref(),
        }
    }

    /// Where a node's ctdbd finds its mount.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn common(&self) -> Common {
        let leads_to = (0..NODES).map(|node| self.fs().mount_point(node).to_owned()).collect();
        Common { path: self.path().to_owned(), leads_to }
    }

    /// The servers let go of what a dead host has no later than this.
    pub(crate) fn gives_up_after(&self) -> Duration {
        match &self.fs {
            ClusterFileSystem::CephFs(_) => SESSION_TIMEOUT + LOOKS,
            ClusterFileSystem::Gluster(_) => gluster::Setup::default().tcp_user_timeout.unwrap_or_default() + PROBE,
        }
    }

    /// One of the servers ends. Healed by its start.
    pub(crate) fn server_killed(&self) -> Fault<'_> {
        match &self.fs {
            ClusterFileSystem::CephFs(fs) => fs.mds_killed(),
            ClusterFileSystem::Gluster(fs) => fs.brick_killed(BRICK),
        }
    }

    /// The servers let go of what a node has there. Healed by a new mount.
    pub(crate) fn client_gone(&self, node: usize) -> Fault<'_> {
        match &self.fs {
            ClusterFileSystem::CephFs(fs) => fs.client_evicted(node),
            ClusterFileSystem::Gluster(fs) => fs.client_killed(node),
        }
    }
}
