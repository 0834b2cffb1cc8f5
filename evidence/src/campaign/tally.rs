//! What a run came to, in numbers: what is kept of it, and added up over runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::checker::{CountsAs, Rules, Tries, Verdict, blame};
use super::run::Seen;

/// A run's numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Faults that came while somebody held.
    #[serde(default)]
    pub while_held: usize,
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
    /// Times in which a parent was not run for 50 ms though nobody had stopped it: how busy the machine was.
    pub busy: Measured,
    /// What tries came to that is neither the lock nor contention.
    #[serde(default)]
    pub tries: Tries,
    /// What of the campaign itself failed: the numbers are of what was seen until then.
    #[serde(default)]
    pub failed: Option<String>,
}

/// Of one kind of fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// How often it came.
    pub faults: usize,
    /// Ends of the pipe that a holder saw and that are put down to it.
    pub losses: usize,
    /// Two at once, a broken promise, put down to it.
    pub violations: Measured,
    /// Where overlaps are allowed for: those that there were.
    pub overlaps: Measured,
    /// Where the lock was taken away: how long a holder went on believing.
    #[serde(default)]
    pub noticed: Measured,
    /// And within what both are to be, in seconds.
    pub bound: Option<f64>,
    /// Whether that is promised.
    pub promised: bool,
}

impl Counts {
    /// For how long two believed at once, or one in a lock that was taken away, where less is promised; and how long that is.
    #[must_use]
    pub fn too_long(&self) -> Option<(f64, f64)> {
        let longest = self.overlaps.with(self.noticed).longest;
        self.bound.filter(|&bound| self.promised && longest > bound).map(|bound| (longest, bound))
    }
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
            let promised = rules.own_table.get(&hit.kind).copied().unwrap_or(true);
            let new = || Counts { bound, promised, ..Counts::default() };
            kinds.entry(hit.kind.clone()).or_insert_with(new).faults += 1;
        }
        let mut unprovoked = 0;
        for (_, blamed) in &verdict.losses {
            match blamed.and_then(|index| kinds.get_mut(&verdict.hits[index].kind)) {
                Some(counts) => counts.losses += 1,
                None => unprovoked += 1,
            }
        }
        for &(index, time) in &verdict.noticed {
            let of = Measured::of([time]);
            kinds.entry(verdict.hits[index].kind.clone()).and_modify(|counts| counts.noticed = counts.noticed.with(of));
        }
        for overlap in &verdict.overlaps {
            let length = Measured::of([overlap.length()]);
            match &overlap.counts_as {
                CountsAs::Bounded(kind) => {
                    kinds.entry(kind.clone()).and_modify(|counts| counts.overlaps = counts.overlaps.with(length));
                }
                CountsAs::Violation => {
                    if let Some(index) = blame(overlap.from, &verdict.hits, rules.times.lease) {
                        let kind = verdict.hits[index].kind.clone();
                        kinds.entry(kind).and_modify(|counts| counts.violations = counts.violations.with(length));
                    }
                }
                CountsAs::Fencing => {}
            }
        }
        let not_started = || {
            let count = verdict.tries.not_started;
            (count > 0).then(|| format!("{count} helpers could not be started"))
        };
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
            while_held: verdict.hits.iter().filter(|hit| verdict.is_held(hit.from)).count(),
            locks: verdict.locks(),
            unprovoked,
            violations: as_which(CountsAs::Violation),
            fencing: as_which(CountsAs::Fencing),
            quiets: Measured::of(verdict.quiets.iter().map(|quiet| quiet.unwrap_or_else(|time| time))),
            without_holder: verdict.without_holder(),
            busy: Measured::of(verdict.busy.iter().copied()),
            tries: verdict.tries,
            failed: seen.failed.as_deref().map(in_a_line).or_else(not_started),
            kinds,
        }
    }

    /// Of a run that failed before anything was seen.
    #[must_use]
    pub fn failed((backend, subject, seed, nodes): (&str, &str, u64, usize), error: &anyhow::Error) -> Self {
        let failed = Some(in_a_line(&format!("{error:#}")));
        Self { backend: backend.to_owned(), subject: subject.to_owned(), seed, nodes, failed, ..Self::default() }
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

    /// Kinds with overlaps, or beliefs in a lock that was taken away, that are allowed for, but not for so long.
    #[must_use]
    pub fn beyond_bounds(&self) -> usize {
        self.kinds.values().filter(|counts| counts.too_long().is_some()).count()
    }

    /// Whether every promise was kept, as far as was seen.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.tries.extra_bytes == 0
            && self.violations.count == 0
            && self.without_holder == 0
            && self.beyond_bounds() == 0
    }

    /// The numbers of both, of the same backend and subject.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (kind, more) in &other.kinds {
            let counts = self.kinds.entry(kind.clone()).or_default();
            counts.faults += more.faults;
            counts.losses += more.losses;
            counts.violations = counts.violations.with(more.violations);
            counts.overlaps = counts.overlaps.with(more.overlaps);
            counts.noticed = counts.noticed.with(more.noticed);
            (counts.bound, counts.promised) = (more.bound, more.promised);
        }
        // One that failed before it began does not know.
        self.lease = self.lease.max(other.lease);
        self.tries.errors += other.tries.errors;
        self.tries.no_byte += other.tries.no_byte;
        self.tries.extra_bytes += other.tries.extra_bytes;
        self.tries.not_started += other.tries.not_started;
        self.seconds += other.seconds;
        self.missed += other.missed;
        self.while_held += other.while_held;
        self.locks += other.locks;
        self.unprovoked += other.unprovoked;
        self.violations = self.violations.with(other.violations);
        self.fencing = self.fencing.with(other.fencing);
        self.quiets = self.quiets.with(other.quiets);
        self.without_holder += other.without_holder;
        self.busy = self.busy.with(other.busy);
        self
    }
}

