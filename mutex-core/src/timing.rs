//! When to renew, how long a call may take, when to give up: everything derives from one base number, here.
//!
//! For a **lease** L (RADOS, etcd), with S = 200 ms for scheduling, E for what the store's clock may be off, and M = S + E:
//!
//! ```text
//! 0            the request is sent; the lease's age counts from here
//! R = L/5      the next renewal is sent; it may take T = L/4, then it is dropped and tried again
//! D = L - M    no renewal was answered: the supervisor closes the pipe, CTDB sees the end
//! D + S/2      the supervisor has not closed it: the worker kills the supervisor, which closes it
//! L - E        a store whose clock is off as far as it may be gives the lock to another
//! L            any other store may
//! ```
//!
//! The kill does not wait for half of M: what the clock may be off is the store's, and nobody here may spend it.
//!
//! Two calls must fit between the first renewal and the end: R + 2T <= D, or the lease is refused.
//!
//! For a store without leases (**proofs**, files) the same table with L = the start of a proof + PING-TIMEOUT:
//! the lock goes with the worker's process, so a late answer needs no undoing, and a store that hangs is only
//! noticed by the proof that has no answer. M = S.
//!
//! For a lock **without expiry** (RADOS with lease 0) there is no deadline once the first renewal has made it so: a store
//! that hangs gives it to nobody else.
//! It is verified in the rhythm of the lease with which it was tried. Nobody notices a worker of it that is stopped, so
//! a lock that an admin breaks behind such a worker is lost without a word.
//!
//! With a **grace** N (`--grace-milliseconds`, for a reader that has more to end than CTDB has) D, and with it D + S/2,
//! comes N earlier, and the lock is given back N after the pipe's end, or at a second signal: the reader has that long to
//! end before the lease does. What a store may stall for (P3) shrinks by N: R + 2T <= D - N, or the grace is refused.

use std::fmt;
use std::time::Duration;

use crate::clock::BootTime;

/// What scheduling may cost between a deadline and the close that it asks for.
const SCHEDULING_MARGIN: Duration = Duration::from_millis(200);
/// A failed renewal is tried again after a quarter of the interval, but neither in a storm nor too late to matter.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// No file system can promise to answer a proof faster.
const PING_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// How long a worker whose lock goes with its process may take to let go in good order.
const LINGER_WITHOUT_LEASE: Duration = Duration::from_millis(500);
/// How long a worker stays to release a lock that nothing else will ever free but an admin: until the store is mended.
const LINGER_WITHOUT_EXPIRY: Duration = Duration::from_secs(3600);

/// The times of one lock, all derived from one base number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    kind: Kind,
    /// R: from one renewal's start to the next.
    renew_every: Duration,
    /// T: the longest one call may take.
    call: Duration,
    /// M: from the close of the pipe to the end of the lease, beside the grace.
    margin: Duration,
    /// N: from the end of the pipe until the lock may go.
    grace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lease {
        lease: Duration,
        store_clock_error: Duration,
    },
    Proof,
    /// A try is made with this lease, and what is held has none.
    NoExpiry {
        try_lease: Duration,
    },
}

impl Timing {
    /// For a store that forgets the lock `lease` after its last renewal, by a clock that may be off by
    /// `store_clock_error`.
    ///
    /// # Errors
    /// Where the lease leaves no room for a renewal and a second try.
    pub fn lease(lease: Duration, store_clock_error: Duration) -> Result<Self, TimingError> {
        let timing = Self {
            kind: Kind::Lease { lease, store_clock_error },
            renew_every: lease / 5,
            call: lease / 4,
            margin: SCHEDULING_MARGIN.saturating_add(store_clock_error),
            grace: Duration::ZERO,
        };
        let needed = (timing.renew_every + 2 * timing.call).saturating_add(timing.margin);
        if needed > lease || needed == Duration::MAX {
            return Err(TimingError::LeaseTooShort { lease, needed });
        }
        Ok(timing)
    }

