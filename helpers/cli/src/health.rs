//! `ctdb-mutex health`.
//!
//! The answer is a line, exit code included, as Nagios and what came after it read it from a check: the state, words,
//! and behind a bar how long it took. What keeps a helper from being asked at all is such a line too.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use mutex_core::status::exit_code;
use mutex_core::{escape, seconds};
use serde_json::Value;

use crate::lock::Lock;
use crate::probe_file::{Claim, ProbeFile};
use crate::question;
use crate::say::{self, Voice};

/// What the helper has for itself is a second less: it knows what keeps silent, and says so before the time is over.
const FOR_ITS_WORDS: Duration = Duration::from_secs(1);
/// Of that second: when it is told to end, and how long after that it is killed. One whose worker hangs takes 0.7 s.
const LAST_WORDS: [Duration; 2] = [Duration::from_millis(900), Duration::from_millis(100)];
/// So that something is left for the store.
const TIMEOUT_MIN: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex health
    The lock in ctdb.conf: OK - /clusterfs/ctdb/lock answered in 0.7 ms: the file and its lock, on ceph|time=0.004s;1.000;5.000;0
  $ ctdb-mutex health '!/usr/libexec/ctdb/ctdb_mutex_etcd_helper /ctdb/lock' --slow-milliseconds 3000
    WARNING and exit code 1 for an answer that takes longer.
  $ ctdb-mutex health --json /clusterfs/ctdb/lock
    One object for a program.
  $ ctdb-mutex health '!/usr/libexec/ctdb/ctdb_mutex_fcntl_helper /clusterfs/ctdb/lock'   # exit 3
    Another's helper cannot be asked.";

/// Say whether the store answers, within --timeout-seconds whatever hangs; takes nothing
///
/// One line, and an exit code, as monitoring systems read them:
///   0  OK        the store answers
///   1  WARNING   it does, but not within --slow-milliseconds
///   2  CRITICAL  it does not, or refuses what the helper needs (a pool that is missing, say)
///   3  UNKNOWN   it cannot be asked: no lock is configured, LOCK is wrong, or its helper is none of ours
///
/// The helper, this program and ctdb.conf are read before the store is asked: they must not lie on what may hang.
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf; default: the one that is configured there
    lock: Option<String>,

    /// The answer is there after N seconds, at least 2; the store has one less
    #[arg(long, value_name = "N", default_value = "5", value_parser = timeout)]
    timeout_seconds: Duration,

    /// An answer that takes longer than N milliseconds is slow
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..))]
    slow_milliseconds: u64,

    /// One JSON object
    #[arg(long)]
    json: bool,

    /// Start nothing while the last probe with this FILE hangs (CRITICAL); it must not lie on what may hang itself
    ///
    /// Processes that wait for a dead file system cannot be ended: FILE keeps them from becoming more with every probe.
    #[arg(long, value_name = "FILE")]
    probe_file: Option<PathBuf>,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time < TIMEOUT_MIN { Err(format!("must be at least {}", TIMEOUT_MIN.as_secs())) } else { Ok(time) }
}

#[derive(Clone, Copy)]
enum State {
    Ok,
    Slow,
    Not,
    Unknown,
}

impl State {
    /// For monitoring systems, and for programs.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("OK", "ok"),
            Self::Slow => ("WARNING", "slow"),
            Self::Not => ("CRITICAL", "not"),
            Self::Unknown => ("UNKNOWN", "unknown"),
        }
    }

    /// What monitoring systems expect of a check.
    const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Slow => 1,
            Self::Not => 2,
            Self::Unknown => 3,
        }
    }
}

/// What came of it.
struct Verdict {
    state: State,
    text: String,
    /// `None` where nothing was asked.
    took: Option<Duration>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let verdict =
        probe(&args).unwrap_or_else(|error| Verdict { state: State::Unknown, text: format!("{error:#}"), took: None });
    let (word, event) = verdict.state.words();
    if args.json {
        let seconds = verdict.took.map_or(Value::Null, |took| took.as_secs_f64().into());
        let facts = [("text", Value::from(verdict.text)), ("seconds", seconds)];
        Voice::Json.event(event, &facts, "");
    } else {
        // What stands behind a bar is for the system's graphs.
        let text = escape(&verdict.text).replace('|', "/");
        let graph = verdict.took.map(|took| {
            let [took, slow, most] = [took, args.slow(), args.timeout_seconds].map(|time| time.as_secs_f64());
            format!("|time={took:.3}s;{slow:.3};{most:.3};0")
        });
        say::print(&format!("{word} - {text}{}\n", graph.unwrap_or_default()));
    }
    Ok(ExitCode::from(verdict.state.exit_code()))
}

impl Args {
    fn slow(&self) -> Duration {
        Duration::from_millis(self.slow_milliseconds)
    }
}

fn probe(args: &Args) -> anyhow::Result<Verdict> {
    let (slow, limit) = (args.slow(), args.timeout_seconds);
    ensure!(slow < limit, "nothing is ever slow: --slow-milliseconds is {slow:?}, and --timeout-seconds {limit:?}");
    let lock = Lock::find(args.lock.as_deref())?;
    ensure!(lock.is_ours()?, "{} is none of our helpers and cannot be asked", lock.program().display());
    let mut file = match args.probe_file.as_deref().map(ProbeFile::claim).transpose()? {
        Some(Claim::Taken(why)) => return Ok(Verdict { state: State::Not, text: why, took: None }),
        Some(Claim::Free(file)) => Some(file),
        None => None,
    };
    let own_limit = limit - FOR_ITS_WORDS;
    let answer = question::ask_within(&lock, &["--health"], own_limit, LAST_WORDS, |helper| {
        file.as_mut().map_or(Ok(()), |file| file.note(helper.pid()))
    })?;
    let (state, text) = if answer.code == exit_code::RELEASED {
        let text = answer.stdout.trim();
        (if answer.took > slow { State::Slow } else { State::Ok }, text.strip_prefix("ok: ").unwrap_or(text).to_owned())
    } else {
        // With -v in LOCK its steps stand before it.
        let last = answer.stderr.last().cloned();
        (State::Not, last.unwrap_or_else(|| format!("{}: exit code {}", lock.program().display(), answer.code)))
    };
    Ok(Verdict { state, text, took: Some(answer.took) })
}
