//! The lock taken away while the store answers (P2b).

use anyhow::{Context, ensure};
use mutex_tests::roster::Row;

use crate::{Case, GONE, NOISE};

pub(crate) const CASES: &[Case] =
    &[Case::new("the lock taken away: the pipe ends in time, with one line that names it", taken_away)];

fn taken_away(row: &Row) -> anyhow::Result<()> {
    let ways = row.bench()?.store().takings().len();
    ensure!(ways > 0, "the store has no way to take a lock away");
    for way in 0..ways {
        let bench = row.bench()?;
        let fault = bench.store().takings().swap_remove(way);
        let holder = bench.holder()?;
        let _taken = fault.inject()?;
        holder.end(row.timing.reported + NOISE).with_context(|| fault.name())?;
        holder.gone(GONE).with_context(|| fault.name())?;
        let line = holder.one_line().with_context(|| fault.name())?;
        let object = bench.store().object();
        ensure!(line.contains(&object), "{}: the line {line:?} does not name {object}", fault.name());
    }
    Ok(())
}
