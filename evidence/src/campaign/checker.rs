//! The checker: from what happened to what was wrong with it. A pure function.
//!
//! Two beliefs of two nodes that overlap are a violation, with three exceptions, each as narrow as it can be, each counted
//! and measured, none hidden:
//!
//! - **fencing**, which nobody promises (DESIGN 2): a host that was frozen whole goes on with a parent that has not read
//!   the end of the pipe yet. Only a belief that such a host had when it was stopped, and only where it ends within the
//!   time of one call (T) after the host went on: by EOF, or before that could come.
//! - **own table**: an admin breaks or replaces the lock, a clock is off by more than is allowed for. Such a fault comes
//!   alone, and where it hits one node, that node's belief is the earlier one. The overlap is measured against its bound;
//!   more than that is shown as such.
//! - **excused**: a common fault after which this backend promises EOF within a short time only (a file's worker that is
//!   killed: the kernel frees the lock first). Only the node that was hit, only within that time, else it is a violation.
//!   Where it is excused for longer beside another fault, the two together are a kind of their own ([`together`]).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::belief::{Belief, Ended, beliefs};
use super::event::{Event, Moment, Said, What};
use super::kind::COMMON;
use super::stage::{Kind, Table, Terms, Times};

/// A lock that is free is taken by the next try: that is so long in coming, at most, on a busy machine.
const NEXT_TRY: Duration = Duration::from_secs(2);

/// What the checker has to know of the lock and of the kinds.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The lock's times.
    pub times: Times,
    /// The kinds that have a table of their own, and whether anything is promised there.
    pub own_table: BTreeMap<String, bool>,
    /// The common kinds that are excused, and for how long.
    pub excused: BTreeMap<String, Duration>,
    /// Of these, those that are excused for longer while a fault of the second kind is there.
    pub excused_beside: Vec<(String, String)>,
}

/// Two beliefs at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// Whose, the earlier one first.
    pub nodes: [usize; 2],
    /// Since when.
    pub from: Moment,
    /// Until when.
    pub until: Moment,
    /// What it counts as.
    pub counts_as: CountsAs,
}

/// What an overlap is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CountsAs {
    /// A broken promise.
    Violation,
    /// Of a host that was frozen whole.
    Fencing,
    /// Of a fault of this kind, which has a bound of its own.
    Bounded(String),
}

/// A fault as it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Its number.
    pub fault: usize,
    /// Its kind.
    pub kind: String,
    /// The node that it hit.
    pub node: Option<usize>,
    /// What it hit, for people.
    pub whom: String,
    /// From when it may have been there.
    pub from: Moment,
    /// From when it was there.
    pub there: Moment,
    /// Until when it may have been there.
    pub until: Moment,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// All beliefs.
    pub beliefs: Vec<Belief>,
    /// All overlaps.
    pub overlaps: Vec<Overlap>,
    /// All faults that came.
    pub hits: Vec<Hit>,
    /// Where a lock was taken away, which is promised to be noticed (P2b): the index of the fault, and for how long whoever had
    /// it went on believing.
    pub noticed: Vec<(usize, Duration)>,
    /// Ends of the pipe that a holder saw, each with the index of the fault that it is put down to.
    pub losses: Vec<(Moment, Option<usize>)>,
    /// For each quiet, how long it took until somebody held; `Err` where nobody did in time.
    pub quiets: Vec<Result<Duration, Duration>>,
    /// Times in which a parent that held was not run though nobody had stopped it.
    pub busy: Vec<Duration>,
    /// What tries came to that is neither the lock nor contention.
    pub tries: Tries,
}

