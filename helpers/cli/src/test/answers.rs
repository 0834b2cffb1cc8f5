//! What CTDB reads: the byte, and what goes with it.

use std::time::Duration;

use rustix::process::Signal;

use super::bench::{Bench, NOISE, PROBE, SECOND, full_pipe, nowhere};
use super::rule::{Rule, Stop};
use super::subject::Subject;

pub(super) const RULES: &[Rule] = &[
    Rule::new("one-byte", "the taker of a free lock is answered 0 within 5 s, and nothing more comes", one_byte),
    Rule::new("contended", "a second taker is answered 1 within the 5 s of CTDB's probe", contended),
    Rule::new("contended-quickly", "the best of three such answers takes less than a second", contended_quickly),
    Rule::new("contender-goes", "a contender sends nothing more, and goes within a second of SIGTERM", contender_goes),
    Rule::new("silent", "nothing is said on standard error on success or contention", silent),
    Rule::new("next-taker", "when the pipe of a holder told to go has ended, the next taker gets the lock", next_taker),
    Rule::new("keeps", "the lock is still held after its lease, and the pipe silent", keeps),
    Rule::new(
        "bad-arguments",
        "without arguments: 3 or the pipe's end within 5 s, and one line on standard error",
        bare,
    ),
    Rule::new("stderr-unread", "standard error that is full, or nowhere, changes nothing", stderr_unread),
];

/// Longer than a helper takes to find that something is amiss, where nothing is.
const WHILE: Duration = Duration::from_millis(1200);
/// For how long CTDB would think that it has a helper.
const ROUNDS: usize = 3;

fn one_byte(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.expect_silence("after the 0", WHILE)?;
    holder.signal(Signal::TERM);
    holder.expect_end("after SIGTERM", SECOND)?;
    Ok(holder.answered_after())
}

fn contended(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    let mut contender = bench.start()?;
    contender.expect("a second taker", b'1', PROBE)?;
    holder.expect_silence("after a contention", Duration::ZERO)?;
    Ok(contender.answered_after())
}

fn contended_quickly(bench: &Bench) -> Result<Duration, Stop> {
    let _holder = bench.take()?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let mut contender = bench.start()?;
        contender.expect("a second taker", b'1', PROBE)?;
        best = best.min(contender.answered_after());
        contender.dismiss()?;
    }
    if best < Duration::from_secs(1) {
        return Ok(best);
    }
    Err(Stop::Broken(format!("the best of {ROUNDS} answers took {:.1} s", best.as_secs_f32())))
}

fn contender_goes(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    let mut contender = bench.start()?;
    contender.expect("a second taker", b'1', PROBE)?;
    contender.signal(Signal::TERM);
    let took = contender.expect_end("after SIGTERM", SECOND)?;
    contender.expect_gone("after SIGTERM", SECOND)?;
    contender.expect_all_gone("after SIGTERM", SECOND)?;
    holder.expect_silence("after a contention", NOISE)?;
    Ok(took)
}

fn silent(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    let mut contender = bench.start()?;
    contender.expect("a second taker", b'1', PROBE)?;
    contender.dismiss()?;
    holder.dismiss()?;
    for (who, helper) in [("the contender", &mut contender), ("the holder", &mut holder)] {
        helper.hear(NOISE, |_| false)?;
        if let Some(line) = helper.lines().first() {
            return Err(Stop::Broken(format!("{who} said: {line}")));
        }
    }
    Ok(holder.answered_after())
}

/// The best of some: CTDB comes back after 5 s, and a machine that is busy may delay any one release.
fn next_taker(bench: &Bench) -> Result<Duration, Stop> {
    for _ in 0..ROUNDS {
        let mut holder = bench.take()?;
        holder.signal(Signal::TERM);
        holder.expect_end("after SIGTERM", SECOND)?;
        let mut next = bench.start()?;
        let answer = next.answer(PROBE)?;
        next.dismiss()?;
        if answer == Some(b'0') {
            return Ok(next.answered_after());
        }
    }
    Err(Stop::Broken(format!("in {ROUNDS} rounds the next taker did not get it")))
}

fn keeps(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.expect_silence("nothing happened to it", bench.lease() + Duration::from_secs(1))?;
    let mut contender = bench.start()?;
    contender.expect("a second taker, after the lease,", b'1', PROBE)?;
    holder.expect_silence("after that", Duration::ZERO)?;
    Ok(bench.lease() + Duration::from_secs(1))
}

fn bare(bench: &Bench) -> Result<Duration, Stop> {
    let mut helper = bench.start_bare(None)?;
    let took = refused(bench, &mut helper)?;
    helper.hear(NOISE, |_| false)?;
    match helper.lines() {
        [_] => Ok(took),
        lines => Err(Stop::Broken(format!("it said {} lines, not one: {lines:?}", lines.len()))),
    }
}

/// It was answered 3, or as if, and goes.
fn refused(bench: &Bench, helper: &mut Subject<'_>) -> Result<Duration, Stop> {
    let answer = helper.answer(PROBE)?;
    let took = helper.started().elapsed();
    if !(answer == Some(b'3') || answer.is_none() && helper.has_ended()) {
        return Err(helper.broken(&format!("without arguments it answered {}", helper.answered())));
    }
    // Told at once it might go before it has said why.
    helper.signal_unless_gone(Signal::TERM)?;
    helper.expect_end("without arguments", SECOND)?;
    helper.expect_gone("without arguments", SECOND)?;
    bench.ensure_not_told()?;
    Ok(took)
}

fn stderr_unread(bench: &Bench) -> Result<Duration, Stop> {
    let full = || full_pipe();
    let (_reader, stderr) = full()?;
    refused(bench, &mut bench.start_bare(Some(stderr))?)?;
    let mut took = Duration::ZERO;
    for room in [false, true] {
        let (_reader, stderr) = full()?;
        let stderr = if room { nowhere()? } else { stderr };
        let mut holder = bench.take_within(bench.lease_over(), |bench| bench.start_with_stderr(stderr.try_clone()?))?;
        took = took.max(holder.answered_after());
        holder.signal(Signal::TERM);
        holder.expect_end("after SIGTERM", SECOND)?;
        holder.expect_gone("after SIGTERM", SECOND)?;
    }
    Ok(took)
}
