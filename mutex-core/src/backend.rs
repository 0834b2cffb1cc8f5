//! The plug: what a store has to be able to do. Storage verbs only; processes and time stay in the core.
//!
//! A backend never sleeps, never reads a clock, never prints and never sees a pipe. It runs in the worker, on one
//! thread, and a call may take as long as the store likes: the core bounds it from outside, by dropping the future. A
//! store of several servers may wait inside a verb, for how long one of them may be silent before it asks the next.
//! A verb may block the thread instead only where the lock goes with the process (`Timing::proof`): then the core
//! ends it from the other process. A store with leases has to be undone by a living worker, so there it must not.
//! Rejected: bool answers (contended, lost and unreachable look alike), default methods (a verb forgotten in
//! silence), a `connect` verb (every verb connects when it has to, so that no order of calls can be wrong).

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

/// A store that can hold the cluster lock.
///
/// Everything that touches the store belongs into these verbs; building the value must not, since that happens
/// in the supervisor, which never talks to a store.
#[allow(async_fn_in_trait)] // One thread runs them: no caller ever needs the futures to be `Send`.
pub trait Backend {
    /// Tries to take the lock for `holder`, once and without waiting for another holder. Where the store keeps words
    /// about a holder as part of the lock, `holder` goes there.
    ///
    /// May be called again after any answer but [`Acquired::Held`], and after a call that was dropped.
    ///
    /// # Errors
    /// A [`Failure`], after which the outcome may be unknown: the core calls [`Backend::release`].
    async fn acquire(&mut self, holder: &Identity) -> Result<Acquired, Failure>;

    /// Writes down who holds the lock, for people. Called once, after CTDB was told.
    ///
    /// # Errors
    /// Only ever a line at `-v`: the lock is held all the same.
    async fn announce(&mut self, holder: &Identity) -> Result<(), Failure>;

    /// Prolongs the lock, or proves that it is still ours. Must never take it again.
    ///
    /// # Errors
    /// A [`Failure`] of either kind means "don't know": the core tries again until the deadline.
    async fn renew(&mut self) -> Result<Renewed, Failure>;

    /// Gives back what is provably ours, and undoes a try whose outcome is unknown. Nothing to give back is no error.
    ///
    /// # Errors
    /// A [`Failure`] means "don't know": the core tries again for as long as the lock could outlive us.
    async fn release(&mut self) -> Result<(), Failure>;

    /// Says who holds the lock and which store this is. Takes nothing and changes nothing.
    ///
    /// # Errors
    /// A [`Failure`], as for a try.
    async fn holder(&mut self) -> Result<HolderReport, Failure>;

    /// Takes the lock away from the holding that this [`HolderReport::token`] names, and from no other: who has it by now,
    /// or had it before, keeps it. The token comes from outside, and may be hostile.
    ///
    /// Called again after a call that was dropped, whose outcome is unknown: [`Broken::NotHeld`] only where no request of
    /// ours can have done it.
    ///
    /// # Errors
    /// A [`Failure`], as for a try. Permanent too where the store has no way to do it, and where the token is none of this
    /// lock's.
    async fn break_lock(&mut self, token: &str) -> Result<Broken, Failure>;

    /// Asks the store one thing that it can only answer when it works. Takes nothing and changes nothing.
    /// The text says what answered.
    ///
    /// # Errors
    /// A [`Failure`], as for a try.
    async fn health(&mut self) -> Result<String, Failure>;

    /// What to say of a call that has no answer: which part of the store it is that keeps silent.
    fn silence(&self) -> Trouble;
}

/// The store's answer to a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The lock is ours. With the lease where the store has named one; `None`: as asked for, or no lease.
    Held(Option<Duration>),
    /// Another holds it, and nothing of ours is left in the store.
    Contended,
}

/// The store's answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// Still ours. With the lease where the store has named one; `None`: as before.
    Kept(Option<Duration>),
    /// No longer ours, and why.
    Lost(String),
}

/// The store's answer to a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// That holding is no more. What was done, and what is left to do, for people.
    Done(String),
    /// That holding is not there any more, and nothing was done. Another may have the lock.
    NotHeld,
}

/// A call that brought no answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Waiting cannot cure it (bad argument, refused credentials, missing directory): status `3` at once.
    Permanent(Trouble),
    /// Waiting may cure it (store down, frozen, electing): tried again until the acquire timeout, then `2`.
    Transient(Trouble),
}

impl Failure {
    /// A failure that waiting cannot cure.
    pub fn permanent(operation: &str, cause: impl ToString, remedy: &str) -> Self {
        Self::Permanent(Trouble::new(operation, cause, remedy))
    }

    /// A failure that waiting may cure.
    pub fn transient(operation: &str, cause: impl ToString, remedy: &str) -> Self {
        Self::Transient(Trouble::new(operation, cause, remedy))
    }

    /// What went wrong, of either kind.
    pub fn trouble(&self) -> &Trouble {
        match self {
            Self::Permanent(trouble) | Self::Transient(trouble) => trouble,
        }
    }
}

/// What went wrong, in the three parts that an admin needs beside the object, which the core adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was tried, as it reads after "cannot": `open`, `lock`.
    pub operation: String,
    /// What came back.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl Trouble {
    /// From its three parts.
    pub fn new(operation: &str, cause: impl ToString, remedy: &str) -> Self {
        Self { operation: operation.to_owned(), cause: cause.to_string(), remedy: remedy.to_owned() }
    }

    /// The one line for `object`: operation, object, cause, what to do.
    pub fn line(&self, object: &str) -> String {
        format!("cannot {} {object}: {}; {}", self.operation, self.cause, self.remedy)
    }
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// This host's name.
    pub host: String,
    /// The process that CTDB started: the one to send SIGTERM to.
    pub pid: u32,
    /// The process that talks to the store.
    pub worker_pid: u32,
    /// When the try for the lock was made.
    pub since: SystemTime,
}

impl Identity {
    /// [`Identity::since`] for people and files: UTC, RFC 3339, to the second.
    pub fn since_rfc3339(&self) -> String {
        humantime::format_rfc3339_seconds(self.since).to_string()
    }
}

/// Who holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderState {
    /// Nobody.
    Free,
    /// Somebody; what is known of them stands in [`HolderReport::holder`].
    Held,
    /// The store has no way to tell without taking the lock.
    Unknown,
}

/// The answer of [`Backend::holder`].
///
/// Keys are lower case with underscores; values are for people and machines alike, and may be hostile: the core
/// escapes them.
#[derive(Clone, Debug)]
pub struct HolderReport {
    /// Whether the lock is held.
    pub state: HolderState,
    /// What is known of the holder: `host`, `pid`, `since` and what the store adds.
    pub holder: Map<String, Value>,
    /// What names exactly this holding, for [`Backend::break_lock`] ([`crate::token`]); `None` where nothing can.
    pub token: Option<String>,
    /// Which store this is, so that two nodes that point at different ones are seen.
    pub store: Map<String, Value>,
}
