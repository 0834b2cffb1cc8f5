//! The helper that ours replaces takes the same lock (P8).

use anyhow::{Context, ensure};
use mutex_tests::roster::{ANSWER_LIMIT, Row};
use rustix::process::Signal;

use crate::{Case, GONE, wait_free};

pub(crate) const CASES: &[Case] = &[Case {
    name: "it and the helper it replaces exclude each other",
    run: exclude_each_other,
    applies: |row| row.rival.is_some(),
}];

fn exclude_each_other(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let rival = || bench.launch_rival()?.context("the row has no rival");

    let ours = bench.holder()?;
    let theirs = rival()?.start()?;
    let status = theirs.status(ANSWER_LIMIT).context("the rival, while ours holds")?;
    ensure!(status == '1', "the rival got {status} while ours holds");
    ours.signal(Signal::TERM)?;
    ours.gone(GONE)?;
    wait_free(&bench, GONE)?;

    let theirs = rival()?.start()?;
    theirs.expect('0', ANSWER_LIMIT).context("the rival, on a free lock")?;
    let status = bench.try_once()?;
    ensure!(status == '1', "ours got {status} while the rival holds");
    theirs.signal(Signal::TERM)?;
    theirs.gone(ANSWER_LIMIT)?;
    wait_free(&bench, GONE)?;
    bench.holder()?;
    Ok(())
}
