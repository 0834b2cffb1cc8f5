//! `--status` and `--health`: they take nothing.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::Etcd;
use mutex_tests::wait::wait_for;

use crate::lock::Lock;
use crate::told::{answer, ask, status};
use crate::{Case, GONE, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("--status of a free lock says free, which cluster this is, and writes nothing", free),
    ("--status of a lock that ours holds says who, since when and for how long", held),
    ("--status of a lock that etcdctl holds says how many wait for it", held_by_etcdctl),
    ("--status of a key without a lease says so", without_lease),
    ("--status shows hostile content of the key escaped and bounded", hostile),
    ("--status of a key with a megabyte in it is short", huge),
    ("--health names each member with its latency, and writes nothing", healthy),
    ("--health with a member frozen is ok, in time, and says which", one_frozen),
    ("--health with a member killed is ok and says which and why", one_killed),
    (
        "--status and --health without a quorum end at their limit, exit code 2, with one line that names the silent",
        no_quorum,
    ),
];

/// How many members there are, as `--health` counts them.
const WELL: &str = "3 of 3";
const ONE_MISSING: &str = "2 of 3";

/// The cluster's number as etcdctl tells it.
fn cluster_id(etcd: &Etcd) -> anyhow::Result<String> {
    let about = etcd.etcdctl(&["get", "healthy", "--write-out", "json"])?;
    let about: serde_json::Value = serde_json::from_str(&about)?;
    let number = about.pointer("/header/cluster_id").and_then(serde_json::Value::as_u64);
    Ok(format!("{:x}", number.context("no number of the cluster")?))
}

fn free() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let (before, leases) = (lock.etcd.revision()?, lock.etcd.leases()?);
    let said = status(&lock, lock.helper(&[])?)?;
    ensure!(said["state"] == "free" && said["holder"].is_null(), "{said}");
    ensure!(said["store"]["cluster_id"] == cluster_id(&lock.etcd)?, "{said}");
    let text = answer(lock.helper(&["--status"])?)?;
    ensure!(text.contains("free"), "in words: {text:?}");
    let health = answer(lock.helper(&["--health"])?)?;
    ensure!(health.contains(WELL), "{health:?}");
    ensure!(lock.etcd.revision()? == before && lock.etcd.leases()? == leases, "a question wrote something");
    Ok(())
}

fn held() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["9"])?;
    let line = lock.line()?;
    let key = line.first().context("nobody holds the lock although a taker was answered 0")?;
    let said = status(&lock, lock.helper(&[])?)?;
    let about = &said["holder"];
    ensure!(said["state"] == "held", "{said}");
    ensure!(about["host"] == fs::read_to_string("/proc/sys/kernel/hostname")?.trim(), "{said}");
    ensure!(about["pid"] == holder.supervisor().pid(), "{said}");
    ensure!(about["since"].as_str().is_some_and(|since| since.starts_with("20") && since.ends_with('Z')), "{said}");
    ensure!(about["create_revision"] == key.create_revision, "{said}");
    ensure!(about["lease"] == format!("{:x}", key.lease), "{said}");
    ensure!(about["lease_left_seconds"].as_i64().is_some_and(|left| (6..=9).contains(&left)), "{said}");
    ensure!(about["waiting"] == 0, "{said}");
    let text = answer(lock.helper(&["--status"])?)?;
    ensure!(text.contains("held") && text.contains(&holder.supervisor().pid().to_string()), "in words: {text:?}");
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent after --status");
    Ok(())
}

fn held_by_etcdctl() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let theirs = lock.etcd.etcdctl_lock(&lock.key)?;
    let _second = lock.etcd.etcdctl_lock(&lock.key)?;
    let _third = lock.etcd.etcdctl_lock(&lock.key)?;
    let said = status(&lock, lock.helper(&[])?)?;
    let about = &said["holder"];
    ensure!(said["state"] == "held" && about["waiting"] == 2, "{said}");
    ensure!(about["create_revision"] == theirs.key().create_revision, "{said}");
    ensure!(about["lease"] == format!("{:x}", theirs.key().lease), "{said}");
    ensure!(about["lease_left_seconds"].is_number() && about["host"].is_null(), "{said}");
    Ok(())
}

/// An admin's, or another program's: nobody frees it.
fn without_lease() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let key = format!("{}/by-hand", lock.key);
    lock.etcd.etcdctl(&["put", &key, "x"])?;
    let said = status(&lock, lock.helper(&[])?)?;
    let about = &said["holder"];
    ensure!(said["state"] == "held" && about["lease_left_seconds"].is_null(), "{said}");
    ensure!(about["key"] == key, "which key to delete: {said}");
    let text = answer(lock.helper(&["--status"])?)?;
    ensure!(text.contains(&key) && text.contains("lease none"), "in words: {text:?}");
    lock.helper(&[])?.start()?.expect('1', ANSWER_LIMIT)
}

fn put(lock: &Lock, value: &str) -> anyhow::Result<()> {
    lock.etcd.etcdctl(&["put", &format!("{}/1", lock.key), "--", value]).map(drop)
}