impl Rules {
    /// Those of these terms.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        let own = |kind: &&Kind| kind.table.is_own();
        let promised = |kind: &Kind| (kind.name.to_owned(), kind.table == Table::OwnTable);
        let excuse = |kind: &Kind| Some((kind.name.to_owned(), (terms.excuse)(kind)?));
        let mut excused: BTreeMap<_, _> = COMMON.iter().filter_map(excuse).collect();
        let mut excused_beside = Vec::new();
        for (common, other) in COMMON.iter().flat_map(|common| terms.kinds.iter().map(move |other| (common, other))) {
            if let Some(excuse) = (terms.excuse_beside)(common, other) {
                excused.insert(together(common.name, other.name), excuse);
                excused_beside.push((common.name.to_owned(), other.name.to_owned()));
            }
        }
        let own_table = terms.kinds.iter().filter(own).map(promised).collect();
        Self { times: terms.times, own_table, excused, excused_beside }
    }

    /// By how much the beliefs may overlap after a fault of this kind, if they may at all.
    #[must_use]
    pub fn bound(&self, kind: &str) -> Option<Duration> {
        let own = || self.own_table.contains_key(kind).then(|| self.times.taken_away());
        self.excused.get(kind).copied().or_else(own)
    }
}

/// The name of a common kind that came while a fault of another kind was there.
#[must_use]
pub fn together(common: &str, other: &str) -> String {
    format!("{common}, with {other}")
}

/// Gives those that came beside such a fault, to the same node, the name of both.
fn name_together(hits: &mut [Hit], rules: &Rules) {
    for (common, other) in &rules.excused_beside {
        let others: Vec<_> =
            hits.iter().filter(|hit| hit.kind == *other).map(|hit| (hit.node, hit.from, hit.until)).collect();
        for hit in hits.iter_mut().filter(|hit| hit.kind == *common) {
            let beside = |&(node, from, until): &(Option<usize>, Moment, Moment)| {
                node == hit.node && from <= hit.there && hit.from <= until
            };
            if others.iter().any(beside) {
                hit.kind = together(common, other);
            }
        }
    }
}

/// Within what time a holder has to be there in a quiet.
#[must_use]
pub fn holder_within(times: &Times) -> Duration {
    times.free + NEXT_TRY
}

impl Overlap {
    /// How long.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.until.since(self.from)
    }
}

impl Verdict {
    /// The overlaps that break a promise.
    pub fn violations(&self) -> impl Iterator<Item = &Overlap> {
        self.overlaps.iter().filter(|overlap| overlap.counts_as == CountsAs::Violation)
    }

    /// Whether somebody held at this moment.
    #[must_use]
    pub fn is_held(&self, at: Moment) -> bool {
        self.beliefs.iter().any(|belief| belief.from <= at && at < belief.until)
    }

    /// How many locks were taken.
    #[must_use]
    pub fn locks(&self) -> usize {
        self.beliefs.iter().map(|belief| belief.lock + 1).max().unwrap_or(0)
    }

    /// How many quiets had no holder in time.
    #[must_use]
    pub fn without_holder(&self) -> usize {
        self.quiets.iter().filter(|quiet| quiet.is_err()).count()
    }
}

/// What tries came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// Answered `3`: an error.
    pub errors: usize,
    /// Ended before a byte.
    pub no_byte: usize,
    /// Bytes after the first: there is to be one.
    pub extra_bytes: usize,
    /// Not begun: the parent could not start a helper.
    pub not_started: usize,
}

/// Counts them. What a killed parent still said is nothing, and a helper that died with its node has ended before a byte.
fn tries(history: &[Event]) -> Tries {
    let mut tries = Tries::default();
    // Whose helper has not answered yet.
    let mut open: BTreeMap<usize, bool> = BTreeMap::new();
    for Event { what, .. } in history {
        match what {
            What::ParentEnds { node } => drop(open.remove(node)),
            What::Parent { node, said } => match said {
                Said::Started { .. } => drop(open.insert(*node, true)),
                Said::Byte(byte) => {
                    open.insert(*node, false);
                    tries.errors += usize::from(*byte == '3');
                }
                Said::End { .. } => tries.no_byte += usize::from(open.remove(node) == Some(true)),
                Said::Extra(_) => tries.extra_bytes += 1,
                Said::Failed => tries.not_started += 1,
                Said::Terminates => drop(open.remove(node)),
                Said::Still { .. } => {}
            },
            _ => {}
        }
    }
    tries
}

