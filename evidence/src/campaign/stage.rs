//! A stage: one backend's store, its nodes, and what can be done to them. All that the campaign knows of a backend.
//!
//! The campaign owns what is the same everywhere: parents, helpers and what is done to their processes, the schedule, the
//! checker. A stage owns the store's members and the network, and answers for them alone. Adding a backend is one type
//! that implements [`Stage`], and one row in [`super::backends`].
//!
//! A stage lives in one thread, which makes it, uses it and ends it; several stages run side by side in a thread each.
//! So nothing here has to be `Sync`, and a `Cell` will do for state.
//!
//! Rejected: a list of [`Fault`]s that exist from the beginning. The leader or the holder that a fault is to hit is known
//! only when it comes.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mutex_tests::fault::Fault;
use mutex_tests::services::network::Inside;

/// What is promised on a backend, and under which faults.
pub struct Terms {
    /// The times of the lock.
    pub times: Times,
    /// What can be done to the store beyond the [common kinds](super::kind::COMMON), always the same and in the same order: the
    /// schedule is drawn from it.
    pub kinds: &'static [Kind],
    /// By how long two beliefs may overlap after a common kind, where this backend does not promise that they never do.
    /// `None` nearly always: only a file's worker that is killed is such a case, where the kernel frees the lock first.
    pub excuse: fn(&Kind) -> Option<Duration>,
    /// The same after a common kind that comes while a fault of another kind, one of `kinds`, is there: a kind of its own for
    /// the table. `None` but for a file's worker that is killed while its file system keeps its answers back.
    pub excuse_beside: fn(&Kind, &Kind) -> Option<Duration>,
}

impl Terms {
    /// Those of a lock with a lease: nothing is excused.
    #[must_use]
    pub fn of_lease(times: Times, kinds: &'static [Kind]) -> Self {
        Self { times, kinds, excuse: |_| None, excuse_beside: |_, _| None }
    }
}

/// A store with its members and nodes, set up and healthy. Everything it started ends with it, also in the midst of
/// faults.
pub trait Stage {
    /// `etcd`, `rados` or `file`: as on the command line and in the table.
    fn backend(&self) -> &'static str;

    /// What is promised on it.
    fn terms(&self) -> Terms;

    /// The times of the lock that [`Stage::call`] names.
    fn times(&self) -> Times {
        self.terms().times
    }

    /// How many nodes there are, 3 to 9: hosts with a network namespace each, on which nothing runs yet.
    fn nodes(&self) -> usize;

    /// How many members the store has; 1 for a store that is a single server.
    fn members(&self) -> usize;

    /// Puts this thread, and what it starts, on a node's host until the returned value ends.
    ///
    /// # Errors
    /// Where the thread may not.
    fn enter(&self, node: usize) -> anyhow::Result<Inside>;

    /// How a helper is called on a node; `None` where there is no such subject for this backend. All nodes take the same
    /// lock.
    ///
    /// # Errors
    /// Where the program is not there; names the package.
    fn call(&self, subject: Subject, node: usize) -> anyhow::Result<Option<Call>>;

    /// The fault of this kind, one of [`Terms::kinds`], about to be injected.
    ///
    /// The campaign injects it and heals it later, with other faults in between: several may hit one member or node at
    /// once, also of one kind. So what a fault does must be counted ([`Counted`](super::member::Counted)), and healing one must
    /// not heal
    /// another. Neither may wait for the store: a start is begun, not waited for; 0.1 s is much.
    ///
    /// A fault that finds nothing to hit when it is injected (nobody holds the lock that it is to break) says so by the
    /// error [`NothingToHit`]: then it is tried again later. Any other error ends the campaign.
    ///
    /// # Errors
    /// Where this stage has no such kind.
    fn fault(&self, blow: &Blow) -> anyhow::Result<Fault<'_>>;

    /// Whom a fault of this stage hits, for people: `node 2`, `member 0`; nothing where the kind says it all.
    fn whom(&self, _blow: &Blow) -> String {
        String::new()
    }

