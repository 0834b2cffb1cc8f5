//! The event script: a node whose store does not answer is unhealthy.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::services::ctdb::log::Line;
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::Times;
use mutex_tests::wait::wait_for;

use crate::Case;
use crate::bench::Running;
use crate::monitored::{Noted, Probes, alive, enable};
use crate::stopwatch::Stopwatch;

pub(crate) const CASES: &[Case] = &[(
    "the store frozen, with the event script: unhealthy after the third event, never two probes, healthy after the thaw",
    frozen,
)];

/// CTDB's default is 15 s.
pub(crate) const MONITOR_INTERVAL: Duration = Duration::from_secs(1);

/// The script's default.
const FAILURES: usize = 3;

/// Three events, the first of which waits for its probe, and a busy machine.
const UNHEALTHY_LIMIT: Duration = Duration::from_secs(25);

/// The next event, in which the store answers. After a long freeze the nodes may have to elect first.
const HEALTHY_LIMIT: Duration = Duration::from_secs(25);

/// What a killed process needs, on a busy machine.
const GONE: Duration = Duration::from_secs(2);

fn frozen(running: &Running) -> anyhow::Result<Times> {
    let nodes = running.cluster.nodes();
    enable(nodes)?;
    let probes = Probes::new(nodes);
    let times = probes.watch_during(|| freeze_and_thaw(running))?;
    probes.check_one_at_a_time()?;
    Ok(times)
}

fn freeze_and_thaw(running: &Running) -> anyhow::Result<Times> {
    let nodes = running.cluster.nodes();
    let fault = running.store.frozen()?;
    let leader = running.cluster.wait_healthy()?;
    let watch = Stopwatch::start(&running.cluster)?;
    let before = SystemTime::now();
    let frozen = fault.inject()?;
    let after = SystemTime::now();

    for node in nodes {
        let about = || format!("{}{}", about_events(nodes), watch.transcript());
        unhealthy_in_time(node, &watch, before, after).with_context(about)?;
    }
    // One that does not lead: the others go on as they are.
    let ended = &nodes[(leader.number() + 1) % nodes.len()];
    ended.shut_down().with_context(|| watch.transcript())?;
    let left = left_behind(ended)?;

    let thaw = Stopwatch::start(&running.cluster)?;
    frozen.heal()?;
    let others = nodes.iter().filter(|node| node.number() != ended.number());
    let healthy = others.map(|node| first(node, &thaw, HEALTHY_LIMIT, Line::is_healthy));
    let healthy = healthy.collect::<anyhow::Result<Vec<_>>>().with_context(|| watch.transcript())?;
    let times = healthy.into_iter().map(|line| thaw.until(line.at)).collect::<anyhow::Result<Vec<_>>>()?;
    for process in left {
        process.wait_gone(GONE).context("a probe outlives the thaw")?;
    }
    ended.start()?;
    running.cluster.wait_healthy().with_context(|| watch.transcript())?;
    Ok(Times::from(times))
}

/// The third monitor event that has begun since then has made the node unhealthy. One that was under way may have been the
/// first to fail, and one that CTDB cancelled has neither failed nor succeeded: it looks for places for the addresses of the
/// first node that is unhealthy.
fn unhealthy_in_time(node: &Node, watch: &Stopwatch<'_>, before: SystemTime, after: SystemTime) -> anyhow::Result<()> {
    let unhealthy = first(node, watch, UNHEALTHY_LIMIT, Line::is_unhealthy)?;
    let begun = Noted::Begun.times(node)?;
    let succeeded = Noted::Succeeded.times(node)?;
    let last = begun.iter().rfind(|&&begun| begun <= after).context("no event before")?;
    let was_under_way = !succeeded.iter().any(|succeeded| succeeded > last && *succeeded < before);
    let is_cancelled = |line: &&Line| {
        line.node == node.number() && line.is_monitoring_cancelled() && line.at > after && line.at < unhealthy.at
    };
    let cancelled = watch.lines()?.iter().filter(is_cancelled).count();
    let events = begun.iter().filter(|&&begun| begun > after && begun < unhealthy.at).count();
    let failed = events.saturating_sub(cancelled);
    let about = || format!("node {}: unhealthy after {events} events, {cancelled} of them cancelled", node.number());
    ensure!(failed == FAILURES || (was_under_way && failed + 1 == FAILURES), "{}", about());
    Ok(())
}

/// The first such line that the node logged.
fn first(node: &Node, watch: &Stopwatch<'_>, limit: Duration, wanted: fn(&Line) -> bool) -> anyhow::Result<Line> {
    let logged = || match watch.lines() {
        Ok(lines) => lines.into_iter().find(|line| line.node == node.number() && wanted(line)).map(Ok),
        Err(error) => Some(Err(error)),
    };
    wait_for(&format!("node {} to change its health", node.number()), limit, logged)?.0
}

/// For the message of a failure.
fn about_events(nodes: &[Node]) -> String {
    let times = |node: &Node, noted: Noted| match noted.times(node) {
        Ok(times) => times.into_iter().map(|at| format!(" {}", humantime::format_rfc3339_millis(at))).collect(),
        Err(error) => format!(" {error:#}"),
    };
    let about = |node: &Node| {
        let [begun, succeeded] = [Noted::Begun, Noted::Succeeded].map(|noted| times(node, noted));
        format!("node {}: monitor events begun:{begun}\n  succeeded:{succeeded}\n", node.number())
    };
    nodes.iter().map(about).collect()
}

/// What is left of a node's probes: nothing but what waits for the store in the kernel, which a signal does not end.
fn left_behind(node: &Node) -> anyhow::Result<Vec<Process>> {
    let is_stuck = |left: &[Process]| left.iter().all(Process::waits_in_the_kernel);
    let only_stuck = || (is_stuck(&alive(node)) && node.started_with("health").is_empty()).then_some(());
    wait_for("what is left of the script to wait in the kernel", GONE, only_stuck)?;
    Ok(alive(node))
}
