//! One command of an example, on the stage.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use tempfile::NamedTempFile;

/// The longest are those that wait for a lease, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(30);

/// What is in a person's environment.
pub(crate) type Environment = Vec<(String, String)>;

fn launch(line: &str, environment: &Environment) -> Launch {
    let launch = Launch::new("/bin/sh", ["-c", line]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value))
}

/// Runs it to its end; what it said.
pub(crate) fn run(line: &str, environment: &Environment, code: i32) -> anyhow::Result<String> {
    let answer = launch(line, environment).answer(LIMIT)?;
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    ensure!(answer.code == code, "exit code {}, not {code}; it said {said:?} and {:?}", answer.code, answer.stderr);
    Ok(said)
}

/// A command that stays until Ctrl-C. Killed with this value.
pub(crate) struct Holding {
    helper: Helper,
    output: NamedTempFile,
}

impl Holding {
    /// Starts it and waits until it has a lock.
    pub(crate) fn start(line: &str, environment: &Environment) -> anyhow::Result<Self> {
        let output = NamedTempFile::new().context("make a file for what it says")?;
        let helper = launch(&format!("exec {line}"), environment).stdout(output.reopen()?.into()).start()?;
        let holding = Self { helper, output };
        // A helper's byte, or the tool's word.
        let has_it = || holding.said().is_ok_and(|said| said.starts_with('0') || said.contains("taken"));
        let answered = || (has_it() || holding.helper.supervisor().is_gone()).then_some(());
        let waited = wait_for("it to have the lock", LIMIT, answered);
        let said = || format!("it said {:?} and {:?}", holding.said(), holding.helper.stderr());
        waited.with_context(said)?;
        // What it was about to say as it ended has been said now.
        ensure!(has_it(), "it has not got the lock; {}", said());
        Ok(holding)
    }

    fn said(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.output.path())?)
    }

    /// Presses Ctrl-C, if it is still there; its exit code.
    pub(crate) fn interrupt(self) -> anyhow::Result<i32> {
        self.helper.signal(Signal::INT)?;
        self.lose()
    }

    /// Waits for its end; its exit code.
    pub(crate) fn lose(mut self) -> anyhow::Result<i32> {
        let said = |this: &Self| format!("it said {:?} and {:?}", this.said(), this.helper.stderr());
        let code = self.helper.exit_code(LIMIT);
        code.with_context(|| said(&self))
    }
}
