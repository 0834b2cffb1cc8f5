//! What is proven, and what has to be found: the one list that the test and docs/EVIDENCE.md are made from.

use crate::fault::{ALL, Fault, ORDERLY};
use crate::property;
use crate::protocol::{Helper, Limits};
use crate::rules::{Beyond, Mutation, Rules};
use crate::times::Times;

/// The store's clock is exact, as etcd's, which counts a lease from its own receipt.
const EXACT: Times = Times { renew: 2, call: 3, clock_error: 0 };
/// The store's clock may be off by as much as scheduling may cost, or more than that: as RADOS's, whose leases end by the
/// wall clock of an OSD.
const OFF: Times = Times { clock_error: 4, ..EXACT };
/// R : T as in the product, where it is L/5 : L/4.
const RATIO: Times = Times { renew: 4, call: 5, clock_error: 0 };
/// An interval that is longer than a call, as L/5 would be with a shorter one.
const LONG: Times = Times { renew: 3, call: 2, clock_error: 0 };

const LIMITS: Limits = Limits { faults: 1, kinds: ALL, answers: false, beyond: None, to_the_end: true };

/// A proof: every state is visited, and every property holds.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// What it is about.
    pub name: &'static str,
    /// The model.
    pub helper: Helper,
    /// Whether it is too long for CI.
    pub slow: bool,
}

/// A broken rule, or a world worse than promised for, and the property that it has to break.
#[derive(Clone, Copy, Debug)]
pub struct Counterexample {
    /// What is wrong.
    pub name: &'static str,
    /// What it breaks.
    pub breaks: &'static str,
    /// The model.
    pub helper: Helper,
}

/// All proofs.
#[must_use]
pub fn proofs() -> Vec<Proof> {
    let proof = |name, times, limits, slow| Proof { name, helper: Helper { times, rules: Rules(None), limits }, slow };
    let pipe = |faults| Limits { faults, to_the_end: false, ..LIMITS };
    let two = Limits { faults: 2, ..LIMITS };
    let none = Limits { faults: 0, ..LIMITS };
    vec![
        proof("exact clock, no fault, to the very end", EXACT, none, false),
        proof("exact clock, 1 fault, to the very end", EXACT, LIMITS, false),
        proof("clock off, 1 fault, to the very end", OFF, LIMITS, false),
        proof("exact clock, 2 faults, to the pipe's end", EXACT, pipe(2), false),
        proof("clock off, 2 faults, to the pipe's end", OFF, pipe(2), false),
        proof(
            "a store that answers, 2 faults that leave the worker running, to the very end",
            EXACT,
            Limits { kinds: ORDERLY, answers: true, ..two },
            false,
        ),
        proof("exact clock, R and T as 4 and 5, 1 fault, to the very end", RATIO, LIMITS, true),
        proof("exact clock, R and T as 3 and 2, 1 fault, to the very end", LONG, LIMITS, true),
        proof("exact clock, 2 faults, to the very end", EXACT, two, true),
        proof("clock off, 2 faults, to the very end", OFF, two, true),
        proof("exact clock, 3 faults, to the pipe's end", EXACT, pipe(3), true),
        proof("clock off, 3 faults, to the pipe's end", OFF, pipe(3), true),
    ]
}

