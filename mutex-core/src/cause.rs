//! Why a helper stops: one enum, from which byte, exit code and log line follow.

use crate::status::{Status, exit_code};

/// What ended the supervisor's watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// SIGTERM, SIGINT or SIGHUP.
    Signal,
    /// The process that started us ended.
    ParentGone,
    /// Nobody reads the pipe any more.
    ReaderGone,
    /// Another holds the lock.
    Contended,
    /// No answer within the acquire timeout; with the last trouble, where there was one.
    TimedOut(Option<String>),
    /// Waiting cannot cure it.
    Failed(String),
    /// The store says that the lock is not ours any more.
    Lost(String),
    /// The deadline passed without a renewal; with the last trouble, where there was one.
    Expired(Option<String>),
    /// The worker ended, and did not say why; the supervisor says how, once it knows.
    WorkerGone,
    /// The answer to `--status` or `--health`.
    Answered(String),
}

impl Cause {
    /// The byte for CTDB where none was written yet. Nothing for those who have stopped reading.
    pub(crate) fn status(&self) -> Option<Status> {
        match self {
            Self::Signal | Self::ParentGone | Self::ReaderGone | Self::Answered(_) => None,
            Self::Contended => Some(Status::Contended),
            // Taken and gone again before CTDB was told: for CTDB it took too long.
            Self::TimedOut(_) | Self::Lost(_) | Self::Expired(_) => Some(Status::TimedOut),
            Self::Failed(_) | Self::WorkerGone => Some(Status::Error),
        }
    }

    /// The exit code; `held`: CTDB was told that the lock is held.
    pub(crate) fn exit_code(&self, held: bool) -> u8 {
        match self {
            Self::Signal | Self::ParentGone | Self::ReaderGone | Self::Answered(_) => exit_code::RELEASED,
            Self::Contended => exit_code::CONTENDED,
            _ if held => exit_code::LOST,
            Self::TimedOut(_) | Self::Lost(_) | Self::Expired(_) => exit_code::TIMED_OUT,
            Self::Failed(_) | Self::WorkerGone => exit_code::ERROR,
        }
    }

    /// The line for the log; nothing on success and contention. `next`: what comes of a lock that is lost.
    pub(crate) fn line(&self, object: &str, held: bool, next: &str) -> Option<String> {
        let line = match self {
            Self::Signal | Self::ParentGone | Self::ReaderGone | Self::Contended | Self::Answered(_) => return None,
            // `worker_gone` has its line.
            Self::WorkerGone => return None,
            Self::TimedOut(Some(trouble)) => format!("timed out: {trouble}"),
            Self::TimedOut(None) => {
                format!("timed out: cannot reach {object}: no answer; see whether its store works")
            }
            Self::Failed(trouble) => trouble.clone(),
            Self::Lost(why) if held => format!("lost the lock on {object}: {why}; {next}"),
            Self::Lost(why) => format!("timed out: cannot lock {object}: {why}; CTDB tries again"),
            Self::Expired(Some(trouble)) if held => format!("lost the lock on {object}: {trouble}; {next}"),
            Self::Expired(None) if held => format!(
                "lost the lock on {object}: its store has not answered in time; {next}, \
                 see whether the store works (--health)"
            ),
            Self::Expired(_) => format!("timed out: cannot lock {object}: the reader was too slow; CTDB tries again"),
        };
        Some(line)
    }
}

/// The line for a worker that ended without a word: killed by somebody, or by a mistake of ours.
pub(crate) fn worker_gone(object: &str, held: bool, how: &str, next: &str) -> String {
    let (what, next) = if held { ("lost the lock on", format!("{next}, ")) } else { ("cannot lock", String::new()) };
    format!("{what} {object}: the worker process {how}; {next}see the system's log for why")
}
