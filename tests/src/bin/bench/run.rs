//! One run of a program: a free lock taken and let go, and a contended one refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::process::pipe::Pipe;
use rustix::process::Signal;

use crate::memory::{Memory, settled};
use crate::store::{Probe, Store};

/// Nothing here takes longer unless it is broken.
const LIMIT: Duration = Duration::from_secs(10);

/// What one run has measured.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// From just before the start until it says that it has a free lock.
    pub(crate) taken: Duration,
    /// From just before the start to `1` on a lock that is held, where there is one.
    pub(crate) contended: Option<Duration>,
    /// From SIGTERM to the end of the pipe.
    pub(crate) pipe_ended: Duration,
    /// From SIGTERM to the free lock, where that can be seen.
    pub(crate) lock_free: Option<Duration>,
    /// While the lock is held.
    pub(crate) memory: Memory,
}

/// How a program says on its standard output that it has the lock.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// A helper: `0`.
    Byte,
    /// `etcdctl lock`: its key in a line, and what is in the key, which is nothing, in another.
    Lines,
}

/// A program and its samples.
pub(crate) struct Side {
    pub(crate) program: PathBuf,
    pub(crate) samples: Vec<Sample>,
    arguments: Arguments,
    word: Word,
}

/// What it is given to take a lock.
pub(crate) type Arguments = fn(&dyn Store, &str) -> Vec<OsString>;

impl Side {
    pub(crate) fn new(program: PathBuf, arguments: Arguments, word: Word) -> Self {
        Self { program, samples: Vec::new(), arguments, word }
    }

    /// One run, on this free lock.
    pub(crate) fn run(&self, store: &dyn Store, free: &str) -> anyhow::Result<Sample> {
        self.measure(store, free).with_context(|| self.program.display().to_string())
    }

    fn measure(&self, store: &dyn Store, free: &str) -> anyhow::Result<Sample> {
        let contended = store.busy().map(|busy| self.is_refused(store, busy)).transpose()?;

        let probe = store.probe(free)?;
        let holder = self.start(store, free)?;
        let taken = match self.word {
            Word::Byte => holder.answers('0')?,
            Word::Lines => holder.prints_its_key()?,
        };
        let memory = settled(&holder.process)?;
        let (pipe_ended, lock_free) = holder.let_go(probe.as_ref())?;
        Ok(Sample { taken, contended, pipe_ended, lock_free, memory })
    }

    fn is_refused(&self, store: &dyn Store, lock: &str) -> anyhow::Result<Duration> {
        let contender = self.start(store, lock)?;
        let took = contender.answers('1')?;
        contender.end()?;
        Ok(took)
    }

    fn start(&self, store: &dyn Store, lock: &str) -> anyhow::Result<Started> {
        let (pipe, writer) = Pipe::new()?;
        let mut command = Command::new(&self.program);
        command.args((self.arguments)(store, lock)).stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
        command.envs(store.environment());
        // Of cargo's making: each library would be looked for in its directories first.
        command.env_remove("LD_LIBRARY_PATH");
        let at = Instant::now();
        let child = command.spawn().context("start")?;
        let process = Process::open(i32::try_from(child.id())?)?;
        Ok(Started { child, process, pipe, at })
    }
}

/// A program, started as both are.
struct Started {
    child: Child,
    process: Process,
    pipe: Pipe,
    at: Instant,
}

impl Started {
    /// How long the byte took.
    fn answers(&self, wanted: char) -> anyhow::Result<Duration> {
        let status = self.pipe.status(LIMIT)?;
        let took = self.at.elapsed();
        ensure!(status == wanted, "status {status}, not {wanted}");
        Ok(took)
    }

    /// How long its key took.
    fn prints_its_key(&self) -> anyhow::Result<Duration> {
        let line = || -> anyhow::Result<()> {
            while self.pipe.status(LIMIT)? != '\n' {}
            Ok(())
        };
        line()?;
        let took = self.at.elapsed();
        line()?;
        Ok(took)
    }

    /// Sends SIGTERM; says how long it took until the pipe ended, and until the lock was free.
    fn let_go(&self, probe: Option<&Probe>) -> anyhow::Result<(Duration, Option<Duration>)> {
        let all = self.processes();
        let start = Instant::now();
        self.process.signal(Signal::TERM)?;
        let took = match probe {
            Some(probe) => {
                let (ended, free) = self.ended_and_free(start, probe)?;
                (ended, Some(free))
            }
            None => (self.pipe.end(LIMIT)?.duration_since(start), None),
        };
        self.gone(&all)?;
        Ok(took)
    }

    /// How long after `start` the pipe ended, and the lock was free. Looks without a pause: these are tenths of
    /// milliseconds.
    fn ended_and_free(&self, start: Instant, probe: &Probe) -> anyhow::Result<(Duration, Duration)> {
        let (mut ended, mut free) = (None, None);
        loop {
            if ended.is_none() && !self.pipe.is_silent() {
                ended = Some(start.elapsed());
            }
            if free.is_none() && probe()? {
                free = Some(start.elapsed());
            }
            if let (Some(ended), Some(free)) = (ended, free) {
                return Ok((ended, free));
            }
            ensure!(start.elapsed() < LIMIT, "after SIGTERM: pipe ended {ended:?}, lock free {free:?}");
        }
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
