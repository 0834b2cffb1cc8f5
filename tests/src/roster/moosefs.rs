//! The row of `ctdb_mutex_file_helper` on a real MooseFS: the lock file on node 0's mount.
//!
//! Every bench has a directory of its own on the one instance that a test process shares. Where the store is to be
//! frozen it has an instance of its own. The other lock types are tried in the clusterfs suite.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, bail};

use super::{Row, Store, file};
use crate::fault::Fault;
use crate::services::cluster_fs::ClusterFs;
use crate::services::moosefs::{self, MooseFs, Setup};

/// Where the helpers are.
const HERE: usize = 0;
/// Where somebody else does something to their file.
const ELSEWHERE: usize = 1;

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        store: || Ok(Box::new(LockFile::in_shared()?)),
        hangable: Some(|| Ok(Box::new(LockFile::in_own()?))),
        ..file::row("moosefs-posix", "posix")
    }]
}

/// A lock file in a directory of its own.
struct LockFile {
    fs: Arc<MooseFs>,
    own_instance: bool,
    /// The directory's name, below which is the file's.
    name: String,
    /// Set once the file has been seen.
    inode: OnceLock<u64>,
}

impl LockFile {
    fn in_shared() -> anyhow::Result<Self> {
        Self::new(moosefs::shared()?, false)
    }

    fn in_own() -> anyhow::Result<Self> {
        let lock = Self::new(Arc::new(MooseFs::start(Setup::default())?), true)?;
        File::create(lock.path(HERE)).context("make the lock file")?;
        // Now, since a look could hang later.
        lock.inode()?;
        Ok(lock)
    }

    fn new(fs: Arc<MooseFs>, own_instance: bool) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("lock-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let lock = Self { fs, own_instance, name, inode: OnceLock::new() };
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

    /// The file's inode; `None` before the first taker has made the file.
    fn inode(&self) -> anyhow::Result<Option<u64>> {
        if let Some(&inode) = self.inode.get() {
            return Ok(Some(inode));
        }
        let inode = self.fs.inode_of(&self.path(HERE))?;
        // Set by another thread meanwhile: the same.
        Ok(inode.map(|inode| *self.inode.get_or_init(|| inode)))
    }

    /// A fault that moves the file, on another mount than the helpers'; its inode is noted first.
    fn moved<'a>(
        &'a self,
        name: &'static str,
        inject: impl Fn() -> std::io::Result<()> + 'a,
        heal: impl Fn() -> std::io::Result<()> + 'a,
    ) -> Fault<'a> {
        let inject = move || {
            self.inode()?;
            Ok(inject()?)
        };
        Fault::new(name, inject, move || Ok(heal()?))
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
        let Some(inode) = self.inode()? else { return Ok(false) };
        self.fs.is_locked(inode)
    }

    fn frozen(&self) -> anyhow::Result<Fault<'_>> {
        if !self.own_instance {
            bail!("an instance that other cases use cannot be frozen");
        }
        Ok(self.fs.frozen())
    }

    fn takings(&self) -> Vec<Fault<'_>> {
        let away = self.place(ELSEWHERE).join("elsewhere");
        let back = away.clone();
        vec![
            self.moved("file removed", || fs::remove_file(self.path(ELSEWHERE)), || Ok(())),
            self.moved(
                "file replaced",
                || {
                    let other = self.place(ELSEWHERE).join("other");
                    File::create(&other)?;
                    fs::rename(other, self.path(ELSEWHERE))
                },
                || Ok(()),
            ),
            self.moved(
                "directory renamed away",
                move || fs::rename(self.dir(ELSEWHERE), &away),
                move || fs::rename(&back, self.dir(ELSEWHERE)),
            ),
        ]
    }
}
