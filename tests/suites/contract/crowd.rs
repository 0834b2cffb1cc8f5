//! Many takers at once (P1).

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::{Bench, Row};
use rustix::process::Signal;

use crate::{Case, GONE};

pub(crate) const CASES: &[Case] = &[
    Case::new("of many takers at once one is answered 0 and all others 1, within 5 s", crowd),
    Case::new("many takers while the holder releases: never twice in a row without a winner", crowd_at_release),
];

/// The patience of CTDB's own probe.
const LIMIT: Duration = Duration::from_secs(5);

fn crowd(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let winners = winners(&bench, row.takers, || Ok(()))?;
    ensure!(winners.len() == 1, "{} of {} takers were answered 0", winners.len(), row.takers);
    Ok(())
}

fn crowd_at_release(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let mut holder = Some(bench.holder()?);
    // Kept to the end, with whatever their processes have left behind.
    let mut released = Vec::new();
    let mut nobody_before = false;
    for round in 1..=3 {
        // After a round without a winner there is nobody to release, and nothing in the way.
        let old = holder.take();
        let release = || old.as_ref().map_or(Ok(()), |old| old.signal(Signal::TERM));
        let mut winners = winners(&bench, row.takers, release)?;
        if let Some(old) = old {
            old.end(GONE)?;
            released.push(old);
        }
        ensure!(winners.len() <= 1, "round {round}: {} of {} takers were answered 0", winners.len(), row.takers);
        ensure!(!(winners.is_empty() && nobody_before), "rounds {} and {round} without a winner", round - 1);
        nobody_before = winners.is_empty();
        holder = winners.pop();
    }
    Ok(())
}

/// Starts the takers, does `halfway` between two of them, and returns those that were answered `0`.
fn winners(bench: &Bench<'_>, count: usize, halfway: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<Vec<Helper>> {
    let start = Instant::now();
    let mut takers = Vec::with_capacity(count);
    for number in 0..count {
        if number == count / 2 {
            halfway()?;
        }
        takers.push(bench.launch().start()?);
    }
    let mut winners = Vec::new();
    let mut others = Vec::new();
    for taker in takers {
        let left = (start + LIMIT).saturating_duration_since(Instant::now());
        match taker.status(left).context("one of the takers")? {
            '0' => winners.push(taker),
            '1' => others.push(taker),
            status => anyhow::bail!("one of {count} takers was answered {status}"),
        }
    }
    Ok(winners)
}
