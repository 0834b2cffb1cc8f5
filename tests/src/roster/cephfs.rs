//! The row of `ctdb_mutex_file_helper` on a real CephFS: the lock file on node 0's mount.
//!
//! Every bench has a directory of its own on the one file system that a test process shares. Where the store is to be
//! frozen it has a file system of its own. The other lock types, and an eviction, are tried in the clusterfs suite: who
//! shares a mount shares its eviction.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};

use super::{Row, Store, file};
use crate::fault::Fault;
use crate::services::cephfs::{self, CephFs, Setup};
use crate::services::cluster_fs::{ClusterFs, is_locked};

/// Where the helpers are.
const HERE: usize = 0;
/// Where the lock is asked about, and where somebody does something to its file.
const ELSEWHERE: usize = 1;

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        store: || Ok(Box::new(LockFile::in_shared()?)),
        hangable: Some(|| Ok(Box::new(LockFile::in_own()?))),
        ..file::row("cephfs-posix", "posix")
    }]
}

/// A lock file in a directory of its own.
struct LockFile {
    fs: Arc<CephFs>,
    own_instance: bool,
    /// The directory's name, below which is the file's.
    name: String,
}

impl LockFile {
    fn in_shared() -> anyhow::Result<Self> {
        Self::new(cephfs::shared()?, false)
    }

    fn in_own() -> anyhow::Result<Self> {
        let lock = Self::new(Arc::new(CephFs::start(Setup::default())?), true)?;
        File::create(lock.path(HERE)).context("make the lock file")?;
        Ok(lock)
    }

    fn new(fs: Arc<CephFs>, own_instance: bool) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("lock-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let lock = Self { fs, own_instance, name };
        fs::create_dir_all(lock.dir(HERE)).context("make the lock file's directory")?;
        Ok(lock)
    }

    /// What is the lock's alone, on a node.
    fn place(&self, node: usize) -> PathBuf {
        self.fs.mount_point(node).join(&self.name)
    }

    fn dir(&self, node: usize) -> PathBuf {
        self.place(node).join("dir")
    }

    fn path(&self, node: usize) -> PathBuf {
        self.dir(node).join("lock")
    }
}

impl Store for LockFile {
    fn arguments(&self) -> Vec<OsString> {
        file::arguments(self.path(HERE))
    }

    fn rival_arguments(&self) -> Vec<OsString> {
        vec![self.path(HERE).into()]
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    fn object(&self) -> String {
        self.path(HERE).display().to_string()
    }

    fn is_held(&self) -> anyhow::Result<bool> {
        is_locked(&self.path(ELSEWHERE))
    }

    fn frozen(&self) -> anyhow::Result<Fault<'_>> {
        if !self.own_instance {
            bail!("a file system that other cases use cannot be frozen");
        }
        Ok(self.fs.frozen())
    }

    fn takings(&self) -> Vec<Fault<'_>> {
        let away = self.place(ELSEWHERE).join("elsewhere");
        let back = away.clone();
        vec![
            Fault::new("file removed", || Ok(fs::remove_file(self.path(ELSEWHERE))?), || Ok(())),
            Fault::new(
                "file replaced",
                || {
                    let other = self.place(ELSEWHERE).join("other");
                    File::create(&other)?;
                    Ok(fs::rename(other, self.path(ELSEWHERE))?)
                },
                || Ok(()),
            ),
            Fault::new(
                "directory renamed away",
                move || Ok(fs::rename(self.dir(ELSEWHERE), &away)?),
                move || Ok(fs::rename(&back, self.dir(ELSEWHERE))?),
            ),
        ]
    }
}
