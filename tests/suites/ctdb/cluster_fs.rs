//! What is so with a lock file on a cluster file system alone, one mount a node: it keeps what a dead host has locked for
//! a while, it can lose one of its servers, let go of one node's mount, or hang on all of them.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::fault::Injected;
use mutex_tests::services::cluster_fs::is_locked;
use mutex_tests::services::ctdb::log::Line;
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::Times;

use crate::bench::Running;
use crate::file::{PING_TIMEOUT, RECHECK};
use crate::hang::hung;
use crate::kind::lock_file;
use crate::stopwatch::Stopwatch;
use crate::successor::first_period;
use crate::{Case, FIRST_PERIOD, SETTLED};

pub(crate) const CASES: &[Case] = &[
    ("the leader's processes killed, its mount lives on: a new leader in the first election period", |running| {
        first_period(running, Node::kill)
    }),
    ("the leader's host gone: a new leader within an election period once its mount is given up", host_gone),
    ("a server of the file system killed and started again: the leader stays", server_restarted),
    ("the leader's client gone: a new leader after the next proof, and nobody is banned", client_gone),
    ("the file system hung for a minute: every node survives it, and nothing is left after the thaw", hung),
];

/// A loss that the file system tells of is noticed with the next proof (P2c).
const NOTICED: Duration = RECHECK.saturating_add(Duration::from_secs(1));

/// CTDB elects at once; whoever it sent away then would come back after 5 s. The rest is for the file system's answers to
/// the tries, each of which took half a second with the machine full of other tests.
const ELECTED: Duration = Duration::from_secs(2);

/// The servers hear nothing more of the host, not even that it is gone: nobody gets the lock before they give up its mount.
fn host_gone(running: &Running) -> anyhow::Result<Times> {
    let mounts = running.store.mounts()?;
    let limit = mounts.gives_up_after() + FIRST_PERIOD;
    let old = running.cluster.wait_healthy()?;
    let faults = [mounts.fs().mount_cut_off(old.number()), mounts.fs().client_killed(old.number())];
    let watch = Stopwatch::start(&running.cluster)?;
    // In this order they are healed too, whatever happens: what is cut off cannot be mounted anew.
    let [cut_off, killed] = &faults;
    let injected = [cut_off.inject()?, killed.inject()?];
    old.kill()?;
    let another = mounts.fs().mount_point((old.number() + 1) % running.cluster.nodes().len());
    // A mount that waits for what the dead one has does not answer at all.
    let is_kept = is_locked(&lock_file(another)).unwrap_or(true);
    ensure!(is_kept, "the lock went with the host at once: the servers heard of its end");
    let (taken, took) = watch.outcome_within(limit)?;
    running.cluster.wait_agreed(taken.node, SETTLED).with_context(|| watch.transcript())?;
    running.cluster.wait_one_holder(SETTLED).with_context(|| watch.transcript())?;
    injected.into_iter().try_for_each(Injected::heal)?;
    old.start()?;
    running.cluster.wait_healthy().with_context(|| watch.transcript())?;
    Ok(Times::from(vec![took]))
}

fn server_restarted(running: &Running) -> anyhow::Result<Times> {
    let fault = running.store.mounts()?.server_killed();
    running.cluster.wait_healthy()?;
    let watch = Stopwatch::start(&running.cluster)?;
    let killed = fault.inject()?;
    // The fault itself: a proof falls into it.
    std::thread::sleep(RECHECK);
    killed.heal()?;
    // For as long as a proof that fell into it has for its answer.
    std::thread::sleep(RECHECK + PING_TIMEOUT);
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
    ensure!(elected <= ELECTED, "elected {elected:?} after the loss, not within {ELECTED:?}, {}", watch.transcript());
    running.cluster.wait_healthy().with_context(|| watch.transcript())?;
    running.cluster.watcher()?.excuse(NOTICED)?;
    // What its processes still have of the old mount is not to be in the way of the new one.
    old.kill()?;
    gone.heal()?;
    old.start()?;
    running.cluster.wait_healthy().with_context(|| watch.transcript())?;
    Ok(Times::from(vec![took]))
}
