//! A helper started as CTDB starts it, and what happens to it.
//!
//! `execv` without PATH, standard output on a pipe that nobody else has, standard error on a pipe, standard input empty.
//! The helper is in a process group of its own: a Ctrl-C on the terminal must reach this program alone, which then releases
//! in CTDB's order.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{pipe2, read};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::lock::Lock;
use crate::sys;
use crate::unblocked::unblocked;

/// A line of a helper longer than this is shown in pieces.
const LINE_MAX: usize = 4096;

/// After so many lines in a row the byte, the end and the deadline have their turn: one that never stops talking would else
/// hide them.
const LINES_IN_A_ROW: usize = 100;

/// What Linux keeps in a pipe: nothing that a helper said before its end is more.
const PIPE_MAX: usize = 64 * 1024;

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A byte on the pipe; the first is the status, and CTDB ignores all others.
    Byte(u8),
    /// The end of the pipe. After `0`: the lock is lost.
    End,
    /// A line on the helper's standard error.
    Line(String),
    /// The process that was started is gone.
    Gone,
    /// This program was sent a signal.
    Signal(Signal),
    /// The time is over.
    Deadline,
}

/// The signals that end a command, blocked from here on and read from a descriptor.
///
/// One that this program was started to ignore (`nohup`: SIGHUP) is left out: a descriptor would show it all the same.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// SIGINT, SIGTERM and SIGHUP.
    ///
    /// # Errors
    /// Only limits of the system stand behind these.
    pub(crate) fn block() -> anyhow::Result<Self> {
        Self::block_these([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
    }

    /// These signals.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn block_these(signals: impl IntoIterator<Item = Signal>) -> anyhow::Result<Self> {
        let ignored = ignored();
        let bit = |signal: Signal| 1_u64 << (signal as i32 - 1);
        let set = SigSet::from_iter(signals.into_iter().filter(|&signal| ignored & bit(signal) == 0));
        set.thread_block().context("cannot block signals")?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// One that has come, without waiting.
    pub(crate) fn next(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }

    /// Waits for one; `None` when the time is over.
    ///
    /// # Errors
    /// What `poll` says.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<Option<Signal>> {
        loop {
            if let Some(signal) = self.next() {
                return Ok(Some(signal));
            }
            let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return Ok(None),
                Some(left) => rounded_up(left),
                None => PollTimeout::NONE,
            };
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The signals that this process ignores, a bit each as in proc(5); none where that cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A helper that was started.
pub(crate) struct Helper {
    child: Child,
    pidfd: OwnedFd,
    /// `None` once it has ended or was closed.
    pipe: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    said: Vec<u8>,
    in_a_row: usize,
    gone: bool,
    started: Instant,
}

impl Helper {
    /// Starts the helper of `lock`, with `more` arguments before its own.
    ///
    /// # Errors
    /// Where it cannot be started: CTDB would get status 3.
    pub(crate) fn start(lock: &Lock, more: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(lock.program());
        // Before the others: behind a `--` in LOCK an option would be a word.
        command.args(more).args(lock.arguments()).process_group(0);
        Self::start_command(command, None)
    }

    /// Starts a command as CTDB starts a helper; in which process group, the caller says. Standard error goes to `elsewhere`,
    /// where that is given, and is not read.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn start_command(mut command: Command, elsewhere: Option<OwnedFd>) -> anyhow::Result<Self> {
        sys::keep_children()?;
        let (pipe, writer) = pipe2(OFlag::O_CLOEXEC).context("cannot make a pipe")?;
        let (stderr, their_stderr) = pipe2(OFlag::O_CLOEXEC).context("cannot make a pipe")?;
        for reader in [&pipe, &stderr] {
            fcntl(reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        command.stdin(Stdio::null()).stdout(writer).stderr(elsewhere.unwrap_or(their_stderr));
        unblocked(&mut command);
        let started = Instant::now();
        let program = Path::new(command.get_program()).to_owned();
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        // It holds the writing ends.
        drop(command);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the helper has no number")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("cannot watch the helper")?;
        let (pipe, stderr) = (Some(pipe), Some(stderr));
        Ok(Self { child, pidfd, pipe, stderr, said: Vec::new(), in_a_row: 0, gone: false, started })
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The number of the process that was started; also that of its group.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal; nothing where it is gone.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    /// Closes the reading end, as CTDB does when it lets go of a lock.
    pub(crate) fn close_pipe(&mut self) {
        self.pipe = None;
    }

    /// Waits for the next thing to happen. What this program was told comes first, then what the helper said, its pipe, and
    /// its end: each in the order in which it counts.
    ///
    /// # Errors
    /// What `poll` or `read` say.
    pub(crate) fn next(&mut self, signals: Option<&Signals>, deadline: Option<Instant>) -> io::Result<Event> {
        loop {
            if let Some(signal) = signals.and_then(Signals::next) {
                return Ok(Event::Signal(signal));
            }
            let talks = self.in_a_row >= LINES_IN_A_ROW;
            let line = if talks { None } else { self.line()? };
            if let Some(line) = line {
                self.in_a_row += 1;
                return Ok(Event::Line(line));
            }
            self.in_a_row = 0;
            if let Some(event) = self.pipe_event()? {
                return Ok(event);
            }
            if !self.gone && self.ended_within(Duration::ZERO) {
                self.gone = true;
                // What it said last is told before its end.
                self.take_in(PIPE_MAX)?;
                continue;
            }
            if self.is_over() && !talks {
                return Ok(Event::Gone);
            }
            let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return Ok(Event::Deadline),
                Some(left) => rounded_up(left),
                None => PollTimeout::NONE,
            };
            if talks {
                continue;
            }
            let mut fds = Vec::new();
            fds.extend(signals.map(|signals| PollFd::new(signals.0.as_fd(), PollFlags::POLLIN)));
            fds.extend(self.pipe.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            fds.extend(self.stderr.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            if !self.gone {
                fds.push(PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A byte or the end, if there is one.
    fn pipe_event(&mut self) -> io::Result<Option<Event>> {
        let Some(pipe) = &self.pipe else { return Ok(None) };
        let mut byte = [0];
        match read(pipe, &mut byte) {
            Ok(0) => {
                self.pipe = None;
                Ok(Some(Event::End))
            }
            Ok(_) => Ok(Some(Event::Byte(byte[0]))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A whole line of standard error, if there is one.
    fn line(&mut self) -> io::Result<Option<String>> {
        let newline = |said: &[u8]| said.iter().position(|&byte| byte == b'\n');
        // After its end it is another's, who may never stop.
        if newline(&self.said).is_none() && !self.is_over() {
            self.take_in(LINE_MAX)?;
        }
        let is_all = self.is_over() || self.stderr.is_none();
        let (length, rest) = match newline(&self.said) {
            Some(end) if end <= LINE_MAX => (end, end + 1),
            _ if self.said.len() >= LINE_MAX || (is_all && !self.said.is_empty()) => {
                let piece = self.said.len().min(LINE_MAX);
                (piece, piece)
            }
            _ => return Ok(None),
        };
        let line = String::from_utf8_lossy(&self.said[..length]).into_owned();
        self.said.drain(..rest);
        Ok(Some(line))
    }

    /// Reads what there is of standard error, until there is `most` of it.
    fn take_in(&mut self, most: usize) -> io::Result<()> {
        let mut more = [0; 1024];
        while let Some(stderr) = self.stderr.as_ref().filter(|_| self.said.len() < most) {
            match read(stderr, &mut more) {
                Ok(0) => self.stderr = None,
                Ok(count) => self.said.extend(&more[..count]),
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether it is gone, and its pipe has ended.
    fn is_over(&self) -> bool {
        self.gone && self.pipe.is_none()
    }

    /// Whether the process that was started ends within this time.
    fn ended_within(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)).is_ok_and(|ready| ready > 0)
    }

    /// Whether its standard error has ended, as far as it has been read.
    pub(crate) fn has_said_all(&self) -> bool {
        self.stderr.is_none()
    }

    /// How it ended; `None` while it has not.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

/// To whole milliseconds: a poll of nothing is a busy loop.
fn rounded_up(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
}

/// How a process ended, in words.
pub(crate) fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("ended by signal {signal}"),
        _ => "ended".to_owned(),
    }
}
