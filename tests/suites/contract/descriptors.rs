//! Standard error in every bad state (DESIGN 3: best effort), and descriptors that a careless parent passes on.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Stderr;
use mutex_tests::roster::{ANSWER_LIMIT, Bench, Row};
use rustix::process::Signal;

use crate::{AT_ONCE, Case, GONE, NOISE, wait_free};

pub(crate) const CASES: &[Case] = &[
    Case::new("standard error without a reader changes nothing", |row| behaves(row, || Stderr::WithoutReader)),
    Case::new("standard error that is full changes nothing", |row| behaves(row, || Stderr::Full)),
    Case::new("standard error on a terminal that is full changes nothing", |row| behaves(row, || Stderr::FullTerminal)),
    Case::new("standard error that is closed changes nothing", |row| behaves(row, || Stderr::Closed)),
    Case::new("standard error on the same pipe as the byte does not keep it open", same_pipe),
    Case::new("an inherited copy of the pipe's writing end does not keep it open", another_writer),
    Case::new("an inherited copy of the pipe's reading end does not hide that CTDB is gone", another_reader),
];

/// Long enough for a worker to find that something is amiss (P5: 1 s), where nothing is.
const HOLDS: Duration = Duration::from_millis(1500);

/// Three ends that have something to say, or could: refused, released, lost.
fn behaves(row: &Row, stderr: fn() -> Stderr) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let refused = bench.launch_without_arguments().stderr(stderr()).start()?;
    refused.expect('3', ANSWER_LIMIT).context("a call without arguments")?;
    ensure_exits(refused, 3)?;

    let holder = bench.launch().stderr(stderr()).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    holder.pipe()?.stays_silent(HOLDS)?;
    holder.signal(Signal::TERM)?;
    holder.pipe()?.end_after_anything(AT_ONCE)?;
    ensure_exits(holder, 0)?;
    wait_free(&bench, GONE)?;

    let robbed = bench.launch().stderr(stderr()).start()?;
    robbed.expect('0', ANSWER_LIMIT)?;
    let takings = bench.store().takings();
    let taking = takings.first().context("the store has no way to take a lock away")?;
    let _taken = taking.inject()?;
    robbed.pipe()?.end_after_anything(row.timing.reported + NOISE).context("lost")?;
    ensure_exits(robbed, 4)
}

/// Not by a signal, and with the code that any other standard error would have brought.
fn ensure_exits(mut helper: Helper, wanted: i32) -> anyhow::Result<()> {
    let code = helper.exit_code(GONE)?;
    ensure!(code == wanted, "exit code {code}, not {wanted}");
    Ok(())
}

fn same_pipe(row: &Row) -> anyhow::Result<()> {
    behaves(row, || Stderr::SamePipe)?;
    let bench = row.bench()?;
    ensure_ends_without_worker(&bench, |bench| bench.launch().stderr(Stderr::SamePipe))
}

fn another_writer(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    ensure_ends_without_worker(&bench, |bench| bench.launch().with_another_writer())
}

/// The pipe ends at once while the worker is stopped: no process of the helper has a copy left.
fn ensure_ends_without_worker(
    bench: &Bench<'_>,
    launch: fn(&Bench<'_>) -> mutex_tests::process::launch::Launch,
) -> anyhow::Result<()> {
    let holder = launch(bench).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    holder.worker()?.stop()?;
    holder.signal(Signal::TERM)?;
    holder.end(AT_ONCE)?;
    holder.gone(GONE)?;
    Ok(())
}

fn another_reader(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let mut holder = bench.launch().with_another_reader().start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    holder.close_reader();
    holder.gone(GONE).context("the only reader left is the helper's own")?;
    wait_free(&bench, GONE)
}
