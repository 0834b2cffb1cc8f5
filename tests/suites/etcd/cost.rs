//! What it costs: etcd, and the process that CTDB waits for.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::lock::Lock;
use crate::{Case, GONE, is_slow};

pub(crate) const CASES: &[Case] = &[
    ("a renewal is one keepalive and one read, and writes nothing", renewals),
    ("a contender is two looks at the key and its lease, and writes nothing", contenders),
    ("many takers of a free lock: one 0, one key, one lease, one revision", crowd),
    ("the process that CTDB started has one thread, whatever the worker has", one_thread),
];

/// What the cluster has been asked for so far, and what it has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    keepalives: u64,
    reads: u64,
    leases_asked: u64,
    writes: u64,
    grants: u64,
    raft_index: u64,
    revision: i64,
}

impl Counts {
    fn of(lock: &Lock) -> anyhow::Result<Self> {
        let etcd = &lock.etcd;
        Ok(Self {
            keepalives: etcd.received("LeaseKeepAlive")?,
            reads: etcd.received("Range")?,
            leases_asked: etcd.received("LeaseTimeToLive")?,
            writes: etcd.received("Txn")? + etcd.received("Put")? + etcd.received("LeaseRevoke")?,
            grants: etcd.received("LeaseGrant")?,
            raft_index: etcd.raft_index()?,
            revision: etcd.revision()?,
        })
    }
}

fn renewals() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let holder = lock.holder(&["4"])?;
    // Past the first renewal, which opens a stream.
    holder.pipe()?.stays_silent(Duration::from_millis(1200))?;
    let before = Counts::of(&lock)?;
    let start = Instant::now();
    holder.pipe()?.stays_silent(Duration::from_secs(8))?;
    let after = Counts::of(&lock)?;
    let (keepalives, reads) = (after.keepalives - before.keepalives, after.reads - before.reads);
    // One every fifth of the lease.
    let most = 1 + u64::try_from(start.elapsed().as_millis() / 800)?;
    ensure!((most - 3..=most).contains(&keepalives), "{keepalives} keepalives, not about {most}");
    ensure!(keepalives.abs_diff(reads) <= 1, "{keepalives} keepalives and {reads} reads");
    let idle = Counts { keepalives: before.keepalives, reads: before.reads, ..after };
    ensure!(idle == before, "before: {before:?}, after: {after:?}");
    Ok(())
}

fn contenders() -> anyhow::Result<()> {
    const CONTENDERS: u64 = 5;
    let lock = Lock::alone()?;
    // One that renews every five hours.
    let _holder = lock.holder(&["86400"])?;
    let leases = lock.etcd.leases()?;
    let before = Counts::of(&lock)?;
    for _ in 0..CONTENDERS {
        let contender = lock.helper(&["86400"])?.start()?;
        contender.expect('1', ANSWER_LIMIT)?;
        contender.gone(GONE)?;
    }
    let after = Counts::of(&lock)?;
    let looks = 2 * CONTENDERS;
    let wanted = Counts { reads: before.reads + looks, leases_asked: before.leases_asked + looks, ..before };
    ensure!(after == wanted, "after {CONTENDERS} contenders: {after:?}, before: {before:?}");
    ensure!(lock.etcd.leases()? == leases, "leases: {:?}, before: {leases:?}", lock.etcd.leases()?);
    Ok(())
}

fn crowd() -> anyhow::Result<()> {
    let takers = if is_slow() { 200 } else { 40 };
    let lock = Lock::alone()?;
    let before = lock.etcd.revision()?;
    let start = |_| lock.helper(&["9"])?.start();
    let all: Vec<Helper> = (0..takers).map(start).collect::<Result<_, _>>()?;
    let mut holders = Vec::new();
    for taker in &all {
        // More at once than this machine can start in the usual time.
        match taker.status(10 * ANSWER_LIMIT)? {
            '0' => holders.push(taker),
            '1' => taker.gone(GONE).map(drop)?,
            status => anyhow::bail!("a taker got {status}: {}", taker.stderr()?),
        }
    }
    ensure!(holders.len() == 1, "{} takers of {takers} were answered 0", holders.len());
    let line = lock.line()?;
    let [key] = &line[..] else { anyhow::bail!("in line: {line:?}") };
    ensure!(lock.etcd.leases()? == [key.lease], "leases: {:?}", lock.etcd.leases()?);
    ensure!(lock.etcd.revision()? == before + 1, "revision {}, before: {before}", lock.etcd.revision()?);
    let holder = holders.first().context("no holder")?;
    holder.signal(Signal::TERM)?;
    lock.wait_free(GONE)?;
    ensure!(lock.etcd.leases()?.is_empty(), "leases are left: {:?}", lock.etcd.leases()?);
    Ok(())
}

fn one_thread() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let threads = |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    // Past the first renewal.
    holder.pipe()?.stays_silent(Duration::from_secs(1))?;
    ensure!(threads(holder.supervisor().pid()) == 1, "{} threads", threads(holder.supervisor().pid()));
    let worker = holder.worker()?.pid();
    wait_for("the worker's threads", ANSWER_LIMIT, || (threads(worker) > 1).then_some(()))?;
    Ok(())
}
