//! A command of a service's package, under a time limit: with its service stopped it could wait for ever.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::process::Process;

/// How long a killed command is waited for: one in a call on a mount that hangs stays until the mount ends.
const END_LIMIT: Duration = Duration::from_secs(1);

/// A command that has been started. Killed with this value.
pub(super) struct Running {
    what: String,
    child: Child,
    process: Process,
    // Files, since nobody reads a pipe meanwhile.
    stdout: File,
    stderr: File,
    limit: Duration,
    ends: Instant,
}

/// How a command ended.
pub(super) struct Outcome {
    what: String,
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Starts a command, so that it can run beside others.
pub(super) fn start(command: &mut Command, limit: Duration) -> anyhow::Result<Running> {
    let what = format!("{command:?}");
    let file = || tempfile::tempfile().context("make a file for a command's output");
    let (stdout, stderr) = (file()?, file()?);
    command.stdin(Stdio::null()).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("start {what}"))?;
    let process = match i32::try_from(child.id()).map_err(Into::into).and_then(Process::open) {
        Ok(process) => process,
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
    };
    Ok(Running { what, child, process, stdout, stderr, limit, ends: Instant::now() + limit })
}

/// Runs a command that must succeed; what it printed.
pub(super) fn run(command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    start(command, limit)?.succeeded()
}

impl Running {
    /// Waits for its end.
    pub(super) fn outcome(mut self) -> anyhow::Result<Outcome> {
        let left = self.ends.saturating_duration_since(Instant::now());
        ensure!(self.process.wait_gone(left).is_ok(), "{}: has not ended within {:?}", self.what, self.limit);
        let status = self.child.wait().with_context(|| format!("wait for {}", self.what))?;
        let (stdout, stderr) = (text_of(&self.stdout)?, text_of(&self.stderr)?);
        Ok(Outcome { what: std::mem::take(&mut self.what), status, stdout, stderr })
    }

    /// The same of one that must succeed; what it printed.
    pub(super) fn succeeded(self) -> anyhow::Result<String> {
        self.outcome()?.succeeded()
    }
}

impl Outcome {
    /// What it printed, if it succeeded.
    pub(super) fn succeeded(self) -> anyhow::Result<String> {
        let Self { what, status, stdout, stderr } = self;
        ensure!(status.success(), "{what}: {status}; {} {}", stdout.trim(), stderr.trim());
        Ok(stdout)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing if it has ended: this process is its parent and has waited for it.
        let _ = self.child.kill();
        if self.process.wait_gone(END_LIMIT).is_ok() {
            let _ = self.child.wait();
        }
    }
}

fn text_of(file: &File) -> anyhow::Result<String> {
    let mut text = vec![0; usize::try_from(file.metadata()?.len())?];
    // At a place: the command shared the file's offset.
    file.read_exact_at(&mut text, 0).context("read a command's output")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
