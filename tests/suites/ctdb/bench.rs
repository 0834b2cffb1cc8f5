//! The cluster that the trials share, and what has to be true after each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::ensure;
use mutex_tests::lanes::Place;
use mutex_tests::services::ctdb::{Cluster, Setup};
use mutex_tests::times::{Times, table};

use crate::kind::{Kind, Store};
use crate::{NODES, SETTLED};

/// What the trials of one kind share.
pub(crate) struct Bench {
    kind: Kind,
    running: Mutex<Option<Running>>,
}

/// A cluster and what its lock is in.
pub(crate) struct Running {
    pub(crate) cluster: Cluster,
    // Goes after the cluster.
    pub(crate) store: Store,
}

/// What all trials have measured.
#[derive(Default)]
pub(crate) struct Notes(Mutex<BTreeMap<Place, (String, Times)>>);

impl Bench {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, running: Mutex::default() }
    }

    /// Starts the cluster for the trials to come.
    pub(crate) fn start(&self) -> anyhow::Result<Times> {
        let store = Store::start(self.kind)?;
        let start = Instant::now();
        let running = Running::start(self.kind, store)?;
        let took = start.elapsed();
        running.check_alone()?;
        *self.running() = Some(running);
        Ok(Times::from(vec![took]))
    }

    /// Runs a case on the cluster, or on a new one where there is none.
    pub(crate) fn run(&self, case: fn(&Running) -> anyhow::Result<Times>) -> anyhow::Result<Times> {
        let mut shared = self.running();
        let running = match shared.take() {
            Some(running) => running,
            None => Running::start(self.kind, Store::start(self.kind)?)?,
        };
        let times = case(&running)?;
        running.cluster.wait_healthy()?;
        running.check_alone()?;
        *shared = Some(running);
        Ok(times)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    pub(crate) fn add(&self, place: Place, name: String, times: Times) {
        self.all().insert(place, (name, times));
    }

    /// As a table, in the order of the list of trials.
    pub(crate) fn table(&self) -> String {
        let (names, times): (Vec<String>, Vec<Times>) = std::mem::take(&mut *self.all()).into_values().unzip();
        let rows: Vec<(&str, Times)> = names.iter().map(String::as_str).zip(times).collect();
        table("from the fault to the new leader", &rows)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Place, (String, Times)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn start(kind: Kind, store: Store) -> anyhow::Result<Self> {
        let setup = Setup {
            size: NODES,
            lock: store.cluster_lock()?,
            environment: store.environment(),
            common: store.common(),
            root: None,
            monitor_interval: kind.monitor_interval(),
            hosts: Vec::new(),
        };
        let cluster = Cluster::start(&setup)?;
        Ok(Self { cluster, store })
    }

    /// Only the leader's node has processes of a helper, the lock is where it should be, and never had two nodes the lock.
    pub(crate) fn check_alone(&self) -> anyhow::Result<()> {
        self.cluster.wait_one_holder(SETTLED)?;
        ensure!(self.store.has_lock()?, "a leader, and no lock in the store");
        let clashes = self.cluster.watcher()?.clashes();
        ensure!(clashes.is_empty(), "{}", clashes.join("\n"));
        Ok(())
    }
}
