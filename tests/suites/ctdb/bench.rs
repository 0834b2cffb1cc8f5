//! The cluster that the trials share, and what has to be true after each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::ensure;
use mutex_tests::services::ctdb::Cluster;
use mutex_tests::times::{Times, table};

use crate::kind::{Kind, Store};
use crate::{NODES, SETTLED};

/// What the trials share.
#[derive(Default)]
pub(crate) struct Bench {
    running: Mutex<Option<(Kind, Running)>>,
    times: Mutex<Vec<(String, Times)>>,
}

/// A cluster and what its lock is in.
pub(crate) struct Running {
    pub(crate) cluster: Cluster,
    // Goes after the cluster.
    pub(crate) store: Store,
}

impl Bench {
    /// Starts the cluster for the trials to come.
    pub(crate) fn start(&self, kind: Kind) -> anyhow::Result<Times> {
        self.end();
        let store = Store::start(kind)?;
        let start = Instant::now();
        let running = Running::start(store)?;
        let took = start.elapsed();
        running.check_alone()?;
        *self.running() = Some((kind, running));
        Ok(Times::from(vec![took]))
    }

    /// Runs a case on the cluster, or on a new one where there is none of that kind.
    pub(crate) fn run(&self, kind: Kind, case: fn(&Running) -> anyhow::Result<Times>) -> anyhow::Result<Times> {
        let mut shared = self.running();
        let running = match shared.take() {
            Some((same, running)) if same == kind => running,
            other => {
                // Not beside the new one.
                drop(other);
                Running::start(Store::start(kind)?)?
            }
        };
        let times = case(&running)?;
        running.cluster.wait_healthy()?;
        running.check_alone()?;
        *shared = Some((kind, running));
        Ok(times)
    }

    /// Ends the cluster, if there is one.
    pub(crate) fn end(&self) {
        self.running().take();
    }

    pub(crate) fn note(&self, name: String, times: Times) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).push((name, times));
    }

    /// The times of all trials so far.
    pub(crate) fn table(&self) -> String {
        let times = std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        let (names, times): (Vec<String>, Vec<Times>) = times.into_iter().unzip();
        let rows: Vec<(&str, Times)> = names.iter().map(String::as_str).zip(times).collect();
        table("from the fault to the new leader", &rows)
    }

    fn running(&self) -> MutexGuard<'_, Option<(Kind, Running)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn start(store: Store) -> anyhow::Result<Self> {
        let cluster = Cluster::start(NODES, &store.cluster_lock()?, &store.environment())?;
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
