//! What takes the lock away, and what does not (P2b, P2c). The contract suite has the plain losses.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use mutex_tests::fault::Fault;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::disk::HungDisk;
use mutex_tests::services::fuse::{HungFs, Locks};
use rustix::process::Signal;

use crate::{Case, GONE, NOISE, directory, helper, holder};

pub(crate) const CASES: &[Case] = &[
    ("the directory renamed away and back between two proofs costs nothing", renamed_and_back),
    ("RECHECK 0 never looks at the file again", never_looks),
    ("the server of the file system killed: the pipe ends in time", || ends_under(Locks::Local, HungFs::killed)),
    ("the server of the file system stopped: the pipe ends in time", || ends_under(Locks::Local, HungFs::stopped)),
    ("lock calls that hang while the files answer: the pipe ends in time", || {
        ends_under(Locks::Remote, HungFs::locks_hang)
    }),
    ("reads that hang while all else answers: the pipe ends in time", || ends_under(Locks::Local, HungFs::reads_hang)),
    ("a file system that only the kernel's cache still speaks for: the pipe ends in time", only_the_cache_answers),
    ("a posix try that hangs in the lock call itself is undone after the thaw", || late_lock("posix")),
    ("a flock try that hangs in the lock call itself is undone after the thaw", || late_lock("flock")),
    ("a posix lock that the server dropped: the pipe ends in time", dropped),
    ("a posix lock that the server gave to another: the pipe ends in time", given_away),
    ("a posix lock on a disk that hangs: the pipe ends in time", || disk_hangs("posix")),
    ("an ofd lock on a disk that hangs: the pipe ends in time", || disk_hangs("ofd")),
    ("a flock on a disk that hangs: the pipe ends in time", || disk_hangs("flock")),
    ("SIGTERM with an ofd lock on a disk that hangs closes the pipe at once", || stopped_on_a_hung_disk("ofd")),
    ("the supervisor killed while its try hangs: the worker goes at once", killed_while_trying),
];

/// RECHECK 1 and PING-TIMEOUT 2 together.
const FROZEN: Duration = Duration::from_secs(3);

fn renamed_and_back() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    fs::create_dir(&here)?;
    // Both renames come right after the byte, two seconds before the first proof.
    let holder = helper(here.join("lock"))?.args(&["2", "2"]).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    fs::rename(&here, &there)?;
    fs::rename(&there, &here)?;
    holder.pipe()?.stays_silent(Duration::from_secs(5))
}

fn never_looks() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = helper(&file)?.arg("0").start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    fs::remove_file(&file)?;
    holder.pipe()?.stays_silent(FROZEN)?;
    holder.signal(Signal::TERM)?;
    holder.end(GONE)?;
    Ok(())
}

/// The pipe ends in time under this fault of the file system.
fn ends_under(locks: Locks, fault: fn(&HungFs) -> Fault<'_>) -> anyhow::Result<()> {
    let fs = HungFs::mount(locks)?;
    let holder = holder(&fs.path().join("lock"))?;
    let fault = fault(&fs);
    let _injected = fault.inject()?;
    holder.end(FROZEN + NOISE)?;
    holder.gone(GONE)?;
    holder.one_line()?;
    Ok(())
}

/// The path of the proof is fresh, whatever the kernel remembers of it.
fn only_the_cache_answers() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Local)?;
    fs.let_the_kernel_cache()?;
    let holder = holder(&fs.path().join("lock"))?;
    // A proof, after which the kernel knows all that a look could ask.
    holder.pipe()?.stays_silent(Duration::from_millis(1500))?;
    let fault = fs.attributes_hang();
    let _hanging = fault.inject()?;
    holder.end(FROZEN + NOISE)?;
    holder.gone(GONE)?;
    Ok(())
}

