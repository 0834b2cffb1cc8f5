//! The rows of `ctdb_mutex_etcd_helper`, and the lock under a key of etcd as their store.
//!
//! Every bench has a key of its own, in the one cluster that a test process shares. Where the store is to be frozen it
//! has a cluster of its own. There is no rival with a byte: `etcdctl lock` is tried in the etcd suite, and is the other
//! who takes the lock away here.

use std::cell::RefCell;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};

use super::{NewStore, Program, Row, Store, Timing};
use crate::fault::Fault;
use crate::services::etcd::keys::Key;
use crate::services::etcd::locker::Locker;
use crate::services::etcd::{self, Etcd, Setup};

/// etcd looks every half second for leases that have run out.
const SCAN: Duration = Duration::from_millis(500);

pub(super) fn rows() -> Vec<Row> {
    // The fast setting, one more that is whole in R and T, and the default.
    vec![row::<3>("etcd-3s"), row::<4>("etcd-4s"), row::<9>("etcd-9s")]
}

fn row<const SECONDS: u32>(name: &'static str) -> Row {
    let lease = Duration::from_secs(SECONDS.into());
    let store: NewStore = || Ok(Box::new(EtcdLock::in_shared(SECONDS)?));
    let hangable: NewStore = || Ok(Box::new(EtcdLock::in_own(SECONDS)?));
    Row {
        name,
        program: Program::Helper("ctdb_mutex_etcd_helper"),
        options: Vec::new(),
        bug: None,
        // Each costs 9 ms of CPU time, two thirds of it in etcd; suites/etcd has a crowd of 200.
        takers: 60,
        timing: Timing {
            frozen: lease,
            // One renewal interval and one call.
            reported: lease / 5 + lease / 4,
            stall: lease / 2,
            lease: Some(lease + SCAN),
        },
        store,
        hangable: Some(hangable),
        rival: None,
    }
}

/// A lock under a key of its own.
struct EtcdLock {
    etcd: Arc<Etcd>,
    own_cluster: bool,
    /// Seconds.
    lease: u32,
    key: String,
    /// Who has taken it from its holder.
    thief: RefCell<Option<Locker>>,
}

impl EtcdLock {
    fn in_shared(lease: u32) -> anyhow::Result<Self> {
        Ok(Self::new(etcd::shared()?, false, lease))
    }

    fn in_own(lease: u32) -> anyhow::Result<Self> {
        Ok(Self::new(Arc::new(Etcd::start(Setup::default())?), true, lease))
    }

    fn new(etcd: Arc<Etcd>, own_cluster: bool, lease: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let key = format!("ctdb/lock-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { etcd, own_cluster, lease, key, thief: RefCell::default() }
    }

    fn holder(&self) -> anyhow::Result<Key> {
        self.etcd.holders(&self.key)?.into_iter().next().context("nobody has the lock")
    }

    fn delete_key(&self) -> anyhow::Result<()> {
        self.etcd.etcdctl(&["del", &self.holder()?.name]).map(drop)
    }

    fn revoke_lease(&self) -> anyhow::Result<()> {
        self.etcd.etcdctl(&["lease", "revoke", &format!("{:x}", self.holder()?.lease)]).map(drop)
    }

    /// The key stays, but it goes with another's lease.
    fn give_another_lease(&self) -> anyhow::Result<()> {
        let granted = self.etcd.etcdctl(&["lease", "grant", "60"])?;
        let lease = granted.split_whitespace().nth(1).context("etcdctl lease grant names no lease")?;
        let Key { name, value, .. } = self.holder()?;
        self.etcd.etcdctl(&["put", "--lease", lease, "--", &name, &value]).map(drop)
    }

    /// Who waits in line has the lock at once.
    fn delete_key_before_another(&self) -> anyhow::Result<()> {
        self.thief.replace(Some(self.etcd.etcdctl_lock(&self.key)?));
        self.delete_key()
    }
}

impl Store for EtcdLock {
    fn arguments(&self) -> Vec<OsString> {
        [&self.key, &self.lease.to_string()].map(OsString::from).to_vec()
    }

    fn rival_arguments(&self) -> Vec<OsString> {
        // No row has one.
        self.arguments()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.etcd.environment()
    }

    fn object(&self) -> String {
        self.key.clone()
    }

    fn is_held(&self) -> anyhow::Result<bool> {
        Ok(!self.etcd.holders(&self.key)?.is_empty())
    }

    fn frozen(&self) -> anyhow::Result<Fault<'_>> {
        if !self.own_cluster {
            bail!("a cluster that other cases use cannot be frozen");
        }
        Ok(self.etcd.all_frozen())
    }

    fn takings(&self) -> Vec<Fault<'_>> {
        let end_thief = || {
            self.thief.take();
            Ok(())
        };
        vec![
            Fault::new("key deleted", || self.delete_key(), || Ok(())),
            Fault::new("lease revoked", || self.revoke_lease(), || Ok(())),
            Fault::new("key given another lease", || self.give_another_lease(), || Ok(())),
            Fault::new("key deleted and taken by another", || self.delete_key_before_another(), end_thief),
        ]
    }
}
