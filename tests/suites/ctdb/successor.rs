//! The leader ended: nobody tells CTDB, which elects when it has missed the leader for a while.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::services::ctdb::log::Line;
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::Times;
use rustix::process::Signal;

use crate::bench::Running;
use crate::stopwatch::Stopwatch;
use crate::{Case, FIRST_PERIOD, SETTLED};

/// The lock is free long before CTDB's first try, whatever it is in.
pub(crate) const CASES: &[Case] = &[
    ("the leader's ctdbd killed: a new leader in the first election period", ctdbd_killed),
    ("the leader's recovery daemon killed: a new leader in the first election period", recoverd_killed),
    ("the leader shut down: a new leader in the first election period", shut_down),
];

/// How the next leader came.
pub(crate) struct Succession {
    /// From the end of the last one.
    pub(crate) took: Duration,
    /// The most election periods that a node began until then.
    periods: usize,
    pub(crate) transcript: String,
}

fn ctdbd_killed(running: &Running) -> anyhow::Result<Times> {
    first_period(running, |node| node.ctdbd()?.signal(Signal::KILL))
}

fn recoverd_killed(running: &Running) -> anyhow::Result<Times> {
    first_period(running, |node| node.recoverd()?.signal(Signal::KILL))
}

fn shut_down(running: &Running) -> anyhow::Result<Times> {
    first_period(running, Node::shut_down)
}

/// Ends what leads; the next leader comes as early as CTDB can have one.
pub(crate) fn first_period(running: &Running, end: fn(&Node) -> anyhow::Result<()>) -> anyhow::Result<Times> {
    let Succession { took, periods, transcript } = succession(running, Duration::ZERO, end)?;
    ensure!(took <= FIRST_PERIOD, "a new leader after {took:?}, not within {FIRST_PERIOD:?}, {transcript}");
    ensure!(periods <= 1, "{periods} election periods, {transcript}");
    Ok(Times::from(vec![took]))
}

/// Ends what leads, so long after its last broadcast, and starts it again once there is a new leader.
pub(crate) fn succession(
    running: &Running,
    after: Duration,
    end: impl FnOnce(&Node) -> anyhow::Result<()>,
) -> anyhow::Result<Succession> {
    // `ctdb status` answers with a broadcast.
    let old = running.cluster.wait_healthy()?;
    // The moment of the end, in the second between two broadcasts.
    std::thread::sleep(after);
    let watch = Stopwatch::start(&running.cluster)?;
    end(old)?;
    let (taken, took) = watch.outcome()?;
    running.cluster.wait_agreed(taken.node, SETTLED).with_context(|| watch.transcript())?;
    let lines = watch.lines()?;
    let missed = |line: &&Line| line.is_leader_missed() && line.at <= taken.at;
    let periods = |node: &Node| lines.iter().filter(missed).filter(|line| line.node == node.number()).count();
    let periods = running.cluster.nodes().iter().map(periods).max().unwrap_or_default();
    let transcript = watch.transcript();
    // Before the restart, which would end what has been left.
    running.check_alone().with_context(|| transcript.clone())?;
    if !old.is_running() {
        running.cluster.restart(old.number())?;
    }
    Ok(Succession { took, periods, transcript })
}
