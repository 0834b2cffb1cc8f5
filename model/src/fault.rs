//! What is done to a helper from outside, and what of it is within the promise.

use crate::protocol::Helper;
use crate::rules::{Beyond, Mutation};
use crate::state::{Life, State, Store};

/// A fault. Delays and losses on the way to the store are none: they are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// SIGKILL to the supervisor.
    KillSupervisor,
    /// SIGSTOP to the supervisor; it may be resumed at any later time, or never.
    StopSupervisor,
    /// SIGKILL to the worker.
    KillWorker,
    /// SIGSTOP to the worker.
    StopWorker,
    /// SIGTERM to the supervisor, from CTDB or from anybody else: CTDB goes on believing.
    Signal,
    /// The parent dies, and CTDB with it.
    ParentDies,
    /// An admin breaks the lock, and another has it at once.
    Break,
}

/// Every fault.
pub const ALL: &[Fault] = &[
    Fault::KillSupervisor,
    Fault::StopSupervisor,
    Fault::KillWorker,
    Fault::StopWorker,
    Fault::Signal,
    Fault::ParentDies,
    Fault::Break,
];

/// Those that leave both processes running, or end the supervisor.
pub const ORDERLY: &[Fault] = &[Fault::KillSupervisor, Fault::Signal, Fault::ParentDies, Fault::Break];

impl Helper {
    /// Whether this may happen now. One of the two processes is hit while the other runs: both at once count as a frozen
    /// host. So does a worker that is killed while its supervisor is stopped: within one lease that is one fault
    /// more than P5 promises to stand.
    pub(crate) fn may_happen(&self, state: &State, fault: Fault) -> bool {
        let (supervisor, worker) = (state.supervisor.life, state.worker.life);
        let both_run = supervisor == Life::Running && worker == Life::Running;
        let beside_stopped = match self.limits.beyond {
            Some(Beyond::BothStopped) => fault == Fault::StopWorker,
            Some(Beyond::KilledBesideStopped) => fault == Fault::KillWorker,
            _ => false,
        };
        match fault {
            Fault::KillSupervisor | Fault::StopSupervisor => both_run,
            Fault::KillWorker | Fault::StopWorker => {
                worker == Life::Running && (supervisor != Life::Stopped || beside_stopped)
            }
            Fault::Signal => supervisor != Life::Dead && !state.supervisor.signal && state.pipe.open,
            Fault::ParentDies => state.parent && state.pipe.open,
            Fault::Break => state.ours(),
        }
    }

    pub(crate) fn happen(&self, state: &mut State, fault: Fault) {
        state.faults -= 1;
        match fault {
            Fault::KillSupervisor => state.supervisor_ends(),
            Fault::StopSupervisor => state.supervisor.life = Life::Stopped,
            Fault::KillWorker => state.worker_ends(),
            Fault::StopWorker => state.worker.life = Life::Stopped,
            Fault::Signal => {
                state.supervisor.signal = true;
                if self.rules.has(Mutation::WorkerObeysSignals) && state.worker.life == Life::Running {
                    self.release(state);
                }
            }
            Fault::ParentDies => state.parent = false,
            Fault::Break => {
                state.store = Store::NotOurs;
                state.seen.broken = Some(0);
            }
        }
    }
}
