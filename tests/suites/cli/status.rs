//! `status`.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, POOL};
use mutex_tests::services::etcd;
use mutex_tests::services::fuse::{HungFs, Locks};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use serde_json::Value;

use crate::running::{Running, fact, script};
use crate::tool::{LIMIT, answer, directory, expect_code, file_lock, objects, text, tool};
use crate::{Case, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("status says who holds a file since when, or that nobody does", of_a_file),
    ("status of a RADOS lock says the cluster, the holder and what is left of the lease", of_rados),
    ("status of an etcd lock says the cluster, the holder and what is left of the lease", of_etcd),
    ("status shows where two nodes look at different stores", different_stores),
    ("status of a helper that is not ours starts nothing, and says what to do instead", not_ours),
    ("status of a helper of Samba's names the LOCK of ours on the same lock", of_sambas),
    ("status of a file system that hangs ends at its limit with exit code 2", frozen),
    ("status of a place that is not there is exit code 3 with the helper's line", no_place),
];

/// The answer of `status --json`.
fn ask(launch: Launch) -> anyhow::Result<Value> {
    let said = launch.arg("--json").answer(LIMIT)?;
    expect_code(&said, 0)?;
    let mut answers = objects(&said)?;
    ensure!(answers.len() == 1 && said.stderr.is_empty(), "{answers:?} and {:?}", said.stderr);
    let answer = answers.remove(0);
    ensure!(answer["event"] == "status", "{answer}");
    Ok(answer)
}

/// The answer that names this process as the holder; some stores are told of it after the lock is taken.
fn named(launch: impl Fn() -> anyhow::Result<Launch>, pid: i64) -> anyhow::Result<Value> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let mut last = None;
    let answer = || {
        let answer = ask(launch().ok()?).map_err(|error| last = Some(error)).ok()?;
        let known = answer["holder"]["pid"] == pid && answer["holder"]["host"] == host.trim();
        (known && answer["holder"]["since"].is_string()).then_some(answer)
    };
    let limit = Duration::from_secs(20);
    Ok(wait_for("status to name the holder", limit, answer).with_context(|| format!("{last:?}"))?.0)
}

fn of_a_file() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let lock = file_lock(&file)?;
    let said = answer(["status", &lock])?;
    expect_code(&said, 0)?;
    ensure!(fact(text(&said).trim(), "state")? == "free", "{:?}", text(&said));
    ensure!(!file.exists(), "the file was made");

    let holder = Running::start(tool(["hold", &lock])?)?;
    let pid: i64 = fact(&holder.event("taken")?, "pid")?.parse()?;
    let answered = named(|| tool(["status", &lock]), pid)?;
    ensure!(answered["state"] == "held" && answered["lock"] == *lock, "{answered}");
    let said = text(&answer(["status", &lock])?);
    ensure!(fact(said.trim(), "holder.pid")? == pid.to_string() && said.lines().count() == 1, "{said:?}");
    // The file itself is a LOCK too.
    let answered = ask(tool(["status"])?.arg(&file))?;
    ensure!(answered["state"] == "held" && answered["holder"]["pid"] == pid, "{answered}");

    holder.signal(Signal::TERM)?;
    holder.event("released")?;
    ensure!(ask(tool(["status", &lock])?)?["state"] == "free", "after its release");
    Ok(())
}

fn is_left(answer: &Value, lease: f64) -> bool {
    answer["holder"]["lease_left_seconds"].as_f64().is_some_and(|left| left >= 0.0 && left <= lease)
}

fn of_rados() -> anyhow::Result<()> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let ceph = ceph::shared()?;
    let helper = programs::helper("ctdb_mutex_rados_helper")?;
    let object = format!("cli-status-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let lock = format!("!{} ceph {ADMIN} {POOL} {object} 4", helper.display());
    let tool = |command: &str| Ok(tool([command, lock.as_str()])?.env(CONF_VARIABLE, ceph.conf()));
    let free = ask(tool("status")?)?;
    ensure!(free["state"] == "free", "{free}");
    let fsid = ceph.ceph(&["fsid"])?;
    ensure!(free["store"]["fsid"] == fsid.trim() && free["store"]["object"] == *object, "{free}, not {fsid}");

    let holder = Running::start(tool("hold")?)?;
    let pid: i64 = fact(&holder.event("taken")?, "pid")?.parse()?;
    let held = named(|| tool("status"), pid)?;
    ensure!(held["state"] == "held" && is_left(&held, 4.1), "{held}");
    Ok(())
}

