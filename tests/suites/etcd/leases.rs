//! Leases that a leader of etcd has made, and leases that run out.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::MEMBERS;
use mutex_tests::services::etcd::keys::Key;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::lock::Lock;
use crate::relay::{Held, Relay};
use crate::{Case, GONE, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("after a change of leader the lock goes with a lease that the old one does not know, and leaves nothing", moved),
    ("a move of the key that arrives after the next one does not take it back", late_move),
    ("a new lease whose grant had no answer at first: the pipe ends before that lease does", late_grant),
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

/// The move is asked of one member, whose request stays on the way, and done by another; then the leader changes again.
fn late_move() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let relay = Relay::open_way(&lock.etcd, 0, Held::Requests)?;
    let endpoints = [&relay.endpoint(), lock.etcd.endpoint(1), lock.etcd.endpoint(2)].join(",");
    let held = lock.holder(&["4", "--endpoints", &endpoints])?;
    let first = holder(&lock)?.lease;
    // The key's content, which only the move carries now.
    relay.hold_up(b"\"host\"");
    let second = after_a_change(&lock, first)?;
    relay.wait_reached(Duration::ZERO)?;
    let third = after_a_change(&lock, second)?;
    relay.open();
    held.pipe()?.stays_silent(LEASE)?;
    let last = holder(&lock)?.lease;
    ensure!(last == third, "the key goes with {last:x}, after {first:x}, {second:x} and {third:x}");
    Ok(())
}

/// The lease is made, and the helper hears of it with the next renewal. It has not been kept alive until then: when the key
/// goes with it, and the helper is cut off at once, what is left of it is not the whole.
fn late_grant() -> anyhow::Result<()> {
    const LEASE: Duration = Duration::from_secs(12);
    /// After the helper has given the grant up, and before its next renewal (a fifth of the lease).
    const LATE: Duration = Duration::from_secs(2);
    let lock = Lock::alone()?;
    let relay = Relay::open_way(&lock.etcd, 0, Held::Answers)?;
    let held = lock.holder(&[&LEASE.as_secs().to_string(), "--endpoints", &relay.endpoint()])?;
    let first = holder(&lock)?.lease;
    // A grant as protobuf has it: field 1 is the length in seconds, field 2 the number.
    relay.hold_up(b"\x08\x0c\x10");
    change_leader(&lock)?;
    let granted = || lock.etcd.leases().is_ok_and(|leases| leases.len() == 2).then_some(());
    wait_for("the new lease", LEASE, granted)?;
    std::thread::sleep(LATE);
    relay.open();
    let moved = || holder(&lock).is_ok_and(|now| now.lease != first).then_some(());
    wait_for("the key to go with the new lease", LEASE, moved)?;
    drop(relay);
    let ends = || {
        // In this order: what is gone when the pipe is seen to be open must not be.
        let is_there = lock.is_held().ok()?;
        let is_open = held.pipe().ok()?.is_silent();
        (!is_there || !is_open).then_some(!is_open)
    };
    let (in_time, _) = wait_for("the end of the pipe, or of the lock", 2 * LEASE, ends)?;
    ensure!(in_time, "the lock is gone, and the pipe is open");
    Ok(())
}

/// Makes another member the leader; the lease with which the key goes then, which was another before.
fn after_a_change(lock: &Lock, before: i64) -> anyhow::Result<i64> {
    change_leader(lock)?;
    let moved = || holder(lock).ok().map(|now| now.lease).filter(|lease| *lease != before);
    let (lease, _) = wait_for("the key to go with another lease", 2 * LEASE, moved)?;
    Ok(lease)
}

fn change_leader(lock: &Lock) -> anyhow::Result<()> {
    let leader = lock.etcd.leader()?;
    let next = lock.etcd.status((leader + 1) % MEMBERS)?;
    lock.etcd.etcdctl_at(leader, &["move-leader", &format!("{:x}", next.id)]).map(drop)
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
