//! The operator's commands: --freeze, --thaw, --break.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::helper::{Signals, ended};
use crate::unblocked::unblocked;

/// How long one may take. They stop processes or ask a store: a second is much.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs one to its end, by the shell. What it says goes to standard error: standard output is for the verdicts.
///
/// # Errors
/// Where it fails or takes too long, and where this program is told to end meanwhile; it is ended then, and what it started.
pub(super) fn run(option: &str, text: &str, signals: Option<&Signals>) -> anyhow::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]).stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
    unblocked(&mut command);
    let mut child = command.spawn().context("cannot start /bin/sh")?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the shell has no number")?;
    let outcome = wait(&pidfd_open(pid, PidfdFlags::empty())?, signals);
    if outcome.is_err() {
        // Not waited for yet, so its number is its own.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait()?;
    outcome.with_context(|| format!("{option} {text:?}"))?;
    ensure!(status.success(), "{option} {text:?}: {}", ended(status));
    Ok(())
}

fn wait(pidfd: &OwnedFd, signals: Option<&Signals>) -> anyhow::Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let mut fds = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        fds.extend(signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        let left = deadline.saturating_duration_since(Instant::now());
        let ready = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)).unwrap_or(0);
        if fds[0].any() == Some(true) {
            return Ok(());
        }
        if fds.get(1).and_then(PollFd::any) == Some(true) {
            bail!("interrupted");
        }
        ensure!(ready > 0 || !left.is_zero(), "not done after {LIMIT:?}");
    }
}
