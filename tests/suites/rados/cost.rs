//! What it costs: the store, and the process that CTDB waits for.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;

use crate::{Case, GONE, Lock};

const OSDS: [&str; 2] = ["osd.0", "osd.1"];

pub(crate) const CASES: &[Case] = &[
    ("a renewal is one operation", one_operation_a_renewal),
    ("a contender is two operations, one a look", two_operations_a_contender),
    ("the process that CTDB started has one thread, whatever librados has", one_thread),
];

/// A cluster whose OSDs remember what they were asked for.
fn lock() -> anyhow::Result<Lock> {
    let lock = Lock::alone(1)?;
    for osd in OSDS {
        lock.ceph.ceph(&["tell", osd, "config", "set", "osd_op_history_size", "1000"])?;
    }
    Ok(lock)
}

/// How often the OSDs were asked for something about the object so far, whatever they answered.
fn operations(lock: &Lock) -> anyhow::Result<usize> {
    OSDS.iter().try_fold(0, |sum, osd| Ok(sum + lock.requests(osd, "dump_historic_ops")?))
}

/// The same once there are so many, or later where there never are: an OSD answers first and notes it then.
fn noted(lock: &Lock, least: usize) -> anyhow::Result<usize> {
    let _ =
        wait_for("operations to be noted", ANSWER_LIMIT, || operations(lock).is_ok_and(|n| n >= least).then_some(()));
    operations(lock)
}

fn one_operation_a_renewal() -> anyhow::Result<()> {
    let lock = lock()?;
    let holder = lock.holder(&["4", "-R"])?;
    let start = Instant::now();
    holder.pipe()?.stays_silent(Duration::from_secs(10))?;
    let count = operations(&lock)?;
    // The take, and a renewal every fifth of the lease, the first of which may have come before the start.
    let most = 2 + usize::try_from(start.elapsed().as_millis() / 800)?;
    ensure!(count <= most, "{count} operations, and not more than {most} renewals and the take");
    // A late one moves all that follow.
    ensure!(count >= 8, "{count} operations in ten seconds: they are not counted right");
    Ok(())
}

fn two_operations_a_contender() -> anyhow::Result<()> {
    const CONTENDERS: usize = 5;
    let lock = lock()?;
    // One that renews every five hours.
    let _holder = lock.holder(&["86400", "-R"])?;
    let before = noted(&lock, 1)?;
    for _ in 0..CONTENDERS {
        let contender = lock.helper(&["86400"])?.start()?;
        contender.expect('1', ANSWER_LIMIT)?;
        contender.gone(GONE)?;
    }
    let count = noted(&lock, before + 2 * CONTENDERS)? - before;
    ensure!(count == 2 * CONTENDERS, "{count} operations for {CONTENDERS} contenders");
    Ok(())
}

fn one_thread() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let threads = |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    ensure!(threads(holder.supervisor().pid()) == 1, "{} threads", threads(holder.supervisor().pid()));
    let worker = holder.worker()?.pid();
    wait_for("librados' threads in the worker", ANSWER_LIMIT, || (threads(worker) > 2).then_some(()))?;
    Ok(())
}
