//! Lock objects, in the pool of a Ceph cluster of their own.

use std::ffi::OsString;

use mutex_tests::services::ceph::{ADMIN, CONF_VARIABLE, Ceph, POOL, Setup, in_pool, lock};

use crate::store::{BUSY, Probe, Store};

/// For both, whose defaults differ.
const LEASE_SECONDS: &str = "9";

/// The cluster.
pub(crate) struct Objects(Ceph);

impl Objects {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // With a manager: both helpers enter themselves into its service map.
        let objects = Self(Ceph::start(Setup { mgr: true, min_size: 1 })?);
        // Without an expiry, so it stays when the command has ended.
        let how = ["--lock-cookie", "bench", "--lock-type", "exclusive"];
        objects.rados(&[&["lock", "get", BUSY, lock::NAME], &how[..]].concat())?;
        Ok(objects)
    }

    fn rados(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.0.rados(&[&in_pool(None), arguments].concat()).map(drop)
    }
}

impl Store for Objects {
    fn add(&self, lock: &str) -> anyhow::Result<()> {
        self.rados(&["create", lock])
    }

    fn busy(&self) -> Option<&'static str> {
        Some(BUSY)
    }

    fn arguments(&self, lock: &str) -> Vec<OsString> {
        ["ceph", ADMIN, POOL, lock, LEASE_SECONDS].map(OsString::from).to_vec()
    }

    fn their_arguments(&self, lock: &str) -> Vec<OsString> {
        self.arguments(lock)
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![(CONF_VARIABLE, self.0.conf().into())]
    }

    /// `rados lock info` takes 50 ms, most of it to connect.
    fn probe(&self, _lock: &str) -> anyhow::Result<Option<Probe>> {
        Ok(None)
    }
}
