//! What there is at one moment. Times are counted down to zero or up from it, tick by tick, so that a run that comes back
//! to where it was is the same state again, however long it lasted.

use crate::keeper::Keeper;
use crate::supervisor;

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Whose lock it is.
    pub store: Store,
    /// What is still under way to the store, and nobody waits for.
    pub late: Late,
    /// The pipe to CTDB.
    pub pipe: Pipe,
    /// Whether the process lives that reads the pipe.
    pub parent: bool,
    /// The process that CTDB started.
    pub supervisor: Supervisor,
    /// The process that talks to the store.
    pub worker: Worker,
    /// How many faults may still come.
    pub faults: u8,
    /// What the properties ask about the past.
    pub seen: Seen,
}

/// The store's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Store {
    /// Nobody's or another's, as the adversary likes: who waits for it has it the moment it is not ours.
    NotOurs,
    /// Ours, since so many ticks after the last request that was applied.
    Ours(u8),
}

/// Requests whose sender has given up or is dead: applied at any later time, or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Late {
    /// A try.
    pub acquire: bool,
    /// A renewal. One at most: where another is given up, the older one is lost.
    pub renewal: bool,
    /// A release.
    pub release: bool,
    /// The answer to a renewal. Nobody hears it, except with [`crate::rules::Mutation::LateAnswerCounts`].
    pub answer: bool,
}

/// The pipe as CTDB sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pipe {
    /// What was written: `0`, or any of the others.
    pub byte: Option<Byte>,
    /// Whether a second byte was written.
    pub second: bool,
    /// Whether the writer's end is open.
    pub open: bool,
}

/// A byte for CTDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Byte {
    /// `0`.
    Held,
    /// `1`, `2` or `3`.
    NotHeld,
}

impl Pipe {
    /// Writes a byte.
    pub fn write(&mut self, byte: Byte) {
        self.second |= self.byte.is_some();
        self.byte = self.byte.or(Some(byte));
    }
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It runs.
    Running,
    /// SIGSTOP.
    Stopped,
    /// It has ended, and the kernel has closed what it had open.
    Dead,
}

/// The supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Supervisor {
    /// How it is.
    pub life: Life,
    /// For how long it has left undone what it has to do.
    pub late: u8,
    /// How far it has come.
    pub phase: supervisor::Phase,
    /// A SIGTERM that it has not read.
    pub signal: bool,
    /// Reports that it has not read.
    pub inbox: Reports,
}

/// The worker: two threads that share a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// How it is.
    pub life: Life,
    /// For how long the guard has left undone what it has to do.
    pub guard_late: u8,
    /// The same of the keeper.
    pub keeper_late: u8,
    /// The thread that watches the supervisor.
    pub guard: Guard,
    /// The thread that calls the store.
    pub keeper: Keeper,
    /// What both share.
    pub watch: Watch,
    /// Orders that the guard has not read.
    pub inbox: Orders,
}

/// How far the guard has come. A number is what is left of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// The supervisor lives, and the pipe is open.
    Guarding,
    /// The parent is gone: the supervisor has so long to close the pipe.
    Orphaned(u8),
    /// The pipe is closed: the keeper has so long to release.
    Releasing(u8),
}

/// What keeper and guard share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Watch {
    /// The time to the kill, by the newest report.
    pub newest: Option<u8>,
    /// The time to the kill of a supervisor that has not said that the byte is written.
    pub unacknowledged: Option<u8>,
    /// The order to release has come.
    pub release: bool,
}

/// Reports under way in the socket. They are read all at once and the newest time counts, so they need no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reports {
    /// Ours, for so long.
    pub until: Option<u8>,
    /// Lost.
    pub lost: bool,
    /// Another has it; the worker is done.
    pub contended: bool,
    /// The order to release has been read.
    pub releasing: bool,
}

impl Reports {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Orders under way in the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Orders {
    /// CTDB has been told.
    pub byte_written: bool,
    /// The pipe is closed: release.
    pub release: bool,
}

/// The past, as far as a property asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// For how long the keeper has held the lock while CTDB did not believe so, and the worker ran: since the lock was
    /// taken, or since the pipe ended.
    pub alone: u8,
    /// It sent a renewal after more of that than may be.
    pub renewed_alone: bool,
    /// For how long the lock has been ours after the pipe's end; counted where the store answers every call.
    pub kept: u8,
    /// For how long CTDB has believed in a lock that an admin broke.
    pub broken: Option<u8>,
    /// A renewal took a lock that was not ours.
    pub taken_again: bool,
    /// A release was sent while CTDB believed.
    pub theft: bool,
    /// The supervisor gave up before the deadline, and nothing had happened but delays.
    pub gave_up_early: bool,
    /// The worker ended of its own will, and left a lock or a try behind.
    pub left_behind: bool,
}

impl State {
    /// The start: two processes, nothing asked yet.
    #[must_use]
    pub fn start(faults: u8) -> Self {
        Self {
            store: Store::NotOurs,
            late: Late::default(),
            pipe: Pipe { byte: None, second: false, open: true },
            parent: true,
            supervisor: Supervisor {
                life: Life::Running,
                late: 0,
                phase: supervisor::Phase::Trying,
                signal: false,
                inbox: Reports::default(),
            },
            worker: Worker {
                life: Life::Running,
                guard_late: 0,
                keeper_late: 0,
                guard: Guard::Guarding,
                keeper: Keeper::Trying(None),
                watch: Watch::default(),
                inbox: Orders::default(),
            },
            faults,
            seen: Seen::default(),
        }
    }

    /// Whether CTDB believes that its node holds the lock: from the byte to the end of the pipe. It reads at once; what it
    /// does later than that is no matter of the helper's.
    #[must_use]
    pub fn believes(&self) -> bool {
        self.can_believe() && self.pipe.byte == Some(Byte::Held)
    }

    /// Whether CTDB is there and the pipe is open.
    #[must_use]
    pub fn can_believe(&self) -> bool {
        self.pipe.open && self.parent
    }

    /// Whether the store has the lock for us.
    #[must_use]
    pub fn ours(&self) -> bool {
        matches!(self.store, Store::Ours(_))
    }

    /// The supervisor's end, whatever ended it: the kernel closes its pipe and its socket.
    pub fn supervisor_ends(&mut self) {
        self.pipe.open = false;
        self.supervisor = Supervisor {
            life: Life::Dead,
            late: 0,
            phase: supervisor::Phase::Ended,
            signal: false,
            inbox: Reports::default(),
        };
    }

    /// The worker's end, whatever ended it: what it has asked for stays under way, what it has said can still be read.
    pub fn worker_ends(&mut self) {
        self.give_up_call();
        self.worker = Worker {
            life: Life::Dead,
            guard_late: 0,
            keeper_late: 0,
            guard: Guard::Guarding,
            keeper: Keeper::Ended,
            watch: Watch::default(),
            inbox: Orders::default(),
        };
    }
}
