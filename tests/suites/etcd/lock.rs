//! A lock of a case's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::accounts::PREFIX;
use mutex_tests::services::etcd::keys::Key;
use mutex_tests::services::etcd::{self, Etcd, Setup};
use mutex_tests::wait::wait_for;

/// The key of a lock, and the cluster it is in.
pub(crate) struct Lock {
    pub(crate) etcd: Arc<Etcd>,
    pub(crate) key: String,
}

impl Lock {
    /// A lock that nobody has had, where any user may take it.
    pub(crate) fn on(etcd: Arc<Etcd>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Self { etcd, key: format!("{PREFIX}ctdb-{}", NUMBER.fetch_add(1, Ordering::Relaxed)) }
    }

    /// On the cluster that all share: a plain one.
    pub(crate) fn shared() -> anyhow::Result<Self> {
        Ok(Self::on(etcd::shared()?))
    }

    /// On a plain cluster that the case may harm.
    pub(crate) fn alone() -> anyhow::Result<Self> {
        Self::with(Setup::default())
    }

    /// On a cluster of its own that is like this.
    pub(crate) fn with(setup: Setup) -> anyhow::Result<Self> {
        Ok(Self::on(Arc::new(Etcd::start(setup)?)))
    }

    /// Another lock on the same cluster.
    pub(crate) fn another(&self) -> Self {
        Self::on(Arc::clone(&self.etcd))
    }

    /// The helper about to be started by whoever may do everything, with `options` after the key. The environment leads
    /// to all members.
    pub(crate) fn helper(&self, options: &[&str]) -> anyhow::Result<Launch> {
        let launch = helper(&[&self.key])?.args(options);
        Ok(self.etcd.environment().into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
    }

    /// A helper that holds it.
    pub(crate) fn holder(&self, options: &[&str]) -> anyhow::Result<Helper> {
        let holder = self.helper(options)?.start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        Ok(holder)
    }

    /// Who is in line for it, the holder first, as an admin sees it.
    pub(crate) fn line(&self) -> anyhow::Result<Vec<Key>> {
        self.etcd.holders(&self.key)
    }

    pub(crate) fn is_held(&self) -> anyhow::Result<bool> {
        Ok(!self.line()?.is_empty())
    }

    pub(crate) fn wait_free(&self, limit: Duration) -> anyhow::Result<()> {
        let free = || self.is_held().is_ok_and(|held| !held).then_some(());
        wait_for(&format!("{} to be free", self.key), limit, free).map(drop)
    }
}

/// The helper about to be started, in an environment that leads to no cluster.
pub(crate) fn helper(arguments: &[&str]) -> anyhow::Result<Launch> {
    Ok(Launch::new(programs::helper("ctdb_mutex_etcd_helper")?, arguments))
}