    /// For a store without leases: a proof that the lock is still ours every `recheck` (zero: no proofs), lost when
    /// it has not answered `ping_timeout` after its start.
    ///
    /// # Errors
    /// Where `ping_timeout` is shorter than a second, which no file system can promise.
    pub fn proof(recheck: Duration, ping_timeout: Duration) -> Result<Self, TimingError> {
        if ping_timeout < PING_TIMEOUT_MIN {
            return Err(TimingError::PingTimeoutTooShort { ping_timeout, minimum: PING_TIMEOUT_MIN });
        }
        let (kind, margin) = (Kind::Proof, SCHEDULING_MARGIN);
        Ok(Self { kind, renew_every: recheck, call: ping_timeout, margin, grace: Duration::ZERO })
    }

    /// For a store that never forgets the lock. A try takes it with a lease of `try_lease`, by a clock that may be off by
    /// `store_clock_error`, the first renewal, right after it, without one, and it is verified in the rhythm of such a
    /// lease.
    ///
    /// # Errors
    /// As of such a lease.
    pub fn without_expiry(try_lease: Duration, store_clock_error: Duration) -> Result<Self, TimingError> {
        Ok(Self { kind: Kind::NoExpiry { try_lease }, ..Self::lease(try_lease, store_clock_error)? })
    }

    /// The same lock for a reader that needs `grace` from the end of the pipe until it has ended: the pipe ends so much
    /// earlier, and the lock is given back so much later.
    ///
    /// # Errors
    /// Where that leaves no room for a renewal and a second try, or for a proof.
    pub fn with_grace(self, grace: Duration) -> Result<Self, TimingError> {
        let (base, needed) = match self.kind {
            Kind::Lease { lease: base, .. } | Kind::NoExpiry { try_lease: base } => {
                (base, self.renew_every + 2 * self.call + self.margin)
            }
            // Without proofs nothing is ever late.
            Kind::Proof if self.renew_every.is_zero() => return Ok(Self { grace, ..self }),
            Kind::Proof => (self.call, PING_TIMEOUT_MIN),
        };
        let room = base.saturating_sub(needed);
        if grace > room {
            return Err(TimingError::GraceTooLong { grace, base, room });
        }
        Ok(Self { grace, ..self })
    }

    /// The same lock with the lease that the store granted instead of the one asked for.
    pub(crate) fn granted(self, granted: Option<Duration>) -> Result<Self, TimingError> {
        match (self.kind, granted) {
            (Kind::Lease { lease, store_clock_error }, Some(granted)) if granted != lease => {
                Self::lease(granted, store_clock_error)?.with_grace(self.grace)
            }
            _ => Ok(self),
        }
    }

    /// When the request after the one sent at `sent` and answered by `now` is to be sent; `None` for never.
    pub(crate) fn next(&self, sent: BootTime, now: BootTime) -> Option<BootTime> {
        (!self.renew_every.is_zero()).then(|| (sent + self.renew_every).max(now))
    }

    /// D: until when the answer to the request sent at `sent` and answered at `answered` lets us hold the lock;
    /// `None` for as long as the worker lives.
    pub(crate) fn deadline(&self, sent: BootTime, answered: BootTime) -> Option<BootTime> {
        match self.kind {
            Kind::Lease { lease, .. } => Some(sent + lease - self.margin - self.grace),
            Kind::Proof => self.next(sent, answered).map(|next| next + self.call - self.margin - self.grace),
            Kind::NoExpiry { .. } => None,
        }
    }

    /// The same for the request that took the lock. Without expiry the first renewal, at once, takes the try's lease away.
    pub(crate) fn first_deadline(&self, sent: BootTime, answered: BootTime) -> Option<BootTime> {
        match self.kind {
            Kind::NoExpiry { try_lease } => Some(sent + try_lease - self.margin - self.grace),
            Kind::Lease { .. } | Kind::Proof => self.deadline(sent, answered),
        }
    }

    /// When the first renewal is to be sent; `None` for never.
    pub(crate) fn first_renewal(&self, sent: BootTime, now: BootTime) -> Option<BootTime> {
        if let Kind::NoExpiry { .. } = self.kind { Some(now) } else { self.next(sent, now) }
    }

