//! The helper ended: CTDB sees the end of the pipe, and elects at once.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::Times;
use rustix::process::Signal;

use crate::bench::Running;
use crate::stopwatch::Stopwatch;
use crate::{Case, RUNS};

pub(crate) const CASES: &[Case] =
    &[("the process that CTDB started killed: a new leader within 0.5 s", |running| killed(running, Node::helper))];

/// From the fault to the new leader, where the lock is free at once (issue 2); elsewhere to the old one's letting go.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(500);

/// Kills a process of the leader's helper, again and again.
pub(crate) fn killed(running: &Running, victim: fn(&Node) -> anyhow::Result<Process>) -> anyhow::Result<Times> {
    let mut all = Vec::new();
    let mut late = Vec::new();
    let mut leader = running.cluster.wait_healthy()?;
    for run in 1..=RUNS {
        let victim = victim(leader)?;
        let watch = Stopwatch::start(&running.cluster)?;
        victim.signal(Signal::KILL)?;
        let (taken, took) = watch.outcome().with_context(|| format!("run {run}"))?;
        if took > AT_ONCE {
            late.push(format!("run {run}: {took:?}, {}", watch.transcript()));
        }
        all.push(took);
        leader = running.cluster.wait_healthy()?;
        ensure!(leader.number() == taken.node, "run {run}: the nodes follow another, {}", watch.transcript());
    }
    ensure!(late.is_empty(), "later than {AT_ONCE:?} in {} of {RUNS} runs\n{}", late.len(), late.join("\n"));
    Ok(Times::from(all))
}