/// All broken rules.
#[must_use]
pub fn mutations() -> Vec<Counterexample> {
    use Fault::{Break, KillSupervisor, ParentDies, Signal, StopSupervisor, StopWorker};
    use Mutation as M;
    // `kinds`: as many faults as it takes, of these kinds.
    let row = |mutation, times, kinds: &'static [Fault], faults, breaks, name| Counterexample {
        name,
        breaks,
        helper: Helper { times, rules: Rules(Some(mutation)), limits: Limits { faults, kinds, ..LIMITS } },
    };
    let answers = |mut row: Counterexample| {
        row.helper.limits.answers = true;
        row
    };
    vec![
        row(M::AgeFromAnswer, EXACT, &[], 0, property::EXCLUSION, "a lease's age counts from its answer"),
        row(M::NoMargin, EXACT, &[], 0, property::EXCLUSION, "no margin: the supervisor closes at L"),
        row(
            M::ClockErrorForgotten,
            OFF,
            &[],
            0,
            property::EXCLUSION,
            "a margin without the error of the store's clock",
        ),
        row(
            M::KillAtHalfTheMargin,
            OFF,
            &[StopSupervisor],
            1,
            property::EXCLUSION,
            "a stopped supervisor is killed at D + M/2, with the clock's error in M",
        ),
        row(
            M::SparesTheSupervisor,
            EXACT,
            &[StopSupervisor],
            1,
            property::EXCLUSION,
            "the worker never kills a stopped supervisor",
        ),
        row(
            M::NoDeadline,
            EXACT,
            &[StopWorker],
            1,
            property::EXCLUSION,
            "the supervisor leaves the deadline to the worker",
        ),
        row(M::ReleaseFirst, EXACT, &[Signal], 1, property::PIPE_FIRST, "the pipe is closed after the release"),
        row(
            M::WorkerObeysSignals,
            EXACT,
            &[Signal],
            1,
            property::EXCLUSION,
            "the worker obeys a SIGTERM to the process group",
        ),
        row(M::NoAcknowledgement, EXACT, &[StopSupervisor], 1, property::NOT_ALONE, "no word that the byte is written"),
        row(
            M::GoesOnAlone,
            EXACT,
            &[KillSupervisor],
            1,
            property::NOT_ALONE,
            "a worker whose supervisor is gone goes on renewing",
        ),
        row(
            M::GoesOnAlone,
            EXACT,
            &[KillSupervisor],
            1,
            property::ENDS,
            "a worker whose supervisor is gone, and the lock too, stays",
        ),
        // The store answers: the same run is there among others, and far fewer states are before it.
        answers(row(
            M::DeafToTheParent,
            EXACT,
            &[StopSupervisor, ParentDies],
            2,
            property::NOT_ALONE,
            "the worker does not watch the parent",
        )),
        row(M::MayRenew, EXACT, &[Break], 1, property::NEVER_TAKEN_AGAIN, "MAY_RENEW instead of MUST_RENEW"),
        answers(row(M::DeafToLoss, EXACT, &[Break], 1, property::BROKEN, "\"not yours\" is taken for \"don't know\"")),
        row(M::UnansweredIsLost, EXACT, &[], 0, property::PATIENCE, "\"don't know\" is taken for \"lost\""),
        row(M::LateAnswerCounts, EXACT, &[], 0, property::EXCLUSION, "a late answer counts for a later renewal"),
        row(M::TriesNotUndone, EXACT, &[], 0, property::UNDONE, "tries without an answer are not undone"),
        row(M::TryOutlivesItsRelease, EXACT, &[], 0, property::UNDONE, "a try may be applied after its release"),
        row(M::ReleasesAnything, EXACT, &[], 0, property::EXCLUSION, "a late release frees what a later try took"),
        answers(row(
            M::EndsItsCallFirst,
            EXACT,
            &[KillSupervisor],
            1,
            property::FREE_AT_ONCE,
            "the worker waits for its renewal before it releases",
        )),
        row(M::SecondByte, EXACT, &[], 0, property::ONE_BYTE, "a reason is written after `0`"),
    ]
}

/// All worlds that are worse than promised for.
#[must_use]
pub fn beyond() -> Vec<Counterexample> {
    use Fault::{KillWorker, Signal, StopSupervisor, StopWorker};
    let row = |beyond, times, kinds: &'static [Fault], faults, breaks, name| Counterexample {
        name,
        breaks,
        helper: Helper { times, rules: Rules(None), limits: Limits { faults, kinds, beyond: Some(beyond), ..LIMITS } },
    };
    vec![
        row(
            Beyond::SlowHost,
            EXACT,
            &[StopSupervisor],
            1,
            property::EXCLUSION,
            "a supervisor stopped on a host that is late by half the margin for scheduling",
        ),
        row(
            Beyond::ClockFurtherOff,
            OFF,
            &[StopSupervisor],
            1,
            property::EXCLUSION,
            "a supervisor stopped, and a store's clock that is off by more than it is said to be",
        ),
        row(
            Beyond::BothStopped,
            EXACT,
            &[StopSupervisor, StopWorker],
            2,
            property::EXCLUSION,
            "both processes stopped at once",
        ),
        row(
            Beyond::KilledBesideStopped,
            EXACT,
            &[StopSupervisor, KillWorker],
            2,
            property::EXCLUSION,
            "the worker killed while the supervisor is stopped",
        ),
        row(
            Beyond::StoppedBeforeTheOrder,
            EXACT,
            &[StopSupervisor, Signal],
            2,
            property::NOT_ALONE,
            "the supervisor stopped between the close and the order to release",
        ),
    ]
}
