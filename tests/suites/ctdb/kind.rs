//! The kinds of lock, and what each is in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mutex_tests::fault::Fault;
use mutex_tests::process::programs;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL};
use mutex_tests::services::cluster_fs::is_locked;
use mutex_tests::services::ctdb::view::Common;
use mutex_tests::services::etcd::{self, Etcd};
use mutex_tests::services::fuse::{HungFs, Locks};
use tempfile::TempDir;

use crate::mounts::Mounts;
use crate::{Case, at_once, cluster_fs, event_script, file, lease, members, slow, successor};

/// The object of the RADOS locks.
const OBJECT: &str = "ctdb_lock";

/// The name of the etcd locks.
const KEY: &str = "ctdb/lock";

/// The leases, in seconds: what the man pages call fast, and the default of both helpers.
const FAST_RADOS: u32 = 4;
const FAST_ETCD: u32 = 3;
const DEFAULT: u32 = 9;

/// A lease or PING-TIMEOUT longer than three monitor events of a cluster whose store is frozen: with the loss of its leader
/// CTDB recovers, and monitors nothing until it has another.
const LONG: u32 = 30;

/// A kind of cluster lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// With a lease of so many seconds.
    Rados(u32),
    /// The same.
    Etcd(u32),
    /// In a file of a CephFS.
    CephFs,
    /// In a file of a GlusterFS.
    Gluster,
    /// In a file of a FUSE file system that hangs for good measure: nothing ends who waits for it.
    Fuse,
}

/// What a lock is in. Ends with this value, which has to outlive the lock's cluster.
pub(crate) enum Store {
    File(TempDir),
    Mounts(Mounts),
    Fuse(HungFs),
    Rados { ceph: Box<Ceph>, lease_seconds: u32 },
    Etcd { etcd: Box<Etcd>, lease_seconds: u32 },
}

impl Kind {
    /// Those that take longest first: what comes last runs alone.
    pub(crate) const ALL: [Self; 9] = [
        Self::Gluster,
        Self::CephFs,
        Self::Rados(FAST_RADOS),
        Self::Etcd(FAST_ETCD),
        Self::File,
        Self::Rados(DEFAULT),
        Self::Etcd(DEFAULT),
        Self::Fuse,
        Self::Etcd(LONG),
    ];

    /// Before the name of each of its trials.
    pub(crate) fn name(self) -> String {
        match self {
            Self::File => "file".to_owned(),
            Self::CephFs => "cephfs".to_owned(),
            Self::Gluster => "gluster".to_owned(),
            Self::Fuse => "fuse".to_owned(),
            Self::Rados(lease) => format!("rados-{lease}s"),
            Self::Etcd(lease) => format!("etcd-{lease}s"),
        }
    }

    /// How often its nodes are monitored; CTDB's default where that is no matter.
    pub(crate) fn monitor_interval(self) -> Option<Duration> {
        matches!(self, Self::Fuse | Self::Etcd(LONG)).then_some(event_script::MONITOR_INTERVAL)
    }

    /// What is tried with it.
    pub(crate) fn cases(self) -> Vec<Case> {
        match self {
            Self::CephFs | Self::Gluster => cluster_fs::CASES.to_vec(),
            Self::Fuse | Self::Etcd(LONG) => event_script::CASES.to_vec(),
            Self::File => [at_once::CASES, file::CASES, successor::CASES].concat(),
            // In the others the helper lets go, and how long its lease would last is no matter.
            Self::Rados(DEFAULT) if !slow() => [lease::NODE, lease::CASES].concat(),
            Self::Rados(_) => [at_once::CASES, lease::NODE, lease::CASES, successor::CASES].concat(),
            // What of it no other kind shows.
            Self::Etcd(DEFAULT) if !slow() => [lease::NODE, members::LEADER].concat(),
            Self::Etcd(_) => {
                let more = if slow() { successor::CASES } else { &[] };
                [at_once::CASES, lease::NODE, lease::CASES, members::LEADER, members::FOLLOWERS, more].concat()
            }
        }
    }
}

impl Store {
    pub(crate) fn start(kind: Kind) -> anyhow::Result<Self> {
        match kind {
            Kind::File => {
                Ok(Self::File(tempfile::Builder::new().prefix("mutex-").tempdir().context("make a directory")?))
            }
            Kind::CephFs => Ok(Self::Mounts(Mounts::of_cephfs()?)),
            Kind::Gluster => Ok(Self::Mounts(Mounts::of_gluster()?)),
            Kind::Fuse => Ok(Self::Fuse(HungFs::mount(Locks::Remote)?)),
            // With a manager, as in life.
            Kind::Rados(lease_seconds) => {
                let ceph = Box::new(Ceph::start(ceph::Setup { mgr: true, min_size: 1 })?);
                Ok(Self::Rados { ceph, lease_seconds })
            }
            Kind::Etcd(lease_seconds) => {
                Ok(Self::Etcd { etcd: Box::new(Etcd::start(etcd::Setup::default())?), lease_seconds })
            }
        }
    }