    /// By when a supervisor that was told at `answered` that the lock is ours must have told CTDB.
    pub(crate) fn acknowledge_by(&self, answered: BootTime, deadline: Option<BootTime>) -> BootTime {
        self.kill_supervisor_at(match (self.kind, deadline) {
            (Kind::Lease { .. }, Some(deadline)) => deadline,
            // Not with the next proof, which may be hours away. The store's clock has no part in it.
            _ => answered + self.call - SCHEDULING_MARGIN,
        })
    }

    /// When the worker kills a supervisor that has not closed the pipe at `deadline`: while there is time left for its
    /// death, and none of what the store's clock may be off is spent.
    pub(crate) fn kill_supervisor_at(&self, deadline: BootTime) -> BootTime {
        deadline + SCHEDULING_MARGIN / 2
    }

    /// From the end of the pipe until the lock may go.
    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    /// The longest one call may take.
    pub(crate) fn call(&self) -> Duration {
        self.call
    }

    /// The pause before a failed renewal is tried again.
    pub(crate) fn retry(&self) -> Duration {
        (self.renew_every / 4).clamp(RETRY_MIN, RETRY_MAX)
    }

    /// How long a worker without a supervisor stays to undo a try.
    pub(crate) fn linger_after_a_try(&self) -> Duration {
        match self.kind {
            Kind::Lease { lease, .. } => lease,
            Kind::Proof => LINGER_WITHOUT_LEASE,
            Kind::NoExpiry { try_lease } => try_lease,
        }
    }

    /// How long a worker without a supervisor stays to release what it holds, for so long at first: by that the lease is
    /// known that the store granted, which may be longer than the one asked for.
    pub(crate) fn linger(&self, held_for: Duration) -> Duration {
        match self.kind {
            Kind::NoExpiry { .. } => LINGER_WITHOUT_EXPIRY,
            Kind::Lease { lease, .. } => lease.max(held_for.saturating_add(self.margin + self.grace)),
            Kind::Proof => self.linger_after_a_try(),
        }
    }

    /// What comes of a lock that is lost, as a message says it.
    pub(crate) fn after_a_loss(&self) -> &'static str {
        match self.kind {
            Kind::NoExpiry { .. } => {
                "where it still stands in the store, an admin has to break it before CTDB can elect"
            }
            Kind::Lease { .. } | Kind::Proof => "CTDB elects again",
        }
    }

    /// Whether the lock goes with the worker's process, so that killing the worker releases it.
    pub(crate) fn ends_with_the_worker(&self) -> bool {
        self.kind == Kind::Proof
    }

    /// Whether a worker that is stopped must not be let go on: its lease may go to another. Without expiry it is the
    /// other way round: only that worker can ever release.
    pub(crate) fn ends_without_the_worker(&self) -> bool {
        matches!(self.kind, Kind::Lease { .. })
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, renew_every, call, margin, grace } = self;
        match kind {
            Kind::Lease { lease, .. } => {
                let deadline = *lease - *margin - *grace;
                write!(f, "lease {lease:?}: renew every {renew_every:?}, a call may take {call:?}, ")?;
                write!(f, "close {deadline:?} after the last good send")?;
            }
            Kind::Proof if renew_every.is_zero() => write!(f, "no lease and no proofs")?,
            Kind::NoExpiry { .. } => write!(f, "no expiry: verify every {renew_every:?}, a call may take {call:?}")?,
            Kind::Proof => {
                let close = *call - *margin - *grace;
                write!(f, "no lease: prove every {renew_every:?}, close when a proof takes {close:?}")?;
            }
        }
        if grace.is_zero() { Ok(()) } else { write!(f, ", give back {grace:?} after the close") }
    }
}

/// Times that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimingError {
    /// No room for a renewal and a second try before the deadline.
    LeaseTooShort {
        /// What was asked for or granted.
        lease: Duration,
        /// What its renewals would need.
        needed: Duration,
    },
    /// A ping timeout that no file system can promise.
    PingTimeoutTooShort {
        /// What was asked for.
        ping_timeout: Duration,
        /// The shortest one.
        minimum: Duration,
    },
    /// No room for the grace beside the renewals, or beside a proof.
    GraceTooLong {
        /// What was asked for.
        grace: Duration,
        /// The lease or the ping timeout that it is taken from.
        base: Duration,
        /// The longest one.
        room: Duration,
    },
}

