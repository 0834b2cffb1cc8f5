//! The worker's thread that calls the store (`mutex-core/src/worker/keeper.rs`).

use crate::protocol::Helper;
use crate::rules::Mutation;
use crate::state::{Life, State};
use crate::times::CLOSE_AFTER_LOSS;

/// How far the keeper has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keeper {
    /// Tries to take the lock.
    Trying(Option<Call>),
    /// Has it for `until`, and renews it in `next`.
    Holding {
        /// What is left until the deadline.
        until: u8,
        /// What is left until the next renewal is sent.
        next: u8,
        /// The renewal under way.
        call: Option<Call>,
    },
    /// Has lost it, `until` before the deadline, and waits for the order to release.
    Lost {
        /// What was left until the deadline.
        until: u8,
    },
    /// Gives back what is ours or may be.
    Undoing(Option<Call>),
    /// The process has ended.
    Ended,
}

/// A call that the keeper waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Since the clock was read, just before the request was sent. Whatever delays the request after that is the network's.
    pub elapsed: u8,
    /// What the store made of it; `None`: it has not arrived there.
    pub answer: Option<Answer>,
}

/// A request to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Take the lock.
    Acquire,
    /// Prolong it.
    Renew,
    /// Give it back, and bar the try that took it.
    Release,
}

/// The store's answer. To a release there is but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Taken, or kept.
    Ours,
    /// Another's, or no longer ours.
    NotOurs,
}

impl Keeper {
    /// What is under way.
    #[must_use]
    pub fn call(&self) -> Option<(Request, Call)> {
        match *self {
            Self::Trying(Some(call)) => Some((Request::Acquire, call)),
            Self::Holding { call: Some(call), .. } => Some((Request::Renew, call)),
            Self::Undoing(Some(call)) => Some((Request::Release, call)),
            _ => None,
        }
    }

    pub(crate) fn call_mut(&mut self) -> Option<&mut Call> {
        match self {
            Self::Trying(call) | Self::Holding { call, .. } | Self::Undoing(call) => call.as_mut(),
            Self::Lost { .. } | Self::Ended => None,
        }
    }
}

/// What the keeper does next, beside hearing an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Send,
    GiveUpCall,
    Stop,
    Expire,
}

impl Helper {
    /// Whether the keeper has something to do that may not wait. To hear an answer may: that is the network's delay.
    pub(crate) fn keeper_is_due(&self, state: &State) -> bool {
        self.keeper_step(state).is_some()
    }

    fn keeper_step(&self, state: &State) -> Option<Step> {
        if state.worker.life != Life::Running {
            return None;
        }
        let release = state.worker.watch.release;
        let timed_out = |call: Call| call.elapsed >= self.times.call && !self.limits.answers;
        match state.worker.keeper {
            Keeper::Holding { call: Some(call), .. } if release && self.rules.has(Mutation::EndsItsCallFirst) => {
                timed_out(call).then_some(Step::GiveUpCall)
            }
            Keeper::Trying(_) | Keeper::Holding { .. } | Keeper::Lost { .. } if release => Some(Step::Stop),
            Keeper::Trying(None) | Keeper::Undoing(None) => Some(Step::Send),
            Keeper::Holding { until, next: 0, call: None } => Some(if until == 0 { Step::Expire } else { Step::Send }),
            Keeper::Trying(Some(call)) | Keeper::Holding { call: Some(call), .. } | Keeper::Undoing(Some(call)) => {
                timed_out(call).then_some(Step::GiveUpCall)
            }
            Keeper::Holding { .. } | Keeper::Lost { .. } | Keeper::Ended => None,
        }
    }

    /// Does it.
    pub(crate) fn keeper_acts(&self, state: &mut State) {
        let not_undone = self.rules.has(Mutation::TriesNotUndone);
        let sent = Some(Call { elapsed: 0, answer: None });
        match (self.keeper_step(state), state.worker.keeper) {
            (Some(Step::Send), Keeper::Trying(_)) => state.worker.keeper = Keeper::Trying(sent),
            (Some(Step::Send), Keeper::Holding { until, next, .. }) => {
                state.seen.renewed_alone |= state.seen.alone > self.times.alone();
                state.worker.keeper = Keeper::Holding { until, next, call: sent };
            }
            (Some(Step::Send), Keeper::Undoing(_)) => {
                state.seen.theft |= state.believes();
                state.worker.keeper = Keeper::Undoing(sent);
            }
            (Some(Step::GiveUpCall), Keeper::Holding { until, .. }) => {
                state.give_up_call();
                if self.rules.has(Mutation::UnansweredIsLost) {
                    lost(state, until);
                }
            }
            (Some(Step::GiveUpCall), Keeper::Trying(_)) => {
                state.give_up_call();
                if !not_undone {
                    state.worker.keeper = Keeper::Undoing(None);
                }
            }
            (Some(Step::GiveUpCall), _) => state.give_up_call(),
            (Some(Step::Stop), Keeper::Trying(_)) if not_undone => leave(state),
            (Some(Step::Stop), _) => {
                state.give_up_call();
                state.worker.keeper = Keeper::Undoing(None);
            }
            (Some(Step::Expire), _) => lost(state, 0),
            _ => {}
        }
    }

