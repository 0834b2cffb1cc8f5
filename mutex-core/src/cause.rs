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
    /// The answer to `--status` or `--health`, or to `--break` where it was done.
    Answered(String),
    /// The answer to `--break` where there was nothing to break.
    NotHeld(String),
}

/// What is said of a break that ended without the store's answer: a request may still be applied (FACTS A5, B5).
const UNKNOWN: &str = "whether the lock was broken is not known: see --status";

impl Cause {
    /// The byte for CTDB where none was written yet. Nothing for those who have stopped reading.
    pub(crate) fn status(&self) -> Option<Status> {
        match self {
            Self::Signal | Self::ParentGone | Self::ReaderGone | Self::Answered(_) | Self::NotHeld(_) => None,
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
            Self::Contended | Self::NotHeld(_) => exit_code::CONTENDED,
            _ if held => exit_code::LOST,
            Self::TimedOut(_) | Self::Lost(_) | Self::Expired(_) => exit_code::TIMED_OUT,
            Self::Failed(_) | Self::WorkerGone => exit_code::ERROR,
        }
    }

    /// The line for the log; nothing on success and contention. `next`: what comes of a lock that is lost.
    pub(crate) fn line(&self, object: &str, held: bool, next: &str) -> Option<String> {
        let line = match self {
            Self::Signal | Self::ParentGone | Self::ReaderGone | Self::Contended => return None,
            Self::Answered(_) | Self::NotHeld(_) => return None,
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

    /// The same cause of a break's end: without an answer nothing is known, and no exit code may say that it was done.
    pub(crate) fn of_a_break(self, object: &str) -> Self {
        match self {
            Self::Answered(_) | Self::NotHeld(_) | Self::Failed(_) => self,
            Self::TimedOut(Some(trouble)) => Self::TimedOut(Some(format!("{trouble}; {UNKNOWN}"))),
            Self::TimedOut(None) => Self::TimedOut(Some(format!("cannot reach {object}: no answer; {UNKNOWN}"))),
            Self::WorkerGone => Self::TimedOut(Some(format!("the worker process for {object} ended; {UNKNOWN}"))),
            _ => Self::TimedOut(Some(format!("the break of {object} was cut short; {UNKNOWN}"))),
        }
    }
}

/// The line for a worker that ended without a word: killed by somebody, or by a mistake of ours.
pub(crate) fn worker_gone(object: &str, held: bool, how: &str, next: &str) -> String {
    let (what, next) = if held { ("lost the lock on", format!("{next}, ")) } else { ("cannot lock", String::new()) };
    format!("{what} {object}: the worker process {how}; {next}see the system's log for why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_without_an_answer_is_never_a_success_and_says_that_nothing_is_known() {
        let without = [Cause::Signal, Cause::ParentGone, Cause::ReaderGone, Cause::TimedOut(None), Cause::WorkerGone];
        for cause in without {
            let cause = cause.of_a_break("/lock");
            assert_eq!(cause.exit_code(false), exit_code::TIMED_OUT, "{cause:?}");
            assert!(cause.line("/lock", false, "").is_some_and(|line| line.contains(UNKNOWN)), "{cause:?}");
        }
        assert_eq!(Cause::Answered("done".into()).of_a_break("/lock").exit_code(false), exit_code::RELEASED);
        assert_eq!(Cause::NotHeld("gone".into()).of_a_break("/lock").exit_code(false), exit_code::CONTENDED);
        assert_eq!(Cause::Failed("refused".into()).of_a_break("/lock").exit_code(false), exit_code::ERROR);
    }
}
