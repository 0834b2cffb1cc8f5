//! `health`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL};
use mutex_tests::services::etcd::{self, Etcd};
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::tool::{LIMIT, answer, directory, expect_code, file_lock, objects, text, tool};
use crate::{Case, NOISE, probes};

pub(crate) const CASES: &[Case] = &[
    ("health: a store that answers is OK, exit code 0, on one line with the time for a graph", ok),
    ("health: an answer that takes longer than --slow-milliseconds is a WARNING, exit code 1", slow),
    ("health: a file system that hangs is CRITICAL, exit code 2, in time, with the store's name", hung),
    ("health: etcd frozen is CRITICAL, exit code 2, in time", etcd_frozen),
    ("health: OSDs frozen are CRITICAL, exit code 2, in time", osds_frozen),
    ("health: a helper that is stopped is CRITICAL in time, and nothing of it stays", helper_stopped),
    ("health: what the helper refuses is CRITICAL, exit code 2", refused),
    ("health: no lock, a wrong LOCK or times that make no sense are UNKNOWN, exit code 3", cannot_be_asked),
    ("health: a helper that is none of ours is UNKNOWN, exit code 3, and is not started", not_ours),
    ("health --json: one object a verdict", json),
];

/// The least that can be asked for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// One line, which begins with this word.
pub(crate) fn expect_line(answer: &Answer, code: i32, word: &str) -> anyhow::Result<String> {
    expect_code(answer, code)?;
    let line = text(answer);
    let is_one = line.lines().count() == 1 && line.ends_with('\n');
    ensure!(is_one && line.starts_with(&format!("{word} - ")), "not a line with {word}: {line:?}");
    ensure!(answer.stderr.is_empty(), "on standard error: {:?}", answer.stderr);
    Ok(line)
}

/// The answer was there within the time that was asked for.
fn in_time(launch: Launch) -> anyhow::Result<Answer> {
    let launch = launch.args(&["--timeout-seconds", &TIMEOUT.as_secs().to_string()]);
    let start = Instant::now();
    let answer = launch.answer(LIMIT)?;
    let took = start.elapsed();
    ensure!(took <= TIMEOUT + NOISE, "an answer after {took:?}, not within {TIMEOUT:?}");
    Ok(answer)
}

fn ok() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let answer = answer(["health", &file_lock(&file)?])?;
    let line = expect_line(&answer, 0, "OK")?;
    ensure!(line.contains(&file.display().to_string()), "{line:?}");
    // As the guidelines for Nagios' plugins have it: value, unit, warning, critical, least.
    let (_, graph) = line.trim_end().split_once("|time=").context("no time for a graph")?;
    let (time, limits) = graph.split_once("s;").context("no unit")?;
    let time: f64 = time.parse()?;
    ensure!(time > 0.0 && time < LIMIT.as_secs_f64() && limits == "1.000;5.000;0", "{line:?}");
    ensure!(!file.exists(), "the lock file was made");
    Ok(())
}

fn slow() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let lock = file_lock(&file)?;
    let stall = Duration::from_millis(300);
    let frozen_fs = fs.frozen();
    let frozen = frozen_fs.inject()?;
    let launch = tool(["health", &lock, "--slow-milliseconds", "300", "--timeout-seconds", "60"])?;
    let mut asked = launch.args(&["--json"]).start()?;
    wait_for("its probe", LIMIT, || (!probes::groups(&file).is_empty()).then_some(()))?;
    let seen = Instant::now();
    wait_for("the stall to be long enough", LIMIT, || (seen.elapsed() > stall).then_some(()))?;
    frozen.heal()?;
    ensure!(asked.exit_code(LIMIT)? == 1, "not slow: {}", asked.stderr()?);
    // The same lock again, which does not stall.
    expect_line(&answer(["health", &lock, "--slow-milliseconds", "59000", "--timeout-seconds", "60"])?, 0, "OK")?;
    Ok(())
}

fn hung() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let frozen = fs.frozen();
    let _frozen = frozen.inject()?;
    let line = expect_line(&in_time(tool(["health", &file_lock(&file)?])?)?, 2, "CRITICAL")?;
    ensure!(line.contains(&file.display().to_string()), "the lock is not named: {line:?}");
    Ok(())
}

