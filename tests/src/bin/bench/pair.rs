//! What our helpers are compared with, and what they may take.

use mutex_tests::process::programs;

use crate::files::Files;
use crate::keys::Keys;
use crate::objects::Objects;
use crate::run::{Side, Word};
use crate::store::Store;

/// A program of the distribution, and our helper in its place.
pub(crate) struct Pair {
    /// As the command line has it.
    pub(crate) name: &'static str,
    theirs: Theirs,
    ours: &'static str,
    pub(crate) store: fn() -> anyhow::Result<Box<dyn Store>>,
    pub(crate) limits: Limits,
    /// What else to know about the figures.
    pub(crate) note: Option<&'static str>,
}

/// A program of the distribution.
#[derive(Clone, Copy)]
struct Theirs {
    path: &'static str,
    package: &'static str,
    word: Word,
}

/// Ours may be these parts of theirs.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Start to the lock held.
    pub(crate) taken: f64,
    /// Start to `1`, less the second look; `None` where there is nothing to compare.
    pub(crate) contended: Option<f64>,
    /// While the lock is held.
    pub(crate) memory: f64,
}

/// The package of CTDB, and of its helpers.
const CTDB: &str = "ctdb";

/// In the order of the tables.
pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        name: "file",
        theirs: Theirs { path: "/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", package: CTDB, word: Word::Byte },
        ours: "ctdb_mutex_file_helper",
        store: || Ok(Box::new(Files::new()?)),
        // Issue 2, "Must hold" 3.
        limits: Limits { taken: 0.25, contended: Some(0.25), memory: 0.3 },
        note: None,
    },
    Pair {
        name: "rados",
        theirs: Theirs { path: "/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", package: CTDB, word: Word::Byte },
        ours: "ctdb_mutex_rados_helper",
        store: || Ok(Box::new(Objects::new()?)),
        // Nearly all is librados, in both. Ours has connected by the time that its second look is due, so that what is
        // left without those 50 ms is no time in which it could have answered.
        limits: Limits { taken: 1.05, contended: None, memory: 1.1 },
        note: Some(
            "Both share Ceph's libraries with its daemons here, which a CTDB node does not have. There both take more, \
             theirs more\nthan ours; daemons of other clusters on this machine raise the ratio.",
        ),
    },
    Pair {
        name: "etcd",
        // Samba's script for etcd cannot be had: it speaks an API that etcd no longer has.
        theirs: Theirs { path: "/usr/bin/etcdctl", package: "etcd-client", word: Word::Lines },
        ours: "ctdb_mutex_etcd_helper",
        store: || Ok(Box::new(Keys::new()?)),
        // Issue 4, "Must hold" 4.
        limits: Limits { taken: 0.8, contended: None, memory: 0.6 },
        note: Some("Contended, etcdctl waits for the lock, where a helper answers."),
    },
];

impl Pair {
    /// Whether theirs has libraries in common with ctdbd.
    pub(crate) fn has_ctdbds_libraries(&self) -> bool {
        self.theirs.package == CTDB
    }

    /// Theirs and ours.
    pub(crate) fn sides(&self) -> anyhow::Result<[Side; 2]> {
        let Theirs { path, package, word } = self.theirs;
        let theirs = Side::new(programs::packaged(path, package)?, |store, lock| store.their_arguments(lock), word);
        let ours = Side::new(programs::helper(self.ours)?, |store, lock| store.arguments(lock), Word::Byte);
        Ok([theirs, ours])
    }
}
