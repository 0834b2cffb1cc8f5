//! Where two programs are compared: the locks that they are started on.

use std::ffi::OsString;

/// Asks whether nobody has a lock.
pub(crate) type Probe = Box<dyn Fn() -> anyhow::Result<bool>>;

/// The name of the lock that nobody gives back.
pub(crate) const BUSY: &str = "busy";

/// A store with locks, each known by a name.
pub(crate) trait Store {
    /// Makes a lock that nobody has.
    fn add(&self, lock: &str) -> anyhow::Result<()>;

    /// [`BUSY`], which it has from the start: for both programs its holder is the same, and no process that could disturb
    /// them. `None` where theirs would wait for it.
    fn busy(&self) -> Option<&'static str>;

    /// What our helper is given to take the lock.
    fn arguments(&self, lock: &str) -> Vec<OsString>;

    /// What theirs is given to take the same lock in the same way.
    fn their_arguments(&self, lock: &str) -> Vec<OsString>;

    /// The variables by which both find the store.
    fn environment(&self) -> Vec<(&'static str, OsString)>;

    /// `None` where to ask takes longer than what is to be measured.
    fn probe(&self, lock: &str) -> anyhow::Result<Option<Probe>>;
}
