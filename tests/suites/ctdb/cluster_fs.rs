//! What is so with a lock file on a cluster file system alone, one mount a node: it can lose one of its servers, let go of
//! one node's mount, or hang on all of them.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::services::ctdb::log::Line;
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::Times;

use crate::Case;
use crate::at_once::AT_ONCE;
use crate::bench::Running;
use crate::file::RECHECK;
use crate::hang::hung;
use crate::stopwatch::Stopwatch;
use crate::successor::first_period;

pub(crate) const CASES: &[Case] = &[
    ("the leader's whole node killed: a new leader in the first election period", |running| {
        first_period(running, Node::kill)
    }),
    ("a server of the file system killed and started again: the leader stays", server_restarted),
    ("the leader's client gone: a new leader after the next proof, and nobody is banned", client_gone),
    ("the file system hung for a minute: every node survives it, and nothing is left after the thaw", hung),
];

/// A loss that the file system tells of is noticed with the next proof (P2c).
const NOTICED: Duration = RECHECK.saturating_add(Duration::from_secs(1));

fn server_restarted(running: &Running) -> anyhow::Result<Times> {
    let fault = running.store.mounts()?.server_killed();
    running.cluster.wait_healthy()?;
    let watch = Stopwatch::start(&running.cluster)?;
    let killed = fault.inject()?;
    // The fault itself: a proof falls into it.
    std::thread::sleep(RECHECK);
    killed.heal()?;
    // For as long as a loss could take to be noticed.
    std::thread::sleep(NOTICED);
    let stirs = |line: &Line| {
        line.is_lost() || line.is_released() || line.is_taken() || line.is_try() || line.is_leader_missed()
    };
    ensure!(!watch.lines()?.iter().any(stirs), "CTDB noticed, {}", watch.transcript());
    Ok(Times::default())
}

/// The node stays a member: its probes keep silent, and CTDB takes that for an answer.
fn client_gone(running: &Running) -> anyhow::Result<Times> {
    let old = running.cluster.wait_healthy()?;
    let fault = running.store.mounts()?.client_gone(old.number());
    let watch = Stopwatch::start(&running.cluster)?;
    let gone = fault.inject()?;
    let (taken, took) = watch.outcome()?;
    let lost = watch.lost()?;
    let reported = watch.until(lost)?;
    ensure!(reported <= NOTICED, "the loss reported after {reported:?}, not within {NOTICED:?}");
    ensure!(taken.node != old.number(), "the node without the file system leads again, {}", watch.transcript());
    // Earlier than the loss, should somebody have tried meanwhile; the watcher knows.
    let elected = taken.at.duration_since(lost).unwrap_or_default();
    ensure!(elected <= AT_ONCE, "elected {elected:?} after the loss, not within {AT_ONCE:?}, {}", watch.transcript());
    running.cluster.wait_healthy().with_context(|| watch.transcript())?;
    running.cluster.watcher()?.excuse(NOTICED)?;
    // What its processes still have of the old mount is not to be in the way of the new one.
    old.kill()?;
    gone.heal()?;
    old.start()?;
    running.cluster.wait_healthy().with_context(|| watch.transcript())?;
    Ok(Times::from(vec![took]))
}
