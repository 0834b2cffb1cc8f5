//! `--status` and `--health`: they take nothing.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::launch::Launch;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::lock::NAME;
use mutex_tests::services::ceph::{POOL, in_pool};
use mutex_tests::wait::wait_for;
use serde_json::Value;

use crate::{Case, GONE, Lock, NOISE, conf};

pub(crate) const CASES: &[Case] = &[
    ("--status of a free lock says free, which cluster this is, and makes nothing", free),
    ("--status of a lock that ours holds says who and where", held),
    ("--status of a lock that Samba's helper holds says which client", held_by_samba),
    ("--status with OSDs frozen ends at its limit with exit code 2", || frozen("--status")),
    ("--health with OSDs frozen ends at its limit with exit code 2", || frozen("--health")),
    ("--health says that the store answers, and takes nothing", healthy),
    ("--health without monitors is exit code 2 with one line that names them, after 5 s", unhealthy),
    ("--status and --health of a lock that others share say so, however much there is to say", shared_by_others),
];

/// What it printed, its exit code and its standard error.
fn ask(launch: Launch, limit: Duration) -> anyhow::Result<(String, i32, String)> {
    let Answer { code, stdout, stderr } = launch.answer(limit)?;
    Ok((String::from_utf8(stdout)?, code, stderr))
}

fn status(lock: &Lock) -> anyhow::Result<Value> {
    let (text, code, stderr) = ask(lock.helper(&["--status", "--json"])?, ANSWER_LIMIT)?;
    ensure!(code == 0 && stderr.is_empty(), "exit code {code}, {stderr:?}");
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text:?}"))?;
    ensure!(answer["object"] == lock.name(), "{answer}");
    let fsid = conf::value(lock.ceph.conf(), "fsid")?;
    ensure!(answer["store"]["fsid"] == fsid && answer["store"]["pool"] == POOL, "{answer}");
    Ok(answer)
}

fn free() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let answer = status(&lock)?;
    ensure!(answer["state"] == "free", "{answer}");
    ensure!(lock.ceph.rados(&["--pool", POOL, "stat", &lock.object]).is_err(), "the object was made");
    let (text, ..) = ask(lock.helper(&["--status"])?, ANSWER_LIMIT)?;
    ensure!(text.contains("free"), "in words: {text:?}");
    Ok(())
}

fn held() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    let answer = status(&lock)?;
    ensure!(answer["state"] == "held" && answer["holder"]["client"] == info.client, "{answer}");
    ensure!(answer["holder"]["address"] == info.address, "{answer}");
    // The service map has it some seconds later.
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let named = || {
        let answer = status(&lock).ok()?;
        let pid = answer["holder"]["pid"] == holder.supervisor().pid();
        (pid && answer["holder"]["host"] == host.trim() && answer["holder"]["since"].is_string()).then_some(())
    };
    wait_for("--status to name the holder's host and process", Duration::from_secs(15), named)?;
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent after --status");
    Ok(())
}

fn held_by_samba() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let theirs = lock.samba(&[])?.start()?;
    theirs.expect('0', ANSWER_LIMIT).context("Samba's helper")?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    let answer = status(&lock)?;
    ensure!(answer["state"] == "held" && answer["holder"]["client"] == info.client, "{answer}");
    Ok(())
}

fn frozen(question: &str) -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let fault = lock.ceph.osds_frozen();
    let _frozen = fault.inject()?;
    let limit = Duration::from_secs(2);
    let start = Instant::now();
    let (text, code, stderr) = ask(lock.helper(&[question, "--acquire-timeout-seconds", "2"])?, limit + GONE)?;
    ensure!(code == 2 && text.is_empty(), "exit code {code}, {text:?}, {stderr:?}");
    ensure!(start.elapsed() + NOISE > limit, "over after {:?}", start.elapsed());
    ensure!(stderr.lines().count() == 1 && stderr.contains(&lock.name()), "{stderr:?}");
    Ok(())
}

fn healthy() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let (text, code, stderr) = ask(lock.helper(&["--health"])?, ANSWER_LIMIT)?;
    ensure!(code == 0 && stderr.is_empty(), "exit code {code}, {stderr:?}");
    ensure!(text.starts_with("ok") && text.contains("ms"), "{text:?}");
    ensure!(lock.ceph.rados(&["--pool", POOL, "stat", &lock.object]).is_err(), "the object was made");
    Ok(())
}

fn unhealthy() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let host = conf::value(lock.ceph.conf(), "mon host")?;
    let conf = conf::changed(lock.ceph.conf(), &host, "[v2:127.0.0.1:1]")?;
    let (text, code, stderr) =
        ask(lock.helper(&["--health", "--conf"])?.arg(conf.path()), Duration::from_secs(5) + GONE)?;
    ensure!(code == 2 && text.is_empty(), "exit code {code}, {text:?}, {stderr:?}");
    ensure!(stderr.lines().count() == 1 && stderr.contains("127.0.0.1:1"), "{stderr:?}");
    Ok(())
}

/// More than a hundred KiB in three cookies.
fn shared_by_others() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    for number in 0..3 {
        let cookie = format!("{}{number}", "x".repeat(40_000));
        let mut command = in_pool(None);
        command.extend(["lock", "get", &lock.object, NAME, "--lock-cookie", &cookie, "--lock-type", "shared"]);
        lock.ceph.rados(&command)?;
    }
    let answer = status(&lock)?;
    ensure!(answer["state"] == "held" && answer["holder"]["shared_by"] == 3, "{answer}");
    ensure!(answer.to_string().len() < 10_000, "{} bytes", answer.to_string().len());
    let (text, code, stderr) = ask(lock.helper(&["--health"])?, ANSWER_LIMIT)?;
    ensure!(code == 0, "{text:?}, {stderr:?}");
    let contender = lock.helper(&["4"])?.start()?;
    contender.expect('1', ANSWER_LIMIT)
}