fn hostile() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let long = "x".repeat(10_000);
    let value = format!(
        "{{\"host\":\"a\\u001b[2J\\u202e\\nstate:  free\\u009b{long}\",\"pid\":[1],\"since\":\"\\r\",\"waiting\":77,\"lease\":\"f\",\"more\":1}}"
    );
    put(&lock, &value)?;
    let said = status(&lock, lock.helper(&[])?)?;
    let about = &said["holder"];
    ensure!(said["state"] == "held" && about["waiting"] == 0 && about["lease"] != "f", "{said}");
    ensure!(about["more"].is_null() && about["pid"].is_null(), "{said}");
    for text in [said.to_string(), answer(lock.helper(&["--status"])?)?] {
        let harmless = |c: char| c == '\n' || !(c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c));
        ensure!(text.chars().all(harmless), "{text:?}");
        ensure!(text.len() < 2_000, "{} bytes", text.len());
        ensure!(
            !text.lines().any(|line| line.starts_with("state:") && line.contains("free")),
            "a forged line: {text:?}"
        );
    }
    for nonsense in ["", "[1,2]", "\u{feff}{", &"[".repeat(10_000)] {
        put(&lock, nonsense)?;
        let said = status(&lock, lock.helper(&[])?)?;
        ensure!(said["state"] == "held" && said["holder"]["host"].is_null(), "{said}");
    }
    Ok(())
}

/// The most that etcd takes in a request is one and a half; an argument of etcdctl's is an eighth at most.
fn huge() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    put(&lock, &format!("{{\"host\":\"{}\",\"pid\":1e300}}", "x".repeat(120_000)))?;
    let text = answer(lock.helper(&["--status", "--json"])?)?;
    ensure!(text.contains("\"held\"") && text.len() < 2_000, "{} bytes", text.len());
    Ok(())
}

fn healthy() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let text = answer(lock.helper(&["--health"])?)?;
    ensure!(text.starts_with("ok") && text.contains(WELL) && text.lines().count() == 1, "{text:?}");
    for endpoint in lock.etcd.endpoints().split(',') {
        let about = about(&text, endpoint)?;
        ensure!(about.contains(" ms"), "{about:?} of {text:?}");
    }
    ensure!(text.contains("leader"), "{text:?}");
    ensure!(!lock.is_held()?, "something was taken");
    Ok(())
}

/// What the line says of one member: all up to the next one.
fn about<'a>(line: &'a str, endpoint: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = line.split_once(endpoint).with_context(|| format!("{endpoint} is not in {line:?}"))?;
    Ok(rest.split("http").next().unwrap_or(rest))
}

fn one_frozen() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let [member, _] = lock.etcd.followers()?;
    let fault = lock.etcd.member_frozen(member);
    let _frozen = fault.inject()?;
    let start = Instant::now();
    let text = answer(lock.helper(&["--health"])?)?;
    ensure!(start.elapsed() < Duration::from_secs(1) + NOISE, "after {:?}", start.elapsed());
    ensure!(text.starts_with("ok") && text.contains(ONE_MISSING), "{text:?}");
    let about = about(&text, lock.etcd.endpoint(member))?;
    ensure!(about.contains("no answer"), "{about:?} of {text:?}");
    Ok(())
}

fn one_killed() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let leader = lock.etcd.leader()?;
    let fault = lock.etcd.member_killed(leader);
    let _killed = fault.inject()?;
    // An election first.
    let text = answer(lock.helper(&["--health"])?)?;
    ensure!(text.starts_with("ok") && text.contains(ONE_MISSING), "{text:?}");
    let about = about(&text, lock.etcd.endpoint(leader))?;
    ensure!(about.contains("refused") && !about.contains("see the"), "{about:?} of {text:?}");
    let said = status(&lock, lock.helper(&[])?)?;
    ensure!(said["state"] == "free", "{said}");
    Ok(())
}

fn no_quorum() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let survivor = lock.etcd.leader()?;
    let fault = lock.etcd.quorum_frozen(survivor);
    let _frozen = fault.inject()?;
    let knows = || lock.etcd.etcdctl_at(survivor, &["get", "x"]).is_err().then_some(());
    wait_for("the survivor to know that it is alone", ANSWER_LIMIT, knows)?;
    let limit = Duration::from_secs(2);
    // With the longest lease too, where a call of a holder may take minutes.
    for (question, lease) in [("--status", "3"), ("--health", "3"), ("--status", "600")] {
        let start = Instant::now();
        let launch = lock.helper(&[lease, question, "--acquire-timeout-seconds", "2"])?;
        let (text, code, stderr) = ask(launch, limit + GONE)?;
        ensure!(code == 2 && text.is_empty(), "{question}: exit code {code}, {text:?}, {stderr:?}");
        ensure!(start.elapsed() + NOISE > limit, "{question}: over after {:?}", start.elapsed());
        let names = [lock.etcd.endpoint(survivor), "no answer", &lock.key];
        let says = stderr.lines().count() == 1 && names.iter().all(|name| stderr.contains(name));
        ensure!(says, "{question} with a lease of {lease} s: {stderr:?}");
    }
    Ok(())
}