    /// What stands behind `cluster lock =`, the same on every node.
    pub(crate) fn cluster_lock(&self) -> anyhow::Result<String> {
        let (helper, arguments) = match self {
            Self::File(dir) => ("ctdb_mutex_file_helper", vec![lock_file(dir.path()).display().to_string()]),
            Self::Mounts(mounts) => ("ctdb_mutex_file_helper", vec![lock_file(mounts.path()).display().to_string()]),
            Self::Fuse(fs) => {
                let [file, recheck, ping] = [lock_file(fs.path()).display().to_string(), "5".into(), LONG.to_string()];
                ("ctdb_mutex_file_helper", vec![file, recheck, ping])
            }
            Self::Rados { lease_seconds, .. } => {
                let words = ["ceph", ADMIN, POOL, OBJECT].map(str::to_owned);
                ("ctdb_mutex_rados_helper", [&words[..], &[lease_seconds.to_string()]].concat())
            }
            Self::Etcd { lease_seconds, .. } => {
                ("ctdb_mutex_etcd_helper", vec![KEY.to_owned(), lease_seconds.to_string()])
            }
        };
        let lock = format!("!{} {}", programs::helper(helper)?.display(), arguments.join(" "));
        // CTDB splits the line at every blank and knows no quotes.
        ensure!(lock.split_whitespace().count() == 1 + arguments.len(), "no blanks can be in {lock:?}");
        Ok(lock)
    }

    /// What ctdbd has in its environment for the helper.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        match self {
            Self::File(_) | Self::Mounts(_) | Self::Fuse(_) => Vec::new(),
            Self::Rados { ceph, .. } => vec![(CONF_VARIABLE, ceph.conf().into())],
            Self::Etcd { etcd, .. } => etcd.environment(),
        }
    }

    /// The lock's directory, where it is another one on each node.
    pub(crate) fn common(&self) -> Option<Common> {
        match self {
            Self::File(_) | Self::Fuse(_) | Self::Rados { .. } | Self::Etcd { .. } => None,
            Self::Mounts(mounts) => Some(mounts.common()),
        }
    }

    /// Whether a lock is in it. Of a file that is all that can be seen without taking it: that it is there.
    pub(crate) fn has_lock(&self) -> anyhow::Result<bool> {
        match self {
            Self::File(dir) => Ok(lock_file(dir.path()).exists()),
            Self::Mounts(mounts) => is_locked(&lock_file(mounts.fs().mount_point(0))),
            Self::Fuse(fs) => is_locked(&lock_file(fs.path())),
            Self::Rados { ceph, .. } => Ok(ceph.lock_info(None, OBJECT)?.is_some()),
            Self::Etcd { etcd, .. } => Ok(!etcd.holders(KEY)?.is_empty()),
        }
    }

    /// The lock file.
    pub(crate) fn file(&self) -> anyhow::Result<PathBuf> {
        match self {
            Self::File(dir) => Ok(lock_file(dir.path())),
            Self::Mounts(_) | Self::Fuse(_) | Self::Rados { .. } | Self::Etcd { .. } => {
                bail!("this lock is in no file of the machine's")
            }
        }
    }

    /// The cluster file system.
    pub(crate) fn mounts(&self) -> anyhow::Result<&Mounts> {
        match self {
            Self::Mounts(mounts) => Ok(mounts),
            Self::File(_) | Self::Fuse(_) | Self::Rados { .. } | Self::Etcd { .. } => {
                bail!("this lock is on no cluster file system")
            }
        }
    }

    /// The members of etcd.
    pub(crate) fn etcd(&self) -> anyhow::Result<&Etcd> {
        match self {
            Self::File(_) | Self::Mounts(_) | Self::Fuse(_) | Self::Rados { .. } => bail!("this lock is not in etcd"),
            Self::Etcd { etcd, .. } => Ok(etcd),
        }
    }

    /// All of it stops where it is.
    pub(crate) fn frozen(&self) -> anyhow::Result<Fault<'_>> {
        match self {
            Self::File(_) => bail!("this lock is in a file system of the machine's"),
            Self::Mounts(mounts) => Ok(mounts.fs().frozen()),
            Self::Fuse(fs) => Ok(fs.frozen()),
            Self::Rados { ceph, .. } => Ok(ceph.osds_frozen()),
            Self::Etcd { etcd, .. } => Ok(etcd.all_frozen()),
        }
    }

    /// How long the store keeps the lock of a dead holder.
    pub(crate) fn lease(&self) -> anyhow::Result<Duration> {
        match self {
            Self::File(_) | Self::Mounts(_) | Self::Fuse(_) => bail!("this lock has no lease"),
            Self::Rados { lease_seconds, .. } | Self::Etcd { lease_seconds, .. } => {
                Ok(Duration::from_secs((*lease_seconds).into()))
            }
        }
    }
}

/// The lock file in this directory.
pub(crate) fn lock_file(dir: &Path) -> PathBuf {
    dir.join("lock")
}
