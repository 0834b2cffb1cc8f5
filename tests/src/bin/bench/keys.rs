//! Lock keys, in an etcd cluster of their own.

use std::ffi::OsString;

use mutex_tests::services::etcd::{Etcd, Setup};

use crate::store::{Probe, Store};

/// For both, whose defaults differ.
const LEASE_SECONDS: &str = "9";

/// The cluster.
pub(crate) struct Keys(Etcd);

impl Keys {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Etcd::start(Setup::default())?))
    }
}

impl Store for Keys {
    /// It comes with the taker's key.
    fn add(&self, _lock: &str) -> anyhow::Result<()> {
        Ok(())
    }

    fn busy(&self) -> Option<&'static str> {
        None
    }

    fn arguments(&self, lock: &str) -> Vec<OsString> {
        [lock, LEASE_SECONDS].map(OsString::from).to_vec()
    }

    fn their_arguments(&self, lock: &str) -> Vec<OsString> {
        ["lock", lock, "--ttl", LEASE_SECONDS].map(OsString::from).to_vec()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.0.environment()
    }

    /// `etcdctl get` takes 20 ms, most of it to start.
    fn probe(&self, _lock: &str) -> anyhow::Result<Option<Probe>> {
        Ok(None)
    }
}
