//! What a run came to, in numbers: what is kept of it, and added up over runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::checker::{CountsAs, Rules, Verdict};
use super::run::Seen;

/// A run's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The store.
    pub backend: String,
    /// The name of the subject.
    pub subject: String,
    /// The seed.
    pub seed: u64,
    /// How many nodes there were.
    pub nodes: usize,
    /// L, in seconds.
    pub lease: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Each kind of fault.
    pub kinds: BTreeMap<String, Counts>,
    /// Faults that found nothing to hit.
    pub missed: usize,
    /// Locks taken.
    pub locks: usize,
    /// Ends of the pipe that a holder saw without any fault in the last lease.
    pub unprovoked: usize,
    /// Two at once: a broken promise.
    pub violations: Measured,
    /// Two at once after a host that was frozen whole went on.
    pub fencing: Measured,
    /// How often somebody had to hold in time, and how long it took at most, in seconds.
    pub quiets: Measured,
    /// How often nobody did.
    pub without_holder: usize,
    /// The shortest time from an end of the pipe to the next holder, in seconds.
    pub closest: Option<f64>,
    /// Times in which a parent was not run for 50 ms though nobody had stopped it: how busy the machine was.
    pub busy: Measured,
}

/// Of one kind of fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// How often it came.
    pub faults: usize,
    /// Ends of the pipe that a holder saw and that are put down to it.
    pub losses: usize,
    /// Where overlaps are allowed for: those that there were.
    pub overlaps: Measured,
    /// And within what they are to be, in seconds.
    pub bound: Option<f64>,
}

/// How many, and the longest of them in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How many.
    pub count: usize,
    /// The longest; 0 for none.
    pub longest: f64,
}

impl Measured {
    /// Of these.
    #[must_use]
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        times.into_iter().fold(Self::default(), |sum, time| sum.with(Self { count: 1, longest: time.as_secs_f64() }))
    }

    /// Of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { count: self.count + other.count, longest: self.longest.max(other.longest) }
    }
}

impl Tally {
    /// The numbers of a run.
    #[must_use]
    pub fn of(
        (backend, subject, seed, nodes): (&str, &str, u64, usize),
        seen: &Seen,
        verdict: &Verdict,
        rules: &Rules,
    ) -> Self {
        let mut kinds: BTreeMap<String, Counts> = BTreeMap::new();
        for hit in &verdict.hits {
            let bound = rules.bound(&hit.kind).map(|bound| bound.as_secs_f64());
            let counts = kinds.entry(hit.kind.clone()).or_insert_with(|| Counts { bound, ..Counts::default() });
            counts.faults += 1;
        }
        let mut unprovoked = 0;
        for (_, blamed) in &verdict.losses {
            match blamed.and_then(|index| kinds.get_mut(&verdict.hits[index].kind)) {
                Some(counts) => counts.losses += 1,
                None => unprovoked += 1,
            }
        }
        for overlap in &verdict.overlaps {
            if let CountsAs::Bounded(kind) = &overlap.counts_as
                && let Some(counts) = kinds.get_mut(kind)
            {
                counts.overlaps = counts.overlaps.with(Measured::of([overlap.length()]));
            }
        }
        let as_which = |which: CountsAs| {
            Measured::of(verdict.overlaps.iter().filter(|one| one.counts_as == which).map(|one| one.length()))
        };
        Self {
            backend: backend.to_owned(),
            subject: subject.to_owned(),
            seed,
            nodes,
            lease: rules.times.lease.as_secs_f64(),
            seconds: seen.took.as_secs_f64(),
            missed: seen.missed,
            locks: verdict.locks(),
            unprovoked,
            violations: as_which(CountsAs::Violation),
            fencing: as_which(CountsAs::Fencing),
            quiets: Measured::of(verdict.quiets.iter().map(|quiet| quiet.unwrap_or_else(|time| time))),
            without_holder: verdict.without_holder(),
            closest: verdict.closest.map(|time| time.as_secs_f64()),
            busy: Measured::of(verdict.busy.iter().copied()),
            kinds,
        }
    }

    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.kinds.values().map(|counts| counts.faults).sum()
    }

    /// How many ends of the pipe a holder saw.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.unprovoked + self.kinds.values().map(|counts| counts.losses).sum::<usize>()
    }

    /// Overlaps that are allowed for, but not for so long.
    #[must_use]
    pub fn beyond_bounds(&self) -> usize {
        let beyond = |counts: &&Counts| counts.bound.is_some_and(|bound| counts.overlaps.longest > bound);
        self.kinds.values().filter(beyond).count()
    }

    /// The numbers of both, of the same backend and subject.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (kind, more) in &other.kinds {
            let counts = self.kinds.entry(kind.clone()).or_default();
            counts.faults += more.faults;
            counts.losses += more.losses;
            counts.overlaps = counts.overlaps.with(more.overlaps);
            counts.bound = more.bound;
        }
        self.seconds += other.seconds;
        self.missed += other.missed;
        self.locks += other.locks;
        self.unprovoked += other.unprovoked;
        self.violations = self.violations.with(other.violations);
        self.fencing = self.fencing.with(other.fencing);
        self.quiets = self.quiets.with(other.quiets);
        self.without_holder += other.without_holder;
        self.closest = [self.closest, other.closest].into_iter().flatten().reduce(f64::min);
        self.busy = self.busy.with(other.busy);
        self
    }
}
