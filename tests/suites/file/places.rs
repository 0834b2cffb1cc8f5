//! Where a lock file may lie, and file systems whose server keeps the locks.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::fuse::{HungFs, Locks};
use rustix::process::Signal;

use crate::{Case, GONE, directory, helper};

pub(crate) const CASES: &[Case] = &[
    ("a world-writable directory with the sticky bit is fine", sticky),
    ("--require-fs with the file system's own type is fine", required_fs),
    ("a posix lock kept by a server is taken, refused to others, kept and released", || kept_by_server("posix")),
    ("a flock kept by a server is taken, refused to others, kept and released", || kept_by_server("flock")),
    ("posix and ofd locks exclude each other, and flock neither", kinds),
];

fn sticky() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o1777))?;
    helper(&file)?.start()?.expect('0', ANSWER_LIMIT)
}

fn required_fs() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Local)?;
    // FUSE without a subtype is plain `fuse` in /proc/mounts.
    for types in ["fuse", "ceph,fuse"] {
        let taker = helper(fs.path().join("lock"))?.args(&["--require-fs", types]).start()?;
        taker.expect('0', ANSWER_LIMIT).with_context(|| format!("--require-fs {types}"))?;
    }
    Ok(())
}

fn kept_by_server(lock_type: &str) -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let start = || helper(&file)?.args(&["1", "2", "--lock-type", lock_type]).start();
    for end in [Signal::TERM, Signal::KILL] {
        let holder = start()?;
        holder.expect('0', ANSWER_LIMIT).with_context(|| format!("before {end:?}"))?;
        start()?.expect('1', ANSWER_LIMIT)?;
        // Over two proofs.
        holder.pipe()?.stays_silent(Duration::from_millis(2500))?;
        let worker = holder.worker()?;
        holder.signal(end)?;
        holder.end(GONE)?;
        worker.wait_gone(GONE)?;
    }
    let holder = start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let worker = holder.worker()?;
    worker.signal(Signal::KILL)?;
    holder.end(GONE)?;
    worker.wait_gone(GONE)?;
    start()?.expect('0', ANSWER_LIMIT).context("after the worker was killed")
}

fn kinds() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let status = |lock_type: &str| {
        let taker = helper(&file)?.args(&["1", "2", "--lock-type", lock_type]).start()?;
        Ok::<_, anyhow::Error>((taker.status(ANSWER_LIMIT)?, taker))
    };
    let (first, _posix) = status("posix")?;
    let (second, _) = status("ofd")?;
    let (third, _flock) = status("flock")?;
    ensure!((first, second, third) == ('0', '1', '0'), "posix {first}, ofd {second}, flock {third}");
    Ok(())
}
