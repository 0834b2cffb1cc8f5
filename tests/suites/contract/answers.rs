//! The one byte (P1), what goes with it, and the exit codes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use mutex_tests::roster::{ANSWER_LIMIT, Row};
use rustix::process::Signal;

use crate::{Case, GONE, NOISE, ensure_held, wait_free};

pub(crate) const CASES: &[Case] = &[
    Case::new("the only taker is answered 0", only_taker),
    Case::new("a contender is answered 1 within a second", contender),
    Case::new("one byte is written and only one", one_byte),
    Case::new("nothing is said on success or contention", nothing_said),
    Case::new("a released lock goes to the next taker", next_taker),
    Case::new("contended means looked twice: a lock freed in between is taken", second_look),
    Case::new("a call without arguments is answered 3, with one line", no_arguments),
    Case::new("the exit code tells how it ended", exit_codes),
];

fn only_taker(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let _holder = bench.holder()?;
    ensure_held(&bench, "although a taker was answered 0")
}

fn contender(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    let start = Instant::now();
    let status = bench.try_once()?;
    let took = start.elapsed();
    ensure!(status == '1', "a contender got {status}");
    ensure!(took < Duration::from_secs(1) + NOISE, "a contender's answer took {took:?}");
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent after a contention");
    Ok(())
}

fn one_byte(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    let contender = bench.launch().start()?;
    contender.expect('1', ANSWER_LIMIT)?;
    contender.end(GONE)?;
    holder.signal(Signal::TERM)?;
    holder.end(GONE)?;
    Ok(())
}

fn nothing_said(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let holder = bench.holder()?;
    let contender = bench.launch().start()?;
    contender.expect('1', ANSWER_LIMIT)?;
    contender.gone(GONE)?;
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    for (who, said) in [("holder", holder.stderr()?), ("contender", contender.stderr()?)] {
        ensure!(said.is_empty(), "the {who} said on standard error: {said:?}");
    }
    Ok(())
}

fn next_taker(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let first = bench.holder()?;
    first.signal(Signal::TERM)?;
    first.end(GONE)?;
    // Right away, as CTDB does.
    bench.holder()?;
    Ok(())
}

/// The old holder's worker is stopped before it can release, and goes on between the two looks, 50 ms apart: so long
/// before the second, which is when a contender has its answer, on this store and this machine. By the majority of
/// rounds: a busy machine may miss the moment in either direction.
fn second_look(row: &Row) -> anyhow::Result<()> {
    const ROUNDS: usize = 9;
    const BEFORE_THE_SECOND: Duration = Duration::from_millis(40);
    let bench = row.bench()?;
    let mut taken = 0;
    for _ in 0..ROUNDS {
        let old = bench.holder()?;
        let contender = bench.launch().start()?;
        contender.expect('1', ANSWER_LIMIT)?;
        let answered = contender.started().elapsed();
        let worker = old.worker()?;
        worker.stop()?;
        old.signal(Signal::TERM)?;
        old.end(GONE)?;
        let taker = bench.launch().start()?;
        // Who answers sooner than that has not looked twice.
        let between = answered.checked_sub(BEFORE_THE_SECOND + taker.started().elapsed());
        let waits = between.is_some_and(|between| taker.pipe().is_ok_and(|pipe| pipe.stays_silent(between).is_ok()));
        worker.go_on()?;
        taken += usize::from(waits && taker.status(ANSWER_LIMIT)? == '0');
        taker.signal(Signal::TERM)?;
        taker.gone(GONE)?;
        old.gone(GONE)?;
        wait_free(&bench, GONE)?;
    }
    ensure!(taken > ROUNDS / 2, "taken at the second look in {taken} of {ROUNDS} rounds");
    Ok(())
}

fn no_arguments(row: &Row) -> anyhow::Result<()> {
    /// The byte and the line are apart by microseconds.
    const ROUNDS: u32 = 10;
    let bench = row.bench()?;
    for _ in 0..ROUNDS {
        let helper = bench.launch_without_arguments().start()?;
        helper.expect('3', ANSWER_LIMIT)?;
        // As CTDB does, which has read what it wanted.
        helper.signal(Signal::TERM)?;
        helper.end(GONE)?;
        helper.gone(GONE)?;
        helper.one_line()?;
    }
    Ok(())
}

fn exit_codes(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let mut ended = Vec::new();

    let mut holder = bench.holder()?;
    let mut contender = bench.launch().start()?;
    ended.push(("contended", 1, contender.exit_code(ANSWER_LIMIT)?));
    holder.signal(Signal::TERM)?;
    ended.push(("released", 0, holder.exit_code(GONE)?));
    wait_free(&bench, GONE)?;

    let mut refused = bench.launch_without_arguments().start()?;
    ended.push(("refused", 3, refused.exit_code(ANSWER_LIMIT)?));

    let mut robbed = bench.holder()?;
    if let Some(taking) = bench.store().takings().first() {
        let _taken = taking.inject()?;
        ended.push(("lost", 4, robbed.exit_code(row.timing.reported + GONE)?));
    }
    for (how, wanted, code) in ended {
        ensure!(code == wanted, "exit code {code} after {how}, not {wanted}");
    }
    Ok(())
}