/// Reads a history, which is in the order of time.
#[must_use]
pub fn check(history: &[Event], rules: &Rules) -> Verdict {
    let (beliefs, mut hits) = (beliefs(history), hits(history));
    name_together(&mut hits, rules);
    let mut overlaps = Vec::new();
    for (mut one, mut other, from, until) in pairs(&beliefs) {
        if other.from < one.from {
            (one, other) = (other, one);
        }
        let counts_as = judge([one, other], from, until, &hits, rules);
        overlaps.push(Overlap { nodes: [one.node, other.node], from, until, counts_as });
    }
    overlaps.sort_by_key(|overlap| overlap.from);
    let lost = beliefs.iter().filter(|belief| belief.ended == Ended::Lost);
    let losses = lost.map(|belief| (belief.until, blame(belief.until, &hits, rules.times.lease))).collect();
    let quiets = quiets(history, &beliefs, rules);
    let noticed = noticed(&beliefs, &hits, rules);
    Verdict { overlaps, noticed, losses, quiets, busy: busy(history), tries: tries(history), hits, beliefs }
}

/// For how long they believed to whom a fault with a promise of its own came. Who let go by itself before the bound would not
/// have been told yet.
fn noticed(beliefs: &[Belief], hits: &[Hit], rules: &Rules) -> Vec<(usize, Duration)> {
    let mut found = Vec::new();
    for (index, hit) in hits.iter().enumerate().filter(|(_, hit)| rules.own_table.get(&hit.kind) == Some(&true)) {
        let had = |belief: &&Belief| {
            belief.from < hit.from && belief.until >= hit.from && hit.node.is_none_or(|node| node == belief.node)
        };
        for belief in beliefs.iter().filter(had) {
            let after = belief.until.since(hit.there.min(belief.until));
            if belief.ended == Ended::Lost || after > rules.times.taken_away() {
                found.push((index, after));
            }
        }
    }
    found
}

/// The pauses of the parents' loops that no stop explains.
fn busy(history: &[Event]) -> Vec<Duration> {
    let mut went_on: BTreeMap<usize, Moment> = BTreeMap::new();
    let mut found = Vec::new();
    for Event { at, what } in history {
        match what {
            What::ParentGoesOn { node } => drop(went_on.insert(*node, *at)),
            What::Parent { node, said: Said::Still { looked } } if went_on.get(node).is_none_or(|on| on < looked) => {
                found.push(at.since(*looked));
            }
            _ => {}
        }
    }
    found
}

/// Every two beliefs of two nodes that overlap, and where.
fn pairs(beliefs: &[Belief]) -> Vec<(&Belief, &Belief, Moment, Moment)> {
    let mut found = Vec::new();
    let mut open: Vec<&Belief> = Vec::new();
    for belief in beliefs {
        open.retain(|earlier| earlier.until > belief.from);
        for earlier in open.iter().filter(|earlier| earlier.node != belief.node) {
            let until = earlier.until.min(belief.until);
            if until > belief.from {
                found.push((*earlier, belief, belief.from, until));
            }
        }
        open.push(belief);
    }
    found
}

fn judge(both: [&Belief; 2], from: Moment, until: Moment, hits: &[Hit], rules: &Rules) -> CountsAs {
    let Times { lease, call, .. } = rules.times;
    // The whole of it, not only where another believed too.
    let of_a_thaw = |belief: &Belief| belief.thawed.is_some_and(|thaw| belief.until <= thaw + call);
    if both.into_iter().any(of_a_thaw) {
        return CountsAs::Fencing;
    }
    let bounded = |hit: &&Hit| {
        let Some(bound) = rules.bound(&hit.kind) else { return false };
        if rules.excused.contains_key(&hit.kind) {
            // The one that was hit believed before, and no longer than the excuse goes.
            let victim = both.into_iter().find(|belief| Some(belief.node) == hit.node);
            return victim.is_some_and(|victim| victim.from < hit.from)
                && from >= hit.from
                && until <= hit.there + bound;
        }
        // Where it hit one node, that one believed before: what it did to another's lock is nothing that it excuses.
        hit.node.is_none_or(|node| node == both[0].node)
            && both[0].from < hit.there
            && from >= hit.from
            && from <= hit.until + lease
    };
    hits.iter().find(bounded).map_or(CountsAs::Violation, |hit| CountsAs::Bounded(hit.kind.clone()))
}

