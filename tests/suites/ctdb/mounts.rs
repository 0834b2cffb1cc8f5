//! A cluster file system under the lock, one mount a node, each of which its node finds at the same path.

use std::path::Path;

use anyhow::Context;
use mutex_tests::fault::Fault;
use mutex_tests::services::cephfs::{self, CephFs};
use mutex_tests::services::cluster_fs::ClusterFs;
use mutex_tests::services::ctdb::view::Common;
use mutex_tests::services::gluster::{self, Gluster};
use tempfile::TempDir;

use crate::NODES;

/// Not the last one, which alone answers who has a lock: after its restart a look would see none.
const BRICK: usize = 0;

/// The file system. Ends with this value.
pub(crate) struct Mounts {
    fs: ClusterFileSystem,
    path: TempDir,
}

enum ClusterFileSystem {
    CephFs(Box<CephFs>),
    Gluster(Box<Gluster>),
}

impl Mounts {
    pub(crate) fn of_cephfs() -> anyhow::Result<Self> {
        Self::new(ClusterFileSystem::CephFs(Box::new(CephFs::start(cephfs::Setup::default())?)))
    }

    pub(crate) fn of_gluster() -> anyhow::Result<Self> {
        Self::new(ClusterFileSystem::Gluster(Box::new(Gluster::start(gluster::Setup::default())?)))
    }

    fn new(fs: ClusterFileSystem) -> anyhow::Result<Self> {
        let path = tempfile::Builder::new().prefix("mutex-").tempdir().context("make a directory")?;
        Ok(Self { fs, path })
    }

    pub(crate) fn fs(&self) -> &dyn ClusterFs {
        match &self.fs {
            ClusterFileSystem::CephFs(fs) => fs.as_ref(),
            ClusterFileSystem::Gluster(fs) => fs.as_ref(),
        }
    }

    /// Where a node's ctdbd finds its mount.
    pub(crate) fn path(&self) -> &Path {
        self.path.path()
    }

    pub(crate) fn common(&self) -> Common {
        let leads_to = (0..NODES).map(|node| self.fs().mount_point(node).to_owned()).collect();
        Common { path: self.path().to_owned(), leads_to }
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
