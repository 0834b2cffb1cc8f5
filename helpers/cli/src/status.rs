//! `ctdb-mutex status`: the helper's own `--status`, with the lease counted and the store in words.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use mutex_core::status::exit_code;
use serde_json::{Map, Value};

use crate::lock::Lock;
use crate::say::{self, Voice};
use crate::{holder, question};

/// Say who holds the lock since when, what is left of the lease, and which store this is; takes nothing
///
/// It asks the helper itself (--status), so only helpers of this suite: another one would take the question for a lock
/// to take. Compare the store's line between nodes: it differs where they look at different ones.
///
/// Exit code: 0 answered, held or not; 2 the store does not answer; 3 error.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf, one argument; default: the one that is configured there
    lock: Option<String>,

    /// Wait for the store's answer at most N seconds
    #[arg(long, value_name = "N", default_value = "5", value_parser = mutex_core::at_least_a_second)]
    timeout_seconds: Duration,

    /// As one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex status
    the lock of this node's ctdb.conf
  $ ctdb-mutex status '!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd lockctdb'
  $ ctdb-mutex status /clusterfs/ctdb/lock --json
    a file, whichever helper holds it
  $ ctdb-mutex status '!/usr/libexec/ctdb/ctdb_mutex_fcntl_helper /clusterfs/ctdb/lock'  # exit 3
    not a helper of this suite, so not asked; it says how to ask about its lock";

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let lock = Lock::find(args.lock.as_deref())?;
    let voice = Voice::new(args.json);
    let answered = ask(&lock, args.timeout_seconds);
    if let Err((error, code)) = &answered {
        let facts = [("lock", lock.text().into()), ("state", "unknown".into()), ("error", format!("{error:#}").into())];
        voice.event("status", &facts, "");
        say::error(error);
        return Ok(ExitCode::from(*code));
    }
    if let Ok(report) = answered {
        tell(voice, &lock, report, SystemTime::now());
    }
    Ok(ExitCode::from(exit_code::RELEASED))
}

/// What the helper reported; else why not, and the exit code for that.
fn ask(lock: &Lock, limit: Duration) -> Result<Map<String, Value>, (anyhow::Error, u8)> {
    let as_error = |error| (error, exit_code::ERROR);
    expect_ours(lock).map_err(as_error)?;
    let answer = question::ask(lock, &["--status", "--json"], limit).map_err(as_error)?;
    match answer.code {
        exit_code::RELEASED => match serde_json::from_str(&answer.stdout) {
            Ok(Value::Object(report)) => Ok(report),
            _ => Err(as_error(anyhow::anyhow!("{}: no answer but {:?}", lock.program().display(), answer.stdout))),
        },
        exit_code::TIMED_OUT => {
            let said = answer.stderr.join("; ");
            Err((anyhow::anyhow!("the store does not answer, who holds the lock is not known: {said}"), answer.code))
        }
        _ => Err(as_error(anyhow::anyhow!("{}", answer.stderr.join("; ")))),
    }
}

/// Only a helper of ours is asked.
fn expect_ours(lock: &Lock) -> anyhow::Result<()> {
    let program = lock.program().display();
    let ours = lock.is_ours().context("cannot tell whether it is a helper of this suite")?;
    let instead =
        same_lock(lock).map(|lock| format!("; of the same lock: ctdb-mutex status {lock}")).unwrap_or_default();
    ensure!(
        ours,
        "{program} is not a helper of this suite and cannot be asked who holds the lock; `ctdb-mutex hold` with the same \
         LOCK shows whether it is taken, and releases it at Ctrl-C{instead}"
    );
    Ok(())
}

/// LOCK for a helper of ours that takes the same lock as one of Samba's (P8), for the shell.
fn same_lock(lock: &Lock) -> Option<String> {
    let directory = lock.program().parent()?.display();
    let words = lock.arguments();
    match (lock.program().file_name()?.to_str()?, words.len()) {
        ("ctdb_mutex_fcntl_helper", 1) => Some(format!("'{}'", words[0])),
        ("ctdb_mutex_ceph_rados_helper", 4..) => {
            Some(format!("'!{directory}/ctdb_mutex_rados_helper {}'", words.join(" ")))
        }
        _ => None,
    }
}

fn tell(voice: Voice, lock: &Lock, mut report: Map<String, Value>, now: SystemTime) {
    holder::add_lease_left(&mut report, now);
    let words = format!("lock:    {}\n{}", lock.text(), holder::report_in_words(&report, now));
    let mut facts = vec![("lock", lock.text().into())];
    facts.extend(holder::facts(&report, &["state", "object", "holder", "store"]));
    voice.event("status", &facts, &words);
}