    /// Hears the answer to the call under way.
    pub(crate) fn keeper_hears(&self, state: &mut State) {
        let keeper = state.worker.keeper;
        let Some((_, Call { elapsed, answer: Some(answer) })) = keeper.call() else { return };
        let age = if self.rules.has(Mutation::AgeFromAnswer) { 0 } else { elapsed };
        let left = self.times.deadline(self.rules).saturating_sub(age);
        let next = self.times.renew.saturating_sub(elapsed);
        match (keeper, answer) {
            (Keeper::Trying(_), Answer::Ours) if left == 0 => state.worker.keeper = Keeper::Undoing(None),
            (Keeper::Trying(_), Answer::Ours) => {
                state.worker.keeper = Keeper::Holding { until: left, next, call: None };
                self.ours(state, left, true);
            }
            (Keeper::Trying(_), Answer::NotOurs) => {
                state.supervisor.inbox.contended = true;
                leave(state);
            }
            (Keeper::Holding { .. }, Answer::Ours) => {
                state.worker.keeper = Keeper::Holding { until: left, next, call: None };
                self.ours(state, left, false);
            }
            (Keeper::Holding { until, .. }, Answer::NotOurs) if self.rules.has(Mutation::DeafToLoss) => {
                state.worker.keeper = Keeper::Holding { until, next, call: None };
            }
            (Keeper::Holding { until, .. }, Answer::NotOurs) => lost(state, until),
            (Keeper::Undoing(_), _) if state.worker.watch.release => leave(state),
            (Keeper::Undoing(_), _) => {
                // What is under way of the old try bars that one, and nothing else.
                state.late.release &= self.rules.has(Mutation::ReleasesAnything);
                state.worker.keeper = Keeper::Trying(None);
            }
            _ => {}
        }
    }

    /// Reports that the lock is ours; the watch first.
    fn ours(&self, state: &mut State, until: u8, first: bool) {
        let kill = until + self.times.kill_after(self.rules);
        let watch = &mut state.worker.watch;
        if !watch.release {
            watch.newest = Some(kill);
            if first && !self.rules.has(Mutation::NoAcknowledgement) {
                watch.unacknowledged = Some(kill);
            }
        }
        report(state, |inbox| inbox.until = Some(until));
    }
}

impl State {
    /// The keeper does not wait for its call any more: the request may still arrive, and its answer has no reader.
    pub(crate) fn give_up_call(&mut self) {
        if let Some((request, call)) = self.worker.keeper.call() {
            let under_way = call.answer.is_none();
            match request {
                Request::Acquire => self.late.acquire |= under_way,
                Request::Renew => {
                    self.late.renewal |= under_way;
                    self.late.answer |= call.answer == Some(Answer::Ours);
                }
                Request::Release => self.late.release |= under_way,
            }
        }
        match &mut self.worker.keeper {
            Keeper::Trying(call) | Keeper::Holding { call, .. } | Keeper::Undoing(call) => *call = None,
            Keeper::Lost { .. } | Keeper::Ended => {}
        }
    }
}

fn lost(state: &mut State, until: u8) {
    state.worker.keeper = Keeper::Lost { until };
    let watch = &mut state.worker.watch;
    if !watch.release {
        watch.newest = Some(watch.newest.map_or(CLOSE_AFTER_LOSS, |newest| newest.min(CLOSE_AFTER_LOSS)));
    }
    report(state, |inbox| inbox.lost = true);
}

/// The worker ends of its own will.
fn leave(state: &mut State) {
    state.give_up_call();
    state.seen.left_behind |= state.ours() || state.late.acquire;
    state.worker_ends();
}

/// What is sent to a dead supervisor is lost.
fn report(state: &mut State, change: impl FnOnce(&mut crate::state::Reports)) {
    if state.supervisor.life != Life::Dead {
        change(&mut state.supervisor.inbox);
    }
}
