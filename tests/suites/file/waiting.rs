//! `--wait-seconds`.

use std::time::Duration;

use anyhow::ensure;
use mutex_tests::roster::ANSWER_LIMIT;
use rustix::process::Signal;

use crate::{Case, GONE, NOISE, directory, helper, holder};

pub(crate) const CASES: &[Case] = &[
    ("--wait-seconds gets the lock when the holder releases it", gets_it),
    ("--wait-seconds that ran out is answered 1", runs_out),
    ("SIGTERM ends a waiting helper at once and without a byte", cancelled),
];

fn gets_it() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let first = holder(&file)?;
    let waiting = helper(&file)?.args(&["--wait-seconds", "20"]).start()?;
    waiting.pipe()?.stays_silent(Duration::from_secs(1))?;
    first.signal(Signal::TERM)?;
    waiting.expect('0', ANSWER_LIMIT)?;
    ensure!(waiting.stderr()?.is_empty(), "it said: {:?}", waiting.stderr()?);
    Ok(())
}

fn runs_out() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let _first = holder(&file)?;
    let mut waiting = helper(&file)?.args(&["--wait-seconds", "1"]).start()?;
    waiting.expect('1', ANSWER_LIMIT)?;
    let took = waiting.started().elapsed();
    ensure!(took + NOISE > Duration::from_secs(1), "it waited for {took:?} only");
    let code = waiting.exit_code(GONE)?;
    ensure!(code == 1, "exit code {code}");
    Ok(())
}

fn cancelled() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let first = holder(&file)?;
    let waiting = helper(&file)?.args(&["--wait-seconds", "20"]).start()?;
    waiting.pipe()?.stays_silent(Duration::from_millis(500))?;
    waiting.signal(Signal::TERM)?;
    waiting.end(NOISE)?;
    waiting.gone(GONE)?;
    ensure!(first.pipe()?.is_silent(), "the holder's pipe is not silent");
    Ok(())
}
