//! The worker's thread that watches the supervisor (`mutex-core/src/worker/guard.rs`).

use crate::protocol::Helper;
use crate::rules::Mutation;
use crate::state::{Guard, Life, Orders, State};
use crate::times::CLOSE_AFTER_PARENT;

/// What the guard does next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    OutOfTime,
    Hear,
    Kill,
    Orphaned,
}

impl Helper {
    pub(crate) fn guard_is_due(&self, state: &State) -> bool {
        self.guard_step(state).is_some()
    }

    /// One look at everything, in the order of the product.
    fn guard_step(&self, state: &State) -> Option<Step> {
        let worker = &state.worker;
        if worker.life != Life::Running {
            return None;
        }
        if matches!(worker.guard, Guard::Orphaned(0) | Guard::Releasing(0)) {
            return Some(Step::OutOfTime);
        }
        if matches!(worker.guard, Guard::Releasing(_)) {
            return None;
        }
        let ended = state.supervisor.life == Life::Dead && !self.rules.has(Mutation::GoesOnAlone);
        if worker.inbox != Orders::default() || ended {
            return Some(Step::Hear);
        }
        let kills = !self.rules.has(Mutation::SparesTheSupervisor);
        if kills && (worker.watch.newest == Some(0) || worker.watch.unacknowledged == Some(0)) {
            return Some(Step::Kill);
        }
        let orphaned = !state.parent && worker.guard == Guard::Guarding && !self.rules.has(Mutation::DeafToTheParent);
        orphaned.then_some(Step::Orphaned)
    }

    pub(crate) fn guard_acts(&self, state: &mut State) {
        match self.guard_step(state) {
            // Hung in the store: the process ends, the lease ends the rest.
            Some(Step::OutOfTime) if matches!(state.worker.guard, Guard::Releasing(_)) => state.worker_ends(),
            Some(Step::OutOfTime) => {
                state.worker.guard = Guard::Orphaned(CLOSE_AFTER_PARENT);
                kill_supervisor(state);
            }
            Some(Step::Hear) => {
                let Orders { byte_written, release } = state.worker.inbox;
                state.worker.inbox = Orders::default();
                if byte_written {
                    state.worker.watch.unacknowledged = None;
                }
                if release || state.supervisor.life == Life::Dead {
                    self.release(state);
                }
            }
            Some(Step::Kill) => {
                state.worker.watch.newest = None;
                state.worker.watch.unacknowledged = None;
                kill_supervisor(state);
            }
            Some(Step::Orphaned) => state.worker.guard = Guard::Orphaned(CLOSE_AFTER_PARENT),
            None => {}
        }
    }

    /// Hands the order to release on to the keeper, which has one lease for it.
    pub(crate) fn release(&self, state: &mut State) {
        if state.supervisor.life != Life::Dead {
            state.supervisor.inbox.releasing = true;
        }
        let watch = &mut state.worker.watch;
        watch.newest = None;
        watch.unacknowledged = None;
        watch.release = true;
        state.worker.guard = Guard::Releasing(self.times.lease());
    }
}

/// SIGKILL, which ends a stopped process too.
fn kill_supervisor(state: &mut State) {
    if state.supervisor.life != Life::Dead {
        state.supervisor_ends();
    }
}
