//! The store's faults (P2a, P3, P6), beyond what the contract suite does to every store.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::lock::LockInfo;
use mutex_tests::services::ceph::{Ceph, Setup};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::{Case, GONE, Lock, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("OSDs frozen while held, lease 4: the pipe ends before the store's time for the lock is over", || frozen(4)),
    ("OSDs frozen while held, lease 9: the pipe ends before the store's time for the lock is over", || frozen(9)),
    ("a try whose worker is killed with its request at the OSD is over within its lease", || orphaned_try("4", LEASE)),
    ("the monitor frozen while held: kept", monitor_frozen),
    ("a try with the monitor frozen waits for it", try_with_monitor_frozen),
    ("the primary OSD killed, one copy is enough, lease 4: never two holders, and no error", || primary_killed(4)),
    ("the primary OSD killed, one copy is enough, lease 9: never two holders, and no error", || primary_killed(9)),
    ("the primary OSD killed and back at once: renewed, whatever else changes in the cluster", back_at_once),
    ("one OSD of two is not enough, lease 4: the pipe ends in time, a new holder 15 s after both are back", || {
        too_few_copies(4)
    }),
    ("one OSD of two is not enough, lease 9: the pipe ends in time, a new holder 15 s after both are back", || {
        too_few_copies(9)
    }),
    ("the manager killed: no difference", manager_killed),
    ("the line of a try that timed out names what keeps silent, and not what did before", who_keeps_silent),
];

const LEASE: Duration = Duration::from_secs(4);

/// The expiry is read right after a renewal, so that none comes between that and the freeze.
fn frozen(lease: u64) -> anyhow::Result<()> {
    let length = Duration::from_secs(lease);
    for _ in 0..5 {
        let lock = Lock::alone(1)?;
        let holder = lock.holder(&[&lease.to_string()])?;
        let before = expiry(&lock)?;
        let renewed = || expiry(&lock).ok().filter(|&now| now != before);
        let (expires, _) = wait_for("a renewal", ANSWER_LIMIT, renewed)?;
        let fault = lock.ceph.osds_frozen();
        let _frozen = fault.inject()?;
        let sent = expires.checked_sub(length).context("an expiry in the first seconds of 1970")?;
        // Seen late: the next renewal, a fifth of the lease after this one, may be through.
        if sent.elapsed().is_ok_and(|age| age > length / 8) {
            continue;
        }
        holder.end(length)?;
        let early = expires.duration_since(SystemTime::now()).context("the lock was free before the pipe ended")?;
        ensure!(early < length / 2, "the pipe ended {early:?} before the lock was free");
        return Ok(());
    }
    bail!("the machine is too slow to freeze the OSDs right after a renewal")
}

fn expiry(lock: &Lock) -> anyhow::Result<SystemTime> {
    lock.info()?.and_then(|info: LockInfo| info.expires).context("a lock with an expiry")
}

/// Nobody undoes the request that the OSD has, and applies at the thaw.
pub(crate) fn orphaned_try(lease: &str, limit: Duration) -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let fault = lock.ceph.replica_frozen(&lock.object)?;
    let frozen = fault.inject()?;
    let taker = lock.helper(&[lease])?.start()?;
    let worker = taker.worker()?;
    lock.wait_requested()?;
    worker.signal(Signal::KILL)?;
    worker.wait_gone(GONE)?;
    frozen.heal()?;
    wait_for("the request to be applied", ANSWER_LIMIT, || lock.info().is_ok_and(|info| info.is_some()).then_some(()))?;
    lock.wait_free(limit + GONE)?;
    lock.holder(&[lease]).map(drop)
}

fn monitor_frozen() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let holder = lock.holder(&["4"])?;
    let fault = lock.ceph.mon_frozen();
    let frozen = fault.inject()?;
    holder.pipe()?.stays_silent(3 * LEASE)?;
    frozen.heal()?;
    ensure!(lock.info()?.is_some(), "the lock is free although the pipe is open");
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    lock.wait_free(GONE)
}

fn try_with_monitor_frozen() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let fault = lock.ceph.mon_frozen();
    let frozen = fault.inject()?;
    let taker = lock.helper(&["4"])?.start()?;
    // Past the time of one call, and of one attempt to connect.
    taker.pipe()?.stays_silent(Duration::from_secs(6))?;
    frozen.heal()?;
    taker.expect('0', Duration::from_secs(10))
}