fn of_etcd() -> anyhow::Result<()> {
    let etcd = etcd::shared()?;
    let helper = programs::helper("ctdb_mutex_etcd_helper")?;
    let lock = format!("!{} cli/status 3", helper.display());
    let tool = |command: &str| Ok(tool([command, lock.as_str()])?.env("ETCDCTL_ENDPOINTS", etcd.endpoints()));
    let free = ask(tool("status")?)?;
    ensure!(free["state"] == "free", "{free}");
    let own: Value = serde_json::from_str(&etcd.etcdctl(&["get", "x", "--write-out=json"])?)?;
    let own = own["header"]["cluster_id"].as_u64().context("etcdctl tells no cluster")?;
    ensure!(free["store"]["cluster_id"] == format!("{own:x}"), "{free}, not {own:x}");

    let holder = Running::start(tool("hold")?)?;
    let pid: i64 = fact(&holder.event("taken")?, "pid")?.parse()?;
    let held = named(|| tool("status"), pid)?;
    ensure!(held["state"] == "held" && is_left(&held, 3.0), "{held}");
    Ok(())
}

/// One LOCK, as CTDB wants it; on one node a file system is mounted there, on the other it is not.
fn different_stores() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Local)?;
    let (dir, file) = directory()?;
    let mut stores = BTreeSet::new();
    for place in [file, fs.path().join("lock")] {
        for question in 0..2 {
            let said = tool(["status"])?.arg(&place).answer(LIMIT)?;
            expect_code(&said, 0)?;
            let said = text(&said);
            let (_, store) = said.split_once(" store.").with_context(|| format!("no store in {said:?}"))?;
            ensure!(stores.insert(store.to_owned()) == (question == 0), "{question}. question: {stores:?}");
        }
    }
    drop(dir);
    Ok(())
}

fn not_ours() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let started = dir.path().join("started");
    let helper = script(dir.path(), "helper", &format!("echo > {}\nprintf 0\nsleep 100", started.display()))?;
    let lock = format!("!{}", helper.display());
    let said = answer(["status", &lock])?;
    expect_code(&said, 3)?;
    ensure!(said.stderr.lines().count() == 1 && said.stderr.contains("ctdb-mutex hold"), "{:?}", said.stderr);
    ensure!(fact(text(&said).trim(), "state")? == "unknown", "{:?}", text(&said));
    ensure!(!started.exists(), "the helper was started");
    Ok(())
}

fn of_sambas() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    for (name, arguments, instead) in [
        ("ctdb_mutex_fcntl_helper", file.display().to_string(), format!("'{}'", file.display())),
        (
            "ctdb_mutex_ceph_rados_helper",
            "ceph client.a pool object 10 -n space".to_owned(),
            format!("'!{}/ctdb_mutex_rados_helper ceph client.a pool object 10 -n space'", dir.path().display()),
        ),
    ] {
        let helper = script(dir.path(), name, "exit 9")?;
        let said = answer(["status".to_owned(), format!("!{} {arguments}", helper.display())])?;
        expect_code(&said, 3)?;
        ensure!(said.stderr.contains(&format!("ctdb-mutex status {instead}")), "{:?}", said.stderr);
    }
    Ok(())
}

fn frozen() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Local)?;
    let lock = file_lock(&fs.path().join("lock"))?;
    let fault = fs.frozen();
    let _frozen = fault.inject()?;
    for lock in [lock, fs.path().join("lock").display().to_string()] {
        let start = Instant::now();
        let said = answer(["status", &lock, "--timeout-seconds", "1", "--json"])?;
        expect_code(&said, 2)?;
        let limit = Duration::from_secs(3) + NOISE;
        ensure!((Duration::from_secs(1)..limit).contains(&start.elapsed()), "over after {:?}", start.elapsed());
        let answers = objects(&said)?;
        ensure!(answers.len() == 1 && answers[0]["state"] == "unknown", "{answers:?}");
        ensure!(said.stderr.lines().count() == 1 && said.stderr.contains("does not answer"), "{:?}", said.stderr);
    }
    Ok(())
}

fn no_place() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let file = dir.path().join("missing/lock");
    let said = tool(["status"])?.arg(&file).answer(LIMIT)?;
    expect_code(&said, 3)?;
    ensure!(said.stderr.lines().count() == 1 && said.stderr.contains("missing"), "{:?}", said.stderr);
    Ok(())
}
