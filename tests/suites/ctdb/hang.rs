//! The file system hung for a minute: the leader lets go, and every node's tries hang until the thaw.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::services::ctdb::log::Line;
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::Times;
use mutex_tests::wait::wait_for;

use crate::bench::Running;
use crate::errand::Errand;
use crate::file::{PING_TIMEOUT, RECHECK};
use crate::stopwatch::Stopwatch;

/// After the first answer of the file system to a node nothing of the node's tries is left for longer.
const GONE: Duration = Duration::from_secs(1);

/// A file system that was frozen for a minute may answer some seconds after its thaw only.
const THAW_LIMIT: Duration = Duration::from_secs(30);

const MINUTE: Duration = Duration::from_secs(60);

/// A try gives up after a minute (`--acquire-timeout-seconds`), and the next one follows.
const TRIES: usize = 2;

/// A machine of two cores runs other trials too.
const MACHINE: Duration = Duration::from_millis(250);

pub(crate) fn hung(running: &Running) -> anyhow::Result<Times> {
    let nodes = running.cluster.nodes();
    let fs = running.store.mounts()?.fs();
    let fault = fs.frozen();
    let old = running.cluster.wait_healthy()?;
    let before = daemons(nodes)?;
    let watch = Stopwatch::start(&running.cluster)?;
    let frozen = fault.inject()?;
    // What nothing but the servers can answer: to make a directory.
    let ask = |node| Errand::start(Path::new("/usr/bin/mkdir"), &[&fs.mount_point(node).join(format!("of-{node}"))]);
    let questions = (0..nodes.len()).map(ask).collect::<anyhow::Result<Vec<_>>>()?;
    // The fault itself.
    std::thread::sleep(MINUTE);
    ensure!(!questions.iter().any(Errand::is_over), "the file system answers");
    leader_let_go(&watch)?;
    let stuck = nodes.iter().map(|node| stuck(node, old, &watch)).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(daemons(nodes)? == before, "ctdbd or its recovery daemon did not survive, {}", watch.transcript());

    let thaw = Stopwatch::start(&running.cluster)?;
    frozen.heal()?;
    all_gone(nodes, &questions, &stuck, &thaw).with_context(|| watch.transcript())?;
    let (_, took) = thaw.outcome().with_context(|| watch.transcript())?;
    running.cluster.wait_healthy().with_context(|| watch.transcript())?;
    ensure!(daemons(nodes)? == before, "ctdbd or its recovery daemon did not survive, {}", watch.transcript());
    Ok(Times::from(vec![took]))
}

/// The leader did, in time, and nobody leads.
fn leader_let_go(watch: &Stopwatch<'_>) -> anyhow::Result<()> {
    let held = watch.until(watch.lost()?)?;
    let limit = RECHECK + PING_TIMEOUT + MACHINE;
    ensure!(held <= limit, "the leader let go after {held:?}, not within {limit:?}, {}", watch.transcript());
    ensure!(!watch.lines()?.iter().any(Line::is_taken), "a leader, {}", watch.transcript());
    Ok(())
}

/// The helper's processes on a node, which hang: a worker a try. The next try comes after the last one has given up.
fn stuck(node: &Node, old: &Node, watch: &Stopwatch<'_>) -> anyhow::Result<Vec<Process>> {
    let is_own_try = |line: &&Line| line.node == node.number() && line.is_try();
    let tries = watch.lines()?.iter().filter(is_own_try).count();
    // The old leader's own worker hangs in a proof.
    let most = tries + usize::from(node.number() == old.number());
    let workers = node.workers().len();
    let about = || format!("node {}: {workers} workers after {tries} tries, {}", node.number(), watch.transcript());
    ensure!(tries <= TRIES && workers <= most, "{}", about());
    Ok(node.helper_processes())
}

/// Waits until nothing is left of the tries, on each node within a moment of the file system's first answer there.
fn all_gone(nodes: &[Node], questions: &[Errand], stuck: &[Vec<Process>], thaw: &Stopwatch<'_>) -> anyhow::Result<()> {
    let mut answered = vec![None; nodes.len()];
    let mut gone = vec![None; nodes.len()];
    let look = || {
        for node in nodes {
            let number = node.number();
            if questions[number].is_over() {
                answered[number].get_or_insert_with(Instant::now);
            }
            if nothing_left(node, &stuck[number], thaw) {
                gone[number].get_or_insert_with(Instant::now);
            }
        }
        let pairs = answered.iter().zip(&gone).map(|(answered, gone)| Some((answered.as_ref()?, gone.as_ref()?)));
        let late = |(answered, gone): (&Instant, &Instant)| gone.saturating_duration_since(*answered);
        pairs.map(|pair| pair.map(late)).collect::<Option<Vec<Duration>>>()
    };
    let (late, _) = wait_for("every node's stuck workers to be gone", THAW_LIMIT, look)?;
    ensure!(late.iter().all(|late| *late <= GONE), "workers that long after each node's first answer: {late:?}");
    Ok(())
}

/// The numbers of each node's ctdbd and of its recovery daemon.
fn daemons(nodes: &[Node]) -> anyhow::Result<Vec<[i32; 2]>> {
    nodes.iter().map(|node| Ok([node.ctdbd()?.pid(), node.recoverd()?.pid()])).collect()
}

/// Whether all of them are gone but those of a try that has got the lock since.
fn nothing_left(node: &Node, stuck: &[Process], since: &Stopwatch<'_>) -> bool {
    let mut left = stuck.iter().filter(|process| !process.is_gone()).peekable();
    if left.peek().is_none() {
        return true;
    }
    let is_taken = |line: &Line| line.node == node.number() && line.is_taken();
    if !since.lines().is_ok_and(|lines| lines.iter().any(is_taken)) {
        return false;
    }
    let holder: Vec<i32> = [node.helper(), node.worker()].iter().flatten().map(Process::pid).collect();
    left.all(|process| holder.contains(&process.pid()))
}
