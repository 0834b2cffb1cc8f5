//! The rows of `ctdb_mutex_rados_helper`, and the lock in an object of a Ceph pool as their store.
//!
//! Every bench has an object of its own, in the one cluster that a test process shares. Where the store is to be frozen
//! it has a cluster of its own, without a manager, which a lock does not need.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};

use super::{NewStore, Program, Rival, Row, Store, Timing};
use crate::fault::Fault;
use crate::services::ceph::lock::{self, LockInfo};
use crate::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL, Setup};

/// What tells the two rows apart.
#[derive(Clone, Copy)]
struct Kind {
    /// Seconds.
    lease: u32,
    namespace: Option<&'static str>,
}

/// The shortest lease, in the default namespace: as Samba's helper takes it, which knows no other.
const FAST: Kind = Kind { lease: 4, namespace: None };
/// The default lease.
const DEFAULT: Kind = Kind { lease: 9, namespace: Some("ctdb") };

pub(super) fn rows() -> Vec<Row> {
    let rival = Rival { program: "/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", package: "ctdb" };
    let fast: [NewStore; 2] = [|| Ok(Box::new(RadosLock::in_shared(FAST)?)), || Ok(Box::new(RadosLock::in_own(FAST)?))];
    let default: [NewStore; 2] =
        [|| Ok(Box::new(RadosLock::in_shared(DEFAULT)?)), || Ok(Box::new(RadosLock::in_own(DEFAULT)?))];
    vec![row("rados-4s", FAST, fast, Some(rival)), row("rados-9s", DEFAULT, default, None)]
}

fn row(name: &'static str, kind: Kind, [store, hangable]: [NewStore; 2], rival: Option<Rival>) -> Row {
    let lease = Duration::from_secs(kind.lease.into());
    Row {
        name,
        program: Program::Helper("ctdb_mutex_rados_helper"),
        options: Vec::new(),
        bug: None,
        // Each costs 25 ms of CPU time, most of it in librados.
        takers: 40,
        timing: Timing {
            frozen: lease,
            // One renewal interval and one call.
            reported: lease / 5 + lease / 4,
            stall: lease / 2,
            lease: Some(lease),
        },
        store,
        hangable: Some(hangable),
        rival,
    }
}

/// A lock in an object of its own.
struct RadosLock {
    ceph: Arc<Ceph>,
    own_cluster: bool,
    kind: Kind,
    object: String,
}

impl RadosLock {
    fn in_shared(kind: Kind) -> anyhow::Result<Self> {
        Ok(Self::new(ceph::shared()?, false, kind))
    }

    fn in_own(kind: Kind) -> anyhow::Result<Self> {
        Ok(Self::new(Arc::new(Ceph::start(Setup { mgr: false, min_size: 2 })?), true, kind))
    }

    fn new(ceph: Arc<Ceph>, own_cluster: bool, kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let object = format!("lock-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { ceph, own_cluster, kind, object }
    }

    fn holder(&self) -> anyhow::Result<Option<LockInfo>> {
        self.ceph.lock_info(self.kind.namespace, &self.object)
    }

    fn someone(&self) -> anyhow::Result<LockInfo> {
        self.holder()?.context("nobody has the lock")
    }

    fn rados(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let all = [&ceph::in_pool(self.kind.namespace), arguments].concat();
        self.ceph.rados(&all).map(drop)
    }

    fn break_lock(&self) -> anyhow::Result<()> {
        let LockInfo { client, cookie, .. } = self.someone()?;
        self.rados(&["lock", "break", &self.object, lock::NAME, &client, "--lock-cookie", &cookie])
    }

    fn take_as_another(&self) -> anyhow::Result<()> {
        let how = ["--lock-cookie", "another", "--lock-type", "exclusive"];
        self.rados(&[&["lock", "get", &self.object, lock::NAME], &how[..]].concat())
    }

    fn blocklist_holder(&self) -> anyhow::Result<()> {
        self.ceph.ceph(&["osd", "blocklist", "add", &self.someone()?.address]).map(drop)
    }
}

impl Store for RadosLock {
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = self.rival_arguments();
        arguments.extend(self.kind.namespace.iter().flat_map(|name| ["-n", name]).map(OsString::from));
        arguments
    }

    fn rival_arguments(&self) -> Vec<OsString> {
        ["ceph", ADMIN, POOL, &self.object, &self.kind.lease.to_string()].map(OsString::from).to_vec()
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![(CONF_VARIABLE, self.ceph.conf().into())]
    }

    fn object(&self) -> String {
        match self.kind.namespace {
            Some(namespace) => format!("{POOL}/{namespace}/{}", self.object),
            None => format!("{POOL}/{}", self.object),
        }
    }

    fn is_held(&self) -> anyhow::Result<bool> {
        Ok(self.holder()?.is_some())
    }

    fn frozen(&self) -> anyhow::Result<Fault<'_>> {
        if !self.own_cluster {
            bail!("a cluster that other cases use cannot be frozen");
        }
        Ok(self.ceph.osds_frozen())
    }

    fn takings(&self) -> Vec<Fault<'_>> {
        let both = || {
            self.break_lock()?;
            self.take_as_another()
        };
        vec![
            Fault::new("lock broken", || self.break_lock(), || Ok(())),
            Fault::new("object removed", || self.rados(&["rm", &self.object]), || Ok(())),
            Fault::new("lock broken and taken by another", both, || Ok(())),
            Fault::new("client blocklisted", || self.blocklist_holder(), || Ok(())),
        ]
    }
}
