//! What takes the lock away, and what does not (P2b, P2c). The contract suite has the plain losses.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use anyhow::Context;
use mutex_tests::byte_zero::byte_zero;
use mutex_tests::fault::Fault;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::{Launch, Stderr};
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::disk::HungDisk;
use mutex_tests::services::fuse::{HungFs, Locks};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
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
    ("the worker killed while the server frees the lock and does not say so: the pipe ends in time", killed_unheard),
    ("reads that hang while all else answers: the pipe ends in time", || ends_under(Locks::Local, HungFs::reads_hang)),
    ("a file system that only the kernel's cache still speaks for: the pipe ends in time", only_the_cache_answers),
    ("a posix try that hangs in the lock call itself is undone after the thaw", || late_lock("posix")),
    ("a flock try that hangs in the lock call itself is undone after the thaw", || late_lock("flock")),
    ("a posix lock that the server dropped: the pipe ends in time", || dropped("posix")),
    ("a flock that the server dropped: the pipe ends in time", || dropped("flock")),
    ("a posix lock that the server gave to another: the pipe ends in time", || given_away("posix")),
    ("a flock that the server gave to another: the pipe ends in time", || given_away("flock")),
    ("a flock beside another program's fcntl lock: silence, then 2 with one line, and not taken", flock_without_proof),
    ("an ofd lock that was dropped: the pipe ends in time", || ofd_dropped(false)),
    ("an ofd lock that another has meanwhile: the pipe ends in time", || ofd_dropped(true)),
    ("standard error in a file of the file system that hangs does not delay the end of the pipe", stderr_hangs_too),
    ("a posix lock on a disk that hangs: the pipe ends in time", || disk_hangs("posix")),
    ("an ofd lock on a disk that hangs: the pipe ends in time", || disk_hangs("ofd")),
    ("a flock on a disk that hangs: the pipe ends in time", || disk_hangs("flock")),
    ("an empty file on a disk that hangs: the pipe ends in time", empty_on_a_hung_disk),
    ("SIGTERM with an ofd lock on a disk that hangs closes the pipe at once", stopped_on_a_hung_disk),
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

/// The kernel unlocks for the dead worker, and lets nobody see that it is dead before that is answered.
fn killed_unheard() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let holder = holder(&fs.path().join("lock"))?;
    let fault = fs.answers_held_back();
    let _injected = fault.inject()?;
    holder.worker()?.signal(Signal::KILL)?;
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

/// An ofd lock has no such server: no such case for it.
fn dropped(lock_type: &str) -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let holder = helper(fs.path().join("lock"))?.args(&["1", "2", "--lock-type", lock_type]).start()?;
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
    let of_type = || Ok::<_, anyhow::Error>(helper(&file)?.args(&["1", "2", "--lock-type", lock_type]));
    let holder = of_type()?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let next = of_type()?.args(&["--wait-seconds", "20"]).start()?;
    next.pipe()?.stays_silent(Duration::from_millis(500))?;
    let fault = fs.locks_dropped();
    let _dropped = fault.inject()?;
    next.expect('0', Duration::from_secs(1))?;
    holder.end(Duration::from_secs(2) + NOISE)?;
    next.pipe()?.stays_silent(Duration::from_secs(2))
}

/// Nothing would show that it is lost.
fn flock_without_proof() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let path = fs.path().join("lock");
    let other = File::create(&path)?;
    // The server here takes a lock on the whole file for a flock.
    let rest = libc::flock { l_start: 1, l_len: 0, ..byte_zero(libc::F_WRLCK) };
    fcntl(&other, FcntlArg::F_SETLK(&rest)).context("lock the rest of the file")?;
    let flock = || Ok::<_, anyhow::Error>(helper(&path)?.args(&["1", "2", "--lock-type", "flock"]));
    let refused = flock()?.args(&["--acquire-timeout-seconds", "2"]).start()?;
    refused.expect('2', Duration::from_secs(2) + GONE)?;
    refused.gone(GONE)?;
    refused.one_line()?;
    drop(other);
    flock()?.start()?.expect('0', ANSWER_LIMIT)
}

