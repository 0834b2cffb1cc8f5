//! The thread that never touches the store: it watches the supervisor, and ends what outstays its time.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::watch::Watch;
use crate::clock::BootTime;
use crate::sys;
use crate::wire::{End, Order, Received, Report};

/// How long a living supervisor may take to close the pipe when its parent is gone.
const CLOSE_AFTER_PARENT: Duration = Duration::from_secs(1);

pub(super) struct Guard {
    pub(super) socket: Arc<End>,
    pub(super) supervisor: OwnedFd,
    pub(super) parent: Option<OwnedFd>,
    pub(super) watch: Arc<Watch>,
    /// From the end of the pipe until the lock may go.
    pub(super) grace: Duration,
}

/// What the guard waits for beside descriptors.
#[derive(Clone, Copy)]
enum Phase {
    /// The supervisor lives and the pipe is open.
    Guarding,
    /// As before, but the parent is gone: the supervisor has until then.
    Orphaned(BootTime),
    /// The pipe is closed, and its reader has until then to end what it must; `alone`: the supervisor is gone.
    Waiting { until: BootTime, alone: bool },
    /// The keeper releases, since then.
    Releasing(BootTime),
}

impl Guard {
    pub(super) fn run(self) {
        let mut phase = Phase::Guarding;
        loop {
            phase = self.turn(phase);
        }
    }

    fn turn(&self, phase: Phase) -> Phase {
        let mut fds = Vec::with_capacity(3);
        let limit = match phase {
            Phase::Guarding => None,
            Phase::Orphaned(limit) | Phase::Waiting { until: limit, .. } => Some(limit),
            // Looked up anew: a try that is answered just now may have made more of it.
            Phase::Releasing(since) => Some(since + self.watch.linger()),
        };
        if !matches!(phase, Phase::Releasing(_) | Phase::Waiting { alone: true, .. }) {
            fds.push(PollFd::new(self.socket.as_fd(), PollFlags::POLLIN));
        }
        if matches!(phase, Phase::Guarding | Phase::Orphaned(_)) {
            fds.push(PollFd::new(self.watch.fd(), PollFlags::POLLIN));
        }
        if let (Phase::Guarding, Some(parent)) = (phase, &self.parent) {
            fds.push(PollFd::new(parent.as_fd(), PollFlags::POLLIN));
        }
        // An error leaves no event, and the next turn tries again.
        let _ = poll(&mut fds, timeout_until(limit));
        let seen: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();

        if limit.is_some_and(|limit| BootTime::now() >= limit) {
            return self.out_of_time(phase);
        }
        match seen.as_slice() {
            [true, ..] => self.hear(phase),
            [_, true, ..] => {
                // Stopped or hung, and the lock is about to go: its death closes the pipe.
                self.kill_supervisor();
                self.watch.fired();
                phase
            }
            [.., parent] if *parent => Phase::Orphaned(BootTime::now() + CLOSE_AFTER_PARENT),
            _ => phase,
        }
    }

    fn hear(&self, mut phase: Phase) -> Phase {
        loop {
            match self.socket.receive_order() {
                Received::Message(Order::ByteWritten) => self.watch.acknowledged(),
                Received::Empty => return phase,
                Received::Message(Order::ReleaseLater) => {
                    phase = Phase::Waiting { until: BootTime::now() + self.grace, alone: false };
                }
                Received::Message(Order::Release) => return self.release(),
                // The death of a supervisor closes the pipe as well as its word that it has.
                Received::Closed => {
                    let until =
                        if let Phase::Waiting { until, .. } = phase { until } else { BootTime::now() + self.grace };
                    return if self.grace.is_zero() { self.release() } else { Phase::Waiting { until, alone: true } };
                }
            }
        }
    }

    fn release(&self) -> Phase {
        self.socket.send_report(&Report::Releasing);
        self.watch.released();
        Phase::Releasing(BootTime::now())
    }

    fn out_of_time(&self, phase: Phase) -> Phase {
        match phase {
            Phase::Guarding => phase,
            Phase::Orphaned(_) => {
                self.kill_supervisor();
                // Its end comes through the socket; a second kill a second later does no harm.
                Phase::Orphaned(BootTime::now() + CLOSE_AFTER_PARENT)
            }
            Phase::Waiting { .. } => self.release(),
            // Hung in the store. The kernel frees what goes with the process, the lease ends the rest.
            Phase::Releasing(_) => sys::exit_now(1),
        }
    }

    fn kill_supervisor(&self) {
        let _ = pidfd_send_signal(&self.supervisor, Signal::KILL);
    }
}

/// The time until `limit` for `poll`, rounded up so that the limit has passed when it returns.
fn timeout_until(limit: Option<BootTime>) -> PollTimeout {
    let Some(limit) = limit else { return PollTimeout::NONE };
    let left = limit.since(BootTime::now()).as_millis().saturating_add(1);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
