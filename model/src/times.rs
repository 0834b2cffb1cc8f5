//! The times of the model, in ticks: the same table as `mutex-core/src/timing.rs`, in the smallest whole numbers that
//! keep its order. Only the order matters to a proof: which of two things may come first.

use crate::rules::{Mutation, Rules};

/// Between an event that a thread waits for and the thread's last act upon it this many ticks may pass. The product's
/// margin for scheduling is cut in two by the kill: each half has to be longer than this.
pub const LATE: u8 = 1;

/// What scheduling may cost from the deadline to the lease's end; half of it before the kill, half after.
pub const SCHEDULING: u8 = 4;
/// How long a supervisor waits for its worker's end (0.7 s there).
pub const WAIT_FOR_WORKER: u8 = 3;
/// How long a supervisor that was told of a loss may take to close the pipe (0.3 s there).
pub const CLOSE_AFTER_LOSS: u8 = 2;
/// The same of one whose parent is gone (1 s there).
pub const CLOSE_AFTER_PARENT: u8 = 3;

/// What all other times follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// R: from one renewal's start to the next.
    pub renew: u8,
    /// T: the longest one call may take.
    pub call: u8,
    /// How far the store's clock may be off, both ways: 0 for etcd, more for RADOS.
    pub clock_error: u8,
}

impl Times {
    /// L: as in the product the lease has room for a renewal, a second try and the margin, and here for nothing more.
    #[must_use]
    pub fn lease(self) -> u8 {
        self.renew + 2 * self.call + self.margin()
    }

    /// M.
    #[must_use]
    pub fn margin(self) -> u8 {
        SCHEDULING + self.clock_error
    }

    /// The age from which the store may give the lock to another.
    #[must_use]
    pub fn may_expire(self) -> u8 {
        self.lease() - self.clock_error
    }

    /// The age at which it does.
    #[must_use]
    pub fn must_expire(self) -> u8 {
        self.lease() + self.clock_error
    }

    /// D: how long an answer lets us hold the lock, from just before its request was sent.
    #[must_use]
    pub fn deadline(self, rules: Rules) -> u8 {
        match rules.0 {
            Some(Mutation::NoMargin) => self.lease(),
            Some(Mutation::ClockErrorForgotten) => self.lease() - SCHEDULING,
            _ => self.lease() - self.margin(),
        }
    }

    /// From the deadline to the kill of a supervisor that has not closed the pipe.
    #[must_use]
    pub fn kill_after(self, rules: Rules) -> u8 {
        if rules.has(Mutation::KillAtHalfTheMargin) { self.margin() / 2 } else { SCHEDULING / 2 }
    }

    /// The longest that CTDB may believe in a lock that an admin has broken: where the store answers every call in time,
    /// the call that was applied just before and took all of T (or, if that is longer, the interval after it), the next one, and
    /// keeper and supervisor; else as for an expiry.
    #[must_use]
    pub fn seen_broken(self, answers: bool) -> u8 {
        if answers {
            self.renew.max(self.call) + self.call + 2 * LATE
        } else {
            self.deadline(Rules(None)) + self.kill_after(Rules(None)) + LATE
        }
    }

    /// The longest that a worker may renew a lock which CTDB does not believe in: until it has killed a supervisor that does
    /// not say that the byte is written, and has seen its end.
    #[must_use]
    pub fn alone(self) -> u8 {
        self.deadline(Rules(None)) + self.kill_after(Rules(None)) + 2 * LATE
    }

    /// The longest from the pipe's end to the lock's, where the store answers every call in time and the worker runs: one
    /// call, and supervisor, guard and keeper one after the other.
    #[must_use]
    pub fn released(self) -> u8 {
        self.call + 3 * LATE
    }
}
