//! Another helper on the same lock: the one that is replaced, or that replaces.

use std::time::Duration;

use super::bench::{Bench, PROBE, SECOND};
use super::rule::{Rule, Stop};

pub(super) const RULES: &[Rule] = &[Rule::with(
    "excludes",
    "while it holds the lock the helper of --with is answered 1, and the other way round",
    excludes,
)];

/// Says the longer of both answers.
fn excludes(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    let mut other = bench.start_other()?;
    other.expect("the helper of --with, while this one holds,", b'1', PROBE)?;
    let took = other.answered_after();
    holder.expect_silence("the other was contended", Duration::ZERO)?;
    holder.dismiss()?;
    bench.ensure_free(SECOND)?;

    let mut other = bench.take_within(bench.lease_over(), Bench::start_other)?;
    let mut taker = bench.start()?;
    taker.expect("it, while the helper of --with holds,", b'1', PROBE)?;
    other.expect_silence("this one was contended", Duration::ZERO)?;
    other.dismiss()?;
    bench.ensure_free(bench.lease_over())?;
    Ok(took.max(taker.answered_after()))
}