/// The fault that something is put down to: the last one that came while it, or what it left behind, was there.
pub(super) fn blame(at: Moment, hits: &[Hit], lease: Duration) -> Option<usize> {
    let there = |hit: &Hit| hit.from <= at && at <= hit.until + lease;
    hits.iter().enumerate().filter(|(_, hit)| there(hit)).max_by_key(|(_, hit)| hit.from).map(|(index, _)| index)
}

fn hits(history: &[Event]) -> Vec<Hit> {
    let mut all: Vec<Hit> = Vec::new();
    let over = history.last().map_or(Moment(0), |event| event.at);
    for Event { at, what } in history {
        match what {
            What::Injecting { fault, kind, node, whom } => all.push(Hit {
                fault: *fault,
                kind: kind.clone(),
                node: *node,
                whom: whom.clone(),
                from: *at,
                there: over,
                until: over,
            }),
            What::Missed { fault } => all.retain(|hit| hit.fault != *fault),
            What::Injected { fault } => {
                all.iter_mut().filter(|hit| hit.fault == *fault).for_each(|hit| hit.there = *at);
            }
            What::Healed { fault } => {
                all.iter_mut().filter(|hit| hit.fault == *fault).for_each(|hit| hit.until = *at);
            }
            _ => {}
        }
    }
    all
}

