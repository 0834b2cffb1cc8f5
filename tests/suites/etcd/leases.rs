//! Leases that a leader of etcd has made, and leases that run out.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::keys::Key;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::lock::Lock;
use crate::{Case, GONE, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("after a change of leader the lock goes with a lease that the old one does not know, and leaves nothing", moved),
    ("a taker in the last second of a dead holder's lease is answered 0 as soon as that is over", last_second),
];

const LEASE: Duration = Duration::from_secs(4);

fn holder(lock: &Lock) -> anyhow::Result<Key> {
    lock.line()?.into_iter().next().context("nobody has the lock")
}

fn moved() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let held = lock.holder(&["4"])?;
    let before = holder(&lock)?;
    let leader = lock.etcd.leader()?;
    let killed = lock.etcd.member_killed(leader);
    let _killed = killed.inject()?;
    let is_moved = || holder(&lock).is_ok_and(|now| now.lease != before.lease).then_some(());
    wait_for("the key to go with another lease", 2 * LEASE, is_moved)?;
    let after = holder(&lock)?;
    ensure!(after.name == before.name && after.create_revision == before.create_revision, "{before:?}, now {after:?}");
    ensure!(after.about() == before.about(), "{before:?}, now {after:?}");
    held.pipe()?.stays_silent(LEASE)?;
    ensure!(holder(&lock)?.lease == after.lease, "it moves without a change of leader");
    held.signal(Signal::TERM)?;
    held.end(NOISE)?;
    lock.wait_free(GONE)?;
    held.gone(GONE)?;
    let left = lock.etcd.leases()?;
    ensure!(left.is_empty(), "leases that are left: {left:x?}");
    Ok(())
}

/// etcd ends a lease up to half a second late: who looks in that time, and is sent away, comes back after CTDB's 5 s.
fn last_second() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let granted = lock.etcd.etcdctl(&["lease", "grant", "4"])?;
    let lease = granted.split_whitespace().nth(1).context("etcdctl names no lease")?.to_owned();
    lock.etcd.etcdctl(&["put", &format!("{}/{lease}", lock.key), "", "--lease", &lease])?;
    let contender = lock.helper(&["4"])?.start()?;
    contender.expect('1', ANSWER_LIMIT)?;
    let is_last = || {
        let left = lock.etcd.etcdctl(&["lease", "timetolive", &lease]).ok()?;
        left.contains("remaining(0s)").then_some(())
    };
    wait_for("the last second of the lease", 2 * LEASE, is_last)?;
    ensure!(lock.is_held()?, "the key is gone already");
    let taker = lock.helper(&["4"])?.start()?;
    taker.expect('0', ANSWER_LIMIT)
}
