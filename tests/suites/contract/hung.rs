//! The store does not answer (P2c, P3, P4, P6, P7). While it is frozen no case touches it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::{Bench, Row};
use rustix::process::Signal;

use crate::{AT_ONCE, Case, GONE, NOISE, ensure_held, wait_free};

pub(crate) const CASES: &[Case] = &[
    Case::hung("a frozen store ends the pipe in time, and not too early", held_and_frozen),
    Case::hung("a stall shorter than promised costs nothing", short_stalls),
    Case::hung("SIGTERM with a frozen store closes the pipe at once and ends the supervisor", stopped_while_frozen),
    Case::hung("a try on a frozen store is silent until its limit, then 2 with one line", try_times_out),
    Case::hung("a try that timed out leaves nothing behind after the thaw", timed_out_try_is_undone),
    Case::hung("a cancelled try leaves nothing behind after the thaw", cancelled_try_is_undone),
];

/// `--acquire-timeout-seconds` of the cases here.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

fn held_and_frozen(row: &Row) -> anyhow::Result<()> {
    let bench = row.hangable_bench()?;
    let holder = bench.holder()?;
    let fault = bench.store().frozen()?;
    let start = Instant::now();
    let frozen = fault.inject()?;
    let took = holder.end(row.timing.frozen + NOISE)?.duration_since(start);
    ensure!(took >= row.timing.stall, "the pipe ended after a stall of only {took:?}");
    holder.gone(GONE)?;
    frozen.heal()?;
    wait_free(&bench, row.timing.lease.unwrap_or_default() + GONE)
}

/// Four stalls, each a quarter of a second later in the rhythm of the proofs: one of them meets any proof.
fn short_stalls(row: &Row) -> anyhow::Result<()> {
    let bench = row.hangable_bench()?;
    let holder = bench.holder()?;
    let fault = bench.store().frozen()?;
    let stall = row.timing.stall.saturating_sub(Duration::from_millis(100));
    for _ in 0..4 {
        let frozen = fault.inject()?;
        // The stall is the fault itself, and so is the time between two.
        holder.pipe()?.stays_silent(stall).context("a short stall")?;
        frozen.heal()?;
        // No multiple of a renewal interval, so that the stalls begin at all moments of one.
        holder.pipe()?.stays_silent(row.timing.frozen.saturating_sub(stall) + Duration::from_millis(370))?;
    }
    ensure_held(&bench, "after short stalls")
}

fn stopped_while_frozen(row: &Row) -> anyhow::Result<()> {
    let bench = row.hangable_bench()?;
    let holder = bench.holder()?;
    let worker = holder.worker()?;
    let fault = bench.store().frozen()?;
    let frozen = fault.inject()?;
    // Into the next proof.
    holder.pipe()?.stays_silent(row.timing.stall)?;
    holder.signal(Signal::TERM)?;
    holder.end(AT_ONCE)?;
    holder.gone(GONE)?;
    frozen.heal()?;
    ensure_undone(&bench, &worker)
}

/// A try that hangs: started on a frozen store.
fn hanging_try(bench: &Bench<'_>) -> anyhow::Result<(Helper, Process)> {
    let limit = ACQUIRE_TIMEOUT.as_secs().to_string();
    let taker = bench.launch().args(&["--acquire-timeout-seconds", &limit]).start()?;
    let worker = taker.worker()?;
    Ok((taker, worker))
}

fn try_times_out(row: &Row) -> anyhow::Result<()> {
    let bench = row.hangable_bench()?;
    let fault = bench.store().frozen()?;
    let _frozen = fault.inject()?;
    let (taker, _worker) = hanging_try(&bench)?;
    taker.expect('2', ACQUIRE_TIMEOUT + NOISE)?;
    let took = taker.started().elapsed();
    // The limit may count from an instant before this process noted the start.
    ensure!(took + NOISE >= ACQUIRE_TIMEOUT, "gave up after {took:?} already");
    taker.end(AT_ONCE)?;
    taker.gone(GONE)?;
    let (line, object) = (taker.one_line()?, bench.store().object());
    ensure!(line.contains(&object), "the line {line:?} does not name {object}");
    Ok(())
}

fn timed_out_try_is_undone(row: &Row) -> anyhow::Result<()> {
    let bench = row.hangable_bench()?;
    let fault = bench.store().frozen()?;
    let frozen = fault.inject()?;
    let (taker, worker) = hanging_try(&bench)?;
    taker.status(ACQUIRE_TIMEOUT + NOISE)?;
    taker.gone(GONE)?;
    frozen.heal()?;
    ensure_undone(&bench, &worker)
}

fn cancelled_try_is_undone(row: &Row) -> anyhow::Result<()> {
    let bench = row.hangable_bench()?;
    let fault = bench.store().frozen()?;
    let frozen = fault.inject()?;
    let (taker, worker) = hanging_try(&bench)?;
    taker.signal(Signal::TERM)?;
    taker.end(AT_ONCE).context("cancelled before the byte")?;
    taker.gone(GONE)?;
    frozen.heal()?;
    ensure_undone(&bench, &worker)
}

/// After a thaw: the worker is gone, the lock free, and the next taker gets it.
fn ensure_undone(bench: &Bench<'_>, worker: &Process) -> anyhow::Result<()> {
    let limit = bench.timing().lease.unwrap_or_default() + GONE;
    worker.wait_gone(limit).context("the worker, after the thaw")?;
    wait_free(bench, limit)?;
    bench.holder()?;
    Ok(())
}
