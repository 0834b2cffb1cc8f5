//! A parent for a helper that can be killed in CTDB's place: this program, started once more.
//!
//! It starts the helper with its own pipe and standard error, lets go of both, and does nothing more: whoever keeps the
//! pipe's reader open, the helper's parent is gone when this process is. Both are in one process group, as with ctdbd.
//! In a container ctdbd can be process 1: for that there is another of these in between, which makes a PID namespace.

use std::env::ArgsOs;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, stdin};
use std::iter::Skip;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{dup2_stderr, dup2_stdout, getppid};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::lock::Lock;

/// The first argument of such a process.
const WORD: &str = "parent-for-test";
/// The same of one that is process 1, and of the one that starts that.
const FIRST: &str = "first-for-test";
const BEFORE_FIRST: &str = "before-first-for-test";

/// Is the parent, where this process was started for that.
pub(crate) fn asked_for() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next()?;
    let be = match word.to_str()? {
        WORD => be,
        FIRST => be_first,
        BEFORE_FIRST => be_before_first,
        _ => return None,
    };
    // Its standard error is the helper's, which must say nothing.
    Some(be(arguments).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

fn be(line: Skip<ArgsOs>) -> anyhow::Result<()> {
    watched_by(|| start(line).map(drop))
}

/// What process 1 does. It sees no process outside its namespace: standard input ends when the one before it does.
fn be_first(line: Skip<ArgsOs>) -> anyhow::Result<()> {
    let _child = start(line)?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Ends, and nothing was started, where there can be no namespace.
fn be_before_first(line: Skip<ArgsOs>) -> anyhow::Result<()> {
    // The next child is process 1 there.
    unshare(CloneFlags::CLONE_NEWPID)?;
    let mut first = None;
    watched_by(|| {
        let mut command = Command::new("/proc/self/exe");
        first = Some(command.arg(FIRST).args(line).stdin(Stdio::piped()).spawn()?);
        let_go()
    })
}

/// Starts what is to be started. Should the test die, then so does this parent, and with it CTDB in the helper's eyes.
fn watched_by(start: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let test = getppid();
    let watched = Pid::from_raw(test.as_raw()).context("no parent")?;
    let watched = pidfd_open(watched, PidfdFlags::empty())?;
    start()?;
    if getppid() == test {
        poll(&mut [PollFd::new(watched.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    }
    Ok(())
}

fn start(mut line: impl Iterator<Item = OsString>) -> anyhow::Result<Child> {
    let program = line.next().context("no helper")?;
    let child = Command::new(program).args(line).stdin(Stdio::null()).spawn()?;
    let_go()?;
    Ok(child)
}

fn let_go() -> anyhow::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// The command that starts the helper of `lock` below such a parent.
pub(super) fn command(lock: &Lock) -> Command {
    own_command(WORD, lock)
}

/// The same below process 1 of a namespace.
pub(super) fn first_command(lock: &Lock) -> Command {
    own_command(BEFORE_FIRST, lock)
}

fn own_command(word: &str, lock: &Lock) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(word).arg(lock.program()).args(lock.arguments());
    command
}
