//! `ctdb-mutex run`.
//!
//! | module | what is in it |
//! |---|---|
//! | `front` | the process that the user started |
//! | `keeper` | its child: the parent of helper and command |
//! | `family` | the command and all that has come of it |
//! | `cgroup` | a cgroup for it |
//!
//! While the command runs, the lock is ours; when it is not ours any more, the command has ended. The lock is given back
//! only when nobody of the command is left, so the order of an end is: the command, then the helper. Rejected: helper and
//! command as children of one process, whose SIGKILL would release the lock under a command that goes on.
//!
//! Not promised: what only another process can end (a service that the command has systemd start), a command that waits
//! in an uninterruptible call when the lock is lost, a file's lock whose worker is killed (the kernel frees it before
//! anybody can know; the command is killed at once then), and both our processes killed at once, which counts as a frozen
//! host: the kernel kills the command's first process then, and nobody the others, while the helper waits for the grace.

mod cgroup;
mod family;
mod front;
mod keeper;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use mutex_core::status::exit_code;
use mutex_core::{at_least_a_second, milliseconds, seconds};
use nix::unistd::{AccessFlags, access};

use crate::lock::Lock;
use crate::say;

/// Our own exit codes are this and the helper's.
const OURS: u8 = 120;
/// As a shell has them.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// The most that a helper of others leaves a command to end: its pipe ends when the lock is as good as gone.
const GRACE_OF_OTHERS: Duration = Duration::from_millis(200);

/// Run a command while the lock is held
///
/// COMMAND is started once the lock is ours, and the lock is given back when COMMAND and all processes that it has started
/// have ended. Is the lock lost, COMMAND is ended before another can have it: SIGTERM to its process group, SIGKILL after
/// three fifths of the grace, and whoever has left the group after it, at the latest after four fifths.
///
/// What COMMAND leaves behind when it ends gets half a second, then SIGTERM, and SIGKILL after the grace, or half a second
/// where that is shorter. A service that COMMAND has systemd start is not COMMAND's, and not ended; nor can a process be
/// killed that waits for a hung file system. Under systemd use KillMode=mixed.
///
/// SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to COMMAND. Where standard input and output are a
/// terminal, COMMAND has it; Ctrl-Z has no effect. A command that is stopped (SIGSTOP) keeps the lock; the first four of
/// these signals continue it. SIGKILL of ctdb-mutex kills COMMAND. Its keeper process killed at the same time counts as a
/// host that fails: not all may be ended.
///
/// Exit codes: COMMAND's own, 128+N where signal N ended it; 121 another holds the lock, 122 the store did not answer in
/// time, 123 error (LOCK, options, helper), 124 the lock was lost; 126 COMMAND cannot be run, 127 it is not found.
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf; default: the one that is configured there
    lock: Option<String>,

    /// Keep trying for N seconds while another holds the lock
    #[arg(long, value_name = "N", default_value = "0", value_parser = seconds)]
    wait_seconds: Duration,

    /// Give a helper that says nothing at most N seconds, beside those; CTDB gives it 120
    #[arg(long, value_name = "N", default_value = "120", value_parser = at_least_a_second)]
    timeout_seconds: Duration,

    /// What COMMAND has to end when the lock is lost; taken from the time that the store may stall for
    ///
    /// A helper that is not one of ours cannot be told: COMMAND has 200 ms at most then, and the lock may be another's.
    #[arg(long, value_name = "N", default_value = "500", value_parser = milliseconds)]
    grace_milliseconds: Duration,

    /// Say what this machine does not offer
    #[arg(short, long)]
    verbose: bool,

    /// The command and its arguments, behind --
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex run /clusterfs/ctdb/backup.lock -- /usr/bin/tar -cf /clusterfs/ctdb/hostname.tar /etc/hostname
    a backup on one node at a time; on the others 121
  $ ctdb-mutex run --wait-seconds 3600 '!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd tidy' \
-- /usr/bin/find /clusterfs/ctdb -name '*.tmp' -mtime +7 -delete
    the nodes one after the other, each waiting for up to an hour
  $ ctdb-mutex run --grace-milliseconds 200 '!/usr/libexec/ctdb/ctdb_mutex_etcd_helper ctdb/job 3' -- /bin/true
    for a command that can be killed at any time
  In a crontab of every node, without a mail from the losers:
    0 3 * * * root /usr/bin/ctdb-mutex run /clusterfs/ctdb/nightly.lock -- /usr/local/sbin/nightly 2>/dev/null || [ $? = 121 ]";

/// What is to be done.
struct Job {
    lock: Lock,
    /// Whether its helper is one of ours.
    ours: bool,
    wait: Duration,
    /// What a helper has to answer, beside that.
    timeout: Duration,
    grace: Duration,
    verbose: bool,
    /// Whether the command gets our terminal.
    terminal: bool,
    command: Vec<OsString>,
}

impl Job {
    /// From the end of the helper's pipe until nobody of the command is left.
    fn time_to_end(&self) -> Duration {
        if self.ours { self.grace } else { self.grace.min(GRACE_OF_OTHERS) }
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::from(run_command(args).unwrap_or_else(|error| {
        say::error(&error);
        usage_code()
    })))
}

/// The exit code for options that cannot be understood: not one that COMMAND could have.
pub(crate) fn usage_code() -> u8 {
    OURS + exit_code::ERROR
}

fn run_command(args: Args) -> anyhow::Result<u8> {
    let Args { lock, wait_seconds: wait, timeout_seconds: timeout, grace_milliseconds: grace, verbose, command } = args;
    let lock = Lock::find(lock.as_deref())?;
    let ours = lock.is_ours()?;
    if let Some(code) = command.first().and_then(|program| missing(program)) {
        let why = if code == NOT_FOUND { "not found" } else { "cannot be executed" };
        say::complain(&format!("{}: {why}; the lock was not tried", command[0].to_string_lossy()));
        return Ok(code);
    }
    front::run(&Job { lock, ours, wait, timeout, grace, verbose, terminal: front::has_terminal(), command })
}

/// What a shell's exit code would be for a program that it cannot start.
fn missing(program: &OsStr) -> Option<u8> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let places: Vec<_> = if program.as_bytes().contains(&b'/') {
        vec![Path::new(program).to_owned()]
    } else {
        std::env::split_paths(&path).map(|directory| directory.join(program)).collect()
    };
    let can_run = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    match places.iter().any(|path| can_run(path)) {
        true => None,
        false if places.iter().any(|path| path.exists()) => Some(NOT_EXECUTABLE),
        false => Some(NOT_FOUND),
    }
}
