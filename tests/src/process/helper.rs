//! A helper that runs.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Process;
use super::pipe::Pipe;
use crate::wait::wait_for;

/// How long the end of this value waits for processes that a hung store may hold.
const END_LIMIT: Duration = Duration::from_secs(1);

/// A started helper. Its processes end with this value, each by its pidfd.
pub struct Helper {
    supervisor: Process,
    /// Its children as seen so far: with it gone they could not be found any more.
    workers: RefCell<Vec<Process>>,
    /// `None` where a stand-in is the parent.
    child: Option<Child>,
    /// `None` once the case has closed it.
    pipe: Option<Pipe>,
    stderr: File,
    _kept_open: Vec<OwnedFd>,
    started: Instant,
}

impl Helper {
    pub(super) fn new(
        supervisor: Process,
        child: Option<Child>,
        pipe: Pipe,
        stderr: File,
        kept_open: Vec<OwnedFd>,
    ) -> Self {
        Self {
            supervisor,
            workers: RefCell::default(),
            child,
            pipe: Some(pipe),
            stderr,
            _kept_open: kept_open,
            started: Instant::now(),
        }
    }

    /// The process that CTDB would have started.
    #[must_use]
    pub fn supervisor(&self) -> &Process {
        &self.supervisor
    }

    /// The process that talks to the store; waits for its birth.
    pub fn worker(&self) -> anyhow::Result<Process> {
        let worker = self.supervisor.child(Duration::from_secs(2)).context("find the worker")?;
        self.note_workers();
        Ok(worker)
    }

    fn note_workers(&self) {
        let mut workers = self.workers.borrow_mut();
        for pid in self.supervisor.children() {
            if workers.iter().all(|known| known.pid() != pid) {
                // One that is gone by now needs no end.
                workers.extend(Process::open(pid));
            }
        }
    }

    /// When it was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The pipe.
    pub fn pipe(&self) -> anyhow::Result<&Pipe> {
        self.pipe.as_ref().context("the case has closed the reading end")
    }

    /// Closes the reading end.
    pub fn close_reader(&mut self) {
        self.pipe = None;
    }

    /// Waits for the status byte.
    pub fn status(&self, limit: Duration) -> anyhow::Result<char> {
        let status = self.pipe()?.status(limit).map_err(|error| error.context(self.stderr_for_message()));
        self.note_workers();
        status
    }

    /// Waits for a status byte that is expected.
    pub fn expect(&self, wanted: char, limit: Duration) -> anyhow::Result<()> {
        let status = self.status(limit)?;
        ensure!(status == wanted, "status {status}, not {wanted}; {}", self.stderr_for_message());
        Ok(())
    }

    /// Waits for the pipe's end and says when it came.
    pub fn end(&self, limit: Duration) -> anyhow::Result<Instant> {
        self.pipe()?.end(limit)
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> anyhow::Result<String> {
        let mut text = vec![0; usize::try_from(self.stderr.metadata()?.len())?];
        // At a place: the helper shares the file's offset.
        self.stderr.read_exact_at(&mut text, 0).context("read the helper's standard error")?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The one line it has said on standard error.
    pub fn one_line(&self) -> anyhow::Result<String> {
        let text = self.stderr()?;
        let lines: Vec<&str> = text.lines().collect();
        match lines[..] {
            [line] if !line.trim().is_empty() => Ok(line.to_owned()),
            _ => bail!("standard error should be exactly one line, but is {text:?}"),
        }
    }

    fn stderr_for_message(&self) -> String {
        format!("its standard error: {:?}", self.stderr().unwrap_or_default())
    }

    /// Sends a signal to the process that CTDB started.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.note_workers();
        self.supervisor.signal(signal)
    }

    /// Sends a signal to its whole process group, of which it was made the leader.
    pub fn signal_group(&self, signal: Signal) -> anyhow::Result<()> {
        let group = Pid::from_raw(self.supervisor.pid()).context("process number")?;
        kill_process_group(group, signal).context("signal the process group")
    }

    /// Waits until the process that CTDB started is gone.
    pub fn gone(&self, limit: Duration) -> anyhow::Result<Duration> {
        self.supervisor.wait_gone(limit)
    }

    /// Waits for its end and returns the exit code.
    pub fn exit_code(&mut self, limit: Duration) -> anyhow::Result<i32> {
        self.gone(limit)?;
        let child = self.child.as_mut().context("only a parent can know an exit code")?;
        let status = child.wait().context("wait for the helper")?;
        match status.code() {
            Some(code) => Ok(code),
            None => bail!("ended by signal {:?}; {}", status.signal(), self.stderr_for_message()),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.note_workers();
        let workers = self.workers.take();
        self.supervisor.end();
        workers.iter().for_each(Process::end);
        // One that a hung store holds ends when the store's own end frees it.
        let gone = || (self.supervisor.is_gone() && workers.iter().all(Process::is_gone)).then_some(());
        let ended = wait_for("the helper's processes to end", END_LIMIT, gone).is_ok();
        if let (true, Some(child)) = (ended, self.child.as_mut()) {
            let _ = child.wait();
        }
    }
}
