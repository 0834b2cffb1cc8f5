//! The holder's line in the lock file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use serde_json::Value;

use crate::{Case, GONE, NOISE, directory, holder};

pub(crate) const CASES: &[Case] = &[
    ("the lock file has one JSON line with the holder's host, pid and start", json_line),
    ("the lock file is readable by its owner alone", mode),
    ("what stands in the lock file already does not matter, and is replaced", old_content),
    ("writes that hang neither delay nor cost the lock", writes_hang),
    ("a limit of file sizes that forbids the line costs nothing", no_room_for_the_line),
];

/// The JSON object in the file, once it is there: it is written after the lock is taken, by the way.
fn object_in(file: &std::path::Path) -> anyhow::Result<Value> {
    let whole = || {
        let text = fs::read_to_string(file).ok()?;
        let line = text.strip_suffix('\n')?;
        if line.contains('\n') {
            return None;
        }
        serde_json::from_str(line).ok()
    };
    let (object, _) = wait_for("one JSON line in the lock file", Duration::from_secs(2), whole)?;
    Ok(object)
}

fn json_line() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = holder(&file)?;
    let object = object_in(&file)?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    ensure!(object["host"] == host.trim(), "host in {object}");
    let processes = [holder.supervisor().pid(), holder.worker()?.pid()];
    ensure!(processes.iter().any(|pid| object["pid"] == *pid), "pid in {object}, not one of {processes:?}");
    ensure!(object["since"].is_string() || object["since"].is_number(), "since in {object}");
    Ok(())
}

fn mode() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let _holder = holder(&file)?;
    let mode = fs::metadata(&file)?.mode() & 0o7777;
    ensure!(mode == 0o600, "mode {mode:o}");
    Ok(())
}

fn old_content() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    fs::write(&file, b"\xff\x1b[2J".repeat(1_000_000)).context("write five megabytes")?;
    let _holder = holder(&file)?;
    object_in(&file)?;
    Ok(())
}

fn writes_hang() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Local)?;
    let file = fs.path().join("lock");
    let fault = fs.writes_hang();
    let hanging = fault.inject()?;
    let holder = holder(&file)?;
    // Longer than RECHECK and PING-TIMEOUT together.
    holder.pipe()?.stays_silent(Duration::from_secs(5))?;
    holder.signal(Signal::TERM)?;
    holder.end(NOISE)?;
    holder.gone(GONE)?;
    hanging.heal()?;
    // A worker that was caught in a write has let go with the thaw.
    let again = || crate::helper(&file).ok()?.start().ok()?.expect('0', ANSWER_LIMIT).ok();
    wait_for("the lock to be free after the thaw", Duration::from_secs(4), again)?;
    Ok(())
}

fn no_room_for_the_line() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    let holder = Launch::new(programs::packaged("/usr/bin/prlimit", "util-linux")?, ["--fsize=0"])
        .arg(helper)
        .arg(&file)
        .args(&["1", "2"])
        .start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    holder.pipe()?.stays_silent(Duration::from_secs(2))
}
