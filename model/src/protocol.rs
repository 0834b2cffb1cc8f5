//! The model: what can happen next, and what comes of it.

use stateright::{Model, Property};

use crate::fault::Fault;
use crate::keeper::{Answer, Call, Keeper, Request};
use crate::property;
use crate::rules::{Beyond, Mutation, Rules};
use crate::state::{Guard, Late, Life, State, Store};
use crate::supervisor::Phase;
use crate::times::{LATE, SCHEDULING, Times};

/// How much of the world is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many faults one run has.
    pub faults: u8,
    /// Which.
    pub kinds: &'static [Fault],
    /// Whether the store answers every call within T. Else it may answer at any time, or never.
    pub answers: bool,
    /// What is worse than promised for, if anything.
    pub beyond: Option<Beyond>,
    /// Whether a run is over with the pipe's end, or only when nothing is left.
    pub to_the_end: bool,
}

/// One helper, whole.
#[derive(Clone, Copy, Debug)]
pub struct Helper {
    /// Its times.
    pub times: Times,
    /// Its rules.
    pub rules: Rules,
    /// The world around it.
    pub limits: Limits,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A tick passes.
    Tick,
    /// The keeper does what is due.
    Keeper,
    /// The keeper hears the answer to its call.
    Hear,
    /// The guard does what is due.
    Guard,
    /// The supervisor does what is due.
    Supervisor,
    /// The supervisor's acquire timeout is over.
    GiveUp,
    /// The store applies the request that the keeper waits for; `free`: the adversary has let go of a lock that is not ours.
    Apply {
        /// See there.
        free: bool,
    },
    /// The store applies one that nobody waits for.
    ApplyLate {
        /// Which.
        request: Request,
        /// As above.
        free: bool,
    },
    /// A try that nobody waits for gets lost.
    Lose,
    /// The answer to a renewal that was given up arrives ([`Mutation::LateAnswerCounts`] alone).
    LateAnswer,
    /// The store gives the lock to another.
    Expire,
    /// Something is done to the helper.
    Fault(Fault),
    /// SIGCONT to the supervisor.
    ResumeSupervisor,
    /// SIGCONT to the worker.
    ResumeWorker,
}

impl Helper {
    /// Whether nothing more is looked at.
    pub(crate) fn is_over(&self, state: &State) -> bool {
        if !self.limits.to_the_end && !state.pipe.open {
            return true;
        }
        let ended = state.supervisor.life == Life::Dead && state.worker.life == Life::Dead;
        ended && !state.ours() && !state.late.acquire
    }

    /// Between an event that a thread waits for and its last act upon it so many ticks may pass.
    fn latest(&self) -> u8 {
        if self.limits.beyond == Some(Beyond::SlowHost) { SCHEDULING / 2 } else { LATE }
    }

    /// Time stands still for who is late, for a store that must answer, and for a lease that is over.
    fn time_may_pass(&self, state: &State) -> bool {
        let waits = |due: bool, late: u8| !due || late < self.latest();
        let must_answer =
            self.limits.answers && state.worker.keeper.call().is_some_and(|(_, call)| call.elapsed >= self.times.call);
        waits(self.supervisor_is_due(state), state.supervisor.late)
            && waits(self.guard_is_due(state), state.worker.guard_late)
            && waits(self.keeper_is_due(state), state.worker.keeper_late)
            && !self.must_expire(state)
            && !(must_answer && state.worker.life == Life::Running)
    }

