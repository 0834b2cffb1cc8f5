//! What keeper and guard share: the orders that came, and the time at which the supervisor is killed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{BootTime, Timer};
use crate::timing::Timing;
use crate::wire::Report;

/// What the supervisor has asked for so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// CTDB has been told.
    pub(super) byte_written: bool,
    /// Release and end. Also where the supervisor is gone.
    pub(super) release: bool,
}

/// How long a supervisor that was told of a loss may take to close the pipe. It needs microseconds, unless it is
/// stopped; a file's loss has to reach CTDB within a second of the proof that showed it (P2c).
const CLOSE_AFTER_LOSS: Duration = Duration::from_millis(300);

/// The supervisor's deadline. Setting it wakes nobody.
pub(super) struct Watch {
    orders: watch::Sender<Orders>,
    /// Fires when the supervisor is to be killed.
    timer: Timer,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// How long the keeper may take to give back what there is now.
    linger: Duration,
    /// When to kill, by the newest report.
    newest: Option<BootTime>,
    /// When to kill a supervisor that has not written the byte. Renewals do not move it: one that is stopped before
    /// the byte would hold a lock of which CTDB never hears.
    unacknowledged: Option<BootTime>,
}

impl Watch {
    /// `linger`: as long as nothing is held.
    pub(super) fn new(linger: Duration) -> io::Result<(Self, watch::Receiver<Orders>)> {
        let (orders, receiver) = watch::channel(Orders::default());
        let state = State { linger, newest: None, unacknowledged: None };
        Ok((Self { orders, timer: Timer::new()?, state: Mutex::new(state) }, receiver))
    }

    /// Readable when the supervisor is to be killed.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// Draws from a report what it means for the supervisor's deadline.
    pub(super) fn note(&self, report: &Report, timing: &Timing) {
        let now = BootTime::now();
        self.change(|state| match report {
            Report::Held(until) => {
                state.linger = timing.linger(until.map_or(Duration::ZERO, |until| until.since(now)));
                state.newest = until.map(|until| timing.kill_supervisor_at(until));
                state.unacknowledged = Some(timing.acknowledge_by(now, *until));
            }
            Report::Renewed(until) => state.newest = until.map(|until| timing.kill_supervisor_at(until)),
            Report::Lost(_) => {
                let soon = now + CLOSE_AFTER_LOSS;
                state.newest = Some(state.newest.map_or(soon, |newest| newest.min(soon)));
            }
            _ => {}
        });
    }

    /// The supervisor has written the byte.
    pub(super) fn acknowledged(&self) {
        self.change(|state| state.unacknowledged = None);
        self.orders.send_modify(|orders| orders.byte_written = true);
    }

    /// The supervisor was killed: its end comes through the socket.
    pub(super) fn fired(&self) {
        self.change(|state| {
            state.newest = None;
            state.unacknowledged = None;
        });
    }

    /// The supervisor has closed the pipe, or is gone.
    pub(super) fn released(&self) {
        self.fired();
        self.orders.send_modify(|orders| orders.release = true);
    }

    /// How long the keeper may take to give back what there is.
    pub(super) fn linger(&self) -> Duration {
        self.change(|state| state.linger)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut state);
        let at = [state.newest, state.unacknowledged].into_iter().flatten().min();
        // A timer of our own with a valid time cannot fail to be set.
        let _ = self.timer.set(at);
        outcome
    }
}