/// Whoever is answered `0` while the first holder's pipe is open is a second holder.
fn primary_killed(lease: u64) -> anyhow::Result<()> {
    let lease = &*lease.to_string();
    let lock = Lock::alone(1)?;
    let holder = lock.holder(&[lease])?;
    let fault = lock.ceph.osd_killed(lock.ceph.primary_of(None, &lock.object)?);
    let _killed = fault.inject()?;
    let start = Instant::now();
    // The time in which the cluster notices, and the new primary takes over.
    while start.elapsed() < Duration::from_secs(12) {
        let contender = lock.helper(&[lease, "--acquire-timeout-seconds", "3"])?.start()?;
        match contender.status(Duration::from_secs(3) + GONE)? {
            '1' | '2' => {}
            '0' => {
                ensure!(holder.end(Duration::ZERO).is_ok(), "a second holder {:?} after the fault", start.elapsed());
                return Ok(());
            }
            status => bail!("a contender got {status}: {}", contender.stderr()?),
        }
    }
    if holder.pipe()?.is_silent() {
        ensure!(lock.info()?.is_some(), "the lock is free although the pipe is open");
    }
    Ok(())
}

/// A client whose OSD is gone asks for the next map, and for no other: that may be one of something else. Nobody but the OSD
/// itself, when it is back, says here that it was gone. Ceph's own ten seconds are too long for this lease too.
fn back_at_once() -> anyhow::Result<()> {
    const LEASE: Duration = Duration::from_secs(12);
    let lock = Lock::alone(1)?;
    lock.ceph.ceph(&["osd", "set", "nodown"])?;
    let holder = lock.holder(&["12"])?;
    let fault = lock.ceph.osd_killed(lock.ceph.primary_of(None, &lock.object)?);
    let killed = fault.inject()?;
    lock.ceph.ceph(&["osd", "set", "noscrub"])?;
    killed.heal()?;
    // Without a renewal it would have ended by then.
    holder.pipe()?.stays_silent(LEASE)
}

fn too_few_copies(lease: u64) -> anyhow::Result<()> {
    let argument = &*lease.to_string();
    let lock = Lock::alone(2)?;
    let holder = lock.holder(&[argument])?;
    let fault = lock.ceph.osd_killed(lock.ceph.primary_of(None, &lock.object)?);
    let killed = fault.inject()?;
    holder.end(Duration::from_secs(lease) + NOISE)?;
    let back = Instant::now();
    killed.heal()?;
    // As CTDB does: whoever comes before the old lease is over is refused, and comes again.
    loop {
        let left = Duration::from_secs(15).saturating_sub(back.elapsed());
        match lock.helper(&[argument])?.start()?.status(left)? {
            '0' => return Ok(()),
            '1' => {}
            status => bail!("a taker got {status}"),
        }
    }
}

fn manager_killed() -> anyhow::Result<()> {
    let lock = Lock::on(Arc::new(Ceph::start(Setup { mgr: true, min_size: 1 })?));
    let before = lock.holder(&["4"])?;
    let fault = lock.ceph.mgr_killed();
    let _killed = fault.inject()?;
    before.pipe()?.stays_silent(2 * LEASE)?;
    before.signal(Signal::TERM)?;
    before.end(NOISE)?;
    lock.wait_free(GONE)?;
    before.gone(GONE)?;

    let after = lock.holder(&["4"])?;
    let contender = lock.helper(&["4"])?.start()?;
    contender.expect('1', ANSWER_LIMIT)?;
    let mut asked = lock.helper(&["--status"])?.start()?;
    ensure!(asked.exit_code(ANSWER_LIMIT)? == 0, "--status: {}", asked.stderr()?);
    after.pipe()?.stays_silent(2 * LEASE)?;
    after.signal(Signal::TERM)?;
    after.end(NOISE)?;
    lock.wait_free(GONE)?;
    after.gone(GONE)?;
    for (who, said) in [("holder", after.stderr()?), ("contender", contender.stderr()?)] {
        ensure!(said.is_empty(), "the {who} said {said:?}");
    }
    Ok(())
}

/// First the monitor, which is well again, then the OSDs.
fn who_keeps_silent() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let (monitor, osds) = (lock.ceph.mon_frozen(), lock.ceph.osds_frozen());
    let monitor_frozen = monitor.inject()?;
    let taker = lock.helper(&["4", "--acquire-timeout-seconds", "14"])?.start()?;
    // Past the end of the first attempt to connect.
    taker.pipe()?.stays_silent(Duration::from_secs(6))?;
    let _osds_frozen = osds.inject()?;
    monitor_frozen.heal()?;
    taker.expect('2', Duration::from_secs(8) + GONE)?;
    taker.gone(GONE)?;
    let line = taker.one_line()?;
    ensure!(line.contains("OSD") && !line.contains("monitors do not answer"), "{line:?}");
    Ok(())
}
