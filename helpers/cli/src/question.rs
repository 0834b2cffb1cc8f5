//! A question to a helper (`--status`, `--health`), or `--break`: the helper of LOCK started with options before its own
//! arguments, and what it answered.
//!
//! Only for helpers of ours (`Lock::is_ours`): another one could take the lock instead.

use std::time::{Duration, Instant};

use mutex_core::status::exit_code;
use rustix::process::Signal;

use crate::helper::{self, Event, Helper};
use crate::lock::Lock;

/// What a helper may take beyond its own time limit until it is gone: a second (P4), and something for a busy machine.
const GRACE: Duration = Duration::from_millis(1500);
/// From SIGTERM to SIGKILL.
const LAST: Duration = Duration::from_millis(500);

/// An answer longer than this is cut; the core sends no more than 64 KiB.
const ANSWER_MAX: usize = 128 * 1024;

/// And has no more lines than these; ours say one.
const LINES_MAX: usize = 1000;

/// The option with which a helper limits its own time.
const LIMIT: &str = "--acquire-timeout-seconds";

/// What a helper answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its exit code (`mutex_core::status::exit_code`). `TIMED_OUT` too where it was ended here after its time, and `ERROR`
    /// where a signal ended it; a line in `stderr` says so then.
    pub(crate) code: u8,
    /// Whether it has ended by itself, in time: else what it did is not known.
    pub(crate) by_itself: bool,
    /// All that it said on standard output.
    pub(crate) stdout: String,
    /// Its lines on standard error, each with the program's name in front, as they would stand in CTDB's log.
    pub(crate) stderr: Vec<String>,
    /// From just before its start to its end.
    pub(crate) took: Duration,
}

/// Starts the helper of `lock` with `options` before its own arguments and waits for its end.
///
/// It has `limit` (whole seconds, at least one) for its answer, and says by itself then what keeps silent. Whatever hangs,
/// this returns 2 s after that; the helper is told to end first, and killed at last.
///
/// # Errors
/// Where it cannot be started.
pub(crate) fn ask(lock: &Lock, options: &[&str], limit: Duration) -> anyhow::Result<Answer> {
    ask_within(lock, options, limit, [GRACE, LAST], |_| Ok(()))
}

/// The same with other times than `GRACE` and `LAST`, and where `noted` sees the helper as soon as it runs.
///
/// # Errors
/// Where it cannot be started, and what `noted` says: then it is killed.
pub(crate) fn ask_within(
    lock: &Lock,
    options: &[&str],
    limit: Duration,
    [grace, last]: [Duration; 2],
    noted: impl FnOnce(&Helper) -> anyhow::Result<()>,
) -> anyhow::Result<Answer> {
    let seconds = limit.as_secs().to_string();
    let mut more = options.to_vec();
    // A helper refuses an option that is given twice.
    let own_limit = lock.arguments().iter().any(|word| word.split('=').next() == Some(LIMIT));
    if !own_limit {
        more.extend([LIMIT, &seconds]);
    }
    let mut helper = Helper::start(lock, &more)?;
    if let Err(error) = noted(&helper) {
        helper.signal(Signal::KILL);
        return Err(error);
    }
    let started = helper.started();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let told = if own_limit { limit } else { limit + grace };
    let mut ended = collect(&mut helper, started + told, &mut stdout, &mut stderr)?;
    if !ended {
        helper.signal(Signal::TERM);
        ended = collect(&mut helper, started + told + last, &mut stdout, &mut stderr)?;
    }
    if !ended {
        helper.signal(Signal::KILL);
    }
    let took = started.elapsed();
    let (code, by_itself) =
        match helper.status().map(|status| (status.code().and_then(|code| u8::try_from(code).ok()), status)) {
            Some((Some(code), _)) if ended && took < told => (code, true),
            Some((None, status)) if ended => {
                stderr.push(format!("{}: {}", lock.program().display(), helper::ended(status)));
                (exit_code::ERROR, false)
            }
            _ => {
                let silent = format!("{}: no answer within {seconds} seconds", lock.program().display());
                stderr.push(silent);
                (exit_code::TIMED_OUT, false)
            }
        };
    Ok(Answer { code, by_itself, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr, took })
}

/// Takes in what the helper says until it has ended; `false`: not by `deadline`.
fn collect(
    helper: &mut Helper,
    deadline: Instant,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<String>,
) -> anyhow::Result<bool> {
    loop {
        match helper.next(None, Some(deadline))? {
            Event::Byte(byte) if stdout.len() < ANSWER_MAX => stdout.push(byte),
            Event::Line(line) if stderr.len() < LINES_MAX => stderr.push(line),
            Event::Gone => return Ok(true),
            Event::Deadline => return Ok(false),
            Event::Byte(_) | Event::Line(_) | Event::End | Event::Signal(_) => {}
        }
        // One that never stops talking is heard first, and would never come to its deadline.
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
}
