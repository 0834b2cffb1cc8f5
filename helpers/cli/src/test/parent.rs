//! A parent for a helper that can be killed in CTDB's place: this program, started once more.
//!
//! It starts the helper with its own pipe and standard error, lets go of both, and does nothing more: whoever keeps the
//! pipe's reader open, the helper's parent is gone when this process is. Both are in one process group, as with ctdbd.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stderr, dup2_stdout, getppid};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::lock::Lock;

/// The first argument of such a process.
const WORD: &str = "parent-for-test";

/// Is the parent, where this process was started for that.
pub(crate) fn asked_for() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    // Its standard error is the helper's, which must say nothing.
    Some(be(arguments).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

fn be(mut line: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    let test = getppid();
    let watched = Pid::from_raw(test.as_raw()).context("no parent")?;
    let watched = pidfd_open(watched, PidfdFlags::empty())?;
    let program = line.next().context("no helper")?;
    let _child = Command::new(program).args(line).stdin(Stdio::null()).spawn()?;
    let null = File::options().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    // Should the test die, then so does this parent, and with it CTDB in the helper's eyes.
    if getppid() == test {
        poll(&mut [PollFd::new(watched.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    }
    Ok(())
}

/// The command that starts the helper of `lock` below such a parent.
pub(super) fn command(lock: &Lock) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORD).arg(lock.program()).args(lock.arguments());
    command
}
