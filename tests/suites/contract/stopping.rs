//! Asked to go by a signal (P4). CTDB sends SIGTERM; systemd and admins send more, and to more than one process.

use std::time::Duration;

use anyhow::Context;
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::Row;
use rustix::process::Signal;

use crate::{AT_ONCE, Case, GONE, ensure_held, ensure_lets_go, wait_free};

pub(crate) const CASES: &[Case] = &[
    Case::new("SIGTERM closes the pipe at once, frees the lock and ends it", |row| ends_on(row, Signal::TERM)),
    Case::new("SIGINT closes the pipe at once, frees the lock and ends it", |row| ends_on(row, Signal::INT)),
    Case::new("SIGHUP closes the pipe at once, frees the lock and ends it", |row| ends_on(row, Signal::HUP)),
    Case::new("the pipe is closed before the worker is asked to release", closed_first),
    Case::new("a signal to the whole process group frees nothing before the pipe ends", |row| {
        everybody(row, |holder, signal| holder.signal_group(signal))
    }),
    Case::new("a signal to every process at once frees nothing before the pipe ends", |row| {
        everybody(row, |holder, signal| {
            holder.worker()?.signal(signal)?;
            holder.signal(signal)
        })
    }),
    Case::new("a try cancelled at any moment leaves nothing behind", cancelled_at_any_moment),
];

/// Long enough for a worker that obeys a signal to let go, and shorter than every limit a worker has.
const WOULD_HAVE_LET_GO: Duration = Duration::from_millis(400);

fn ends_on(row: &Row, signal: Signal) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    let worker = holder.worker()?;
    holder.signal(signal)?;
    ensure_lets_go(&bench, &holder)?;
    worker.wait_gone(GONE).context("the worker")?;
    Ok(())
}

/// A stopped worker cannot release: the pipe ends all the same, so its end does not wait for the release.
fn closed_first(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    let worker = holder.worker()?;
    worker.stop()?;
    holder.signal(Signal::TERM)?;
    holder.end(AT_ONCE).context("with a worker that cannot release")?;
    holder.gone(GONE)?;
    // The lock is not left with a process that nobody can reach.
    wait_free(&bench, row.timing.lease.unwrap_or_default() + GONE)
}

/// A stopped supervisor cannot close the pipe: the lock must wait for it.
fn everybody(row: &Row, send: fn(&Helper, Signal) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let bench = row.bench()?;
        let holder = bench.launch().own_group().start()?;
        holder.expect('0', mutex_tests::roster::ANSWER_LIMIT)?;
        holder.supervisor().stop()?;
        send(&holder, signal)?;
        holder.pipe()?.stays_silent(WOULD_HAVE_LET_GO)?;
        ensure_held(&bench, &format!("after {signal:?}, while the pipe is open"))?;
        holder.supervisor().go_on()?;
        ensure_lets_go(&bench, &holder).with_context(|| format!("{signal:?}"))?;
    }
    Ok(())
}

/// Forty tries, each cancelled a little later than the one before: from before `main()` to after the byte.
fn cancelled_at_any_moment(row: &Row) -> anyhow::Result<()> {
    const TRIES: u32 = 40;
    let bench = row.bench()?;
    let first = bench.holder()?;
    // Half as long again as a take needs on this store, and no less than on a machine that is busy.
    let last = (first.started().elapsed() * 3 / 2).max(Duration::from_millis(20));
    first.signal(Signal::TERM)?;
    first.gone(GONE)?;
    wait_free(&bench, GONE)?;
    for number in 0..TRIES {
        let taker = bench.launch().start()?;
        // The time to the signal is the fault itself; a byte may come meanwhile.
        std::thread::sleep(last * number / TRIES);
        taker.signal(Signal::TERM)?;
        taker.pipe()?.end_after_anything(AT_ONCE)?;
        taker.gone(GONE)?;
        wait_free(&bench, GONE).with_context(|| format!("try {number}"))?;
    }
    bench.holder()?;
    Ok(())
}