/// An error may have a program's words in it, over several lines.
fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::campaign::belief::tests::{event, ms, said};
    use crate::campaign::checker::check;
    use crate::campaign::event::{Event, Said, What};
    use crate::campaign::stage::Times;

    fn fault(number: usize, at: u64, kind: &str) -> [Event; 3] {
        let (fault, kind) = (number, kind.to_owned());
        let injecting = What::Injecting { fault, kind, node: None, whom: String::new() };
        [event(at, injecting), event(at + 1, What::Injected { fault }), event(at + 2, What::Healed { fault })]
    }

    /// A run in which node 0 loses by "one" and again by nothing, and node 1 holds beside it by "two", and by "broken".
    pub(crate) fn tally() -> Tally {
        let started = Said::Started { helper: 1 };
        let holds = |at, until, node| {
            [
                said(at - 1, node, started),
                said(at, node, Said::Byte('0')),
                said(until, node, Said::End { looked: ms(until) }),
            ]
        };
        let mut history: Vec<Event> =
            [fault(0, 100, "one"), fault(1, 20_000, "two"), fault(2, 40_000, "broken")].concat();
        history.extend([holds(10, 1000, 0), holds(19_000, 22_000, 0), holds(39_000, 41_000, 0)].concat());
        history.extend(holds(60_000, 61_000, 0));
        history.extend([said(20_999, 1, started), said(21_000, 1, Said::Byte('0')), said(23_000, 1, Said::Terminates)]);
        history.extend([said(40_499, 1, started), said(40_500, 1, Said::Byte('0')), said(42_000, 1, Said::Terminates)]);
        history.sort_by_key(|event| event.at);
        let second = Duration::from_secs(1);
        let times = Times::of_lease(second * 4, second / 5, second);
        let own_table = BTreeMap::from([("broken".to_owned(), true)]);
        let rules = Rules { times, own_table, excused: BTreeMap::new(), excused_beside: Vec::new() };
        let seen = Seen { history, took: second * 60, missed: 1, failed: None };
        Tally::of(("etcd", "ours", 7, 5), &seen, &check(&seen.history, &rules), &rules)
    }

    #[test]
    fn what_happened_is_put_down_to_its_fault() {
        let tally = tally();
        let of = |kind: &str| tally.kinds[kind].clone();
        assert_eq!((of("one").faults, of("one").losses, of("one").violations.count), (1, 1, 0));
        assert_eq!((of("two").losses, of("two").violations), (1, Measured { count: 1, longest: 1.0 }));
        assert_eq!((of("broken").overlaps, of("broken").bound), (Measured { count: 1, longest: 0.5 }, Some(1.8)));
        assert_eq!(of("broken").noticed, Measured { count: 1, longest: 0.999 });
        assert_eq!((tally.unprovoked, tally.losses(), tally.faults(), tally.locks), (1, 4, 3, 6));
        assert_eq!(tally.while_held, 3);
        assert_eq!((tally.violations.count, tally.beyond_bounds(), tally.is_kept()), (1, 0, false));
    }

    #[test]
    fn an_overlap_beyond_its_bound_breaks_a_promise_and_where_none_is_made_it_does_not() {
        let mut tally = tally();
        tally.violations = Measured::default();
        assert!(tally.is_kept());
        let broken = tally.kinds.get_mut("broken").unwrap();
        broken.overlaps.longest = 1.9;
        assert!(!tally.is_kept());
        let broken = tally.kinds.get_mut("broken").unwrap();
        (broken.overlaps, broken.noticed) = (Measured::default(), Measured { count: 1, longest: 1.9 });
        assert!(!tally.is_kept());
        tally.kinds.get_mut("broken").unwrap().promised = false;
        assert!(tally.is_kept());
        tally.without_holder = 1;
        assert!(!tally.is_kept());
        tally.without_holder = 0;
        tally.tries.extra_bytes = 1;
        assert!(!tally.is_kept());
    }

    #[test]
    fn a_run_that_failed_is_a_run_and_older_records_can_be_read() {
        let failed = Tally::failed(("etcd", "ours", 8, 3), &anyhow::anyhow!("a\n  b").context("set up"));
        assert_eq!(failed.failed.as_deref(), Some("set up: a b"));
        let sum = failed.with(&tally());
        assert_eq!((sum.faults(), sum.lease.to_bits()), (3, 4.0_f64.to_bits()));
        let mut older = serde_json::to_value(tally()).unwrap();
        older.as_object_mut().unwrap().retain(|name, _| name != "failed" && name != "tries");
        assert_eq!(serde_json::from_value::<Tally>(older).unwrap(), tally());
    }

    #[test]
    fn runs_add_up() {
        let sum = tally().with(&tally());
        assert_eq!((sum.faults(), sum.losses(), sum.missed, sum.violations.count), (6, 8, 2, 2));
        assert_eq!(sum.violations.longest.to_bits(), 1.0_f64.to_bits());
        assert_eq!(sum.kinds["broken"].bound, Some(1.8));
    }
}
