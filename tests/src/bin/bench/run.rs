//! One run of a helper: a free lock taken and let go, and a contended one refused.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::process::pipe::Pipe;
use rustix::process::Signal;

use crate::lock_file::LockFile;
use crate::memory::{Memory, settled};

/// Nothing here takes longer unless it is broken.
const LIMIT: Duration = Duration::from_secs(10);

/// What one run has measured.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// From just before the start to `0` on a free lock.
    pub(crate) taken: Duration,
    /// From just before the start to `1` on a lock that is held.
    pub(crate) contended: Duration,
    /// From SIGTERM to the end of the pipe.
    pub(crate) pipe_ended: Duration,
    /// From SIGTERM to the free lock.
    pub(crate) lock_free: Duration,
    /// While the lock is held.
    pub(crate) memory: Memory,
}

pub(crate) fn run(program: &Path, free: &LockFile, busy: &LockFile) -> anyhow::Result<Sample> {
    let contender = Started::on(program, busy)?;
    let contended = contender.answers('1')?;
    contender.end()?;

    let holder = Started::on(program, free)?;
    let taken = holder.answers('0')?;
    let memory = settled(&holder.process)?;
    let (pipe_ended, lock_free) = holder.let_go(free)?;
    Ok(Sample { taken, contended, pipe_ended, lock_free, memory })
}

/// A helper, started as both are.
struct Started {
    child: Child,
    process: Process,
    pipe: Pipe,
    at: Instant,
}

impl Started {
    fn on(program: &Path, lock: &LockFile) -> anyhow::Result<Self> {
        let (pipe, writer) = Pipe::new()?;
        let mut command = Command::new(program);
        command.arg(lock.path()).stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
        // Of cargo's making: each library would be looked for in its directories first.
        command.env_remove("LD_LIBRARY_PATH");
        let at = Instant::now();
        let child = command.spawn().context("start")?;
        let process = Process::open(i32::try_from(child.id())?)?;
        Ok(Self { child, process, pipe, at })
    }

    /// How long the byte took.
    fn answers(&self, wanted: char) -> anyhow::Result<Duration> {
        let status = self.pipe.status(LIMIT)?;
        let took = self.at.elapsed();
        ensure!(status == wanted, "status {status}, not {wanted}");
        Ok(took)
    }

    /// Sends SIGTERM; says how long it took until the pipe ended, and until the lock was free.
    fn let_go(&self, lock: &LockFile) -> anyhow::Result<(Duration, Duration)> {
        let all = self.processes();
        let start = Instant::now();
        self.process.signal(Signal::TERM)?;
        let (mut ended, mut free) = (None, None);
        // Without a pause: these are tenths of milliseconds.
        while ended.is_none() || free.is_none() {
            ensure!(start.elapsed() < LIMIT, "after SIGTERM: pipe ended {ended:?}, lock free {free:?}");
            if ended.is_none() && !self.pipe.is_silent() {
                ended = Some(start.elapsed());
            }
            if free.is_none() && lock.is_free()? {
                free = Some(start.elapsed());
            }
        }
        self.gone(&all)?;
        Ok((ended.unwrap_or_default(), free.unwrap_or_default()))
    }

    /// Ends it as CTDB does, and waits until all of it is gone: it must not take time from what is measured next.
    fn end(&self) -> anyhow::Result<()> {
        let all = self.processes();
        self.process.signal(Signal::TERM)?;
        self.gone(&all)
    }

    fn gone(&self, all: &[Process]) -> anyhow::Result<()> {
        self.pipe.end(LIMIT)?;
        all.iter().try_for_each(|process| process.wait_gone(LIMIT).map(|_| ()))
    }

    /// Itself and its workers.
    fn processes(&self) -> Vec<Process> {
        let pids = self.process.children().into_iter().chain([self.process.pid()]);
        pids.filter_map(|pid| Process::open(pid).ok()).collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Without effect on one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
