//! Users: held for long with tokens that live for a short time.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::ensure;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::Setup;
use mutex_tests::services::etcd::accounts::CTDB;
use rustix::process::Signal;

use crate::lock::{Lock, helper};
use crate::{Case, GONE, NOISE, is_slow};

pub(crate) const CASES: &[Case] = &[
    ("a user with a password, tokens of 5 s: held for ten leases, released cleanly", || {
        held(Setup { auth: Some(TOKEN), ..Setup::default() }, Some(CTDB.user))
    }),
    ("a user by certificate, tokens of 5 s: held for ten leases, released cleanly", || {
        held(Setup { auth: Some(TOKEN), tls: true, ..Setup::default() }, None)
    }),
];

const TOKEN: Duration = Duration::from_secs(5);

/// Seconds of a lease that is renewed less often than a token lives.
const LONG: u64 = 60;

/// The helper about to be started by the user that may touch the lock and nothing else.
fn as_user(lock: &Lock, user: Option<&str>, options: &[&str]) -> anyhow::Result<Launch> {
    let account = user.map(|_| CTDB);
    let environment: Vec<(&str, OsString)> = lock.etcd.environment_as(account);
    let launch = helper(&[&lock.key])?.args(options);
    Ok(environment.into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
}

/// A long lease beside the short one: its token ends between two renewals, and there is no other member with which to begin
/// anew.
fn held(setup: Setup, user: Option<&str>) -> anyhow::Result<()> {
    let lock = Lock::with(setup)?;
    let leases: &[u64] = if is_slow() { &[3, 4, 9, LONG] } else { &[3, LONG] };
    let longest = if is_slow() { 9 } else { 3 };
    let take = |&lease: &u64| -> anyhow::Result<(Lock, Helper)> {
        let lock = lock.another();
        let mut launch = as_user(&lock, user, &[&lease.to_string()])?;
        if lease == LONG {
            launch = launch.args(&["--endpoints", lock.etcd.endpoint(0)]);
        }
        let holder = launch.start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        Ok((lock, holder))
    };
    let all: Vec<(Lock, Helper)> = leases.iter().map(take).collect::<Result<_, _>>()?;
    if let Some((_, first)) = all.first() {
        first.pipe()?.stays_silent(10 * Duration::from_secs(longest))?;
    }
    for (lock, holder) in &all {
        ensure!(holder.pipe()?.is_silent(), "{}: the pipe has ended; {:?}", lock.key, holder.stderr()?);
        ensure!(lock.line()?.len() == 1, "{}: in line: {:?}", lock.key, lock.line()?);
        let contender = as_user(lock, user, &["4"])?.start()?;
        contender.expect('1', ANSWER_LIMIT)?;
        holder.signal(Signal::TERM)?;
        holder.end(NOISE)?;
        lock.wait_free(GONE)?;
        holder.gone(GONE)?;
        ensure!(holder.stderr()?.is_empty(), "the holder said {:?}", holder.stderr()?);
    }
    ensure!(lock.etcd.leases()?.is_empty(), "leases are left: {:?}", lock.etcd.leases()?);
    Ok(())
}
