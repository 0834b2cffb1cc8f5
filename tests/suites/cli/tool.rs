//! The tool started, and what it said.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::services::in_memory;
use serde_json::Value;
use tempfile::TempDir;

/// An answer that waits for nothing but a helper, on a machine that is busy with other tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// `ctdb-mutex` about to be started with these arguments.
pub(crate) fn tool(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Launch> {
    let arguments: Vec<_> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
    Ok(Launch::new(programs::helper("ctdb-mutex")?, arguments))
}

/// Runs it to its end, which must come soon.
pub(crate) fn answer(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Answer> {
    tool(arguments)?.answer(LIMIT)
}

/// Standard output as text.
pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.stdout).into_owned()
}

/// Its lines, each one JSON object.
pub(crate) fn objects(answer: &Answer) -> anyhow::Result<Vec<Value>> {
    let text = text(answer);
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line:?}"))).collect()
}

/// Its exit code is this one.
pub(crate) fn expect_code(answer: &Answer, code: i32) -> anyhow::Result<()> {
    let (out, err) = (text(answer), &answer.stderr);
    ensure!(answer.code == code, "exit code {}, not {code}; it said {out:?} and {err:?}", answer.code);
    Ok(())
}

/// More than any file of a case needs.
const ROOM: u64 = 1 << 20;

/// A directory of the case's own, and a lock file in it that is not made. In memory: a proof a second, as the locks here have,
/// would be late on a disk that others use.
pub(crate) fn directory() -> anyhow::Result<(TempDir, PathBuf)> {
    let dir = in_memory::directory("mutex-", ROOM).context("make a directory")?;
    let file = dir.path().join("lock");
    Ok((dir, file))
}

/// LOCK for our file helper on this file, with a proof a second.
pub(crate) fn file_lock(file: &Path) -> anyhow::Result<String> {
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    Ok(format!("!{} {} 1 2", helper.display(), file.display()))
}