fn quiets(history: &[Event], beliefs: &[Belief], rules: &Rules) -> Vec<Result<Duration, Duration>> {
    let healthy = history.iter().enumerate().filter(|(_, event)| event.what == What::Healthy);
    let quiet = |(index, event): (usize, &Event)| {
        let ends = history[index..].iter().find(|event| event.what == What::QuietEnds)?.at;
        let limit = holder_within(&rules.times);
        // The campaign ends a quiet as soon as it knows of a holder, who may have let go a moment before.
        let until = ends.max(event.at + limit);
        let holds = beliefs.iter().filter(|belief| belief.until > event.at && belief.from < until);
        let first = holds.map(|belief| belief.from.since(event.at)).min();
        match first {
            Some(time) if time <= limit => Some(Ok(time)),
            Some(time) => Some(Err(time)),
            None => Some(Err(ends.since(event.at))),
        }
    };
    healthy.filter_map(quiet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::belief::tests::{event, goes_on, ms, said, stopped};
    use crate::campaign::dice::Dice;

    const STARTED: Said = Said::Started { helper: 1 };
    const HELD: Said = Said::Byte('0');

    fn rules() -> Rules {
        let times = Times::of_lease(Duration::from_secs(4), Duration::from_millis(200), Duration::from_secs(1));
        Rules {
            times,
            own_table: BTreeMap::from([("lock broken".to_owned(), true)]),
            excused: BTreeMap::from([
                ("worker killed".to_owned(), Duration::from_millis(50)),
                (together("worker killed", "answers lost"), Duration::from_secs(3)),
            ]),
            excused_beside: vec![("worker killed".to_owned(), "answers lost".to_owned())],
        }
    }

    fn lost(at: u64, node: usize) -> Event {
        said(at, node, Said::End { looked: ms(at - 1) })
    }

    fn fault(at: u64, kind: &str, node: Option<usize>) -> [Event; 2] {
        let kind = kind.to_owned();
        let injecting = What::Injecting { fault: 0, kind, node, whom: String::new() };
        [event(at, injecting), event(at + 1, What::Injected { fault: 0 })]
    }

    fn found(mut history: Vec<Event>) -> Vec<(u64, u64, CountsAs)> {
        history.sort_by_key(|event| event.at);
        let found = check(&history, &rules()).overlaps;
        found.into_iter().map(|one| (one.from.0 / 1_000_000, one.until.0 / 1_000_000, one.counts_as)).collect()
    }

    /// Node 0 holds from 10 until it loses at this time; node 1 from 1000 until 2000.
    fn two(lost_at: u64) -> Vec<Event> {
        vec![
            said(1, 0, STARTED),
            said(10, 0, HELD),
            lost(lost_at, 0),
            said(900, 1, STARTED),
            said(1000, 1, HELD),
            said(2000, 1, Said::Terminates),
        ]
    }

    #[test]
    fn two_at_once_are_a_violation_and_one_after_the_other_are_none() {
        assert_eq!(found(two(1003)), [(1000, 1003, CountsAs::Violation)]);
        assert_eq!(found(two(1000)), []);
        assert_eq!(found(two(999)), []);
        assert_eq!(found(two(3000)), [(1000, 2000, CountsAs::Violation)]);
    }

    #[test]
    fn three_at_once_are_three_pairs() {
        let mut history = two(3000);
        history.extend([said(1400, 2, STARTED), said(1500, 2, HELD), lost(1600, 2)]);
        let violation = CountsAs::Violation;
        let wanted = [(1000, 2000, violation.clone()), (1500, 1600, violation.clone()), (1500, 1600, violation)];
        assert_eq!(found(history), wanted);
    }

    #[test]
    fn a_host_that_was_frozen_whole_is_fencing_only_right_after_its_thaw() {
        let frozen = |still: u64, until: u64, whole| {
            let looked = ms(99);
            let mut history = two(1);
            history.retain(|event| event.what.node() == Some(1));
            history.extend([said(1, 0, STARTED), said(10, 0, HELD), stopped(100, 0, whole), goes_on(1200, 0)]);
            history.extend([said(still, 0, Said::Still { looked }), lost(until, 0)]);
            found(history)
        };
        assert_eq!(frozen(1201, 1210, true), [(1201, 1210, CountsAs::Fencing)]);
        assert_eq!(frozen(1201, 2200, true), [(1201, 2000, CountsAs::Fencing)], "T is 1 s");
        assert_eq!(frozen(1201, 2201, true), [(1201, 2000, CountsAs::Violation)], "its own end counts");
        assert_eq!(frozen(1201, 1210, false), [(1201, 1210, CountsAs::Violation)], "the parent alone");
        assert_eq!(frozen(1990, 2300, true), [(1990, 2000, CountsAs::Violation)]);
    }

    #[test]
    fn a_thawed_host_that_reads_its_first_byte_or_believes_on_is_not_fencing_however_it_ends() {
        let other = [said(900, 1, STARTED), said(1000, 1, HELD), said(2000, 1, Said::Terminates)];
        let mut first = vec![said(1, 0, STARTED), stopped(100, 0, true), goes_on(1200, 0)];
        first.extend([said(1201, 0, HELD), lost(1210, 0)]);
        first.extend(other.clone());
        assert_eq!(found(first), [(1201, 1210, CountsAs::Violation)], "it did not believe before");
        let ended = |at| {
            let mut history = vec![said(1, 0, STARTED), said(10, 0, HELD), stopped(100, 0, true), goes_on(1200, 0)];
            history.extend([said(1201, 0, Said::Still { looked: ms(99) }), said(at, 0, Said::Terminates)]);
            history.extend(other.clone());
            found(history)
        };
        assert_eq!(ended(1202), [(1201, 1202, CountsAs::Fencing)], "it lets go before it can have been told");
        assert_eq!(ended(2201), [(1201, 2000, CountsAs::Violation)], "T is 1 s, and no EOF came");
    }

    #[test]
    fn a_host_that_was_frozen_whole_and_believes_for_longer_is_a_violation() {
        let history = vec![
            said(1, 0, STARTED),
            said(10, 0, HELD),
            stopped(100, 0, true),
            said(900, 1, STARTED),
            said(1000, 1, HELD),
            goes_on(1200, 0),
            said(1201, 0, Said::Still { looked: ms(99) }),
            lost(2202, 0),
            said(2300, 1, Said::Terminates),
        ];
        assert_eq!(found(history), [(1201, 2202, CountsAs::Violation)]);
    }

    #[test]
    fn a_fault_with_a_table_of_its_own_counts_there_and_a_lock_taken_after_it_does_not() {
        let mut history = two(1500);
        history.extend(fault(990, "lock broken", Some(0)));
        assert_eq!(found(history), [(1000, 1500, CountsAs::Bounded("lock broken".to_owned()))]);
        let mut anyone = two(1500);
        anyone.extend(fault(990, "lock broken", None));
        assert_eq!(found(anyone), [(1000, 1500, CountsAs::Bounded("lock broken".to_owned()))]);
        let mut elsewhere = two(1500);
        elsewhere.extend(fault(990, "lock broken", Some(1)));
        assert_eq!(found(elsewhere), [(1000, 1500, CountsAs::Violation)], "another node's lock");
        let mut before = two(1500);
        before.extend(fault(1001, "lock broken", Some(0)));
        assert_eq!(found(before), [(1000, 1500, CountsAs::Violation)], "the overlap was there before");
        let mut other = two(1500);
        other.extend(fault(990, "node frozen", Some(0)));
        assert_eq!(found(other), [(1000, 1500, CountsAs::Violation)], "no such kind");
        let mut early = two(1500);
        early.extend(fault(2, "lock broken", Some(0)));
        assert_eq!(found(early), [(1000, 1500, CountsAs::Violation)], "neither believed when it came");
    }

    #[test]
    fn who_lost_a_lock_that_was_taken_away_has_to_see_it_in_time() {
        let noticed = |until: Event| {
            let mut history = vec![said(1, 0, STARTED), said(10, 0, HELD), until];
            history.extend(fault(990, "lock broken", None));
            history.sort_by_key(|event| event.at);
            check(&history, &rules()).noticed
        };
        let long = Duration::from_millis;
        assert_eq!(noticed(lost(1500, 0)), [(0, long(509))], "from when it was there");
        assert_eq!(noticed(lost(3000, 0)), [(0, long(2009))]);
        assert_eq!(noticed(said(1500, 0, Said::Terminates)), [], "R + T is 1.8 s: it might have seen it yet");
        assert_eq!(noticed(said(3000, 0, Said::Terminates)), [(0, long(2009))]);
        assert_eq!(noticed(lost(500, 0)), [], "before");
    }

    #[test]
    fn an_excuse_is_for_the_node_that_was_hit_and_ends_in_time() {
        let with = |lost_at, node| {
            let mut history = two(lost_at);
            history.extend(fault(990, "worker killed", Some(node)));
            found(history)
        };
        let excused = CountsAs::Bounded("worker killed".to_owned());
        assert_eq!(with(1041, 0), [(1000, 1041, excused)]);
        assert_eq!(with(1042, 0), [(1000, 1042, CountsAs::Violation)], "50 ms after it was there");
        assert_eq!(with(1041, 1), [(1000, 1041, CountsAs::Violation)], "another node");
    }

    #[test]
    fn an_excuse_is_longer_only_beside_the_fault_that_makes_it_so() {
        let with = |lost_at, healed, node| {
            let mut history = two(lost_at);
            let kind = "answers lost".to_owned();
            history.push(event(500, What::Injecting { fault: 1, kind, node: Some(node), whom: String::new() }));
            history.push(event(healed, What::Healed { fault: 1 }));
            history.extend(fault(990, "worker killed", Some(0)));
            found(history)
        };
        let both = CountsAs::Bounded(together("worker killed", "answers lost"));
        assert_eq!(with(1900, 1950, 0), [(1000, 1900, both)]);
        assert_eq!(with(1900, 980, 0), [(1000, 1900, CountsAs::Violation)], "it was healed before");
        assert_eq!(with(1900, 1950, 1), [(1000, 1900, CountsAs::Violation)], "another node's answers");
    }

    #[test]
    fn losses_are_put_down_to_the_fault_that_came_last() {
        let mut history = two(500);
        history.extend(fault(100, "one", None));
        history.push(event(110, What::Healed { fault: 0 }));
        history.sort_by_key(|event| event.at);
        let verdict = check(&history, &rules());
        assert_eq!(verdict.losses, [(ms(500), Some(0))]);
        assert_eq!(verdict.locks(), 2);
        assert_eq!(blame(ms(110 + 4001), &verdict.hits, Duration::from_secs(4)), None);
        assert_eq!(blame(ms(99), &verdict.hits, Duration::from_secs(4)), None);
    }

    #[test]
    fn a_parent_that_nobody_stopped_and_that_did_not_run_was_kept_from_it() {
        let still = |at, looked| said(at, 0, Said::Still { looked: ms(looked) });
        let history = [said(1, 0, HELD), stopped(10, 0, false), goes_on(500, 0), still(501, 9), still(700, 600)];
        assert_eq!(check(&history, &rules()).busy, [Duration::from_millis(100)]);
    }

    #[test]
    fn tries_that_come_to_nothing_are_counted_and_second_bytes_are() {
        let end = |at| lost(at, 0);
        let history = [
            said(1, 0, STARTED),
            said(2, 0, Said::Byte('3')),
            said(3, 0, STARTED),
            end(4),
            said(5, 0, STARTED),
            said(6, 0, HELD),
            said(7, 0, Said::Extra('0')),
            end(8),
            said(9, 0, STARTED),
            said(10, 0, Said::Terminates),
            said(11, 0, Said::Failed),
        ];
        let verdict = check(&history, &rules());
        assert_eq!(verdict.tries, Tries { errors: 1, no_byte: 1, extra_bytes: 1, not_started: 1 });
        assert_eq!(verdict.beliefs.len(), 1);
    }

    #[test]
    fn somebody_has_to_hold_in_a_quiet() {
        let quiet = |healthy: u64, holds: Option<u64>, ends: u64| {
            let mut history = vec![event(healthy, What::Healthy), event(ends, What::QuietEnds)];
            history.extend(holds.into_iter().flat_map(|at| [said(at - 1, 0, STARTED), said(at, 0, HELD)]));
            history.sort_by_key(|event| event.at);
            check(&history, &rules()).quiets
        };
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        assert_eq!(quiet(1000, Some(500), 1500), [Ok(Duration::ZERO)]);
        assert_eq!(quiet(1000, Some(1700), 3000), [Ok(ms(700))]);
        assert_eq!(quiet(1000, Some(1700), 1001), [Ok(ms(700))], "it seemed that somebody held");
        assert_eq!(quiet(1000, Some(8000), 9000), [Ok(secs(7))]);
        assert_eq!(quiet(1000, Some(8001), 9000), [Err(ms(7001))]);
        assert_eq!(quiet(1000, None, 9000), [Err(secs(8))]);
        assert_eq!(quiet(1000, Some(9001), 9000), [Err(secs(8))], "not in this quiet");
    }

    /// Against who believed at each millisecond.
    #[test]
    fn pairs_are_those_that_a_slow_look_finds() {
        for seed in 0..200 {
            let mut dice = Dice::new(seed, 0);
            let mut history = Vec::new();
            let mut believed = vec![[false; 3]; 200];
            for node in 0..3 {
                let mut at = 1 + dice.below(20);
                while at < 150 {
                    let until = at + 1 + dice.below(30);
                    let time = |at: usize| u64::try_from(at).unwrap();
                    history.extend([said(time(at), node, STARTED), said(time(at), node, HELD)]);
                    history.push(said(time(until), node, Said::Terminates));
                    believed[at..until].iter_mut().for_each(|nodes| nodes[node] = true);
                    at = until + dice.below(40);
                }
            }
            history.sort_by_key(|event| event.at);
            let two = |nodes: &[bool; 3]| {
                let n = nodes.iter().filter(|believes| **believes).count();
                n * n.saturating_sub(1) / 2
            };
            let slow: usize = believed.iter().map(two).sum();
            let found = check(&history, &rules()).overlaps;
            let length: Duration = found.iter().map(Overlap::length).sum();
            assert_eq!(length, Duration::from_millis(u64::try_from(slow).unwrap()), "seed {seed}");
        }
    }
}
