//! One process of the helper killed or stopped (P5), and the stale `0` (P1).

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::launch::ParentKind;
use mutex_tests::roster::{ANSWER_LIMIT, Row};
use rustix::process::Signal;

use crate::{AT_ONCE, Case, GONE, NOISE, ensure_held, wait_free};

pub(crate) const CASES: &[Case] = &[
    Case::new("the supervisor killed: the lock is free at once and the worker gone", supervisor_killed),
    Case::new("the worker killed: the pipe ends within 50 ms", worker_killed),
    Case::new("the supervisor stopped and the lock taken away: the pipe ends anyway", supervisor_stopped),
    Case::new("the worker stopped: the pipe ends as if the store had hung", worker_stopped),
    Case::new("the supervisor stopped and the parent killed: the lock is free within 2 s", both_gone),
    Case::hung("a supervisor stopped before the byte never writes a stale 0", stale_byte),
];

fn supervisor_killed(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    let worker = holder.worker()?;
    holder.signal(Signal::KILL)?;
    holder.end(AT_ONCE)?;
    wait_free(&bench, AT_ONCE)?;
    worker.wait_gone(GONE).context("the worker")?;
    Ok(())
}

/// The kernel frees a killed worker's lock, or its lease lets it run out: either way CTDB must hear of it first or
/// nearly so. The median of five, since a busy machine may delay any one of them.
fn worker_killed(row: &Row) -> anyhow::Result<()> {
    let mut times = Vec::new();
    let mut left = Vec::new();
    for _ in 0..5 {
        let bench = row.bench()?;
        let holder = bench.holder()?;
        let worker = holder.worker()?;
        let start = Instant::now();
        worker.signal(Signal::KILL)?;
        times.push(holder.end(row.timing.reported)?.duration_since(start));
        holder.gone(GONE)?;
        left.push(bench);
    }
    // All leases run at once.
    for bench in &left {
        wait_free(bench, row.timing.lease.unwrap_or_default() + GONE)?;
    }
    times.sort();
    ensure!(times[2] <= Duration::from_millis(50), "the pipe's end took {times:?}");
    Ok(())
}

fn supervisor_stopped(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    let takings = bench.store().takings();
    let taking = takings.first().context("the store has no way to take a lock away")?;
    holder.supervisor().stop()?;
    let _taken = taking.inject()?;
    holder.end(row.timing.reported + NOISE).context("only the worker could end it")?;
    holder.gone(GONE)?;
    Ok(())
}

fn worker_stopped(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    holder.worker()?.stop()?;
    holder.end(row.timing.frozen + NOISE)?;
    holder.gone(GONE)?;
    wait_free(&bench, row.timing.lease.unwrap_or_default() + GONE)
}

fn both_gone(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let (parent, holder) = bench.launch().start_under(ParentKind::Ordinary)?;
    holder.expect('0', ANSWER_LIMIT)?;
    holder.supervisor().stop()?;
    parent.kill()?;
    holder.end(Duration::from_secs(2)).context("only the worker could end it")?;
    wait_free(&bench, GONE)
}

/// A hung store keeps the try from its end, so the supervisor can be stopped surely before the byte.
fn stale_byte(row: &Row) -> anyhow::Result<()> {
    let bench = row.hangable_bench()?;
    let fault = bench.store().frozen()?;
    let frozen = fault.inject()?;
    let taker = bench.launch().start()?;
    let worker = taker.worker()?;
    taker.supervisor().stop()?;
    frozen.heal()?;
    mutex_tests::wait::wait_for("the worker to take the lock", ANSWER_LIMIT, || {
        bench.store().is_held().unwrap_or(false).then_some(())
    })?;
    // Nobody knows of this lock: the worker may not keep it for longer than it would trust a silent store.
    let limit = row.timing.frozen + row.timing.lease.unwrap_or_default() + GONE;
    wait_free(&bench, limit).context("taken for a supervisor that never answered")?;
    worker.wait_gone(GONE).context("the worker")?;
    // Another one takes it, and only then the stopped one could go on.
    let _other = bench.holder()?;
    let _ = taker.supervisor().go_on();
    let said = taker.pipe()?.end_after_anything(GONE);
    ensure!(said.is_ok(), "the pipe of the stopped taker did not end");
    let status = taker.status(Duration::ZERO);
    ensure!(!matches!(status, Ok('0')), "a stale 0 came");
    ensure_held(&bench, "although another taker has it")
}
