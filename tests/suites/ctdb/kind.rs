//! The kinds of lock, and what each is in.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mutex_tests::fault::Fault;
use mutex_tests::process::programs;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL};
use mutex_tests::services::etcd::{self, Etcd};
use tempfile::TempDir;

use crate::{Case, at_once, file, lease, members, slow, successor};

/// The object of the RADOS locks.
const OBJECT: &str = "ctdb_lock";

/// The name of the etcd locks.
const KEY: &str = "ctdb/lock";

/// The leases, in seconds: what the man pages call fast, and the default of both helpers.
const FAST_RADOS: u32 = 4;
const FAST_ETCD: u32 = 3;
const DEFAULT: u32 = 9;

/// A kind of cluster lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// With a lease of so many seconds.
    Rados(u32),
    /// The same.
    Etcd(u32),
}

/// What a lock is in. Ends with this value, which has to outlive the lock's cluster.
pub(crate) enum Store {
    File(TempDir),
    Rados { ceph: Box<Ceph>, lease_seconds: u32 },
    Etcd { etcd: Box<Etcd>, lease_seconds: u32 },
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::File, Self::Rados(FAST_RADOS), Self::Rados(DEFAULT), Self::Etcd(FAST_ETCD), Self::Etcd(DEFAULT)];

    /// Before the name of each of its trials.
    pub(crate) fn name(self) -> String {
        match self {
            Self::File => "file".to_owned(),
            Self::Rados(lease) => format!("rados-{lease}s"),
            Self::Etcd(lease) => format!("etcd-{lease}s"),
        }
    }

    /// What is tried with it.
    pub(crate) fn cases(self) -> Vec<Case> {
        match self {
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
            Self::File(dir) => ("ctdb_mutex_file_helper", vec![lock_file(dir).display().to_string()]),
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
            Self::File(_) => Vec::new(),
            Self::Rados { ceph, .. } => vec![(CONF_VARIABLE, ceph.conf().into())],
            Self::Etcd { etcd, .. } => etcd.environment(),
        }
    }

    /// Whether a lock is in it. Of a file that is all that can be seen without taking it: that it is there.
    pub(crate) fn has_lock(&self) -> anyhow::Result<bool> {
        match self {
            Self::File(dir) => Ok(lock_file(dir).exists()),
            Self::Rados { ceph, .. } => Ok(ceph.lock_info(None, OBJECT)?.is_some()),
            Self::Etcd { etcd, .. } => Ok(!etcd.holders(KEY)?.is_empty()),
        }
    }

    /// The lock file.
    pub(crate) fn file(&self) -> anyhow::Result<PathBuf> {
        match self {
            Self::File(dir) => Ok(lock_file(dir)),
            Self::Rados { .. } | Self::Etcd { .. } => bail!("this lock is in no file"),
        }
    }

    /// The members of etcd.
    pub(crate) fn etcd(&self) -> anyhow::Result<&Etcd> {
        match self {
            Self::File(_) | Self::Rados { .. } => bail!("this lock is not in etcd"),
            Self::Etcd { etcd, .. } => Ok(etcd),
        }
    }

    /// All of it stops where it is.
    pub(crate) fn frozen(&self) -> anyhow::Result<Fault<'_>> {
        match self {
            Self::File(_) => bail!("this lock is in a file system of the machine's"),
            Self::Rados { ceph, .. } => Ok(ceph.osds_frozen()),
            Self::Etcd { etcd, .. } => Ok(etcd.all_frozen()),
        }
    }

    /// How long the store keeps the lock of a dead holder.
    pub(crate) fn lease(&self) -> anyhow::Result<Duration> {
        match self {
            Self::File(_) => bail!("this lock has no lease"),
            Self::Rados { lease_seconds, .. } | Self::Etcd { lease_seconds, .. } => {
                Ok(Duration::from_secs((*lease_seconds).into()))
            }
        }
    }
}

fn lock_file(dir: &TempDir) -> PathBuf {
    dir.path().join("lock")
}
