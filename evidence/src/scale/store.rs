//! What is asked of a store: locks in it, what it has counted, and what is left in it.

use std::ffi::OsString;
use std::time::Duration;

use super::options::Backend;
use super::{files, keys, objects};

/// How often a holder renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The helper's own default, as CTDB would run it.
    Default,
    /// As fast as its options go.
    Fastest,
}

/// A store with any number of locks, each known by a name. Ends with this value.
pub(super) trait Store: Sync {
    /// What the helper is given to take the lock.
    fn arguments(&self, lock: &str, pace: Pace) -> Vec<OsString>;

    /// The variables by which it finds the store.
    fn environment(&self) -> Vec<(&'static str, OsString)>;

    /// From one renewal to the next.
    fn renew_every(&self, pace: Pace) -> Duration;

    /// How many renewals have reached the store so far, as itself has counted them; plus what else it counts as one, of
    /// which there is nothing while locks are only held.
    fn renewals(&self) -> anyhow::Result<u64>;

    /// What it counts.
    fn counted_by(&self) -> &'static str;

    /// Those of these locks that somebody has, as the store sees it. Within a few seconds: less than a lease.
    fn locked(&self, locks: &[String]) -> anyhow::Result<Vec<String>>;

    /// What else stands in it although nobody holds or wants any of these locks, but for what every lock leaves for good: its
    /// file, or its object.
    fn left(&self, locks: &[String]) -> anyhow::Result<Vec<String>>;
}

/// Starts one.
pub(super) fn start(backend: Backend) -> anyhow::Result<Box<dyn Store>> {
    Ok(match backend {
        Backend::File => Box::new(files::Files::new()?),
        Backend::Rados => Box::new(objects::Objects::new()?),
        Backend::Etcd => Box::new(keys::Keys::new()?),
    })
}

/// The Debian packages whose versions count.
pub(super) const PACKAGES: [&str; 3] = ["fuse3", "ceph-osd", "etcd-server"];
