//! Lease 0: no expiry, as Samba's helper has it. A dead host keeps the lock; a try never does.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::in_pool;
use mutex_tests::services::ceph::lock::{self, LockInfo};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::faults::orphaned_try;
use crate::{Case, GONE, Lock, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("lease 0: no expiration is shown, and SIGTERM frees the lock", shown_and_freed),
    ("lease 0: a contender leaves the lock's state unchanged", unchanged),
    ("lease 0: OSDs frozen for longer than nine seconds: kept", frozen_and_kept),
    ("lease 0: a try cancelled while an OSD was frozen leaves nothing after nine seconds", cancelled_try),
    ("lease 0: a try whose worker is killed with its request at the OSD is over within nine seconds", || {
        orphaned_try("0", TRY_LEASE)
    }),
    ("lease 0: SIGTERM while the OSDs were frozen for longer than nine seconds: free after the thaw", late_release),
    ("lease 0: the worker killed: the pipe ends, and the lock stays until an admin breaks it", worker_killed),
    ("lease 0: the lock broken by an admin: the pipe ends", broken),
    (
        "lease 0: the client blocklisted: the pipe ends, and the line says that an admin has to break the lock",
        blocklisted,
    ),
];

/// What a try leaves behind at most (DESIGN 4).
const TRY_LEASE: Duration = Duration::from_secs(9);

/// A verification and the time for its answer, in the rhythm of that lease; noise included.
const REPORTED: Duration = Duration::from_millis(1800 + 2250).saturating_add(NOISE);

/// As the manual says.
fn break_lock(lock: &Lock, info: &LockInfo) -> anyhow::Result<()> {
    let mut command = in_pool(None);
    command.extend(["lock", "break", &lock.object, lock::NAME, &info.client, "--lock-cookie", &info.cookie]);
    lock.ceph.rados(&command).map(drop)
}

/// A holder whose first renewal, right after the byte, has taken the try's lease away.
fn holder(lock: &Lock) -> anyhow::Result<Helper> {
    let holder = lock.holder(&["0"])?;
    let lasting = || lock.info().ok()??.expires.is_none().then_some(());
    wait_for("the lock to have no expiration", ANSWER_LIMIT, lasting)?;
    Ok(holder)
}

fn shown_and_freed() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = holder(&lock)?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    holder.pipe()?.stays_silent(Duration::from_secs(3))?;
    ensure!(lock.info()? == Some(info), "a look at it has changed it");
    holder.signal(Signal::TERM)?;
    holder.end(NOISE)?;
    lock.wait_free(GONE)?;
    holder.gone(GONE).map(drop)
}

fn unchanged() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = holder(&lock)?;
    let before = lock.info()?;
    for lease in ["0", "4"] {
        let contender = lock.helper(&[lease])?.start()?;
        contender.expect('1', ANSWER_LIMIT)?;
        contender.gone(GONE)?;
    }
    let theirs = lock.samba(&[])?.start()?;
    theirs.expect('1', ANSWER_LIMIT).context("Samba's helper")?;
    ensure!(before.is_some() && lock.info()? == before, "{before:?} has become {:?}", lock.info()?);
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent");
    Ok(())
}

fn frozen_and_kept() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let holder = holder(&lock)?;
    let fault = lock.ceph.osds_frozen();
    let frozen = fault.inject()?;
    holder.pipe()?.stays_silent(TRY_LEASE + Duration::from_secs(3))?;
    frozen.heal()?;
    ensure!(lock.info()?.is_some(), "the lock is free although the pipe is open");
    holder.signal(Signal::TERM)?;
    holder.end(NOISE)?;
    lock.wait_free(GONE)
}

/// Frozen for longer than its worker stays; the request waits in the other OSD.
fn cancelled_try() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let fault = lock.ceph.replica_frozen(&lock.object)?;
    let frozen = fault.inject()?;
    let taker = lock.helper(&["0"])?.start()?;
    let worker = taker.worker()?;
    lock.wait_requested()?;
    taker.signal(Signal::TERM)?;
    taker.end(NOISE)?;
    taker.gone(GONE)?;
    worker.wait_gone(TRY_LEASE + GONE)?;
    frozen.heal()?;
    lock.wait_free(TRY_LEASE + GONE)?;
    lock.holder(&["0"]).map(drop)
}

fn late_release() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let holder = holder(&lock)?;
    let worker = holder.worker()?;
    let fault = lock.ceph.osds_frozen();
    let frozen = fault.inject()?;
    holder.signal(Signal::TERM)?;
    holder.end(NOISE)?;
    holder.gone(GONE)?;
    // Longer than a worker with a lease would stay.
    let left = worker.wait_gone(TRY_LEASE + Duration::from_secs(2));
    ensure!(left.is_err(), "the worker has left, with the lock");
    frozen.heal()?;
    lock.wait_free(GONE)?;
    worker.wait_gone(GONE).map(drop)
}

fn worker_killed() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = holder(&lock)?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    holder.worker()?.signal(Signal::KILL)?;
    holder.end(NOISE)?;
    holder.gone(GONE)?;
    ensure!(holder.one_line()?.contains("break"), "the line does not say what to do: {}", holder.one_line()?);
    // Longer than a try would leave it there.
    ensure!(lock.wait_free(TRY_LEASE + Duration::from_secs(1)).is_err(), "the lock has gone");
    let next = lock.helper(&["0"])?.start()?;
    next.expect('1', ANSWER_LIMIT).context("a dead host keeps the lock")?;
    break_lock(&lock, &info)?;
    lock.holder(&["0"]).map(drop)
}

fn broken() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = holder(&lock)?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    break_lock(&lock, &info)?;
    holder.end(REPORTED)?;
    holder.gone(GONE)?;
    ensure!(holder.one_line()?.contains(&lock.name()), "the line does not name {}", lock.name());
    ensure!(lock.info()?.is_none(), "it was taken again");
    Ok(())
}

fn blocklisted() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = holder(&lock)?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    lock.ceph.ceph(&["osd", "blocklist", "add", &info.address])?;
    holder.end(REPORTED)?;
    holder.gone(GONE)?;
    let line = holder.one_line()?;
    ensure!(line.contains("blocklist") && line.contains("break"), "{line:?}");
    ensure!(lock.info()?.is_some(), "the lock has gone");
    break_lock(&lock, &info)?;
    lock.holder(&["0"]).map(drop)
}
