//! The rows of `ctdb_mutex_file_helper` on real cluster file systems: the lock file on node 0's mount.
//!
//! Every bench has a directory of its own on the one file system that a test process shares. Where the store is to be
//! frozen it has a file system of its own. The other lock types, and what happens to one mount alone, are tried in the
//! clusterfs suite: who shares a mount shares its eviction.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};

use super::{Row, Store, file};
use crate::fault::Fault;
use crate::services::cephfs::{self, CephFs};
use crate::services::cluster_fs::{ClusterFs, is_locked};
use crate::services::gluster::{self, Gluster};
use crate::services::moosefs::{self, MooseFs};

/// Where the helpers are.
const HERE: usize = 0;
/// Where the lock is asked about.
const ELSEWHERE: usize = 1;

pub(super) fn rows() -> Vec<Row> {
    vec![row::<CephFs>("cephfs-posix"), row::<Gluster>("gluster-posix"), row::<MooseFs>("moosefs-posix")]
}

fn row<F: OnBench>(name: &'static str) -> Row {
    Row {
        store: || Ok(Box::new(LockFile::new(F::shared()?, false)?)),
        hangable: Some(|| Ok(Box::new(LockFile::on_own(F::own()?)?))),
        takers: F::TAKERS,
        ..file::row(name, "posix")
    }
}

/// How to come by one.
trait OnBench: ClusterFs + Sized + 'static {
    /// The node on whose mount somebody does something to the lock's file.
    const MISCHIEF: usize;

    /// How many takers at once it is tried with.
    const TAKERS: usize = 200;

    /// One that is for all cases of this process.
    fn shared() -> anyhow::Result<Arc<Self>>;

    /// A new one.
    fn own() -> anyhow::Result<Self>;

    /// How an admin takes the lock on a file away, which is named from the file system's top.
    fn takings<'a>(&'a self, file: &'a str) -> Vec<Fault<'a>>;
}

impl OnBench for CephFs {
    const MISCHIEF: usize = ELSEWHERE;
    /// Each costs 10 ms of CPU time, most of it in ceph-fuse and the MDS.
    const TAKERS: usize = 60;

    fn shared() -> anyhow::Result<Arc<Self>> {
        cephfs::shared()
    }

    fn own() -> anyhow::Result<Self> {
        Self::start(cephfs::Setup::default())
    }

    fn takings<'a>(&'a self, _file: &'a str) -> Vec<Fault<'a>> {
        Vec::new()
    }
}

impl OnBench for Gluster {
    /// Of what others do to a name a mount hears up to two seconds late: the kernel and the client each remember it for one.
    const MISCHIEF: usize = HERE;
    /// Each asks three bricks a dozen things, through one process.
    const TAKERS: usize = 60;

    fn shared() -> anyhow::Result<Arc<Self>> {
        gluster::shared()
    }

    fn own() -> anyhow::Result<Self> {
        Self::start(gluster::Setup::default())
    }

    fn takings<'a>(&'a self, file: &'a str) -> Vec<Fault<'a>> {
        vec![self.locks_cleared(file)]
    }
}

impl OnBench for MooseFs {
    const MISCHIEF: usize = ELSEWHERE;

    fn shared() -> anyhow::Result<Arc<Self>> {
        moosefs::shared()
    }

    fn own() -> anyhow::Result<Self> {
        Self::start(moosefs::Setup::default())
    }

    fn takings<'a>(&'a self, _file: &'a str) -> Vec<Fault<'a>> {
        Vec::new()
    }
}

/// A lock file in a directory of its own.
struct LockFile<F> {
    fs: Arc<F>,
    is_own: bool,
    /// The directory's name, below which is the file's.
    name: String,
    /// The file, from the file system's top.
    from_top: String,
}

impl<F: OnBench> LockFile<F> {
    fn on_own(fs: F) -> anyhow::Result<Self> {
        let lock = Self::new(Arc::new(fs), true)?;
        File::create(lock.path(HERE)).context("make the lock file")?;
        Ok(lock)
    }

    fn new(fs: Arc<F>, is_own: bool) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("lock-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let lock = Self { fs, is_own, from_top: format!("/{name}/dir/lock"), name };
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

impl<F: OnBench> Store for LockFile<F> {
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
        if !self.is_own {
            bail!("a file system that other cases use cannot be frozen");
        }
        Ok(self.fs.frozen())
    }

    fn takings(&self) -> Vec<Fault<'_>> {
        let away = self.place(F::MISCHIEF).join("elsewhere");
        let back = away.clone();
        let mut takings = self.fs.takings(&self.from_top);
        takings.extend([
            Fault::new("file removed", || Ok(fs::remove_file(self.path(F::MISCHIEF))?), || Ok(())),
            Fault::new(
                "file replaced",
                || {
                    let other = self.place(F::MISCHIEF).join("other");
                    File::create(&other)?;
                    Ok(fs::rename(other, self.path(F::MISCHIEF))?)
                },
                || Ok(()),
            ),
            Fault::new(
                "directory renamed away",
                move || Ok(fs::rename(self.dir(F::MISCHIEF), &away)?),
                move || Ok(fs::rename(&back, self.dir(F::MISCHIEF))?),
            ),
        ]);
        takings
    }
}
