//! What only `ctdb_mutex_file_helper` promises: its file, its options, its answers to people.
//!
//! HELPER_DIR names the directory of the helper (default: where cargo put it). SLOW=1 adds what takes a minute.

mod bad_input;
mod break_lock;
mod content;
mod losing;
mod places;
mod status;
mod terminal;
mod waiting;
mod wakeups;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use libtest_mimic::{Arguments, Trial};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use tempfile::TempDir;

/// What a machine of two cores that runs other trials too adds to a measured time.
const NOISE: Duration = Duration::from_millis(250);

/// How long a process may take to go, whatever the store does (P4).
const GONE: Duration = Duration::from_secs(1).saturating_add(NOISE);

/// A promise. Its name is the trial's.
type Case = (&'static str, fn() -> anyhow::Result<()>);

fn main() {
    let cases = [
        losing::CASES,
        content::CASES,
        places::CASES,
        status::CASES,
        break_lock::CASES,
        waiting::CASES,
        terminal::CASES,
        wakeups::CASES,
        if std::env::var_os("SLOW").is_some() { wakeups::SLOW_CASES } else { &[] },
    ]
    .concat();
    let mut trials: Vec<Trial> = cases.into_iter().map(|(name, run)| trial(name, run)).collect();
    trials.extend(bad_input::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

fn trial(name: impl Into<String>, run: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(|error| format!("{error:#}").into()))
}

/// The helper about to be started.
fn helper(file: impl AsRef<OsStr>) -> anyhow::Result<Launch> {
    Ok(Launch::new(programs::helper("ctdb_mutex_file_helper")?, [file.as_ref()]))
}

/// A helper that holds `file`, with a proof a second.
fn holder(file: &Path) -> anyhow::Result<Helper> {
    let holder = helper(file)?.args(&["1", "2"]).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    Ok(holder)
}

/// A directory of the case's own, and the lock file in it, which is not made.
fn directory() -> anyhow::Result<(TempDir, PathBuf)> {
    let dir = tempfile::Builder::new().prefix("mutex-").tempdir().context("make a directory")?;
    let file = dir.path().join("lock");
    Ok((dir, file))
}
