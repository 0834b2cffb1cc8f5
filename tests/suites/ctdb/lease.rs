//! What is so with a lock that has a lease alone: it outlives the processes that hold it, and its store can be frozen.
//!
//! The losers of an election try again when they have missed the leader for 5 s, and then every 5 s. So what becomes free
//! with the end of a lease has a new leader up to an election period later.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::services::ctdb::log::Line;
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::{Times, percentile};
use rustix::process::Signal;

use crate::at_once::AT_ONCE;
use crate::bench::Running;
use crate::stopwatch::Stopwatch;
use crate::successor::{Succession, succession};
use crate::{Case, FIRST_PERIOD, RUNS, slow};

pub(crate) const NODE: &[Case] =
    &[("the leader's whole node killed: a new leader by the second election period", node_killed)];

pub(crate) const CASES: &[Case] = &[
    ("the worker killed: a new leader within the lease and an election period", worker_killed),
    ("the store frozen for three leases: the leader lets go in time, and there is one after the thaw", store_frozen),
];

/// CTDB's second try comes 9 s to 11 s after the leader's end.
pub(crate) const SECOND_PERIOD: Duration = Duration::from_millis(11_500);

/// The first comes after 4 s to 5 s.
const FIRST_TRY: Duration = Duration::from_millis(5500);

/// Leases that have run out by then, as a rule.
pub(crate) const FAST: Duration = Duration::from_secs(4);

/// The leader broadcasts so often, and CTDB's tries follow from the last one that was heard.
const BROADCAST_EVERY: Duration = Duration::from_secs(1);

/// What an ordinary run has time for: enough for the worst, not for the median. With a longer lease than a fast one no
/// first try can succeed, and runs differ little.
const SOME_FAST: u32 = 3;
pub(crate) const SOME: u32 = 1;

/// CTDB sees the pipe end and elects at once, and the lock is nobody's until its lease ends.
fn worker_killed(running: &Running) -> anyhow::Result<Times> {
    let limit = running.store.lease()? + FIRST_PERIOD;
    let victim = running.cluster.wait_healthy()?.worker()?;
    let watch = Stopwatch::start(&running.cluster)?;
    victim.signal(Signal::KILL)?;
    let (_, took) = watch.outcome()?;
    let reported = watch.until(watch.lost()?)?;
    ensure!(reported <= AT_ONCE, "the loss reported after {reported:?}, not within {AT_ONCE:?}");
    ensure!(took <= limit, "a new leader after {took:?}, not within {limit:?}, {}", watch.transcript());
    Ok(Times::from(vec![took]))
}

fn node_killed(running: &Running) -> anyhow::Result<Times> {
    let is_fast = running.store.lease()? <= FAST;
    let some = if is_fast { SOME_FAST } else { SOME };
    let times = again_and_again(some, SECOND_PERIOD, |after| succession(running, after, Node::kill))?;
    let median = percentile(&times, 50).unwrap_or_default();
    if slow() && is_fast {
        ensure!(median <= FIRST_TRY, "the median is {median:?}, more than {FIRST_TRY:?}: {times:?}");
    }
    Ok(Times::from(times))
}

/// Each time that a leader took to come, in ascending order; none over the limit. `some` times in an ordinary run. The old
/// one's end is at another moment between two broadcasts each time: tries come 9 s after it or 10 s.
pub(crate) fn again_and_again(
    some: u32,
    limit: Duration,
    succession: impl Fn(Duration) -> anyhow::Result<Succession>,
) -> anyhow::Result<Vec<Duration>> {
    let runs = if slow() { RUNS } else { some };
    let mut all = Vec::new();
    let mut late = Vec::new();
    for run in 1..=runs {
        let after = BROADCAST_EVERY * (2 * run - 1) / (2 * runs);
        let next = succession(after).with_context(|| format!("run {run}"))?;
        if next.took > limit {
            late.push(format!("run {run}: {:?}, {}", next.took, next.transcript));
        }
        all.push(next.took);
    }
    ensure!(late.is_empty(), "later than {limit:?} in {} of {runs} runs\n{}", late.len(), late.join("\n"));
    all.sort_unstable();
    Ok(all)
}

/// OSDs that were frozen for longer than Ceph's read leases (16 s) may answer 8 s after the thaw only, with the next
/// renewal of those (the placement group is `laggy` until then; Ceph's bug 53806): no try can have its answer earlier.
/// Members of etcd may have to elect first, and a new leader gives every lease its whole length again.
fn store_frozen(running: &Running) -> anyhow::Result<Times> {
    let lease = running.store.lease()?;
    let fault = running.store.frozen()?;
    running.cluster.wait_healthy()?;
    let from_freeze = Stopwatch::start(&running.cluster)?;
    let frozen = fault.inject()?;
    // The fault itself.
    std::thread::sleep(3 * lease);
    let held = from_freeze.until(from_freeze.lost()?)?;
    ensure!(held < lease, "the leader let go {held:?} after the freeze, {}", from_freeze.transcript());
    ensure!(!from_freeze.lines()?.iter().any(Line::is_taken), "a leader, {}", from_freeze.transcript());
    let from_thaw = Stopwatch::start(&running.cluster)?;
    frozen.heal()?;
    let (_, took) = from_thaw.outcome().with_context(|| from_freeze.transcript())?;
    Ok(Times::from(vec![took]))
}
