//! `ctdb_mutex_file_helper`: the CTDB cluster lock on a file.
//!
//! | module | what is in it |
//! |---|---|
//! | `backend` | the storage verbs |
//! | `lock` | the three lock types: take, drop, ask |
//! | `known` | which file systems keep a lock on one machine, and the like |
//! | `place` | the file's directory: what has to be true of it before a lock there means anything |
//! | `mount` | which file system a directory is on |
//! | `holder_line` | who holds the lock, as one JSON line in the file or beside it |

#![cfg_attr(not(test), no_main)]

// Properties of every program.
#[cfg(test)]
#[path = "../../../fuzz/properties/argv.rs"]
mod argv;
mod backend;
// The checks of the fuzz targets, as unit tests here.
#[cfg(test)]
#[path = "../../../fuzz/checks/file.rs"]
mod fuzz;
mod holder_line;
mod known;
mod lock;
mod mount;
mod place;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use mutex_core::timing::Timing;
use mutex_core::{Helper, Options, seconds};

/// Hold the CTDB cluster lock on a file of a cluster file system
///
/// In ctdb.conf:  cluster lock = !/usr/libexec/ctdb/ctdb_mutex_file_helper /clusterfs/ctdb/lock
///
/// Writes one byte to stdout: 0 held, 1 contended, 2 timed out, 3 error. Stays while it holds the lock; SIGTERM, or
/// the end of the process that started it, releases. The end of the pipe after 0 means that the lock is lost.
///
/// Exit codes: 0 released on request, 1 contended, 2 timed out, 3 error, 4 lost.
#[derive(clap::Parser)]
#[command(name = "ctdb_mutex_file_helper", version, verbatim_doc_comment)]
struct Args {
    /// The lock file; its directory must exist, the file is made where it is missing
    file: PathBuf,

    /// Prove every so many seconds that the lock is still ours; 0: never
    #[arg(value_name = "RECHECK-SECONDS", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    recheck_seconds: Duration,

    /// The lock is lost when a proof has not been answered so many seconds after its start
    #[arg(value_name = "PING-TIMEOUT-SECONDS", default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    ping_timeout_seconds: Duration,

    /// posix: byte 0, as Samba's helper; ofd: the same by open file description; flock: where only that is cluster-wide
    #[arg(long, value_name = "TYPE", value_enum, default_value_t = lock::LockType::Posix)]
    lock_type: lock::LockType,

    /// Refuse a FILE that is not on such a file system: ceph, fuse.glusterfs, … as in /proc/mounts
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    require_fs: Vec<String>,

    #[command(flatten)]
    options: Options,
}

mutex_core::main!(|args: Args| {
    Ok(Helper {
        options: args.options,
        object: args.file.display().to_string(),
        timing: Timing::proof(args.recheck_seconds, args.ping_timeout_seconds)?,
        store_libraries: &[],
        backend: backend::FileLock::new(args.file, args.lock_type, args.require_fs),
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_command_line_is_taken_as_it_has_to_be_or_refused_in_a_line() {
        argv::any(
            |args: Args| {
                let day = Duration::from_secs(86_400);
                assert!(args.recheck_seconds <= day && args.ping_timeout_seconds <= day);
                assert!(args.require_fs.iter().all(|name| !name.is_empty() && !name.contains(',')));
                // What is left to refuse is refused in a line, too.
                if let Err(error) = Timing::proof(args.recheck_seconds, args.ping_timeout_seconds) {
                    assert!(args.ping_timeout_seconds.is_zero(), "{error}");
                }
            },
            |error| mutex_core::refusal(error, false),
        );
    }
}
