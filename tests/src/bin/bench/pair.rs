//! Which helpers are compared, and what ours may take.

use mutex_tests::process::programs;

use crate::files::Files;
use crate::objects::Objects;
use crate::run::Side;
use crate::store::Store;

/// A helper of the distribution, and ours in its place.
pub(crate) struct Pair {
    /// As the command line has it.
    pub(crate) name: &'static str,
    theirs: &'static str,
    ours: &'static str,
    pub(crate) store: fn() -> anyhow::Result<Box<dyn Store>>,
    pub(crate) limits: Limits,
    /// What else to know about the figures.
    pub(crate) note: Option<&'static str>,
}

/// Ours may be these parts of theirs.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Start to `0`.
    pub(crate) taken: f64,
    /// Start to `1`, less the second look; `None` where there is nothing to compare.
    pub(crate) contended: Option<f64>,
    /// While the lock is held.
    pub(crate) memory: f64,
}

/// In the order of the tables.
pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        name: "file",
        theirs: "/usr/libexec/ctdb/ctdb_mutex_fcntl_helper",
        ours: "ctdb_mutex_file_helper",
        store: || Ok(Box::new(Files::new()?)),
        // Issue 2, "Must hold" 3.
        limits: Limits { taken: 0.25, contended: Some(0.25), memory: 0.3 },
        note: None,
    },
    Pair {
        name: "rados",
        theirs: "/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper",
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
];

impl Pair {
    /// Theirs and ours.
    pub(crate) fn sides(&self) -> anyhow::Result<[Side; 2]> {
        Ok([programs::packaged(self.theirs, "ctdb")?, programs::helper(self.ours)?].map(Side::new))
    }
}