    /// The node that a fault of this stage hits, where it hits one and no other: what is excused for it is excused for that
    /// node alone. `None` also where the store chooses whom, as where the lock of whoever holds it is broken.
    fn hits(&self, _blow: &Blow) -> Option<usize> {
        None
    }

    /// Whether the store serves requests now. Asked in the quiet between rounds alone, every tenth of a second or so; an
    /// answer may take a second or two. What does not answer is not healthy, not an error.
    fn is_healthy(&self) -> bool;
}

/// The times of one lock. DESIGN 4 derives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// L: how long the store keeps a lock that nobody renews. File: RECHECK + PING-TIMEOUT, within which EOF comes when
    /// the file system hangs.
    pub lease: Duration,
    /// R: from one renewal, or proof, to the next.
    pub renew: Duration,
    /// T: the longest that one call may take.
    pub call: Duration,
    /// M: between EOF and the end of the lease. File: zero.
    pub margin: Duration,
    /// From a healthy store until the lock of a node that is gone is free: the lease, and what the store adds until it
    /// notices.
    pub free: Duration,
}

impl Times {
    /// The times of a lock with a lease.
    #[must_use]
    pub fn of_lease(lease: Duration, margin: Duration, notice: Duration) -> Self {
        Self { lease, renew: lease / 5, call: lease / 4, margin, free: lease + notice }
    }

    /// D: after the last good renewal was sent, until the pipe is closed.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.lease.saturating_sub(self.margin)
    }

    /// P2b: the longest belief after the lock was taken away, where the store answers.
    #[must_use]
    pub fn taken_away(&self) -> Duration {
        self.renew + self.call
    }
}

/// Whose helper is under trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The helper of this suite.
    Ours,
    /// What the distribution has for this store.
    Distribution,
    /// One that is wrong on purpose: the campaign must catch it.
    Unsafe,
}

/// A helper's command line. Executed as CTDB does it: an absolute path, no shell.
#[derive(Clone, Debug)]
pub struct Call {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What it has in its environment beyond the campaign's own.
    pub environment: Vec<(OsString, OsString)>,
}

/// A kind of fault: a row of the table, and a rule by which faults of it are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What happens, as the table says it; no other kind's name.
    pub name: &'static str,
    /// For how long.
    pub span: Span,
    /// Whether beliefs may overlap, and in which table.
    pub table: Table,
}

/// For how long faults of a kind last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Around half a lease, a little less or more: what has to be ridden out, and what need not be.
    HalfLease,
    /// Around a lease: until just before EOF has to come, or until just after the lock went to another.
    Lease,
    /// Anything from a tenth of a lease to two.
    Mixed,
    /// What it leaves behind is put right again after a time without meaning: a killed parent is started anew.
    Moment,
}

/// What is promised under a kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// No two nodes hold at once: an overlap is a violation.
    Promised,
    /// Two nodes may believe at once for a bounded time, which is measured. Such a fault comes alone, so that the overlap
    /// is its own, and is within R + T ([`Times::taken_away`]), else a promise (P2b) is broken.
    OwnTable,
    /// The same of what nobody promises anything for, a clock beyond the allowance say: measured beside R + T, and no
    /// more.
    Unpromised,
}

impl Table {
    /// Whether faults of it come alone, and beliefs may overlap after them.
    #[must_use]
    pub fn is_own(self) -> bool {
        self != Self::Promised
    }
}

/// One fault, drawn from the seed and resolved when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blow {
    /// Its kind.
    pub kind: Kind,
    /// The node that it hits, mostly the holder's, where the kind is one that hits a node; else the node about which it is,
    /// which a stage may pass over.
    pub node: usize,
    /// The member that it hits, less than [`Stage::members`], where the kind is one that hits a member by its number.
    pub member: usize,
    /// What else a stage may want to draw: take bits from it.
    pub dice: u64,
    /// How long it will last, for faults that must know beforehand.
    pub lasts: Duration,
}

/// The error of a fault that finds nothing to hit, and has done nothing.
#[derive(Clone, Copy, Debug)]
pub struct NothingToHit;

impl fmt::Display for NothingToHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is nothing to hit")
    }
}

impl std::error::Error for NothingToHit {}