/// The server applies the lock after the try was given up (P6).
fn late_lock(lock_type: &str) -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let fault = fs.locks_hang();
    let hanging = fault.inject()?;
    let start = || helper(&file)?.args(&["1", "2", "--lock-type", lock_type]).start();
    let cancelled = start()?;
    let worker = cancelled.worker()?;
    // Into the lock call: nothing else here takes any time.
    cancelled.pipe()?.stays_silent(Duration::from_millis(500))?;
    cancelled.signal(Signal::TERM)?;
    cancelled.end(NOISE)?;
    cancelled.gone(GONE)?;
    hanging.heal()?;
    worker.wait_gone(GONE)?;
    start()?.expect('0', ANSWER_LIMIT)
}

/// A flock cannot be asked after, and an ofd lock has no such server: no such case for them.
fn dropped() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let holder = holder(&fs.path().join("lock"))?;
    // Two proofs, which must not mistake the server's answer for a loss.
    holder.pipe()?.stays_silent(Duration::from_millis(2500))?;
    let fault = fs.locks_dropped();
    let _dropped = fault.inject()?;
    holder.end(Duration::from_secs(2) + NOISE)?;
    holder.gone(GONE)?;
    holder.one_line()?;
    Ok(())
}

/// As `dropped`, and the next in line has it before the first proof after that.
fn given_away() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let holder = holder(&file)?;
    let next = helper(&file)?.args(&["1", "2", "--wait-seconds", "20"]).start()?;
    next.pipe()?.stays_silent(Duration::from_millis(500))?;
    let fault = fs.locks_dropped();
    let _dropped = fault.inject()?;
    next.expect('0', Duration::from_secs(1))?;
    holder.end(Duration::from_secs(2) + NOISE)?;
    next.pipe()?.stays_silent(Duration::from_secs(2))
}

/// Whatever the moment: also while what the helper wrote is still on its way to the disk.
fn disk_hangs(lock_type: &str) -> anyhow::Result<()> {
    let disk = HungDisk::mount()?;
    let file = disk.path().join("lock");
    for after in [0, 400, 1500].map(Duration::from_millis) {
        let holder = helper(&file)?.args(&["1", "2", "--lock-type", lock_type]).start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        let worker = holder.worker()?;
        holder.pipe()?.stays_silent(after)?;
        let fault = disk.frozen();
        let frozen = fault.inject()?;
        holder.end(FROZEN + NOISE).with_context(|| format!("{after:?} after the byte"))?;
        holder.gone(GONE)?;
        holder.one_line()?;
        frozen.heal()?;
        worker.wait_gone(GONE).context("the worker, after the thaw")?;
    }
    Ok(())
}

/// P4 where not even a kill ends the worker.
fn stopped_on_a_hung_disk(lock_type: &str) -> anyhow::Result<()> {
    let disk = HungDisk::mount()?;
    let file = disk.path().join("lock");
    let start = || helper(&file)?.args(&["1", "10", "--lock-type", lock_type]).start();
    let holder = start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let worker = holder.worker()?;
    let fault = disk.frozen();
    let frozen = fault.inject()?;
    // Into the next proof.
    holder.pipe()?.stays_silent(Duration::from_millis(1500))?;
    holder.signal(Signal::TERM)?;
    holder.end(NOISE)?;
    holder.gone(GONE)?;
    frozen.heal()?;
    worker.wait_gone(GONE).context("the worker, after the thaw")?;
    start()?.expect('0', ANSWER_LIMIT)
}

/// Where the kernel can end a call that hangs: a stopped server has not read it.
fn killed_while_trying() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let fault = fs.stopped();
    let stopped = fault.inject()?;
    let taker = helper(&file)?.args(&["1", "2"]).start()?;
    let worker = taker.worker()?;
    taker.pipe()?.stays_silent(Duration::from_millis(500))?;
    taker.signal(Signal::KILL)?;
    worker.wait_gone(GONE)?;
    stopped.heal()?;
    helper(&file)?.start()?.expect('0', ANSWER_LIMIT)
}
