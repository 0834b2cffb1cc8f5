//! The process that the user started: passes signals on, says what the keeper has to say, and ends as the command did.
//!
//! Should the keeper be killed, it kills the command in its place; the helper, whose parent the keeper was, gives back
//! the lock only after the grace.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use anyhow::Context;
use mutex_core::status::exit_code;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{getpgrp, tcgetpgrp, tcsetpgrp};
use rustix::process::{
    Pid, Signal as Sent, WaitId, WaitIdOptions, WaitIdStatus, getpid, kill_process, set_child_subreaper, waitid,
};

use super::cgroup::Cgroup;
use super::family::Family;
use super::keeper::{Keeper, PASSED};
use super::{Job, OURS};
use crate::helper::Signals;
use crate::{say, sys};

/// How long a line waits for room.
const STDERR_READY_MILLISECONDS: u8 = 50;

/// What the keeper tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A line for standard error.
    Line(String),
    /// The helper's process group.
    Helper(Option<Pid>),
    /// The command's.
    Command(Pid),
}

impl News {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (tag, text) = match self {
            Self::Line(text) => (b'L', text.clone()),
            Self::Helper(pid) => (b'H', pid.map_or_else(String::new, |pid| pid.as_raw_nonzero().to_string())),
            Self::Command(pid) => (b'C', pid.as_raw_nonzero().to_string()),
        };
        [&[tag], text.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, text) = bytes.split_first()?;
        let text = String::from_utf8_lossy(text).into_owned();
        let pid = text.parse().ok().and_then(Pid::from_raw);
        match tag {
            b'L' => Some(Self::Line(text)),
            b'H' => Some(Self::Helper(pid)),
            b'C' => pid.map(Self::Command),
            _ => None,
        }
    }
}

/// Whether we have a terminal to hand on. Not where standard output is none: the next in a pipe may read from it.
pub(super) fn has_terminal() -> bool {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    stdin.is_terminal() && stdout.is_terminal() && tcgetpgrp(stdin).is_ok_and(|group| group == getpgrp())
}

/// Starts the keeper, and stays until it has ended. Returns the exit code.
///
/// # Errors
/// Only limits of the system stand behind these.
pub(super) fn run(job: &Job) -> anyhow::Result<u8> {
    sys::keep_children()?;
    let watched = || PASSED.into_iter().chain([Signal::SIGCHLD, Signal::SIGTTOU]);
    let signals = Signals::block_these(watched())?;
    set_child_subreaper(Some(getpid())).context("cannot look after a command")?;
    let cgroup = Cgroup::make().map_err(|error| {
        if job.verbose {
            say::complain(&format!("the command gets no cgroup of its own: {error:#}"));
        }
    });
    let mut family = Family::new(cgroup.ok());
    let (ours, theirs) = UnixDatagram::pair().context("cannot make a socket pair")?;
    for end in [&ours, &theirs] {
        end.set_nonblocking(true)?;
    }
    let front = getpid();
    let Some(keeper) = sys::fork().context("cannot start the keeper process")? else {
        drop((ours, signals));
        let signals = Signals::block_these(watched())?;
        let keeper = Keeper { job, front, news: theirs, family, signals, helper_spoke: false };
        std::process::exit(keeper.run().into())
    };
    let ended = wait(keeper, &ours, &signals, &mut family);
    let code = match ended.as_ref().map(WaitIdStatus::exit_status) {
        Ok(Some(code)) => u8::try_from(code).unwrap_or(OURS + exit_code::ERROR),
        _ => {
            family.end(&signals);
            hear(&ours, &mut family);
            let line = "the keeper process was killed: the command was killed too, and the lock is given back";
            complain(&format!("{}: {line}", job.lock.text()));
            OURS + exit_code::LOST
        }
    };
    family.bury();
    if job.terminal {
        take_back_terminal(&family);
    }
    ended.map(|_| code)
}

/// Passes signals on until the keeper has ended.
fn wait(keeper: Pid, news: &UnixDatagram, signals: &Signals, family: &mut Family) -> anyhow::Result<WaitIdStatus> {
    loop {
        let mut fds = [signals.as_fd(), news.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot watch the keeper process"),
        }
        hear(news, family);
        while let Some(signal) = signals.next() {
            if let Some(passed) = Some(signal).filter(|signal| PASSED.contains(signal)) {
                let _ = kill_process(keeper, Sent::from_named_raw(passed as i32).unwrap_or(Sent::TERM));
            }
        }
        let how = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(keeper), how)? {
            // Nobody would end the command when the lock is lost.
            Some(status) if status.stopped() => kill_process(keeper, Sent::CONT)?,
            Some(status) => {
                hear(news, family);
                return Ok(status);
            }
            None => {}
        }
    }
}

/// Takes in all that the keeper has told.
fn hear(news: &UnixDatagram, family: &mut Family) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length) = news.recv(&mut bytes) {
        match News::from_bytes(&bytes[..length]) {
            Some(News::Line(line)) => complain(&line),
            Some(News::Helper(group)) => family.helper = group,
            Some(News::Command(leader)) => family.led_by(leader),
            None => {}
        }
    }
}

/// A line for whoever reads standard error now: signals are not to wait for a reader that sleeps.
fn complain(line: &str) {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::from(STDERR_READY_MILLISECONDS)).is_ok_and(|ready| ready > 0) {
        say::complain(line);
    }
}

/// From the command's group, if that still has it; SIGTTOU is blocked.
fn take_back_terminal(family: &Family) {
    let had = family.leader().map(|leader| nix::unistd::Pid::from_raw(leader.as_raw_nonzero().get()));
    if had.is_some() && tcgetpgrp(io::stdin()).ok() == had {
        let _ = tcsetpgrp(io::stdin(), getpgrp());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_arrive_as_they_were_told() {
        for news in [News::Line("lost".into()), News::Helper(Pid::from_raw(7)), News::Command(Pid::INIT)] {
            assert_eq!(News::from_bytes(&news.bytes()), Some(news));
        }
    }
}
