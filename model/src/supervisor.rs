//! The process that CTDB started (`mutex-core/src/supervisor.rs`).
//!
//! Its one look at everything and what follows from it are steps of their own, so that it can be stopped or killed
//! between any two of them: before the byte, before the word that it was written, before the close, before the order.

use crate::keeper::Keeper;
use crate::protocol::Helper;
use crate::rules::Mutation;
use crate::state::{Byte, Life, Reports, State};
use crate::times::WAIT_FOR_WORKER;

/// How far the supervisor has come; `until`: what is left until the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // `until`, above.
pub enum Phase {
    /// No answer yet.
    Trying,
    /// The worker has the lock, and CTDB does not know.
    Taken { until: u8 },
    /// The same, and a look at everything found no cause to stop: the byte is written next.
    Looked { until: u8 },
    /// CTDB was told; the worker is told next.
    Told { until: u8 },
    /// Both were told.
    Held { until: u8 },
    /// There is a cause to stop; `held`: CTDB was told before. The pipe is closed next.
    Stopping { held: bool },
    /// The order to release is sent next.
    Ordering { held: bool },
    /// Waits for the worker's end, for so long.
    Waiting { held: bool, left: u8 },
    /// The process has ended.
    Ended,
}

impl Phase {
    /// What is left until the deadline.
    pub(crate) fn until_mut(&mut self) -> Option<&mut u8> {
        match self {
            Self::Taken { until } | Self::Looked { until } | Self::Told { until } | Self::Held { until } => Some(until),
            Self::Waiting { left, .. } => Some(left),
            _ => None,
        }
    }
}

impl Helper {
    pub(crate) fn supervisor_is_due(&self, state: &State) -> bool {
        if state.supervisor.life != Life::Running {
            return false;
        }
        let worker_ended = state.worker.life == Life::Dead;
        match state.supervisor.phase {
            Phase::Trying => self.has_news(state),
            Phase::Held { until } => self.has_news(state) || self.deadline_is_over(until),
            Phase::Waiting { left, .. } => left == 0 || worker_ended,
            Phase::Ended => false,
            Phase::Taken { .. } | Phase::Looked { .. } | Phase::Told { .. } => true,
            Phase::Stopping { .. } | Phase::Ordering { .. } => true,
        }
    }

    fn has_news(&self, state: &State) -> bool {
        let supervisor = &state.supervisor;
        supervisor.signal || !state.parent || !supervisor.inbox.is_empty() || state.worker.life == Life::Dead
    }

    fn deadline_is_over(&self, until: u8) -> bool {
        until == 0 && !self.rules.has(Mutation::NoDeadline)
    }

    pub(crate) fn supervisor_acts(&self, state: &mut State) {
        let release_first = self.rules.has(Mutation::ReleaseFirst);
        match state.supervisor.phase {
            Phase::Trying | Phase::Taken { .. } | Phase::Held { .. } => self.look(state),
            Phase::Looked { until } => {
                state.pipe.write(Byte::Held);
                state.supervisor.phase = Phase::Told { until };
            }
            Phase::Told { until } => {
                if state.worker.life != Life::Dead {
                    state.worker.inbox.byte_written = true;
                }
                state.supervisor.phase = Phase::Held { until };
            }
            Phase::Stopping { held } if release_first => state.supervisor.phase = Phase::Ordering { held },
            Phase::Stopping { held } => {
                self.close(state, held);
                state.supervisor.phase = Phase::Ordering { held };
            }
            Phase::Ordering { held } => {
                if state.worker.life != Life::Dead {
                    state.worker.inbox.release = true;
                }
                state.supervisor.phase = Phase::Waiting { held, left: WAIT_FOR_WORKER };
            }
            Phase::Waiting { held, .. } => {
                if state.worker.life != Life::Dead && !state.supervisor.inbox.releasing {
                    // It has not read the order: it is stopped, and its lease has to end without it.
                    state.worker_ends();
                }
                if release_first {
                    self.close(state, held);
                }
                state.supervisor_ends();
            }
            Phase::Ended => {}
        }
    }

    fn close(&self, state: &mut State, held: bool) {
        if !held || self.rules.has(Mutation::SecondByte) {
            state.pipe.write(Byte::NotHeld);
        }
        state.pipe.open = false;
    }

    /// The acquire timeout may be over at any moment.
    pub(crate) fn supervisor_may_give_up(&self, state: &State) -> bool {
        state.supervisor.life == Life::Running
            && state.supervisor.phase == Phase::Trying
            && !self.supervisor_is_due(state)
    }

    pub(crate) fn supervisor_gives_up(&self, state: &mut State) {
        state.supervisor.phase = Phase::Stopping { held: false };
    }

    /// One look at everything: signal, parent, what the worker says, its end, the deadline; and only then the byte.
    fn look(&self, state: &mut State) {
        let supervisor = &mut state.supervisor;
        let held = matches!(supervisor.phase, Phase::Held { .. });
        if supervisor.signal || !state.parent {
            supervisor.signal = false;
            supervisor.phase = Phase::Stopping { held };
            return;
        }
        let Reports { until, lost, contended, .. } = supervisor.inbox;
        supervisor.inbox = Reports::default();
        supervisor.phase = match (supervisor.phase, until) {
            (Phase::Held { .. }, Some(until)) => Phase::Held { until },
            (_, Some(until)) => Phase::Taken { until },
            (phase, None) => phase,
        };
        let over = match supervisor.phase {
            Phase::Taken { until } | Phase::Held { until } => self.deadline_is_over(until),
            _ => false,
        };
        if lost || contended || state.worker.life == Life::Dead || over {
            supervisor.phase = Phase::Stopping { held };
            let left = match state.worker.keeper {
                Keeper::Holding { until, .. } | Keeper::Lost { until } => until,
                _ => 0,
            };
            state.seen.gave_up_early |= held && left > 0 && state.faults == self.limits.faults;
        } else if let Phase::Taken { until } = supervisor.phase {
            supervisor.phase = Phase::Looked { until };
        }
    }
}
