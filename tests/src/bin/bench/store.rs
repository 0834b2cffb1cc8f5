//! Where two helpers are compared: the locks that they are started on.

use std::ffi::OsString;

/// Asks whether nobody has a lock.
pub(crate) type Probe = Box<dyn Fn() -> anyhow::Result<bool>>;

/// The lock that every store has from the start, and that nobody gives back. For both helpers its holder is the same,
/// and no process that could disturb them.
pub(crate) const BUSY: &str = "busy";

/// A store with locks, each known by a name.
pub(crate) trait Store {
    /// Makes a lock that nobody has.
    fn add(&self, lock: &str) -> anyhow::Result<()>;

    /// What a helper is given to take the lock: ours the same as theirs.
    fn arguments(&self, lock: &str) -> Vec<OsString>;

    /// The variables by which both find the store.
    fn environment(&self) -> Vec<(&'static str, OsString)>;

    /// `None` where to ask takes longer than what is to be measured.
    fn probe(&self, lock: &str) -> anyhow::Result<Option<Probe>>;
}
