//! The lock taken away while the store answers.

use std::time::Duration;

use super::bench::{Bench, NOISE, PROBE, SECOND};
use super::rule::{Rule, Stop};

pub(super) const RULES: &[Rule] = &[
    Rule::lost(
        "lost",
        "the lock taken away: the pipe ends before a lease is over, and it is not taken again in silence",
        lost,
    ),
    Rule::lost("lost-stopped", "the same while the process that CTDB started is stopped", stopped),
];

fn lost(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    bench.break_lock()?;
    match holder.expect_end("the lock was taken away", bench.lease() + NOISE) {
        Ok(took) => {
            holder.expect_gone("the lock was taken away", SECOND)?;
            bench.ensure_free(bench.lease_over())?;
            Ok(took)
        }
        Err(Stop::Broken(why)) => {
            let mut other = bench.start()?;
            let answer = other.answer(PROBE)?;
            Err(Stop::Broken(match answer {
                Some(b'0') => format!("{why}; and another has the lock"),
                Some(b'1') => format!("{why}; it has taken the lock again in silence"),
                _ => why,
            }))
        }
        Err(other) => Err(other),
    }
}

fn stopped(bench: &Bench) -> Result<Duration, Stop> {
    let mut holder = bench.take()?;
    holder.stop()?;
    bench.break_lock()?;
    holder.expect_end("stopped, the lock taken away", bench.lease() + NOISE)
}
