//! The store does not answer. Nothing here touches it meanwhile but the helpers.

use std::time::Duration;

use rustix::process::Signal;

use super::bench::{AT_ONCE, Bench, NOISE, PROBE, SECOND};
use super::rule::{Rule, Stop};

pub(super) const RULES: &[Rule] = &[
    Rule::frozen("frozen-held", "the store frozen while the lock is held: the pipe ends before the lease does", held),
    Rule::frozen("frozen-stall", "three stalls of a quarter of the lease cost nothing", stalls),
    Rule::frozen(
        "frozen-sigterm",
        "SIGTERM on a frozen store: the pipe ends at once, and it is gone within a second",
        sigterm,
    ),
    Rule::frozen(
        "frozen-stopped",
        "frozen, and the process that CTDB started stopped: the pipe ends before the lease does",
        stopped,
    ),
    Rule::frozen("frozen-try", "a try on a frozen store: silence for the 5 s of a probe, or 2", tried),
    Rule::frozen(
        "frozen-cancelled",
        "a try cancelled on a frozen store goes within a second, and the thaw leaves nothing of it",
        cancelled,
    ),
    Rule::frozen(
        "frozen-stale",
        "a process stopped before its byte never writes a 0 for a lock that another has since",
        stale,
    ),
];

fn held(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    let frozen = bench.freeze()?;
    let took = holder.expect_end("the store is frozen", bench.lease() + NOISE)?;
    holder.expect_gone("the store is frozen", SECOND)?;
    frozen.thaw()?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}

/// No multiple of a renewal interval lies between two of them, so that one meets a renewal well before its end.
fn stalls(bench: &Bench) -> Result<Duration, Stop> {
    let stall = bench.lease() / 4;
    let mut holder = bench.take()?;
    for _ in 0..3 {
        let frozen = bench.freeze()?;
        holder.expect_silence("a short stall", stall)?;
        frozen.thaw()?;
        holder.expect_silence("after a short stall", stall * 7 / 9)?;
    }
    bench.start()?.expect("a second taker, after the stalls,", b'1', PROBE)?;
    holder.expect_silence("after the stalls", Duration::ZERO)?;
    Ok(stall)
}

fn sigterm(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    let frozen = bench.freeze()?;
    // Into the next renewal.
    holder.expect_silence("the store is frozen", bench.lease() / 3)?;
    holder.signal(Signal::TERM);
    let took = holder.expect_end("after SIGTERM", AT_ONCE)?;
    holder.expect_gone("after SIGTERM", SECOND)?;
    frozen.thaw()?;
    holder.expect_all_gone("after the thaw", bench.lease_over())?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}

fn stopped(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.stop()?;
    let frozen = bench.freeze()?;
    let took = holder.expect_end("stopped, the store frozen", bench.lease() + NOISE)?;
    frozen.thaw()?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}

fn tried(bench: &Bench) -> Result<Duration, Stop> {
    let frozen = bench.freeze()?;
    let mut taker = bench.start()?;
    let answer = taker.answer(PROBE)?;
    let took = taker.started().elapsed();
    if answer.is_some_and(|answer| answer != b'2') || answer.is_none() && taker.has_ended() {
        let (answered, after) = (taker.answered(), took.as_secs_f32());
        return Err(taker.broken(&format!("answered {answered} after {after:.1} s")));
    }
    taker.dismiss()?;
    frozen.thaw()?;
    Ok(took)
}

fn cancelled(bench: &Bench) -> Result<Duration, Stop> {
    let frozen = bench.freeze()?;
    let mut taker = bench.start()?;
    taker.hear(Duration::from_secs(1), |_| false)?;
    taker.signal(Signal::TERM);
    taker.expect_end("cancelled", SECOND)?;
    let took = taker.expect_gone("cancelled", SECOND)?;
    frozen.thaw()?;
    taker.expect_all_gone("after the thaw", bench.lease_over())?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took)
}

/// Whatever the hung request of a stopped process makes of the lock: either nobody else gets it, or its process does not
/// think any more that it has it.
fn stale(bench: &Bench) -> Result<Duration, Stop> {
    let frozen = bench.freeze()?;
    let mut first = bench.start()?;
    // Into its request.
    first.hear(Duration::from_millis(500), |_| false)?;
    first.stop()?;
    frozen.thaw()?;
    // Long enough for the request to be carried out.
    first.hear(Duration::from_millis(500), |_| false)?;
    let mut second = bench.take_within(bench.lease() * 2 + bench.lease_over(), Bench::start)?;
    let took = second.started().duration_since(first.started());
    first.signal(Signal::CONT);
    first.hear(SECOND, |first| !first.bytes().is_empty() || first.has_ended())?;
    if first.bytes().contains(&b'0') {
        return Err(Stop::Broken("it wrote 0 while another had the lock".to_owned()));
    }
    second.expect_silence("the first one went on", NOISE)?;
    Ok(took)
}
