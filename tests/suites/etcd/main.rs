//! What only `ctdb_mutex_etcd_helper` promises: its store's faults, its neighbours on a key, its answers, its errors.
//!
//! HELPER_DIR names the directory of the helper (default: where cargo put it). One plain cluster serves the cases that do
//! it no harm; the others have one each.

mod auth;
mod break_lock;
mod certificates;
mod clusters;
mod config;
mod cost;
mod errors;
mod faults;
mod interop;
mod leases;
mod listener;
mod lock;
mod old_leader;
mod orphans;
mod relay;
mod status;
mod tls;
mod told;
mod users;
mod words;

use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use mutex_tests::services::etcd;

/// What a machine of two cores that runs other trials too adds to a measured time.
const NOISE: Duration = Duration::from_millis(250);

/// How long a process may take to go, whatever the store does (P4).
const GONE: Duration = Duration::from_secs(1).saturating_add(NOISE);

/// How many trials run side by side, unless told otherwise.
const AT_ONCE: usize = 4;

/// A promise. Its name is the trial's.
type Case = (&'static str, fn() -> anyhow::Result<()>);

fn main() {
    let cases = [
        faults::CASES,
        old_leader::CASES,
        orphans::CASES,
        interop::CASES,
        leases::CASES,
        auth::CASES,
        cost::CASES,
        errors::CASES,
        words::CASES,
        users::CASES,
        config::CASES,
        tls::CASES,
        status::CASES,
        break_lock::CASES,
    ];
    let trials = cases.concat().into_iter().map(|(name, run)| trial(name, run)).collect();
    let mut arguments = Arguments::from_args();
    // They wait most of their time.
    arguments.test_threads.get_or_insert(AT_ONCE);
    let conclusion = libtest_mimic::run(&arguments, trials);
    // `exit` runs no destructors.
    etcd::end_shared();
    clusters::end();
    conclusion.exit()
}

fn trial(name: &str, run: fn() -> anyhow::Result<()>) -> Trial {
    Trial::test(name, move || run().map_err(|error| format!("{error:#}").into()))
}

/// Whether what is too long for CI is wanted.
fn is_slow() -> bool {
    std::env::var_os("SLOW").is_some_and(|value| value == "1")
}