/// Whatever the moment: also while what the helper wrote is still in memory, or on its way to the disk. Each holder has a
/// file of its own, and all of them are caught by one freeze.
fn disk_hangs(lock_type: &str) -> anyhow::Result<()> {
    let disk = HungDisk::mount()?;
    let start = |number: u32| {
        let file = disk.path().join(format!("lock-{number}"));
        let holder = helper(file)?.args(&["1", "2", "--lock-type", lock_type]).start()?;
        holder.expect('0', ANSWER_LIMIT).map(|()| holder)
    };
    for round in 0..4 {
        // Proved once already, in the midst of it, and new.
        let mut holders = vec![start(3 * round)?];
        holders[0].pipe()?.stays_silent(Duration::from_millis(1300))?;
        holders.push(start(3 * round + 1)?);
        holders[1].pipe()?.stays_silent(Duration::from_millis(400))?;
        holders.push(start(3 * round + 2)?);
        let workers = holders.iter().map(Helper::worker).collect::<anyhow::Result<Vec<_>>>()?;
        // The moment of the fault itself, 0 to 0.6 ms later from round to round: the last holder's line is in memory, on
        // its way, or there.
        std::thread::sleep(Duration::from_micros(200) * round);
        let fault = disk.frozen();
        let frozen = fault.inject()?;
        let start = Instant::now();
        for (number, holder) in holders.iter().enumerate() {
            let left = (FROZEN + NOISE).saturating_sub(start.elapsed());
            holder.end(left).with_context(|| format!("round {round}, holder {number}"))?;
            holder.gone(GONE)?;
            holder.one_line()?;
        }
        frozen.heal()?;
        for worker in workers {
            worker.wait_gone(GONE).context("the worker, after the thaw")?;
        }
    }
    Ok(())
}

/// With nothing in it that a read could fetch: the holder's line is more than the limit of file sizes allows.
fn empty_on_a_hung_disk() -> anyhow::Result<()> {
    let disk = HungDisk::mount()?;
    let holder = Launch::new(programs::packaged("/usr/bin/prlimit", "util-linux")?, ["--fsize=0"])
        .arg(programs::helper("ctdb_mutex_file_helper")?)
        .arg(disk.path().join("lock"))
        .args(&["1", "2"])
        .start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    // Two proofs.
    holder.pipe()?.stays_silent(Duration::from_millis(2500))?;
    let fault = disk.frozen();
    let frozen = fault.inject()?;
    holder.end(FROZEN + NOISE)?;
    holder.gone(GONE)?;
    frozen.heal()
}

/// An ofd lock is that of its description, of which root can get itself another descriptor.
fn ofd_dropped(taken_by_another: bool) -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = helper(&file)?.args(&["1", "2", "--lock-type", "ofd"]).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    // Two proofs.
    holder.pipe()?.stays_silent(Duration::from_millis(2500))?;
    let description = holder.worker()?.descriptor_of(&file)?;
    // Whoever unlocks as the description unlocks for all that have it.
    fcntl(&description, FcntlArg::F_OFD_SETLK(&byte_zero(libc::F_UNLCK)))?;
    let other = taken_by_another.then(|| helper(&file)?.args(&["1", "2"]).start()).transpose()?;
    if let Some(other) = &other {
        other.expect('0', ANSWER_LIMIT)?;
    }
    holder.end(Duration::from_secs(2) + NOISE)?;
    holder.gone(GONE)?;
    holder.one_line()?;
    other.map_or(Ok(()), |other| other.pipe()?.stays_silent(Duration::from_secs(1)))
}

/// The log on the very file system that it reports on.
fn stderr_hangs_too() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Local)?;
    let log = File::create(fs.path().join("log"))?;
    let holder = helper(fs.path().join("lock"))?.args(&["1", "2"]).stderr(Stderr::Into(log.into())).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let fault = fs.frozen();
    // This process has no file open there by now: the close would hang.
    let frozen = fault.inject()?;
    holder.end(FROZEN + NOISE)?;
    frozen.heal()?;
    // Not before, for the same reason.
    holder.gone(GONE)?;
    Ok(())
}

/// P4 where not even a kill ends the worker.
fn stopped_on_a_hung_disk() -> anyhow::Result<()> {
    let disk = HungDisk::mount()?;
    let file = disk.path().join("lock");
    let start = || helper(&file)?.args(&["1", "10", "--lock-type", "ofd"]).start();
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
