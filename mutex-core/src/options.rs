//! The options that all helpers share.

use std::time::Duration;

/// A day: longer than anybody waits, and far from where a time overflows.
const SECONDS_MAX: u64 = 86_400;
/// How long a try for the lock may go without an answer: half of the 120 s that CTDB waits.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a person or a monitoring system waits for `--status`, `--health` and `--break`.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a number of seconds; refuses a negative one, a fraction and more than a day.
///
/// # Errors
/// What is wrong with `text`, for clap to report with the name of the argument.
pub fn seconds(text: &str) -> Result<Duration, String> {
    // Digits alone: `parse` would take a plus sign.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds: u64 = digits.and_then(|text| text.parse().ok()).ok_or("not a whole number of seconds")?;
    if seconds > SECONDS_MAX {
        return Err(format!("more than a day ({SECONDS_MAX} seconds)"));
    }
    Ok(Duration::from_secs(seconds))
}

/// The same in milliseconds.
///
/// # Errors
/// The same.
pub fn milliseconds(text: &str) -> Result<Duration, String> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let milliseconds: u64 = digits.and_then(|text| text.parse().ok()).ok_or("not a whole number of milliseconds")?;
    if milliseconds > SECONDS_MAX * 1000 {
        return Err(format!("more than a day ({} milliseconds)", SECONDS_MAX * 1000));
    }
    Ok(Duration::from_millis(milliseconds))
}

/// What every helper understands beside its own arguments; flatten it into the helper's own.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of every helper")]
pub struct Options {
    /// Keep trying for N seconds while another holds the lock (for the shell; not for ctdb.conf)
    #[arg(long, value_name = "N", default_value = "0", value_parser = seconds)]
    pub wait_seconds: Duration,

    /// Give up when the store has not answered for N seconds [default: 60; 5 with --status, --health and --break]
    #[arg(long, value_name = "N", value_parser = at_least_a_second)]
    pub acquire_timeout_seconds: Option<Duration>,

    /// End the pipe N ms early, and give the lock back N ms after that: the reader's time to end (not for ctdb.conf)
    // 0 is for CTDB, which has nothing to end. A signal after the end of the pipe says that all has ended before its time.
    #[arg(long, value_name = "N", default_value = "0", value_parser = milliseconds)]
    pub grace_milliseconds: Duration,

    /// Say who holds the lock, and which store this is; takes nothing
    #[arg(long, group = "answer", conflicts_with_all = ["health", "wait_seconds"])]
    pub status: bool,

    /// With --status or --break: as one JSON object
    #[arg(long, requires = "answer")]
    pub json: bool,

    /// Say whether the store answers, and how fast; takes nothing
    #[arg(long, conflicts_with = "wait_seconds")]
    pub health: bool,

    /// Take the lock away from the one holding whose token --status --json shows; never from a later one
    #[arg(long = "break", value_name = "TOKEN", group = "answer", conflicts_with_all = ["health", "wait_seconds"])]
    pub break_token: Option<String>,

    /// Log every step to stderr
    #[arg(short, long)]
    pub verbose: bool,
}

/// The same, and not zero.
///
/// # Errors
/// What is wrong with `text`.
pub fn at_least_a_second(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| if time.is_zero() { Err("must be at least 1".to_owned()) } else { Ok(time) })
}

/// What this process was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Take the lock and hold it.
    Hold,
    /// `--status`
    Status { json: bool },
    /// `--health`
    Health,
    /// `--break`
    Break { token: String, json: bool },
}

impl Options {
    pub(crate) fn task(&self) -> Task {
        match (&self.break_token, self.status, self.health) {
            (Some(token), ..) => Task::Break { token: token.clone(), json: self.json },
            (_, true, _) => Task::Status { json: self.json },
            (.., true) => Task::Health,
            _ => Task::Hold,
        }
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        self.acquire_timeout_seconds.unwrap_or(match self.task() {
            Task::Hold => ACQUIRE_TIMEOUT,
            Task::Status { .. } | Task::Health | Task::Break { .. } => QUERY_TIMEOUT,
        })
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_at_most_a_day() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for bad in ["", "-1", "+5", "1.5", "5s", "86401", "99999999999999999999"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert!(at_least_a_second("0").is_err());
    }

    #[test]
    fn milliseconds_are_whole_and_at_most_a_day() {
        assert_eq!(milliseconds("500"), Ok(Duration::from_millis(500)));
        for bad in ["", "-1", "+5", "1.5", "5ms", "86400001"] {
            assert!(milliseconds(bad).is_err(), "{bad}");
        }
    }
}
