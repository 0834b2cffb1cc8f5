//! What a helper says before it ends.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::{Launch, Stderr};
use mutex_tests::roster::ANSWER_LIMIT;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use serde_json::Value;

use crate::lock::Lock;
use crate::{GONE, NOISE};

/// How long a try may go without an answer, in seconds, where a case waits for that.
const PATIENCE: &str = "2";
const PATIENCE_TIME: Duration = Duration::from_secs(2);

/// Standard error of a helper: a pipe, as CTDB has it. A line into a file is given up when the machine is busy.
pub(crate) struct Log(File);

impl Log {
    /// Starts a helper that writes there.
    pub(crate) fn of(launch: Launch) -> anyhow::Result<(Helper, Self)> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok((launch.stderr(Stderr::Into(writer)).start()?, Self(reader.into())))
    }

    /// What was said since the last look, by one that has ended.
    pub(crate) fn read(&mut self) -> anyhow::Result<String> {
        let mut text = Vec::new();
        match self.0.read_to_end(&mut text) {
            // A child that another case starts just now has the writing end too, for a moment.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => drop(read.context("read standard error")?),
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The byte, then the end, the exit code of the same number, and one line with all of these in it.
pub(crate) fn ends(launch: Launch, status: char, names: &[&str]) -> anyhow::Result<String> {
    let (started, log) = Log::of(launch)?;
    ended(started, log, status, names)
}

fn ended(mut started: Helper, mut log: Log, status: char, names: &[&str]) -> anyhow::Result<String> {
    started.expect(status, ANSWER_LIMIT)?;
    started.end(GONE)?;
    let code = started.exit_code(GONE)?;
    ensure!(char::from_digit(u32::try_from(code)?, 10) == Some(status), "exit code {code} after {status}");
    let line = log.read()?;
    ensure!(line.lines().count() == 1, "standard error should be exactly one line, but is {line:?}");
    for name in names {
        ensure!(line.contains(name), "the line {line:?} does not name {name:?}");
    }
    Ok(line)
}

/// At once, what waiting cannot cure; and nothing was taken.
pub(crate) fn refuses(lock: &Lock, launch: Launch, names: &[&str]) -> anyhow::Result<String> {
    let line = ends(launch, '3', names)?;
    ensure!(!lock.is_held()?, "something was taken");
    Ok(line)
}

/// Silence while there is hope, then `2`; and one line, which the caller sees to.
pub(crate) fn waits(launch: Launch, names: &[&str]) -> anyhow::Result<String> {
    let (started, log) = Log::of(launch.args(&["--acquire-timeout-seconds", PATIENCE]))?;
    started.pipe()?.stays_silent(PATIENCE_TIME.saturating_sub(NOISE))?;
    ended(started, log, '2', names)
}

/// What was printed, the exit code and standard error of one that is asked a question.
pub(crate) fn ask(launch: Launch, limit: Duration) -> anyhow::Result<(String, i32, String)> {
    // A file: nobody reads a pipe meanwhile.
    let stdout = tempfile::NamedTempFile::new()?;
    let (mut asked, mut log) = Log::of(launch.stdout(stdout.reopen()?.into()))?;
    let code = asked.exit_code(limit)?;
    Ok((fs::read_to_string(stdout.path())?, code, log.read()?))
}

/// The answer to a question that can be answered.
pub(crate) fn answer(launch: Launch) -> anyhow::Result<String> {
    let (text, code, stderr) = ask(launch, ANSWER_LIMIT)?;
    ensure!(code == 0 && stderr.is_empty(), "exit code {code}, {text:?}, {stderr:?}");
    Ok(text)
}

/// The answer to `--status --json`, by a helper that is about to be started with its other options.
pub(crate) fn status(lock: &Lock, launch: Launch) -> anyhow::Result<Value> {
    let text = answer(launch.args(&["--status", "--json"]))?;
    let status: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text:?}"))?;
    ensure!(status["object"] == lock.key && status["store"]["key"] == lock.key, "{status}");
    Ok(status)
}
