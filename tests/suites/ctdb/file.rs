//! What is so with a lock in a file alone: the kernel frees it with the process that has it, and files can be removed.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::services::ctdb::node::Node;
use mutex_tests::times::Times;

use crate::Case;
use crate::at_once::{AT_ONCE, killed};
use crate::bench::Running;
use crate::stopwatch::Stopwatch;
use crate::successor::first_period;

pub(crate) const CASES: &[Case] = &[
    ("the worker killed: a new leader within 0.5 s", |running| killed(running, Node::worker)),
    ("the leader's whole node killed: a new leader in the first election period", |running| {
        first_period(running, Node::kill)
    }),
    ("the lock file removed: a new election and a healthy cluster", lock_file_removed),
];

/// The helper's defaults: a loss is reported within RECHECK + 1 s, one that the file system keeps to itself within
/// RECHECK + PING-TIMEOUT (P2c).
pub(crate) const RECHECK: Duration = Duration::from_secs(5);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

fn lock_file_removed(running: &Running) -> anyhow::Result<Times> {
    let file = running.store.file()?;
    running.cluster.wait_healthy()?;
    let watch = Stopwatch::start(&running.cluster)?;
    fs::remove_file(&file).context("remove the lock file")?;
    let (taken, took) = watch.outcome()?;
    let lost = watch.lost()?;
    let reported = watch.until(lost)?;
    let limit = RECHECK + Duration::from_secs(1);
    ensure!(reported <= limit, "the loss reported after {reported:?}, not within {limit:?}");
    let elected = taken.at.duration_since(lost).context("a new leader before the loss was reported")?;
    ensure!(elected <= AT_ONCE, "elected {elected:?} after the loss, not within {AT_ONCE:?}, {}", watch.transcript());
    Ok(Times::from(vec![took]))
}