impl fmt::Display for TimingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseTooShort { lease, needed } => {
                let (lease, needed) = (lease.as_secs_f64(), needed.as_secs_f64());
                write!(f, "a lease of {lease} s is too short: renewal, second try and margin need {needed} s")
            }
            Self::PingTimeoutTooShort { ping_timeout, minimum } => {
                let (ping_timeout, minimum) = (ping_timeout.as_secs_f64(), minimum.as_secs_f64());
                write!(f, "a ping timeout of {ping_timeout} s is too short: the shortest is {minimum} s")
            }
            Self::GraceTooLong { grace, base, room } => {
                let (grace, base, room) = (grace.as_millis(), base.as_secs_f64(), room.as_millis());
                write!(f, "a grace of {grace} ms is too long: {base} s of lease or ping timeout leave {room} ms for it")
            }
        }
    }
}

impl std::error::Error for TimingError {}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    const RADOS_CLOCK_ERROR: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> BootTime {
        BootTime::from_nanos(1_000_000_000_000) + Duration::from_millis(ms)
    }

    #[test]
    fn a_lease_without_room_for_a_second_try_is_refused_with_both_values() {
        let refused = Timing::lease(Duration::from_secs(2), RADOS_CLOCK_ERROR).unwrap_err().to_string();
        assert!(refused.contains("of 2 s") && refused.contains("need 2.1 s"), "{refused}");
        assert!(Timing::lease(Duration::from_secs(3), RADOS_CLOCK_ERROR).is_ok());
        assert!(Timing::lease(Duration::from_secs(2), Duration::ZERO).is_ok());
        assert!(Timing::lease(Duration::ZERO, Duration::ZERO).is_err());
    }

    #[test]
    fn a_ping_timeout_under_a_second_is_refused() {
        assert!(Timing::proof(Duration::from_secs(5), Duration::ZERO).is_err());
        assert!(Timing::proof(Duration::ZERO, Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_lease_counts_from_the_send_however_late_the_answer() {
        let timing = Timing::lease(Duration::from_secs(9), RADOS_CLOCK_ERROR).unwrap();
        assert_eq!(timing.deadline(at(0), at(2000)), Some(at(8300)));
        assert_eq!(timing.kill_supervisor_at(at(8300)), at(8400));
        assert_eq!(timing.next(at(0), at(5)), Some(at(1800)));
    }

    /// Whoever has to be killed, and whoever reads the pipe, has ended 100 ms before a store whose clock is off gives the
    /// lock to another.
    #[test]
    fn what_the_stores_clock_may_be_off_is_nobodys_to_spend() {
        for error in [Duration::ZERO, RADOS_CLOCK_ERROR] {
            for grace in [Duration::ZERO, Duration::from_millis(300)] {
                let lease = Duration::from_secs(9);
                let timings = [Timing::lease(lease, error).unwrap(), Timing::without_expiry(lease, error).unwrap()];
                for timing in timings.map(|timing| timing.with_grace(grace).unwrap()) {
                    let first = timing.first_deadline(at(0), at(5));
                    let unacknowledged = timing.acknowledge_by(at(5), first);
                    let killed = first.map(|first| timing.kill_supervisor_at(first)).unwrap();
                    assert_eq!(killed + grace + Duration::from_millis(100) + error, at(9000));
                    assert!(unacknowledged <= killed);
                }
            }
        }
    }

    #[test]
    fn a_granted_lease_replaces_the_one_asked_for() {
        let asked = Timing::lease(Duration::from_secs(9), Duration::ZERO).unwrap();
        let granted = asked.granted(Some(Duration::from_secs(4))).unwrap();
        assert_eq!(granted.deadline(at(0), at(0)), Some(at(3800)));
        assert!(asked.granted(Some(Duration::from_millis(500))).is_err());
    }

    #[test]
    fn a_grace_ends_the_pipe_so_much_earlier() {
        let grace = Duration::from_millis(500);
        let rados = Timing::lease(Duration::from_secs(4), RADOS_CLOCK_ERROR).unwrap().with_grace(grace).unwrap();
        assert_eq!(rados.deadline(at(0), at(10)), Some(at(2800)));
        assert_eq!(rados.kill_supervisor_at(at(2800)), at(2900));
        let file = Timing::proof(Duration::from_secs(1), Duration::from_secs(2)).unwrap().with_grace(grace).unwrap();
        assert_eq!(file.deadline(at(0), at(3)), Some(at(1000 + 2000 - 200 - 500)));
        let forever = Timing::without_expiry(Duration::from_secs(9), RADOS_CLOCK_ERROR).unwrap();
        let forever = forever.with_grace(grace).unwrap();
        assert_eq!(forever.first_deadline(at(0), at(3)), Some(at(9000 - 700 - 500)));
        assert_eq!(forever.deadline(at(0), at(3)), None);
        assert_eq!(
            rados.to_string(),
            "lease 4s: renew every 800ms, a call may take 1s, \
            close 2.8s after the last good send, give back 500ms after the close"
        );
    }

    #[test]
    fn a_grace_without_room_is_refused_with_both_values() {
        let etcd = Timing::lease(Duration::from_secs(3), Duration::ZERO).unwrap();
        assert!(etcd.with_grace(Duration::from_millis(700)).is_ok());
        let refused = etcd.with_grace(Duration::from_millis(701)).unwrap_err().to_string();
        assert!(refused.contains("of 701 ms") && refused.contains("leave 700 ms"), "{refused}");
        let file = Timing::proof(Duration::from_secs(5), Duration::from_secs(2)).unwrap();
        assert!(file.with_grace(Duration::from_millis(1001)).is_err());
        let without_proofs = Timing::proof(Duration::ZERO, Duration::from_secs(1)).unwrap();
        assert!(without_proofs.with_grace(Duration::from_secs(60)).is_ok());
        let forever = Timing::without_expiry(Duration::from_secs(9), RADOS_CLOCK_ERROR).unwrap();
        assert!(Timing::without_expiry(Duration::from_secs(2), RADOS_CLOCK_ERROR).is_err());
        assert_eq!(forever.acknowledge_by(at(5), Some(at(8300))), at(5 + 2250 - 200 + 100));
        assert!(forever.with_grace(Duration::from_secs(3)).is_err());
    }

    #[test]
    fn a_granted_lease_keeps_the_grace_or_is_refused_for_it() {
        let grace = Duration::from_millis(700);
        let asked = Timing::lease(Duration::from_secs(3), Duration::ZERO).unwrap().with_grace(grace).unwrap();
        let granted = asked.granted(Some(Duration::from_secs(4))).unwrap();
        assert_eq!(granted.deadline(at(0), at(0)), Some(at(3100)));
        assert_eq!(granted.linger(Duration::from_millis(3100)), Duration::from_secs(4));
        assert!(asked.granted(Some(Duration::from_secs(2))).is_err());
    }

    #[test]
    fn a_worker_stays_to_release_for_the_lease_that_was_granted() {
        let asked = Timing::lease(Duration::from_secs(4), Duration::ZERO).unwrap();
        assert_eq!(asked.linger(Duration::from_millis(3700)), Duration::from_secs(4));
        assert_eq!(asked.linger(Duration::from_millis(7800)), Duration::from_secs(8));
    }

    #[test]
    fn a_proof_has_its_whole_ping_timeout_even_after_a_slow_one() {
        let timing = Timing::proof(Duration::from_secs(5), Duration::from_secs(10)).unwrap();
        assert_eq!(timing.deadline(at(0), at(3)), Some(at(5000 + 10_000 - 200)));
        assert_eq!(timing.deadline(at(0), at(9000)), Some(at(9000 + 10_000 - 200)));
    }

    #[test]
    fn no_proofs_means_no_deadline() {
        let timing = Timing::proof(Duration::ZERO, Duration::from_secs(10)).unwrap();
        assert_eq!(timing.deadline(at(0), at(0)), None);
        assert_eq!(timing.next(at(0), at(0)), None);
    }
}
