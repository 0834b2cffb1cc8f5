//! One run: a free lock taken, asked for once more while it is held, and let go.

use std::time::{Duration, Instant};

use mutex_core::status::{Status, exit_code};
use rustix::process::{Pid, Signal, kill_process_group};

use super::pass_on;
use super::processes::{Memory, Process, settled_memory, tree};
use crate::helper::{Event, Helper, Signals, ended};
use crate::lock::Lock;
use crate::say;

/// CTDB waits so long for the byte.
const BYTE_LIMIT: Duration = Duration::from_secs(120);
/// Ours take a second at most.
const END_LIMIT: Duration = Duration::from_secs(5);
/// What was sent SIGKILL is gone by then, unless a hung file system holds it.
const KILL_LIMIT: Duration = Duration::from_secs(1);

/// What one run has measured.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    /// From just before the start to `0`.
    pub(super) take: Duration,
    /// From just before the start of another to its `1`.
    pub(super) contended: Duration,
    /// From SIGTERM to the end of the pipe, with which CTDB knows that the lock is no longer held.
    pub(super) pipe_end: Duration,
    /// From SIGTERM until the last process is gone: by then the lock is free, which the next run sees.
    pub(super) release: Duration,
    /// While the lock is held; `None` where it could not be read.
    pub(super) memory: Option<Memory>,
}

/// Why there is no sample.
pub(super) enum Stop {
    /// This program was told to end.
    Told,
    /// The helper did not do what it has to: an exit code, and what to say.
    Broken(u8, String),
    /// Something here failed.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes a sample. What the helper says on standard error is shown where `shows` says so, and where the run fails.
pub(super) fn sample(lock: &Lock, signals: &Signals, shows: bool) -> Result<Sample, Stop> {
    let mut holder = Started::new(lock, shows)?;
    let take = holder.answers(signals, Status::Held)?;
    let mut contender = Started::new(lock, shows)?;
    let contended = contender.answers(signals, Status::Contended)?;
    contender.end(signals)?;
    let memory = settled_memory(holder.helper.pid());
    holder.still_holds(signals)?;
    let (pipe_end, release) = holder.end(signals)?;
    Ok(Sample { take, contended, pipe_end, release, memory })
}

/// A helper that has been started; it and its processes end with this value.
struct Started {
    helper: Helper,
    /// Whether it had its time after SIGTERM.
    is_stuck: bool,
    shows: bool,
    /// What it said and was not shown.
    said: Vec<String>,
}

impl Started {
    fn new(lock: &Lock, shows: bool) -> anyhow::Result<Self> {
        Ok(Self { helper: Helper::start(lock, &[])?, is_stuck: false, shows, said: Vec::new() })
    }

    /// What happens next, but for what it says.
    fn next(&mut self, signals: &Signals, deadline: Instant) -> Result<Event, Stop> {
        loop {
            match self.helper.next(Some(signals), Some(deadline))? {
                Event::Line(line) if self.shows => pass_on(&line),
                Event::Line(line) => self.said.push(line),
                Event::Signal(_) => return Err(Stop::Told),
                other => return Ok(other),
            }
        }
    }

    /// How long its byte took, which must be this one.
    fn answers(&mut self, signals: &Signals, wanted: Status) -> Result<Duration, Stop> {
        let deadline = self.helper.started() + BYTE_LIMIT;
        let event = self.next(signals, deadline)?;
        let took = self.helper.started().elapsed();
        let (code, words) = match event {
            Event::Byte(byte) => match (Status::from_byte(byte), wanted) {
                (Some(status), _) if status == wanted => return Ok(took),
                (Some(Status::Contended), _) => {
                    (exit_code::CONTENDED, "it answered 1: another holds the lock".to_owned())
                }
                (Some(Status::Held), _) => {
                    (exit_code::ERROR, "it answered 0 while another that was started here held the lock".to_owned())
                }
                (Some(Status::TimedOut), _) => {
                    (exit_code::TIMED_OUT, "it answered 2: the store took too long".to_owned())
                }
                (Some(Status::Error), _) => (exit_code::ERROR, "it answered 3: an error".to_owned()),
                (None, _) => (exit_code::ERROR, format!("it answered with the byte {byte}, which is no status")),
            },
            Event::End | Event::Gone => {
                // It is about to end, and then says how.
                let _ = self.next(signals, Instant::now() + Duration::from_secs(1));
                let how = self.helper.status().map_or("its pipe ended".to_owned(), ended);
                (exit_code::ERROR, format!("no byte came: {how}"))
            }
            _ => (exit_code::TIMED_OUT, format!("no byte came within {BYTE_LIMIT:?}")),
        };
        Err(self.broken(signals, code, &words))
    }

    /// Nothing has come since the byte.
    fn still_holds(&mut self, signals: &Signals) -> Result<(), Stop> {
        match self.next(signals, Instant::now())? {
            Event::Deadline => Ok(()),
            Event::Byte(_) => Err(self.broken(signals, exit_code::ERROR, "it wrote a second byte")),
            _ => Err(self.broken(signals, exit_code::LOST, "it lost the lock")),
        }
    }

    fn broken(&mut self, signals: &Signals, code: u8, words: &str) -> Stop {
        // Its line of an error may follow the byte.
        let _ = self.end(signals);
        self.said.drain(..).for_each(|line| pass_on(&line));
        Stop::Broken(code, words.to_owned())
    }

    /// Sends SIGTERM; how long it took until the pipe ended, and until the last process was gone.
    fn end(&mut self, signals: &Signals) -> Result<(Duration, Duration), Stop> {
        let processes: Vec<_> = tree(self.helper.pid()).into_iter().filter_map(Process::open).collect();
        let start = Instant::now();
        let deadline = start + END_LIMIT;
        self.helper.signal(Signal::TERM);
        let mut pipe_ended = None;
        loop {
            match self.next(signals, deadline)? {
                Event::End => pipe_ended = Some(start.elapsed()),
                Event::Gone => break,
                Event::Deadline => {
                    self.is_stuck = true;
                    return Err(Stop::Broken(exit_code::ERROR, format!("it is not gone {END_LIMIT:?} after SIGTERM")));
                }
                _ => {}
            }
        }
        // A process that was the last to have the pipe open ends it as it ends.
        if !processes.iter().all(|process| process.is_gone_by(deadline)) {
            self.is_stuck = true;
            return Err(Stop::Broken(
                exit_code::ERROR,
                format!("a process of it is not gone {END_LIMIT:?} after SIGTERM"),
            ));
        }
        let gone = start.elapsed();
        // Reaped: a hundred of them must not fill the process table.
        let _ = self.helper.status();
        // No end where the pipe had ended before.
        Ok((pipe_ended.unwrap_or_default(), gone))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.helper.status().is_some() {
            return;
        }
        let processes: Vec<_> = tree(self.helper.pid()).into_iter().filter_map(Process::open).collect();
        self.helper.signal(Signal::TERM);
        let deadline = Instant::now() + if self.is_stuck { Duration::ZERO } else { END_LIMIT };
        if !processes.iter().all(|process| process.is_gone_by(deadline)) {
            say::complain("a helper does not end: it is killed, and the lock may stay for the rest of its lease");
            // Nobody has waited for it yet: the number is its own.
            if let Some(group) = i32::try_from(self.helper.pid()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let deadline = Instant::now() + KILL_LIMIT;
            let _ = processes.iter().all(|process| process.is_gone_by(deadline));
        }
        let _ = self.helper.status();
    }
}
