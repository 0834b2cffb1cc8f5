//! Told to go: by CTDB's signal, by others', by the parent's death, by the pipe's other end.

use std::time::Duration;

use rustix::process::Signal;

use super::bench::{AT_ONCE, Bench, PROBE, SECOND};
use super::rule::{Rule, Stop};

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "sigterm-held",
        "SIGTERM to a holder: the pipe ends at once, the lock is free and it is gone within a second",
        |bench| told(bench, Signal::TERM),
    ),
    Rule::new("sigint-held", "the same with SIGINT", |bench| told(bench, Signal::INT)),
    Rule::new("sighup-held", "the same with SIGHUP", |bench| told(bench, Signal::HUP)),
    Rule::new("sigterm-trying", "SIGTERM before the byte, at any moment: it goes, and leaves nothing behind", trying),
    Rule::new("parent-death", "the parent killed while another keeps the pipe's reader: the same", orphaned),
    Rule::new("reader-closed", "the pipe's reader closed while the parent lives: the same", reader_closed),
    Rule::new("parent-one", "with process 1 for a parent, as in a container, it answers and holds too", under_first),
];

fn told(bench: &Bench, signal: Signal) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.signal(signal);
    let took = holder.expect_end("after the signal", AT_ONCE)?;
    bench.ensure_free(SECOND)?;
    holder.expect_gone("after the signal", SECOND)?;
    holder.expect_all_gone("after the signal", SECOND)?;
    Ok(took)
}

/// Each try is cancelled a little later than the one before: from before main() to about its byte.
fn trying(bench: &Bench) -> Result<Duration, Stop> {
    const TRIES: u32 = 12;
    let mut first = bench.take()?;
    let last = (first.answered_after() * 5 / 4).max(Duration::from_millis(20));
    first.dismiss()?;
    let mut longest = Duration::ZERO;
    for number in 0..TRIES {
        let mut taker = bench.start()?;
        taker.hear(last * number / TRIES, |_| false)?;
        taker.signal(Signal::TERM);
        taker.expect_end("cancelled", SECOND)?;
        longest = longest.max(taker.expect_gone("cancelled", SECOND)?);
        bench.ensure_free(SECOND)?;
        taker.expect_all_gone("cancelled", SECOND)?;
    }
    Ok(longest)
}

fn orphaned(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take_under_parent()?;
    holder.kill_parent();
    let took = holder.expect_end("its parent is dead", AT_ONCE)?;
    bench.ensure_free(SECOND)?;
    holder.expect_gone("its parent is dead", SECOND)?;
    holder.expect_all_gone("its parent is dead", SECOND)?;
    Ok(took)
}

fn reader_closed(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.close_pipe();
    let took = holder.expect_gone("its reader is closed", SECOND)?;
    bench.ensure_free(SECOND)?;
    holder.expect_all_gone("its reader is closed", SECOND)?;
    Ok(took)
}

fn under_first(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take_under_first()?;
    bench.start_under_first()?.expect("a second taker", b'1', PROBE)?;
    // Longer than one that takes process 1 for an orphan's parent takes to look.
    holder.expect_silence("a second taker was contended", SECOND)?;
    let took = holder.answered_after();
    // While its parent is there: with process 1 all the others are killed.
    holder.dismiss()?;
    bench.ensure_free(SECOND)?;
    Ok(took)
}