fn etcd_frozen() -> anyhow::Result<()> {
    let etcd = Etcd::start(etcd::Setup::default())?;
    let lock = format!("!{} ctdb/lock 3", programs::helper("ctdb_mutex_etcd_helper")?.display());
    let launch = || -> anyhow::Result<Launch> {
        let launch = tool(["health", &lock])?;
        Ok(etcd.environment().into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
    };
    expect_line(&launch()?.answer(LIMIT)?, 0, "OK")?;
    let frozen = etcd.all_frozen();
    let _frozen = frozen.inject()?;
    let line = expect_line(&in_time(launch()?)?, 2, "CRITICAL")?;
    ensure!(line.contains(etcd.endpoint(0)), "a member is not named: {line:?}");
    Ok(())
}

fn osds_frozen() -> anyhow::Result<()> {
    let ceph = Arc::new(Ceph::start(ceph::Setup { mgr: false, min_size: 1 })?);
    let helper = programs::helper("ctdb_mutex_rados_helper")?;
    let lock = format!("!{} ceph {ADMIN} {POOL} ctdb-health 4", helper.display());
    let launch = || Ok::<_, anyhow::Error>(tool(["health", &lock])?.env(CONF_VARIABLE, ceph.conf()));
    expect_line(&launch()?.answer(LIMIT)?, 0, "OK")?;
    let frozen = ceph.osds_frozen();
    let _frozen = frozen.inject()?;
    let line = expect_line(&in_time(launch()?)?, 2, "CRITICAL")?;
    ensure!(line.contains("ctdb-health"), "the lock is not named: {line:?}");
    Ok(())
}

/// The process that limits the time cannot do so.
fn helper_stopped() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    let fault = fs.frozen();
    let frozen = fault.inject()?;
    let launch = tool(["health", &file_lock(&file)?])?.args(&["--timeout-seconds", "2"]);
    let start = Instant::now();
    let mut asked = launch.start()?;
    let (supervisor, _) = wait_for("its helper", TIMEOUT, || asked.supervisor().child(LIMIT).ok())?;
    // Stopped before it is the helper, the tool would wait for that.
    wait_for("its worker", TIMEOUT, || supervisor.child(LIMIT).ok())?;
    supervisor.signal(Signal::STOP)?;
    let code = asked.exit_code(LIMIT)?;
    let took = start.elapsed();
    ensure!(code == 2 && took <= TIMEOUT + NOISE, "exit code {code} after {took:?}, not 2 within {TIMEOUT:?}");
    frozen.heal()?;
    wait_for("nothing to be left of it", LIMIT, || probes::groups(&file).is_empty().then_some(()))?;
    Ok(())
}

fn refused() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let file = dir.path().join("not-there/lock");
    let line = expect_line(&answer(["health", &file_lock(&file)?])?, 2, "CRITICAL")?;
    ensure!(line.contains(&file.display().to_string()), "the lock is not named: {line:?}");
    Ok(())
}

fn cannot_be_asked() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    fs::write(dir.path().join("ctdb.conf"), "[cluster]\n")?;
    let answer_in_base = tool(["health"])?.env("CTDB_BASE", dir.path()).answer(LIMIT)?;
    let line = expect_line(&answer_in_base, 3, "UNKNOWN")?;
    ensure!(line.contains("no cluster lock") && line.contains("ctdb.conf"), "{line:?}");
    let line = expect_line(&answer(["health", "!helper on no path"])?, 3, "UNKNOWN")?;
    ensure!(line.contains("absolute"), "{line:?}");
    let lock = file_lock(&file)?;
    let times = ["health", &lock, "--slow-milliseconds", "2000", "--timeout-seconds", "2"];
    let line = expect_line(&answer(times)?, 3, "UNKNOWN")?;
    ensure!(line.contains("--slow-milliseconds") && line.contains("--timeout-seconds"), "{line:?}");
    expect_code(&answer(["health", &lock, "--timeout-seconds", "1"])?, 3)
}

/// A helper of another's that notes that it was started.
pub(crate) fn another_helper(dir: &Path) -> anyhow::Result<String> {
    let helper = dir.join("helper");
    fs::write(&helper, format!("#!/bin/sh\n: >{}\n", dir.join("started").display()))?;
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
    Ok(format!("!{} --health", helper.display()))
}

fn not_ours() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    expect_line(&answer(["health", &another_helper(dir.path())?])?, 3, "UNKNOWN")?;
    ensure!(!dir.path().join("started").exists(), "it was started");
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    expect_line(&answer(["health", &format!("!{} {}", samba.display(), file.display())])?, 3, "UNKNOWN")?;
    ensure!(!file.exists(), "Samba's helper was started");
    Ok(())
}

fn json() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let missing = dir.path().join("not-there/lock");
    let another = another_helper(dir.path())?;
    for (lock, event, code) in [(file_lock(&file)?, "ok", 0), (file_lock(&missing)?, "not", 2), (another, "unknown", 3)]
    {
        let answer = answer(["health", "--json", &lock])?;
        expect_code(&answer, code)?;
        let [object] = &objects(&answer)?[..] else { anyhow::bail!("not one object: {:?}", text(&answer)) };
        let was_asked = object["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0);
        ensure!(object["event"] == event && object["text"].is_string(), "not {event}: {object}");
        ensure!(was_asked == (code != 3), "the time: {object}");
    }
    Ok(())
}
