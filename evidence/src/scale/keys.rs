//! Lock keys in an etcd cluster of three members.

use std::ffi::OsString;
use std::time::Duration;

use mutex_tests::services::etcd::{Etcd, Setup};

use super::store::{Pace, Store};

/// The helper's default.
const LEASE: u32 = 9;
/// etcd grants no shorter one than one and a half of its election, which is a second.
const SHORTEST_LEASE: u32 = 2;

/// The cluster.
pub(super) struct Keys(Etcd);

impl Keys {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Etcd::start(Setup::default())?))
    }
}

fn lease(pace: Pace) -> u32 {
    if pace == Pace::Fastest { SHORTEST_LEASE } else { LEASE }
}

impl Store for Keys {
    fn arguments(&self, lock: &str, pace: Pace) -> Vec<OsString> {
        [lock, &lease(pace).to_string()].map(OsString::from).to_vec()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.0.environment()
    }

    fn renew_every(&self, pace: Pace) -> Duration {
        Duration::from_secs(lease(pace).into()) / 5
    }

    fn renewals(&self) -> anyhow::Result<u64> {
        self.0.received("LeaseKeepAlive")
    }

    fn counted_by(&self) -> &'static str {
        "LeaseKeepAlive messages in the members' metrics"
    }

    fn locked(&self, _locks: &[String]) -> anyhow::Result<Vec<String>> {
        let keys = self.0.etcdctl(&["get", "", "--prefix", "--keys-only"])?;
        Ok(keys.lines().filter(|line| !line.is_empty()).map(|key| format!("the key {key}")).collect())
    }

    fn left(&self, _locks: &[String]) -> anyhow::Result<Vec<String>> {
        Ok(self.0.leases()?.into_iter().map(|lease| format!("the lease {lease:x}")).collect())
    }
}
