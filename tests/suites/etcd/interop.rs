//! Other clients on the same key (P8): `etcdctl lock`.
//!
//! It prints its key as soon as it has the lock: the first byte of that is to it what `0` is to a helper.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::lock::Lock;
use crate::{Case, GONE, NOISE};

pub(crate) const CASES: &[Case] = &[
    (
        "three of `etcdctl lock` wait for ours, and get it one after the other, the first the moment we release",
        they_wait,
    ),
    (
        "three of ours are contended by `etcdctl lock`, and the next gets it the moment that releases",
        ours_are_contended,
    ),
    ("--wait-seconds gets it the moment that `etcdctl lock` releases", ours_waits),
    ("a contender is answered 1 while others wait in line, and does not join them", not_in_line),
];

/// `etcdctl lock`, in line at this place.
fn etcdctl_lock(lock: &Lock, place: usize) -> anyhow::Result<Helper> {
    let launch = Launch::new(programs::packaged("/usr/bin/etcdctl", "etcd-client")?, ["lock", &lock.key]);
    let environment = lock.etcd.environment();
    let started = environment.into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start()?;
    let in_line = || lock.line().is_ok_and(|line| line.len() == place + 1).then_some(());
    wait_for("etcdctl lock to be in line", ANSWER_LIMIT, in_line)?;
    Ok(started)
}

/// It has the lock now, and etcd says so too.
fn has(lock: &Lock, locker: &Helper, limit: Duration) -> anyhow::Result<()> {
    let first = lock.key.chars().next().context("the lock has no name")?;
    locker.expect(first, limit)?;
    let line = lock.line()?;
    ensure!(line.first().is_some_and(|key| key.value.is_empty()), "in line: {line:?}");
    Ok(())
}

fn release(locker: &Helper) -> anyhow::Result<()> {
    locker.signal(Signal::TERM)?;
    locker.gone(GONE).map(drop)
}

fn they_wait() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let about = lock.line()?.first().and_then(mutex_tests::services::etcd::keys::Key::about);
    let about = about.context("the holder is not written in its key")?;
    ensure!(i64::from(about.pid) == i64::from(holder.supervisor().pid()), "{about:?}");
    let lockers: Vec<Helper> = (1..=3).map(|place| etcdctl_lock(&lock, place)).collect::<Result<_, _>>()?;
    // Over several renewals.
    holder.pipe()?.stays_silent(Duration::from_secs(2))?;
    for locker in &lockers {
        locker.pipe()?.stays_silent(Duration::ZERO)?;
    }
    release(&holder)?;
    for (number, locker) in lockers.iter().enumerate() {
        has(&lock, locker, NOISE)?;
        for later in &lockers[number + 1..] {
            later.pipe()?.stays_silent(Duration::from_millis(100))?;
        }
        release(locker)?;
    }
    lock.holder(&["4"]).map(drop)
}

fn ours_are_contended() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let locker = etcdctl_lock(&lock, 0)?;
    has(&lock, &locker, ANSWER_LIMIT)?;
    for _ in 0..3 {
        let contender = lock.helper(&["4"])?.start()?;
        contender.expect('1', ANSWER_LIMIT)?;
        contender.gone(GONE)?;
        ensure!(contender.stderr()?.is_empty(), "the contender said {:?}", contender.stderr()?);
        ensure!(lock.line()?.len() == 1, "in line: {:?}", lock.line()?);
    }
    release(&locker)?;
    lock.holder(&["4"]).map(drop)
}

fn ours_waits() -> anyhow::Result<()> {
    /// How often it looks.
    const LOOK: Duration = Duration::from_millis(250);
    let lock = Lock::shared()?;
    let locker = etcdctl_lock(&lock, 0)?;
    has(&lock, &locker, ANSWER_LIMIT)?;
    let waiting = lock.helper(&["4", "--wait-seconds", "60"])?.start()?;
    waiting.pipe()?.stays_silent(Duration::from_secs(1))?;
    release(&locker)?;
    waiting.expect('0', LOOK + NOISE)?;
    ensure!(lock.line()?.len() == 1, "in line: {:?}", lock.line()?);
    Ok(())
}

/// A key of a contender's would keep the lock from those behind it until its lease is over.
fn not_in_line() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let first = etcdctl_lock(&lock, 0)?;
    has(&lock, &first, ANSWER_LIMIT)?;
    let second = etcdctl_lock(&lock, 1)?;
    let before = lock.line()?;
    for _ in 0..3 {
        let contender = lock.helper(&["4"])?.start()?;
        contender.expect('1', ANSWER_LIMIT)?;
        contender.gone(GONE)?;
    }
    ensure!(lock.line()? == before, "in line: {:?}, before: {before:?}", lock.line()?);
    release(&first)?;
    has(&lock, &second, NOISE)?;
    release(&second)?;
    lock.wait_free(GONE)
}
