//! `ctdb_mutex_etcd_helper`: the CTDB cluster lock on an etcd lease.
//!
//! | module | what is in it |
//! |---|---|
//! | `backend` | the storage verbs |
//! | `lock_key` | the lock in etcd's key space, as `etcdctl lock` has it |
//! | `ask` | any one member may be silent: how several are asked |
//! | `one_cluster` | in which cluster the lock is taken |
//! | `member` | one member, and what it is asked |
//! | `connection` | the connection to it |
//! | `trouble` | errors in words, and whether waiting can cure them |
//! | `tls` | certificates |
//! | `settings` | how to reach etcd: command line over environment over file |
//! | `layer` | what one of these says |
//! | `config_file` | the file |
//! | `file` | reading what somebody else has named |
//! | `endpoint` | a member's URL |

#![cfg_attr(not(test), no_main)]

// Properties of every program.
#[cfg(test)]
#[path = "../../../fuzz/properties/argv.rs"]
mod argv;
mod ask;
mod backend;
mod config_file;
mod connection;
mod endpoint;
mod file;
// The checks of the fuzz targets, as unit tests here.
#[cfg(test)]
#[path = "../../../fuzz/checks/etcd.rs"]
mod fuzz;
mod layer;
mod lock_key;
mod member;
mod one_cluster;
mod settings;
mod tls;
mod trouble;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::builder::NonEmptyStringValueParser;
use mutex_core::timing::Timing;
use mutex_core::{Helper, Options, seconds};

use settings::{Flags, Settings};

/// A dead leader's lease has run out by CTDB's second try (DESIGN 4), or is in its last second, which a taker waits for.
const DEFAULT_LEASE: Duration = Duration::from_secs(9);
/// etcd grants no shorter one: three halves of its election timeout, with its default of 1 s (FACTS B1).
const SHORTEST_LEASE: Duration = Duration::from_secs(2);

/// Hold the CTDB cluster lock on an etcd lease
///
/// In ctdb.conf:  cluster lock = !/usr/libexec/ctdb/ctdb_mutex_etcd_helper ctdb/lock 3 --endpoints http://a:2379,http://b:2379,http://c:2379
///
/// Writes one byte to stdout: 0 held, 1 contended, 2 timed out, 3 error. Stays while it holds the lock; SIGTERM, or
/// the end of the process that started it, releases. The end of the pipe after 0 means that the lock is lost.
///
/// Exit codes: 0 released on request, 1 contended, 2 timed out, 3 error, 4 lost.
///
/// A password comes from the configuration file or ETCDCTL_PASSWORD, never from an argument: those are public.
#[derive(clap::Parser)]
#[command(name = "ctdb_mutex_etcd_helper", version, verbatim_doc_comment)]
struct Args {
    /// The lock's name, as `etcdctl lock` takes it; whoever has a key under KEY/ first has the lock
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,

    /// etcd frees the lock of a dead holder after so many seconds, at least 2 [default: the file's lock_ttl, else 9]
    #[arg(value_name = "LEASE-SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    lease_seconds: Option<Duration>,

    /// Lines `key = value`, as Samba's etcd script reads [default: etcd in $CTDB_BASE or /etc/ctdb, where it is]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags,

    #[command(flatten)]
    options: Options,
}

mutex_core::main!(|args: Args| {
    let Args { key, lease_seconds, config, flags, options } = args;
    let settings = Settings::find(flags, config.as_deref())?;
    let lease = lease_seconds.or(settings.lease).unwrap_or(DEFAULT_LEASE);
    let shortest = SHORTEST_LEASE.as_secs();
    ensure!(lease >= SHORTEST_LEASE, "a lease of {} s: etcd grants none under {shortest} s", lease.as_secs());
    Ok(Helper {
        options,
        object: key.clone(),
        // The expiry is by the leader's monotonic clock, and never early (FACTS B2).
        timing: Timing::lease(lease, Duration::ZERO)?,
        store_libraries: &[],
        backend: backend::EtcdLock::new(&key, lease, settings),
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_command_line_is_taken_as_it_has_to_be_or_refused_in_a_line() {
        argv::any(
            |args: Args| {
                let lease = args.lease_seconds.unwrap_or(DEFAULT_LEASE);
                assert!(!args.key.is_empty() && lease <= Duration::from_secs(86_400));
                // What etcd grants at all has room for its renewals.
                assert!(lease < SHORTEST_LEASE || Timing::lease(lease, Duration::ZERO).is_ok());
            },
            |error| mutex_core::refusal(error, false),
        );
    }
}
