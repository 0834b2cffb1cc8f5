//! Lock objects in the pool of a Ceph cluster with a manager and two copies of everything.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context;
use mutex_tests::services::ceph::{ADMIN, CONF_VARIABLE, Ceph, POOL, Setup, in_pool};
use serde_json::Value;

use super::store::{Pace, Store};

/// The helper's default.
const LEASE: u32 = 9;
/// R + 2T and its margin of 700 ms fit into no shorter one.
const SHORTEST_LEASE: u32 = 3;

/// The object with which the cluster's start ends.
const FIRST: &str = "first";

/// The cluster.
pub(super) struct Objects(Ceph);

impl Objects {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Ceph::start(Setup { mgr: true, min_size: 2 })?))
    }

    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.0.ceph(&[&["--format", "json"], arguments].concat())?;
        // A blocklist is followed by another of ranges, where that is asked for or not.
        let mut values = serde_json::Deserializer::from_str(&text).into_iter();
        values.next().transpose().ok().flatten().with_context(|| format!("ceph {arguments:?} printed {text:?}"))
    }

    /// Who is in the service map as a holder.
    fn services(&self) -> anyhow::Result<Vec<String>> {
        let map = self.json(&["service", "dump"])?;
        let daemons = map.pointer("/services/ctdb/daemons").and_then(Value::as_object).cloned().unwrap_or_default();
        let daemons = daemons.into_iter().filter(|(name, _)| name != "summary");
        Ok(daemons.map(|(name, _)| format!("{name} in the service map")).collect())
    }
}

fn lease(pace: Pace) -> u32 {
    if pace == Pace::Fastest { SHORTEST_LEASE } else { LEASE }
}

impl Store for Objects {
    fn arguments(&self, lock: &str, pace: Pace) -> Vec<OsString> {
        ["ceph", ADMIN, POOL, lock, &lease(pace).to_string()].map(OsString::from).to_vec()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![(CONF_VARIABLE, self.0.conf().into())]
    }

    fn renew_every(&self, pace: Pace) -> Duration {
        Duration::from_secs(lease(pace).into()) / 5
    }

    fn renewals(&self) -> anyhow::Result<u64> {
        self.0.operations_done()
    }

    fn counted_by(&self) -> &'static str {
        "operations of clients in the OSDs' performance counters (osd.op)"
    }

    fn locked(&self, locks: &[String]) -> anyhow::Result<Vec<String>> {
        let mut locked = Vec::new();
        for name in locks {
            let holder = self.0.lock_info(None, name)?;
            locked.extend(holder.map(|holder| format!("a lock of {} on {name}", holder.client)));
        }
        Ok(locked)
    }

    fn left(&self, locks: &[String]) -> anyhow::Result<Vec<String>> {
        let mut left = self.services()?;
        let objects = self.0.rados(&[&in_pool(None), &["ls", "--all"][..]].concat())?;
        for line in objects.lines() {
            let name = line.rsplit('\t').next().unwrap_or(line);
            if name == FIRST {
                continue;
            }
            if !locks.iter().any(|lock| lock == name) {
                left.push(format!("the object {name}"));
                continue;
            }
            let watchers = self.0.rados(&[&in_pool(None), &["listwatchers", name][..]].concat())?;
            left.extend(watchers.lines().map(|watcher| format!("on {name}: {watcher}")));
        }
        let blocked = self.json(&["osd", "blocklist", "ls"])?;
        let blocked = blocked.as_array().map(Vec::as_slice).unwrap_or_default();
        left.extend(blocked.iter().map(|client| format!("in the blocklist: {client}")));
        Ok(left)
    }
}