    fn tick(&self, state: &mut State) {
        let later = |due: bool, late: u8| if due { late + 1 } else { late };
        state.supervisor.late = later(self.supervisor_is_due(state), state.supervisor.late);
        state.worker.guard_late = later(self.guard_is_due(state), state.worker.guard_late);
        state.worker.keeper_late = later(self.keeper_is_due(state), state.worker.keeper_late);
        if let Store::Ours(age) = &mut state.store {
            *age += 1;
        }
        if state.worker.life == Life::Running {
            state.seen.alone = (state.seen.alone + 1).min(self.times.alone() + 1);
        }
        state.seen.kept = (state.seen.kept + 1).min(self.times.released() + 1);
        if let Some(since) = state.seen.broken.as_mut() {
            *since = (*since + 1).min(self.times.seen_broken(false) + 1);
        }
        let past_all = self.times.deadline(self.rules);
        let keeper = &mut state.worker.keeper;
        if let Some(call) = keeper.call_mut() {
            call.elapsed = (call.elapsed + 1).min(past_all);
        }
        if let Keeper::Holding { until, next, .. } = keeper {
            down(until);
            down(next);
        }
        state.worker.watch.newest.as_mut().map(down);
        state.worker.watch.unacknowledged.as_mut().map(down);
        if let Guard::Orphaned(left) | Guard::Releasing(left) = &mut state.worker.guard {
            down(left);
        }
        state.supervisor.phase.until_mut().map(down);
        state.supervisor.inbox.until.as_mut().map(down);
    }

    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => self.tick(state),
            Action::Keeper => self.keeper_acts(state),
            Action::Hear => self.keeper_hears(state),
            Action::Guard => self.guard_acts(state),
            Action::Supervisor => self.supervisor_acts(state),
            Action::GiveUp => self.supervisor_gives_up(state),
            Action::Apply { free } => {
                if let Some((request, _)) = state.worker.keeper.call() {
                    let answer = self.apply(state, request, free);
                    if let Some(call) = state.worker.keeper.call_mut() {
                        call.answer = Some(answer);
                    }
                }
            }
            Action::ApplyLate { request, free } => {
                let Late { acquire, renewal, release, .. } = &mut state.late;
                *match request {
                    Request::Acquire => acquire,
                    Request::Renew => renewal,
                    Request::Release => release,
                } = false;
                let answer = self.apply(state, request, free);
                state.late.answer |= request == Request::Renew && answer == Answer::Ours;
            }
            Action::Lose => state.late.acquire = false,
            Action::LateAnswer => {
                state.late.answer = false;
                if let Some(call) = state.worker.keeper.call_mut() {
                    call.answer = Some(Answer::Ours);
                }
            }
            Action::Expire => state.store = Store::NotOurs,
            Action::Fault(fault) => self.happen(state, fault),
            // Who is resumed acts before anything else has time to pass.
            Action::ResumeSupervisor => {
                state.supervisor.life = Life::Running;
                state.supervisor.late = self.latest();
            }
            Action::ResumeWorker => {
                state.worker.life = Life::Running;
                state.worker.guard_late = self.latest();
                state.worker.keeper_late = self.latest();
            }
        }
    }

    /// Forgets what can make no difference any more, so that states which differ in nothing else are one.
    fn tidy(&self, state: &mut State, could_believe: bool) {
        let holds = matches!(state.worker.keeper, Keeper::Holding { .. });
        let between = matches!(state.supervisor.phase, Phase::Ordering { held: true });
        let counts = self.limits.beyond == Some(Beyond::StoppedBeforeTheOrder);
        let cut_short = between && state.supervisor.life == Life::Stopped && !counts;
        if (could_believe && !state.can_believe()) || state.believes() || !holds || cut_short {
            state.seen.alone = 0;
        }
        if !self.limits.answers || state.pipe.open || !state.ours() {
            state.seen.kept = 0;
        }
        if !state.can_believe() {
            state.seen.broken = None;
        }
        if !self.supervisor_is_due(state) {
            state.supervisor.late = 0;
        }
        if !self.guard_is_due(state) {
            state.worker.guard_late = 0;
        }
        if !self.keeper_is_due(state) {
            state.worker.keeper_late = 0;
        }
        if !self.rules.has(Mutation::LateAnswerCounts) {
            state.late.answer = false;
        }
        // Nothing is ours, and nothing can become so before these arrive: they find nothing.
        let may_be_ours = state.ours() || state.late.acquire;
        let found = |mutation| self.rules.has(mutation);
        state.late.renewal &= may_be_ours || found(Mutation::MayRenew);
        state.late.release &= may_be_ours || found(Mutation::ReleasesAnything);
    }
}

fn down(left: &mut u8) {
    *left = left.saturating_sub(1);
}

impl Model for Helper {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::start(self.limits.faults)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.is_over(state) {
            return;
        }
        if self.time_may_pass(state) {
            actions.push(Action::Tick);
        }
        if self.keeper_is_due(state) {
            actions.push(Action::Keeper);
        }
        if self.guard_is_due(state) {
            actions.push(Action::Guard);
        }
        if self.supervisor_is_due(state) {
            actions.push(Action::Supervisor);
        }
        if self.supervisor_may_give_up(state) {
            actions.push(Action::GiveUp);
        }
        // Only a try, and a renewal that breaks its rule, see whether somebody else has the lock.
        let outcomes = |request: Request| {
            let asks = request == Request::Acquire || (request == Request::Renew && self.rules.has(Mutation::MayRenew));
            if asks && !state.ours() { &[true, false][..] } else { &[false][..] }
        };
        match state.worker.keeper.call() {
            Some((request, Call { answer: None, .. })) => {
                actions.extend(outcomes(request).iter().map(|&free| Action::Apply { free }));
                if state.late.answer && request == Request::Renew && state.worker.life == Life::Running {
                    actions.push(Action::LateAnswer);
                }
            }
            Some(_) if state.worker.life == Life::Running => actions.push(Action::Hear),
            _ => {}
        }
        let late = state.late;
        let under_way =
            [(late.acquire, Request::Acquire), (late.renewal, Request::Renew), (late.release, Request::Release)];
        for (_, request) in under_way.into_iter().filter(|&(is, _)| is) {
            actions.extend(outcomes(request).iter().map(|&free| Action::ApplyLate { request, free }));
        }
        if late.acquire {
            actions.push(Action::Lose);
        }
        if self.may_expire(state) {
            actions.push(Action::Expire);
        }
        if state.faults > 0 {
            let faults = self.limits.kinds.iter().filter(|&&fault| self.may_happen(state, fault));
            actions.extend(faults.map(|&fault| Action::Fault(fault)));
        }
        if state.supervisor.life == Life::Stopped {
            actions.push(Action::ResumeSupervisor);
        }
        if state.worker.life == Life::Stopped {
            actions.push(Action::ResumeWorker);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.step(&mut state, action);
        self.tidy(&mut state, last.can_believe());
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all(self)
    }
}
