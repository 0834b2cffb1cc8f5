//! `ctdb_mutex_rados_helper`: the CTDB cluster lock on a RADOS object.
//!
//! | module | what is in it |
//! |---|---|
//! | `backend` | the storage verbs |
//! | `place` | where the lock is, and how to connect to it |
//! | `class_lock` | Ceph's object class `lock` on the wire |
//! | `holding` | one holding: its name, and what is said of it |
//! | `service_map` | the holder in ceph-mgr's service map |
//! | `service_dump` | what stands there, read as hostile |
//! | `trouble` | errors in words, and whether waiting can cure them |
//! | `aside` | work that may never return |
//! | `librados` | librados as safe Rust |

#![cfg_attr(not(test), no_main)]

// Properties of every program.
#[cfg(test)]
#[path = "../../../fuzz/properties/argv.rs"]
mod argv;
mod aside;
mod backend;
mod class_lock;
// The checks of the fuzz targets, as unit tests here.
#[cfg(test)]
#[path = "../../../fuzz/checks/rados.rs"]
mod fuzz;
mod holding;
mod librados;
mod place;
mod service_dump;
mod service_map;
mod trouble;

use std::ffi::CString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use mutex_core::timing::Timing;
use mutex_core::{Helper, Options, seconds};

use place::Place;

/// What the expiry may be off: it is by the wall clock of the primary OSD, and the next primary has another. Ten times
/// what Ceph warns of between its monitors (mon_clock_drift_allowed); no daemon checks the OSDs.
const STORE_CLOCK_ERROR: Duration = Duration::from_millis(500);

/// Hold the CTDB cluster lock on a RADOS object
///
/// In ctdb.conf:  cluster lock = !/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd lockctdb
///
/// Writes one byte to stdout: 0 held, 1 contended, 2 timed out, 3 error. Stays while it holds the lock; SIGTERM, or
/// the end of the process that started it, releases. The end of the pipe after 0 means that the lock is lost.
///
/// Exit codes: 0 released on request, 1 contended, 2 timed out, 3 error, 4 lost.
#[derive(clap::Parser)]
#[command(name = "ctdb_mutex_rados_helper", version, verbatim_doc_comment)]
struct Args {
    /// The cluster's name: its configuration is /etc/ceph/CLUSTER.conf, unless --conf or CEPH_CONF says otherwise
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    cluster: String,

    /// Ceph's user: client.admin, or admin
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    user: String,

    /// The pool; it must exist
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pool: String,

    /// The object; it is made where it is missing
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    object: String,

    /// The store frees the lock of a dead holder after so many seconds; 0: never (an admin has to break it)
    #[arg(value_name = "LEASE-SECONDS", default_value = "9", value_parser = seconds, allow_negative_numbers = true)]
    lease_seconds: Duration,

    /// The object's namespace
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    namespace: Option<String>,

    /// Do not enter the holder into ceph-mgr's service map (`ceph service dump`)
    #[arg(short = 'R', long)]
    no_register: bool,

    /// The Ceph configuration file
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

mutex_core::main!(|args: Args| {
    let lease = Some(args.lease_seconds).filter(|lease| !lease.is_zero());
    let timing = match lease {
        Some(lease) => Timing::lease(lease, STORE_CLOCK_ERROR)?,
        None => Timing::without_expiry(backend::TRY_LEASE, STORE_CLOCK_ERROR)?,
    };
    let object = CString::new(args.object.as_str())?;
    let user = if args.user.starts_with("client.") { args.user } else { format!("client.{}", args.user) };
    let Args { cluster, pool, object: name, namespace, conf, .. } = args;
    let place = Place { cluster, user, pool, namespace, object: name, conf };
    Ok(Helper {
        options: args.options,
        object: place.name(),
        timing,
        store_libraries: &["librados.", "libceph-common.", "libcrypto.", "libstdc++."],
        backend: backend::RadosLock::new(place, object, lease, !args.no_register),
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_command_line_is_taken_as_it_has_to_be_or_refused_in_a_line() {
        argv::any(
            |args: Args| {
                assert!([&args.cluster, &args.user, &args.pool, &args.object].iter().all(|word| !word.is_empty()));
                assert!(args.namespace.is_none_or(|namespace| !namespace.is_empty()));
                assert!(args.lease_seconds <= Duration::from_secs(86_400));
                let refused = Timing::lease(args.lease_seconds, STORE_CLOCK_ERROR).is_err();
                assert_eq!(refused, args.lease_seconds < Duration::from_secs(3));
            },
            |error| mutex_core::refusal(error, false),
        );
    }
}
