//! What takes the lock away, and what does not (P2b, P2c). The contract suite has the plain losses.

use std::fs;
use std::time::Duration;

use mutex_tests::fault::Fault;
use mutex_tests::roster::ANSWER_LIMIT;
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
    ("a posix lock that the server dropped: the pipe ends in time", || dropped("posix")),
    ("an ofd lock that the server dropped: the pipe ends in time", || dropped("ofd")),
    ("a posix lock that the server gave to another: the pipe ends in time", || given_away("posix")),
    ("an ofd lock that the server gave to another: the pipe ends in time", || given_away("ofd")),
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

/// The server applies the lock after the try was given up (P6). Not for ofd: see `places::kept_by_server`.
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

/// A flock cannot be asked after: no such case for it.
fn dropped(lock_type: &str) -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let holder = helper(&file)?.args(&["1", "2", "--lock-type", lock_type]).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
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
fn given_away(lock_type: &str) -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let start = |options: &[&str]| helper(&file)?.args(&["1", "2", "--lock-type", lock_type]).args(options).start();
    let holder = start(&[])?;
    holder.expect('0', ANSWER_LIMIT)?;
    let next = start(&["--wait-seconds", "20"])?;
    next.pipe()?.stays_silent(Duration::from_millis(500))?;
    let fault = fs.locks_dropped();
    let _dropped = fault.inject()?;
    next.expect('0', Duration::from_secs(1))?;
    holder.end(Duration::from_secs(2) + NOISE)?;
    next.pipe()?.stays_silent(Duration::from_secs(2))
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
