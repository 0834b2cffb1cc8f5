//! A helper as CTDB runs it: `execv` of an absolute path, standard output on a pipe, a parent that can be killed.
//!
//! | module | what is in it |
//! |---|---|
//! | [`programs`] | where the programs are |
//! | [`pipe`] | the pipe as CTDB reads it |
//! | [`launch`] | how a helper is started |
//! | [`helper`] | a helper that runs |
//! | [`answer`] | a helper that answers a question and ends |
//! | [`command`] | any command, run to its end |
//! | [`mounts`] | a mount namespace for a thread |
//! | this one | any process, held by its pidfd |

pub mod answer;
pub mod command;
pub mod helper;
pub mod launch;
pub mod mounts;
pub mod pipe;
pub mod programs;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open, pidfd_send_signal};

use crate::wait::wait_for;

/// A process, held by its pidfd: a signal can never reach another process that got the number later.
pub struct Process {
    pid: i32,
    fd: OwnedFd,
}

impl Process {
    /// The running (or not yet reaped) process with this number.
    pub fn open(pid: i32) -> anyhow::Result<Self> {
        let raw = Pid::from_raw(pid).with_context(|| format!("{pid} is no process number"))?;
        let fd = pidfd_open(raw, PidfdFlags::empty()).with_context(|| format!("pidfd_open of process {pid}"))?;
        Ok(Self { pid, fd })
    }

    /// Its number, for messages and for /proc.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        pidfd_send_signal(&self.fd, signal).with_context(|| format!("{signal:?} to process {}", self.pid))
    }

    /// Stops it as soon as it waits for something, and waits until it has stopped. Not in the middle of its work, where
    /// a stop right after the byte would come before the supervisor has told the worker so: another case.
    pub fn stop(&self) -> anyhow::Result<()> {
        let what = format!("process {} to wait for something", self.pid);
        wait_for(&what, Duration::from_secs(2), || self.states().chars().all(|state| state == 'S').then_some(()))?;
        self.freeze()
    }

    /// Stops it wherever it is, and waits until it has stopped.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let what = format!("process {} to be stopped", self.pid);
        // One that waits for a disk or a hung file system stops when it would go on.
        let stopped = || self.states().chars().all(|state| "TD".contains(state)).then_some(());
        wait_for(&what, Duration::from_secs(10), stopped)?;
        Ok(())
    }

    /// Lets a stopped process go on.
    pub fn go_on(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether every thread of it has ended. A process whose main thread has ended while another one waits in a hung
    /// file system is not gone: that thread keeps the descriptors open.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        is_readable(self.fd.as_fd())
    }

    /// Waits until it is gone, and says how long that took.
    pub fn wait_gone(&self, limit: Duration) -> anyhow::Result<Duration> {
        let start = Instant::now();
        ensure!(
            waits_readable(self.fd.as_fd(), limit)?,
            "waited {limit:?} in vain for: process {} to be gone",
            self.pid
        );
        Ok(start.elapsed())
    }

    /// The numbers of its children.
    #[must_use]
    pub fn children(&self) -> Vec<i32> {
        // A process that is gone has none.
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else { return Vec::new() };
        threads
            .flatten()
            .flat_map(|thread| {
                let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Waits for its first child.
    pub fn child(&self, limit: Duration) -> anyhow::Result<Self> {
        let what = format!("a child of process {}", self.pid);
        let (child, _) = wait_for(&what, limit, || self.children().first().and_then(|&pid| Self::open(pid).ok()))?;
        Ok(child)
    }

    /// Another descriptor for the file that it has open under this path: of the same description, so with its locks.
    pub fn descriptor_of(&self, path: &Path) -> anyhow::Result<OwnedFd> {
        let is_it = |link: &fs::DirEntry| fs::read_link(link.path()).is_ok_and(|target| target == path);
        let found = fs::read_dir(format!("/proc/{}/fd", self.pid))?.flatten().find(is_it);
        let number = found.and_then(|link| link.file_name().to_str()?.parse().ok());
        let number = number.with_context(|| format!("process {} does not have {} open", self.pid, path.display()))?;
        pidfd_getfd(&self.fd, number, PidfdGetfdFlags::empty()).context("pidfd_getfd (needs root)")
    }

    /// The state letters of proc(5), one a thread; none when the process is gone.
    fn states(&self) -> String {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else { return String::new() };
        let state = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
            // The name in front may hold anything, brackets too.
            stat.rsplit_once(") ")?.1.chars().next()
        };
        threads.flatten().filter_map(state).collect()
    }

    /// Whether a thread of it waits for a disk or a file system, or it is gone.
    #[must_use]
    pub fn waits_in_the_kernel(&self) -> bool {
        self.is_gone() || self.states().contains('D')
    }

    /// Ends it, stopped or not; nothing if it is gone already.
    pub(crate) fn end(&self) {
        // Failure means that it is gone.
        let _ = self.signal(Signal::KILL);
    }
}

/// Whether a read would not block now.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    waits_readable(fd, Duration::ZERO).unwrap_or(false)
}

/// Waits until a read would not block; `false` when `limit` passed first.
pub(crate) fn waits_readable(fd: BorrowedFd<'_>, limit: Duration) -> anyhow::Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last millisecond is not spent in a busy loop.
        let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        let mut waited = [PollFd::new(fd, PollFlags::POLLIN)];
        match poll(&mut waited, timeout) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error).context("poll"),
        }
    }
}
